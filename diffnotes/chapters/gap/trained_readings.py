"""What is read off `digits_trained`: overlap of states with noised training images, and guidance.

An interval is [mean, low, high], Student's at 95 % over seeds; the pilot's seed is in none of them. All seeds
share their held-out images: where these count as a share, intervals are widened by its error.
"""

from __future__ import annotations

import numpy as np

from diffnotes.base.statistics import over_seeds
from diffnotes.chapters.checks import Nothing
from diffnotes.chapters.gap.readings import shared
from diffnotes.store import Record

TRAINING, HELD_OUT, SAMPLER = range(3)  # kinds of noisy images
SOME = 0.05  # a share of held-out images that can be compared with
MODERATE = 1.2  # weight of guidance with the largest gap of samples in the paper


# ---------------------------------------------------------------------------------------------- the overlap


def rise(record: Record) -> np.ndarray:
    """How far the pilot's last held-out error is above its least one [sigma]."""
    val = record["pilot_val"]
    found: np.ndarray = val[-1] / val.min(0) - 1
    return found


def flat(record: Record, part: float = 0.85) -> tuple[float, float]:
    """The noise levels between which the pilot's rise is at least this part of its largest value."""
    found = rise(record)
    wide = record["sigma"][found >= part * found.max()]
    return float(wide.min()), float(wide.max())


def most(record: Record) -> float:
    """The noise level of the sampler that is nearest to where the pilot's held-out error has risen most."""
    return float(record["level"][int(record["chosen"])])


def judged(record: Record) -> int:
    """Which of the levels is judged: the smallest at which some held-out images overlap, from the one where
    the pilot's held-out error has risen most. Nothing where none overlap, or where that error has not risen:
    then nothing is memorized to avoid."""
    levels, unseen = record["level"], record["share"][:, :, HELD_OUT].mean(0)
    fit = np.flatnonzero((unseen >= SOME) & (levels >= most(record)))
    if not len(fit):
        raise Nothing("no case to judge: held-out images themselves do not overlap")
    place = int(fit[levels[fit].argmin()])
    if not rise(record)[np.abs(np.log(record["sigma"] / levels[place])).argmin()] > 0:
        raise Nothing("no case to judge: the pilot’s held-out error has not risen there")
    return place


def level(record: Record) -> float:
    """The noise level that is judged."""
    return float(record["level"][judged(record)])


def position(record: Record) -> np.ndarray:
    """Where the mean distance of states lies between that of noised training images (0) and of noised
    held-out images (1), at the level of the largest rise [seed]."""
    mean = record["distance"].mean(2)
    found: np.ndarray = (mean[:, SAMPLER] - mean[:, TRAINING]) / (mean[:, HELD_OUT] - mean[:, TRAINING])
    return found


def share(record: Record, kind: int) -> np.ndarray:
    """Interval of the share of noisy images of a kind whose distance to the nearest training image is within
    the central 98 % of those of noised training images."""
    found = record["share"][:, judged(record), kind]
    return _with_images(record, found) if kind == HELD_OUT else over_seeds(found)


def area(record: Record, kind: int) -> np.ndarray:
    """Interval of the area under the ROC curve by which that distance tells a kind from noised training
    images: 0.5 where it does not, 1 where it always does. For held-out images over seeds alone."""
    return over_seeds(record["area"][:, judged(record), kind])


def excess(record: Record) -> np.ndarray:
    """Interval of: by how much the share of states is above that of noised held-out images."""
    both = record["share"][:, judged(record)]
    return _with_images(record, both[:, SAMPLER] - both[:, HELD_OUT], both[:, HELD_OUT])


def _with_images(record: Record, values: np.ndarray, shares: np.ndarray | None = None) -> np.ndarray:
    """Interval over seeds, with the binomial error of shares over the held-out images."""
    some, count = values if shares is None else shares, record["distance"].shape[2]
    return shared(values, np.sqrt(some * (1 - some) / count), count)


# ------------------------------------------------------------------------------------------------- guidance


def sample_gap(record: Record) -> np.ndarray:
    """(FD_val - FD_train) / FD_train of guided samples [seed, weight]."""
    found: np.ndarray = record["frechet_val"] / record["frechet_train"] - 1
    return found


def peak(record: Record) -> np.ndarray:
    """The largest denoising gap over noise levels [seed, weight]."""
    found: np.ndarray = record["gap"].max(2)
    return found


def moderate(record: Record) -> int:
    """Which weight is moderate, by the paper."""
    return int(np.abs(record["weight"] - MODERATE).argmin())


def growth(values: np.ndarray, place: int) -> np.ndarray:
    """ln of values [seed, weight] at a weight over those without guidance [seed]."""
    if not (values > 0).all():
        raise Nothing("A gap is not above 0, so it has no factor by which it grows.")
    found: np.ndarray = np.log(values[:, place] / values[:, 0])
    return found


def fall(values: np.ndarray) -> np.ndarray:
    """Interval of: by how much values [seed, weight] at the last weight are below those at the weight before
    it where their mean is largest."""
    top = int(values[:, :-1].mean(0).argmax())
    return over_seeds(values[:, top] - values[:, -1])

