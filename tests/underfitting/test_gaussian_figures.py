"""Figures, tables and findings of chapter 2's Gaussian, on small records."""

from __future__ import annotations

import re

import numpy as np
import pytest
from fakes import cases
from layout import collisions, texts

from diffnotes.chapters.underfitting import figures, findings, readings, tables
from diffnotes.show.style import BookFigure, BookTable
from diffnotes.store import Record

CASES = cases("underfitting")
RISING, factors, of_seed = (CASES.RISING, CASES.factors, CASES.of_seed)

OF_SEEDS = ["gaussian_curves", "gaussian_by_time", "gaussian_elsewhere"]
OF_FACTORS = ["factors_by_time", "factors_fit"]
SENTENCES = ["start", "gap", "fit", "crossings", "path"]
PAPERS = {"dim": 20, "n_train": 100, "horizon": 1000}


def papers_size(record: Record) -> Record:
    """A made-up record that is of the paper's size."""
    record.meta["spec"] |= PAPERS
    return record


@pytest.fixture(scope="module")
def three() -> list[Record]:
    return [papers_size(of_seed(RISING, seed)) for seed in (0, 1, 2)]


def drawn(name: str, seeds: list[Record], study: Record) -> BookFigure:
    return getattr(figures, name)(*(seeds if name in OF_SEEDS else [study]))


@pytest.mark.parametrize("name", OF_SEEDS + OF_FACTORS)
def test_figures_of_small_records(name, records, factorial):
    figure = drawn(name, records, factorial)
    page = figure._repr_html_()
    assert f'id="{name}"' in page
    assert (records[0] if name in OF_SEEDS else factorial).key in page
    assert figure.caption.shows
    assert not re.search(r"\bnan\b|\binf\b", f"{figure.caption.finding} {figure.caption.shows}")


@pytest.mark.parametrize("name", OF_SEEDS + OF_FACTORS)
def test_texts_lie_apart_and_within_the_figure(name, three):
    figure = drawn(name, three, papers_size(factors()))
    boxes, frame = texts(figure), figure.bbox.padded(1)
    assert all(frame.contains(*box.p0) and frame.contains(*box.p1) for box in boxes.values())
    assert collisions(boxes) == []


@pytest.mark.parametrize("name", ["curves_table", "reference_table"])
def test_tables_of_seeds(name, records):
    assert getattr(tables, name)(*records).rows


def test_table_of_factors(factorial):
    table: BookTable = tables.factors_table(factorial)
    assert len(table.rows) == len(factorial["factor"])
    assert table.rows[0][0] == "default"
    assert len(table.header) == len(table.rows[0])


@pytest.mark.parametrize("name", SENTENCES)
def test_sentences(name, records):
    text = str(getattr(findings, name)(*records))
    assert text.endswith(".")
    assert not re.search(r"\bnan\b", text)


def test_the_papers_points_stand_beside_runs_of_its_size_alone(three, records):
    assert "paper" in figures.gaussian_curves(*three).caption.shows
    assert "paper" in findings.curves_text(*three)
    for text in (figures.gaussian_curves(*records).caption.shows, findings.curves_text(*records)):
        assert "paper" not in text
    left = figures.gaussian_curves(*three).axes[0]
    marks = [line for line in left.lines if line.get_linestyle() == "None"]
    assert np.allclose([line.get_ydata() for line in marks], readings.PAPER)


def test_the_drawn_curves_are_those_of_the_record(three):
    left, right = figures.gaussian_curves(*three).axes
    for axes, average in ((left, readings.RAW), (right, readings.AVERAGED)):
        curve = readings.curve(readings.errors(three), three[0]["t"], readings.FRESH, readings.TRUE, average)
        assert any(
            len(line.get_ydata()) == curve.shape[1] and np.allclose(line.get_ydata(), curve.mean(0))
            for line in axes.lines
        )


def test_whether_a_network_fits_is_said_by_the_record():
    assert "does not fit" not in str(findings.fit(CASES.three()))
    bad = CASES.three(supervised_empirical=CASES.of_steps(np.full(14, 2.0)))
    assert "does not fit" in str(findings.fit(bad))
