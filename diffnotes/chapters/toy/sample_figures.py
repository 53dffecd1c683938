"""Figure and table of the toy's samples, and of those of the optimal denoiser."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from diffnotes.base.statistics import over_seeds
from diffnotes.chapters.toy import sample_readings as readings
from diffnotes.show.labels import DATASETS, bounds, power_of_ten
from diffnotes.show.style import INK, OPTIMUM, SAMPLER, BookFigure, BookTable, Sentence, book_figure
from diffnotes.store import Record

LOOKS = (  # of the ways to make samples
    SAMPLER.curve(linestyle="-", linewidth=0.9, marker="o", markersize=4, label="Euler"),
    SAMPLER.curve(linewidth=2.4, label="Heun"),
    OPTIMUM.curve(linewidth=1.2, label="exact law"),
)


@book_figure
def sample_distances(record: Record) -> BookFigure:
    """Fréchet distances of samples from training and from validation points, over the model error."""
    known = any(readings.authors(record, split)[0] > 0 for split in readings.SPLITS)
    crosses = " Crosses are read off the authors’ stored plot, for one set of points." if known else ""
    figure = BookFigure(
        record,
        finding=_nearest(record),
        shows=f"Fréchet distance of {record.spec['n']} samples from as many training points (left) and "
        f"validation points (right), over the model error δ: means over {record.spec['supports']} sets of "
        f"points at random angles, with 95 % intervals; dashed, Euler’s for the first set. The exact law has "
        f"one draw around each training point, so its samples miss none.{crosses}",
    )
    for axes, split in zip(figure.subplots(1, 2), range(2), strict=True):
        _distances(axes, record, split)
        axes.set(xlabel="model error $\\delta$", title=f"from {readings.SPLITS[split]} points")
        axes.set_ylim(bottom=0)
    figure.axes[0].set_ylabel("Fréchet distance")
    figure.axes[0].legend(loc="upper left")
    return figure


def _distances(axes: Axes, record: Record, split: int) -> None:
    for way, look in enumerate(LOOKS):
        found = readings.distances(record, way, split)
        mean, low, high = map(list, zip(*map(over_seeds, found.T), strict=True))
        [line] = axes.plot(record["delta"], mean, **look)
        axes.fill_between(record["delta"], low, high, color=line.get_color(), alpha=0.15, linewidth=0)
    first = readings.distances(record, readings.EULER, split)[0]
    axes.plot(record["delta"], first, color=INK, linestyle="--", linewidth=1, label="Euler, first set")
    theirs = readings.authors(record, readings.SPLITS[split])
    if np.isfinite(theirs).any():
        axes.plot(record["delta"], theirs, "x", color=INK, markersize=7, label="authors, first set")


def _nearest(record: Record) -> str:
    """At which model errors samples are nearest to training points."""
    euler, heun = (readings.dip(record, way, 0) for way in (readings.EULER, readings.HEUN))
    count, sets = readings.dips(record), record.spec["supports"]
    return (
        f"By Euler’s method samples are nearest to training points at δ = {euler.delta:g} "
        f"({euler.distance:.3f}), by Heun’s at δ = {heun.delta:g} ({heun.distance:.3f}), "
        f"in the mean over sets of points. In {count} of the {sets} sets, taken one by one, a δ midway is "
        "best for Euler’s."
    )


def first_set_finding(record: Record) -> Sentence:
    """Whether the authors' own set of points has their shape, and the mean over sets too."""
    dips = [readings.in_first(record, split) for split in range(2)]
    means = [readings.dip(record, readings.EULER, split).midway for split in range(2)]
    parts = [
        f"to {name} points at "
        + (f"δ = {dip.delta:g} ({dip.distance:.3f})" if dip else "one end of the model errors")
        for name, dip in zip(readings.SPLITS, dips, strict=True)
    ]
    shape = "has their shape" if all(dips) else "lacks their shape"
    mean = "keeps it" if all(means) else "loses it"
    return Sentence(record, text=(
        f"The authors’ own set of points {shape}: by Euler’s method samples are nearest "
        f"{' and '.join(parts)}. The "
        f"mean over {record.spec['supports']} sets {mean}.{_off(record)}"
    ))  # fmt: skip


def _off(record: Record) -> str:
    """How far the heights for the authors' set are from theirs."""
    gaps = [readings.off(record, split) for split in range(2)]
    if not all(len(gap) for gap in gaps):
        return ""
    train, val = (bounds(gap.min(), gap.max(), 2) for gap in gaps)
    return (
        f" For that set, our distance less theirs (the crosses) is {train} to training points, and {val} to "
        "validation points."
    )


@book_figure
def end_table(*records: Record) -> BookTable:
    """Where the sampler of the optimal denoiser ends, for several training sets."""
    return BookTable(
        *records,
        header=("training set", "samples", "on a point", "copies", "distance", "held-out", "reached", "σ"),
        rows=[_ends(record) for record in records],
        finding=_all_end(*records),
        shows="On a point: nearer to a training point than the last noise is long. Copies: three times "
        "closer to one training point than to any other. Distance: to the nearest training point, the "
        "median over samples, and over held-out points. Reached: how many training points have a sample, "
        "over what as many random draws would reach. σ: the noise level from which on nine predictions in "
        "ten are nearest to the training point on which the sample ends.",
    )


def _ends(record: Record) -> tuple[str, ...]:
    end, unseen = readings.apart(record)
    name = f"{DATASETS[record.spec['dataset']]}, {record.spec['n']:,}"
    shares = (readings.on_points(record), readings.copies(record))
    return (
        name, f"{len(record['rho']):,}", *(f"{100 * share:.1f} %" for share in shares), power_of_ten(end),
        f"{unseen:.2g}", f"{100 * readings.reached(record):.0f} %", f"{readings.decided(record):.2g}",
    )  # fmt: skip


def _all_end(*records: Record) -> str:
    """The least share of samples that end on a training point."""
    least = min(map(readings.on_points, records))
    if least == 1:
        return "Every sample ends on a training point."
    return f"At least {100 * least:.1f} % of samples end on a training point."
