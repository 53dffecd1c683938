"""From a change on disk to what `status` and the page say, end to end, on a copy of the checkout."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import nbformat
import pytest
from forks import Forks
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

ROOT = Path(__file__).resolve().parents[2]
PAGE = """
from diffnotes import store
from diffnotes.chapters.toy import experiment as toy_model
from diffnotes.chapters.toy.figures import gap_curves

gap_curves(store.load(toy_model.EXPERIMENT))
"""
MISSING = """
from diffnotes import store
from diffnotes.chapters.loss_floor import curve

store.load(curve.EXPERIMENT, dataset="cifar10")
"""


@pytest.fixture
def checkout(tmp_path):
    """A copy of the package and its records, with nothing in runs/."""
    for name in ("diffnotes", "results"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def environment(checkout: Path) -> dict[str, str]:
    return {
        **os.environ,
        "PYTHONPATH": str(checkout),
        "DIFFNOTES_ROOT": str(checkout),
        "OMP_NUM_THREADS": "1",
    }


def status(forks: Forks, checkout: Path, *name: str) -> dict[str, tuple[str, str]]:
    """State and reason of everything shown, or of one experiment, by experiment and settings."""
    words = ("-m", "diffnotes", "status", *name, "--json")
    done = forks.run(*words, cwd=checkout, environment=environment(checkout))
    rows = json.loads(done.stdout)
    assert done.returncode == (4 if any(row["state"] != "valid" for row in rows) else 0), done.stderr
    return {f"{row['experiment']} {row['settings']}": (row["state"], row["reason"]) for row in rows}


def digest(forks: Forks, checkout: Path) -> str:
    """The digest of the toy model's code, which a record of it keeps."""
    source = "from diffnotes import chapters, store; print(store.code_digest(chapters.find('toy_model')))"
    done = forks.run("-c", source, cwd=checkout, environment=environment(checkout))
    assert done.returncode == 0, done.stderr
    return done.stdout


def page(checkout: Path, source: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """What a page shows for a cell: its html, or the text of its error."""
    for name, value in environment(checkout).items():
        monkeypatch.setenv(name, value)
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
    client = NotebookClient(notebook, kernel_name="python3", resources={"metadata": {"path": str(checkout)}})
    try:
        client.execute()
    except CellExecutionError:
        return "".join(notebook.cells[0].outputs[-1]["traceback"])
    return "".join(notebook.cells[0].outputs[-1]["data"]["text/html"])


def pinned(checkout: Path, experiment: str, profile: str = "laptop") -> Path:
    entries = json.loads((checkout / "results/index.json").read_text())["records"]
    key = next(e["key"] for e in entries if (e["experiment"], e["profile"]) == (experiment, profile))
    return checkout / "results" / experiment / key


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_an_untouched_checkout_is_valid(forks, checkout, monkeypatch):
    assert {state for state, _ in status(forks, checkout).values()} == {"valid"}
    assert "This result is" not in page(checkout, PAGE, monkeypatch)


def test_a_deleted_record_is_missing_and_the_page_names_the_command(forks, checkout, monkeypatch):
    entries = json.loads((checkout / "results/index.json").read_text())["records"]
    for entry in entries:
        if entry["shown"].get("dataset") == "cifar10":
            shutil.rmtree(checkout / "results" / entry["experiment"] / entry["key"])
    state, reason = status(forks, checkout, "loss_curve")["loss_curve {'dataset': 'cifar10'}"]
    assert state == "missing"
    assert "not there" in reason
    shown = page(checkout, MISSING, monkeypatch)
    assert "python -m diffnotes run loss_curve --profile laptop --set dataset=cifar10" in shown
    assert "Traceback" not in shown
    assert len(shown.strip().splitlines()) == 1


def test_one_byte_of_the_arrays_is_tampering(forks, checkout, monkeypatch):
    path = pinned(checkout, "toy_model") / "arrays.npz"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))
    assert status(forks, checkout, "toy_model")["toy_model {}"][0] == "tampered"
    shown = page(checkout, PAGE, monkeypatch)
    assert "is not what was recorded" in shown
    assert len(shown.strip().splitlines()) == 1


def test_a_changed_constant_of_the_formula_makes_the_toy_stale(forks, checkout, monkeypatch):
    edit(checkout / "diffnotes/chapters/toy/formulas.py", "2 * CIRCLE_RADIUS", "2.001 * CIRCLE_RADIUS")
    found = status(forks, checkout, "toy_model") | status(forks, checkout, "loss_curve")
    state, reason = found["toy_model {}"]
    assert state == "stale"
    assert "twin differs" in reason
    assert found["loss_curve {'dataset': 'digits'}"][0] == "valid"
    assert "This result is stale" in page(checkout, PAGE, monkeypatch)


def test_a_changed_comment_changes_nothing(forks, checkout):
    path, before = checkout / "diffnotes/chapters/toy/formulas.py", digest(forks, checkout)
    path.write_text(path.read_text() + "\n# Words only.\n")
    assert digest(forks, checkout) == before
    assert status(forks, checkout, "toy_model")["toy_model {}"][0] == "valid"
    edit(path, "2 * CIRCLE_RADIUS", "2.0 * CIRCLE_RADIUS")
    assert digest(forks, checkout) != before


def test_changed_code_with_the_same_numbers_stays_valid(forks, checkout):
    edit(checkout / "diffnotes/chapters/toy/formulas.py", "2 * CIRCLE_RADIUS", "2.0 * CIRCLE_RADIUS")
    state, reason = status(forks, checkout, "toy_model")["toy_model {}"]
    assert state == "valid"
    assert "the code has changed; the recomputed twin is equal" in reason
