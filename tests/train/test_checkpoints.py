"""Checkpoints that somebody else wrote: no code in them runs, nothing whole is thrown away, one sentence."""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from programs import Program
from torch import nn

from diffnotes.base.errors import UserError
from diffnotes.store import Work
from diffnotes.train import Batch, Plan, train
from diffnotes.train.checkpoints import newest
from diffnotes.train.evaluate import evaluated

PLAN = Plan(4, 2, horizons=(3,), precision="float32")
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Square:
    """The squared output of a network at the places of a batch."""

    def __call__(self, model: Callable[..., torch.Tensor], batch: Batch) -> torch.Tensor:
        return model(torch.tensor([[float(place)] for place in batch.places])).square().sum(1)


def run(folder: Path, stops: list[int]) -> list[torch.Tensor]:
    """The weights at the end of a run that goes on from what is in a folder."""
    torch.manual_seed(0)
    model = nn.Linear(1, 2)
    list(train(model, Square(), PLAN, stops, folder))
    return [w.detach() for w in model.parameters()]


@pytest.fixture
def half(tmp_path: Path) -> Path:
    """The folder of a run that has come half the way."""
    run(tmp_path / "run", [2])
    return tmp_path / "run"


def put(folder: Path, content: bytes) -> None:
    """A checkpoint with a digest that is right."""
    (folder / "checkpoint.pt").write_bytes(hashlib.sha256(content).digest() + content)


def changed(folder: Path, **changes: Any) -> None:
    """The checkpoint of a folder with other words in it; None takes one away."""
    state = newest(folder, CPU)
    assert state is not None
    buffer = io.BytesIO()
    torch.save({k: v for k, v in (state | changes).items() if v is not None}, buffer)
    put(folder, buffer.getvalue())


def in_zip(content: bytes) -> bytes:
    """A pickle where `torch.save` puts it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as target:
        target.writestr("archive/data.pkl", content)
        target.writestr("archive/version", "3\n")
    return buffer.getvalue()


@pytest.mark.parametrize("wrapped", [in_zip, bytes])
def test_no_program_in_a_checkpoint_runs(half: Path, wrapped: Callable[[bytes], bytes]) -> None:
    mark = half / "mark"
    put(half, wrapped(pickle.dumps(Program(mark))))
    with pytest.raises(UserError, match=r"checkpoint\.pt cannot be loaded"):
        run(half, [4])
    assert not mark.exists()
    pickle.loads(pickle.dumps(Program(mark)))
    assert mark.exists()  # it would have


@pytest.mark.parametrize(
    "changes",
    [
        {"step": None}, {"step": "2"}, {"step": -1},
        {"identity": None}, {"identity": 5}, {"identity": {"plan": 5}},
        {"weights": None}, {"weights": [torch.zeros(1)]}, {"weights": "x"}, {"averages": {}}, {"averages": 5},
        {"optimizer": {}}, {"optimizer": {"state": {}, "param_groups": []}}, {"total": "x"}, {"memory": 5},
    ],
    ids=str,
)  # fmt: skip
def test_a_state_that_no_run_writes_gets_a_sentence(half: Path, changes: dict[str, Any]) -> None:
    changed(half, **changes)
    with pytest.raises(UserError, match=r"delete (it|that folder) to start over"):
        run(half, [4])


@pytest.mark.parametrize("content", [b"", b"\x80\x04K\x05.", in_zip(b""), in_zip(pickle.dumps([1]))])
def test_what_is_no_state_gets_a_sentence(half: Path, content: bytes) -> None:
    put(half, content)
    with pytest.raises(UserError, match="to start over"):
        run(half, [4])


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo, lambda path: path.symlink_to("/dev/zero")])
def test_what_is_no_plain_file_is_not_read(half: Path, make: Callable[[Path], None]) -> None:
    (half / "checkpoint.pt").unlink()
    make(half / "checkpoint.pt")
    with pytest.raises(UserError, match=r"checkpoint\.pt cannot be loaded"):
        run(half, [4])


def test_a_run_is_not_started_over_for_want_of_memory(half: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = (half / "checkpoint.pt").read_bytes()

    def full(*_: object, **__: object) -> None:
        raise RuntimeError("not enough memory")

    monkeypatch.setattr(torch, "load", full)
    with pytest.raises(UserError, match="free memory"):
        evaluated(Work(half.parent), half.name, [2, 4], lambda folder: iter(()), lambda snapshot: {})
    assert (half / "checkpoint.pt").read_bytes() == before


def test_a_good_one_goes_on(half: Path, tmp_path: Path) -> None:
    assert all(map(torch.equal, run(half, [4]), run(tmp_path / "whole", [4])))
