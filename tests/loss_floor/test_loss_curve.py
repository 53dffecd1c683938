"""The optimal-loss experiment: the curve of a small set, the Gaussian beside it, slices."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from diffnotes import store
from diffnotes.chapters.loss_floor import curve as loss_curve
from diffnotes.chapters.loss_floor import figures, findings, tables
from diffnotes.data import sets as data
from diffnotes.posterior import gaussian_optimal_loss

pytestmark = pytest.mark.usefixtures("elsewhere")


@pytest.fixture
def record():
    return store.run(loss_curve.EXPERIMENT, "smoke")


def test_the_record_obeys_the_sum_rule_and_its_bounds(record):
    assert abs(float(record["area"]) - math.log(300)) < max(
        4 * float(record["area_stderr"]), 0.02 * math.log(300)
    )
    assert record["mean"].min() >= 0
    assert record["mean"].max() <= float(record["variance"])
    assert list(record["critical"]) == sorted(record["critical"])


def test_slices_give_the_numbers_of_one_run(record):
    stops = 0
    while stops < 50:
        try:
            sliced = store.run(loss_curve.EXPERIMENT, "smoke", max_seconds=1e-9, sigma_min=0.0100000001)
            break
        except store.Unfinished:
            stops += 1
    assert stops == 2
    np.testing.assert_allclose(sliced["mean"], record["mean"], rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(sliced["stderr"], record["stderr"], rtol=1e-4, atol=1e-9)


def test_the_spectrum_is_that_of_the_covariance():
    images = data.load("digits").x
    expected = torch.linalg.eigvalsh(images.flatten(1).double().T.cov(correction=0)).flip(0).clamp(min=0)
    np.testing.assert_allclose(loss_curve.spectrum(images), expected.numpy(), atol=1e-6 * float(expected[0]))


def test_the_spectrum_of_few_points_is_the_same():
    images = data.load("digits", n=20).x
    expected = torch.linalg.eigvalsh(images.flatten(1).double().T.cov(correction=0)).flip(0).clamp(min=0)
    found = loss_curve.spectrum(images)
    assert found.shape == (64,)
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-6 * float(expected[0]))


def test_the_spectrum_of_bytes_in_many_parts_is_the_same(monkeypatch):
    images = data.load("specimens", n=60)
    small = torch.nn.functional.avg_pool2d(images.x, 8).flatten(1)  # 48 dimensions, fewer than points
    pixels = ((small + 1) * 127.5).round().byte()
    expected = torch.linalg.eigvalsh((pixels.double() / 127.5).T.cov(correction=0)).flip(0).clamp(min=0)
    for rows in (7, 4096):
        monkeypatch.setattr(loss_curve, "ROWS", rows)
        for some, wanted in ((pixels, expected), (images.values, None)):
            found = loss_curve.spectrum(some)
            wanted = loss_curve.spectrum(images.x) if wanted is None else wanted.numpy()
            np.testing.assert_allclose(found, wanted, atol=1e-6 * wanted[0])


def test_the_gaussian_curve_has_the_right_limits_and_area():
    eigenvalues, sigmas = np.array([4.0, 1.0, 0.0]), np.geomspace(1e-3, 1e4, 20_001)
    curve = gaussian_optimal_loss(torch.from_numpy(sigmas), torch.from_numpy(eigenvalues)).numpy()
    np.testing.assert_allclose(curve[[0, -1]], [2 * 1e-6, 5.0], rtol=1e-3)
    sigma = loss_curve.gaussian_sigma(eigenvalues, 50)
    told = np.trapezoid((curve / sigmas**2)[sigmas >= sigma], np.log(sigmas[sigmas >= sigma]))
    assert told == pytest.approx(math.log(50), rel=1e-3)


def test_pages_show_the_record(record):
    for shown in (figures.loss_curves, figures.area, tables.sum_rule, tables.critical, findings.found):
        page = shown(record)._repr_html_()
        assert "digits" in page or "<svg" in page
    assert "N = 300" in str(findings.found(record))


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"sources": 2}, "sources must be"),
        ({"dataset": "mnist"}, "dataset must be one of"),
        ({"n": 9999}, "9999|9,999"),
    ],
)
def test_bad_settings_get_a_sentence(settings, sentence):
    with pytest.raises(ValueError, match=sentence):
        store.run(loss_curve.EXPERIMENT, "smoke", **settings)
