"""Claims: complete, judged by their rule, and able to fail."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from diffnotes import __main__ as command
from diffnotes import claims, store
from diffnotes.claims import base, xu2025
from diffnotes.experiments import status
from diffnotes.store.records import Record

BOOK = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def found():
    return {checked.claim.id: checked for checked in claims.check_all(status.checked)}


def test_every_claim_has_either_a_check_or_a_verdict_with_its_reason():
    for claim in claims.claims():
        assert (claim.id in claims.CHECKS) != bool(claim.verdict), claim.id
        assert claim.rule, claim.id
        if claim.verdict:
            assert claim.verdict in (base.PENDING, base.PAPER_ONLY), claim.id
        else:
            assert (BOOK / "notebooks" / f"{claim.page}.ipynb").exists(), claim.id
    assert set(claims.CHECKS) <= {claim.id for claim in claims.claims()}


def test_verdicts_are_the_five_words(found):
    assert {checked.verdict for checked in found.values()} <= set(claims.VERDICTS)


def test_every_checked_claim_has_its_record_pinned(found):
    pinned = {entry.key for entry in store.index()}
    for name in claims.CHECKS:
        assert found[name].record in pinned, f"{name}: {found[name].finding.our_value}"


def test_claims_that_hold_exactly_are_reproduced(found):
    toy = ("kaiser-toy-bump", "kaiser-toy-delta", "kaiser-toy-contour")
    for name in (*toy, "ours-area-digits", "ours-area-cifar10"):
        assert found[name].verdict == base.REPRODUCED, found[name].finding


def test_a_claim_without_its_record_is_pending_and_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("DIFFNOTES_ROOT", str(tmp_path))
    checked = {c.claim.id: c for c in claims.check_all(status.checked)}["ours-area-cifar10"]
    assert (checked.verdict, checked.finding.our_value) == (base.PENDING, "no record yet")


class Fake(Record):
    """A record made of given arrays."""

    def __init__(self, **arrays):
        super().__init__(Path(), {})
        self.__dict__["arrays"] = {name: np.asarray(value) for name, value in arrays.items()}


def test_a_wrong_area_is_not_reproduced():
    good = Fake(area=10.82, area_stderr=0.01, n=50_000)
    bad = Fake(area=11.5, area_stderr=0.01, n=50_000)
    assert xu2025._cifar_area(good).verdict == base.REPRODUCED
    assert xu2025._cifar_area(bad).verdict == base.FAILED


def test_a_curve_that_falls_is_only_partly_right():
    sigma, spread = np.array([0.01, 1.0, 80.0]), np.full(3, 1e-4)
    rising = Fake(sigma=sigma, mean=[0.0, 0.5, 0.999], stderr=spread, variance=1.0)
    falling = Fake(sigma=sigma, mean=[0.0, 1.5, 0.999], stderr=spread, variance=1.0)
    assert xu2025._shape(rising).verdict == base.REPRODUCED
    assert xu2025._shape(falling).verdict == base.PARTLY


def test_the_command_prints_what_the_design_promises(capsys):
    assert command.main(["claims", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    names = {
        "id",
        "paper",
        "statement",
        "paper_value",
        "our_value",
        "interval",
        "verdict",
        "figure",
        "record",
    }
    assert all(names <= set(row) for row in rows)
