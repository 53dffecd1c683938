"""Figures of chapter 2's networks: errors, their trends, distance ratios, gaps between classes, the way back.

Lines are means over seeds; bands reach from the lowest seed to the highest, of distance ratios from 5 to 95 %
of images.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from diffnotes.chapters.selective import findings, readings
from diffnotes.chapters.selective.readings import (
    COMMON,
    GAUSSIAN,
    HIGH,
    LOW,
    MEDIAN,
    OWN,
    TRAINING,
    UNTRAINED,
)
from diffnotes.show.labels import joined
from diffnotes.show.style import (
    GREY,
    HELD_OUT,
    INK,
    OCHRE,
    SAMPLER,
    TEAL,
    TRAIN,
    BookFigure,
    band,
    book_figure,
    log_ticks,
    plain_ticks,
    power_of_ten,
    ramp,
)
from diffnotes.store import Record

ERROR = "error per dimension"
TIME = "time $t$"
RATIO = "distance ratio $r^*$"
PLACES = {TRAINING: "noised training images", COMMON: "common trajectories"}
CONTRAST = "network that memorizes"
BANDS = "Lines are means over seeds, bands reach from the lowest seed to the highest."
FLOOR = 1e-5  # of gaps: below it the exact ones are rounding


# ------------------------------------------------------------------------------------------ parts of figures


def size_key(record: Record) -> dict[str, str]:
    """The colours of the ramp that the smallest and the largest network have."""
    count = len(record["width"])
    return {"smallest network": ramp(0, count), "largest network": ramp(count - 1, count)}


def columns(records: tuple[Record, ...], figure: BookFigure, **more: Any) -> list[tuple[Axes, Record]]:
    """A column of axes for every record, under its name."""
    cells = figure.subplots(1, len(records), squeeze=False, **more)[0]
    for axes, record in zip(cells, records, strict=True):
        axes.set(xlabel=TIME, title=findings.name(record))
        axes.tick_params(labelleft=True)  # on a phone each column stands alone
    return list(zip(cells, records, strict=True))


def wide(records: tuple[Record, ...]) -> tuple[float, float]:
    """The size of a figure with a column for each."""
    return (3.45 * len(records), 3.1)


# ------------------------------------------------------------------------------------------------- errors


@book_figure
def selective_errors(*records: Record) -> BookFigure:
    """Errors over t at the last snapshot: at noised training images, and along common trajectories."""
    figure = BookFigure(
        *records, size=(6.9, 0.3 + 2.7 * len(records)),
        key={**size_key(records[0]), "Gaussian denoiser": INK, "velocity 0": GREY},
        finding=joined(map(findings.excess_text, records)),
        shows="Squared error per dimension against the exact denoiser of the class, over t, for networks of "
        "several sizes, and for two denoisers that need no training. Left at noised training images, right "
        f"along trajectories that are the same for all. {BANDS}",
    )  # fmt: skip
    cells = figure.subplots(len(records), 2, squeeze=False, sharey="row", sharex=True)
    for row, record in zip(cells, records, strict=True):
        for axes, point in zip(row, (TRAINING, COMMON), strict=True):
            _errors(axes, record, point)
            axes.set_title(f"{findings.name(record)},\n{PLACES[point]}")
            axes.tick_params(labelleft=True)
        row[0].set_ylabel(ERROR)
    for axes in cells[-1]:
        axes.set_xlabel(TIME)
    return figure


def _errors(axes: Axes, record: Record, point: int) -> None:
    found, t = readings.error_by_t(record, point), record["t"]
    for k, one in enumerate(found):
        band(axes, t, one, {"color": ramp(k, len(found))})
    for guide, colour, line in ((GAUSSIAN, INK, ":"), (UNTRAINED, GREY, "--")):
        axes.plot(t, record["guide"][:, guide, point, 0].mean(0), color=colour, ls=line)
    axes.set(yscale="log", xlim=(0, 1))
    axes.grid(True)


@book_figure
def selective_scaling(*records: Record) -> BookFigure:
    """Errors against training compute: the paper's figure 3."""
    figure = BookFigure(
        *records, size=(6.9, 0.3 + 2.7 * len(records)),
        key={**size_key(records[0]), "own trajectories": SAMPLER},
        finding=joined(map(findings.scaling_text, records)),
        shows="Squared error per dimension in the mean over t, against floating-point operations of "
        "training: one curve for each size, one point for each snapshot. Trends are fitted to the last "
        f"{readings.LATE} snapshots of all sizes (large points). Left at noised training images; right along "
        f"common trajectories, and, in green, along the median one of each network's own. {BANDS}",
    )  # fmt: skip
    cells = figure.subplots(len(records), 2, squeeze=False)
    for row, record in zip(cells, records, strict=True):
        _scaling(row[0], record, TRAINING)
        _scaling(row[1], record, OWN, SAMPLER.color)
        _scaling(row[1], record, COMMON)
        for axes, text in zip(row, ("noised training images", "trajectories"), strict=True):
            axes.set_title(f"{findings.name(record)},\n{text}")
        row[0].set_ylabel(ERROR)
    for axes in cells[-1]:
        axes.set_xlabel("training compute, FLOP")
    return figure


def _scaling(axes: Axes, record: Record, point: int, colour: str = "") -> None:
    cost, values = readings.training_compute(record), readings.error(record, point)
    for k, one in enumerate(values):
        style: dict[str, Any] = {"color": colour or ramp(k, len(values)), "ls": "-." if colour else "-"}
        band(axes, cost[k], one, style | {"marker": "^" if colour else "o", "ms": 2.5})
        late = cost[k, -readings.LATE :]
        axes.plot(late, one.mean(0)[-readings.LATE :], "^" if colour else "o", color=style["color"], ms=5)
    axes.set(xscale="log", yscale="log")
    plain_ticks(axes.yaxis)
    axes.grid(True)


# ------------------------------------------------------------------------------------------ distance ratios


@book_figure
def selective_ratios(*records: Record) -> BookFigure:
    """r* along trajectories and of noised training, held-out and generated images: the paper's figure 1b."""
    figure = BookFigure(
        *records, size=wide(records),
        key={"noised training images": TRAIN, "noised held-out images": HELD_OUT,
             "states of trajectories": SAMPLER, "generated images, noised again": OCHRE, "formula": INK},
        finding=joined(map(findings.ratios_text, records)),
        shows="Distance ratio r* to the nearest shell of a training image, for the largest network: medians, "
        "and from 5 to 95 % of images, in the mean over seeds. The dotted curve is the formula with the "
        "distances ℓ of finished samples.",
    )  # fmt: skip
    for axes, record in columns(records, figure, sharey=True):
        t = record["t"]
        for values, role in (
            (record["ratio_training"], TRAIN), (record["ratio_held_out"], HELD_OUT),
            (record["ratio_own"][-1, :, -1], SAMPLER),
        ):  # fmt: skip
            _ranks(axes, t, values, role.curve())
        axes.plot(t, readings.again_ratio(record).mean(0), color=OCHRE, ls=(0, (5, 3)))
        axes.plot(t, readings.analytic(record, "own").mean(0), color=INK, ls=":", zorder=5)
        axes.set(yscale="log", xlim=(0, 1))
        log_ticks(axes.yaxis, 1, 2, 5, 10, 20)
        axes.grid(True)
    figure.axes[0].set_ylabel(RATIO)
    return figure


def _ranks(axes: Axes, t: np.ndarray, values: np.ndarray, style: dict[str, Any]) -> None:
    """The median of quantiles [seed, l, 5], and from the lowest to the highest of them."""
    found = values.mean(0)
    axes.fill_between(t, found[:, LOW], found[:, HIGH], color=style["color"], alpha=0.2, lw=0)
    axes.plot(t, found[:, MEDIAN], **style)


# ------------------------------------------------------------------------------------------------- guidance


@book_figure
def selective_guidance(*records: Record) -> BookFigure:
    """The gap between told and not told the class, learned and exact: the paper's figure 2."""
    figure = BookFigure(
        *records, size=wide(records),
        key={"learned, at noised training images": TRAIN, "learned, on trajectories": SAMPLER,
             "exact, at noised training images": INK, "exact, on trajectories": TEAL},
        finding=joined(map(findings.gap_text, records)),
        shows="Root of the squared difference per dimension between the denoiser that is told the class and "
        "the one that is not: the median over images, in the mean over seeds, of the largest network and of "
        f"the exact denoisers. What is below {power_of_ten(FLOOR)} is drawn there.",
    )  # fmt: skip
    for axes, record in columns(records, figure, sharey=True):
        for gap, point, style in (
            (readings.learned_gap, TRAINING, TRAIN.curve()), (readings.learned_gap, OWN, SAMPLER.curve()),
            (readings.exact_gap, TRAINING, {"color": INK, "ls": ":"}),
            (readings.exact_gap, OWN, {"color": TEAL, "ls": (0, (1, 1))}),
        ):  # fmt: skip
            _gap(axes, record, gap, point, style)
        axes.set(yscale="log", xlim=(0, 1), ylim=(0.7 * FLOOR, None))
        axes.grid(True)
    figure.axes[0].set_ylabel("gap between denoisers")
    return figure


def _gap(
    axes: Axes, record: Record, gap: Callable[[Record, int], np.ndarray], point: int, style: dict[str, Any]
) -> None:
    axes.plot(record["t"], gap(record, point).mean(0).clip(FLOOR), **style)


# ------------------------------------------------------------------------------------------------ way back


@book_figure
def selective_way_back(*records: Record) -> BookFigure:
    """The share of noised training images that return, beside the overlap of shells: the paper's figure 4."""
    figure = BookFigure(
        *records, size=wide(records),
        key={**size_key(records[0]), CONTRAST: TEAL, "largest overlap within a class": INK},
        finding=joined(map(findings.back_text, records)),
        shows="Share of training images, noised to t and denoised by the ODE from there, whose result is "
        "nearest to the image they came from. Dotted, C(t): the largest Bhattacharyya coefficient of two "
        f"training images of one class. {BANDS}",
    )  # fmt: skip
    fine = np.linspace(0.02, 1, 200)
    for axes, record in columns(records, figure, sharey=True):
        for k, one in enumerate(record["returned"]):
            band(axes, record["t"], one, {"color": ramp(k, len(record["width"]))})
        band(axes, record["t"], record["tiny_returned"], {"color": TEAL, "ls": "--"})
        axes.plot(fine, readings.overlap(record, fine), color=INK, ls=":")
        axes.set(xlim=(0, 1), ylim=(-0.02, 1.04))
    figure.axes[0].set_ylabel("share, overlap")
    return figure


# ------------------------------------------------------------------------------------------------- contrast


@book_figure
def selective_contrast(*records: Record) -> BookFigure:
    """The network that memorizes against the ladder: errors on trajectories, and distance ratios."""
    figure = BookFigure(
        *records, size=(6.9, 0.3 + 2.6 * len(records)),
        key={**size_key(records[0]), CONTRAST: TEAL},
        finding=joined(map(findings.contrast_text, records)),
        shows="Left, the error on the median one of a network's own trajectories over that at noised "
        "training images, through training. Right, the median of r* along own trajectories at the last "
        "snapshot, for the largest network and for the one that memorizes, each to the shells of its own "
        f"training images. {BANDS}",
    )  # fmt: skip
    for row, record in zip(figure.subplots(len(records), 2, squeeze=False), records, strict=True):
        _excess(row[0], record)
        band(row[1], record["t"], readings.own_ratio(record), {"color": ramp(1, 2)})
        band(row[1], record["t"], readings.tiny_ratio(record), {"color": TEAL, "ls": "--"})
        row[1].set(yscale="log", xlim=(0, 1), xlabel=TIME, title=findings.name(record), ylabel=RATIO)
        log_ticks(row[1].yaxis, 1, 2, 5, 10, 20)
    return figure


def _excess(axes: Axes, record: Record) -> None:
    """Errors on own trajectories over supervised ones, against images seen."""
    batch = record.spec["batch"]
    found = readings.error(record, OWN) / readings.error(record, TRAINING)
    for k, one in enumerate(found):
        band(axes, batch * record["step"], one, {"color": ramp(k, len(found)), "marker": ".", "ms": 4})
    tiny = readings.error(record, OWN, prefix="tiny_") / readings.error(record, TRAINING, prefix="tiny_")
    band(axes, batch * record["tiny_step"], tiny, {"color": TEAL, "ls": "--", "marker": "s", "ms": 3})
    axes.axhline(1, color=INK, lw=0.8)
    axes.set(xscale="log", yscale="log", title=findings.name(record))
    axes.set(xlabel="images seen", ylabel="error, own / training")
    plain_ticks(axes.yaxis)
