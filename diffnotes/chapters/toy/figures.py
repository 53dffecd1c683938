"""The figures of chapter 1, the 2D toy model: record in, picture out."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.colors import BoundaryNorm, Normalize
from matplotlib.image import AxesImage

from diffnotes.chapters.toy.tables import AUTHORS_PEAKS, DESIGNS
from diffnotes.show.style import (
    BLUE,
    FADE,
    GREEN,
    INK,
    ORANGE,
    PURPLE,
    RAMP,
    BookFigure,
    book_figure,
    log_ticks,
)
from diffnotes.store import Record

SIGMA = "noise level $\\sigma$"
GAP = "relative gap $G$"
LEVELS = (0, 0.1, 0.25, 0.5, 0.75, 1, 1.5, 2)  # of the gap maps; far out the gap exceeds 10


# --- figure 3: displacements ---


@book_figure
def flow_field(record: Record) -> BookFigure:
    """D(x) - x at three noise levels: the optimal predictor above, the one with model error below."""
    delta = record.spec["delta"]
    alt = f"Flow lines of the optimal predictor end on training points; with delta {delta:g} they fade."
    figure = BookFigure(record, alt=alt, size=(6.7, 4.2))
    axes = figure.subplots(2, 3, sharex=True, sharey=True)
    for row, name in enumerate(("optimal, $\\delta = 0$", f"$\\delta = {delta:g}$")):
        for column, sigma in enumerate(record["flow_sigma"]):
            image = _flow(axes[row, column], record, row, column)
            axes[0, column].set_title(f"$\\sigma = {sigma:.3g}$")
        axes[row, 0].set_ylabel(name)
    bar = figure.colorbar(image, ax=axes, shrink=0.7, pad=0.02, extend="max")
    bar.set_label("length of the displacement $|D(x,\\sigma) - x|$")
    return figure


def _flow(axes: Axes, record: Record, row: int, column: int) -> AxesImage:
    axis, flow = record["flow_axis"].astype(float), record["flow"][row, column].astype(float)
    length = np.sqrt(np.square(flow).sum(-1))
    flow[length < 0.2] = np.nan  # lines end where nothing moves, instead of trembling
    image = field(axes, axis, length, norm=Normalize(0, 12))
    u, v = flow[..., 0], flow[..., 1]
    lines = axes.streamplot(axis, axis, u, v, density=0.7, color=INK, linewidth=0.6, arrowsize=0.7).lines
    lines.set_segments([line[np.r_[: len(line) - 1 : 4, -1]] for line in lines.get_segments()])
    dots(axes, record["flow_guess"][row, column], s=2, color=GREEN, rasterized=True, zorder=3)
    dots(axes, record["flow_train"], s=26, color=ORANGE, edgecolor=INK, linewidth=0.6, zorder=4)
    return image


def field(axes: Axes, axis: np.ndarray, values: np.ndarray, **style: Any) -> AxesImage:
    """A field on a square grid as colour that fades into the page."""
    half = (axis[1] - axis[0]) / 2
    low, high = float(axis[0] - half), float(axis[-1] + half)
    style = {"origin": "lower", "cmap": FADE, "interpolation": "bilinear", **style}
    image = axes.imshow(values, extent=(low, high, low, high), **style)
    axes.set(xlim=(axis[0], axis[-1]), ylim=(axis[0], axis[-1]), xticks=(-10, 0, 10), yticks=(-10, 0, 10))
    for spine in axes.spines.values():
        spine.set_visible(True)
    return image


def dots(axes: Axes, points: np.ndarray, **style: Any) -> PathCollection:
    """Points [n, 2] as dots."""
    return axes.scatter(points[:, 0], points[:, 1], **style)


# --- figure 4: gap over noise level ---


@book_figure
def gap_curves(record: Record) -> BookFigure:
    """Gap over sigma for each delta, with what 50 draws scatter, and the authors' peaks."""
    alt = "The gap peaks at intermediate noise, and the higher the smaller the model error."
    figure = BookFigure(record, alt=alt, size=(6.9, 3.6))
    left, right = figure.subplots(1, 2, width_ratios=(2, 1))
    for index, delta in enumerate(record["delta"]):
        color = _ramp(index, len(record["delta"]))
        left.fill_between(record["sigma"], *record["band"][index, 0], color=color, alpha=0.25, linewidth=0)
        left.plot(record["sigma"], record["gap"][index], color=color, label=f"{delta:g}")
    _authors(left, record)
    _sigma_axis(left)
    left.legend(title="model error $\\delta$", loc="upper left", reverse=True)
    _designs(right, record)
    return figure


def _authors(axes: Axes, record: Record) -> None:
    """The authors' peaks, where the record has their deltas and their ten points."""
    known = [(s, AUTHORS_PEAKS.get(d)) for s, d in zip(record["peak_sigma"], record["delta"], strict=True)]
    marks = np.array([(s, p) for s, p in known if p is not None and record.spec["n_train"] == 10])
    if len(marks):
        dots(axes, marks, marker="x", s=40, color=INK, linewidth=1.4, zorder=5)
        line = {"arrowstyle": "-", "color": INK, "linewidth": 0.7}
        style: Any = {"textcoords": "offset points", "va": "center", "fontsize": 9, "arrowprops": line}
        axes.annotate("authors’\n50 draws", marks[marks[:, 1].argmax()], xytext=(22, 4), **style)


def _designs(axes: Axes, record: Record) -> None:
    """Peaks from 50 draws over the exact peak: the central 99 % for three ways to draw the noise."""
    place, exact = np.arange(len(record["delta"])), record["peak_exact"]
    for design, (color, shift) in enumerate(zip((BLUE, PURPLE, GREEN), (-0.2, 0, 0.2), strict=True)):
        low, high = np.quantile(record["repeat_peaks"][:, design], (0.005, 0.995), axis=1) / exact
        axes.vlines(place + shift, low, high, color=color, linewidth=4, label=DESIGNS[design])
    if record.spec["n_train"] == 10:
        authors = np.array([AUTHORS_PEAKS.get(delta, np.nan) for delta in record["delta"]])
        axes.scatter(place, authors / exact, marker="x", s=40, color=INK, linewidth=1.4, zorder=5)
    axes.axhline(1, color=INK, linewidth=0.8)
    axes.set(xlabel="model error $\\delta$", ylabel="peak from 50 draws / exact peak", ylim=(0, 5))
    axes.set_xticks(place, [f"{delta:g}" for delta in record["delta"]])
    axes.legend(title="noise draws", loc="upper right")


def _ramp(index: int, count: int) -> tuple[float, float, float, float]:
    return RAMP(index / max(1, count - 1))


def _sigma_axis(axes: Axes) -> None:
    axes.set(xscale="log", xlim=(0.02, 20), xlabel=SIGMA, ylabel=GAP)
    log_ticks(axes.xaxis, 0.1, 1, 10)


# --- figure 5: where a point counts as inside the manifold ---


@book_figure
def gap_contours(record: Record) -> BookFigure:
    """The gap of a clean point anywhere in the plane, with the 0.5 line and the validation points."""
    alt = "The region with a gap below one half shrinks from a ring to islands as the model error falls."
    figure = BookFigure(record, alt=alt, size=(6.7, 2.9))
    axes = figure.subplots(1, 3, sharey=True)
    norm = BoundaryNorm(LEVELS, FADE.N, extend="both")
    axis = record["map_axis"]
    for panel, delta, gap in zip(axes, record["map_delta"], record["map_gap"], strict=True):
        image = field(panel, axis, gap, norm=norm, interpolation_stage="data")
        panel.contour(axis, axis, gap, levels=[0.5], colors=[INK], linewidths=1.6)
        dots(panel, record["train"], s=18, color=ORANGE, edgecolor=INK, linewidth=0.5, label="training")
        dots(panel, record["val"], s=26, marker="D", facecolor="none", edgecolor=INK, label="validation")
        panel.set_title(f"$\\delta = {delta:g}$")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    bar = figure.colorbar(image, ax=axes, pad=0.02, ticks=LEVELS, format="%g")
    bar.set_label(f"{GAP}, line at 0.5")
    return figure


@book_figure
def along_circle(record: Record) -> BookFigure:
    """The gap along the circle: zero at training points, largest midway."""
    alt = "Along the circle the gap is zero at training points and largest midway between them."
    figure = BookFigure(record, alt=alt)
    axes = figure.subplots()
    for index, (delta, gap) in enumerate(zip(record["map_delta"], record["along_gap"], strict=True)):
        degrees = np.degrees(record["along_angle"])
        axes.plot(degrees, gap, color=_ramp(index, 3), label=f"$\\delta = {delta:g}$")
    low = -0.07 * record["along_gap"].max()
    for name, points, style in (
        ("training", record["train"], {"marker": "|", "color": ORANGE, "s": 60}),
        ("validation", record["val"], {"marker": "D", "facecolor": "none", "edgecolor": INK, "s": 18}),
    ):
        angle = np.degrees(np.arctan2(points[:, 1], points[:, 0])) % 360
        dots(axes, np.stack([angle, np.full(len(angle), low)], axis=1), label=name, **style)
    axes.axhline(0.5, color=INK, linewidth=0.8, linestyle="--")
    axes.set(xlabel="angle on the circle (degrees)", ylabel=GAP, xlim=(0, 360), xticks=range(0, 361, 60))
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


# --- density, random support, guidance ---


@book_figure
def density(record: Record) -> BookFigure:
    """More training points on the same circle: the gap falls and moves to smaller noise."""
    alt = f"With more training points the gap falls at the fixed model error {record.spec['delta']:g}."
    figure = BookFigure(record, alt=alt, size=(6.0, 3.2))
    axes = figure.subplots()
    count = len(record["density_n"])
    for index, (n, gap) in enumerate(zip(record["density_n"], record["density_gap"], strict=True)):
        color, top = _ramp(count - 1 - index, count), record["density_peak"][index]
        axes.plot(record["sigma"], gap, color=color, label=f"{n}: {top:.3f}")
        axes.plot(record["density_sigma"][index], top, "o", color=color, markersize=4)
    _sigma_axis(axes)
    axes.legend(title="training points: peak", loc="upper left")
    return figure


@book_figure
def random_support(record: Record) -> BookFigure:
    """Points at random angles: the mean gap over many sets of points, and how much the sets differ."""
    alt = "For random points the gap has the same shape, and its height varies much from set to set."
    figure = BookFigure(record, alt=alt)
    axes = figure.subplots(1, 3, sharey=True)
    sigma, spread = record["random_sigma"], record["random_spread"]
    for index, (panel, delta) in enumerate(zip(axes, record["random_delta"], strict=True)):
        fill: Any = {"color": _ramp(index, 3), "linewidth": 0}
        mean, error = record["random_gap"][index], 2 * record["random_stderr"][index]
        panel.fill_between(sigma, *spread[:, index], alpha=0.2, label="80 % of sets", **fill)
        panel.fill_between(sigma, mean - error, mean + error, alpha=0.5, label="mean ± 2 s.e.", **fill)
        panel.plot(sigma, record["random_first"][index], color=INK, lw=1, ls="--", label="first set")
        panel.set(xscale="log", xlabel=SIGMA, title=f"$\\delta = {delta:g}$")
        log_ticks(panel.xaxis, 0.1, 1, 10)
    axes[0].set_ylabel(GAP)
    axes[0].legend(loc="upper left")
    return figure


@book_figure
def autoguidance(record: Record) -> BookFigure:
    """Guiding with a worse model (larger delta) widens the gap, as a smaller delta would."""
    figure = BookFigure(record, alt="The gap grows with the guidance weight.")
    left, right = figure.subplots(1, 2, width_ratios=(1.5, 1))
    weights = record["guidance_weight"]
    for index, weight in list(enumerate(weights))[::2]:
        color = _ramp(index, len(weights))
        left.plot(record["sigma"], record["guidance_gap"][index], color=color, label=f"{weight:.1f}")
    _sigma_axis(left)
    left.legend(title="guidance weight $w$", loc="upper left", reverse=True)
    right.plot(weights, record["guidance_peak"], color=BLUE, label="equispaced points")
    bars: Any = {"color": ORANGE, "marker": "o", "linestyle": "none", "capsize": 3}
    means, errors = record["random_guided"], record["random_guided_stderr"]
    right.errorbar((0, 1, 2), means, 2 * errors, label="random points,\n± 2 s.e.", **bars)
    right.set(xlabel="guidance weight $w$", ylabel="peak of the gap")
    right.set_ylim(0, 1.35 * record["guidance_peak"].max())
    right.legend(loc="upper left")
    return figure


# --- law of the sampler's states ---


@book_figure
def sampler_law(record: Record) -> BookFigure:
    """States of the sampler against noised data: where, and how far from the nearest training point."""
    alt = "Sampler states lie farther from training points than noised training data, as the exact law says."
    figure = BookFigure(record, alt=alt, size=(6.7, 5.2))
    axes = figure.subplots(2, 3, sharey="row")
    for column, delta in enumerate(record["law_delta"]):
        _states(axes[0, column], record, column)
        _shares(axes[1, column], record, column)
        axes[0, column].set_title(f"$\\delta = {delta:g}$")
    axes[1, 0].set_ylabel("share within a distance")
    axes[1, 1].set_xlabel("distance to the nearest training point")
    figure.legend(*axes[1, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


def _states(axes: Axes, record: Record, column: int) -> None:
    noise = record["law_noise"]
    pick = np.arange(len(noise)) % len(record["train"])
    noised = record["train"][pick] + float(record["law_sigma"]) * noise
    dots(axes, record["law_states"][column], s=3, color=BLUE, rasterized=True)
    dots(axes, noised, s=3, color=ORANGE, rasterized=True)
    dots(axes, record["train"], s=20, color=ORANGE, edgecolor=INK, linewidth=0.6)
    axes.set(xlim=(-16, 16), ylim=(-16, 16), xticks=(-10, 0, 10), yticks=(-10, 0, 10), aspect="equal")


def _shares(axes: Axes, record: Record, column: int) -> None:
    euler, heun, law, train, val = record["law_share"][column]
    distance = record["law_distance"]
    axes.plot(distance, train, color=ORANGE, label="noised training")
    axes.plot(distance, val, color=GREEN, label="noised validation")
    axes.plot(distance, euler, color=PURPLE, linewidth=1, label="sampler, Euler")
    axes.plot(distance, heun, color=BLUE, linewidth=3, alpha=0.6, label="sampler, Heun")
    axes.plot(distance, law, color=INK, linewidth=1, linestyle="--", label="exact law")
    axes.set(xlim=(0, 6.5), ylim=(0, 1.02))


# --- spacing, dimension ---


@book_figure
def spacing_law(record: Record) -> BookFigure:
    """The delta where the peak gap is 0.5 is a fixed share of the spacing; so is the sigma of the peak."""
    alt = "The critical model error and the noise level of the peak are both proportional to the spacing."
    figure = BookFigure(record, alt=alt)
    left, right = figure.subplots(1, 2)
    spacing = record["spacing_chord"]
    for name, label, color in (
        ("spacing_delta", "$\\delta^*$, peak gap 0.5", BLUE),
        ("spacing_sigma", "$\\sigma$ of that peak", ORANGE),
    ):
        share = float(np.mean(record[name] / spacing))
        left.plot(spacing, record[name], "o", color=color, markersize=5)
        left.plot(spacing, share * spacing, color=color, linewidth=1, label=f"{label}: {share:.3f} $a$")
    left.set(xscale="log", yscale="log", xlabel="spacing $a$ of training points", ylabel="length")
    log_ticks(left.xaxis, 1, 2, 5, 10)
    log_ticks(left.yaxis, 0.2, 0.5, 1, 2)
    left.legend(loc="upper left")
    _positions(right, record)
    return figure


def _positions(axes: Axes, record: Record) -> None:
    """Where the peak lies when delta changes and the spacing does not; the paper's rule is the diagonal."""
    delta, sigma = record["position_delta"], record["position_sigma"]
    top = 1.05 * max(delta.max(), sigma.max())
    axes.plot((0, top), (0, top), color=INK, linewidth=0.8, linestyle="--")
    axes.plot(delta, sigma, "o-", color=ORANGE, markersize=5)
    axes.text(0.68 * top, 0.7 * top, "$\\sigma = \\delta$", ha="right")
    axes.set(xlabel=f"model error $\\delta$, {record.spec['n_train']} training points", xlim=(0, top))
    axes.set(ylabel="$\\sigma$ of the peak", ylim=(0, top))


@book_figure
def overlap(record: Record) -> BookFigure:
    """Overlap of sampler states with noised training data around one training point, against dimension."""
    alt = "The overlap is near one in two dimensions and vanishes in thousands."
    figure = BookFigure(record, alt=alt, size=(6.0, 3.2))
    axes = figure.subplots()
    for index, (ratio, values) in enumerate(zip(record["overlap_ratio"], record["overlap"], strict=True)):
        label = "$\\delta = \\sigma$" if ratio == 1 else f"$\\delta = {ratio:g}\\,\\sigma$"
        axes.plot(record["overlap_dimension"], values, color=_ramp(index, 3), label=label)
    axes.axvline(3072, color=INK, linewidth=0.8, linestyle="--")
    axes.text(2800, 1e-6, "CIFAR-10", ha="right", fontsize=9)
    axes.set(xscale="log", yscale="log", xlim=(2, 4000), ylim=(1e-8, 2))
    axes.set(xlabel="dimension $d$", ylabel="Bhattacharyya overlap")
    log_ticks(axes.xaxis, 2, 10, 100, 1000)
    axes.legend(loc="lower left")
    return figure
