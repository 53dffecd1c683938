"""The book's records, and a faked paper record of one sweep beside them: nothing mixes the two."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from diffnotes import store
from diffnotes.base import files
from diffnotes.base.errors import UserError
from diffnotes.chapters import checks as base
from diffnotes.chapters import checks as claims
from diffnotes.chapters.gap import claims as kaiser2026_networks
from diffnotes.chapters.loss_floor import claims as xu2025
from diffnotes.chapters.memorization import cifar, figures, tables

ROOT = Path(__file__).resolve().parents[2]


def valid(record: store.Record) -> store.Record:
    """The record as if it held: no twin is recomputed here."""
    return replace(record, state="valid")


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    """A copy of the records, and beside the laptop sweeps of cifar a paper record of the sweep over n."""
    root = tmp_path_factory.mktemp("book")
    shutil.copytree(ROOT / "results", root / "results")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DIFFNOTES_ROOT", str(root))
        fake_paper_sweep()
        yield root


def fake_paper_sweep() -> None:
    """The laptop record with one seed, other sizes, and the paper profile's settings."""
    laptop = store.best(cifar.EXPERIMENT, {"sweep": "n"})
    spec = cifar.EXPERIMENT.profiles["paper"].replace(sweep="n")
    shape = laptop["onset"].shape[:2]  # [value, seed]
    arrays = {name: a[:, :1] if a.shape[:2] == shape else a for name, a in laptop.arrays.items()}
    arrays["value"] = laptop["value"] * 32
    data = files.npz_bytes(arrays)
    name = store.key(cifar.EXPERIMENT, spec, laptop.meta["data"])
    changed = {"key": name, "profile": "paper", "spec": spec.as_dict(), "digest": files.sha256_bytes(data)}
    folder = store.results() / "cifar" / name
    meta = laptop.meta | changed | {"arrays": store.records._described(arrays)}
    store.records.put(folder, meta | {"seal": store.records._seal(meta)}, data)
    digest = files.sha256_file(folder / "record.json")
    entry = store.Entry("cifar", "paper", {"sweep": "n"}, name, digest)
    store.entries.write_index([*store.index(), entry])


def sweeps() -> list[store.Record]:
    return store.load_all(
        cifar.EXPERIMENT, "pinned", [{"sweep": name} for name in ("n", "width", "batch", "rate")]
    )


def test_the_sweeps_of_a_chapter_stay_of_one_profile(book, monkeypatch):
    monkeypatch.setattr(store, "checked", lambda record, experiment: valid(record))
    n, *others = found = sweeps()
    assert {record.profile for record in found} == {"laptop"}
    assert n.note.startswith("A paper record of cifar (sweep n) is pinned too; it is not shown here")
    page = figures.factor_sweeps(n, others[0])._repr_html_()
    assert n.note in page
    assert "profile paper" not in page
    alone = store.load(cifar.EXPERIMENT, sweep="n")
    assert alone.profile == "paper"
    for mixed in (figures.factor_sweeps, tables.sweep_table):
        with pytest.raises(UserError, match="cifar records of the profiles paper and laptop"):
            mixed(alone, others[0])


def test_claims_take_companions_of_the_profile_they_judge(book):
    before = json.loads((ROOT / "results" / "index.json").read_text())["records"]
    assert len(before) + 1 == len(store.index())
    found = {checked.claim.id: checked for checked in claims.check_all(valid)}
    laptop = {e.key for e in store.index() if e.profile == "laptop"}
    for factor in ("width-onset", "batch-fidelity", "rate-fidelity"):
        checked = found[f"marion-{factor}-cifar"]
        assert checked.record in laptop
        assert checked.verdict != base.PENDING
    assert store.best("cifar", {"sweep": "n"}).profile == "paper"
    assert found["marion-copies-cifar"].record in laptop  # what the page shows, beside the other sweeps


def test_claims_without_their_companion_are_pending(book, monkeypatch):
    paper = store.best("cifar", {"sweep": "n"})
    only = [entry for entry in store.index() if entry.key == paper.key or entry.profile != "laptop"]
    wide = next(e for e in store.index() if (e.experiment, e.shown) == ("cifar", {"sweep": "width"}))
    monkeypatch.setattr(store, "index", lambda: [*only, wide])
    found = {checked.claim.id: checked for checked in claims.check_all(valid)}["marion-width-onset-cifar"]
    assert found.verdict == base.PENDING
    assert found.finding.our_value == "no laptop record of cifar (sweep n) yet, which it needs beside its own"
    beside = store.Record(Path(), {"experiment": "digits_gap", "profile": "paper"})
    with pytest.raises(UserError, match=r"no paper record of digits_gap \(n 600, width 54\) yet"):
        kaiser2026_networks._run(beside, 600, 54)
    with pytest.raises(UserError, match=r"no paper record of loss_curve \(dataset cifar10\) yet"):
        xu2025._order(store.Record(Path(), {"experiment": "loss_curve", "profile": "paper"}))


def test_a_misspelt_setting_of_a_claim_is_no_other_record():
    claim = base.Claim("x", "p", "s", "v", "r", experiment="loss_curve", settings={"datset": "digits"})
    with pytest.raises(store.SpecError, match=r"unknown parameter 'datset' \(did you mean dataset\?\)"):
        base.judge(claim, xu2025.CHECKS["ours-area-digits"], valid)
