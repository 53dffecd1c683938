"""How fast the exact computations are, beside the direct way and public packages, all from one run.

Six questions:
  curve     J*(sigma) at every level to a standard error of 1 % of the data variance: all levels from one pass
            (`optimal_loss`, "pairwise") against one posterior mean per draw and level (Xu et al., arXiv
            2506.13763, Eq. 9): ours ("full"), plain torch, smalldiffusion's IdealDenoiser. Ours runs with the
            draws that it needs. The others are timed with few draws at `timed` of the levels, and scaled
            linearly: to the draws that each level needs by the variance measured there, and to all levels.
  beside    the same beside one busy process, which would take a core;
  mean      the posterior mean of `queries` observations, with the peak of memory above the data. What depends
            on the data alone (their norms) may be formed beforehand by every way: ours is `ExactDenoiser`.
            PyKeOps is timed with fewer rows, and scaled linearly; faiss leaves out all but the nearest;
  sampling  `steps` Euler steps of `images` images on the EDM grid: every point in every step, or certified
            pruning, with what that changes;
  growth    seconds of a curve over N, d and levels; plain torch at 2 of the levels, scaled linearly;
  load      seconds of a curve with `queries` sources beside busy processes, each of which would take a core,
            as on a reader's laptop; plain torch with as many sources at 2 of the levels, scaled linearly; and
            the posterior mean at sigma = 1, all ways.

Every ratio is taken within one repeat, in which the methods run in turn, so that a slow spell of the machine
hits all of them. Seconds never repeat: of what is MEASURED the twin compares names, kinds and shapes alone,
so a valid record says what was measured with the code of its commit. Means, draws and sizes must come again.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from typing import Any

import numpy as np
import torch
from torch import Tensor

from diffnotes import data
from diffnotes.base import runtime
from diffnotes.chapters.speed.stopwatch import (
    FEWER,
    PACKAGES,
    PEER,
    Workload,
    attention,
    busy,
    half_squares,
    load_peers,
    plain_mean,
    products,
    rounds,
    timed,
    watched,
)
from diffnotes.data import fingerprint
from diffnotes.optimal_loss import NOISES, accumulate
from diffnotes.posterior import ExactDenoiser, PrunedDenoiser
from diffnotes.process import noise_levels
from diffnotes.sample import edm_sigmas, initial_noise, trajectory
from diffnotes.store import Arrays, Experiment, Spec, Tolerance, Work, choice, flag, number, numbers

WANTED = 0.01  # standard error of a curve, as a share of the data variance
SHAPE = (3, 4, 4)  # of the made-up images


QUESTIONS = ("curve", "beside", "mean", "sampling", "growth", "load")


@dataclass(frozen=True)
class SpeedSpec(Spec):
    """What is timed, and how often."""

    question: str = choice("all", "all", *QUESTIONS, help="what is timed")
    dataset: str = choice("noise", "noise", "cifar10", "specimens", help="noise: made-up pixels, small")
    n: int = number(200, low=0, help="points; 0 for all of a set")
    peers: bool = flag(False, help="time other packages as well (`make bench` installs them)")
    levels: int = number(64, low=8, high=1000, help="noise levels of a curve, from 0.002 to 80")
    timed: int = number(8, low=1, high=64, help="levels at which the slow methods are timed")
    queries: int = number(256, low=32, help="rows of a product; draws of a curve")
    sigmas: tuple[float, ...] = numbers((0.1, 1.0, 4.0, 20.0), low=1e-6, help="noise levels of the mean")
    images: int = number(64, low=1, help="images sampled at once")
    steps: int = number(32, low=2, help="steps of the sampler")
    busy: tuple[int, ...] = numbers(
        (0, 1, 4), low=0, high=64, help="processes beside which a pass is timed", later=True
    )
    repeats: int = number(3, low=1, help="how often everything is timed")
    seed: int = number(0, low=0, high=2**31, help="seed of draws and noise")


def compute(spec: SpeedSpec, work: Work) -> Arrays:
    """Seconds, ratios and what they rest on; the names of arrays begin with the question."""
    questions = dict(zip(QUESTIONS, (_curve, _beside, _mean, _sampling, _growth, _load), strict=True))
    asked = questions if spec.question == "all" else {spec.question: questions[spec.question]}
    problem = _problem(spec, work)
    arrays: Arrays = {}
    with runtime.full_precision(), torch.no_grad():
        _warm_up(problem)
        for name, answer in asked.items():
            arrays |= {f"{name}_{key}": value for key, value in answer(problem, spec, work).items()}
    versions = [f"torch {torch.__version__}"]
    versions += [f"{name} {metadata.version(name)}" for name in PACKAGES.values() if problem.peers]
    sizes = {"points": len(problem.x), "dimension": problem.x.shape[1], "threads": torch.get_num_threads()}
    return arrays | {k: np.array(v) for k, v in sizes.items()} | {"versions": np.array(versions)}


def _problem(spec: SpeedSpec, work: Work) -> Workload:
    where = runtime.device()
    work.device = runtime.device_name(where)
    pixels = _pixels(spec).flatten(1).to(where)
    x = pixels.float().div_(127.5).sub_(1.0)
    compared = spec.peers and spec.question not in ("sampling", "growth")  # in which peers have no part
    return Workload(pixels, x, half_squares(x), load_peers(x) if compared else {}, spec.seed)


def _pixels(spec: SpeedSpec) -> Tensor:
    if spec.dataset == "noise":
        words = runtime.words(spec.seed, "speed, pixels", range(max(1, spec.n)), math.prod(SHAPE))
        return torch.from_numpy((words >> np.uint64(56)).astype(np.uint8))
    pixels = data.load(spec.dataset, n=spec.n or None, seed=spec.seed).pixels
    assert pixels is not None  # all of them have
    return pixels


def _warm_up(p: Workload) -> None:
    """Let every library set itself up on a few rows."""
    x, noise = p.draws(16, 0)
    for call in _means(p, x + noise, 1.0).values():
        call()
    accumulate(p.pixels, noise_levels(2), range(4), seed=p.seed)
    PrunedDenoiser(p.x[:64])(x + noise, 1.0)


# ----------------------------------------------------------------------------------------------------- curve


def _curve(p: Workload, spec: SpeedSpec, work: Work) -> Arrays:
    """Seconds [r, k] to a standard error of WANTED at every level, for `methods` [k]."""
    return _curves(p, spec, work, "curve")


def _beside(p: Workload, spec: SpeedSpec, work: Work) -> Arrays:
    with busy(1):
        return _curves(p, spec, work, "beside")


def _curves(p: Workload, spec: SpeedSpec, work: Work, name: str) -> Arrays:
    found = rounds(work, name, spec.repeats, lambda turn: _curve_round(p, spec, turn))
    limit = (WANTED * found["variance"][0]) ** 2
    draws = max(4, math.ceil(found["pairwise_spread"].mean(0).max() / limit))
    runs = rounds(work, f"{name}-run", spec.repeats, lambda turn: _curve_run(p, spec, draws, turn))
    level_draws = np.maximum(1.0, found["spread"].mean(0) / limit)
    slow = spec.levels / found["spread"].shape[1] * (found["seconds"] * level_draws).sum(1)
    seconds = np.concatenate([runs["seconds"][:, None], slow], 1)
    return {
        "methods": np.array(["pairwise", "full", "plain", *([PEER] if spec.peers else [])]),
        "seconds": seconds, "ratio": seconds / seconds[:, :1], "draws": np.array(draws),
        "stderr": runs["stderr"] / found["variance"][0], "sigma": noise_levels(spec.levels).numpy(),
        "products": found["products"], "pass": found["pairwise"],
        "over_products": found["pairwise"] / found["products"],
        "timed": noise_levels(spec.levels).numpy()[_timed_levels(spec)],
        "mean": found["mean"].mean(0), "level_draws": level_draws, "draw_seconds": found["seconds"],
        "pairwise_mean": found["pairwise_mean"].mean(0),
    }  # fmt: skip


def _timed_levels(spec: SpeedSpec) -> list[int]:
    """Evenly spaced positions among the levels, each in the middle of the part that it stands for."""
    count = min(spec.timed, spec.levels)
    return [int((k + 0.5) * spec.levels / count) for k in range(count)]


def _curve_round(p: Workload, spec: SpeedSpec, turn: int) -> dict[str, Any]:
    """One pass of `queries` draws, the products of as many rows, and few draws of the slow methods.

    `spread` is the variance of one draw, `seconds` its time, both [timed, method].
    """
    where, levels = p.x.device, noise_levels(spec.levels)
    x, _ = p.draws(spec.queries, turn)
    draws = range(turn * spec.queries, (turn + 1) * spec.queries)
    bare, _ = timed(lambda: products(x, p.x), where)
    seconds, sums = timed(lambda: accumulate(p.pixels, levels, draws, seed=p.seed), where)
    curve = sums.curve()
    slow = partial(_slow_draws, p, levels[_timed_levels(spec)], spec.queries // 2, turn)
    columns = [_full_draws(p, spec, turn), slow(_plain(p)), *([slow(p.peers[PEER])] if p.peers else [])]
    found = {key: np.stack([column[key] for column in columns], 1) for key in columns[0]}
    spread = curve.stderr.numpy() ** 2 * curve.draws
    return found | {
        "products": bare, "pairwise": seconds, "variance": curve.variance,
        "pairwise_spread": spread, "pairwise_mean": curve.mean.numpy(),
    }  # fmt: skip


def _curve_run(p: Workload, spec: SpeedSpec, draws: int, turn: int) -> dict[str, Any]:
    """The whole curve with as many draws as it needs, other ones in each repeat."""
    part = range(turn * draws, (turn + 1) * draws)
    levels = noise_levels(spec.levels)
    seconds, sums = timed(lambda: accumulate(p.pixels, levels, part, seed=p.seed), p.x.device)
    return {"seconds": seconds, "stderr": sums.curve().stderr.numpy()}


def _plain(p: Workload) -> Callable[[Tensor, float], Tensor]:
    return lambda x, sigma: plain_mean(x, sigma, p.x, p.half)


def _slow_draws(
    p: Workload, sigmas: Tensor, count: int, turn: int, mean: Callable[[Tensor, float], Tensor]
) -> dict[str, np.ndarray]:
    """|x0 - E[x0|x]|^2 at each level: seconds of a draw, mean and variance over `count` draws."""
    x0, noise = p.draws(count, turn)
    rows = []
    for sigma in sigmas.tolist():
        seconds, found = timed(partial(mean, x0 + sigma * noise, sigma), x0.device)
        losses = (x0 - found).square().sum(1).double()
        rows.append([seconds / len(x0), float(losses.mean()), float(losses.var())])
    return dict(zip(("seconds", "mean", "spread"), np.array(rows).T, strict=True))


def _full_draws(p: Workload, spec: SpeedSpec, turn: int) -> dict[str, np.ndarray]:
    """The same for our own estimator, whose draws are sources under NOISES noises with a control variate."""
    sigmas, count = noise_levels(spec.levels)[_timed_levels(spec)], spec.queries // 2 // NOISES
    draws = range(turn * count, (turn + 1) * count)
    estimate = partial(accumulate, p.x, sigmas, draws, estimator="full", seed=p.seed)
    seconds, sums = timed(estimate, p.x.device)
    curve = sums.curve()
    each = np.full(len(sigmas), seconds / count / len(sigmas))
    return {"seconds": each, "mean": curve.mean.numpy(), "spread": curve.stderr.numpy() ** 2 * count}


# ------------------------------------------------------------------------------------------------------ mean


def _means(p: Workload, x: Tensor, sigma: float) -> dict[str, Callable[[], Tensor]]:
    """The bare products first, then the ways to a posterior mean, ours in float32 first."""
    ways: dict[str, Callable[[], Tensor]] = {
        "products": lambda: products(x, p.x),
        **{name: partial(mean, x, sigma) for name, mean in p.ours.items()},
        "plain": lambda: plain_mean(x, sigma, p.x, p.half),
        "attention": lambda: attention(x, sigma, p.x, p.half),
    }
    rows = {name: x[: max(1, len(x) // FEWER.get(name, 1))] for name in p.peers}
    return ways | {name: partial(mean, rows[name], sigma) for name, mean in p.peers.items()}


def _mean(p: Workload, spec: SpeedSpec, work: Work) -> Arrays:
    """seconds, peak [bytes] and largest difference from ours [r, sigma, method]; ratio to the products."""
    count = spec.repeats * len(spec.sigmas)
    found = rounds(work, "mean", count, lambda turn: _mean_round(p, spec, turn))
    found = {k: v.reshape(spec.repeats, len(spec.sigmas), -1) for k, v in found.items()}
    ratio = found["seconds"] / found["seconds"][:, :, :1]
    methods = np.array(list(_means(p, p.x, 1.0)))
    return found | {"ratio": ratio, "methods": methods, "sigma": np.array(spec.sigmas)}


def _mean_round(p: Workload, spec: SpeedSpec, turn: int) -> dict[str, Any]:
    sigma = spec.sigmas[turn % len(spec.sigmas)]
    x0, noise = p.draws(spec.queries, turn)
    ways = _means(p, x0 + sigma * noise, sigma)
    seconds, peaks, results = zip(*[watched(way, p.x.device) for way in ways.values()], strict=True)
    difference = [float((result - results[1][: len(result)]).abs().max()) for result in results]
    times = [len(x0) / len(result) for result in results]
    return {
        "seconds": np.multiply(seconds, times), "peak": peaks, "difference": [math.nan, *difference[1:]],
    }  # fmt: skip


# -------------------------------------------------------------------------------------------------- sampling


def _sampling(p: Workload, spec: SpeedSpec, work: Work) -> Arrays:
    """seconds [r, step, 2] of the full scan and of pruning, deviation [r, step + 1] of x, and ratios [r]."""
    found = rounds(work, "sampling", spec.repeats, lambda turn: _sampling_round(p, spec, turn))
    full, pruned = found["seconds"][:, :, 0], found["seconds"][:, :, 1]
    sigma = edm_sigmas(spec.steps).numpy()[:-1]
    low = sigma < 1
    return found | {
        "sigma": sigma, "ratio": full / pruned, "low_ratio": full[:, low].sum(1) / pruned[:, low].sum(1),
        "whole_ratio": full.sum(1) / (pruned.sum(1) + found["setup"]),
    }  # fmt: skip


def _sampling_round(p: Workload, spec: SpeedSpec, turn: int) -> dict[str, Any]:
    """Both trajectories from the same noise, step by step in turn."""
    where, times = p.x.device, edm_sigmas(spec.steps)
    rows = range(turn * spec.images, (turn + 1) * spec.images)
    x = float(times[0]) * initial_noise(rows, p.x.shape[1:], p.seed, dtype=torch.float64).to(where)
    setup, pruned = timed(lambda: PrunedDenoiser(p.x), where)
    paths = [trajectory(way, x, times, solver="euler") for way in (ExactDenoiser(p.x), pruned)]
    seconds, deviation = [], []
    for _ in times:
        pair = [timed(partial(next, path), where) for path in paths]
        seconds.append([spent for spent, _ in pair])
        deviation.append(float((pair[0][1].x - pair[1][1].x).abs().max()))
    scanned = [call.scanned + call.deferred for call in pruned.history]
    return {"setup": setup, "seconds": seconds[:-1], "deviation": deviation, "scanned": scanned}


# ---------------------------------------------------------------------------------------------------- growth

PARTS = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0)  # of N and of d; four times as much of the levels


def _growth(p: Workload, spec: SpeedSpec, work: Work) -> Arrays:
    """seconds [r, axis, size, method] of a curve with queries/4 draws, methods pairwise and plain."""
    found = rounds(work, "growth", 3 * spec.repeats, lambda turn: _growth_round(p, spec, turn))
    sizes, seconds = found["size"][:3], found["seconds"].reshape(spec.repeats, 3, len(PARTS), 2)
    middle = np.median(seconds, 0)
    pairs = zip(np.log(sizes), np.log(middle), strict=True)
    slope = [np.polyfit(size, times, 1)[0] for size, times in pairs]
    names = {"axes": np.array(["N", "d", "levels"]), "methods": np.array(["pairwise", "plain"])}
    return names | {"size": sizes, "seconds": seconds, "slope": np.array(slope)}


def _growth_round(p: Workload, spec: SpeedSpec, turn: int) -> dict[str, Any]:
    """One axis of one repeat, the other two held at their full size."""
    axis, whole = turn % 3, [*p.x.shape, spec.levels]
    sizes = [max(2, round(whole[axis] * part * (4 if axis == 2 else 1))) for part in PARTS]
    rows = [_growth_point(p, spec, [*whole[:axis], size, *whole[axis + 1 :]], turn // 3) for size in sizes]
    return {"size": sizes, "seconds": rows}


def _growth_point(p: Workload, spec: SpeedSpec, sizes: list[int], turn: int) -> list[float]:
    n, d, count = sizes
    pixels, x = p.pixels[:n, :d].contiguous(), p.x[:n, :d].contiguous()
    part = Workload(pixels, x, half_squares(x), {}, p.seed)
    draws, levels = spec.queries // 4, noise_levels(count)
    span = range(turn * draws, (turn + 1) * draws)
    ours, _ = timed(lambda: accumulate(pixels, levels, span, seed=p.seed), x.device)
    few = levels[[count // 4, 3 * count // 4]]
    plain = _slow_draws(part, few, draws, turn, _plain(part))["seconds"]
    return [ours, count * draws * float(plain.mean())]


# ------------------------------------------------------------------------------------------------------ load


def _load(p: Workload, spec: SpeedSpec, work: Work) -> Arrays:
    """seconds [r, busy, method] of a curve with `queries` sources, methods pairwise and plain; ratio; and
    mean_seconds of a posterior mean, with their ratio to the bare products."""
    found = rounds(work, "load", spec.repeats * len(spec.busy), lambda turn: _load_round(p, spec, turn))
    found = {key: value.reshape(spec.repeats, len(spec.busy), -1) for key, value in found.items()}
    seconds, mean = found["seconds"], found["mean_seconds"]
    names = {"busy": np.array(spec.busy), "methods": np.array(["pairwise", "plain"])}
    names |= {"mean_methods": np.array(list(_means(p, p.x, 1.0)))}
    ratios = {"ratio": seconds[:, :, 1] / seconds[:, :, 0], "mean_ratio": mean / mean[:, :, :1]}
    return names | found | ratios


def _load_round(p: Workload, spec: SpeedSpec, turn: int) -> dict[str, Any]:
    """Both ways beside as many busy processes; one row per source for plain torch, which is kind to it."""
    levels, repeat = noise_levels(spec.levels), turn // len(spec.busy)
    span = range(repeat * spec.queries, (repeat + 1) * spec.queries)
    few = levels[[spec.levels // 4, 3 * spec.levels // 4]]
    with busy(spec.busy[turn % len(spec.busy)]):
        ours, _ = timed(lambda: accumulate(p.x, levels, span, seed=p.seed), p.x.device)
        plain = _slow_draws(p, few, spec.queries, repeat, _plain(p))["seconds"]
        mean = _mean_round(p, spec.replace(sigmas=(1.0,)), repeat)["seconds"]
    return {"seconds": [ours, spec.levels * spec.queries * float(plain.mean())], "mean_seconds": mean}


def _fingerprints(spec: SpeedSpec) -> dict[str, str]:
    if spec.dataset == "noise":
        return {}
    return {spec.dataset: fingerprint(spec.dataset, spec.n or None, seed=spec.seed)}


MEASURED = (
    "*seconds", "*ratio", "*_products", "*_pass", "sampling_setup", "growth_slope",
    "threads", "versions",
)  # fmt: skip

EXPERIMENT = Experiment(
    name="speed",
    version=1,
    spec=SpeedSpec,
    profiles={
        "smoke": SpeedSpec(levels=12, timed=3, queries=32, images=4, steps=6, repeats=2),
        # more points than a tile holds
        "smoke_pixels": SpeedSpec(
            dataset="specimens", n=0, levels=12, timed=3, queries=32, images=4, steps=6, repeats=2
        ),
        "laptop": SpeedSpec(question="curve", dataset="cifar10", n=0, peers=True, repeats=5),
    },
    compute=compute,
    seconds={"smoke": 3, "smoke_pixels": 6, "laptop": 150},
    data=_fingerprints,
    shown=tuple({"question": question} for question in QUESTIONS),
    tolerance=Tolerance(1e-4, 1e-12, "float32 products: about 1e-5 for a draw"),
    tolerances={
        "mean_difference": Tolerance(0.0, 2e-5, "of two ways, by nothing but rounding"),
        "sampling_deviation": Tolerance(0.0, 1e-5, "of two ways, by nothing but rounding"),
        "sampling_scanned": Tolerance(0.05, 2, "points that rounding leaves in doubt"),
        "mean_peak": Tolerance(math.inf, math.inf, "what Linux alone can tell; elsewhere NaN"),
        **dict.fromkeys(MEASURED, Tolerance(math.inf, why="what a clock or the machine gives")),
    },
)
