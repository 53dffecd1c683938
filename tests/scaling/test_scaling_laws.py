"""Correlations, fits and frontiers on power laws whose exponent and floor are known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import pearsonr

from diffnotes.chapters.scaling.law_readings import (
    correlation,
    fitted,
    frontier,
    slope,
)

F = np.geomspace(1e9, 1e12, 25)
X = np.log(F)


def law(floor: float, beta: float, alpha: float, error: float = 0.0) -> np.ndarray:
    noise = np.random.default_rng(1).standard_normal(len(F))
    return (floor + beta * F**alpha) * np.exp(error * noise)


@pytest.mark.parametrize(("floor", "alpha"), [(0.0, -0.05), (0.1, -0.2), (0.5, -0.4), (2.0, -0.8)])
def test_a_free_fit_finds_floor_and_exponent(floor, alpha):
    beta = 0.5 * F[0] ** -alpha
    found = fitted(X, law(floor, beta, alpha))
    assert found.floor == pytest.approx(floor, abs=4e-3)
    assert found.alpha == pytest.approx(alpha, rel=1e-2)
    assert found.beta == pytest.approx(beta, rel=0.2)
    assert found.misfit < 4e-4
    assert np.allclose(found(F), law(floor, beta, alpha), rtol=1e-3)


def test_a_free_fit_is_not_thrown_off_by_noise():
    beta = 0.5 * F[0] ** 0.3
    found = fitted(X, law(0.3, beta, -0.3, error=0.01))
    assert found.floor == pytest.approx(0.3, rel=0.05)
    assert 0.005 < found.misfit < 0.015


def test_a_given_floor_is_kept_and_a_wrong_one_fits_worse():
    loss = law(0.3, 0.5 * F[0] ** 0.3, -0.3)
    fits = {floor: fitted(X, loss, floor) for floor in (0.0, 0.15, 0.3, 0.31)}
    assert all(fit.floor == floor for floor, fit in fits.items())
    assert fits[0.3].alpha == pytest.approx(-0.3, rel=4e-3)
    assert fits[0.3].misfit < 4e-4 < fits[0.31].misfit < fits[0.15].misfit < fits[0.0].misfit
    assert -0.3 < fits[0.15].alpha < fits[0.0].alpha < 0


def test_no_floor_is_below_zero():
    falling_faster = np.exp(1 - 0.01 * (X - X[0]) ** 2)  # what only a negative floor would make straight
    assert fitted(X, falling_faster).floor == 0
    assert fitted(X, falling_faster).as_array() == pytest.approx(fitted(X, falling_faster, 0.0).as_array())


def test_a_fit_is_the_best_there_is():
    loss = law(0.2, 3.0, -0.1, error=0.05)
    best = fitted(X, loss)
    for floor in (0.0, best.floor * 0.98, best.floor * 1.02 + 0.001):
        assert fitted(X, loss, floor).misfit >= best.misfit - 1e-6


def test_rho_is_minus_pearsons_of_logarithms():
    many = np.stack([law(0.0, 1.0, -0.1, 0.3), law(0.2, 9.0, -0.2, 0.1), 1 / law(0.0, 1.0, -0.1, 0.1)])
    expected = [-pearsonr(X, np.log(one))[0] for one in many]
    assert np.allclose(correlation(X, many), expected)
    assert correlation(X, law(0.0, 2.0, -0.3)) == pytest.approx(1)
    assert correlation(X, 1 / law(0.0, 2.0, -0.3)) == pytest.approx(-1)


def test_subtracting_the_floor_straightens_and_any_other_bends():
    loss = law(0.3, 0.5 * F[0] ** 0.3, -0.3)
    rho = [float(correlation(X, loss - factor * 0.3)) for factor in (0, 0.5, 0.9, 1, 1.05)]
    assert rho[3] == pytest.approx(1)
    assert rho[0] < rho[1] < rho[2] < rho[3] > rho[4]


def test_where_a_difference_is_not_positive_there_is_no_rho():
    loss = law(0.3, 1.0, -0.3)
    assert np.isnan(correlation(X, loss - 0.31))
    assert np.isnan(slope(X, loss - 0.31))
    assert np.isnan(correlation(X, np.ones(len(X))))
    assert np.isfinite(correlation(X, np.stack([loss - 0.31, loss]))).tolist() == [False, True]


def test_the_slope_is_the_exponent():
    assert slope(X, law(0.0, 4.0, -0.23)) == pytest.approx(-0.23)


def test_the_frontier_is_what_compute_can_buy():
    compute = np.array([1.0, 2.0, 3.0, 4.0, 4.0, 5.0, 2.0])
    loss = np.array([9.0, 5.0, 6.0, 4.0, 3.0, 3.0, 8.0])
    assert frontier(compute, loss).tolist() == [True, True, False, False, True, False, False]


def test_every_point_off_the_frontier_is_beaten():
    chance = np.random.default_rng(0)
    compute, loss = chance.uniform(size=(2, 60))
    kept = frontier(compute, loss)
    for place in range(60):
        better = (compute <= compute[place]) & (loss < loss[place])
        assert kept[place] == (not better.any())
