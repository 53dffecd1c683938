"""Numbers of figures, tables and equations: up to date, in order, and the same in captions and text."""

from __future__ import annotations

import nbformat
import number_figures
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from number_figures import Misnumbered, drawings, linked, tagged

from diffnotes.show.numbers import NUMBERS, PAGES

IMPORTS = "from diffnotes.chapters.toy import figures, slider, tables\nfrom diffnotes.show import widgets"


def drawn(*cells: str) -> list[tuple[str, str]]:
    return list(drawings(new_notebook(cells=[new_code_cell(cell) for cell in (IMPORTS, *cells)])))


def test_numbers_and_texts_are_up_to_date():
    old = [path.name for path, text in number_figures.renumbered() if path.read_text("utf-8") != text]
    assert old == [], "run `make strip`"


def test_numbers_of_each_page_run_without_gaps():
    assert len(NUMBERS) > 30
    for kind in ("Figure", "Table"):
        for page in PAGES:
            found = [number for number in NUMBERS.values() if number.startswith(f"{kind} {page}.")]
            assert found == [f"{kind} {page}.{place}" for place in range(1, len(found) + 1)]


def test_figures_tables_and_sliders_are_found_in_order():
    found = drawn(
        "figures.overlap(record)",
        "shown = tables.peak_table(record)\nshown",
        "explorer = slider.RingSlider(values)\nwidgets.explore(explorer, panels=2, delta=[1, 2])",
        "widgets.explore(slider.RingSlider(values), name='mine', delta=[1])",
    )
    assert found == [
        ("Figure", "overlap"),
        ("Table", "peak_table"),
        ("Figure", "toy_ringslider"),
        ("Figure", "mine"),
    ]


def test_several_drawings_of_one_function_are_told_apart_as_on_the_page():
    found = drawn("figures.overlap(record)\nfigures.overlap(other)", "figures.overlap(record)")
    assert [name for _, name in found] == ["overlap", "overlap-2"]


def test_other_calls_draw_nothing():
    assert (
        drawn("figures.dots(axes, points)", "print(1)", "tables.band_finding(record)", "record.check()") == []
    )


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Writes a notebook with these cells into an empty book."""
    (tmp_path / "notebooks").mkdir()
    monkeypatch.setattr(number_figures, "ROOT", tmp_path)

    def page(name, *cells):
        notebook = new_notebook(cells=[new_code_cell(cell) for cell in (IMPORTS, *cells)])
        nbformat.write(notebook, tmp_path / "notebooks" / f"{name}.ipynb")

    return page


@pytest.mark.parametrize("other", ["02_b", "costs"])
def test_a_figure_on_two_pages_is_refused(write, other):
    for name in ("01_a", other):
        write(name, "figures.overlap(record)")
    with pytest.raises(Misnumbered, match="overlap is drawn on two pages"):
        number_figures.numbers()


def test_pages_that_draw_and_are_no_chapters_have_letters(write):
    write("claims", "print(1)")
    write("costs", "tables.peak_table(record)", "figures.overlap(record)")
    write("01_a", "figures.density(record)")
    write("words", "figures.flow_field(record)")
    found = number_figures.numbers()
    assert list(found.items()) == [
        ("density", "Figure 1.1"),
        ("peak_table", "Table A.1"),
        ("overlap", "Figure A.1"),
        ("flow_field", "Figure B.1"),
    ]
    assert '"1": "01_a",\n    "A": "costs",\n    "B": "words",\n}' in number_figures.module(found)
    assert linked("[Figure](costs.ipynb#overlap)", found) == "[Figure A.1](costs.ipynb#overlap)"


def test_links_carry_the_numbers():
    text = "See [Figure 9.9](#overlap), [Table](01_toy_model.ipynb#peak_table) and [this](#elsewhere)."
    found = {"overlap": "Figure 1.2", "peak_table": "Table 1.1"}
    new = "See [Figure 1.2](#overlap), [Table 1.1](01_toy_model.ipynb#peak_table) and [this](#elsewhere)."
    assert linked(text, found) == new
    with pytest.raises(Misnumbered, match="#gone"):
        linked("[Figure 1.1](#gone)", found)


def test_equations_are_numbered_in_order_and_mentions_follow():
    texts = [
        "$$a \\tag{1.2}$$",
        "By equation (1.2) and equation (1.1), but (1.2) is no mention.",
        "$$b \\tag{1.1}$$",
    ]
    assert tagged(texts, "1") == [
        "$$a \\tag{1.1}$$",
        "By equation (1.1) and equation (1.2), but (1.2) is no mention.",
        "$$b \\tag{1.2}$$",
    ]
    assert tagged(["\\tag{A.7}", "Equation (A.7)."], "A") == ["\\tag{A.1}", "Equation (A.1)."]
    with pytest.raises(Misnumbered, match="Page 3"):
        tagged(["\\tag{3.1}", "\\tag{3.1}"], "3")


def test_prose_keeps_its_other_cells():
    cell = new_markdown_cell("No number here.")
    assert tagged([cell.source], "1") == [cell.source]
