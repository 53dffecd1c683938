"""Chapter 4: which correction, how many draws, how many images."""

from __future__ import annotations

import fakes
import numpy as np
import pytest

from diffnotes import store
from diffnotes.chapters import checks as base
from diffnotes.chapters.loss_floor import claims, draw_readings, readings, tables
from diffnotes.chapters.loss_floor import estimators as loss_estimators
from diffnotes.chapters.loss_floor.estimator_readings import Study

cases = fakes.cases("loss_floor")


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DIFFNOTES_ROOT", str(tmp_path_factory.mktemp("root")))
        yield store.run(loss_estimators.EXPERIMENT, "smoke")


def test_the_table_of_corrections_has_all_three_measures(study):
    text = tables.corrections(study)._repr_html_()
    assert "zero bias" in text
    assert "least RMS relative bias" in text
    low, high = Study(study).crossing_interval()
    assert (low <= Study(study).crossing().value).all()
    assert (high >= Study(study).crossing().value).all()
    made = tables.corrections(cases.best(4.0, 4.0, 64.0))
    marked = [[cell.startswith("✓") for cell in row[2:]] for row in made.rows]
    assert marked == [[True] * 3, [True] * 3, [False] * 3]


def test_draws_go_by_the_square_of_the_scatter():
    made = Study(cases.few_draws(4.0))
    needed = draw_readings.draws_needed(made)
    assert needed["AB"][0] == pytest.approx(0.5 * (1e-3 / (0.1 * 0.001)) ** 2)
    assert needed["A-B"][0] == pytest.approx(16 * needed["AB"][0])
    assert draw_readings.draws_saved(made).tolist() == pytest.approx([16.0])
    at = draw_readings.draws_at_critical(made)
    assert needed["AB"][0] > at["AB"] > needed["AB"][1]


def test_the_table_of_draws_shows_small_losses_alone(study):
    share = Study(study).readout_scatter()[0] / Study(study).variance
    assert len(tables.draws(study).rows) == (share < tables.SMALL).sum()


def test_the_power_of_the_critical_noise_has_the_error_of_its_ends():
    found = readings.parts(cases.parts((3.0, 2.0), (50, 100)))
    power, error = readings.power_of_critical(found)
    assert power == pytest.approx(np.log(2 / 3) / np.log(2))
    errors = [one.critical_error / one.critical[0] for one in found]
    assert error == pytest.approx(np.hypot(*errors) / np.log(2))


def test_sizes_within_their_errors_are_partly_in_order():
    near = cases.size(1.00002, 1.00001, 1.0)
    assert claims.CHECKS["xu-size"](near).verdict == base.PARTLY
