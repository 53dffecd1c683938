"""Hundreds of kills, a thousand damaged files: the same bits as undisturbed, nothing wrong called valid."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
KILLS, DAMAGE = 200, 1000


def counted(capsys, kind: str, count: int) -> dict[str, int]:
    """What `faults.py` counted, printed for whoever reads the log of the tests."""
    here = os.pathsep.join([str(TESTS), str(TESTS.parent)])
    environment = {**os.environ, "PYTHONPATH": here, "OMP_NUM_THREADS": "1"}
    words = [sys.executable, str(TESTS / "torture/faults.py"), kind, str(count), "20261128"]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=1500)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout)
    with capsys.disabled():
        print(f"\n{kind}: " + ", ".join(f"{found[name]:,} {name}" for name in sorted(found)))
    return found


def test_random_kills(capsys: pytest.CaptureFixture[str]) -> None:
    found = counted(capsys, "kills", KILLS)
    assert sum(n for name, n in found.items() if name.endswith(": killed")) >= KILLS
    assert found["same bits afterwards"] == KILLS
    assert found["FAILED: wrong shown as valid"] == 0


def test_damaged_records_and_partial_results(capsys: pytest.CaptureFixture[str]) -> None:
    found = counted(capsys, "damage", DAMAGE)
    assert sum(n for name, n in found.items() if name.startswith("damaged")) == DAMAGE
    assert found["damaged partial result"] > 50
    assert found["same bits afterwards"] == DAMAGE
    assert found["FAILED: wrong shown as valid"] == 0
