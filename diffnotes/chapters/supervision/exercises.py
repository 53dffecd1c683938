"""Two exercises of chapter 2: each function takes the reader's function and says whether it is right."""

from __future__ import annotations

from collections.abc import Callable

import torch

from diffnotes import data
from diffnotes.base.runtime import normals
from diffnotes.base.shapes import Tensor
from diffnotes.regions import distance_ratio, half_width, overlap

UNSOLVED = "Not solved yet."
DISTANCES = (0.5, 4.1, 43.7)  # the last is that of two red pandas in the paper's latents
EXACT = 1e-6
COUNT, TIMES, DELTA = 200, (0.2, 0.5), 0.05
Supervised = Callable[[Tensor, float, Tensor, float], Tensor | None]


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
    return f"Right: points that are {DISTANCES[-1]:g} apart meet at t = {t:.2f} only."


def check_supervised(supervised: Supervised) -> str:
    """Try `supervised(z, t, known, width)`: for each row of z [m, d] at time t, whether it lies in the
    supervision region of the training points known [n, d], so whether
    | |z - (1 - t) x_i| - t sqrt(d) | <= t width for some i; bool [m].
    """
    known, unseen = (data.load("digits", COUNT, split).x.flatten(1) for split in ("train", "test"))
    noise = normals(0, "exercise, shells", range(COUNT), known.shape[1:])
    width, shares = half_width(DELTA, known.shape[1]), []
    for t in TIMES:
        for name, clean in (("training", known), ("held-out", unseen)):
            z = (1 - t) * clean + t * noise
            found = supervised(z, t, known, width)
            if found is None:
                return UNSOLVED
            if not isinstance(found, Tensor) or found.shape != (COUNT,) or found.dtype != torch.bool:
                return f"The answer should be a tensor of {COUNT} truth values, one for each row of z."
            wanted = (distance_ratio(z, t, known).ratio - 1).abs() * known.shape[1] ** 0.5 <= width
            if wrong := int((found != wanted).sum()):
                return f"Not yet: for noised {name} images at t = {t:g}, {wrong} of {COUNT} are wrong."
            shares.append(100 * float(wanted.float().mean()))
    return (
        f"Right: at t = {TIMES[0]:g}, {shares[0]:.0f} % of noised training images are in it and "
        f"{shares[1]:.0f} % of held-out ones; at t = {TIMES[1]:g}, {shares[2]:.0f} % and {shares[3]:.0f} %."
    )
