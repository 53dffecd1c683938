"""Sliders: the page's face is checked frame by frame, the live face by moving its sliders."""

from __future__ import annotations

import base64
import io
import itertools
import json
import re

import build_book
import chromium
import ipywidgets
import numpy as np
import pytest
from bs4 import BeautifulSoup
from matplotlib.figure import Figure
from PIL import Image
from vision import contrast

from diffnotes.base.errors import UserError
from diffnotes.chapters.toy.slider import RingSlider
from diffnotes.show import numbers, widgets
from diffnotes.show.colours import TRAIN
from diffnotes.show.page import FOR_PAGES, Caption
from diffnotes.show.style import book_frame

A, B = [0.1, 0.5, 2.5], [1, 3]


def draw(a: float, b: int) -> Figure:
    """One colour that tells a and b."""
    return Figure(figsize=(0.5, 0.5), dpi=40, facecolor=(a / 3, b / 4, 0))


def told(picture: bytes) -> tuple[float, float]:
    red, green, _ = np.asarray(Image.open(io.BytesIO(picture)).convert("RGB"))[10, 10] / 255
    return 3 * red, 4 * green


@pytest.fixture
def face():
    return BeautifulSoup(widgets.explore(draw, a=A, b=B).html(), "html.parser")


def payload(page: BeautifulSoup) -> dict:
    return json.loads(page.find("script", type="application/json").string)


def decoded(address: str) -> bytes:
    """The picture in a data address."""
    head, picture = address.split(",")
    assert head == "data:image/webp;base64"
    return base64.b64decode(picture)


# --- the face without a kernel ---


def test_panels_show_the_parts_of_one_picture_side_by_side():
    def wide(a: float) -> Figure:
        return Figure(figsize=(2, 1), dpi=192)

    page = BeautifulSoup(widgets.explore(wide, panels=2, a=A).html(), "html.parser")
    parts = page.select(".dn-panels > span")
    assert ["max-width:96px" in part["style"] for part in parts] == [True, True]
    assert [re.search(r"margin-left:-(\d+)%", part.img["style"])[1] for part in parts] == ["0", "100"]
    assert {(part.img["width"], part.img["height"]) for part in parts} == {("192", "96")}
    assert parts[0].img["src"] == parts[1].img["src"]
    assert page.find(role="img")["aria-label"]  # a spoken label once
    assert {part.img["alt"] for part in parts} == {""}


def test_every_choice_has_its_frame(face):
    data = payload(face)
    for i, j in itertools.product(range(3), range(2)):
        place = i * data["strides"][0] + j * data["strides"][1]
        assert np.allclose(told(decoded(data["frames"][place])), (A[i], B[j]), atol=0.1)
    assert len(data["frames"]) == 6
    assert data["texts"] == [["0.1", "0.5", "2.5"], ["1", "3"]]


def test_the_middle_is_shown_first_also_without_javascript(face):
    assert np.allclose(told(decoded(face.find("img")["src"])), (0.5, 3), atol=0.05)
    assert "a = 0.5, b = 3" in face.find("noscript").get_text()
    assert face.find(class_="dn-sliders").has_attr("hidden")  # until the script can move them


def test_sliders_have_names_and_values(face):
    sliders = face.find_all("input", type="range")
    assert [slider["value"] for slider in sliders] == ["1", "1"]
    assert [slider["max"] for slider in sliders] == ["2", "1"]
    assert [slider["aria-valuetext"] for slider in sliders] == ["0.5", "3"]
    for slider in sliders:
        assert slider.find_parent("label")["for"] == slider["id"]
        assert int(re.search(r"height:(\d+)px", slider["style"])[1]) >= 24  # so that a finger meets it


def test_two_widgets_share_a_page():
    explorer = widgets.explore(draw, a=A, b=B)
    ids = re.findall(r' id="([^"]+)"', explorer.html() + explorer.html())
    assert len(ids) == 6
    assert len(set(ids)) == 6


def test_face_asks_nothing_of_the_network():
    text = widgets.explore(draw, a=A, b=B).html()
    plain = re.sub(r'base64,[^"]*', "", text)
    assert "addEventListener" in plain
    assert not re.search(r"https?:|//[a-z]|import |fetch\(|eval\(|XMLHttp", plain)


def test_frames_are_dark_on_white_also_in_the_dark():
    @book_frame
    def words(a: float) -> Figure:
        figure = Figure(figsize=(1, 1), dpi=144)
        figure.text(0.3, 0.4, "ink")
        return figure

    frame = np.asarray(Image.open(io.BytesIO(widgets.webp(words(1.0)))).convert("RGB"))
    assert frame[0, 0].tolist() == [255, 255, 255]
    assert contrast(frame.reshape(-1, 3).min(0) / 255, "#ffffff") >= 4.5


def test_a_frame_is_small_whatever_it_shows():
    noise = np.random.default_rng(0).random((64, 64, 3))

    def picture(a: float) -> Figure:
        figure = Figure(figsize=(3, 3), dpi=144)
        figure.subplots().imshow(noise)
        return figure

    frame = Image.open(io.BytesIO(widgets.webp(picture(1.0)))).convert("RGB")
    assert len(frame.getcolors(maxcolors=10**6)) <= widgets.COLOURS


def test_the_caption_of_a_slider_has_its_finding_and_colours(monkeypatch):
    class Drawer:
        """Something that moves."""

        caption = Caption("It moves.", "A dot.", {"training": TRAIN})

        def __call__(self, a: float) -> Figure:
            return draw(a, 1)

    monkeypatch.setitem(numbers.NUMBERS, "mover", "Figure 9.1")
    page = BeautifulSoup(widgets.explore(Drawer(), name="mover", a=A).html(), "html.parser")
    assert page.figure["id"] == "mover"
    assert page.figcaption.get_text(" ", strip=True) == "Figure 9.1. It moves. A dot. training"
    assert page.find(role="img")["aria-label"] == "Something that moves. It moves."
    plain = BeautifulSoup(widgets.explore(draw, a=A, b=B).html(), "html.parser")
    assert plain.figcaption.get_text() == "One colour that tells a and b."
    assert not plain.figure.has_attr("id")


def test_a_drawer_of_a_chapter_has_an_anchor():
    assert widgets.drawer_name(RingSlider) == "toy_ringslider"
    assert widgets.drawer_name(Figure) == ""


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({}, "0 pictures"),
        ({"a": []}, "at least one"),
        ({"a": [2.0, 1.0]}, "ascending"),
        ({"a": [1.0, 1.0]}, "ascending"),
        ({"a": list(range(21)), "b": list(range(20))}, "420 pictures"),
    ],
)
def test_bad_values(values, word):
    with pytest.raises(UserError, match=word):
        widgets.explore(draw, **values)


# --- the live face ---


def test_without_a_kernel_only_html():
    bundle = widgets.explore(draw, a=A, b=B)._repr_mimebundle_()
    assert set(bundle) == {"text/plain", "text/html"}
    assert "<input" in bundle["text/html"]


def counting(drawn: list):
    def one(a: float, b: int) -> Figure:
        drawn.append((a, b))
        return draw(a, b)

    return one


def test_a_kernel_draws_one_still_picture_and_no_frames(monkeypatch):
    drawn: list = []
    monkeypatch.setattr(widgets, "_has_kernel", lambda: True)
    bundle = widgets.explore(counting(drawn), a=A, b=B)._repr_mimebundle_()
    assert set(drawn) == {(0.5, 3)}
    assert widgets.VIEW in bundle
    assert "<input" not in bundle["text/html"]
    still = BeautifulSoup(bundle["text/html"], "html.parser")
    assert np.allclose(told(decoded(still.img["src"])), (0.5, 3), atol=0.05)
    assert "need a running kernel" in still.get_text()


def test_the_build_of_the_pages_gets_all_frames_though_it_has_a_kernel(monkeypatch):
    drawn: list = []
    monkeypatch.setattr(widgets, "_has_kernel", lambda: True)
    monkeypatch.setenv("DIFFNOTES_PAGES", "1")
    bundle = widgets.explore(counting(drawn), a=A, b=B)._repr_mimebundle_()
    assert len(set(drawn)) == 6
    assert set(bundle) == {"text/plain", "text/html"}


def test_the_build_says_that_it_builds_pages():
    assert build_book.kernel_environment()[FOR_PAGES] == "1"


def live(monkeypatch, **values) -> tuple[ipywidgets.Image, list]:
    """The picture and the sliders of a live face."""
    made = []
    monkeypatch.setattr(ipywidgets.VBox, "__init__", keep(made, ipywidgets.VBox.__init__))
    monkeypatch.setattr(widgets, "_has_kernel", lambda: True)
    bundle = widgets.explore(draw, **values)._repr_mimebundle_()
    assert {"text/html", widgets.VIEW} <= set(bundle)
    picture, *sliders = made[0]
    return picture, [one for one in sliders if not isinstance(one, ipywidgets.HTML)]


def keep(made: list, build):
    def init(self, children=(), **kwargs):
        made.append(children)
        build(self, children, **kwargs)

    return init


def test_live_sliders_draw_any_value(monkeypatch):
    picture, (a, b) = live(monkeypatch, a=A, b=B)
    assert np.allclose(told(picture.value), (0.5, 3), atol=0.05)
    a.value, b.value = 1.7, 2
    assert np.allclose(told(picture.value), (a.value, 2), atol=0.05)
    assert abs(a.value - 1.7) < 0.02
    assert isinstance(b, ipywidgets.IntSlider)
    assert isinstance(a, ipywidgets.FloatLogSlider)


def test_live_sliders_over_a_short_range_are_linear(monkeypatch):
    _, (a, b) = live(monkeypatch, a=[0.5, 1.0, 1.5], b=[1])
    assert isinstance(a, ipywidgets.FloatSlider)
    assert (a.min, a.max, a.value) == (0.5, 1.5, 1.0)
    assert (b.min, b.max) == (1, 1)


def test_without_ipywidgets_the_html_face_remains(monkeypatch):
    monkeypatch.setattr(widgets, "_has_kernel", lambda: True)
    monkeypatch.setitem(__import__("sys").modules, "ipywidgets", None)
    bundle = widgets.explore(draw, a=A, b=B)._repr_mimebundle_()
    assert set(bundle) == {"text/plain", "text/html"}
    assert "<input" in bundle["text/html"]


# --- in a browser ---


def test_arrow_keys_move_the_picture(browser, tmp_path):
    two = widgets.explore(draw, a=A, b=B)
    body = f"<!DOCTYPE html><html><body>{two.html()}{two.html()}</body></html>"
    (tmp_path / "page.html").write_text(body, encoding="utf-8")
    (tmp_path / "favicon.ico").write_bytes(b"")
    with chromium.serve(tmp_path) as address:
        browser.open(f"{address}/page.html")
        first, other = browser.driver.find_elements("class name", "dn-explore")
        slider = first.find_elements("tag name", "input")[0]
        slider.send_keys("\ue014")  # arrow right
        shown = [box.find_element("tag name", "img").get_attribute("src") for box in (first, other)]
        assert slider.get_attribute("aria-valuetext") == "2.5"
        assert first.find_elements("tag name", "output")[0].text == "2.5"
        assert browser.complaints() == []
        assert chromium.foreign(browser.requests(), address) == []
    colours = [told(decoded(source)) for source in shown]
    assert np.allclose(colours, [(2.5, 3), (0.5, 3)], atol=0.05)
