"""Figures of the benchmarks: seconds of every method in one run, as ratios, and whether each target holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from diffnotes.show.style import (
    BLUE,
    GREEN,
    INK,
    ORANGE,
    PURPLE,
    BookFigure,
    BookTable,
    Finding,
    book_figure,
    log_ticks,
)
from diffnotes.store import Record

NAMES = {
    "pairwise": "all levels from one pass",
    "full": "one mean per level, ours",
    "plain": "plain torch",
    "smalldiffusion": "smalldiffusion",
    "products": "the two products alone",
    "float32": "ours, float32 data",
    "uint8": "ours, uint8 data",
}
COLOURS = {
    "pairwise": BLUE, "float32": BLUE, "uint8": GREEN, "full": GREEN, "plain": ORANGE,
    "smalldiffusion": PURPLE, "products": INK,
}  # fmt: skip
GIB = 2.0**30


@dataclass(frozen=True)
class Target:
    """What was aimed at, and what one run found: the median of `found`, one value for each repeat."""

    text: str
    limit: float
    found: np.ndarray
    least: bool = True  # the limit is the least that is wanted; else it must not be reached

    @property
    def holds(self) -> bool:
        middle = float(np.median(self.found))
        return middle >= self.limit if self.least else middle < self.limit

    def row(self) -> tuple[str, str, str, str]:
        wanted = f"{'at least' if self.least else 'below'} {self.limit:g}"
        return self.text, wanted, spread(self.found), "holds" if self.holds else "fails"


def spread(values: np.ndarray) -> str:
    """'12.3 (11.8 to 13.1)': the median, the least and the largest; 'not measured' where a value is NaN."""
    if not np.isfinite(values).all():
        return "not measured"
    middle, low, high = np.median(values), np.min(values), np.max(values)
    return f"{middle:.3g} ({low:.3g} to {high:.3g})" if values.size > 1 else f"{middle:.3g}"


def targets(record: Record) -> list[Target]:
    """The targets of the questions that a record answers; a growth has none."""
    judges = {"curve_ratio": _curve_targets, "mean_ratio": _mean_targets, "sampling_ratio": _sampling_targets}
    return [target for name, judge in judges.items() if name in record for target in judge(record)]


def _curve_targets(record: Record) -> list[Target]:
    plain = record["curve_ratio"][:, list(record["curve_methods"]).index("plain")]
    return [
        Target("curve: times faster than plain torch at equal standard error", 40, plain),
        Target("curve: one pass over its three products", 2.5, record["curve_over_products"] / 1.5, False),
        Target("curve: one pass over two products", 2.5, record["curve_over_products"], False),
    ]


def _mean_targets(record: Record) -> list[Target]:
    """The worst sigma of each repeat."""
    at = {name: index for index, name in enumerate(record["mean_methods"])}
    ratio, peak = record["mean_ratio"], record["mean_peak"] / GIB
    ours = at["float32"]
    found = [
        Target("mean: float32 over the two products", 1.15, ratio[:, :, ours].max(1), False),
        Target("mean: uint8 over the two products", 1.3, ratio[:, :, at["uint8"]].max(1), False),
        Target(
            "mean: peak memory above the data, GiB", 1.0, peak[:, :, [ours, at["uint8"]]].max((1, 2)), False
        ),
    ]
    if "smalldiffusion" not in at:
        return found
    faster = (ratio[:, :, at["smalldiffusion"]] / ratio[:, :, ours]).min(1)
    return [*found, Target("mean: times faster than smalldiffusion", 1.25, faster)]


def _sampling_targets(record: Record) -> list[Target]:
    return [
        Target("sampling: times faster per step below sigma = 1", 20, record["sampling_low_ratio"]),
        Target("sampling: times faster in all", 1.8, record["sampling_whole_ratio"]),
        Target("sampling: largest change of a value", 1e-5, record["sampling_deviation"][:, -1], False),
    ]


@book_figure
def speed_targets(*records: Record) -> BookTable:
    """Every target of the benchmarks: median, least and largest over the repeats, and whether it holds."""
    rows = [target.row() for record in records for target in targets(record)]
    return BookTable(*records, header=("target", "wanted", "found", ""), rows=rows, note="Speed targets")


def timings(record: Record) -> BookTable:
    """Seconds and ratios of every method."""
    tables = {"curve": _curve_rows, "mean": _mean_rows, "sampling": _sampling_rows, "growth": _growth_rows}
    rows = [row for name, make in tables.items() if f"{name}_seconds" in record for row in make(record)]
    return BookTable(record, header=("what", "method", "seconds", "ratio"), rows=rows)


Rows = list[tuple[str, str, str, str]]


def _curve_rows(record: Record) -> Rows:
    what = "curve to 1 %"
    pairs = zip(record["curve_methods"], record["curve_seconds"].T, record["curve_ratio"].T, strict=True)
    rows = [(what, NAMES[method], spread(seconds), spread(ratio)) for method, seconds, ratio in pairs]
    products = ("two products", "", spread(record["curve_products"]), "1")
    return [
        *rows,
        products,
        ("one pass", "", spread(record["curve_pass"]), spread(record["curve_over_products"])),
    ]


def _mean_rows(record: Record) -> Rows:
    return [
        (
            f"mean, sigma = {sigma:g}",
            NAMES[method],
            spread(record["mean_seconds"][:, i, j]),
            spread(record["mean_ratio"][:, i, j]),
        )
        for i, sigma in enumerate(record["mean_sigma"])
        for j, method in enumerate(record["mean_methods"])
    ]


def _sampling_rows(record: Record) -> Rows:
    full, pruned = record["sampling_seconds"].sum(1).T
    pruned = pruned + record["sampling_setup"]
    ratio = spread(record["sampling_whole_ratio"])
    return [("sampling", "every point", spread(full), "1"), ("sampling", "pruned", spread(pruned), ratio)]


def _growth_rows(record: Record) -> Rows:
    seconds, slope = record["growth_seconds"], record["growth_slope"]
    return [
        (f"growth with {axis}", NAMES[method], spread(seconds[:, i, -1, j]), f"power {slope[i, j]:.2f}")
        for i, axis in enumerate(record["growth_axes"])
        for j, method in enumerate(record["growth_methods"])
    ]


# --------------------------------------------------------------------------------------------------- figures


def _bars(axes: Any, places: np.ndarray, values: np.ndarray, colours: list[str], label: str = "") -> None:
    """Horizontal bars of the medians over the first axis, from the least to the largest as a whisker."""
    middle, low, high = np.median(values, 0), values.min(0), values.max(0)
    axes.barh(places, middle, color=colours, height=0.8 if not label else 0.19, label=label or None, lw=0)
    axes.hlines(places, low, high, color=INK, lw=1.2)


@book_figure
def curve_speed(record: Record) -> BookFigure:
    """Seconds to a curve with a standard error of 1 %, each with its ratio to ours."""
    figure = BookFigure(
        record, alt="Seconds of each method to the same standard error, log scale.", size=(6.7, 2.4)
    )
    axes = figure.add_subplot()
    methods, seconds, ratio = (record[f"curve_{key}"] for key in ("methods", "seconds", "ratio"))
    places = np.arange(len(methods))
    _bars(axes, places, seconds, [COLOURS[method] for method in methods])
    for place, values, times in zip(places, seconds.T, ratio.T, strict=True):
        text = f"{np.median(values):.3g} s" + (f", {np.median(times):.3g} ×" if place else "")
        axes.annotate(text, (values.max(), place), (6, 0), textcoords="offset points", va="center")
    axes.set_yticks(places, [NAMES[method] for method in methods])
    axes.invert_yaxis()
    _log_from_below(axes, seconds, room=8.0)
    axes.set_xlabel("seconds to a standard error of 1 % of the variance at every level")
    return figure


def _log_from_below(axes: Any, values: np.ndarray, room: float) -> None:
    """A logarithmic axis from below the least value, with room for labels behind the largest."""
    axes.set_xscale("log")
    axes.set_xlim(values.min() / 3, values.max() * room)


@book_figure
def mean_speed(record: Record) -> BookFigure:
    """Time of a posterior mean over that of its two products, at several noise levels; peak memory."""
    figure = BookFigure(
        record, alt="Time of a posterior mean over its two products, by method.", size=(6.7, 4.0)
    )
    axes = figure.add_subplot()
    methods, ratio = list(record["mean_methods"])[1:], record["mean_ratio"][:, :, 1:]
    peak = record["mean_peak"].max((0, 1))[1:] / GIB
    places = np.arange(ratio.shape[1])
    for j, method in enumerate(methods):
        rows = places + 0.21 * (j - (len(methods) - 1) / 2)
        label = f"{NAMES[method]}" + (f", {peak[j]:.2f} GiB" if np.isfinite(peak[j]) else "")
        _bars(axes, rows, ratio[:, :, j], [COLOURS[method]] * len(rows), label)
        for row, values in zip(rows, ratio[:, :, j].T, strict=True):
            text = f"{np.median(values):.2f}"
            axes.annotate(text, (values.max(), row), (4, 0), textcoords="offset points", va="center", size=8)
    axes.axvline(1.0, color=INK, ls=":", lw=1.2)
    axes.set_yticks(places, [f"σ = {sigma:g}" for sigma in record["mean_sigma"]])
    axes.invert_yaxis()
    axes.set_xlim(0, 1.1 * ratio.max())
    axes.set_xlabel("time over that of the two products alone")
    figure.legend(loc="outside upper left", ncols=2)
    return figure


@book_figure
def sampling_speed(record: Record) -> BookFigure:
    """Seconds of every step of a sampler: every point in every step, and pruned."""
    figure = BookFigure(record, alt="Seconds per step against noise level, all points and pruned.")
    axes = figure.add_subplot()
    sigma, seconds = record["sampling_sigma"], record["sampling_seconds"]
    for j, (name, colour) in enumerate((("every point in every step", ORANGE), ("pruned", BLUE))):
        axes.fill_between(
            sigma, seconds[:, :, j].min(0), seconds[:, :, j].max(0), color=colour, alpha=0.25, lw=0
        )
        axes.plot(sigma, np.median(seconds[:, :, j], 0), color=colour, marker="o", ms=3, label=name)
    axes.set(xscale="log", yscale="log", xlabel="noise level σ of the step", ylabel="seconds per step")
    axes.invert_xaxis()
    axes.grid(True)
    whole, low = (np.median(record[f"sampling_{key}_ratio"]) for key in ("whole", "low"))
    title = f"whole run {whole:.1f} × faster; steps below σ = 1: {low:.0f} ×"
    figure.legend(loc="outside upper left", ncols=2, title=title, alignment="left")
    return figure


@book_figure
def growth_speed(record: Record) -> BookFigure:
    """Seconds of a curve over N, d and the number of levels, with the fitted power of each."""
    figure = BookFigure(record, alt="Seconds of a curve against N, d and levels, log-log.", size=(6.7, 3.2))
    panels = figure.subplots(1, 3, sharey=True)
    titles = {"N": "images N", "d": "values d of an image", "levels": "noise levels"}
    for i, (axes, axis) in enumerate(zip(panels, record["growth_axes"], strict=True)):
        for j, method in enumerate(record["growth_methods"]):
            size, seconds = record["growth_size"][i], record["growth_seconds"][:, i, :, j]
            axes.fill_between(size, seconds.min(0), seconds.max(0), color=COLOURS[method], alpha=0.25, lw=0)
            axes.plot(size, np.median(seconds, 0), color=COLOURS[method], marker="o", ms=3)
            text, height = f"power {record['growth_slope'][i, j]:.2f}", 0.98 - 0.08 * j
            axes.text(0.04, height, text, color=COLOURS[method], transform=axes.transAxes, va="top", size=9)
        axes.set(xscale="log", yscale="log", xlabel=titles[axis])
        log_ticks(axes.xaxis, *size[::2].tolist())
        axes.grid(True)
    panels[0].set_ylim(top=float(record["growth_seconds"].max()) * 4)  # room for the powers
    panels[0].set_ylabel("seconds of a curve")
    for method in record["growth_methods"]:
        panels[0].plot([], [], color=COLOURS[method], label=NAMES[method])
    figure.legend(loc="outside upper left", ncols=2)
    return figure


def growth_found(record: Record) -> Finding:
    """The power of each size by which the seconds of each method grow."""
    methods = [NAMES[method] for method in record["growth_methods"]]
    parts = [
        f"with {axis}: {', '.join(f'{m} {p:.2f}' for m, p in zip(methods, powers, strict=True))}"
        for axis, powers in zip(record["growth_axes"], record["growth_slope"], strict=True)
    ]
    return Finding(record, text=f"Powers by which the seconds grow, {'; '.join(parts)}.")


def mean_found(record: Record) -> Finding:
    """A posterior mean over its two products, at the smallest and the largest noise level."""
    names, sigma = list(record["mean_methods"]), record["mean_sigma"]
    ratio = np.median(record["mean_ratio"], 0)
    parts = [
        f"at σ = {sigma[i]:g}, {', '.join(f'{NAMES[m]} {ratio[i, names.index(m)]:.2f}' for m in names[1:])}"
        for i in (int(sigma.argmin()), int(sigma.argmax()))
    ]
    return Finding(record, text=f"Time over that of the two products alone: {'; '.join(parts)}.")
