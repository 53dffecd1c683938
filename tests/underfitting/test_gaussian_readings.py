"""What is read off records of the Gaussian, and how claims are judged by it."""

from __future__ import annotations

import tomllib
from pathlib import Path

import numpy as np
import pytest
from fakes import cases

from diffnotes.chapters import checks
from diffnotes.chapters.underfitting import claims, gaussian, readings, slower
from diffnotes.chapters.underfitting import factors as study
from diffnotes.chapters.underfitting.readings import EMPIRICAL, FRESH, PATH, SUPERVISED, TRUE

CASES = cases("underfitting")
BASE, RISING, STEP, T, errors, factors, of_steps, rising, three = (
    CASES.BASE,
    CASES.RISING,
    CASES.STEP,
    CASES.T,
    CASES.errors,
    CASES.factors,
    CASES.of_steps,
    CASES.rising,
    CASES.three,
)

WRITTEN = {
    claim["id"]: claim
    for claim in tomllib.loads(Path(claims.__file__).with_name("claims.toml").read_text())["claim"]
}


def test_places_scores_and_seeds_are_those_of_the_experiment():
    assert gaussian.PLACES == ("supervised", "fresh", "path")
    assert gaussian.SCORES == ("empirical", "true")
    assert [SUPERVISED, FRESH, PATH, EMPIRICAL, TRUE] == [0, 1, 2, 0, 1]
    assert len(readings.NETS) == len(gaussian.NETS)
    assert [{"seed": seed} for seed in readings.SEEDS] == list(gaussian.EXPERIMENT.shown)
    assert [run[:2] for run in study.runs_of(study.FactorsSpec())] == [
        (factor, value) for factor, value in zip(factors()["factor"], factors()["value"], strict=True)
    ]


def test_values_of_the_paper_are_those_that_the_claims_show():
    for name, row in (("supervised", 0), ("fresh", 2)):
        shown = WRITTEN[f"song-gauss-{name}"]["paper_value"]
        assert shown == f"{readings.PAPER[row, 0]} to {readings.PAPER[row, -1]}"
    low, high = readings.PAPER_PLATEAU
    assert f"then {low} to {high}" in WRITTEN["song-gauss-truth"]["paper_value"]
    assert f"{readings.PAPER_CROSSING:,}" in WRITTEN["song-gauss-crossing"]["paper_value"]
    assert readings.crossing(readings.PAPER_STEPS, *readings.PAPER[:2]) == pytest.approx(5000, rel=0.03)


def test_rules_name_the_numbers_that_the_checks_use():
    assert f"within {claims.END:.0%}".replace("%", " %") in WRITTEN["song-gauss-supervised"]["rule"]
    low, high = (
        end * (1 + sign * claims.FLAT) for end, sign in zip(readings.PAPER_PLATEAU, (-1, 1), strict=True)
    )
    assert f"between {low:.3f} and {high:.3f}" in WRITTEN["song-gauss-truth"]["rule"]
    assert f"a factor {claims.FACTOR} of {readings.PAPER_END[2]}" in WRITTEN["song-gauss-fresh"]["rule"]
    assert f"at most {readings.RISES} times the least" in WRITTEN["song-gauss-fresh"]["rule"]
    assert f"t below {readings.EARLY}" in WRITTEN["ours-gauss-range"]["rule"]
    assert f"below {readings.APART}" in WRITTEN["song-gauss-selective"]["rule"]
    assert f"iteration {readings.FIRST:,}" in WRITTEN["song-gauss-selective"]["rule"]
    assert claims.FALLEN == 0.5
    assert "has fallen by half" in WRITTEN["song-gauss-supervised"]["rule"]
    paper = readings.paper_at(6000)[0]
    assert f"{paper:.3f} at iteration 6,000" in WRITTEN["ours-gauss-slower-fit"]["paper_value"]
    assert f"at most {claims.END:.0%}".replace("%", " %") in WRITTEN["ours-gauss-slower-fit"]["rule"]
    assert f"between {low:.3f} and {high:.3f}" in WRITTEN["ours-gauss-slower-truth"]["rule"]
    assert f"above {readings.RISES}" in WRITTEN["ours-gauss-slower-rise"]["rule"]


# --- curves ---


def test_a_curve_is_a_mean_over_times():
    error = errors(BASE | {"fresh, true": np.arange(len(STEP))[:, None] + 100 * T})
    whole = readings.curve(error, T, FRESH, TRUE)
    assert np.allclose(whole, np.arange(len(STEP)) + 100 * T.mean())
    late = readings.curve(error, T, FRESH, TRUE, low=0.5)
    assert np.allclose(late - whole, 100 * (T[T >= 0.5].mean() - T.mean()))
    assert np.allclose(readings.curve(error, T, FRESH, TRUE, readings.AVERAGED), 0.8 * whole)


def test_the_last_tenth_is_counted_in_steps():
    assert readings.last(STEP.astype(float), STEP) == STEP[STEP >= 18_000].mean()


def test_a_crossing_is_interpolated():
    step = np.array([0, 10, 20])
    assert readings.crossing(step, np.array([3.0, 2, 0]), np.ones(3)) == 15
    assert readings.crossing(step, np.array([3.0, 2, 1.5]), np.ones(3)) == np.inf
    assert readings.crossing(step, np.array([0.5, 2, 0]), np.ones(3)) == 0


def test_a_rise_leaves_the_first_value_out():
    values = np.array([0.1, 2.0, 1.0, 3.0])
    assert readings.rise(values, np.arange(4)) == 3
    assert readings.least(values) == 2


@pytest.mark.parametrize(("early", "share", "late"), [(True, 1.0, 1.0), (False, 0.4, 5.7)])
def test_where_a_curve_rises(early, share, late):
    error = errors(BASE | {"fresh, true": rising(6.0, early=early)})[None]
    assert readings.early_share(error, T, STEP) == pytest.approx([share])
    assert readings.late_ratio(error, T, STEP) == pytest.approx([late], rel=0.02)


def test_an_equal_fit_is_at_the_higher_end():
    """One run fits as another but half as fast: it has its end where the other was half-way."""
    fast = of_steps(np.linspace(1, 0.1, 14))
    slow = np.interp(STEP / 2, STEP, fast[:, 0])[:, None] * np.ones(len(T))
    third = (STEP[:, None] / 20_000) * np.ones(len(T))
    one, other = (
        errors(BASE | {"supervised, empirical": first, "fresh, true": third})[None] for first in (fast, slow)
    )
    quick, late = readings.at_equal_fit(one, other, T, STEP)
    assert quick[0] == pytest.approx(late[0] / 2, rel=0.01)
    assert late[0] == pytest.approx(0.95, abs=0.03)


def test_ratios_do_not_depend_on_the_unit():
    error = errors(BASE)[None]
    other = error * (T / (1 - T)) ** 2
    for one in (SUPERVISED, FRESH):
        assert np.allclose(*(readings.ratio_from(e, T, STEP, one, 0.5) for e in (error, other)))
    assert np.allclose(*(readings.place_ratio(e, T, STEP, 0.5) for e in (error, other)))
    assert np.allclose(*(readings.rise_by_time(e, STEP) for e in (error, other)))


# --- verdicts ---


def test_a_third_curve_that_is_low_but_rose_is_partly_the_papers():
    low = 0.6 * rising(2.5)
    assert claims._fresh(three(fresh_true=low)).verdict == checks.PARTLY


def test_an_early_plateau_that_is_too_low_is_partly_the_papers():
    assert claims._truth(three(supervised_true=of_steps(0.6 * readings.PAPER[1]))).verdict == checks.PARTLY


def test_a_curve_that_stays_has_no_cause_of_rising():
    with pytest.raises(checks.Nothing, match="does not rise"):
        claims._range(three())
    assert claims._range(three(RISING)).verdict == checks.REPRODUCED


def test_one_seed_that_crosses_late_fails():
    record = three()
    others = {seed: record.beside("gaussian", {"seed": seed}) for seed in (1, 2)}
    late = others[2]["error"].copy()
    late[:, 0, SUPERVISED, EMPIRICAL] = 0.6
    others[2].arrays["error"] = late
    assert claims._crossing(record).verdict == checks.FAILED


def test_the_papers_rate_is_that_of_the_experiment():
    assert gaussian.GaussianSpec().rate == readings.PAPER_RATE
    assert slower.EXPERIMENT.profiles["laptop"].rate == readings.PAPER_RATE / 10
