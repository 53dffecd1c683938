"""The check of chapter 2's first exercise takes the right answer, and no other."""

from __future__ import annotations

import math

import pytest

from diffnotes.chapters.supervision import exercises


def test_a_stub_is_not_solved_yet() -> None:
    assert exercises.check_meeting(lambda distance: None) == exercises.UNSOLVED


def test_the_right_answer_is_right() -> None:
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
