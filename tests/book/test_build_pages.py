"""Notebooks of a build share kernels, and know nothing of each other."""

from __future__ import annotations

from pathlib import Path

import build_book
import build_pages
import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

FRESH = """
import sys
assert 'x' not in globals() and 'json' in sys.modules
assert not [cell for cell in In[:-1] if cell]
"""


def page(folder: Path, name: str, *cells: str) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}.ipynb"
    nbformat.write(new_notebook(cells=[new_code_cell(cell) for cell in cells]), path)
    return path


def test_a_notebook_knows_nothing_of_those_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    here, there = tmp_path / "here", tmp_path / "there"
    paths = [
        page(here, "first", "import json\nx = 1", "import os\nassert os.getcwd().endswith('here')"),
        page(there, "second", FRESH, "import os\nassert os.getcwd().endswith('there')"),
        page(here, "fails", "raise ValueError('on purpose')", "x = 2"),
        page(here, "kills", "import os\nos._exit(1)"),
        page(here, "last", "assert 'x' not in globals()\nprint('done')"),
    ]
    found = build_pages.execute_all(paths)
    assert [done.whole for done in found] == [True, True, False, False, True]
    assert found[-1].notebook.cells[0].outputs[0]["text"] == "done\n"


def test_notebooks_are_shared_out_there_and_back() -> None:
    paths = [Path(name) for name in "abcde"]
    assert build_pages.shared(paths) == [[Path("a"), Path("d"), Path("e")], [Path("b"), Path("c")]]
    assert build_pages.shared(paths[:1]) == [[Path("a")], []]


def test_no_notebook_is_executed_twice(site: Path) -> None:
    """What was executed here is what the builder finds."""
    log = build_book.LOG.read_text(encoding="utf-8")
    assert log.count("Using cached notebook") == len(build_pages.notebooks())
    assert "Executed notebook in" not in log
