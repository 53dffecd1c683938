"""The exercise of chapter 1's networks, with the function that checks an answer."""

from __future__ import annotations

from collections.abc import Callable

import torch

from diffnotes.base.runtime import normals
from diffnotes.base.shapes import Tensor
from diffnotes.metrics import neighbours

SHAPE, COUNT, SIGMA = (1, 4, 4), 60, 0.3
EXACT = 1e-4  # float32 in the answer
Position = Callable[[Tensor, Tensor, Tensor, Tensor], float | Tensor]


def check_position(position: Position) -> str:
    """Try `position(states, noised_known, noised_unseen, known)` on sets whose answer is known.

    All are images [n, 1, 4, 4]; the first three are noisy. The answer is 0 when the states are, in the mean,
    as near to the training images `known` as noised training images, and 1 when they are as far as noised
    held-out images.
    """
    known, unseen = (normals(0, f"exercise, {name}", range(COUNT), SHAPE) for name in ("known", "unseen"))
    noised_known, noised_unseen = (x + _noise("both") for x in (known, unseen))
    middle = torch.cat([known[: COUNT // 2], unseen[: COUNT // 2]]) + _noise("states")
    trials = {
        "noised training images as states": (noised_known, 0.0),
        "noised held-out images as states": (noised_unseen, 1.0),
        "half of each, with other noise": (middle, _position(middle, noised_known, noised_unseen, known)),
    }
    for name, (states, wanted) in trials.items():
        found = float(position(states, noised_known, noised_unseen, known))
        if not abs(found - wanted) < EXACT:
            return f"Not yet: with {name} it should be {wanted:.3f}, and yours is {found:.3f}."
    return "Right."


def _noise(name: str) -> Tensor:
    return SIGMA * normals(0, f"exercise, noise of {name}", range(COUNT), SHAPE)


def _position(states: Tensor, noised_known: Tensor, noised_unseen: Tensor, known: Tensor) -> float:
    """The answer."""
    s, k, u = (
        float(neighbours(x, known).distance[:, 0].mean()) for x in (states, noised_known, noised_unseen)
    )
    return (s - k) / (u - k)
