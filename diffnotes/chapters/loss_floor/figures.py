"""Figures of chapter 4: the optimal loss at every noise level, the area under it, and the size of the set."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes

from diffnotes.chapters.loss_floor import readings
from diffnotes.chapters.loss_floor.readings import Curve
from diffnotes.show.labels import minus
from diffnotes.show.style import (
    INK,
    OCHRE,
    PINK,
    TEAL,
    BookFigure,
    Role,
    book_figure,
    log_ticks,
    plus_minus,
    ramp,
)
from diffnotes.store import Record

COLOURS = (TEAL, PINK, OCHRE)  # of the training sets, in the order in which they are given
MARKERS = "osD"
SIGMA = "noise level σ (pixels in [−1, 1])"
TICKS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100)
HEIGHTS = (0.38, 0.5, 0.22)  # of the words inside neighbouring areas, as parts of their peaks
BOTTOM = 1e-6  # of a logarithmic axis of parts of the variance


def _styled(records: tuple[Record, ...]) -> list[tuple[Curve, str, str]]:
    """Each curve with its colour and marker."""
    curves = map(readings.curve, records)
    return list(zip(curves, COLOURS[: len(records)], MARKERS[: len(records)], strict=True))


def _key(records: tuple[Record, ...]) -> dict[str, Role | str]:
    return {one.name: Role(one.name, colour, "-", marker) for one, colour, marker in _styled(records)}


@book_figure
def loss_curves(*records: Record) -> BookFigure:
    """J*(sigma) as a share of the data variance, with the Gaussian of the same covariance and sigma*."""
    each = [f"{c.critical[0]:.2f} for {c.dataset}" for c, _, _ in _styled(records)]
    figure = BookFigure(
        *records,
        finding=f"The optimal loss is below 1 % of the data variance up to a critical σ* of {_listed(each)}.",
        shows="Solid: J*(σ) over the data variance, twice; the band is two standard errors, often thinner "
        "than the line. Dotted: a Gaussian with the same covariance. Marks: σ*.",
        key=_key(records),
        size=(6.8, 3.1),
    )
    linear, log = figure.subplots(1, 2)
    for curve, colour, marker in _styled(records):
        _curve(linear, curve, colour, marker)
        _curve(log, curve, colour, marker)
    linear.set(xscale="log", xlabel=SIGMA, ylabel="J*(σ) / data variance", ylim=(-0.02, 1.04))
    linear.minorticks_off()
    log.set(xscale="log", yscale="log", xlabel=SIGMA, ylim=(BOTTOM, 1.5))
    log.minorticks_off()
    for axes in (linear, log):
        axes.grid(True)
    return figure


def _curve(axes: Axes, curve: Curve, colour: str, marker: str) -> None:
    share, spread = curve.share, curve.share_error
    assert curve.gaussian is not None
    axes.fill_between(
        curve.sigma,
        np.maximum(share - 2 * spread, BOTTOM),
        share + 2 * spread,
        color=colour,
        alpha=0.25,
        lw=0,
    )
    axes.plot(curve.sigma, np.maximum(share, 1e-12), color=colour, label=curve.name)
    axes.plot(curve.sigma, curve.gaussian / curve.variance, color=colour, ls=":", lw=1.2)
    axes.plot(curve.critical[0], curve.shares[0], marker, color=colour, ms=6)


def _listed(parts: list[str]) -> str:
    """'a, b and c'."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


@book_figure
def area(*records: Record) -> BookFigure:
    """The sum rule: the area under J*/sigma^2 over ln sigma is ln N, and how it fills from large sigma on."""
    figure = BookFigure(
        *records,
        finding=_areas(list(map(readings.curve, records))),
        shows=f"Left: nats told per unit of ln σ{'; each area is one training set' * (len(records) > 1)}. "
        "Right: what has been told from large σ down to this one, and ln N as a thin line. Dotted: a "
        "Gaussian with the same covariance, which never stops telling; its mark is where it passes ln N.",
        key=_key(records),
        size=(6.8, 3.3),
    )
    left, right = figure.subplots(1, 2)
    for place, (curve, colour, marker) in enumerate(_styled(records)):
        _filled(left, curve, colour, place)
        _told(right, curve, colour, marker)
    low, high = _span([curve for curve, _, _ in _styled(records)])
    left.set(xscale="log", xlabel=SIGMA, ylabel="J*(σ) / σ²", xlim=(low, high), ylim=(0, None))
    left.minorticks_off()
    right.set(xscale="log", xlabel=SIGMA, ylabel="nats told", xlim=(low, high))
    right.minorticks_off()
    right.set_ylim(0, 1.25 * max(curve.entropy for curve, _, _ in _styled(records)))
    left.grid(True)
    right.grid(True)
    return figure


def _areas(curves: list[Curve]) -> str:
    """How near the areas are to ln N; of a single curve, both numbers and the noise levels."""
    if len(curves) > 1:
        off = max(abs(one.area - one.entropy) for one in curves)
        return f"The area under J*/σ² is ln N, to {off:.3f} nats at most."
    one = curves[0]
    return (
        f"From σ = {one.sigma[0]:g} to {one.sigma[-1]:g}, the area of {one.name} is {one.area:.2f} nats; "
        f"ln N is {one.entropy:.2f}."
    )


def _span(curves: list[Curve]) -> tuple[float, float]:
    """From where 0.1 % of the first area is left to where all but 1 % of the last is to come."""
    low = min(float(np.interp(-0.999 * c.area, -c.told(), c.sigma)) for c in curves)
    high = max(float(np.interp(-0.01 * c.area, -c.told(), c.sigma)) for c in curves)
    return low, high


def _filled(axes: Axes, curve: Curve, colour: str, place: int) -> None:
    logs, height = readings.smooth(np.log(curve.sigma), curve.rate)
    axes.fill_between(np.exp(logs), 0, height, color=colour, alpha=0.18, lw=0)
    axes.plot(np.exp(logs), height, color=colour)
    y = HEIGHTS[place % len(HEIGHTS)] * height.max()
    inside = np.exp(logs[height > y])
    middle = float(np.sqrt(inside[0] * inside[-1]))
    style: Any = {"color": colour, "ha": "center", "va": "center", "fontsize": 10, "weight": "bold"}
    axes.text(middle, y, f"ln N =\n{curve.entropy:.2f}", **style)


def _told(axes: Axes, curve: Curve, colour: str, marker: str) -> None:
    axes.plot(curve.sigma, curve.told(), color=colour)
    axes.plot(curve.sigma, curve.told_by_gaussian(), color=colour, ls=":", lw=1.2)
    axes.axhline(curve.entropy, color=colour, lw=0.7)
    axes.plot(curve.gaussian_sigma, curve.entropy, marker, color=colour, ms=6)


@book_figure
def size_curves(sizes: Record, whole: Record) -> BookFigure:
    """J*(sigma) of parts of a training set beside that of the whole set, and sigma* over N."""
    curves = [*readings.parts(sizes), readings.curve(whole)]
    power, error = readings.power_of_critical(curves)
    figure = BookFigure(
        sizes,
        whole,
        finding=f"From N = {curves[0].n:,} to {curves[-1].n:,} images, the critical σ goes as a power "
        f"{minus(plus_minus(power, error))} of N.",
        shows=f"Left: the optimal loss of random parts of {curves[0].dataset} and of all of it. Right: "
        "where it is 1 % of the variance (dots, with two standard errors), and the Gaussian estimate of that "
        "place (crosses). There is one part of each size, and smaller parts lie inside larger ones: errors, "
        "that of the power too, are of the draws, and do not hold which images are in a part.",
        key={f"N = {one.n:,}": ramp(k, len(curves)) for k, one in enumerate(curves)},
        size=(6.8, 3.0),
    )
    left, right = figure.subplots(1, 2)
    for k, one in enumerate(curves):
        colour = ramp(k, len(curves))
        left.plot(one.sigma, one.share, color=colour)
        right.errorbar(one.n, one.critical[0], 2 * one.critical_error, fmt="o", color=colour, ms=6, capsize=3)
        right.plot(one.n, one.gaussian_sigma, "x", color=colour, ms=6)
    n = list(dict.fromkeys(one.n for one in curves))
    every = [one.n for one in curves]
    right.plot(every, [one.critical[0] for one in curves], color=INK, lw=0.8, zorder=0)
    right.plot(every, [one.gaussian_sigma for one in curves], color=INK, lw=0.8, ls=":", zorder=0)
    left.set(xscale="log", xlabel=SIGMA, ylabel="J*(σ) / data variance", ylim=(-0.02, 1.04))
    left.minorticks_off()
    left.set_xlim(curves[-1].at(1e-4), curves[0].at(0.97))
    right.set(xscale="log", xlabel="images N", ylabel="σ", ylim=(0, None))
    right.minorticks_off()
    log_ticks(left.xaxis, *(tick for tick in TICKS if curves[-1].at(1e-4) <= tick <= curves[0].at(0.97)))
    log_ticks(right.xaxis, *n)
    right.set_xticks(n, [f"{one:,}" for one in n], fontsize=8)
    for axes in (left, right):
        axes.grid(True)
    return figure
