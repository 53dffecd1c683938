"""Means over seeds with Student's intervals; rank correlations, with intervals over clusters."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.stats import rankdata
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


# ------------------------------------------------------------------------------------------------ ranks


def rank_correlation(values: np.ndarray, control: np.ndarray | None = None) -> np.ndarray:
    """Spearman's correlations of the columns of values [m, k], float64 [k, k]; NaN for a constant column.

    With `control` [m], the partial ones: of what is left of the ranks when a line in those of the control is
    taken off.
    """
    ranks = rankdata(values, axis=0).astype(float)
    ranks -= ranks.mean(0)
    if control is not None:
        line = rankdata(control) - (len(control) + 1) / 2
        ranks -= np.outer(line, line @ ranks / (line @ line))
    length = np.sqrt((ranks**2).sum(0))
    unit = np.divide(ranks, length, out=np.full_like(ranks, np.nan), where=length > 1e-9 * len(ranks))
    found: np.ndarray = unit.T @ unit
    return found


def over_clusters(
    statistic: Callable[[np.ndarray], np.ndarray], values: np.ndarray, repeats: int = 400, seed: int = 0
) -> np.ndarray:
    """statistic(values), and the ends of its 95 % percentile interval as clusters are resampled [3, ...].

    values [cluster, ...]: what belongs to one cluster is not independent, such as the checkpoints of one run,
    and so stays together (the cluster bootstrap; Davison and Hinkley 1997, section 3.8). NaN where a
    resampled statistic is.
    """
    generator = np.random.default_rng(seed)
    picks = generator.integers(len(values), size=(repeats, len(values)))
    found = np.stack([statistic(values[rows]) for rows in picks])
    low, high = np.quantile(found, [0.025, 0.975], axis=0)
    return np.stack([statistic(values), low, high])
