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
from dataclasses import dataclass

import torch
from tqdm import tqdm

from diffnotes.errors import UserError
from diffnotes.loss_sums import NOISES, LossCurve, LossSums, sums_of
from diffnotes.pairwise import pairwise_losses, sources_per_batch
from diffnotes.points import Points, half_squares, points
from diffnotes.posterior import posterior
from diffnotes.runtime import blocks, full_precision, memory_budget, normals, permutation
from diffnotes.shapes import Float, Int, Num, Tensor

DRAWS = 4096  # sources drawn unless told otherwise; rounded up to whole passes over smaller data


@dataclass(frozen=True)
class _Problem:
    """A data set and what all draws need of it."""

    set_: Points
    half: Tensor  # [n] half squares in the frame of the tiles
    centre: Tensor  # [d] mean in that frame, float64
    variance: float  # in data units


_Estimator = Callable[[_Problem, Int[Tensor, "m"], Float[Tensor, "m r d"], Tensor], Tensor]


def optimal_loss(
    data: Num[Tensor, "n ..."],
    sigmas: Float[Tensor, "l"],
    *,
    estimator: str = "pairwise",
    sources: int | None = None,
    subset: int | None = None,
    correction: float | None = None,
    labels: Int[Tensor, "k"] | None = None,
    seed: int = 0,
    progress: bool = False,
) -> LossCurve:
    """Optimal loss (Xu et al., arXiv 2506.13763, Theorem 1) at noise levels sigmas [l], in the order given.

    data [n, ...] float32, or uint8 where pixel p stands for p/127.5 - 1; n equally likely points.
    estimator: "pairwise" (exact in the data; all levels from one pass) or "full" (one posterior mean per
    level, Eq. 9). sources: how many draws of a source, each under two noises (and their negatives, for
    "pairwise"); None means 4,096, rounded up to whole passes over the data if these are fewer. subset:
    use that many randomly chosen points instead of all. labels [n]: the optimum of class-conditional
    models, whose posterior runs over the source's class; draws are shared out in proportion to class
    size. Raises UserError for a wrong type, shape or value.
    """
    run = functools.partial(accumulate, estimator=estimator, correction=correction, progress=progress)

    def curve(part: Tensor, draws: int, seed: int) -> LossCurve:
        return run(part, sigmas, range(draws), seed=seed).curve()

    count = points(data).count
    if labels is not None and labels.shape != (count,):
        raise UserError(f"labels must be one per point, [{count}], not {list(labels.shape)}.")
    if subset is not None:
        count = _whole(subset, "subset", most=count)
        data, labels = _subset(data, labels, count, seed)
    total = _whole(sources, "sources") if sources is not None else _default_draws(count)
    if labels is None:
        return curve(data, total, seed)
    return _by_class(data, labels, total, seed, curve)


def accumulate(
    data: Num[Tensor, "n ..."],
    sigmas: Float[Tensor, "l"],
    draws: range,
    *,
    estimator: str = "pairwise",
    correction: float | None = None,
    seed: int = 0,
    progress: bool = False,
) -> LossSums:
    """The sums over draws range(start, stop): one slice of `optimal_loss`, in memory bounded by a budget.

    Slices that cover 0..N add up to the sums of N draws, whatever the cuts, up to the rounding of float32
    products.
    """
    levels = _check_levels(sigmas)
    if not isinstance(draws, range) or draws.step != 1 or draws.start < 0 or len(draws) == 0:
        raise UserError(f"draws must be a range of at least one draw, such as range(0, 4096), not {draws!r}.")
    losses = _estimator(estimator, correction)
    with full_precision(), torch.no_grad():
        problem = _prepare(points(data))
        where = problem.set_.raw.device
        batch = sources_per_batch(problem.set_, NOISES, memory_budget(where))
        sums: LossSums | None = None
        with tqdm(total=len(draws), unit="source", disable=not progress) as bar:
            for part in blocks(len(draws), batch):
                mine = draws[part]
                source, noise = _draw(problem.set_, mine, seed)
                found = losses(problem, source, noise, levels.to(where))
                control = _control(problem, source)
                more = sums_of(found, control, mine, levels, problem.set_.count, problem.variance)
                sums = more if sums is None else sums + more
                bar.update(len(mine))
    assert sums is not None
    return sums


# ------------------------------------------------------------------------------------------------- estimators


def _pairwise(problem: _Problem, source: Tensor, noise: Tensor, sigmas: Tensor) -> Tensor:
    return pairwise_losses(problem.set_, problem.half, source, noise, sigmas)


def _full(problem: _Problem, source: Tensor, noise: Tensor, sigmas: Tensor) -> Tensor:
    """|x0 - E[x0|x]|^2 with the posterior mean over all data."""
    set_ = problem.set_
    x0 = set_.rows(source, noise.device)[:, None]
    losses = torch.empty(*noise.shape[:2], len(sigmas), dtype=torch.float64, device=noise.device)
    for level, sigma in enumerate(sigmas.tolist()):
        x = x0 + sigma * noise.double()
        mean = posterior(x.flatten(0, 1), sigma, set_.raw).mean.view_as(x)
        losses[:, :, level] = (x0 - mean).square().sum(2)
    return losses


_ESTIMATORS: dict[str, _Estimator] = {"pairwise": _pairwise, "full": _full}


def _estimator(name: str, correction: float | None) -> _Estimator:
    if name not in _ESTIMATORS:
        raise UserError(f'Unknown estimator "{name}"; choose one of {", ".join(_ESTIMATORS)}.')
    if correction is not None:
        raise UserError(f'The estimator "{name}" takes no correction; leave it out.')
    return _ESTIMATORS[name]


# ------------------------------------------------------------------------------------------------------ draws


def _prepare(set_: Points) -> _Problem:
    where = set_.raw.device
    halves, total = [], torch.zeros(set_.raw.shape[1], dtype=torch.float64, device=where)
    for part in blocks(set_.count, set_.tile_rows):
        tile = set_.tile(part, where)
        halves.append(half_squares(tile))
        total += tile.sum(0).double()
    half, centre = torch.cat(halves), total / set_.count
    variance = 2 * float(half.double().mean()) - float(centre.square().sum())
    return _Problem(set_, half, centre, max(0.0, variance) * set_.scale**2)


def _draw(set_: Points, draws: range, seed: int) -> tuple[Tensor, Tensor]:
    """Sources [m] (positions in the data) and noises [m, NOISES, d] of these draws."""
    orders = {
        turn: permutation(seed, "optimal loss, order of sources", set_.count, turn)
        for turn in range(draws.start // set_.count, draws[-1] // set_.count + 1)
    }
    source = torch.tensor([int(orders[j // set_.count][j % set_.count]) for j in draws])
    index = range(NOISES * draws.start, NOISES * draws.stop)
    noise = normals(seed, "optimal loss, noise", index, (set_.raw.shape[1],))
    where = set_.raw.device
    return source.to(where), noise.unflatten(0, (-1, NOISES)).to(where)


def _control(problem: _Problem, source: Tensor) -> Tensor:
    """(|x0 - mean|^2 - variance)/2 [m]: half the mean squared distance to all points, less its mean."""
    y = problem.set_.tile(source, source.device).double()
    return ((y - problem.centre).square().sum(1) * problem.set_.scale**2 - problem.variance) / 2


def _default_draws(count: int) -> int:
    return DRAWS if count > DRAWS else count * -(-DRAWS // count)


def _subset(data: Tensor, labels: Tensor | None, size: int, seed: int) -> tuple[Tensor, Tensor | None]:
    order = permutation(seed, "optimal loss, subset", len(data))[:size]
    chosen = torch.from_numpy(order).sort().values
    return data[chosen.to(data.device)], None if labels is None else labels[chosen.to(labels.device)]


def _whole(value: int, name: str, most: int | None = None) -> int:
    if not isinstance(value, int) or value < 1 or (most is not None and value > most):
        limits = "at least 1" if most is None else f"at least 1 and at most {most}, the number of points"
        raise UserError(f"{name} must be a whole number of {limits}, not {value!r}.")
    return value


def _check_levels(sigmas: Tensor) -> Tensor:
    levels = torch.as_tensor(sigmas, dtype=torch.float64)
    if levels.ndim != 1 or len(levels) == 0:
        raise UserError(f"sigmas must be a list of at least one noise level, [l], not {list(levels.shape)}.")
    bad = levels[~(torch.isfinite(levels) & (levels > 0))]
    if len(bad):
        raise UserError(f"Every noise level must be positive and finite, not {float(bad[0])}.")
    return levels


def _by_class(
    data: Tensor, labels: Tensor, draws: int, seed: int, curve: Callable[[Tensor, int, int], LossCurve]
) -> LossCurve:
    """The mean over classes, weighted by their size, of the curves of the classes."""
    curves, shares = [], []
    for number, label in enumerate(labels.unique()):
        mine = data[(labels == label).to(data.device)]
        shares.append(len(mine) / len(data))
        curves.append(curve(mine, max(4, math.ceil(draws * shares[-1])), seed + number))
    return _mixture(curves, shares)


def _mixture(curves: list[LossCurve], shares: list[float]) -> LossCurve:
    def mean(values: list) -> Tensor:
        scaled = [share * torch.as_tensor(value) for share, value in zip(shares, values, strict=True)]
        return torch.stack(scaled).sum(0)

    def error(values: list) -> Tensor:
        squares = [share**2 * torch.as_tensor(v) ** 2 for share, v in zip(shares, values, strict=True)]
        return torch.stack(squares).sum(0).sqrt()

    return LossCurve(
        curves[0].sigma,
        mean([curve.mean for curve in curves]),
        error([curve.stderr for curve in curves]),
        float(mean([curve.area for curve in curves])),
        float(error([curve.area_stderr for curve in curves])),
        float(mean([curve.variance for curve in curves])),
        sum(curve.draws for curve in curves),
    )
