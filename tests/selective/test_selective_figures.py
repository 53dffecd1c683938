"""Figures, tables, sentences, readings and slider of chapter 2's networks."""

from __future__ import annotations

import re

import numpy as np
import pytest
from fakes import cases
from layout import collisions, texts

from diffnotes.base.statistics import factor_over_seeds, over_seeds
from diffnotes.chapters import checks
from diffnotes.chapters.checks import Nothing
from diffnotes.chapters.selective import claims, figures, findings, readings, slider, tables
from diffnotes.chapters.selective.readings import COMMON, OWN, TRAINING
from diffnotes.chapters.supervision import readings as theirs

CASES = cases("selective")
BASE, FAR, T, back, errors, fake = (CASES.BASE, CASES.FAR, CASES.T, CASES.back, CASES.errors, CASES.fake)

FIGURES = ["errors", "scaling", "ratios", "guidance", "way_back", "contrast"]
TABLES = ["settings", "errors_table", "steps_table"]


def drawn(module, name, *records):
    """The figure or table of that name."""
    one = name == "errors_table"
    return getattr(module, f"selective_{name}")(*records[: 1 if one else None])


@pytest.mark.parametrize("name", FIGURES)
def test_figures(name, record):
    page = drawn(figures, name, record, record)._repr_html_()
    assert f'id="selective_{name}"' in page
    assert record.key in page


@pytest.mark.parametrize("make", [fake, None])
@pytest.mark.parametrize("name", FIGURES)
def test_captions_begin_with_a_finding_on_these_records(name, make, record):
    caption = drawn(figures, name, make() if make else record).caption
    assert "digits" in caption.finding
    assert caption.shows
    assert not re.search(r"\bnan\b|\binf\b", f"{caption.finding} {caption.shows}")


@pytest.mark.parametrize("name", FIGURES)
def test_texts_of_figures_lie_apart_and_within_the_figure(name, record):
    figure = drawn(figures, name, fake("selective_cifar"), record)
    assert figure.get_size_inches()[0] <= 6.9
    boxes, frame = texts(figure), figure.bbox.padded(1)
    assert len(boxes) > 5
    assert all(frame.contains(*box.p0) and frame.contains(*box.p1) for box in boxes.values())
    assert collisions(boxes) == []


@pytest.mark.parametrize("name", TABLES)
def test_tables(name, record):
    table = drawn(tables, name, record, record)
    html = table._repr_html_()
    assert "digits" in html
    assert not re.search(r"\bnan\b", html)
    assert all(len(row) == len(table.header) for row in table.rows)


def test_sentences_say_numbers_of_the_record():
    found = fake()
    text = str(findings.scaling_finding(found))
    assert "training images falls" in text
    assert "common trajectories rises" in text
    assert f"{readings.error(found, COMMON, 1)[-1, :, -1].mean():.4f}" in str(findings.told_finding(found))
    assert "differ by 0.000, the learned ones by" in str(findings.paradox_finding(found))
    assert "at no t" in str(findings.paradox_finding(found))
    assert f"{FAR**2:.3f}" in str(findings.sets_finding(found))


def test_a_trend_within_its_interval_is_said_to_be_none():
    assert findings.word(np.array([1.0, 0.5, 1.5])) == "rises"
    assert findings.word(np.array([-1.0, -1.5, -0.5])) == "falls"
    assert findings.word(np.array([0.1, -0.5, 0.7])) == "is not told from level"


def test_a_gap_that_is_not_less_is_said_not_to_be():
    assert "5.00 times less" in findings.gap_text(fake())
    assert "not less" in findings.gap_text(fake(learned=BASE["learned"][:, :, :, ::-1]))


# --- readings ---


def test_errors_of_power_laws_have_their_slope():
    record = fake()
    cost = readings.training_compute(record)
    assert np.allclose(cost, 3 * 128 * record["flops"][:, None] * record["step"])
    err = BASE["error"].copy()
    err[:, :, :, COMMON] = (cost**0.1)[:, None, :, None, None] * np.array([1.0, 2.0, 3.0])[
        :, None, None, None
    ]
    assert np.allclose(readings.slopes(fake(error=err), COMMON), 0.1 * np.log(10))
    grown = 100 * (readings.PAPER_RANGE**0.1 - 1)
    assert np.allclose(readings.trend(fake(error=err), COMMON), grown)


def test_the_papers_own_trends():
    assert readings.paper_trend(readings.PAPER_SUPERVISED) == pytest.approx(-2.7, abs=0.1)
    assert readings.paper_trend(readings.PAPER_EXTRAPOLATED) == pytest.approx(0.44, abs=0.05)
    assert pytest.approx(38, abs=0.5) == readings.PAPER_RANGE


def test_excess_is_a_quotient_and_the_gaussian_one_is_taken_out():
    record = fake()
    assert np.allclose(readings.excess(record, OWN), 0.9 * readings.excess(record, COMMON))
    guide = BASE["guide"].copy()
    guide[:, :, COMMON] *= 3
    ours = readings.beyond_gaussian(fake(guide=guide), COMMON)
    assert np.allclose(3 * ours, readings.excess(record, COMMON))


def test_velocities_count_small_times():
    record = fake(error=np.ones_like(BASE["error"]))
    assert np.allclose(readings.velocity_error(record), np.mean(1 / T**2))
    assert np.allclose(readings.guide_velocity_error(record, 1), 0.05 * np.mean(1 / T**2))


def test_states_leave_where_the_median_passes_the_noised_images():
    record = fake()
    [left] = set(readings.leaving_time(record))
    k = int(np.abs(T - left).argmin())
    median, high = BASE["ratio_own"][0, 0, 0, :, 2], BASE["ratio_training"][0, :, 4]
    assert median[k] > high[k]
    assert median[k + 1] <= high[k + 1]
    assert (readings.leaving_time(fake(ratio_own=BASE["ratio_own"] * 0 + 1)) == 0).all()
    assert (readings.leaving_time(fake(ratio_own=BASE["ratio_own"] * 0 + 9)) == T[-1]).all()


def test_the_formula_is_that_of_an_image_at_a_distance():
    expected = np.sqrt(1 + ((1 - T) / T) ** 2 * FAR**2)
    assert np.allclose(readings.analytic(fake(), "own"), expected)


def test_scores_are_gaps_times_their_factor():
    record = fake()
    assert readings.dimensions(record) == 64
    gap = np.ones((3, len(T)))
    assert np.allclose(readings.as_scores(record, gap), (1 - T) / T**2 * 8)


@pytest.mark.parametrize("half", [0.3, 0.52, 0.7])
def test_the_fall_is_found_between_levels(half):
    record = fake(returned=np.stack([back(half)] * 4))
    assert np.allclose(readings.fall_time(record, 0.5), half, atol=0.015)


def test_a_share_that_never_falls_or_is_never_there():
    assert (readings.fall_time(fake(returned=np.ones((4, 3, 20))), 0.5) == T[-1]).all()
    assert (readings.fall_time(fake(returned=np.zeros((4, 3, 20))), 0.5) == T[0]).all()


def test_overlap_is_that_of_the_closest_pair():
    record = fake(class_spacing=np.array([8.0, np.inf]), spacing=np.array([4.0, 8.0]))
    assert readings.overlap(record, 0.5) == pytest.approx(np.exp(-8))
    assert readings.overlap(record, 0.5, inside=False) == pytest.approx(np.exp(-2))
    assert readings.overlap(record, 1.0) == 1


def test_factors_are_averaged_by_logarithms():
    assert np.allclose(factor_over_seeds(np.array([0.5, 2.0, 1.0]))[0], 1)
    assert np.allclose(
        factor_over_seeds(np.exp([1.0, 2.0, 3.0])), np.exp(over_seeds(np.array([1.0, 2.0, 3.0])))
    )


# --- claims and slider ---


def test_a_contrast_that_does_not_memorize_is_none():
    with pytest.raises(Nothing, match="does not memorize"):
        claims.CHECKS["ours-net-memorizer"](fake(tiny_rho=np.full((3, 3, 40), 0.9)))


def test_a_trend_that_is_not_told_from_level_is_not_reproduced():
    level = errors(0.01, 0.03, 0.0)
    shaken = level * (
        1
        + 0.05
        * np.sin(np.arange(4))[:, None, None, None, None, None]
        * np.array([[[1, 0, -1]]]).T.reshape(1, 3, 1, 1, 1, 1)
    )
    assert claims.CHECKS["song-net-extrapolated"](fake(error=shaken)).verdict == "not reproduced"


def test_the_slider_shows_the_nearest_level(record):
    shown = slider.TrajectorySlider(record)
    assert len(shown.times) == len(record["t"])
    figure = shown(t=shown.times[1])
    titles = [axes.get_title() for axes in figure.subfigs[1].axes]
    assert titles == [f"$r^*$ at $t$ = {record['t'][1]:.3g}"]
    pictures = figure.subfigs[0].axes
    assert len(pictures) == 6
    assert np.array_equal(pictures[1].images[0].get_array(), record["shown_guess"][0, 1, 0, 0])
    assert np.array_equal(pictures[5].images[0].get_array(), record["shown_near"][1, 1, 0, 0])


def test_shown_shells_are_those_of_the_ratio(record):
    """The first trajectory of the largest network: distance from its state to the image shown."""
    spec = record.spec
    assert record["shown_ratio"].shape == (2, spec["levels"], spec["kept"])
    low, high = record["ratio_own"][-1, 0, -1, :, 0], record["ratio_own"][-1, 0, -1, :, -1]
    inside = (record["shown_ratio"][0] >= 0.5 * low[:, None]) & (
        record["shown_ratio"][0] <= 2 * high[:, None]
    )
    assert inside.all()
    assert TRAINING == 0


def test_a_trajectory_that_runs_away_does_not_make_the_error():
    each = np.full((4, 3, 3, 3, 50), 0.02)
    each[0, 0, -1, OWN, :5] = 1e9
    found = fake(error_each=each)
    assert readings.error(found, OWN).max() == 0.02
    assert readings.runaways(found)[0].tolist() == [0.1, 0.0, 0.0]
    assert "3.3 % of their own trajectories run away" in str(findings.runaway_finding(found))


def test_a_network_that_brings_nothing_back_is_not_judged():
    with pytest.raises(Nothing, match="only 50 % return"):
        claims.CHECKS["song-net-early"](fake(returned=np.full(BASE["returned"].shape, 0.5)))


def test_a_gap_of_scores_that_grows_by_its_factor_alone_is_partly_a_growth():
    t = BASE["t"]
    shrinks = BASE["learned"] * (t / (1 - t))[:, None]
    assert claims.CHECKS["song-guidance-grows"](fake(learned=shrinks)).verdict == "partly"


def test_the_papers_gap_of_denoisers_is_as_its_rule_says():
    t, gap = np.array(theirs.PAPER_LEARNED).T
    plain = gap[:-1] * t[:-1] ** 2 / (1 - t[:-1])
    assert t[plain.argmax()] == readings.PAPER_WIDEST
    [rule] = [claim.rule for claim in checks.claims() if claim.id == "song-guidance-grows"]
    found = {f"{one:.2f}": f"{value:.2g}" for one, value in zip(t, plain, strict=False)}
    assert f"{plain.max():.1f} at t 0.31 against {found['0.99']} at t 0.99, and {found['0.01']} at" in rule


def test_own_trajectories_have_no_error_of_networks_told_no_class():
    with pytest.raises(ValueError, match="told the class"):
        readings.error(fake(), OWN, readings.UNTOLD)


def test_rules_name_the_numbers_that_the_checks_use():
    rules = {claim.id: claim.rule for claim in checks.claims()}
    for end in ("", "-cifar10"):
        assert f"{100 * claims.STAYS:.0f} % return" in rules[f"song-net-returns{end}"]
        assert f"less than {100 * claims.STAYS:.0f} % return" in rules[f"song-net-early{end}"]
        assert f"at least {claims.FAR} times" in rules[f"song-guidance-grows{end}"]
        assert f"near t = {readings.PAPER_WIDEST}" in rules[f"song-guidance-grows{end}"]
        assert f"below {claims.OVERLAPS}" in rules[f"song-net-early{end}"]
        assert f"within {100 * claims.CLOSE:.0f} %" in rules[f"ours-net-analytic{end}"]
        assert f"less than {100 * claims.ALIKE:.0f} %" in rules[f"ours-net-control{end}"]
