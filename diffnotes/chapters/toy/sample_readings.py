"""What is read off `toy_samples` and `optimal_sampler`: distances of samples, and where samples end.

Intervals are [mean, low, high], Student's at 95 % over sets of points.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy import ndarray as Array

from diffnotes.base.statistics import over_seeds
from diffnotes.chapters.checks import Nothing
from diffnotes.store import Record

EULER, HEUN, LAW = range(3)  # of `way`
SPLITS = ("training", "validation")
AUTHORS = {  # Fréchet distances at three model errors, read off the authors' stored plot, by split
    "training": {0.1: 0.077, 2.03: 0.057, 3.0: 0.19},
    "validation": {0.1: 0.465, 2.03: 0.386, 3.0: 0.473},
}
LAST_NOISE = 0.002  # the last noise level of the sampler before 0
COPY = 1 / 3  # of rho


# ------------------------------------------------------------------------------------- Fréchet distances


def distances(record: Record, way: int, split: int) -> Array:
    """Fréchet distances [support, delta] of samples made in one way."""
    return record["frechet"][:, :, way, split]


def least(record: Record, way: int, split: int) -> int:
    """Which model error has the least distance, in the mean over sets of points."""
    return int(distances(record, way, split).mean(0).argmin())


@dataclass(frozen=True)
class Dip:
    """The least mean distance at a model error, and how much more it is at both ends of the model errors."""

    delta: float
    distance: float
    above: tuple[Array, Array]  # intervals at the smallest and at the largest model error

    @property
    def midway(self) -> bool:
        """Whether both ends are above it by more than the interval."""
        return bool(all(one[1] > 0 for one in self.above))


def dip(record: Record, way: int, split: int) -> Dip:
    """Where samples are nearest to the points of a split."""
    found, delta = distances(record, way, split), record["delta"]
    place = least(record, way, split)
    low, high = (over_seeds(found[:, end] - found[:, place]) for end in (delta.argmin(), delta.argmax()))
    return Dip(float(delta[place]), float(found[:, place].mean()), (low, high))


def dips(record: Record) -> int:
    """For how many sets of points Euler's samples are nearest to training points at a δ midway."""
    delta, best = record["delta"], distances(record, EULER, 0).argmin(1)
    return int(((best != delta.argmin()) & (best != delta.argmax())).sum())


def in_first(record: Record, split: int) -> Dip | None:
    """Where Euler's samples are nearest to the points of a split, for the first set, that of the authors, and
    how much more both ends are; None where an end is nearest."""
    found, delta = distances(record, EULER, split)[0], record["delta"]
    place = int(found.argmin())
    ends = (delta.argmin(), delta.argmax())
    if place in ends:
        return None
    low, high = (np.full(3, found[end] - found[place]) for end in ends)
    return Dip(float(delta[place]), float(found[place]), (low, high))


def off(record: Record, split: int) -> Array:
    """By how much Euler's distances for the first set are above the authors', where these are known."""
    found = distances(record, EULER, split)[0] - authors(record, SPLITS[split])
    return found[np.isfinite(found)]


def cost(record: Record) -> tuple[float, Array]:
    """The model error that is best with Euler's method, and how much farther from training points it brings
    Heun's samples than the smallest model error does: an interval."""
    delta, place = record["delta"], least(record, EULER, 0)
    if place == delta.argmin():
        raise Nothing("no case to judge: with Euler’s method the smallest model error is best")
    heun = distances(record, HEUN, 0)
    return float(delta[place]), over_seeds(heun[:, place] - heun[:, delta.argmin()])


def authors(record: Record, split: str) -> Array:
    """The authors' distances [delta]; NaN where they are not known, or for another number of points."""
    known = AUTHORS[split] if record.spec["n"] == 500 else {}
    return np.array([known.get(round(float(delta), 2), np.nan) for delta in record["delta"]])


# ------------------------------------------------------------------------------------- where samples end


def closeness(record: Record) -> Array:
    """Distance of each end point to the nearest training point, over the length of the last noise, σ√d."""
    return record["distance"] / (LAST_NOISE * float(record["dimension"]) ** 0.5)


def on_points(record: Record) -> float:
    """The share of end points that are nearer to a training point than the last noise is long."""
    return float((closeness(record) < 1).mean())


def copies(record: Record) -> float:
    """The share of end points that are copies: three times closer to one training point than to any other."""
    return float((record["rho"] < COPY).mean())


def apart(record: Record) -> tuple[float, float]:
    """Median distance to the nearest training point: of end points, and of held-out points."""
    return float(np.median(record["distance"])), float(np.median(record["held_out"]))


def reached(record: Record) -> float:
    """The share of training points on which some sample ends, over what as many random draws would reach."""
    n, m = record.spec["n"], len(record["index"])
    return len(np.unique(record["index"])) / (n * (1 - (1 - 1 / n) ** m))


def settled(record: Record) -> Array:
    """At each noise level [l], the share of samples whose prediction is nearest to where they end."""
    return record["settled"].mean(1)


def decided(record: Record, share: float = 0.9) -> float:
    """The largest noise level from which on at least this share of samples is settled."""
    good = settled(record) >= share
    if not good[-1]:
        raise Nothing("Samples never settle.")
    first = len(good) - int(np.argmin(good[::-1])) if not good.all() else 0
    return float(record["sigma"][first])
