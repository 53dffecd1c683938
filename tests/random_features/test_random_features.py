"""The random-feature law: exact averages, the closed-form flow, gradient descent, the two bulks, onsets."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from diffnotes import store
from diffnotes.base.runtime import normals
from diffnotes.chapters.random_features import experiment as rf
from diffnotes.chapters.random_features import figures, readings

T, DELTA = 0.1, 1 - math.exp(-0.2)
FIGURES = ("spectrum", "flow_curves", "flow_onset")


def draw(name: str, rows: int, d: int) -> torch.Tensor:
    return normals(3, name, range(rows), (d,), torch.float64)


def features(w: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    return torch.tanh(x @ w.T / math.sqrt(w.shape[1]))


@pytest.fixture(scope="module")
def small():
    """Features w, points x0, and the flow: d = 6, p = 48, n = 18."""
    w, x0 = draw("w", 48, 6), draw("x0", 18, 6)
    return w, x0, rf.solve(w, x0, T, rf.population(w))


@pytest.fixture
def record(elsewhere):
    return store.run(rf.EXPERIMENT, "smoke")


# --- averages ---


def test_averages_over_the_noise_are_exact_where_noise_is_one_number():
    """In one dimension every average is an integral over one normal, and all features are fully correlated
    but for the sign: the hardest case for a series in the correlation."""
    w, x0 = draw("w", 5, 1), draw("x0", 3, 1)
    z, weights, _ = rf.hermite(2, 200)
    u, v = rf.empirical(w, x0, T)
    points = math.exp(-T) * x0 + math.sqrt(DELTA) * z
    phi = torch.tanh(points[..., None] * w[:, 0])
    torch.testing.assert_close(u, torch.einsum("q,nqa,nqb->ab", weights, phi, phi) / 3, rtol=0, atol=1e-5)
    torch.testing.assert_close(v[:, 0], torch.einsum("q,q,nqa->a", weights, z, phi) / 3, rtol=0, atol=1e-9)


@pytest.mark.parametrize("kind", ["population", "empirical"])
def test_averages_agree_with_draws(kind, small):
    w, x0, _ = small
    noise = draw("noise", 90_000, 6)
    noise = torch.cat([noise, -noise])
    if kind == "population":
        (u, mean), x = rf.population(w), noise
    else:
        u, mean = rf.empirical(w, x0, T)
        x = math.exp(-T) * x0.repeat(10_000, 1) + math.sqrt(DELTA) * noise
    phi = features(w, x)
    torch.testing.assert_close(u, phi.T @ phi / len(x), rtol=0, atol=8e-3)
    torch.testing.assert_close(mean, phi.T @ noise / len(x), rtol=0, atol=8e-3)


def test_points_in_blocks_count_once():
    w, x0 = draw("w", 7, 3), draw("x0", 2 * rf.BLOCK + 5, 3)
    parts = [rf.empirical(w, x, T) for x in (x0[:70], x0[70:])]
    for k, whole in enumerate(rf.empirical(w, x0, T)):
        mixed = (70 * parts[0][k] + (len(x0) - 70) * parts[1][k]) / len(x0)
        torch.testing.assert_close(whole, mixed, rtol=0, atol=1e-12)


# --- flow ---


def test_losses_are_those_of_the_score_it_describes(small):
    """The matrix A at one time, applied to new noise and new points."""
    w, x0, flow = small
    tau = torch.tensor([40.0], dtype=torch.float64)
    u, v = rf.empirical(w, x0, T)
    a = -v.T @ torch.linalg.inv(u) @ (torch.eye(48) - torch.linalg.matrix_exp(-2 * DELTA * u * 40.0 / 8))
    a /= math.sqrt(DELTA)
    train, error = flow.losses(flow.gains(tau))
    noise = draw("noise", 90_000, 6)
    x = math.exp(-T) * x0.repeat(5_000, 1) + math.sqrt(DELTA) * noise
    direct = (math.sqrt(DELTA) * features(w, x) @ a.T + noise).square().sum(1).mean() / 6
    assert float(train[0]) == pytest.approx(float(direct), abs=8e-3)
    assert float(error[0]) == pytest.approx(
        float((features(w, noise) @ a.T + noise).square().sum(1).mean() / 6), rel=0.01
    )


def test_the_flow_begins_at_nothing_and_ends_at_least_squares(small):
    w, x0, flow = small
    ends = torch.tensor([0.0, 1e9], dtype=torch.float64)
    train, error = flow.losses(flow.gains(ends))
    u, v = rf.empirical(w, x0, T)
    assert (float(train[0]), float(error[0])) == (1.0, 1.0)
    assert float(train[1]) == pytest.approx(1 - float((v * torch.linalg.solve(u, v)).sum()) / 6, abs=1e-6)
    curve = flow.losses(flow.gains(torch.logspace(-2, 6, 50, dtype=torch.float64)))[0]
    assert (curve.diff() < 0).all()


def test_gradient_descent_agrees_with_the_closed_form(small):
    """Plain descent with small steps and many draws of the noise; its own steps explain the rest."""
    w, x0, flow = small
    rate, marks = 0.5, [1, 10, 60, 200]
    seen = rf.descend(w, x0, T, rate, marks, draws=16, seed=0)
    slow = 2 * flow.delta / flow.psi_p * flow.eigenvalues * rate
    gains = torch.stack([(1 - (1 - slow) ** steps) / flow.eigenvalues for steps in marks])
    exact = torch.stack(flow.losses(gains), 1).numpy()
    np.testing.assert_allclose(seen[:, 0], exact[:, 0], atol=0.02)
    np.testing.assert_allclose(seen[:, 1], exact[:, 1], rtol=0.06)
    stream = torch.stack(flow.losses(flow.gains(rate * torch.tensor(marks, dtype=torch.float64))), 1).numpy()
    np.testing.assert_allclose(seen, stream, rtol=0.1)


# --- theory ---


@pytest.mark.parametrize("t", [0.01, 0.1, 0.5])
def test_constants_split_the_variance_of_tanh(t):
    """Against draws: two noises with one point share its mean, and v^2 is what that keeps beyond linear."""
    mu, s2, v2 = rf.constants(t)
    u, one, two = draw("three", 400_000, 3).T
    alpha, delta = math.exp(-t), -math.expm1(-2 * t)
    first, second = (torch.tanh(alpha * u + math.sqrt(delta) * z) for z in (one, two))
    assert mu == pytest.approx(float((1 - first.square()).mean()), abs=2e-3)
    assert v2 == pytest.approx(float((first * second).mean()) - alpha**2 * mu**2, abs=3e-3)
    assert s2 + v2 + mu**2 == pytest.approx(float(first.square().mean()), abs=2e-3)
    assert s2 > 0
    assert v2 > 0


def test_the_spectrum_has_the_two_bulks_of_the_theory():
    d, psi_p, psi_n = 24, 32, 4
    w, x0 = draw("w", d * psi_p, d), draw("x0", d * psi_n, d)
    eigenvalues = torch.linalg.eigvalsh(rf.empirical(w, x0, T)[0]).flip(0)
    spec = rf.RandomFeatureSpec(dimension=d, psi_p=psi_p, psi_n=(psi_n, 8))
    said = rf.theory(spec)
    low, high = float(said["lower_edge"][0]), float(said["upper_edge"][0])
    assert float(eigenvalues[d - 1]) > 8 * high  # d eigenvalues stand apart, on the scale of psi_p
    bulk = eigenvalues[d : d + d * psi_n]
    assert float(bulk.mean()) == pytest.approx(float(said["s2"] + said["v2"] * psi_p / psi_n), rel=0.2)
    between = int(((eigenvalues > low) & (eigenvalues < 1.3 * high)).sum())
    assert 0.6 < between / (d * psi_n) < 1.1  # so few dimensions blur the lower edge
    rest = eigenvalues[d * (psi_n + 1) :]
    assert float(rest.mean()) == pytest.approx(float(said["s2"]), rel=0.25)
    assert said["tau_memorize"][0] == pytest.approx(psi_p / (DELTA * low))


def test_many_features_make_the_predicted_time_linear():
    said = rf.theory(rf.RandomFeatureSpec(psi_p=256, psi_n=(1, 2)))
    assert float(said["tau_exponent"]) == pytest.approx(1, abs=0.08)


# --- onsets ---


def test_crossings_are_interpolated_in_the_logarithm():
    tau = np.array([1.0, 10.0, 100.0])
    assert rf.crossing(tau, np.array([0.0, 1.0, 3.0]), 2.0) == pytest.approx(10**1.5)
    assert math.isnan(rf.crossing(tau, np.array([0.0, 1.0, 3.0]), 4.0))


def test_exponents_come_with_their_interval():
    psi_n = np.array([4.0, 8.0, 16.0])
    values = np.stack([psi_n**k for k in (0.9, 1.0, 1.1)], 1)
    np.testing.assert_allclose(rf.exponent(psi_n, values), [1.0, 1 - 0.2484, 1 + 0.2484], atol=1e-3)
    assert np.isnan(rf.exponent(psi_n, values[:, :1])).tolist() == [False, True, True]
    values[0, 0] = math.nan
    assert np.isnan(rf.exponent(psi_n, values)).all()


def test_onsets_find_a_planted_law():
    """A gap that opens in two parts, the second linearly at a rate of 1/psi_n."""
    tau, psi_n = np.geomspace(0.01, 1e6, 400), np.array([4.0, 8.0, 16.0])
    plateau = np.broadcast_to(0.2 / psi_n[:, None], (3, 2))
    late = 0.5 * -np.expm1(-tau / (100 * psi_n[:, None]))
    gap = plateau[..., None] * -np.expm1(-tau) + late[:, None]
    curves = {"train_loss": 0.5 - gap, "test_loss": np.full_like(gap, 0.5), "score_error": 1 + gap}
    found = rf.onsets(curves | {"plateau_gap": plateau, "tau": tau, "psi_n": psi_n})
    expected = -100 * psi_n[:, None] * np.log1p(-np.array(rf.THRESHOLDS) / 0.5)
    np.testing.assert_allclose(found["onset"][:, 0], expected, rtol=0.01)
    np.testing.assert_allclose(found["onset_exponent"], np.ones((3, 3)), atol=0.01)
    np.testing.assert_allclose(found["half"][:, 1], 100 * psi_n * math.log(2), rtol=0.01)
    assert (found["raw_onset"][:2, 0, 0] < 2).all()  # here the plateau alone is above the threshold


# --- the experiment ---


def test_the_record_shows_the_law(record):
    assert record["train_loss"].shape == record["test_loss"].shape == (2, 2, 41)
    delta = float(record["delta"])
    np.testing.assert_allclose(record["test_loss"], 1 - delta + delta * record["score_error"])
    assert (record["least_error"][1] < record["least_error"][0]).all()
    assert (record["onset"][1] > record["onset"][0]).all()
    exact = np.interp(np.log(record["descent_tau"]), np.log(record["tau"]), record["score_error"][0, 0])
    np.testing.assert_allclose(record["descent_error"][-4:], exact[-4:], rtol=0.15)


def test_pages_show_the_record(record):
    for name in FIGURES:
        page = getattr(figures, name)(record)._repr_html_()
        assert "<svg" in page
        assert f'id="{name}"' in page
    said = str(figures.flow_found(record))
    for value in record["least_error_exponent"]:
        assert f"{value:.2f}".replace("-", "−") in said
    captions = [getattr(figures, name)(record).caption for name in FIGURES]
    assert f"{float(record['tau_exponent']):.3f}" in captions[-1].finding
    assert all(caption.shows for caption in captions)
    assert "nan" not in said + "".join(caption.finding for caption in captions)


def test_the_power_of_theory_is_that_of_its_times(record):
    slope = np.polyfit(np.log(record["psi_n"]), np.log(record["tau_memorize"]), 1)[0]
    assert readings.theory_power(record) == pytest.approx(slope)
    ratio = record["tau_memorize"][0] / np.exp(np.log(record["onset"][0, :, 0]).mean())
    assert readings.sooner(record) == pytest.approx(float(ratio))


def test_the_time_of_a_good_score_is_between_two_times(record):
    """Where the error, drawn as a line over ln tau, has made nine tenths of its fall."""
    error, tau = record["score_error"][1, 0], record["tau"]
    time = readings.good(record)[1, 0]
    there = np.interp(np.log(time), np.log(tau), error)
    assert there == pytest.approx(error[0] - 0.9 * (error[0] - error.min()))
    assert (error[tau < time] > there).all()


def test_the_drawn_density_holds_the_points_it_stands_for(record):
    """n = 20 and 80 eigenvalues of p = 160."""
    for place, n in enumerate((20, 80)):
        grid, density = readings.memorizing_density(record, place)
        assert np.trapezoid(density / grid, grid) == pytest.approx(n, rel=0.01)


def test_slices_give_the_numbers_of_one_run(record):
    stops = 0
    while stops < 20:
        try:
            sliced = store.run(rf.EXPERIMENT, "smoke", max_seconds=1e-9, tau_min=0.1 + 1e-15)
            break
        except store.Unfinished:
            stops += 1
    assert stops == 4
    for name in record.arrays:
        np.testing.assert_allclose(sliced[name], record[name], rtol=1e-9)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"psi_n": (8, 4)}, "psi_n must be two or more rising numbers"),
        ({"psi_n": (8,)}, "psi_n must be two or more rising numbers"),
        ({"tau_max": 1.0, "tau_min": 2.0}, "tau_max must be above tau_min"),
    ],
)
def test_bad_settings_get_a_sentence(settings, words):
    with pytest.raises(store.SpecError, match=words):
        rf.RandomFeatureSpec(**settings)
