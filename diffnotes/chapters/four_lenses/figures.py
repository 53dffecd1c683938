"""Figures of chapter 5: one ladder of checkpoints through all lenses. A column for every record."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes

from diffnotes.chapters.four_lenses import findings, onset_readings, readings
from diffnotes.chapters.four_lenses.onset_readings import ONSETS
from diffnotes.chapters.four_lenses.readings import title
from diffnotes.show.labels import joined
from diffnotes.show.style import (
    GREY,
    HELD_OUT,
    INK,
    OCHRE,
    PINK,
    SAMPLER,
    TEAL,
    TRAIN,
    BookFigure,
    book_figure,
    log_ticks,
    plain_ticks,
    ramp,
)
from diffnotes.store import Record

# Of the instruments: colour, line, marker.
LOOKS: dict[str, tuple[str, str, str]] = {
    "parted": (GREY, "-", "x"),
    "relative": (HELD_OUT.color, "--", "D"),
    "inside": (SAMPLER.color, "-.", "^"),
    "agreement": (PINK, "-", "v"),
    "gap": (TRAIN.color, "-", "o"),
    "extrapolated": (TEAL, "--", "s"),
    "memorized": (INK, "-", "."),
}
MARKERS = "os^Dv"  # widths, rising
EPOCHS = "images seen / N"
RATIO = "noise level $\\sigma/\\sigma^*$"


def _columns(figure: BookFigure, records: tuple[Record, ...], **more: Any) -> list[tuple[Axes, Record]]:
    cells = figure.subplots(1, len(records), squeeze=False, **more)[0]
    for axes, record in zip(cells, records, strict=True):
        axes.set_title(title(record))
        axes.tick_params(labelleft=True)  # on a phone each column stands alone
        axes.grid(True)
    return list(zip(cells, records, strict=True))


def _wide(records: tuple[Record, ...], height: float = 3.1) -> tuple[float, float]:
    return (3.45 * len(records), height)


def _key() -> dict[str, str]:
    return {word: LOOKS[name][0] for name, (word, *_) in ONSETS.items()}


def _style(name: str) -> dict[str, Any]:
    colour, line, marker = LOOKS[name]
    return {"color": colour, "ls": line, "marker": marker, "ms": 4}


def _sizes(record: Record) -> dict[str, str]:
    """The colours of sizes."""
    count = len(record["n"])
    return {"smallest training set": ramp(0, count), "largest": ramp(count - 1, count)}


# ------------------------------------------------------------------------------------------------ one run


@book_figure
def lens_run(*records: Record) -> BookFigure:
    """Instruments through training, of the widest network on the training set of middle size."""
    figure = BookFigure(
        *records, size=_wide(records), finding=joined(map(findings.run_text, records)),
        key={"memorized": LOOKS["memorized"][0], "overlap at σ*": LOOKS["inside"][0],
             "agreement of halves": LOOKS["agreement"][0], "loss gap / held-out error": LOOKS["gap"][0],
             "extrapolated error": LOOKS["extrapolated"][0]},
        shows="Through training, for the widest network on the training set of middle size: medians over "
        "seeds, bands from the lowest to the highest. Loss gap and extrapolated error left of σ*, the latter "
        "over the squared distance of held-out images to the training set; beyond 1.5 it is drawn at 1.5.",
    )  # fmt: skip
    for axes, record in _columns(figure, records, sharey=True):
        place = len(record["n"]) // 2
        time = onset_readings.epochs(record)[place]
        for name in ("memorized", "inside", "agreement", "gap", "extrapolated"):
            each = ONSETS[name][1](record)[place, -1].clip(max=1.5)
            axes.fill_between(time, each.min(0), each.max(0), color=LOOKS[name][0], alpha=0.15, lw=0)
            axes.plot(time, np.median(each, 0), **_style(name))
        axes.axhline(onset_readings.HALF, color=GREY, lw=0.7, ls=":")
        axes.set(xscale="log", xlabel=EPOCHS, ylim=(-0.04, 1.54))
        plain_ticks(axes.xaxis)
    figure.axes[0].set_ylabel("share")
    return figure


# ----------------------------------------------------------------------------------------------- identities


@book_figure
def lens_same(*records: Record) -> BookFigure:
    """Loss gap against supervised error, and the relative gap that it gives against the measured one."""
    figure = BookFigure(
        *records, size=(6.9, 2.9 * len(records)), finding=joined(map(findings.same_text, records)),
        key=_sizes(records[0]),
        shows="Left, three points for every checkpoint, left of σ*, at it and right of it: loss gap against "
        "supervised error, both "
        "per dimension. Right, one point for every checkpoint, left of σ*: held-out error over loss gap "
        "against held-out over training error, which is 1 + G.",
    )  # fmt: skip
    cells = figure.subplots(len(records), 2, squeeze=False)
    for row, record in zip(cells, records, strict=True):
        for place in readings.ZONES:
            pair = (readings.within(record, record[k], place) for k in ("supervised", "loss_gap"))
            _pairs(row[0], record, *pair)
        _pairs(row[1], record, *readings.from_gap(record))
        row[0].set(xlabel="supervised error", ylabel="loss gap", title=title(record))
        row[1].set(xlabel="held-out / training error", ylabel="held-out error / loss gap")
        row[1].set_title(f"{title(record)},\nleft of $\\sigma^*$")
    return figure


def _pairs(axes: Axes, record: Record, one: np.ndarray, other: np.ndarray) -> None:
    ends = [min(one.min(), other.min()), max(one.max(), other.max())]
    axes.plot(ends, ends, color=INK, lw=0.8)
    for size in range(len(record["n"])):
        colour = ramp(size, len(record["n"]))
        axes.plot(one[size].ravel(), other[size].ravel(), ".", ms=2, color=colour)
    axes.set(xscale="log", yscale="log")
    plain_ticks(axes.xaxis)
    plain_ticks(axes.yaxis)
    axes.grid(True)


# -------------------------------------------------------------------------------------------------- onsets


@book_figure
def lens_onsets(*records: Record) -> BookFigure:
    """Onsets of all instruments against the number of training images."""
    figure = BookFigure(
        *records, size=_wide(records, 3.4), key=_key(), finding=joined(map(findings.onsets_text, records)),
        shows="When each instrument passes its threshold, in images seen per training image, against the "
        "number of training images: geometric means over the widths and seeds that reach it.",
    )  # fmt: skip
    for axes, record in _columns(figure, records):
        for name in ONSETS:
            times = onset_readings.onset(record, name)
            means = np.array([findings.middle(each) for each in times])
            axes.plot(record["n"], means, **_style(name))
        axes.set(xscale="log", yscale="log", xlabel="training images N", ylabel=EPOCHS)
        plain_ticks(axes.yaxis)
        log_ticks(axes.xaxis, *record["n"].tolist())
    return figure


@book_figure
def lens_levels(*records: Record) -> BookFigure:
    """The noise levels at which instruments pass their thresholds, and when."""
    words = {"relative": "relative gap reaches 1", "gap": "loss gap is half of the held-out error",
             "inside": "half of the sampler overlaps"}  # fmt: skip
    figure = BookFigure(
        *records, size=_wide(records), finding=joined(map(findings.levels_text, records)),
        key={word: LOOKS[name][0] for name, word in words.items()},
        shows="When an instrument passes its threshold at one noise level, against that level over σ*: "
        "geometric means over the runs of the widest network that pass it. Hollow marks at the bottom: all "
        "of them have passed it at the first checkpoint. The loss gap is drawn up to σ*: beyond it a small "
        "one is no memory, since the floor itself is most of the loss.",
    )  # fmt: skip
    for axes, record in _columns(figure, records):
        ratio = record["sigma"] / record["critical"].mean()
        for name in words:
            some = ratio <= 1 if name == "gap" else ratio > 0
            _over_levels(axes, record, name, ratio, some)
        axes.axvline(1, color=INK, lw=0.8, ls=":")
        axes.set(xscale="log", yscale="log", xlabel=RATIO, ylabel=EPOCHS)
        plain_ticks(axes.xaxis)
        plain_ticks(axes.yaxis)
    return figure


def _over_levels(axes: Axes, record: Record, name: str, ratio: np.ndarray, some: np.ndarray) -> None:
    """Onsets of the widest network at some levels; hollow marks where every run is past it already."""
    times = onset_readings.level_onsets(record, name)[:, -1]
    means = np.array([findings.middle(times[..., k]) for k in range(len(ratio))])
    axes.plot(ratio[some], means[some], **_style(name))
    past = onset_readings.past_already(record, name)[:, -1].all((0, 1)) & some & (ratio <= readings.WIDE)
    first = np.full(past.sum(), onset_readings.epochs(record)[:, 0].min())
    axes.plot(ratio[past], first, **_style(name) | {"ls": "", "mfc": "none"})


@book_figure
def lens_predicts(*records: Record) -> BookFigure:
    """When the loss gap is halved, and when copies come, run by run."""
    figure = BookFigure(
        *records, size=_wide(records), finding=joined(map(findings.predicts_text, records)),
        key=_sizes(records[0]),
        shows="One point for every run that reaches both, markers by width (circles: the narrowest): images "
        "seen per training image at 5 % memorized samples, against those at which the loss gap left of σ* is "
        "half of the least held-out error there. The line: both at once.",
    )  # fmt: skip
    for axes, record in _columns(figure, records):
        one, other = (onset_readings.onset(record, name) for name in ("gap", "memorized"))
        both = np.isfinite(one) & np.isfinite(other)
        for size, width in np.ndindex(*both.shape[:2]):
            some = both[size, width]
            axes.plot(
                one[size, width][some], other[size, width][some], MARKERS[width % len(MARKERS)],
                color=ramp(size, len(record["n"])), ms=5,
            )  # fmt: skip
        axes.set(xscale="log", yscale="log", xlabel="loss gap halved", ylabel="5 % memorized")
        _frame(axes, one[both], other[both])
    return figure


def _frame(axes: Axes, one: np.ndarray, other: np.ndarray) -> None:
    """Both axes over all points, and the line on which both are equal; anything where there is no point."""
    whole = np.concatenate([one, other])
    ends = (0.8 * whole.min(), 1.25 * whole.max()) if len(whole) else (100, 1000)
    axes.plot(ends, ends, color=INK, lw=0.8)
    axes.set(xlim=ends, ylim=ends)
    plain_ticks(axes.xaxis)
    plain_ticks(axes.yaxis)


@book_figure
def lens_overlap(*records: Record) -> BookFigure:
    """Memorized samples against the sampler's overlap, at sigma* and left of it."""
    figure = BookFigure(
        *records, size=_wide(records), finding=joined(map(findings.overlap_text, records)),
        key={"at σ*": SAMPLER, "left of σ*": OCHRE},
        shows="One point for every checkpoint: the share of memorized samples against the share of sampler "
        "states within the 1 to 99 % range of noised training images. Vertical lines: noised held-out "
        "images, in the mean over sizes and seeds.",
    )  # fmt: skip
    for axes, record in _columns(figure, records, sharey=True):
        copies = readings.memorized(record).ravel()
        for name, colour, marker in (("inside", SAMPLER.color, "^"), ("inside_left", OCHRE, "o")):
            axes.plot(readings.lens(name).read(record).ravel(), copies, marker, ms=3, color=colour, ls="")
            control = findings.held_out_overlap(record, "at" if name == "inside" else "left").mean()
            axes.axvline(control, color=colour, lw=1.0, ls="--")
        axes.axhline(readings.COPIED, color=GREY, lw=0.7, ls=":")
        axes.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), xlabel="sampler overlap")
    figure.axes[0].set_ylabel("memorized samples")
    return figure
