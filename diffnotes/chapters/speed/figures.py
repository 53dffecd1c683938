"""Figures of the benchmarks: seconds of every method in one run, as ratios, and whether each target holds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from diffnotes.chapters.speed import readings
from diffnotes.chapters.speed.readings import Growth, Timed, spread, targets
from diffnotes.show.labels import minus
from diffnotes.show.style import (
    GREY,
    OCHRE,
    PINK,
    TEAL,
    BookFigure,
    BookTable,
    Role,
    book_figure,
    log_ticks,
)
from diffnotes.store import Record

# Ours in teal, the second way of ours hatched; what it is compared with in other colours.
COLOURS = {
    "pairwise": TEAL, "float32": TEAL, "uint8": TEAL, "full": TEAL, "plain": OCHRE, "products": GREY,
    "smalldiffusion": PINK, "diffnotes": TEAL, "diffusers": PINK, "denoising-diffusion-pytorch": OCHRE,
    readings.DEEPER: OCHRE,
}  # fmt: skip
HATCHED = ("uint8", "full", readings.DEEPER)
GROWING = {
    "pairwise": Role(readings.WORDS["pairwise"], TEAL, "-", "o"),
    "plain": Role(readings.WORDS["plain"], OCHRE, "-", "s"),
}
EVERY, PRUNED = Role("every point in every step", OCHRE, "-", "s"), Role("pruned", TEAL, "-", "o")


def held(*records: Record) -> str:
    """'7 of 10 targets hold'."""
    found = [target.holds for record in records for target in targets(record)]
    return f"{sum(found)} of {len(found)} targets hold."


@book_figure
def speed_targets(*records: Record) -> BookTable:
    """Every target of the benchmarks: median, least and largest over the repeats, and whether it holds."""
    rows = [target.row() for record in records for target in targets(record)]
    return BookTable(
        *records, header=("target", "wanted", "found", ""), rows=rows, finding=held(*records),
        shows="Median over the repeats, with the least and the largest. Ratios are those within a repeat.",
    )  # fmt: skip


def timings(record: Record) -> BookTable:
    """Seconds and ratios of every method."""
    tables = {"curve": _curve_rows, "mean": _mean_rows, "sampling": _sampling_rows, "growth": _growth_rows}
    rows = [row for name, make in tables.items() if f"{name}_seconds" in record for row in make(record)]
    return BookTable(record, header=("what", "method", "seconds", "ratio"), rows=rows)


Rows = list[tuple[str, str, str, str]]


def _curve_rows(record: Record) -> Rows:
    ratios = map(spread, record["curve_ratio"].T)
    pairs = zip(readings.curve(record), ratios, strict=True)
    one_pass = spread(record["curve_pass"]), spread(record["curve_over_products"])
    return [
        *(("curve to 1 %", one.word, spread(one.values), ratio) for one, ratio in pairs),
        ("two products", "", spread(record["curve_products"]), "1"),
        ("one pass", "", *one_pass),
    ]


def _mean_rows(record: Record) -> Rows:
    words = [readings.WORDS[name] for name in record["mean_methods"].tolist()]
    seconds, ratio = record["mean_seconds"], record["mean_ratio"]
    return [
        (f"mean, sigma = {sigma:g}", word, spread(seconds[:, i, j]), spread(ratio[:, i, j]))
        for i, sigma in enumerate(record["mean_sigma"])
        for j, word in enumerate(words)
    ]


def _sampling_rows(record: Record) -> Rows:
    found = readings.sampling(record)
    pruned = found.pruned.sum(1) + found.setup
    return [
        ("sampling", "every point", spread(found.full.sum(1)), "1"),
        ("sampling", "pruned", spread(pruned), spread(found.whole)),
    ]


def _growth_rows(record: Record) -> Rows:
    return [
        (f"growth with {one.axis}", one.word, spread(one.seconds[:, -1]), f"power {one.power:.2f}")
        for one in readings.growth(record)
    ]


# --------------------------------------------------------------------------------------------------- figures


def named_bars(axes: Axes, methods: Sequence[Timed], texts: Sequence[str]) -> None:
    """Bars of the medians with their words above them, and a whisker from the least to the largest value."""
    for place, (one, text) in enumerate(zip(methods, texts, strict=True)):
        style: Any = {"color": COLOURS[one.name], "hatch": "////" if one.name in HATCHED else None}
        axes.barh(place, one.median, alpha=0.85, height=0.38, lw=0, **style)
        axes.plot([one.values.min(), one.values.max()], [place, place], color=GREY, lw=1.4)
        axes.annotate(
            f"{one.word}: {text}", (0, place - 0.27), xycoords=axes.get_yaxis_transform(), size=9, va="bottom"
        )
    axes.set_ylim(len(methods) - 0.7, -0.75)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)


@book_figure
def curve_speed(record: Record) -> BookFigure:
    """Seconds to a curve with a standard error of 1 %, each with its ratio to ours."""
    methods = readings.curve(record)
    slow = ", ".join(f"{one.word} {one.times:.3g}" for one in methods[1:])
    figure = BookFigure(
        record,
        finding=f"One pass for all levels takes {methods[0].median:.2g} s; in units of that, {slow}.",
        shows="Seconds to a standard error of 1 % of the variance at every level, on a logarithmic axis: "
        "medians over the repeats, and in grey from the least to the largest. Times are ratios of these "
        "medians.",
        size=(5.0, 2.6),
    )
    axes = figure.add_subplot()
    values = np.concatenate([one.values for one in methods])
    axes.set(xscale="log", xlim=(values.min() / 3, values.max() * 2), xlabel="seconds")
    texts = [f"{one.median:.3g} s" + (f", {one.times:.3g} ×" if k else "") for k, one in enumerate(methods)]
    named_bars(axes, methods, texts)
    return figure


@book_figure
def mean_speed(record: Record) -> BookFigure:
    """Time of a posterior mean over that of its two products, at several noise levels; peak memory."""
    found, peak = readings.mean(record), readings.memory(record)
    ours = [rows[0].median for rows in found.values()]
    most = ", ".join(f"{readings.WORDS[k]} {v:.2f} GiB" for k, v in peak.items() if np.isfinite(v))
    figure = BookFigure(
        record,
        finding=f"Our posterior mean takes {min(ours):.2f} to {max(ours):.2f} times as long as its two "
        "products.",
        shows="Time over that of the two products alone (1, dotted), at several noise levels; medians over "
        "the repeats, in grey from the least to the largest. Peak of memory above the data: "
        f"{most or 'not told'}.",
        size=(6.8, 2.5 * -(-len(found) // 2)),
    )
    cells = np.ravel(figure.subplots(-(-len(found) // 2), 2, squeeze=False))
    right = 1.1 * max(one.values.max() for rows in found.values() for one in rows)
    for axes, (sigma, rows) in zip(cells, found.items(), strict=False):
        named_bars(axes, rows, [f"{one.median:.2f}" for one in rows])
        axes.axvline(1.0, color=GREY, ls=":", lw=1.2)
        axes.set(xlim=(0, right), title=f"σ = {sigma:g}", xlabel="time / that of two products")
    for axes in cells[len(found) :]:
        axes.set_axis_off()
    return figure


@book_figure
def sampling_speed(record: Record) -> BookFigure:
    """Seconds of every step of a sampler: every point in every step, and pruned."""
    found = readings.sampling(record)
    figure = BookFigure(
        record,
        finding=f"With certified pruning a whole run is {np.median(found.whole):.1f} times as fast, and "
        f"steps below σ = 1 are {np.median(found.low):.0f} times as fast.",
        shows="Seconds per step against its noise level, from large to small; medians and range over "
        "repeats.",
        key={look.word: look for look in (EVERY, PRUNED)},
        size=(5.0, 3.0),
    )
    axes = figure.add_subplot()
    for seconds, look in ((found.full, EVERY), (found.pruned, PRUNED)):
        axes.fill_between(found.sigma, seconds.min(0), seconds.max(0), color=look.color, alpha=0.25, lw=0)
        axes.plot(found.sigma, np.median(seconds, 0), **look.curve(marker=look.marker, ms=3))
    axes.set(xscale="log", yscale="log", xlabel="noise level σ of the step", ylabel="seconds per step")
    axes.invert_xaxis()
    axes.grid(True)
    return figure


@book_figure
def growth_speed(record: Record) -> BookFigure:
    """Seconds of a curve over N, d and the number of levels, with the fitted power of each."""
    found = readings.growth(record)
    figure = BookFigure(
        record, finding=_powers(found), shows="Seconds of a curve; medians and range over repeats.",
        key={look.word: look for look in GROWING.values()}, size=(6.8, 2.7),
    )  # fmt: skip
    titles = {"N": "images N", "d": "values d of an image", "levels": "noise levels"}
    for axes, (axis, title) in zip(figure.subplots(1, 3, sharey=True), titles.items(), strict=True):
        for one in (one for one in found if one.axis == axis):
            look, low, high = GROWING[one.method], one.seconds.min(0), one.seconds.max(0)
            axes.fill_between(one.size, low, high, color=look.color, alpha=0.2, lw=0)
            axes.plot(one.size, np.median(one.seconds, 0), **look.curve(marker=look.marker, ms=3))
            axes.set(xscale="log", yscale="log", xlabel=title)
            log_ticks(axes.xaxis, *one.size[::2].tolist())
        axes.grid(True)
    figure.axes[0].set_ylabel("seconds of a curve")
    return figure


def _powers(found: Sequence[Growth]) -> str:
    words = dict.fromkeys(one.word for one in found)
    each = [
        f"{word}, {', '.join(f'{one.power:.2f} in {one.axis}' for one in found if one.word == word)}"
        for word in words
    ]
    return minus(f"Seconds grow by these powers: {'; '.join(each)}.")
