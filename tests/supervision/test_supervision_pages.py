"""Readings, figures, table, sentences and slider of the supervision region."""

from __future__ import annotations

import re

import numpy as np
import pytest
from fakes import cases
from layout import collisions, texts

from diffnotes.chapters.supervision import figures, findings, readings, slider, tables
from diffnotes.show import widgets

CASES = cases("supervision")
IMAGES, T, guidance, region, shells = (CASES.IMAGES, CASES.T, CASES.guidance, CASES.region, CASES.shells)

PLACES = {"shell_widths": "shell_width", "guidance_curve": "guidance_gap"}  # others: supervision_region
FIGURES = ["shell_widths", "distance_ratios", "shell_overlap", "collapse", "guidance_curve", "near_pairs"]
FINDINGS = [name for name in vars(findings) if name.endswith("_finding")]


def shown(name, records):
    return records[PLACES.get(name, "supervision_region")]


@pytest.mark.parametrize("name", FIGURES)
def test_figures(name, records):
    record = shown(name, records)
    figure = getattr(figures, name)(record)
    page = figure._repr_html_()
    assert f'id="{name}"' in page
    assert record.key in page
    assert figure.caption.finding
    assert figure.caption.shows
    assert not re.search(r"\bnan\b|\blook", f"{figure.caption.finding} {figure.caption.shows}")


@pytest.mark.parametrize("name", FIGURES)
@pytest.mark.parametrize("full", [False, True])
def test_texts_lie_apart_and_within_the_figure(name, full, records):
    """On the small record, and on one like that of CIFAR-10; three data sets stand side by side."""
    big = {"shell_widths": shells, "guidance_curve": guidance}.get(name, region)
    record = big() if full else shown(name, records)
    count = {"shell_widths": 1, "near_pairs": 1, "guidance_curve": 2}.get(name, 3)
    figure = getattr(figures, name)(*[record] * count)
    boxes, frame = texts(figure), figure.bbox.padded(1)
    assert len(boxes) > 5
    assert all(frame.contains(*box.p0) and frame.contains(*box.p1) for box in boxes.values())
    assert collisions(boxes) == []


def test_table(records):
    assert "nan" not in tables.separation_table(records["supervision_region"])._repr_html_()
    table = tables.separation_table(region(), region())
    assert all(len(row) == len(table.header) for row in table.rows)
    assert table.rows[0][1] == "50,000"
    assert table.rows[-1][5] == "0.88"  # where the paper's own curve reaches 0.01


@pytest.mark.parametrize("name", FINDINGS)
def test_findings_are_of_the_record(name, records):
    kind = "guidance_gap" if name.startswith("guidance") else "supervision_region"
    text = str(getattr(findings, name)(records[kind]))
    assert text.startswith("digits")
    assert "nan" not in text


def test_times_are_told_as_ranges():
    t = np.array([0.1, 0.2, 0.3, 0.4])
    assert findings._at(t, np.array([True, False, True, True])) == "at t = 0.1 and from t = 0.3 to 0.4"
    assert findings._at(t, np.zeros(4, bool)) == "at no time tried"


# --------------------------------------------------------------------------------------------------- readings


def test_times_of_overlap_and_condition():
    record = region()
    for share in (0.0, 0.5):
        far = readings.distance_at(record, share)
        t = readings.separated_until(record, share)
        assert readings.overlap(far, np.array(t)) == pytest.approx(readings.SEPARATE)
    assert readings.distance_at(record, 0.5) == pytest.approx(12)
    t = readings.criterion(record)
    assert t * readings.dimension(record) ** 0.5 == pytest.approx((1 - t) * 12)
    assert readings.panda(np.array(readings.panda_until())) == pytest.approx(0.01)
    assert readings.panda(np.array(0.9)) == pytest.approx(0.053, abs=1e-3)  # as measured off the figure
    assert readings.overlap(readings.PANDA_DISTANCE, np.array(0.9)) == pytest.approx(0.053, abs=1e-3)


def test_the_curve_is_held_against_its_interval():
    assert readings.agrees(region()).all()
    off = region(ratio_held_out=region()["ratio_held_out"] * 1.2)
    assert not readings.agrees(off).any()
    assert (readings.shortfall(off)[2] < 0).all()


def test_known_until_is_without_a_break():
    own = np.where(np.isin(T, (0.02, 0.1, 0.3)), 0.9, 0.1)[:, None] * np.ones(IMAGES)
    assert readings.known_until(region(own=own)) == 0.1
    assert readings.known_until(region(own=0 * own)) == 0
    assert readings.known_until(region(own=0 * own + 1)) == T[-1]


def test_medians_have_an_interval_that_holds_them_19_times_in_20():
    draws = np.random.default_rng(0).exponential(size=(2000, 101))
    _, low, high = readings.median_interval(draws)
    held = ((low <= np.log(2)) & (np.log(2) <= high)).mean()
    assert 0.93 < held < 0.98


def test_guidance_is_nothing_up_to_its_start():
    record = guidance(0.6)
    assert readings.nothing_until(record) == pytest.approx(0.6)
    assert readings.share_of_nothing(record) == pytest.approx(0.6)
    assert record["t"][readings.gap_peak(record)] == pytest.approx(0.61)
    assert readings.nothing_until(guidance(0.0)) == 0


# ----------------------------------------------------------------------------------------------------- slider


@pytest.mark.parametrize("dim", [2, 3, 20, 300])
@pytest.mark.parametrize("apart", slider.APART)
def test_the_laws_that_are_drawn_overlap_as_it_says(dim, apart):
    """The integral of the root of both drawn densities, over that of one."""
    along = slider.ShellSlider()(dim, apart).axes[1]
    (u, own), (v, other) = (line.get_data() for line in along.lines[:2])
    line = np.linspace(-10, 30, 40_001)
    drawn = [np.interp(line, at, height, left=0, right=0) for at, height in ((u, own), (v, other))]
    found = np.sqrt(drawn[0] * drawn[1]).sum() / drawn[0].sum()
    assert found == pytest.approx(slider.coefficient(dim, apart), abs=2e-3)


def test_the_slider_shows_what_it_is_asked_for():
    shells_ = slider.ShellSlider()
    low, high = (np.asarray(widgets.pixels(shells_(dim, 0.5))) for dim in (2, 1000))
    again = np.asarray(widgets.pixels(shells_(2, 0.5)))
    assert np.array_equal(low, again)
    assert (low != high).mean() > 0.02
    assert shells_(20, 0.5).axes[1].texts[0].get_text() == f"overlap C = {np.exp(-20 / 32):.2g}"
    assert shells_(3000, 1.0).axes[1].texts[0].get_text() == "overlap C = 0"


def test_frames_are_small():
    shells_ = slider.ShellSlider()
    frames = len(shells_.dims) * len(shells_.apart)
    sizes = [len(widgets.webp(shells_(dim, 0.5))) for dim in (2, 100)]
    assert max(sizes) * frames < 800_000
