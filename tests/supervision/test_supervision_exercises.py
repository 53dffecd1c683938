"""The checks of chapter 2's exercises: they take the right answer, and no other."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from diffnotes.chapters.supervision import exercises


def right(z: Tensor, t: float, known: Tensor, width: float) -> Tensor:
    off = torch.cdist(z, (1 - t) * known) - t * z.shape[1] ** 0.5
    return off.abs().amin(1) <= t * width


def inside_the_ball(z: Tensor, t: float, known: Tensor, width: float) -> Tensor:
    return torch.cdist(z, (1 - t) * known).amin(1) <= t * (z.shape[1] ** 0.5 + width)


def of_the_nearest(z: Tensor, t: float, known: Tensor, width: float) -> Tensor:
    off = torch.cdist(z, (1 - t) * known).amin(1) - t * z.shape[1] ** 0.5
    return off.abs() <= t * width


def test_stubs_are_not_solved_yet() -> None:
    assert exercises.check_supervised(lambda z, t, known, width: None) == exercises.UNSOLVED
    assert exercises.check_meeting(lambda distance: None) == exercises.UNSOLVED


def test_right_answers_are_right() -> None:
    assert exercises.check_supervised(right).startswith("Right: at t = 0.2")
    found = exercises.check_meeting(lambda distance: distance / (distance + math.sqrt(8 * math.log(2))))
    assert found.startswith("Right: ")
    assert "0.95" in found


@pytest.mark.parametrize(
    ("meeting", "word"),
    [
        (lambda distance: 0.5, "the overlap is"),
        (lambda distance: distance / (distance + math.sqrt(2 * math.log(2))), "not 1/2"),
        (lambda distance: 1.2, "between 0 and 1"),
        (lambda distance: float("nan"), "between 0 and 1"),
    ],
)
def test_other_answers_are_found_out(meeting, word) -> None:  # type: ignore[no-untyped-def]
    assert word in exercises.check_meeting(meeting)


@pytest.mark.parametrize(
    ("supervised", "word"),
    [
        (lambda z, t, known, width: right(z, t, known, 2 * width), "are wrong"),
        (lambda z, t, known, width: right(z, t, known / (1 - t), width), "are wrong"),
        (inside_the_ball, "are wrong"),
        (of_the_nearest, "are wrong"),
        (lambda z, t, known, width: right(z, t, known, width).float(), "truth values"),
    ],
)
def test_other_regions_are_found_out(supervised, word) -> None:  # type: ignore[no-untyped-def]
    assert word in exercises.check_supervised(supervised)
