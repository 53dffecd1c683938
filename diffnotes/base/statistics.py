"""Means over seeds with Student's intervals."""

from __future__ import annotations

import numpy as np
from scipy.stats import t as student


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


def with_images(low_high: np.ndarray, value: float, stderr: float, freedom: int) -> np.ndarray:
    """An interval over seeds [2] widened by the share of held-out images that all seeds have in common.

    `stderr` is the standard error of `value` over these images, whose `freedom` is their number less one.
    Both shares are independent, so half widths add in squares: sqrt(h_seeds^2 + (t stderr)^2).
    """
    images = student.ppf(0.975, freedom) * stderr
    return value + np.hypot(low_high - value, images) * np.array([-1.0, 1.0])
