"""What the chapter takes off the record of its features: metrics on sets whose answer is known."""

from __future__ import annotations

import numpy as np

from diffnotes.store import Record

MEDIAN, LOW, HIGH = 0.5, 0.05, 0.95


def kinds(record: Record) -> list[str]:
    """The kinds of sets with a known answer."""
    return list(map(str, record["kind"]))


def shown(record: Record, name: str, side: int, kind: str) -> np.ndarray:
    """An array of the calibration for images of one side and one kind of set."""
    found: np.ndarray = record[name][list(map(int, record["side"])).index(side), kinds(record).index(kind)]
    return found


def similarity(record: Record, side: int, kind: str) -> tuple[float, float, float]:
    """Median, 5 % and 95 % quantile over images of the largest cosine similarity to a training image."""
    values = np.interp((MEDIAN, LOW, HIGH), record["quantile"], shown(record, "similarity", side, kind))
    return float(values[0]), float(values[1]), float(values[2])


def distance(record: Record, name: str, side: int, kind: str) -> tuple[float, float]:
    """A distance between sets and its error: half the width of the middle 95 % of resampled sets.

    A resampled set repeats images and leaves others out, which moves every distance up, that of a set to
    itself too. So the resampled range lies above the value, and its ends are no interval for it; its width
    is what resampling tells of the error.
    """
    value, low, high = shown(record, name, side, kind).tolist()
    return value, (high - low) / 2
