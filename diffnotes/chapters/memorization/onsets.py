"""When memorization sets in, by every definition in use, and how that time grows with the training set."""

from __future__ import annotations

import numpy as np

from diffnotes.base.statistics import over_seeds

SPLIT = 0.2  # of the least held-out loss, as 0.02 is of the 0.1 in figure 1b of Marion & Wu
COPIES = (0.05, 0.1, 0.5)
DEFINITIONS = ("minimum", "split", *(f"copies {share:g}" for share in COPIES))


def onsets(step: np.ndarray, train_loss: np.ndarray, test_loss: np.ndarray, copies: np.ndarray) -> np.ndarray:
    """Steps of one run by each of DEFINITIONS, float64 [5], NaN where it does not happen; arguments [l].

    minimum: the evaluation with the least held-out loss. split: see `parting`. copies q: see `reached`.
    """
    real = step > 0
    step, train_loss, test_loss, copies = (v[real] for v in (step, train_loss, test_loss, copies))
    times = [reached(step, copies, share) for share in COPIES]
    least = float(step[int(test_loss.argmin())])
    return np.array([least, parting(step, train_loss, test_loss), *times])


def reached(step: np.ndarray, value: np.ndarray, limit: float) -> float:
    """Where `value` [l] first reaches `limit`, linear in the logarithm of the step between evaluations."""
    above = np.flatnonzero(value >= limit)
    return _between(step, value, limit, int(above[0])) if len(above) else np.nan


def parting(step: np.ndarray, train_loss: np.ndarray, test_loss: np.ndarray, share: float = SPLIT) -> float:
    """From where on the held-out loss [l] stays above the training loss by `share` of its own least value."""
    gap, limit = test_loss - train_loss, share * test_loss.min()
    below = np.flatnonzero(gap <= limit)
    start = int(below[-1]) + 1 if len(below) else 0
    return _between(step, gap, limit, start) if start < len(step) else np.nan


def minimum(step: np.ndarray, value: np.ndarray) -> float:
    """Where `value` [l] is least: the vertex of the parabola through the least point and its two neighbours,
    over the logarithm of the step. NaN where it is least at either end."""
    place = int(value.argmin())
    if not 0 < place < len(value) - 1:
        return np.nan
    near = slice(place - 1, place + 2)
    curved, slope, _ = np.polyfit(np.log(step[near] / step[place]), value[near], 2)
    return float(step[place] * np.exp(-slope / (2 * curved))) if curved > 0 else float(step[place])


def _between(step: np.ndarray, value: np.ndarray, limit: float, place: int) -> float:
    """Where the line from place - 1 to `place` crosses the limit, over the logarithm of the step."""
    if place == 0:
        return float(step[0])
    (a, b), logs = value[place - 1 : place + 1], np.log(step[place - 1 : place + 1])
    share = np.clip((limit - a) / (b - a), 0, 1) if b != a else 1.0
    return float(np.exp(logs[0] + share * (logs[1] - logs[0])))


def exponent(size: np.ndarray, time: np.ndarray) -> np.ndarray:
    """(exponent, low, high, sizes used) of time ~ size^exponent, from times [size, seed].

    A line is fitted to the logarithms for each seed; the interval is Student's 95 % over the seeds. A size
    counts when the time is known for all seeds. NaN with fewer than two sizes or seeds.
    """
    known = np.isfinite(time).all(1)
    if known.sum() < 2 or time.shape[1] < 2:
        return np.array([np.nan, np.nan, np.nan, known.sum()])
    slopes = np.polyfit(np.log(size[known]), np.log(time[known]), 1)[0]
    return np.append(over_seeds(slopes), known.sum())


def rate(step: np.ndarray, copies: np.ndarray) -> float:
    """Slope of the share of memorized samples against ln(step) between 10 and 60 %, the memorization rate;
    NaN if there are fewer than two evaluations in between."""
    real = (step > 0) & (copies >= 0.1) & (copies <= 0.6)
    return float(np.polyfit(np.log(step[real]), copies[real], 1)[0]) if real.sum() > 1 else np.nan


def best_before(step: np.ndarray, value: np.ndarray, end: float) -> float:
    """The least `value` among the evaluations up to step `end` (all, where end is NaN)."""
    real = (step > 0) & ~(step > end)
    return float(value[real].min()) if real.any() else np.nan
