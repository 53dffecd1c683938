"""Table of chapter 2's supervision region: when shells of a data set are apart."""

from __future__ import annotations

from diffnotes.chapters.supervision import findings, readings
from diffnotes.chapters.supervision.readings import SEPARATE, SHARES
from diffnotes.show.labels import dataset, joined
from diffnotes.show.style import BookTable, book_figure
from diffnotes.store import Record


@book_figure
def separation_table(*records: Record) -> BookTable:
    """Distances of each data set, and the times at which its shells meet."""
    names = ("data", "images", "d", "least distance", "median", *(f"apart: {name}" for name in SHARES))
    header = (*names, "t√d = (1 − t)ℓ", "true image known")
    paper = (
        "the paper’s class", "–", f"{readings.PANDA_DIM:,}", f"{readings.PANDA_DISTANCE}", "–",
        f"{readings.panda_until():.2f}", "–", "–",
        f"{readings.time_of(readings.PANDA_DISTANCE / readings.PANDA_DIM**0.5):.2f}", "–",
    )  # fmt: skip
    return BookTable(
        *records, header=header, rows=[*map(_row, records), paper],
        finding=joined(map(findings.collapse_text, records)),
        shows="Distances of images to the nearest other one, and times t. Apart: up to then C(t) is below "
        f"{SEPARATE:g}, for the nearest pair, for 99 % of images and for the median image. t√d = (1 − t)ℓ: "
        "from then on the paper’s condition is broken, for the median image (for the paper’s class, its "
        "nearest pair). Known: the last time tried at which the true image has more than half of the "
        "weight, in the median.",
    )  # fmt: skip


def _row(record: Record) -> tuple[str, ...]:
    return (
        dataset(record), f"{readings.count(record):,}", f"{readings.dimension(record):,}",
        *(f"{readings.distance_at(record, share):.2f}" for share in (0.0, 0.5)),
        *(f"{readings.separated_until(record, share):.2f}" for share in SHARES.values()),
        f"{readings.criterion(record):.2f}", f"{readings.known_until(record):.2f}",
    )  # fmt: skip
