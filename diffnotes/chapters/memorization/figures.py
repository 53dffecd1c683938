"""Figures of chapter 3: losses, memorized samples and distances through training, and when copying begins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.ticker import NullFormatter

from diffnotes.chapters.memorization import findings, readings
from diffnotes.chapters.memorization.readings import LABELS, Run, named, title
from diffnotes.chapters.memorization.size_findings import trained_in
from diffnotes.show.style import (
    HELD_OUT,
    INK,
    OCHRE,
    OPTIMUM,
    PINK,
    TEAL,
    TRAIN,
    BookFigure,
    Role,
    book_figure,
    ramp,
)
from diffnotes.store import Record

SHARE = "memorized share"
DISTANCE = "sliced Wasserstein"
LOSSES = {"minimum": (TEAL, "v"), "split": (OCHRE, "P")}  # the others are shares: a ramp
KEY = {"training images": TRAIN, "held-out images": HELD_OUT}


# ----------------------------------------------------------------------------------------- one run, figure 1


@book_figure
def through_training(*records: Record) -> BookFigure:
    """Losses, memorized samples and distance to real images against the step, for the default run of each."""
    figure = BookFigure(
        *records,
        finding=findings.order(*records),
        shows=(
            "From left to right: the loss; the share of samples that are memorized (ρ < 1/3), and the same "
            "counted against as many held-out images; the sliced Wasserstein distance of the samples to "
            "training and to held-out images, at equal counts. Curves are means over the seeds, bands their "
            "span; the dotted line is the step at which the losses part."
        ),
        key=KEY,
        size=(6.9, 2.5 * len(records)),
    )
    axes = figure.subplots(len(records), 3, squeeze=False)
    for row, record in zip(axes, records, strict=True):
        _run_row(row, record, readings.default_place(record))
    for axis in axes[-1]:
        axis.set_xlabel("training step τ")
    return figure


PAIRS = (  # of one run: what was measured on the training set, and on held-out images
    ("train_loss", "test_loss", "loss"),
    ("copies", "copies_baseline", SHARE),
    ("wasserstein_train", "wasserstein_few", DISTANCE),
)


def _run_row(row: Sequence[Any], record: Record, place: int) -> None:
    """Three panels of one run, over its seeds."""
    step, split = readings.steps(record, place), readings.onset(record, "split")[place]
    for axis, (train, held_out, text) in zip(row, PAIRS, strict=True):
        for name, role in ((train, TRAIN), (held_out, HELD_OUT)):
            _band(axis, step, readings.curve(record, place, name), role, role.color, role.word)
        _over_steps(axis, text)
        if np.isfinite(split).any():
            axis.axvline(float(np.nanmedian(split)), ymax=0.75, color=INK, lw=1, ls=":")
    row[1].set_ylim(-0.02, 1.02)
    row[0].set_ylim(top=1.35 * row[0].get_ylim()[1])
    row[0].legend(loc="upper left", fontsize=8)
    row[0].set_title(f"{title(record)}\n{readings.label(record, place)}", loc="left")


def _over_steps(axis: Any, text: str) -> None:
    """A panel over the logarithm of steps; names of ticks between powers of ten would run into each other."""
    axis.set(xscale="log", ylabel=text)
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.set_ylim(bottom=0)
    axis.grid(True)


def _band(axis: Any, step: np.ndarray, values: np.ndarray, role: Role, color: str, text: str) -> None:
    """The mean over seeds [seed, evaluation] as a line of the role, and the span of the seeds."""
    axis.fill_between(step, values.min(0), values.max(0), color=color, alpha=0.2, lw=0)
    axis.plot(step, values.mean(0), **role.curve(color=color, label=text))


# ------------------------------------------------------------------------------------- sweeps, figures 2 to 5


@book_figure
def size_sweep(*records: Record) -> BookFigure:
    """Losses, memorized samples and distance for training sets of several sizes, against steps per image."""
    return _sweeps(
        *records,
        finding=findings.collapse(*records),
        shows=(
            "The horizontal axis is steps per training image, so an onset in proportion to N would make the "
            f"curves fall on each other. {_trained(*records)}"
        ),
        rows=[(title(record), readings.swept(record, record).runs, "n") for record in records],
    )


def _trained(*records: Record) -> str:
    """'digits: trained in float32; CIFAR-10, 16 × 16: trained in bfloat16.'"""
    return "; ".join(f"{title(record)}: {trained_in(record)}" for record in records) + "."


@book_figure
def factor_sweeps(base: Record, *sweeps: Record) -> BookFigure:
    """The same for other factors, a row for each; the default run comes from the sweep over n."""
    named_rows = [
        (_row_title(base, sweep), readings.swept(base, sweep))
        for sweep in sweeps
    ]
    return _sweeps(
        base, *sweeps,
        finding=findings.moved_most(base, *sweeps),
        shows=(
            "A row for each factor. Its horizontal axis is the paper’s: the step τ for the width, images "
            "seen τB for the batch size, and steps times rate τη for the learning rate, which is how far "
            "Adam can have moved a weight. Where samples go astray, the frame leaves them out."
        ),
        rows=[(text, sweep.runs, sweep.factor) for text, sweep in named_rows],
    )  # fmt: skip


def _row_title(base: Record, sweep: Record) -> str:
    return f"{title(base)}{readings.beside(base, sweep)}\n{readings.WORDS[sweep.spec['sweep']]}"


UNITS = {
    "n": "steps per image, τ/N", "width": "training step τ", "batch": "images seen, τB",
    "rate": "steps times rate, τη",
}  # fmt: skip


def _sweeps(
    *records: Record, finding: str, shows: str, rows: Sequence[tuple[str, Sequence[Run], str]]
) -> BookFigure:
    """Rows of (title, runs, factor)."""
    first = (
        "From left to right: the losses, held-out dashed and training solid; the share of memorized samples; "
        "the sliced Wasserstein distance of samples to held-out images. Means over seeds, bands their span. "
    )
    figure = BookFigure(*records, finding=finding, shows=first + shows, size=(6.9, 2.45 * len(rows)))
    axes = figure.subplots(len(rows), 3, squeeze=False)
    for row, (text, runs, factor) in zip(axes, rows, strict=True):
        _sweep_row(row, runs, factor)
        row[0].set_title(text, loc="left", fontsize=9)
        for axis in row:
            axis.set_xlabel(UNITS[factor])
    return figure


def _scale(run: Run, factor: str) -> float:
    """What a step is multiplied by on the horizontal axis."""
    value = readings.of_run(run, factor)
    return {"n": 1 / value, "width": 1.0}.get(factor, value)


def _sweep_row(row: Sequence[Any], runs: Sequence[Run], factor: str) -> None:
    """Losses, memorized samples and distance of several runs."""
    for k, run in enumerate(runs):
        record, place = run
        color, text = ramp(k, len(runs)), named(factor, readings.of_run(run, factor))
        step = readings.steps(record, place) * _scale(run, factor)
        train = readings.curve(record, place, "train_loss").mean(0)
        row[0].plot(step, train, **TRAIN.curve(color=color, lw=1.1, label=""))
        _band(row[0], step, readings.curve(record, place, "test_loss"), HELD_OUT, color, "")
        for axis, name in ((row[1], "copies"), (row[2], "wasserstein")):
            _band(axis, step, readings.curve(record, place, name), TRAIN, color, text)
    for axis, text in zip(row, ("loss", SHARE, DISTANCE), strict=True):
        _over_steps(axis, text)
    _in_frame(row[2], runs)
    row[1].legend(loc="upper left", fontsize=8)
    row[1].set_ylim(-0.02, 1.02)


def _in_frame(axis: Any, runs: Sequence[Run]) -> None:
    """A run that went astray would leave no room for the others."""
    first = max(float(readings.curve(*run, "wasserstein")[:, 0].max()) for run in runs)
    if axis.get_ylim()[1] > 3 * first:
        axis.set_ylim(0, 1.1 * first)


# --------------------------------------------------------------------------------------------------- onsets


@book_figure
def onset(*records: Record) -> BookFigure:
    """When memorization sets in against N, by each definition, with the fitted power."""
    figure = BookFigure(
        *records, finding=findings.powers(*records),
        shows=(
            "The step at which memorization sets in, by five definitions, against the training images N. "
            "Dots are seeds, lines go through their geometric means, and the legend has the fitted power of "
            "N. The least held-out loss is interpolated between evaluations. A size that some seed does not "
            f"reach has the dots of the others, and no part in lines and powers. {_trained(*records)}"
        ),
        size=(6.9, 3.5),
    )  # fmt: skip
    axes = figure.subplots(1, len(records), squeeze=False)[0]
    for axis, record in zip(axes, records, strict=True):
        _onset_panel(axis, record)
        axis.set_title(title(record), loc="left")
        axis.legend(loc="upper left", fontsize=8)
        _heights(axis, record)
    return figure


def _onset_panel(axis: Any, record: Record) -> None:
    shares = [name for name in LABELS if name not in LOSSES]
    looks = LOSSES | {name: (ramp(k, len(shares)), "o^s"[k]) for k, name in enumerate(shares)}
    for name, (color, marker) in looks.items():
        _onset_line(axis, record, name, color, marker)
    size = sorted(record["value"])
    axis.set(xscale="log", yscale="log", xlabel="training images N", ylabel="training step τ")
    axis.set_xticks(size, [f"{n:,}" for n in size])
    axis.minorticks_off()
    axis.grid(True)


def _heights(axis: Any, record: Record) -> None:
    """Limits with room for the legend; those of the evaluations where nothing sets in."""
    if any(np.isfinite(readings.onset(record, name)).any() for name in LABELS):
        axis.set_ylim(top=40 * axis.get_ylim()[1])
    else:
        step = readings.steps(record, 0)
        axis.set_ylim(step.min(), step.max())


def _onset_line(axis: Any, record: Record, name: str, color: str, marker: str) -> None:
    order = readings.ordered(record)
    size, times = record["value"][order], readings.onset(record, name)[order]
    known, power = np.isfinite(times).all(1), readings.power(record, name)
    text = f"{LABELS[name]}, power {power.value:.2f}" if power.known else LABELS[name]
    middle = np.exp(np.log(times[known]).mean(1))
    axis.plot(size[known], middle, "-", color=color, lw=1.2, marker=marker, mfc="none", label=text)
    axis.plot(size, times, ls="", marker=marker, color=color, ms=3.5)


# ------------------------------------------------------------------------------------------------- averages


@book_figure
def averages(base: Record, *sweeps: Record) -> BookFigure:
    """The least distance before the losses part, for every average of the weights, against each factor."""
    records = (base, *sweeps)
    figure = BookFigure(
        *records, finding=findings.averages(base, *sweeps),
        shows=(
            f"{title(base)}: the least sliced Wasserstein distance to held-out images before the losses part "
            "(lower is better) for the weights as they are and averaged over several horizons. Means over "
            "seeds with standard errors; points of one value stand side by side. Dotted: two sets of real "
            "images."
        ),
        size=(3.4 * len(records), 3.0),
    )  # fmt: skip
    axes = figure.subplots(1, len(records), sharey=True, squeeze=False)[0]
    for axis, record in zip(axes, records, strict=True):
        _averages_panel(axis, base, record)
    axes[0].set_ylabel("least distance")
    axes[0].set_ylim(bottom=0)
    axes[-1].legend(fontsize=8, loc="upper right")
    return figure


AVERAGES = ((TEAL, "o", "-"), (OCHRE, "^", "--"), (PINK, "s", "-."))


def _averages_panel(axis: Any, base: Record, record: Record) -> None:
    sweep, horizons = readings.swept(base, record), readings.horizons(base)
    for place, horizon in enumerate(horizons):
        color, marker, line = AVERAGES[place]
        text = f"averaged over {horizon:,} steps" if horizon else "weights as they are"
        shift = 1.07 ** (place - (len(horizons) - 1) / 2)
        values = sweep.read("best", place)
        axis.errorbar(
            sweep.value * shift, values.mean(1), readings.stderr(values), color=color, marker=marker, ls=line,
            ms=4, capsize=2, label=text,
        )  # fmt: skip
    axis.axhline(readings.floor(base), lw=1, **OPTIMUM.curve(label=""))
    axis.set(xscale="log", xlabel=readings.WORDS[sweep.factor] + readings.beside(base, record))
    axis.set_xticks(sweep.value, [f"{v:g}" for v in sweep.value])
    axis.minorticks_off()
    axis.grid(True)
