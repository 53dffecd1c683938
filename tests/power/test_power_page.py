"""What the appendix says that records can resolve."""

from __future__ import annotations

import fakes
import numpy as np
import pytest

from diffnotes import store
from diffnotes.chapters.four_lenses import (
    cifar,
    digits,
    power_figures,
    power_findings,
    power_readings,
    power_tables,
)
from diffnotes.chapters.four_lenses.readings import LENSES
from diffnotes.chapters.loss_floor import curve
from diffnotes.chapters.power import findings, readings
from diffnotes.chapters.training_schedule import digits as laws
from diffnotes.show.resolution import EFFECT, Counted


@pytest.fixture(scope="module")
def ladder() -> store.Record:
    return store.load(digits.EXPERIMENT)


def planted(scatter: float, seeds: int = 200) -> store.Record:
    """A sweep whose times differ by a factor 3 between settings and 5 between seeds, and scatter besides."""
    draw = np.random.default_rng(0)
    means = np.log([[300.0], [900.0], [2700.0]]) + 5 * draw.normal(size=(1, seeds))
    times = np.exp(means + scatter / 2**0.5 * draw.normal(size=(3, seeds)))
    onset = np.full((3, seeds, 2, 5), np.nan)
    onset[:, :, -1, 1] = times
    onset[0, 0, -1, 3] = np.nan
    names = ["minimum", "split", "copies 0.05", "copies 0.1", "copies 0.5"]
    best = np.ones((3, seeds, 2)) * np.exp(draw.normal(size=(3, seeds, 2)))
    return fakes.record({"onset": onset, "best": best, "definition": names})


def test_planted_scatter_is_found_and_what_never_happens_is_left_out() -> None:
    split, distance = readings.onsets(planted(0.2))
    assert (split.name, split.seeds) == ("step where the losses part", 200)
    assert split.smallest == pytest.approx(np.expm1(0.2 * 2.8 / 200**0.5), rel=0.1)
    assert split.needed[0] == pytest.approx((2.8 * 0.2 / np.log(1.1)) ** 2 + 2, abs=4)
    assert split.needed[1] <= split.needed[0] <= split.needed[2]
    assert distance.needed[0] > 10 * split.needed[0]


def test_one_seed_says_nothing() -> None:
    assert readings.onsets(planted(0.2, seeds=1)) == []


def test_a_checkpoint_after_a_jump_is_not_read(ladder: store.Record) -> None:
    loss = np.ones_like(ladder["batch_loss"])
    loss[0, 0, 0, -1] = 9.0
    jumped = fakes.changed(ladder, batch_loss=loss)
    last = loss.shape[-1] - 1
    assert [power_readings.steady(jumped, size) for size in range(2)] == [last - 1, last]


def test_lenses_of_the_pinned_record_by_hand(ladder: store.Record) -> None:
    size = len(ladder["n"]) - 1
    [one] = [seen for seen in power_readings.lenses(ladder, size) if seen.name == "Fréchet distance"]
    values = np.log(ladder["frechet"][size, :, :, power_readings.steady(ladder, size)])
    left = values - values.mean(1, keepdims=True) - values.mean(0) + values.mean()
    widths, seeds = values.shape
    deviation = np.sqrt(2 * (left**2).sum() / ((widths - 1) * (seeds - 1)))
    assert np.log1p(one.smallest) == pytest.approx(3.26 * deviation, rel=0.01)  # 3 seeds: 3.26 deviations


def test_more_draws_see_more() -> None:
    few, many = (Counted("x", "draws", 100, error) for error in (0.2, 0.1))
    assert few.needed() == pytest.approx(4 * many.needed(), abs=4)
    arms = np.log1p(EFFECT) / (many.error * (many.count / many.needed()) ** 0.5 * 2**0.5)
    assert arms == pytest.approx(2.80, abs=0.01)  # z(0.975) + z(0.8)


def test_the_optimal_loss_is_read_where_it_says() -> None:
    record = store.load(curve.EXPERIMENT, dataset="digits")
    low, middle = readings.optimum(record)
    assert low.count == middle.count == int(record["sources"])
    assert 0 < middle.error < low.error < 0.05


def test_tables_have_every_lens_and_size(ladder: store.Record) -> None:
    for record in (ladder, store.load(cifar.EXPERIMENT)):
        table = power_tables.lens_power(record)
        assert [row[0] for row in table.rows] == [lens.word for lens in LENSES]
        assert all(len(row) == 1 + len(record["n"]) for row in table.rows)
        few, *_, most = power_findings.counts(record)
        assert few <= most


def test_training_laws_are_told_apart_better(ladder: store.Record) -> None:
    found = readings.schedules(store.load(laws.EXPERIMENT))
    assert max(one.smallest for one in found) < min(
        one.smallest for one in power_readings.lenses(ladder, 0)
    )
    assert "0.9 % and 0.9 %" in findings.outcomes(
        *[store.load(laws.EXPERIMENT)] * 2
    ).text


def test_the_figure_has_every_lens_and_size_and_its_line(ladder: store.Record) -> None:
    figure = power_figures.lens_visible(ladder, store.load(cifar.EXPERIMENT))
    for axes, record in zip(figure.axes, figure.records, strict=True):
        *drawn, line = axes.get_lines()
        assert len(drawn) == len(record["n"])
        assert line.get_xdata()[0] == EFFECT
        for size, marks in enumerate(drawn):
            assert len(marks.get_xdata()) == len(power_readings.lenses(record, size))
    assert "of 14 numbers at N = 32" in figure.caption.finding
