"""The parts that networks are made of.

None of them has dropout or batch statistics, so that a training step is a function of weights and inputs.
"""

from __future__ import annotations

import math
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import nn

from diffnotes.base.errors import UserError
from diffnotes.base.shapes import Tensor

Built = TypeVar("Built", bound=nn.Module)


class Embedding(nn.Module):
    """Noise level and class as one vector [b, width]: waves of the noise through two layers, plus a table.

    The waves have angular frequencies from 0.3 to 30, evenly spaced in their logarithm; noise levels between
    which a denoiser changes are about 0.1 apart in ln(s)/4.
    """

    frequency: Tensor

    def __init__(self, width: int, classes: int, waves: int) -> None:
        super().__init__()
        self.classes = classes
        self.register_buffer("frequency", torch.logspace(-0.5, 1.5, waves // 2), persistent=False)
        self.first, self.second = nn.Linear(waves, width), nn.Linear(width, width)
        self.table = nn.Parameter(torch.randn(classes, width) / math.sqrt(width)) if classes else None

    def forward(self, noise: Tensor, labels: Tensor | None) -> Tensor:
        angle = noise[:, None] * self.frequency
        found = self.second(F.silu(self.first(torch.cat([angle.cos(), angle.sin()], 1))))
        if labels is not None:
            found = found + self._class(labels)
        return F.silu(found)

    def _class(self, labels: Tensor) -> Tensor:
        """Rows of the table, zero for "no class": there the last bias stands alone, which is learned."""
        if self.table is None:
            raise UserError("This network knows no classes; build it with classes=..., or give no labels.")
        # On a GPU the look-up finds them; to compare here would wait for it at every step.
        if labels.is_cpu and not bool(((labels >= -1) & (labels < self.classes)).all()):
            raise UserError(f"Labels must be from 0 to {self.classes - 1}, or -1 for no class.")
        return F.embedding(labels.clamp(min=0), self.table) * (labels >= 0)[:, None]


def fitting(x: Tensor, noise: Tensor, weight: Tensor) -> None:
    """x and noise are what a network with this weight can take; UserError for another type, or huge values.

    Values on a GPU are not looked at: that would wait for it.
    """
    if torch.compiler.is_compiling():
        return
    for name, given in {"x": x, "noise": noise}.items():
        if given.dtype != weight.dtype and not torch.is_autocast_enabled(given.device.type):
            kind, wanted = (str(one.dtype).removeprefix("torch.") for one in (given, weight))
            raise UserError(f"{name} must be {wanted} like the weights, not {kind}; convert it.")
        if given.is_cpu and not bool((given.detach().abs() < 1e15).all()):
            raise UserError(f"{name} has values beyond 1e15; a network takes images of about unit variance.")


def zero(layer: Built) -> Built:
    """The layer with all its weights at zero."""
    for w in layer.parameters():
        nn.init.zeros_(w)
    return layer


def heads(channels: int, head: int) -> int:
    """How many heads share the channels evenly, each of `head` channels or a little more."""
    return next(n for n in range(max(1, channels // head), 0, -1) if channels % n == 0)


class Norm(nn.Module):
    """Group normalization of [b, c, h, w] with a scale and no shift, in groups of at least 4 channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.groups = math.gcd(channels, min(32, max(1, channels // 4)))
        self.scale = nn.Parameter(torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        return F.group_norm(x, self.groups, self.scale, None)


def convolve_doubled(conv: nn.Conv2d, x: Tensor) -> Tensor:
    """conv(x with every pixel doubled in both directions), of a 3 x 3 convolution that keeps the size.

    Doubled pixels are equal, so taps of the kernel that meet the same pixel are added first; what is left is
    a transposed convolution with stride 2, and 16 products where there were 36.
    """
    kernel = conv.weight.flip(2, 3)
    kernel = F.pad(kernel, (0, 1)) + F.pad(kernel, (1, 0))
    kernel = F.pad(kernel, (0, 0, 0, 1)) + F.pad(kernel, (0, 0, 1, 0))
    return F.conv_transpose2d(x, kernel.transpose(0, 1), conv.bias, stride=2, padding=1)


class ResidualBlock(nn.Module):
    """Norm, SiLU, (resampling,) convolution; norm scaled and shifted by the embedding, SiLU, convolution."""

    def __init__(self, enter: int, leave: int, embedding: int, factor: float = 1.0) -> None:
        super().__init__()
        self.factor = factor
        self.norm, self.conv = Norm(enter), nn.Conv2d(enter, leave, 3, padding=1)
        self.modulate = nn.Linear(embedding, 2 * leave)
        self.norm_out, self.conv_out = Norm(leave), zero(nn.Conv2d(leave, leave, 3, padding=1))
        self.skip = nn.Conv2d(enter, leave, 1) if enter != leave else nn.Identity()

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        h = F.silu(self.norm(x))
        h = convolve_doubled(self.conv, h) if self.factor > 1 else self.conv(self._resampled(h))
        scale, shift = self.modulate(embedding)[:, :, None, None].chunk(2, 1)
        h = torch.addcmul(shift, self.norm_out(h), 1 + scale)
        return self.skip(self._resampled(x)) + self.conv_out(F.silu(h))

    def _resampled(self, x: Tensor) -> Tensor:
        if self.factor == 1:
            return x
        return F.avg_pool2d(x, 2) if self.factor < 1 else F.interpolate(x, scale_factor=2.0)


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """softmax(q k^T / sqrt(d)) v for [b, heads, n, d]."""
    if q.is_cpu and q.dtype == torch.bfloat16:  # torch's fused kernel is the slower way there
        return torch.softmax(q @ k.transpose(2, 3) / math.sqrt(q.shape[3]), 3).to(v.dtype) @ v
    return F.scaled_dot_product_attention(q, k, v)


def layout(x: Tensor) -> torch.memory_format:
    """The order in which convolutions and normalizations of x [b, c, h, w] are fastest.

    Channels last; but on a CPU in bfloat16, where normalizations are slow that way, first.
    """
    half = x.is_cpu and torch.is_autocast_enabled("cpu")
    return torch.contiguous_format if half else torch.channels_last


class Attention(nn.Module):
    """Self-attention over pixels, added with a gain that starts at zero."""

    def __init__(self, channels: int, head: int) -> None:
        super().__init__()
        self.heads = heads(channels, head)
        self.norm = Norm(channels)
        self.qkv, self.leave = nn.Linear(channels, 3 * channels), nn.Linear(channels, channels)
        self.gain = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        b, c, height, width = x.shape
        rows = self.norm(x).permute(0, 2, 3, 1).reshape(b, height * width, c)
        q, k, v = self.qkv(rows).view(b, -1, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        seen = attend(q, k, v).transpose(1, 2).reshape(b, height * width, c)
        found = self.leave(seen).view(b, height, width, c).permute(0, 3, 1, 2)
        return torch.addcmul(x, self.gain, found)


class TransformerBlock(nn.Module):
    """Attention and a feed-forward layer, each normalized, scaled, shifted and gated by the embedding."""

    def __init__(self, width: int, embedding: int, head: int) -> None:
        super().__init__()
        self.heads = heads(width, head)
        self.modulate = zero(nn.Linear(embedding, 6 * width))
        self.qkv, self.mix = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.rise, self.fall = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, h: Tensor, embedding: Tensor) -> Tensor:
        b, n, c = h.shape
        a, b1, g1, s2, b2, g2 = self.modulate(embedding)[:, None].chunk(6, 2)
        rows = self.qkv(torch.addcmul(b1, F.layer_norm(h, (c,)), 1 + a))
        q, k, v = rows.view(b, n, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        seen = attend(q, k, v).transpose(1, 2).reshape(b, n, c)
        h = torch.addcmul(h, g1, self.mix(seen))
        wide = F.gelu(self.rise(torch.addcmul(b2, F.layer_norm(h, (c,)), 1 + s2)), approximate="tanh")
        return torch.addcmul(h, g2, self.fall(wide))
