"""Diffusion processes x_t = alpha(t) x0 + sigma(t) eps, and everything that follows from the two functions.

Dividing by alpha turns each of them into `x0 + s eps` with the noise ratio s = sigma/alpha, the one frame the
rest of the package works in; prediction targets are affine in x0 there, so their losses differ by a factor
per t (Xu et al., arXiv 2506.13763, Eqs. 3-5 and Table 1).
"""

from __future__ import annotations

import abc
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from diffnotes.base.errors import UserError
from diffnotes.base.shapes import Float, Tensor

TARGETS = ("x0", "eps", "score", "velocity", "v", "F")
SIGMA_DATA = 0.5  # EDM's standard deviation of the data (Karras et al. 2022, Table 1)


def _like(values: Tensor, x: Tensor) -> Tensor:
    """[b] -> [b, 1, ...] so that it multiplies x [b, ...]; a scalar stays one."""
    return values.reshape(-1, *(1,) * (x.ndim - 1)) if values.ndim else values


def edm_scalings(
    s: Float[Tensor, "*b"], sigma_data: float = SIGMA_DATA
) -> tuple[Float[Tensor, "*b"], Float[Tensor, "*b"], Float[Tensor, "*b"]]:
    """(c_skip, c_out, c_in) of D(x; s) = c_skip x + c_out F(c_in x) (Karras et al. 2022, Table 1)."""
    total = s**2 + sigma_data**2
    return sigma_data**2 / total, s * sigma_data * total.rsqrt(), total.rsqrt()


class Process(abc.ABC):
    """A pair of smooth functions alpha(t), sigma(t); every method takes t of any shape and keeps it."""

    t_max: float  # the noisiest time; 0 is the data

    @abc.abstractmethod
    def alpha(self, t: Float[Tensor, "*b"]) -> Float[Tensor, "*b"]:
        """Factor of the data."""

    @abc.abstractmethod
    def sigma(self, t: Float[Tensor, "*b"]) -> Float[Tensor, "*b"]:
        """Standard deviation of the noise."""

    @abc.abstractmethod
    def alpha_dot(self, t: Float[Tensor, "*b"]) -> Float[Tensor, "*b"]:
        """d alpha / dt."""

    @abc.abstractmethod
    def sigma_dot(self, t: Float[Tensor, "*b"]) -> Float[Tensor, "*b"]:
        """d sigma / dt; infinite at t = 0 where sigma has a square-root start (VP)."""

    @abc.abstractmethod
    def time(self, s: Float[Tensor, "*b"]) -> Float[Tensor, "*b"]:
        """The t at which `noise_ratio(t)` is s."""

    def noise_ratio(self, t: Float[Tensor, "*b"]) -> Float[Tensor, "*b"]:
        """s = sigma/alpha, the noise level of x_t / alpha = x0 + s eps."""
        return self.sigma(t) / self.alpha(t)

    def noisy(
        self, x0: Float[Tensor, "b ..."], eps: Float[Tensor, "b ..."], t: Float[Tensor, "..."]
    ) -> Float[Tensor, "b ..."]:
        """x_t = alpha(t) x0 + sigma(t) eps; t is [b] or a scalar."""
        return _like(self.alpha(t), x0) * x0 + _like(self.sigma(t), x0) * eps

    def to_ve(
        self, x: Float[Tensor, "b ..."], t: Float[Tensor, "..."]
    ) -> tuple[Float[Tensor, "b ..."], Float[Tensor, "..."]]:
        """(x_t / alpha, s): the same point in the frame x0 + s eps."""
        return x / _like(self.alpha(t), x), self.noise_ratio(t)

    def coefficients(
        self, target: str, t: Float[Tensor, "*b"]
    ) -> tuple[Float[Tensor, "*b"], Float[Tensor, "*b"]]:
        """(a, b) with target = a x0 + b eps.

        x0: (1, 0); eps: (0, 1); score of p_t given x0: (0, -1/sigma); velocity, the time derivative of x_t:
        (alpha', sigma'), which is eps - x0 for flow matching; v: alpha eps - sigma x0 (Salimans and Ho 2022);
        F: EDM's network output (x0 - c_skip x)/c_out at x = x0 + s eps.
        """
        zero, one = torch.zeros_like(t), torch.ones_like(t)
        if target == "x0":
            return one, zero
        if target == "eps":
            return zero, one
        if target == "score":
            return zero, -1 / self.sigma(t)
        if target == "velocity":
            return self.alpha_dot(t), self.sigma_dot(t)
        if target == "v":
            return -self.sigma(t), self.alpha(t)
        if target == "F":
            s = self.noise_ratio(t)
            c_skip, c_out, _ = edm_scalings(s)
            return (1 - c_skip) / c_out, -c_skip * s / c_out
        raise UserError(f'Unknown prediction target "{target}"; choose one of {", ".join(TARGETS)}.')

    def from_x0(
        self, x0: Float[Tensor, "b ..."], x: Float[Tensor, "b ..."], t: Float[Tensor, "..."], target: str
    ) -> Float[Tensor, "b ..."]:
        """The prediction of `target` equivalent to predicting x0 at x = x_t (needs sigma > 0)."""
        a, b = (_like(value, x) for value in self.coefficients(target, t))
        alpha, sigma = _like(self.alpha(t), x), _like(self.sigma(t), x)
        return a * x0 + b * (x - alpha * x0) / sigma

    def to_x0(
        self, y: Float[Tensor, "b ..."], x: Float[Tensor, "b ..."], t: Float[Tensor, "..."], target: str
    ) -> Float[Tensor, "b ..."]:
        """The x0 equivalent to predicting y of `target` at x = x_t: (sigma y - b x)/(a sigma - b alpha)."""
        a, b = (_like(value, x) for value in self.coefficients(target, t))
        alpha, sigma = _like(self.alpha(t), x), _like(self.sigma(t), x)
        return (sigma * y - b * x) / (a * sigma - b * alpha)

    def denoiser(self, predict: Callable[..., Tensor], target: str) -> Callable[..., Tensor]:
        """A network predict(x_t [b, ...], t [b], ...) -> `target` [b, ...] as an estimate of E[x0|x]: what
        (x [b, ...], sigma scalar or [b], ...) in the frame x = x0 + sigma eps is called with comes as x_t =
        alpha(t) x at the t of that noise ratio. What else there is, such as labels, is handed on."""
        self.coefficients(target, torch.ones(1))  # an unknown target is told here

        def denoise(x: Tensor, sigma: float | Tensor, *more: Tensor | None) -> Tensor:
            s = torch.as_tensor(sigma, dtype=torch.float64, device=x.device).expand(len(x))
            t = self.time(s)
            noisy = _like(self.alpha(t), x).to(x.dtype) * x
            y = predict(noisy, t.to(x.dtype), *more)
            return self.to_x0(y.double(), noisy.double(), t, target).to(x.dtype)

        return denoise

    def loss_factor(self, target: str, t: Float[Tensor, "*b"]) -> Float[Tensor, "*b"]:
        """J^target / J^x0 = (a - b alpha/sigma)^2: turns an x0 loss, or a loss gap, into one of `target`.

        It is the weight under which an x0 loss equals the plain loss of that target: alpha^2/sigma^2 for eps,
        (s^2 + sd^2)/(s sd)^2 for F, 1/t^2 for flow matching's velocity.
        """
        a, b = self.coefficients(target, t)
        return (a - b * self.alpha(t) / self.sigma(t)) ** 2


@dataclass(frozen=True)
class VE(Process):
    """Variance exploding, in EDM's time: alpha = 1, sigma = t."""

    t_max: float = 80.0

    def alpha(self, t: Float[Tensor, "*b"]) -> Float[Tensor, "*b"]:
        return torch.ones_like(t)

    def sigma(self, t: Float[Tensor, "*b"]) -> Float[Tensor, "*b"]:
        return t.clone()

    def alpha_dot(self, t: Float[Tensor, "*b"]) -> Float[Tensor, "*b"]:
        return torch.zeros_like(t)

    def sigma_dot(self, t: Float[Tensor, "*b"]) -> Float[Tensor, "*b"]:
        return torch.ones_like(t)

    def time(self, s: Float[Tensor, "*b"]) -> Float[Tensor, "*b"]:
        return s.clone()


@dataclass(frozen=True)
class VP(Process):
    """Variance preserving, beta = B' linear (Song et al. 2021): alpha^2 = exp(-B), sigma^2 = 1 - alpha^2."""

    beta_min: float = 0.1
    beta_max: float = 20.0
    t_max: float = 1.0

    def _integral(self, t: Tensor) -> Tensor:
        return self.beta_min * t + (self.beta_max - self.beta_min) * t**2 / 2

    def _beta(self, t: Tensor) -> Tensor:
        return self.beta_min + (self.beta_max - self.beta_min) * t

    def alpha(self, t: Float[Tensor, "*b"]) -> Float[Tensor, "*b"]:
        return torch.exp(-self._integral(t) / 2)

    def sigma(self, t: Float[Tensor, "*b"]) -> Float[Tensor, "*b"]:
        return torch.sqrt(-torch.expm1(-self._integral(t)))  # expm1: 1 - exp loses the digits of small t

    def noise_ratio(self, t: Float[Tensor, "*b"]) -> Float[Tensor, "*b"]:
        return torch.sqrt(torch.expm1(self._integral(t)))

    def alpha_dot(self, t: Float[Tensor, "*b"]) -> Float[Tensor, "*b"]:
        return -self._beta(t) * self.alpha(t) / 2

    def sigma_dot(self, t: Float[Tensor, "*b"]) -> Float[Tensor, "*b"]:
        return self._beta(t) * torch.exp(-self._integral(t)) / (2 * self.sigma(t))

    def time(self, s: Float[Tensor, "*b"]) -> Float[Tensor, "*b"]:
        integral = torch.log1p(s**2)
        slope = self.beta_max - self.beta_min
        return 2 * integral / (self.beta_min + torch.sqrt(self.beta_min**2 + 2 * slope * integral))


@dataclass(frozen=True)
class FlowMatching(Process):
    """The straight path alpha = 1 - t, sigma = t with velocity eps - x0 (Lipman et al.; Liu et al. 2023)."""

    t_max: float = 1.0

    def alpha(self, t: Float[Tensor, "*b"]) -> Float[Tensor, "*b"]:
        return 1 - t

    def sigma(self, t: Float[Tensor, "*b"]) -> Float[Tensor, "*b"]:
        return t.clone()

    def alpha_dot(self, t: Float[Tensor, "*b"]) -> Float[Tensor, "*b"]:
        return -torch.ones_like(t)

    def sigma_dot(self, t: Float[Tensor, "*b"]) -> Float[Tensor, "*b"]:
        return torch.ones_like(t)

    def time(self, s: Float[Tensor, "*b"]) -> Float[Tensor, "*b"]:
        return torch.where(torch.isinf(s), torch.ones_like(s), s / (1 + s))


def noise_levels(count: int, low: float = 0.002, high: float = 80.0) -> Float[Tensor, "l"]:
    """`count` noise levels from low to high, evenly spaced in ln sigma, float64 [l]."""
    if count < 2 or not 0 < low < high < math.inf:
        raise UserError(f"Noise levels need count >= 2 and 0 < low < high, not {count}, {low} and {high}.")
    return torch.from_numpy(np.geomspace(low, high, count))  # its ends are exact, unlike torch.logspace
