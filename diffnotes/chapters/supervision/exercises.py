"""An exercise of chapter 2 on shells that meet, with the function that checks an answer."""

from __future__ import annotations

from collections.abc import Callable

import torch

from diffnotes.regions import overlap

UNSOLVED = "Not solved yet."
DISTANCES = (0.5, 4.1, 43.7)  # the last is that of two red pandas in the paper's latents
EXACT = 1e-6


def check_meeting(meeting: Callable[[float], float | None]) -> str:
    """Try `meeting(distance)`: the time t of flow matching at which the shells of two training points at this
    distance |x_i - x_j| overlap by one half, exp(-((1 - t)/t)^2 |x_i - x_j|^2 / 8) = 1/2.
    """
    for distance in DISTANCES:
        found = meeting(distance)
        if found is None:
            return UNSOLVED
        t = float(found)
        if not 0 < t < 1:
            return f"Not yet: at distance {distance:g} your time is {t:g}; it should lie between 0 and 1."
        half = float(overlap(torch.tensor([distance]), torch.tensor([t], dtype=torch.float64)))
        if not abs(half - 0.5) < EXACT:
            return f"Not yet: at distance {distance:g} and t = {t:.3f} the overlap is {half:.3f}, not 1/2."
    return f"Right: from {DISTANCES[0]:g} to {DISTANCES[-1]:g} apart, that time goes from early to {t:.2f}."
