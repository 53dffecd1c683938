"""An exercise of chapter 4: the function takes the reader's function and says whether it is right."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from diffnotes import data
from diffnotes.base.runtime import normals
from diffnotes.optimal_loss import optimal_loss
from diffnotes.show.style import Sentence

UNSOLVED = Sentence(text="Not solved yet.")
SIGMA, BETA, ALPHA = 0.8, 3e4, -0.4  # of the losses that are made up
CLOSE = 0.05  # how far the answer may be off, as a part of J*


def floor_from_losses(answer: Callable[..., Any]) -> Sentence:
    """`answer(compute, loss)` gives the floor of a loss that falls with compute as a power law towards it.

    compute [k] are floating-point operations, loss [k] the losses that they bought: made up, with an error of
    0.1 %, so that the optimal loss of 300 digits at sigma = 0.8 is the floor.
    """
    optimum = float(optimal_loss(data.load("digits", 300).x, torch.tensor([SIGMA]), sources=1200).mean[0])
    compute = np.geomspace(1e9, 1e13, 40)
    noise = normals(0, "exercise, scaling", range(40)).double().numpy()
    loss = (optimum + BETA * compute**ALPHA) * np.exp(1e-3 * noise)
    found = answer(compute, loss)
    if found is None:
        return UNSOLVED
    value = float(found)
    if abs(value / optimum - 1) < CLOSE:
        return Sentence(text=f"Right: the floor is {value:.2f}, and the optimal loss is {optimum:.2f}.")
    if abs(value / loss.min() - 1) < 1e-6:
        return Sentence(text="That is the smallest loss seen; more compute would lower it further.")
    side = "too high" if value > optimum else "too low"
    return Sentence(
        text=f"Not yet: {value:.2f} is {side}. With the right floor, ln(loss − floor) is straight in ln F."
    )
