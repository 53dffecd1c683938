"""A build that is killed at any moment leaves nothing that the next one, or a reader, takes for the book."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import psutil
import pytest

ROOT = Path(__file__).resolve().parents[2]
KILLS = 5
PAGE = """
from diffnotes import store
from diffnotes.chapters.toy import experiment as toy_model
from diffnotes.chapters.toy.figures import gap_curves

gap_curves(store.load(toy_model.EXPERIMENT))
"""


@pytest.fixture
def book(tmp_path: Path) -> Path:
    """A book of one page with one figure, beside a copy of the package, the build tool and its record."""
    for name in ("diffnotes", "results/toy_model", "tools", "book"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "results" / "verified.json", tmp_path / "results")
    index = json.loads((ROOT / "results" / "index.json").read_text(encoding="utf-8"))
    index["records"] = [entry for entry in index["records"] if entry["experiment"] == "toy_model"]
    (tmp_path / "results" / "index.json").write_text(json.dumps(index), encoding="utf-8")
    for name in ("_config.yml", "pyproject.toml", "requirements.txt"):
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "_toc.yml").write_text("format: jb-book\nroot: page\n")
    cells = [nbformat.v4.new_markdown_cell("# Page"), nbformat.v4.new_code_cell(PAGE)]
    spec = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=spec), tmp_path / "page.ipynb")
    return tmp_path


def started(book: Path, *words: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(book), "DIFFNOTES_ROOT": str(book), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, str(book / "tools/build_book.py"), *words], cwd=book, env=environment,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def figure(book: Path) -> str:
    """The figure of the built page, its record included."""
    html = (book / "_build/html/page.html").read_text(encoding="utf-8")
    return html[html.index("<figure") : html.index("</figure>")]


def test_builds_that_are_killed(book: Path, capsys: pytest.CaptureFixture[str]) -> None:
    draw = random.Random(7)
    for _ in range(2):  # the first one fills caches; the second one is as long as those that are killed
        start, whole = time.monotonic(), started(book)
        printed, _ = whole.communicate(timeout=600)
        assert whole.returncode == 0, printed
    seconds, expected = time.monotonic() - start, figure(book)
    assert "This result is" not in expected
    stamp = book / "_build/book.stamp"
    killed = 0
    for _ in range(KILLS):
        process = started(book)
        time.sleep(draw.uniform(0.05, 0.95) * seconds)
        process.kill()
        process.communicate()
        killed += process.returncode < 0
        assert not stamp.exists() or figure(book) == expected  # what says that it is whole is whole
    last = started(book, "--if-stale")
    printed, _ = last.communicate(timeout=600)
    assert last.returncode == 0, printed
    assert figure(book) == expected
    with capsys.disabled():
        print(f"\nbuilds killed: {killed} of {KILLS}, of {seconds:.0f} s each; then the same page")
    assert killed


def alive(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a process cannot ask to end with its parent")
def test_nothing_that_a_killed_build_began_goes_on(book: Path) -> None:
    process = started(book)
    begun, end = [], time.monotonic() + 60
    while len(begun) < 2 and time.monotonic() < end:  # the builder, and what asks for a state
        begun = psutil.Process(process.pid).children()
        time.sleep(0.02)
    assert len(begun) == 2
    process.kill()
    process.communicate()
    _, left = psutil.wait_procs(begun, timeout=1)
    assert [one.cmdline() for one in left if alive(one)] == []
