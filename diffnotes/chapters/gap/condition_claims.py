"""Checks on `digits_conditions`: does a finer condition raise the gap, and move its peak?"""

from __future__ import annotations

import numpy as np

from diffnotes.chapters.checks import Check, Finding, verdict
from diffnotes.chapters.gap import condition_readings as readings
from diffnotes.show.labels import at_95
from diffnotes.store import Record


def _finer(record: Record) -> Finding:
    top, grown = readings.peak(record).mean(0), readings.steps(record)
    parts = [f"{one:.2f} ({readings.named(k)})" for one, k in zip(top, record["clusters"], strict=True)]
    factors = "; ".join(f"times {at_95(np.exp(one))}" for one in grown)
    return Finding(f"peak gap {', '.join(parts)}", factors, verdict(*(bool(one[1] > 0) for one in grown)))


def _peak(record: Record) -> Finding:
    more, names = readings.shift(record), ", ".join(map(readings.named, record["clusters"]))
    text = f"{names}: {readings.places_text(record)}"
    return Finding(text, f"times {at_95(np.exp(more))}", verdict(bool(more[1] > 0)))


CHECKS: dict[str, Check] = {
    "kaiser-net-conditions-digits": _finer,
    "kaiser-net-conditions-peak-digits": _peak,
}
