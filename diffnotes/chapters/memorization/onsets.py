"""When memorization sets in, by every definition in use, and how that time grows with the training set."""

from __future__ import annotations

import numpy as np

from diffnotes.base.shapes import Array
from diffnotes.base.statistics import over_seeds

SPLIT = 0.2  # of the least held-out loss, as 0.02 is of the 0.1 in figure 1b of Marion & Wu
COPIES = (0.05, 0.1, 0.5)
DEFINITIONS = ("minimum", "split", *(f"copies {share:g}" for share in COPIES))


def onsets(step: Array, train_loss: Array, test_loss: Array, copies: Array) -> Array:
    """Steps of one run by each of DEFINITIONS, float64 [5], NaN where it does not happen; arguments [l].

    minimum: where the held-out loss is least. split: from where on it exceeds the training loss by more than
    SPLIT of that least value. copies q: where the share of copies first reaches q. Between two looks the step
    is interpolated in its logarithm.
    """
    real = step > 0
    step, train_loss, test_loss, copies = (v[real] for v in (step, train_loss, test_loss, copies))
    limit = SPLIT * test_loss.min()
    reached = [_first(step, copies, share) for share in COPIES]
    least = float(step[int(test_loss.argmin())])
    return np.array([least, _for_good(step, test_loss - train_loss, limit), *reached])


def _first(step: Array, value: Array, limit: float) -> float:
    """Where `value` first reaches `limit`."""
    above = np.flatnonzero(value >= limit)
    return _between(step, value, limit, int(above[0])) if len(above) else np.nan


def _for_good(step: Array, value: Array, limit: float) -> float:
    """From where on `value` stays above `limit`."""
    below = np.flatnonzero(value <= limit)
    start = int(below[-1]) + 1 if len(below) else 0
    return _between(step, value, limit, start) if start < len(step) else np.nan


def _between(step: Array, value: Array, limit: float, place: int) -> float:
    """Where the line from place - 1 to `place` crosses the limit, over the logarithm of the step."""
    if place == 0:
        return float(step[0])
    (a, b), logs = value[place - 1 : place + 1], np.log(step[place - 1 : place + 1])
    share = np.clip((limit - a) / (b - a), 0, 1) if b != a else 1.0
    return float(np.exp(logs[0] + share * (logs[1] - logs[0])))


def exponent(size: Array, time: Array) -> Array:
    """(exponent, low, high, sizes used) of time ~ size^exponent, from times [size, seed].

    A line is fitted to the logarithms for each seed; the interval is Student's 95 % over the seeds. A size
    counts when the time is known for all seeds. NaN with fewer than two sizes or seeds.
    """
    known = np.isfinite(time).all(1)
    if known.sum() < 2 or time.shape[1] < 2:
        return np.array([np.nan, np.nan, np.nan, known.sum()])
    slopes = np.polyfit(np.log(size[known]), np.log(time[known]), 1)[0]
    return np.append(over_seeds(slopes), known.sum())


def rate(step: Array, copies: Array) -> float:
    """Slope of the share of copies against ln(step) between 10 and 60 %, the memorization rate; NaN if there
    are fewer than two looks in between."""
    real = (step > 0) & (copies >= 0.1) & (copies <= 0.6)
    return float(np.polyfit(np.log(step[real]), copies[real], 1)[0]) if real.sum() > 1 else np.nan


def best_before(step: Array, value: Array, end: float) -> float:
    """The least `value` among the looks up to step `end` (all, where end is NaN): peak fidelity."""
    real = (step > 0) & ~(step > end)
    return float(value[real].min()) if real.any() else np.nan
