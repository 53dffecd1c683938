"""Checks on `digits_window`: does a smaller window lower the gap, and how far do predictions look?"""

from __future__ import annotations

from functools import partial

import numpy as np

from diffnotes.chapters.checks import Check, Finding, verdict
from diffnotes.chapters.gap import window_readings as readings
from diffnotes.show.labels import at_95, bounds
from diffnotes.store import Record

TWICE = 2.0  # how many times as far predictions look at the largest noise, at least
ORDERED = 0.9  # rank correlation of range and noise level, at least
ALIKE = 0.05  # by what share the ranges of two splits may differ and count as alike


def _smaller(record: Record, own: bool) -> Finding:
    cases = readings.local(record) if own else readings.restricted(record)
    top, fallen = readings.peak(record, cases).mean(0), readings.drops(record, cases)
    parts = [f"{one:.2f} ({side} pixels)" for one, side in zip(top, record["window"][cases], strict=True)]
    factors = "; ".join(f"divided by {at_95(np.exp(one))}" for one in fallen)
    return Finding(f"peak gap {', '.join(parts)}", factors, verdict(*(bool(one[1] > 0) for one in fallen)))


def _range(record: Record) -> Finding:
    rise, order, apart = readings.rise(record), readings.order(record), readings.unlike(record)
    ends = record["range"][:, :, [0, -1]].mean((0, 1))
    text = (
        f"{ends[0]:.2f} to {ends[1]:.2f} pixels; rank correlation with the noise level "
        f"{bounds(order.min(), order.max(), 2)}; held-out images differ by "
        f"{bounds(100 * apart[1], 100 * apart[2], 1, ' %')} at the worst level"
    )
    factors = "; ".join(f"times {at_95(one, 1)}" for one in rise)
    parts = (
        bool((rise[:, 1] > TWICE).all()), bool((order > ORDERED).all()),
        bool(np.abs(apart[1:]).max() < ALIKE),
    )  # fmt: skip
    return Finding(text, factors, verdict(*parts))


CHECKS: dict[str, Check] = {
    "kaiser-net-field-digits": partial(_smaller, own=False),
    "ours-net-field": partial(_smaller, own=True),
    "kaiser-net-range-digits": _range,
}
