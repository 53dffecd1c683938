"""The exercises tell a right answer from the usual wrong ones."""

from __future__ import annotations

import math

import pytest
import torch

from diffnotes.chapters.toy import exercises


def spread(scale):
    """States around training points, each in turn, with noise of some deviation."""

    def states(train, noise, sigma, delta):
        picked = train[torch.arange(len(noise)) % len(train)]
        return picked + scale(sigma, delta) * noise

    return states


def test_the_right_states_pass():
    assert str(exercises.check_states(spread(math.hypot))) == "Solved."


@pytest.mark.parametrize(
    ("scale", "sentence"),
    [
        (lambda sigma, delta: sigma, "that is σ²"),
        (lambda sigma, delta: delta, "that is δ²"),
        (lambda sigma, delta: sigma + delta, "that is (σ + δ)²"),
        (lambda sigma, delta: sigma**2 + delta**2, "not by a variance"),
        (lambda sigma, delta: 10 * sigma, "should be another"),
        (lambda sigma, delta: math.nan, "not finite"),
    ],
)
def test_wrong_states_are_told(scale, sentence):
    assert sentence in str(exercises.check_states(spread(scale)))


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (lambda train, noise, sigma, delta: None, "Not solved yet"),
        (lambda train, noise, sigma, delta: noise[:7], "shape [20000, 2]"),
        (lambda train, noise, sigma, delta: train[0] + noise, "an equal share"),
        (lambda train: train, "stops with TypeError"),
    ],
)
def test_states_of_a_wrong_kind_are_told(answer, sentence):
    assert sentence in str(exercises.check_states(answer))


def chord(n):
    return 20 * math.sin(math.pi / n)


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (lambda n: 0.237 * chord(n), "Solved."),
        (lambda n: torch.tensor(0.236 * chord(n)), "Solved."),
        (lambda n: None, "Not solved yet"),
        (lambda n: 1.45, "the same for every number"),
        (lambda n: 0.189 * chord(n), "the noise level of the peak"),
        (lambda n: 0.5 * chord(n), "follows the spacing, but is 2.1"),
        (lambda n: 0.1 * n, "does not peak at 0.5"),
        (lambda n: 1 / 0, "stops with ZeroDivisionError"),
    ],
)
def test_critical_errors(answer, sentence):
    assert sentence in str(exercises.check_critical_error(answer))
