"""Readings, figures, tables, sentences and the exercise on loss against compute."""

from __future__ import annotations

import re

import numpy as np
import pytest
from fakes import cases, changed
from layout import collisions, texts

from diffnotes.chapters import checks
from diffnotes.chapters.checks import Nothing
from diffnotes.chapters.scaling import claims, exercises, figures, findings, readings, tables
from diffnotes.chapters.scaling.readings import AFTER, ALL, ALPHA, BEFORE, FLOOR, FREE, KNOWN, RISE, TOTAL

CASES = cases("scaling")
FIGURES = ["losses", "correlation", "wrong", "laws"]
TABLES = ["settings", "fits"]


def drawn(module, name, found, curve=None):
    """The figure or table of that name."""
    records = (found,) if name in ("laws", "settings") else (found, curve or CASES.curve())
    return getattr(module, f"scaling_{name}")(*records)


# --- readings ---


def test_totals_are_weighted_sums():
    found = CASES.fake()
    by_hand = (CASES.LAWFUL * CASES.WEIGHT).sum(-1)
    assert np.allclose(readings.gaps(found)[..., TOTAL], by_hand)
    assert np.allclose(readings.losses(found)[..., TOTAL], by_hand + CASES.WEIGHT @ CASES.OPTIMUM)
    assert np.allclose(readings.losses(found)[..., 3], CASES.LAWFUL[..., 3] + CASES.OPTIMUM[3])


def test_the_exponent_and_the_floor_of_the_record_are_found():
    found = CASES.fake()
    fits, known = readings.laws(found), readings.optimum(found)[TOTAL]
    assert fits[0, KNOWN, ALPHA] == pytest.approx(CASES.ALPHA, rel=0.03)
    assert fits[1, KNOWN, ALPHA] < fits[0, KNOWN, ALPHA] < fits[2, KNOWN, ALPHA]
    assert fits[0, FREE, FLOOR] == pytest.approx(known, rel=0.05)
    assert fits[1, FREE, FLOOR] < known < fits[2, FREE, FLOOR]
    assert readings.misfit_ratio(found)[2] < 1


def test_frontiers_are_of_each_seed_and_come_from_its_total_loss():
    found = CASES.fake()
    kept, cost, total = readings.on_frontier(found), readings.compute(found), readings.gaps(found)[..., TOTAL]
    for seed in range(CASES.SEEDS):
        for place in np.ndindex(cost.shape):
            better = (cost <= cost[place]) & (total[:, seed] < total[place[0], seed, place[1]])
            assert kept[place[0], seed, place[1]] == (not better.any())
    assert len(readings.cloud(found).log_f) == kept.sum()
    assert len(readings.cloud(found, ALL).log_f) == kept.size


def test_a_network_that_is_drawn_twice_counts_twice_and_takes_nothing_from_itself():
    cost, total = CASES.COMPUTE, CASES.LAWFUL[:, 0, :, 5]
    once = readings._frontier(cost, total, np.array([0, 1, 2]))
    twice = readings._frontier(cost, total, np.array([0, 1, 1, 2]))
    rows = once.reshape(3, -1)
    assert np.array_equal(twice.reshape(4, -1), rows[[0, 1, 1, 2]])


def test_resamples_are_the_same_each_time_and_begin_with_the_record():
    found = CASES.fake()
    assert np.array_equal(readings.correlations(found), readings.correlations(found), equal_nan=True)
    values = readings.interval(found, lambda points: np.array(float(len(points.log_f))))
    assert values[0] == readings.on_frontier(found).sum()
    assert values[1] < values[0] < values[2] + 50


def test_one_network_of_one_seed_cannot_widen_an_interval():
    small = {name: CASES.BASE[name][:1, :1] for name in ("gap", "gap_stderr", "loss")}
    found = CASES.fake(**small, flops=CASES.BASE["flops"][:1])
    rho = readings.correlations(found)
    assert np.allclose(rho[1], rho[0])
    assert np.allclose(rho[2], rho[0])


def test_rho_rises_where_there_is_something_to_subtract():
    rho = readings.correlations(CASES.fake())
    part = CASES.OPTIMUM / CASES.VARIANCE
    assert np.allclose(rho[0, RISE], rho[0, AFTER] - rho[0, BEFORE])
    assert np.abs(rho[0, RISE, :-1][part < 1e-5]).max() < 1e-3
    assert (rho[0, RISE, :-1][part > 0.5] > 0.01).all()


def test_levels_like_the_papers_are_between_the_negligible_and_the_bound():
    found, curve = CASES.fake(), CASES.curve()
    assert readings.paper_share(curve) == pytest.approx((0.0039, 0.39), rel=1e-2)
    part = readings.share(found)[readings.comparable(found, curve)]
    assert len(part) > 1
    assert ((part >= 0.01) & (part <= 0.39)).all()
    with pytest.raises(Nothing, match="no noise level"):
        readings.comparable(CASES.fake(optimum=CASES.OPTIMUM * 1e-4), curve)


def test_wrong_floors_bend_and_too_high_ones_end():
    found = CASES.fake()
    rho, exponent = readings.by_floor(found, np.array([0.0, 1.0, 50.0]), [TOTAL])
    assert rho[0, 0] < rho[1, 0]
    assert exponent[1, 0] == pytest.approx(CASES.ALPHA, rel=0.02)
    assert np.isnan(rho[2, 0])
    assert readings.straightest(found, [TOTAL])[0] == 1
    assert readings.straightest(CASES.bent(), [TOTAL])[0] == 0.5
    assert readings.by_estimate(found, "cdol", [TOTAL])[0] > readings.by_estimate(found, "dol", [TOTAL])[0]


# --- claims ---


DEAD = {
    "no learning": {"gap": np.full_like(CASES.LAWFUL, 60.0)},
    "no fall": {"gap": np.full_like(CASES.LAWFUL, 0.1) * CASES.power(-0.01)[:, None]},
}


@pytest.mark.parametrize("name", CASES.NAMES)
@pytest.mark.parametrize(("dead", "said"), [("no learning", "did not learn"), ("no fall", "falls only by")])
def test_networks_that_did_not_train_are_not_judged(name, dead, said):
    with pytest.raises(Nothing, match=said):
        claims.CHECKS[name](CASES.fake(**DEAD[dead]))


def test_a_frontier_of_a_few_points_is_not_judged():
    gap = np.full_like(CASES.LAWFUL, 1.0)
    gap[0, :, 0] = 1e-3  # nothing is ever better than the cheapest
    with pytest.raises(Nothing, match="has 1 points"):
        claims.CHECKS["xu-scaling-total"](CASES.fake(gap=gap))


def test_rules_name_the_numbers_that_the_checks_use():
    rules = {claim.id: claim.rule for claim in checks.claims()}
    assert f"at least {100 * readings.NEGLIGIBLE:.0f} % of the data variance" in rules["xu-scaling-sigma"]
    assert f"at σ {readings.PAPER_SIGMA} on Tiny" in rules["xu-scaling-sigma"]
    assert f"at least {claims.STRAIGHT} for" in rules["xu-scaling-total"]
    assert f"below {100 * claims.GOOD:.0f} %" in rules["xu-scaling-fit"]
    assert f"within {100 * claims.FOUND:.0f} %" in rules["ours-scaling-floor"]
    factors = ", ".join(f"{f:g}" for f in readings.FACTORS[:-1])
    assert f"times {factors} and {readings.FACTORS[-1]:g}" in rules["ours-scaling-wrong"]
    for name in CASES.NAMES:
        assert f"a factor of {readings.FALLS}" in rules[name]
        assert "bootstraps" not in rules[name] or f"{readings.RESAMPLES} cluster" in rules[name]


# --- figures, tables, sentences ---


@pytest.mark.parametrize("name", FIGURES)
def test_figures(name, record):
    page = drawn(figures, name, record, changed(record, **CASES.curve().arrays))._repr_html_()
    assert f'id="scaling_{name}"' in page
    assert record.key in page


@pytest.mark.parametrize("name", FIGURES)
def test_captions_begin_with_a_finding(name):
    figure = drawn(figures, name, CASES.fake())
    assert figure.caption.finding
    assert figure.get_size_inches()[0] <= 6.9
    assert figure.caption.shows
    assert not re.search(r"\bnan\b|\binf\b", f"{figure.caption.finding} {figure.caption.shows}")


@pytest.mark.parametrize("make", ["fake", "bent"])
@pytest.mark.parametrize("name", FIGURES)
def test_texts_of_figures_lie_apart_and_within_the_figure(name, make):
    figure = drawn(figures, name, getattr(CASES, make)())
    boxes, frame = texts(figure), figure.bbox.padded(1)
    assert len(boxes) > 5
    assert all(frame.contains(*box.p0) and frame.contains(*box.p1) for box in boxes.values())
    assert collisions(boxes) == []


@pytest.mark.parametrize("name", TABLES)
def test_tables(name, record):
    small = drawn(tables, name, record, changed(record, **CASES.curve().arrays))
    for table in (drawn(tables, name, CASES.fake()), small):
        assert all(len(row) == len(table.header) for row in table.rows)
        assert not any(re.search(r"\bnan\b", cell) for row in table.rows for cell in row)
    assert record.key in small._repr_html_()



def test_sentences_say_numbers_of_the_record():
    found, curve = CASES.fake(), CASES.curve()
    known = readings.optimum(found)[TOTAL]
    assert f"J* is {known:.3f}" in findings.laws_text(found)
    assert "ρ rises from" in findings.correlation_text(found, curve)
    assert "1 for the total loss" in findings.wrong_text(found, curve)
    assert f"{readings.on_frontier(found).sum()} are compute-efficient" in str(findings.points_finding(found))
    assert "leaves 39 %" in str(findings.level_finding(found, curve))
    assert f"{known:.3f} and" in str(findings.generalization_finding(found))
    assert "at most 0.5 of their standard errors" in str(findings.measured_finding(found))
    assert "cDOL: 0." in str(findings.estimate_finding(found, curve))


@pytest.mark.parametrize(
    ("interval", "said"),
    [((0.1, 0.05, 0.2), "rises"), ((-0.1, -0.2, -0.05), "falls"), ((0.1, -0.1, 0.2), "does not change")],
)
def test_a_rise_within_its_interval_is_said_to_be_none(interval, said):
    assert findings.word(np.array(interval)).startswith(said)


# --- the exercise ---


def test_the_exercise_knows_the_answer_and_its_near_misses():
    from diffnotes.chapters.scaling.law_readings import fitted

    check = exercises.floor_from_losses
    assert check(lambda compute, loss: None) is exercises.UNSOLVED
    assert str(check(lambda compute, loss: fitted(np.log(compute), loss).floor)).startswith("Right")
    assert "smallest loss seen" in str(check(lambda compute, loss: loss.min()))
    assert "too low" in str(check(lambda compute, loss: 0.0))
    assert "too high" in str(check(lambda compute, loss: 2 * loss.min()))
