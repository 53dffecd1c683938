"""Bias and spread of SNIS, DOL and cDOL on digits and CIFAR-10 (chapter 4; Xu et al., arXiv 2506.13763).

Every estimator is compared with the full data set on the same sources and the same noise, so that only the
choice of points matters. The estimators are the library's: one of its scans gives the values with all points,
with every subset and every correction, in every read-out (`optimal_loss.subsets`).
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
from diffnotes.optimal_loss import READOUTS, area, optimal_loss
from diffnotes.optimal_loss.all_levels import Prepared, prepare
from diffnotes.optimal_loss.subsets import Scan, random_others, scan_subsets, shared_others
from diffnotes.posterior import Support
from diffnotes.process import noise_levels
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


def compute(spec: EstimatorSpec, work: Work) -> Arrays:
    """Mean readings of each repeat [repeats, ...], and what the comparison needs of the exact values."""
    values = values_of(spec)
    sizes = [len(values) // ratio for ratio in spec.ratios]
    whole = prepare(Support.of(values))
    found: list[Arrays] = []
    for repeat in range(spec.repeats):
        arrays = work.load(f"repeat-{repeat}")
        if arrays is None:
            arrays = _repeat(spec, whole, sizes, repeat)
            work.save(f"repeat-{repeat}", arrays)
            work.step(repeat + 1, spec.repeats, f"{repeat + 1} of {spec.repeats} repeats")
        found.append(arrays)
    every = {name: np.stack([a[name] for a in found if name in a]) for name in found[0]}
    summary = _summary(every, whole.variance, whole.mean_square(), _grid(spec))
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


# ------------------------------------------------------------------------------------------------- one repeat


def _repeat(spec: EstimatorSpec, whole: Prepared, sizes: list[int], repeat: int) -> Arrays:
    count = whole.support.count
    order = torch.from_numpy(runtime.permutation(spec.seed, "loss estimators, sources", count))
    with runtime.full_precision(), torch.no_grad():
        arrays = _fresh(spec, whole, order, sizes, repeat)
        chosen = [sizes[spec.ratios.index(ratio)] for ratio in _shared_ratios(spec)]
        shared = [_shared(spec, whole, order, size, repeat) for size in chosen]
    return {**arrays, "shared": np.stack(shared)}


def _noise(spec: EstimatorSpec, stream: str, index: range, whole: Prepared) -> Float[Tensor, "m d"]:
    return runtime.normals(spec.seed, f"loss estimators, {stream}", index, (whole.support.raw.shape[1],))


def _fresh(spec: EstimatorSpec, whole: Prepared, order: Tensor, sizes: list[int], repeat: int) -> Arrays:
    """Readings with a fresh subset for each draw: "full" [readings, levels], "fresh" [sizes, corrections,
    readings, levels], and in the first repeats "near" [sizes, readings, levels].
    """
    index = range(repeat * spec.draws, (repeat + 1) * spec.draws)
    source, noise = order[torch.tensor(index) % len(order)], _noise(spec, "noise", index, whole)
    count, own = whole.support.count, source.numpy()
    others = [torch.from_numpy(random_others(count, own, index, 1, L - 1, spec.seed)[:, 0]) for L in sizes]
    tails = [_tail(one) for one, ratio in zip(others, spec.ratios, strict=True) if ratio >= FEWEST]
    tails = tails if repeat < spec.near else []
    sigmas = torch.tensor(LEVELS[spec.dataset], dtype=torch.float64)
    scan = scan_subsets(whole, source, noise, [None, *others], sigmas, tails)
    norm = _norms(whole, source)
    found = [[_read(scan, 1 + k, c, norm) for c in corrections(count, L)] for k, L in enumerate(sizes)]
    arrays = {"full": _read(scan, 0, 1.0, norm), "fresh": np.array(found)}
    near = [_read(scan, 1 + len(sizes) + k, math.inf, norm) for k in range(len(tails))]
    return arrays | ({"near": np.array(near)} if near else {})


def _tail(others: Int[Tensor, "m k"]) -> tuple[int, Tensor]:
    """Neighbours with a tail that look at as many points: half of them nearest, the other half random."""
    return (others.shape[1] + 1) // 2, others[:, others.shape[1] // 2 :]


def _norms(whole: Prepared, source: Tensor) -> Float[Tensor, "m"]:
    """|x0|^2 of each source."""
    return whole.support.rows(source, source.device).square().sum(1)


def _read(scan: Scan, which: int, correction: float, norm: Float[Tensor, "m"]) -> np.ndarray:
    """Means over draws of each read-out and of -|D|^2, to which the paper's reading adds A: [5, levels]."""
    one = Scan(*(part[:, which] for part in scan))
    read = {name: one.losses(correction, name) for name in READOUTS}
    read[PAPER] = read["AB"] - norm[:, None]
    return torch.stack(list(read.values())).mean(1).numpy()


def corrections(count: int, size: int, multiples: np.ndarray | tuple[float, ...] = MULTIPLES) -> list[float]:
    """DOL, multiples of N/L, SNIS."""
    return [1.0, *(float(m) * count / size for m in multiples), math.inf]


# --------------------------------------------------------------------------------------------- shared subsets


def _shared_ratios(spec: EstimatorSpec) -> list[int]:
    """Every other of the small subsets."""
    return [ratio for ratio in spec.ratios if ratio >= FEWEST][::2]


def _grid(spec: EstimatorSpec) -> np.ndarray:
    return noise_levels(spec.levels, *WIDE[spec.dataset]).numpy()


def _shared(spec: EstimatorSpec, whole: Prepared, order: Tensor, size: int, repeat: int) -> np.ndarray:
    """Means [corrections, readings, levels] over draws that share one subset."""
    index = range(repeat * spec.shared, (repeat + 1) * spec.shared)
    source = order[torch.tensor(index) % len(order)]
    common = shared_others(len(order), source.numpy(), 1, size - 1, spec.seed + repeat)
    others, noise = torch.from_numpy(common[:, 0]), _noise(spec, "shared noise", index, whole)
    scan = scan_subsets(whole, source, noise, [others], torch.from_numpy(_grid(spec)))
    norm = _norms(whole, source)
    every = corrections(len(order), size, COARSE)
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
    areas = area(grid, shared, shared[..., -1])
    repeats = {"full": full, "bias": bias, "near": near, "shared": shared, "area": areas}
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
    tolerance=Tolerance(6e-4, 1e-12, "float32 weights: 6e-5 in errors over few repeats"),
    tolerances={
        "full_[mr]*": EXACT, "area_mean": EXACT, "rms": EXACT, "best*": EXACT, "subset_*": EXACT,
        "shared_*": SHARED, "bias_*": DIFFERENCE, "near_*": DIFFERENCE,
    },
)  # fmt: skip
