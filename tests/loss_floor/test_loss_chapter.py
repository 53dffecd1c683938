"""Chapter 4 beside its curve: parts of a set, one noisy image, conversions, figures, checks of claims."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from diffnotes import store
from diffnotes.base.runtime import normals
from diffnotes.chapters import checks as base
from diffnotes.chapters.loss_floor import claims as xu2025
from diffnotes.chapters.loss_floor import (
    conversions as loss_conversions,
)
from diffnotes.chapters.loss_floor import (
    curve as loss_curve,
)
from diffnotes.chapters.loss_floor import estimator_figures as estimators
from diffnotes.chapters.loss_floor import (
    estimators as loss_estimators,
)
from diffnotes.chapters.loss_floor import figures as curves
from diffnotes.chapters.loss_floor import (
    noisy_image,
)
from diffnotes.chapters.loss_floor import (
    sizes as loss_sizes,
)
from diffnotes.chapters.loss_floor.slider import Explorer, found
from diffnotes.data import sets as data
from diffnotes.posterior import posterior
from diffnotes.show.widgets import webp
from diffnotes.store.records import Record


@pytest.fixture(scope="module", autouse=True)
def root(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DIFFNOTES_ROOT", str(tmp_path_factory.mktemp("root")))
        yield


@pytest.fixture(scope="module")
def study(root):
    return store.run(loss_estimators.EXPERIMENT, "smoke")


@pytest.fixture(scope="module")
def sizes(root):
    return store.run(loss_sizes.EXPERIMENT, "smoke")


@pytest.fixture(scope="module")
def noisy(root):
    return store.run(noisy_image.EXPERIMENT, "smoke")


# --- parts of a training set ---


def test_each_part_obeys_the_sum_rule_and_more_images_have_a_smaller_critical_noise(sizes):
    for size, area, error in zip(sizes["size"], sizes["area"], sizes["area_stderr"], strict=True):
        assert abs(area - math.log(size)) < max(4 * error, 0.02 * math.log(size))
    assert (np.diff(sizes["critical"][:, 0]) < 0).all()
    assert (np.diff(sizes["gaussian_sigma"]) < 0).all()


def test_parts_in_slices_are_the_same(sizes):
    for _ in range(20):
        try:
            sliced = store.run(loss_sizes.EXPERIMENT, "smoke", max_seconds=1e-9, sigma_min=0.0100000001)
            break
        except store.Unfinished:
            continue
    np.testing.assert_allclose(sliced["mean"], sizes["mean"], rtol=1e-6, atol=1e-9)


def test_imagenet64_means_the_validation_images(monkeypatch):
    asked = {}
    monkeypatch.setattr(data, "load", lambda name, **how: asked.update({name: how}))
    loss_curve.images_of("imagenet64", 0, 0)
    loss_curve.images_of("cifar10", 5, 0)
    assert (asked["imagenet64"]["split"], asked["cifar10"]["split"]) == ("validation", "train")
    assert (asked["imagenet64"]["n"], asked["cifar10"]["n"]) == (None, 5)


# --- one noisy image ---


def test_the_noisy_image_has_the_posterior_of_its_noise(noisy):
    digits, level = data.load("digits").x, 2
    noise = normals(0, "noisy image", (4, 7), (64,)).view(2, 1, 8, 8)
    sigma = float(noisy["sigma"][level])
    expected = posterior(digits[[4, 7]] + sigma * noise, sigma, digits)
    np.testing.assert_allclose(noisy["effective"][:, level], expected.ess.numpy(), rtol=1e-3)
    mean = ((expected.mean + 1) * 127.5).round().clamp(0, 255).numpy()
    assert np.abs(noisy["mean"][:, level].astype(float) - mean).max() <= 1
    np.testing.assert_array_equal(noisy["number"][noisy["which"][:, 0, 0]], [4, 7])
    assert (np.diff(noisy["weight"]) <= 0).all()
    np.testing.assert_allclose(noisy["noise"], noise.half().numpy())


def test_the_explorer_draws_every_image_and_level(noisy):
    explorer = Explorer(noisy)
    pictures = {webp(explorer(sigma, image)) for sigma in explorer.sigmas for image in explorer.images}
    assert len(pictures) == 10
    assert webp(explorer(1.01 * explorer.sigmas[1], 1)) == webp(explorer(explorer.sigmas[1], 1))
    assert explorer.__doc__


def test_the_sentence_on_noisy_images_needs_levels_that_it_names(noisy):
    wide = store.run(noisy_image.EXPERIMENT, "smoke", sigma_max=20.0)
    assert "passes 100" in str(found(wide))
    assert "still below 100" in str(found(store.run(noisy_image.EXPERIMENT, "smoke", sigma_max=1.0)))


# --- conversions ---


def test_every_conversion_is_measured_to_rounding(root):
    record = store.run(loss_conversions.EXPERIMENT, "smoke")
    measured = record["loss"] / record["loss"][0]
    np.testing.assert_allclose(measured, record["factor"], rtol=1e-9)
    assert (record["loss"] > 0).all()
    pairs = set(zip(record["process"].tolist(), record["target"].tolist(), strict=True))
    assert {("FM", "velocity"), ("VP", "v"), ("VE", "F"), ("VP", "score"), ("FM", "eps")} <= pairs
    assert "1/t²" in estimators.conversions(record)._repr_html_()


def test_a_wrong_factor_would_be_seen():
    process, t = loss_conversions.PROCESSES["VP"], torch.tensor(0.4, dtype=torch.float64)
    assert float(loss_conversions._eps(process, t)) != pytest.approx(float(loss_conversions._v(process, t)))


# --- figures ---


@pytest.mark.parametrize(
    "name",
    ["bias_curves", "correction", "best_corrections", "accuracy", "spread", "dol_identity", "area_table"],
)
def test_figures_of_two_studies(study, name):
    drawn = getattr(estimators, name)(study, study)
    page = drawn._repr_html_()
    assert drawn.name == name
    if hasattr(drawn, "rows"):
        assert "nan" not in " ".join(cell for row in drawn.rows for cell in row)
    else:
        assert "<svg" in page
        assert all(np.isfinite(line.get_ydata()).all() for axes in drawn.axes for line in axes.lines)


def test_tables_and_sentences_of_a_study(study):
    assert len(estimators.readouts(study).rows) == 9
    assert "DOL" in str(estimators.bias_finding(study))
    assert "best C" in str(estimators.law_finding(study))


def test_sizes_are_shown_beside_the_whole(sizes):
    whole = store.run(loss_curve.EXPERIMENT, "smoke")
    assert "<svg" in curves.size_curves(sizes, whole)._repr_html_()
    assert [row[0] for row in curves.size_table(sizes, whole).rows] == ["40", "300", "300"]
    assert "critical σ is" in str(curves.order_found(sizes, whole))


# --- checks of claims ---


class Fake(Record):
    """A record made of given arrays."""

    def __init__(self, **arrays):
        super().__init__(Path(), {"experiment": "any", "profile": "laptop"})
        self.__dict__["arrays"] = {name: np.asarray(value) for name, value in arrays.items()}


def best(values):
    values = np.asarray(values)
    ratios = np.array([2, 4, 8])
    return Fake(
        best=values, best_low=values / 2, best_high=values * 2, ratios=ratios, multiples=[0, 1, 1e4, np.inf]
    )


def test_the_two_laws_are_told_apart():
    assert xu2025._plain_correction(best([4.0, 5.0, 3.0])).verdict == base.REPRODUCED
    assert xu2025._plain_correction(best([2.0, 4.0, 9.0])).verdict == base.PARTLY
    assert xu2025._square_law(best([2.0, 4.0, 8.0])).verdict == base.REPRODUCED
    assert xu2025._square_law(best([4.0, 4.0, 4.0])).verdict == base.FAILED


def bias_of(dol, cdol, snis):
    rng = np.random.default_rng(0)
    noise = 0.01 * rng.standard_normal((16, 1, 4, 3))
    bias = np.array([dol, cdol, snis + 1, snis])[None, None, :, None] + noise
    return Fake(bias_repeats=bias, multiples=[0.0, 4.0, 16.0, np.inf], variance=1.0, ratios=[4])


def test_cdol_must_beat_both():
    assert xu2025._cdol(bias_of(-0.5, 0.1, 0.4)).verdict == base.REPRODUCED
    assert xu2025._cdol(bias_of(-0.5, 0.1, 0.08)).verdict == base.FAILED
    assert xu2025._cdol(bias_of(-0.1, 0.1, 0.8)).verdict == base.FAILED


def test_the_area_of_dol_can_fail():
    arrays = {"readings": ["PV"], "ratios": [16], "shared_ratios": [16], "sizes": [100]}
    for area, expected in ((math.log(100), base.REPRODUCED), (math.log(100) + 0.2, base.FAILED)):
        record = Fake(**arrays, area_mean=[[[area]]], area_stderr=[[[0.03]]])
        assert xu2025._dol_area(record).verdict == expected


def test_growth_of_the_scatter_needs_to_be_sure():
    rng = np.random.default_rng(1)
    one = rng.standard_normal(40)
    sure = np.stack([one, 3 * one + 0.3 * rng.standard_normal(40)], 1)
    assert xu2025._growth(sure)[1] > 1
    assert xu2025._growth(sure[:, ::-1])[1] < 1
    assert xu2025._growth(rng.standard_normal((40, 2)))[1] < 1


def test_the_order_is_partly_right_at_best(monkeypatch):
    other = Fake(size=[100], critical=[[2.0]])
    monkeypatch.setattr(store, "best", lambda name, settings, profile: other if profile == "laptop" else None)
    assert xu2025._order(Fake(n=100, critical=[3.0])).verdict == base.PARTLY
    assert xu2025._order(Fake(n=100, critical=[1.0])).verdict == base.FAILED
    assert xu2025._order(Fake(n=99, critical=[1.0])).verdict == base.PENDING
