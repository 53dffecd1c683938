"""Runs that are evaluated on their way: what is saved is not made again, and what is lost is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from diffnotes.base import runtime
from diffnotes.networks import seeded
from diffnotes.store import Arrays, Work
from diffnotes.train import DenoisingLoss, LogNormal, Plan, Snapshot, Training, evaluating, stacked

X = runtime.normals(0, "data", range(20), (3,))
STOPS = [2, 5, 24]
PLAN = Plan(24, 4, horizons=(3,), precision="float32")


class Straight(nn.Module):
    """A denoiser with a few weights."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 3)

    def forward(self, x, s, labels=None):
        return self.layer(x)


@pytest.fixture
def training():
    """A run, and the steps at which it was evaluated."""
    seen: list[int] = []

    def evaluate(snapshot: Snapshot) -> Arrays:
        seen.append(snapshot.step)
        return {
            "weight": snapshot.model.layer.weight.detach().numpy().copy(),
            "step": np.array(snapshot.step),
        }

    def make() -> Training:
        objective = DenoisingLoss(X, LogNormal())
        return Training("run", seeded(0, Straight), objective, PLAN, STOPS, evaluate)

    return make, seen


def test_evaluations_are_stacked_in_order(training, tmp_path: Path) -> None:
    make, seen = training
    found = make().evaluations(Work(tmp_path))
    assert seen == STOPS
    assert found["step"].tolist() == STOPS
    assert found["weight"].shape == (3, 3, 3)


def test_what_is_saved_is_not_made_again_and_what_is_lost_is(training, tmp_path: Path) -> None:
    make, seen = training
    first = make().evaluations(Work(tmp_path))
    (tmp_path / "run-5.npz").unlink()
    second, third = (make().evaluations(Work(tmp_path)) for _ in range(2))
    assert seen == [*STOPS, 5]
    assert all(np.array_equal(first[name], other[name]) for name in first for other in (second, third))


def test_a_report_can_stop_the_run_and_the_same_call_goes_on(training, tmp_path: Path) -> None:
    make, seen = training
    undisturbed = make().evaluations(Work(tmp_path / "whole"))

    def report(done: float, total: float, text: str) -> None:
        if done == 5:
            raise TimeoutError

    with pytest.raises(TimeoutError):
        make().evaluations(Work(tmp_path / "cut"), report)
    found = make().evaluations(Work(tmp_path / "cut"))
    assert seen.count(24) == 2
    assert all(np.array_equal(found[name], undisturbed[name]) for name in found)


def test_evaluating_averages_keeps_no_gradients_and_gives_the_weights_back(tmp_path: Path) -> None:
    kept: list[torch.Tensor] = []

    def evaluate(snapshot: Snapshot) -> Arrays:
        before = snapshot.model.layer.weight.detach().clone()
        with evaluating(snapshot, 3) as model:
            assert not torch.is_grad_enabled()
            kept.append((model.layer.weight - before).abs().amax())
        assert torch.equal(snapshot.model.layer.weight, before)
        with evaluating(snapshot) as model:
            assert torch.equal(model.layer.weight, before)
        return {}

    run = Training("run", seeded(0, Straight), DenoisingLoss(X, LogNormal()), PLAN, STOPS, evaluate)
    assert run.evaluations(Work(tmp_path)) == {}
    assert kept[-1] > 0


def test_stacked() -> None:
    found = stacked([{"a": np.array([1, 2])}, {"a": np.array([3, 4])}])
    assert found["a"].tolist() == [[1, 2], [3, 4]]
