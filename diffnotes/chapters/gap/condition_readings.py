"""What is read off `digits_conditions`. Intervals are [mean, low, high], Student's at 95 % over seeds."""

from __future__ import annotations

import numpy as np

from diffnotes.base.statistics import over_seeds
from diffnotes.chapters.checks import Nothing
from diffnotes.store import Record

DIGITS = 0  # in place of a number of clusters: the condition is the digit


def finer(record: Record) -> np.ndarray:
    """Which conditions are clusters, ever finer, from none on."""
    return np.flatnonzero(record["clusters"] != DIGITS)


def digits(record: Record) -> int:
    """Which condition is the digit."""
    found = np.flatnonzero(record["clusters"] == DIGITS)
    if not len(found):
        raise Nothing("The record has no network that was told the digit.")
    return int(found[0])


def peak(record: Record, evaluation: int = -1) -> np.ndarray:
    """The largest gap over noise levels [seed, condition]."""
    found: np.ndarray = record["gap"][:, :, evaluation].max(2)
    return found


def steps(record: Record) -> list[np.ndarray]:
    """Interval of ln of the factor by which the last peak grows from each number of clusters to the next."""
    return [over_seeds(one) for one in np.diff(_logs(record)[:, finer(record)]).T]


def told_digit(record: Record) -> np.ndarray:
    """Interval of ln of the factor by which the last peak is higher when the digit is told."""
    top = _logs(record)
    return over_seeds(top[:, digits(record)] - top[:, finer(record)[0]])


def _logs(record: Record) -> np.ndarray:
    """ln of the last peak [seed, condition]."""
    top = peak(record)
    if not (top > 0).all():
        raise Nothing("A peak of the gap is not above 0, so it has no factor by which it grows.")
    found: np.ndarray = np.log(top)
    return found


def distance(record: Record) -> np.ndarray:
    """Fréchet distance of samples to training images at the last evaluation [seed, number of clusters]."""
    found: np.ndarray = record["frechet_train"][:, finer(record), -1]
    return found


def middling(record: Record) -> tuple[int, list[np.ndarray]]:
    """The number of clusters between none and the finest with which samples are nearest to training images
    in the mean over seeds, and by how much none and the finest are farther: intervals of differences."""
    far = distance(record)
    best = 1 + int(far[:, 1:-1].mean(0).argmin())
    return best, [over_seeds(far[:, end] - far[:, best]) for end in (0, -1)]


def place(record: Record) -> np.ndarray:
    """ln σ of the last peak [seed, condition]: its mean over the levels where the gap is at least half of its
    largest value, weighted by the gap."""
    gap = record["gap"][:, :, -1]
    weight = np.where(gap >= 0.5 * gap.max(2, keepdims=True), gap, 0.0)
    found: np.ndarray = (weight * np.log(record["sigma"])).sum(2) / weight.sum(2)
    return found


def shift(record: Record) -> np.ndarray:
    """Interval of how much larger ln σ of the peak is for the finest condition than for none."""
    found = place(record)[:, finer(record)]
    return over_seeds(found[:, -1] - found[:, 0])


def largest(record: Record) -> np.ndarray:
    """The noise level at which the last gap, in its mean over seeds, is largest [condition]."""
    found: np.ndarray = record["sigma"][record["gap"][:, :, -1].mean(0).argmax(1)]
    return found


def places_text(record: Record) -> str:
    """Where the curves are highest, and where the centre is that the rule takes."""
    tops = ", ".join(f"{one:.2f}" for one in largest(record)[finer(record)])
    first, last = np.exp(place(record).mean(0)[finer(record)][[0, -1]])
    return (
        f"largest G at σ {tops}; the centre of the upper half of the bump goes from {first:.3f} to "
        f"{last:.3f}, which counts the shoulder at large σ"
    )


def named(count: int) -> str:
    """'no condition', '50 clusters', 'the digit'."""
    return {DIGITS: "the digit", 1: "no condition"}.get(count, f"{count} clusters")
