"""Specs, keys, records, pins, slices, staleness: with a small experiment in a folder of its own."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from small import EXPERIMENT, SmallSpec, compute

from diffnotes import store
from diffnotes.base import files
from diffnotes.base.errors import UserError
from diffnotes.store import staleness

pytestmark = pytest.mark.usefixtures("elsewhere", "committed")


@pytest.fixture
def pinned():
    return store.pin(EXPERIMENT, store.run(EXPERIMENT, "laptop", kind="x").key)


# --- specs ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"m": 1}, "unknown parameter 'm'"),
        ({"facto": 1.0}, "did you mean factor"),
        ({"n": 3.5}, "n must be a whole number from 1 to 100; not 3.5."),
        ({"n": True}, "n must be a whole number from 1 to 100; not True."),
        ({"n": 0}, "n must be a whole number from 1 to 100; not 0."),
        ({"factor": "abc"}, "factor must be a number of at least 0; not 'abc'."),
        ({"factor": float("nan")}, "factor must be a number of at least 0; not nan."),
        ({"factor": -1}, "factor must be a number of at least 0; not -1."),
        ({"kind": "z"}, "kind must be one of x, y; not 'z'."),
        ({"many": ()}, "many must be a tuple of numbers of at least 0; not ()."),
        ({"many": (1.0, -2.0)}, "many must be a tuple of numbers of at least 0; not (1.0, -2.0)."),
        ({"both": 1}, "both must be True or False; not 1."),
    ],
)
def test_a_wrong_setting_gets_one_sentence_with_the_valid_values(given, sentence):
    with pytest.raises(store.SpecError) as caught:
        store.request(EXPERIMENT, "smoke", given)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_wrong_profile_lists_the_profiles():
    with pytest.raises(
        store.SpecError, match="profile must be one of pinned, smoke, laptop, paper; not 'papr'"
    ):
        store.request(EXPERIMENT, "papr", {})


def test_specs_take_json_values_and_normalise_them():
    spec = SmallSpec(factor=2, many=[1, 2])
    assert spec.factor == 2.0
    assert isinstance(spec.factor, float)
    assert spec.many == (1.0, 2.0)
    assert SmallSpec(**spec.as_dict()) == spec


def test_set_reads_numbers_tuples_and_words():
    assert SmallSpec.parse("n", "4") == 4
    assert SmallSpec.parse("many", "(1,2.5)") == (1, 2.5)
    assert SmallSpec.parse("many", "2") == (2,)
    assert SmallSpec.parse("kind", "y") == "y"
    assert SmallSpec.parse("n", "four") == "four"
    with pytest.raises(store.SpecError, match="unknown parameter"):
        SmallSpec.parse("q", "4")


# --- keys and records -----------------------------------------------------------------------------


def test_the_key_follows_every_setting_the_version_and_the_data():
    spec = EXPERIMENT.profiles["smoke"]
    changes = [spec.replace(n=4), spec.replace(factor=1.25), spec.replace(both=False), spec.replace(seed=1)]
    keys = {store.key(EXPERIMENT, s, {}) for s in [spec, *changes]}
    keys.add(store.key(replace(EXPERIMENT, version=2), spec, {}))
    keys.add(store.key(EXPERIMENT, spec, {"digits": "abc"}))
    assert len(keys) == 7
    assert store.key(EXPERIMENT, spec.replace(n=spec.n), {}) == store.key(EXPERIMENT, spec, {})


def test_a_record_says_who_made_it():
    record = store.run(EXPERIMENT, "smoke")
    np.testing.assert_array_equal(record["values"], [0.0, 1.5, 3.0])
    assert {"commit", "dirty", "created", "device", "seconds", "packages", "python", "digest", "code"} <= set(
        record.meta
    )
    assert record.key in record.provenance()
    assert "not pinned" in record.provenance()
    assert "seed 0 ·" in record.provenance()
    several = store.Record(record.folder, record.meta | {"spec": {"seeds": [0, 1, 2]}})
    assert "seeds 0, 1, 2 ·" in several.provenance()


def test_slices_give_what_one_run_gives_and_lose_nothing(monkeypatch):
    whole = store.run(EXPERIMENT, "laptop")
    clock = iter(range(10_000))
    monkeypatch.setattr("diffnotes.store.experiment.time.monotonic", lambda: next(clock))
    stops = 0
    while True:
        try:
            sliced = store.run(EXPERIMENT, "laptop", max_seconds=6, kind="y")
            break
        except store.Unfinished:
            stops += 1
    assert stops >= 2
    np.testing.assert_array_equal(whole["values"], sliced["values"])
    assert not list(sliced.folder.glob("partial-*"))


def test_a_process_that_helps_rests_when_the_record_is_there(monkeypatch):
    store.run(EXPERIMENT, "laptop")
    monkeypatch.setattr(store, "Follower", None)  # would be called to compute
    store.follow(EXPERIMENT, "laptop")


def test_a_process_that_helps_writes_nothing(elsewhere):
    store.follow(EXPERIMENT, "laptop")
    assert not list(store.runs().rglob("*"))
    follower = store.experiment.Follower(elsewhere / "there")
    assert follower.load("part") is None
    store.Work(elsewhere / "there").save("part", {"a": np.array(1)})
    assert follower.load("part")["a"] == 1
    (elsewhere / "there" / "part.npz").unlink()
    follower.save("other", {"a": np.array(2)})
    assert [follower.load(name)["a"] for name in ("part", "other")] == [1, 2]
    assert not list((elsewhere / "there").iterdir())


def test_a_damaged_partial_result_counts_as_none(elsewhere):
    with pytest.raises(store.Unfinished, match="the same command continues"):
        store.run(EXPERIMENT, "laptop", max_seconds=1e-9)
    partial = next(elsewhere.glob("runs/small/*/partial-*/sums.npz"))
    partial.write_bytes(partial.read_bytes()[:30])
    assert store.run(EXPERIMENT, "laptop")["values"].shape == (7,)


def test_a_finished_run_is_not_repeated(monkeypatch):
    first = store.run(EXPERIMENT, "smoke")
    again = store.run(replace(EXPERIMENT, compute=compute), "smoke")
    assert again.meta["created"] == first.meta["created"]


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    files.write_atomic(path, b"old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("diffnotes.base.files.os.replace", full)
    with pytest.raises(UserError, match="No space left"):
        files.write_atomic(path, b"new")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


# --- pins -----------------------------------------------------------------------------------------


def test_pin_takes_the_twin_along(pinned):
    assert [(e.profile, e.shown) for e in store.index()] == [("laptop", {"kind": "x"}), ("smoke", {})]
    assert store.load(EXPERIMENT, kind="x").pinned
    assert store.load(EXPERIMENT, kind="x").state == "valid"


def test_pin_replaces_the_record_of_the_same_slot_only(pinned, elsewhere):
    store.pin(EXPERIMENT, store.run(EXPERIMENT, "laptop", kind="y").key)
    newer = replace(EXPERIMENT, version=2)
    store.pin(newer, store.run(newer, "laptop", kind="x").key)
    entries = [e for e in store.index() if e.profile == "laptop"]
    assert sorted(e.shown["kind"] for e in entries) == ["x", "y"]
    assert pinned.key not in {e.key for e in entries}
    assert not pinned.folder.exists()


def test_pin_refuses_what_no_page_shows():
    record = store.run(EXPERIMENT, "laptop", n=8)
    with pytest.raises(UserError, match="settings of its own"):
        store.pin(EXPERIMENT, record.key)
    with pytest.raises(store.MissingRecord, match="python -m diffnotes run"):
        store.pin(EXPERIMENT, "0123")


def test_missing_heavy_records_name_the_command_and_the_cost():
    with pytest.raises(store.MissingRecord) as caught:
        store.load(EXPERIMENT, "paper", kind="y")
    sentence = str(caught.value)
    assert (
        "`python -m diffnotes run small --profile paper --set kind=y` (about 2.5 h on one H200)" in sentence
    )


def test_pinned_never_falls_back_to_the_smoke_profile_or_to_a_lesser_one(pinned):
    assert store.load(EXPERIMENT, kind="y").profile == "laptop"  # cheap, so computed on the spot
    heavy = replace(EXPERIMENT, seconds={"smoke": 1, "laptop": 500, "paper": 9000})
    with pytest.raises(store.MissingRecord):
        store.load(heavy, n=11)
    files.write_atomic(pinned.folder / "x", b"")
    (pinned.folder / "record.json").unlink()
    assert store.load(EXPERIMENT, kind="x").state == "missing"


# --- staleness ------------------------------------------------------------------------------------


def test_one_changed_byte_is_seen(pinned):
    path = pinned.folder / "arrays.npz"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))
    record = store.load(EXPERIMENT, kind="x")
    assert record.state == "tampered"
    with pytest.raises(store.Tampered, match="not what was recorded"):
        _ = record["values"]


def test_an_edited_record_json_is_seen(pinned):
    path = pinned.folder / "record.json"
    path.write_text(path.read_text().replace('"n": 7', '"n": 8'))
    with pytest.raises(store.Tampered, match="not what was recorded"):
        store.load(EXPERIMENT, kind="x")


def other(spec, work):
    arrays = compute(spec, work)
    return {**arrays, "values": arrays["values"] * 1.001}


def test_changed_code_is_settled_by_the_twin(pinned, monkeypatch):
    monkeypatch.setattr(staleness, "code_digest", lambda experiment: "changed")
    assert store.state(pinned, EXPERIMENT).name == "valid"
    assert "twin is equal" in store.state(pinned, EXPERIMENT).reason
    monkeypatch.setattr(staleness, "code_digest", lambda experiment: "changed again")
    found = store.state(pinned, replace(EXPERIMENT, compute=other))
    assert found.name == "stale"
    assert "values was 3 and is 3.003" in found.reason


def test_changed_settings_and_versions_are_stale(pinned):
    profiles = {**EXPERIMENT.profiles, "laptop": SmallSpec(n=8)}
    found = store.state(pinned, replace(EXPERIMENT, profiles=profiles))
    assert (found.name, found.reason) == ("stale", "profile laptop has changed since: n was 7 and is 8")
    assert "version 1" in store.state(pinned, replace(EXPERIMENT, version=2)).reason


def test_verify_recomputes_whatever_the_digests_say(pinned):
    assert store.verify(EXPERIMENT).name == "valid"
    assert store.verify(replace(EXPERIMENT, compute=other)).name == "stale"
    assert store.verify(replace(EXPERIMENT, name="unknown")).name == "missing"


def test_the_code_digest_sees_formulas_and_not_comments(tmp_path, monkeypatch):
    import importlib.util
    import sys

    def digest(text):
        path = tmp_path / "outside.py"
        path.write_text(text)
        spec = importlib.util.spec_from_file_location("outside", path)
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, "outside", module)
        spec.loader.exec_module(module)
        return store.code_digest(replace(EXPERIMENT, compute=module.f))

    plain = digest("def f(spec, work):\n    return {'a': 2.0}\n")
    words = '"""Words."""\n\n# more\ndef f(spec, work):\n    """Words."""\n    return {"a": 2.0}  # why\n'
    assert plain == digest(words)
    assert plain != digest("def f(spec, work):\n    return {'a': 2.1}\n")


@pytest.mark.parametrize(
    ("a", "b", "equal"),
    [
        ([1.0, 2.0], [1.0, 2.0 + 1e-7], True),
        ([1.0, 2.0], [1.0, 2.1], False),
        ([np.nan, np.inf], [np.nan, np.inf], True),
        ([np.nan, 1.0], [1.0, 1.0], False),
        ([0.0], [1e-5], False),
        ([1, 2], [1, 3], False),
        (["a"], ["b"], False),
        ([1.0], [1.0, 2.0], False),
    ],
)
def test_compare(a, b, equal):
    assert (staleness.compare({"v": np.array(a)}, {"v": np.array(b)}, EXPERIMENT) == "") is equal


@pytest.mark.parametrize(
    ("a", "b", "equal"),
    [
        ([10.0, 1e-3], [10.0, 1.9e-3], False),  # a small entry beside a large one
        ([10.0, 1e-3], [10.0, 1.05e-3], True),
        ([1.0, 2.0], [np.nan, np.nan], False),
        ([1.0, 2.0], [np.inf, 2.0], False),
        ([np.inf], [-np.inf], False),
        ([0.0, 5.0], [1e-9, 5.0], True),  # the absolute part
        ([0.0, 5.0], [1e-7, 5.0], False),
    ],
)
def test_every_entry_is_compared_by_the_tolerance_of_its_array(a, b, equal):
    tolerances = {"v_*": store.Tolerance(0.1, 1e-8)}
    experiment = replace(EXPERIMENT, tolerance=store.Tolerance(0.0), tolerances=tolerances)
    arrays = {"v_1": np.array(a)}, {"v_1": np.array(b)}
    assert (staleness.compare(*arrays, experiment) == "") is equal
    if a != b:
        other = {"w": arrays[0]["v_1"]}, {"w": arrays[1]["v_1"]}
        assert staleness.compare(*other, experiment)


def test_the_index_is_readable_json(pinned, elsewhere):
    content = json.loads((elsewhere / "results/index.json").read_text())
    assert {"experiment", "profile", "shown", "key", "digest", "twins"} == set(content["records"][0])
    (elsewhere / "results/index.json").write_text("{")
    with pytest.raises(store.Tampered, match=r"index\.json cannot be read"):
        store.load(EXPERIMENT, kind="x")
