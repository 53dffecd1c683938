"""Figures of chapter 1, its networks: errors, gaps, samples and trajectories through training.

Lines are means over seeds, bands reach from the lowest seed to the highest.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes

from diffnotes.chapters.gap import findings, readings
from diffnotes.show.labels import joined
from diffnotes.show.style import (
    HELD_OUT,
    INK,
    SAMPLER,
    TRAIN,
    BookFigure,
    band,
    book_figure,
    log_ticks,
    ramp,
)
from diffnotes.store import Record

SIGMA = "noise level $\\sigma$"
GAP = "relative gap $G$"
SEEN = "images seen"
ERROR = "error per pixel $E$"
DISTANCE = "distance / $\\sigma\\sqrt{d}$"
ROLES = (TRAIN, HELD_OUT, SAMPLER)  # in the order of `kind`
TURN = "least held-out error"
MARKERS = "osD^v"
GAP_TICKS = (0, 0.1, 1, 10, 100)
BANDS = "Lines are means over seeds, bands reach from the lowest seed to the highest."


# ------------------------------------------------------------------------------------------ parts of figures


def gap_axis(axes: Axes, largest: float) -> None:
    """The vertical axis of G: linear around 0, logarithmic above a tenth, with room for `largest`."""
    axes.set_yscale("symlog", linthresh=0.1)
    ticks = [tick for tick in GAP_TICKS if tick <= 1.5 * largest]
    axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.set_ylim(-0.03, 1.5 * largest)


def sigma_axis(axes: Axes) -> None:
    """The horizontal axis of noise levels."""
    axes.set(xscale="log", xlabel=SIGMA)
    log_ticks(axes.xaxis, 0.01, 0.1, 1, 10)


def _seen_axis(axes: Axes, record: Record) -> None:
    low, high = record["images_seen"][[0, -1]]
    axes.set(xscale="log", xlim=(low, high), xlabel=SEEN)
    inside = [tick for tick in (10**k for k in range(2, 9)) if low <= tick <= high]
    axes.set_xticks(inside, [f"{tick / 1e6:g} M" if tick >= 1e6 else f"{tick:,}" for tick in inside])
    axes.minorticks_off()
    axes.grid(True)


def _errors(axes: Axes, record: Record, level: int) -> None:
    """Both errors at one noise level, and a line where the held-out error is least."""
    for role, name in ((TRAIN, "train"), (HELD_OUT, "val")):
        band(axes, record["images_seen"], record[name][:, :, level], role.curve())
    if readings.turned(record)[level]:
        seen = record["images_seen"][readings.least(record, level)]
        axes.axvline(seen, color=INK, lw=1)
    _seen_axis(axes, record)
    axes.set_ylim(bottom=0)


def _gap_lines(axes: Axes, record: Record) -> None:
    """G over noise levels, one line per evaluation, and the line of onsets."""
    sigma, gap = record["sigma"], record["gap"].mean(0)
    for place, line in enumerate(gap):
        axes.plot(sigma, line, color=ramp(place, len(gap)), lw=1.2)
    if readings.turned(record).any():
        axes.plot(sigma, readings.onset_gap(record), color=INK, lw=2, marker=".")
    sigma_axis(axes)
    axes.grid(True)


def _gap_key(*records: Record) -> dict[str, str]:
    """What the colours of `_gap_lines` mean."""
    seen = records[0]["images_seen"]
    ends = {f"{seen[place]:,} images seen": ramp(place, len(seen)) for place in (0, len(seen) - 1)}
    return ends | _turn_key(any(readings.turned(record).any() for record in records))


def _turn_key(shown: bool) -> dict[str, str]:
    """What the black line means, where there is one."""
    return {TURN: INK} if shown else {}


def _kinds(axes: Axes, record: Record, name: str) -> None:
    """`distance` or `similarity` at the probe, for each kind of noisy image."""
    for kind, role in enumerate(ROLES):
        band(axes, record["images_seen"], readings.probed(record, name)[:, :, kind], role.curve())
    _seen_axis(axes, record)


def _run_styles(records: Sequence[Record]) -> list[dict[str, Any]]:
    """Colour and marker of a run say how many images it has, dashes that its network is a smaller one."""
    sizes = sorted({record.spec["n"] for record in records})
    largest = max(map(readings.parameters, records))
    return [
        {
            "color": ramp(sizes.index(record.spec["n"]), len(sizes)), "markersize": 3.5,
            "marker": MARKERS[sizes.index(record.spec["n"])],
            "linestyle": "-" if readings.parameters(record) == largest else "--",
        }
        for record in records
    ]  # fmt: skip


# -------------------------------------------------------------------------------------------------- figures


@book_figure
def error_curves(*records: Record) -> BookFigure:
    """Training and held-out error against images seen, at one noise level for all: that of the first record's
    largest final gap. The paper's figure 1."""
    level = readings.peak_level(records[0])
    key = _turn_key(any(readings.turned(record)[level] for record in records))
    figure = BookFigure(
        *records, size=(6.9, 3.1), key=key,
        finding=joined(findings.overfit_text(record, level) for record in records),
        shows=f"Error per pixel at one noise level, σ = {records[0]['sigma'][level]:.2g}, on training and on "
        f"held-out images. {BANDS}",
    )  # fmt: skip
    cells = figure.subplots(1, len(records), squeeze=False, sharey=True)[0]
    for axes, record in zip(cells, records, strict=True):
        _errors(axes, record, level)
        axes.set_title(readings.title(record))
        axes.tick_params(labelleft=True)  # on a phone each column stands alone
    cells[0].set_ylabel(ERROR)
    cells[0].legend(loc="lower left")
    return figure


@book_figure
def gap_by_noise(*records: Record) -> BookFigure:
    """G over noise levels, one line per evaluation, and the line of onsets: the paper's figure 2. The records
    have the same evaluations."""
    rows = -(-len(records) // 2)
    figure = BookFigure(
        *records, size=(6.9, 0.4 + 2.4 * rows), key=_gap_key(*records),
        finding=findings.growth_text(*records),
        shows="The relative gap G over noise levels, one curve for each evaluation, in the mean over seeds. "
        "The thick curve is G at the least held-out error: above it a network is overfitted.",
    )  # fmt: skip
    cells = figure.subplots(rows, 2, squeeze=False, sharex=True, sharey=True)
    for axes, record in zip(cells.flat, records, strict=False):
        _gap_lines(axes, record)
        axes.set_title(readings.title(record))
        axes.tick_params(labelleft=True)
    gap_axis(cells[0, 0], max(readings.peak(record).mean(0).max() for record in records))
    for row in cells:
        row[0].set_ylabel(GAP)
    for axes in cells[:-1].flat:
        axes.set_xlabel("")
    return figure


@book_figure
def growth(*records: Record) -> BookFigure:
    """Peak gap and gap of samples against images seen, for several runs."""
    styles = _run_styles(records)
    names = [
        readings.title(record) + (" (dashed)" if style["linestyle"] == "--" else "")
        for record, style in zip(records, styles, strict=True)
    ]
    figure = BookFigure(
        *records, size=(6.9, 3.2),
        key={name: style["color"] for name, style in zip(names, styles, strict=True)},
        finding=findings.samples_text(records[0]),
        shows="Left, the largest G over noise levels; right, the relative gap of Fréchet distances of "
        f"samples. {BANDS}",
    )  # fmt: skip
    left, right = figure.subplots(1, 2)
    for record, style in zip(records, styles, strict=True):
        band(left, record["images_seen"], readings.peak(record), style)
        band(right, record["images_seen"], readings.sample_gap(record)[:, :, -1], style)
        for axes in (left, right):
            _seen_axis(axes, record)
    left.set(yscale="log", ylabel="largest $G$ over noise levels", title="denoising")
    right.set(ylabel="gap of Fréchet distances", title="samples")
    log_ticks(left.yaxis, 0.1, 1, 10)
    return figure


@book_figure
def paths(*records: Record) -> BookFigure:
    """Where the sampler goes: distances to the nearest training image, and similarities of predictions."""
    figure = BookFigure(
        *records, size=(6.9, 0.2 + 2.5 * len(records)),
        finding=joined(map(findings.states_text, records)),
        shows="Left, distance of noisy images to the nearest training image, where noise alone is 1; right, "
        "cosine between the prediction for them and the most similar training image. The noisy images are "
        "noised training images, noised held-out images, and states of the sampler. σ = "
        f"{joined(dict.fromkeys(map(findings.probe_text, records)))} {BANDS}",
    )  # fmt: skip
    cells = figure.subplots(len(records), 2, squeeze=False)
    for row, record in zip(cells, records, strict=True):
        _kinds(row[0], record, "distance")
        _kinds(row[1], record, "similarity")
        row[0].set(title=readings.title(record), ylabel=DISTANCE)
        row[1].set(title=f"$\\sigma$ = {readings.probe_sigma(record):.2g}", ylabel="cosine of the prediction")
    for axes in cells[:-1].flat:
        axes.set_xlabel("")
    cells[0, 1].legend(loc="lower right")
    return figure


@book_figure
def cifar_panels(record: Record) -> BookFigure:
    """The same for small CIFAR-10: errors, gap over noise levels, and distances along the trajectory."""
    level = readings.peak_level(record)
    figure = BookFigure(
        record, size=(6.9, 3.0), key=_gap_key(record),
        finding=joined([findings.growth_text(record), findings.overfit_text(record, level)]),
        shows=f"{readings.title(record)}. Left, error per pixel at σ = {record['sigma'][level]:.2g}; middle, "
        "the relative gap, one curve for each evaluation; right, distance of noisy images at "
        f"σ = {readings.probe_sigma(record):.2g} to the nearest training image, where noise alone is 1. "
        f"{BANDS}",
    )  # fmt: skip
    errors, gap, path = figure.subplots(1, 3)
    _errors(errors, record, level)
    _gap_lines(gap, record)
    _kinds(path, record, "distance")
    for axes, title in ((errors, ERROR), (gap, GAP), (path, DISTANCE)):
        axes.set_title(title)
    errors.legend(loc="lower left")
    path.legend(loc="upper right")
    return figure
