"""Optimal-loss estimators that look at few data points per draw: SNIS, DOL, cDOL, neighbours with a tail.

Let x = x0 + sigma e, and let v_l be the posterior weights over L - 1 random points other than the source
x0. With the source counted 1/C times beside them, the denoiser is D_C = x0 - (1 - w) g, where g = x0 -
sum_l v_l x_l and w is the source's share: a sigmoid of -ln C and of log-sums that do not depend on C. One
scan of the subset therefore gives cDOL (Xu et al., arXiv 2506.13763, Eq. 11) for every C, DOL (Eq. 10) as
C = 1 and SNIS over the others as C = infinity.

The products of a draw with all points that any draw looks at are formed once and serve all its subsets and
all noise levels. A subset is then a list of log-counts: 0 for a point that is in it, -inf for any other.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from diffnotes.base.errors import UserError
from diffnotes.base.runtime import MEBIBYTE, permutation, rows_within, words
from diffnotes.base.shapes import Array, Float, Int, Tensor
from diffnotes.optimal_loss.all_levels import Prepared, products
from diffnotes.posterior import Support

READOUTS = ("AB", "PV", "IP", "RES")
_SMALL = 4096  # points that are scanned whole for every draw
_GROUP = 8  # draws whose small subsets are scanned together, as many as a product needs to pay


@dataclass(frozen=True)
class Scan:
    """What scans of subsets leave: all [m, e, l] for m draws, e subsets, l levels; float64, data units.

    log_sum: ln of the subset's weight relative to the source's own; square = |g|^2; inner = <x0, g>;
    distance = sum_l v_l |x0 - x_l|^2.
    """

    log_sum: Tensor
    square: Tensor
    inner: Tensor
    distance: Tensor

    def __iter__(self) -> Iterator[Tensor]:
        return iter((self.log_sum, self.square, self.inner, self.distance))

    def losses(self, correction: float, readout: str) -> Tensor:
        """The loss of D_C read in one of four ways, all unbiased if D_C is the posterior mean (float64
        [m, e, l]).

        RES |x0 - D|^2; IP <x0, x0 - D>; AB |x0|^2 - |D|^2 (the paper's, with A on the same draws);
        PV the posterior variance sum_i w_i |x_i|^2 - |D|^2.
        """
        rest = torch.sigmoid(self.log_sum + math.log(correction))  # 1 - w
        residual = rest**2 * self.square
        if readout == "RES":
            return residual
        if readout == "PV":
            return rest * self.distance - residual
        inner = rest * self.inner
        return inner if readout == "IP" else 2 * inner - residual


@dataclass(frozen=True)
class Draws:
    """Noisy images beside the points of a set: y [m, d] are their sources in the frame of the tiles, a = D/2
    and h = H [m, n] their products with all points, in stored units.
    """

    support: Support
    y: Tensor
    a: Tensor
    h: Tensor


def draws_of(prepared: Prepared, source: Int[Tensor, "m"], noise: Float[Tensor, "m d"]) -> Draws:
    """The products of some draws with all points."""
    support = prepared.support
    a, h = products(support, prepared.half, source, noise[:, None], slice(0, support.count))
    return Draws(support, support.tile(source.to(support.raw.device), noise.device), a, h[:, 0])


def scan_subsets(
    prepared: Prepared,
    source: Int[Tensor, "m"],
    noise: Float[Tensor, "m d"],
    others: Sequence[Int[Tensor, "m _"] | None],
    sigmas: Float[Tensor, "l"],
    near: Sequence[tuple[int, Int[Tensor, "m _"]]] = (),
) -> Scan:
    """Scan for each draw, which sees one noise, several subsets of points, at every level.

    `others` are points without the source, None for all of them; `near` are pairs (nearest, tail): see
    `_near`. Only the points that some draw looks at are read.
    """
    lists = [one for one in others if one is not None]
    if len(lists) == len(others) and not near:
        members = torch.cat([source, *(one.flatten() for one in lists)]).unique()
        prepared, source = prepared.part(members), torch.searchsorted(members, source)
        others = [torch.searchsorted(members, one.contiguous()) for one in lists]
    drawn = draws_of(prepared, source, noise)
    counts = [_all_but(source, drawn) if one is None else _only(one, drawn) for one in others]
    levels = []
    for sigma in sigmas.tolist():
        tails = [_near(drawn, sigma, nearest, tail) for nearest, tail in near]
        levels.append(_scan_level(drawn, sigma, torch.stack([*counts, *tails], 1)))
    return Scan(*(torch.cat(parts, 2) for parts in zip(*levels, strict=True)))


def rows_at_once(support: Support, size: int | None) -> int:
    """How many draws to scan together: few with small subsets of a large set, else what 96 MiB hold."""
    if size is not None and max(_GROUP * size, _SMALL) < support.count:
        return _GROUP
    return rows_within(96 * MEBIBYTE, 24 * support.count, 4096)


def _scan_level(drawn: Draws, sigma: float, counts: Float[Tensor, "m e n"]) -> Scan:
    """One level, [m, e, 1], for points counted exp(counts) times. All means come from one product."""
    support = drawn.support
    rate = support.scale / sigma
    weight = counts - rate * torch.add(drawn.h, drawn.a, alpha=rate)[:, None]
    top = weight.amax(2, keepdim=True)
    if not bool(top.isfinite().all()):
        raise UserError(f"At sigma {sigma:g} log-weights are beyond float32; leave out so small a level.")
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
    mean = torch.zeros(len(weight), support.raw.shape[1], dtype=torch.float32, device=weight.device)
    alive = (weight.amax(0) > 1e-8 / support.count).nonzero()[:, 0]
    for part in alive.split(support.tile_rows):
        mean.addmm_(weight[:, part], support.tile(part.to(support.raw.device), weight.device))
    return mean


def _all_but(source: Tensor, drawn: Draws) -> Float[Tensor, "m n"]:
    """Log-counts of all points but the source."""
    return torch.zeros_like(drawn.a).scatter_(1, source[:, None], -math.inf)


def _only(chosen: Tensor, drawn: Draws) -> Float[Tensor, "m n"]:
    """Log-counts of the points `chosen` [m, k]."""
    return torch.full_like(drawn.a, -math.inf).scatter_(1, chosen, 0.0)


def _near(drawn: Draws, sigma: float, nearest: int, tail: Int[Tensor, "m t"]) -> Float[Tensor, "m n"]:
    """Log-counts of the `nearest` points of x, counted once, and of a random tail that stands for all others:
    its points that are not among the nearest count (n - nearest)/(their number) times each (Horvitz and
    Thompson 1952). The source is a point like the others here: read with correction infinity.
    """
    rate, count = drawn.support.scale / sigma, drawn.support.count
    top = torch.add(drawn.h, drawn.a, alpha=rate).topk(nearest, 1, largest=False, sorted=False).indices
    known = torch.zeros_like(drawn.a, dtype=torch.bool).scatter_(1, top, True)
    spare = ~known.gather(1, tail)
    each = math.log(max(1, count - nearest)) - spare.sum(1, keepdim=True).clamp(min=1).float().log()
    counts = torch.full_like(drawn.a, -math.inf)
    return counts.scatter_(1, tail, each.expand(tail.shape)).masked_fill_(known, 0.0)


def random_others(count: int, source: Array, draws: range, noises: int, size: int, seed: int) -> Array:
    """For each draw and noise, `size` distinct points other than the source: int64 [m, noises, size]."""
    index = range(noises * draws.start, noises * draws.stop)
    chosen = np.empty((len(index), size), np.int64)
    for row, number in enumerate(index):
        order = words(seed, "optimal loss, others", number, count - 1)[0]
        chosen[row] = np.argpartition(order, size - 1)[:size] if size < count - 1 else np.arange(count - 1)
    grouped = chosen.reshape(len(draws), noises, size)
    return grouped + (grouped >= source[:, None, None])  # numbers that leave the source out


def shared_others(count: int, source: Array, noises: int, size: int, seed: int) -> Array:
    """The same points for all draws, but for the source's own place: int64 [m, noises, size]."""
    common = permutation(seed, "optimal loss, shared others", count)[: size + 1]
    rows = [(common[common != own])[:size] for own in source]
    return np.repeat(np.stack(rows)[:, None], noises, 1)
