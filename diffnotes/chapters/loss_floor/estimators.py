"""Bias and spread of SNIS, DOL and cDOL on digits and CIFAR-10 (chapter 4; Xu et al., arXiv 2506.13763).

Every estimator is compared with the full data set on the same sources and the same noise, so that only the
choice of points matters. One scan of a subset gives every correction and every read-out (`Scan.losses`). The
products of a draw with all points are formed once and serve all subsets and all noise levels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

from diffnotes import data
from diffnotes.base import runtime
from diffnotes.base.shapes import Float, Int, Tensor
from diffnotes.data import fingerprint
from diffnotes.optimal_loss import READOUTS, optimal_loss
from diffnotes.optimal_loss.all_levels import products
from diffnotes.optimal_loss.subsets import Scan, random_others, shared_others
from diffnotes.posterior import Support, half_squares
from diffnotes.store import Arrays, Experiment, Spec, Tolerance, Work, choice, number, numbers

LEVELS = {  # from under 1 % of the data variance to over 80 %; e^1.25 is that of the paper's figure 1(c)
    "digits": (0.4, 0.5, 0.65, 0.8, 1.0, 1.3, 1.8, 2.5, 4.0),
    "cifar10": (2.2, 2.7, 3.1, math.exp(1.25), 4.0, 5.3, 7.0, 11.0, 25.0),
}
WIDE = {"digits": (0.1, 60.0), "cifar10": (0.6, 300.0)}  # where the area is taken; J* is 0 below
LEVELS["specimens"], WIDE["specimens"] = LEVELS["cifar10"], WIDE["cifar10"]
MULTIPLES = 2.0 ** (np.arange(-2, 21) / 2)  # corrections in units of N/L; DOL and SNIS come on top
COARSE = (1.0, 4.0, 16.0, 64.0)  # the same for shared subsets
PAPER = "A-B"  # A over all data minus the mean of |D|^2; AB takes A from the same draws
NAMES = (*READOUTS, PAPER)
FEWEST = 16  # from this N/L on: neighbours with a tail, and shared subsets
RESAMPLED = 400  # times that repeats are drawn again, with replacement, for an interval
SUBSETS = 16  # random subsets whose own optimum is averaged


@dataclass(frozen=True)
class EstimatorSpec(Spec):
    """Settings of the study. L is N divided by a ratio; the L points include the source."""

    dataset: str = choice("digits", "digits", "cifar10", "specimens", help="digits are shifted as well")
    n: int = number(0, low=0, high=50_000, help="images at random; 0: 4,096 digits, or all of another set")
    ratios: tuple[int, ...] = numbers((2, 4, 8, 16, 32, 64), low=2, high=1000, help="N/L, rising")
    repeats: int = number(16, low=2, high=1000, help="repeats, from whose scatter all errors come")
    draws: int = number(512, low=1, high=100_000, help="sources of a repeat, with a fresh subset for each")
    near: int = number(4, low=2, high=1000, help="repeats with neighbours and a tail as well")
    shared: int = number(256, low=1, high=100_000, help="sources of a repeat that share one subset")
    levels: int = number(40, low=2, high=1000, help="noise levels under which the area is taken")
    seed: int = number(0, low=0, high=2**31, help="seed of everything drawn")


@dataclass(frozen=True)
class Problem:
    """A data set, and the half squares [n] that `products` needs."""

    support: Support
    half: Float[Tensor, "n"]


@dataclass(frozen=True)
class Draws:
    """Sources [m] with their tile coordinates y [m, d], and D/2 [m, n] and H [m, n] against all points."""

    y: Tensor
    a: Tensor
    h: Tensor


def compute(spec: EstimatorSpec, work: Work) -> Arrays:
    """Mean readings of each repeat [repeats, ...], and what the comparison needs of the exact values."""
    values = values_of(spec)
    sizes = [len(values) // ratio for ratio in spec.ratios]
    variance, norm = _moments(problem_of(values))
    found: list[Arrays] = []
    for repeat in range(spec.repeats):
        arrays = work.load(f"repeat-{repeat}")
        if arrays is None:
            arrays = _repeat(spec, values, sizes, repeat)
            work.save(f"repeat-{repeat}", arrays)
            work.step(repeat + 1, spec.repeats, f"{repeat + 1} of {spec.repeats} repeats")
        found.append(arrays)
    every = {name: np.stack([a[name] for a in found if name in a]) for name in found[0]}
    summary = _summary(every, variance, norm, _grid(spec))
    return {**summary, **_subsets(spec, values, sizes[-1]), **_settings(spec, len(values), sizes)}


def values_of(spec: EstimatorSpec) -> Tensor:
    """The data: uint8 pixels, or digits with their one-pixel shifts."""
    if spec.dataset == "digits":
        return shifted_digits(spec.n or 4096)
    pixels = data.load(spec.dataset, n=spec.n or None, seed=spec.seed).pixels
    assert pixels is not None  # all but digits are stored as pixels
    return pixels


def shifted_digits(count: int) -> Float[Tensor, "n 64"]:
    """`count` of all digits and their shifts by one pixel in four directions, without repeats."""
    images = torch.cat([data.load("digits", split=split).x[:, 0] for split in ("train", "validation")])
    padded = torch.nn.functional.pad(images, (1, 1, 1, 1), value=-1.0)
    moves = ((0, 0), (1, 0), (-1, 0), (0, 1), (0, -1))
    views = torch.cat([padded[:, 1 + y : 9 + y, 1 + x : 9 + x] for y, x in moves]).flatten(1)
    distinct = np.unique(views.numpy(), axis=0)
    return torch.from_numpy(distinct[runtime.permutation(0, "digits", len(distinct))[:count]])


def problem_of(values: Tensor) -> Problem:
    """Points and half squares of the data."""
    support = Support.of(values)
    where = support.raw.device
    parts = runtime.blocks(support.count, support.tile_rows)
    return Problem(support, torch.cat([half_squares(support.tile(part, where)) for part in parts]))


def draws_of(problem: Problem, source: Int[Tensor, "m"], noise: Float[Tensor, "m d"]) -> Draws:
    """The products of some draws with all points."""
    everything = slice(0, problem.support.count)
    a, h = products(problem.support, problem.half, source, noise[:, None], everything)
    return Draws(problem.support.tile(source, noise.device), a, h[:, 0])


def scan_level(problem: Problem, drawn: Draws, sigma: float, extra: Float[Tensor, "m e n"]) -> Scan:
    """What `subset_loss.scan_subsets` gives for one level, [m, e, 1], for points counted exp(extra) times.

    It forms all means with one product; -inf leaves a point out.
    """
    support = problem.support
    rate = support.scale / sigma
    weight = extra - rate * torch.add(drawn.h, drawn.a, alpha=rate)[:, None]
    top = weight.amax(2, keepdim=True)
    total = weight.sub_(top).exp_().sum(2, keepdim=True, dtype=torch.float64)
    weight /= total.float()
    mean = _weighted_mean(support, weight.flatten(0, 1)).unflatten(0, weight.shape[:2])
    g = (drawn.y[:, None] - mean).double() * support.scale
    x0 = support.uncentred(drawn.y)[:, None]
    distance = torch.einsum("mek,mk->me", weight, drawn.a).double() * (2 * support.scale**2)
    parts = ((top + total.log())[:, :, 0], g.square().sum(2), (x0 * g).sum(2), distance)
    return Scan(*(part[:, :, None] for part in parts))


def _weighted_mean(support: Support, weight: Float[Tensor, "b n"]) -> Float[Tensor, "b d"]:
    """sum_i weight_i y_i without points that carry less than 1e-8 of the weight in all."""
    mean = torch.zeros(len(weight), support.raw.shape[1])
    alive = (weight.amax(0) > 1e-8 / support.count).nonzero()[:, 0]
    for part in alive.split(support.tile_rows):
        mean.addmm_(weight[:, part], support.tile(part, weight.device))
    return mean


# ------------------------------------------------------------------------------------------------- one repeat


def _repeat(spec: EstimatorSpec, values: Tensor, sizes: list[int], repeat: int) -> Arrays:
    order = torch.from_numpy(runtime.permutation(spec.seed, "loss estimators, sources", len(values)))
    with runtime.full_precision(), torch.no_grad():
        arrays = _fresh(spec, values, order, sizes, repeat)
        chosen = [sizes[spec.ratios.index(ratio)] for ratio in _shared_ratios(spec)]
        shared = [_shared(spec, values, order, size, repeat) for size in chosen]
    return {**arrays, "shared": np.stack(shared)}


def _noise(spec: EstimatorSpec, stream: str, index: range, values: Tensor) -> Float[Tensor, "m d"]:
    return runtime.normals(spec.seed, f"loss estimators, {stream}", index, (values[0].numel(),))


def _fresh(spec: EstimatorSpec, values: Tensor, order: Tensor, sizes: list[int], repeat: int) -> Arrays:
    """Readings with a fresh subset for each draw: "full" [readings, levels], "fresh" [sizes, corrections,
    readings, levels], and in the first repeats "near" [sizes, readings, levels].
    """
    index = range(repeat * spec.draws, (repeat + 1) * spec.draws)
    source = order[torch.tensor(index) % len(order)]
    problem = problem_of(values)
    drawn = draws_of(problem, source, _noise(spec, "noise", index, values))
    count, own = problem.support.count, source.numpy()
    others = [random_others(count, own, index, 1, size - 1, spec.seed) for size in sizes]
    extra = torch.cat([_only(source, count), *(_chosen(chosen, count) for chosen in others)], 1)
    chosen = dict(zip(spec.ratios, others, strict=True)) if repeat < spec.near else {}
    tails = [chosen[ratio][:, 0] for ratio in chosen if ratio >= FEWEST]
    scan = _join([_levels(problem, drawn, sigma, extra, tails) for sigma in LEVELS[spec.dataset]])
    norm = problem.support.uncentred(drawn.y).square().sum(1)
    found = [[_read(scan, 1 + k, c, norm) for c in corrections(count, L)] for k, L in enumerate(sizes)]
    arrays = {"full": _read(scan, 0, 1.0, norm), "fresh": np.array(found)}
    near = [_read(scan, 1 + len(sizes) + k, math.inf, norm) for k in range(len(tails))]
    return arrays | ({"near": np.array(near)} if near else {})


def _levels(problem: Problem, drawn: Draws, sigma: float, extra: Tensor, tails: list[np.ndarray]) -> Scan:
    """One level for all subsets, and for neighbours with a tail, half of each."""
    near = [_near(problem, drawn, sigma, (t.shape[1] + 1) // 2, t[:, t.shape[1] // 2 :]) for t in tails]
    return scan_level(problem, drawn, sigma, torch.cat([extra, *near], 1))


def _join(scans: list[Scan]) -> Scan:
    """One scan over all levels."""
    names = ("log_sum", "square", "inner", "distance")
    return Scan(*(torch.cat([getattr(scan, name) for scan in scans], 2) for name in names))


def _read(scan: Scan, which: int, correction: float, norm: Float[Tensor, "m"]) -> np.ndarray:
    """Means over draws of each read-out and of -|D|^2, to which the paper's reading adds A: [5, levels]."""
    one = Scan(*(part[:, which] for part in vars(scan).values()))
    read = {name: one.losses(correction, name) for name in READOUTS}
    read[PAPER] = read["AB"] - norm[:, None]
    return torch.stack(list(read.values())).mean(1).numpy()


def corrections(count: int, size: int, multiples: np.ndarray | tuple[float, ...] = MULTIPLES) -> list[float]:
    """DOL, multiples of N/L, SNIS."""
    return [1.0, *(float(m) * count / size for m in multiples), math.inf]


def _only(source: Tensor, count: int) -> Float[Tensor, "m 1 n"]:
    """All points but the source."""
    return torch.zeros(len(source), 1, count).scatter_(2, source[:, None, None], -math.inf)


def _chosen(others: np.ndarray, count: int) -> Float[Tensor, "m 1 n"]:
    """The points `others` [m, 1, k]."""
    index = torch.from_numpy(others)
    return torch.full((len(index), 1, count), -math.inf).scatter_(2, index, 0.0)


def _near(
    problem: Problem, drawn: Draws, sigma: float, nearest: int, tail: np.ndarray
) -> Float[Tensor, "m 1 n"]:
    """The `nearest` points of x, counted once, and random points `tail` [m, t] that stand for all the rest.

    The source is a point like the others here, so this is read with correction infinity.
    """
    rate, count = problem.support.scale / sigma, problem.support.count
    top = torch.add(drawn.h, drawn.a, alpha=rate).topk(nearest, 1, largest=False, sorted=False).indices
    known = torch.zeros(drawn.a.shape, dtype=torch.bool).scatter_(1, top, True)
    chosen = torch.from_numpy(tail)
    spare = ~known.gather(1, chosen)
    each = math.log(count - nearest) - spare.sum(1, keepdim=True).clamp(min=1).log()
    extra = torch.full(drawn.a.shape, -math.inf)
    extra.scatter_(1, chosen, each.expand(chosen.shape)).masked_fill_(known, 0.0)
    return extra[:, None]


# --------------------------------------------------------------------------------------------- shared subsets


def _shared_ratios(spec: EstimatorSpec) -> list[int]:
    """Every other of the small subsets."""
    return [ratio for ratio in spec.ratios if ratio >= FEWEST][::2]


def _grid(spec: EstimatorSpec) -> np.ndarray:
    return np.geomspace(*WIDE[spec.dataset], spec.levels)


def _shared(spec: EstimatorSpec, values: Tensor, order: Tensor, size: int, repeat: int) -> np.ndarray:
    """Means [corrections, readings, levels] over draws that share one subset."""
    index = range(repeat * spec.shared, (repeat + 1) * spec.shared)
    own = order[torch.tensor(index) % len(order)].numpy()
    others = shared_others(len(values), own, 1, size - 1, spec.seed + repeat)
    members = np.unique(np.concatenate([others.ravel(), own]))
    problem = problem_of(values[torch.from_numpy(members)])
    source = torch.from_numpy(np.searchsorted(members, own))
    drawn = draws_of(problem, source, _noise(spec, "shared noise", index, values))
    extra = _chosen(np.searchsorted(members, others), len(members))
    scan = _join([scan_level(problem, drawn, float(sigma), extra) for sigma in _grid(spec)])
    norm = problem.support.uncentred(drawn.y).square().sum(1)
    every = corrections(len(values), size, COARSE)
    return np.array([_read(scan, 0, c, norm)[: len(READOUTS)] for c in every])


def _subsets(spec: EstimatorSpec, values: Tensor, size: int) -> Arrays:
    """The exact optimal loss of random subsets of `size` points, averaged: what DOL should give."""
    grid = torch.from_numpy(_grid(spec))
    sources, seeds = max(2 * size, 512), range(spec.seed + 1, spec.seed + 1 + SUBSETS)
    curves = [optimal_loss(values, grid, subset=size, sources=sources, seed=seed) for seed in seeds]
    means = np.stack([curve.mean.numpy() for curve in curves])
    return {"subset_mean": means.mean(0), "subset_stderr": means.std(0, ddof=1) / math.sqrt(SUBSETS)}


# ------------------------------------------------------------------------------------------------ all repeats


def _summary(every: Arrays, variance: float, mean_norm: float, grid: np.ndarray) -> Arrays:
    """Means and errors over repeats (the first axis of every array)."""
    full, fresh, shared = every["full"], every["fresh"], every["shared"]
    bias = fresh - full[:, None, None]
    near = every["near"] - full[: len(every["near"]), None]
    full = full + np.array([0.0] * len(READOUTS) + [mean_norm])[:, None]
    area = _area(grid, shared)
    repeats = {"full": full, "bias": bias, "near": near, "shared": shared, "area": area}
    found = {f"{name}_mean": a.mean(0) for name, a in repeats.items()}
    found |= {f"{name}_stderr": a.std(0, ddof=1) / math.sqrt(len(a)) for name, a in repeats.items()}
    found |= {"full_sd": full.std(0, ddof=1), "fresh_sd": fresh.std(0, ddof=1)}
    ab = NAMES.index("AB")
    found |= {"bias_repeats": bias[:, :, :, ab], "full_repeats": full[:, ab]}
    found |= {"shared_repeats": shared[:, :, :, ab], "variance": np.array(variance)}
    return found | _best(bias[:, :, :, ab], full[:, ab], variance)


def _best(bias: np.ndarray, full: np.ndarray, variance: float) -> Arrays:
    """Which correction has the least RMS relative bias, with the 5 % and 95 % points over resampled repeats.

    bias [repeats, sizes, corrections, levels], full [repeats, levels]; levels count where the optimal loss is
    between 0.5 % and 80 % of the variance. Corrections are in units of N/L.
    """
    share = full.mean(0) / variance
    counts = (share > 0.005) & (share < 0.8)
    draws = runtime.words(0, "loss estimators, resampling", range(RESAMPLED), len(bias)) % len(bias)

    def rms(rows: np.ndarray) -> np.ndarray:
        return np.sqrt(np.square(bias[rows].mean(0) / full[rows].mean(0))[..., counts].mean(-1))

    every = np.arange(len(bias))
    again = np.stack([_lowest(rms(rows.astype(np.int64))) for rows in draws])
    low, high = np.quantile(again, (0.05, 0.95), axis=0)
    return {
        "rms": rms(every),
        "best": _lowest(rms(every)),
        "best_low": low,
        "best_high": high,
        "counts": counts,
    }


def _lowest(rms: np.ndarray) -> np.ndarray:
    """The multiple of N/L [sizes] where `rms` [sizes, corrections] is least; the two ends do not count."""
    inner, places = rms[:, 1:-1], np.log(MULTIPLES)
    at = inner.argmin(1).clip(1, len(places) - 2)
    left, middle, right = (inner[np.arange(len(at)), at + step] for step in (-1, 0, 1))
    bend = left - 2 * middle + right
    shift = np.where(bend > 0, (left - right) / (2 * np.where(bend > 0, bend, 1.0)), 0.0).clip(-1, 1)
    return np.exp(places[at] + shift * (places[1] - places[0]))


def _area(grid: np.ndarray, loss: np.ndarray) -> np.ndarray:
    """Integral of J/sigma^2 over ln sigma along the last axis, with the tail above the grid, in nats."""
    inside = np.trapezoid(loss / grid**2, np.log(grid))
    return inside + loss[..., -1] / (2 * grid[-1] ** 2)


def _moments(problem: Problem) -> tuple[float, float]:
    """Variance of the data and mean of |x0|^2, both summed over dimensions."""
    support = problem.support
    total, norm = torch.zeros(support.raw.shape[1], dtype=torch.float64), 0.0
    for part in runtime.blocks(support.count, support.tile_rows):
        x = support.uncentred(support.tile(part, total.device))
        total += x.sum(0)
        norm += float(x.square().sum())
    return (norm - float(total.square().sum()) / support.count) / support.count, norm / support.count


def _settings(spec: EstimatorSpec, count: int, sizes: list[int]) -> Arrays:
    fine = [corrections(count, size) for size in sizes]
    return {
        "n": np.array(count), "sizes": np.array(sizes), "ratios": np.array(spec.ratios),
        "sigma": np.array(LEVELS[spec.dataset]), "grid": _grid(spec), "corrections": np.array(fine),
        "shared_ratios": np.array(_shared_ratios(spec)), "readings": np.array(NAMES),
        "near_ratios": np.array([ratio for ratio in spec.ratios if ratio >= FEWEST]),
        "multiples": np.array([0.0, *MULTIPLES, math.inf]), "coarse": np.array([0.0, *COARSE, math.inf]),
    }  # fmt: skip


def _fingerprints(spec: EstimatorSpec) -> dict[str, str]:
    if spec.dataset == "digits":
        return {f"digits, {split}": fingerprint("digits", split=split) for split in ("train", "validation")}
    return {spec.dataset: fingerprint(spec.dataset)}


EXACT = Tolerance(8e-5, 1e-12, "float32 weights: 8e-6")
SHARED = Tolerance(2.5e-3, 1e-12, "float32 weights of few draws: 2e-4 where the loss is small")
DIFFERENCE = Tolerance(5e-5, 5e-4, "a difference of losses up to 500, each in float32")

EXPERIMENT = Experiment(
    name="loss_estimators",
    version=1,
    spec=EstimatorSpec,
    profiles={
        "smoke": EstimatorSpec(n=256, ratios=(4, 16), repeats=3, draws=40, near=2, shared=40, levels=12),
        # more points than a tile holds
        "smoke_pixels": EstimatorSpec(
            dataset="specimens", ratios=(4, 16), repeats=3, draws=16, near=2, shared=24, levels=12
        ),
        "laptop": EstimatorSpec(),
    },
    compute=compute,
    seconds={"smoke": 2, "smoke_pixels": 6, "laptop": 360},
    data=_fingerprints,
    shown=({"dataset": "digits"}, {"dataset": "cifar10", "draws": 48, "repeats": 12}),
    figures=("bias_curves", "correction", "best_corrections", "readouts", "spread", "dol_identity"),
    tolerance=Tolerance(6e-4, 1e-12, "float32 weights: 6e-5 in errors over few repeats"),
    tolerances={
        "full_[mr]*": EXACT, "area_mean": EXACT, "rms": EXACT, "best*": EXACT, "subset_*": EXACT,
        "shared_*": SHARED, "bias_*": DIFFERENCE, "near_*": DIFFERENCE,
    },
)  # fmt: skip
