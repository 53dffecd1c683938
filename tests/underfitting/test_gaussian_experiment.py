"""The Gaussian of chapter 2: errors against brute force, closed forms, and what runs share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from slices import in_slices, same

from diffnotes.chapters.underfitting import factors, gaussian
from diffnotes.chapters.underfitting.gaussian import GaussianRun, true_denoiser, zero_score
from diffnotes.chapters.underfitting.network import Between, PlainMLP
from diffnotes.networks import NetworkDenoiser, seeded
from diffnotes.process import FlowMatching
from diffnotes.store import Work

CPU = torch.device("cpu")
TINY = gaussian.SMOKE.replace(dim=3, n_train=7, levels=4, draws=2, fresh=9, paths=5)


@pytest.fixture(scope="module")
def run() -> GaussianRun:
    return GaussianRun(TINY, CPU)


def network_on(run: GaussianRun) -> NetworkDenoiser:
    """A network whose last layer is not zero."""
    torch.nn.init.normal_(run.denoiser.network.leave.weight, std=0.3)
    return run.denoiser


# --- the network ---


@pytest.mark.parametrize("target", ["eps", "x0", "velocity"])
def test_the_network_sees_flow_matchings_point_and_its_time(target):
    """What it says of z_t and t is the target from which D is made."""
    network = seeded(3, lambda: PlainMLP(4, 16, 2))
    torch.nn.init.normal_(network.leave.weight)
    process, t = FlowMatching(), torch.tensor([0.03, 0.5, 0.96], dtype=torch.float64)
    z, seen = torch.randn(3, 4), []
    network.hidden[0].register_forward_hook(lambda layer, given, made: seen.append(given[0]))
    x, s = (value.float() for value in process.to_ve(z, t))
    found = NetworkDenoiser(network, process, target, 1.0)(x, s)
    assert torch.allclose(seen[0], torch.cat([z, t[:, None].float()], 1), atol=1e-5)
    said = network.leave(torch.relu(network.hidden[1](torch.relu(network.hidden[0](seen[0])))))
    assert torch.allclose(found, process.to_x0(said.double(), z.double(), t, target).float(), atol=1e-4)


def test_a_new_network_says_zero_and_has_the_layers_of_the_paper():
    network = seeded(0, lambda: PlainMLP(20, 1000, 10))
    assert (network(torch.randn(5, 20), torch.zeros(5)) == 0).all()
    assert [layer.out_features for layer in network.hidden] == [1000] * 10
    spread = network.hidden[5].weight.std()
    assert torch.isclose(spread, torch.tensor((2 / 1000) ** 0.5), rtol=0.01)  # He et al. 2015


def test_times_in_training_are_uniform():
    s = Between(0.005, 0.995)(torch.tensor([0.0, 0.5, 1.0], dtype=torch.float64))
    assert torch.allclose(s / (1 + s), torch.tensor([0.005, 0.5, 0.995], dtype=torch.float64))


# --- errors ---


def brute_force(run: GaussianRun, net: gaussian.Denoise, x0: torch.Tensor, stream: str) -> np.ndarray:
    """[score, level] point by point, from scores in float64."""
    found = np.zeros((2, TINY.levels))
    noise = gaussian.runtime.normals(TINY.seed, stream, range(len(x0)), (TINY.dim,)).double().numpy()
    points, train = x0.double().numpy(), run.known.double().numpy()
    for level, t in enumerate(gaussian.times(TINY).tolist()):
        for point, eps in zip(points, noise, strict=True):
            z = (1 - t) * point + t * eps
            log = -((z - (1 - t) * train) ** 2).sum(1) / (2 * t**2)
            weight = np.exp(log - log.max())
            mean = weight @ train / weight.sum()
            scores = ((1 - t) * mean - z) / t**2, -z / ((1 - t) ** 2 + t**2)
            x = torch.from_numpy(z / (1 - t))[None].float()
            denoised = net(x, torch.tensor([t / (1 - t)])).double().numpy()[0]
            score = ((1 - t) * denoised - z) / t**2
            found[:, level] += [t**2 * ((score - other) ** 2).mean() for other in scores]
    return found / len(points)


@pytest.mark.parametrize("kind", ["network", "zero", "true"])
def test_errors_are_those_of_scores_in_units_of_the_noise(run, kind):
    net = {"network": network_on(run), "zero": zero_score, "true": true_denoiser}[kind]
    with torch.no_grad():
        found = run.errors(net)
        known = brute_force(run, net, run.known.repeat(2, 1), "evaluation, supervised")
        fresh = brute_force(run, net, run.fresh, "evaluation, fresh")
    assert np.allclose(found, [known, fresh], rtol=1e-3, atol=1e-6)


def test_a_score_of_zero_is_off_by_what_the_closed_form_says():
    """At fresh points the true score has the mean square 1/(alpha^2 + sigma^2) per dimension."""
    spec = TINY.replace(dim=20, n_train=50, fresh=4000)
    found = GaussianRun(spec, CPU).errors(zero_score)[1, 1]
    t = gaussian.times(spec).numpy()
    assert np.allclose(found, t**2 / ((1 - t) ** 2 + t**2), rtol=0.02)


def test_references_are_zero_against_themselves(run):
    reference = run._fixed()["reference"]
    assert (reference[1, :, 1] == 0).all()
    assert (reference[2, :, 0] < 1e-12).all()
    assert np.allclose(reference[1, :, 0], reference[2, :, 1])  # one distance seen from both ends


def test_paths_of_the_true_score_are_those_of_the_closed_form(run):
    """Its ODE scales: z_t is sqrt(alpha^2 + sigma^2) times a point that stays."""
    found = run.path_errors(true_denoiser)
    assert (found[1] < 1e-12).all()
    noise = gaussian.initial_noise(range(TINY.paths), (TINY.dim,), TINY.seed)
    t, start = gaussian.times(TINY), TINY.t_max
    z = start * noise * (torch.hypot(t, 1 - t) / np.hypot(start, 1 - start))[:, None, None].float()
    x = z / (1 - t)[:, None, None].float()
    expected = [
        ((true_denoiser(y, s) - run.empirical(y, s)) / s).square().mean()
        for y, s in zip(x, run.ratios, strict=True)
    ]
    assert np.allclose(found[0], expected, rtol=0.5)  # four Heun steps


def test_states_of_a_broken_network_stay_finite(run):
    assert np.isfinite(run.path_errors(lambda x, s: 1e30 * x)).all()


# --- runs ---


def test_evaluations_are_where_the_paper_was_measured():
    steps = gaussian.evaluation_steps(gaussian.GaussianSpec())
    assert steps[:5] == [0, 50, 100, 200, 300]
    assert {500, 1000, 5000, 12_500, 20_000} <= set(steps)
    assert gaussian.evaluation_steps(TINY.replace(iterations=7)) == [0, 5, 7]


def test_a_stopped_run_is_the_whole_one(tmp_path):
    whole = gaussian.compute(TINY, Work(tmp_path / "a"))
    resumed, _ = in_slices(gaussian.compute, TINY, tmp_path / "b")
    assert same(whole, resumed)


def test_seeds_share_nothing(records):
    first, second = (record["error"][0, 0, :2] for record in records[:2])
    assert not np.isclose(first, second).any()


def test_averaged_weights_are_others_once_there_are_steps(records):
    error = records[0]["error"]
    assert np.array_equal(error[0, 0], error[0, 1])
    assert not np.isclose(error[-1, 0], error[-1, 1], rtol=1e-4).all()


def test_training_brings_the_error_against_the_empirical_score_down(records):
    for record in records:
        curve = record["error"][:, 0, 0, 0].mean(-1)
        assert curve[-1] < 0.8 * curve[0]


def test_factors_change_one_setting_at_a_time():
    runs = factors.runs_of(factors.FactorsSpec())
    base = runs[0][2].as_dict()
    changed = [{k for k, v in settings.as_dict().items() if v != base[k]} for _, _, settings in runs]
    assert changed == [set(), {"batch"}, {"batch"}, {"rate"}, {"rate"}, {"target"}, {"target"}, {"depth"}]
    assert [factor for factor, _, _ in runs][1:] == [next(iter(one)) for one in changed[1:]]


def test_a_run_of_the_factors_is_a_run_of_the_gaussian(factorial, tmp_path: Path):
    spec = factors.EXPERIMENT.twin
    settings = factors.runs_of(spec)[1][2].replace(seed=spec.seeds[1])
    alone = gaussian.compute(settings, Work(tmp_path))
    assert np.array_equal(factorial["error"][1, 1], alone["error"])
    assert np.array_equal(factorial["reference"][1], alone["reference"])
