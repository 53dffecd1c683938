"""The chapter in CONTRIBUTING.md is real: made in a copy of the package, it is run, judged and drawn."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import nbformat
import numpy as np
import pytest
from forks import Forks
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from diffnotes import data

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
PRINTED = re.compile(
    r"^`([\w/]+\.(?:py|toml|ipynb))` [^`]*(?:`# %%`[^`]*)?\n\n```\w+\n(.*?)```", re.DOTALL | re.MULTILINE
)
ADDED = re.compile(r"```text\n( +(?:\"|- file).*?)```", re.DOTALL)  # one for ROOMS, one for _toc.yml
PAGE = "notebooks/07_nearest.ipynb"
Book = Callable[..., str]


def cells(text: str) -> Iterator[NotebookNode]:
    """The cells of a page that is printed as text; the word after `# %%` is a tag, or the kind."""
    for number, part in enumerate(re.split(r"^# %%", text, flags=re.MULTILINE)[1:]):
        kind, source = part.split("\n", 1)
        word, name = kind.strip(), f"cell-{number}"
        if word == "markdown":
            yield new_markdown_cell(source.strip(), id=name)
        else:
            yield new_code_cell(source.strip(), id=name, metadata={"tags": [word]} if word else {})


def write(folder: Path) -> None:
    """All printed files, and the two printed lines."""
    for name, content in PRINTED.findall(TEXT):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        if name.endswith(".ipynb"):
            nbformat.write(new_notebook(cells=list(cells(content))), folder / name)
        else:
            (folder / name).write_text(content, encoding="utf-8")
    room, page = ADDED.findall(TEXT)
    insert(folder / "diffnotes" / "chapters" / "__init__.py", r"ROOMS = \(\n(?:.*\n)*?(?=\))", room)
    insert(folder / "_toc.yml", r"(?:.*\n)*?(?=  - caption: Checks)", page)


def insert(path: Path, where: str, line: str) -> None:
    """Put a line behind the place that the pattern ends with."""
    text = path.read_text(encoding="utf-8")
    assert re.search(where, text)
    path.write_text(re.sub(where, lambda found: found[0] + line, text, count=1), encoding="utf-8")


def own(folder: Path) -> dict[str, str]:
    """The environment of a command in the checkout."""
    added = {"PYTHONPATH": f"{folder}{os.pathsep}{folder / 'tests'}", "IPYTHONDIR": str(folder / "ipython")}
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("DIFFNOTES", "GIT_"))}
    return {**kept, **added}


def said(folder: Path, *command: str, inside: str = ".") -> str:
    """What a command prints, run in the checkout."""
    done = subprocess.run(
        command, cwd=folder / inside, env=own(folder), capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package, without records, with the printed chapter in it and committed."""
    folder = tmp_path_factory.mktemp("checkout")
    shutil.copytree(ROOT / "diffnotes", folder / "diffnotes", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "tests", folder / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("_toc.yml", "pyproject.toml", ".gitignore"):
        shutil.copy(ROOT / name, folder)
    write(folder)
    name = ["-c", "user.name=n", "-c", "user.email=e"]
    for words in (["init", "-q"], ["add", "."], [*name, "commit", "-q", "-m", "A chapter"]):
        said(folder, "git", *words)
    return folder


@pytest.fixture(scope="module")
def book(checkout: Path, forks: Forks) -> Book:
    """`python -m diffnotes WORDS` in the checkout: what it prints when it ends with this code."""

    def run(*words: str, code: int = 0) -> str:
        done = forks.run("-m", "diffnotes", *words, cwd=checkout, environment=own(checkout))
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout

    return run


@pytest.fixture(scope="module")
def key(book: Book) -> str:
    """The key of the record, which is pinned."""
    found = book("run", "nearest").split()[0]
    book("pin", found)
    return found


def test_all_of_it_is_printed() -> None:
    room = {
        f"diffnotes/chapters/nearest/{name}.py" for name in ("__init__", "experiment", "readings", "figures")
    }
    room |= {f"diffnotes/chapters/nearest/claims.{ending}" for ending in ("py", "toml")}
    assert {name for name, _ in PRINTED.findall(TEXT)} == {*room, "tests/nearest/cases.py", PAGE}


def test_its_style_is_that_of_the_book(checkout: Path) -> None:
    files = [str(checkout / name) for name, _ in PRINTED.findall(TEXT) if name.endswith(".py")]
    for words in (["check"], ["format", "--check"]):
        said(checkout, sys.executable, "-m", "ruff", *words, "--config", "pyproject.toml", *files)


def test_its_record_is_valid_and_another_seed_is_another(book: Book, key: str) -> None:
    [row] = json.loads(book("status", "nearest", "--json"))
    assert (row["state"], row["figures"]) == ("valid", ["07_nearest#nearest_distance"])
    assert "valid    nearest: the recomputed twin is equal" in book("verify", "nearest")
    assert book("run", "nearest", "--set", "seed=1").split()[0] != key


def test_its_numbers_are_what_it_says(checkout: Path, key: str) -> None:
    with np.load(checkout / "results" / "nearest" / key / "arrays.npz") as found:
        n, distance = found["n"].tolist(), found["distance"]
    unseen = data.load("digits", split="validation").x.double().flatten(1)
    train = data.load("digits", 50).x.double().flatten(1)
    expected = float((unseen[:, None] - train[None]).square().sum(-1).amin(1).sqrt().mean())
    assert n == [50, 200, 800]
    assert np.isclose(distance[0], expected, rtol=1e-5)
    assert (np.diff(distance) < 0).all()


def test_its_mistakes_are_sentences(book: Book) -> None:
    book("run", "nearest", "--set", "sizes=(5000,)", code=2)
    book("run", "nearest", "--set", "size=5", code=2)


def test_its_claim_is_judged_and_can_hold_and_fail(checkout: Path, book: Book, key: str) -> None:
    rows = json.loads(book("claims", "--json", code=4))  # the records of the others are not here
    [row] = [row for row in rows if row["id"] == "ours-nearest"]
    assert (row["verdict"], row["state"], row["record"]) == ("reproduced", "valid", key)
    words = ("-q", "-p", "no:cacheprovider", "tests/chapters/test_cases.py", "-k", "ours-nearest")
    assert "2 passed" in said(checkout, sys.executable, "-m", "pytest", *words)


def test_its_page_keeps_the_contract_and_shows_the_figure(checkout: Path, key: str) -> None:
    contract = contract_of_notebooks()
    notebook = nbformat.v4.reads_json((checkout / PAGE).read_text(encoding="utf-8"))
    assert contract.faults(notebook, contract.RULES + contract.CHAPTER_RULES) == []
    run = "import nbformat, nbclient; page = nbformat.read('07_nearest.ipynb', 4)"
    run += "; nbclient.NotebookClient(page).execute(); print(nbformat.writes(page))"
    out = said(checkout, sys.executable, "-c", run, inside="notebooks")
    pages = [str(output) for cell in nbformat.reads(out, 4).cells for output in cell.get("outputs", [])]
    assert any("<svg" in page and key in page for page in pages)
    assert any("dn-reproduced" in page for page in pages)


def contract_of_notebooks():
    """The rules of every notebook."""
    path = ROOT / "tests" / "book" / "test_notebook_contract.py"
    spec = importlib.util.spec_from_file_location("notebook_contract", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
