"""The exercises of chapter 5: each check says what is missing, or that it is right."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from diffnotes import data
from diffnotes.base.runtime import normals
from diffnotes.chapters.four_lenses.instruments import nearer
from diffnotes.metrics import neighbours
from diffnotes.posterior import posterior

UNSOLVED, SOLVED = "Not solved yet.", "Right."
SIGMA, COUNT = 0.4, 40
Denoiser = Callable[[Tensor, float], Tensor]
LossGap = Callable[[Denoiser, Tensor, Tensor, float], float | Tensor | None]


def check_loss_gap(solution: LossGap) -> str:
    """Of `solution(denoise, train [n, ...], noisy [m, ...], sigma)`: the loss gap per dimension, as the mean
    squared distance of `denoise(noisy, sigma)` to the optimal denoiser of `train`."""
    train = data.load("digits", n=COUNT).x
    noisy = train + SIGMA * normals(0, "exercise, lenses", range(COUNT), tuple(train.shape[1:]))
    best = posterior(noisy, SIGMA, train).mean

    def shrink(x: Tensor, sigma: float) -> Tensor:
        return x / (1 + sigma**2 / 0.3)

    def exact(x: Tensor, sigma: float) -> Tensor:
        return posterior(x, sigma, train).mean

    trials: dict[str, tuple[Denoiser, float]] = {
        "the optimal denoiser": (exact, 0.0),
        "a denoiser that shrinks": (shrink, float((shrink(noisy, SIGMA) - best).square().mean())),
    }
    for name, (denoise, wanted) in trials.items():
        found = solution(denoise, train, noisy, SIGMA)
        if found is None:
            return UNSOLVED
        if not np.isclose(float(found), wanted, rtol=1e-3, atol=1e-6):
            return f"Not yet: for {name} the gap is {wanted:.4f}, not {float(found):.4f}."
    return SOLVED


def check_nearer(solution: Callable[[Tensor, Tensor, Tensor], float | Tensor | None]) -> str:
    """Of `solution(states [m, ...], noised [k, ...], train [n, ...])`: how often a state is nearer to the
    training set than a noised held-out image, over all pairs, ties counted half."""
    train, unseen = data.load("digits", n=COUNT).x, data.load("digits", n=COUNT, split="test").x
    noise = normals(1, "exercise, lenses", range(COUNT), tuple(train.shape[1:]))
    noised = unseen + SIGMA * noise
    trials = {
        "noised held-out images as states": noised,
        "noised training images as states": train + SIGMA * noise.flip(0),
        "states half of which are noised held-out images": torch.cat([noised[:20], train[:20]]),
    }
    for name, states in trials.items():
        found = solution(states, noised, train)
        if found is None:
            return UNSOLVED
        wanted = nearer(*(neighbours(x, train).distance[:, 0] for x in (states, noised)))
        if not np.isclose(float(found), wanted, rtol=1e-6):
            return f"Not yet: for {name} it is {wanted:.4f}, not {float(found):.4f}."
    return SOLVED
