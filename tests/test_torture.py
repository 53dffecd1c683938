"""`make torture` in small: its parts still run, and find nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parent
PARTS = (
    "processes at once", "forged files of the store", "checkpoints", "TorchScript", "images and data sets",
    "argument lists and settings", "calls of functions",
)  # fmt: skip


def test_a_hundredth_of_it() -> None:
    path = os.pathsep.join([str(TESTS), str(TESTS.parent)])
    here = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    words = [sys.executable, str(TESTS / "torture/run.py"), "--share", "0.01", *PARTS]
    done = subprocess.run(words, env=here, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert done.stdout.endswith("no case failed\n")
    assert done.stdout.count(" cases, ") == len(PARTS)
