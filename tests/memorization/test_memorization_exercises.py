"""The checks of chapter 3's exercises: they take the right answer, and no other."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from diffnotes.chapters.memorization import exercises
from diffnotes.chapters.memorization.onsets import reached
from diffnotes.metrics import neighbours, ratios


def of_different_images(samples: Tensor, train: Tensor) -> Tensor:
    return ratios(neighbours(samples, torch.unique(train, dim=0)))


def for_good(step: np.ndarray, share: np.ndarray, level: float) -> float:
    below = np.flatnonzero(share < level)
    if not len(below):
        return float(step[0])
    return reached(step[below[-1] :], share[below[-1] :], level)


def test_stubs_are_not_solved_yet() -> None:
    assert exercises.check_ratio(lambda samples, train: None) == exercises.UNSOLVED
    assert exercises.check_onset(lambda step, share, level: None) == exercises.UNSOLVED


def test_right_answers_are_right() -> None:
    assert exercises.check_ratio(of_different_images) == exercises.SOLVED
    assert exercises.check_onset(for_good) == exercises.SOLVED


def test_plain_ratios_miss_the_images_that_occur_twice() -> None:
    said = exercises.check_ratio(lambda samples, train: ratios(neighbours(samples, train)))
    assert said == "Not yet: for a training set of images that occur twice, some ratios are off."
    assert "different images" in exercises.check_ratio(lambda samples, train: torch.ones(len(samples)))
    assert "different images" in exercises.check_ratio(lambda samples, train: torch.ones(3))


@pytest.mark.parametrize(
    ("solution", "word"),
    [
        (reached, "breaks down and comes back"),
        (lambda step, share, level: float(step[np.argmax(share >= level)]), "only rises"),
        (lambda step, share, level: np.nan, "only rises"),
    ],
)
def test_other_onsets_are_found_out(solution, word) -> None:  # type: ignore[no-untyped-def]
    assert word in exercises.check_onset(solution)
