"""Figures of `digits_trained`: where the sampler's states lie, and what guidance does to the gaps."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from diffnotes.chapters.checks import Nothing
from diffnotes.chapters.gap import trained_readings as readings
from diffnotes.chapters.gap.trained_readings import HELD_OUT, SAMPLER
from diffnotes.show import style
from diffnotes.show.labels import minus
from diffnotes.show.style import INK, TRAIN, BookFigure, band, book_figure, log_ticks
from diffnotes.store import Record

ROLES = (TRAIN, style.HELD_OUT, style.SAMPLER)  # in the order of kinds
LABELS = ("noised training", "noised held-out", "states")
BANDS = "Lines are means over seeds, bands reach from the lowest seed to the highest."


@book_figure
def overlap_of_states(record: Record) -> BookFigure:
    """Distances of noisy images at the level that is judged, and how much kinds overlap at all levels."""
    figure = BookFigure(
        record, size=(6.9, 3.0), finding=_shares_text(record),
        key=dict(zip(LABELS, ROLES, strict=True)),
        shows="Left, share of noisy images within a distance of the nearest training image, where noise "
        f"alone is 1, at σ = {readings.most(record):.2g}, all seeds together; between the thin lines "
        "lie 98 % of noised training images. Middle, share of each kind between these lines, over the "
        "noise level; right, area under the ROC curve by which the distance tells each kind from noised "
        f"training images (0.5: not at all). Vertical lines: dashed, the level of the left panel, where the "
        f"held-out error of the pilot has risen most; solid, the one that is judged. {BANDS}",
    )  # fmt: skip
    distances, shares, areas = figure.subplots(1, 3)
    _distances(distances, record)
    for kind in (HELD_OUT, SAMPLER):
        band(shares, record["level"], record["share"][:, :, kind], ROLES[kind].curve())
        band(areas, record["level"], record["area"][:, :, kind], ROLES[kind].curve())
    for axes, title in ((shares, "share between the lines"), (areas, "area under the ROC")):
        axes.axvline(readings.most(record), color=INK, lw=0.8, ls="--")
        if (judged := _judged(record)) is not None:
            axes.axvline(judged, color=INK, lw=0.8)
        axes.set(xscale="log", xlabel="noise level $\\sigma$", title=title)
        log_ticks(axes.xaxis, 0.05, 0.2, 1)
        axes.grid(True)
    shares.yaxis.set_major_formatter(PercentFormatter(1, 0))
    shares.set_ylim(-0.03, 1)
    areas.set_ylim(0.48, 1.02)
    return figure


def _distances(axes: Axes, record: Record) -> None:
    for kind, role in enumerate(ROLES):
        found = np.sort(record["distance"][:, kind].ravel())
        axes.plot(found, (np.arange(len(found)) + 0.5) / len(found), **role.curve())
    for end in record["range"].mean(0):
        axes.axvline(end, color=INK, lw=0.8)
    axes.yaxis.set_major_formatter(PercentFormatter(1, 0))
    axes.set(xlabel="distance / $\\sigma\\sqrt{d}$", title="share within")
    axes.set_xlim(right=float(np.quantile(record["distance"], 0.99)))
    axes.grid(True)


def _judged(record: Record) -> float | None:
    """The level that is judged, if there is one."""
    try:
        return readings.level(record)
    except Nothing:
        return None


def _shares_text(record: Record) -> str:
    """How near to training images states and noised held-out images lie at the level of the left panel, and
    how much they overlap at the level that is judged."""
    near = np.median(record["distance"], 2).mean(0)
    head = (
        f"At σ = {readings.most(record):.2g}, the median distance is {near[SAMPLER]:.1f} for states and "
        f"{near[HELD_OUT]:.1f} for noised held-out images."
    )
    level = _judged(record)
    if level is None:
        return f"{head} Noised held-out images overlap with noised training images at no level to judge."
    share, area = (
        [100 * readings.share(record, kind)[0] for kind in (SAMPLER, HELD_OUT)],
        [readings.area(record, kind)[0] for kind in (SAMPLER, HELD_OUT)],
    )
    return (
        f"{head} At σ = {level:.2g}, {share[0]:.0f} % of states and {share[1]:.0f} % of noised held-out "
        f"images lie among noised training images; the area under the ROC curve is {area[0]:.3f} and "
        f"{area[1]:.3f}."
    )


@book_figure
def guidance_of_networks(record: Record) -> BookFigure:
    """The gap of samples and the peak of the denoising gap over the weight of guidance."""
    samples, denoising = readings.sample_gap(record), readings.peak(record)
    figure = BookFigure(
        record, size=(6.9, 2.9), finding=_guidance_text(record, samples, denoising),
        shows="Relative gap of the Fréchet distances of samples (left) and the largest denoising gap over "
        "noise levels (right), over the weight w of guidance by the network’s own snapshot after "
        f"{100 * record.spec['early']:.0f} % of its training. {BANDS}",
    )  # fmt: skip
    titles = ("samples", "denoising, largest $G$")
    for axes, gap, title in zip(figure.subplots(1, 2), (samples, denoising), titles, strict=True):
        band(axes, record["weight"], gap, style.SAMPLER.curve(marker="o", markersize=4))
        axes.set(xlabel="weight of guidance $w$", title=title)
        axes.grid(True)
    figure.axes[0].set_ylabel("relative gap")
    return figure


def _guidance_text(record: Record, samples: np.ndarray, denoising: np.ndarray) -> str:
    """Both gaps without guidance, at moderate and at the strongest guidance."""
    places = (0, readings.moderate(record), -1)
    weights = ", ".join(f"{record['weight'][place]:g}" for place in places)
    found = [
        f"{name} {', '.join(f'{gap[:, place].mean():.2f}' for place in places)}"
        for name, gap in (("samples", samples), ("the largest denoising gap", denoising))
    ]
    return minus(f"At w = {weights}, the gap of {found[0]}; {found[1]}.")
