"""Book figures: inline SVG that follows the page, with provenance, warnings and legible colours."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from xml.etree import ElementTree

import matplotlib as mpl
import numpy as np
import pytest
from bs4 import BeautifulSoup
from layout import collisions, texts
from matplotlib.colors import to_rgb

from diffnotes import store
from diffnotes.chapters.toy import experiment as toy_model
from diffnotes.chapters.toy import figures
from diffnotes.chapters.toy import tables as toy_tables
from diffnotes.show import style
from diffnotes.show.style import (
    BookFigure,
    BookTable,
    Finding,
    Markup,
    book_figure,
    page_figure,
    plus_minus,
    power_of_ten,
)

FIGURES = toy_model.EXPERIMENT.figures
TABLES = [name for name in vars(toy_tables) if name.endswith(("_table", "_finding"))]
LIGHT, DARK = "#ffffff", "#14181e"


def run(folder, **settings) -> store.Record:
    """A record of the smoke profile, made in a folder of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DIFFNOTES_ROOT", str(folder))
        return replace(store.run(toy_model.EXPERIMENT, "smoke", **settings), state="valid")


@pytest.fixture(scope="module")
def record(tmp_path_factory):
    found = run(tmp_path_factory.mktemp("figures"))
    assert found.arrays
    return found


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    """One delta the authors do not have, few points, and no threshold."""
    settings = {"n_train": 40, "deltas": (0.7,), "draws": 50, "repeats": 3, "map_size": 9}
    return run(tmp_path_factory.mktemp("other"), **settings)


def luminance(color) -> float:
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(color)]
    return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))


def contrast(one, two) -> float:
    low, high = sorted((luminance(one), luminance(two)))
    return (high + 0.05) / (low + 0.05)


# --- every figure of chapter 1 ---


@pytest.mark.parametrize("name", FIGURES)
def test_figure_is_inline_svg_in_the_ink_of_the_page(name, record):
    page = getattr(figures, name)(record)._repr_html_()
    svg = page[page.index("<svg") : page.index("</svg>") + 6]
    root = ElementTree.fromstring(svg)
    assert root.get("role") == "img"
    assert root.get("aria-label")
    assert float(root.get("width")) <= 700
    assert "currentColor" in svg
    assert style.INK not in svg
    assert "<script" not in page
    assert re.findall(r'(?:href|src)="(?!#|data:)[^"]*"', page) == []
    assert f'<figure class="dn-figure" id="{name}">' in page
    assert record.key in page
    assert "dn-stale" not in page


def test_figures_share_a_page_without_sharing_ids(record):
    page = "".join(getattr(figures, name)(record)._repr_html_() for name in FIGURES)
    ids = re.findall(r' id="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    used = set(re.findall(r'href="#([^"]+)"', page)) | set(re.findall(r"url\(#([^)]+)\)", page))
    assert used
    assert used <= set(ids)


def test_styles_of_a_figure_stay_inside_it(record):
    page = figures.overlap(record)._repr_html_()
    rules = re.findall(r"<style[^>]*>(.*?)</style>", page, flags=re.DOTALL)
    name = re.search(r'<svg id="([^"]+)"', page)[1]
    assert rules
    assert all(rule.startswith(f"#{name} ") for rule in rules)


@pytest.mark.parametrize("name", ["flow_field", "gap_contours"])
def test_figures_are_the_same_each_time(name, record):
    assert getattr(figures, name)(record)._repr_html_() == getattr(figures, name)(record)._repr_html_()


@pytest.mark.parametrize("name", FIGURES)
def test_texts_lie_apart_and_within_the_figure(name, record):
    figure = getattr(figures, name)(record)
    boxes = texts(figure)
    frame = figure.bbox.padded(1)
    assert len(boxes) > 5
    assert [
        text for text, box in boxes.items() if not (frame.contains(*box.p0) and frame.contains(*box.p1))
    ] == []
    assert collisions(boxes) == []


def test_touching_texts_are_found(record):
    figure = BookFigure(record, alt="")
    axes = figure.subplots()
    axes.text(0.5, 0.5, "one")
    axes.text(0.51, 0.5, "two")
    assert len(collisions(texts(figure))) == 1


@pytest.mark.parametrize("name", FIGURES)
def test_figures_of_other_settings(name, other):
    assert "<svg" in getattr(figures, name)(other)._repr_html_()


@pytest.mark.parametrize("name", TABLES)
def test_tables_and_findings(name, record, other):
    for one in (record, other):
        html = BeautifulSoup(getattr(toy_tables, name)(one)._repr_html_(), "html.parser")
        assert re.search(r"\d", html.get_text())
        assert "nan" not in html.get_text()


def test_tables_show_the_values_of_the_record(record):
    html = toy_tables.peak_table(record)._repr_html_()
    for peak, error in zip(record["peak"], record["peak_stderr"], strict=True):
        assert plus_minus(peak, error) in html
    assert html.count("0.954") == 1
    assert f"{float(record['threshold']):.3f}" in str(toy_tables.threshold_finding(record))


def test_authors_are_not_compared_with_other_settings(other):
    assert "0.954" not in toy_tables.peak_table(other)._repr_html_()
    assert "nothing to compare" in str(toy_tables.band_finding(other))
    assert "no model error" in str(toy_tables.threshold_finding(other))


# --- what surrounds a figure ---


@pytest.mark.parametrize("state", ["stale", "missing", "tampered", "unchecked"])
def test_a_record_that_does_not_hold_is_told(state, record):
    bad = replace(record, state=state, reason="the <twin> differs")
    for shown in (figures.overlap(bad), toy_tables.peak_table(bad), toy_tables.band_finding(bad)):
        html = BeautifulSoup(shown._repr_html_(), "html.parser")
        warning = html.find(class_="dn-stale").get_text()
        assert state in warning
        assert "the <twin> differs" in warning


def test_every_record_of_a_figure_is_named(record):
    other = replace(
        record, meta={**record.meta, "key": "feed", "device": "a <b> c"}, state="stale", reason="x"
    )
    html = BeautifulSoup(page_figure("<p>1</p>", (record, other), 'a "label"'), "html.parser")
    caption = html.find("figcaption").get_text()
    assert record.key in caption
    assert "feed" in caption
    assert "a <b> c" in caption
    assert len(html.find_all(class_="dn-stale")) == 1
    assert html.find(attrs={"role": "group"})["aria-label"] == 'a "label"'


def test_text_of_a_table_is_escaped(record):
    html = BookTable(record, header=("<a>",), rows=[["<b>1</b>"]], note="<i>")._repr_html_()
    soup = BeautifulSoup(html, "html.parser")
    assert [soup.find(name).get_text() for name in ("th", "td", "p")] == ["<a>", "<b>1</b>", "<i>"]
    assert "<script>" not in Finding(record, text="<script>")._repr_html_()


def test_markup_in_a_table_is_kept_and_words_stand_left():
    table = BookTable(header=("what", "name", "seconds"), rows=[[Markup("<b>x</b>"), "digits", "1.5"]])
    soup = BeautifulSoup(table._repr_html_(), "html.parser")
    words = soup.find("td")
    assert words.b.get_text() == "x"
    assert words["data-label"] == "what"  # its heading, where a phone shows the row as a block
    sides = [re.search("text-align: ([a-z]+)", cell["style"])[1] for cell in soup.find_all(["th", "td"])]
    assert sides == 2 * ["left", "left", "right"]
    assert soup.find(class_="dn-words")
    assert not soup.find("figcaption")
    assert "dn-words" not in BookTable(header=("n",), rows=[["1"]])._repr_html_()


def test_a_table_may_be_empty():
    assert "<th" in BookTable(header=("n",), rows=[])._repr_html_()


@pytest.mark.parametrize(
    ("value", "text"), [(5.2e-40, "5 × 10⁻⁴⁰"), (0.0, "0"), (3e7, "3 × 10⁷"), (9.6e-5, "1 × 10⁻⁴")]
)
def test_power_of_ten(value, text):
    assert power_of_ten(value) == text


def test_a_wide_figure_scrolls(record):
    box = BeautifulSoup(figures.overlap(record)._repr_html_(), "html.parser").find("figure").find("div")
    assert "overflow-x: auto" in box["style"]
    assert box["tabindex"] == "0"


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (0.36228, 0.0033, "0.3623 ± 0.0033"),
        (0.0109, 0.00007, "0.0109 ± 0.0001"),
        (1.95, 0.0141, "1.950 ± 0.014"),
        (7.1029, 0.1057, "7.10 ± 0.11"),
        (123.4, 25.0, "123 ± 25"),
        (0.5, 0.0, "0.500 ± 0.000"),
        (0.5, float("nan"), "0.500 ± nan"),
    ],
)
def test_plus_minus(value, error, text):
    assert plus_minus(value, error) == text


# --- style ---


def test_colours_read_on_light_and_dark():
    ramp = [style.RAMP(x) for x in np.linspace(0, 1, 21)]
    for color in [*style.PALETTE, style.GREY, *ramp]:
        assert contrast(color, LIGHT) >= 3
        assert contrast(color, DARK) >= 3


def test_fields_fade_into_the_page():
    alpha = style.FADE(np.linspace(0, 1, 50))[:, 3]
    assert alpha[0] == 0
    assert (np.diff(alpha) > 0).all()


def test_style_stays_inside_the_figure_functions(record):
    before = dict(mpl.rcParams)
    figure = figures.overlap(record)
    figure._repr_html_()
    assert dict(mpl.rcParams) == before

    @book_figure
    def broken(record):
        raise RuntimeError

    with pytest.raises(RuntimeError):
        broken(record)
    assert dict(mpl.rcParams) == before


def test_user_may_still_save_the_figure_as_a_file(record, tmp_path):
    figure = figures.overlap(record)
    assert isinstance(figure, BookFigure)
    for ending in ("pdf", "png", "svg"):
        figure.savefig(tmp_path / f"x.{ending}")
        assert (tmp_path / f"x.{ending}").stat().st_size > 1000


def test_figures_import_neither_torch_nor_pyplot_nor_widgets():
    code = (
        "import sys; from diffnotes.show import widgets;"
        "from diffnotes.chapters.toy import figures, tables, slider;"
        "bad = {'torch', 'matplotlib.pyplot', 'ipywidgets', 'diffnotes.chapters.toy.experiment'};"
        "bad &= set(sys.modules);"
        "sys.exit(str(bad) if bad else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
