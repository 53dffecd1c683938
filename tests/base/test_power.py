"""The power of paired comparisons."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from diffnotes.base.power import MOST, between, needed, power, scatter, visible


def test_the_scatter_of_a_difference_is_what_seeds_do_not_share() -> None:
    draw = np.random.default_rng(0)
    settings, seeds = draw.normal(size=(200, 1)), 5 * draw.normal(size=(1, 30))
    found, freedom = scatter(settings + seeds + 0.3 * draw.normal(size=(200, 30)))
    assert freedom == 199 * 29
    assert found == pytest.approx(0.3 * 2**0.5, rel=0.05)


def test_one_setting_counts_whole() -> None:
    values = np.random.default_rng(1).normal(size=(1, 4000))
    found, freedom = scatter(values)
    assert freedom == 3999
    assert found == pytest.approx(2**0.5 * values.std(ddof=1))


def test_the_interval_holds_the_deviation_as_often_as_it_says() -> None:
    drawn = np.random.default_rng(2).normal(size=(4000, 5)).std(1, ddof=1)
    inside = [low < 1 < high for low, high in (between(one, 4) for one in drawn)]
    assert np.mean(inside) == pytest.approx(0.95, abs=0.015)


@pytest.mark.parametrize(("difference", "seeds"), [(1.0, 3), (0.5, 10), (2.5, 3)])
def test_the_power_is_how_often_the_test_finds_it(difference: float, seeds: int) -> None:
    drawn = difference + np.random.default_rng(3).normal(size=(20_000, seeds))
    found = (ttest_1samp(drawn, 0, axis=1).pvalue < 0.05).mean()
    assert power(difference, 1.0, seeds) == pytest.approx(found, abs=0.015)


@pytest.mark.parametrize("seeds", [2, 3, 10, 150, 250, 1000])
def test_what_is_visible_is_found_in_four_of_five_cases(seeds: int) -> None:
    assert power(visible(0.7, seeds), 0.7, seeds) == pytest.approx(0.8, abs=0.005)
    assert visible(0.7, seeds) < visible(0.7, max(2, seeds - 1)) or seeds == 2


@pytest.mark.parametrize("deviation", [0.001, 0.05, 0.3, 4.0])
def test_the_seeds_needed_are_enough_and_no_fewer_are(deviation: float) -> None:
    seeds = needed(deviation, 0.1)
    assert visible(deviation, seeds) <= 0.1
    assert seeds == 2 or visible(deviation, seeds - 1) > 0.1


def test_there_is_a_limit() -> None:
    assert needed(1e3, 1e-3) == MOST
