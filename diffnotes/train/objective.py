"""What a diffusion network is trained for: denoising score matching at random noise levels."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F

from diffnotes.base import runtime
from diffnotes.base.errors import UserError
from diffnotes.base.shapes import Float, Int, Num, Tensor, checked, finite
from diffnotes.data import as_floats
from diffnotes.networks.classifier import CLASSES, coarse
from diffnotes.process import VE, FlowMatching, Process
from diffnotes.train.loop import Batch

NoiseLaw = Callable[[Tensor], Tensor]
"""From uniform numbers in (0, 1) [b] to noise ratios s > 0 [b], float64."""


@checked()
@dataclass(frozen=True)
class LogNormal:
    """ln s is normal (Karras et al. 2022, Table 1)."""

    mean: float = -1.2
    std: float = 1.2

    def __post_init__(self) -> None:
        if not (math.isfinite(self.mean) and 0 <= self.std < math.inf):
            raise UserError(f"LogNormal needs a finite mean and std >= 0, not {self.mean} and {self.std}.")

    def __call__(self, u: Float[Tensor, "b"]) -> Float[Tensor, "b"]:
        return finite(torch.exp(self.mean + self.std * torch.special.ndtri(u)), "A noise level")


@checked()
@dataclass(frozen=True)
class LogUniform:
    """ln s is uniform between two ends (VE as in Karras et al. 2022, Table 1)."""

    low: float = 0.02
    high: float = 100.0

    def __post_init__(self) -> None:
        if not 0 < self.low <= self.high < math.inf:
            raise UserError(f"A log-uniform law needs 0 < low <= high, not {self.low} and {self.high}.")

    def __call__(self, u: Float[Tensor, "b"]) -> Float[Tensor, "b"]:
        return finite(self.low * (self.high / self.low) ** u, "A noise level")


@checked()
@dataclass(frozen=True)
class UniformTime:
    """t is uniform between 0 and t_max of a process.

    A margin of a ten-thousandth is left out at either end, where float32 has nothing left of noise or data.
    """

    process: Process = field(default_factory=FlowMatching)

    def __call__(self, u: Float[Tensor, "b"]) -> Float[Tensor, "b"]:
        margin = 1e-4 * self.process.t_max
        return self.process.noise_ratio(margin + u * (self.process.t_max - 2 * margin))


@checked()
@dataclass(frozen=True, eq=False)
class DenoisingLoss:
    """The loss of row j in the batch of a step: weight(s) |D(x0 + s eps; s) - x0|^2 / d.

    The weight is the one under which this is the plain squared error of predicting `target` under `process`
    (Xu et al., arXiv 2506.13763, Table 1): 1/t^2 for the velocity of flow matching, EDM's weight for F.
    Sample, s and eps of row j are functions of the plan's seed and of step * batch + j alone. A label is
    dropped (-1, "no class") with probability `drop`, so that guidance can be had later. An `Objective` of
    `train`.
    """

    x: Num[Tensor, "n ..."] = field(repr=False)
    law: NoiseLaw
    process: Process = field(default_factory=VE)
    target: str = "F"
    labels: Int[Tensor, "k"] | None = field(default=None, repr=False)
    drop: float = 0.0

    def __post_init__(self) -> None:
        if self.x.dtype != torch.float32 or len(self.x) == 0:
            raise UserError("The training set must be a float32 tensor [n, ...] with at least one sample.")
        if not bool((self.x.abs() < 1e15).all()):
            raise UserError("The training set contains NaN, infinite or huge (beyond 1e15) values; clean it.")
        if self.labels is not None and self.labels.shape != self.x.shape[:1]:
            count = self.labels.numel()
            raise UserError(f"There are {count} labels for {len(self.x)} samples; give one each.")
        self.process.coefficients(self.target, torch.full((1,), 0.5))  # an unknown target is told here
        if not 0 <= self.drop <= 1:
            raise UserError(f"drop must be a probability, not {self.drop}.")

    def __call__(self, model: Callable[..., Tensor], batch: Batch) -> Float[Tensor, "m"]:
        s, error = self.errors(model, batch)
        return self.process.loss_factor(self.target, self.process.time(s)).float().to(error.device) * error

    def errors(
        self, model: Callable[..., Tensor], batch: Batch
    ) -> tuple[Float[Tensor, "m"], Float[Tensor, "m"]]:
        """Noise levels s, float64 on the CPU, and |D - x0|^2 / d of the rows, without a weight."""
        where, shape = self.x.device, self.x.shape[1:]
        index = batch.indices(len(self.x)).to(where)
        uniform = torch.from_numpy(runtime.uniforms(batch.seed, "train, level", batch.places, 2))
        level = self.law(uniform[:, 0].clamp(min=2.0**-54))
        noise = runtime.normals(batch.seed, "train, noise", batch.places, shape, where=where)
        s = level.float().to(where)
        x0 = self.x[index]
        x = torch.addcmul(x0, noise, s.view(-1, *[1] * len(shape)))
        return level, (model(x, s, self._labels(index, uniform[:, 1])) - x0).square().flatten(1).mean(1)

    def _labels(self, index: Tensor, uniform: Tensor) -> Tensor | None:
        if self.labels is None:
            return None
        kept = self.labels[index]
        return torch.where((uniform < self.drop).to(kept.device), -1, kept) if self.drop else kept


# ---------------------------------------------------------------------------------- a classifier's objective


SHIFT = 4  # pixels by which a training image is moved at most


@checked()
@dataclass(frozen=True)
class ClassifierLoss:
    """Cross entropy of row j in the batch of a step, for a randomly changed image. An `Objective` of `train`.

    The image x [3, 32, 32] is mirrored half the time, moved by up to 4 pixels either way, and half the time
    made `coarse`, so that features also hold for 16 x 16 images. A share `smooth` of the target is spread
    over all classes. Image and changes are functions of the plan's seed and of step * batch + j alone.
    """

    x: Num[Tensor, "n 3 h w"] = field(repr=False)  # float32, or uint8 pixels p standing for p/127.5 - 1
    labels: Int[Tensor, "n"] = field(repr=False)
    smooth: float = 0.05

    def __post_init__(self) -> None:
        typed = self.x.dtype in (torch.float32, torch.uint8) and self.x.numel() > 0
        if not typed or self.labels.shape != self.x.shape[:1]:
            raise UserError("Images must be float32 or uint8, [n, 3, h, w], with a label for each.")
        if not bool(((self.labels >= 0) & (self.labels < CLASSES)).all()):
            raise UserError(f"Labels must be from 0 to {CLASSES - 1}.")
        if not 0 <= self.smooth <= 1:
            raise UserError(f"smooth must be a share from 0 to 1, not {self.smooth}.")

    def __call__(self, model: Callable[..., Tensor], batch: Batch) -> Float[Tensor, "m"]:
        where = self.x.device
        index = batch.indices(len(self.x)).to(where)
        chance = torch.from_numpy(runtime.uniforms(batch.seed, "features, changes", batch.places, 4))
        x = moved(self.x[index], chance.to(where))
        return F.cross_entropy(model(x), self.labels[index], reduction="none", label_smoothing=self.smooth)


def moved(x: Num[Tensor, "b 3 h w"], chance: Float[Tensor, "b 4"]) -> Float[Tensor, "b 3 h w"]:
    """Images changed by four uniform numbers in [0, 1) each: mirrored, moved down, moved right, coarse."""
    pixels = as_floats(x)
    down, right = ((chance[:, k] * (2 * SHIFT + 1)).long() for k in (1, 2))
    height, width = (torch.arange(size, device=x.device) for size in x.shape[2:])
    columns = torch.where(chance[:, :1] < 0.5, width.flip(0), width) + right[:, None]
    rows = height + down[:, None]
    padded = F.pad(pixels, (SHIFT,) * 4, mode="reflect").permute(0, 2, 3, 1)
    each = torch.arange(len(x), device=x.device)[:, None, None]
    found = padded[each, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
    return torch.where((chance[:, 3] < 0.5)[:, None, None, None], coarse(found), found)
