"""Figures of loss against training compute, with and without the optimal loss (chapter 4)."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from diffnotes.chapters.scaling import findings, readings
from diffnotes.chapters.scaling.law_readings import PowerLaw, fitted
from diffnotes.chapters.scaling.readings import (
    AFTER,
    ALL,
    BEFORE,
    FRONTIER,
    PAPER_ALPHA,
    PAPER_RHO,
    RISE,
    TOTAL,
)
from diffnotes.show.style import (
    GREY,
    INK,
    OCHRE,
    OPTIMUM,
    PINK,
    TEAL,
    BookFigure,
    book_figure,
    plain_ticks,
    ramp,
)
from diffnotes.store import Record

COMPUTE = "training compute, FLOP"
LINEAR = "best linear denoiser"


def size_key(record: Record) -> dict[str, str]:
    """The colours of the ramp that the smallest and the largest network have."""
    count = len(record["width"])
    return {"smallest network": ramp(0, count), "largest network": ramp(count - 1, count)}


def three_levels(record: Record, curve: Record) -> list[int]:
    """One level where J* is next to nothing, the middle one of those like the paper's, and one where J* is
    nearly the whole variance."""
    part = readings.share(record)
    low = int(np.flatnonzero(part < readings.NEGLIGIBLE)[-1]) - 1
    return [max(low, 0), readings.middle(record, curve), int(np.flatnonzero(part > 0.9)[0])]


@book_figure
def scaling_losses(record: Record, curve: Record) -> BookFigure:
    """J and J - J* against compute at three noise levels."""
    figure = BookFigure(
        record, curve, size=(6.9, 5.0), finding=findings.losses_text(record),
        key={**size_key(record), "compute-efficient": INK, "optimal loss J*": OPTIMUM, LINEAR: GREY},
        shows="Loss J on training images per dimension (top) and its gap to the optimal loss J* (bottom) "
        "against floating-point operations of training, at three noise levels: one curve for each width, "
        "means over seeds, one point for each snapshot. Rings are points at which no other width or "
        "snapshot of the same seed has a smaller total loss for as little compute, for at least one seed. "
        "A missing dotted line lies below the axis.",
    )  # fmt: skip
    cells = figure.subplots(2, 3, sharex=True)
    for column, place in zip(cells.T, three_levels(record, curve), strict=True):
        part = readings.share(record)[place]
        column[0].set_title(f"σ = {record['sigma'][place]:.2g},\nJ* {_percent(part)} of variance")
        _curves(column[0], record, place, readings.losses(record))
        _guides(column[0], record, place)
        _curves(column[1], record, place, readings.gaps(record))
        column[1].set_xlabel(COMPUTE)
    cells[0, 0].set_ylabel("J per dimension")
    cells[1, 0].set_ylabel("J − J* per dimension")
    return figure


def _percent(part: float) -> str:
    return f"{100 * part:.0f} %" if part >= readings.NEGLIGIBLE else f"< {100 * readings.NEGLIGIBLE:.0f} %"


def _curves(axes: Axes, record: Record, place: int, values: np.ndarray) -> None:
    """Means over seeds of values [width, seed, snapshot, place] against compute."""
    cost, dimension = readings.compute(record), float(record["dimension"])
    found = values[..., place].mean(1) / dimension
    for k, one in enumerate(found):
        axes.plot(cost[k], one, ".-", ms=4, lw=1.2, color=ramp(k, len(found)))
    kept = readings.on_frontier(record).any(1)
    axes.plot(cost[kept], found[kept], "o", mfc="none", mec=INK, mew=0.8, ms=6, ls="none")
    axes.set(xscale="log", yscale="log", ylim=(found.min() / 1.12, found.max() * 1.12))
    plain_ticks(axes.yaxis)
    axes.grid(True)


def _guides(axes: Axes, record: Record, place: int) -> None:
    """J* and the loss of the best linear denoiser, where they are not far below the losses drawn."""
    low, high = axes.get_ylim()
    dimension = float(record["dimension"])
    floor, linear = (f(record)[place] / dimension for f in (readings.optimum, readings.gaussian))
    if floor > low / 3:
        low = min(low, floor / 1.12)
        axes.axhline(floor, color=OPTIMUM.color, ls=OPTIMUM.line)
    axes.axhline(linear, color=GREY, ls="--", lw=1)
    axes.set_ylim(low, high)
    plain_ticks(axes.yaxis)


@book_figure
def scaling_correlation(record: Record, curve: Record) -> BookFigure:
    """rho with compute over sigma, before and after J* is subtracted."""
    figure = BookFigure(
        record, curve, size=(6.9, 5.2), finding=findings.correlation_text(record, curve),
        key={"J": TEAL, "J − J*": PINK, "rise from the first to the second": INK,
             "J* as a part of the variance": GREY},
        shows="Top, ρ: minus Pearson's correlation of the logarithms of loss and training compute, over "
        "noise levels; 1 is a straight falling line. Bottom, what it rises by when J* is subtracted; the "
        "dash is the paper's rise at its noise level on ImageNet-64. Left over the compute-efficient points, "
        f"right over all. Bands are 95 % of {readings.RESAMPLES} bootstraps over seeds and widths. The "
        "shaded levels are those that may be like the paper's.",
    )  # fmt: skip
    cells = figure.subplots(2, 2, sharey="row", sharex=True)
    for (top, bottom), kind in zip(cells.T, (FRONTIER, ALL), strict=True):
        rho, sigma = readings.correlations(record, kind), record["sigma"]
        for axes, which, colour in ((top, BEFORE, TEAL), (top, AFTER, PINK), (bottom, RISE, INK)):
            _banded(axes, sigma, rho[:, which, :TOTAL], colour, "--" if which == AFTER else "-")
        top.plot(sigma, readings.share(record), color=GREY, ls=":", lw=1.2)
        top.set(title="compute-efficient points" if kind == FRONTIER else kind)
        bottom.set(xscale="log", xlabel="noise level σ")
        bottom.minorticks_off()
        ends = _like_the_papers(record, curve)
        bottom.plot(ends, [PAPER_RHO[1] - PAPER_RHO[0]] * 2, color=GREY, ls="--")
        for axes in (top, bottom):
            axes.axvspan(*ends, color=GREY, alpha=0.15, lw=0)
            axes.tick_params(labelleft=True)
            axes.grid(True)
    cells[0, 0].set_ylabel("ρ, and J* / variance")
    cells[1, 0].set_ylabel("rise of ρ")
    return figure


def _banded(axes: Axes, x: np.ndarray, found: np.ndarray, colour: str, line: str) -> None:
    """Values [value, low, high] by x: a line in its band."""
    axes.fill_between(x, found[1], found[2], color=colour, alpha=0.2, lw=0)
    axes.plot(x, found[0], color=colour, ls=line)


def _like_the_papers(record: Record, curve: Record) -> tuple[float, float]:
    """From where to where the noise levels lie that may be like the paper's."""
    sigma = record["sigma"][readings.comparable(record, curve)]
    step = float(record["sigma"][1] / record["sigma"][0]) ** 0.5
    return float(sigma[0]) / step, float(sigma[-1]) * step


@book_figure
def scaling_wrong(record: Record, curve: Record) -> BookFigure:
    """rho and exponent when a wrong J* is subtracted."""
    places = [*readings.comparable(record, curve), TOTAL]
    colours = [ramp(k, len(places) - 1) for k in range(len(places) - 1)] + [INK]
    names = [findings.level(record, place) for place in places]
    figure = BookFigure(
        record, curve, size=(6.9, 3.1), finding=findings.wrong_text(record, curve),
        key=dict(zip(names, colours, strict=True)),
        shows="ρ with compute (left) and the exponent of a straight line through the logarithms (right) of "
        "J less a multiple of J*, over the compute-efficient points. At 0 nothing is subtracted, at 1 the "
        "right J*. A curve ends where some difference is no longer positive.",
    )  # fmt: skip
    factors = np.linspace(0, 2, 81)
    rho, exponent = readings.by_floor(record, factors, places)
    for axes, values in zip(figure.subplots(1, 2), (rho, exponent), strict=True):
        for k, colour in enumerate(colours):
            axes.plot(factors, values[:, k], color=colour, ls="--" if places[k] == TOTAL else "-")
        axes.axvline(1, color=GREY, lw=0.8)
        axes.set(xlabel="J* subtracted, as a multiple", xlim=(0, 2))
        axes.grid(True)
    figure.axes[0].set_ylabel("ρ")
    figure.axes[1].set_ylabel("exponent α")
    return figure


@book_figure
def scaling_laws(record: Record) -> BookFigure:
    """The total loss with the fitted laws, and its gap beside the paper's law."""
    figure = BookFigure(
        record, size=(6.9, 3.2), finding=findings.laws_text(record),
        key={**size_key(record), "law with the floor J*": PINK, "law with a free floor": TEAL,
             "law without a floor": OCHRE, "optimal loss J*": OPTIMUM, "paper’s law, only on paper": GREY},
        shows="Left, EDM's total loss per dimension at the compute-efficient points of all seeds, and "
        "power laws fitted to them. Right, the gap to J* over that at the least of this compute, with the "
        "law of floor J*; and the paper's law for ImageNet-64, which needs no unit of compute when it is "
        "read as a factor.",
    )  # fmt: skip
    left, right = figure.subplots(1, 2)
    _points(left, record, readings.losses(record))
    log_f = readings.cloud(record).log_f
    span = np.exp(np.linspace(log_f.min(), log_f.max(), 100))
    for colour, line, floor in _floors(record):
        left.plot(span, _law(record, floor)(span), color=colour, ls=line)
    known = readings.optimum(record)[TOTAL]
    left.axhline(known, color=OPTIMUM.color, ls=OPTIMUM.line)
    left.set(yscale="log", xscale="log", xlabel=COMPUTE, ylabel="total loss J per dimension")
    law = _law(record, known)
    start = law(span[:1])[0] - known
    _points(right, record, readings.gaps(record) / start)
    right.plot(span, (law(span) - known) / start, color=PINK)
    right.plot(span, (span / span[0]) ** PAPER_ALPHA, color=GREY, ls="--")
    right.set(yscale="log", xscale="log", xlabel=COMPUTE, ylabel="total J − J*, over its start")
    for axes in (left, right):
        plain_ticks(axes.yaxis)
        axes.grid(True)
    return figure


def _floors(record: Record) -> list[tuple[str, str, float | None]]:
    """Colour, line and floor of the three laws."""
    known = float(readings.optimum(record)[TOTAL])
    return [(PINK, "-", known), (TEAL, "--", None), (OCHRE, ":", 0.0)]


def _law(record: Record, floor: float | None) -> PowerLaw:
    points = readings.cloud(record)
    return fitted(points.log_f, points.loss[TOTAL], floor)


def _points(axes: Axes, record: Record, values: np.ndarray) -> None:
    """The total at the compute-efficient points, in the colours of their widths."""
    kept, cost = readings.on_frontier(record), readings.compute(record)
    for k, rows in enumerate(kept):
        seeds, stops = np.nonzero(rows)
        axes.plot(cost[k, stops], values[k, seeds, stops, TOTAL], ".", color=ramp(k, len(kept)), ms=5)
