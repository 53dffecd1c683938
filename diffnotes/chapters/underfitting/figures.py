"""Figures of chapter 2's Gaussian: the paper's figure 10, what it leaves out, when its third curve rises.

Lines are means over seeds, bands reach from the lowest seed to the highest.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes

from diffnotes.chapters.underfitting import findings, readings
from diffnotes.chapters.underfitting.readings import (
    APART,
    AVERAGED,
    EMPIRICAL,
    FRESH,
    PAPER,
    PAPER_RATE,
    PAPER_STEPS,
    PATH,
    RAW,
    SUPERVISED,
    TRUE,
)
from diffnotes.show.style import (
    HELD_OUT,
    INK,
    OPTIMUM,
    SAMPLER,
    TRAIN,
    BookFigure,
    band,
    book_figure,
    log_ticks,
    ramp,
)
from diffnotes.store import Record

ITERATION = "iterations"
ERROR = "squared error of the score"
UNITS = "Errors are squared errors of the score in units of the noise, per dimension, and means over t."
DENOISED = "$|D - D'|^2 / d$"
BANDS = "Lines are means over seeds, bands reach from the lowest seed to the highest."
PLACES = {SUPERVISED: TRAIN, FRESH: HELD_OUT, PATH: SAMPLER}
LATE = 0.05  # share of training before which paths of an untrained network leave every scale
KEY = {"noised training points": TRAIN, "noised fresh points": HELD_OUT, "the network's own paths": SAMPLER}
FIGURE_10: tuple[tuple[int, int, dict[str, Any]], ...] = (
    (SUPERVISED, EMPIRICAL, TRAIN.curve(label="1: training points, empirical")),
    (SUPERVISED, TRUE, TRAIN.curve(label="2: training points, true", linestyle=":", lw=2)),
    (FRESH, TRUE, HELD_OUT.curve(label="3: fresh points, true")),
)
PAPER_LOOKS: tuple[dict[str, Any], ...] = (
    {"marker": "o", "ms": 4},
    {"marker": "o", "ms": 4, "mfc": "none"},
    {"marker": "D", "ms": 3.5},
)
RANGES = ((0.0, 0.2), (0.2, 0.4), (0.4, 0.6), (0.6, 0.8), (0.8, 1.0))  # of t
FACTORS = {"batch": "batch size", "rate": "learning rate", "target": "prediction", "depth": "hidden layers"}


# ------------------------------------------------------------------------------------------ parts of figures


def _step_axis(axes: Axes, record: Record) -> None:
    end = int(record["step"][-1])
    axes.set(xlim=(0, end), xlabel=ITERATION)
    ticks = [0, end // 2, end]
    axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    axes.grid(True)


def _paper(axes: Axes, record: Record) -> None:
    """The paper's measured points, where the runs are of its size."""
    if not readings.is_papers(record):
        return
    known = record["step"][-1] >= PAPER_STEPS
    for values, look, (_, _, style) in zip(PAPER, PAPER_LOOKS, FIGURE_10, strict=True):
        axes.plot(PAPER_STEPS[known], values[known], color=style["color"], ls="none", zorder=3, **look)


def _log_axis(axes: Axes) -> None:
    """A logarithmic vertical axis with plain numbers: powers of ten, or 1, 2, 5 where these are few."""
    axes.set_yscale("log")
    axes.minorticks_off()  # hundreds of them, on a page that has its limit
    low, high = axes.get_ylim()
    powers = np.arange(np.floor(np.log10(low)), np.ceil(np.log10(high)) + 1)
    steps = (1, 2, 5) if len(powers) < 4 else (1,)
    if len(powers) > 7:
        powers = powers[::2]
    ticks = [float(f"{step * 10.0**power:g}") for power in powers for step in steps]
    log_ticks(axes.yaxis, *(tick for tick in ticks if low <= tick <= high))
    axes.set_ylim(low, high)
    axes.grid(True)


# -------------------------------------------------------------------------------------------------- figures


@book_figure
def gaussian_curves(*records: Record) -> BookFigure:
    """The paper's figure 10, with its measured points: weights as they are, and averaged."""
    error, t, step = readings.errors(records), records[0]["t"], records[0]["step"]
    figure = BookFigure(
        *records, size=(6.9, 3.2), finding=findings.curves_text(*records),
        shows="Error of the learned score through training, at noised training points and at noised fresh "
        f"ones, against the empirical and the true score. {_said(records[0])}{UNITS} {BANDS}",
    )  # fmt: skip
    left, right = figure.subplots(1, 2, sharey=True)
    horizon = records[0].spec["horizon"]
    titles = {RAW: "weights as they are", AVERAGED: f"averaged over {horizon:,} steps"}
    for axes, (average, title) in zip((left, right), titles.items(), strict=True):
        for place, score, style in FIGURE_10:
            band(axes, step, readings.curve(error, t, place, score, average), style)
        _paper(axes, records[0])
        _step_axis(axes, records[0])
        axes.set_title(title)
        axes.tick_params(labelleft=True)
    left.set(ylim=(0, None), ylabel=ERROR)
    right.legend(loc="upper right")
    return figure


def _run(record: Record) -> str:
    """The rate, and how long."""
    return f"At a rate of {record.spec['rate']:g}, {record['step'][-1]:,} iterations."


def _said(record: Record) -> str:
    if not readings.is_papers(record):
        return ""
    rate = record.spec["rate"]
    other = "" if rate == PAPER_RATE else f", at a rate of {PAPER_RATE:g} where ours is {rate:g}"
    return f"Markers are the paper's curves, in both panels the same{other}. "


@book_figure
def gaussian_by_time(*records: Record) -> BookFigure:
    """The third curve, split by t: through training, and how far it rises again."""
    error, t, step = readings.errors(records), records[0]["t"], records[0]["step"]
    colours = {f"{low:g} ≤ t < {high:g}": ramp(k, len(RANGES)) for k, (low, high) in enumerate(RANGES)}
    figure = BookFigure(
        *records, size=(6.9, 3.2), key=colours, finding=findings.by_time_text(*records),
        shows=f"{_run(records[0])} Left: the error at noised fresh points against the true score, which is "
        "curve 3, the mean over ranges of t. "
        "Right: its last value over its least one at each t, for weights as they are (dashed) and averaged "
        f"(dotted); near 1 it falls or stays. {UNITS} {BANDS}",
    )  # fmt: skip
    left, right = figure.subplots(1, 2)
    for (low, high), colour in zip(RANGES, colours.values(), strict=True):
        if ((t >= low) & (t < high)).any():
            values = readings.curve(error, t, FRESH, TRUE, low=low, high=high)
            left.plot(step, values.mean(0), color=colour)
    left.set_ylabel(ERROR)
    _log_axis(left)
    _step_axis(left, records[0])
    for average, style in ((RAW, HELD_OUT.curve()), (AVERAGED, HELD_OUT.curve(linestyle=":"))):
        band(right, t, readings.rise_by_time(error, step, average), style)
    right.axhline(1, color=INK, lw=0.8)
    right.set(xlim=(0, 1), xlabel="t", ylabel="last over least")
    _log_axis(right)
    return figure


@book_figure
def gaussian_elsewhere(*records: Record) -> BookFigure:
    """At training points, fresh points and on the network's own paths: against both scores."""
    error, t, step = readings.errors(records), records[0]["t"], records[0]["step"]
    figure = BookFigure(
        *records, size=(6.9, 5.2), key=KEY | {"the true score at fresh points": OPTIMUM},
        finding=findings.elsewhere_text(*records),
        shows=f"{_run(records[0])} Squared distance per dimension between what the learned score and another "
        "one denoise a point to, D and D': above, the empirical score, below, the true one. Left: the mean "
        f"over t < {APART}, "
        f"without the first {100 * LATE:.0f} % of training; right: at each t, in its last tenth. {BANDS}",
    )  # fmt: skip
    late = step >= LATE * step[-1]
    cells = figure.subplots(2, 2)
    for row, score in zip(cells, (EMPIRICAL, TRUE), strict=True):
        for place, role in PLACES.items():
            by_step = readings.in_denoiser_units(records[0], error, place, score)
            ends = readings.last(np.moveaxis(readings.by_time(error, place, score), -2, -1), step)
            band(row[0], step[late], by_step[:, late], role.curve())
            band(row[1], t, readings.denoiser_units(ends, t), role.curve())
        name = "empirical" if score == EMPIRICAL else "true"
        row[0].set_ylabel(f"{DENOISED}, {name}")
        row[1].set_xlim(0, 1)
        _step_axis(row[0], records[0])
    true = readings.denoiser_units(readings.reference(records, 1, FRESH, EMPIRICAL), t)
    band(cells[0, 1], t, true, OPTIMUM.curve())
    cells[0, 0].set_xlabel("")
    cells[1, 1].set_xlabel("t")
    for axes in cells.flat:
        _log_axis(axes)
    return figure


@book_figure
def factors_by_time(record: Record) -> BookFigure:
    """How far the third curve rises again at each t, for each value of each factor."""
    t, step = record["t"], record["step"]
    figure = BookFigure(
        record, size=(6.9, 5.0), finding=findings.factors_by_time_text(record),
        shows="Error at noised fresh points against the true score: its last value over its least one at "
        "each t. Each panel changes one setting of the default run, whose line is black; near 1 the error "
        f"falls or stays. The ratio at one t is the same in every unit. {BANDS}",
    )  # fmt: skip
    cells = figure.subplots(2, 2, sharex=True, sharey=True)
    for axes, (factor, title) in zip(cells.flat, FACTORS.items(), strict=True):
        runs = readings.runs_by(record, factor)
        for k, (value, place) in enumerate(runs):
            values = readings.rise_by_time(record["error"][place], step)
            band(axes, t, values, _look(k, len(runs), place, value))
        axes.set_title(title)
        axes.axhline(1, color=INK, lw=0.8)
        axes.legend(loc="upper right")
        axes.grid(True)
        axes.tick_params(labelleft=True)
        axes.set_xlim(0, 1)
    for row in cells:
        row[0].set_ylabel("last over least")
        for axes in row:
            _log_axis(axes)
    for axes in cells[1]:
        axes.set_xlabel("t")
    return figure


LINES = ("-", "--", ":")


def _look(place: int, count: int, run: int, value: str) -> dict[str, Any]:
    """The default run is black; others are told apart by colour and line."""
    colour = INK if run == 0 else ramp(place, count)
    return {"color": colour, "linestyle": LINES[place % len(LINES)], "label": value}


@book_figure
def factors_fit(record: Record) -> BookFigure:
    """The third curve against the first: both through training, for rates and batches."""
    t = record["t"]
    figure = BookFigure(
        record, size=(6.9, 3.2), finding=findings.fit_text(record),
        shows="Error at noised fresh points, against the true score, over that at noised training points, "
        "against the empirical one: runs move from right to left as they train. Lines are means over seeds. "
        f"{UNITS}",
    )  # fmt: skip
    for axes, factor in zip(figure.subplots(1, 2, sharey=True), ("rate", "batch"), strict=True):
        runs = readings.runs_by(record, factor)
        for k, (value, place) in enumerate(runs):
            error = record["error"][place]
            first, _, third = (readings.curve(error, t, *one[:2]).mean(0) for one in FIGURE_10)
            axes.plot(first, third, **_look(k, len(runs), place, value))
        axes.set(title=FACTORS[factor], xlabel="first curve: training points, empirical")
        axes.set_ylim(bottom=0)
        axes.legend(loc="lower right")
        axes.grid(True)
        axes.tick_params(labelleft=True)
    figure.axes[0].set_ylabel("third curve: fresh points, true")
    return figure
