"""What came back from a GPU is taken in with suspicion: nothing unsafe, damaged, or of other code."""

from __future__ import annotations

import contextlib
import json
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path

import gpu_take_in
import numpy as np
import pytest
import small
from gpu_dry import SMALL, at_home, session, slow

from diffnotes import chapters, store
from diffnotes.base import files
from diffnotes.base.errors import UserError
from diffnotes.store import staleness

KEY = "0123456789abcdef"
pytestmark = pytest.mark.usefixtures("there")


UNSAFE = (
    "../x", "/etc/x", f"small/{KEY}/../../x", f"small/{KEY}/record.json/", f"small/{KEY[:-1]}/record.json",
    f"small/{KEY.upper()}/record.json", f"small/{KEY}/other.json", f"small\\{KEY}\\record.json",
    f"small/{KEY}/partial-{KEY}/../seconds", f"small/{KEY}/partial-{KEY}/.hidden.npz",
    f"small/{KEY}/partial-{KEY}/a/b/checkpoint.pt", f"small/{KEY}/partial-{KEY}/a/checkpoint-before.pt",
    f"small/{KEY}/record.json\n", f"./small/{KEY}/record.json", f"small/{KEY}/partial-{KEY}/run.py",
)  # fmt: skip


@pytest.mark.parametrize("name", UNSAFE)
@pytest.mark.parametrize("file", ["records.zip", "partial.zip"])
def test_names_that_no_run_has_are_refused(
    name: str, file: str, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session(out)
    good = zipfile.ZipFile(out / "records.zip").namelist()[0]
    with zipfile.ZipFile(out / file, "w") as target:
        target.writestr(good if file == "records.zip" else f"small/{KEY}/partial-{KEY}/seconds", b"1.0")
        target.writestr(name, b"1.0")
    home = at_home(tmp_path, monkeypatch)
    before = sorted(tmp_path.rglob("*"))
    taken = gpu_take_in.resume(out)
    assert taken.refused
    assert any(f"refused: {file} holds" in line for line in taken.lines)
    new = [path for path in sorted(tmp_path.rglob("*")) if path not in before]
    assert all(path.is_relative_to(home / "runs") or path in (home, home / "runs") for path in new)
    if file == "records.zip":
        assert not list(home.rglob("*.json"))


def test_other_zips_are_refused(out: Path) -> None:
    session(out)
    path = out / "records.zip"
    names = zipfile.ZipFile(path).namelist()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        target.writestr(names[0], bytes(10**6))
    assert "is compressed" in refusal(out)
    with zipfile.ZipFile(path, "w") as target:
        target.writestr(names[0], b"1")
        with pytest.warns(UserWarning, match="Duplicate"):
            target.writestr(names[0], b"2")
    assert "holds a file twice" in refusal(out)
    with zipfile.ZipFile(path, "w") as target:
        target.writestr(names[0].replace("small", "another"), b"1")
    assert "which is no experiment" in refusal(out)
    path.write_bytes(b"nothing of the kind")
    assert "is damaged" in refusal(out)
    path.unlink()
    assert "There is no records.zip" in refusal(out)


def refusal(out: Path) -> str:
    taken = gpu_take_in.resume(out)
    assert taken.refused
    return "\n".join(taken.lines)


@pytest.mark.parametrize("file", ["records.zip", "partial.zip", "report.json"])
def test_a_flipped_bit_never_makes_another_record(
    file: str, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session(out, "paper", seconds=180.0)
    home = at_home(tmp_path, monkeypatch)
    good = out / file
    content = good.read_bytes()
    gpu_take_in.resume(out)
    right = {path.relative_to(home): path.read_bytes() for path in home.rglob("*") if path.is_file()}
    assert len(right) >= 4
    for place in range(0, len(content), max(1, len(content) // 60)):
        shutil.rmtree(home, ignore_errors=True)
        damaged = bytearray(content)
        damaged[place] ^= 1 << place % 8
        good.write_bytes(damaged)
        with contextlib.suppress(UserError):
            gpu_take_in.take_in(out)
        for path in home.glob("runs/**/*"):
            if path.is_file() and path.name != "verified.json":
                assert path.read_bytes() == right[path.relative_to(home)], place


def test_a_partial_result_that_is_damaged_is_refused_alone(
    out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = f"small/{KEY}/partial-{KEY}"
    sealed = files.sealed(files.npz_bytes({"a": np.arange(3)}), "good")
    session(out)
    with zipfile.ZipFile(out / "partial.zip", "w") as target:
        for name in ("good.npz", "bad.npz"):  # the second holds what was sealed under another name
            target.writestr(f"{folder}/{name}", sealed)
        target.writestr(f"{folder}/run/checkpoint.pt", b"x" * 100)
        target.writestr(f"{folder}/seconds", b"ten")
    home = at_home(tmp_path, monkeypatch)
    taken = gpu_take_in.resume(out)
    assert sum("is damaged; it is made again" in line for line in taken.lines) == 3
    assert [path.name for path in (home / "runs" / folder).rglob("*")] == ["good.npz"]


def test_the_further_checkpoint_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from diffnotes.train.checkpoints import Checkpoints

    taken, name = gpu_take_in.Taken(), Path("small") / KEY / f"partial-{KEY}" / "run"
    for step, end in ((5, 5), (3, 5), (8, 8)):
        Checkpoints(tmp_path / name, {}).save({"step": step})
        gpu_take_in._place_partial(tmp_path / name / "checkpoint.pt", tmp_path, taken)
        assert gpu_take_in._step(store.runs() / name) == end
    assert not taken.refused


def test_a_record_of_the_same_code_is_kept(out: Path) -> None:
    session(out)
    taken = gpu_take_in.take_in(out)
    assert sum("is here already, by the same code; kept" in line for line in taken.lines) == 3
    assert not taken.refused


def test_a_damaged_record_here_is_replaced(out: Path) -> None:
    session(out)
    for path in store.runs().glob("small/*/arrays.npz"):
        path.write_bytes(b"")
    assert sum("in place of the one here" in line for line in gpu_take_in.take_in(out).lines) == 3


def test_other_code_is_told(out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    session(out)
    at_home(tmp_path, monkeypatch)

    def doubled(spec: small.SmallSpec, work: store.Work) -> store.Arrays:
        return {k: 2 * v if v.dtype.kind == "f" else v for k, v in slow(spec, work).items()}

    monkeypatch.setattr(chapters, "find", lambda name: replace(SMALL, compute=doubled))
    for module in (staleness, store):
        monkeypatch.setattr(module, "code_digest", lambda experiment: KEY)
    taken = gpu_take_in.take_in(out)
    assert taken.refused
    (line, _) = [line for line in taken.lines if line.startswith("not pinned")]
    assert "its twin smoke no longer holds" in line
    assert f"the code here is {KEY}" in line
    assert f"`git checkout {'0' * 40}` and take it in again" in line


def test_no_report_is_told(out: Path) -> None:
    with pytest.raises(UserError, match="There is no report.json"):
        gpu_take_in.take_in(out)
    files.write_atomic(out / "report.json", b'{"format": 2}')
    with pytest.raises(UserError, match="is no report of a session"):
        gpu_take_in.take_in(out)
    session(out)
    content = json.loads((out / "report.json").read_text()) | {"format": 2}
    files.write_atomic(out / "report.json", json.dumps(content).encode())
    with pytest.raises(UserError, match="has format 2"):
        gpu_take_in.take_in(out)
