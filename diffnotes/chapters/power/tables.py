"""Tables of what measurements of several chapters can resolve."""

from __future__ import annotations

from diffnotes.chapters.power import readings
from diffnotes.show.labels import dataset
from diffnotes.show.resolution import WANTED, Counted, cell
from diffnotes.show.style import BookTable, book_figure
from diffnotes.store import Record


@book_figure
def sweep_power(digits: Record, cifar: Record, laws: Record, laws_cifar: Record) -> BookTable:
    """What seeds see of times and distances of chapter 3, and of training schedules of chapter 4."""
    pairs = ((readings.onsets, digits, cifar), (readings.schedules, laws, laws_cifar))
    rows = []
    for read, *records in pairs:
        found = [{one.name: one for one in read(record)} for record in records]
        names = dict.fromkeys(name for some in found for name in some)
        rows += [
            (name, str(max(some[name].seeds for some in found if name in some)),
             *(cell(some.get(name)) for some in found))
            for name in names
        ]  # fmt: skip
    return BookTable(
        digits, cifar, laws, laws_cifar, rows=rows,
        header=("number", "seeds", dataset(digits), dataset(cifar)),
        shows=f"The smallest relative change that these seeds see in four of five cases, and the seeds that "
        f"would see {WANTED}. Where the two sets were trained with different numbers of seeds, the larger is "
        "given, and the smaller set’s is extrapolated. Times and the sliced distance: between training-set "
        "sizes. The others: between training schedules.",
    )  # fmt: skip


@book_figure
def sample_power(
    gap: Record, gap_cifar: Record, sweep: Record, nets: Record, nets_cifar: Record, *curves: Record
) -> BookTable:
    """How many images, draws or samples see a change, where nothing else scatters."""
    found = [
        *((record, readings.relative(record)) for record in (gap, gap_cifar)),
        *((record, readings.gap(record)) for record in (nets, nets_cifar)),
        (sweep, readings.held_out(sweep)), (sweep, readings.share(sweep)),
        *((record, one) for record in curves for one in readings.optimum(record)),
    ]  # fmt: skip
    return BookTable(
        gap, gap_cifar, sweep, nets, nets_cifar, *curves,
        header=("number", "images", "counted", "had", "error", f"for {WANTED}"),
        rows=[(one.name, dataset(record), *_counts(one)) for record, one in found],
        shows="What is counted, how many there are, the relative standard error that they leave, and how "
        f"many would see a change of {WANTED} between two settings that share none of them. Settings of this "
        "book share them, and need fewer.",
    )  # fmt: skip


def _counts(one: Counted) -> tuple[str, ...]:
    return one.unit, f"{one.count:,}", f"{100 * one.error:.1f} %", f"{one.needed():,}"
