"""The networks of chapter 1: measures of denoisers that are known, claims that can fail, figures.

Two denoisers bracket every network: the posterior mean over the training set, which copies, and that of a
Gaussian, which knows no image. All measures must tell them apart.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from layout import collisions, texts

from diffnotes import store
from diffnotes.chapters import checks as base
from diffnotes.chapters.gap import (
    cifar as cifar_gap,
)
from diffnotes.chapters.gap import claims as checks
from diffnotes.chapters.gap import (
    digits as digits_gap,
)
from diffnotes.chapters.gap import (
    experiment as network_gap,
)
from diffnotes.chapters.gap import figures
from diffnotes.chapters.gap import slider as gap_explorer
from diffnotes.chapters.gap.experiment import GapSpec
from diffnotes.data import sets as data
from diffnotes.posterior import posterior
from diffnotes.sample import sample
from diffnotes.store.records import Record

TINY = GapSpec(
    n=40, held_out=60, width=8, depth=1, steps=8, batch=8, horizon=2, first=3, snapshots=2, levels=8,
    draws=1, samples=40, sheet=2, sampler_steps=16, probes=(1.17, 0.283), seeds=(0, 1),
)  # fmt: skip
COPYING, BLIND = range(2)


@pytest.fixture(scope="module")
def record(tmp_path_factory) -> Record:
    """The smoke profile of the digits."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DIFFNOTES_ROOT", str(tmp_path_factory.mktemp("digits_gap")))
        return replace(store.run(digits_gap.EXPERIMENT, "smoke"), state="valid")


@pytest.fixture(scope="module")
def looks():
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


def test_copying_shows_in_every_measure(looks):
    found, sigma = looks[COPYING], network_gap.noise_levels(TINY)
    assert (found["gap"][sigma < 0.2] > 10).all()
    assert abs(found["gap"][-1]) < 0.2
    assert found["frechet_val"][-1] > 2 * found["frechet_train"][-1]
    assert np.mean(found["rho"] < 1 / 3) > 0.95
    train, held_out, sampler = found["distance"][-1]
    assert sampler < train + 0.1 * (held_out - train)
    assert found["similarity"][-1, [0, 2]].min() > 0.999
    assert np.abs(found["sheet"].astype(int) - found["near"]).max() <= 1


def test_a_denoiser_that_knows_no_image_shows_no_copying(looks):
    found = looks[BLIND]
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


def test_features_average_until_few_values_are_left():
    x = torch.arange(2 * 3 * 16 * 16.0).view(2, 3, 16, 16)
    found = network_gap.features(x)
    assert found.shape == (2, 48)
    assert torch.allclose(found.view(2, 3, -1).mean(2), x.mean((2, 3)))
    digits = data.load("digits", n=3).x
    assert torch.equal(network_gap.features(digits), digits.flatten(1))


def test_probes_are_levels_of_the_sampler():
    spec = GapSpec()
    levels = network_gap.sampler_levels(spec)
    found = levels[network_gap.probe_places(spec, levels)].tolist()
    assert np.allclose(found, spec.probes, rtol=0.03)


def test_slices_give_the_same_record(tmp_path):
    whole = network_gap.compute(TINY, store.Work(tmp_path / "whole"))
    for _turn in range(8):
        try:
            pieces = network_gap.compute(TINY, store.Work(tmp_path / "slices", max_seconds=0))
            break
        except store.Unfinished:
            continue
    assert _turn > 1
    assert whole.keys() == pieces.keys()
    assert all(np.array_equal(whole[name], pieces[name]) for name in whole)


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


# --- claims ---


def fake(**changed) -> Record:
    """A record for which every claim on it holds: three seeds, eight looks, ten noise levels."""
    sigma, seeds = np.geomspace(0.01, 30, 10), np.array([0.97, 1.0, 1.04])[:, None]
    step = 100 * 2 ** np.arange(8)
    height = 0.05 * seeds * 2 ** np.arange(8)
    bump = np.exp(-(np.log(sigma / 0.2) ** 2))
    onset = np.clip(2 + 1.2 * np.log(sigma / 0.05), 1, 6)  # in looks
    looks = np.arange(8)[:, None]
    val = 0.1 + 0.01 * (looks - onset) ** 2
    train = 0.1 / (1 + height[:, :, None])
    three = lambda a, b, c: np.stack([a, b, c], -1)[:, :, None]  # noqa: E731
    flat = np.ones((3, 8))
    gap = np.minimum(1.0, 0.3 + 0.2 * np.arange(8)) * seeds
    arrays = {
        "sigma": sigma, "step": step, "gap": height[:, :, None] * bump,
        "gap_stderr": np.full((3, 8, 10), 1e-3), "val": val * np.ones((3, 1, 1)),
        "train": train * np.ones(10), "probe": np.array([1.17, 0.6, 0.283]),
        "frechet_train": np.ones((3, 8, 4)),
        "frechet_val": 1 + gap[:, :, None] * np.array([0.1, 0.3, 0.6, 1.0]),
        "distance": three(flat, 1.4 * flat, 1.5 * seeds * flat).repeat(3, 2),
        "similarity": three(
            0.90 + 0.01 * np.arange(8) * flat, 0.8 * flat, 0.85 * seeds**0.1 * flat
        ).repeat(3, 2),
        "rho": np.full((3, 8, 5), 0.9),
    }  # fmt: skip
    found = Record(Path(), {"experiment": "digits_gap", "profile": "laptop"})
    found.__dict__["arrays"] = arrays | changed
    return found


BASE = fake().arrays
LATE = BASE["gap"].copy()
LATE[:, -1] = LATE[:, 0]
EVERYWHERE = np.ones((3, 8, 10)) * BASE["gap"].max(2, keepdims=True)
FALLING = np.broadcast_to(0.1 + 0.01 * (9 - np.arange(8))[:, None], (3, 8, 10))
BROKEN = [
    ("kaiser-net-growth", {"gap": LATE}),
    ("kaiser-net-growth-cifar10", {"gap": LATE}),
    ("kaiser-net-bump", {"gap": EVERYWHERE}),
    ("kaiser-net-overfit", {"val": FALLING}),
    ("ours-net-onset", {"val": FALLING}),
    ("ours-net-onset", {"val": BASE["val"][:, :, ::-1]}),
    ("kaiser-net-samples", {"frechet_val": 1 + BASE["gap"].max(2)[:, :, None] * np.ones(4)}),
    ("kaiser-net-stops", {"frechet_val": 1 + np.ones((3, 8, 4))}),
    ("kaiser-net-states", {"distance": BASE["distance"][..., [0, 1, 0]]}),
    ("kaiser-net-shots", {"similarity": BASE["similarity"][..., [0, 1, 0]]}),
]


@pytest.mark.parametrize("name", sorted({name for name, _ in BROKEN}))
def test_claims_hold_where_they_should(name):
    assert checks.CHECKS[name](fake()).verdict == base.REPRODUCED, checks.CHECKS[name](fake())


@pytest.mark.parametrize(("name", "changed"), BROKEN)
def test_claims_can_fail(name, changed):
    assert checks.CHECKS[name](fake(**changed)).verdict != base.REPRODUCED


def test_limit_holds_only_where_trajectories_memorize():
    assert checks._limit(fake()).verdict != base.REPRODUCED
    alike = BASE["similarity"][..., [0, 1, 0]]
    near = np.stack([np.ones((3, 8, 3)), np.full((3, 8, 3), 1.4), np.full((3, 8, 3), 1.1)], -1)
    assert checks._limit(fake(similarity=alike, distance=near)).verdict == base.REPRODUCED


def test_comparisons_between_runs(monkeypatch):
    """Capacity and size: with the other runs in order, with equal ones, and with none."""
    heights = {(600, 54): 0.1, (200, 144): 10.0, (1190, 144): 0.2}
    later = {200: -1, 1190: 1}

    def other(beside, n, width):
        return fake(gap=BASE["gap"] * heights[n, width], val=np.roll(BASE["val"], later.get(n, 0), 1))

    monkeypatch.setattr(checks, "_run", other)
    assert checks._capacity(fake()).verdict == base.REPRODUCED
    assert checks._size(fake()).verdict == base.REPRODUCED
    monkeypatch.setattr(checks, "_run", lambda *_: fake())
    assert checks._capacity(fake()).verdict == base.FAILED
    assert checks._size(fake()).verdict == base.FAILED


def test_a_missing_run_leaves_the_claim_pending(monkeypatch, tmp_path):
    monkeypatch.setenv("DIFFNOTES_ROOT", str(tmp_path))
    with pytest.raises(ValueError, match="no laptop record of digits_gap .n 600, width 54. yet"):
        checks._capacity(fake())


def test_interval_is_students():
    low, high = checks.interval(np.array([1.0, 2.0, 3.0]))
    assert np.isclose((low + high) / 2, 2)
    assert np.isclose(high - low, 2 * 4.303 / 3**0.5)
    assert checks.interval(np.array([1.0])) == (-np.inf, np.inf)


# --- figures ---


@pytest.mark.parametrize("name", ["error_curves", "gap_by_noise", "growth", "paths", "cifar_panels"])
def test_figures(name, record):
    many = (record, record)
    page = getattr(figures, name)(*many[: 1 if name == "cifar_panels" else 2])._repr_html_()
    assert f'<figure class="dn-figure" id="{name}">' in page
    assert "currentColor" in page
    assert record.key in page


@pytest.mark.parametrize("name", ["error_curves", "gap_by_noise", "growth", "paths", "cifar_panels"])
def test_texts_of_pinned_figures_lie_apart_and_within_the_figure(name):
    runs = [store.load(digits_gap.EXPERIMENT, **run) for run in digits_gap.RUNS.values()]
    of = {"error_curves": runs[:2], "paths": runs[::3], "cifar_panels": [store.load(cifar_gap.EXPERIMENT)]}
    figure = getattr(figures, name)(*of.get(name, runs))
    boxes, frame = texts(figure), figure.bbox.padded(1)
    assert len(boxes) > 5
    assert all(frame.contains(*box.p0) and frame.contains(*box.p1) for box in boxes.values())
    assert collisions(boxes) == []


@pytest.mark.parametrize("name", ["run_table", "stop_table"])
def test_tables(name, record):
    html = getattr(figures, name)(record, record)._repr_html_()
    assert html.count("300 digits, 4,624 parameters") == 2
    assert not re.search(r"\bnan\b", html)


def test_findings_say_numbers_of_the_record(record):
    names = [name for name in vars(figures) if name.endswith("_finding")]
    assert len(names) == 5
    for name in names:
        text = str(getattr(figures, name)(record))
        assert "300 digits" in text
        assert "nan" not in text
    assert f"{record['distance'][:, -1, -1, 1].mean():.3f}" in str(figures.states_finding(record))


def test_explorer_shows_the_nearest_look(record):
    explorer = gap_explorer.Explorer(record)
    assert explorer.steps == [10, 24, 60]
    titles = [explorer(step=step).subfigs[0].axes[0].get_title() for step in (10, 50)]
    assert "320" in titles[0]
    assert "1,920" in titles[1]
