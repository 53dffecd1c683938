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
MODERATE = 1.2  # weight of guidance with the largest gap of samples in the paper


# ---------------------------------------------------------------------------------------------- the overlap


def rise(record: Record) -> np.ndarray:
    """How far the pilot's last held-out error is above its least one [sigma]."""
    val = record["pilot_val"]
    found: np.ndarray = val[-1] / val.min(0) - 1
    return found


def chosen(record: Record) -> int:
    """Which of the levels is judged: the nearest to where the pilot's held-out error has risen most. Nothing
    where it has risen nowhere: then nothing is memorized to avoid."""
    if not rise(record).max() > 0:
        raise Nothing("The pilot’s held-out error rises at no noise level: nothing is memorized to avoid.")
    return int(record["chosen"])


def level(record: Record) -> float:
    """The noise level that is judged."""
    return float(record["level"][chosen(record)])


def share(record: Record, kind: int) -> np.ndarray:
    """Interval of the share of noisy images of a kind whose distance to the nearest training image is within
    the central 98 % of those of noised training images."""
    found = record["share"][:, chosen(record), kind]
    return _with_images(record, found) if kind == HELD_OUT else over_seeds(found)


def area(record: Record, kind: int) -> np.ndarray:
    """Interval of the area under the ROC curve by which that distance tells a kind from noised training
    images: 0.5 where it does not, 1 where it always does. For held-out images over seeds alone."""
    return over_seeds(record["area"][:, chosen(record), kind])


def excess(record: Record) -> np.ndarray:
    """Interval of: by how much the share of states is above that of noised held-out images."""
    both = record["share"][:, chosen(record)]
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

