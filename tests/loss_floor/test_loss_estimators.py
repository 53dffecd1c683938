"""The estimator study: its scan is the estimators' own, its exact values exact, its area ln L."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from diffnotes import store
from diffnotes.chapters.loss_floor import estimators as study
from diffnotes.optimal_loss import optimal_loss
from diffnotes.optimal_loss.all_levels import prepare
from diffnotes.posterior import Support

pytestmark = pytest.mark.usefixtures("elsewhere")


@pytest.fixture
def record():
    return store.run(study.EXPERIMENT, "smoke")


def test_all_points_give_the_optimal_loss(record):
    exact = optimal_loss(study.shifted_digits(256), torch.from_numpy(record["sigma"]), sources=2048)
    for reading in ("AB", "PV", "IP", "RES"):
        k = list(record["readings"]).index(reading)
        error = np.hypot(record["full_stderr"][k], exact.stderr.numpy())
        assert (np.abs(record["full_mean"][k] - exact.mean.numpy()) < 5 * error + 0.02).all()


def test_bias_is_zero_when_the_subset_is_everything():
    spec = replace(study.EXPERIMENT.profiles["smoke"], ratios=(1 + 1,), n=64, draws=20)
    found = study._fresh(spec, prepare(Support.of(study.shifted_digits(64))), torch.arange(64), [64], 0)
    full = found["full"]
    np.testing.assert_allclose(found["fresh"][0, 0], full, rtol=1e-5, atol=1e-6 * np.abs(full).max())


def test_dol_has_the_area_ln_l_and_the_loss_of_a_random_subset():
    spec = replace(
        study.EXPERIMENT.profiles["smoke"], ratios=(16,), repeats=8, shared=256, levels=40, draws=4
    )
    record = study.compute(spec, store.Work(store.runs() / "test"))
    k = list(record["readings"]).index("PV")
    area, error = record["area_mean"][0, 0, k], record["area_stderr"][0, 0, k]
    assert abs(area - math.log(16)) < 4 * error + 0.01
    assert error < 0.2
    dol, spread = record["shared_mean"][0, 0, k], record["shared_stderr"][0, 0, k]
    slack = 4 * np.hypot(spread, record["subset_stderr"]) + 0.02
    assert (np.abs(dol - record["subset_mean"]) < slack).all()


def test_a_run_in_slices_is_the_same(record):
    stops = 0
    while stops < 20:
        try:
            sliced = store.run(study.EXPERIMENT, "smoke", max_seconds=1e-9, seed=0, levels=13)
            break
        except store.Unfinished:
            stops += 1
    assert stops == 2
    np.testing.assert_array_equal(sliced["bias_repeats"], record["bias_repeats"])


def test_the_digits_are_shifted_and_distinct():
    digits = study.shifted_digits(4096)
    assert digits.shape == (4096, 64)
    assert len(np.unique(digits.numpy(), axis=0)) == 4096
    assert float(digits.square().sum(1).mean()) == pytest.approx(46.785, rel=0.02)  # measured independently


@pytest.mark.parametrize(
    ("settings", "sentence"), [({"ratios": (1,)}, "ratios"), ({"dataset": "mnist"}, "dataset")]
)
def test_bad_settings_get_a_sentence(settings, sentence):
    with pytest.raises(ValueError, match=f"{sentence} must be"):
        store.run(study.EXPERIMENT, "smoke", **settings)
