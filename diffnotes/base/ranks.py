"""Rank correlations, and intervals for what comes in clusters."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.stats import rankdata


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
