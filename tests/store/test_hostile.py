"""A store that somebody else wrote, damaged, or filled with links: one sentence, nothing outside touched, and
nothing wrong called valid.
"""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import small
from bs4 import BeautifulSoup
from small import EXPERIMENT

from diffnotes import store
from diffnotes.base import files
from diffnotes.base.errors import UserError
from diffnotes.show.tables import records_table
from diffnotes.store import entries, memory, records

ARRAYS = {"values": np.arange(7.0)}
pytestmark = pytest.mark.usefixtures("elsewhere", "committed")


@pytest.fixture
def pinned() -> store.Record:
    return store.pin(EXPERIMENT, store.run(EXPERIMENT, "laptop", kind="x").key)


@pytest.fixture
def outside(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that is none of ours, with a file in it."""
    folder = tmp_path_factory.mktemp("outside")
    (folder / "kept").write_text("kept")
    return folder


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def state_of(record: store.Record) -> str:
    """The state of what is pinned now in the place of a record."""
    try:
        found = store.best(EXPERIMENT, {"kind": "x"})
        return store.state(found, EXPERIMENT).name if found else "missing"
    except store.Tampered:
        return "tampered"


def forge(record: store.Record, content: bytes | None = None, **changes: Any) -> None:
    """Other words in a pinned record.json, or other arrays, by somebody who seals it and edits the index."""
    if content is not None:
        (record.folder / "arrays.npz").write_bytes(content)
        changes |= {"digest": files.sha256_bytes(content)}
    meta = record.meta | changes
    meta["seal"] = records._seal(meta)
    (record.folder / "record.json").write_bytes(records._json(meta))
    digest = files.sha256_file(record.folder / "record.json")
    entries.write_index([replace(e, digest=digest) if e.key == record.key else e for e in store.index()])


# ------------------------------------------------------------------------------------------------------ JSON

NO_JSON = {
    "deep": "[" * 100_000, "huge": "9" * 400, "very huge": "9" * 5000, "overflow": "1e999", "nan": "NaN",
    "infinite": "-Infinity", "twice": '{"a": 1, "a": 2}', "half a character": '"\\ud800"',
    "terminal": '"\\u001b[2J"', "word": "x", "empty": "",
}  # fmt: skip


@pytest.mark.parametrize("text", NO_JSON.values(), ids=NO_JSON)
def test_what_no_json_file_of_ours_says(pinned: store.Record, tmp_path: Path, text: str) -> None:
    (tmp_path / "some.json").write_text(f'{{"a": [{text}]}}' if text else "")
    with pytest.raises(ValueError, match=r"."):
        files.read_json(tmp_path / "some.json")
    content = json.dumps(pinned.meta).replace(str(pinned.meta["seconds"]), text, 1)
    (pinned.folder / "record.json").write_text(content)
    assert state_of(pinned) == "tampered"
    files.write_atomic(store.runs() / "verified.json", f'{{"a": ["valid", {text}]}}'.encode())
    assert memory.recall("a") is None
    index = store.results() / "index.json"
    index.write_text(index.read_text().replace('{"kind": "x"}', text))
    with pytest.raises(store.Tampered, match=r"index\.json cannot be read"):
        store.index()


def test_text_that_is_no_utf8(pinned: store.Record) -> None:
    path = pinned.folder / "record.json"
    path.write_bytes(path.read_bytes().replace(b'"float32"', b'"\xff"'))
    assert state_of(pinned) == "tampered"


# ---------------------------------------------------------------------------------------------------- arrays


def zipped(name: str, content: bytes, size: int | None = None) -> bytes:
    """A zip file with one member, which may claim another size."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as target:
        target.writestr(name, content)
        if size is not None:
            target.filelist[-1].file_size = size
    return buffer.getvalue()


def claiming(shape: tuple[int, ...]) -> bytes:
    """The head of an array of this shape, and nothing behind it."""
    buffer = io.BytesIO()
    head = {"descr": "<f8", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(buffer, head)
    return buffer.getvalue()


def saved(**arrays: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


NO_ARRAYS = {
    "claims terabytes": zipped("values.npy", claiming((10**13,))),
    "claims beyond all numbers": zipped("values.npy", claiming((10**30,))),
    "negative": zipped("values.npy", claiming((-5,))),
    "inflates to gigabytes": zipped("values.npy", bytes(1 << 20), 8 << 30),
    "objects": saved(values=np.array([{}, 1], object)),
    "pickle": zipped("values.npy", b"\x80\x04K\x01."),
    "no zip": b"\x80\x04K\x01.",
    "no bytes": b"",
    "no array": zipped("../../values", b"hello"),
}


@pytest.mark.parametrize("content", NO_ARRAYS.values(), ids=NO_ARRAYS)
def test_what_is_no_file_of_arrays(pinned: store.Record, tmp_path: Path, content: bytes) -> None:
    with pytest.raises(UserError, match="This is no file of arrays"):
        files.npz_arrays(content)
    forge(pinned, content)
    assert state_of(pinned) == "tampered"
    (tmp_path / "part.npz").write_bytes(files.sealed(content, "part"))
    assert store.Work(tmp_path).load("part") is None


def test_a_file_that_unpacks_to_more_than_it_may_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    packed = files.npz_bytes({"values": np.zeros(1 << 18)})
    assert len(packed) < 10_000
    assert files.npz_arrays(packed)["values"].nbytes == 2 << 20
    monkeypatch.setattr(files, "LARGEST", 1 << 20)
    with pytest.raises(UserError, match="it holds more than"):
        files.npz_arrays(packed)


def test_an_array_twice_is_refused() -> None:
    buffer = io.BytesIO(files.npz_bytes(ARRAYS))
    with zipfile.ZipFile(buffer, "a") as target, pytest.warns(UserWarning, match="Duplicate"):
        target.writestr("values.npy", target.read("values.npy"))
    with pytest.raises(UserError, match="an array twice"):
        files.npz_arrays(buffer.getvalue())


def test_arrays_of_another_kind_than_said_are_tampered(pinned: store.Record) -> None:
    forge(pinned, files.npz_bytes({**pinned.arrays, "values": np.zeros(7, "M8[s]")}))
    assert state_of(pinned) == "tampered"


# ------------------------------------------------------------------------------------------ records and index


@pytest.mark.parametrize(
    "changes",
    [
        {"packages": {"numpy": 1}},
        {"packages": []},
        {"data": {"digits": None}},
        {"inputs": 5},
        {"inputs": {"features": ["a"]}},
        {"seconds": True},
        {"version": True},
        {"experiment": "other"},
        {"profile": "paper"},
        {"spec": {**small.SmallSpec(n=8).as_dict(), "kind": "x"}, "settings": {"n": 8}},  # under its old key
    ],
    ids=str,
)
def test_a_forged_record_is_not_valid(pinned: store.Record, changes: dict[str, Any]) -> None:
    forge(pinned, **changes)
    assert state_of(pinned) == "tampered"


@pytest.mark.parametrize("name", records.NEEDED)
def test_a_record_that_lacks_a_field_is_not_valid(pinned: store.Record, name: str) -> None:
    del pinned.meta[name]
    sealed = pinned.meta | {"seal": records._seal(pinned.meta)}
    (pinned.folder / "record.json").write_bytes(records._json(sealed))
    assert state_of(pinned) == "tampered"
    assert records.read_own(pinned.folder) is None


def test_a_twin_with_settings_that_nobody_knows(pinned: store.Record) -> None:
    [twin] = [entry.read() for entry in store.index() if entry.profile == "smoke"]
    forge(twin, spec=twin.spec | {"unknown": 1})
    assert store.verify(EXPERIMENT).name == "stale"
    with pytest.raises(store.SpecError, match="unknown parameter 'unknown'"):
        store.ship([EXPERIMENT])
    store.pin(EXPERIMENT, pinned.key)  # with a twin of today in its place
    assert store.verify(EXPERIMENT).name == "valid"


@pytest.mark.parametrize("seeds", [5, None, "x", {"a": 1}, []])
def test_any_seeds_can_be_told(pinned: store.Record, seeds: object) -> None:
    assert "seed" in replace(pinned, meta=pinned.meta | {"spec": {"seeds": seeds}}).provenance()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("key", "../../precious"), ("key", "0123"), ("key", "0123456789ABCDEF"), ("key", None),
        ("key", "0123456789abcdef\n"), ("experiment", "../small"), ("experiment", ["small"]), ("shown", [1]),
        ("shown", None), ("twins", ["smoke"]), ("twins", {"smoke": 1}), ("digest", 1), ("profile", {}),
        ("more", 1),
    ],
)  # fmt: skip
def test_a_line_of_the_index_that_is_none(
    pinned: store.Record, elsewhere: Path, field: str, value: object
) -> None:
    precious = elsewhere / "precious"
    precious.mkdir()
    index = store.results() / "index.json"
    content = json.loads(index.read_text())
    content["records"][0][field] = value
    index.write_text(json.dumps(content))
    with pytest.raises(store.Tampered, match="restore it with git"):
        store.pin(EXPERIMENT, store.run(EXPERIMENT, "laptop", kind="x").key)
    assert precious.exists()


@pytest.mark.parametrize("key", ["../../precious", "..", "", "a**", "\0", "x" * 5000, "0123456789abcdef/"])
def test_what_is_no_key_is_no_record(elsewhere: Path, key: str) -> None:
    made = store.run(EXPERIMENT, "laptop", kind="x")
    made.folder.rename(elsewhere / "precious")
    with pytest.raises(store.MissingRecord, match="python -m diffnotes run"):
        store.pin(EXPERIMENT, key)


def test_a_record_under_a_name_that_is_no_key(elsewhere: Path) -> None:
    made = store.run(EXPERIMENT, "laptop", kind="x")
    meta = made.meta | {"key": "precious"}
    meta["seal"] = records._seal(meta)
    (made.folder / "record.json").write_bytes(records._json(meta))
    moved = made.folder.rename(made.folder.with_name("precious"))
    with pytest.raises(store.Tampered, match="which is no key"):
        records.read(moved)


def test_every_field_of_a_record_is_escaped_on_the_page_of_records(pinned: store.Record) -> None:
    script = "<script>alert(1)</script>"
    texts = {name: script for name, value in pinned.meta.items() if isinstance(value, str)}
    nested = {"settings": {script: script}, "spec": {"seed": script}, "data": {script: script}}
    hostile = replace(pinned, meta=pinned.meta | texts | nested, state="stale", reason=script)
    page = BeautifulSoup(records_table([hostile])._repr_html_(), "html.parser")
    assert page.find("script") is None
    assert script[:10] in page.get_text()


# ----------------------------------------------------------------------------------------------------- links


def linked(folder: Path, outside: Path) -> None:
    """Move a folder elsewhere, and leave a link to it."""
    folder.rename(outside / folder.name)
    folder.symlink_to(outside / folder.name)


@pytest.mark.parametrize("which", ["small", "the record", "its partial results", "a part of them"])
def test_nothing_is_computed_through_links_in_runs(outside: Path, which: str) -> None:
    with pytest.raises(store.Unfinished):
        store.run(EXPERIMENT, "laptop", max_seconds=1e-9)
    [partial] = store.runs().glob("small/*/partial-*")
    (partial / "run").mkdir()
    places = [partial.parents[1], partial.parent, partial, partial / "run"]
    linked(places[["small", "the record", "its partial results", "a part of them"].index(which)], outside)
    before = names(outside)
    with pytest.raises(UserError, match="a link, through which nothing is written"):
        store.run(EXPERIMENT, "laptop")
    assert names(outside) == before


@pytest.mark.parametrize("experiment", [True, False])
def test_nothing_is_pinned_through_links_in_results(
    pinned: store.Record, outside: Path, experiment: bool
) -> None:
    linked(pinned.folder.parent if experiment else pinned.folder, outside)
    before = names(outside)
    newer = replace(EXPERIMENT, version=2)
    with pytest.raises(UserError, match="a link, through which nothing is written"):
        store.pin(EXPERIMENT, pinned.key)
    made = store.run(newer, "laptop", kind="x")
    if experiment:
        with pytest.raises(UserError, match="a link, through which nothing is written"):
            store.pin(newer, made.key)
    else:  # the new record has a folder of its own; the one before is elsewhere, and stays
        store.pin(newer, made.key)
    assert names(outside) == before


def test_runs_may_lie_on_another_disk(outside: Path) -> None:
    store.runs().symlink_to(outside)
    assert store.run(EXPERIMENT, "laptop").folder.resolve().is_relative_to(outside)


def endless(path: Path) -> None:
    path.symlink_to("/dev/zero")


def circle(path: Path) -> None:
    path.symlink_to(path.name)


@pytest.mark.parametrize("make", [os.mkfifo, Path.mkdir, endless, circle])
@pytest.mark.parametrize("name", ["record.json", "arrays.npz", "index.json"])
def test_what_is_no_plain_file_is_not_read(
    pinned: store.Record, name: str, make: Callable[[Path], None]
) -> None:
    path = store.results() / name if name == "index.json" else pinned.folder / name
    path.unlink()
    make(path)
    assert state_of(pinned) == "tampered"
    (work := store.Work(pinned.folder)).save("part", ARRAYS)
    (pinned.folder / "part.npz").unlink()
    make(pinned.folder / "part.npz")
    assert work.load("part") is None


# ---------------------------------------------------------------------------------------------- experiments


@pytest.mark.parametrize(
    "returned",
    [[1.0], None, {"values": [1.0]}, {"values": np.array([None])}, {"values": None}, {1: np.zeros(2)}],
    ids=str,
)
def test_a_compute_that_returns_no_arrays_gets_a_sentence(pinned: store.Record, returned: object) -> None:
    odd = replace(EXPERIMENT, compute=lambda spec, work: returned)
    with pytest.raises(UserError, match="compute of small must return a dictionary of arrays"):
        store.run(odd, "laptop", n=8)
    assert "must return a dictionary of arrays" in store.verify(odd).reason


def test_arrays_of_any_name_can_be_kept() -> None:
    arrays = {"file": np.zeros(2), "a/../b": np.ones(1), "number": np.float64(3)}
    record = store.run(replace(EXPERIMENT, compute=lambda spec, work: arrays), "laptop")
    assert {name: value.tolist() for name, value in record.arrays.items()} == {
        "file": [0, 0], "a/../b": [1], "number": 3,
    }  # fmt: skip


def unreadable(spec: object) -> dict[str, str]:
    raise PermissionError(13, "Permission denied")


def test_an_experiment_that_cannot_be_asked_is_stale_and_says_why(pinned: store.Record) -> None:
    broken = replace(EXPERIMENT, data=unreadable)
    for found in (store.state(pinned, broken), store.verify(broken)):
        assert (found.name, "Permission denied" in found.reason) == ("stale", True)


def test_git_is_asked_before_computing(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(records, "commit", lambda: asked.append("git") or {"commit": None, "dirty": None})

    def compute(spec: object, work: store.Work) -> store.Arrays:
        assert asked == ["git"]
        return ARRAYS

    store.run(replace(EXPERIMENT, compute=compute), "laptop")


def test_a_checkout_that_another_user_may_only_read(pinned: store.Record, elsewhere: Path) -> None:
    """As the user nobody, where the tests run as root."""
    if os.geteuid() != 0:
        pytest.skip("only root can be another user")
    store.run(EXPERIMENT, "laptop", kind="y")
    closed = [store.runs(), pinned.folder, pinned.folder / "arrays.npz", store.results() / "index.json"]
    for path in [*elsewhere.parents[:3], elsewhere]:
        path.chmod(path.stat().st_mode | 0o555)
    for place in (None, *closed):
        before = place.stat().st_mode if place else 0
        if place:
            place.chmod(0)
        if not (child := os.fork()):
            os.setuid(65534)
            os._exit(asks_in_vain(state_of(pinned), "valid" if place in closed[:1] + [None] else "tampered"))
        assert os.waitpid(child, 0)[1] == 0, place
        if place:
            place.chmod(before)


def asks_in_vain(found: str, expected: str) -> int:
    """0 when the state is the expected one, and all that cannot be done is told in a sentence."""
    actions = [
        lambda: store.load(EXPERIMENT, "laptop", kind="y"),
        lambda: store.run(EXPERIMENT, "laptop", n=30),
        lambda: store.pin(EXPERIMENT, store.index()[0].key),
        lambda: store.ship([EXPERIMENT]),
    ]
    for place, action in enumerate(actions):
        try:
            action()
        except UserError:
            continue
        except BaseException:
            return 10 + place
        if place:
            return 20 + place
    return int(found != expected)


def test_any_name_of_a_commit_can_be_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "commit", lambda: {"commit": "v1\n\udcff\x1b[2J", "dirty": None})
    assert records.read(store.run(EXPERIMENT, "laptop").folder).meta["commit"] == r"v1\n\udcff\x1b[2J"


def test_where_nothing_can_be_written_nothing_is_computed(elsewhere: Path) -> None:
    (elsewhere / "runs").write_text("")
    with pytest.raises(UserError, match="Cannot write in .*choose a folder you may write to"):
        store.run(replace(EXPERIMENT, compute=lambda spec, work: pytest.fail("computed")), "laptop")


@pytest.mark.parametrize("content", ["nan", "inf", "-1", "1e999", "", "x", "[1]"])
def test_damaged_seconds_count_as_none(tmp_path: Path, content: str) -> None:
    (tmp_path / "seconds").write_text(content)
    assert store._spent(store.Work(tmp_path)) == 0.0
