"""What every adapter ends in: a reader's model as an estimate of E[x0|x], with what has to be known of it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch

from diffnotes.base.errors import UserError, out_of_memory
from diffnotes.base.shapes import Float, Num, Tensor, checked
from diffnotes.process import Process, check_denoised, row_levels

Estimate = Callable[..., Tensor]
"""(x [b, ...], sigma [b]) or (x, sigma, labels [b]) -> E[x0|x] [b, ...] in the frame x = x0 + sigma eps."""

SLACK = 1e-6  # by what share a noise level may lie outside: rounding of float32


def briefly(error: BaseException) -> str:
    """'KeyError: its words', on one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"


@dataclass(eq=False)
class Adapted:
    """A model as a denoiser: call it with (x, sigma) or (x, sigma, labels), as samplers and metrics do.

    name: what messages call it. shape: that of one image, or None where the model does not say. classes: how
    many it can be told, 0 for none; `needs_label`: whether it cannot do without. low, high: the noise levels
    that it was trained on; others are refused. notes: what a reader should know of how it was adapted.
    identity: the SHA-256 of weights and settings, or "" where it cannot be told, as for a function.
    """

    estimate: Estimate
    name: str
    shape: tuple[int, ...] | None = None
    classes: int = 0
    needs_label: bool = False
    low: float = 0.0
    high: float = math.inf
    notes: tuple[str, ...] = ()
    identity: str = ""
    modules: tuple[torch.nn.Module, ...] = ()  # what `to` moves

    @checked()
    def __call__(
        self, x: Float[Tensor, "b ..."], sigma: float | Tensor, labels: Tensor | None = None
    ) -> Float[Tensor, "b ..."]:
        levels = row_levels(sigma, x)
        self._check(x, levels, labels)
        clean = levels == 0
        if bool(clean.all()):
            return x  # without noise x is x0, whatever a model says of it
        known = torch.where(clean, max(self.low, 1e-12), levels.clamp(self.low, self.high))
        known = known.to(x.dtype)
        found = self._asked(x, known, labels)
        found = check_denoised(found, x, sigma).to(x.dtype)
        return torch.where(clean.view(-1, *[1] * (x.ndim - 1)), x, found) if bool(clean.any()) else found

    def _asked(self, x: Tensor, levels: Tensor, labels: Tensor | None) -> Tensor:
        """The answer; UserError where the model itself fails, whatever it raises."""
        try:
            with torch.no_grad():
                return self.estimate(x, levels) if labels is None else self.estimate(x, levels, labels)
        except UserError:
            raise
        except Exception as error:
            if out_of_memory(error):
                raise
            raise UserError(
                f"{self.name} failed when it was asked for {len(x)} images ({briefly(error)}); call it on a "
                "few images by yourself."
            ) from error

    def to(self, where: torch.device | str) -> Adapted:
        """The same with its weights on a device."""
        for module in self.modules:
            module.to(where)
        return self

    def noted(self, *notes: str) -> Adapted:
        """The same with more to know."""
        return replace(self, notes=(*self.notes, *notes))

    def _check(self, x: Tensor, levels: Tensor, labels: Tensor | None) -> None:
        if self.shape is not None and tuple(x.shape[1:]) != self.shape:
            raise UserError(
                f"{self.name} denoises images of shape {_by(self.shape)}, and these have {_by(x.shape[1:])}; "
                "give data of that shape."
            )
        noisy = levels[levels > 0]
        outside = (noisy < self.low * (1 - SLACK)) | (noisy > self.high * (1 + SLACK))
        if bool(outside.any()):
            raise UserError(
                f"{self.name} was trained on noise levels {self.low:.4g} to {self.high:.4g}, and sigma "
                f"{float(noisy[outside][0]):.4g} lies outside; choose levels within."
            )
        if labels is None and self.needs_label:
            raise UserError(f"{self.name} must be told a class, 0 to {self.classes - 1}; give labels.")
        if labels is not None and not self.classes:
            raise UserError(f"{self.name} knows no classes; give no labels.")
        least = 0 if self.needs_label else -1
        if labels is not None and not bool(((labels >= least) & (labels < self.classes)).all()):
            raise UserError(
                f"{self.name} knows the classes 0 to {self.classes - 1}; labels go from {int(labels.min())} "
                f"to {int(labels.max())}."
            )


def _by(shape: tuple[int, ...] | torch.Size) -> str:
    return " × ".join(map(str, shape))


def as_rows(values: Tensor, x: Tensor) -> Tensor:
    """[b] -> [b, 1, ...], in the type of x, so that it multiplies x."""
    return values.to(x).view(-1, *[1] * (x.ndim - 1))


class DiscreteVP(Process):
    """A variance-preserving process on a grid of steps, such as DDPM's (Ho et al. 2020): x_t = alpha x0 +
    sigma eps with alpha^2 = 1 - sigma^2 = the running product of 1 - beta.

    t is the number of the step, 0 to T - 1. Between steps ln(sigma/alpha) is a straight line, so the noise
    ratio of every step is the grid's own. A last step without any data (a product of 0) is left out.
    """

    def __init__(self, alphas_cumprod: Num[Tensor, "T"]) -> None:
        kept = alphas_cumprod.detach().double().cpu()
        kept = kept[kept > 0]
        if len(kept) > 2 and kept[-1] >= kept[-2]:  # diffusers puts 2^-24 in place of a last product of 0
            kept = kept[:-1]
        good = len(kept) >= 2 and bool((kept < 1).all()) and bool((kept[1:] < kept[:-1]).all())
        if not good:
            raise UserError(
                "The products of 1 - beta must fall from below 1 to 0, over at least two steps; this "
                "schedule is none of a diffusion."
            )
        self.log_ratio = (0.5 * (torch.log1p(-kept) - kept.log())).numpy()
        self.t_max = self.last = float(len(kept) - 1)

    def noise_ratio(self, t: Float[Tensor, "*b"]) -> Float[Tensor, "*b"]:
        return self._log(t).exp()

    def alpha(self, t: Float[Tensor, "*b"]) -> Float[Tensor, "*b"]:
        return torch.rsqrt(1 + self._log(t).exp() ** 2)

    def sigma(self, t: Float[Tensor, "*b"]) -> Float[Tensor, "*b"]:
        return torch.rsqrt(1 + self._log(t).neg().exp() ** 2)

    def alpha_dot(self, t: Float[Tensor, "*b"]) -> Float[Tensor, "*b"]:
        s = self._log(t).exp()
        return -(s**2) * self._slope(t) * (1 + s**2) ** -1.5

    def sigma_dot(self, t: Float[Tensor, "*b"]) -> Float[Tensor, "*b"]:
        s = self._log(t).exp()
        return s * self._slope(t) * (1 + s**2) ** -1.5

    def time(self, s: Num[Tensor, "*b"]) -> Float[Tensor, "*b"]:
        steps = np.arange(len(self.log_ratio), dtype=float)
        found = np.interp(s.detach().double().log().cpu().numpy(), self.log_ratio, steps)
        return torch.as_tensor(found, device=s.device)

    def _log(self, t: Tensor) -> Tensor:
        """ln(sigma/alpha), float64."""
        steps = np.arange(len(self.log_ratio), dtype=float)
        found = np.interp(t.detach().double().cpu().numpy(), steps, self.log_ratio)
        return torch.as_tensor(found, device=t.device)

    def _slope(self, t: Tensor) -> Tensor:
        """The derivative of ln(sigma/alpha), that of the piece that begins at t."""
        place = t.detach().double().cpu().floor().clamp(0, len(self.log_ratio) - 2).long()
        return torch.as_tensor(np.diff(self.log_ratio)[place.numpy()], device=t.device)

    @property
    def ends(self) -> tuple[float, float]:
        """The noise ratios of the first and of the last step."""
        low, high = np.exp(self.log_ratio[[0, -1]])
        return float(low), float(high)
