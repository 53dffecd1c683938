"""The optimal loss J*(sigma) = E|x0 - E[x0|x]|^2 of a finite data set, x = x0 + sigma eps, with standard
errors.

Every estimator turns draws into losses, and the losses into sums that add (`LossSums`). Draw number j is
a function of (seed, j) alone: source number perm(j mod n) of pass j // n over the data, in an order of
its own for each pass, under two noises. So a computation may be cut into slices, shards or machines, in
any order:

    sums = accumulate(data, sigmas, range(0, 4096)) + accumulate(data, sigmas, range(4096, 8192))
    curve = sums.curve()
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch

from diffnotes.base.errors import UserError
from diffnotes.base.runtime import (
    ALONE,
    ProcessGroup,
    blocks,
    device,
    full_precision,
    memory_budget,
    normals,
    permutation,
)
from diffnotes.base.shapes import Array, Int, Num, Tensor, checked, whole
from diffnotes.base.terminal import bar
from diffnotes.optimal_loss.all_levels import Prepared, pairwise_losses, prepare, sources_per_batch
from diffnotes.optimal_loss.classes import class_parts, mean_over_classes
from diffnotes.optimal_loss.statistics import NOISES, LossCurve, LossSums, sums_of
from diffnotes.optimal_loss.subsets import Scan, random_others, rows_at_once, scan_subsets
from diffnotes.posterior import Data, Support, posterior

EXACT = ("pairwise", "full")
ESTIMATORS = (*EXACT, "snis", "dol", "cdol", "neighbours")
_FARTHEST = 1e30  # the largest noise level, and one over the smallest: beyond, float32 has no log-weights
DRAWS = 4096  # sources drawn unless told otherwise; rounded up to whole passes over smaller data


_Estimator = Callable[[Prepared, range, Tensor, Tensor, Tensor], Tensor]
"""(prepared, draws, source [m], noise [m, r, d], sigmas [l]) -> losses [m, r, l]."""


@checked(sources=1, subset=1)
def optimal_loss(
    data: Data,
    sigmas: Num[Tensor, "..."],
    *,
    estimator: str = "pairwise",
    sources: int | None = None,
    subset: int | None = None,
    correction: float | None = None,
    labels: Int[Tensor, "k"] | None = None,
    seed: int = 0,
    progress: bool = False,
    group: ProcessGroup = ALONE,
) -> LossCurve:
    """Optimal loss (Xu et al., arXiv 2506.13763, Theorem 1) at noise levels sigmas [l], in the order given.

    data [n, ...] float32, or uint8 where pixel p stands for p/127.5 - 1; n equally likely points.
    estimator:
      "pairwise"    exact in the data, all levels from one pass (see `all_levels`);
      "full"        exact, one posterior mean per level (Eq. 9);
      "dol"         the posterior over `subset` points, the source among them (Eq. 10): the optimal loss of a
                    random subset of that size, too small for the whole data;
      "snis"        the same without the source: consistent, but hopeless at small sigma;
      "cdol"        in between: the source counts 1/correction times, correction = 4 n/subset unless given
                    (Eq. 11);
      "neighbours"  the subset/2 nearest points, and subset/2 random ones that stand for all others.
    The last four are read as |x0|^2 - |D|^2, like the paper's.

    sources: how many draws of a source, each under two noises (and their negatives, for "pairwise"); None
    means 4,096, rounded up to whole passes over the data if these are fewer. subset: for the first two, use
    that many randomly chosen points instead of all. labels [n]: the optimum of class-conditional models,
    whose posterior runs over the source's class; draws are shared out in proportion to class size.
    group: processes among which the draws are shared out, all of which call this with the same arguments, and
    get the same curve (see `accumulate`).
    Raises UserError for a wrong type, shape or value.
    """
    options = functools.partial(
        accumulate, estimator=estimator, correction=correction, progress=progress, group=group
    )
    count = Support.of(data).count
    if labels is not None and labels.shape != (count,):
        raise UserError(f"labels must be one per point, [{count}], not {list(labels.shape)}.")
    if estimator in EXACT and subset is not None:
        count = _of_points(subset, count)
        data, labels = _part(data, labels, count, seed)
        subset = None
    total = sources if sources is not None else _default_draws(count)

    def curve(part: Data, draws: int, seed: int) -> LossCurve:
        sums = options(part, sigmas, range(draws), subset=subset, seed=seed)
        return sums.curve(bounded=estimator in EXACT)

    return curve(data, total, seed) if labels is None else _by_class(data, labels, total, seed, curve)


@checked(subset=1)
def accumulate(
    data: Data,
    sigmas: Num[Tensor, "..."],
    draws: range,
    *,
    estimator: str = "pairwise",
    subset: int | None = None,
    correction: float | None = None,
    seed: int = 0,
    progress: bool = False,
    group: ProcessGroup = ALONE,
) -> LossSums:
    """The sums over draws range(start, stop): one slice of `optimal_loss`, in memory bounded by a budget and
    some 40 MiB for each thread.

    Slices that cover 0..N add up to the sums of N draws, whatever the cuts, up to the rounding of float32
    products. In a group (`runtime.process_group()` of what torchrun started) each process makes some of the
    draws, and all get the sums over all of them.
    """
    support = Support.of(data)
    if estimator in EXACT and subset is not None:
        data, _ = _part(data, None, _of_points(subset, support.count), seed)
        support, subset = Support.of(data), None
    losses = _estimator(estimator, subset, correction, support.count, seed)
    _check_draws(draws)
    origin = f"{estimator}, subset {subset}, correction {correction}, seed {seed}"
    many = len(draws) >= group.size > 1
    own = _share(draws, group) if many else draws  # fewer draws than processes: each makes all of them
    sums = replace(_accumulate(support, sigmas, own, losses, seed, progress), origin=origin)
    return _together(sums, draws, group) if many else sums


def _share(draws: range, group: ProcessGroup) -> range:
    """The part of the draws that this process makes."""
    start, stop = (draws.start + len(draws) * k // group.size for k in (group.rank, group.rank + 1))
    return range(start, stop)


def _together(sums: LossSums, draws: range, group: ProcessGroup) -> LossSums:
    """The sums over all draws, of which each process of the group has some."""
    where = device() if torch.cuda.is_available() else torch.device("cpu")  # what nccl and gloo exchange
    parts = [torch.from_numpy(part).to(where) for part in (sums.total, sums.cross, sums.noise)]
    group.add(parts)
    total, cross, noise = (part.cpu().numpy() for part in parts)
    drawn = np.array([[draws.start, draws.stop]], dtype=np.int64)
    return replace(sums, drawn=drawn, total=total, cross=cross, noise=noise)


def _accumulate(
    support: Support, sigmas: Tensor, draws: range, losses: _Estimator, seed: int, progress: bool
) -> LossSums:
    levels = _check_levels(sigmas)
    where = support.raw.device
    sums: LossSums | None = None
    shown = bar(progress, total=len(draws), unit="source")
    with full_precision(), torch.no_grad(), shown:
        prepared = prepare(support)
        for part in blocks(len(draws), sources_per_batch(support, NOISES, memory_budget(where))):
            source, noise = _draw(support, draws[part], seed)
            found = losses(prepared, draws[part], source, noise, levels.to(where))
            control = _control(prepared, source)
            more = sums_of(found, control, draws[part], levels, support.count, prepared.variance)
            sums = more if sums is None else sums + more
            shown.update(len(source))
    assert sums is not None  # there is at least one draw
    return sums


# ------------------------------------------------------------------------------------------------- estimators


def _pairwise(prepared: Prepared, _: range, source: Tensor, noise: Tensor, sigmas: Tensor) -> Tensor:
    return pairwise_losses(prepared.support, prepared.half, source, noise, sigmas)


def _full(prepared: Prepared, _: range, source: Tensor, noise: Tensor, sigmas: Tensor) -> Tensor:
    """|x0 - E[x0|x]|^2 with the posterior mean over all data."""
    support = prepared.support
    x0 = support.rows(source, noise.device)[:, None]
    losses = torch.empty(*noise.shape[:2], len(sigmas), dtype=torch.float64, device=noise.device)
    for level, sigma in enumerate(sigmas.tolist()):
        x = x0 + sigma * noise.double()
        mean = posterior(x.flatten(0, 1), sigma, support.raw).mean.view_as(x)
        losses[:, :, level] = (x0 - mean).square().sum(2)
    return losses


def _corrected(size: int, correction: float, seed: int) -> _Estimator:
    """cDOL with L = `size`, a fresh subset for every draw and noise."""

    def losses(prepared: Prepared, draws: range, source: Tensor, noise: Tensor, sigmas: Tensor) -> Tensor:
        others = random_others(prepared.support.count, source.cpu().numpy(), draws, NOISES, size - 1, seed)
        return _scanned(prepared, source, noise, others, sigmas).losses(correction, "AB")

    return losses


def _neighbours(size: int, seed: int) -> _Estimator:
    """The L/2 nearest points of x, and L/2 random ones that stand for all others."""

    def losses(prepared: Prepared, draws: range, source: Tensor, noise: Tensor, sigmas: Tensor) -> Tensor:
        count, rest = prepared.support.count, size - size // 2
        tail = random_others(count, source.cpu().numpy(), draws, NOISES, rest, seed)
        return _scanned(prepared, source, noise, tail, sigmas, size // 2).losses(math.inf, "AB")

    return losses


def _scanned(
    prepared: Prepared, source: Tensor, noise: Tensor, others: Array, sigmas: Tensor, nearest: int = 0
) -> Scan:
    """The scan of one subset for each draw and noise, [m, r, l]; with `nearest` points it is their tail."""
    rows, noises = source.repeat_interleave(noise.shape[1]), noise.flatten(0, 1)
    chosen = torch.from_numpy(others).flatten(0, 1).to(source.device)
    parts = []
    for part in blocks(len(rows), rows_at_once(prepared.support, chosen.shape[1] if nearest == 0 else None)):
        subset, near = ([chosen[part]], []) if nearest == 0 else ([], [(nearest, chosen[part])])
        parts.append(scan_subsets(prepared, rows[part], noises[part], subset, sigmas, near))
    return Scan(*(torch.cat(each)[:, 0].unflatten(0, noise.shape[:2]) for each in zip(*parts, strict=True)))


def _estimator(name: str, subset: int | None, correction: float | None, count: int, seed: int) -> _Estimator:
    if name not in ESTIMATORS:
        raise UserError(f'Unknown estimator "{name}"; choose one of {", ".join(ESTIMATORS)}.')
    if correction is not None and name != "cdol":
        raise UserError(f'The estimator "{name}" takes no correction; leave it out.')
    if name in EXACT:
        return _pairwise if name == "pairwise" else _full
    if subset is None:
        raise UserError(f'The estimator "{name}" needs subset=L, the number of points each draw looks at.')
    size = _size(subset, count)
    if name == "neighbours":
        return _neighbours(size, seed)
    default = {"snis": math.inf, "dol": 1.0, "cdol": 4 * count / size}
    chosen = default[name] if correction is None else _correction(correction)
    return _corrected(size, chosen, seed)


def _size(subset: int, count: int) -> int:
    if _of_points(subset, count) < 2:
        raise UserError("subset must be at least 2 here: the source and one other point.")
    return subset


def _correction(value: float) -> float:
    if not value > 0:
        raise UserError(f"A correction must be positive (infinity included), not {value}.")
    return float(value)


# ------------------------------------------------------------------------------------------------------ draws


def _draw(support: Support, draws: range, seed: int) -> tuple[Tensor, Tensor]:
    """Sources [m] (positions in the data) and noises [m, NOISES, d] of these draws."""
    orders = {
        turn: permutation(seed, "optimal loss, order of sources", support.count, turn)
        for turn in range(draws.start // support.count, draws[-1] // support.count + 1)
    }
    source = torch.tensor([int(orders[j // support.count][j % support.count]) for j in draws])
    index = range(NOISES * draws.start, NOISES * draws.stop)
    where = support.raw.device
    noise = normals(seed, "optimal loss, noise", index, (support.raw.shape[1],), where=where)
    return source.to(where), noise.unflatten(0, (-1, NOISES))


def _control(prepared: Prepared, source: Tensor) -> Tensor:
    """(|x0 - mean|^2 - variance)/2 [m]: half the mean squared distance to all points, less its mean."""
    y = prepared.support.tile(source, source.device).double()
    return ((y - prepared.centre).square().sum(1) * prepared.support.scale**2 - prepared.variance) / 2


def _default_draws(count: int) -> int:
    return DRAWS if count > DRAWS else count * -(-DRAWS // count)


def _part(data: Data, labels: Tensor | None, size: int, seed: int) -> tuple[Tensor, Tensor | None]:
    order = permutation(seed, "optimal loss, subset", len(data))[:size]
    chosen = torch.from_numpy(order).sort().values
    return data[chosen.to(data.device)], None if labels is None else labels[chosen.to(labels.device)]


def _of_points(subset: int, count: int) -> int:
    return whole(subset, "subset", most=count, unit=", the number of points")


def _check_draws(draws: range) -> None:
    if not isinstance(draws, range) or draws.step != 1 or draws.start < 0 or len(draws) == 0:
        raise UserError(f"draws must be a range of at least one draw, such as range(0, 4096), not {draws!r}.")


def _check_levels(sigmas: Tensor) -> Tensor:
    levels = torch.as_tensor(sigmas, dtype=torch.float64)
    if levels.ndim != 1 or len(levels) == 0:
        raise UserError(f"sigmas must be a list of at least one noise level, [l], not {list(levels.shape)}.")
    bad = levels[~((levels >= 1 / _FARTHEST) & (levels <= _FARTHEST))]
    if len(bad):
        limits = f"{1 / _FARTHEST:g} to {_FARTHEST:g}"
        value = float(bad[0])
        raise UserError(f"Every noise level must be positive and finite, not {value}; they go from {limits}.")
    return levels


def _by_class(
    data: Data, labels: Tensor, draws: int, seed: int, curve: Callable[[Data, int, int], LossCurve]
) -> LossCurve:
    """The mean over classes, weighted by their size, of the curves of the classes."""
    parts = class_parts(labels, draws, seed)
    curves = [curve(data[part.members.to(data.device)], part.draws, part.seed) for part in parts]
    return mean_over_classes(parts, curves)
