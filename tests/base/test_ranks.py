from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import pearsonr, rankdata, spearmanr

from diffnotes.base.ranks import over_clusters, rank_correlation

DRAWN = np.random.Generator(np.random.Philox(1)).normal(size=(30, 3))
TIED = np.round(DRAWN, 0)


@pytest.mark.parametrize("values", [DRAWN, TIED])
def test_it_is_spearmans_with_ties(values):
    found = rank_correlation(values)
    assert np.allclose(np.diag(found), 1)
    for j in range(3):
        for k in range(3):
            assert found[j, k] == pytest.approx(spearmanr(values[:, j], values[:, k])[0])


def test_a_rising_function_changes_nothing():
    assert np.allclose(rank_correlation(np.exp(DRAWN)), rank_correlation(DRAWN))


def test_a_constant_column_has_no_correlation():
    values = DRAWN.copy()
    values[:, 1] = 2.0
    assert np.isnan(rank_correlation(values)[1]).all()


def test_a_control_is_taken_off():
    control = DRAWN[:, 2]
    ranks = np.stack([rankdata(DRAWN[:, k]) for k in (0, 1)], 1)
    line = np.stack([np.ones(30), rankdata(control)], 1)
    rest = ranks - line @ np.linalg.lstsq(line, ranks, rcond=None)[0]
    found = rank_correlation(DRAWN[:, :2], control)
    assert found[0, 1] == pytest.approx(pearsonr(rest[:, 0], rest[:, 1])[0])


def test_an_interval_is_of_clusters_and_not_of_their_members():
    centres = np.random.Generator(np.random.Philox(2)).normal(size=(12, 1))
    many = np.repeat(centres, 50, 1)  # fifty copies of each say nothing new
    found, once = (over_clusters(lambda x: x.mean(), one) for one in (many, centres))
    assert np.allclose(found, once)
    assert found[1] < found[0] < found[2]
    wide = found[2] - found[1]
    assert wide == pytest.approx(2 * 1.96 * centres.std() / 12**0.5, rel=0.15)
