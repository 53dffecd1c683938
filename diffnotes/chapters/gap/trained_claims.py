"""Checks on `digits_trained`: how much the sampler meets noised training images, and what guidance does."""

from __future__ import annotations

import numpy as np

from diffnotes.base.statistics import over_seeds
from diffnotes.chapters.checks import Check, Finding, verdict
from diffnotes.chapters.gap import trained_readings as readings
from diffnotes.chapters.gap.trained_readings import HELD_OUT, SAMPLER
from diffnotes.show.labels import at_95, bounds, minus
from diffnotes.store import Record

HARDLY = 0.1  # of states, the share that may lie where noised training images do
APART = 0.95  # area under the ROC curve from which on two kinds hardly overlap
NO_MORE = 0.05  # what a share may be above another and count as no more


def _overlap(record: Record) -> Finding:
    share, area = readings.share(record, SAMPLER), readings.area(record, SAMPLER)
    unseen, theirs = readings.share(record, HELD_OUT), readings.area(record, HELD_OUT)
    text = (
        f"σ {readings.level(record):.2f}: {100 * share[0]:.0f} % of states lie among noised training images, "
        f"of noised held-out images {100 * unseen[0]:.0f} %; area under the ROC curve {area[0]:.3f}, of "
        f"noised held-out images {theirs[0]:.3f}"
    )
    interval = f"{at_95(100 * share, 0, ' %')}; {at_95(area, 3)}"
    return Finding(text, interval, verdict(bool(share[2] < HARDLY), bool(area[1] > APART)))


def _no_more(record: Record) -> Finding:
    states, unseen, more = (
        readings.share(record, SAMPLER), readings.share(record, HELD_OUT), readings.excess(record)
    )  # fmt: skip
    text = (
        f"σ {readings.level(record):.2f}: {100 * states[0]:.0f} % of states, {100 * unseen[0]:.0f} % of "
        "noised held-out images lie among noised training images"
    )
    interval = f"{bounds(100 * more[1], 100 * more[2])} percentage points more at 95 %"
    return Finding(text, interval, verdict(bool(more[2] < NO_MORE)))


def _guidance(record: Record) -> Finding:
    place, gap, peak = readings.moderate(record), readings.sample_gap(record), readings.peak(record)
    samples, denoising = (readings.growth(one, place) for one in (gap, peak))
    more = over_seeds(samples - denoising)
    good = verdict(bool(over_seeds(samples)[1] > 0), bool(more[1] > 0))
    text = (
        f"w = 0 to {record['weight'][place]:g}: samples {_from_to(gap[:, [0, place]])}, denoising "
        f"{_from_to(peak[:, [0, place]])}"
    )
    return Finding(text, f"times {_times(samples)}, denoising times {_times(denoising)}", good)


def _times(logs: np.ndarray) -> str:
    """A factor with its interval."""
    return at_95(np.exp(over_seeds(logs)))


def _from_to(values: np.ndarray) -> str:
    """Means over seeds [seed, 2]."""
    first, last = values.mean(0)
    return minus(f"{first:.2f} to {last:.2f}")


def _strong(record: Record) -> Finding:
    gap, peak = readings.sample_gap(record), readings.peak(record)
    falls = [readings.fall(one) for one in (gap, peak)]
    names = ("samples", "denoising")
    text = "; ".join(
        f"{name} {minus(f'{one[:, :-1].mean(0).max():.2f} to {one[:, -1].mean():.2f}')}"
        for name, one in zip(names, (gap, peak), strict=True)
    )
    fallen = "; ".join(_change(name, one) for name, one in zip(names, falls, strict=True))
    at = f"largest below w = {record['weight'][-1]:g}, to that: {text}"
    return Finding(at, fallen, verdict(*(bool(one[1] > 0) for one in falls)))


def _change(name: str, fall: np.ndarray) -> str:
    """'gap of samples falls by 0.2 to 0.3 at 95 %'; where the whole interval is below 0, it rises."""
    if fall[2] < 0:
        return f"gap of {name} rises by {at_95(-fall[[0, 2, 1]])}"
    return f"gap of {name} falls by {at_95(fall)}"


CHECKS: dict[str, Check] = {
    "kaiser-net-overlap": _overlap,
    "ours-net-overlap": _no_more,
    "kaiser-net-guidance-digits": _guidance,
    "kaiser-net-guidance-strong-digits": _strong,
}
