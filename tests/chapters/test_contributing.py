"""The experiment in CONTRIBUTING.md is real: it is run, pinned and loaded exactly as printed there."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from diffnotes import store
from diffnotes.data import sets as data

TEXT = Path(__file__).parents[2] / "CONTRIBUTING.md"


@pytest.fixture
def printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, committed: None) -> store.Experiment:
    monkeypatch.setenv("DIFFNOTES_ROOT", str(tmp_path))
    (block,) = re.findall(r"```python\n(.*?)```", TEXT.read_text(encoding="utf-8"), re.DOTALL)
    file = tmp_path / "printed_experiment.py"
    file.write_text(block, encoding="utf-8")
    spec = importlib.util.spec_from_file_location("printed_experiment", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "printed_experiment", module)
    spec.loader.exec_module(module)
    return module.EXPERIMENT


def test_the_printed_experiment_runs_and_is_pinned(printed: store.Experiment) -> None:
    record = store.run(printed, "laptop")
    store.pin(printed, record.key)
    shown = store.load(printed)
    assert shown.key == record.key
    assert shown.state == "valid"
    assert store.verify(printed).name == "valid"
    assert store.run(printed, "laptop", seed=1).key != record.key


def test_its_numbers_are_what_it_says(printed: store.Experiment) -> None:
    record = store.run(printed, "smoke")
    unseen = data.load("digits", split="validation").x.double().flatten(1)
    train = data.load("digits", 20).x.double().flatten(1)
    squares = (unseen[:, None] - train[None]).square().sum(-1)
    expected = float(squares.amin(1).sqrt().mean())
    assert record["n"].tolist() == [20, 50]
    assert np.isclose(record["distance"][0], expected, rtol=1e-5)
    assert record["distance"][1] < record["distance"][0]
    assert torch.equal(data.load("digits", 50).x.double().flatten(1)[:20], train)


def test_its_mistakes_are_sentences(printed: store.Experiment) -> None:
    with pytest.raises(store.SpecError, match="sizes must be"):
        store.run(printed, "laptop", sizes=(5000,))
