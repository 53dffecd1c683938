"""The figures of chapter 1, the 2D toy model: record in, picture out."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import BoundaryNorm, Normalize
from matplotlib.image import AxesImage
from matplotlib.ticker import PercentFormatter

from diffnotes.chapters.toy import readings, tables
from diffnotes.chapters.toy.panel_figures import (
    DESIGN_LOOKS,
    GAP,
    LEVELS,
    LINES,
    ONE,
    SIGMA,
    THREE,
    TWO,
    dots,
    field,
    known,
    sigma_axis,
    unseen,
)
from diffnotes.show.style import (
    FADE,
    HELD_OUT,
    INK,
    OPTIMUM,
    SAMPLER,
    TRAIN,
    BookFigure,
    book_figure,
    log_ticks,
    ramp,
)
from diffnotes.store import Record

# --- figure 3: displacements ---


@book_figure
def flow_field(record: Record) -> BookFigure:
    """D(x) - x at three noise levels: the optimal predictor above, the one with model error below."""
    delta = record.spec["delta"]
    figure = BookFigure(
        record,
        finding=str(tables.landing_finding(record)),
        shows="Where the denoiser D moves a point x: lines follow the displacement D(x, σ) − x, colour is "
        f"its length. Above the optimal predictor, below the one with model error δ = {delta:g}. Small dots "
        "are predictions for noised training points.",
        key={"training points": TRAIN, "predictions": ONE},
        alt=f"Flow lines of the optimal predictor end on training points; with delta {delta:g} they fade.",
        size=(6.7, 4.2),
    )
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
    dots(axes, record["flow_guess"][row, column], s=2, color=ONE, rasterized=True, zorder=3)
    known(record["flow_train"], axes)
    return image


# --- figure 4: gap over noise level ---


@book_figure
def gap_curves(record: Record) -> BookFigure:
    """Gap over sigma for each delta, with what 50 draws scatter, and the authors' peaks."""
    figure = BookFigure(
        record,
        finding=str(tables.bump_finding(record)),
        shows="Left: relative gap G over the noise level for each model error δ; bands hold the central 99 % "
        "of curves from 50 draws that both sets share. Right: peaks from 50 draws over the exact peak, for "
        "three ways to draw the noise; marks are medians, bars the central 99 %."
        + readings.PEAKS.crosses(record, record["delta"]),
        key={name: color for name, (color, _) in zip(readings.DESIGNS, DESIGN_LOOKS, strict=True)},
        alt="The gap peaks at intermediate noise, and the higher the smaller the model error.",
        size=(6.9, 3.6),
    )
    left, right = figure.subplots(1, 2)
    for index, delta in enumerate(record["delta"]):
        color = ramp(index, len(record["delta"]))
        left.fill_between(record["sigma"], *record["band"][index, 0], color=color, alpha=0.25, linewidth=0)
        left.plot(record["sigma"], record["gap"][index], color=color, label=f"{delta:g}")
    _authors(left, record)
    sigma_axis(left)
    left.legend(title="model error $\\delta$", loc="upper left", reverse=True)
    _designs(right, record)
    return figure


def _authors(axes: Axes, record: Record) -> None:
    """The authors' peaks, where the record has their deltas and their ten points."""
    marks = np.stack([record["peak_sigma"], readings.PEAKS.beside(record, record["delta"])], axis=1)
    marks = marks[np.isfinite(marks[:, 1])]
    if len(marks):
        dots(axes, marks, marker="x", s=40, color=INK, linewidth=1.4, zorder=5)
        line = {"arrowstyle": "-", "color": INK, "linewidth": 0.7}
        style: Any = {"textcoords": "offset points", "va": "center", "fontsize": 9, "arrowprops": line}
        axes.annotate("authors’ toy,\n50 draws", marks[marks[:, 1].argmax()], xytext=(22, 4), **style)


def _designs(axes: Axes, record: Record) -> None:
    """Peaks from 50 draws over the exact peak: the central 99 % for three ways to draw the noise."""
    place, exact = np.arange(len(record["delta"])), record["peak_exact"]
    low, high = (ends / exact[:, None] for ends in readings.repeat_band(record))
    middle = np.median(record["repeat_peaks"], axis=2) / exact[:, None]
    for design, ((color, marker), name) in enumerate(zip(DESIGN_LOOKS, readings.DESIGNS, strict=True)):
        at = place + 0.2 * (design - 1)
        axes.vlines(at, low[:, design], high[:, design], color=color, linewidth=2)
        axes.plot(at, middle[:, design], marker, color=color, markersize=4, label=name)
    authors = readings.PEAKS.beside(record, record["delta"])
    axes.scatter(place, authors / exact, marker="x", s=40, color=INK, linewidth=1.4, zorder=5)
    axes.axhline(1, color=INK, linewidth=0.8)
    axes.set(xlabel="model error $\\delta$", ylabel="peak from 50 draws / exact peak")
    axes.set_ylim(min(0, 1.1 * low.min()), 1.45 * high.max())
    axes.set_xticks(place, [f"{delta:g}" for delta in record["delta"]])
    axes.legend(title="noise draws", loc="upper right")


# --- figure 5: where a point counts as inside the manifold ---


@book_figure
def gap_contours(record: Record) -> BookFigure:
    """From ring to islands: the gap of a clean point anywhere in the plane, with the 0.5 line."""
    figure = BookFigure(
        record,
        finding=str(tables.islands_finding(record)),
        shows=f"Colour is the gap of a clean point at that place, at σ = {float(record['map_sigma']):.2f}; "
        "inside the line it is below 0.5. Diamonds are validation points: full inside, hollow outside. Above "
        "each panel stand δ, and δ over the spacing a of the training points.",
        key={"training points": TRAIN, "validation points": HELD_OUT},
        alt="The region with a gap below one half shrinks from a ring to islands as the model error falls.",
        size=(6.9, 2.9),
    )
    axes = figure.subplots(1, 3, sharey=True)
    norm, axis = BoundaryNorm(LEVELS, FADE.N, extend="both"), record["map_axis"]
    spacing, held_out = readings.chord(len(record["train"])), readings.gap_on_circle(record, record["val"])
    maps = zip(axes, record["map_delta"], record["map_gap"], held_out, strict=True)
    for panel, delta, gap, there in maps:
        image = field(panel, axis, gap, norm=norm, interpolation_stage="data")
        panel.contour(axis, axis, gap, levels=[readings.LEVEL], colors=[INK], linewidths=1.8)
        known(record["train"], panel, size=18)
        unseen(record["val"], panel, there <= readings.LEVEL)
        panel.set_title(f"$\\delta = {delta:g}$,  $\\delta/a = {delta / spacing:.2f}$")
    bar = figure.colorbar(image, ax=axes, pad=0.02, ticks=LEVELS, format="%g", shrink=0.8)
    bar.set_label(f"{GAP}, line at 0.5")
    return figure


@book_figure
def along_circle(record: Record) -> BookFigure:
    """The gap along the circle: zero at training points, largest midway."""
    figure = BookFigure(
        record,
        finding=str(tables.along_finding(record)),
        shows=f"Gap of a clean point on the circle, at σ = {float(record['map_sigma']):.2f}. Below the "
        "curves stand the training and the validation points. The thin line is at 0.5.",
        key={"training points": TRAIN, "validation points": HELD_OUT},
        alt="Along the circle the gap is zero at training points and largest midway between them.",
        size=(4.8, 3.2),
    )
    axes = figure.subplots()
    for index, (delta, gap) in enumerate(zip(record["map_delta"], record["along_gap"], strict=True)):
        style: Any = {"color": ramp(index, 3), "linestyle": LINES[index], "label": f"$\\delta = {delta:g}$"}
        axes.plot(np.degrees(record["along_angle"]), gap, **style)
    low = -0.07 * record["along_gap"].max()
    for role, points in ((TRAIN, record["train"]), (HELD_OUT, record["val"])):
        angle = np.degrees(np.arctan2(points[:, 1], points[:, 0])) % 360
        dots(axes, np.stack([angle, np.full(len(angle), low)], axis=1), **role.points(s=16, label=None))
    axes.axhline(readings.LEVEL, color=INK, linewidth=0.8)
    axes.set(xlabel="angle on the circle (degrees)", ylabel=GAP, xlim=(0, 360), xticks=range(0, 361, 60))
    axes.set_ylim(2 * low, 1.3 * record["along_gap"].max())
    axes.legend(loc="upper right", ncols=3)
    return figure


# --- density, random support, guidance ---


@book_figure
def density(record: Record) -> BookFigure:
    """More training points on the same circle: the gap falls and moves to smaller noise."""
    figure = BookFigure(
        record,
        finding=str(tables.moving_finding(record)),
        shows=f"Relative gap for more and more training points on the same circle, at δ = "
        f"{record.spec['delta']:g}. Dots are the peaks."
        + readings.DENSITY.crosses(record, record["density_n"]),
        alt=f"With more training points the gap falls at the fixed model error {record.spec['delta']:g}.",
        size=(4.8, 3.2),
    )
    axes = figure.subplots()
    count, authors = len(record["density_n"]), readings.DENSITY.beside(record, record["density_n"])
    for index, (n, gap) in enumerate(zip(record["density_n"], record["density_gap"], strict=True)):
        color, top = ramp(count - 1 - index, count), record["density_peak"][index]
        axes.plot(record["sigma"], gap, color=color, linestyle=LINES[index], label=f"{n}: {top:.3f}")
        axes.plot(record["density_sigma"][index], top, "o", color=color, markersize=4)
    axes.scatter(record["density_sigma"], authors, marker="x", s=40, color=INK, linewidth=1.4, zorder=5)
    sigma_axis(axes)
    axes.legend(title="training points: peak", loc="upper left")
    return figure


@book_figure
def random_support(record: Record) -> BookFigure:
    """Points at random angles: the mean gap over many sets of points, and how much the sets differ."""
    figure = BookFigure(
        record,
        finding=str(tables.random_finding(record)),
        shows=f"Relative gap for {readings.RANDOM_TRAIN} training points at random angles, over "
        f"{record.spec['supports']} sets of them. Wide bands hold 80 % of the sets, narrow ones are the mean "
        "± 2 standard errors; the dashed line is the first set."
        + (" That is the authors’." if readings.first_is_authors(record) else ""),
        alt="For random points the gap has the same shape, and its height varies much from set to set.",
    )
    axes = figure.subplots(1, 3, sharey=True)
    sigma, spread = record["random_sigma"], record["random_spread"]
    for index, (panel, delta) in enumerate(zip(axes, record["random_delta"], strict=True)):
        fill: Any = {"color": ramp(index, 3), "linewidth": 0}
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
    figure = BookFigure(
        record,
        finding=str(tables.guidance_finding(record)),
        shows="Left: relative gap of the guided denoiser for guidance weights w. Right: its peak; bars "
        "are ± 2 standard errors over sets of random points."
        + readings.GUIDED.crosses(record, record["guidance_weight"]),
        alt="The gap grows with the guidance weight.",
    )
    left, right = figure.subplots(1, 2)
    weights = record["guidance_weight"]
    for index, weight in list(enumerate(weights))[::2]:
        color = ramp(index, len(weights))
        left.plot(record["sigma"], record["guidance_gap"][index], color=color, label=f"{weight:.1f}")
    sigma_axis(left)
    left.legend(title="guidance weight $w$", loc="upper left", reverse=True)
    right.plot(weights, record["guidance_peak"], color=ONE, label="equispaced points")
    authors = readings.GUIDED.beside(record, weights)
    right.scatter(weights, authors, marker="x", s=30, color=INK, linewidth=1.2, zorder=5)
    bars: Any = {"color": THREE, "marker": "s", "linestyle": "none", "capsize": 3}
    means, errors = record["random_guided"], record["random_guided_stderr"]
    right.errorbar((0, 1, 2), means, 2 * errors, label="random points", **bars)
    right.set(xlabel="guidance weight $w$", ylabel="peak of the gap")
    right.set_ylim(0, 1.35 * record["guidance_peak"].max())
    right.legend(loc="upper left")
    return figure


# --- law of the sampler's states ---


@book_figure
def sampler_law(record: Record) -> BookFigure:
    """States of the sampler against noised data: where, and how far from the nearest training point."""
    figure = BookFigure(
        record,
        finding=str(tables.states_finding(record)),
        shows=f"At σ = {float(record['law_sigma']):.2f}. Above: states of the sampler and noised training "
        "points. Below: the share of them within a distance of the nearest training point; the dotted line "
        "is the exact law of the states.",
        key={"noised training points": TRAIN, "noised validation points": HELD_OUT, "sampler": SAMPLER},
        alt="Sampler states lie farther from training points than noised training data.",
        size=(6.7, 5.2),
    )
    axes = figure.subplots(2, 3, sharey="row")
    for column, delta in enumerate(record["law_delta"]):
        _states(axes[0, column], record, column)
        _shares(axes[1, column], record, column)
        axes[0, column].set_title(f"$\\delta = {delta:g}$")
        axes[1, column].set_xlabel("distance")
    axes[1, 0].set_ylabel("share within a distance")
    axes[1, 0].legend(loc="lower right", fontsize=8)
    return figure


def _states(axes: Axes, record: Record, column: int) -> None:
    noise = record["law_noise"]
    pick = np.arange(len(noise)) % len(record["train"])
    noised = record["train"][pick] + float(record["law_sigma"]) * noise
    dots(axes, record["law_states"][column], **SAMPLER.points(s=5, linewidth=0, rasterized=True))
    dots(axes, noised, **TRAIN.points(s=4, linewidth=0, rasterized=True))
    known(record["train"], axes, size=20)
    axes.set(xlim=(-16, 16), ylim=(-16, 16), xticks=(-10, 0, 10), yticks=(-10, 0, 10), aspect="equal")


def _shares(axes: Axes, record: Record, column: int) -> None:
    euler, heun, law, train, val = record["law_share"][column]
    distance = record["law_distance"]
    axes.plot(distance, train, **TRAIN.curve(label="noised train."))
    axes.plot(distance, val, **HELD_OUT.curve(label="noised valid."))
    axes.plot(distance, euler, **SAMPLER.curve(linestyle="-", linewidth=0.8, label="Euler"))
    axes.plot(distance, heun, **SAMPLER.curve(linewidth=2.4, label="Heun"))
    axes.plot(distance, law, **OPTIMUM.curve(linewidth=1.2, label="exact law"))
    axes.set(xlim=(0, 6.5), ylim=(0, 1.02))
    axes.yaxis.set_major_formatter(PercentFormatter(1))


# --- spacing, dimension ---


@book_figure
def spacing_law(record: Record) -> BookFigure:
    """The delta where the peak gap is 0.5 is a fixed share of the spacing; so is the sigma of the peak."""
    figure = BookFigure(
        record,
        finding=str(tables.spacing_finding(record)),
        shows="Left, for training points at spacing a: δ* is the model error with a peak gap of one half; "
        "lines are proportional to a. Right: noise level of the peak while δ changes and the spacing does "
        "not; on the dashed line it would be δ.",
        alt="The critical model error and the noise level of the peak are both proportional to the spacing.",
    )
    left, right = figure.subplots(1, 2)
    spacing, looks = record["spacing_chord"], ((ONE, "o", "-"), (TWO, "s", "--"))
    labels = ("$\\delta^*$", "$\\sigma$ of that peak")
    names = ("spacing_delta", "spacing_sigma")
    for name, share, label, look in zip(names, readings.spacing(record), labels, looks, strict=True):
        color, marker, line = look
        left.plot(spacing, record[name], marker, color=color, markersize=5)
        mean = float(share.mean())
        left.plot(spacing, mean * spacing, line, color=color, linewidth=1, label=f"{label}: {mean:.3f} $a$")
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
    axes.plot(delta, sigma, "s-", color=TWO, markersize=5)
    axes.text(0.68 * top, 0.7 * top, "$\\sigma = \\delta$", ha="right")
    axes.set(xlabel=f"model error $\\delta$, {record.spec['n_train']} training points", xlim=(0, top))
    axes.set(ylabel="$\\sigma$ of the peak", ylim=(0, top))


@book_figure
def overlap(record: Record) -> BookFigure:
    """Overlap of sampler states with noised training data around one training point, against dimension."""
    figure = BookFigure(
        record,
        finding=str(tables.overlap_finding(record)),
        shows="Overlap (Bhattacharyya coefficient) of the states of the sampler with noised training data "
        "around one training point, over the dimension d. The vertical line is the dimension of CIFAR-10.",
        alt="The overlap falls with the dimension, faster for a larger model error.",
        size=(4.8, 3.2),
    )
    axes = figure.subplots()
    for index, (ratio, values) in enumerate(zip(record["overlap_ratio"], record["overlap"], strict=True)):
        label = "$\\delta = \\sigma$" if ratio == 1 else f"$\\delta = {ratio:g}\\,\\sigma$"
        style: Any = {"color": ramp(index, 3), "linestyle": LINES[index], "label": label}
        axes.plot(record["overlap_dimension"], values, **style)
    axes.axvline(3072, color=INK, linewidth=0.8, linestyle="--")
    axes.text(2800, 1e-6, "CIFAR-10", ha="right", fontsize=9)
    axes.set(xscale="log", yscale="log", xlim=(2, 4000), ylim=(1e-8, 2))
    axes.set(xlabel="dimension $d$", ylabel="Bhattacharyya overlap")
    log_ticks(axes.xaxis, 2, 10, 100, 1000)
    axes.legend(loc="lower left")
    return figure
