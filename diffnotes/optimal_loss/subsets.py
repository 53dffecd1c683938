"""Optimal-loss estimators that look at few data points per draw: SNIS, DOL, cDOL, neighbours with a tail.

Let x = x0 + sigma e, and let v_l be the posterior weights over L - 1 random points other than the source
x0. With the source counted 1/C times beside them, the denoiser is D_C = x0 - (1 - w) g, where g = x0 -
sum_l v_l x_l and w is the source's share: a sigmoid of -ln C and of log-sums that do not depend on C. One
scan of the subset therefore gives cDOL (Xu et al., arXiv 2506.13763, Eq. 11) for every C, DOL (Eq. 10) as
C = 1 and SNIS over the others as C = infinity.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from diffnotes.base.runtime import MEBIBYTE, blocks, permutation, rows_within, words
from diffnotes.base.shapes import Array, Float, Int, Tensor
from diffnotes.optimal_loss.all_levels import products
from diffnotes.posterior import Support

READOUTS = ("AB", "PV", "IP", "RES")


@dataclass(frozen=True)
class Scan:
    """What a scan of a draw's subset leaves: all [m, r, l], float64, in data units.

    log_sum: ln of the subset's weight relative to the source's own; square = |g|^2; inner = <x0, g>;
    distance = sum_l v_l |x0 - x_l|^2.
    """

    log_sum: Tensor
    square: Tensor
    inner: Tensor
    distance: Tensor

    def losses(self, correction: float, readout: str) -> Tensor:
        """The loss of D_C read in one of four ways, all unbiased if D_C is the posterior mean (float64
        [m, r, l]).

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


def scan_subsets(
    support: Support,
    source: Int[Tensor, "m"],
    noise: Float[Tensor, "m r d"],
    others: Int[Tensor, "m r k"],
    sigmas: Float[Tensor, "l"],
    log_weight: Float[Tensor, "m r k"] | None = None,
) -> Scan:
    """Scan the points `others` of each draw and noise, each counted exp(log_weight) times (once if None)."""
    draws, noises, width = others.shape
    source = source.repeat_interleave(noises)
    flat_noise, flat_others = noise.flatten(0, 1), others.flatten(0, 1)
    extra = torch.zeros(others.shape) if log_weight is None else log_weight
    extra = extra.to(noise.device).flatten(0, 1)[:, None]
    rates = (support.scale / sigmas).float().to(noise.device)[:, None]
    step = rows_within(32 * MEBIBYTE, 8 * width * noise.shape[2], len(source))
    parts = []
    for part in blocks(len(source), step):
        y = support.tile(source[part], noise.device)
        gap = y[:, None] - support.tile(flat_others[part].flatten(), noise.device).view(len(y), width, -1)
        square = gap.square().sum(2)[:, None]
        along = torch.bmm(gap, flat_noise[part][:, :, None])[:, None, :, 0]
        logits = extra[part] - (square * rates / 2 + along) * rates
        share = torch.softmax(logits, 2)
        g = torch.bmm(share, gap).double() * support.scale
        x0 = support.uncentred(y)[:, None]
        distance = (share * square).sum(2).double() * support.scale**2
        parts.append((logits.double().logsumexp(2), g.square().sum(2), (x0 * g).sum(2), distance))
    return Scan(*(torch.cat(values).unflatten(0, (draws, noises)) for values in zip(*parts, strict=True)))


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


def neighbour_scan(
    support: Support,
    half: Float[Tensor, "n"],
    source: Int[Tensor, "m"],
    noise: Float[Tensor, "m r d"],
    tail: Int[Tensor, "m r t"],
    nearest: int,
    sigmas: Float[Tensor, "l"],
) -> Scan:
    """The posterior over the `nearest` points of x, counted once, and a random tail that stands for all
    others.

    The tail points that are not among the nearest count (n - nearest)/(their number) times each (Horvitz
    and Thompson 1952). The source is a point like the others here: read with correction infinity.
    """
    near_a, near_h = products(support, half, source, noise, slice(0, support.count))
    levels = []
    for sigma in sigmas.tolist():
        rate = support.scale / sigma
        logits = -rate * (near_a[:, None] * rate + near_h)
        top = logits.topk(nearest, 2).indices
        known = torch.zeros(logits.shape, dtype=torch.bool, device=logits.device).scatter_(2, top, True)
        repeated = known.gather(2, tail)
        spare = (~repeated).sum(2, keepdim=True)
        count = math.log(max(1, support.count - nearest)) - spare.clamp(min=1).log()
        extra = torch.cat([torch.zeros(top.shape), count.masked_fill(repeated, -math.inf)], 2)
        both = torch.cat([top, tail], 2)
        levels.append(scan_subsets(support, source, noise, both, torch.tensor([sigma]), extra))
    names: Sequence[str] = ("log_sum", "square", "inner", "distance")
    return Scan(*(torch.cat([getattr(level, name) for level in levels], 2) for name in names))
