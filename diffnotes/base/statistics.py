"""Means over seeds with Student's intervals."""

from __future__ import annotations

import numpy as np
from scipy.stats import t as student


def wide(freedom: int) -> float:
    """Student's quantile: how many standard errors the half of a 95 % interval is."""
    return float(student.ppf(0.975, max(1, freedom)))


def over_seeds(values: np.ndarray) -> np.ndarray:
    """Mean of values [seed] and the ends of Student's 95 % interval, which are NaN with one seed."""
    count = len(values)
    if count == 1:
        return np.array([values[0], np.nan, np.nan])
    half = student.ppf(0.975, count - 1) * values.std(ddof=1) / count**0.5
    return values.mean() + half * np.array([0.0, -1.0, 1.0])


def factor_over_seeds(values: np.ndarray) -> np.ndarray:
    """Geometric mean of positive factors [seed], and the ends of the interval of their logarithms."""
    return np.exp(over_seeds(np.log(values)))


def disagreement(
    loss: np.ndarray, optimal: np.ndarray, gap: np.ndarray, stderr: np.ndarray, difference_stderr: np.ndarray
) -> np.ndarray:
    """loss - optimal, less gap, in units of both standard errors together [..., l]; all of the same draws.

    0 where they differ by rounding alone (float32 images: squares below 1e-12 of the largest loss). The gap's
    own noise is part of both, so that this is smaller than a standard normal number.
    """
    apart = loss - optimal - gap
    rounding = 1e-12 * (loss + optimal).max(-1, keepdims=True)
    error = np.maximum(np.hypot(stderr, difference_stderr), 1e-300)
    found: np.ndarray = np.where(np.abs(apart) <= rounding, 0.0, apart / error)
    return found


def with_images(low_high: np.ndarray, value: float, stderr: float, freedom: int) -> np.ndarray:
    """An interval over seeds [2] widened by the share of held-out images that all seeds have in common.

    `stderr` is the standard error of `value` over these images, whose `freedom` is their number less one.
    Both shares are independent, so half widths add in squares: sqrt(h_seeds^2 + (t stderr)^2).
    """
    images = student.ppf(0.975, freedom) * stderr
    return value + np.hypot(low_high - value, images) * np.array([-1.0, 1.0])
