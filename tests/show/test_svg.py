"""Drawings inside pages: cut between columns, small, and the same picture as before."""

from __future__ import annotations

import io
import re
from xml.etree import ElementTree

import chromium
import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from diffnotes.show import svg


def columns(*widths: float, height: float = 2.0) -> Figure:
    """A figure with axes of these widths side by side."""
    figure = Figure(figsize=(sum(widths), height), layout="constrained")
    for axes in figure.subplots(1, len(widths), width_ratios=widths, squeeze=False)[0]:
        axes.plot([0, 1], [0, 1])
        axes.set(xlabel="x", ylabel="y")
    figure.draw_without_rendering()
    return figure


def test_a_figure_is_cut_between_its_columns():
    assert svg.cuts(columns(3, 3)) == pytest.approx([216], abs=8)
    assert len(svg.cuts(columns(2.2, 2.2, 2.2))) == 2
    assert svg.cuts(columns(3)) == []


def test_narrow_columns_stay_together_as_far_as_a_phone_shows_them():
    assert svg.cuts(columns(*[0.8] * 4)) == []  # 3.2 inches in all
    grid = svg.cuts(columns(*[0.8] * 8))
    assert len(grid) == 1
    assert max(np.diff([0, *grid, 72 * 6.4])) <= svg.PHONE + 10


def test_a_word_across_columns_forbids_a_cut():
    figure = columns(3, 3)
    figure.text(0.5, 0.02, "a title of both", ha="center")
    assert svg.cuts(figure) == []


def test_a_colour_bar_goes_with_its_axes():
    figure = Figure(figsize=(6, 2.4), layout="constrained")
    axes = figure.subplots(1, 2)
    figure.colorbar(axes[1].imshow(np.eye(3)), ax=axes[1])
    figure.draw_without_rendering()
    assert len(svg.cuts(figure)) == 1


def test_pieces_show_the_whole_figure_once():
    figure = columns(3, 3)
    pieces = re.findall(r"<svg.*?</svg>", svg.pieces(figure))
    boxes = [list(map(float, ElementTree.fromstring(piece).get("viewBox").split())) for piece in pieces]
    assert boxes[0][0] == 0
    assert boxes[0][2] == pytest.approx(boxes[1][0], abs=0.01)
    assert boxes[1][0] + boxes[1][2] == pytest.approx(432, abs=0.01)
    assert len(pieces[1]) < 300  # it refers to the first


@pytest.mark.parametrize(("size", "scale"), [(10, 0.6), (8, 0.75), (6, 1.0)])
def test_text_never_shrinks_below_eight_pixels(size, scale):
    figure = columns(3)
    figure.axes[0].text(0.5, 0.5, "words", fontsize=size)
    for axis in (figure.axes[0].xaxis, figure.axes[0].yaxis):
        axis.label.set_fontsize(12)
        axis.set_tick_params(labelsize=12)
    least = int(re.search(r"min-width:(\d+)px", svg.pieces(figure))[1])
    assert least / 288 == pytest.approx(scale, abs=0.01)


@pytest.mark.parametrize(
    ("path", "short"),
    [
        ("M 1 2 L 3.5 2.25 L 3.5 1 z", "m1 2l2.5.25l0-1.25z"),
        ("M 0 0 L 1 0 z M 5 5 L 6 5", "m0 0l1 0zm5 5l1 0"),
        ("M 0 0 Q 0.111 0.222 1 1 C 1 2 3 4 5 6", "m0 0q.11.22 1 1c0 1 2 3 4 5"),
    ],
)
def test_paths_become_relative(path, short):
    assert svg._path(path) == short


def test_rounding_does_not_add_up():
    steps = "".join(f" L {0.04 * place:.6f} 0" for place in range(1, 2001))
    moved = sum(float(step) for step in re.findall(r"l(-?[\d.]+) 0", svg._path("M 0 0" + steps)))
    assert moved == pytest.approx(80, abs=0.1)


def test_the_small_drawing_looks_like_the_large_one(tmp_path):
    """Pixel by pixel in a browser: what matplotlib writes, and what stands in a page, cut in two."""
    if chromium.missing():
        pytest.skip(chromium.missing())
    figure = columns(3, 3)
    rng = np.random.default_rng(0)
    figure.axes[0].scatter(*rng.normal(size=(2, 40)), c="#cb5a1a", marker="D")
    figure.axes[1].fill_between(np.linspace(0, 1, 200), 0, rng.random(200), alpha=0.3)
    figure.axes[1].imshow(rng.random((4, 4)), extent=(0, 0.5, 0.5, 1), aspect="auto")
    figure.axes[0].set_title("$\\sigma^2$ and more")
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", dpi=svg.DPI)
    raw = buffer.getvalue()[buffer.getvalue().index("<svg") :]
    ours = f'<div style="display:flex;align-items:flex-start">{svg.pieces(figure)}</div>'
    shots = [shot(tmp_path, body) for body in (raw, ours)]
    far = np.abs(shots[0] - shots[1]).max(-1) > 80
    assert far.mean() < 0.002
    assert (shots[0] < 200).mean() > 0.01


def shot(folder, body: str) -> np.ndarray:
    """What a browser shows of an element of 576 x 192 pixels."""
    page = folder / "page.html"
    page.write_text(f"<!DOCTYPE html><body style='margin:0;color:#0a0b0c'>{body}", encoding="utf-8")
    with chromium.browser(700) as browser, chromium.serve(folder) as address:
        browser.open(f"{address}/page.html")
        browser.screenshot(folder / "shot.png")
    return np.asarray(Image.open(folder / "shot.png").convert("RGB")).astype(float)[:192, :576]
