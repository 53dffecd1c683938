"""The sums over all noise levels of `all_levels` in one pass over registers, compiled for this processor.

For each source and noise the points go by in blocks that stay in the level-1 cache. For each block and each
level, from the largest sigma down, one loop forms both weights exp(-a u^2 -+ h u), their sums and their
moments. Points that are dropped leave the block, and a block without any is done.

numba compiles them: it comes as a wheel, so that no reader needs a compiler, and is maintained since 2012.
"""

from __future__ import annotations

import math

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

BLOCK = 512  # points: two float32 arrays of them take an eighth of a level-1 cache
FEWER = 0.75  # of a block's points left, so that it pays to move them together

_F = np.float32
_LOG2E = _F(math.log2(math.e))
_FLOOR = _F(-87.0)  # exponentials below it are subnormal float32 numbers
_LN2 = _F(math.log(2))
# e^f for |f| <= ln(2)/2 to 1e-7, relative: the minimax polynomial of degree 5 whose first coefficient is 1
_C1, _C2, _C3, _C4, _C5 = map(_F, (0.9999997, 0.4999915, 0.16667636, 0.04189793, 0.008290312))
_ANY_ORDER = {"reassoc", "contract", "nsz"}  # of the additions; infinite values stay what they are


@intrinsic
def _nearest(context, x):  # type: ignore[no-untyped-def]
    """The nearest whole number, as float32."""

    def make(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        rint = builder.module.declare_intrinsic("llvm.rint", [ir.FloatType()])
        return builder.call(rint, arguments)

    return types.float32(types.float32), make


@intrinsic
def _as_float(context, bits):  # type: ignore[no-untyped-def]
    """The float32 with these 32 bits."""

    def make(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        return builder.bitcast(arguments[0], ir.FloatType())

    return types.float32(types.int32), make


@njit(inline="always")
def _exp(x):  # type: ignore[no-untyped-def]
    """exp(max(x, -87)) for x <= 87, to 3e-7 relative."""
    x = max(x, _FLOOR)
    whole = _nearest(x * _LOG2E)
    f = x - whole * _LN2  # one rounding, where the processor multiplies and adds at once
    power = ((((_C5 * f + _C4) * f + _C3) * f + _C2) * f + _C1) * f + _F(1.0)
    return power * _as_float(np.int32((np.int32(whole) + np.int32(127)) << np.int32(23)))


@njit(fastmath=_ANY_ORDER, nogil=True, cache=True)
def _level(a, h, count, u, cut):  # type: ignore[no-untyped-def]
    """Sums of the weights at 1/sigma = u under h and -h, their moments, and how many points are above `cut`
    in either."""
    weight, other, moment, other_moment = _F(0), _F(0), _F(0), _F(0)
    living = np.int32(0)
    for i in range(count):
        squared = a[i] * u
        x, y = -(squared + h[i]) * u, -(squared - h[i]) * u
        w, v = _exp(x), _exp(y)
        weight += w
        other += v
        moment += w * a[i]
        other_moment += v * a[i]
        living += np.int32(max(x, y) > cut)
    return weight, other, moment, other_moment, living


@njit(nogil=True, cache=True)
def _sum_block(a, h, rates, cut, weight, moment, near_a, near_h):  # type: ignore[no-untyped-def]
    """Add the sums over a block of points to weight and moment [2, l]; near_a and near_h may be a and h."""
    count = len(a)
    for level in range(len(rates)):
        u = rates[level]
        found = _level(a, h, count, u, cut)
        weight[0, level] += found[0]
        weight[1, level] += found[1]
        moment[0, level] += found[2]
        moment[1, level] += found[3]
        if found[4] == 0:
            return
        if found[4] < FEWER * count:
            kept = 0
            for i in range(count):
                one, other = a[i], h[i]
                near_a[kept], near_h[kept] = one, other
                kept += max(-(one * u + other) * u, -(one * u - other) * u) > cut
            count, a, h = kept, near_a, near_h


_SUMS = "float64[:,:,:,::1]"
_TAKES = f"void(float32[:,::1], float32[:,:,::1], float32[::1], float32, {_SUMS}, {_SUMS})"


@njit(_TAKES, nogil=True, cache=True)
def sum_rows(a, h, rates, cut, weight, moment):  # type: ignore[no-untyped-def]
    """Add sum_i w_i and sum_i w_i a_i, w_i = exp(-a_i u^2 - h_i u), over the points of each source, to weight
    and moment [p, r, 2, l], for h and -h, at each of `rates` u [l] (rising); a [p, k], h [p, r, k].

    A point is dropped at all larger u where its log-weights under h and -h are both below `cut`.
    """
    near_a, near_h = np.empty(BLOCK + 1, _F), np.empty(BLOCK + 1, _F)  # one more, which may be written
    for source in range(len(a)):
        for noise in range(h.shape[1]):
            for start in range(0, a.shape[1], BLOCK):
                block = slice(start, min(start + BLOCK, a.shape[1]))
                _sum_block(
                    a[source, block], h[source, noise, block], rates, cut,
                    weight[source, noise], moment[source, noise], near_a, near_h,
                )  # fmt: skip


_TAKES_INTEGERS = (
    "void(int32[:,:,::1], float64[::1], float64[::1], float64[:,::1], float64[:,::1], float32[::1], float32,"
    f"{_SUMS}, {_SUMS})"
)


@njit(_TAKES_INTEGERS, nogil=True, cache=True)
def sum_integers(dots, half, own_half, own, step, rates, cut, weight, moment):  # type: ignore[no-untyped-def]
    """`sum_rows` for a and h that are made here from integer products.

    dots [p, 1 + 3r, k]: y.x_i of each source y and point x_i, then of the three digits of each noise, lowest
    first; half [k] = |x_i|^2/2, own_half [p] = |y|^2/2; own [p, r] = k.y for the noise e = step k,
    step [p, r]. So a_i = own_half + half_i - y.x_i and h_i = step (k.y - k.x_i), each rounded once.
    """
    a, h = np.empty(BLOCK, _F), np.empty(BLOCK, _F)
    near_a, near_h = np.empty(BLOCK + 1, _F), np.empty(BLOCK + 1, _F)
    for source in range(len(dots)):
        for start in range(0, dots.shape[2], BLOCK):
            count = min(BLOCK, dots.shape[2] - start)
            block = slice(start, start + count)
            product, squares = dots[source, 0, block], half[block]
            for i in range(count):
                a[i] = _F(own_half[source] + squares[i] - np.float64(product[i]))
            for noise in range(own.shape[1]):
                low = dots[source, 3 * noise + 1, block]
                middle, high = dots[source, 3 * noise + 2, block], dots[source, 3 * noise + 3, block]
                whole, unit = own[source, noise], step[source, noise]
                for i in range(count):
                    known = 65536.0 * high[i] + 256.0 * middle[i] + np.float64(low[i])  # exact
                    h[i] = _F(unit * (whole - known))
                _sum_block(
                    a[:count], h[:count], rates, cut, weight[source, noise], moment[source, noise],
                    near_a, near_h,
                )  # fmt: skip


@njit("void(int8[:,::1], float64[::1])", nogil=True, cache=True)
def square_bytes(x, half):  # type: ignore[no-untyped-def]
    """|x_i|^2 / 2 of x [k, d], exact."""
    for row in range(len(x)):
        total = np.int32(0)
        for value in x[row]:
            total += np.int32(value) * np.int32(value)
        half[row] = total / 2


@njit(
    [f"void({kind}[:,::1], float32[::1], float32[::1], float64[::1])" for kind in ("uint8", "float32")],
    fastmath=_ANY_ORDER, nogil=True, cache=True,
)  # fmt: skip
def add_rows(x, shift, half, total):  # type: ignore[no-untyped-def]
    """|x_i - shift|^2 / 2 of x [k, d] to half [k], and their sum over i added to total [d]."""
    for row in range(len(x)):
        square = 0.0
        for j in range(len(shift)):
            value = np.float64(_F(x[row, j]) - shift[j])
            square += value * value
            total[j] += value
        half[row] = square / 2
