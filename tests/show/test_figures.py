"""Book figures: inline SVG that follows the page, with provenance, warnings and legible colours."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from xml.etree import ElementTree

import matplotlib as mpl
import pytest
from bs4 import BeautifulSoup
from layout import collisions, texts

from diffnotes import store
from diffnotes.chapters.toy import experiment as toy_model
from diffnotes.chapters.toy import figures
from diffnotes.chapters.toy import tables as toy_tables
from diffnotes.show import numbers, style
from diffnotes.show.colours import ON_PAGES, TRAIN
from diffnotes.show.page import Caption, page_figure
from diffnotes.show.style import (
    BookFigure,
    BookTable,
    Markup,
    Sentence,
    book_figure,
    plus_minus,
    power_of_ten,
)

FIGURES = [name for name, draw in vars(figures).items() if hasattr(draw, "__wrapped__")]
TABLES = [name for name in vars(toy_tables) if name.endswith(("_table", "_finding"))]


@pytest.fixture(scope="module")
def record():
    """The pinned twin: what is drawn matters here, and not how it was computed."""
    found = store.best(toy_model.EXPERIMENT, {}, profile="smoke")
    assert found is not None
    return replace(found, state="valid", pinned=False)


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    """One delta the authors do not have, few points, and no threshold; made in a folder of its own."""
    settings = {"n_train": 40, "deltas": (0.7,), "draws": 50, "repeats": 3, "map_size": 9, "states": 400}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DIFFNOTES_ROOT", str(tmp_path_factory.mktemp("other")))
        return replace(store.run(toy_model.EXPERIMENT, "smoke", **settings), state="valid")


def drawings(html: str) -> list[ElementTree.Element]:
    """The <svg> pieces of a figure."""
    pieces = re.findall(r"<svg aria-hidden.*?</svg>", html.split("<figcaption")[0], flags=re.DOTALL)
    return [ElementTree.fromstring(piece) for piece in pieces]


# --- every figure of chapter 1 ---


@pytest.mark.parametrize("name", FIGURES)
def test_figure_is_inline_svg_in_the_ink_of_the_page(name, record):
    page = getattr(figures, name)(record)._repr_html_()
    assert drawings(page)
    box = BeautifulSoup(page, "html.parser").find(role="img")
    assert box["aria-label"]
    assert len(box.find_all("svg", attrs={"aria-hidden": "true"})) == len(drawings(page))
    assert "currentColor" in page
    assert style.INK not in page
    plain = re.sub(r'var\([^)]*\)|base64,[^"]*', "", page)
    assert [color for color in ON_PAGES if color in plain] == []  # they are variables of the page
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
    assert "xlink" not in page
    assert used
    assert used <= set(ids)


def test_a_figure_brings_no_style_for_the_page(record):
    assert "<style" not in figures.overlap(record)._repr_html_()


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
    html = BeautifulSoup(page_figure("<p>1</p>", (record, other)), "html.parser")
    fold = html.find("details", class_="dn-record")
    assert not fold.has_attr("open")
    assert fold.summary.get_text() == "2 records"
    assert record.key in fold.get_text()
    assert "feed" in fold.get_text()
    assert "a <b> c" in fold.get_text()
    assert len(html.find_all(class_="dn-stale")) == 1
    assert html.find(class_="dn-stale").find_parent("details") is None  # never folded


def test_text_of_a_table_is_escaped(record):
    html = BookTable(record, header=("<a>",), rows=[["<b>1</b>"]], shows="<i>")._repr_html_()
    soup = BeautifulSoup(html, "html.parser")
    assert [soup.find(name).get_text() for name in ("th", "td", "figcaption")] == ["<a>", "<b>1</b>", "<i>"]
    assert "<script>" not in Caption("<script>", "<script>", {"<script>": "#123456"}).html()
    assert "<script>" not in Sentence(record, text="<script>")._repr_html_()


def test_markup_in_a_table_is_kept_and_words_stand_left():
    table = BookTable(header=("what", "name", "seconds"), rows=[[Markup("<b>x</b>"), "digits", "1.5"]])
    soup = BeautifulSoup(table._repr_html_(), "html.parser")
    words = soup.find("td")
    assert words.b.get_text() == "x"
    assert words["data-label"] == "what"  # its heading, where a phone shows the row as a block
    sides = [re.search("text-align:([a-z]+)", cell["style"])[1] for cell in soup.find_all(["th", "td"])]
    assert sides == 2 * ["left", "left", "right"]
    assert soup.find(class_="dn-words")
    assert not soup.find("figcaption")
    assert not soup.find("details")
    assert "dn-words" not in BookTable(header=("n",), rows=[["1"]])._repr_html_()


def test_a_table_may_be_empty():
    assert "<th" in BookTable(header=("n",), rows=[])._repr_html_()


def test_a_column_without_a_name_has_no_empty_heading():
    soup = BeautifulSoup(BookTable(header=("", "n"), rows=[["a", "1"]])._repr_html_(), "html.parser")
    assert [cell.name for cell in soup.thead.tr.children] == ["td", "th"]


def test_wide_cells_of_a_table_wrap():
    long = "1e-05, 5e-05, 0.0001, 0.0005"
    row = BeautifulSoup(
        BookTable(header=("a", "b"), rows=[[long, "0.36 ± 0.01"]])._repr_html_(), "html.parser"
    )
    assert ["nowrap" in cell["style"] for cell in row.tbody.find_all("td")] == [False, True]


def test_captions_begin_with_number_and_finding(record, monkeypatch):
    monkeypatch.setitem(numbers.NUMBERS, "overlap", "Figure 1.9")
    figure = figures.overlap(record)
    figure.caption = Caption(
        "It falls.", "Overlap by dimension.", {"training": TRAIN, "rest": style.PALETTE[3]}
    )
    figcaption = BeautifulSoup(figure._repr_html_(), "html.parser").figcaption
    assert figcaption.get_text(" ", strip=True).startswith("Figure 1.9. It falls. Overlap by dimension.")
    assert figcaption.strong.get_text() == "It falls."
    assert len(figcaption.find_all("svg")) == 2
    assert figcaption.find_parent("figure").find("svg").find_next("figcaption") == figcaption  # below


def test_the_caption_of_a_table_stands_above(record):
    table = BookTable(record, header=("n",), rows=[["1"]], finding="One row.")
    figure = BeautifulSoup(table._repr_html_(), "html.parser").figure
    assert figure.find(True).name == "figcaption"
    assert figure.find("details").find_previous("table")


def test_several_drawings_of_one_function_have_anchors_of_their_own(record, other):
    names = [figures.overlap(one).name for one in (record, other, record)]
    assert names == ["overlap", "overlap-2", "overlap"]
    assert figures.density(other).name == "density"


def test_records_of_pages_lead_to_their_row(record, monkeypatch):
    pinned = replace(record, pinned=True)
    assert "provenance.html" not in page_figure("", (pinned,))
    monkeypatch.setenv("DIFFNOTES_PAGES", "1")
    assert f'href="provenance.html#record-{record.key}"' in page_figure("", (pinned,))
    assert "provenance.html" not in page_figure("", (record,))


@pytest.mark.parametrize(
    ("value", "text"), [(5.2e-40, "5 × 10⁻⁴⁰"), (0.0, "0"), (3e7, "3 × 10⁷"), (9.6e-5, "1 × 10⁻⁴")]
)
def test_power_of_ten(value, text):
    assert power_of_ten(value) == text


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
        "import sys; from diffnotes.show import tables, verdict, widgets;"
        "from diffnotes.chapters.toy import figures, tables, slider;"
        "bad = {'torch', 'matplotlib.pyplot', 'ipywidgets', 'diffnotes.chapters.toy.experiment'};"
        "bad &= set(sys.modules);"
        "sys.exit(str(bad) if bad else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


RANGES = [(0.0291, 0.0312), (0.5, 0.9), (0.8, 3.3), (0.01, 0.5), (0.01, 3.0), (1e-4, 1), (1e-3, 50.0)]


@pytest.mark.parametrize(("low", "high"), RANGES)
def test_every_logarithmic_axis_has_several_plain_ticks(low, high):
    axes = style.BookFigure().subplots()
    axes.set(yscale="log", ylim=(low, high))
    style.plain_ticks(axes.yaxis)
    ticks = axes.get_yticks()
    assert 3 <= len(ticks) <= 9
    assert all(low <= tick <= high for tick in ticks)
    assert [label.get_text() for label in axes.get_yticklabels()] == [f"{tick:g}" for tick in ticks]
    assert not len(axes.yaxis.get_minorticklocs())
