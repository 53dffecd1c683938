"""What the pages draw is read off them."""

from __future__ import annotations

import re

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from diffnotes import chapters
from diffnotes.chapters import checks, pages
from diffnotes.show.numbers import NUMBERS

FOUND = pages.figures()
DRAWN = {place for places in FOUND.values() for place in places}


IMPORTS = """
from diffnotes import store
from diffnotes.chapters.gap import cifar, digits
from diffnotes.chapters.gap import figures as networks
from diffnotes.chapters.gap import slider
from diffnotes.chapters.gap.figures import growth
request = store.parameters(digits.EXPERIMENT, profile=profile, also=[cifar.EXPERIMENT])
one, two = store.load_all(digits.EXPERIMENT, request, [{}, {}])
other = store.load(cifar.EXPERIMENT)
"""


@pytest.fixture
def read(tmp_path, monkeypatch):
    """What is read off a page with these cells; its room has two figures, a finding and a slider."""
    room = tmp_path / "diffnotes" / "chapters" / "gap"
    room.mkdir(parents=True)
    decorated = "@book_figure\ndef growth(): ...\n@book_figure\ndef paths(): ...\ndef growth_finding(): ..."
    (room / "figures.py").write_text(decorated)
    (room / "slider.py").write_text("class Slide: ...")
    monkeypatch.setattr(pages, "PACKAGE", tmp_path / "diffnotes")

    def figures(*cells):
        made = [new_markdown_cell("# x"), *map(new_code_cell, [IMPORTS, *cells])]
        nbformat.write(new_notebook(cells=made), tmp_path / "p.ipynb")
        return pages.figures(tmp_path)

    return figures


def test_a_figure_is_of_the_records_that_it_is_given(read):
    found = read(
        "networks.paths(one, other)\nnetworks.growth_finding(two)", "runs = [one, two]\ngrowth(*runs)"
    )
    assert found == {"digits_gap": ("p#paths", "p#growth"), "cifar_gap": ("p#paths",)}


def test_a_request_is_no_record(read):
    assert read("networks.paths(request)") == {}


def test_a_slider_goes_by_its_class_and_a_record_may_be_loaded_on_the_spot(read):
    assert read("slider.Slide(store.load(digits.EXPERIMENT, 'pinned'))") == {"digits_gap": ("p#Slide",)}


def test_without_notebooks_nothing_is_known(tmp_path):
    assert pages.figures(tmp_path) == {}


def test_every_figure_and_table_of_the_rooms_is_on_a_page():
    drawn = {place.partition("#")[2] for place in DRAWN}
    for path in (path for room in chapters.ROOMS for path in pages.PACKAGE.glob(f"chapters/{room}/*.py")):
        made = re.findall(r"^@book_figure\s+def (\w+)\(", path.read_text(encoding="utf-8"), re.MULTILINE)
        assert set(made) <= drawn, path.name


def test_a_claim_points_to_a_figure_on_its_page():
    for claim in checks.claims():
        if claim.figure:
            assert f"{claim.page}#{re.sub(r'-[0-9]+$', '', claim.figure)}" in DRAWN, claim.id
            assert claim.figure in NUMBERS, claim.id  # "name-2" is the second that is drawn
