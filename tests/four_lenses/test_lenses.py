"""Instruments of the four papers: against brute force, and on denoisers whose answer is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from diffnotes import chapters, data, store
from diffnotes.chapters.four_lenses import experiment, instruments
from diffnotes.chapters.four_lenses.experiment import LensSpec
from diffnotes.chapters.four_lenses.instruments import Bench, Counts
from diffnotes.metrics import frechet
from diffnotes.optimal_loss import optimal_loss
from diffnotes.posterior import posterior

CPU = torch.device("cpu")
SIGMA = np.geomspace(0.05, 20, 9)
TINY = LensSpec(
    sizes=(6, 9), widths=(8, 12), epochs=20.0, batch=6, horizon=4, first=5, snapshots=2, levels=8, images=12,
    samples=12, band=20, sheet=2, seeds=(0, 1),
)  # fmt: skip


class Exact(nn.Module):
    """The denoiser of these images: what a network that has memorized them is."""

    def __init__(self, x: torch.Tensor) -> None:
        super().__init__()
        self.x = x

    def forward(self, x: torch.Tensor, sigma: float | torch.Tensor) -> torch.Tensor:
        return posterior(x, sigma, self.x).mean


class Shrinking(nn.Module):
    """Knows no image."""

    def forward(self, x: torch.Tensor, sigma: float | torch.Tensor) -> torch.Tensor:
        s = torch.as_tensor(sigma, dtype=x.dtype).expand(len(x)).view(-1, 1, 1, 1)
        return x * 0.3 / (0.3 + s**2)


@pytest.fixture(scope="module")
def bench() -> Bench:
    whole = data.load("digits", n=48).x
    unseen = data.load("digits", n=80, split="test").x
    return Bench(whole[:24], unseen, SIGMA, Counts(images=40, samples=40, band=400, sheet=3), seed=5)


@pytest.fixture(scope="module")
def partner() -> torch.Tensor:
    return data.load("digits", n=88, seed=1).x[48:]


# --- instruments ---


def test_errors_of_the_exact_denoiser_are_the_optimal_loss(bench, partner):
    found, fixed = bench.measured(Exact(bench.known), partner), bench.fixed()
    assert found["supervised"].max() < 1e-9
    assert found["loss_gap"].max() < 1e-9
    assert found["extrapolated"].max() < 1e-9
    apart = np.abs(found["loss"] - fixed["optimal"])
    assert (apart <= 5 * np.hypot(found["loss_stderr"], fixed["optimal_stderr"]) + 1e-9).all()
    assert found["memorized"][0] == 1.0
    assert found["inside"][SIGMA < 0.5].min() > 0.7
    assert (found["relative"][SIGMA < 0.5] > 5).all()


def test_a_denoiser_that_knows_no_image_memorizes_none(bench, partner):
    found = bench.measured(Shrinking(), partner)
    assert found["memorized"][0] == 0.0
    assert found["inside"][SIGMA < 0.5].max() < 0.1
    assert np.abs(found["relative"]).max() < 0.3
    rest = (found["loss_gap"] - found["supervised"]) / np.hypot(
        found["loss_gap_stderr"], found["supervised_stderr"]
    )
    assert np.abs(rest).max() < 4
    assert found["supervised"][3] > 1e-3


def test_supervised_error_is_that_of_a_softmax_by_hand(bench):
    found = bench._supervised(Shrinking())["supervised"]
    points = bench.known.flatten(1).double()
    for level in (2, 5):
        sigma, x = float(bench.sigma[level]), bench.noised[level]
        apart = torch.cdist(x.flatten(1).double(), points).square()
        best = torch.softmax(-apart / (2 * sigma**2), 1) @ points
        mine = Shrinking()(x, sigma).flatten(1).double()
        assert found[level] == pytest.approx(float((mine - best).square().mean()), rel=1e-4)


def test_states_and_samples_follow_the_levels(bench):
    times = torch.cat([bench.sigma.flip(0), bench.sigma.new_zeros(1)])
    states, guesses, made = bench._solved(Exact(bench.known), times)
    assert len(states) == len(guesses) == len(SIGMA)
    for level in (0, 4, 8):  # rising, as the levels do
        wanted = posterior(states[level], float(SIGMA[level]), bench.known).mean
        assert torch.allclose(guesses[level], wanted, atol=1e-5)
    assert torch.allclose(made, guesses[0], atol=1e-5)  # the last step, to 0, is Euler's


def test_the_range_holds_98_percent_of_noised_training_images(bench):
    noise = torch.randn(600, 1, 8, 8, generator=torch.Generator().manual_seed(3))
    x = bench.known[torch.arange(600) % 24]
    share = bench._inside(bench._distances([x + s * noise for s in SIGMA.tolist()]))
    assert ((share > 0.95) & (share <= 1)).all()
    assert bench.fixed()["unseen_inside"][0] < 0.2


def test_sigma_star_is_where_the_optimal_loss_is_a_hundredth_of_the_variance(bench):
    critical = instruments.critical_level(bench.known, 0.05, 20.0)
    curve = optimal_loss(bench.known, torch.tensor([critical], dtype=torch.float64))
    assert float(curve.mean) == pytest.approx(0.01 * curve.variance, rel=0.1)
    assert instruments.critical_level(bench.known, 5.0, 20.0) == 5.0
    assert instruments.critical_level(bench.known, 0.01, 0.1) == 0.1


def test_likeness_and_nearness_on_sets_whose_answer_is_known(bench):
    x, middle = bench.unseen[:40], bench.unseen.mean(0)
    assert torch.allclose(instruments.likeness(x, x, middle), torch.ones(40, dtype=torch.float64))
    assert torch.allclose(instruments.likeness(x, 2 * middle - x, middle), -torch.ones(40).double())
    a = torch.tensor([1.0, 2.0])
    assert instruments.nearer(a, a) == 0.5
    assert instruments.nearer(a, a + 5) == 1.0


def test_halves_that_agree_and_do_not(bench):
    same = bench._agreement(bench.unseen[:40], bench.unseen[:40])
    assert same["agreement"][0] == pytest.approx(1)
    assert abs(float(same["unrelated"])) < 0.5
    assert bench._agreement(bench.unseen[:40], bench.unseen[40:80])["agreement"][0] < 0.5


def test_costs_are_what_the_network_sees(bench, partner):
    cost = dict(zip(instruments.INSTRUMENTS, bench.measured(Shrinking(), partner)["cost"], strict=True))
    levels, samples = len(SIGMA), 40
    assert cost["error"] == levels * (24 * (40 // 24) + 40)
    assert cost["supervised"] == levels * samples
    assert cost["gap"] == levels * 48  # whole passes
    assert cost["sampler"] == samples * (2 * levels - 1)
    assert cost["agreement"] == 2 * cost["sampler"]


def test_fidelity_is_taken_between_few_features(bench, partner):
    found = bench._samples(partner)
    assert found["frechet"] == pytest.approx(
        frechet(partner.flatten(1).double(), bench.unseen[:40].flatten(1).double())
    )
    assert found["sheet"].shape == (3, 1, 8, 8)


# --- the ladder ---


def test_halves_share_no_image_and_begin_alike():
    a, b, unseen = experiment.images_of(TINY, 9, 1)
    assert len(a) == len(b) == 9
    assert len(torch.cat([a, b]).flatten(1).unique(dim=0)) == 18
    rung = experiment._Rung(TINY, 9, 1, CPU)
    one, two = (rung._trained(half, 8, lambda end: {}) for half in "AB")
    assert one.plan == two.plan
    pairs = zip(one.model.parameters(), two.model.parameters(), strict=True)
    assert all(torch.equal(p, q) for p, q in pairs)
    assert not torch.equal(one.objective.x, two.objective.x)
    assert len(unseen) == 2 * TINY.samples


def test_a_ladder_has_every_axis(record):
    spec, levels = record.spec, record.spec["levels"]
    shape = (len(spec["sizes"]), len(spec["widths"]), len(spec["seeds"]), spec["snapshots"])
    assert record["relative"].shape == record["inside"].shape == (*shape, levels)
    assert record["frechet"].shape == shape
    assert record["sheet"].shape == (*shape[:2], shape[3], spec["sheet"], 1, 8, 8)
    assert record["cost"].shape == (*shape[:2], 5)
    assert record["optimal"].shape == (shape[0], shape[2], levels)
    assert record["step"].shape == (shape[0], shape[3])
    assert (np.diff(record["parameters"][0]) > 0).all()
    assert (record["parameters"] == record["parameters"][:1]).all()
    assert all(np.isfinite(v).all() for v in record.arrays.values() if v.dtype.kind == "f")
    assert record["loss_gap"][:, 1].min() < 0.5 * record["loss_gap"][:, 0].max()


def test_axes_are_in_their_place(record, tmp_path):
    """One run of the ladder, alone."""
    settings = dict(record.spec)
    alone = LensSpec(**{**settings, "sizes": (6,), "widths": (16,), "seeds": (1,)})
    found = experiment.compute(alone, store.experiment.Work(tmp_path))
    for name in ("loss_gap", "inside", "memorized", "agreement"):
        assert np.allclose(found[name][0, 0, 0], record[name][1, 0, 1], atol=1e-5)


@pytest.mark.parametrize(
    ("setting", "word"),
    [
        ({"sizes": (64, 32)}, "sizes"),
        ({"widths": (64, 32)}, "widths"),
        ({"epochs": 1.0}, "checkpoints"),
        ({"sheet": 60, "samples": 50}, "sheet"),
        ({"levels": 7}, "levels"),
        ({"dataset": "mnist"}, "dataset"),
    ],
)
def test_bad_settings(setting, word):
    with pytest.raises(store.SpecError, match=word):
        LensSpec(**setting)


@pytest.mark.parametrize("name", ["lenses_digits", "lenses_cifar"])
def test_laptop_ladders_are_ladders(name):
    spec = chapters.find(name).profiles["laptop"]
    assert len(spec.sizes) * len(spec.widths) * spec.snapshots >= 36
    assert len(spec.seeds) == 3
    assert math.isclose(spec.sizes[1] / spec.sizes[0], spec.sizes[2] / spec.sizes[1])
