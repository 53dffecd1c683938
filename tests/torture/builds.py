"""A book of one page, and builds of it that are killed at any moment."""

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

ROOT = Path(__file__).resolve().parents[2]
PAGE = """
from diffnotes import store
from diffnotes.chapters.toy import experiment as toy_model
from diffnotes.chapters.toy.figures import gap_curves

gap_curves(store.load(toy_model.EXPERIMENT))
"""


def make_book(folder: Path) -> None:
    """A book of one page with one figure, beside a copy of the package, the build tool and its record."""
    for name in ("diffnotes", "tools", "book"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    pin_one("toy_model", folder)
    for name in ("_config.yml", "pyproject.toml", "requirements.txt"):
        shutil.copy(ROOT / name, folder / name)
    (folder / "_toc.yml").write_text("format: jb-book\nroot: page\n")
    cells = [nbformat.v4.new_markdown_cell("# Page"), nbformat.v4.new_code_cell(PAGE)]
    spec = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=spec), folder / "page.ipynb")


def pin_one(experiment: str, folder: Path) -> None:
    """The pinned records of one experiment alone, as they are in this checkout."""
    shutil.copytree(ROOT / "results" / experiment, folder / "results" / experiment)
    shutil.copy(ROOT / "results/verified.json", folder / "results")
    index = json.loads((ROOT / "results/index.json").read_text(encoding="utf-8"))
    index["records"] = [entry for entry in index["records"] if entry["experiment"] == experiment]
    (folder / "results/index.json").write_text(json.dumps(index), encoding="utf-8")


def started(book: Path, *words: str) -> subprocess.Popen[str]:
    """A build of that book, begun."""
    environment = {**os.environ, "PYTHONPATH": str(book), "DIFFNOTES_ROOT": str(book), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, str(book / "tools/build_book.py"), *words], cwd=book, env=environment,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def figure(book: Path) -> str:
    """The figure of the built page, its record included."""
    html = (book / "_build/html/page.html").read_text(encoding="utf-8")
    return html[html.index("<figure") : html.index("</figure>")]


def killed(book: Path, kills: int, draw: random.Random) -> tuple[int, float]:
    """Builds the book, kills so many builds, builds it again: how many were killed, of how many seconds.

    What a stamp calls whole is the undisturbed page at any time, and so is the page of the last build.
    """
    for _ in range(2):  # the first one fills caches; the second one is as long as those that are killed
        start, whole = time.monotonic(), started(book)
        printed, _ = whole.communicate(timeout=600)
        assert whole.returncode == 0, printed
    seconds, expected = time.monotonic() - start, figure(book)
    assert "This result is" not in expected
    stamp = book / "_build/book.stamp"
    count = 0
    for _ in range(kills):
        process = started(book)
        time.sleep(draw.uniform(0.05, 0.95) * seconds)
        process.kill()
        process.communicate()
        count += process.returncode < 0
        assert not stamp.exists() or figure(book) == expected  # what says that it is whole is whole
    last = started(book, "--if-stale")
    printed, _ = last.communicate(timeout=600)
    assert last.returncode == 0, printed
    assert figure(book) == expected
    return count, seconds
