"""Figures, tables, sentences and readings of chapter 4's networks."""

from __future__ import annotations

import re

import numpy as np
import pytest
from fakes import cases
from layout import collisions, texts

from diffnotes.chapters import checks
from diffnotes.chapters.checks import Nothing
from diffnotes.chapters.loss_gap import claims, figures, findings, readings, tables

CASES = cases("loss_gap")
fake, base, gaps, tiny = CASES.fake, CASES.base, CASES.gaps, CASES.tiny

FIGURES = ["loss_gaps", "gap_parts", "gap_quality", "memorizer"]
TABLES = ["diagnosis_settings", "gap_table", "readings_table"]


def shown(module, name, *records):
    """The figure or table of that name."""
    one = name in ("gap_quality", "gap_table")
    return getattr(module, name)(*records[: 1 if one else None])


@pytest.mark.parametrize("name", FIGURES)
def test_figures(name, record):
    page = shown(figures, name, record, record)._repr_html_()
    assert f'id="{name}"' in page
    assert record.key in page


@pytest.mark.parametrize("make", [fake, None])
@pytest.mark.parametrize("name", FIGURES)
def test_captions_begin_with_a_finding_on_these_records(name, make, record):
    caption = shown(figures, name, make() if make else record).caption
    assert "digits" in caption.finding
    assert caption.shows
    assert not re.search(r"\bnan\b|\binf\b", f"{caption.finding} {caption.shows}")


@pytest.mark.parametrize("name", FIGURES)
def test_texts_of_figures_lie_apart_and_within_the_figure(name, record):
    figure = shown(figures, name, fake("diagnosis_cifar"), record)
    assert figure.get_size_inches()[0] <= 7.4
    boxes, frame = texts(figure), figure.bbox.padded(1)
    assert len(boxes) > 5
    assert all(frame.contains(*box.p0) and frame.contains(*box.p1) for box in boxes.values())
    assert collisions(boxes) == []


def test_the_gaussian_has_a_grey_line(drawn):
    text = figures.gap_parts(drawn).caption.finding
    assert "unseen draws" in text
    assert "draws of a Gaussian" in text


@pytest.mark.parametrize("name", TABLES)
def test_tables(name, record):
    table = shown(tables, name, record, record)
    html = table._repr_html_()
    assert "nan" not in html
    assert len({len(row) for row in table.rows}) == 1
    assert len(table.rows[0]) == len(table.header)


# ------------------------------------------------------------------------------------------------- readings


def test_the_critical_level_is_where_it_was_put():
    found = fake()
    assert np.allclose(readings.critical(found), CASES.STAR, rtol=0.05)
    sigma, near, left = found["sigma"], readings.near(found)[0], readings.left(found)[0]
    assert (np.abs(np.log(sigma[near] / CASES.STAR)) < np.log(1.6)).all()
    assert sigma[left].max() < CASES.STAR / 1.9
    assert sigma[left].min() > CASES.STAR / 8.5
    assert not (near & left).any()
    assert near.any()


def test_peaks_are_where_they_were_put():
    found = fake(**base(gaps(eps=0.0, at=0.9)))
    assert np.allclose(readings.peak(found), 0.9, rtol=0.2)
    assert readings.intermediate(found).all()
    assert not readings.intermediate(fake(**base(gaps(eps=0.0, at=0.02)))).any()


def test_the_loss_on_unseen_images_is_not_picked_by_luck():
    values = np.array([[[1.0], [5.0], [5.0]], [[2.0], [2.0], [2.0]]])  # option 0 is lucky once
    others = [values[:, [1, 2]].mean((1, 2)).argmin(), values[:, [0, 2]].mean((1, 2)).argmin()]
    assert readings._least(values)[0, 0] == values[others[0], 0, 0]
    assert readings._least(values)[1, 0] == values[others[1], 1, 0]


def test_failure_is_what_is_beyond_the_best_on_unseen_images():
    found = fake(**base(gaps(eps=3.0), unseen=0.01))
    sure = readings.failure(found)
    assert (sure <= readings.gap(found)).all()
    assert (sure >= 0).all()
    eps, f = (sure[readings.place(found, kind)][:, -1] for kind in ("VE eps", "VE F"))
    assert (eps > 2).all()
    assert np.allclose(f, 0)


def test_turning_is_the_least_held_out_loss():
    assert readings.turning(fake()).tolist() == [1, 1, 1]
    assert np.allclose(readings.since_turning(fake(), "tiny_gap"), 0.3)
    assert np.allclose(readings.since_turning(fake(), "tiny_held_loss"), 1.8)


def test_disagreement_of_equal_numbers_is_none():
    found = fake(loss=CASES.BASE["gap"] + CASES.BASE["optimal"], difference_stderr=0 * CASES.BASE["gap"])
    assert (np.abs(readings.apart(found)) < 1e-6).all()


# --------------------------------------------------------------------------------------------------- guards


@pytest.mark.parametrize("name", [n for n in claims.CHECKS if "readings" not in n and "memorizer" not in n])
def test_networks_that_learned_nothing_are_not_judged(name):
    found = fake(start=0.5 * CASES.BASE["start"] / 30, **(CASES.POPULATION if "population" in name else {}))
    with pytest.raises(Nothing, match="has not learned"):
        claims.CHECKS[name](found)


def test_a_network_that_copies_nothing_is_no_memorizer():
    with pytest.raises(Nothing, match="does not memorize"):
        claims.CHECKS["ours-gap-memorizer"](fake(tiny_copies=0 * CASES.BASE["tiny_copies"]))


def test_five_networks_have_no_correlation():
    few = {name: CASES.BASE[name][:5] for name in ("gap", "kind", "frechet", "loss", "held_loss", "start")}
    with pytest.raises(Nothing, match="too few"):
        claims.CHECKS["xu-gap-quality"](fake(**few))


def test_rules_name_the_numbers_of_the_checks():
    rules = {claim.id: claim.rule for claim in checks.claims() if claim.id in claims.CHECKS}
    assert set(rules) == set(claims.CHECKS)
    words = {
        "xu-gap-peak": (f"{100 * readings.CRITICAL:g} %", f"{100 * readings.CERTAIN:g} %", "half"),
        "xu-gap-eps": (f"{100 * readings.CERTAIN:g} %",),
        "xu-gap-quality": (f"factor {readings.NEAR:g}", "σ*/8 to σ*/2", "eight", str(readings.RESAMPLES)),
        "ours-gap-readings": ("three",),
        "ours-gap-failure": (f"{100 * readings.CERTAIN:g} %", "half"),
        "ours-gap-memorizer": ("half",),
        "ours-gap-population": (f"factor {readings.NEAR:g}", "σ*/8 to σ*/2", "half"),
    }
    assert (readings.FITTED, readings.LEFT, readings.TESTS, claims.HALF) == (0.5, (8.0, 2.0), 3.0, 0.5)
    for name, parts in words.items():
        assert all(part in rules[name] for part in parts), name


def test_sentences_between_figures(record):
    assert "digits" in findings.eps_finding(record, record).text
    assert "digits" in findings.answer(record, fake("diagnosis_gaussian", **CASES.POPULATION)).text


# --------------------------------------------------------------------------------- correlations over networks


def test_an_interval_over_networks_is_wider_where_one_network_makes_the_correlation():
    found = fake()
    alike = readings.related(found, readings.near(found))
    assert np.allclose(alike, -1)
    odd = found["frechet"].copy()
    odd[[0, 5]] = odd[[5, 0]]
    value, low, high = readings.related(fake(frechet=odd), readings.near(found))
    assert low < value < high
    assert high - low > 0.1


def test_other_networks_do_not_predict_the_noise():
    found = fake()
    names = [readings.kinds(found)[k] for k in readings.other_networks(found)]
    assert len(names) == 8
    assert not [name for name in names if "eps" in name]


@pytest.mark.parametrize("name", ["xu-gap-eps", "xu-gap-eps-quality", "ours-gap-failure"])
def test_a_dead_network_that_predicts_the_noise_is_not_judged(name):
    start = CASES.BASE["start"].copy()
    start[1] = np.where(CASES.SIGMA > 3, 1.0, start[1])
    with pytest.raises(Nothing, match="at large noise"):
        claims.CHECKS[name](fake(start=start))


def test_one_network_beside_larger_images():
    small, large = CASES.alone(side=32), CASES.alone(side=64)
    figure = figures.gap_by_size(fake("diagnosis_cifar"), small, large)
    assert "64 × 64" in figure.caption.finding
    boxes, frame = texts(figure), figure.bbox.padded(1)
    assert all(frame.contains(*box.p0) and frame.contains(*box.p1) for box in boxes.values())
    assert collisions(boxes) == []
    assert tables.diagnosis_settings(large).rows[0][5] == "–"
    assert readings.readings_apart(large).size == large["gap"].size
