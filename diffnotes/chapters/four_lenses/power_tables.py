"""Tables of what the numbers of chapter 5 can resolve."""

from __future__ import annotations

from diffnotes.chapters.four_lenses import power_findings, power_readings
from diffnotes.chapters.four_lenses.readings import LENSES, title
from diffnotes.show.resolution import NOTHING, WANTED, cell
from diffnotes.show.style import BookTable, book_figure
from diffnotes.store import Record


@book_figure
def lens_power(record: Record) -> BookTable:
    """What three seeds see of every lens of chapter 5, at each training-set size."""
    sizes = [int(n) for n in record["n"]]
    found = [{one.name: one for one in power_readings.lenses(record, place)} for place in range(len(sizes))]
    seeds = record["frechet"].shape[2]
    return BookTable(
        record, header=("number", *(f"N = {n:,}" for n in sizes)),
        rows=[(lens.word, *(cell(some.get(lens.word)) for some in found)) for lens in LENSES],
        finding=power_findings.seen(record),
        shows=f"{title(record)}, at the last checkpoint at which no run of that size is thrown back by a "
        f"jump of its loss. First the smallest relative change between two widths that {seeds} seeds see in "
        f"four of five cases. Then the seeds that would see {WANTED}, with the 95 % interval that the error "
        f"of the scatter itself leaves. {NOTHING}: zero or negative for some seed at every width.",
    )  # fmt: skip
