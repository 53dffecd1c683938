"""Chapters as batch jobs: they compute what they are asked, and refuse nonsense with one sentence."""

from __future__ import annotations

from pathlib import Path

import nbformat
import papermill
import pytest

from diffnotes import store

ROOT = Path(__file__).resolve().parents[2]
TOY, MEMORIZATION, LOSS = (
    ROOT / "notebooks" / f"{name}.ipynb"
    for name in ("01_toy_model", "03_cifar_memorization", "04_imagenet_loss_gap")
)


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
    """Records of these runs go to a folder of their own."""
    monkeypatch.setenv("DIFFNOTES_ROOT", str(tmp_path))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))


def execute(tmp_path, chapter=TOY, **parameters):
    out = tmp_path / "out.ipynb"
    papermill.execute_notebook(chapter, out, parameters, kernel_name="python3", progress_bar=False)
    return nbformat.read(out, as_version=4)


def refusal(tmp_path, chapter, **parameters):
    """The sentence with which a chapter stops, before anything is computed."""
    with pytest.raises(papermill.PapermillExecutionError) as caught:
        execute(tmp_path, chapter, **parameters)
    assert len(caught.value.traceback) == 1  # the sentence, and no call stack
    assert not list(tmp_path.glob("runs/*"))
    return caught.value.evalue


def test_parameters_reach_the_record(tmp_path):
    notebook = execute(tmp_path, profile="smoke", delta=1.45)
    shown = "".join(str(out) for cell in notebook.cells for out in cell.get("outputs", []))
    assert "profile smoke, delta = 1.45" in shown
    [record] = [store.records.read(path.parent) for path in tmp_path.glob("runs/toy_model/*/record.json")]
    assert record.spec["delta"] == 1.45
    assert record.profile == "smoke"


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        (
            {"detla": 1},
            "unknown parameter 'detla' (did you mean delta?); the valid names are profile, n_train, delta",
        ),
        ({"delta": "abc"}, "delta must be a number from 0.01 to 50; not 'abc'."),
        ({"delta": -1}, "delta must be a number from 0.01 to 50; not -1."),
        ({"profile": "papr"}, "profile must be one of pinned, smoke, laptop; not 'papr'."),
    ],
)
def test_a_wrong_parameter_gets_one_sentence(tmp_path, parameters, sentence):
    assert sentence in refusal(tmp_path, TOY, **parameters)


@pytest.mark.parametrize(
    ("chapter", "parameters", "sentence"),
    [
        (
            TOY,
            {"profile": "paper"},
            "one of pinned, smoke, laptop; not 'paper', which exists for cifar_gap alone.",
        ),
        (
            MEMORIZATION,
            {"profile": "paper"},
            "one of pinned, smoke, laptop; not 'paper', which exists for cifar alone.",
        ),
        (MEMORIZATION, {"seeds": [1]}, "unknown parameter 'seeds'; the valid names are profile."),
        (LOSS, {"source": 700}, "unknown parameter 'source' (did you mean sources?)"),
        (LOSS, {"sigma_min": 0.0}, "sigma_min must be a number from 1e-06 to 1000; not 0.0."),
        (LOSS, {"dataset": "mnist"}, "dataset must be one of digits, cifar10, imagenet64"),
        (LOSS, {"sed": 7}, "unknown parameter 'sed' (did you mean seed?)"),
    ],
)
def test_a_chapter_offers_only_what_all_of_it_takes(tmp_path, chapter, parameters, sentence):
    assert sentence in refusal(tmp_path, chapter, **parameters)


def short(tmp_path, *lines):
    """Chapter 1 up to its second cell, with other lines in its parameters cell."""
    notebook = nbformat.read(TOY, as_version=4)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"][:2]
    cells[0].source = "\n".join([cells[0].source.splitlines()[0], *lines])
    cells[1].source = cells[1].source.replace("record = ", "print(request)\n# ")
    notebook.cells = cells
    nbformat.write(notebook, tmp_path / "short.ipynb")
    return tmp_path / "short.ipynb"


def test_annotated_and_unpacked_parameters_count_beside_those_given(tmp_path):
    chapter = short(tmp_path, "profile: str = 'smoke'", "delta: float = 1.2", "n_train, seed = 6, 3")
    found = execute(tmp_path, chapter, delta=1.45)
    assert "Request(profile='smoke', settings={'delta': 1.45, 'n_train': 6, 'seed': 3})" in str(
        found.cells[-1]
    )


def test_a_value_that_papermill_cannot_write_as_a_literal_is_refused(tmp_path):
    chapter = short(tmp_path, "delta = 1.2")
    assert "not `delta = float('inf')` (its line 2)" in refusal(tmp_path, chapter, delta=float("inf"))


def test_anything_but_plain_values_is_refused(tmp_path):
    assert "not `import math` (its line 2)" in refusal(tmp_path, short(tmp_path, "import math"), delta=1.45)
