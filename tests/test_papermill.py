"""Chapter 1 as a batch job: it computes what it is asked, and refuses nonsense with one sentence."""

from __future__ import annotations

from pathlib import Path

import nbformat
import papermill
import pytest

from diffnotes import store

ROOT = Path(__file__).resolve().parents[1]
CHAPTER = ROOT / "notebooks" / "01_toy_model.ipynb"


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
    """Records of these runs go to a folder of their own."""
    monkeypatch.setenv("DIFFNOTES_ROOT", str(tmp_path))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))


def execute(tmp_path, **parameters):
    out = tmp_path / "out.ipynb"
    papermill.execute_notebook(CHAPTER, out, parameters, kernel_name="python3", progress_bar=False)
    return nbformat.read(out, as_version=4)


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
    with pytest.raises(papermill.PapermillExecutionError) as caught:
        execute(tmp_path, **parameters)
    assert sentence in caught.value.evalue
    assert len(caught.value.traceback) == 1  # the sentence, and no call stack
    assert not list(tmp_path.glob("runs/*"))
