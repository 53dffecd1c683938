"""Diffusion processes x_t = alpha(t) x0 + sigma(t) eps, and everything that follows from the two functions.

Dividing by alpha turns each of them into `x0 + s eps` with the noise ratio s = sigma/alpha, the one frame the
rest of the package works in; prediction targets are affine in x0 there, so their losses differ by a factor
per t (Xu et al., arXiv 2506.13763, Eqs. 3-5 and Table 1).
"""

from __future__ import annotations

import abc
import functools
import inspect
import math
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import numpy as np
import torch

from diffnotes.base.errors import UserError
from diffnotes.base.shapes import Float, Num, Tensor, checked

Method = TypeVar("Method", bound=Callable[..., Any])

TARGETS = ("x0", "eps", "score", "velocity", "v", "F")
SIGMA_DATA = 0.5  # EDM's standard deviation of the data (Karras et al. 2022, Table 1)


def row_levels(sigma: float | Tensor, x: Tensor, wait: bool = True) -> Float[Tensor, "b"]:
    """sigma, a number or one per row, as float64 [b] on the device of x [b, ...].

    Raises UserError for another shape, and for a sigma that is negative or NaN; on a GPU only with `wait`,
    for it must be waited for.
    """
    levels = torch.as_tensor(sigma, dtype=torch.float64, device=x.device)
    if levels.ndim > 1 or (levels.ndim == 1 and len(levels) != len(x)):
        raise UserError(f"sigma must be a number or one per row of x, [{len(x)}], not {list(levels.shape)}.")
    seen = not torch.compiler.is_compiling() and (wait or levels.is_cpu)
    if seen and not bool((levels >= 0).all()):  # NaN is not >= 0 either
        raise UserError(f"sigma must be at least 0, not {float(levels[~(levels >= 0)].flatten()[0])}.")
    return levels.expand(len(x))


def check_denoised(found: object, x: Tensor, sigma: float | Tensor) -> Tensor:
    """What a denoiser said of x [b, ...] at the noise level sigma; UserError where it is no answer."""
    if not isinstance(found, Tensor) or found.shape != x.shape:
        said = list(found.shape) if isinstance(found, Tensor) else type(found).__name__
        raise UserError(f"The denoiser returned {said} for noisy images {list(x.shape)}.")
    if not found.is_floating_point() or not bool(torch.isfinite(found).all()):
        levels = torch.as_tensor(sigma)
        at = ", ".join(f"{level:g}" for level in levels.unique()[:3].tolist())
        raise UserError(f"The denoiser returned NaN or infinite values, or no numbers, at sigma {at}.")
    return found


def _like(values: Tensor, x: Tensor) -> Tensor:
    """[b] -> [b, 1, ...] so that it multiplies x [b, ...]; a scalar stays one."""
    return values.reshape(-1, *(1,) * (x.ndim - 1)) if values.ndim else values


@checked()
def edm_scalings(
    s: Float[Tensor, "*b"], sigma_data: float = SIGMA_DATA
) -> tuple[Float[Tensor, "*b"], Float[Tensor, "*b"], Float[Tensor, "*b"]]:
    """(c_skip, c_out, c_in) of D(x; s) = c_skip x + c_out F(c_in x) (Karras et al. 2022, Table 1)."""
    if not torch.compiler.is_compiling() and s.is_cpu and not bool(((s >= 0) & (s < 1e100)).all()):
        low, high = s.detach().aminmax()
        raise UserError(f"s must be from 0 to 1e100, not {float(low):g} to {float(high):g}.")
    if not 1e-15 < sigma_data < 1e15:
        raise UserError(f"sigma_data must be positive, between 1e-15 and 1e15, not {sigma_data}.")
    total = s**2 + sigma_data**2
    return sigma_data**2 / total, s * sigma_data * total.rsqrt(), total.rsqrt()


def _is_answer(found: Tensor, finite: bool) -> bool:
    """Whether there is a number in every place."""
    return not bool((~found.isfinite() if finite else found.isnan()).any())


class _Within(threading.local):
    """Whether a method of a process is at work in this thread: those that it calls need no second look."""

    now = False


_within = _Within()


def unlooked(function: Callable[..., Any], *args: Any, **given: Any) -> Any:
    """function(*args, **given), whose calls of a process's methods are not looked at."""
    if torch.compiler.is_compiling() or _within.now:
        return function(*args, **given)
    _within.now = True
    try:
        return function(*args, **given)
    finally:
        _within.now = False


def _of_time(method: Method) -> Method:
    """A method of a process, for times that the process has and answers that are numbers; see `Process`."""
    names = [*inspect.signature(method).parameters]
    name = "s" if "s" in names else "t"
    images = names[1] in ("x0", "x", "y")  # of them an infinite value is no answer either

    @checked()
    @functools.wraps(method)
    def looked(self: Process, *args: Any, **given: Any) -> Any:
        t = given[name] if name in given else args[names.index(name) - 1]
        if not t.is_cpu:
            return method(self, *args, **given)
        if t.numel() == 0:
            raise UserError(f"{name} is empty; give at least one value.")
        if images:
            rows = (args[0] if args else given[names[1]]).shape[:1]
            if t.ndim and t.shape != rows:
                raise UserError(f"{name} must be a number or one per row, {[*rows]}, not {[*t.shape]}.")
        low, high = (float(end) for end in t.detach().aminmax())
        if not low >= 0 or (name == "t" and high > self.last):
            limits = "at least 0" if name == "s" or self.last == math.inf else f"from 0 to {self.last:g}"
            raise UserError(f"{name} must be {limits}, not {low if low < 0 else high:g}.")
        found = method(self, *args, **given)
        answers = found if isinstance(found, tuple) else (found,)
        if not all(map(_is_answer, answers, [images, False])):
            at = f"{low:g}" if low == high else f"{low:g} to {high:g}"
            raise UserError(f"{type(self).__name__}.{method.__name__} is not a number at {name} = {at}.")
        return found

    @functools.wraps(method)
    def told(self: Process, *args: Any, **given: Any) -> Any:
        if torch.compiler.is_compiling() or _within.now:
            return method(self, *args, **given)
        return unlooked(looked, self, *args, **given)

    return cast(Method, told)


class Process(abc.ABC):
    """A pair of smooth functions alpha(t), sigma(t); every method takes t of any shape and keeps it.

    Where times are on the CPU, UserError is raised for those outside [0, `last`], for noise ratios below 0
    and for an answer that is no number, such as `from_x0` without noise; a GPU would have to be waited for.
    """

    t_max: float  # the noisiest time; 0 is the data
    last: float = math.inf  # the time after which alpha and sigma mean nothing

    def __init_subclass__(cls) -> None:
        for name in ("alpha", "sigma", "alpha_dot", "sigma_dot", "time", "noise_ratio"):
            if name in vars(cls):
                setattr(cls, name, _of_time(vars(cls)[name]))

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
    def time(self, s: Num[Tensor, "*b"]) -> Float[Tensor, "*b"]:
        """The t at which `noise_ratio(t)` is s."""

    @_of_time
    def noise_ratio(self, t: Float[Tensor, "*b"]) -> Float[Tensor, "*b"]:
        """s = sigma/alpha, the noise level of x_t / alpha = x0 + s eps."""
        return self.sigma(t) / self.alpha(t)

    @_of_time
    def noisy(
        self, x0: Float[Tensor, "b *d"], eps: Float[Tensor, "b *d"], t: Float[Tensor, "..."]
    ) -> Float[Tensor, "b ..."]:
        """x_t = alpha(t) x0 + sigma(t) eps; t is [b] or a scalar."""
        return _like(self.alpha(t), x0) * x0 + _like(self.sigma(t), x0) * eps

    @_of_time
    def to_ve(
        self, x: Float[Tensor, "b ..."], t: Float[Tensor, "..."]
    ) -> tuple[Float[Tensor, "b ..."], Float[Tensor, "..."]]:
        """(x_t / alpha, s): the same point in the frame x0 + s eps."""
        return x / _like(self.alpha(t), x), self.noise_ratio(t)

    @_of_time
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

    @_of_time
    def from_x0(
        self, x0: Float[Tensor, "b *d"], x: Float[Tensor, "b *d"], t: Float[Tensor, "..."], target: str
    ) -> Float[Tensor, "b ..."]:
        """The prediction of `target` equivalent to predicting x0 at x = x_t (needs sigma > 0)."""
        a, b = (_like(value, x) for value in self.coefficients(target, t))
        alpha, sigma = _like(self.alpha(t), x), _like(self.sigma(t), x)
        return a * x0 + b * (x - alpha * x0) / sigma

    @_of_time
    def to_x0(
        self, y: Float[Tensor, "b *d"], x: Float[Tensor, "b *d"], t: Float[Tensor, "..."], target: str
    ) -> Float[Tensor, "b ..."]:
        """The x0 equivalent to predicting y of `target` at x = x_t: (sigma y - b x)/(a sigma - b alpha)."""
        a, b = (_like(value, x) for value in self.coefficients(target, t))
        alpha, sigma = _like(self.alpha(t), x), _like(self.sigma(t), x)
        return (sigma * y - b * x) / (a * sigma - b * alpha)

    @checked()
    def denoiser(self, predict: Callable[..., Tensor], target: str) -> Callable[..., Tensor]:
        """A network predict(x_t [b, ...], t [b], ...) -> `target` [b, ...] as an estimate of E[x0|x]: what
        (x [b, ...], sigma scalar or [b], ...) in the frame x = x0 + sigma eps is called with comes as x_t =
        alpha(t) x at the t of that noise ratio. What else there is, such as labels, is handed on."""
        self.coefficients(target, torch.full((1,), 0.5))  # an unknown target is told here

        @checked()
        def denoise(x: Float[Tensor, "b ..."], sigma: float | Tensor, *more: Tensor | None) -> Tensor:
            s = row_levels(sigma, x, wait=False)
            t = self.time(s)
            noisy = _like(self.alpha(t), x).to(x.dtype) * x
            y = check_denoised(predict(noisy, t.to(x.dtype), *more), x, sigma)
            return check_denoised(self.to_x0(y.double(), noisy.double(), t, target).to(x.dtype), x, sigma)

        return denoise

    @_of_time
    def loss_factor(self, target: str, t: Float[Tensor, "*b"]) -> Float[Tensor, "*b"]:
        """J^target / J^x0 = (a - b alpha/sigma)^2: turns an x0 loss, or a loss gap, into one of `target`.

        It is the weight under which an x0 loss equals the plain loss of that target: alpha^2/sigma^2 for eps,
        (s^2 + sd^2)/(s sd)^2 for F, 1/t^2 for flow matching's velocity.
        """
        a, b = self.coefficients(target, t)
        return (a - b * self.alpha(t) / self.sigma(t)) ** 2


def _check_end(process: Process) -> None:
    if not 0 < process.t_max <= min(process.last, 1e30):
        most = min(process.last, 1e30)
        raise UserError(f"t_max must be above 0 and at most {most:g}, not {process.t_max}.")


@checked()
@dataclass(frozen=True)
class VE(Process):
    """Variance exploding, in EDM's time: alpha = 1, sigma = t."""

    t_max: float = 80.0

    def __post_init__(self) -> None:
        _check_end(self)

    def alpha(self, t: Float[Tensor, "*b"]) -> Float[Tensor, "*b"]:
        return torch.ones_like(t)

    def sigma(self, t: Float[Tensor, "*b"]) -> Float[Tensor, "*b"]:
        return t.clone()

    def alpha_dot(self, t: Float[Tensor, "*b"]) -> Float[Tensor, "*b"]:
        return torch.zeros_like(t)

    def sigma_dot(self, t: Float[Tensor, "*b"]) -> Float[Tensor, "*b"]:
        return torch.ones_like(t)

    def time(self, s: Num[Tensor, "*b"]) -> Float[Tensor, "*b"]:
        return s.clone()


@checked()
@dataclass(frozen=True)
class VP(Process):
    """Variance preserving, beta = B' linear (Song et al. 2021): alpha^2 = exp(-B), sigma^2 = 1 - alpha^2."""

    beta_min: float = 0.1
    beta_max: float = 20.0
    t_max: float = 1.0

    def __post_init__(self) -> None:
        _check_end(self)
        if not (0 <= self.beta_min <= self.beta_max and 0 < self.beta_max < 1e6):
            raise UserError(f"VP needs 0 <= beta_min <= beta_max below a million, and above 0, not {self}.")

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

    def time(self, s: Num[Tensor, "*b"]) -> Float[Tensor, "*b"]:
        integral = torch.log1p(s**2)
        slope = self.beta_max - self.beta_min
        return 2 * integral / (self.beta_min + torch.sqrt(self.beta_min**2 + 2 * slope * integral))


@checked()
@dataclass(frozen=True)
class FlowMatching(Process):
    """The straight path alpha = 1 - t, sigma = t with velocity eps - x0 (Lipman et al.; Liu et al. 2023)."""

    t_max: float = 1.0
    last = 1.0

    def __post_init__(self) -> None:
        _check_end(self)

    def alpha(self, t: Float[Tensor, "*b"]) -> Float[Tensor, "*b"]:
        return 1 - t

    def sigma(self, t: Float[Tensor, "*b"]) -> Float[Tensor, "*b"]:
        return t.clone()

    def alpha_dot(self, t: Float[Tensor, "*b"]) -> Float[Tensor, "*b"]:
        return -torch.ones_like(t)

    def sigma_dot(self, t: Float[Tensor, "*b"]) -> Float[Tensor, "*b"]:
        return torch.ones_like(t)

    def time(self, s: Num[Tensor, "*b"]) -> Float[Tensor, "*b"]:
        return torch.where(torch.isinf(s), torch.ones_like(s), s / (1 + s))


@checked()
def noise_levels(count: int, low: float = 0.002, high: float = 80.0) -> Float[Tensor, "l"]:
    """`count` noise levels from low to high, evenly spaced in ln sigma, float64 [l]."""
    if count < 2 or not 0 < low < high < math.inf:
        raise UserError(f"Noise levels need count >= 2 and 0 < low < high, not {count}, {low} and {high}.")
    return torch.from_numpy(np.geomspace(low, high, count))  # its ends are exact, unlike torch.logspace
