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
