"""Products with 8-bit pixels through exact int8 arithmetic: on CPUs that have it, several times faster than
float32, and finer.

A vector is rounded to integers q, times a unit, and q = d_0 + 256 d_1 + 256^2 d_2 + ... is written in
`count` digits of -128..127. The product of a digit with int8 data is exact in int32, so rounding is the
only error, and the number of digits makes it as small as wanted.
"""

from __future__ import annotations

from functools import cache

import torch

from diffnotes.base.runtime import blocks
from diffnotes.base.shapes import Float, Int, Num, Tensor

COUNTS = (4, 5, 6)  # digits worth trying, cheapest first
LONGEST = 1 << 16  # terms of one sum: 2^16 * 2^14 = 2^30 fits an int32
_TILE = 1 << 14  # points per product: bounds the memory of the int32 results


@cache
def exact() -> bool:
    """Whether torch has an int8 product here, and it is exact at the extremes: some CPUs saturate."""
    left = torch.tensor([[-128], [127], [-128], [127]], dtype=torch.int8).expand(4, 3001).contiguous()
    try:
        found = torch._int_mm(left, left.T)
    except (AttributeError, RuntimeError):  # not in this torch, or not for this processor
        return False
    return torch.equal(found.double(), left.double() @ left.T.double())


@cache
def supported() -> bool:
    """Whether this CPU has wide vectors, and its int8 product is exact."""
    return torch.backends.cpu.get_cpu_capability() == "AVX512" and exact()


def signed_pixels(data: Num[Tensor, "n ..."]) -> Int[Tensor, "n d"] | None:
    """p - 128 as int8 [n, d] for pixels p, given as uint8 or as float32 p/127.5 - 1; None for other data."""
    flat = data.reshape(len(data), -1)
    if flat.dtype == torch.uint8:
        return (flat ^ 128).contiguous().view(torch.int8)
    signed = torch.empty(flat.shape, dtype=torch.int8, device=flat.device)
    for part in blocks(len(flat), 2048):
        pixel = flat[part].add(1).mul_(127.5).round_()
        if not torch.equal((pixel / 127.5 - 1), flat[part]) or pixel.min() < 0 or pixel.max() > 255:
            return None
        signed[part] = pixel.sub_(128).to(torch.int8)
    return signed


def largest(count: int) -> int:
    """The largest |q| that `count` digits are used for, with room for a carry into the top one."""
    return 126 * 256 ** (count - 1)


def rounding(x: Float[Tensor, "m d"], count: int) -> Float[Tensor, "m"]:
    """A bound on |x - x'|, for x' as `scores` rounds x: half a unit in each of d values."""
    return unit_of(x, count) * (x.shape[1] ** 0.5 / 2)


def scores(
    x: Float[Tensor, "m d"], pixels: Int[Tensor, "n d"], half: Float[Tensor, "n"], count: int
) -> Float[Tensor, "m n"]:
    """x'.z_i - half_i for pixels z_i, in float64, where x' is x rounded to `count` digits."""
    unit = unit_of(x, count)[:, None]
    digits = digits_of((x / unit).round_(), count)
    out = x.new_empty(len(x), len(pixels))
    for part in blocks(len(pixels), _TILE):
        torch.addcmul(-half[part], _product(digits, pixels[part].T, count), unit, out=out[:, part])
    return out


def weighted_mean(
    log_weights: Float[Tensor, "m n"], pixels: Int[Tensor, "n d"], error: float
) -> tuple[Float[Tensor, "m d"], Float[Tensor, "m"]]:
    """The mean of the pixels [m, d] under w_i = exp(log_weights) <= 1, rounded, and a bound on what that
    does.

    The bound [m], at most `error` if the digits suffice, is on the total variation distance of w/W and q/Q,
    where W, Q are the sums: |w_i/W - q_i/Q| <= |w_i - q_i|/W + q_i |1/W - 1/Q|, and half the sum over i of
    the right is (sum |w_i - q_i| + |W - Q|) / 2W <= n unit / 2W. float64; `log_weights` is overwritten.
    """
    weights = log_weights.exp_()
    bound = len(pixels) / 2 / weights.sum(1)
    count = next((c for c in COUNTS if bool((bound <= error * largest(c)).all())), COUNTS[-1])
    whole = weights.mul_(largest(count)).round_()
    total = whole.sum(1)
    alive = (whole.amax(0) > 0).nonzero()[:, 0]
    most = len(alive) > 0.7 * len(pixels)
    digits = digits_of(whole if most else whole[:, alive], count)
    mean = whole.new_zeros(len(whole), pixels.shape[1])
    for part in blocks(digits.shape[1], _TILE):
        mean += _product(digits[:, part].contiguous(), pixels[part if most else alive[part]], count)
    return mean.div_(total[:, None]), bound / largest(count)


def unit_of(x: Float[Tensor, "m d"], count: int) -> Float[Tensor, "m"]:
    """The unit of which the values of a row are at most largest(count)."""
    return x.abs().amax(1).clamp(min=1e-100) / largest(count)


def digits_of(whole: Float[Tensor, "m k"], count: int) -> Int[Tensor, "r k"]:
    """The int8 digits [count m, k], lowest first, of integers |q| <= largest(count) [m, k].

    Adding 128 to each byte but the top one carries where a digit should be negative; flipping that bit
    again leaves the digit in two's complement.
    """
    carry = sum(128 << 8 * k for k in range(count - 1))
    split = ((whole.to(torch.int64) + carry) ^ carry).view(torch.int8).reshape(*whole.shape, 8)[..., :count]
    return split.permute(2, 0, 1).reshape(-1, whole.shape[1])


def _product(digits: Int[Tensor, "r k"], right: Int[Tensor, "k n"], count: int) -> Float[Tensor, "m n"]:
    """q @ right in float64, for the digits of q."""
    if len(right) == 1:  # sums of one term come out wrong in torch 2.13
        digits, right = digits.repeat(1, 2), torch.cat([right, torch.zeros_like(right)])
    parts = torch._int_mm(digits, right).reshape(count, -1).double()
    powers = torch.tensor([256.0**k for k in range(count)], dtype=torch.float64)
    return (powers @ parts).reshape(len(digits) // count, -1)
