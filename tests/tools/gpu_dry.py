"""A session on a GPU without a GPU: a small experiment, checks that pass and fail, and two machines."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import gpu_checks
import gpu_pack
import gpu_work
import numpy as np
import pytest
import small
import torch

from diffnotes import chapters, store

_clock = [0.0]


def wait() -> None:
    """Let time go by: a minute on the clock of `set_up`, half a second on a real one."""
    _clock[0] += 60.0
    if time.monotonic() != _clock[0]:
        time.sleep(0.5)


def slow(spec: small.SmallSpec, work: store.Work) -> store.Arrays:
    """As `small.compute`, with time for each number of the heavy profile."""
    saved = work.load("sums")
    values = list(saved["values"]) if saved else []
    for i in range(len(values), spec.n):
        if spec.n > 20:
            wait()
        values.append(spec.factor * i)
        work.save("sums", {"values": np.array(values)})
        work.step(i + 1, spec.n)
    return {"values": np.array(values), "name": np.array([spec.kind])}


SMALL = replace(
    small.EXPERIMENT,
    compute=slow,
    profiles={"smoke": small.SmallSpec(), "laptop": small.SmallSpec(n=7), "paper": small.SmallSpec(n=22)},
)


def passing(where: torch.device) -> list[gpu_checks.Deviation]:
    return [gpu_checks.Deviation("a thing", 0.5, 1.0)]


def failing(where: torch.device) -> list[gpu_checks.Deviation]:
    return [gpu_checks.Deviation("a thing", 1.5, 1.0)]


def raising(where: torch.device) -> list[gpu_checks.Deviation]:
    raise RuntimeError("no compiler\nand more")


def set_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """From here on this is the machine with the GPU; its one experiment is small."""
    monkeypatch.setenv("DIFFNOTES_ROOT", str(tmp_path / "there"))
    monkeypatch.setattr(time, "monotonic", lambda: _clock[0])
    monkeypatch.setattr(chapters, "find", lambda name: SMALL)
    monkeypatch.setattr(chapters, "names", lambda: ("small",))
    monkeypatch.setattr(gpu_work, "RECORDS", (("small", {"kind": "x"}), ("small", {"kind": "y"})))
    return tmp_path / "there"


def session(
    out: Path, profile: str = "laptop", seconds: float = 60.0, limit: int = gpu_pack.MIB, **checks
) -> int:  # type: ignore[no-untyped-def]
    return gpu_work.Session(out, profile, seconds, None, limit).run(checks or {"one": passing})


def at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """From here on this is the machine without a GPU."""
    monkeypatch.setenv("DIFFNOTES_ROOT", str(tmp_path / "home"))
    return tmp_path / "home"
