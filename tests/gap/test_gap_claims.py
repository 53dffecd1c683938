"""What is read off records of chapter 1's networks, and how claims are judged by it."""

from __future__ import annotations

import tomllib
from pathlib import Path

import numpy as np
import pytest
from cases import BASE, FALLING, NEAR, as_kinds, fake, samples_of_sizes, with_runs
from scipy.stats import t as student

from diffnotes.chapters import checks
from diffnotes.chapters.gap import claims, digits, readings

TOML = Path(claims.__file__).with_name("claims.toml")


def test_widths_and_sizes_are_those_of_the_runs():
    runs = digits.RUNS.values()
    assert readings.WIDTHS == tuple(sorted({run["width"] for run in runs})) == (digits.NARROW, digits.WIDE)
    assert tuple(sorted({run["n"] for run in runs})) == readings.SIZES


def test_values_of_the_paper_are_those_that_the_claims_show():
    shown = {claim["id"]: claim["paper_value"] for claim in tomllib.loads(TOML.read_text())["claim"]}
    first, last = readings.PAPER_GROWTH
    assert f"{first} to {last}" in shown["kaiser-net-growth"]
    ours = readings.PAPER_PEAK * 16 / readings.PAPER_SIDE  # at 16 pixels a side, where noise is averaged
    assert f"σ {readings.PAPER_PEAK}" in shown["kaiser-net-bump-cifar10"]
    assert f"is {ours:.2f}" in shown["kaiser-net-bump-cifar10"]


# --- intervals ---


def test_an_interval_has_the_share_of_the_held_out_images():
    values, error = np.array([1.0, 2.0, 3.0]), np.array([0.4, 0.6, 0.5])
    mean, low, high = readings.shared(values, error, 101)
    seeds, images = 4.3027 / 3**0.5, student.ppf(0.975, 100) * 0.5
    assert np.isclose(mean, 2)
    assert np.allclose([mean - low, high - mean], np.hypot(seeds, images), rtol=1e-4)
    assert np.isnan(readings.shared(values[:1], error[:1], 101)[1:]).all()


def test_the_error_of_the_peak_is_that_at_the_peak():
    error = np.broadcast_to(np.arange(10.0), (3, 8, 10))
    record = fake(gap_stderr=error)
    assert (readings.peak_error(record) == record["gap"].argmax(2)).all()
    wide, narrow = (readings.peak_interval(one) for one in (record, fake()))
    assert wide[1] < narrow[1] < narrow[2] < wide[2]


def test_uncertain_held_out_images_take_a_verdict_away():
    """Growth and order are judged with the share of the images that all seeds have in common."""
    assert claims._growth(fake()).verdict == checks.REPRODUCED
    assert claims._growth(fake(gap_stderr=np.full((3, 8, 10), 5.0))).verdict == checks.PARTLY
    assert claims._rank(fake(similarity_stderr=np.full((3, 8, 3, 3), 0.1))).verdict == checks.FAILED


def test_the_error_of_a_position_is_that_of_the_held_out_distance():
    """By differences: move the held-out distance, and see how far the position goes."""
    moved = BASE["distance"].copy()
    moved[..., readings.HELD_OUT] += 1e-6
    change = readings.position(fake(distance=moved))[:, -1] - readings.position(fake())[:, -1]
    error = np.zeros((3, 8, 3, 3))
    error[..., readings.HELD_OUT] = 1.0
    half = student.ppf(0.975, 598) * np.abs(change / 1e-6).mean()
    last = readings.position(fake())[:, -1]
    seeds = student.ppf(0.975, 2) * last.std(ddof=1) / 3**0.5
    interval = readings.position_interval(fake(distance_stderr=error))
    assert np.isclose(interval[2] - interval[0], np.hypot(half, seeds), rtol=1e-3)


# --- where the network overfits ---


def test_the_probe_is_nearest_to_the_level_that_overfits_most():
    record = fake()
    rise = readings.rise(record).mean(0)
    assert readings.overfitted_level(record) == rise.argmax()
    assert readings.probe_sigma(record) == 0.283
    late = fake(val=BASE["val"][:, :, ::-1])  # now at the largest σ
    assert readings.probe_sigma(late) == 1.17


def test_a_level_where_seeds_disagree_does_not_overfit():
    val = np.array(FALLING)
    val[0, -1, 3] = 1.0  # one seed of three
    assert readings.overfitted_level(fake(val=val)) is None
    val[:, -1, 3] = [1.0, 1.1, 1.2]
    assert readings.overfitted_level(fake(val=val)) == 3


def test_without_overfitting_the_probe_is_nearest_to_the_largest_gap():
    record = fake(val=FALLING)
    assert readings.probe_place(record) == readings.place_of(
        record["probe"], record["sigma"][readings.peak_level(record)]
    )


@pytest.mark.parametrize("check", [claims._states, claims._shots, claims._rank, claims._limit])
def test_where_nothing_is_memorized_nothing_is_avoided(check):
    with pytest.raises(checks.Nothing, match="nothing is memorized yet"):
        check(fake(val=FALLING))


def test_states_that_come_close_only_at_the_end_fail():
    distance = BASE["distance"].copy()
    distance[:, -1] = NEAR[:, -1]
    assert claims._states(fake(distance=distance)).verdict == checks.FAILED
    early = BASE["distance"].copy()
    early[:, 2] = NEAR[:, 2]
    assert claims._states(fake(distance=early)).verdict == checks.PARTLY


def test_a_near_miss_is_said_to_be_one():
    below, over, sure = (np.array(one) for one in ([0.89, 0.82, 0.96], [0.89, 0.7, 1.1], [0.5, 0.4, 0.6]))
    assert claims._near_miss(below).endswith("and not 1")
    assert claims._near_miss(over).endswith("and also 1")
    assert claims._near_miss(sure) == claims._near_miss(np.array([0.95, 0.8, 1.1])) == ""


# --- parts of rules ---


def test_nothing_is_said_to_be_zero_that_is_not():
    assert readings.share(0.004) == "less than 1 %"
    assert readings.share(0.26) == "26 %"
    assert "less than 1 %" in claims._bump(fake()).our_value
    assert readings.span([0.5, 0.5, 0.5]) == "0.50"
    assert readings.span([0.4, 0.6], readings.SEEDS) == "0.50 (seeds 0.40 to 0.60)"


def test_intervals_say_that_they_are_intervals():
    found = [claims.CHECKS[name](fake()).interval for name in ("kaiser-net-growth", "kaiser-net-states")]
    assert all("at 95 %" in interval for interval in found)
    assert "last peak" in found[0]


def test_an_order_that_is_half_right():
    """Predictions from states may be less training-like than training images, and no more so than held-out
    ones."""
    record = fake(similarity=as_kinds("similarity", 0, 1, 1))
    assert claims._shots(record).verdict == checks.REPRODUCED
    assert claims._rank(record).verdict == checks.FAILED


def test_a_bump_with_one_high_end():
    gap = BASE["gap"].copy()
    gap[..., 0] = 0.3 * gap.max(2)
    assert claims._bump(fake(gap=gap)).verdict == checks.FAILED
    far = BASE["gap"].copy()
    far[..., -1] = 0.3 * far.max(2)
    assert claims._bump(fake(gap=far)).verdict == checks.PARTLY


def test_size_may_lower_and_not_delay():
    heights = {(200, 144): 10.0, (1190, 144): 0.2}
    assert claims._size(with_runs(heights, {})).verdict == checks.PARTLY


def test_samples_that_go_astray_are_not_compared():
    """The gap of the small network ends larger, but only where its samples are none."""
    far = BASE["frechet_train"].copy()
    far[:, 6:] = 100.0
    gap = 0.1 * readings.sample_gap(fake())
    gap[:, 6:] = 10.0
    record = samples_of_sizes(0.1, frechet_train=far, frechet_val=far * (1 + gap))
    assert readings.before_astray(record) == 7
    found = claims._samples_size(record)
    assert found.verdict == checks.REPRODUCED
    assert found.our_value.startswith("at step 3,200 0.10 with 38,836 parameters, 1.00 with ")


def test_a_missing_run_leaves_the_claim_pending(elsewhere):
    record = fake()
    object.__setattr__(record, "beside", None)
    with pytest.raises(checks.Unfit, match=r"no laptop record of digits_gap .n 600, width 54. yet"):
        claims._capacity(record)
