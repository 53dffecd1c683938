"""Every claim with a check is shown to hold and shown to fail.

`tests/<room>/cases.py` has two tables: HOLDS, from a claim's id to a function that makes a record on which it
is reproduced, and FAILS, with a record on which it is not reproduced.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from fakes import TESTS, cases

from diffnotes import chapters
from diffnotes.chapters import checks
from diffnotes.store import Record

ROOMS = [room for room in chapters.ROOMS if (TESTS / room / "cases.py").exists()]
CASES = {room: cases(room) for room in ROOMS}


def table(name: str) -> list[tuple[str, Callable[[], Record]]]:
    """All entries of HOLDS or FAILS."""
    return [entry for module in CASES.values() for entry in getattr(module, name).items()]


@pytest.mark.parametrize(("name", "make"), list(table("HOLDS")))
def test_a_claim_can_hold(name, make):
    assert checks.checks()[name](make()).verdict == checks.REPRODUCED, checks.checks()[name](make())


@pytest.mark.parametrize(("name", "make"), list(table("FAILS")))
def test_a_claim_can_fail(name, make):
    assert checks.checks()[name](make()).verdict == checks.FAILED, checks.checks()[name](make())


def test_no_claim_is_left_out():
    for name in ("HOLDS", "FAILS"):
        assert {key for key, _ in table(name)} == set(checks.checks()), name
