"""What is read off the records of chapter 2's supervision region: every number of its figures, tables,
sentences and claims.

Times are those of flow matching, z = (1 - t) x + t eps. Intervals are [middle, low, high] at 95 %, over
images. The paper's values were measured off the vector drawings of its figures (Song et al., arXiv
2510.01378).
"""

from __future__ import annotations

import numpy as np

from diffnotes.base.statistics import over_seeds
from diffnotes.show.labels import dataset
from diffnotes.store import Record

# Figure 4 of the paper: C(t) of one class in latents of 4,096 values is exp(-PANDA_RATE ((1 - t)/t)^2).
PANDA_RATE, PANDA_DISTANCE, PANDA_DIM = 238.6, 43.7, 4096
# Figure 2 of the paper, medians: t, and the exact gap of scores at noised training images.
PAPER_EXACT = np.array([
    (0.85, 0.0), (0.87, 1.3e-5), (0.88, 1.4e-3), (0.89, 0.069), (0.90, 1.7), (0.91, 3.57), (0.93, 2.3),
    (0.95, 0.78), (0.97, 0.33), (0.99, 0.10), (1.0, 0.0),
])  # fmt: skip
# The same of the network, at the states of its sampler.
PAPER_LEARNED = np.array([
    (0.01, 1460), (0.06, 441), (0.11, 231), (0.21, 84), (0.31, 36), (0.41, 17), (0.51, 8.3), (0.61, 4.7),
    (0.71, 2.3), (0.81, 1.02), (0.86, 0.53), (0.91, 0.21), (0.96, 0.052), (0.99, 0.0095), (1.0, 0.0),
])  # fmt: skip

SEPARATE = 0.01  # a coefficient below which two shells count as apart
NEAR_ONE = 0.03  # how far from 1 a ratio may be that counts as on a shell
SURE = 0.99  # posterior weight of the true image from which on it counts as known
WINDOW = (0.3, 0.7)  # times at which held-out images are held against their distances
NOTHING = 1e-4  # a gap of scores below which the paper's axis shows none
DELTA = 0.01  # of shell widths that are shown
SHARES = {"nearest pair": 0.0, "99 % of images": 0.01, "median image": 0.5}  # of nearest distances
LOOSE, TIGHT, EXACT = range(3)  # kinds of half widths: `kind`


def title(record: Record) -> str:
    """'CIFAR-10, d = 3,072'."""
    return f"{dataset(record)}, d = {dimension(record):,}"


def dimension(record: Record) -> int:
    """Values of an image."""
    return int(record["dim"])


def count(record: Record) -> int:
    """Training images."""
    return int(record["n"])


# ------------------------------------------------------------------------------------------------- intervals


def quantiles(values: np.ndarray) -> np.ndarray:
    """10, 50 and 90 % over images, [3, time] of [time, image]."""
    return np.quantile(values, [0.1, 0.5, 0.9], axis=1)


def mean_interval(values: np.ndarray) -> np.ndarray:
    """Mean and Student's interval over images, [3, time] of [time, image]."""
    return np.stack([over_seeds(row) for row in np.asarray(values, np.float64)], 1)


def median_interval(values: np.ndarray) -> np.ndarray:
    """Median and its interval by order statistics, [3, time] of [time, image]: whatever the law of the
    values, the ranks m/2 -+ 0.98 sqrt(m) hold the population's median between them 95 times in 100."""
    ordered = np.sort(values, 1)
    size = ordered.shape[1]
    half = 0.98 * size**0.5
    low, high = int(max(0, np.floor(size / 2 - half))), int(min(size - 1, np.ceil(size / 2 + half)))
    return np.stack([np.median(ordered, 1), ordered[:, low], ordered[:, high]])


# ---------------------------------------------------------------------------------------- width of the shell


def dims_from(record: Record, least: int) -> np.ndarray:
    """Which dimensions are at least so many, bool [dimension]."""
    return record["dim"] >= least


def delta_place(record: Record) -> int:
    """The place of DELTA among the probabilities of `shell_width`."""
    return int(np.abs(np.log(record["delta"] / DELTA)).argmin())


def relative_width(record: Record, kind: int) -> np.ndarray:
    """Half width over radius, [dimension, delta]."""
    return record["width"][kind] / np.sqrt(record["dim"])[:, None]


def excess(record: Record, kind: int) -> np.ndarray:
    """The probability of being outside over delta, [dimension, delta]: at most 1 where the width is
    enough."""
    return record["outside"][kind] / record["delta"]


# ------------------------------------------------------------------------------------------ overlap of shells


def distance_at(record: Record, share: float) -> float:
    """The distance to the nearest other image that a share of the training images does not exceed."""
    return float(np.interp(share, record["share"], record["nearest"]))


def overlap(distance: float, t: np.ndarray) -> np.ndarray:
    """C(t) = exp(-((1 - t) D / t)^2 / 8) of two images at the distance D."""
    return np.exp(-(((1 - t) * distance / t) ** 2) / 8)


def panda(t: np.ndarray) -> np.ndarray:
    """The paper's C(t)."""
    return np.exp(-PANDA_RATE * ((1 - t) / t) ** 2)


def time_of(noise_ratio: float) -> float:
    """The t with t/(1 - t) = noise_ratio."""
    return noise_ratio / (1 + noise_ratio)


def separated_until(record: Record, share: float) -> float:
    """The t at which C reaches SEPARATE for images at the distance of this share."""
    return time_of(distance_at(record, share) / np.sqrt(8 * np.log(1 / SEPARATE)))


def panda_until() -> float:
    """The same of the paper's class."""
    return time_of(float(np.sqrt(PANDA_RATE / np.log(1 / SEPARATE))))


def criterion(record: Record, share: float = 0.5) -> float:
    """The t from which on sigma sqrt(d) exceeds alpha D: beyond it the paper's condition is broken."""
    return time_of(distance_at(record, share) / np.sqrt(dimension(record)))


def near_duplicates(record: Record) -> int:
    """Images nearer to another than half the median nearest distance."""
    return int(record["near_duplicates"])


# --------------------------------------------------------------------------------------- images on the shells


def on_shell(record: Record, name: str) -> np.ndarray:
    """Share of noised images with a ratio within NEAR_ONE of 1, [time]; `name` is of the ratio."""
    return (np.abs(record[name] - 1) <= NEAR_ONE).mean(1)


def analytic(record: Record) -> np.ndarray:
    """sqrt(1 + ((1 - t)/t)^2 D^2/d) of each held-out image at distance D from the training images, [time,
    image]: the root of the mean square of its ratio to the image nearest to it, over the noise."""
    t, far = record["t"][:, None], record["distance_held_out"] ** 2 / dimension(record)
    return np.sqrt(1 + ((1 - t) / t) ** 2 * far)


def held_out_interval(record: Record) -> np.ndarray:
    """Mean r* of noised held-out images with its interval over images, [3, time]."""
    return mean_interval(record["ratio_held_out"])


def agrees(record: Record) -> np.ndarray:
    """Whether the analytic ratio less r*, image by image, is 0 within its interval, bool [time]."""
    _, low, high = shortfall(record)
    return (low <= 0) & (high >= 0)


def shortfall(record: Record, name: str = "ratio_held_out") -> np.ndarray:
    """The analytic ratio less that of `name`, image by image: mean and interval, [3, time]."""
    return mean_interval(analytic(record) - record[name])


def in_window(record: Record) -> np.ndarray:
    """Which times lie in WINDOW, bool [time]."""
    return (record["t"] > WINDOW[0] - 1e-9) & (record["t"] < WINDOW[1] + 1e-9)


def place_of(record: Record, t: float) -> int:
    """The place of the time nearest to t."""
    return int(np.abs(record["t"] - t).argmin())


# ------------------------------------------------------------------------------------------------- posterior


def sure(record: Record) -> np.ndarray:
    """Share of noised training images whose own image has posterior weight above SURE, [time]."""
    return (record["own"] > SURE).mean(1)


def known_until(record: Record) -> float:
    """The last time tried up to which the median weight of the true image stays above one half."""
    return _unbroken(record["t"], np.median(record["own"], 1) > 0.5)


def _unbroken(t: np.ndarray, holds: np.ndarray) -> float:
    """The last time up to which something holds without a break; 0 where it does not from the start."""
    first = len(holds) if holds.all() else int(holds.argmin())
    return float(t[first - 1]) if first else 0.0


def sure_until(record: Record) -> float:
    """The last time tried up to which the median weight of the true image stays above SURE."""
    return _unbroken(record["t"], np.median(record["own"], 1) > SURE)


def selection(record: Record) -> np.ndarray:
    """The ratio to the image nearest to the clean one less r*, image by image: mean, interval, [3, time]."""
    return mean_interval(record["ratio_nearest"] - record["ratio_held_out"])


def after_criterion(record: Record) -> int:
    """The place of the first time at which sigma sqrt(d) exceeds alpha times the median nearest distance."""
    beyond = record["t"] > criterion(record)
    return int(beyond.argmax()) if beyond.any() else len(beyond) - 1


# -------------------------------------------------------------------------------------------------- guidance


def score_gap(record: Record) -> np.ndarray:
    """|s*(z | c) - s*(z)|, neither squared nor divided by d, as in the paper: (1 - t)/t^2 times the distance
    of the posterior means; [time, image]."""
    t = record["t"][:, None]
    return (1 - t) / t**2 * np.sqrt(record["gap"].astype(np.float64) * dimension(record))


def is_nothing(record: Record) -> np.ndarray:
    """Whether the median gap of scores is below what the paper's axis shows, bool [time]."""
    return np.median(score_gap(record), 1) < NOTHING


def nothing_until(record: Record) -> float:
    """The last time up to which that holds without a break; 0 where it never does."""
    return _unbroken(record["t"], is_nothing(record))


def share_of_nothing(record: Record) -> float:
    """The share of times up to there."""
    return float((record["t"] <= nothing_until(record)).mean())


def gap_peak(record: Record) -> int:
    """The place of the largest median gap of scores."""
    return int(np.median(score_gap(record), 1).argmax())


def denoiser_peak(record: Record) -> int:
    """The place of the largest median gap of denoisers."""
    return int(np.median(record["gap"], 1).argmax())
