"""Correlations and power laws of loss against compute, for any points: no record is read here.

Points are ln F [p] and losses J [..., p]. A law is J = floor + beta F^alpha with alpha < 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy import ndarray as Array

ALPHAS = -np.geomspace(1e-3, 3.0, 100)  # exponents that a fit begins with; then it looks between two


@dataclass(frozen=True)
class PowerLaw:
    """J = floor + scale (F / F_0)^alpha, where ln F_0 is `middle`.

    `misfit` is the root mean square of J_fit / J - 1: to first order that of ln J_fit - ln J.
    """

    floor: float
    alpha: float
    scale: float
    middle: float
    misfit: float

    def __call__(self, compute: Array) -> Array:
        """The fitted loss at training compute F."""
        return self.floor + self.scale * np.exp(self.alpha * (np.log(compute) - self.middle))

    @property
    def beta(self) -> float:
        """The factor of F^alpha, with F in floating-point operations."""
        return float(self.scale * np.exp(-self.alpha * self.middle))

    def as_array(self) -> Array:
        """floor, alpha, misfit."""
        return np.array([self.floor, self.alpha, self.misfit])


def fitted(log_f: Array, loss: Array, floor: float | None = None) -> PowerLaw:
    """The law with the least mean square of J_fit / J - 1 over the points [p].

    `floor` is given, or None: then it is free, and at least 0. For every exponent of ALPHAS the rest is
    linear, so this is the profile of the floor, and nothing can be caught in a local minimum.
    """
    found = _profile(log_f, loss, floor, ALPHAS)
    near = int(np.abs(ALPHAS - found.alpha).argmin()) + np.array([-1, 1])
    ends = ALPHAS[near.clip(0, len(ALPHAS) - 1)]
    return _profile(log_f, loss, floor, np.linspace(ends[0], ends[1], len(ALPHAS) // 2))


def _profile(log_f: Array, loss: Array, floor: float | None, alphas: Array) -> PowerLaw:
    """The best law with one of these exponents."""
    middle = float(log_f.mean())
    powers = np.exp(np.outer(alphas, log_f - middle)) / loss  # [a, p]; the sum of squares has J_fit / J - 1
    ones = 1 / loss
    square, cross = (powers**2).sum(1), powers @ ones
    if floor is None:
        floors = _free(powers.sum(1), square, cross, ones)
    else:
        floors = np.full(len(alphas), float(floor))
    scales = np.maximum(0.0, (powers.sum(1) - floors * cross) / square)
    misfits = np.sqrt(np.mean((floors[:, None] * ones + scales[:, None] * powers - 1) ** 2, 1))
    best = int(misfits.argmin())
    lowest, alpha, scale, misfit = (float(values[best]) for values in (floors, alphas, scales, misfits))
    return PowerLaw(lowest, alpha, scale, middle, misfit)


def _free(total: Array, square: Array, cross: Array, ones: Array) -> Array:
    """The best floor of at least 0 for each exponent [a], by the two normal equations."""
    own = (ones**2).sum()
    determinant = own * square - cross**2
    with np.errstate(divide="ignore", invalid="ignore"):
        found = (ones.sum() * square - cross * total) / determinant
    return np.where(np.isfinite(found), np.maximum(found, 0.0), 0.0)


def correlation(log_f: Array, loss: Array) -> Array:
    """rho [...]: minus Pearson's correlation of ln F [p] and ln J [..., p], so 1 for a falling power law.

    NaN where some J is not positive, as after a floor is taken off that is too high, or all are equal.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        y = np.log(np.where(loss > 0, loss, np.nan))
        x = log_f - log_f.mean()
        y = y - y.mean(-1, keepdims=True)
        return -(y @ x) / np.sqrt((y**2).sum(-1) * (x @ x))


def slope(log_f: Array, loss: Array) -> Array:
    """The exponent [...] of a straight line through ln J against ln F; NaN like `correlation`."""
    with np.errstate(divide="ignore", invalid="ignore"):
        y = np.log(np.where(loss > 0, loss, np.nan))
    x = log_f - log_f.mean()
    return ((y - y.mean(-1, keepdims=True)) @ x) / (x @ x)


def frontier(compute: Array, loss: Array) -> Array:
    """Which points [p] are compute-efficient: no other one has a smaller or equal loss for at most the same
    compute."""
    order = np.lexsort((loss, compute))
    best = np.minimum.accumulate(np.concatenate([[np.inf], loss[order]]))[:-1]
    found = np.zeros(len(compute), bool)
    found[order] = loss[order] < best
    return found
