"""The freedom of extrapolation and the four points: what is computed, against plain definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from slices import in_slices, same

from diffnotes import chapters, store
from diffnotes.base.errors import UserError
from diffnotes.chapters.extrapolation import forms, freedom, perception
from diffnotes.chapters.extrapolation.freedom import Arm, FreedomSets, FreedomSpec
from diffnotes.chapters.extrapolation.objective import FreedomLoss, drawn, posterior_mean, posterior_weights
from diffnotes.posterior import ExactDenoiser, posterior
from diffnotes.process import FlowMatching
from diffnotes.train import Batch, UniformTime

TINY = FreedomSpec(
    anchors=8, ratios=(1, 3), shells=(2.0,), control=3, width=8, depth=1, steps=4, batch=8, horizon=2,
    samples=8, held_out=20, near=5, sampler_steps=3, seeds=(0,),
)  # fmt: skip


@pytest.fixture(scope="module")
def points() -> FreedomSets:
    return FreedomSets.of(TINY, 0)


def loss_of(points: FreedomSets, **how: object) -> FreedomLoss:
    return FreedomLoss(points.pool[:24], points.score, UniformTime(FlowMatching()), **how)


# --- the objective ---


def test_target_is_the_posterior_mean(points: FreedomSets) -> None:
    x, s, _ = loss_of(points).inputs(Batch(0, 64, 0, range(64)))
    exact = posterior(x, s, points.score).mean
    ours = posterior_mean(posterior_weights(x, s, points.score), points.score)
    assert torch.allclose(ours, exact, atol=1e-5)


def test_loss_by_hand(points: FreedomSets) -> None:
    """Row 5 of the third batch, with everything written out."""
    loss, batch = loss_of(points), Batch(3, 8, 2, range(8))
    x, s, _ = loss.inputs(batch)
    w = [math.exp(-float((x[5] - y).double().square().sum()) / (2 * float(s[5]) ** 2)) for y in points.score]
    mean = sum(k * y for k, y in zip(w, points.score.double(), strict=True)) / sum(w)
    wanted = float((0.5 * x[5].double() - mean).square().mean())
    assert np.isclose(float(loss(lambda x, s: 0.5 * x, batch)[5]), wanted, rtol=1e-5)


def test_draws_have_the_posterior_as_law() -> None:
    weights = torch.tensor([[0.2, 0.0, 0.5, 0.3]], dtype=torch.float64).expand(20_000, 4)
    u = torch.from_numpy(np.random.RandomState(0).uniform(size=20_000))
    share = torch.bincount(drawn(weights, u), minlength=4) / 20_000
    assert torch.allclose(share.double(), weights[0], atol=0.01)
    assert share[1] == 0
    assert drawn(weights[:2], torch.tensor([0.0, 1.0])).tolist() == [0, 3]


def test_both_forms_have_one_expectation(points: FreedomSets) -> None:
    """Loss by draws less exact loss less posterior variance is noise around 0, and so is the gradient."""
    exact, sampled = loss_of(points), loss_of(points, drawn=True)
    scale = torch.tensor(0.3, requires_grad=True)
    gaps, slopes = [], []
    for step in range(40):
        batch = Batch(0, 256, step, range(256))
        values = [one(lambda x, s: scale * x / (1 + s.view(-1, 1, 1, 1)), batch) for one in (exact, sampled)]
        x, s, _ = exact.inputs(batch)
        w, flat = posterior_weights(x, s, points.score), points.score.double().flatten(1)
        rest = (w @ flat.square() - (w @ flat).square()).mean(1)
        gaps.append(float((values[1] - values[0] - rest).mean().detach()))
        slopes.append(float(torch.autograd.grad((values[1] - values[0]).mean(), scale)[0]))
    for found in map(np.array, (gaps, slopes)):
        assert found.std() > 0
        assert abs(found.mean()) < 3 * found.std(ddof=1) / len(found) ** 0.5


def test_thicker_shells_change_the_noise_alone(points: FreedomSets) -> None:
    batch = Batch(0, 4000, 0, range(4000))
    thin, thick = (
        FreedomLoss(points.score, points.score, UniformTime(), False, c).inputs(batch) for c in (1.0, 3.0)
    )
    assert torch.equal(thin[1], thick[1])
    x0 = points.score[batch.indices(len(points.score))]
    factor = ((thick[0] - x0).flatten(1).norm(dim=1) / (thin[0] - x0).flatten(1).norm(dim=1)).log()
    assert factor.abs().max() <= math.log(3) + 1e-3
    assert abs(float(factor.mean())) < 0.05
    assert np.isclose(float(factor.std()), math.log(3) / 3**0.5, rtol=0.05)


def test_a_row_is_a_function_of_its_place(points: FreedomSets) -> None:
    loss = loss_of(points, drawn=True)
    whole = loss(lambda x, s: x, Batch(0, 8, 1, range(8)))
    assert torch.equal(whole[3:5], loss(lambda x, s: x, Batch(0, 8, 1, range(3, 5))))


@pytest.mark.parametrize(
    ("how", "word"), [({"score": torch.zeros(2, 5)}, "one shape"), ({"thickness": 0.5}, "thickness")]
)
def test_bad_objectives(points: FreedomSets, how: dict, word: str) -> None:
    with pytest.raises(UserError, match=word):
        FreedomLoss(**{"region": points.pool, "score": points.score, "law": UniformTime()} | how)


# --- regions ---


def test_regions(points: FreedomSets) -> None:
    for kind, amount, count in (
        ("region", 3, 24),
        ("balanced", 3, 24),
        ("perturbed", 3, 24),
        ("shell", 2.0, 8),
    ):
        region = points.region(Arm("mlp", kind, float(amount)))
        assert len(region) == count
        assert kind == "balanced" or torch.equal(region[:8], points.score)


def test_balanced_regions_have_as_many_centres_for_every_point(points: FreedomSets) -> None:
    region = points.region(Arm("mlp", "balanced", 3.0))
    apart = torch.cdist(region.flatten(1), points.score.flatten(1))
    assert torch.bincount(apart.argmin(1), minlength=8).tolist() == [3] * 8
    assert all(bool((points.spare == one).flatten(1).all(1).any()) for one in region)


def test_moved_points_lie_as_far_as_those_of_the_region(points: FreedomSets) -> None:
    extra, moved = points.pool[8:24], points.region(Arm("mlp", "perturbed", 3.0))[8:]
    far = torch.cdist(extra.flatten(1), points.score.flatten(1)).amin(1)
    anchors = points.score.repeat(2, 1, 1, 1)
    assert torch.allclose((moved - anchors).flatten(1).norm(dim=1), far, rtol=1e-4)


def test_seeds_differ_in_points_and_share_unseen_ones(points: FreedomSets) -> None:
    other = FreedomSets.of(TINY, 1)
    assert not torch.equal(points.score, other.score)
    assert torch.equal(points.unseen, other.unseen)


def test_closeness_by_hand(points: FreedomSets) -> None:
    m = freedom.closeness(points.unseen, points.score, 5)
    for x, found in zip(points.unseen, m, strict=True):
        squares = sorted(float((x - y).double().square().sum()) for y in points.score)[:5]
        assert np.isclose(float(found), squares[0] / np.mean(squares))
    assert (freedom.closeness(points.score, points.score, 5) == 0).all()


# --- records ---


def test_arms() -> None:
    names = [arm.name for arm in freedom.arms_of(TINY.replace(networks="mlp unet"))]
    controls = ["mlp-shell-2", "mlp-balanced-3", "mlp-perturbed-3", "mlp-drawn-3"]
    assert names == ["mlp-region-1", "mlp-region-3", "unet-region-1", "unet-region-3", *controls]


def test_slices_give_the_same_record(tmp_path) -> None:
    spec = TINY.replace(shells=(1.5,), ratios=(1,), control=2)
    whole = freedom.compute(spec, store.Work(tmp_path / "whole"))
    pieces, turns = in_slices(freedom.compute, spec, tmp_path / "slices")
    assert turns > 2
    assert same(whole, pieces)


def test_an_exact_denoiser_is_at_no_distance_from_its_target(points: FreedomSets) -> None:
    run = freedom._Run(TINY, Arm("mlp", "region", 1.0), points, torch.device("cpu"))
    run.denoiser = lambda x, s: posterior(x, s, points.score).mean
    assert np.abs(run._apart(points.unseen)).max() < 1e-10


@pytest.mark.parametrize(
    "setting", [{"dataset": "mnist"}, {"shells": (0.5,)}, {"networks": "unet"}, {"control": 1}, {"near": 1}]
)
def test_bad_settings(setting: dict) -> None:
    with pytest.raises(store.SpecError, match=next(iter(setting))):
        FreedomSpec(**setting)


def test_forms_twin(tmp_path) -> None:
    spec = forms.EXPERIMENT.twin
    found = forms.compute(spec, store.Work(tmp_path))
    assert found["loss"].shape == (2, 2, 2, spec.batches)
    assert (found["rest"] > 0).all()


@pytest.mark.parametrize("name", ["freedom_gaussian", "freedom_circle", "freedom_digits", "freedom_cifar"])
def test_regions_fit_into_the_data(name: str) -> None:
    spec = chapters.find(name).profiles["laptop"]
    assert spec.control in spec.ratios
    held = {"digits": 1198, "cifar10": 50_000}.get(spec.dataset, 10**9)
    assert spec.anchors * max(*spec.ratios, spec.control) <= held


# --- perception ---


def test_places() -> None:
    x = torch.tensor(
        [[0.2, 0.01], [0.0, 0.05], [-0.1, 0.0], [0.6, 0.0], [-0.9, 0.09], [0.0, 0.5], [1.4, 0.0]]
    )
    assert np.allclose(perception.places(x, 0.03, 0.1) * 7, [1, 2, 2, 2])


def test_radial_denoiser_commutes_with_scalings() -> None:
    network = perception.FlatDenoiser(16, "radial")
    torch.nn.init.normal_(network.last.weight)
    x = torch.randn(5, 2, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.allclose(network(3 * x, 0.7), 3 * network(x, 0.7), atol=1e-5)
        plain = perception.FlatDenoiser(16, "plain")
        torch.nn.init.normal_(plain.last.weight)
        assert not torch.allclose(plain(3 * x, 0.7), 3 * plain(x, 0.7), atol=1e-2)


def test_polar_features() -> None:
    found = perception.features(torch.tensor([[3.0, 4.0], [0.0, 0.0]]), "polar")
    assert torch.allclose(found, torch.tensor([[5.0, 0.6, 0.8], [0.0, 0.0, 0.0]]))


def test_kernel_denoiser_solves_the_ridge_regression() -> None:
    spec = perception.EXPERIMENT.twin.replace(ridge=1e-9, noised=8)
    denoiser = perception.KernelDenoiser("plain", 0.05, spec, 0)
    known, weights = denoiser._fit(0.3)
    wanted = torch.tensor(perception.POINTS, dtype=torch.float64).repeat(8, 1)
    assert torch.allclose(denoiser._kernel(known, known) @ weights, wanted, atol=1e-4)


def test_perception_twin(tmp_path) -> None:
    found = perception.compute(perception.EXPERIMENT.twin, store.Work(tmp_path))
    assert found["share"].shape == (5, 2, 2, 4)
    assert np.allclose(found["share"].sum(-1), 1)
    assert found["off"].shape == (5, 2, 2, len(perception.LEVELS))


def test_distance_to_the_exact_denoiser() -> None:
    exact = ExactDenoiser(torch.tensor(perception.POINTS))

    def moved(x: torch.Tensor, s: float) -> torch.Tensor:
        return exact(x, s) + torch.tensor([0.03, 0.04])

    assert np.allclose(perception.distances(exact, 0, torch.device("cpu")), 0, atol=1e-6)
    assert np.allclose(perception.distances(moved, 0, torch.device("cpu")), 0.05, rtol=1e-4)
