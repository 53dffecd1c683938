"""The optimal loss of a draw at all noise levels from two kinds of matrix products.

For a source x0, noise e and data x_i let D_i = |x0 - x_i|^2 and H_i = e.(x0 - x_i). At x = x0 + sigma e
the log-weight of x_i, relative to the source's own, is -D_i/(2 sigma^2) - H_i/sigma: the products D and H
serve every sigma. The source and a posterior draw are exchangeable given x, so J*(sigma) = 1/2 E sum_i
w_i D_i: no posterior mean is formed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch

from diffnotes.base.runtime import MEBIBYTE, blocks, in_threads, rows_within
from diffnotes.base.shapes import Float, Int, Tensor
from diffnotes.posterior import Support, half_squares, true_pairs

_SEGMENT = 1 << 16  # data points whose D and H are held at a time
_PIECE, _SOURCES = 1 << 13, 128  # and by a thread, at most, beside so many sources
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
    half, total = _row_sums(support)
    centre = total / support.count
    variance = 2 * float(half.double().mean()) - float(centre.square().sum())
    return Prepared(support, half, centre, max(0.0, variance) * support.scale**2)


def _row_sums(support: Support) -> tuple[Tensor, Tensor]:
    """Half squares of the rows in the frame of the tiles, and their sum."""
    where = support.raw.device
    if where.type == "cpu" and _fused("cpu") is not None:
        from diffnotes.optimal_loss.fused import row_sums

        return row_sums(support)
    halves, total = [], torch.zeros(support.raw.shape[1], dtype=torch.float64, device=where)
    for part in blocks(support.count, support.tile_rows):
        tile = support.tile(part, where)
        halves.append(half_squares(tile))
        total += tile.sum(0).double()
    return torch.cat(halves), total


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
    least = -(math.log(support.count) + _MARGIN)
    fused = _fused(noise.device.type)
    if fused is not None and noise.device.type == "cpu":
        _sum_in_threads(_summing(support, half, source, noise, fused), support, rates, weight, moment, least)
    else:
        _sum_in_turn(fused, support, half, source, noise, rates, weight, moment, least)
    losses = torch.empty(len(source), noise.shape[1], len(rates), dtype=torch.float64, device=noise.device)
    losses[:, :, order] = (moment / weight).unflatten(1, (-1, 2)).mean(2) * support.scale**2
    return losses


def sources_per_batch(support: Support, noises: int, budget: int) -> int:
    """How many sources' noises and products fit in a quarter of `budget` bytes, at most 4,096."""
    points = _SEGMENT if support.raw.device.type == "cuda" or _fused("cpu") is None else _PIECE
    width = min(support.count, points) + 6 * support.raw.shape[1]
    return rows_within(budget // 4, 4 * (1 + noises) * width, 4096)


_Sums = Callable[[Tensor, Tensor, list[float], Tensor, Tensor, float], None]
"""(a, h, rates, weight, moment, least): add the sums to weight and moment."""

_Adds = Callable[[slice, slice, list[float], Tensor, Tensor, float], None]
"""(part, rows, rates, weight, moment, least): add the sums over the points `part` for the sources `rows`."""


def _summing(support: Support, half: Tensor, source: Tensor, noise: Tensor, fused: _Sums) -> _Adds:
    """How the sums over some points are made: from products of integers where these are exact and pay."""
    from diffnotes.optimal_loss.integers import Pixels, suits

    if suits(support):
        return Pixels.of(support, source, noise).sum_levels
    own = _own(support, source, noise)

    def sum_levels(
        part: slice, rows: slice, rates: list[float], weight: Tensor, moment: Tensor, least: float
    ) -> None:
        a, h = products(support, half, source[rows], noise[rows], part, own[rows])
        fused(a, h, rates, weight, moment, least)

    return sum_levels


def _sum_in_threads(
    add: _Adds, support: Support, rates: list[float], weight: Tensor, moment: Tensor, least: float
) -> None:
    """Add the sums over all points to weight and moment; pieces are added in order, whoever made them."""
    def work(piece: tuple[slice, slice]) -> tuple[slice, Tensor]:
        part, rows = piece
        found = torch.zeros(2, *weight[rows].shape, dtype=torch.float64)
        add(part, rows, rates, found[0], found[1], least)
        return rows, found

    parts = blocks(support.count, min(_PIECE, support.tile_rows))
    pieces = [(part, rows) for part in parts for rows in blocks(len(weight), _SOURCES)]
    for rows, found in in_threads(work, pieces):
        weight[rows] += found[0]
        moment[rows] += found[1]


def _sum_in_turn(
    fused: _Sums | None, support: Support, half: Tensor, source: Tensor, noise: Tensor, rates: list[float],
    weight: Tensor, moment: Tensor, least: float,
) -> None:  # fmt: skip
    """The same on a GPU, and in plain torch."""
    size = 1 << (17 if noise.device.type == "cpu" else 26)
    for part in blocks(support.count, _SEGMENT):
        a, h = products(support, half, source, noise, part)
        if fused is not None:
            fused(a, h, rates, weight, moment, least)
            continue
        step = max(1, size // (weight.shape[1] * a.shape[1]))
        for rows in blocks(len(source), step):
            own = int(((source[rows] >= part.start) & (source[rows] < part.stop)).sum())
            _sum_levels(a[rows], h[rows], rates, weight[rows], moment[rows], own, least)


def products(
    support: Support,
    half: Tensor,
    source: Tensor,
    noise: Tensor,
    part: slice,
    own: Float[Tensor, "m r"] | None = None,
) -> tuple[Tensor, Tensor]:
    """a = D/2 [m, k] and h = H [m, r, k], in stored units, for the data points in `part`; own = e.y, where it
    is known."""
    where, count = noise.device, part.stop - part.start
    y, e = support.tile(source.to(support.raw.device), where), noise.flatten(0, 1)
    offset = (_own(support, source, noise) if own is None else own).flatten()
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


def _own(support: Support, source: Tensor, noise: Tensor) -> Float[Tensor, "m r"]:
    """e.y of each source y and its noises e, in the frame of the tiles."""
    y = support.tile(source.to(support.raw.device), noise.device)
    return (noise.double() * y.double()[:, None]).sum(2).float()


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


@cache
def _fused(kind: str) -> _Sums | None:
    """The compiled sums for a kind of device; None where they do not run, or not as torch does: where the
    compiler is not installed, finds no folder for what it has compiled, or is at fault."""
    try:
        if kind == "cpu":
            from diffnotes.optimal_loss.fused import sum_levels
        else:
            from diffnotes.optimal_loss.on_gpu import sum_levels
        return sum_levels if _agrees(sum_levels, kind) else None
    except Exception:  # whatever a compiler says: torch does it as well
        return None


def _agrees(sums: _Sums, kind: str) -> bool:
    """Whether they find what torch finds, for a few points."""
    x = torch.linspace(0.0, 1.0, 2 * 2 * 600, dtype=torch.float32, device=kind).view(2, 2, 600)
    a, h, rates, least = 50 * x[:, 0], 10 * (3 * x).sin(), [0.05, 0.5, 2.0], -46.0
    found = torch.zeros(2, 2, 2, 4, 3, dtype=torch.float64, device=kind)
    sums(a, h, rates, found[0, 0], found[0, 1], least)
    _sum_levels(a, h, rates, found[1, 0], found[1, 1], 0, least)
    return torch.allclose(found[0], found[1], rtol=1e-4)


def _sum_levels(
    a: Tensor, h: Tensor, rates: list[float], weight: Tensor, moment: Tensor, own: int, least: float
) -> None:
    """Add sum_i w_i and sum_i w_i D_i/2 at each rate u = 1/sigma (rising) to weight and moment [p, 2r, l].

    w_i = exp(-a_i u^2 - h_i u) for a [p, k], h [p, r, k] and -h; `own` of the p sources are among the k
    points.
    """
    alive = math.exp(least)
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
