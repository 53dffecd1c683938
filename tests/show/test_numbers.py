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


def test_numbers_of_each_chapter_run_without_gaps():
    assert len(NUMBERS) > 30
    for kind in ("Figure", "Table"):
        for chapter in PAGES:
            found = [number for number in NUMBERS.values() if number.startswith(f"{kind} {chapter}.")]
            assert found == [f"{kind} {chapter}.{place}" for place in range(1, len(found) + 1)]


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


def test_a_figure_in_two_chapters_is_refused(tmp_path, monkeypatch):
    notebook = new_notebook(cells=[new_code_cell(IMPORTS), new_code_cell("figures.overlap(record)")])
    for name in ("01_a.ipynb", "02_b.ipynb"):
        nbformat.write(notebook, tmp_path / name)
    monkeypatch.setattr(number_figures, "chapters", lambda: sorted(tmp_path.glob("*.ipynb")))
    with pytest.raises(Misnumbered, match="overlap is drawn in two chapters"):
        number_figures.numbers()


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
    assert tagged(texts, 1) == [
        "$$a \\tag{1.1}$$",
        "By equation (1.1) and equation (1.2), but (1.2) is no mention.",
        "$$b \\tag{1.2}$$",
    ]
    with pytest.raises(Misnumbered, match="Chapter 3"):
        tagged(["\\tag{3.1}", "\\tag{3.1}"], 3)


def test_prose_keeps_its_other_cells():
    cell = new_markdown_cell("No number here.")
    assert tagged([cell.source], 1) == [cell.source]
