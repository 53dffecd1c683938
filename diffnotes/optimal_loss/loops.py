"""What a training loop can show: the optimal loss in the units of common loops, and what needs no copies.

A loop shows a mean over noise levels of the loss of what it predicts, which is the loss of x0 times a factor
(`Process.loss_factor`). At small noise the optimum of a finite set is near zero, and only a copy of the set
has it. A linear denoiser cannot copy: what it reaches on images that it was not fitted to is the other end.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from scipy.special import ndtri

from diffnotes.base.shapes import Array, Float, Num, Tensor, checked

STEPS = 1000  # of DDPM, and points of the other means
EDM_MEAN, EDM_DEVIATION, EDM_DATA = -1.2, 1.2, 0.5


@checked()
def linear_loss(
    one: Float[Tensor, "m ..."], other: Float[Tensor, "k ..."], sigma: Num[Tensor, "l"]
) -> Float[Tensor, "l"]:
    """The loss per dimension, on `other`, of the linear denoiser that is fitted on `one`.

    Its covariance is (1 - r) S + r m I, with S that of `one`, m the mean of its eigenvalues, and r the share
    of Ledoit and Wolf (2004), so that it has a variance also where fewer images than dimensions have none.
    With its eigenvectors v_k and eigenvalues l_k, g_k = l_k/(l_k + s^2) and b_k the mean square of `other`,
    less the mean of `one`, along v_k, the loss is the sum over k of (1 - g_k)^2 b_k + g_k^2 s^2, over d.
    """
    x, y = one.flatten(1).double(), other.flatten(1).double()
    count, size = x.shape
    x, y = x - x.mean(0), y - x.mean(0)
    own, vectors = _spectrum(x)
    middle = own.sum() / size
    spread = own.square().sum() / size - middle**2
    noise = (x.square().sum(1).square().sum() / count - own.square().sum()) / (count * size)
    share = (noise / spread).clamp(0, 1) if spread > 0 else torch.ones_like(middle)
    along = (y @ vectors).square().mean(0)
    rest = (y.square().sum(1).mean() - along.sum()).clamp(min=0)  # along all other directions
    square = sigma.double().to(own.device)[:, None] ** 2

    def loss(variance: Tensor, held: Tensor, dimensions: int) -> Tensor:
        kept = variance / (variance + square)
        return ((1 - kept) ** 2 * held + dimensions * kept**2 * square).sum(1)

    within = loss((1 - share) * own + share * middle, along, 1)
    beside = loss((share * middle).clamp(min=1e-300)[None], rest[None], size - len(own))
    return (within + beside) / size


def _spectrum(x: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues [r] and eigenvectors [d, r] of x^T x/m where they are not 0, of rows that have mean 0."""
    count, size = x.shape
    if count >= size:
        values, vectors = torch.linalg.eigh(x.T @ x / count)
        return values.clamp(min=0), vectors
    values, weights = torch.linalg.eigh(x @ x.T / count)
    kept = values > 1e-10 * values.max().clamp(min=1e-300)
    values, weights = values[kept], weights[:, kept]
    return values, x.T @ weights / (count * values).sqrt()


@checked()
def in_loops(
    sigma: Num[Tensor, "l"], loss: Num[Tensor, "l"], variance: float
) -> dict[str, float]:
    """What each of LOOPS shows of a denoiser with this loss per dimension at `sigma`, rising.

    Between the levels the loss over that of the best multiple of the noisy image, s^2 v/(s^2 + v), is a
    straight line over ln sigma; beyond them it is that of the nearest. variance: v, per dimension.
    """
    s, at = sigma.double().cpu().numpy(), loss.double().cpu().numpy()
    share = at / _plain(s, variance)
    found = {}
    for name, make in LOOPS.items():
        ratio, factor = make()
        values = np.interp(np.log(ratio), np.log(s), share) * _plain(ratio, variance)
        found[name] = float((factor * values).mean())
    return found


def _plain(s: Array, variance: float) -> Array:
    found: Array = s**2 * variance / (s**2 + variance)
    return found


Drawn = tuple[Array, Array]  # noise ratios that a loop draws evenly, and the factor of its loss


def _noise(kept: Array) -> Drawn:
    """A loop that predicts noise, of the running products of 1 - beta."""
    ratio = np.sqrt((1 - kept) / kept)
    return ratio, 1 / ratio**2


def _linear() -> Drawn:
    return _noise(np.cumprod(1 - np.linspace(1e-4, 0.02, STEPS)))


def _cosine() -> Drawn:
    t = np.arange(STEPS + 1) / STEPS
    f = np.cos((t + 0.008) / 1.008 * np.pi / 2) ** 2
    return _noise(np.cumprod(1 - np.minimum(1 - f[1:] / f[:-1], 0.999)))


def _flow() -> Drawn:
    t = (np.arange(STEPS) + 0.5) / STEPS
    return t / (1 - t), 1 / t**2


def _edm() -> Drawn:
    s = np.exp(EDM_MEAN + EDM_DEVIATION * ndtri((np.arange(STEPS) + 0.5) / STEPS))
    return s, (s**2 + EDM_DATA**2) / (s * EDM_DATA) ** 2


LOOPS: dict[str, Callable[[], Drawn]] = {
    "noise, DDPM's linear schedule": _linear,  # Ho et al., arXiv 2006.11239
    "noise, the cosine schedule": _cosine,  # Nichol and Dhariwal, arXiv 2102.09672
    "velocity of flow matching, t drawn evenly": _flow,
    "EDM's weighted loss": _edm,  # Karras et al., arXiv 2206.00364
}
