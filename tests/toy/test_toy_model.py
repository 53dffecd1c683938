"""The record of the toy model against quadrature and against the paper's numbers.

Tolerances, each with its reason: 3 % for peaks from 4,000 draws, whose error is about 1 %; 5 standard
errors for Monte Carlo against quadrature; the central 99 % of repeats for numbers that come from 50 draws.
"""

from __future__ import annotations

import numpy as np
import pytest
from slices import in_slices, same

from diffnotes import store
from diffnotes.base import files
from diffnotes.chapters.toy import experiment as toy_model
from diffnotes.chapters.toy import formulas as toy
from diffnotes.chapters.toy.experiment import ToySpec, blurred_predictor

CONVERGED = {2.2: 0.0906, 2.0: 0.1459, 1.8: 0.2316, 1.6: 0.3642, 1.4: 0.5719, 1.2: 0.9087}
AUTHORS = {2.2: 0.104, 2.0: 0.161, 1.8: 0.249, 1.6: 0.387, 1.4: 0.603, 1.2: 0.954}
TRAIN, VAL = toy.train_validation(10)
PLACE = toy_model.MAP_SIGMA


@pytest.fixture(scope="module")
def record(tmp_path_factory):
    """The arrays of the smoke profile."""
    work = store.Work(tmp_path_factory.mktemp("toy"))
    return toy_model.compute(toy_model.EXPERIMENT.profiles["smoke"], work)


# --- gaps ---


def test_converged_peaks(record):
    expected = np.array([CONVERGED[delta] for delta in record["delta"]])
    assert np.allclose(record["peak"], expected, rtol=0.03)
    assert np.allclose(record["peak_exact"], expected, rtol=0.03)
    assert (np.abs(record["peak_sigma"] - 1.18) < 0.08).all()


def test_monte_carlo_agrees_with_quadrature(record):
    error = np.abs(record["gap"] - record["gap_exact"])
    assert (error <= 5 * record["gap_stderr"] + 1e-9).all()
    assert (error > 0).any()


def test_standard_error_is_the_scatter_of_repeats():
    noise = toy.normal(0, "scatter", 400 * 50)
    errors = toy.denoising_error(toy.blurred(TRAIN, 1.6), np.concatenate([TRAIN, VAL]), 1.18, noise)
    known, held_out = errors[:10].mean(0).reshape(400, 50), errors[10:].mean(0).reshape(400, 50)
    found = np.array([toy.gap_of_draws(a, b) for a, b in zip(known, held_out, strict=True)])
    assert np.isclose(found[:, 0].std(), found[:, 1].mean(), rtol=0.15)


@pytest.mark.parametrize("design", ["shared", "separate"])
def test_authors_peaks_lie_in_the_band_of_repeats_with_50_draws(design):
    """The central 99 % of 400 repeats, at the sigma of the peak, with shared and with separate draws."""
    noise = toy.normal(0, "band", 400 * 50)
    for delta, authors in AUTHORS.items():
        a, b = toy_model._means(toy.blurred(TRAIN, delta), TRAIN, VAL, np.array([1.1838]), noise, 400)
        gap = (b if design == "shared" else np.roll(b, 1, axis=1)) / a - 1
        low, high = np.quantile(gap, (0.005, 0.995))
        assert low < authors < high


def test_repeats_with_separate_draws_scatter_more(record):
    shared, separate, own = record["repeat_peaks"].std(-1).T
    assert (separate > 2 * shared).all()
    assert (own < separate).all()


# --- figure 5 ---


def test_validation_points_inside(record):
    delta, inside = record["level_delta"], record["level_inside"]
    assert (inside[delta >= 1.5] == 10).all()
    assert (inside[delta <= 1.4] == 0).all()
    assert ((record["level_gap_exact"] <= 0.5) == (delta >= 1.45)).all()


def test_threshold(record):
    edge = float(record["threshold"])
    assert abs(edge - 1.45) < 2e-3
    near = toy.exact_gap(10, edge, np.array([PLACE]))[0]
    assert abs(near - 0.5) < 1e-6
    assert np.isnan(toy.threshold(60, PLACE))


def test_gap_at_a_point_is_the_same_in_map_and_curve(record):
    assert np.allclose(toy.gap_field(TRAIN, TRAIN, PLACE, 1.6), 0, atol=1e-6)
    assert np.allclose(
        toy.gap_field(VAL, TRAIN, PLACE, 1.6), toy.exact_gap(10, 1.6, np.array([PLACE])), rtol=1e-4
    )


def test_along_the_circle(record):
    assert np.allclose(record["along_gap"].max(1), [0.15, 0.37, 0.92], rtol=0.06)
    assert (np.abs(record["along_gap"].min(1)) < 5e-3).all()


# --- density, guidance, random support ---


def test_density(record):
    authors = np.array([0.800, 0.387, 0.213, 0.073])
    assert np.allclose((1 + record["density_peak"]) / (1 + authors), 1, atol=0.05)
    assert (np.diff(record["density_peak"]) < 0).all()
    assert (np.diff(record["density_sigma"]) < 0).all()
    low, high = record["density_band"].transpose(2, 1, 0)
    assert (low <= record["density_peak"]).all()
    assert (high >= record["density_peak"]).all()
    assert ((high - low)[1] > (high - low)[0]).all()


def test_guidance(record):
    assert np.isclose(record["guidance_peak"][0], record["peak_exact"][2], rtol=2e-3)
    assert np.allclose(record["guidance_peak"][[0, 2, 6, 10]], [0.249, 0.319, 0.482, 0.684], rtol=0.1)
    assert (np.diff(record["guidance_peak"]) > 0).all()
    x = toy.normal(0, "guided", 5) * 8
    good, bad = blurred_predictor(x, TRAIN, 1.0, 1.8), blurred_predictor(x, TRAIN, 1.0, 2.2)
    assert np.allclose(toy.guided(TRAIN, 1.8, 2.2, 0.5)(x, 1.0), 1.5 * good - 0.5 * bad)


def test_first_random_support_is_the_authors(record):
    """Their stored peaks, 0.210 at sigma 1.92 and 0.822 at 1.00, come from 50 draws: 20 %."""
    first, sigma = record["random_first"], record["random_sigma"]
    assert np.allclose(first.max(1)[[0, 2]], [0.210, 0.822], rtol=0.2)
    assert np.allclose(sigma[first.argmax(1)][[0, 2]], [1.92, 1.00], rtol=0.1)


# --- the sampler's law ---


def test_sampler_law(record):
    euler, heun, law, train, val = record["law_rms"].T
    error = record["law_rms_stderr"][:, 1]
    assert (np.abs(heun - law) < np.maximum(4 * error, 0.01 * law)).all()
    assert np.allclose(law, [2.83, 2.19, 1.73], rtol=0.01)
    assert np.allclose(train, 1.51, rtol=0.01)
    assert np.allclose(val, 2.60, rtol=0.01)
    assert (law > train).all()
    assert euler[2] > law[2] + 4 * error[2]  # too few steps for so small a delta


def test_sampler_states_have_the_exact_distribution_of_distances(record):
    """Kolmogorov's distance for 4,000 states: above 1.95 / sqrt(4000) with probability 0.1 %."""
    _, heun, law, train, _ = record["law_share"].transpose(1, 0, 2)
    assert np.abs(heun - law).max() < 1.95 / np.sqrt(4000)
    assert np.abs(heun - train).max() > 0.1


def test_exact_distance_law_is_that_of_the_mixture():
    noise = toy.normal(0, "law", 40_000)
    distance = toy.nearest_distance(TRAIN[0] + 2.0 * noise, TRAIN)
    bins = np.linspace(0, 8, 41)
    rms, share = toy_model._distance_law(TRAIN[0], 2.0, TRAIN, bins)
    assert np.isclose(rms, np.sqrt(np.mean(distance**2)), rtol=0.01)
    assert np.abs(share - toy_model._share(distance, bins)).max() < 1.95 / np.sqrt(40_000) + 1 / 600


def test_one_shot_predictions(record):
    sampler, train, val = record["shot_rms"]
    assert train < sampler < val
    assert np.allclose(record["shot_rms"], [1.93, 1.13, 2.27], rtol=0.03)


# --- spacing and dimension ---


def test_spacing_law(record):
    delta, sigma = (record[name] / record["spacing_chord"] for name in ("spacing_delta", "spacing_sigma"))
    assert ((delta > 0.233) & (delta < 0.244)).all()
    assert ((sigma > 0.185) & (sigma < 0.197)).all()
    assert np.allclose(delta[-1], delta[-2], rtol=1e-3)  # constant in the limit of many points
    one = record["spacing_delta"][3]
    curve = toy.exact_gap(10, one, toy.edm_grid(400)[::-1])
    assert np.isclose(curve.max(), 0.5, rtol=2e-3)


def test_peak_position_hardly_follows_delta(record):
    expected = [1.29, 1.18, 1.18, 1.18, 1.09, 1.00, 0.92]
    assert np.allclose(record["position_sigma"], expected, rtol=0.08)


# --- the record ---


def test_record_is_small_and_finite(record):
    assert len(files.npz_bytes(record)) < 1_000_000
    assert all(np.isfinite(array).all() for array in record.values())
    full = toy_model.EXPERIMENT.profiles["laptop"]
    assert full.as_dict() | {"repeats": 20, "map_size": 31, "states": 4000, "supports": 3} == (
        toy_model.EXPERIMENT.profiles["smoke"].as_dict()
    )


def test_smoke_crosses_the_chunk_boundary():
    assert toy_model.EXPERIMENT.profiles["smoke"].draws > toy.CHUNK // 10


def test_slices_continue_where_they_stopped(tmp_path, monkeypatch):
    few = {name: toy_model.PARTS[name] for name in ("curves", "fields", "shots")}
    monkeypatch.setattr(toy_model, "PARTS", few)
    spec = ToySpec(draws=20, states=400, deltas=(1.6,))
    whole = toy_model.compute(spec, store.Work(tmp_path / "whole"))
    pieces, runs = in_slices(toy_model.compute, spec, tmp_path / "slices")
    assert runs == 3
    assert same(whole, pieces)


@pytest.mark.parametrize(
    ("setting", "word"),
    [
        ({"delta": 0.0}, "delta must be"),
        ({"delta": "big"}, "delta must be"),
        ({"n_train": 1}, "n_train must be"),
        ({"n_train": 10.5}, "n_train must be"),
        ({"deltas": (1.0, -1.0)}, "deltas must be"),
        ({"draws": 1}, "draws must be"),
        ({"seed": -1}, "seed must be"),
    ],
)
def test_bad_settings(setting, word):
    with pytest.raises(store.SpecError, match=word):
        ToySpec(**setting)


@pytest.mark.parametrize("n_train", [2, 30])
def test_extreme_counts_compute(n_train, tmp_path):
    spec = ToySpec(
        n_train=n_train, draws=20, repeats=2, map_size=5, states=400, supports=2, deltas=(1.6, 0.02)
    )
    arrays = toy_model.compute(spec, store.Work(tmp_path))
    assert arrays["gap"].shape == (2, 120)
    assert np.isfinite(arrays["gap_exact"][0]).all()


def test_explore_agrees_with_the_record(record):
    shown = toy_model.explore(PLACE, 1.6, 10)
    assert np.isclose(shown["gap_here"][0], record["level_gap_exact"][3])
    some = shown["plane"][18:24, ::7].reshape(-1, 2)
    expected = toy.gap_field(some, TRAIN, PLACE, 1.6)
    assert np.allclose(shown["region"][18:24, ::7].ravel(), expected, atol=1e-3)
