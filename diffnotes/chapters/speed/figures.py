"""Figures of the benchmarks: seconds of every method in one run, as ratios, and whether each target holds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
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
    "pairwise": TEAL, "float32": TEAL, "uint8": TEAL, "full": TEAL, "plain": OCHRE, "attention": OCHRE,
    "products": GREY, "faiss": GREY, "smalldiffusion": PINK, "pykeops": PINK,
    "diffnotes": TEAL, "diffusers": PINK, "denoising-diffusion-pytorch": OCHRE, readings.DEEPER: OCHRE,
}  # fmt: skip
HATCHED = ("uint8", "full", "attention", "pykeops", readings.DEEPER)
GROWING = {
    "pairwise": Role(readings.WORDS["pairwise"], TEAL, "-", "o"),
    "plain": Role(readings.WORDS["plain"], OCHRE, "-", "s"),
}
ROUNDING = 1e-4  # of a value in [-1, 1]; two exact ways differ by less
FEW_ROWS = "pykeops"  # timed with few rows, and so with little memory
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
    tables = {
        "curve": _curve_rows, "beside": _beside_rows, "mean": _mean_rows, "sampling": _sampling_rows,
        "growth": _growth_rows, "load": _load_rows,
    }  # fmt: skip
    rows = [row for name, make in tables.items() if f"{name}_seconds" in record for row in make(record)]
    return BookTable(record, header=("what", "method", "seconds", "ratio"), rows=rows)


Rows = list[tuple[str, str, str, str]]


def _curve_rows(record: Record, question: str = "curve") -> Rows:
    beside = ", beside a busy process" if question == "beside" else ""
    ratios = map(spread, record[f"{question}_ratio"].T)
    pairs = zip(readings.curve(record, question), ratios, strict=True)
    one_pass = spread(record[f"{question}_pass"]), spread(record[f"{question}_over_products"])
    return [
        *((f"curve to 1 %{beside}", one.word, spread(one.values), ratio) for one, ratio in pairs),
        ("two products", "", spread(record[f"{question}_products"]), "1"),
        ("one pass", "", *one_pass),
    ]


def _beside_rows(record: Record) -> Rows:
    return _curve_rows(record, "beside")


def _mean_rows(record: Record) -> Rows:
    names = record["mean_methods"].tolist()
    seconds, ratio, off = record["mean_seconds"], record["mean_ratio"], readings.difference(record)
    return [
        (f"mean, sigma = {sigma:g}", _word(name, off, i), spread(seconds[:, i, j]), spread(ratio[:, i, j]))
        for i, sigma in enumerate(record["mean_sigma"])
        for j, name in enumerate(names)
    ]


def _word(name: str, off: Mapping[str, np.ndarray], at: int) -> str:
    """The word for a method, and how far it is off where that is more than rounding."""
    return readings.WORDS[name] + (_off(off[name][at]) if name in off else "")


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


def _load_rows(record: Record) -> Rows:
    return [
        (f"curve, {one.word}", readings.WORDS[method], spread(seconds), ratio)
        for one in readings.load(record)
        for method, seconds, ratio in (
            ("pairwise", one.ours, "1"), ("plain", one.plain, spread(one.ratio)),
        )
    ] + [
        (f"mean, {one.word}", readings.WORDS[name], spread(seconds), spread(ratio))
        for one in readings.load(record)
        for name, (seconds, ratio) in one.means.items()
    ]  # fmt: skip


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
    return _curve_figure(record, "curve", "One pass")


@book_figure
def beside_speed(record: Record) -> BookFigure:
    """The same beside a process that would take a core."""
    return _curve_figure(record, "beside", "Beside one busy process, one pass")


def _curve_figure(record: Record, question: str, what: str) -> BookFigure:
    methods = readings.curve(record, question)
    slow = ", ".join(f"{one.word} {one.times:.3g}" for one in methods[1:])
    figure = BookFigure(
        record,
        finding=f"{what} for all levels takes {methods[0].median:.2g} s; in units of that, {slow}.",
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
    shown = {name: value for name, value in peak.items() if np.isfinite(value) and name != FEW_ROWS}
    most = ", ".join(f"{readings.WORDS[name]} {value:.2f} GiB" for name, value in shown.items())
    figure = BookFigure(
        record,
        finding=f"Our posterior mean takes {min(ours):.2f} to {max(ours):.2f} times as long as its two "
        "products.",
        shows="Time over that of the two products alone (1, dotted), at several noise levels, on a "
        "logarithmic axis; medians over the repeats, in grey from the least to the largest. Off by: the "
        "largest difference of a value from ours, where it is more than rounding. Peak of memory above the "
        f"data: {most or 'not told'}.",
        size=(6.8, 0.42 * max(map(len, found.values())) * -(-len(found) // 2) + 0.9),
    )
    cells = np.ravel(figure.subplots(-(-len(found) // 2), 2, squeeze=False))
    values = np.concatenate([one.values for rows in found.values() for one in rows])
    ends, off = (values.min() / 3, values.max() * 2), readings.difference(record)
    for at, (axes, (sigma, rows)) in enumerate(zip(cells, found.items(), strict=False)):
        axes.set_xscale("log")
        named_bars(axes, rows, [f"{one.median:.2f}{_off(off[one.name][at])}" for one in rows])
        axes.axvline(1.0, color=GREY, ls=":", lw=1.2)
        axes.set(xlim=ends, title=f"σ = {sigma:g}", xlabel="time / that of two products")
    for axes in cells[len(found) :]:
        axes.set_axis_off()
    return figure


def _off(value: float) -> str:
    """', off by 0.2' where that is more than rounding."""
    return f", off by {value:.1g}" if value > ROUNDING else ""


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


@book_figure
def reach_table(record: Record) -> BookTable:
    """What the exact curve of more images would take, extrapolated from the measured growth."""
    found = readings.reach(record)
    most = found[-1]
    nights = [max(1, math.ceil(np.median(one.hours) / NIGHT)) for one in found]
    rows = [
        (one.name, in_bytes(one.size), " to ".join(dict.fromkeys(ends)), f"{count:,}")
        for one, count in zip(found, nights, strict=True)
        for ends in ((duration(one.hours.min()), duration(one.hours.max())),)
    ]
    return BookTable(
        record, header=("curve of", "as bytes", "time of this machine", "machines for a night"), rows=rows,
        finding=f"The exact curve of {most.name} would take this machine {duration(np.median(most.hours))}.",
        shows=f"{readings.DRAWS:,} sources at {record.spec['levels']} noise levels. The time of the largest "
        "curve that was measured, times the powers of N and d in each repeat, at least 1: the least and the "
        "largest over the repeats. Reading images from a disk is not counted: each batch of sources "
        f"reads all of them once. A night has {NIGHT} hours.",
    )  # fmt: skip


NIGHT = 12  # hours


def duration(hours: float) -> str:
    """'18 s', '31 min', '17 days'."""
    units = {"s": 3600, "min": 60, "hours": 1, "days": 1 / 24, "years": 1 / 24 / 365.25}
    name, scale = [(k, v) for k, v in units.items() if hours * v >= 1 or k == "s"][-1]
    return f"{hours * scale:.2g} {name}"


def in_bytes(size: float) -> str:
    """'154 MB', '15.7 GB'."""
    power = min(4, max(0, int(math.log10(size) / 3)))
    return f"{size / 1000**power:.3g} {('B', 'kB', 'MB', 'GB', 'TB')[power]}"


@book_figure
def load_speed(record: Record) -> BookFigure:
    """Seconds of a curve beside other busy processes, one pass and plain torch."""
    found = readings.load(record)
    times = ", ".join(f"{np.median(one.ratio):.3g} {one.word}" for one in found)
    figure = BookFigure(
        record, finding=f"One mean per level takes this many times as long as one pass for all: {times}.",
        shows="Seconds of a curve with as many sources either way, while other processes are busy, each of "
        "which would take a core; plain torch is timed at two levels and scaled. Images are float32 numbers "
        "here, also for the pass. Medians and range over the repeats.",
        key={look.word: look for look in GROWING.values()}, size=(5.0, 3.0),
    )  # fmt: skip
    axes, places = figure.add_subplot(), np.arange(len(found))
    for name, rows in (("pairwise", [o.ours for o in found]), ("plain", [o.plain for o in found])):
        look, values = GROWING[name], np.array(rows)
        axes.vlines(places, values.min(1), values.max(1), color=look.color, alpha=0.4, lw=5)
        axes.plot(places, np.median(values, 1), **look.curve(marker=look.marker))
    axes.set(yscale="log", xlabel="other busy processes", ylabel="seconds of a curve")
    axes.set_xticks(places, [f"{one.busy}" for one in found])
    axes.grid(True, axis="y")
    return figure


def _powers(found: Sequence[Growth]) -> str:
    words = dict.fromkeys(one.word for one in found)
    each = [
        f"{word}, {', '.join(f'{one.power:.2f} in {one.axis}' for one in found if one.word == word)}"
        for word in words
    ]
    return minus(f"Seconds grow by these powers: {'; '.join(each)}.")
