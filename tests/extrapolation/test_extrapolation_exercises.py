"""The check of chapter 2's second exercise takes the right answer, and no other."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from diffnotes.chapters.extrapolation import exercises


def weights(z: Tensor, t: float, score: Tensor) -> Tensor:
    return torch.softmax(-(torch.cdist(z, (1 - t) * score) ** 2) / (2 * t**2), 1).double()


def drawn(z: Tensor, t: float, score: Tensor, uniform: Tensor) -> Tensor:
    places = torch.searchsorted(weights(z, t, score).cumsum(1), uniform[:, None])[:, 0]
    return score[places.clamp(max=len(score) - 1)]


def test_a_stub_is_not_solved_yet() -> None:
    assert exercises.check_target(lambda z, t, score, uniform: None) == exercises.UNSOLVED


def test_the_right_answer_is_right() -> None:
    assert exercises.check_target(drawn).startswith("Right: ")


@pytest.mark.parametrize(
    ("target", "word"),
    [
        (lambda z, t, score, uniform: (weights(z, t, score) @ score.double()).float(), "points of `score`"),
        (lambda z, t, score, uniform: score[(uniform * len(score)).long()], "not the exact posterior mean"),
        (lambda z, t, score, uniform: drawn(z, 2 * t / 3, score, uniform), "not the exact posterior mean"),
        (lambda z, t, score, uniform: score[weights(z, t, score).argmax(1)], "not the exact posterior mean"),
        (lambda z, t, score, uniform: score[:1], "one for each row"),
    ],
)
def test_other_answers_are_found_out(target, word) -> None:  # type: ignore[no-untyped-def]
    assert word in exercises.check_target(target)
