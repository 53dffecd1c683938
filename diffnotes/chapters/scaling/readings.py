"""What the chapter takes off the records of loss against compute: each number is read here, once.

Arrays of networks have axes [width, seed, snapshot, ...]. Losses of a noise level are summed over dimensions.
Behind the noise levels stands one more place, TOTAL: EDM's weighted loss per dimension. J is the optimal loss
and the measured gap together, so its error is that of the gap alone; the loss as it was measured on the same
draws agrees (`disagreement`).

Which points: the *frontier* of a seed, the (width, snapshot) with a smaller total loss than all others of at
most their compute: a law J(F) says what a compute can buy. *All* points are looked at beside it. They are the
same ones with J and with J - J*.

An interval is [value, low, high]: percentiles of RESAMPLES cluster bootstraps, each of which draws seeds and
widths with replacement, finds the frontiers anew and reads everything off the same points. Seeds share the
training set and there are few, so intervals are for this set, and rather too narrow than too wide.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy import ndarray as Array

from diffnotes.chapters.checks import Nothing
from diffnotes.chapters.scaling.law_readings import correlation, fitted, frontier, slope
from diffnotes.store import Record

# The authors' values (arXiv 2506.13763, figure 3; the unit of compute is not given).
PAPER_SIGMA = 4.38
PAPER_RHO = (0.82, 0.94)  # there, before and after J* is subtracted
PAPER_TOTAL_RHO = 0.9917
PAPER_SCALE, PAPER_ALPHA, PAPER_FLOOR = 0.3675, -0.014, 0.015  # of the total loss on ImageNet-64

TOTAL = -1  # the place of the total loss
FRONTIER, ALL = "frontier", "all points"
RESAMPLES = 400
NEGLIGIBLE = 0.01  # of the data variance: below it there is next to no J* to subtract
FALLS = 1.5  # what the gap must fall by over the frontier, as a factor, to be judged
FEWEST = 5  # points of a frontier that a correlation is taken over
FACTORS = (0.5, 0.9, 1.0, 1.1, 1.5)  # of J* in the study of wrong ones
ESTIMATES = ("dol", "cdol")  # of J* from subsets


# ------------------------------------------------------------------------------------------------- the runs


def compute(record: Record) -> Array:
    """Training compute F [width, snapshot] in floating-point operations, forward and backward."""
    return record["flops"][:, None] * record["images_seen"]


def gaps(record: Record) -> Array:
    """J - J* [width, seed, snapshot, l + 1]."""
    return _with_total(record, record["gap"])


def optimum(record: Record) -> Array:
    """J* [l + 1]."""
    return _with_total(record, record["optimum"])


def losses(record: Record) -> Array:
    """J [width, seed, snapshot, l + 1]."""
    return gaps(record) + optimum(record)


def estimated(record: Record, name: str) -> Array:
    """J* as an estimate from subsets has it, [l + 1]; `name` is one of ESTIMATES."""
    return _with_total(record, record[f"from_{name}"])


def held_out(record: Record) -> Array:
    """Loss on held-out images [width, seed, snapshot, l + 1]."""
    return _with_total(record, record["held_out_loss"])


def held_out_optimum(record: Record) -> Array:
    """Loss of the training set's exact denoiser on held-out images [seed, l + 1]."""
    return _with_total(record, record["held_out_optimal"])


def gaussian(record: Record) -> Array:
    """The loss of the best linear denoiser [l + 1]."""
    return _with_total(record, record["gaussian"])


def _with_total(record: Record, values: Array) -> Array:
    return np.concatenate([values, (values @ record["weight"])[..., None]], -1)


def share(record: Record) -> Array:
    """J* as a part of the data variance [l]."""
    return record["optimum"] / float(record["variance"])


def decades(record: Record) -> float:
    """Decades of compute between the ends of the frontier, of all seeds together."""
    x = cloud(record).log_f
    return float((x.max() - x.min()) / np.log(10))


# --------------------------------------------------------------------------------------------------- points


@dataclass(frozen=True)
class Cloud:
    """Points of one or more seeds: ln F [p], the gaps [l + 1, p] and the losses [l + 1, p]."""

    log_f: Array
    gap: Array
    loss: Array


def cloud(record: Record, kind: str = FRONTIER) -> Cloud:
    """The points of all seeds and widths together."""
    return next(clouds(record, kind))


def clouds(record: Record, kind: str = FRONTIER) -> Iterator[Cloud]:
    """The points of the record, then those of RESAMPLES resampled ones."""
    gap, floor, cost = gaps(record), optimum(record), compute(record)
    width, seed = gap.shape[:2]
    yield _cloud(cost, gap, floor, np.arange(width), np.arange(seed), kind)
    chance = np.random.default_rng(0)
    for _ in range(RESAMPLES):
        rows, columns = chance.integers(0, width, (width,)), chance.integers(0, seed, (seed,))
        yield _cloud(cost, gap, floor, rows, columns, kind)


def _cloud(cost: Array, gap: Array, floor: Array, rows: Array, columns: Array, kind: str) -> Cloud:
    x, found = np.log(cost[rows]).ravel(), []
    for column in columns:
        one = gap[rows, column].reshape(len(x), -1)
        kept = _frontier(cost, gap[:, column, :, TOTAL], rows) if kind == FRONTIER else np.ones(len(x), bool)
        found.append((x[kept], one[kept]))
    log_f, many = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return Cloud(log_f, many.T, many.T + floor[:, None])


def _frontier(cost: Array, total: Array, rows: Array) -> Array:
    """The frontier of the networks `rows` of one seed [row * snapshot]; a network that was drawn twice counts
    twice."""
    once, back = np.unique(rows, return_inverse=True)
    kept = frontier(cost[once].ravel(), total[once].ravel()).reshape(len(once), -1)
    return kept[back].ravel()


def on_frontier(record: Record) -> Array:
    """Which points are on the frontier of their seed [width, seed, snapshot]."""
    cost, total = compute(record), gaps(record)[..., TOTAL]
    rows = np.arange(len(cost))
    found = [_frontier(cost, total[:, seed], rows).reshape(cost.shape) for seed in range(total.shape[1])]
    return np.stack(found, 1)


Reading = Callable[[Cloud], Array]


def interval(record: Record, read: Reading, kind: str = FRONTIER) -> Array:
    """What `read` takes off the points, with its interval: [value, low, high] along a new first axis.

    Resamples where it cannot be read off (NaN) are left out.
    """
    first, *others = (read(points) for points in clouds(record, kind))
    with np.errstate(invalid="ignore"):
        low, high = np.nanpercentile(np.stack(others), (2.5, 97.5), axis=0)
    return np.stack([first, low, high])


# -------------------------------------------------------------------------------------------- correlations


BEFORE, AFTER, RISE = range(3)


def correlations(record: Record, kind: str = FRONTIER) -> Array:
    """Intervals [value or end, 3, l + 1] of rho of J with F (BEFORE), of J - J* with F (AFTER), and of their
    difference (RISE), which is taken resample by resample."""
    return interval(record, _both, kind)


def _both(points: Cloud) -> Array:
    before, after = (correlation(points.log_f, y) for y in (points.loss, points.gap))
    return np.stack([before, after, after - before])


def by_floor(record: Record, factors: Array, places: list[int]) -> tuple[Array, Array]:
    """rho and exponent of J - factor J* against F over the frontier, [factor, place] each; NaN where some
    difference is not positive."""
    points, floor = cloud(record), optimum(record)[places]
    left = points.loss[places] - np.asarray(factors)[:, None, None] * floor[:, None]
    return correlation(points.log_f, left), slope(points.log_f, left)


def by_estimate(record: Record, name: str, places: list[int]) -> Array:
    """rho of J less an estimate of J* from subsets [place]."""
    points = cloud(record)
    return correlation(points.log_f, points.loss[places] - estimated(record, name)[places, None])


def straightest(record: Record, places: list[int]) -> Array:
    """The factor of FACTORS at which rho is largest [place]; a factor that leaves a difference that is not
    positive is out."""
    rho, _ = by_floor(record, np.array(FACTORS), places)
    return np.array(FACTORS)[np.where(np.isfinite(rho), rho, -np.inf).argmax(0)]


# ----------------------------------------------------------------------------------------------------- laws


FLOOR, ALPHA, MISFIT = range(3)  # of the numbers of a fit
FREE, KNOWN, NONE = range(3)  # of the fits: the floor is free, J*, or 0


def laws(record: Record, place: int = TOTAL) -> Array:
    """Intervals [value or end, fit, number] of the three fits to J over the frontier: FREE, KNOWN, NONE by
    FLOOR, ALPHA, MISFIT."""
    floor = optimum(record)[place]

    def read(points: Cloud) -> Array:
        fits = (fitted(points.log_f, points.loss[place], c) for c in (None, floor, 0.0))
        return np.stack([fit.as_array() for fit in fits])

    return interval(record, read)


def misfit_ratio(record: Record, place: int = TOTAL) -> Array:
    """Interval of the misfit of the law with the known floor over that of the law without one."""
    floor = optimum(record)[place]

    def read(points: Cloud) -> Array:
        known, none = (fitted(points.log_f, points.loss[place], c).misfit for c in (floor, 0.0))
        return np.array(known / none)

    return interval(record, read)


# ------------------------------------------------------------------------------------ the paper's noise level


def paper_share(curve: Record) -> tuple[float, float]:
    """What part of the variance J* may be at the paper's sigma for ImageNet-64: at least that of few of its
    images, whose loss curve `curve` is; at most the loss of the best linear denoiser, which bounds J* of any
    set with that covariance."""
    logs, variance = np.log(curve["sigma"]), float(curve["variance"])
    low, high = (np.interp(np.log(PAPER_SIGMA), logs, curve[name]) for name in ("mean", "gaussian"))
    return float(low) / variance, float(high) / variance


def comparable(record: Record, curve: Record) -> list[int]:
    """The noise levels that may be like the paper's: J* is not NEGLIGIBLE and at most the upper end of
    `paper_share`, as a part of the variance."""
    part = share(record)
    found = np.flatnonzero((part >= NEGLIGIBLE) & (part <= paper_share(curve)[1])).tolist()
    if not found:
        raise Nothing("no noise level has a J* that is comparable with the paper's")
    return found


def middle(record: Record, curve: Record) -> int:
    """The one of them in the middle."""
    found = comparable(record, curve)
    return found[len(found) // 2]


# ------------------------------------------------------------------------------------------------ what is fit


def fall(record: Record, place: int = TOTAL) -> float:
    """The factor by which the gap falls over the frontier, from the least compute to the most."""
    points = cloud(record)
    order = np.argsort(points.log_f)
    ends = max(1, gaps(record).shape[1])
    first, last = (np.exp(np.log(points.gap[place, part]).mean()) for part in (order[:ends], order[-ends:]))
    return float(first / last)


def reached(record: Record) -> tuple[float, float]:
    """The total loss of the largest network at the last snapshot, in the mean over seeds, and that of the
    best linear denoiser."""
    return float(losses(record)[-1, :, -1, TOTAL].mean()), float(gaussian(record)[TOTAL])


def check_trained(record: Record, *places: int) -> None:
    """Raise Nothing unless networks learned: the largest has a smaller total loss than the best linear
    denoiser, the frontier has enough points, and at each of the places the gap falls over it."""
    own, linear = reached(record)
    if own >= linear:
        raise Nothing(
            f"the networks did not learn: a total loss of {own:.3f}, {linear:.3f} for a linear denoiser"
        )
    count = int(on_frontier(record).sum(axis=(0, 2)).min())
    if count < FEWEST:
        raise Nothing(f"the frontier of a seed has {count} points, fewer than {FEWEST}")
    if low := [fall(record, place) for place in places if fall(record, place) < FALLS]:
        raise Nothing(f"the gap falls only by a factor of {min(low):.2f} over the frontier")
