"""Checks on `digits_conditions`: does a finer condition raise the gap, move its peak,
and give better samples?"""

from __future__ import annotations

import numpy as np

from diffnotes.chapters.checks import Check, Finding, verdict
from diffnotes.chapters.gap import condition_readings as readings
from diffnotes.show.labels import at_95
from diffnotes.store import Record


def _finer(record: Record) -> Finding:
    grown = readings.steps(record)
    factors = "; ".join(f"times {at_95(np.exp(one))}" for one in grown)
    return Finding(f"peak gap {_peaks(record)}", factors, verdict(*(bool(one[1] > 0) for one in grown)))


def _peaks(record: Record) -> str:
    return _each(record, readings.peak(record).mean(0)[readings.finer(record)])


def _each(record: Record, values: np.ndarray) -> str:
    """A number for each number of clusters: '0.48 (no condition), 0.62 (10 clusters)'."""
    counts = record["clusters"][readings.finer(record)]
    return ", ".join(f"{one:.2f} ({readings.named(int(k))})" for one, k in zip(values, counts, strict=True))


def _peak(record: Record) -> Finding:
    more = readings.shift(record)
    names = ", ".join(readings.named(int(k)) for k in record["clusters"][readings.finer(record)])
    text = f"{names}: {readings.places_text(record)}"
    return Finding(text, f"times {at_95(np.exp(more))}", verdict(bool(more[1] > 0)))


def _digit(record: Record) -> Finding:
    grown, top = readings.told_digit(record), readings.peak(record).mean(0)
    nothing, digit = top[readings.finer(record)[0]], top[readings.digits(record)]
    text = f"peak gap {nothing:.2f} told nothing, {digit:.2f} told the digit"
    return Finding(text, f"times {at_95(np.exp(grown))}", verdict(bool(grown[1] > 0)))


def _quality(record: Record) -> Finding:
    best, farther = readings.middling(record)
    count = int(record["clusters"][readings.finer(record)][best])
    text = f"Fréchet distance {_each(record, readings.distance(record).mean(0))}; peak gap {_peaks(record)}"
    ends = " and ".join(f"{at_95(one)}" for one in farther)
    without, finest = (bool(one[1] > 0) for one in farther)
    rising = all(one[1] > 0 for one in readings.steps(record))
    said = f"without and with the finest farther than with {count} by {ends}"
    return Finding(text, said, verdict(finest, also=(without, rising)))


CHECKS: dict[str, Check] = {
    "kaiser-net-conditions-digits": _finer,
    "kaiser-net-conditions-peak-digits": _peak,
    "kaiser-net-conditions-quality-digits": _quality,
    "ours-net-digit": _digit,
}
