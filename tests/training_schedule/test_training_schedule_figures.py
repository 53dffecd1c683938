"""Figures, tables, sentences, readings and rules of the training schedule."""

from __future__ import annotations

import re

import numpy as np
import pytest
from fakes import cases
from layout import collisions, texts

from diffnotes.base.statistics import factor_over_seeds
from diffnotes.chapters import checks
from diffnotes.chapters.checks import Nothing
from diffnotes.chapters.training_schedule import claims, figures, findings, readings, tables
from diffnotes.chapters.training_schedule.comparison import ARMS
from diffnotes.chapters.training_schedule.readings import EDM, SCHEDULE

CASES = cases("training_schedule")
BASE, GAP, SIGMA, fake = CASES.BASE, CASES.GAP, CASES.SIGMA, CASES.fake
FIGURES = ["gaps", "law", "objective"]
TABLES = ["settings", "outcomes"]


@pytest.mark.parametrize("name", FIGURES)
def test_figures(name, record):
    figure = getattr(figures, f"schedule_{name}")(record, record)
    page = figure._repr_html_()
    assert f'id="schedule_{name}"' in page
    assert record.key in page


@pytest.mark.parametrize("made", [True, False])
@pytest.mark.parametrize("name", FIGURES)
def test_captions_begin_with_a_finding_on_these_records(name, made, record):
    caption = getattr(figures, f"schedule_{name}")(fake() if made else record).caption
    assert "digits" in caption.finding
    assert caption.shows
    assert not re.search(r"\bnan\b|\binf\b", f"{caption.finding} {caption.shows}")


@pytest.mark.parametrize("name", FIGURES)
def test_texts_of_figures_lie_apart_and_within_the_figure(name, record):
    figure = getattr(figures, f"schedule_{name}")(fake("schedule_cifar"), record)
    assert figure.get_size_inches()[0] <= 6.9
    boxes, frame = texts(figure), figure.bbox.padded(1)
    assert len(boxes) > 5
    assert all(frame.contains(*box.p0) and frame.contains(*box.p1) for box in boxes.values())
    assert collisions(boxes) == []


@pytest.mark.parametrize("name", TABLES)
def test_tables(name, record):
    assert record.key in getattr(tables, f"schedule_{name}")(record)._repr_html_()
    for one in (record, fake()):
        table = getattr(tables, f"schedule_{name}")(one)
        assert not re.search(r"\bnan\b", f"{table.caption.finding} {table.rows}")
        assert all(len(row) == len(table.header) for row in table.rows)


def test_the_table_of_choices_begins_with_the_one_chosen():
    found = CASES.choice()
    table = tables.schedule_choices(found)
    assert table.rows[0][:3] == ("3", "−2", "0.01")
    assert [row[3] for row in table.rows] == ["0.700", "0.800", "0.900"]
    assert "bump 3, shift −2, clip 0.01" in table.caption.finding
    assert "At an end" not in table.caption.finding
    found.arrays["chosen"] = found["tried"][2]
    assert "At an end of what was tried: bump, shift." in findings.choice_text(found)


def test_the_papers_fids():
    rows = {row[0]: row[3] for row in tables.schedule_fids().rows}
    assert rows["CIFAR-10, EDM (paper)"] == "−2 %"
    assert rows["ImageNet-64, flow matching (paper)"] == "−25 %"
    ours = tables.schedule_fids(fake()).rows[-1]
    assert ours[0].endswith("(ours)")
    assert ours[3] != "+0 %"


# --- readings ---


def test_quotients_are_taken_within_seeds():
    gap = BASE["gap"] * np.array([1.0, 2, 4, 8, 16])[:, None]  # seeds differ, runs of a seed do not
    found = readings.factor(fake(gap=gap), "gap", readings.left(fake()))
    assert found == pytest.approx([0.8, 0.8, 0.8], rel=1e-3)
    assert readings.distance(fake(), to="frechet_train") == pytest.approx(readings.distance(fake()))
    each = readings.by_level(fake(), "gap")
    assert each[readings.left(fake()), 0] == pytest.approx(0.8)
    assert each[~readings.left(fake()), 0] == pytest.approx(1.1)


def test_a_geometric_mean_counts_every_level_alike():
    gap = GAP.copy()
    gap[1] = gap[0] * np.where(np.arange(len(SIGMA)) % 2, 4.0, 1.0)
    found = readings.factor(fake(gap=gap), "gap", readings.everywhere(fake()))
    assert found[0] == pytest.approx(2.0)


def test_intervals_are_those_over_seeds():
    spread = np.array([0.7, 0.8, 0.9, 1.0, 1.1])
    frechet = np.ones((7, 5))
    frechet[1] = spread
    assert readings.distance(fake(frechet=frechet)) == pytest.approx(factor_over_seeds(spread))


def test_a_network_of_nothing_has_learnt_nothing():
    assert readings.learnt(fake()) == pytest.approx(0.3, rel=1e-3)
    assert readings.learnt(fake(gap=GAP / 0.3)) == pytest.approx(1, rel=0.01)
    for name, check in claims.CHECKS.items():
        with pytest.raises(Nothing, match="learned|learnt"):
            check(fake(gap=GAP / 0.3)), name


def test_a_run_that_is_not_there_is_named():
    fewer = fake(**{k: v[:2] for k, v in BASE.items() if np.ndim(v) and len(v) == 7})
    with pytest.raises(KeyError, match="soft edge"):
        readings.of(fewer, "gap", "soft edge")
    assert "schedule" in findings.outcome_text(fewer)
    assert str(findings.ablation_finding(fewer)) == ""
    assert "ten times ω*" in str(findings.ablation_finding(fake()))


def test_objective_and_density_have_the_area_1():
    width = np.diff(np.log(BASE["centre"])).mean()
    for run in (EDM, SCHEDULE):
        assert readings.objective(fake(), run).sum(1) * width == pytest.approx(1)
    assert readings.density(fake(), EDM).sum(1) * width == pytest.approx(1)
    assert readings.weight(fake(), SCHEDULE)[[0, -1]] == pytest.approx([25, 1])


def test_shares_and_moves_by_hand():
    law = np.zeros((7, 5, 4, 48))
    law[:, :, 0, 0], law[:, :, -1, 0], law[:, :, -1, -1] = 1.0, 0.75, 0.25
    found = fake(law=law)
    assert readings.share_left(found, readings.density(found, SCHEDULE)) == pytest.approx(0.75)
    assert readings.moved(found) == pytest.approx(0.25)


def test_words_follow_intervals():
    assert findings.word(np.array([0.9, 0.8, 0.99])) == findings.LESS
    assert findings.word(np.array([1.1, 1.01, 1.2])) == findings.MORE
    assert findings.word(np.array([0.9, 0.8, 1.1])) == findings.SAME


def test_copies_are_said():
    assert "at most 0.2 %" in str(findings.copies_finding(fake()))


# --- claims ---


def test_partly_means_some_of_it():
    gap = GAP.copy()
    gap[1, :, :3] *= 10  # a few levels spoil the mean, and most are lower
    assert claims.CHECKS["xu-schedule-gap"](fake(gap=gap)).verdict == checks.PARTLY
    gap = GAP.copy()
    at = readings.within(fake(), claims.NEAR)
    gap[2][:, np.flatnonzero(at)[0]] *= 2
    assert claims.CHECKS["ours-schedule-jump"](fake(gap=gap)).verdict == checks.PARTLY


def test_an_interval_that_reaches_1_is_no_improvement():
    frechet = np.ones((7, 5))
    frechet[1] = [0.7, 0.8, 0.9, 1.0, 1.3]
    for name in ("xu-schedule-frechet", "ours-schedule-adaptive", "ours-schedule-exponent"):
        assert claims.CHECKS[name](fake(frechet=frechet)).verdict == checks.FAILED


def test_rules_name_the_numbers_that_the_checks_use():
    rules = {claim.id: claim.rule for claim in checks.claims() if "schedule" in claim.id}
    assert set(claims.CHECKS) <= set(rules)
    for end in ("", "-cifar10"):
        assert f"within {100 * claims.ALIKE:.0f} % of 1" in rules[f"ours-schedule-jump{end}"]
        assert f"within a factor of {claims.NEAR:g}" in rules[f"ours-schedule-jump{end}"]
        assert f"edge of width {ARMS['soft edge']['edge']:g}" in rules[f"ours-schedule-jump{end}"]
    assert f"more than {100 * claims.MATTERS:.0f} %" in rules["ours-schedule-clip"]
    assert all(f"below {claims.LEARNT} of that" in rules[name] for name in claims.CHECKS)


def test_scales_name_the_images_seen():
    from diffnotes.chapters.training_schedule import cifar, digits

    for claim in checks.claims():
        if claim.id in claims.CHECKS:
            spec = (cifar if claim.id.endswith("cifar10") else digits).EXPERIMENT.profiles["laptop"]
            assert f"{spec.steps * spec.batch:,} images seen" in claim.scale
            assert f"{spec.n:,} images" in claim.scale
            assert len(spec.seeds) == 5
