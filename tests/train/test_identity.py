"""A checkpoint continues one run alone: whatever a run is a function of is compared, and named."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from diffnotes.base import runtime
from diffnotes.base.errors import UserError
from diffnotes.process import VE, VP, FlowMatching
from diffnotes.train import (
    Batch,
    DenoisingLoss,
    LogNormal,
    NoiseLaw,
    Objective,
    Plan,
    Snapshot,
    UniformTime,
    identity,
)
from diffnotes.train import loop as train
from diffnotes.train.identity import differences, run_parts


class Toy(nn.Module):
    """A linear denoiser with fixed initial weights, and a fixed scale."""

    def __init__(self, height: int = 1, scale: float = 1.0) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4 * height)
        for place, w in enumerate(self.parameters()):
            w.data = 0.3 * runtime.normals(0, "toy", place, w.shape)[0]
        self.register_buffer("scale", torch.tensor(scale), persistent=False)

    def forward(self, x: torch.Tensor, s: torch.Tensor, labels: object = None) -> torch.Tensor:
        return self.scale * self.linear(x / (1 + s[:, None]))[:, :4]


OBJECTIVE = DenoisingLoss(runtime.normals(1, "data", range(50), (4,)), LogNormal())
PLAN = Plan(10, 16, rate=3e-3, horizons=(2, 50), seed=3)


def weights(model: nn.Module) -> torch.Tensor:
    return torch.cat([w.detach().flatten() for w in model.parameters()])


def run(
    folder: Path,
    objective: Objective = OBJECTIVE,
    plan: Plan = PLAN,
    model: nn.Module | None = None,
    stop: int = 10,
) -> Snapshot:
    """The last snapshot of a run, or of what goes on in a used folder."""
    return list(train.train(model or Toy(), objective, plan, [stop], folder))[-1]


@pytest.fixture
def stopped(tmp_path: Path) -> Path:
    """The folder of a run of which six steps are done."""
    run(tmp_path / "run", stop=6)
    return tmp_path / "run"


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"rate": 1e-3}, "plan (rate)"),
        ({"seed": 4, "batch": 8}, "plan (batch, seed)"),
        ({"precision": "bfloat16"}, "plan (precision)"),
        ({"horizons": (2,)}, "plan (horizons)"),
    ],
)
def test_another_plan_is_refused_in_a_used_folder(
    stopped: Path, change: dict[str, object], named: str
) -> None:
    refused = rf"is of another run: other {re.escape(named)}; delete that folder or give another\.$"
    with pytest.raises(UserError, match=refused):
        run(stopped, plan=replace(PLAN, **change))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"x": OBJECTIVE.x * 1.0001}, "data (x)"),
        ({"x": OBJECTIVE.x.flip(0)}, "data (x)"),
        ({"x": OBJECTIVE.x[:49]}, "data (x)"),
        ({"law": LogNormal(-1.2, 1.1)}, "objective (law)"),
        ({"law": UniformTime(VE())}, "objective (law)"),
        ({"process": FlowMatching(), "target": "velocity"}, "objective (process, target)"),
        ({"labels": torch.zeros(50, dtype=torch.int64)}, "data (labels) and objective (labels)"),
        ({"drop": 0.1}, "objective (drop)"),
    ],
)
def test_another_objective_is_refused_in_a_used_folder(
    stopped: Path, change: dict[str, object], named: str
) -> None:
    with pytest.raises(UserError, match=rf"is of another run: other {re.escape(named)}; delete"):
        run(stopped, replace(OBJECTIVE, **change))


def test_another_network_is_refused_in_a_used_folder(stopped: Path) -> None:
    with pytest.raises(UserError, match=r"other network \(shapes, layers, initial weights\); delete"):
        run(stopped, model=Toy(2))
    other = Toy()
    other.linear.bias.data[0] += 1e-3
    for unlike in (other, Toy(scale=0.9), run(stopped).model):
        with pytest.raises(
            UserError, match="began with other weights; build the network as that run did, not"
        ):
            run(stopped, model=unlike)


def test_networks_of_equal_shapes_and_other_layers_are_other_runs() -> None:
    objective = Other(torch.zeros(3, 2))
    made = []
    for layer in (torch.nn.ReLU(), torch.nn.Tanh(), torch.nn.ReLU()):
        torch.manual_seed(0)
        made.append(run_parts(torch.nn.Sequential(torch.nn.Linear(2, 2), layer), objective, {}))
    assert made[0] == made[2]
    assert differences(made[0], made[1]) == ["network (layers)"]
    frozen = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.ReLU())
    frozen.load_state_dict({k: torch.zeros_like(v) for k, v in frozen.state_dict().items()})
    before = run_parts(frozen, objective, {})
    frozen[0].bias.requires_grad_(False)
    assert differences(before, run_parts(frozen, objective, {})) == ["network (trained)"]


@dataclass(frozen=True)
class Other:
    """Another kind of objective."""

    x: torch.Tensor

    def __call__(self, model, batch: Batch) -> torch.Tensor:  # type: ignore[no-untyped-def]
        return model(self.x[batch.indices(len(self.x))], torch.ones(len(batch.rows))).square().mean(1)


def test_another_kind_of_objective_is_refused_in_a_used_folder(stopped: Path) -> None:
    with pytest.raises(
        UserError, match=r"other objective \(class, law, process, target, labels, drop\); delete"
    ):
        run(stopped, Other(OBJECTIVE.x))
    run(stopped.with_name("other"), Other(OBJECTIVE.x))


def test_a_checkpoint_that_does_not_say_what_it_is_of_is_refused(tmp_path: Path) -> None:
    train.Checkpoints(tmp_path, "0" * 64).save({"step": 3})  # type: ignore[arg-type]
    with pytest.raises(UserError, match="older version, which did not note what it was trained on; delete"):
        run(tmp_path)


def test_more_steps_at_a_constant_rate_and_equal_things_only_continue_a_run(
    stopped: Path, tmp_path: Path
) -> None:
    whole = run(tmp_path / "whole")
    run(tmp_path / "short", plan=replace(PLAN, steps=6), stop=6)
    assert torch.equal(weights(run(tmp_path / "short").model), weights(whole.model))
    alike = replace(
        OBJECTIVE, x=OBJECTIVE.x.t().contiguous().t()
    )  # the same numbers, in another order of memory
    last = run(stopped, alike, replace(PLAN, precision="float32"))
    assert torch.equal(weights(last.model), weights(whole.model))


def test_more_steps_along_a_cosine_are_another_run(tmp_path: Path) -> None:
    falling = replace(PLAN, anneal="cosine")
    run(tmp_path, plan=falling)
    with pytest.raises(UserError, match=r"other plan \(steps\)"):
        run(tmp_path, plan=replace(falling, steps=20))


@dataclass
class Loose:
    """An objective that may change on the way."""

    x: torch.Tensor

    def __call__(self, model, batch: Batch) -> torch.Tensor:  # type: ignore[no-untyped-def]
        return self.x[batch.indices(len(self.x))].mean(1)


@dataclass(frozen=True)
class Twice:
    """Another noise law, times two."""

    law: NoiseLaw

    def __call__(self, u: torch.Tensor) -> torch.Tensor:
        return 2 * self.law(u)


@pytest.mark.parametrize(
    ("loss", "named"),
    [
        (lambda model, batch: torch.zeros(16), "the objective is, a function;"),
        (Loose(torch.zeros(4, 4)), "the objective is, a Loose;"),
        (replace(OBJECTIVE, law=lambda u: u), "the law of the objective is, a function;"),
        (replace(OBJECTIVE, law=Twice(lambda u: u)), "the law of law of the objective is, a function;"),
        (replace(OBJECTIVE, law=LogNormal), "the law of the objective is, a type;"),
    ],
)
def test_what_cannot_be_described_is_refused(tmp_path: Path, loss: object, named: str) -> None:
    with pytest.raises(UserError, match=rf"cannot tell what {named} make it a frozen dataclass of tensors"):
        train.train(Toy(), loss, PLAN, [10], tmp_path)


def test_descriptions_keep_different_things_apart() -> None:
    values = [
        None, True, 1, 1.0, float("nan"), "1", "None", b"1", (), (1,), ((1,),), ("1",), {"a": 1}, {1: "a"},
        VE(), VP(), LogNormal(), LogNormal(1.0), torch.zeros(2), torch.zeros(2, 1), torch.zeros(2).double(),
        torch.tensor([0.0, -0.0]), np.zeros(2), np.zeros(2, ">f8"), torch.zeros(()), torch.zeros(0),
    ]  # fmt: skip
    assert len({identity.described(value, "it") for value in values}) == len(values)
    assert identity.described(np.float64(0.1), "it") == identity.described(0.1, "it") == "0.1"
    assert identity.described({"b": 1, "a": 2}, "it") == identity.described({"a": 2, "b": 1}, "it")
    plane = torch.randn(4, 6)
    assert identity.described(plane.t(), "it") == identity.described(plane.t().contiguous(), "it")
