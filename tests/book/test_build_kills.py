"""A build that is killed at any moment leaves nothing that the next one, or a reader, takes for the book."""

from __future__ import annotations

import random
import sys
import time
from pathlib import Path

import builds
import psutil
import pytest

KILLS = 5


@pytest.fixture
def book(tmp_path: Path) -> Path:
    """A book of one page."""
    builds.make_book(tmp_path)
    return tmp_path


def test_builds_that_are_killed(book: Path, capsys: pytest.CaptureFixture[str]) -> None:
    killed, seconds = builds.killed(book, KILLS, random.Random(7))
    with capsys.disabled():
        print(f"\nbuilds killed: {killed} of {KILLS}, of {seconds:.0f} s each; then the same page")
    assert killed


def alive(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a process cannot ask to end with its parent")
def test_nothing_that_a_killed_build_began_goes_on(book: Path) -> None:
    process = builds.started(book)
    begun, end = [], time.monotonic() + 60
    while len(begun) < 2 and time.monotonic() < end:  # the builder, and what asks for a state
        begun = psutil.Process(process.pid).children()
        time.sleep(0.02)
    assert len(begun) == 2
    process.kill()
    process.communicate()
    _, left = psutil.wait_procs(begun, timeout=1)
    assert [one.cmdline() for one in left if alive(one)] == []
