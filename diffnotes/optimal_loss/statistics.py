"""Sums over draws from which an optimal-loss curve and all its errors follow; sums of disjoint draws add."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from diffnotes.base.errors import UserError
from diffnotes.base.shapes import Array, Float, Tensor, checked

FEW = 10  # draws, on which a mean should rest at least
LEAST = 1e-16  # of the variance; a loss below it is one of weights that may be dropped, and rests on none
NOISES = 2  # per source: the least that tells the error from the noise from the error from the sources


@dataclass(frozen=True, eq=False)
class LossCurve:
    """J*(sigma) = E|x0 - E[x0|x]|^2, summed over dimensions, at sigma [l], with its standard errors.

    area = integral of J*/sigma^2 over ln sigma, which is ln n for n distinct points: the trapezoid over
    the levels plus the tail above them, where J* is taken to be `variance` (tail = variance/(2 max
    sigma^2)); below them J* is taken to be 0. It is NaN for a single level. area_stderr follows from the
    full covariance over levels, which share their draws.

    effective = (sum_j y_j)^2 / sum_j y_j^2 for the losses y_j of the draws: how many of them the mean rests
    on. At small sigma these are the few sources with a near neighbour, if any is drawn at all. Mean and
    stderr^2 are unbiased there as well, but where effective is below FEW, mean +- 2 stderr misses J* more
    often than it says: in most runs both are too small. More draws help, and whole passes over the data.
    """

    sigma: Float[Tensor, "l"]
    mean: Float[Tensor, "l"]
    stderr: Float[Tensor, "l"]
    area: float
    area_stderr: float
    variance: float  # of the data, summed over dimensions: the limit of J* at large sigma
    draws: int  # sources drawn, each seen under NOISES noises
    effective: Float[Tensor, "l"]


@dataclass(frozen=True)
class LossSums:
    """The sufficient statistics of a curve: sums over draws j of z_j = (y_j [l], c_j) and of its products,
    all float64.

    y_j is the mean over the draw's noises of its loss at each level, c_j = (|x0 - mean|^2 - variance)/2
    the control variate, whose mean over the data is 0, and `noise` the sum of (y_j1 - y_j2)(y_j1 -
    y_j2)^T.
    """

    sigma: Array  # [l]
    points: int  # n
    variance: float
    drawn: Array  # [k, 2] sorted disjoint ranges [start, stop) of draws
    total: Array  # [l+1]
    cross: Array  # [l+1, l+1]
    noise: Array  # [l, l]
    origin: str = ""  # which estimator, with what settings and seed

    @property
    def draws(self) -> int:
        return int((self.drawn[:, 1] - self.drawn[:, 0]).sum())

    def __add__(self, other: LossSums) -> LossSums:
        same = (self.points, self.sigma.shape) == (other.points, other.sigma.shape)
        same = same and np.allclose(self.sigma, other.sigma, rtol=1e-9, atol=0)  # last bits: of the machine
        # Variances come from float32 sums, whose order differs between machines.
        if not (same and math.isclose(self.variance, other.variance, rel_tol=1e-5)):
            raise UserError("Only sums over the same data and noise levels add; use the same for both.")
        if self.origin != other.origin:
            raise UserError(
                f"Sums of ({self.origin}) and of ({other.origin}) do not add; use one estimator and one "
                "seed, on the same images."
            )
        return LossSums(
            self.sigma,
            self.points,
            self.variance,
            _join(self.drawn, other.drawn),
            self.total + other.total,
            self.cross + other.cross,
            self.noise + other.noise,
            self.origin,
        )

    def to_arrays(self) -> dict[str, Array]:
        """As plain arrays, for an npz file."""
        return {name: np.asarray(value) for name, value in vars(self).items()}

    @staticmethod
    def from_arrays(arrays: Mapping[str, Array]) -> LossSums:
        """The inverse of `to_arrays`."""
        names = ("sigma", "drawn", "total", "cross", "noise")
        missing = sorted({"points", "variance", *names} - set(arrays))
        if missing:
            raise UserError(f"No loss sums: {', '.join(missing)} missing; save them with to_arrays().")
        sigma, drawn, total, cross, noise = (np.asarray(arrays[name]) for name in names)
        origin = str(arrays.get("origin", ""))
        parts = [sigma, drawn, total, cross, noise, *(np.asarray(arrays[n]) for n in ("points", "variance"))]
        levels, more = (sigma.size,), (sigma.size + 1,)
        shapes = [levels, (len(np.atleast_1d(drawn)), 2), more, more * 2, levels * 2, (), ()]
        good = [one.shape for one in parts] == shapes and all(map(_finite, parts)) and _are_levels(sigma)
        if not good or arrays["points"] < 1 or len(drawn) == 0 or not _are_ranges(drawn):
            raise UserError("No loss sums: an array has a wrong shape or values; save them with to_arrays().")
        points, variance = int(arrays["points"]), float(arrays["variance"])
        return LossSums(sigma, points, variance, drawn, total, cross, noise, origin)

    def curve(self, bounded: bool = True) -> LossCurve:
        """Means and standard errors; see `_estimate`. `bounded` clips means to the bounds of J*."""
        mean, covariance = _estimate(self)
        if bounded:
            mean = np.clip(mean, 0.0, self.variance)
        area, area_stderr = _area(self.sigma, mean, covariance, self.variance)
        total, squares = self.total[: len(mean)], np.diag(self.cross)[: len(mean)]
        known = (squares > 0) & (np.abs(total) > LEAST * self.draws * self.variance)
        effective = np.divide(total**2, squares, out=0 * mean, where=known)
        columns = (self.sigma, mean, np.sqrt(np.diag(covariance)), effective)
        sigma, means, stderr, few = (torch.from_numpy(column.copy()) for column in columns)
        return LossCurve(sigma, means, stderr, area, area_stderr, self.variance, self.draws, few)


def sums_of(
    losses: Float[Tensor, "m r l"],
    control: Float[Tensor, "m"],
    draws: range,
    sigma: Float[Tensor, "l"],
    points: int,
    variance: float,
) -> LossSums:
    """The sums over the draws `draws`, whose losses under each noise and whose control variates are given."""
    both = losses.double().cpu().numpy()
    z = np.concatenate([both.mean(1), control.double().cpu().numpy()[:, None]], 1)
    change = both[:, 0] - both[:, 1]
    drawn = np.array([[draws.start, draws.stop]], dtype=np.int64)
    return LossSums(
        sigma.double().cpu().numpy(), points, variance, drawn, z.sum(0), z.T @ z, change.T @ change
    )


def _are_levels(sigma: Array) -> bool:
    """Whether these are noise levels [l] whose squares are numbers."""
    known = sigma.astype(np.float64) if _finite(sigma) else np.zeros(1)
    within = bool(((known >= 1e-30) & (known <= 1e30)).all())
    return within and sigma.ndim == 1 and sigma.size > 0 and sigma.dtype.itemsize > 2


def _are_ranges(drawn: Array) -> bool:
    """Whether these are sorted disjoint ranges [k, 2] of whole numbers."""
    ends = drawn.ravel()
    inside = (np.diff(drawn) >= 1).all() and (np.diff(ends) >= 0).all()
    return bool(drawn.dtype.kind in "iu" and ends.min(initial=0) >= 0 and inside)


def _finite(value: Array) -> bool:
    """Whether an array holds real numbers whose squares are finite."""
    return value.dtype.kind in "fiu" and bool((np.abs(value.astype(np.float64)) < 1e150).all())


def _join(first: Array, second: Array) -> Array:
    """Union of two lists of ranges, which must not overlap."""
    ranges = np.concatenate([first, second])
    ranges = ranges[np.argsort(ranges[:, 0], kind="stable")]
    joined = [ranges[0].copy()]
    for start, stop in ranges[1:]:
        if start < joined[-1][1]:
            again = min(stop, joined[-1][1])
            raise UserError(f"Draws {start} to {again} are in both sums; add each draw once.")
        if start == joined[-1][1]:
            joined[-1][1] = stop
        else:
            joined.append(np.array([start, stop]))
    return np.stack(joined)


def _estimate(sums: LossSums) -> tuple[Array, Array]:
    """Mean [l] of y with the control variate removed, and the covariance [l, l] of its error.

    Draws run through the data in random order, pass after pass, so whole passes leave no error from the
    choice of sources and a partial pass of m of n points leaves (1 - m/n) of it (sampling without
    replacement). With N draws in all, S the covariance of y_j about its regression on c_j (N - 2 degrees
    of freedom) and W the covariance of y_j given the source, the error is g S + (1/N - g) W with g = m (1
    - m/n)/N^2.
    """
    count, levels = sums.draws, len(sums.sigma)
    mean = sums.total / count
    if count < 4:
        return mean[:levels], np.full((levels, levels), 0.0 if sums.variance == 0 else math.nan)
    spread = (sums.cross - count * np.outer(mean, mean)) / (count - 1)
    with_control, control = spread[:levels, levels], spread[levels, levels]
    slope = with_control / control if control > 0 else np.zeros(levels)
    residual = (spread[:levels, :levels] - np.outer(slope, with_control)) * (count - 1) / (count - 2)
    within = sums.noise / (count * NOISES * 2)
    partial = count % sums.points
    share = partial * (1 - partial / sums.points) / count**2
    covariance = share * residual + (1 / count - share) * within
    np.fill_diagonal(covariance, np.diag(covariance).clip(min=0.0))
    return mean[:levels] - slope * mean[levels], covariance


@checked()
def area(sigma: Array, loss: Array, limit: Array | np.floating | float) -> Array | np.floating:
    """Integral of loss/sigma^2 over ln sigma along the last axis of loss [..., l], in nats: the trapezoid
    over the levels, and the tail above them, where the loss is taken to be `limit`. Raises UserError for
    levels that are not positive.
    """
    if not _are_levels(sigma):
        raise UserError("An area needs noise levels [l], each from 1e-30 to 1e30.")
    if loss.shape[-1:] != sigma.shape or not _finite(loss) or not _finite(np.asarray(limit)):
        raise UserError(f"An area needs a finite loss for each of {len(sigma)} levels, and a finite limit.")
    with np.errstate(over="ignore", invalid="ignore"):
        found = loss @ _area_weights(sigma) + limit / (2 * sigma.max() ** 2)
    if not _finite(np.asarray(found)):
        raise UserError("The area is beyond the numbers of its type; rescale losses and levels.")
    return found


def _area_weights(sigma: Array) -> Array:
    order = np.argsort(sigma)
    logs = np.log(sigma[order])
    width = np.zeros(len(sigma))
    width[order] = (np.diff(logs, prepend=logs[0]) + np.diff(logs, append=logs[-1])) / 2
    return width / sigma**2


def _area(sigma: Array, mean: Array, covariance: Array, variance: float) -> tuple[float, float]:
    """The area of a curve and its standard error; NaN for a single level."""
    if len(sigma) < 2:
        return math.nan, math.nan
    weight = _area_weights(sigma)
    error = math.sqrt(max(0.0, float(weight @ covariance @ weight)))
    return float(area(sigma, mean, variance)), error
