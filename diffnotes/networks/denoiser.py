"""Networks, and what makes each of them a denoiser.

Every network maps (x [b, ...], noise [b], labels [b] or None) to [b, ...]: x has about unit variance, noise
is ln(s)/4 as in EDM (Karras et al. 2022, Table 1), and a label of -1, or no labels, means "no class". Their
last layers start at zero, so a new network predicts zero.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn

from diffnotes.base.errors import UserError
from diffnotes.base.runtime import words
from diffnotes.base.shapes import Float, Int, Tensor, checked
from diffnotes.networks.layers import (
    Attention,
    Built,
    Embedding,
    Norm,
    ResidualBlock,
    TransformerBlock,
    fitting,
    layout,
    zero,
)
from diffnotes.process import SIGMA_DATA, VE, Process, edm_scalings, row_levels, unlooked

SMALLEST = 1e-12  # of s: what a network is told when there is no noise


@checked()
def seeded(seed: int, build: Callable[[], Built]) -> Built:
    """What `build` makes, with initial weights that depend on `seed` alone; torch's own generator is left as
    it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(words(seed, "initial weights", 0, 1)[0, 0] >> 1))
        return build()


@checked()
def parameter_count(module: nn.Module) -> int:
    """How many numbers are trained."""
    return sum(w.numel() for w in module.parameters() if w.requires_grad)


class NetworkDenoiser(nn.Module):
    """A network as an estimate of E[x0|x] in the frame x = x0 + s eps.

    The network sees x / sqrt(s^2 + sigma_data^2), and what it returns, y, is its prediction of `target` under
    `process`. With target = a x0 + b eps (`Process.coefficients`) the estimate is D = k_x x + k_y y, where
    k_x = -b alpha / (a sigma - b alpha) and k_y = sigma / (a sigma - b alpha). For F these are EDM's c_skip
    and c_out; for the velocity of flow matching, k_x = 1 / (1 + s) and k_y = -s / (1 + s).
    """

    @checked()
    def __init__(
        self,
        network: nn.Module,
        process: Process | None = None,
        target: str = "F",
        sigma_data: float = SIGMA_DATA,
    ) -> None:
        super().__init__()
        self.network, self.process, self.target = network, process or VE(), target
        self.sigma_data = sigma_data
        edm_scalings(torch.ones(1), sigma_data)  # a wrong one is told here
        self.process.coefficients(target, torch.full((1,), 0.5))  # an unknown target is told here

    @checked()
    def forward(
        self, x: Float[Tensor, "b ..."], sigma: float | Tensor, labels: Int[Tensor, "b"] | None = None
    ) -> Float[Tensor, "b ..."]:
        s = row_levels(sigma, x, wait=False)
        kx, ky, scale, noise = (k.to(x.dtype) for k in unlooked(self.scalars, s))
        row = (len(x), *[1] * (x.ndim - 1))
        y = self.network(x * scale.view(row), noise, labels)
        if y.shape != x.shape:
            raise UserError(f"The network returned {list(y.shape)} for {list(x.shape)}; build it for those.")
        return torch.addcmul(x * kx.view(row), y, ky.view(row))

    def scalars(self, s: Float[Tensor, "b"]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """(k_x, k_y, input scale, noise) for noise ratios s, in float64: differences of like numbers.

        Without noise x is x0, whatever a network says of it: k_x = 1 and k_y = 0.
        """
        clean = s <= 0
        s = s.clamp(min=SMALLEST)
        t = self.process.time(s)
        a, b = self.process.coefficients(self.target, t)
        alpha, sigma = self.process.alpha(t), self.process.sigma(t)
        whole = a * sigma - b * alpha
        kx, ky = torch.where(clean, 1.0, -b * alpha / whole), torch.where(clean, 0.0, sigma / whole)
        return kx, ky, (s**2 + self.sigma_data**2).rsqrt(), s.log() / 4


def _check(width: int, depth: int, classes: int) -> None:
    if width < 8 or depth < 1 or classes < 0:
        raise UserError(
            "A network needs width >= 8, at least one block and classes >= 0, "
            f"not width {width}, {depth} blocks and {classes} classes."
        )


# ----------------------------------------------------------------------------------------------------- MLP


class MLP(nn.Module):
    """A residual network on flat samples of `shape`: `depth` blocks h += W2 silu(W1 norm(h) + e)."""

    @checked(shape=1)
    def __init__(self, shape: tuple[int, ...], width: int, depth: int = 3, classes: int = 0) -> None:
        super().__init__()
        _check(width, depth, classes)
        size = math.prod(shape)
        self.settings = {"shape": tuple(shape), "width": width, "depth": depth, "classes": classes}
        self.embedding = Embedding(width, classes, 32)
        self.enter = nn.Linear(size, width)
        self.modulate = nn.Linear(width, depth * width)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(depth))
        self.rise = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.fall = nn.ModuleList(zero(nn.Linear(width, width)) for _ in range(depth))
        self.leave = zero(nn.Linear(width, size))

    @checked()
    def forward(
        self, x: Float[Tensor, "b ..."], noise: Float[Tensor, "b"], labels: Int[Tensor, "b"] | None = None
    ) -> Float[Tensor, "b ..."]:
        if math.prod(x.shape[1:]) != self.enter.in_features:
            size = self.enter.in_features
            raise UserError(f"This MLP takes {size} values, not images {list(x.shape[1:])}.")
        fitting(x, noise, self.enter.weight)
        shifts = self.modulate(self.embedding(noise, labels)).chunk(len(self.norms), 1)
        h = self.enter(x.flatten(1))
        for norm, rise, fall, shift in zip(self.norms, self.rise, self.fall, shifts, strict=True):
            h = h + fall(F.silu(rise(norm(h)) + shift))
        return self.leave(F.silu(h)).view_as(x)


# --------------------------------------------------------------------------------------------------- U-Net


class UNet(nn.Module):
    """A U-Net for images [b, c, h, w] whose side can be halved len(multipliers) - 1 times.

    As in DDPM and EDM: every block on the way down leaves a connection to one on the way up, a residual block
    halves or doubles the side between levels, and `attention` names the levels (0 is the finest) whose blocks
    are followed by self-attention with heads of `head` channels.

    The defaults are the network of Marion & Wu (arXiv 2605.06077, Table 1): with classes=10 its parameter
    counts at widths 16, 32, 64, 128 and 192 are theirs to the last digit, 5090 c^2 + 68,325 c + 530,450. The
    paper does not draw its network; we looked for one that has these counts. It has 27 residual blocks and
    15 attentions (at the two coarser levels), normalizations with a scale alone, and one number per
    attention, which we take for a gain. `embedding` is 512 there; small networks may want less.
    """

    @checked(shape=1, multipliers=1, attention=0)
    def __init__(
        self,
        shape: tuple[int, ...],
        width: int = 128,
        multipliers: tuple[int, ...] = (1, 2, 4),
        blocks: int = 3,
        attention: tuple[int, ...] = (1, 2),
        classes: int = 0,
        embedding: int = 512,
        head: int = 64,
    ) -> None:
        super().__init__()
        _check(width, blocks, classes)
        halvings = len(multipliers) - 1
        if halvings < 0:
            raise UserError("A U-Net needs at least one level; give multipliers, such as (1, 2).")
        if embedding < 2 or embedding % 2 or head < 1:
            raise UserError(f"A U-Net needs an even embedding and head >= 1, not {embedding} and {head}.")
        if len(shape) != 3 or any(side % 2**halvings for side in shape[1:]):
            raise UserError(f"A U-Net with {halvings} halvings cannot take images of shape {tuple(shape)}.")
        self.settings = {
            "shape": tuple(shape), "width": width, "multipliers": tuple(multipliers), "blocks": blocks,
            "attention": tuple(attention), "classes": classes, "embedding": embedding, "head": head,
        }  # fmt: skip
        self.embedding = Embedding(embedding, classes, embedding)
        self.enter = nn.Conv2d(shape[0], width, 3, padding=1)
        self._embedding, self._head = embedding, head
        skips = self._build_down(width, multipliers, blocks, attention)
        deep = width * multipliers[-1]
        self.middle = nn.ModuleList([*self._step(deep, deep, True), *self._step(deep, deep, False)])
        self._build_up(width, multipliers, blocks, attention, skips)
        self.norm = Norm(width * multipliers[0])
        self.leave = zero(nn.Conv2d(width * multipliers[0], shape[0], 3, padding=1))

    def _step(self, enter: int, leave: int, attends: bool, factor: float = 1.0) -> list[nn.Module]:
        block = ResidualBlock(enter, leave, self._embedding, factor)
        return [block, Attention(leave, self._head)] if attends else [block]

    def _build_down(
        self, width: int, multipliers: tuple[int, ...], blocks: int, attention: tuple[int, ...]
    ) -> list[int]:
        """The way down; returns the channels of the connections it leaves."""
        self.down, channels, skips = nn.ModuleList(), width, [width]
        for level, times in enumerate(multipliers):
            if level:
                self.down.append(nn.ModuleList(self._step(channels, channels, False, 0.5)))
                skips.append(channels)
            for _ in range(blocks):
                self.down.append(nn.ModuleList(self._step(channels, width * times, level in attention)))
                channels = width * times
                skips.append(channels)
        return skips

    def _build_up(
        self,
        width: int,
        multipliers: tuple[int, ...],
        blocks: int,
        attention: tuple[int, ...],
        skips: list[int],
    ) -> None:
        """The way up: each level has one block more than on the way down, for the halving's connection."""
        self.up, self.doubles, channels = nn.ModuleList(), nn.ModuleList(), width * multipliers[-1]
        for level, times in reversed([*enumerate(multipliers)]):
            if level < len(multipliers) - 1:
                self.doubles.append(ResidualBlock(channels, channels, self._embedding, 2.0))
            for _ in range(blocks + 1):
                step = self._step(channels + skips.pop(), width * times, level in attention)
                self.up.append(nn.ModuleList(step))
                channels = width * times
        self.per_level = blocks + 1

    @checked()
    def forward(
        self, x: Float[Tensor, "b c h w"], noise: Float[Tensor, "b"], labels: Int[Tensor, "b"] | None = None
    ) -> Float[Tensor, "b c h w"]:
        if x.shape[1] != self.enter.in_channels or any(side % 2 ** len(self.doubles) for side in x.shape[2:]):
            raise UserError(f"This U-Net cannot take images of shape {list(x.shape[1:])}.")
        fitting(x, noise, self.enter.weight)
        e = self.embedding(noise, labels)
        h = self.enter(x.contiguous(memory_format=layout(x)))
        skips = [h]
        for step in self.down:
            h = _through(step, h, e)
            skips.append(h)
        h = _through(self.middle, h, e)
        for place, step in enumerate(self.up):
            if place and place % self.per_level == 0:
                h = self.doubles[place // self.per_level - 1](h, e)
            h = _through(step, torch.cat([h, skips.pop()], 1), e)
        return self.leave(F.silu(self.norm(h))).contiguous()


def _through(step: nn.Module, h: Tensor, embedding: Tensor) -> Tensor:
    for layer in step.children():
        h = layer(h, embedding) if isinstance(layer, ResidualBlock) else layer(h)
    return h


ATTENDED = 16  # pixels of a side: attention among more costs more than all convolutions


@checked(shape=1, multipliers=1)
def small_network(
    kind: str,
    shape: tuple[int, ...],
    width: int,
    blocks: int,
    multipliers: tuple[int, ...] = (1, 2),
    embedding: int = 64,
    classes: int = 0,
) -> nn.Module:
    """The networks of the book's smaller experiments: a residual network ("mlp"), or a U-Net ("unet") with
    `blocks` per level and attention at the first level below the finest that has at most 16 x 16 pixels."""
    if kind not in ("mlp", "unet"):
        raise UserError(f'Unknown network "{kind}"; choose mlp or unet.')
    if kind == "mlp":
        return MLP(shape, width, blocks, classes)
    level = 1
    while shape and shape[-1] >> level > ATTENDED and level + 1 < len(multipliers):
        level += 1
    return UNet(shape, width, multipliers, blocks, (level,), classes, embedding)


# ----------------------------------------------------------------------------------------------------- DiT


class DiT(nn.Module):
    """A diffusion transformer with adaLN-Zero (Peebles and Xie 2023) on patches of images [b, c, h, w]."""

    @checked(shape=1)
    def __init__(
        self,
        shape: tuple[int, ...],
        width: int,
        depth: int = 6,
        patch: int = 2,
        classes: int = 0,
        head: int = 64,
    ) -> None:
        super().__init__()
        _check(width, depth, classes)
        if width % 4 or patch < 1 or head < 1:
            raise UserError(
                "A DiT needs a width that 4 divides, for its sines and cosines of two places, patch >= 1 and "
                f"head >= 1, not {width}, {patch} and {head}."
            )
        if len(shape) != 3 or any(side % patch for side in shape[1:]):
            raise UserError(f"A DiT with patch {patch} cannot take images of shape {tuple(shape)}.")
        self.shape, self.patch = tuple(shape), patch
        self.settings = {
            "shape": self.shape, "width": width, "depth": depth, "patch": patch, "classes": classes,
            "head": head,
        }  # fmt: skip
        self.embedding = Embedding(width, classes, 128)
        self.enter = nn.Linear(shape[0] * patch**2, width)
        self.blocks = nn.ModuleList(TransformerBlock(width, width, head) for _ in range(depth))
        self.modulate = zero(nn.Linear(width, 2 * width))
        self.leave = zero(nn.Linear(width, shape[0] * patch**2))
        self.register_buffer("places", _places(shape[1] // patch, shape[2] // patch, width), persistent=False)

    @checked()
    def forward(
        self, x: Float[Tensor, "b c h w"], noise: Float[Tensor, "b"], labels: Int[Tensor, "b"] | None = None
    ) -> Float[Tensor, "b c h w"]:
        if tuple(x.shape[1:]) != self.shape:
            raise UserError(f"This DiT takes images of shape {list(self.shape)}, not {list(x.shape[1:])}.")
        fitting(x, noise, self.enter.weight)
        e = self.embedding(noise, labels)
        h = self.enter(F.unfold(x, self.patch, stride=self.patch).transpose(1, 2)) + self.places
        for block in self.blocks:
            h = block(h, e)
        scale, shift = self.modulate(e)[:, None].chunk(2, 2)
        h = self.leave(torch.addcmul(shift, F.layer_norm(h, h.shape[-1:]), 1 + scale))
        return F.fold(h.transpose(1, 2), self.shape[1:], self.patch, stride=self.patch)


def _places(rows: int, columns: int, width: int) -> Float[Tensor, "n width"]:
    """Sine and cosine of row and column at width/4 frequencies each (Vaswani et al. 2017)."""
    rates = 10_000.0 ** -(torch.arange(width // 4) / (width // 4))
    grid = torch.cartesian_prod(torch.arange(rows), torch.arange(columns)).float()
    angles = (grid[:, :, None] * rates).flatten(1)
    return torch.cat([angles.sin(), angles.cos()], 1)
