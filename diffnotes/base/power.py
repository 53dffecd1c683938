"""How small a difference a paired t test can see, and how many seeds it takes to see a given one.

Two settings are compared seed by seed, because both share what the seed draws. The test is two-sided at 5 %;
"seen" means found with a probability of 80 % (Cohen 1988, chapter 2). Differences are those of logarithms, so
that effects are factors.
"""

from __future__ import annotations

import functools

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtr
from scipy.stats import chi2, norm, t

LEVEL, POWER = 0.05, 0.8
MOST = 100_000  # seeds
QUANTILES = float(norm.ppf(1 - LEVEL / 2) + norm.ppf(POWER))  # a difference is seen at so many of its errors
MIDDLES = (np.arange(4000) + 0.5) / 4000  # of equal parts of the probability


def scatter(values: np.ndarray) -> tuple[float, int]:
    """The standard deviation of a difference of two settings within one seed, and its degrees of freedom.

    Of values [setting, seed]: sqrt(2) times what is left of their deviation when the means of settings and
    of seeds are taken off. With one setting nothing is known of what seeds have in common, and the deviation
    over seeds counts whole.
    """
    settings, seeds = values.shape
    left = values - values.mean(1, keepdims=True)
    if settings > 1:
        left = left - left.mean(0)
    freedom = max(settings - 1, 1) * (seeds - 1)
    return float(np.sqrt(2 * (left**2).sum() / freedom)), freedom


def between(deviation: float, freedom: int) -> tuple[float, float]:
    """The 95 % interval of a standard deviation that was estimated with so many degrees of freedom."""
    low, high = np.sqrt(freedom / chi2.ppf([0.975, 0.025], freedom))
    return deviation * float(low), deviation * float(high)


def power(difference: float, deviation: float, seeds: int) -> float:
    """The probability that the test finds a difference: the mean over the deviations that it may estimate."""
    shift, edges = difference * seeds**0.5 / deviation, _edges(seeds)
    return float((ndtr(shift - edges) + ndtr(-shift - edges)).mean())


@functools.cache
def _edges(seeds: int) -> np.ndarray:
    """Where the test begins to find something, in units of the standard error, for each of the deviations."""
    found: np.ndarray = np.sqrt(chi2.ppf(MIDDLES, seeds - 1) / (seeds - 1))
    return t.ppf(1 - LEVEL / 2, seeds - 1) * found


def visible(deviation: float, seeds: int) -> float:
    """The difference that is found with a probability of 80 %."""
    return deviation * _unit(seeds)


@functools.cache
def _unit(seeds: int) -> float:
    """The same in units of the deviation."""
    if seeds > 200:  # Student's law is normal by then
        return QUANTILES / seeds**0.5
    return float(brentq(lambda d: power(d, 1.0, seeds) - POWER, 1e-3, 1e3))


def needed(deviation: float, difference: float) -> int:
    """The least number of seeds that sees a difference; MOST where that is not enough."""
    low, high = 2, MOST
    while low < high:  # `visible` falls with the seeds
        middle = (low + high) // 2
        low, high = (low, middle) if visible(deviation, middle) <= difference else (middle + 1, high)
    return low
