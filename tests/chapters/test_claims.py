"""Claims: complete, judged by their rule, and able to fail."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from diffnotes import __main__ as command
from diffnotes import store
from diffnotes.chapters import checks as base
from diffnotes.chapters import status
from diffnotes.show.tables import VERDICTS

BOOK = Path(__file__).resolve().parents[2]
CHECKS = base.checks()


@pytest.fixture(scope="module")
def found():
    return {checked.claim.id: checked for checked in base.check_all(status.checked)}


def test_every_claim_has_either_a_check_or_a_verdict_with_its_reason():
    for claim in base.claims():
        assert (claim.id in CHECKS) != bool(claim.verdict), claim.id
        assert claim.rule, claim.id
        if claim.verdict:
            assert claim.verdict in (base.PENDING, base.PAPER_ONLY), claim.id
        else:
            assert (BOOK / "notebooks" / f"{claim.page}.ipynb").exists(), claim.id
    assert set(CHECKS) <= {claim.id for claim in base.claims()}


def test_verdicts_are_the_five_words(found):
    assert {checked.verdict for checked in found.values()} <= set(base.VERDICTS)
    assert base.VERDICTS == VERDICTS  # those that are shown: `show` lies below the checks


def test_every_checked_claim_has_its_record_pinned(found):
    pinned = {entry.key for entry in store.index()}
    for name in CHECKS:
        assert found[name].record in pinned, f"{name}: {found[name].finding.our_value}"


def test_claims_that_hold_exactly_are_reproduced(found):
    toy = ("kaiser-toy-bump", "kaiser-toy-delta", "kaiser-toy-contour")
    for name in (*toy, "ours-area-digits", "ours-area-cifar10"):
        assert found[name].verdict == base.REPRODUCED, found[name].finding


def test_a_claim_without_its_record_is_pending_and_says_so(elsewhere):
    checked = {c.claim.id: c for c in base.check_all(status.checked)}["ours-area-cifar10"]
    assert (checked.verdict, checked.finding.our_value) == (base.PENDING, "no record yet")


def test_the_command_prints_what_the_design_promises(capsys):
    assert command.main(["claims", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    names = {"id", "paper", "statement", "paper_value", "our_value", "interval", "verdict", "fixed", "state"}
    assert all({*names, "figure", "record"} <= set(row) for row in rows)


# --- claims that cannot lie ---


def valid(record):
    return replace(record, state="valid")


def stale(record):
    return replace(record, state="stale", reason="the recomputed twin differs")


AREA = next(claim for claim in base.claims() if claim.id == "ours-area-cifar10")


def test_a_stale_record_proves_nothing(capsys, monkeypatch):
    found = base.judge(AREA, CHECKS[AREA.id], stale)
    assert (found.verdict, found.state, found.record != "") == (base.PENDING, "stale", False)
    assert found.finding.our_value == "its record is stale: the recomputed twin differs"
    assert base.judge(AREA, CHECKS[AREA.id], valid).verdict == base.REPRODUCED
    monkeypatch.setattr(status, "checked", stale)
    assert command.main(["claims", "--json"]) == 4
    rows = json.loads(capsys.readouterr().out)
    judged = [row for row in rows if row["id"] in CHECKS]
    assert {(row["verdict"], row["state"]) for row in judged} == {("pending", "stale")}
    assert command.main(["claims", "--short"]) == 4
    printed = capsys.readouterr().out  # as in the README
    assert "| reproduced |" in printed
    assert f"{len(CHECKS)} of these are pending because a record does not hold." in printed


def test_a_companion_that_is_stale_makes_pending():
    claim = next(claim for claim in base.claims() if claim.id == "marion-width-onset-digits")

    def look(record):
        return stale(record) if record.spec["sweep"] == "n" else valid(record)

    found = base.judge(claim, CHECKS[claim.id], look)
    assert (found.verdict, found.state) == (base.PENDING, "stale")


def test_every_check_is_pending_without_its_record(elsewhere):
    found = [c for c in base.check_all(valid) if c.claim.id in CHECKS]
    assert {(c.verdict, c.state) for c in found} == {(base.PENDING, "missing")}


def test_a_check_that_breaks_is_pending_and_says_why():
    def broken(record):
        return record["no such array"]

    found = base.judge(AREA, broken, valid)
    assert found.verdict == base.PENDING
    assert "could not be read off the record (KeyError: 'no such array')" in found.finding.our_value


@pytest.mark.parametrize("text", ["power nan", "0.3, nan, 0.2"])
def test_a_number_that_is_none_has_no_verdict(text):
    found = base.judge(AREA, lambda record: base.Finding(text, "", base.REPRODUCED), valid)
    assert found.verdict == base.PENDING
    named = base.judge(AREA, lambda record: base.Finding("Nantes", "", base.REPRODUCED), valid)
    assert named.verdict == base.REPRODUCED


def test_nothing_has_no_verdict():
    for empty in (lambda record: base.Finding("", "", base.verdict()), lambda record: base.every([])):
        found = base.judge(AREA, empty, valid)
        assert (found.verdict, found.finding.our_value) == (base.PENDING, "There is nothing to judge.")
    assert base.every(np.array([True, True]))
    assert not base.every([True, False])


def test_an_unknown_setting_of_a_claim_is_an_error():
    wrong = replace(AREA, settings={"datset": "digits"})
    with pytest.raises(store.SpecError, match="datset"):
        base.judge(wrong, CHECKS[AREA.id], valid)


def test_a_verdict_goes_by_its_core():
    assert base.verdict(True, True, also=[True]) == base.REPRODUCED
    assert base.verdict(True, True, also=[False]) == base.PARTLY
    assert base.verdict(True, False, also=[True]) == base.PARTLY
    assert base.verdict(False, False, also=[True, True]) == base.FAILED
    with pytest.raises(base.Nothing):
        base.verdict(also=[True])


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ('id = "kaiser-toy-bump"', 'id = "kaiser-toy-flow"', "stands there twice"),
        ('id = "kaiser-toy-bump"', 'id = "kaiser-toy-bmp"', "has no check, so its verdict is"),
        ('id = "kaiser-toy-bump"', 'id = "kaiser-toy-bump"\nverdict = "reproduced"', "has a check"),
        ('id = "kaiser-toy-bump"', 'id = "kaiser-toy-bump"\nfixed = "later"', "it is before or after"),
        ('id = "kaiser-toy-bump"', 'idea = "kaiser-toy-bump"', "cannot be read"),
        ('id = "kaiser-toy-bump"', "id = ", "cannot be read"),
    ],
)
def test_a_mistake_in_the_list_of_claims_gets_a_sentence(old, new, sentence, monkeypatch, capsys):
    read = Path.read_text

    def mistaken(path, **how):
        text = read(path, **how)
        assert path.name != "claims.toml" or path.parent.name != "toy" or old in text
        return text.replace(old, new, 1)

    monkeypatch.setattr(Path, "read_text", mistaken)
    assert command.main(["claims", "--json"]) == 2
    printed = capsys.readouterr().err
    assert sentence in printed
    assert len(printed.strip().splitlines()) == 1


def test_settings_that_fit_several_records_are_an_error():
    claim = next(claim for claim in base.claims() if claim.id == "kaiser-net-growth")
    with pytest.raises(store.SpecError, match="4 records of digits_gap fit"):
        base.judge(replace(claim, settings={}), CHECKS[claim.id], valid)
