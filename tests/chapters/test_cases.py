"""Every claim with a check is shown to hold and shown to fail.

`tests/<room>/cases.py` has two tables: HOLDS, from a claim's id to a function that makes a record on which it
is reproduced, and FAILS, with a record on which it is not reproduced.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from diffnotes import chapters
from diffnotes.chapters import checks
from diffnotes.store import Record

TESTS = Path(__file__).resolve().parents[1]


def cases(room: str) -> ModuleType:
    """The cases of a room."""
    spec = importlib.util.spec_from_file_location(f"{room}_cases", TESTS / room / "cases.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


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
