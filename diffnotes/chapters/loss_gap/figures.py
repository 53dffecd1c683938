"""Figures of chapter 4's networks: gaps over noise, their parts, their relation to samples, and memorization.

Lines are means over seeds, bands reach from the lowest seed to the highest.
"""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from diffnotes.chapters.loss_gap import findings, readings
from diffnotes.chapters.loss_gap.findings import BEST, EPS
from diffnotes.show.labels import images, joined
from diffnotes.show.style import (
    GREY,
    HELD_OUT,
    INK,
    OCHRE,
    OPTIMUM,
    PALETTE,
    PINK,
    SAMPLER,
    TEAL,
    BookFigure,
    band,
    book_figure,
    plain_ticks,
)
from diffnotes.store import Record

SIGMA = "noise level σ"
NORM = "squared norm"
PURPLE = PALETTE[5]
COLOURS = {"x0": OCHRE, "eps": PINK, "F": TEAL, "v": PURPLE, "velocity": PURPLE}
LINES = {"x0": "-", "eps": "--", "F": "-.", "v": (0, (1, 1)), "velocity": (0, (1, 1))}
WORDS = {"x0": "x₀", "eps": "noise ε", "F": "F", "v": "velocity or v"}
MARKERS = {"VE": "o", "VP": "s", "FM": "^"}
BANDS = "Lines are means over seeds, bands reach from the lowest seed to the highest."
FLOOR = 1e-4  # of gaps: below it there is nothing to see
SMALL = 1e-5  # the same in units of the data variance


def _log_axes(axes: Axes, record: Record, prefix: str = "") -> None:
    axes.set(xscale="log", yscale="log", xlabel=SIGMA)
    axes.minorticks_off()  # hundreds of them, on a page that has its limit
    axes.axvline(readings.critical(record, prefix).mean(), color=GREY, lw=0.9, ls=(0, (4, 3)))
    axes.grid(True)


def _optimum(axes: Axes, record: Record, prefix: str = "") -> None:
    curve = record[f"{prefix}optimum"].mean(0)
    axes.plot(record["sigma"], np.where(curve > FLOOR, curve, np.nan), **OPTIMUM.curve())


@book_figure
def loss_gaps(*records: Record) -> BookFigure:
    """The gap of every network over the noise level, a column for each process: the paper's figure 2(a)."""
    figure = BookFigure(
        *records, size=(7.4, 0.2 + 2.8 * len(records)),
        key={**{word: COLOURS[target] for target, word in WORDS.items()}, "J*": OPTIMUM, "σ*": GREY},
        finding=joined(map(findings.peak_text, records)),
        shows="Loss gap J − J* at the last evaluation, as the mean squared distance to the exact denoiser at "
        "noised training images, summed over dimensions, for networks that predict what the key says under "
        f"the process of the title; dotted, J* itself. {BANDS}",
    )  # fmt: skip
    cells = figure.subplots(len(records), 3, squeeze=False, sharey="row", sharex="row")
    for row, record in zip(cells, records, strict=True):
        for axes, process in zip(row, MARKERS, strict=True):
            _optimum(axes, record)
            for kind in (one for one in readings.kinds(record) if one.startswith(f"{process} ")):
                _gap(axes, record, kind)
            _log_axes(axes, record)
            axes.set_title(f"{findings.name(record)},\n{process}")
            axes.tick_params(labelleft=True)
            axes.set_ylim(bottom=1e-2)
        row[0].set_ylabel(f"loss gap, {NORM}")
    return figure


def _gap(axes: Axes, record: Record, kind: str) -> None:
    target = kind.split()[1]
    values = readings.gap(record)[readings.place(record, kind)]
    band(axes, record["sigma"], values, {"color": COLOURS[target], "ls": LINES[target]})


@book_figure
def gap_parts(*records: Record) -> BookFigure:
    """The gap beside J*, the train/held-out gap, and what of it is surely failure."""
    figure = BookFigure(
        *records, size=(6.9, 0.2 + 2.8 * len(records)),
        key={"loss gap": TEAL, "of it surely failure": PINK, "held-out less training loss": HELD_OUT,
             "least loss on unseen draws, less J*": GREY, "J*": OPTIMUM},
        finding=joined(map(findings.parts_text, records)),
        shows="What the gap of two networks is made of. Surely failure is the training loss beyond what the "
        "best of the networks attains on images that it has not seen. Of the Gaussian the least loss on "
        "unseen draws is known: below the grey line no network can go that does not know its training set. "
        f"{BANDS}",
    )  # fmt: skip
    cells = figure.subplots(len(records), 2, squeeze=False, sharey="row")
    for row, record in zip(cells, records, strict=True):
        for axes, kind in zip(row, (BEST, EPS), strict=True):
            _parts(axes, record, kind)
            axes.set_title(f"{findings.name(record)}, {kind}")
            axes.tick_params(labelleft=True)
        row[0].set_ylabel(NORM)
    return figure


@book_figure
def gap_by_size(*records: Record) -> BookFigure:
    """The gap of one kind of network on larger and larger images, in units of the data variance."""
    figure = BookFigure(
        *records, size=(7.4, 3.0),
        key={"loss gap": TEAL, "held-out less training loss": HELD_OUT, "J*": OPTIMUM, "σ*": GREY},
        finding=joined(map(findings.size_text, records)),
        shows=f"A U-Net of the kind {BEST} on each training set, at the last evaluation, over the variance "
        f"of the data. {BANDS}",
    )  # fmt: skip
    cells = figure.subplots(1, len(records), squeeze=False, sharey="row")[0]
    for axes, record in zip(cells, records, strict=True):
        base, sigma = readings.base(record), record["sigma"]
        unit = record["variance"][:, None]
        band(axes, sigma, np.maximum(readings.gap(record)[base] / unit, SMALL), {"color": TEAL})
        apart = (readings.generalization(record)[base] / unit).mean(0)
        axes.plot(sigma, np.where(apart > SMALL, apart, np.nan), **HELD_OUT.curve())
        best = readings.share(record).mean(0)
        axes.plot(sigma, np.where(best > SMALL, best, np.nan), **OPTIMUM.curve())
        _log_axes(axes, record)
        short = images(record).removesuffix(" images")
        axes.set_title(f"{short},\n{findings.pixels(record)}")
        axes.tick_params(labelleft=True)
    cells[0].set(ylabel="share of the data variance")
    return figure


def _parts(axes: Axes, record: Record, kind: str) -> None:
    place, sigma = readings.place(record, kind), record["sigma"]
    sure = np.maximum(readings.failure(record)[place].mean(0), FLOOR)
    axes.fill_between(sigma, FLOOR, sure, color=PINK, alpha=0.3, lw=0)
    band(axes, sigma, np.maximum(readings.gap(record)[place], FLOOR), {"color": TEAL})
    apart = readings.generalization(record)[place]
    axes.plot(sigma, np.where(apart.mean(0) > FLOOR, apart.mean(0), np.nan), **HELD_OUT.curve())
    if "population" in record.arrays:
        known = (record["population"] - record["optimum"]).mean(0)
        axes.plot(sigma, np.where(known > FLOOR, known, np.nan), color=GREY, lw=1.2)
    _optimum(axes, record)
    _log_axes(axes, record)
    axes.set_ylim(bottom=1e-2)


@book_figure
def gap_quality(record: Record) -> BookFigure:
    """Whether a large gap goes with bad samples, by noise level: the paper's figure 2(b)."""
    figure = BookFigure(
        record, size=(6.9, 3.1),
        key={"single seeds": GREY, "mean over seeds": INK, **{word: COLOURS[k] for k, word in WORDS.items()}},
        finding=findings.relation_text(record),
        shows="Left, Spearman’s rank correlation over the networks between the gap at a noise level and the "
        "Fréchet distance of samples to held-out images; shaded, the levels near σ* and those to its left. "
        "Right, every network in the mean over seeds: the gap to the left of σ*, and the distance. Circles "
        "are VE, squares VP, triangles FM; the line is the distance of as many training images.",
    )  # fmt: skip
    over_noise, points = figure.subplots(1, 2)
    _correlation(over_noise, record)
    gaps = readings.over(readings.gap(record), readings.left(record)).mean(1)
    for kind, x, y in zip(readings.kinds(record), gaps, record["frechet"][:, :, -1].mean(1), strict=True):
        process, target = kind.split()
        points.plot(x, y, MARKERS[process], color=COLOURS[target], ms=6)
    points.axhline(record["floor"].mean(), color=INK, lw=0.8)
    points.set(xscale="log", yscale="log", xlabel="gap left of σ*, squared norm", ylabel="Fréchet distance")
    plain_ticks(points.xaxis)
    plain_ticks(points.yaxis)
    points.grid(True)
    return figure


def _correlation(axes: Axes, record: Record) -> None:
    found, sigma = readings.relation(record), record["sigma"]
    for where in (readings.near(record), readings.left(record)):
        shaded = sigma[where.any(0)]
        axes.axvspan(shaded.min(), shaded.max(), color=GREY, alpha=0.18, lw=0)
    axes.plot(sigma, found.T, color=GREY, lw=0.8)
    axes.plot(sigma, found.mean(0), color=INK)
    axes.axhline(0, color=INK, lw=0.8)
    axes.set(xscale="log", xlabel=SIGMA, ylabel="rank correlation", ylim=(-1.05, 1.05))


@book_figure
def memorizer(*records: Record) -> BookFigure:
    """A network on few images while it memorizes: its gap closes near sigma*, and its held-out loss rises."""
    figure = BookFigure(
        *records, size=(6.9, 0.2 + 2.8 * len(records)),
        key={"loss gap": TEAL, "held-out loss": HELD_OUT, "share of copies": SAMPLER, "J*": OPTIMUM},
        finding=joined(map(findings.memorizer_text, records)),
        shows="Left, near σ*, through training; the share of copies among samples is read on the right-hand "
        "axis. Right, over the noise level, where the held-out loss near σ* is least (thin) and at the end. "
        f"{BANDS}",
    )  # fmt: skip
    for row, record in zip(figure.subplots(len(records), 2, squeeze=False), records, strict=True):
        _through_training(row[0], record)
        _before_and_after(row[1], record)
        for axes in row:
            axes.set_title(images(record, "tiny"))
    return figure


def _through_training(axes: Axes, record: Record) -> None:
    seen, near = record.spec["batch"] * record["tiny_step"], readings.near(record, "tiny_")
    for name, style in (("tiny_gap", {"color": TEAL}), ("tiny_held_loss", HELD_OUT.curve())):
        values = readings.over(np.moveaxis(record[name], 1, 0), near).T
        band(axes, seen, values, {**style, "marker": ".", "ms": 5})
    axes.set(xscale="log", yscale="log", xlabel="images seen", ylabel=f"near σ*, {NORM}")
    plain_ticks(axes.yaxis)
    other = axes.twinx()
    other.plot(seen, record["tiny_copies"].mean(0), color=SAMPLER.color, ls=SAMPLER.line)
    other.set(ylim=(-0.02, 1.02), ylabel="share of copies")
    other.spines["right"].set_visible(True)


def _before_and_after(axes: Axes, record: Record) -> None:
    sigma, seeds, turn = record["sigma"], np.arange(len(record["tiny_gap"])), readings.turning(record)
    for name, style in (("tiny_gap", {"color": TEAL}), ("tiny_held_loss", HELD_OUT.curve())):
        for values, width in ((record[name][seeds, turn], 0.9), (record[name][:, -1], 1.8)):
            axes.plot(sigma, np.maximum(values.mean(0), FLOOR), **{**style, "lw": width})
    _optimum(axes, record, "tiny_")
    _log_axes(axes, record, "tiny_")
    axes.set_ylim(bottom=1e-2)
