"""Readings, figures, tables, sentences, slider and exercises of the four lenses."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from fakes import cases, changed
from layout import collisions, texts

from diffnotes.base.ranks import over_clusters, rank_correlation
from diffnotes.chapters import checks
from diffnotes.chapters.checks import Nothing
from diffnotes.chapters.four_lenses import (
    claims,
    exercises,
    figures,
    findings,
    onset_readings,
    readings,
    slider,
    tables,
    watch_readings,
)
from diffnotes.metrics import neighbours
from diffnotes.posterior import posterior

CASES = cases("four_lenses")
BASE, SHAPE, fake, grown, levels = CASES.BASE, CASES.SHAPE, CASES.fake, CASES.grown, CASES.levels
FIGURES = ["run", "same", "onsets", "levels", "predicts", "overlap"]
TABLES = ["settings", "correlations", "matrix", "watch"]


# --- figures, tables, sentences ---


@pytest.mark.parametrize("name", FIGURES)
@pytest.mark.parametrize("make", [fake, None])
def test_figures(name, make, record):
    one = make() if make else record
    figure = getattr(figures, f"lens_{name}")(one, one)
    caption = figure.caption
    if make is None:
        assert f'id="lens_{name}"' in figure._repr_html_()
    assert "digits" in caption.finding
    assert not re.search(r"\bnan\b|\binf\b", f"{caption.finding} {caption.shows}")


@pytest.mark.parametrize("name", FIGURES)
def test_texts_of_figures_lie_apart_and_within_the_figure(name):
    figure = getattr(figures, f"lens_{name}")(fake("lenses_cifar"), fake())
    assert figure.get_size_inches()[0] <= 6.9
    boxes, frame = texts(figure), figure.bbox.padded(1)
    assert len(boxes) > 5
    assert all(frame.contains(*box.p0) and frame.contains(*box.p1) for box in boxes.values())
    assert collisions(boxes) == []


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("make", [fake, None])
def test_tables(name, make, record):
    table = getattr(tables, f"lens_{name}")(make() if make else record)
    if make is None:
        assert "<table>" in table._repr_html_()
    assert not re.search(r"\bnan\b", " ".join(cell for row in table.rows for cell in row))
    assert all(len(row) == len(table.header) for row in table.rows)


def test_the_answer_says_numbers_of_the_records():
    text = str(findings.answer_found(fake(), fake(loss_gap=1.1 * BASE["supervised"])))
    assert len(re.findall(r"[.?](?: |$)", text)) == 4
    assert "differ by 1.0 % on digits, 10.0 % on digits" in text
    lag = onset_readings.known(onset_readings.lag(fake(), "relative"))
    assert f"{np.exp(lag.mean()):.1f} times as late on digits" in text


def test_a_training_that_is_thrown_back_is_named():
    loss = BASE["batch_loss"].copy()
    loss[1, 0, 2, 5] = 1.3 * loss[1, 0, 2, :6].min()
    assert readings.relapses(fake(batch_loss=loss)).sum() == 1
    text = str(findings.relapses_found(fake(), fake(batch_loss=loss)))
    assert "no training was thrown back" in text
    assert "before 1 of 162 checkpoints (N = 96, width 48, seed 3)" in text


def test_a_forecast_from_the_gap_is_held_against_one_that_looks_at_nothing():
    record = fake()
    gap, copies = (np.log(onset_readings.onset(record, name)) for name in ("gap", "memorized"))
    both = np.isfinite(gap) & np.isfinite(copies)
    text = str(findings.predicts_found(record))
    assert f"looks at nothing by {np.exp(copies[both].std(ddof=1)):.2f}" in text
    never = fake(memorized=0 * BASE["memorized"])
    assert "fewer than two runs" in str(findings.predicts_found(never))


# --- readings ---


def test_zones_do_not_overlap_and_are_where_they_say():
    found = [readings.zone(fake(), name)[0, 0] for name in readings.ZONES]
    ratio = BASE["sigma"] / CASES.CRITICAL
    assert (np.sum(found, 0) == ((ratio >= 1 / 6) & (ratio <= 6))).all()
    assert ratio[found[0]].max() < 1 / 1.5 <= ratio[found[1]].min()
    assert ratio[found[1]].max() <= 1.5 < ratio[found[2]].min()
    coarse = fake(critical=np.full((3, 3), float(np.sqrt(BASE["sigma"][8] * BASE["sigma"][11]))))
    assert all(readings.zone(coarse, name).any(-1).all() for name in readings.ZONES)


def test_means_over_zones_and_laws():
    record = fake()
    assert np.allclose(readings.within(record, levels(grown(300.0)), "left"), grown(300.0))
    assert np.allclose(readings.flow_law(record, np.ones(20)), 1)
    weighted = np.array([readings.in_law(record, np.eye(20)[k]) for k in range(20)])
    assert weighted.argmax() in (0, 1, 2, 3, 4, 5, 6)
    sigma = BASE["sigma"]
    law = np.exp(-(((np.log(sigma) + 1.2) / 1.2) ** 2) / 2)
    assert np.allclose(weighted, law / law.sum() * (1 / sigma**2 + 4))


def test_agreement_is_one_for_equal_samples_and_zero_for_unrelated_ones():
    same = np.stack([np.full(SHAPE, 0.4), np.zeros(SHAPE)], -1)
    assert np.allclose(readings.agreement(fake(agreement=same, unrelated=np.full(SHAPE, 0.4))), 0)
    same[..., 0] = 1
    assert np.allclose(readings.agreement(fake(agreement=same, unrelated=np.full(SHAPE, 0.4))), 1)


def test_a_crossing_is_on_a_line_over_the_logarithm():
    time = np.array([10.0, 100.0, 1000.0])
    assert onset_readings.crossed(time, np.array([0.0, 0.2, 0.6]), 0.4, 1) == pytest.approx(10**2.5)
    assert onset_readings.crossed(time, np.array([1.0, 0.2, 0.0]), 0.6, -1) == pytest.approx(10**1.5)
    assert np.isnan(onset_readings.crossed(time, np.array([0.5, 0.6, 0.7]), 0.4, 1))
    assert np.isnan(onset_readings.crossed(time, np.array([0.1, 0.2, 0.3]), 0.4, 1))


def test_onsets_of_a_known_ladder():
    record = fake(inside=levels(grown(300.0)))
    wide = onset_readings.onset(record, "inside")[:, -1]
    assert np.allclose(wide, 300 * CASES.NOISE.ravel(), rtol=0.1)
    assert np.allclose(onset_readings.lag(record, "inside", "inside"), 0)
    assert np.allclose(onset_readings.first_level(fake(relative=CASES.peaking(8, 6)), "relative"),
                       BASE["sigma"][8] / CASES.CRITICAL)  # fmt: skip


def test_rank_correlations():
    x = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
    table = np.stack([x, x**3, -x, np.array([2.0, 1.0, 4.0, 3.0, 5.0]), 0 * x], 1)
    found = rank_correlation(table)
    assert np.allclose(found[0, :4], [1, 1, -1, 0.8])
    assert np.isnan(found[:, 4]).all()
    rng = np.random.default_rng(0)
    time, own = rng.normal(size=400), rng.normal(size=(400, 2))
    mixed = own * 0.3 + time[:, None]
    assert rank_correlation(mixed)[0, 1] > 0.8
    assert abs(rank_correlation(mixed, time)[0, 1]) < 0.2


def test_intervals_over_clusters_are_wider_than_over_their_members():
    rng = np.random.default_rng(1)
    clusters = np.repeat(rng.normal(size=(20, 1, 1)), 10, 1)  # ten equal members each

    def mean(some: np.ndarray) -> np.ndarray:
        return some.mean((0, 1))

    apart, alone = (over_clusters(mean, values) for values in (clusters, clusters.reshape(-1, 1, 1)))
    assert np.allclose(apart[0], alone[0])
    assert (apart[2] - apart[1]) > 2 * (alone[2] - alone[1])


def test_correlations_take_time_out():
    for way in readings.WAYS:
        value, low, high = readings.pair(readings.correlations(fake(), way), "relative", "gap")
        assert value < -0.9
        assert low <= value <= high


# --- watching ---


def test_a_threshold_of_other_sizes():
    true = np.array([[False, False, True, True]] * 3)
    values = np.array([[0.0, 1.0, 2.0, 3.0]] * 3)
    assert (watch_readings.left_out(values, true) == 0).all()
    moved = values + np.array([[0.0], [0.0], [10.0]])
    assert watch_readings.left_out(moved, true)[2] == 0.5
    assert watch_readings.auc(values, true) == 1
    assert watch_readings.balanced_error(np.array([True, True]), np.array([True, False])) == 0.5


def test_without_two_kinds_of_checkpoints_nothing_is_watched():
    none = fake(memorized=np.zeros((*SHAPE, 3)))
    assert watch_readings.watched(none) == []
    assert "nothing to tell apart" in findings.watch_text(none)
    with pytest.raises(Nothing, match="all checkpoints memorize, or none"):
        claims.CHECKS["ours-lens-watch"](none)


# --- claims ---


def dead() -> dict[str, np.ndarray]:
    """A ladder of networks that have learned nothing."""
    start = {k: v.copy() for k, v in BASE.items()}
    for name in ("loss_gap", "supervised", "train", "loss", "held_out", "relative", "inside", "extrapolated"):
        start[name][...] = start[name][..., :1, :]
    for name in ("agreement", "memorized"):
        start[name][...] = start[name][..., :1, :]
    start["batch_loss"][...] = 1
    start["memorized"][...] = 0
    return start


@pytest.mark.parametrize("name", list(CASES._FAILS))
def test_dead_networks_are_not_judged(name):
    with pytest.raises(Nothing):
        claims.CHECKS[name](fake(**dead()))


def test_few_runs_are_not_judged():
    late = np.where(np.arange(3)[:, None, None, None] == 0, grown(1800.0, 4.0), 0)
    late = np.where(np.arange(2)[None, :, None, None] == 1, late, 0)
    with pytest.raises(Nothing, match="only 3 runs"):
        claims.CHECKS["ours-lens-order"](fake(memorized=CASES.shares(late)))


def test_rules_name_the_numbers_that_the_checks_use():
    rules = {claim.id: claim.rule for claim in checks.claims()}
    for end in ("", "-cifar10"):
        same, watch = rules[f"ours-lens-same{end}"], rules[f"ours-lens-watch{end}"]
        assert f"{100 * claims.AGREE:.0f} % of the loss gaps lie within {claims.SIGMAS:.0f}" in same
        assert f"at least {claims.SPREAD:.0f} times the least" in same
        left = rules[f"ours-lens-left{end}"]
        assert f"At {100 * claims.USUAL:.0f} % of checkpoints" in left
        assert f"within {100 * claims.CLOSE:.0f} %" in left
        assert f"σ*/{readings.WIDE:.0f} to σ*/{readings.NARROW:g}" in left
        order, sigma = rules[f"ours-lens-order{end}"], rules[f"ours-lens-sigma{end}"]
        assert f"at least {claims.TWICE:.0f} times as late" in order
        assert f"At least {claims.FEW} runs" in order
        assert f"above σ*/{readings.NARROW:g}" in sigma
        assert f"less than {claims.LEAVES:g} of the deviation" in rules[f"ours-lens-predicts{end}"]
        assert f"at least {claims.STRONG:g}" in rules[f"ours-lens-predicts{end}"]
        assert rules[f"ours-lens-overlap{end}"].count(f"least {100 * claims.ALMOST:.0f} %") == 2
        assert f"below −{-claims.FALLS:g}" in rules[f"ours-lens-halves{end}"]
        assert f"at most {100 * claims.WRONG:.0f} %" in watch
        assert f"more than {100 * readings.COPIED:.0f} %" in watch


# --- slider and exercises ---


def test_the_slider_shows_the_nearest_checkpoint():
    bytes_ = np.arange(BASE["sheet"].size).astype(np.uint8).reshape(BASE["sheet"].shape)
    record = changed(fake(), sheet=bytes_)
    shown = slider.LensSlider(record)
    figure = shown(n=100, width=200, checkpoint=9)
    left, right = figure.axes
    assert "N = 96, width 256" in left.get_title()
    assert f"{BASE['images_seen'][1, 8]:,}" in left.get_title()
    pixels = np.asarray(right.images[0].get_array())
    assert np.array_equal(pixels[:8, :8], record["sheet"][1, 1, 8, 0, 0])
    assert f"{100 * BASE['memorized'][1, 1, :, 8, 0].mean():.0f} %" in right.get_title()


def by_softmax(denoise, train, noisy, sigma):  # type: ignore[no-untyped-def]
    apart = torch.cdist(noisy.flatten(1).double(), train.flatten(1).double()).square()
    best = torch.softmax(-apart / (2 * sigma**2), 1) @ train.flatten(1).double()
    return (denoise(noisy, sigma).flatten(1) - best).square().mean()


def test_right_answers_are_right_and_others_are_not():
    assert exercises.check_loss_gap(by_softmax) == exercises.SOLVED
    assert exercises.check_loss_gap(lambda d, t, x, s: None) == exercises.UNSOLVED
    assert "optimal" in exercises.check_loss_gap(lambda d, t, x, s: (d(x, s) - t).square().mean())
    assert "shrinks" in exercises.check_loss_gap(
        lambda d, t, x, s: 64 * (d(x, s) - posterior(x, s, t).mean).square().mean()
    )

    def often(states, noised, train):  # type: ignore[no-untyped-def]
        a, b = (neighbours(x, train).distance[:, 0] for x in (states, noised))
        return ((a[:, None] < b).double() + 0.5 * (a[:, None] == b).double()).mean()

    assert exercises.check_nearer(often) == exercises.SOLVED
    assert exercises.check_nearer(lambda s, n, t: None) == exercises.UNSOLVED
    assert "Not yet" in exercises.check_nearer(lambda s, n, t: 0.5)
