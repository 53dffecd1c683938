"""The runs: what they share, what is measured against brute force; and no interruption changes it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from fakes import record as given
from slices import in_slices, same

from diffnotes import store
from diffnotes.base.errors import UserError
from diffnotes.chapters.training_schedule import choice, comparison, digits, runs
from diffnotes.chapters.training_schedule.comparison import ARMS, ScheduleSpec
from diffnotes.chapters.training_schedule.runs import ScheduleRun, Setting
from diffnotes.loss_gap import loss_gap
from diffnotes.metrics import frechet
from diffnotes.store import SpecError, Work
from diffnotes.train import DenoisingLoss, LogNormal

TINY = ScheduleSpec(
    n=24, held_out=16, width=8, depth=1, steps=8, batch=8, horizon=2, first=3, looks=2, bins=6, memory=4,
    sources=48, levels=4, draws=24, sampler_steps=3, arms=(0, 1, 3), constants="given", seeds=(0, 1),
)  # fmt: skip
TINY_CHOICE = choice.ChoiceSpec(
    **{k: v for k, v in vars(TINY).items() if k in choice.ChoiceSpec.names()},
    bumps=(0.3, 3.0), shifts=(-1.0,), clips=(0.01, 0.1),
)  # fmt: skip
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def setting() -> Setting:
    return Setting.of(TINY, CPU, comparison._constants(TINY))


def test_runs_of_a_seed_begin_alike_and_seeds_do_not(setting: Setting) -> None:
    def start(name: str, seed: int) -> list[torch.Tensor]:
        return [w.data for w in ScheduleRun(TINY, setting, name, seed, ARMS[name]).denoiser.parameters()]

    one, other, next_seed = start("EDM", 0), start("soft edge", 0), start("EDM", 1)
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(one, next_seed, strict=True))


def test_every_ablation_changes_one_constant(setting: Setting) -> None:
    constants = comparison._constants(TINY)
    for name in list(ARMS)[2:]:
        law = ScheduleRun(TINY, setting, name, 0, comparison._options(name, constants)).law
        changed = [
            key for key, value in vars(setting.law).items()
            if not isinstance(value, torch.Tensor) and getattr(law, key) != value
        ]  # fmt: skip
        assert len(changed) == 1, (name, changed)
    law = ScheduleRun(TINY, setting, "higher clip", 0, comparison._options("higher clip", constants)).law
    assert law.largest == pytest.approx(10 * setting.law.largest)
    assert ScheduleRun(TINY, setting, "EDM", 0, None).law is None


def test_what_is_measured(setting: Setting) -> None:
    run = ScheduleRun(TINY, setting, "EDM", 0, None)

    def shrink(x: torch.Tensor, sigma) -> torch.Tensor:  # type: ignore[no-untyped-def]
        s = torch.as_tensor(sigma, dtype=x.dtype).expand(len(x)).view(-1, 1, 1, 1)
        return x / (1 + s**2 / 0.25)

    found = run._measured(shrink)  # type: ignore[arg-type]
    gap = loss_gap(shrink, setting.known, runs.levels(TINY), draws=24, seed=0)
    np.testing.assert_allclose(found["gap"], gap.gap.numpy() / 64)
    np.testing.assert_allclose(found["train"], gap.loss.numpy() / 64)
    expected = [  # |shrunk x0 - x0|^2 + |shrunk noise|^2
        float((setting.unseen.double().square().mean() * (1 - k) ** 2) + k**2 * s**2)
        for s in runs.levels(TINY).tolist() for k in [1 / (1 + s**2 / 0.25)]
    ]  # fmt: skip
    np.testing.assert_allclose(found["held_out"], expected, rtol=0.15)
    assert set(found) == {*runs.CURVES, *runs.NUMBERS}
    assert 0 <= found["copies"] <= 1


def test_edms_law_has_the_shares_of_its_levels(setting: Setting) -> None:
    run = ScheduleRun(TINY, setting, "EDM", 0, None)
    sigma = LogNormal()((torch.arange(20_000, dtype=torch.float64) + 0.5) / 20_000)
    inside = sigma[(sigma > runs.LOW) & (sigma < runs.HIGH)]
    counts = setting.law.place(inside).bincount(minlength=6) / 20_000
    snapshot = type("", (), {"memory": None})()
    np.testing.assert_allclose(run._law(snapshot)["law"], counts.numpy(), atol=2e-4)
    weight = DenoisingLoss(setting.known, LogNormal()).process.loss_factor("F", setting.law.centres())
    np.testing.assert_allclose(run._weight(), weight.numpy())


def test_slices_give_the_same_record(tmp_path) -> None:  # type: ignore[no-untyped-def]
    whole = comparison.compute(TINY, Work(tmp_path / "whole"))
    pieces, turns = in_slices(comparison.compute, TINY, tmp_path / "slices")
    assert turns > 4
    assert same(whole, pieces)


def test_the_combination_nearest_to_training_images_is_chosen(tmp_path) -> None:  # type: ignore[no-untyped-def]
    found = choice.compute(TINY_CHOICE, Work(tmp_path))
    assert found["tried"].tolist() == [[0.3, -1, 0.01], [0.3, -1, 0.1], [3, -1, 0.01], [3, -1, 0.1]]
    assert found["chosen"].tolist() == found["tried"][found["frechet_train"].argmin()].tolist()
    assert len(set(found["frechet_train"].tolist())) > 1
    here = Setting.of(TINY_CHOICE, CPU, {})
    floor = frechet(here.known[:16].flatten(1), here.unseen.flatten(1))
    assert float(found["floor"]) == pytest.approx(floor)


def test_the_seed_of_the_choice_is_not_one_of_the_comparison() -> None:
    laptop = choice.EXPERIMENT.profiles["laptop"]
    assert laptop.seed not in digits.EXPERIMENT.profiles["laptop"].seeds
    shared = runs.RunSpec.names()
    other = digits.EXPERIMENT.profiles["laptop"]
    assert [getattr(laptop, name) for name in shared] == [getattr(other, name) for name in shared]


def test_constants_come_from_the_record_of_the_choice(monkeypatch, elsewhere) -> None:  # type: ignore[no-untyped-def]
    kept = store.run(choice.EXPERIMENT, "smoke")
    made = given({k: kept[k].copy() for k in ("name", "chosen", "tried")})
    monkeypatch.setattr(store, "load", lambda experiment: made)
    spec = TINY.replace(constants="chosen")
    assert list(comparison._constants(spec).values()) == made["chosen"].tolist()
    before = comparison.inputs(spec)
    made.arrays["chosen"][0] += 1
    assert comparison.inputs(spec) != before
    assert comparison.inputs(TINY) == {}
    old = replace(made, state="stale", reason="old code")
    monkeypatch.setattr(store, "load", lambda experiment: old)
    with pytest.raises(UserError, match="constants are stale"):
        comparison.inputs(spec)


def test_arms_begin_with_what_all_are_compared_with() -> None:
    with pytest.raises(SpecError, match="arms must begin with 0 and 1"):
        TINY.replace(arms=(1, 2))


def test_record(record) -> None:  # type: ignore[no-untyped-def]
    spec = digits.EXPERIMENT.twin
    assert record["gap"].shape == (7, len(spec.seeds), spec.levels)
    assert record["law"].shape == (7, len(spec.seeds), spec.looks, spec.bins)
    assert record["step"].tolist() == [10, 30]
    assert np.allclose(record["law"][1:].sum(-1), 1)
    assert np.isfinite(record["gap"]).all()
    assert (record["gap"] > 0).all()
    assert np.isnan(record["running"][0]).all()
    fixed, schedule = (list(ARMS).index(name) for name in ("fixed law", "schedule"))
    assert np.array_equal(record["law"][fixed, :, 0], record["law"][fixed, :, -1])
    assert not np.array_equal(record["law"][schedule, :, 0], record["law"][schedule, :, -1])
    assert record["constants"].tolist() == [spec.bump, spec.shift, spec.clip]
