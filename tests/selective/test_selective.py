"""Networks of several sizes: what is measured, against brute force; and no interruption changes it."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from slices import in_slices, same

from diffnotes import chapters, data, store
from diffnotes.chapters.selective import digits, experiment, measures
from diffnotes.chapters.selective.experiment import Scene, SelectiveSpec
from diffnotes.chapters.selective.measures import FLOW, Images, Points
from diffnotes.posterior import gaussian_posterior_mean, posterior
from diffnotes.regions import guidance_gap

TINY = SelectiveSpec(
    n=24, tiny=8, widths=(8, 16), tiny_width=16, steps=8, tiny_steps=9, batch=8, horizon=2, first=3,
    snapshots=2, levels=4, points=12, returns=5, kept=2, seeds=(0, 1),
)  # fmt: skip
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def known() -> Images:
    return experiment.images_of(TINY, TINY.n, CPU)


@pytest.fixture(scope="module")
def scene(known: Images) -> Scene:
    times, places = measures.grid(TINY.levels, TINY.half_steps)
    blank = Scene(TINY, known, known.x.new_zeros(0), 0)
    states, _, _ = measures.solved(copying(known), blank.starts(), blank.wanted, times, places)
    return Scene(TINY, known, states, 0)


def copying(images: Images) -> measures.Denoiser:
    """The exact denoiser as if it were a network: told a class, or none."""

    def denoise(x, s, labels):
        s = torch.as_tensor(s, dtype=torch.float64).expand(len(x))
        told = measures.class_means(x, s, images, labels.clamp(min=0))
        return torch.where((labels < 0).view(-1, 1, 1, 1), posterior(x, s, images.x).mean, told)

    return denoise


def brute_mean(z: torch.Tensor, t: float, x: torch.Tensor) -> torch.Tensor:
    """E[x0 | z_t] in float64."""
    apart = (z.double().flatten(1)[:, None] - (1 - t) * x.double().flatten(1)[None]).square().sum(2)
    return torch.einsum("bn,nchw->bchw", torch.softmax(-apart / (2 * t**2), 1), x.double())


# --- definitions ---


def test_exact_denoisers_are_those_of_the_class_and_of_all(known, scene):
    for k, t in enumerate(scene.times.tolist()):
        z, labels = scene.training.z[k], scene.training.labels
        told, untold = scene.training.exact[:, k]
        assert torch.allclose(untold.double(), brute_mean(z, t, known.x), atol=1e-5)
        for place, kind in enumerate(labels):
            own = brute_mean(z[place : place + 1], t, known.x[known.labels == kind])
            assert torch.allclose(told[place].double(), own[0], atol=1e-5)


def test_errors_are_squared_distances_per_dimension(known, scene):
    found = measures.errors(scene.training, measures.untrained)
    for told in (0, 1):
        gap = (scene.training.z - scene.training.exact[told]).double()  # velocity 0: x0 = z
        each = gap.square().mean((2, 3, 4))
        assert np.allclose(found["error"][told], each.mean(1), rtol=1e-5)
        assert np.allclose(found["error_stderr"][told], each.std(1) / math.sqrt(TINY.points), rtol=1e-5)
    assert np.allclose(
        found["error_each"], (scene.training.z - scene.training.exact[0]).square().mean((0, 2, 3, 4))
    )
    assert np.allclose(found["learned"], 0)


def test_gaps_between_classes_are_those_of_regions(known, scene):
    for points in (scene.training, scene.common):
        found = measures.errors(points, copying(known))
        assert np.allclose(found["error"], 0, atol=1e-10)
        assert np.allclose(found["learned"], found["exact"], atol=1e-6)
        for k, t in enumerate(scene.times.tolist()):
            gap = guidance_gap(points.z[k], t, known.x, known.labels, points.labels)
            expected = np.quantile(np.sqrt(gap.double().numpy()), measures.BAND)
            assert np.allclose(found["exact"][k], expected, atol=2e-6)


def test_gaussian_denoiser_is_the_closed_form(known):
    x, s = torch.randn(5, 1, 8, 8), torch.full((5,), 0.7, dtype=torch.float64)
    flat = known.x.flatten(1).double()
    expected = gaussian_posterior_mean(x.flatten(1), 0.7, flat.mean(0), torch.cov(flat.T, correction=0))
    assert torch.allclose(measures.gaussian(known)(x, s).flatten(1), expected, atol=1e-5)


def test_distance_ratio_is_the_one_nearest_to_1(known, scene):
    ratio, index = scene.ratios(scene.training.z)
    for k, t in enumerate(scene.times.tolist()):
        z = scene.training.z[k].double().flatten(1)
        all_ratios = torch.cdist(z, (1 - t) * known.x.double().flatten(1)) / (t * 8)
        best = (all_ratios - 1).abs().argmin(1)
        assert torch.equal(index[k], best)
        assert torch.allclose(ratio[k], all_ratios.gather(1, best[:, None])[:, 0], atol=1e-6)


def test_an_image_keeps_its_noise_over_time(known):
    times = torch.tensor([0.2, 0.8], dtype=torch.float64)
    z = measures.noised(known.x[:3], times, 5)
    eps = [(z[k] - (1 - t) * known.x[:3]) / t for k, t in enumerate(times.tolist())]
    assert torch.allclose(*eps, atol=1e-5)
    assert abs(float(eps[0].std()) - 1) < 0.2


@pytest.mark.parametrize("half_steps", [1, 2, 3])
@pytest.mark.parametrize("levels", [2, 5, 10])
def test_the_sampler_stops_at_middles_of_equal_parts(levels, half_steps):
    times, places = measures.grid(levels, half_steps)
    assert (times[1:] < times[:-1]).all()
    assert times[0] == measures.START
    assert times[-1] == 0
    assert np.allclose(times[places], (np.arange(levels) + 0.5) / levels)


def test_copying_returns_and_stays_on_the_shells(known, scene):
    times, places = measures.grid(TINY.levels, TINY.half_steps)
    back = measures.returned(copying(known), known, scene.index[:5], times, places, 0)
    assert back["returned"][0] == 1
    assert back["returned"].shape == (4,)
    assert back["calibrated"][0].max() < 1e-6
    ratio, _ = scene.ratios(scene.common.z)
    assert (ratio[:2] - 1).abs().max() < 0.4  # 64 dimensions


def test_common_states_are_those_of_the_sampler(scene, known):
    times, places = measures.grid(TINY.levels, TINY.half_steps)
    assert scene.common.z.shape == (4, 12, 1, 8, 8)
    assert torch.equal(scene.common.labels, known.labels[torch.arange(12) % 8])
    _, guesses, end = measures.solved(copying(known), scene.starts(), scene.wanted, times, places)
    assert torch.allclose(guesses, scene.common.exact[0], atol=1e-5)
    near = torch.cdist(end.flatten(1), known.x.flatten(1)).amin(1)
    assert near.max() < 1e-2


def test_calibrated_distance_is_over_the_mean_of_the_nearest(known):
    x = known.x[:2] + 0.1
    own, ratio = measures._to_its_own(x, known, torch.tensor([0, 5]))
    apart = torch.cdist(x.flatten(1).double(), known.x.flatten(1).double()).square()
    assert own.tolist() == [True, False]
    assert torch.allclose(ratio, torch.stack([apart[0, 0], apart[1, 5]]) / apart.mean(1))


# --- the whole ---


def test_slices_give_the_same_record(tmp_path):
    whole = experiment.compute(TINY, store.Work(tmp_path / "whole"))
    pieces, turns = in_slices(experiment.compute, TINY, tmp_path / "slices")
    assert turns > 4
    assert same(whole, pieces)


def test_record(record):
    spec = digits.EXPERIMENT.twin
    seeds, widths, levels = len(spec.seeds), len(spec.widths), spec.levels
    assert record["error"].shape == (widths, seeds, 2, 3, 2, levels)
    assert record["tiny_error"].shape == (seeds, 2, 3, 2, levels)
    assert record["guide"].shape == (seeds, 2, 2, 2, levels)
    assert record["returned"].shape == (widths, seeds, levels)
    assert record["step"].tolist() == [30, 120]
    assert record["tiny_step"].tolist() == [30, 200]
    assert (np.diff(record["parameters"]) > 0).all()
    assert (np.diff(record["flops"]) > 0).all()
    assert all(np.isfinite(v).all() for v in record.arrays.values() if v.dtype.kind == "f")
    exact = record["exact"][:, :, :, :2]
    assert (exact == exact[:1, :, :1]).all()  # the same points for all networks and snapshots
    assert (record["returned"][..., 0] == 1).all()


def test_networks_of_a_seed_share_points_and_seeds_do_not(known):
    one, other = (Scene(TINY, known, known.x.new_zeros(0), seed) for seed in (0, 1))
    again = Scene(TINY, known, known.x.new_zeros(0), 0)
    assert torch.equal(one.training.z, again.training.z)
    assert not torch.equal(one.training.z, other.training.z)
    assert not torch.equal(one.starts(), other.starts())


def test_the_tiny_set_is_a_part(known):
    tiny = experiment.images_of(TINY, TINY.tiny, CPU)
    assert torch.equal(tiny.x, known.x[: TINY.tiny])
    assert torch.equal(tiny.labels, known.labels[: TINY.tiny])


def test_spacings_are_distances_to_the_nearest_other(known):
    found = experiment._spacings(known)
    apart = torch.cdist(known.x.flatten(1).double(), known.x.flatten(1).double()).fill_diagonal_(math.inf)
    assert np.allclose(found["spacing"], apart.amin(1), atol=1e-6)
    apart[known.labels[:, None] != known.labels] = math.inf
    assert np.allclose(found["class_spacing"], apart.amin(1), atol=1e-6)


@pytest.mark.parametrize(
    ("setting", "word"),
    [
        ({"tiny": 2000}, "tiny"),
        ({"returns": 500}, "returns"),
        ({"widths": (64, 32)}, "widths"),
        ({"dataset": "mnist"}, "dataset"),
        ({"seeds": (1000,)}, "seeds"),
    ],
)
def test_bad_settings(setting, word):
    with pytest.raises(store.SpecError, match=word):
        SelectiveSpec(**setting)


@pytest.mark.parametrize("name", ["selective_digits", "selective_cifar"])
def test_laptop_ladders_have_four_sizes_and_three_seeds(name):
    spec = chapters.find(name).profiles["laptop"]
    assert len(spec.widths) >= 4
    assert len(spec.seeds) == 3
    assert spec.n == 1000


def test_points_take_labels_by_place():
    images = data.load("digits", n=10)
    z = torch.randn(2, 3, 1, 8, 8)
    times = torch.tensor([0.3, 0.6], dtype=torch.float64)
    points = Points.of(z, times, images.labels[:3], Images(images.x, images.labels))
    seen = []

    def model(x, s, labels):
        seen.append((s, labels))
        return x

    found = points.denoised(model)
    assert seen[0][1].tolist() == images.labels[:3].tolist() * 2
    assert (seen[1][1] == -1).all()
    assert np.allclose(seen[0][0], FLOW.noise_ratio(times).repeat_interleave(3))
    assert torch.allclose(found[0, 1], z[1] / 0.4)


def test_classes_take_turns() -> None:
    labels = torch.tensor([2, 2, 0, 1, 2, 0, 1, 2])
    order = experiment.in_turn(labels)
    assert order.tolist() == [0, 2, 3, 1, 5, 6, 4, 7]
    known = experiment.images_of(TINY, TINY.n, CPU)
    assert len(known.labels[: TINY.tiny].unique()) == min(TINY.tiny, 10)
