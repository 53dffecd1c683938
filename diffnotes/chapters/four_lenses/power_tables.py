"""Tables of what the numbers of chapter 5 can resolve."""

from __future__ import annotations

from diffnotes.chapters.four_lenses import power_readings
from diffnotes.chapters.four_lenses.readings import LENSES, title
from diffnotes.show.resolution import NOTHING, WANTED, seeds
from diffnotes.show.style import BookTable, book_figure
from diffnotes.store import Record


@book_figure
def lens_power(record: Record) -> BookTable:
    """The seeds that would see EFFECT of every lens of chapter 5, at each training-set size."""
    sizes = [int(n) for n in record["n"]]
    found = [{one.name: one for one in power_readings.lenses(record, place)} for place in range(len(sizes))]
    return BookTable(
        record, header=("number", *(f"N = {n:,}" for n in sizes)),
        rows=[(lens.word, *(seeds(some.get(lens.word)) for some in found)) for lens in LENSES],
        shows=f"{title(record)}: the seeds that would see a change of {WANTED} in four of five cases, with "
        f"the 95 % interval that the error of the scatter itself leaves, which has {_freedom(record)} "
        f"degrees of freedom. {NOTHING}: an overlap at its ceiling, or zero or negative for some seed at "
        "every width.",
    )  # fmt: skip


def _freedom(record: Record) -> int:
    """Of the scatter at one training-set size."""
    _, widths, seeds, _ = record["frechet"].shape
    return max(widths - 1, 1) * (seeds - 1)
