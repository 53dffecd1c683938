"""The picture that the sliders of the toy move."""

from __future__ import annotations

import numpy as np
import pytest

from diffnotes.chapters.toy import experiment as toy_model
from diffnotes.chapters.toy.slider import RingSlider, choices
from diffnotes.show import widgets


@pytest.fixture(scope="module")
def slider():
    return RingSlider(toy_model.explore)


def test_it_shows_the_values_it_is_asked_for(slider):
    calm, wild = (np.asarray(widgets.pixels(slider(1.07, delta, 10))) for delta in (2.0, 0.8))
    again = np.asarray(widgets.pixels(slider(1.07, 2.0, 10)))
    assert np.array_equal(calm, again)
    assert (calm != wild).mean() > 0.02


@pytest.mark.parametrize(("delta", "sigma"), [(0.8, 1.07), (0.8, 0.1), (2.4, 20.0)])
def test_the_curve_stays_in_its_frame(slider, delta, sigma):
    axes = slider(sigma, delta, 10).axes[1]
    low, high = axes.get_ylim()
    heights = np.concatenate([line.get_ydata() for line in axes.lines])
    assert heights.max() < high
    assert heights.min() > low - 0.02 * high


def test_validation_points_are_hollow_outside(slider):
    def faces(delta):
        points = slider(1.07, delta, 10).axes[0].collections[-1]
        assert len(points.get_offsets()) == 10
        return points.get_facecolor()

    assert len(faces(2.0)) == 1
    assert len(faces(1.2)) == 0


@pytest.mark.parametrize(("delta", "n_train"), [(1.6, 10), (1.4, 12), (0.01, 100), (50, 2)])
def test_sliders_start_at_the_parameters_of_the_notebook(delta, n_train):
    found = choices(delta, n_train)
    assert all(sorted(set(values)) == values for values in found.values())
    assert found["delta"][3] == delta
    assert found["n"][len(found["n"]) // 2] == n_train or n_train in found["n"]
    assert np.prod([len(values) for values in found.values()]) <= 54


def test_frames_are_small(slider):
    sizes = [len(widgets.webp(slider(sigma, 1.6, 10))) for sigma in (0.62, 1.1, 2.5)]
    assert max(sizes) < 28_000  # 54 of them, in base64, stay below 2 MB
