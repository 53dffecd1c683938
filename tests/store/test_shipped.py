"""A fresh clone shows every page without computing a twin: what `verify` found of them comes with it."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from diffnotes import chapters, store
from diffnotes.chapters import status
from diffnotes.store import staleness

ROOT = Path(__file__).resolve().parents[2]
HERE = f"{sys.version_info.major}.{sys.version_info.minor}"


def test_no_twin_is_computed_in_a_fresh_clone(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All pinned records, so all that any page loads, without runs/ and without downloads."""
    shutil.copytree(ROOT / "results", elsewhere / "results")
    monkeypatch.setenv("DIFFNOTES_DATA", str(elsewhere / "none"))
    computed: list[str] = []

    def recompute(experiment: store.Experiment, *_: object) -> None:
        computed.append(experiment.name)
        raise AssertionError("a twin was computed")

    monkeypatch.setattr(staleness, "recompute", recompute)
    records = status.pinned()
    assert {record.experiment for record in records} == set(chapters.names())
    if not any(record.meta["python"].startswith(f"{HERE}.") for record in records):
        pytest.skip(f"nothing was verified under Python {HERE}")
    wanted = "after `python -m diffnotes verify --ship` nothing is computed"
    assert computed == [], wanted
    assert {record.state for record in records} == {"valid"}
