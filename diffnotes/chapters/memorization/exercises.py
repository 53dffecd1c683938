"""The exercises of chapter 3: each check says what is missing, or that it is right."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from diffnotes import data
from diffnotes.metrics import neighbours, ratios

UNSOLVED, SOLVED = "Not solved yet.", "Right."


def check_ratio(solution: Callable[[Tensor, Tensor], Tensor | None]) -> str:
    """Of `solution(samples [m, d], train [n, d])`: rho [m], where equal training images count as one."""
    train = data.load("digits", n=40).x.flatten(1)
    samples = torch.cat([0.9 * train[:10], data.load("digits", n=20, split="test").x.flatten(1)])
    plain = ratios(neighbours(samples, train))
    for twice, text in (
        (train, "different images"),
        (torch.cat([train, train[:7]]), "images that occur twice"),
    ):
        found = solution(samples, twice)
        if found is None:
            return UNSOLVED
        if not _close(found, plain):
            return f"Not yet: for a training set of {text}, some ratios are off."
    return SOLVED


def _close(found: Tensor, wanted: Tensor) -> bool:
    return found.shape == wanted.shape and torch.allclose(found.double(), wanted, rtol=1e-3, atol=1e-6)


CURVES = (  # share of memorized samples at STEP, and from where on it stays at 0.1 or above
    ("that only rises", (0.0, 0.05, 0.2, 0.6), 300 * 3 ** (1 / 3)),
    ("that breaks down and comes back", (0.3, 0.05, 0.2, 0.6), 300 * 3 ** (1 / 3)),
    ("that begins above", (0.2, 0.3, 0.4, 0.6), 100.0),
    ("that breaks down at the end", (0.0, 0.2, 0.4, 0.0), np.nan),
)
STEP = np.array([100.0, 300.0, 900.0, 2700.0])


def check_onset(solution: Callable[[np.ndarray, np.ndarray, float], float | None]) -> str:
    """Of `solution(step [l], share [l], level)`: the step from which on the share stays at the level or
    above, linear in the logarithm of the step between evaluations; NaN where it does not stay there."""
    for text, share, wanted in CURVES:
        found = solution(STEP, np.array(share), 0.1)
        if found is None:
            return UNSOLVED
        if not np.isclose(found, wanted, rtol=1e-6, equal_nan=True):
            return f"Not yet: for a share {text}, the onset is {wanted:.1f}, not {found:.1f}."
    return SOLVED
