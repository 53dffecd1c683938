"""The exercises of chapter 6: each check says what is missing, or that it is right."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from diffnotes import data
from diffnotes.base.runtime import normals
from diffnotes.optimal_loss import optimal_loss
from diffnotes.posterior import posterior

UNSOLVED, SOLVED = "Not solved yet.", "Right."
COUNT = 40
Noise = Callable[[Tensor, Tensor], Tensor]


def check_denoiser(solution: Callable[[Noise, Tensor, float], Tensor | None]) -> str:
    """Of `solution(network, x, sigma)`: E[x0|x] of a network that predicts the noise of a variance-preserving
    process, network(x_t, ratio [b]) -> eps, where x_t has variance 1 for images of variance 1."""
    train = data.load("digits", n=COUNT).x

    def network(x_t: Tensor, ratio: Tensor) -> Tensor:
        x = x_t * torch.sqrt(1 + ratio.view(-1, 1, 1, 1) ** 2)
        sigma = float(ratio[0])
        return (x - posterior(x, sigma, train).mean) / sigma

    for sigma in (0.3, 2.0):
        noise = normals(0, "exercise, own model", range(COUNT), tuple(train.shape[1:]))
        x = train + sigma * noise
        found = solution(network, x, sigma)
        if found is None:
            return UNSOLVED
        wanted = posterior(x, sigma, train).mean
        off = float((found - wanted).abs().max())
        if not off < 1e-3:
            return f"Not yet: at sigma {sigma} an answer is off by {off:.3f}."
    return SOLVED


def check_expected_loss(solution: Callable[[Tensor, float], float | Tensor | None]) -> str:
    """Of `solution(train [n, ...], sigma)`: the loss that a network which predicts noise can reach, as its
    training loop would show it, the mean squared error of eps per dimension."""
    train = data.load("digits", n=COUNT).x
    for sigma in (0.5, 1.5):
        found = solution(train, sigma)
        if found is None:
            return UNSOLVED
        curve = optimal_loss(train, torch.tensor([sigma], dtype=torch.float64), sources=4096, seed=1)
        wanted = float(curve.mean[0]) / train[0].numel() / sigma**2
        if not np.isclose(float(found), wanted, rtol=0.05):
            return f"Not yet: at sigma {sigma} it is {wanted:.4f}, not {float(found):.4f}."
    return SOLVED
