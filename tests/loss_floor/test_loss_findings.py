"""Sentences of chapter 4 say what the record says, also when it says otherwise."""

from __future__ import annotations

import numpy as np
from fakes import changed

from diffnotes import store
from diffnotes.chapters.loss_floor import estimator_readings, estimators, findings, tables
from diffnotes.chapters.loss_floor.estimator_readings import Study


def test_the_law_says_where_the_papers_correction_is_off() -> None:
    study = store.load(estimators.EXPERIMENT, dataset="digits")
    assert "a power of at least 3.03 of N/L" in str(findings.law_found(study))
    good = changed(study, best=np.full(len(study["best"]), 4.0))
    assert "a power of 1.00 of N/L" in str(findings.law_found(good))
    found = tables.corrections(good).caption.finding
    assert "at 1 of 6 ratios by the paper's measure, and at 6 and 1" in found


def test_the_best_correction_is_read_as_it_was_stored() -> None:
    study = Study(store.load(estimators.EXPERIMENT, dataset="digits"))
    found = estimator_readings._lowest(study.record["rms"][:, 1:-1], study.tried)
    np.testing.assert_allclose(found, study.relative().value)
