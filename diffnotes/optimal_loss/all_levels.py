"""The optimal loss of a draw at all noise levels from two kinds of matrix products.

For a source x0, noise e and data x_i let D_i = |x0 - x_i|^2 and H_i = e.(x0 - x_i). At x = x0 + sigma e
the log-weight of x_i, relative to the source's own, is -D_i/(2 sigma^2) - H_i/sigma: the products D and H
serve every sigma. The source and a posterior draw are exchangeable given x, so J*(sigma) = 1/2 E sum_i
w_i D_i: no posterior mean is formed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from diffnotes.base.runtime import MEBIBYTE, blocks, rows_within
from diffnotes.base.shapes import Float, Int, Tensor
from diffnotes.posterior import Support, half_squares, true_pairs

_SEGMENT = 1 << 16  # data points whose D and H are held at a time
_MARGIN = 40.0  # dropped weights sum to at most exp(-40) of the source's own
_FLOOR = -87.0  # exponentials below it are subnormal float32 numbers: slow, and nothing beside 1
_NEAR = 1e4  # D below this many rounding errors is formed again in float64


@dataclass(frozen=True)
class Prepared:
    """A data set and what all draws need of it."""

    support: Support
    half: Float[Tensor, "n"]  # half squares in the frame of the tiles
    centre: Float[Tensor, "d"]  # mean in that frame, float64
    variance: float  # in data units, summed over dimensions

    def part(self, members: Int[Tensor, "k"]) -> Prepared:
        """These points alone."""
        return prepare(Support.of(self.support.raw[members.to(self.support.raw.device)]))

    def mean_square(self) -> float:
        """Mean of |x_i|^2, in data units; float64, since what is subtracted may be nearly as large."""
        support, where = self.support, self.half.device
        parts = blocks(support.count, support.tile_rows)
        tiles = (support.uncentred(support.tile(part, where)) for part in parts)
        return sum(float(tile.square().sum()) for tile in tiles) / support.count


def prepare(support: Support) -> Prepared:
    """One pass over the data."""
    where = support.raw.device
    halves, total = [], torch.zeros(support.raw.shape[1], dtype=torch.float64, device=where)
    for part in blocks(support.count, support.tile_rows):
        tile = support.tile(part, where)
        halves.append(half_squares(tile))
        total += tile.sum(0).double()
    half, centre = torch.cat(halves), total / support.count
    variance = 2 * float(half.double().mean()) - float(centre.square().sum())
    return Prepared(support, half, centre, max(0.0, variance) * support.scale**2)


def pairwise_losses(
    support: Support,
    half: Float[Tensor, "n"],
    source: Int[Tensor, "m"],
    noise: Float[Tensor, "m r d"],
    sigmas: Float[Tensor, "l"],
) -> Float[Tensor, "m r l"]:
    """sum_i w_i D_i / 2 for m sources under r noises each, averaged over e and -e (which share their
    products).

    half [n] are the `half_squares` of the set, sigmas the noise levels in any order; float64 [m, r, l].
    Points whose log-weight has fallen below -(ln n + 40) are dropped at all smaller sigma: as a function
    of 1/sigma it is a parabola through 0 that opens downward, so it cannot rise again. That changes a
    result by at most exp(-40) max D/2. Weights are float32 otherwise: relative error about 1e-5 per draw.
    """
    order = torch.argsort(sigmas, descending=True)
    rates = (support.scale / sigmas[order]).tolist()
    shape = (len(source), 2 * noise.shape[1], len(rates))
    weight, moment = torch.zeros(2, *shape, dtype=torch.float64, device=noise.device)
    size = 1 << (17 if noise.device.type == "cpu" else 26)
    for part in blocks(support.count, _SEGMENT):
        a, h = products(support, half, source, noise, part)
        step = max(1, size // (shape[1] * a.shape[1]))
        for rows in blocks(len(source), step):
            own = int(((source[rows] >= part.start) & (source[rows] < part.stop)).sum())
            _sum_levels(a[rows], h[rows], rates, weight[rows], moment[rows], own, math.log(support.count))
    losses = torch.empty(len(source), noise.shape[1], len(rates), dtype=torch.float64, device=noise.device)
    losses[:, :, order] = (moment / weight).unflatten(1, (-1, 2)).mean(2) * support.scale**2
    return losses


def sources_per_batch(support: Support, noises: int, budget: int) -> int:
    """How many sources' noises and products fit in a quarter of `budget` bytes, at most 4,096."""
    width = min(support.count, _SEGMENT) + 4 * support.raw.shape[1]
    return rows_within(budget // 4, 4 * (1 + noises) * width, 4096)


def products(
    support: Support, half: Tensor, source: Tensor, noise: Tensor, part: slice
) -> tuple[Tensor, Tensor]:
    """a = D/2 [m, k] and h = H [m, r, k], in stored units, for the data points in `part`."""
    where, count = noise.device, part.stop - part.start
    y, e = support.tile(source.to(support.raw.device), where), noise.flatten(0, 1)
    offset = (noise.double() * y.double()[:, None]).sum(2).flatten().float()
    a = torch.empty(len(y), count, dtype=torch.float32, device=where)
    h = torch.empty(len(e), count, dtype=torch.float32, device=where)
    for inner in blocks(count, support.tile_rows):
        outer = slice(part.start + inner.start, part.start + inner.stop)
        tile = support.tile(outer, where)
        a[:, inner] = torch.addmm(half[outer], y, tile.T, alpha=-1)
        h[:, inner] = torch.addmm(offset[:, None], e, tile.T, alpha=-1)
    a.add_(half[source][:, None]).clamp_(min=0.0)
    h = h.unflatten(0, noise.shape[:2])
    _refine(a, h, support, half, source, noise, part.start)
    return a, h


def _refine(
    a: Tensor, h: Tensor, support: Support, half: Tensor, source: Tensor, noise: Tensor, start: int
) -> None:
    """Form D and H of close points again, as float64 differences; the source's own become exactly 0."""
    norms = (2 * half[source]).sqrt()
    limit = _NEAR * support.rounding(norms, math.sqrt(2 * float(half.max())))
    row, column = true_pairs(a <= limit.float()[:, None])
    step = rows_within(32 * MEBIBYTE, 16 * support.raw.shape[1], max(1, len(row)))
    for at in blocks(len(row), step):
        i, j = row[at], column[at]
        gap = (support.rows(source[i], a.device) - support.rows(j + start, a.device)) / support.scale
        a[i, j] = (gap.square().sum(1) / 2).float()
        h[i, :, j] = torch.einsum("krd,kd->kr", noise[i].double(), gap).float()


def _sum_levels(
    a: Tensor, h: Tensor, rates: list[float], weight: Tensor, moment: Tensor, own: int, log_count: float
) -> None:
    """Add sum_i w_i and sum_i w_i D_i/2 at each rate u = 1/sigma (rising) to weight and moment [p, 2r, l].

    w_i = exp(-a_i u^2 - h_i u) for a [p, k], h [p, r, k] and -h; `own` of the p sources are among the k
    points.
    """
    alive = math.exp(-_MARGIN - log_count)
    h = torch.stack([h, -h], 2).flatten(1, 2)
    scratch = torch.empty(h.numel(), dtype=torch.float32, device=h.device)
    for level, rate in enumerate(rates):
        w = scratch[: h.numel()].view(h.shape)
        torch.add(h, a[:, None], alpha=rate, out=w)
        w.mul_(-rate).clamp_(min=_FLOOR).exp_()
        weight[:, :, level] += w.sum(2)
        moment[:, :, level] += torch.bmm(w, a[:, :, None])[:, :, 0]
        if level % 2:
            continue
        living = w.amax((0, 1)) > alive
        left = int(living.sum())
        if left <= len(a) and int((w > alive).sum()) == own * h.shape[1]:  # nothing but each source itself
            weight[:, :, level + 1 :] += w.sum(2, keepdim=True).round()
            return
        if left < 0.75 * a.shape[1]:
            index = living.nonzero()[:, 0]
            a, h = a.index_select(1, index), h.index_select(2, index)
