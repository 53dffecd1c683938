"""Several processes at one store, and what killed ones leave behind."""

from __future__ import annotations

import os
import sys
import tempfile
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import small
from small import EXPERIMENT

from diffnotes import store
from diffnotes.base import files
from diffnotes.base.errors import UserError
from diffnotes.store import staleness
from diffnotes.store.experiment import Work

pytestmark = pytest.mark.usefixtures("elsewhere", "committed")


class Slow:
    """An experiment that computes until it is let go; one thread of it runs, as another process would."""

    def __init__(self) -> None:
        self.begun, self.go, self.computed = threading.Event(), threading.Event(), 0
        self.experiment = replace(EXPERIMENT, compute=self.compute)
        self.thread = threading.Thread(target=lambda: store.run(self.experiment, "laptop"))

    def compute(self, spec: small.SmallSpec, work: Work) -> store.Arrays:
        self.computed += 1
        self.begun.set()
        assert self.go.wait(60)
        return small.compute(spec, work)

    compute.__module__ = "small"

    def __enter__(self) -> Slow:
        self.thread.start()
        assert self.begun.wait(60)
        return self

    def __exit__(self, *_: object) -> None:
        self.go.set()
        self.thread.join()


def test_one_key_is_computed_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delitem(sys.modules, "ipykernel", raising=False)  # as another test may have loaded it
    monkeypatch.setenv("WORLD_SIZE", "")  # as good as unset
    waits = Work.waits
    with Slow() as other:

        def told(work: Work) -> None:
            waits(work)
            waits(work)
            other.go.set()

        monkeypatch.setattr(Work, "waits", told)
        record = store.run(other.experiment, "laptop")
    assert other.computed == 1
    assert record["values"].shape == (7,)
    assert capsys.readouterr().err == "small (laptop): another process computes it; waiting for that.\n"


def test_a_slice_does_not_wait_beyond_its_seconds() -> None:
    with Slow() as other, pytest.raises(store.Unfinished, match="another process computes it"):
        store.run(other.experiment, "laptop", max_seconds=1e-9)


def test_the_first_of_several_processes_does_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")  # the others of torchrun are computing, and need it
    with Slow() as other, pytest.raises(store.Unfinished, match="another process computes it"):
        store.run(other.experiment, "laptop")


def test_other_keys_do_not_wait() -> None:
    with Slow() as other:
        assert store.run(EXPERIMENT, "laptop", n=8)["values"].shape == (8,)
        assert not other.go.is_set()


def together(*actions: Callable[[], object]) -> None:
    """Do all of them at once, each in a process of its own."""
    read, write = os.pipe()
    children = []
    for action in actions:
        if not (child := os.fork()):
            os.close(write)
            os.read(read, 1)  # until the parent lets all of them go
            try:
                action()
            except BaseException as error:
                print(repr(error))
                os._exit(1)
            os._exit(0)
        children.append(child)
    os.close(write)
    os.close(read)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * len(actions)


def test_pins_at_once_are_all_kept() -> None:
    many = replace(EXPERIMENT, shown=tuple({"n": n} for n in (4, 5, 6, 8)))
    for _ in range(3):
        keys = [store.run(many, "laptop", n=n).key for n in (4, 5, 6, 8)]
        together(*(lambda key=key: store.pin(many, key) for key in keys))
        assert {e.key for e in store.index() if e.profile == "laptop"} == set(keys)
        (store.results() / "index.json").unlink()


def test_runs_at_once_give_one_record() -> None:
    runs = [lambda: store.run(EXPERIMENT, "laptop", n=60)] * 4
    together(*runs)
    [folder] = store.runs().glob("small/*")
    assert sorted(path.name for path in folder.iterdir()) == ["arrays.npz", "record.json"]


# -------------------------------------------------------------------------------------------------- leftovers


def left(folder: Path, name: str) -> Path:
    """What a process leaves that is killed while it writes a file."""
    folder.mkdir(parents=True, exist_ok=True)
    handle, path = tempfile.mkstemp(prefix=f".{name}.", suffix=files.UNDONE, dir=folder)
    os.close(handle)
    return Path(path)


def test_half_written_files_are_removed() -> None:
    record = store.run(EXPERIMENT, "laptop", kind="x")
    made = [left(store.results(), "index.json"), left(store.runs(), "verified.json")]
    made += [left(store.results() / "small" / record.key, name) for name in ("arrays.npz", "record.json")]
    store.pin(EXPERIMENT, record.key)
    store.verify(EXPERIMENT)
    made.append(left(record.folder, "record.json"))
    (record.folder / "record.json").unlink()
    (store.runs() / "small" / record.key / files.LOCK).write_text("")  # of a process that was killed
    store.run(EXPERIMENT, "laptop", kind="x")
    assert not [path for path in made if path.exists()]
    assert not list(store.root().rglob(".*"))


def test_partial_results_of_a_finished_record_are_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(store.shutil, "rmtree", lambda folder: os.kill)  # killed just before
        record = store.run(EXPERIMENT, "laptop")
    assert list(record.folder.glob("partial-*"))
    monkeypatch.setattr(store, "_computed", lambda *_: pytest.fail("computed again"))
    store.run(EXPERIMENT, "laptop")
    assert not list(record.folder.glob("partial-*"))


def test_old_folders_of_killed_verifications_are_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    old, new, other = (tmp_path / f"{name}abc" for name in (staleness.SCRATCH, staleness.SCRATCH * 2, "x"))
    for folder in (old, new, other):
        folder.mkdir()
        (folder / "checkpoint.pt").write_text("")
    for folder in (old, other):
        os.utime(folder, (1.0, 1.0))
    with staleness._scratch():
        assert not old.exists()
        assert new.exists()
        assert other.exists()


def test_a_lock_that_another_process_has_just_removed_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, hold = tmp_path / "lock", files.hold

    def late(handle: int) -> bool | None:
        path.unlink()
        path.touch()
        return hold(handle)

    monkeypatch.setattr(files, "hold", late)
    assert files._taken(path) is None


def test_a_lock_is_never_made_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / files.LOCK).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="remove the link .*folder/.lock"), files.alone(tmp_path / "folder"):
        pass
    assert not (tmp_path / "elsewhere").exists()
