"""Sentences of chapters 1 and 4 say what the record says, also when it says otherwise."""

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
from diffnotes.chapters.loss_floor import estimators as loss_estimators
from diffnotes.chapters.loss_floor import findings as loss_findings
from diffnotes.chapters.toy import experiment as toy_model
from diffnotes.chapters.toy import tables as toy_tables
from diffnotes.store import Record


def changed(record: Record, **arrays: Any) -> Record:
    """The record with other arrays."""
    found = replace(record)
    found.__dict__["arrays"] = record.arrays | {name: np.asarray(a) for name, a in arrays.items()}
    return found


@pytest.fixture(scope="module")
def wide() -> Record:
    return store.load(digits_gap.EXPERIMENT, **next(iter(digits_gap.RUNS.values())))


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
    assert "a power of at least 3.03 of N/L" in str(loss_findings.law_found(study))
    good = changed(study, best=np.full(len(study["best"]), 4.0))
    text = str(loss_findings.law_found(good))
    assert "a power of 1.00 of N/L" in text
    assert "6 of 6 ratios by least RMS relative bias" in text
