"""A twin that is recomputed is stopped on its way: what it had saved must come back as it was."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from diffnotes import chapters
from diffnotes.base.errors import UserError
from diffnotes.store import Arrays, Experiment, Spec, Work
from diffnotes.store.twin import recompute


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """As a twin is recomputed: bits are equal only with as many threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def plain(name: str, folder: Path) -> Arrays:
    experiment = chapters.find(name)
    return experiment.compute(experiment.twin, Work(folder))


def stopped(name: str, folder: Path) -> Arrays:
    experiment = chapters.find(name)
    return recompute(experiment, experiment.twin, folder)


def equal(a: Arrays, b: Arrays) -> bool:
    return a.keys() == b.keys() and all(
        np.array_equal(a[k], b[k], equal_nan=a[k].dtype.kind == "f") for k in a
    )


STEPPING = ["loss_curve", "loss_estimators", "disjoint_halves", "random_features"]


@pytest.mark.parametrize("name", STEPPING)
def test_a_stopped_twin_is_the_whole_one(name: str, tmp_path: Path) -> None:
    assert equal(plain(name, tmp_path / "a"), stopped(name, tmp_path / "b"))


@pytest.mark.parametrize("name", STEPPING)
def test_what_is_saved_wrongly_shows(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, save = plain(name, tmp_path / "a"), Work.save

    def doubled(work: Work, part: str, arrays: Arrays) -> None:
        save(work, part, {k: 2 * v if v.dtype.kind == "f" else v for k, v in arrays.items()})

    monkeypatch.setattr(Work, "save", doubled)
    assert equal(whole, plain(name, tmp_path / "b"))  # nothing is read back in one go
    if name == "loss_curve":  # doubled sums say themselves that they belong to other data
        with pytest.raises(UserError, match="the same data"):
            stopped(name, tmp_path / "c")
    else:
        assert not equal(whole, stopped(name, tmp_path / "c"))


def test_a_wrong_checkpoint_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = plain("disjoint_halves", tmp_path / "a")
    monkeypatch.setattr(torch.optim.AdamW, "load_state_dict", lambda self, state: None)
    assert not equal(whole, stopped("disjoint_halves", tmp_path / "b"))


def test_a_twin_that_never_steps_is_computed_once(tmp_path: Path) -> None:
    calls = []

    def compute(spec: Spec, work: Work) -> Arrays:
        calls.append(work)
        work.step(1, 1)
        return {"x": np.array(1.0)}

    experiment = Experiment("made_up", 1, Spec, {"smoke": Spec()}, compute, {"smoke": 1})
    assert recompute(experiment, Spec(), tmp_path) == {"x": 1.0}
    assert len(calls) == 1
