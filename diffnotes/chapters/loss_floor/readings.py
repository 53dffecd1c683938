"""What chapter 4 shows of its records: every number of its figures, tables, findings and claims is read here.

Losses are summed over dimensions; `share` means a part of the data variance. The study of estimators is read
in `estimator_readings`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy import ndarray as Array

from diffnotes.base.statistics import over_seeds
from diffnotes.show.labels import dataset
from diffnotes.store import Record

KNOWN = 1e-3  # of the variance: from here on the standard error of a loss can be trusted
TWICE = 2.02  # a factor 2, to one percent: a C of the grid can be off by 2 exactly

# -------------------------------------------------------------------------------------------- optimal losses


@dataclass(frozen=True)
class Curve:
    """The optimal loss of one training set at every noise level."""

    dataset: str
    n: int
    sigma: Array  # [l]
    mean: Array
    stderr: Array
    variance: float
    critical: Array  # sigma at each of `shares`
    shares: Array
    area: float
    area_stderr: float
    gaussian_sigma: float  # where a Gaussian observation has told ln n nats
    gaussian: Array | None = None  # J* of the Gaussian with the same covariance
    eigenvalues: Array | None = None
    sources: int = 0
    dimension: int = 0

    @property
    def name(self) -> str:
        """'CIFAR-10, N = 50,000'."""
        return f"{self.dataset}, N = {self.n:,}"

    @property
    def entropy(self) -> float:
        """ln N: what there is to know about which image it is, in nats."""
        return math.log(self.n)

    @property
    def share(self) -> Array:
        """J* as a part of the data variance, [l]."""
        return self.mean / self.variance

    @property
    def share_error(self) -> Array:
        return self.stderr / self.variance

    @property
    def rate(self) -> Array:
        """J*/sigma^2: nats told per unit of ln sigma, [l]."""
        return self.mean / self.sigma**2

    @property
    def holds(self) -> bool:
        """Whether the area is ln N."""
        return sums_up(self.area, self.area_stderr, self.entropy)

    @property
    def precise(self) -> bool:
        """Whether the area is known well enough to tell."""
        return sharp(self.area_stderr, self.entropy)

    @property
    def missing(self) -> tuple[float, float]:
        """What J* misses of the variance at the largest sigma over what the Gaussian misses, and its error.

        Both are tr(S^2)/sigma^2 to leading order, so both curves tend to the variance.
        """
        assert self.gaussian is not None
        expected = self.variance - self.gaussian[-1]
        return float((self.variance - self.mean[-1]) / expected), float(self.stderr[-1] / expected)

    @property
    def critical_error(self) -> float:
        """Standard error of the critical sigma."""
        return self.error_at(float(self.critical[0]))

    def error_at(self, sigma: float) -> float:
        """Standard error of a sigma at which J* passes some level: that of J* over the slope of its curve."""
        at = int(np.clip(np.searchsorted(self.sigma, sigma), 1, len(self.sigma) - 1))
        slope = (self.share[at] - self.share[at - 1]) / (self.sigma[at] - self.sigma[at - 1])
        error = float(np.interp(sigma, self.sigma, self.share_error))
        return error / float(slope) if slope > 0 else math.inf

    def at(self, share: float) -> float:
        """The sigma at which J* passes this part of the variance."""
        return float(np.interp(share, self.share, self.sigma))

    def told(self) -> Array:
        """Nats that a noisy image tells of its source on average, [l]."""
        return told(self.sigma, self.mean, self.variance)

    def told_by_gaussian(self) -> Array:
        """The same for the Gaussian: 1/2 sum_k ln(1 + lambda_k/sigma^2), [l]."""
        assert self.eigenvalues is not None
        values = self.eigenvalues.astype(float)
        return np.array([0.5 * np.log1p(values / sigma**2).sum() for sigma in self.sigma])


def told(sigma: Array, loss: Array, variance: float) -> Array:
    """The area under loss/sigma^2 over ln sigma from the largest of rising sigmas [l] down to each, in nats.
    Above the largest the loss is taken to be the variance.
    """
    rate = loss / sigma**2
    steps = np.diff(np.log(sigma)) * (rate[1:] + rate[:-1]) / 2
    found: Array = variance / (2 * sigma[-1] ** 2) + np.append(np.cumsum(steps[::-1])[::-1], 0.0)
    return found


def sums_up(area: float, error: float, nats: float) -> bool:
    """Whether an area is so many nats, within 3 standard errors and 0.01, the error of the trapezoid."""
    return abs(area - nats) < 3 * error + 0.01


def near(value: Array, wanted: Array | float) -> Array:
    """Which are within a factor 2 of what is wanted."""
    found: Array = np.abs(np.log(value / wanted)) <= np.log(TWICE)
    return found


def sharp(error: float, nats: float) -> bool:
    """Whether the standard error of an area of so many nats is below 3 % of them."""
    return error < 0.03 * nats


def curve(record: Record) -> Curve:
    """What a record of `loss_curve` holds."""
    return replace(
        _curve(record, record["n"], lambda name: record[name]),
        gaussian=record["gaussian"], eigenvalues=record["eigenvalues"],
        sources=int(record["sources"]), dimension=int(record["dimension"]),
    )  # fmt: skip


def parts(record: Record) -> list[Curve]:
    """What a record of `loss_sizes` holds: a curve for each part of the set, in rising size."""
    return [_curve(record, n, partial(_entry, record, k)) for k, n in enumerate(record["size"])]


def _entry(record: Record, place: int, name: str) -> Any:
    return record[name][place]


def _curve(record: Record, n: Any, read: Callable[[str], Any]) -> Curve:
    """What both have."""
    return Curve(
        dataset(record), int(n), record["sigma"], read("mean"), read("stderr"), float(read("variance")),
        read("critical"), record["critical_share"],
        float(read("area")), float(read("area_stderr")), float(read("gaussian_sigma")),
    )  # fmt: skip


def part_of(record: Record, n: int) -> Curve | None:
    """The curve of n images in a record of `loss_sizes`; None where there is none."""
    return next((one for one in parts(record) if one.n == n), None)


@dataclass(frozen=True)
class Group:
    """Curves of one size: parts of a set, or one set alone."""

    curves: list[Curve]

    @property
    def n(self) -> int:
        return self.curves[0].n

    @property
    def critical(self) -> Array:
        """The critical sigma and the ends of its 95 % interval [3].

        Of several parts Student's, which holds the choice of the part; of a set alone two standard errors,
        since only sources and noise were drawn.
        """
        values = np.array([float(one.critical[0]) for one in self.curves])
        if len(values) > 1:
            return over_seeds(values)
        return values[0] + 2 * self.curves[0].critical_error * np.array([0.0, -1.0, 1.0])

    @property
    def scaled(self) -> float:
        """The critical sigma in units of the root of the data variance."""
        return float(np.mean([one.critical[0] / math.sqrt(one.variance) for one in self.curves]))


def groups(record: Record) -> list[Group]:
    """The parts in a record of `loss_sizes` or `loss_sizes_imagenet`, size by size."""
    found = parts(record)
    return [Group([one for one in found if one.n == n]) for n in dict.fromkeys(one.n for one in found)]


def power_of_n(curves: list[Curve], read: Callable[[Curve], float]) -> float:
    """The power of N by which a number of the curves grows."""
    return float(np.polyfit(np.log([one.n for one in curves]), np.log([read(one) for one in curves]), 1)[0])


def power_of_critical(curves: list[Curve]) -> tuple[float, float]:
    """The power of N by which the critical sigma grows, and its error from those of the losses."""
    x = np.log([one.n for one in curves])
    weight = (x - x.mean()) / np.square(x - x.mean()).sum()
    errors = np.array([one.critical_error / one.critical[0] for one in curves])
    power = power_of_n(curves, lambda one: float(one.critical[0]))
    return power, float(np.sqrt(np.square(weight * errors).sum()))


def smooth(x: Array, y: Array, times: int = 8) -> tuple[Array, Array]:
    """A cubic curve through (x, y), with `times` points for each; slopes are those of the neighbours."""
    slope = np.gradient(y, x)
    fine = np.unique(np.concatenate([x, np.linspace(x[0], x[-1], times * len(x))]))
    at = np.clip(np.searchsorted(x, fine, side="right") - 1, 0, len(x) - 2)
    width = np.diff(x)[at]
    t = (fine - x[at]) / width
    rise = (1 + 2 * t) * (1 - t) ** 2 * y[at] + t**2 * (3 - 2 * t) * y[at + 1]
    return fine, rise + width * (t * (1 - t) ** 2 * slope[at] - t**2 * (1 - t) * slope[at + 1])


# ----------------------------------------------------------------------------------------- given the class


@dataclass(frozen=True)
class Classes:
    """The floor of networks that know the class, beside that of networks that do not, [l] each."""

    whole: Curve
    given: Curve  # its variance is that within classes
    sizes: Array  # images of each class

    @property
    def dataset(self) -> str:
        return self.whole.dataset

    @property
    def entropy(self) -> float:
        """The mean of ln N_c over the images: what there is to know beside the class, in nats."""
        return float((self.sizes * np.log(self.sizes)).sum() / self.sizes.sum())

    @property
    def holds(self) -> bool:
        """Whether the area is the mean of ln N_c."""
        return sums_up(self.given.area, self.given.area_stderr, self.entropy)

    @property
    def precise(self) -> bool:
        return sharp(self.given.area_stderr, self.entropy)

    @property
    def apart(self) -> tuple[Array, Array]:
        """By how much the floor given the class is lower, and its standard error; each has its own draws."""
        return self.whole.mean - self.given.mean, np.hypot(self.whole.stderr, self.given.stderr)

    @property
    def matters(self) -> Array:
        """Levels at which the floor without classes is KNOWN of the variance or more, [l]. Below, few draws
        make the loss, and its standard error says little.
        """
        found: Array = self.whole.share >= KNOWN
        return found

    def lower(self, sigma: Array) -> tuple[Array, Array]:
        """The same as a part of the floor without classes, at levels [k] that matter."""
        one, other = self.whole, self.given
        levels, floor, error, given, its = (
            part[self.matters] for part in (one.sigma, one.mean, one.stderr, other.mean, other.stderr)
        )
        found = (1 - given / floor, np.hypot(error * given / floor, its) / floor)
        return np.interp(sigma, levels, found[0]), np.interp(sigma, levels, found[1])

    def told(self) -> Array:
        """Nats that a noisy image tells of its class on average, [l]; in the end, the entropy of classes."""
        return self.whole.told() - self.given.told()

    def told_half(self) -> float:
        """The sigma at which half of them have been told."""
        half = (self.whole.entropy - self.entropy) / 2
        return float(np.interp(-half, -self.told(), self.whole.sigma))


def classes(record: Record, whole: Record) -> Classes:
    """What a record of `loss_classes` holds, beside that of `loss_curve` for the same images."""
    given = Curve(
        dataset(record), int(record["n"]), record["sigma"], record["mean"], record["stderr"],
        float(record["variance"]), record["critical"], record["critical_share"],
        float(record["area"]), float(record["area_stderr"]), math.nan, sources=int(record["sources"]),
    )  # fmt: skip
    return Classes(curve(whole), given, record["size"])


# --------------------------------------------------------------------------------- conversions, a noisy image


@dataclass(frozen=True)
class Conversion:
    """A target's loss over that of x0 at every noise ratio, measured, and by its formula."""

    process: str
    target: str
    formula: str
    measured: Array
    factor: Array

    @property
    def trivial(self) -> bool:
        """Whether it is x0 itself, whose factor is 1 whatever the process."""
        return self.target == "x0"

    @property
    def difference(self) -> float:
        """The largest, as a part of the factor."""
        return float(np.abs(self.measured / self.factor - 1).max())


def conversions(record: Record) -> list[Conversion]:
    """What a record of `loss_conversions` holds; the first row is x0 itself."""
    loss, names = record["loss"], (record[key].tolist() for key in ("process", "target", "formula"))
    rows = zip(*names, loss / loss[0], record["factor"], strict=True)
    return [Conversion(*row) for row in rows]


class Noisy:
    """A record of `noisy_image`: images under noise, and the training images that may lie behind them."""

    def __init__(self, record: Record) -> None:
        self.record = record
        self.sigma: Array = record["sigma"]
        self.count = int(record["n"])
        self.effective: Array = record["effective"]  # [images, levels]

    def noisy(self, image: int, level: int) -> Array:
        """The noisy image as bytes, its contrast lowered to fit."""
        sigma = self.sigma[level]
        clean = self.record["clean"][image] / 127.5 - 1
        noisy = (clean + sigma * self.record["noise"][image].astype(np.float32)) / np.sqrt(1 + 4 * sigma**2)
        return np.clip((noisy + 1) * 127.5, 0, 255).astype(np.uint8)

    def mean(self, image: int, level: int) -> Array:
        found: Array = self.record["mean"][image, level]
        return found

    def behind(self, image: int, level: int) -> list[tuple[float, Array, bool]]:
        """Weight and bytes of the likeliest training images, and whether each is the true one."""
        weights, places = (self.record[key][image, level] for key in ("weight", "which"))
        true = self.record.spec["images"][image]
        pairs = zip(weights, places, strict=True)
        return [(float(w), self.record["kept"][p], int(self.record["number"][p]) == true) for w, p in pairs]

    def passes(self, least: float) -> list[float]:
        """For each image the first level at which the effective number is above `least`."""
        return [float(self.sigma[row > least].min()) for row in self.effective]


def minutes(record: Record) -> float:
    """How long it took to compute."""
    return float(record.meta["seconds"]) / 60
