"""The sums of `all_levels` for 8-bit pixels, from products of 8-bit integers.

In the frame p - 128 a pixel is such an integer, and a noise e is rounded to step k, for whole numbers k of
three digits (see `posterior.int8`), step = max |e| / 8,257,536: 4e-7 to 7e-7, as far apart as float32 numbers
of that size. Products of integers are exact, so that D and H are rounded once, and e is all that changes.
Processors of the last years multiply 8-bit integers four times as fast as float32 numbers; seven of their
products (one of D, three of each H) then cost less than three. Whether that is so here is measured.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch

from diffnotes.base.runtime import in_threads
from diffnotes.base.shapes import Float, Int, Tensor
from diffnotes.optimal_loss.kernels import square_bytes, sum_integers
from diffnotes.posterior import Support, int8

DIGITS = 3
_PAYS = 1.25  # times faster, to be worth it


@dataclass(frozen=True)
class Pixels:
    """Draws whose data are uint8 pixels, and what their products need."""

    support: Support
    left: Int[Tensor, "m _ d"]  # 1 + 3r rows: the source, and the digits of its noises, lowest first
    half: Float[Tensor, "m"]
    own: Float[Tensor, "m r"]  # k.y
    step: Float[Tensor, "m r"]

    @staticmethod
    def of(support: Support, source: Int[Tensor, "m"], noise: Float[Tensor, "m r d"]) -> Pixels:
        """What depends on the draws alone."""
        y, (digits, step, whole) = int8.signed_pixels(support.raw[source]), digits_of(noise)
        assert y is not None  # of uint8
        own = torch.einsum("mrd,md->mr", whole, y.double())
        left = torch.cat([y[:, None], digits.flatten(1, 2)], 1)
        return Pixels(support, left, _half_squares(y), own, step)

    def sum_levels(
        self, part: slice, rows: slice, rates: list[float], weight: Tensor, moment: Tensor, least: float
    ) -> None:
        """Add the sums over the points in `part` to weight and moment [rows, 2r, l], as those of `fused`."""
        x, left = int8.signed_pixels(self.support.raw[part]), self.left[rows]
        assert x is not None
        dots = torch._int_mm(left.flatten(0, 1), x.T).view(*left.shape[:2], -1).numpy()
        half, own, step = (one[rows].numpy() for one in (self.half, self.own, self.step))
        w, m = (one.numpy().reshape(*own.shape, 2, -1) for one in (weight, moment))
        u, cut = np.array(rates, np.float32), np.float32(least)
        sum_integers(dots, _half_squares(x).numpy(), half, own, step, u, cut, w, m)


def digits_of(noise: Float[Tensor, "m r d"]) -> tuple[Int[Tensor, "m r 3 d"], Tensor, Tensor]:
    """The digits of k, lowest first; step [m, r] and k [m, r, d] in float64; noise ~ step k."""
    flat = noise.flatten(0, 1).double()
    step = int8.unit_of(flat, DIGITS)
    whole = (flat / step[:, None]).round_()
    digits = int8.digits_of(whole, DIGITS).view(DIGITS, *noise.shape)
    return digits.permute(1, 2, 0, 3), step.view(noise.shape[:2]), whole.view(noise.shape)


def suits(support: Support) -> bool:
    """Whether products of integers give the sums over these points, and pay."""
    pixels = support.raw.dtype == torch.uint8 and support.raw.device.type == "cpu"
    return pixels and 1 < support.raw.shape[1] <= int8.LONGEST and pays()  # sums of one term: see `int8`


@cache
def pays() -> bool:
    """Whether seven products of 8-bit integers are exact here, and faster than three in float32.

    Measured once in a process, in a few milliseconds, by the time that the processor spends on one thread, so
    that what else is running hardly counts. Near the limit two processes may choose differently; their
    curves then differ by 1e-6.
    """
    [answer] = in_threads(lambda _: int8.exact() and _faster(), [None])
    return answer


def _faster() -> bool:
    x, y = (torch.arange(k * 1024).mul(37).remainder(251).sub(125).view(k, 1024) for k in (512, 32))
    whole, few = y.to(torch.int8).repeat(7, 1), y.to(torch.float32).repeat(3, 1)
    small, large = x.to(torch.int8), x.to(torch.float32)
    ways: list[Callable[[], Tensor]] = [lambda: few @ large.T, lambda: torch._int_mm(whole, small.T)]
    seconds = [[_processor_time(way) for way in ways] for _ in range(7)]
    floats, integers = np.min(seconds, 0)
    return bool(floats > _PAYS * integers)


def _processor_time(way: Callable[[], Tensor]) -> float:
    start = time.thread_time()
    way()
    return time.thread_time() - start


def _half_squares(x: Int[Tensor, "k d"]) -> Float[Tensor, "k"]:
    """|x_i|^2 / 2 in float64, exact."""
    half = torch.empty(len(x), dtype=torch.float64)
    square_bytes(x.numpy(), half.numpy())
    return half
