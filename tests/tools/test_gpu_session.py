"""A session on a GPU, dry: what comes back can be taken in, whatever happened to it on the way."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from dataclasses import replace
from pathlib import Path

import gpu_data
import gpu_pack
import gpu_session
import gpu_take_in
import gpu_work
import pytest
import small
import torch
from gpu_dry import SMALL, at_home, failing, passing, raising, session, slow

from diffnotes import chapters, store
from diffnotes.base import archives, files
from diffnotes.base.errors import UserError
from diffnotes.chapters.gap import cifar as cifar_gap
from diffnotes.chapters.memorization import experiment as memorization
from diffnotes.store import records, staleness
from diffnotes.train import loop as train

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
BLOCKED = ("jaxtyping", "beartype", "pytest", "hypothesis", "matplotlib", "IPython", "papermill", "pandas")
KEY = "0123456789abcdef"
pytestmark = pytest.mark.usefixtures("there")


def test_what_is_finished_is_pinned_with_its_twin(
    out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert session(out) == 0
    assert sorted(path.name for path in out.iterdir()) == [
        "partial.zip",
        "records.zip",
        "report.json",
        "report.txt",
    ]
    at_home(tmp_path, monkeypatch)
    taken = gpu_take_in.take_in(out)
    assert not taken.refused
    assert not taken.unfinished
    assert sum(line.startswith("pinned: small, profile laptop") for line in taken.lines) == 2
    assert sorted((e.profile, e.shown.get("kind")) for e in store.index()) == [
        ("laptop", "x"), ("laptop", "y"), ("smoke", None),
    ]  # fmt: skip
    assert all(staleness.state(e.read(), SMALL).name == "valid" for e in store.index())


def test_a_report_says_what_was_measured_and_made(out: Path) -> None:
    session(out, one=passing, two=failing)
    report = json.loads((out / "report.json").read_text())
    assert [(c["name"], c["state"]) for c in report["checks"]] == [("one", "passed"), ("two", "failed")]
    assert report["checks"][0]["deviations"] == [{"what": "a thing", "value": 0.5, "tolerance": 1.0}]
    assert [r["state"] for r in report["records"]] == ["finished"] * 3
    assert {r["code"] for r in report["records"]} == {store.code_digest(SMALL)}
    assert report["machine"]["commit"] == "0" * 40
    assert report["machine"]["packages"]["torch"] == torch.__version__
    text = (out / "report.txt").read_text()
    assert "failed     two: a thing 1.5e+00 (at most 1)" in text
    assert "all that was asked for was tried" in text


# ------------------------------------------------------------------------------------ time and interruption


def test_the_next_session_goes_on(out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert session(out, "paper", seconds=240.0) == 3
    states = [r["state"] for r in json.loads((out / "report.json").read_text())["records"]]
    assert states == ["finished", "unfinished", "waiting"]
    monkeypatch.setenv("DIFFNOTES_ROOT", str(tmp_path / "another"))
    assert not gpu_take_in.resume(out).refused
    (partial,) = (tmp_path / "another" / "runs").glob("small/*/partial-*")
    done = len(store.Work(partial).load("sums")["values"])  # type: ignore[index]
    assert done >= 2
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    assert session(tmp_path / "out2", "paper", seconds=1e5) == 0
    at_home(tmp_path, monkeypatch)
    assert not gpu_take_in.take_in(tmp_path / "out2").refused
    assert len(store.load(SMALL, kind="x")["values"]) == 22


def test_a_training_run_goes_on_from_its_checkpoint(
    out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(train, "_GLANCE_SECONDS", 0.0)
    monkeypatch.setenv("DIFFNOTES_ROOT", str(tmp_path / "one piece"))
    right = store.run(cifar_gap.EXPERIMENT, "smoke")

    def stop(work: store.Work, done: float, total: float, text: str = "") -> None:
        if done / total > 0.8:  # in the middle of the second of two training runs
            raise store.Unfinished("80% is done.")

    monkeypatch.setenv("DIFFNOTES_ROOT", str(tmp_path / "there"))
    with monkeypatch.context() as patch:
        patch.setattr(store.Work, "step", stop)
        assert gpu_work.Session(out, "smoke", 60.0, ["cifar_gap"], gpu_work.LIMIT).run({}) == 3
    at_home(tmp_path, monkeypatch)
    assert not gpu_take_in.resume(out).refused
    (partial,) = {path.parent for path in store.runs().glob("cifar_gap/*/partial-*/seed-1")}
    steps = [gpu_take_in._step(partial / name) for name in ("seed-0", "seed-1")]
    assert 0 < steps[1] < steps[0] == cifar_gap.EXPERIMENT.twin.steps
    ours = store.run(cifar_gap.EXPERIMENT, "smoke")
    assert (ours.folder / "arrays.npz").read_bytes() == (right.folder / "arrays.npz").read_bytes()


def test_what_is_unfinished_is_said_with_its_command(
    out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session(out, "paper", seconds=180.0)
    at_home(tmp_path, monkeypatch)
    taken = gpu_take_in.take_in(out)
    assert taken.unfinished
    assert not taken.refused
    (line,) = [line for line in taken.lines if line.startswith("unfinished")]
    assert "Continue with `python -m diffnotes run small --profile paper`" in line
    assert not store.index()


HELPER = """
import sys
sys.path[:0] = [{tools!r}, {tests!r}, {here!r}]
import gpu_dry as t
from diffnotes import chapters
from diffnotes.store import records
records.commit = lambda: {{"commit": "0" * 40, "dirty": False}}
chapters.find, chapters.names = (lambda name: t.SMALL), (lambda: ("small",))
t.gpu_work.RECORDS = (("small", {{"kind": "x"}}),)
t.gpu_work.PACK_SECONDS = 0.2
sys.exit(t.session(t.Path({out!r}), "paper"))
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_killed_session_leaves_what_was_finished(
    number: int, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = HELPER.format(tools=str(ROOT / "tools"), tests=str(ROOT / "tests"), here=str(HERE), out=str(out))
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen([sys.executable, "-c", code], env=env, stdout=subprocess.DEVNULL)
    try:
        wait_for(lambda: keys(out / "records.zip") and keys(out / "partial.zip") - keys(out / "records.zip"))
        process.send_signal(number)
        ended = process.wait(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert ended == (3 if number == signal.SIGTERM else -signal.SIGKILL)
    report = gpu_take_in.read_report(out)
    assert report["ended"] == ("it was stopped by signal 15" if ended == 3 else "it was killed")
    at_home(tmp_path, monkeypatch)
    taken = gpu_take_in.take_in(out)
    assert not taken.refused
    assert taken.unfinished
    folders = sorted(path.name for path in (tmp_path / "home" / "runs" / "small").glob("*/*"))
    assert [name.split("-")[0] for name in folders] == ["arrays.npz", "partial", "record.json"]


def keys(path: Path) -> set[str]:
    """The records of which something is in a zip."""
    if not path.exists():
        return set()
    with zipfile.ZipFile(path) as found:
        return {name.split("/")[1] for name in found.namelist()}


def wait_for(reached) -> None:  # type: ignore[no-untyped-def]
    for _ in range(2400):
        if reached():
            return
        time.sleep(0.05)
    pytest.fail("it did not come to that in two minutes")


# ------------------------------------------------------------------------------------------------- what fails


def test_a_failed_check_pins_nothing(out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert session(out, one=failing) == 4
    at_home(tmp_path, monkeypatch)
    taken = gpu_take_in.take_in(out)
    assert taken.refused
    assert any("the check one failed on that machine" in line for line in taken.lines)
    assert not store.index()
    assert list(store.runs().glob("small/*/record.json"))  # for whoever has looked at the report


def test_what_cannot_be_compiled_runs_as_it_is(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch._dynamo.config, "disable", False)
    assert session(out, compiled=raising, other=passing) == 4
    assert torch._dynamo.config.disable
    text = (out / "report.txt").read_text()
    assert "failed     compiled: RuntimeError: no compiler (gpu_dry.py, line" in text
    assert "passed     other" in text
    assert "they ran as they are" in text
    torch._dynamo.config.disable = False


def test_no_check_is_begun_late(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_work, "CHECKS", 0.0)
    assert session(out) == 3
    assert "not run    one: no time was left." in (out / "report.txt").read_text()


def test_a_record_that_fails_does_not_keep_the_others(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(spec: small.SmallSpec, work: store.Work) -> store.Arrays:
        if spec.kind == "x" and spec.n == 7:
            raise MemoryError("out of memory")
        return slow(spec, work)

    monkeypatch.setattr(chapters, "find", lambda name: replace(SMALL, compute=broken))
    assert session(out) == 4
    rows = json.loads((out / "report.json").read_text())["records"]
    assert [r["state"] for r in rows] == ["finished", "failed", "finished"]
    assert rows[1]["text"].startswith("MemoryError: out of memory (test_gpu_session.py")


def test_what_does_not_fit_is_said(out: Path) -> None:
    session(out, "paper", seconds=180.0, limit=2500)
    report = json.loads((out / "report.json").read_text())
    assert any("did not fit into what goes back" in line for line in report["left_out"])
    assert all((out / name).stat().st_size <= 2500 for name in ("records.zip", "partial.zip"))


def test_the_newest_checkpoint_goes_first(tmp_path: Path) -> None:
    folder = tmp_path / "cifar" / KEY / f"partial-{KEY}"
    for place, name in enumerate(("old", "new")):
        files.write_atomic(folder / name / "checkpoint.pt", bytes(5000))
        os.utime(folder / name / "checkpoint.pt", (place, place))
        files.write_atomic(folder / name / "checkpoint-before.pt", bytes(5000))
        files.write_atomic(folder / f"{name}-5.npz", bytes(100))
    content, left = gpu_pack.packed(gpu_work._partial_files([folder]), tmp_path, 8000)
    assert [path.parent.name for path in left] == ["old"]
    files.write_atomic(tmp_path / "partial.zip", content)
    names = [m["file"] for m, _ in archives.unpacked(tmp_path / "partial.zip", gpu_pack.PARTIAL)]
    assert names == ["new-5.npz", "old-5.npz", "new/checkpoint.pt"]


# ---------------------------------------------------------------------------------------------- command line


def test_which_records(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    everything = gpu_work.wanted("paper")
    assert {name for name, _ in everything} == gpu_data.USES.keys()
    assert everything[1:3] == [("cifar_gap", {}), ("cifar", {"sweep": "n"})]
    assert gpu_work.wanted("paper", ["cifar sweep=n", "cifar_gap"]) == everything[2:0:-1]
    assert len(gpu_work.wanted("paper", ["cifar"])) == 5
    spec = chapters.find("cifar").profiles["paper"].replace(**everything[0][1])
    assert [row[0].steps for row in memorization.runs_of(spec)] == [7600, 12_000, 12_000]
    assert gpu_work.wanted("smoke") == [("cifar", {}), ("cifar_gap", {})]
    for words in (("paper", ["cif"]), ("gigantic", None)):
        with pytest.raises(UserError, match="There is no record 'cif'|No record has a profile 'gigantic'"):
            gpu_work.wanted(*words)


def test_data_that_lack_are_told_before_anything_runs(
    out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.undo()
    monkeypatch.setenv("DIFFNOTES_DATA", str(tmp_path))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    words = ["run", "--device", "cpu", "--only", "cifar_gap", "--out", str(out)]
    assert gpu_session.main(words) == 2
    assert capsys.readouterr().err.startswith("gpu_session: CIFAR-10 is not in ")
    assert not out.exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_no_gpu_is_told(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert gpu_session.main(["run", "--out", str(out)]) == 2
    assert capsys.readouterr().err == "gpu_session: There is no GPU here; `--device cpu` makes a dry run.\n"
    assert not out.exists()


def test_a_bare_machine_makes_what_is_pinned_here(
    out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The script as it stands, without git and without what a bare node lacks, on the CPU."""
    monkeypatch.undo()
    for name in ("bare", "home"):
        shutil.copytree(ROOT / "results", tmp_path / name / "results")
    block = f"import sys\nsys.modules.update(dict.fromkeys({BLOCKED!r}))\n"
    files.write_atomic(tmp_path / "site" / "sitecustomize.py", block.encode())
    env = {
        "PATH": "", "HOME": str(tmp_path), "PYTHONPATH": str(tmp_path / "site"), "OMP_NUM_THREADS": "1",
        "DIFFNOTES_ROOT": str(tmp_path / "bare"), "DIFFNOTES_COMMIT": "1" * 40,
    }  # fmt: skip
    words = ["run", "--profile", "smoke", "--device", "cpu", "--seconds", "300", "--out", str(out)]
    done = subprocess.run(
        [sys.executable, ROOT / "tools" / "gpu_session.py", *words],
        env=env, capture_output=True, text=True, timeout=600, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    report = gpu_take_in.read_report(out)
    assert {check["state"] for check in report["checks"]} == {"passed"}
    assert (report["machine"]["commit"], report["machine"]["dirty"]) == ("1" * 40, None)
    monkeypatch.setenv("DIFFNOTES_ROOT", str(tmp_path / "home"))
    monkeypatch.setattr(records, "commit", lambda: {"commit": "1" * 40, "dirty": False})
    before = {(e.experiment, e.profile, e.key) for e in store.index()}
    taken = gpu_take_in.take_in(out)
    assert not taken.refused, taken.lines
    asked = [row for row in report["records"] if row["profile"] == "smoke"]  # the others are pinned as twins
    assert sum(line.startswith("pinned: ") for line in taken.lines) == len(asked) == 2
    made = {(r["experiment"], r["profile"], r["key"]) for r in report["records"]}
    assert made <= {(e.experiment, e.profile, e.key) for e in store.index()}
    assert {row[:2] for row in before} <= {(e.experiment, e.profile) for e in store.index()}
