"""Sentences of chapter 3: what the records say of onsets, distances, breakdowns and averages."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from diffnotes.chapters.memorization.figures import (
    LABELS,
    SPLIT,
    TEN,
    breakdowns,
    default_place,
    label,
    looks,
    named,
    same_look,
    title,
    with_default,
)
from diffnotes.show.style import Finding, together
from diffnotes.store import Record

UNITS = {"batch": ("images seen", "τ B"), "rate": ("units of τ η", "τ η")}


# ------------------------------------------------------------------------------------------------- one run


def order_found(*records: Record) -> Finding:
    """When the losses part and when a tenth of the samples are copies, and the control, for default runs."""
    return together(*(Finding(record, text=_order(record)) for record in records))


def _order(record: Record) -> str:
    place = default_place(record)
    split, ten = (record["onset"][place, :, -1, which].mean() for which in (SPLIT, TEN))
    base = 100 * record["copies_baseline"][place, :, : looks(record, place), -1, 0].max()
    head = f"{title(record)}, {label(record, place)}: "
    control = f" Of held-out images, at no look more than {base:.1f} % count as copied."
    if not np.isfinite([split, ten]).all():
        return f"{head}not every seed gets as far as parting losses and a tenth of copies.{control}"
    later = f"{ten / split:.1f} times as late" if ten > split else "not later"
    return (
        f"{head}the losses part at step {split:,.0f}, and a tenth of the samples are copies at step "
        f"{ten:,.0f}, {later}.{control}"
    )


def descent_found(*records: Record) -> Finding:
    """How far the distance of samples to held-out images rises again, at each N."""
    return together(*(Finding(record, text=_descent(record)) for record in records))


def _descent(record: Record) -> str:
    rises = ((label(record, place), _rise(record, place)) for place in np.argsort(record["value"]))
    parts = ", ".join(f"{f'{100 * rise:.0f} %' if rise > 0 else 'none'} at {name}" for name, rise in rises)
    return f"{title(record)}: largest rise of the distance above an earlier minimum: {parts}."


def _rise(record: Record, place: int) -> float:
    """Of the mean over seeds, as the claim on the double descent reads it."""
    curve = record["wasserstein"][place, :, : looks(record, place), -1].mean(0)
    return float((curve / np.minimum.accumulate(curve)).max() - 1)


def mismatch_found(*records: Record) -> Finding:
    """How far the distances to training and to held-out images differ, before the losses part and in all."""
    return together(*(Finding(record, text=_mismatch(record)) for record in records))


def _mismatch(record: Record) -> str:
    pairs = [_differences(record, place) for place in np.argsort(record["value"])]
    early, late = (_percents(shares) for shares in zip(*pairs, strict=True))
    sizes = ", ".join(f"{n:,}" for n in np.sort(record["value"]))
    return (
        f"{title(record)}, N = {sizes}: distances to training and to held-out images differ by at most "
        f"{early} % before the losses part, and by at most {late} % in all."
    )


def _differences(record: Record, place: int) -> tuple[float, float]:
    """The largest |to training / to held-out - 1| of means over seeds: before the losses part, and in all."""
    count = looks(record, place)
    train, other = (record[f"wasserstein_{n}"][place, :, :count, -1].mean(0) for n in ("train", "few"))
    off, split = np.abs(train / other - 1), record["onset"][place, :, -1, SPLIT]
    known = split[np.isfinite(split)]
    early = record["step"][place, 0, :count] <= (known.mean() if len(known) else np.inf)
    return float(off[early].max(initial=0)), float(off.max())


# --------------------------------------------------------------------------------------------------- onsets


def powers_found(*records: Record) -> Finding:
    """By which definitions the interval of the power of N holds 1, or lies above or below it."""
    return together(*(Finding(record, text=_powers(record)) for record in records))


def _powers(record: Record) -> str:
    names = [LABELS[str(name)] for name in record["definition"]]
    power, low, high, _ = record["exponent"][-1].T
    same = np.array([same_look(record, place) for place in range(len(names))])
    fitted = np.isfinite(low) & ~same
    kinds = {
        "contains 1 for": fitted & (low <= 1) & (high >= 1),
        "lies above 1 for": fitted & (low > 1),
        "lies below 1 for": fitted & (high < 1),
    }
    parts = [f"{kind} {_names(names, chosen)}" for kind, chosen in kinds.items() if chosen.any()]
    said = f"the interval of the power {'; it '.join(parts)}." if parts else "no power has an interval."
    if same.any():
        looked = ", ".join(f"{p:.2f}" for p in power[same])
        said += f" For {_names(names, same)} all seeds pick the same look (power {looked}): no interval."
    return f"{title(record)}: {said}{_local(record)}"


def _names(names: Sequence[str], chosen: np.ndarray) -> str:
    return ", ".join(f"“{name}”" for name, use in zip(names, chosen, strict=True) if use)


def _local(record: Record) -> str:
    """The power from each size to the next, where a tenth are copies."""
    order = np.argsort(record["value"])
    times = np.exp(np.log(record["onset"][order, :, -1, TEN]).mean(1))
    known = np.isfinite(times)
    if known.sum() < 3:
        return ""
    steps = np.diff(np.log(times[known])) / np.diff(np.log(record["value"][order][known]))
    return f" From each size to the next, the power at 10 % copies is {', '.join(f'{s:.2f}' for s in steps)}."


# --------------------------------------------------------------------------------------- width, batch, rate


def factor_found(base: Record, sweep: Record) -> Finding:
    """How much a factor moves the two onsets, in steps and in the paper's units: largest over least mean."""
    factor = sweep.spec["sweep"]
    values, times = with_default(base, sweep, "onset")
    parts = [_moved(factor, values, times[:, :, -1, place], LABELS[name])
             for place, name in ((SPLIT, "split"), (TEN, "copies 0.1"))]  # fmt: skip
    ends = f"from {named(factor, values[0])} to {named(factor, values[-1])}"
    return Finding(base, sweep, text=f"{title(base)}, {ends}: {'; '.join(parts)}.")


def _moved(factor: str, values: np.ndarray, times: np.ndarray, name: str) -> str:
    mean = times.mean(1)
    if np.isfinite(mean).sum() < 2:
        return f"“{name}” happens in every seed at fewer than two values"
    spans = [f"{_ratio(mean)} in steps"]
    if factor in UNITS:
        spans.append(f"{_ratio(mean * values)} in {UNITS[factor][0]}")
    missing = [named(factor, v) for v in values[~np.isfinite(mean)]]
    without = f" (without {', '.join(missing)}, where a seed never gets there)" if missing else ""
    return f"the onset “{name}” varies by a factor {' and '.join(spans)}{without}"


def _ratio(values: np.ndarray) -> str:
    known = values[np.isfinite(values)]
    return f"{known.max() / known.min():.2f}"


def breakdown_found(*records: Record) -> Finding:
    """Runs in which the share of copies reached a tenth and more, and then fell to less than half of it."""
    runs = [(record, place) for record in records for place in range(len(record["value"]))]
    parts = [part for run in runs for part in _broken(*run)]
    text = f"{title(records[0])}: no run loses half of its copies again."
    if parts:
        text = (
            f"{title(records[0])}: some runs break down, and means over their seeds say little about onset "
            f"and rate. {' '.join(parts)}"
        )
    return Finding(*records, text=text)


def _broken(record: Record, place: int) -> list[str]:
    found = breakdowns(record, place)
    if not found:
        return []
    tops, lows, ends = (_percents(shares) for shares in zip(*found, strict=True))
    seeds = record["onset"].shape[1]
    return [
        f"{label(record, place)}: in {len(found)} of {seeds} seeds copies reach {tops} %, fall to {lows} % "
        f"and end at {ends} %."
    ]


def _percents(shares: Sequence[float]) -> str:
    return ", ".join(f"{100 * share:.0f}" for share in shares)


# ------------------------------------------------------------------------------------------------- averages


def averages_found(base: Record, *sweeps: Record) -> Finding:
    """Peak fidelity for the weights as they are and for the longest average, and what the horizon changes."""
    return Finding(base, *sweeps, text=" ".join(_averages(base, record) for record in (base, *sweeps)))


def _averages(base: Record, record: Record) -> str:
    factor = record.spec["sweep"]
    values, best = with_default(base, record, "best")
    mean = best.mean(1)
    raw, long = (", ".join(f"{v:.3f}" for v in mean[:, place]) for place in (0, -1))
    head = f"{named(factor, values[0])} to {named(factor, values[-1])}: the least distance is "
    text = f"{head}{raw} with weights as they are and {long} with the longest average."
    if mean.shape[1] > 2:
        apart = 100 * np.abs(mean[:, 1:-1] / mean[:, -1:] - 1).max()
        text += f" A shorter average changes that by at most {apart:.1f} %."
    return text
