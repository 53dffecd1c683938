"""The networks of chapter 1: what is measured, on denoisers that are known.

Two denoisers bracket every network: the posterior mean over the training set, which copies, and that of a
Gaussian, which knows no image. All measures must tell them apart.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from slices import in_slices, same

from diffnotes import data, store
from diffnotes.chapters.gap import cifar as cifar_gap
from diffnotes.chapters.gap import digits as digits_gap
from diffnotes.chapters.gap import experiment as network_gap
from diffnotes.chapters.gap.experiment import GapSpec
from diffnotes.posterior import posterior
from diffnotes.sample import sample

TINY = GapSpec(
    n=40, held_out=60, width=8, depth=1, steps=8, batch=8, horizon=2, first=3, snapshots=2, levels=8,
    draws=1, samples=40, sheet=2, sampler_steps=16, probes=(1.17, 0.283), seeds=(0, 1),
)  # fmt: skip
COPYING, BLIND = range(2)


@pytest.fixture(scope="module")
def measured():
    """What is measured of the copying denoiser and of the blind one."""
    run = network_gap._Run(TINY, 0, torch.device("cpu"))
    middle, variance = run.known.mean(0), float(run.known.var())

    def copying(x, sigma):
        return posterior(x, sigma, run.known).mean

    def blind(x, sigma):
        noise = torch.as_tensor(sigma, dtype=x.dtype).reshape(-1, 1, 1, 1) ** 2
        return middle + (x - middle) * variance / (variance + noise)

    with torch.no_grad():
        return [run._errors(model) | run._trajectories(model) for model in (copying, blind)]


# --- what is measured ---


def test_copying_shows_in_every_measure(measured):
    found, sigma = measured[COPYING], network_gap.noise_levels(TINY)
    assert (found["gap"][sigma < 0.2] > 10).all()
    assert abs(found["gap"][-1]) < 0.2
    assert found["frechet_val"][-1] > 2 * found["frechet_train"][-1]
    assert np.mean(found["rho"] < 1 / 3) > 0.95
    train, held_out, sampler = found["distance"][-1]
    assert sampler < train + 0.1 * (held_out - train)
    assert found["similarity"][-1, [0, 2]].min() > 0.999
    assert np.abs(found["sheet"].astype(int) - found["near"]).max() <= 1


def test_a_denoiser_that_knows_no_image_shows_no_copying(measured):
    found = measured[BLIND]
    assert np.abs(found["gap"]).max() < 0.2
    assert np.mean(found["rho"] < 1 / 3) == 0
    train, held_out, sampler = found["distance"][-1]
    assert sampler > held_out > train
    assert abs(train - 1) < 0.05  # noise alone: its length is sigma sqrt(d)


def test_trajectories_are_those_of_the_sampler():
    """States at the probes with their one-shot predictions, and the samples that `sample` would give."""
    run = network_gap._Run(TINY, 0, torch.device("cpu"))
    levels = network_gap.sampler_levels(TINY)
    places = network_gap.probe_places(TINY, levels)

    def copying(x, sigma):
        return posterior(x, sigma, run.known).mean

    states, guesses, made = run._solved(copying, levels, places)
    for x, guess, place in zip(states, guesses, places, strict=True):
        assert torch.equal(guess, copying(x, float(levels[place])))
    assert torch.equal(made, sample(copying, run.shape, run.count, levels, seed=0))


def test_record(record):
    spec = digits_gap.EXPERIMENT.twin
    assert record["gap"].shape == (2, 3, spec.levels)
    assert record["distance"].shape == (2, 3, len(spec.probes), 3)
    assert record["rho"].shape == (2, 3, spec.samples)
    assert np.allclose(record["gap"], record["val"] / record["train"] - 1)
    assert record["step"].tolist() == [10, 24, 60]
    assert (record["images_seen"] == 32 * record["step"]).all()
    zero = float(data.load("digits").x.square().mean())  # the error of a network that predicts nothing
    assert np.allclose(record["train"][:, 0, -1], zero, rtol=0.05)
    assert (record["train"][:, -1, 2:] < record["train"][:, 0, 2:]).all()
    assert all(np.isfinite(record[name]).all() for name in record.arrays if name != "kind")


def test_floor_is_the_distance_of_real_images():
    known, unseen = network_gap.images_of(TINY, 0)
    run = network_gap._Run(TINY, 0, torch.device("cpu"))
    fixed = run._fixed()
    assert len(known) == 40
    assert len(unseen) == 60
    assert fixed["count"] == 40
    assert fixed["floor"] > 0
    assert np.isclose(fixed["deviation"], known.std())


def test_seeds_differ_in_images_and_share_held_out_ones():
    (one, unseen), (other, same) = (network_gap.images_of(TINY, seed) for seed in (0, 1))
    assert not torch.equal(one, other)
    assert torch.equal(unseen, same)


def test_probes_are_levels_of_the_sampler():
    spec = GapSpec()
    levels = network_gap.sampler_levels(spec)
    found = levels[network_gap.probe_places(spec, levels)].tolist()
    assert np.allclose(found, spec.probes, rtol=0.03)


def test_slices_give_the_same_record(tmp_path):
    whole = network_gap.compute(TINY, store.Work(tmp_path / "whole"))
    pieces, turns = in_slices(network_gap.compute, TINY, tmp_path / "slices")
    assert turns > 2
    assert same(whole, pieces)


@pytest.mark.parametrize(
    ("setting", "word"),
    [
        ({"dataset": "mnist"}, "dataset"),
        ({"n": 2}, "n must"),
        ({"probes": (-1.0,)}, "probes"),
        ({"width": 3}, "width"),
    ],
)
def test_bad_settings(setting, word):
    with pytest.raises(store.SpecError, match=word):
        GapSpec(**setting)


def test_profiles_have_networks_of_the_sizes_named():
    spec = digits_gap.EXPERIMENT.profiles["laptop"]
    for width, count in ((digits_gap.WIDE, 233_056), (digits_gap.NARROW, 38_836)):
        run = network_gap._Run(spec.replace(width=width), 0, torch.device("cpu"))
        assert run._fixed()["parameters"] == count
    paper = cifar_gap.EXPERIMENT.profiles["paper"]
    assert (paper.width, paper.side) == (64, 0)


def test_unet_twin(tmp_path):
    found = cifar_gap.compute(cifar_gap.EXPERIMENT.twin, store.Work(tmp_path))
    assert found["gap"].shape == (2, 2, 4)
    assert np.isfinite(found["gap"]).all()
