"""An exercise of chapter 2 on targets that are drawn, with the function that checks an answer."""

from __future__ import annotations

from collections.abc import Callable

import torch

from diffnotes.base.runtime import normals
from diffnotes.base.shapes import Tensor
from diffnotes.posterior import posterior

UNSOLVED = "Not solved yet."
POINTS, DIM, TIMES, DRAWS = 12, 3, (0.3, 0.6), 20_000
FAR = 5.0  # standard errors
Target = Callable[[Tensor, float, Tensor, Tensor], Tensor | None]


def check_target(target: Target) -> str:
    """Try `target(z, t, score, uniform)`: for each row of z [m, d] one of the points `score` [n, d], drawn
    with probability softmax_j(-|z - (1 - t) y_j|^2 / (2 t^2)) by the uniform numbers [m] in (0, 1).

    The right ones are points of `score`, and their mean at one z is the exact posterior mean.
    """
    score = normals(0, "exercise, score", range(POINTS), (DIM,))
    uniform = (torch.arange(DRAWS, dtype=torch.float64) + 0.5) / DRAWS
    for t in TIMES:
        z = (1 - t) * score[:1] + t * normals(0, "exercise, noise", range(1), (DIM,))
        found = target(z.expand(DRAWS, -1), t, score, uniform)
        if found is None:
            return UNSOLVED
        if found.shape != (DRAWS, DIM) or not _among(found, score):
            return f"Not yet: at t = {t:g} the answers should be points of `score`, one for each row of z."
        wanted = posterior(z / (1 - t), t / (1 - t), score).mean[0]
        error = found.double().std(0) / DRAWS**0.5 + 1e-4
        if ((found.double().mean(0) - wanted).abs() > FAR * error).any():
            return f"Not yet: at t = {t:g} their mean is not the exact posterior mean."
    return "Right: draws cost more noise, and have the exact target as their mean."


def _among(found: Tensor, points: Tensor) -> bool:
    """Whether every row is one of the points."""
    return bool((torch.cdist(torch.unique(found.float(), dim=0), points).amin(1) < 1e-5).all())
