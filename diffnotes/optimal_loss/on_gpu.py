"""The sums of `all_levels` on a GPU, in one pass over registers: `kernels` once more, in Triton.

Triton comes with torch where torch runs on CUDA. A program takes a block of points of one source under one
noise, keeps them in registers, and goes through the levels until none of its points is left.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

BLOCK = 1024  # points of a program
ROOM = 1 << 28  # bytes of the sums of single programs that are held at a time


@triton.jit
def _sum_block(  # type: ignore[no-untyped-def]
    a, h, rates, sums, points, noises, levels, cut, BLOCK: tl.constexpr
):
    """Sums and moments of the weights of a block of points under h and -h, [row, block, level, 4]."""
    row, block = tl.program_id(0), tl.program_id(1)
    i = block * BLOCK + tl.arange(0, BLOCK)
    inside = i < points
    x = tl.load(a + (row // noises).to(tl.int64) * points + i, mask=inside, other=0.0)
    y = tl.load(h + row.to(tl.int64) * points + i, mask=inside, other=0.0)
    out = sums + (row.to(tl.int64) * tl.num_programs(1) + block) * levels * 4
    level = 0
    largest = 0.0  # of the log-weights; `cut` is below
    while (level < levels) & (largest > cut):
        u = tl.load(rates + level)
        one = tl.where(inside, -(x * u + y) * u, float("-inf"))
        other = tl.where(inside, -(x * u - y) * u, float("-inf"))
        w, v = tl.exp(one), tl.exp(other)
        tl.store(out + level * 4, tl.sum(w, axis=0))
        tl.store(out + level * 4 + 1, tl.sum(v, axis=0))
        tl.store(out + level * 4 + 2, tl.sum(w * x, axis=0))
        tl.store(out + level * 4 + 3, tl.sum(v * x, axis=0))
        largest = tl.max(tl.maximum(one, other), axis=0)
        level += 1


def sum_levels(
    a: torch.Tensor,
    h: torch.Tensor,
    rates: list[float],
    weight: torch.Tensor,
    moment: torch.Tensor,
    least: float,
) -> None:
    """See `fused.sum_levels`: a [p, k], h [p, r, k], weight and moment [p, 2r, l]."""
    sources, points = a.shape
    noises, levels, u = h.shape[1], len(rates), torch.tensor(rates, device=a.device)
    programs = -(-points // BLOCK)
    step = max(1, ROOM // (16 * noises * programs * levels))
    for start in range(0, sources, step):
        rows = slice(start, min(sources, start + step))
        count = (rows.stop - rows.start) * noises
        sums = torch.zeros(count, programs, levels, 4, device=a.device)
        with torch.cuda.device_of(a):  # where Triton starts a kernel; nothing where it is emulated
            _sum_block[(count, programs)](
                a[rows].contiguous(), h[rows].contiguous(), u, sums, points, noises, levels,
                max(least, -1e30), BLOCK=BLOCK,
            )  # fmt: skip
        total = sums.sum(1, dtype=torch.float64).view(-1, noises, levels, 2, 2)  # ..., weight or moment, sign
        for out, found in zip((weight, moment), total.unbind(3), strict=True):
            out[rows] += found.movedim(3, 2).flatten(1, 2)
