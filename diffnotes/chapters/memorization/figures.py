"""Figures of chapter 3: losses, copies and fidelity through training, and when copying begins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.ticker import NullFormatter

from diffnotes.show.style import (
    BLUE,
    INK,
    ORANGE,
    PALETTE,
    RAMP,
    BookFigure,
    BookTable,
    Finding,
    book_figure,
)
from diffnotes.store import Record

FACTORS = {"n": "N", "width": "width", "batch": "B", "rate": "η"}
SPLIT, TEN = 1, 3  # places among the definitions of an onset
FELL_FROM = 0.1  # share of copies that a run must have reached to break down
LABELS = {
    "minimum": "held-out loss is least",
    "split": "losses part by 20 %",
    "copies 0.05": "5 % copies",
    "copies 0.1": "10 % copies",
    "copies 0.5": "50 % copies",
}
NAMES = {"digits": "digits", "cifar10": "CIFAR-10", "specimens": "specimens"}


def title(record: Record) -> str:
    """'digits' or 'CIFAR-10, 16 × 16', by the settings."""
    name = NAMES[record.spec["dataset"]]
    side = record.spec["side"]
    return f"{name}, {side} × {side}" if side else name


def label(record: Record, place: int) -> str:
    """'N = 64': the value of the factor at `place`."""
    return named(record.spec["sweep"], record["value"][place])


def named(factor: str, value: float) -> str:
    """'B = 8', 'η = 0.002'."""
    return f"{FACTORS[factor]} = {value:,g}" if factor == "rate" else f"{FACTORS[factor]} = {int(value):,}"


def default_place(record: Record) -> int:
    """Where the default run is in a sweep over n."""
    return int(np.flatnonzero(record["value"] == record.spec["n"])[0])


def looks(record: Record, place: int) -> int:
    """How many looks the runs at `place` have."""
    return int((record["step"][place, 0] > 0).sum())


def with_default(base: Record, record: Record, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Values and the array `name` of a sweep in rising order; the default run is in the sweep over n."""
    value, found, factor = record["value"].astype(float), record[name], record.spec["sweep"]
    if factor != "n":
        value = np.append(value, base.spec[factor])
        found = np.concatenate([found, base[name][default_place(base)][None]])
    order = np.argsort(value)
    return value[order], found[order]


def breakdowns(record: Record, place: int) -> list[tuple[float, float, float]]:
    """(top, low, end) of the share of copies of each seed in which it breaks down: after a top of at least
    FELL_FROM it falls below half of that."""
    found = []
    for share in record["copies"][place, :, : looks(record, place), -1, 0]:
        top = np.maximum.accumulate(share)
        fallen = np.flatnonzero((top >= FELL_FROM) & (share < top / 2))
        if len(fallen):
            first = int(fallen[0])
            found.append((float(top[first]), float(share[first:].min()), float(share[-1])))
    return found


def same_look(record: Record, place: int) -> bool:
    """Whether all seeds have the very same onset at every size, so that they tell nothing of the error."""
    times = record["onset"][:, :, -1, place]
    known = times[np.isfinite(times).all(1)]
    return bool(len(known) > 1 and times.shape[1] > 1 and (known == known[:, :1]).all())


# ----------------------------------------------------------------------------------------- one run, figure 1


@book_figure
def through_training(*records: Record) -> BookFigure:
    """Losses, copies and distance to real images against the training step, for the default run of each."""
    figure = BookFigure(
        *records, alt="Losses, copies and distances against training step.", size=(6.9, 2.6 * len(records))
    )
    axes = figure.subplots(len(records), 3, squeeze=False)
    for row, record in zip(axes, records, strict=True):
        _run_row(row, record, default_place(record))
    for axis in axes[-1]:
        axis.set_xlabel("training step τ")
    return figure


def _run_row(row: Sequence[Any], record: Record, place: int, average: int = -1) -> None:
    """Three panels of one run, over its seeds."""
    step = record["step"][place, 0]
    pairs = [("train_loss", "training", BLUE, "-"), ("test_loss", "held out", ORANGE, "--")]
    for name, text, colour, style in pairs:
        _band(row[0], step, record[name][place, :, :, average], colour, style, text)
    _band(row[1], step, record["copies"][place, :, :, average, 0], BLUE, "-", "of training images")
    base = record["copies_baseline"][place, :, :, average, 0]
    _band(row[1], step, base, ORANGE, "--", "of held-out images")
    _band(row[2], step, record["wasserstein_train"][place, :, :, average], BLUE, "-", "to training set")
    _band(row[2], step, record["wasserstein_few"][place, :, :, average], ORANGE, "--", "to held-out set")
    split = record["onset"][place, :, average, SPLIT]
    for axis, text in zip(row, ("loss", "share of copies", "sliced Wasserstein distance"), strict=True):
        _over_steps(axis, text)
        if np.isfinite(split).any():
            axis.axvline(float(np.nanmedian(split)), color=INK, lw=1, ls=":")
        axis.legend(loc="best", fontsize=8)
    row[1].set_ylim(-0.02, 1.02)
    row[0].set_title(f"{title(record)}, {label(record, place)}", loc="left")


def _over_steps(axis: Any, text: str) -> None:
    """A panel over the logarithm of steps; names of ticks between powers of ten would run into each other."""
    axis.set(xscale="log", ylabel=text)
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.set_ylim(bottom=0)
    axis.grid(True)


def _band(axis: Any, step: np.ndarray, values: np.ndarray, colour: Any, style: str, text: str) -> None:
    """The mean over seeds [seed, look], and the span of the seeds."""
    real = step > 0
    axis.fill_between(step[real], values.min(0)[real], values.max(0)[real], color=colour, alpha=0.2, lw=0)
    axis.plot(step[real], values.mean(0)[real], color=colour, ls=style, label=text)


# ------------------------------------------------------------------------------------- sweeps, figures 2 to 5


@book_figure
def size_sweep(*records: Record) -> BookFigure:
    """Losses, copies and fidelity for training sets of several sizes, against steps per training image."""
    figure = BookFigure(
        *records, alt="Losses, copies and distances for several sizes of the training set.",
        size=(6.9, 2.6 * len(records)),
    )  # fmt: skip
    axes = figure.subplots(len(records), 3, squeeze=False)
    for row, record in zip(axes, records, strict=True):
        places = np.argsort(record["value"])
        _sweep_row(row, [(record, place) for place in places], lambda r, p: float(r["value"][p]))
        row[0].set_title(title(record), loc="left")
    for axis in axes[-1]:
        axis.set_xlabel("training step τ / N")
    return figure


@book_figure
def factor_sweep(base: Record, sweep: Record) -> BookFigure:
    """The same for another factor; the default run comes from the sweep over n."""
    figure = BookFigure(base, sweep, alt="Losses, copies and distances against the step.", size=(6.9, 2.6))
    row, factor = figure.subplots(1, 3), sweep.spec["sweep"]
    runs = [(base, default_place(base)), *((sweep, place) for place in range(len(sweep["value"])))]
    runs.sort(key=lambda run: _value(run, factor))
    inverse = factor in ("batch", "rate")
    _sweep_row(row, runs, lambda r, p: 1 / _value((r, p), factor) if inverse else 1.0, factor)
    texts = {"batch": "images seen, τ B", "rate": "τ η", "width": "training step τ"}
    for axis in row:
        axis.set_xlabel(texts[factor])
    row[0].set_title(title(sweep), loc="left")
    return figure


def _value(run: tuple[Record, int], factor: str) -> float:
    """The value of a factor in one run."""
    record, place = run
    return float(record["value"][place] if record.spec["sweep"] == factor else record.spec[factor])


def _sweep_row(row: Sequence[Any], runs: Sequence[tuple[Record, int]], scale: Any, factor: str = "n") -> None:
    """Losses, copies and fidelity of several runs over steps divided by their scale."""
    for k, (record, place) in enumerate(runs):
        colour = RAMP(k / max(1, len(runs) - 1))
        step = record["step"][place, 0] / scale(record, place)
        text = named(factor, _value((record, place), factor))
        _band(row[0], step, record["test_loss"][place, :, :, -1], colour, "-", text)
        row[0].plot(step, record["train_loss"][place, :, :, -1].mean(0), color=colour, ls="--", lw=1.1)
        _band(row[1], step, record["copies"][place, :, :, -1, 0], colour, "-", text)
        _band(row[2], step, record["wasserstein"][place, :, :, -1], colour, "-", text)
    row[1].plot([], [], color=INK, ls="--", lw=1.1, label="training loss")
    texts = ("loss", "share of copies", "sliced Wasserstein distance")
    for axis, text in zip(row, texts, strict=True):
        _over_steps(axis, text)
    first = max(float(r["wasserstein"][p, :, 0, -1].max()) for r, p in runs)
    if row[2].get_ylim()[1] > 3 * first:  # a run that went astray would leave no room for the others
        row[2].set_ylim(0, 1.1 * first)
    row[1].legend(loc="upper left", fontsize=8)
    row[1].set_ylim(-0.02, 1.02)


# --------------------------------------------------------------------------------------------------- onsets


@book_figure
def onset(*records: Record) -> BookFigure:
    """When memorization sets in against N, by each definition, with the fitted power."""
    figure = BookFigure(*records, alt="Onset of memorization against the size of the set.", size=(6.9, 3.4))
    axes = figure.subplots(1, len(records), squeeze=False)[0]
    for axis, record in zip(axes, records, strict=True):
        for place, name in enumerate(record["definition"]):
            _onset_line(axis, record, place, PALETTE[place], LABELS[str(name)])
        axis.set(xscale="log", yscale="log", xlabel="training images N", ylabel="training step τ")
        axis.set_xticks(sorted(record["value"]), [f"{n}" for n in sorted(record["value"])])
        axis.minorticks_off()
        axis.set_title(title(record), loc="left")
        axis.grid(True)
        axis.legend(loc="upper left", fontsize=8)
        _heights(axis, record)
    return figure


def _heights(axis: Any, record: Record) -> None:
    """Limits with room for the legend; those of the looks where nothing sets in."""
    if np.isfinite(record["onset"][:, :, -1]).any():
        axis.set_ylim(top=8 * axis.get_ylim()[1])
    else:
        step = record["step"]
        axis.set_ylim(step[step > 0].min(), step.max())


def _onset_line(axis: Any, record: Record, place: int, colour: Any, text: str) -> None:
    order = np.argsort(record["value"])
    size, times = record["value"][order], record["onset"][order, :, -1, place]
    known = np.isfinite(times).all(1)
    power = record["exponent"][-1, place, 0]
    shown = f"{text}, power {power:.2f}" if np.isfinite(power) else text
    axis.plot(size[known], np.exp(np.log(times[known]).mean(1)), "-", color=colour, lw=1.2, label=shown)
    for seed in range(times.shape[1]):
        axis.plot(size, times[:, seed], "o", color=colour, ms=3.5)


@book_figure
def onset_table(*records: Record) -> BookTable:
    """The fitted exponents with their intervals."""
    header = ("training set", "onset", "exponent of N", "95 % interval", "sizes used")
    rows = [
        (title(record), LABELS[str(name)], *_power(record, place))
        for record in records
        for place, name in enumerate(record["definition"])
    ]
    note = "How the onset grows with N: a fit per seed, Student's interval"
    return BookTable(*records, header=header, rows=rows, note=note)


def _power(record: Record, place: int) -> tuple[str, str, str]:
    power, low, high, sizes = record["exponent"][-1, place]
    if not np.isfinite(power):  # a fit needs two sizes, its interval two seeds
        return "not reached" if sizes < 2 else "one seed, no fit", "", f"{int(sizes)}"
    spread = "the same look for all seeds" if same_look(record, place) else f"{low:.2f} to {high:.2f}"
    return f"{power:.2f}", spread, f"{int(sizes)}"


def onset_found(record: Record) -> Finding:
    """The exponents of the two definitions that the paper's curves allow, in a sentence."""
    split, ten = (record["exponent"][-1, place] for place in (SPLIT, TEN))
    if not np.isfinite([split[0], ten[0]]).all():
        why = "too few sizes get as far as memorizing for a power"
        if len(record.spec["seeds"]) < 2:
            why = "one seed gives no interval, so no power is fitted"
        return Finding(record, text=f"{title(record)}: {why}.")
    return Finding(record, text=(
        f"{title(record)}: the step at which the losses part grows as N to the power {split[0]:.2f} "
        f"(95 % interval {split[1]:.2f} to {split[2]:.2f}); the step at which a tenth of the samples are "
        f"copies, as N to the power {ten[0]:.2f} ({ten[1]:.2f} to {ten[2]:.2f}). "
        f"In the paper's curves the powers are 1.03 and 1.56."
    ))  # fmt: skip


@book_figure
def sweep_table(base: Record, *sweeps: Record) -> BookTable:
    """Onsets, rate and peak fidelity of every run: means over seeds."""
    header = ("run", "parameters", "losses part at", "10 % copies at", "rate", "peak fidelity", "last copies")
    rows = [_sweep_table_row(base, place, "n") for place in np.argsort(base["value"])]
    for sweep in sweeps:
        factor = sweep.spec["sweep"]
        rows += [_sweep_table_row(sweep, place, factor) for place in np.argsort(sweep["value"])]
    return BookTable(
        base, *sweeps, header=header, rows=rows,
        note=f"All runs on {title(base)}; means over seeds (± standard error); steps, weights averaged; "
        "peak fidelity is a distance, so less is better",
    )  # fmt: skip


def _sweep_table_row(record: Record, place: int, factor: str) -> tuple[str, ...]:
    times = record["onset"][place, :, -1]
    copies = record["copies"][place, :, looks(record, place) - 1, -1, 0]
    broken = ", breaks down" if breakdowns(record, place) else ""
    return (
        named(factor, record["value"][place]) + broken, f"{int(record['parameters'][place, 0]):,}",
        _mean(times[:, SPLIT], 0), _mean(times[:, TEN], 0), _mean(record["rate"][place, :, -1], 2),
        _mean(record["best"][place, :, -1], 3), _mean(copies, 2),
    )  # fmt: skip


def _mean(values: np.ndarray, digits: int) -> str:
    if not np.isfinite(values).all():
        return "–"
    spread = values.std(ddof=1) / len(values) ** 0.5 if len(values) > 1 else np.nan
    more = f" ± {spread:,.{digits}f}" if np.isfinite(spread) else ""
    return f"{values.mean():,.{digits}f}{more}"
