"""Records in a file, from one machine to another."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from small import EXPERIMENT

from diffnotes import __main__ as command
from diffnotes import chapters, store
from diffnotes.base.errors import UserError
from diffnotes.store import bundles, records
from diffnotes.store.experiment import Experiment
from diffnotes.store.spec import SpecError

pytestmark = pytest.mark.usefixtures("committed")
Machine = Callable[[str], Path]


def find(name: str) -> Experiment:
    if name != EXPERIMENT.name:
        raise SpecError(f"experiment must be small; not {name}.")
    return EXPERIMENT


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """Change to another machine: a folder of its own for results/ and runs/."""

    def change(name: str) -> Path:
        (tmp_path / name).mkdir(exist_ok=True)
        monkeypatch.setenv("DIFFNOTES_ROOT", str(tmp_path / name))
        return tmp_path / name

    return change


@pytest.fixture
def bundle(machine: Machine, tmp_path: Path) -> Path:
    """A record with its twin, exported on a machine; the tests go on on another one."""
    machine("one")
    store.run(EXPERIMENT, "smoke")
    record = store.run(EXPERIMENT, "laptop", kind="y")
    names = [one.profile for one in bundles.export([record.key], tmp_path / "b.zip", find)]
    assert names == ["laptop", "smoke"]  # the twin that speaks for it comes along
    machine("two")
    return tmp_path / "b.zip"


def test_what_is_taken_in_counts_as_computed_here(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = bundles.receive(bundle, find)
    assert [is_new for _, is_new in found] == [True, True]
    record = found[0][0]
    assert store.state(record, EXPERIMENT).name == "valid"
    monkeypatch.setattr(store, "_made_now", lambda *_, **__: pytest.fail("computed"))
    assert store.run(EXPERIMENT, "laptop", kind="y")["values"].tolist() == record["values"].tolist()
    assert store.pin(EXPERIMENT, record.key).pinned


def test_again_changes_nothing(bundle: Path) -> None:
    first = bundles.receive(bundle, find)
    before = [(one.folder / "record.json").stat().st_mtime_ns for one, _ in first]
    again = bundles.receive(bundle, find)
    assert [is_new for _, is_new in again] == [False, False]
    assert [(one.folder / "record.json").stat().st_mtime_ns for one, _ in again] == before


def test_a_pinned_record_goes_too_and_the_bytes_are_the_same(machine: Machine, tmp_path: Path) -> None:
    machine("one")
    record = store.pin(EXPERIMENT, store.run(EXPERIMENT, "laptop", kind="x").key)
    for name in ("a.zip", "b.zip"):
        bundles.export([record.key, record.key], tmp_path / name, find)
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    machine("two")
    assert len(bundles.receive(tmp_path / "a.zip", find)) == 2


def test_nothing_is_written_over(bundle: Path, tmp_path: Path) -> None:
    [(record, _), _] = bundles.receive(bundle, find)
    with pytest.raises(UserError, match="is there already; name another file"):
        bundles.export([record.key], bundle, find)
    meta = json.loads((record.folder / "record.json").read_text())
    other = records.write(
        record.folder, EXPERIMENT, EXPERIMENT.profiles["laptop"].replace(kind="y"), "laptop",
        {"values": record["values"] + 1}, **{name: meta[name] for name in MADE},
    )  # fmt: skip
    with pytest.raises(UserError, match=r"differs from the record in runs/small/"):
        bundles.receive(bundle, find)
    assert records.read(record.folder).meta["digest"] == other.meta["digest"]


MADE = ("key", "code", "commit", "dirty", "data", "inputs", "device", "seconds")


@pytest.mark.parametrize("key", ["0" * 16, "nothing", "../../x"])
def test_an_unknown_key(key: str, machine: Machine, tmp_path: Path) -> None:
    machine("one")
    with pytest.raises(UserError, match="No finished record"):
        bundles.export([key], tmp_path / "b.zip", find)
    assert not (tmp_path / "b.zip").exists()


# -------------------------------------------------------------------------------------- bundles that are none


def changed(bundle: Path, change: Callable[[dict[str, bytes]], None]) -> Path:
    """The bundle with other members."""
    with zipfile.ZipFile(bundle) as packed:
        members = {name: packed.read(name) for name in packed.namelist()}
    change(members)
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as packed:
        for name, data in members.items():
            packed.writestr(name, data)
    bundle.write_bytes(content.getvalue())
    return bundle


def first(members: dict[str, bytes], name: str) -> str:
    return next(member for member in members if member.endswith(name))


def arrays(members: dict[str, bytes]) -> None:
    members[first(members, "arrays.npz")] = members[[m for m in members if m.endswith("npz")][1]]


def said(**changes: object) -> Callable[[dict[str, bytes]], None]:
    """Other words in record.json, sealed again."""

    def change(members: dict[str, bytes]) -> None:
        name = first(members, "record.json")
        meta = json.loads(members[name]) | changes
        meta["seal"] = records._seal(meta)
        members[name] = records._json(meta)

    return change


def moved(name: str) -> Callable[[dict[str, bytes]], None]:
    def change(members: dict[str, bytes]) -> None:
        members[name] = members.pop(first(members, "arrays.npz"))

    return change


OTHER = {"n": 8, "factor": 1.5, "kind": "y", "many": [1.0, 2.0], "both": True, "seed": 0}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (arrays, "is damaged; have it exported again"),
        (said(seconds=5.0, digest="0" * 64), "is damaged; have it exported again"),
        (said(spec=OTHER), "is not what it says it is"),
        (said(spec={"n": 8, "unheard": 1}), "that are unknown here"),
        (said(experiment="other"), "that are unknown here"),
        (said(version=2), "is not what it says it is"),
        (said(data={"x": "y"}), "is not what it says it is"),
        (lambda members: members.pop(first(members, "arrays.npz")), "is not whole"),
        (lambda members: members.clear(), "is not whole"),
        (moved("../../../evil.py"), "which is no file of a run"),
        (moved("small/0123456789abcdef/evil.py"), "which is no file of a run"),
        (moved("/etc/passwd"), "which is no file of a run"),
    ],
)
def test_a_bundle_that_was_changed_is_refused_whole(
    change: Callable[[dict[str, bytes]], None], sentence: str, bundle: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=sentence):
        bundles.receive(changed(bundle, change), find)
    assert not list((tmp_path / "two").rglob("record.json"))
    assert not list(tmp_path.rglob("evil*"))


@pytest.mark.parametrize("size", [0, 10, 400])
def test_a_file_that_is_cut_off_or_no_zip(size: int, bundle: Path) -> None:
    bundle.write_bytes(bundle.read_bytes()[:size])
    with pytest.raises(UserError, match="is damaged"):
        bundles.receive(bundle, find)


def test_what_is_compressed_is_not_unpacked(bundle: Path) -> None:
    """However small it says that it is."""
    with zipfile.ZipFile(bundle) as packed:
        members = {name: packed.read(name) for name in packed.namelist()}
    with zipfile.ZipFile(bundle, "w", zipfile.ZIP_BZIP2) as packed:
        for name, content in members.items():
            packed.writestr(name, content)
    with pytest.raises(UserError, match="is compressed, and so not packed here"):
        bundles.receive(bundle, find)


def test_what_a_run_has_finished_meanwhile_is_not_written_over(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    [(record, _), _] = bundles.receive(bundle, find)
    content = {path.name: path.read_bytes() for path in record.folder.iterdir() if path.is_file()}
    for path in record.folder.iterdir():
        if path.is_file():
            path.unlink()
    asked = []

    def is_new(one: records.Record) -> bool:
        """The first to ask is before the lock; then a run is over, whose record differs."""
        asked.append(one.key)
        if asked.count(record.key) == 1:
            return True
        for name, data in content.items():
            (record.folder / name).write_bytes(data)
        return before(one)

    before = bundles._is_new
    monkeypatch.setattr(bundles, "_is_new", is_new)
    assert [is_new for one, is_new in bundles.receive(bundle, find) if one.key == record.key] == [False]
    assert asked.count(record.key) == 2


def test_a_pinned_record_that_differs_is_told(machine: Machine, tmp_path: Path) -> None:
    machine("one")
    record = store.pin(EXPERIMENT, store.run(EXPERIMENT, "laptop", kind="x").key)
    bundles.export([record.key], tmp_path / "a.zip", find)
    meta = json.loads((record.folder / "record.json").read_text())
    records.write(
        record.folder, EXPERIMENT, EXPERIMENT.profiles["laptop"].replace(kind="x"), "laptop",
        {"values": record["values"] + 1}, **{name: meta[name] for name in MADE},
    )  # fmt: skip
    with pytest.raises(UserError, match=r"differs from the record in results/small/"):
        bundles.receive(tmp_path / "a.zip", find)


def test_a_folder_or_nothing_in_its_place(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nothing.zip"):
        with pytest.raises(UserError, match="cannot be read"):
            bundles.receive(path, find)


# ------------------------------------------------------------------------------------------- the command line


def test_the_commands(
    bundle: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(chapters, "find", find)
    assert command.main(["import", str(bundle)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert lines[0].endswith("small (laptop): valid, the code is the one that made it")
    key = lines[0].split()[0]
    assert command.main(["export", key, "--to", str(bundle.with_name("again.zip"))]) == 0
    assert command.main(["import", str(bundle)]) == 0
    assert capsys.readouterr().out.count("was there already") == 2
    assert command.main(["import", str(bundle.with_name("no.zip"))]) == 2
    assert command.main(["export", "0123", "--to", str(bundle.with_name("no.zip"))]) == 2
    assert capsys.readouterr().err.count("\n") == 2
