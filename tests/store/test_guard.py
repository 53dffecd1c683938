"""What the guard must not miss: other data, records and packages, twins that lie, pins to be refused."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
from dataclasses import replace

import numpy as np
import pytest
import small
from small import EXPERIMENT

from diffnotes import store
from diffnotes.base import files, terminal
from diffnotes.base.errors import UserError
from diffnotes.store import memory, records, staleness

KEY = "0123456789abcdef"
pytestmark = pytest.mark.usefixtures("elsewhere", "committed")


@pytest.fixture
def pinned():
    return store.pin(EXPERIMENT, store.run(EXPERIMENT, "laptop", kind="x").key)


@pytest.fixture
def other_code(monkeypatch):
    """The code of another commit, by its digest."""
    monkeypatch.setattr(staleness, "code_digest", lambda experiment: "other code")
    monkeypatch.setattr(store, "code_digest", lambda experiment: "other code")


def doubled(spec, work):
    arrays = small.compute(spec, work)
    return {**arrays, "values": 2 * arrays["values"]}


def twin_folder():
    [entry] = [e for e in store.index() if e.profile == "smoke"]
    return entry.folder


# --- twins ---


def nan(spec, work):
    arrays = small.compute(spec, work)
    return {**arrays, "values": np.where(arrays["values"] > 1, np.nan, arrays["values"])}


@pytest.mark.parametrize("change", [doubled, nan])
def test_a_twin_that_differs_makes_stale(pinned, other_code, change):
    found = store.state(pinned, replace(EXPERIMENT, compute=change))
    assert (found.name, "twin differs: values was" in found.reason) == ("stale", True)


def broken(spec, work):
    raise KeyError("sheet")


def test_a_twin_that_raises_makes_its_row_stale_and_no_other(pinned, other_code):
    failing = replace(EXPERIMENT, compute=broken)
    found = store.state(pinned, failing)
    assert found.name == "stale"
    assert "the twin smoke cannot be recomputed (KeyError: 'sheet')" in found.reason
    assert store.verify(failing).name == "stale"
    assert store.state(pinned, EXPERIMENT).name == "valid"  # nothing was remembered of it


def test_a_twin_of_other_code_does_not_speak_for_an_old_record(pinned, other_code):
    """Changed code makes the record stale. Pinning the new code's twin must not make it valid again."""
    new = replace(EXPERIMENT, compute=doubled)
    assert store.state(pinned, new).name == "stale"
    store.pin(new, store.run(new, "smoke").key)
    found = store.state(store.best(new, {"kind": "x"}), new)
    assert (found.name, "no twin smoke speaks for it" in found.reason) == ("stale", True)
    assert store.verify(new).name == "valid"


def test_records_that_hold_go_on_with_a_new_twin(pinned):
    """The settings of a twin may change: what held under the old one holds under the new one."""
    profiles = {**EXPERIMENT.profiles, "smoke": small.SmallSpec(n=5), "smoke_more": small.SmallSpec(n=4)}
    new = replace(EXPERIMENT, profiles=profiles)
    assert store.verify(new).name == "stale"
    for twin in ("smoke", "smoke_more"):
        store.pin(new, store.run(new, twin).key)
    assert store.verify(new).name == "valid"
    [entry] = [e for e in store.index() if e.profile == "laptop"]
    assert set(entry.twins) == {"smoke", "smoke_more"}
    assert store.state(entry.read(), new).name == "valid"


def test_every_twin_is_compared(pinned, other_code):
    profiles = {**EXPERIMENT.profiles, "smoke_y": small.SmallSpec(kind="y")}
    both = replace(EXPERIMENT, profiles=profiles)
    store.pin(both, store.run(both, "smoke_y").key)

    def only_y(spec, work):
        return doubled(spec, work) if spec.kind == "y" else small.compute(spec, work)

    assert store.verify(replace(both, compute=only_y)).name == "stale"
    [entry] = [e for e in store.index() if e.profile == "laptop"]
    assert store.state(entry.read(), replace(both, compute=only_y)).name == "stale"


def test_an_unpinned_record_of_other_code_is_computed_again(monkeypatch):
    first = store.run(EXPERIMENT, "laptop", n=8)["values"]
    monkeypatch.setattr(staleness, "code_digest", lambda experiment: "other code")
    monkeypatch.setattr(store, "code_digest", lambda experiment: "other code")
    again = store.run(replace(EXPERIMENT, compute=doubled), "laptop", n=8)
    np.testing.assert_array_equal(again["values"], 2 * first)


def test_a_twin_that_the_index_no_longer_names_is_missed(pinned, other_code):
    index = store.results() / "index.json"
    content = json.loads(index.read_text())
    for line in content["records"]:
        line["twins"] = {}
    index.write_text(json.dumps(content))
    found = store.state(store.best(EXPERIMENT, {"kind": "x"}), EXPERIMENT)
    assert (found.name, "no twin smoke speaks for it" in found.reason) == ("stale", True)


# --- data, records and packages ---


def test_other_data_make_stale(pinned):
    with_data = replace(EXPERIMENT, data=lambda spec: {"digits": "abc"})
    record = store.pin(with_data, store.run(with_data, "laptop", kind="x").key)
    assert store.state(record, with_data).name == "valid"
    changed = replace(with_data, data=lambda spec: {"digits": "abd"})
    found = store.state(record, changed)
    assert (found.name, found.reason) == ("stale", "digits: other data than those it was computed from")
    assert store.load(changed, "smoke").state == "stale"  # when it is looked up, too
    unpinned = store.run(with_data, "laptop", n=9)
    assert store.load(changed, "laptop", n=9).key != unpinned.key


def missing(spec):
    raise UserError("CIFAR-10 is not here.")


def test_data_that_are_not_on_disk_are_not_compared(pinned):
    with_data = replace(EXPERIMENT, data=lambda spec: {"digits": "abc"})
    record = store.pin(with_data, store.run(with_data, "laptop", kind="x").key)
    assert store.state(record, replace(with_data, data=missing)).name == "valid"


def test_a_record_it_stands_on_that_was_pinned_anew_makes_stale(pinned):
    data = replace(EXPERIMENT, data=lambda spec: {"digits": "abc"})
    standing = replace(data, inputs=lambda spec: {"features": "weights 1"})
    record = store.pin(standing, store.run(standing, "laptop", kind="x").key)
    assert record.meta["inputs"] == {"features": "weights 1"}
    again = replace(standing, inputs=lambda spec: {"features": "weights 2"})
    assert store.state(record, again).name == "stale"
    assert store.state(record, replace(again, data=missing)).name == "stale"  # without the data, too
    assert store.run(again, "laptop", kind="x").key != record.key


def test_a_record_it_stands_on_that_is_gone_makes_stale(pinned):
    standing = replace(EXPERIMENT, inputs=lambda spec: {"features": "weights 1"})
    record = store.pin(standing, store.run(standing, "laptop", kind="x").key)
    found = store.state(record, replace(standing, inputs=missing))
    assert (found.name, "stands on does not hold: CIFAR-10 is not here." in found.reason) == ("stale", True)


def test_other_packages_are_settled_by_the_twin(monkeypatch):
    monkeypatch.setattr(staleness, "code_digest", lambda experiment: "one code")
    monkeypatch.setattr(store, "code_digest", lambda experiment: "one code")
    pinned = store.pin(EXPERIMENT, store.run(EXPERIMENT, "laptop", kind="x").key)
    monkeypatch.setattr(records, "packages", lambda: {**pinned.meta["packages"], "numpy": "99.0"})
    found = store.state(pinned, EXPERIMENT)
    assert (found.name, found.reason) == ("valid", "the packages have changed; the recomputed twin is equal")
    assert store.state(pinned, replace(EXPERIMENT, compute=doubled)).name == "valid"  # remembered by digest
    monkeypatch.setattr(records, "packages", lambda: {**pinned.meta["packages"], "numpy": "99.1"})
    assert store.state(pinned, replace(EXPERIMENT, compute=doubled)).name == "stale"


def packages_of_another_machine(monkeypatch):
    versions = {**records.packages(), "torch": "99.0"}
    monkeypatch.setattr(records, "packages", lambda: versions)


def test_a_record_of_other_packages_needs_a_twin_of_the_same(monkeypatch):
    with monkeypatch.context() as patch:
        packages_of_another_machine(patch)
        record = store.run(EXPERIMENT, "laptop", kind="x")
    store.pin(EXPERIMENT, store.run(EXPERIMENT, "smoke").key)
    with pytest.raises(store.Refused, match="no twin smoke of that code is here"):
        store.pin(EXPERIMENT, record.key)


def test_no_run_is_continued_with_other_packages(monkeypatch):
    with monkeypatch.context() as patch:
        packages_of_another_machine(patch)
        with pytest.raises(store.Unfinished):
            store.run(replace(EXPERIMENT, compute=doubled), "laptop", max_seconds=1e-9)

    def spent(work):
        assert not work.folder.exists(), "continued"
        return 0.0

    monkeypatch.setattr(store, "_spent", spent)
    store.run(replace(EXPERIMENT, compute=doubled), "laptop")


def test_precision_is_part_of_record_and_key():
    assert store.run(EXPERIMENT, "smoke").meta["precision"] == "float32"
    assert store.run(replace(EXPERIMENT, precision="float64"), "laptop").meta["precision"] == "float64"
    from diffnotes.chapters.memorization import cifar

    paper, laptop = cifar.EXPERIMENT.profiles["paper"], cifar.EXPERIMENT.profiles["laptop"]
    assert paper.precision == "bfloat16"
    assert store.key(cifar.EXPERIMENT, laptop, {}) != store.key(
        cifar.EXPERIMENT, laptop.replace(precision="bfloat16"), {}
    )
    assert "precision" not in laptop.identity()  # so that records from before it keep their keys


# --- what is remembered ---


def test_verify_corrects_what_status_remembers(pinned, other_code):
    assert store.state(pinned, EXPERIMENT).name == "valid"
    patched = replace(EXPERIMENT, compute=doubled)  # by a dependency: the digest of the code is the same
    assert store.state(pinned, patched).name == "valid"
    assert store.verify(patched).name == "stale"
    assert store.state(pinned, patched).name == "stale"
    assert store.verify(EXPERIMENT).name == "valid"
    assert store.state(pinned, EXPERIMENT).name == "valid"


def test_verify_corrects_a_record_of_the_very_code(monkeypatch):
    monkeypatch.setattr(staleness, "code_digest", lambda experiment: "one code")
    monkeypatch.setattr(store, "code_digest", lambda experiment: "one code")
    pinned = store.pin(EXPERIMENT, store.run(EXPERIMENT, "laptop", kind="x").key)
    assert store.state(pinned, EXPERIMENT).reason == "the code is the one that made it"
    assert store.verify(replace(EXPERIMENT, compute=doubled)).name == "stale"
    assert store.state(pinned, EXPERIMENT).name == "stale"


def test_damage_is_never_remembered(pinned, other_code):
    path = twin_folder() / "arrays.npz"
    whole = path.read_bytes()
    path.write_bytes(whole[:-5])
    assert store.state(pinned, EXPERIMENT).name == "stale"
    assert store.verify(EXPERIMENT).name == "stale"
    path.write_bytes(whole)
    assert store.state(pinned, EXPERIMENT).name == "valid"


@pytest.mark.parametrize("name", ["numpy", "torch"])
def test_the_memory_is_of_one_environment(pinned, other_code, monkeypatch, name):
    assert store.verify(replace(EXPERIMENT, compute=doubled)).name == "stale"
    versions = {**records.packages(), name: "99.0"}
    monkeypatch.setattr(records, "packages", lambda: versions)
    assert store.state(pinned, EXPERIMENT).name == "valid"


def test_the_memory_is_of_one_choice_of_features(pinned, other_code, monkeypatch):
    monkeypatch.setenv("DIFFNOTES_FEATURES", "inception")
    assert store.verify(replace(EXPERIMENT, compute=doubled)).name == "stale"
    monkeypatch.delenv("DIFFNOTES_FEATURES")
    assert store.state(pinned, EXPERIMENT).name == "valid"


@pytest.mark.parametrize(
    "content", ["5", "[1]", "{", "null", '"x"', "{}", "[" * 100_000, '{"a": 1}', '{"a": ["tampered", "x"]}']
)
def test_a_damaged_memory_is_none(pinned, other_code, content):
    files.write_atomic(store.runs() / "verified.json", content.encode())
    assert store.state(pinned, EXPERIMENT).name == "valid"
    assert memory.recall("a") is None


def test_a_line_that_contradicts_itself_is_none():
    files.write_atomic(store.runs() / "verified.json", b'{"a": ["valid", "the recomputed twin differs"]}')
    assert memory.recall("a") is None


def test_where_nothing_can_be_written_the_truth_is_shown(pinned, other_code, monkeypatch, elsewhere):
    write = files.write_atomic

    def refused(path, data):
        if elsewhere in path.parents:
            raise UserError(f"Cannot write {path}: Permission denied.")
        write(path, data)

    monkeypatch.setattr(files, "write_atomic", refused)
    assert store.state(pinned, EXPERIMENT).name == "valid"
    assert store.state(pinned, replace(EXPERIMENT, compute=doubled)).name == "stale"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere; the test above stands for it")
def test_a_read_only_folder(pinned, other_code, elsewhere):
    os.chmod(elsewhere / "runs", stat.S_IRUSR | stat.S_IXUSR)
    assert store.state(pinned, EXPERIMENT).name == "valid"


def test_a_file_in_the_place_of_runs(pinned, other_code, elsewhere):
    import shutil

    shutil.rmtree(elsewhere / "runs")
    (elsewhere / "runs").write_text("")
    assert store.state(pinned, EXPERIMENT).name == "valid"


def test_lines_that_are_shipped_serve_a_fresh_clone(pinned, other_code, monkeypatch):
    assert store.verify(EXPERIMENT).name == "valid"
    store.ship([EXPERIMENT])
    (store.runs() / "verified.json").unlink()
    monkeypatch.setattr(staleness, "recompute", lambda *_: pytest.fail("recomputed"))
    assert store.state(pinned, EXPERIMENT).name == "valid"


# --- pins ---


def rewritten(record, **changes):
    """The same record with other words in its record.json, which somebody sealed again."""
    meta = record.meta | changes
    meta["seal"] = records._seal(meta)
    files.write_atomic(record.folder / "record.json", json.dumps(meta).encode())
    return record


def test_a_smoke_record_with_settings_of_its_own_is_no_twin(pinned):
    before = twin_folder()
    record = store.run(EXPERIMENT, "smoke", seed=7)
    with pytest.raises(store.Refused, match="so it is no twin of small"):
        store.pin(EXPERIMENT, record.key)
    assert twin_folder() == before
    assert store.state(pinned, EXPERIMENT).name == "valid"


def test_a_record_of_another_experiment_is_refused():
    record = store.run(replace(EXPERIMENT, name="another"), "laptop", kind="x")
    target = store.runs() / "small" / record.key
    target.parent.mkdir(parents=True, exist_ok=True)
    record.folder.rename(target)
    with pytest.raises(store.Refused, match="is of another, version 1, not of small"):
        store.pin(EXPERIMENT, record.key)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"spec": None}, "no valid 'spec'"),
        ({"version": "1"}, "no valid 'version'"),
        ({"code": 3}, "no valid 'code'"),
        ({"version": 2}, "is of small, version 2, not of small, version 1"),
        ({"spec": {"n": 7, "frobnicate": 1}}, "settings that small does not take"),
        ({"settings": {"n": 4}}, "not the profile laptop as it stands"),
        ({"profile": "gigantic"}, "settings that small does not take"),
        ({"data": {"digits": "other"}}, "not the key of what its record.json says"),
        ({"key": KEY}, f"is that of record {KEY}"),
        ({"dirty": True}, "uncommitted changes in diffnotes/"),
        ({"code": KEY}, "no twin smoke of that code is here"),
    ],
)
def test_a_record_that_is_not_what_it_says_is_refused(changes, sentence):
    record = rewritten(store.run(EXPERIMENT, "laptop", kind="x"), **changes)
    with pytest.raises(UserError, match=sentence) as caught:
        store.pin(EXPERIMENT, record.folder.name)
    assert "\n" not in str(caught.value)
    assert not (store.results() / "index.json").exists()


def test_a_moved_record_is_refused():
    record = store.run(EXPERIMENT, "laptop", kind="x")
    record.folder.rename(record.folder.with_name(KEY))
    with pytest.raises(store.Tampered, match="is that of record"):
        store.pin(EXPERIMENT, KEY)


def test_an_edited_record_is_seen_without_any_index():
    record = store.run(EXPERIMENT, "laptop", n=8)
    files.write_atomic(record.folder / "record.json", json.dumps(record.meta | {"seconds": 0.0}).encode())
    with pytest.raises(store.Tampered, match="is not what was recorded"):
        records.read(record.folder)
    assert store.run(EXPERIMENT, "laptop", n=8).meta["seconds"] == records.read(record.folder).meta["seconds"]


def test_changed_arrays_are_refused():
    record = store.run(EXPERIMENT, "laptop", kind="x")
    (record.folder / "arrays.npz").write_bytes(files.npz_bytes({"values": np.zeros(7)}))
    with pytest.raises(store.Tampered):
        store.pin(EXPERIMENT, record.key)


def test_a_record_from_outside_a_checkout_needs_the_code_that_is_committed_here(monkeypatch):
    made = rewritten(store.run(EXPERIMENT, "laptop", kind="x"), commit=None, dirty=None)
    assert store.pin(EXPERIMENT, made.key).pinned
    monkeypatch.setattr(records, "commit", lambda: {"commit": "0" * 40, "dirty": True})
    with pytest.raises(store.Refused, match="outside a git checkout"):
        store.pin(EXPERIMENT, made.key)


def test_a_record_of_other_code_is_pinned_with_the_twin_of_that_code(monkeypatch):
    """As with a record that comes back from a rented machine after a harmless change here."""
    record, twin = (store.run(EXPERIMENT, profile) for profile in ("laptop", "smoke"))
    monkeypatch.setattr(staleness, "code_digest", lambda experiment: "other code")
    assert store.pin(EXPERIMENT, record.key).pinned
    assert twin_folder().name == twin.key
    assert store.state(store.best(EXPERIMENT, {"kind": "x"}), EXPERIMENT).name == "valid"


def test_a_record_whose_twin_no_longer_holds_is_refused(monkeypatch):
    record, _ = (store.run(EXPERIMENT, profile) for profile in ("laptop", "smoke"))
    monkeypatch.setattr(staleness, "code_digest", lambda experiment: "other code")
    with pytest.raises(store.Refused, match="its twin smoke no longer holds"):
        store.pin(replace(EXPERIMENT, compute=doubled), record.key)


# --- the commit ---


def test_the_commit_is_that_of_the_package_whatever_git_is_told(monkeypatch, elsewhere):
    monkeypatch.undo()
    before = records.commit()
    monkeypatch.setenv("GIT_DIR", str(elsewhere / "git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(elsewhere))
    assert records.commit() == before


def test_files_that_git_is_told_not_to_show_are_changes(monkeypatch, elsewhere):
    monkeypatch.undo()
    asked = []
    monkeypatch.setattr(records, "_git", lambda *words: asked.append(words) or "x")
    assert records.commit() == {"commit": "x", "dirty": True}
    assert ("status", "--porcelain", "--untracked-files=all", "--", "diffnotes") in asked


def test_a_slow_or_absent_git_costs_no_result(monkeypatch):
    monkeypatch.undo()
    odd = UnicodeDecodeError("utf-8", b"", 0, 1, "")
    for error in (subprocess.TimeoutExpired("git", 20), FileNotFoundError("git"), odd):

        def run(*_, raised=error, **__):
            raise raised

        monkeypatch.setattr(subprocess, "run", run)
        assert records.commit() == {"commit": os.environ.get("DIFFNOTES_COMMIT"), "dirty": None}


FAULTS = {
    "an owner that git does not trust": subprocess.CalledProcessError(
        128, "git", stderr="fatal: detected dubious ownership in '/x'\nTo add an exception, call:\n"
    ),
    "too slow": subprocess.TimeoutExpired("git", 20),
    "absent": FileNotFoundError(2, "No such file or directory", "git"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_git_refuses_is_told_before_the_computation_and_by_pin(fault, monkeypatch, capsys, tmp_path):
    monkeypatch.undo()
    root = tmp_path / "checkout"
    (root / ".git").mkdir(parents=True)
    monkeypatch.setenv("DIFFNOTES_ROOT", str(root))
    monkeypatch.setattr(records, "CHECKOUT", root)
    monkeypatch.setattr(terminal, "_said", set())

    def git(*_):
        raise FAULTS[fault]

    monkeypatch.setattr(records, "_git", git)
    word = {"too slow": "timed out", "absent": "No such file"}.get(fault, "dubious ownership .* To add an")
    record = store.run(EXPERIMENT, "smoke")
    assert re.search(f"^The record will name no commit, .*{word}.*\n$", capsys.readouterr().err)
    monkeypatch.setattr(staleness, "code_digest", lambda experiment: "other code")
    with pytest.raises(store.Refused, match=f"git does not say which commit this is .*{word}"):
        store.pin(EXPERIMENT, record.key)


def test_outside_a_git_checkout_there_is_nothing_to_tell(monkeypatch, elsewhere):
    monkeypatch.setattr(records, "CHECKOUT", elsewhere)
    assert records.why_no_commit() == ""
