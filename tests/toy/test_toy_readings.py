"""What is read off a toy record, on records where it is known."""

from __future__ import annotations

import fakes
import numpy as np
import pytest
from fakes import record

from diffnotes import store
from diffnotes.chapters import checks
from diffnotes.chapters.toy import claims, formulas, readings, tables
from diffnotes.chapters.toy import experiment as toy_model

cases = fakes.cases("toy")


@pytest.fixture(scope="module")
def pinned():
    return store.load(toy_model.EXPERIMENT)


# --- the authors' heights ---


def test_a_common_factor_joins_heights_and_a_shift_does_not():
    ours = np.array([0.1, 0.4, 0.9])
    off = readings.Match(np.arange(3), ours, cases.off(ours, 1.03), 0.01)
    low, high = off.factor
    assert low < 1.03 < high
    assert off.joined
    assert not readings.Match(np.arange(3), ours, ours + np.array([0.1, 0, 0]), 0.01).joined


@pytest.mark.parametrize("places", [1, 2])
def test_the_rule_for_heights_sees_deltas_that_are_taken_for_their_neighbours(places):
    found = claims.CHECKS["kaiser-toy-peaks"](cases.peaks(shift=places))
    assert found.verdict == checks.FAILED


def test_a_factor_that_few_draws_do_not_give_is_partly():
    heights = cases.off(np.array([*readings.DENSITY.heights.values()]), 1.5)
    arrays = {"density_n": [*readings.DENSITY.heights], "density_peak": heights, **cases.REPEATS}
    assert claims.CHECKS["kaiser-toy-density"](record(arrays)).verdict == checks.PARTLY


def test_random_sets_that_peak_at_the_end_of_the_noise_are_no_bump():
    rising = cases.random_sets(0.2, 0.3, 0.9)
    found = claims.CHECKS["kaiser-toy-random"](rising)
    assert found.our_value.startswith("medians 0.20 (δ 1.8), 0.30 (δ 1.3), 0.90 (δ 0.7); ")
    ends = rising["random_first"].copy()
    ends[1, 0] = 5.0  # at σ 0.1, for one δ
    found = claims.CHECKS["kaiser-toy-random"](fakes.changed(rising, random_first=ends))
    assert found.verdict == checks.PARTLY


def test_captions_say_where_the_heights_come_from(pinned):
    at = {plot.origin: plot.crosses(pinned, np.array([*plot.heights])) for plot in (
        readings.PEAKS, readings.DENSITY, readings.GUIDED, readings.ALONG
    )}  # fmt: skip
    assert all(text == f" Crosses are {origin}." for origin, text in at.items())
    read = [origin for origin in at if "re-implementation" not in origin]
    assert read == [readings.ALONG.origin]


def test_peaks_that_nobody_stored_have_no_verdict():
    unknown = record({"delta": [9.0], "peak_exact": [0.1], "repeat_peaks": np.ones((1, 3, 4))})
    with pytest.raises(checks.Nothing):
        claims.CHECKS["kaiser-toy-peaks"](unknown)


def test_heights_of_other_settings_are_not_compared():
    other = record({}, spec={"n_train": 12, "delta": 1.6})
    assert np.isnan(readings.PEAKS.beside(other, np.array([1.6]))).all()
    assert readings.DENSITY.beside(other, np.array([10, 11]))[0] == 0.387
    assert readings.PEAKS.heights[1.6] == readings.DENSITY.heights[10]


def test_half_of_repeats_with_50_draws_are_joined(pinned):
    """A rule that nearly every repeat passed could hardly fail; one that none passed would be too hard."""
    assert 0.3 < readings.joined_repeats(pinned) < 0.9
    low, high = readings.repeat_factor(pinned)
    assert 0.7 < low < 0.9 < 1.1 < high < 1.4


# --- numbers ---


def test_the_authors_peaks_are_one_factor_off(pinned):
    low, high = readings.peaks(pinned).factor
    assert 1.01 < low < high < 1.04
    assert "between 1.01" in str(tables.band_finding(pinned))


def test_readings_of_the_pinned_record(pinned):
    assert readings.landing(pinned)[0] > 0.9
    assert readings.landing(pinned)[1] < 0.01
    ratio, power = readings.in_proportion(pinned)
    assert 0.1 < power < 0.2
    assert ratio.shape == (2,)
    assert np.allclose(readings.spacing(pinned)[0], 0.238, atol=0.006)
    assert readings.inside_share(pinned)[0] == 1
    held_out = readings.gap_on_circle(pinned, pinned["val"])
    assert np.allclose(held_out, pinned["along_gap"].max(1)[:, None], rtol=1e-3)
    assert (readings.gap_on_circle(pinned, pinned["train"]) < 3e-3).all()  # between two angles


def test_spreads_give_the_overlap_of_gaussians_that_have_them():
    spreads = cases.spreads(1.25**0.5, 5**0.5)
    for dimension in (2, 3072):
        ratio, found = readings.measured(spreads, dimension)
        wanted = [formulas.overlap(np.array([dimension]), one)[0] for one in ratio]
        assert np.allclose(found, wanted, rtol=1e-9, atol=0)


def test_the_plane_is_judged_up_to_sigma_alone():
    check = claims.CHECKS["ours-toy-plane"]
    assert check(cases.spreads(1.12, 9.0)).verdict == checks.REPRODUCED
    assert check(cases.spreads(9.0, 9.0)).verdict == checks.FAILED


def test_the_answer_counts_verdicts(pinned):
    found = [{"id": "kaiser-toy-a", "verdict": "reproduced"}, {"id": "kaiser-net-b", "verdict": "partly"}]
    found.append({"id": "kaiser-toy-c", "verdict": "only on paper"})
    text = str(tables.answer_finding(pinned, found))
    assert "Of 1 claims on the toy, on its pinned records: 1 reproduced." in text
    assert "claims" not in str(tables.answer_finding(pinned))
