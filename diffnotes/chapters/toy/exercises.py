"""Exercises on the toy model: each tries the reader's function and says in a sentence what is wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from diffnotes.base.shapes import Array
from diffnotes.chapters.toy import formulas as toy
from diffnotes.show.style import Sentence

UNSOLVED = "Not solved yet: the function returns None."
CASES = ((1.07, 2.0), (0.6, 1.2), (2.8, 0.5))  # sigma, delta
COUNTS = (8, 12, 20)
NEAR = 0.15  # relative; 20,000 states show a variance to about 3 %


def check_states(states: Callable[..., Any]) -> Sentence:
    """Exercise 1.1: does `states(train, noise, sigma, delta)` have the law of the sampler's states?

    train [n, 2] and noise [m, 2] (standard normal) are float64 tensors; the result is [m, 2].
    """
    return Sentence(text=_tried(_wrong_states, states))


def check_critical_error(critical_error: Callable[..., Any]) -> Sentence:
    """Exercise 1.2: is `critical_error(n)` the model error with a peak gap of 0.5 for n training points?"""
    return Sentence(text=_tried(_wrong_errors, critical_error))


def _tried(wrong: Callable[[Callable[..., Any]], str], answer: Callable[..., Any]) -> str:
    """What is wrong with an answer, also where it breaks."""
    try:
        return wrong(answer) or "Solved."
    except Exception as error:  # the reader's code may raise anything
        return f"Your function stops with {type(error).__name__}: {error}"


# --- the law of the states ---


def _wrong_states(states: Callable[..., Any]) -> str:
    points, _ = toy.train_validation(10)
    noise = torch.from_numpy(toy.normal(0, "exercise", 20_000))
    for sigma, delta in CASES:
        found = states(torch.from_numpy(points), noise, sigma, delta)
        if found is None:
            return UNSOLVED
        fault = _shape(found, tuple(noise.shape)) or _law(np.asarray(found), points, sigma, delta)
        if fault:
            return f"{fault} (Tried with σ = {sigma}, δ = {delta}.)"
    return ""


def _shape(found: Any, shape: tuple[int, ...]) -> str:
    if tuple(getattr(found, "shape", ())) != shape:
        return f"Return a tensor of shape {list(shape)}, one state for each row of noise."
    return "" if bool(np.isfinite(np.asarray(found)).all()) else "Some states are not finite numbers."


def _law(states: Array, points: Array, sigma: float, delta: float) -> str:
    """What is wrong with the mean and the spread of states: the mixture has E|x|^2 = R^2 + 2 (variance)."""
    nearest = np.square(states[:, None] - points).sum(-1).argmin(1)
    share = np.bincount(nearest, minlength=len(points)) * len(points) / len(states)
    if share.max() > 1.5 or share.min() < 0.5:
        return "The states do not spread evenly over the training points; each should have an equal share."
    spread = (np.square(states).sum(1).mean() - np.square(points).sum(1).mean()) / 2
    if abs(spread / (sigma**2 + delta**2) - 1) < NEAR:
        return ""
    known = {
        "that is σ²: these are noised training points, without the model error": sigma**2,
        "that is δ²: the noise of this level is missing": delta**2,
        "that is (σ + δ)²: independent errors add in squares": (sigma + delta) ** 2,
        "that is the square of σ² + δ²: noise is scaled by a deviation, not by a variance": (
            sigma**2 + delta**2
        )
        ** 2,
    }
    why = [word for word, value in known.items() if abs(spread / value - 1) < NEAR]
    text = f"The variance of a coordinate around its training point is {spread:.2f}"
    return f"{text}; {why[0]}." if why else f"{text}, and should be another."


# --- the critical model error ---


def _wrong_errors(critical_error: Callable[..., Any]) -> str:
    found = [critical_error(n) for n in COUNTS]
    if any(one is None for one in found):
        return UNSOLVED
    ours = np.array([float(one) for one in found])
    laws = np.array([toy.spacing_law(n) for n in COUNTS])
    off = np.abs(ours / laws[:, 0] - 1)
    if (off < 0.05).all():
        return ""
    if np.ptp(ours) < 1e-6:
        return "Your model error is the same for every number of points; it should shrink with their spacing."
    if (np.abs(ours / laws[:, 1] - 1) < 0.05).all():
        return "That is the noise level of the peak, not the model error."
    ratio = ours / laws[:, 0]
    if np.ptp(ratio) < 0.05 * ratio.mean():
        return f"The model error follows the spacing, but is {ratio.mean():.2f} times the right one."
    worst = int(off.argmax())
    return f"For {COUNTS[worst]} points the gap does not peak at 0.5 with δ = {ours[worst]:.3f}."
