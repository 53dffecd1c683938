"""Two exercises of chapter 4: each function takes the reader's function and says whether it is right."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from diffnotes import data
from diffnotes.base.runtime import normals
from diffnotes.chapters.loss_floor import readings
from diffnotes.optimal_loss import optimal_loss
from diffnotes.posterior import posterior
from diffnotes.process import noise_levels
from diffnotes.show.style import Sentence

UNSOLVED = Sentence(text="Not solved yet.")


def class_optimum(answer: Callable[..., Any]) -> Sentence:
    """`answer(x, labels, noisy, own, sigma)` gives the best answers [m, d] for one that knows the class.

    x [n, d] are training images with labels [n]; noisy [m, d] = x0 + sigma * noise, own [m] the classes.
    """
    images = data.load("digits", 300)
    x, labels, sigma = images.x.flatten(1), images.labels, 1.0
    noisy, own = x[:50] + sigma * normals(0, "exercise", range(50), (64,)), labels[:50]
    found = answer(x, labels, noisy, own, sigma)
    if found is None:
        return UNSOLVED
    if not isinstance(found, torch.Tensor) or found.shape != noisy.shape:
        return Sentence(text=f"The answers should be a tensor of shape {list(noisy.shape)}.")
    rows = zip(noisy, own, strict=True)
    wanted = torch.cat([posterior(row[None], sigma, x[labels == label]).mean for row, label in rows])
    if torch.allclose(found.float(), wanted, atol=1e-4):
        gain = (x[:50] - posterior(noisy, sigma, x).mean).square().sum(1).mean()
        loss = (x[:50] - wanted).square().sum(1).mean()
        return Sentence(text=f"Right. Knowing the class lowers the loss here from {gain:.2f} to {loss:.2f}.")
    everything = posterior(noisy, sigma, x).mean
    if torch.allclose(found.float(), everything, atol=1e-4):
        return Sentence(text="These are the answers without classes: only images of its own class may count.")
    return Sentence(text=f"Not yet: the answers are off by up to {(found - wanted).abs().max():.2g}.")


def half_told(answer: Callable[..., Any]) -> Sentence:
    """`answer(sigma, loss, variance)` gives the noise level at which half of ln N has been told.

    sigma [l] are rising noise levels, loss [l] the optimal loss at them, variance that of the data.
    """
    x = data.load("digits", 300).x
    levels = noise_levels(60, 0.05, 80.0)
    curve = optimal_loss(x, levels, sources=600)
    found = answer(levels, curve.mean, curve.variance)
    if found is None:
        return UNSOLVED
    wanted, value = _half(levels.numpy(), curve.mean.numpy(), curve.variance), float(found)
    if abs(np.log(value / wanted)) < 0.1:
        return Sentence(
            text=f"Right: at σ = {wanted:.2f} half of ln 300 = {np.log(300):.2f} nats has been told."
        )
    side = "too large" if value > wanted else "too small"
    return Sentence(text=f"Not yet: σ = {value:.2f} is {side}. Integrate J*/σ² over ln σ from large σ down.")


def _half(sigma: np.ndarray, loss: np.ndarray, variance: float) -> float:
    """Where the area above sigma is half of the whole."""
    told = readings.told(sigma, loss, variance)
    return float(np.exp(np.interp(-told[0] / 2, -told, np.log(sigma))))
