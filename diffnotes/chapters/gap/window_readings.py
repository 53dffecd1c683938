"""What is read off `digits_window`. Intervals are [mean, low, high], Student's at 95 % over seeds."""

from __future__ import annotations

import numpy as np

from diffnotes.base.ranks import rank_correlation
from diffnotes.base.statistics import over_seeds
from diffnotes.chapters.checks import Nothing
from diffnotes.store import Record


def restricted(record: Record) -> np.ndarray:
    """Which cases are of the network that learned from whole images, from the largest window on."""
    return np.flatnonzero(record["trained"] == record["trained"][0])


def local(record: Record) -> np.ndarray:
    """The network that learned from whole images, on them, and then those that learned from windows."""
    return np.concatenate([[0], np.flatnonzero(record["trained"] != record["trained"][0])])


def peak(record: Record, cases: np.ndarray) -> np.ndarray:
    """The largest gap over noise levels [seed, case]."""
    found: np.ndarray = record["gap"][:, cases].max(2)
    return found


def drops(record: Record, cases: np.ndarray) -> list[np.ndarray]:
    """Interval of ln of the factor by which the peak falls from each window to the next smaller one."""
    top = peak(record, cases)
    if not (top > 0).all():
        raise Nothing("A peak of the gap is not above 0, so it has no factor by which it falls.")
    return [over_seeds(-one) for one in np.diff(np.log(top)).T]


def rise(record: Record) -> np.ndarray:
    """How many times as far predictions look at the largest noise as at the smallest [split, 3]: factors."""
    ends = np.log(record["range"][:, :, [0, -1]])
    return np.array([np.exp(over_seeds(one[:, 1] - one[:, 0])) for one in ends.transpose(1, 0, 2)])


def order(record: Record) -> np.ndarray:
    """Rank correlation of the range with the noise level [seed, split]."""
    return np.array([
        [rank_correlation(np.stack([record["sigma"], one], 1))[0, 1] for one in seed]
        for seed in record["range"]
    ])  # fmt: skip


def unlike(record: Record) -> np.ndarray:
    """By how much the range at held-out images differs from that at training images, as a share of the
    latter: at the level where the interval reaches farthest from 0, [mean, low, high]."""
    known, unseen = record["range"][:, 0], record["range"][:, 1]
    found = np.array([over_seeds(one) for one in (unseen / known - 1).T])
    worst: np.ndarray = found[np.abs(found).max(1).argmax()]
    return worst


def even(side: int) -> float:
    """The mean distance of two pixels of an image with so many a side: the range if all count alike."""
    places = np.stack(np.meshgrid(np.arange(side), np.arange(side)), -1).reshape(-1, 2)
    return float(np.linalg.norm(places[:, None] - places[None], axis=-1).mean())


def errors(record: Record, cases: np.ndarray) -> np.ndarray:
    """The held-out error of each case as a multiple of that of the first, at the noise level where the gap of
    the first is largest, in the mean over seeds [case]."""
    level = int(record["gap"][:, 0].mean(0).argmax())
    val = record["val"][:, :, level].mean(0)
    found: np.ndarray = val[cases] / val[0]
    return found
