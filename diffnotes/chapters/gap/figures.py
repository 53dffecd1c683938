"""Figures of chapter 1, its networks: errors, gaps, samples and trajectories through training.

The records are those of `digits_gap` and `cifar_gap`, with axes [seed, look, ...]. Lines are means over
seeds, bands reach from the lowest to the highest.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm

from diffnotes.show.style import (
    BLUE,
    GREEN,
    INK,
    ORANGE,
    PALETTE,
    RAMP,
    BookFigure,
    BookTable,
    Finding,
    book_figure,
    log_ticks,
)
from diffnotes.store import Record

SIGMA = "noise level $\\sigma$"
GAP = "relative gap $G$"
SEEN = "images seen"
PROBE = 0.283  # noise level at which trajectories are shown
TRAINING, HELD_OUT, SAMPLER = range(3)
KINDS = ("noised training images", "noised held-out images", "states of the sampler")
SHORT = ("training", "held out", "sampler")
COLOURS = (ORANGE, BLUE, GREEN)
COPY = 1 / 3


def title(record: Record) -> str:
    """'600 digits, 233,056 parameters'."""
    spec = record.spec
    images = {"digits": "digits", "cifar10": "images of CIFAR-10"}.get(spec["dataset"], spec["dataset"])
    return f"{spec['n']:,} {images}, {int(record['parameters'][0]):,} parameters"


# ------------------------------------------------------------------------------------- readings of a record


def peak(record: Record) -> np.ndarray:
    """The largest gap over noise levels [seed, look]."""
    return record["gap"].max(2)


def peak_level(record: Record) -> int:
    """Which noise level has the largest gap at the last look, in the mean over seeds."""
    return int(record["gap"][:, -1].mean(0).argmax())


def sample_gap(record: Record) -> np.ndarray:
    """(FD_val - FD_train) / FD_train [seed, look, stop]; the last stop are finished samples."""
    return record["frechet_val"] / record["frechet_train"] - 1


def probed(record: Record, name: str) -> np.ndarray:
    """`distance` or `similarity` at the probe [seed, look, kind]."""
    return record[name][:, :, probe_place(record)]


def probe_place(record: Record) -> int:
    """The probe nearest to PROBE."""
    return int(np.abs(np.log(record["probe"] / PROBE)).argmin())


def copies(record: Record) -> np.ndarray:
    """Share of samples [seed, look] that are three times closer to one training image than to any other."""
    return (record["rho"] < COPY).mean(2)


# -------------------------------------------------------------------------------------------------- figures


@book_figure
def error_curves(*records: Record) -> BookFigure:
    """Training and validation error against images seen, at the noise level of the largest final gap, with
    the place where the validation error is least: the paper's figure 1."""
    alt = "Training error falls on; validation error falls, and then may rise."
    figure = BookFigure(*records, alt=alt, size=(6.9, 3.3))
    for axes, record in zip(figure.subplots(1, len(records), squeeze=False)[0], records, strict=True):
        _errors(axes, record)
        axes.set_title(title(record))
    figure.axes[0].set_ylabel("error per pixel $E(\\sigma)$")
    _legend(figure)
    return figure


def _legend(figure: BookFigure) -> None:
    """Below the figure, each name of a line once."""
    pairs = [zip(*axes.get_legend_handles_labels(), strict=True) for axes in figure.axes]
    named = {text: handle for pair in pairs for handle, text in pair}
    figure.legend(list(named.values()), list(named), loc="outside lower center", ncols=4)


def _errors(axes: Axes, record: Record) -> None:
    level = peak_level(record)
    for name, text, colour in (("train", "training", ORANGE), ("val", "held out", BLUE)):
        _band(axes, record["images_seen"], record[name][:, :, level], colour, text)
    least = int(record["val"][:, :, level].mean(0).argmin())
    if least < len(record["step"]) - 1:  # else it has not been seen to rise again
        seen = record["images_seen"][least]
        axes.axvline(seen, color=INK, lw=1.2, ls="--", label="least held-out error")
    axes.set_xlabel(f"{SEEN} ($\\sigma$ = {record['sigma'][level]:.2g})")
    axes.set_ylim(bottom=0)
    _seen_axis(axes, record)


@book_figure
def gap_by_noise(*records: Record) -> BookFigure:
    """G over noise levels, one line per look, and the black line of onsets: the paper's figure 2. The records
    have the same looks."""
    alt = "The gap is a bump over noise levels that grows with training."
    rows = -(-len(records) // 2)
    figure = BookFigure(*records, alt=alt, size=(6.9, 0.8 + 2.4 * rows))
    cells = figure.subplots(rows, 2, squeeze=False, sharex=True, sharey=True)
    for axes, record in zip(cells.flat, records, strict=False):
        colour = _gap_lines(axes, record)
        axes.set_title(title(record))
        axes.set_yscale("symlog", linthresh=0.1)
        axes.set_yticks([0, 0.1, 1, 10, 100], ["0", "0.1", "1", "10", "100"])
        axes.minorticks_off()
        axes.set_ylim(-0.03, 150)
    cells[0, 0].legend(loc="upper right")
    for axes in cells[-1]:
        axes.set_xlabel(SIGMA)
    for row in cells:
        row[0].set_ylabel(GAP)
    figure.colorbar(colour, ax=cells, label=SEEN, pad=0.02, shrink=0.85)
    return figure


def _gap_lines(axes: Axes, record: Record) -> ScalarMappable:
    """One line per look, coloured by images seen, and the line of onsets; returns the colours."""
    colour = ScalarMappable(LogNorm(*record["images_seen"][[0, -1]]), RAMP)
    sigma, gap, val = record["sigma"], record["gap"].mean(0), record["val"].mean(0)
    for seen, line in zip(record["images_seen"], gap, strict=True):
        axes.plot(sigma, line, color=colour.to_rgba(seen), lw=1.2)
    onset = val.argmin(0)
    line = np.where(onset < len(val) - 1, gap[onset, np.arange(len(sigma))], np.nan)
    if np.isfinite(line).any():
        axes.plot(sigma, line, color=INK, lw=2, marker=".", label="least held-out error")
    axes.set_xscale("log")
    log_ticks(axes.xaxis, 0.01, 0.1, 1, 10)
    axes.grid(True)
    return colour


@book_figure
def growth(*records: Record) -> BookFigure:
    """Peak gap and gap of samples against images seen, for several runs."""
    alt = "The peak of the denoising gap grows on; the gap of samples levels off."
    figure = BookFigure(*records, alt=alt, size=(6.9, 3.9))
    left, right = figure.subplots(1, 2)
    for record, colour in zip(records, PALETTE, strict=False):
        _band(left, record["images_seen"], peak(record), colour, title(record))
        _band(right, record["images_seen"], sample_gap(record)[:, :, -1], colour)
    left.set(yscale="log", ylabel="largest $G$ over noise levels", title="denoising")
    right.set(ylabel="relative gap of Fréchet distances", title="samples")
    log_ticks(left.yaxis, 0.1, 1, 10)
    for axes in (left, right):
        axes.set_xlabel(SEEN)
        axes.grid(True)
        _seen_axis(axes, records[0])
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


@book_figure
def paths(*records: Record) -> BookFigure:
    """Where the sampler goes: distances to the nearest training image, and similarities of predictions."""
    alt = "Distances and similarities to training images, for noised images and for states of the sampler."
    figure = BookFigure(*records, alt=alt, size=(6.9, 0.5 + 2.6 * len(records)))
    cells = figure.subplots(len(records), 2, squeeze=False)
    for row, record in zip(cells, records, strict=True):
        probe = record["probe"][probe_place(record)]
        for axes, name in zip(row, ("distance", "similarity"), strict=True):
            for kind, colour in enumerate(COLOURS):
                _band(axes, record["images_seen"], probed(record, name)[:, :, kind], colour, KINDS[kind])
            axes.grid(True)
            _seen_axis(axes, record)
        row[0].set(title=f"{title(record)}, $\\sigma$ = {probe:.2g}", ylabel="distance / $\\sigma\\sqrt{d}$")
        row[0].title.set_ha("left")
        row[0].title.set_x(0)
        row[1].set(ylabel="cosine of the prediction")
    for axes in cells[-1]:
        axes.set_xlabel(SEEN)
    figure.legend(*row[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


@book_figure
def cifar_panels(record: Record) -> BookFigure:
    """The same for small CIFAR-10: errors, gap over noise levels, and distances along the trajectory."""
    alt = "Errors through training, the gap over noise levels, and distances of states: CIFAR-10."
    figure = BookFigure(record, alt=alt, size=(6.9, 3.6))
    errors, gap, path = figure.subplots(1, 3)
    _errors(errors, record)
    errors.set(title="error per pixel $E(\\sigma)$")
    colour = _gap_lines(gap, record)
    gap.set(title=GAP, xlabel=SIGMA)
    bar = figure.colorbar(colour, ax=gap, label=SEEN, location="bottom", pad=0.02)
    ends = record["images_seen"][[0, -1]].tolist()
    bar.set_ticks(ends, labels=[f"{end:,}" for end in ends])
    bar.minorticks_off()
    for kind, shade in enumerate(COLOURS):
        _band(path, record["images_seen"], probed(record, "distance")[:, :, kind], shade, SHORT[kind])
    path.set(title="distance / $\\sigma\\sqrt{d}$")
    path.set_xlabel(f"{SEEN} ($\\sigma$ = {record['probe'][probe_place(record)]:.2g})")
    _seen_axis(path, record)
    _legend(figure)
    return figure


def _band(axes: Axes, x: np.ndarray, values: np.ndarray, colour: Any, text: str | None = None) -> None:
    """The mean over seeds of [seed, look], and from the lowest to the highest seed."""
    axes.fill_between(x, values.min(0), values.max(0), color=colour, alpha=0.2, lw=0)
    axes.plot(x, values.mean(0), color=colour, label=text)


def _seen_axis(axes: Axes, record: Record) -> None:
    low, high = record["images_seen"][[0, -1]]
    axes.set(xscale="log", xlim=(low, high))
    inside = [tick for tick in (10**k for k in range(2, 9)) if low <= tick <= high]
    axes.set_xticks(inside, [_short(tick) for tick in inside])
    axes.minorticks_off()


def _short(count: float) -> str:
    return f"{count / 1e6:g} M" if count >= 1e6 else f"{count:,.0f}"


# --------------------------------------------------------------------------------------------------- tables


@book_figure
def run_table(*records: Record) -> BookTable:
    """The last look at every run."""
    header = ("run", "peak G", "at σ", "gap of samples", "copies", "FD to training", "floor")
    return BookTable(
        *records, header=header, rows=[_run_row(record) for record in records],
        note="Last look: mean over seeds (lowest to highest). Floor: training against held-out images.",
    )  # fmt: skip


def _run_row(record: Record) -> tuple[str, ...]:
    share = 100 * copies(record)[:, -1]
    return (
        title(record), _span(peak(record)[:, -1]), f"{record['sigma'][peak_level(record)]:.2g}",
        _span(sample_gap(record)[:, -1, -1]), f"{share.mean():.1f} %",
        f"{record['frechet_train'][:, -1, -1].mean():.2f}", f"{record['floor'].mean():.2f}",
    )  # fmt: skip


@book_figure
def stop_table(*records: Record) -> BookTable:
    """The Fréchet gap of trajectories stopped at several noise levels, at the last look."""
    probes = [f"stopped at σ {level:.2g}" for level in records[0]["probe"]]
    rows = [(title(record), *(_span(gap) for gap in sample_gap(record)[:, -1].T)) for record in records]
    return BookTable(
        *records, header=("run", *probes, "finished"), rows=rows,
        note="(FD_val − FD_train) / FD_train at the last look: mean over seeds (lowest to highest).",
    )  # fmt: skip


def _span(values: np.ndarray) -> str:
    """'1.07 (0.99 to 1.11)': mean, lowest and highest over seeds."""
    largest = abs(values).max()
    digits = 3 if largest < 0.1 else 2 if largest < 10 else 1
    text = f"{values.mean():.{digits}f} ({values.min():.{digits}f} to {values.max():.{digits}f})"
    return text.replace("-", "−")


# ------------------------------------------------------------------------------------------------- findings


def growth_finding(record: Record) -> Finding:
    """How far the peak of the gap grows."""
    top, seen = peak(record), record["images_seen"]
    times = top[:, -1].mean() / top[:, 0].mean()
    more = f", {times:.0f} times as much" if times > 1.5 else ""
    text = (
        f"{title(record)}: between {seen[0]:,} and {seen[-1]:,} images seen, the peak of G goes from "
        f"{_span(top[:, 0])} to {_span(top[:, -1])}{more}."
    )
    return Finding(record, text=text)


def overfit_finding(record: Record) -> Finding:
    """By how much the held-out error rises again, where the gap is largest."""
    level = peak_level(record)
    val, train = record["val"][:, :, level], record["train"][:, :, level]
    least = int(val.mean(0).argmin())
    head = f"{title(record)}, σ = {record['sigma'][level]:.2g}: the held-out error "
    if least == val.shape[1] - 1:
        return Finding(record, text=f"{head}is least at the last look: it has not turned.")
    rise, fall = 100 * (val[:, -1] / val.min(1) - 1), train[:, least].mean() / train[:, -1].mean()
    text = (
        f"{head}is least at {record['images_seen'][least]:,} images seen. At the end it is {_percent(rise)} "
        f"above that, and the training error is down by a factor {fall:.1f}."
    )
    return Finding(record, text=text)


def _percent(values: np.ndarray) -> str:
    low, mean, high = (f"{value:.0f}" for value in (values.min(), values.mean(), values.max()))
    return f"{mean} %" if low == high else f"{mean} % ({low} to {high} %)"


def onset_finding(record: Record) -> Finding:
    """Where overfitting begins, for noise levels from small to large."""
    sigma, seen, val = record["sigma"], record["images_seen"], record["val"].mean(0)
    place = val.argmin(0)
    shown = [int(np.abs(np.log(sigma / level)).argmin()) for level in (0.1, 0.2, 0.4, 0.8, 1.6)]
    parts = [
        f"{'not yet' if place[i] == len(seen) - 1 else f'{seen[place[i]]:,}'} at σ = {sigma[i]:.2g}"
        for i in dict.fromkeys(shown)
    ]
    text = f"{title(record)}: images seen at the least held-out error: {', '.join(parts)}."
    return Finding(record, text=text)


def samples_finding(record: Record) -> Finding:
    """Denoising gap against gap of samples over the last three doublings, and the floors."""
    mid = int(np.abs(np.log(record["step"] * 8 / record["step"][-1])).argmin())
    top, gap = peak(record), sample_gap(record)[:, :, -1]
    text = (
        f"{title(record)}: from {record['images_seen'][mid]:,} images seen to the end, the peak of G "
        f"goes from {_span(top[:, mid])} to {_span(top[:, -1])}, the gap of samples from "
        f"{_span(gap[:, mid])} to {_span(gap[:, -1])}. At the end "
        f"{_percent(100 * copies(record)[:, -1])} of the samples are copies. Fréchet distances: "
        f"{record['frechet_train'][:, -1, -1].mean():.2f} of samples to training images, "
        f"{record['frechet_val'][:, -1, -1].mean():.2f} to held-out ones, {record['floor'].mean():.2f} "
        f"between the two sets; all at {record['count'][0]} images."
    )
    return Finding(record, text=text)


def states_finding(record: Record) -> Finding:
    """Distances and similarities at the probe, at the last look."""
    distance, alike = (probed(record, name)[:, -1].mean(0) for name in ("distance", "similarity"))
    text = (
        f"{title(record)}, last look, σ = {record['probe'][probe_place(record)]:.2g}. Distance to the "
        f"nearest training image: {_three(distance)}. Cosine of the prediction with the most similar one: "
        f"{_three(alike)}."
    )
    return Finding(record, text=text)


def _three(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.3f} from {name}" for value, name in zip(values, KINDS, strict=True))
