"""Networks of several widths: compute, weights and losses by hand; and no interruption changes the record."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from slices import in_slices, same

from diffnotes import data, store
from diffnotes.chapters.scaling import digits, experiment, readings
from diffnotes.chapters.scaling.experiment import ScalingSpec
from diffnotes.optimal_loss import optimal_loss
from diffnotes.process import SIGMA_DATA
from diffnotes.store import SpecError

TINY = ScalingSpec(
    n=64, held_out=16, widths=(8, 16), steps=8, batch=8, horizon=2, first=3, snapshots=2, levels=5, draws=64,
    sources=64, seeds=(0, 1),
)  # fmt: skip


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return experiment.compute(TINY, store.Work(tmp_path_factory.mktemp("whole")))


def run(width: int = 16, seed: int = 0, **changed: object) -> experiment._Run:
    spec = TINY.replace(**changed)
    return experiment._Run(spec, *experiment.images_of(spec), width, seed)


# --- definitions ---


def linear_flops(module: torch.nn.Module) -> tuple[int, int]:
    """Operations of all linear layers for one image: forward, and backward with no gradient of inputs."""
    layers = [layer for layer in module.modules() if isinstance(layer, torch.nn.Linear)]
    each = sum(2 * layer.in_features * layer.out_features for layer in layers)
    return each, 2 * each


@pytest.mark.parametrize("width", [16, 64, 256])
def test_compute_is_three_times_a_forward_pass_less_gradients_of_inputs(width):
    """A product forward, two backward: but none for inputs that need no gradient, the image and the noise."""
    one = run(width, widths=(width,))
    forward, backward = linear_flops(one.denoiser)
    spared = 2 * 64 * width  # the image's
    lacking = forward + backward - one.flops()
    assert spared <= lacking <= spared + 2 * 64 * width
    assert all(w.grad is None for w in one.denoiser.parameters())


def test_training_compute_is_that_of_an_image_times_images_seen(whole):
    record = fakes_record(whole)
    assert np.array_equal(whole["images_seen"], 8 * whole["step"])
    assert np.array_equal(readings.compute(record), np.outer(whole["flops"], whole["images_seen"]))


def fakes_record(arrays):
    from fakes import record

    return record(arrays, "scaling_digits", spec=TINY.as_dict())


def test_weights_make_the_loss_that_networks_are_trained_for():
    """E[w(s) J(s)] over EDM's law, by drawing from it, for a J between the grid's ends."""
    levels = torch.from_numpy(np.geomspace(1e-3, 100, 200))
    weight = experiment.total_weights(levels, 64)
    draws = torch.exp(-1.2 + 1.2 * torch.randn(400_000, generator=torch.Generator().manual_seed(0)).double())
    c_out = draws * SIGMA_DATA / (draws**2 + SIGMA_DATA**2).sqrt()
    loss = lambda s: 20 * s**2 / (s**2 + 0.3)  # noqa: E731
    drawn = (loss(draws) / c_out**2).mean() / 64
    assert float((weight * loss(levels)).sum()) == pytest.approx(float(drawn), rel=0.01)
    constant = (levels * SIGMA_DATA) ** 2 / (levels**2 + SIGMA_DATA**2) * 64
    assert float((weight * constant).sum()) == pytest.approx(1)


def test_a_coarse_grid_gives_the_total_of_a_fine_one():
    x = data.load("digits", 200, seed=0).x
    totals = []
    for count in (20, 60):
        levels = torch.from_numpy(np.geomspace(0.02, 50, count))
        loss = optimal_loss(x, levels, sources=600).mean
        totals.append(float(experiment.total_weights(levels, 64) @ loss))
    assert totals[0] == pytest.approx(totals[1], rel=0.02)


def test_rates_fall_as_one_over_width():
    spec = TINY.replace(widths=(8, 16, 64), rate=4e-3)
    assert [experiment.rate_of(spec, w) for w in spec.widths] == pytest.approx([4e-3, 2e-3, 5e-4])
    assert run(16, rate=4e-3).plan.rate == pytest.approx(2e-3)


def test_networks_of_a_seed_share_batches_and_noise_and_seeds_do_not():
    first, second, other = run(8), run(16), run(8, 1)
    same = lambda x, s, labels: torch.zeros_like(x)  # noqa: E731
    losses = [one.objective(same, one.plan.batch_at(3)) for one in (first, second, other)]
    assert torch.equal(losses[0], losses[1])
    assert not torch.equal(losses[0], losses[2])


def test_widths_must_rise():
    with pytest.raises(SpecError, match="widths must rise"):
        TINY.replace(widths=(16, 8))


# --- the whole ---


def test_slices_give_the_same_record(tmp_path, whole):
    pieces, turns = in_slices(experiment.compute, TINY, tmp_path)
    assert turns > 3
    assert same(whole, pieces)


def test_what_is_measured(whole):
    assert whole["gap"].shape == whole["held_out_loss"].shape == (2, 2, 2, 5)
    assert whole["optimal"].shape == whole["held_out_optimal"].shape == (2, 5)
    assert whole["flops"].shape == whole["parameters"].shape == (2,)
    assert (whole["gap"] > 0).all()
    assert np.allclose(whole["loss"], whole["gap"] + whole["optimal"][None, :, None], rtol=0.3)
    assert np.abs(whole["disagreement"]).max() < 5
    spread = whole["optimum"] + 5 * np.hypot(whole["optimum_stderr"], whole["loss_stderr"].max((0, 1, 2)))
    assert (whole["optimal"] <= spread + 1e-9).all()
    assert (whole["optimum"] <= whole["gaussian"] * 1.001).all()
    assert not np.array_equal(whole["optimal"][0], whole["optimal"][1])  # seeds have noise of their own


def test_images_of_pixels_are_averaged():
    spec = TINY.replace(dataset="specimens", side=8)
    known, unseen = experiment.images_of(spec)
    assert known.shape == (64, 3, 8, 8)
    assert unseen.shape == (16, 3, 8, 8)
    one = experiment._Run(spec, known, unseen, 8, 0)
    assert one.denoiser(known[:2], 1.0).shape == (2, 3, 8, 8)


def test_record(record):
    spec = digits.EXPERIMENT.twin
    count = (len(spec.widths), len(spec.seeds), 4, spec.levels)
    assert record["gap"].shape == count
    assert record["step"].tolist() == [15, 30, 60, 120]
    assert (np.diff(record["flops"]) > 0).all()
    assert (record["from_dol"] <= record["optimum"] + 0.05 * float(record["variance"])).all()
    numbers = [v for v in record.arrays.values() if v.dtype.kind == "f"]
    assert all(np.isfinite(v).all() for v in numbers)
    totals = readings.losses(record)[..., readings.TOTAL].mean(1)
    assert (np.diff(totals, axis=1) < 0).all()  # they learn
