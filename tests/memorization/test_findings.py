"""Sentences made from records say what the record says, also when it says otherwise."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from diffnotes import store
from diffnotes.chapters.gap import cifar as cifar_gap
from diffnotes.chapters.gap import digits as digits_gap
from diffnotes.chapters.gap import figures as networks
from diffnotes.chapters.gap import findings as gap_findings
from diffnotes.chapters.loss_floor import estimator_figures as estimators
from diffnotes.chapters.loss_floor import estimators as loss_estimators
from diffnotes.chapters.memorization import cifar, digits, figures
from diffnotes.chapters.memorization import findings as said
from diffnotes.chapters.memorization import tables as features
from diffnotes.chapters.toy import experiment as toy_model
from diffnotes.chapters.toy import tables as toy_tables
from diffnotes.show.style import Finding, together
from diffnotes.store import Record


def changed(record: Record, **arrays: Any) -> Record:
    """The record with other arrays."""
    found = replace(record)
    found.__dict__["arrays"] = record.arrays | {name: np.asarray(a) for name, a in arrays.items()}
    return found


@pytest.fixture(scope="module")
def small() -> Record:
    return store.load(digits.EXPERIMENT, sweep="n")


@pytest.fixture(scope="module")
def wide() -> Record:
    return store.load(digits_gap.EXPERIMENT, **next(iter(digits_gap.RUNS.values())))


# --- chapter 3 ---


def test_powers_are_sorted_by_their_intervals(small: Record) -> None:
    powers = small["exponent"].copy()
    powers[-1, 1:] = [[1.1, 1.05, 1.2, 4], [0.9, 0.8, 0.95, 4], [1.0, 0.9, 1.1, 4], [np.nan] * 3 + [1]]
    text = str(said.powers_found(changed(small, exponent=powers)))
    assert "contains 1 for “10 % copies”; it lies above 1 for “losses part by 20 %”; it lies below 1" in text
    assert "below 1 for “5 % copies”." in text
    assert "For “held-out loss is least” all seeds pick the same look (power 0.88): no interval." in text
    assert "50 %" not in text


def test_no_interval_stands_where_all_seeds_pick_one_look(small: Record) -> None:
    assert [figures.same_look(small, place) for place in range(5)] == [True, False, False, False, False]
    assert figures.onset_table(small).rows[0][3] == "the same look for all seeds"


def test_order_of_onsets_is_read_from_the_record(small: Record) -> None:
    assert "times as late" in str(said.order_found(small))
    swapped = small["onset"].copy()
    swapped[..., [1, 3]] = swapped[..., [3, 1]]
    assert "not later" in str(said.order_found(changed(small, onset=swapped)))
    never = np.full(small["onset"].shape, np.nan)
    assert "not every seed gets as far" in str(said.order_found(changed(small, onset=never)))


def test_a_breakdown_is_seen_said_and_marked(small: Record) -> None:
    assert "no run loses half" in str(said.breakdown_found(small))
    share = np.zeros_like(small["copies"])
    share[0, 1, 5:8, -1, 0], share[0, 1, 8:, -1, 0] = 0.4, 0.1
    broken = changed(small, copies=share)
    assert figures.breakdowns(broken, 0) == [(0.4, 0.1, 0.1)]
    name = figures.label(broken, 0)
    assert f"{name}: in 1 of 3 seeds copies reach 40 %, fall to 10 % and end at 10 %." in str(
        said.breakdown_found(broken)
    )
    assert figures.sweep_table(broken).rows[0][0] == f"{name}, breaks down"
    assert figures.breakdowns(changed(small, copies=share / 5), 0) == []  # never reached a tenth


def test_the_rate_that_broke_down_on_digits_is_named(small: Record) -> None:
    rate = store.load(digits.EXPERIMENT, sweep="rate")
    assert "η = 0.002: in 3 of 3 seeds" in str(said.breakdown_found(small, rate))


def test_distances_rises_and_averages(small: Record) -> None:
    flat = np.ones_like(small["wasserstein"])
    equal = changed(small, wasserstein=flat, wasserstein_train=flat, wasserstein_few=flat)
    assert str(said.descent_found(equal)).count("none at") == len(small["value"])
    assert "at most 0, 0, 0, 0 % before" in str(said.mismatch_found(equal))
    batch = store.load(digits.EXPERIMENT, sweep="batch")
    text = str(said.averages_found(small, batch))
    assert text.count("the least distance is") == 2
    assert f"{small['best'][np.argmin(small['value']), :, 0].mean():.3f}" in text


def test_factors_name_what_is_left_out() -> None:
    base, batch = (store.load(cifar.EXPERIMENT, sweep=sweep) for sweep in ("n", "batch"))
    values, times = figures.with_default(base, batch, "onset")
    mean = times[:, :, -1, figures.SPLIT].mean(1)
    text = str(said.factor_found(base, batch))
    assert f"by a factor {mean.max() / mean.min():.2f} in steps" in text
    assert "(without B = 8, where a seed never gets there)" in text
    assert values.tolist() == sorted(values)


def test_distances_of_the_calibration_have_no_interval_that_leaves_them_out() -> None:
    assert features._spread(np.array([0.12, 0.13, 0.18])) == "0.120 ± 0.025"


# --- chapter 1 ---


def test_a_held_out_error_that_never_turns_is_said_not_to(wide: Record) -> None:
    assert "above that" in str(networks.overfit_finding(wide))
    falling = np.broadcast_to(-np.arange(wide["val"].shape[1])[:, None], wide["val"].shape)
    still = changed(wide, val=falling)
    assert str(networks.overfit_finding(still)).endswith("it has not turned.")
    assert "turns at fewer than two levels" in str(gap_findings.latest_finding(still))


def test_predictions_are_ranked_and_runaways_found(wide: Record) -> None:
    assert "rank training > held-out > sampler; in the paper, training > sampler > held-out" in str(
        gap_findings.rank_finding(wide)
    )
    assert "No run ends" in str(gap_findings.astray_finding(wide))
    far = wide["frechet_train"].copy()
    far[:, -1] *= 100
    assert "samples degenerate" in str(gap_findings.astray_finding(changed(wide, frechet_train=far)))


def test_the_peak_on_averaged_pixels_is_compared_at_half_the_noise() -> None:
    text = str(gap_findings.place_finding(store.load(cifar_gap.EXPERIMENT)))
    assert "the level to compare with is 0.36" in text
    assert "200 images" in text


def test_settings_are_those_of_the_record(wide: Record) -> None:
    [row] = gap_findings.settings_table(wide).rows
    assert row[2:6] == ("144", "8,000", "256", "0.002")


def test_the_band_of_the_authors_draws_is_named() -> None:
    record = store.load(toy_model.EXPERIMENT)
    assert "Their code draws one set per split." in str(toy_tables.band_finding(record))
    assert "rises at every step" in str(toy_tables.guidance_finding(record))
    fallen = changed(record, guidance_peak=record["guidance_peak"][::-1])
    assert "it does not rise at every step" in str(toy_tables.guidance_finding(fallen))


# --- chapter 4 ---


def test_the_law_says_where_the_papers_correction_is_off() -> None:
    study = store.load(loss_estimators.EXPERIMENT, dataset="digits")
    assert "a power of at least 3.03 of N/L" in str(estimators.law_finding(study))
    good = changed(study, best=np.full(len(study["best"]), 4.0))
    text = str(estimators.law_finding(good))
    assert "a power of 1.00 of N/L" in text
    assert "4 N/L is within a factor 2 at 6 of 6." in text


def test_a_record_is_named_once(small: Record) -> None:
    both = together(Finding(small, text="A."), Finding(small, text="B."))
    assert (both.text, both.records) == ("A. B.", (small,))
