"""Networks of several targets and processes: what is measured, and that no interruption changes it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from slices import in_slices, same

from diffnotes import chapters, store
from diffnotes.chapters.loss_gap import EXPERIMENTS, diagnosis, digits
from diffnotes.chapters.loss_gap.diagnosis import ALL, FEW, LAWS, PROCESSES, DiagnosisSpec
from diffnotes.loss_gap import loss_gap
from diffnotes.metrics import frechet
from diffnotes.optimal_loss import optimal_loss
from diffnotes.train import DenoisingLoss, Plan

TINY = DiagnosisSpec(
    n=24, held_out=20, tiny=8, kinds="few", width=8, blocks=1, steps=8, tiny_steps=9, batch=8, horizon=2,
    first=3, snapshots=2, tiny_snapshots=2, levels=5, draws=24, sources=48, samples=12, sampler_steps=4,
    seeds=(0, 1),
)  # fmt: skip
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def scene() -> diagnosis._Scene:
    return diagnosis._Scene(TINY, 0, CPU)


def test_every_kind_is_a_process_and_a_target():
    assert {*FEW} < {*ALL}
    assert diagnosis.MEMORIZER in FEW
    for kind in ALL:
        process, target = kind.split()
        assert process in LAWS
        PROCESSES[process].coefficients(target, torch.full((2,), 0.5))
    assert "VE v" not in ALL  # the velocity of VE is the noise


@pytest.mark.parametrize("kind", ALL)
def test_all_networks_of_a_seed_share_weights_batches_and_noise(kind, scene):
    one, other = diagnosis._Run(scene, kind), diagnosis._Run(scene, "VE F")
    for a, b in zip(one.denoiser.parameters(), other.denoiser.parameters(), strict=True):
        assert torch.equal(a, b)
    seen: list[torch.Tensor] = []

    def spy(x: torch.Tensor, s: torch.Tensor, labels: None) -> torch.Tensor:
        seen.append((x, s))
        return x

    plan = Plan(1, 16, seed=scene.seed)
    for run in (one, other):
        DenoisingLoss(run.images, run.law, run.process, run.target)(spy, plan.batch_at(0))
    (x, s), (y, r) = seen
    row = (-1, 1, 1, 1)
    images = torch.stack([scene.known[k] for k in plan.batch_at(0).indices(len(scene.known))])
    assert torch.allclose((x - images) / s.view(row), (y - images) / r.view(row), atol=1e-2)  # the same eps


def test_the_loss_is_the_plain_one_of_the_target(scene):
    run = diagnosis._Run(scene, "FM velocity")
    plan = Plan(1, 16, seed=scene.seed)
    kept: list[tuple[torch.Tensor, torch.Tensor]] = []

    def zero(x: torch.Tensor, s: torch.Tensor, labels: None) -> torch.Tensor:
        kept.append((x, s))
        return torch.zeros_like(x)

    losses = DenoisingLoss(run.images, run.law, run.process, run.target)(zero, plan.batch_at(0))
    images = scene.known[plan.batch_at(0).indices(len(scene.known))]
    t = (kept[0][1] / (1 + kept[0][1])).view(-1)
    assert torch.allclose(losses, images.square().flatten(1).mean(1) / t**2, rtol=1e-4)


def test_the_exact_curves_are_those_of_the_images(scene):
    found = scene.fixed()
    for prefix, images in (("", scene.known), ("tiny_", scene.known[: TINY.tiny])):
        curve = optimal_loss(images, scene.levels, sources=TINY.sources, seed=0)
        assert np.array_equal(found[f"{prefix}optimum"], curve.mean.numpy())
        assert found[f"{prefix}variance"] == pytest.approx(
            float((images - images.mean(0)).square().flatten(1).sum(1).mean()), rel=1e-5
        )
    assert found["floor"] == frechet(scene.known[:12].flatten(1), scene.unseen[:12].flatten(1))
    assert found["dimension"] == 64


def test_gaps_are_those_of_the_library(scene):
    run = diagnosis._Run(scene, "VP eps")
    found = run._losses(run.denoiser)
    known = loss_gap(run.denoiser, scene.known, scene.levels, draws=24, seed=0)
    other = loss_gap(run.denoiser, scene.known, scene.levels, draws=24, held_out=scene.unseen, seed=0)
    assert np.array_equal(found["gap"], known.gap.numpy())
    assert np.array_equal(found["held_loss"], other.loss.numpy())
    assert np.array_equal(found["difference_stderr"], known.difference_stderr.numpy())


def test_slices_give_the_same_record(tmp_path: Path):
    spec = TINY.replace(seeds=(0,), snapshots=2)
    whole = diagnosis.compute(spec, store.Work(tmp_path / "whole"))
    pieces, turns = in_slices(diagnosis.compute, spec, tmp_path / "slices")
    assert turns > 4
    assert same(whole, pieces)


def test_record(record):
    spec = digits.EXPERIMENT.twin
    seeds, levels = len(spec.seeds), spec.levels
    assert record["gap"].shape == (len(ALL), seeds, 2, levels)
    assert record["tiny_gap"].shape == (seeds, 2, levels)
    assert record["start"].shape == (len(ALL), seeds, levels)
    assert record["optimum"].shape == (seeds, levels)
    assert record["step"].tolist() == [20, 40]
    assert "population" not in record.arrays
    assert all(np.isfinite(v).all() for v in record.arrays.values() if v.dtype.kind == "f")
    assert (record["gap"] >= 0).all()
    same = record["optimal"]
    assert np.allclose(same, same[:1, :, :1])  # the same noisy images for all networks and evaluations
    assert (record["gap"][:, :, -1] != record["gap"][:, :, 0]).any((2,)).all()


def test_the_gaussian_has_a_known_limit(drawn):
    limit, best = drawn["population"], drawn["optimum"]
    assert limit.shape == best.shape
    assert (limit >= best - 3 * drawn["optimum_stderr"] - 1e-9).mean() > 0.7
    assert limit[0, -1] == pytest.approx(drawn["variance"].mean(), rel=0.2)
    assert (drawn["held_loss"].mean((0, 1, 2)) > 0.9 * limit[0]).all()  # nobody does better on unseen draws


@pytest.mark.parametrize(
    ("setting", "word"),
    [({"tiny": 2000}, "tiny"), ({"kinds": "most"}, "kinds"), ({"sigma_min": 9.0, "sigma_max": 2.0}, "below")],
)
def test_bad_settings(setting, word):
    with pytest.raises(store.SpecError, match=word):
        DiagnosisSpec(**setting)


@pytest.mark.parametrize("name", sorted(EXPERIMENTS))
def test_experiments_are_known(name):
    experiment = chapters.find(name)
    assert experiment.name == name
    assert experiment.profiles["laptop"].seeds == (0, 1, 2)


def test_held_out_images_of_a_whole_set_are_no_training_images():
    spec = TINY.replace(dataset="specimens64-all", n=30, tiny=30, held_out=20, side=32)
    (known, unseen), (others, same_unseen) = (diagnosis.images_of(spec, seed) for seed in (0, 1))
    assert known.shape == (30, 3, 32, 32)
    assert torch.equal(unseen, same_unseen)
    assert not torch.equal(known, others)
    assert torch.cdist(known.flatten(1), unseen.flatten(1)).min() > 1e-3


def test_a_run_without_the_network_that_memorizes(tmp_path, monkeypatch):
    monkeypatch.setenv("DIFFNOTES_ROOT", str(tmp_path))
    spec = TINY.replace(kinds="one", tiny_steps=0, seeds=(0,))
    found = diagnosis.compute(spec, store.Work(tmp_path))
    assert found["gap"].shape == (1, 1, 2, 5)
    assert not any(name.startswith("tiny") for name in found)
