"""The formulas of the toy model against brute force, quadrature against moments, and errors in words."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from diffnotes.base.errors import UserError
from diffnotes.chapters.toy import formulas as toy
from diffnotes.chapters.toy.experiment import blurred_predictor, relative_gap

TRAIN, VAL = toy.train_validation(10)


def naive(x, points, sigma, delta):
    """The posterior mean under the blurred data by brute force: a sum over a fine grid of clean points."""
    axis = np.arange(-18, 18, 0.06)
    clean = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    prior = np.exp(-np.square(clean[:, None] - points).sum(-1) / (2 * delta**2)).sum(1)
    weight = prior * np.exp(-np.square(clean - x).sum(-1) / (2 * sigma**2))
    return weight @ clean / weight.sum()


# --- the predictor ---


@pytest.mark.parametrize(("sigma", "delta"), [(0.6, 1.6), (1.07, 1.2), (2.8, 0.5), (1.0, 3.0)])
def test_predictor_is_the_posterior_mean_of_the_blurred_data(sigma, delta):
    x = np.array([[9.0, 3.0], [0.0, 0.1], [-7.0, -8.0]])
    expected = [naive(point, TRAIN, sigma, delta) for point in x]
    assert np.allclose(blurred_predictor(x, TRAIN, sigma, delta), expected, atol=1e-6)


def test_predictor_limits():
    x = toy.normal(0, "limits", 50) * 8
    nearest = TRAIN[np.square(x[:, None] - TRAIN).sum(-1).argmin(1)]
    assert np.array_equal(toy.optimal_predictor(x, TRAIN, 0.01), nearest)
    assert np.allclose(blurred_predictor(x, TRAIN, 1e5, 1.6), TRAIN.mean(0), atol=1e-6)
    assert np.array_equal(blurred_predictor(x, TRAIN, 0.0, 1.6), x)
    assert np.allclose(blurred_predictor(x, TRAIN, 1.0, 1e6), x, atol=1e-4)
    assert np.allclose(blurred_predictor(x, TRAIN, 1.0, 1e-9), toy.optimal_predictor(x, TRAIN, 1.0))


def test_predictor_takes_one_sigma_per_state_and_pieces_change_nothing(monkeypatch):
    x = toy.normal(0, "pieces", 60) * 8
    sigma = np.geomspace(0.1, 20, 60)
    whole = blurred_predictor(x, TRAIN, sigma, 1.6)
    alone = [blurred_predictor(x[i : i + 1], TRAIN, sigma[i], 1.6)[0] for i in range(60)]
    monkeypatch.setattr(toy, "CHUNK", 70)
    assert np.allclose(whole, alone, rtol=0, atol=1e-12)
    assert np.allclose(blurred_predictor(x, TRAIN, sigma, 1.6), whole, rtol=0, atol=1e-12)
    assert blurred_predictor(x[:0], TRAIN, 1.0, 1.6).shape == (0, 2)


def test_tensors_in_tensors_out():
    x = torch.randn(7, 2, generator=torch.Generator().manual_seed(0))
    out = blurred_predictor(x, torch.from_numpy(TRAIN), torch.full((7,), 1.07), 1.6)
    assert isinstance(out, torch.Tensor)
    assert out.dtype == torch.float64
    assert np.allclose(out.numpy(), blurred_predictor(x.double().numpy(), TRAIN, 1.07, 1.6), atol=1e-6)
    gap = relative_gap(torch.from_numpy(TRAIN), torch.from_numpy(VAL), torch.tensor([1.07]), 1.6)
    assert isinstance(gap, torch.Tensor)


@pytest.mark.parametrize(
    ("x", "sigma", "delta", "word"),
    [
        (np.zeros((3, 2)), -1.0, 1.0, "sigma"),
        (np.zeros((3, 2)), 0.0, 0.0, "sigma"),
        (np.zeros((3, 2)), 1.0, -0.1, "delta is -0.1"),
        (np.zeros((3, 2)), 1.0, float("nan"), "delta is nan"),
        (np.full((3, 2), np.nan), 1.0, 1.0, "x holds"),
    ],
)
def test_bad_values_are_told_in_a_sentence(x, sigma, delta, word):
    with pytest.raises(UserError, match=word):
        blurred_predictor(x, TRAIN, sigma, delta)


@pytest.mark.parametrize(
    ("points", "sigma", "word"),
    [
        (np.zeros((0, 2)), np.array(1.0), "at least one point"),
        (np.zeros((4, 3)), np.array(1.0), "coordinates"),
        (TRAIN, np.ones(2), "each of 3 states"),
    ],
)
def test_bad_shapes_are_told_in_a_sentence(points, sigma, word):
    """Where annotations are not checked, that is, outside these tests."""
    with pytest.raises(UserError, match=word):
        toy._check_levels(np.zeros((3, 2)), points, sigma, 1.0)


def test_whole_numbers_are_numbers():
    assert np.array_equal(blurred_predictor(TRAIN, TRAIN, 1, 2), blurred_predictor(TRAIN, TRAIN, 1.0, 2.0))
    assert np.array_equal(relative_gap(TRAIN, VAL, [1, 2], 2), relative_gap(TRAIN, VAL, [1.0, 2.0], 2.0))


@pytest.mark.parametrize("draws", [0, -3, 2.5])
def test_bad_draws(draws):
    with pytest.raises((UserError, TypeError)) as error:
        relative_gap(TRAIN, VAL, [1.0], 1.6, draws=draws)
    assert "draws" in str(error.value)


# --- data, noise, quadrature ---


def test_validation_points_lie_midway():
    assert np.allclose(np.linalg.norm(TRAIN, axis=1), 10)
    distance = np.linalg.norm(VAL[:, None] - TRAIN, axis=-1)
    nearest = np.sort(distance, axis=1)[:, :2]
    assert np.allclose(nearest, 2 * 10 * np.sin(np.pi / 20))
    assert np.isclose(np.linalg.norm(TRAIN[1] - TRAIN[0]), toy.chord(10))


def test_the_papers_noise_levels():
    ascending = toy.edm_grid(40)[::-1]
    assert np.allclose(ascending[[14, 16, 20, 32]], [0.625, 1.073, 2.82, 27.8], rtol=2e-3)
    assert np.allclose(ascending[[0, -1]], [0.002, 80])


def test_draws_do_not_depend_on_how_many_are_asked_for():
    assert np.array_equal(toy.normal(3, "a", 100)[:7], toy.normal(3, "a", 7))
    assert not np.array_equal(toy.normal(3, "a", 7), toy.normal(3, "b", 7))
    assert not np.array_equal(toy.normal(3, "a", 7), toy.normal(4, "a", 7))


def test_quadrature_has_the_moments_of_a_normal():
    nodes, weights = toy.quadrature()
    radius = np.linalg.norm(nodes, axis=1)
    assert np.isclose(weights.sum(), 1)
    assert np.isclose(weights @ radius**2, 2)
    assert np.isclose(weights @ radius, np.sqrt(np.pi / 2))
    assert np.allclose(weights @ (nodes**4), 3)
    assert abs(toy.rings()[:, 0].var() - 1) < 0.01


# --- gaps ---


def test_gap_of_shared_draws_has_no_plateau_and_no_bias_from_sigma():
    gap = relative_gap(TRAIN, VAL, toy.edm_grid(30), 1.6)
    again = relative_gap(TRAIN, VAL, toy.edm_grid(30)[::3], 1.6)
    assert abs(gap[-1]) < 1e-4
    assert abs(gap[0]) < 0.05
    assert np.array_equal(gap[::3], again)
    assert not np.array_equal(gap, relative_gap(TRAIN, VAL, toy.edm_grid(30), 1.6, seed=1))


def test_gap_is_that_of_the_norm_and_not_of_its_square():
    noise = toy.normal(0, "relative gap", 400)
    error = [
        np.mean(
            [
                np.linalg.norm(blurred_predictor(y + 1.07 * noise, TRAIN, 1.07, 1.6) - y, axis=1)
                for y in points
            ]
        )
        for points in (TRAIN, VAL)
    ]
    assert np.isclose(relative_gap(TRAIN, VAL, [1.07], 1.6, draws=400)[0], error[1] / error[0] - 1, rtol=1e-9)


def test_optimal_predictor_has_a_huge_gap_at_small_noise():
    gap = relative_gap(TRAIN, VAL, [0.01, 0.5, 2.0, 80.0], 0.0)
    assert gap[0] == np.inf
    assert gap[1] > 1e10
    assert np.isclose(gap[2], 1.35, rtol=0.15)
    assert abs(gap[3]) < 0.02


def test_quadrature_gap_is_converged():
    fine = toy.quadrature(96, 128)
    for delta, sigma in ((2.2, 0.6), (1.6, 1.18), (1.2, 1.18)):
        pair = np.stack([TRAIN[0], VAL[0]])
        error = toy.denoising_error(toy.blurred(TRAIN, delta), pair, sigma, fine[0]) @ fine[1]
        assert np.isclose(toy.exact_gap(10, delta, np.array([sigma]))[0], error[1] / error[0] - 1, rtol=1e-3)


# --- peaks and overlap ---


def test_peak_is_refined_between_grid_points():
    sigmas = np.geomspace(0.1, 10, 21)
    assert np.allclose(toy.peak(sigmas, 3 - np.log(sigmas / 1.1) ** 2), (1.1, 3.0))


def test_overlap():
    assert np.allclose(toy.overlap(np.array([2, 50, 100]), 1.0), [0.943, 0.229, 0.0526], rtol=2e-3)
    assert np.isclose(toy.overlap(np.array([3072]), 1.0), 5e-40, rtol=0.2, atol=0)
    assert np.isclose(toy.overlap(np.array([2]), 0.5), 0.994, rtol=1e-3)
    x = np.linspace(-30, 30, 60_001)
    thin, wide = (np.exp(-(x**2) / (2 * v)) / np.sqrt(2 * np.pi * v) for v in (1.0, 1 + 0.5**2))
    assert np.isclose(toy.overlap(np.array([1]), 0.5), np.sqrt(thin * wide).sum() * (x[1] - x[0]), rtol=1e-6)
