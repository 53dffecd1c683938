"""Figures of chapter 2's supervision region: shells, their overlap, who lies on them, what a label adds."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from diffnotes.chapters.supervision import findings, readings
from diffnotes.chapters.supervision.readings import EXACT, LOOSE, SHARES, TIGHT
from diffnotes.show.labels import dataset, joined
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
    Role,
    book_figure,
    log_ticks,
    picture,
    ramp,
)
from diffnotes.store import Record

TIME = "time $t$"
BAND = "Lines are medians, bands hold the middle 80 % of images."
KINDS = {LOOSE: ("Proposition 3.2", PINK), TIGHT: ("√(2 log(2/δ))", OCHRE), EXACT: ("exact", TEAL)}
LEAST = 1e-12  # of probabilities that are drawn


def _columns(figure: BookFigure, records: tuple[Record, ...], rows: int = 1) -> np.ndarray:
    """Axes [row, record] over time, with the names of the data above."""
    cells = figure.subplots(rows, len(records), squeeze=False, sharex=True, sharey="row")
    for column, record in zip(cells.T, records, strict=True):
        column[0].set_title(dataset(record))
        column[-1].set(xlabel=TIME, xlim=(0, 1), xticks=(0, 0.5, 1))
        for axes in column:
            axes.tick_params(labelleft=True)  # on a phone each column stands alone
            axes.grid(True)
    return cells


def _band(axes: Axes, t: np.ndarray, values: np.ndarray, role: Role) -> None:
    low, middle, high = readings.quantiles(values)
    axes.fill_between(t, low, high, color=role.color, alpha=0.2, lw=0)
    axes.plot(t, middle, **role.curve())


@book_figure
def shell_widths(record: Record) -> BookFigure:
    """How wide the shell of Gaussian noise is, and how wide Proposition 3.2 has it."""
    place = readings.delta_place(record)
    figure = BookFigure(
        record, size=(6.9, 3.0), key=dict(KINDS.values()), finding=findings.widths_text(record),
        shows=f"Left, half width over radius √d at δ = {record['delta'][place]:g}; above 1 the shell is "
        "a whole ball. Right, the probability that noise is further out than the half width, over δ, for "
        f"each δ tried; above 1 the half width is too small. Below {LEAST:g} nothing is drawn. All by the "
        "chi distribution.",
    )  # fmt: skip
    left, right = figure.subplots(1, 2)
    for kind, (_, color) in KINDS.items():
        left.plot(record["dim"], readings.relative_width(record, kind)[:, place], color=color, marker=".")
    for kind in (LOOSE, TIGHT):
        excess = readings.excess(record, kind)
        shown = np.where(excess < LEAST, np.nan, excess)
        right.plot(record["dim"], shown, color=KINDS[kind][1], marker=".", lw=1)
    for axes, label in ((left, "half width / $\\sqrt{d}$"), (right, "probability outside / $\\delta$")):
        axes.axhline(1, color=INK, lw=0.8)
        axes.set(xscale="log", yscale="log", xlabel="dimension $d$", ylabel=label)
        axes.minorticks_off()  # hundreds of them, on a page that has its limit
        axes.set_xticks((1, 10, 100, 1000), ("1", "10", "100", "1,000"))
        axes.minorticks_off()
        axes.grid(True)
    log_ticks(left.yaxis, 0.03, 0.1, 0.3, 1, 3)
    return figure


@book_figure
def distance_ratios(*records: Record) -> BookFigure:
    """r* of noised training and held-out images over time, and what clean distances say of the latter."""
    figure = BookFigure(
        *records, size=(6.9, 2.9), finding=joined(map(findings.ratio_text, records)),
        key={"noised training": TRAIN, "noised held-out": HELD_OUT, "by clean distances": OCHRE},
        shows="The distance of noised images to the shell that fits best, in units of its radius (r*); at 1 "
        f"they lie on it. {BAND} The formula √(1 + ((1 − t)/t)² ℓ²/d) is the mean over held-out images at "
        "clean distances ℓ from the training set.",
    )  # fmt: skip
    cells = _columns(figure, records)[0]
    for axes, record in zip(cells, records, strict=True):
        for role, name in ((TRAIN, "train"), (HELD_OUT, "held_out")):
            _band(axes, record["t"], record[f"ratio_{name}"], role)
        axes.plot(record["t"], readings.analytic(record).mean(1), color=OCHRE, lw=1.2)
        axes.set_yscale("log")
        log_ticks(axes.yaxis, 1, 2, 5, 10)
    cells[0].set_ylabel("$r^\\star$")
    return figure


@book_figure
def shell_overlap(*records: Record) -> BookFigure:
    """C(t) of the nearest pair, without the nearest 1 % of images, and of the median image."""
    colors = {name: ramp(place, len(SHARES)) for place, name in enumerate(SHARES)}
    figure = BookFigure(
        *records, size=(6.9, 2.7), finding=joined(map(findings.overlap_text, records)),
        key=colors | {"the paper’s class, in latents": GREY},
        shows="How much the noised laws of an image and of its nearest other one overlap, C(t): 0 apart, 1 "
        "the same. The nearest pair of all gives the paper’s C(t); 99 % of images overlap less than the "
        "second curve says.",
    )  # fmt: skip
    cells, t = _columns(figure, records)[0], np.linspace(0.005, 0.999, 400)
    for axes, record in zip(cells, records, strict=True):
        axes.plot(t, readings.panda(t), color=GREY, ls="--")
        for name, share in SHARES.items():
            axes.plot(t, readings.overlap(readings.distance_at(record, share), t), color=colors[name])
    cells[0].set_ylabel("overlap $C(t)$")
    return figure


@book_figure
def collapse(*records: Record) -> BookFigure:
    """The posterior weight of the image that was noised, with the paper's condition and the overlap."""
    figure = BookFigure(
        *records, size=(6.9, 4.4), finding=joined(map(findings.collapse_text, records)),
        key={"noised training images": TRAIN, "t√d = (1 − t) ℓ": OCHRE, f"C = {readings.SEPARATE:g}": PINK},
        shows="Above, the posterior weight of the image that was noised; below, the effective number of "
        f"images behind a noised one. {BAND} Vertical lines, for the median distance ℓ of an image to its "
        "nearest other one: where the radius of the shells reaches (1 − t)ℓ, and where the overlap C reaches "
        "its threshold.",
    )  # fmt: skip
    cells = _columns(figure, records, 2)
    for (top, low), record in zip(cells.T, records, strict=True):
        _band(top, record["t"], record["own"], TRAIN)
        _band(low, record["t"], record["effective"], TRAIN)
        for axes in (top, low):
            axes.axvline(readings.criterion(record), color=OCHRE, lw=1.2)
            axes.axvline(readings.separated_until(record, 0.5), color=PINK, lw=1.2)
        low.set_yscale("log")
        low.minorticks_off()
    cells[0, 0].set_ylabel("weight of the true image")
    cells[1, 0].set_ylabel("effective number")
    return figure


@book_figure
def guidance_curve(*records: Record) -> BookFigure:
    """The exact gap of conditional and unconditional scores at noised training images: figure 2, its curve
    of training."""
    figure = BookFigure(
        *records, size=(6.9, 4.6), finding=joined(map(findings.guidance_text, records)),
        key={"noised training images": TRAIN, "paper, the same": GREY, "paper, network": SAMPLER},
        shows=f"Above, |s*(z | c) − s*(z)|, exact; the axis is linear below 10⁻⁴, as in the paper. {BAND} "
        "The paper’s medians, in latents of ImageNet, were read off its figure 2; those of its network are "
        "at states of its sampler. Below, the same as a squared gap of denoisers per dimension.",
    )  # fmt: skip
    cells = _columns(figure, records, 2)
    for (top, low), record in zip(cells.T, records, strict=True):
        _band(top, record["t"], readings.score_gap(record), TRAIN)
        top.plot(*readings.PAPER_EXACT.T, color=GREY, marker="s", ms=3, lw=0.8)
        top.plot(*readings.PAPER_LEARNED.T, color=SAMPLER.color, marker=SAMPLER.marker, ms=3, lw=0)
        top.set_yscale("symlog", linthresh=readings.NOTHING)
        top.set_yticks((0, 1e-4, 1e-2, 1, 100), ("0", "10⁻⁴", "0.01", "1", "100"))
        top.minorticks_off()
        _band(low, record["t"], record["gap"], TRAIN)
    cells[0, 0].set_ylabel("gap of scores")
    cells[1, 0].set_ylabel("gap of denoisers / $d$")
    return figure


@book_figure
def near_pairs(record: Record) -> BookFigure:
    """The nearest pairs of training images, which alone make the paper's C(t)."""
    pairs, far = record["pairs"], record["pair_distance"]
    figure = BookFigure(
        record, size=(6.9, 2.2), finding=findings.duplicates_text(record),
        shows="The nearest pairs of training images, one above the other, with their distances.",
    )  # fmt: skip
    cells = figure.subplots(2, len(pairs), squeeze=False)
    for column, pair, distance in zip(cells.T, pairs, far, strict=True):
        for axes, pixels, title in zip(column, pair, (f"{distance:.2f}", ""), strict=True):
            picture(axes, pixels, title)
    return figure
