"""Figures, tables, findings, slider and exercise of chapter 1's networks."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from cases import BASE, FALLING, fake
from layout import collisions, texts

from diffnotes import store
from diffnotes.chapters.gap import cifar as cifar_gap
from diffnotes.chapters.gap import digits as digits_gap
from diffnotes.chapters.gap import exercises, figures, findings, readings, slider, tables
from diffnotes.metrics import neighbours
from diffnotes.show.style import wordy

FIGURES = ["error_curves", "gap_by_noise", "growth", "paths", "cifar_panels"]
TABLES = ["settings_table", "run_table", "distance_table", "stop_table", "probe_table"]
TITLE = "300 digits, 4,624 parameters"
COLUMN = 774  # pixels of the text's column


@pytest.fixture(scope="module")
def pinned() -> dict[str, tuple[store.Record, ...]]:
    """What the chapter shows in each figure and table."""
    runs = tuple(store.load(digits_gap.EXPERIMENT, **run) for run in digits_gap.RUNS.values())
    cifar = store.load(cifar_gap.EXPERIMENT)
    some = {"error_curves": runs[:2], "paths": runs[::3], "probe_table": runs[::3], "cifar_panels": (cifar,)}
    whole = dict.fromkeys(("settings_table", "run_table", "distance_table"), (*runs, cifar))
    return dict.fromkeys([*FIGURES, *TABLES], runs) | some | whole


@pytest.mark.parametrize("name", FIGURES)
def test_figures(name, record):
    page = getattr(figures, name)(*(record, record)[: 1 if name == "cifar_panels" else 2])._repr_html_()
    assert f'id="{name}"' in page
    assert "currentColor" in page
    assert record.key in page


@pytest.mark.parametrize("name", FIGURES)
def test_captions_begin_with_a_finding_on_these_records(name, record):
    caption = getattr(figures, name)(record).caption
    assert TITLE in caption.finding
    assert caption.shows
    assert not re.search(r"\bnan\b|\blook", f"{caption.finding} {caption.shows}")


@pytest.mark.parametrize("name", FIGURES)
def test_texts_of_pinned_figures_lie_apart_and_within_the_figure(name, pinned):
    figure = getattr(figures, name)(*pinned[name])
    boxes, frame = texts(figure), figure.bbox.padded(1)
    assert len(boxes) > 5
    assert all(frame.contains(*box.p0) and frame.contains(*box.p1) for box in boxes.values())
    assert collisions(boxes) == []


def test_errors_are_compared_at_one_noise_level(pinned):
    wide, narrow = pinned["error_curves"]
    level = readings.peak_level(wide)
    assert level != readings.peak_level(narrow)
    left, right = figures.error_curves(wide, narrow).axes
    assert left.get_ylim() == right.get_ylim()
    for axes, record in ((left, wide), (right, narrow)):
        assert np.allclose(axes.lines[0].get_ydata(), record["train"][:, :, level].mean(0))


def test_curves_of_one_size_share_a_colour_and_differ_in_line(pinned):
    styles = figures._run_styles(pinned["growth"])
    wide, narrow, many, few = styles
    assert wide["color"] == narrow["color"]
    assert wide["linestyle"] != narrow["linestyle"]
    assert len({one["color"] for one in (wide, many, few)}) == 3
    assert len({one["marker"] for one in (wide, many, few)}) == 3


@pytest.mark.parametrize("name", TABLES)
def test_tables(name, record):
    table = getattr(tables, name)(record)
    html = table._repr_html_()
    assert TITLE in html
    assert not re.search(r"\bnan\b|\blook", html)
    assert all(len(row) == len(table.header) for row in table.rows)


@pytest.mark.parametrize("name", TABLES)
def test_tables_fit_the_column(name, pinned):
    """Cells of words wrap, down to their longest word; numbers and their spans do not. A letter
    takes 7.5 pixels, as measured in a browser."""
    table = getattr(tables, name)(*pinned[name])
    width = 0.0
    for column in zip(table.header, *table.rows, strict=True):
        head, *cells = column
        words = [word for text in (head, *cells) if wordy(text) for word in text.split()]
        numbers = [cell for cell in cells if not wordy(cell)]
        width += 16 + 7.5 * max(map(len, [*words, *numbers, *head.split()]))
    assert width < COLUMN


def test_findings_say_numbers_of_the_record(record):
    single = [findings.onset_finding, findings.samples_finding, findings.place_finding, findings.ends_finding]
    for text in map(str, (find(record) for find in single)):
        assert TITLE in text
        assert "nan" not in text
    assert f"{readings.position(record)[:, 0].mean():.2f}" in findings.states_text(record)


def test_a_held_out_error_that_never_turns_is_said_not_to():
    assert "above its least value" in findings.overfit_text(fake(), 3)
    still = fake(val=FALLING)
    assert findings.overfit_text(still, 3).endswith("it has not turned.")
    assert "turns at fewer than two levels" in str(findings.onset_finding(still))
    assert "the largest gap" in findings.probe_text(still)
    assert "risen most" in findings.probe_text(fake())


def test_predictions_are_told_apart_only_beyond_the_error():
    assert "more training-like than those from noised held-out" in findings.rank_text(fake())
    unsure = fake(similarity_stderr=np.full((3, 8, 3, 3), 0.1))
    assert "not to be told from those from noised held-out" in findings.rank_text(unsure)


def test_runaways_are_found():
    assert "No run ends" in findings.astray_text(fake())
    far = BASE["frechet_train"].copy()
    far[:, -1] *= 100
    assert "samples degenerate" in findings.astray_text(fake(frechet_train=far))


def test_the_peak_on_averaged_pixels_is_compared_at_half_the_noise(pinned):
    text = str(findings.place_finding(*pinned["cifar_panels"]))
    assert "the level to compare with is 0.36" in text
    assert "200 CIFAR-10 images" in text


def test_settings_are_those_of_the_record(pinned):
    row = tables.settings_table(*pinned["settings_table"]).rows[0]
    assert row[2:6] == ("144", "8,000", "256", "0.002")


# --- slider and exercise ---


def test_slider_shows_the_nearest_evaluation(record):
    shown = slider.TrainingSlider(record)
    assert shown.steps == [10, 24, 60]
    titles = [shown(step=step).subfigs[0].axes[0].get_title() for step in (10, 50)]
    assert "320" in titles[0]
    assert "1,920" in titles[1]


@pytest.mark.parametrize("height", [0.05, 3.0, 400.0])
def test_slider_has_room_for_the_largest_gap(record, height):
    tall = record["gap"] / record["gap"].max() * height
    record = fake({}, **(record.arrays | {"gap": tall}))
    axes = slider.TrainingSlider(record)(step=60).subfigs[0].axes[0]
    assert height <= axes.get_ylim()[1] * record["gap"].max() / tall.mean(0).max()
    assert axes.get_ylim()[1] < 3 * height


def test_pictures_stand_above_their_partners():
    made, near = (np.full((5, 1, 4, 4), shade, np.uint8) for shade in (10, 20))
    found = slider.mosaic(made, near)
    gap = 1
    row, column = 2 * 4 + gap + 2 * gap, 4 + gap
    assert found.shape == (2 * row - 2 * gap, 4 * column - gap, 4)
    assert (found[:4, :4] == [10, 10, 10, 255]).all()
    assert (found[5:9, :4] == [20, 20, 20, 255]).all()
    assert (found[row : row + 4, :4, 0] == 10).all()  # the fifth begins a row
    assert (found[row:, column:, 3] == 0).all()  # and stands alone in it


def right(states, noised_known, noised_unseen, known):
    """The answer, in plain torch."""
    s, k, u = (
        torch.cdist(x.flatten(1), known.flatten(1)).amin(1).mean()
        for x in (states, noised_known, noised_unseen)
    )
    return (s - k) / (u - k)


def test_exercise_knows_right_and_wrong():
    assert exercises.check_position(right) == "Right."
    assert exercises.check_position(lambda *_: 0.5).startswith("Not yet: with noised training images")
    assert exercises.check_position(lambda *x: 1 - right(*x)).startswith("Not yet")
    swapped = exercises.check_position(lambda s, k, u, x: float(neighbours(s, x).distance[:, 1].mean()))
    assert swapped.startswith("Not yet")
