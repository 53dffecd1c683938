"""Draw book/static/hero.svg, the picture of the README and of the first page, from the best pinned records;
`make readme` writes it.

The ink is `currentColor`: in the README by the reader's light or dark setting, in the book that of the page.
"""

from __future__ import annotations

import html
import math
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.colors import BoundaryNorm

from diffnotes import store
from diffnotes.chapters.toy.panel_figures import LEVELS, dots, field
from diffnotes.show.colours import ON_PAGES, PALETTE
from diffnotes.show.page import record_fold
from diffnotes.show.style import FADE, INK, STYLE, TRAIN, BookFigure, log_ticks

PATH = Path(__file__).resolve().parents[1] / "book" / "static" / "hero.svg"
ON_PAGE = PATH.with_suffix(".html")  # the same in pieces that wrap on a phone
SETS = (PALETTE[3], PALETTE[4])  # colours of data sets: none that means a role
SIZE = (8.33, 2.8)  # inches: 800 pixels wide
ALT = (
    "Left: around a circle of training points, the region where a toy model generalizes breaks into islands "
    "as its error falls. Right: the optimal loss of two image sets over noise level; each area is ln N."
)


def svg() -> str:
    """The picture as it follows from the pinned records, for the README."""
    figure = _figure()
    made = html.escape("; ".join(record.provenance() for record in figure.records))
    head, body = figure.svg().split(">", 1)
    return f'{head} class="dn-hero"><desc>{made}</desc>{_adapt()}{body}\n'


def panels() -> str:
    """The picture for the first page of the book."""
    figure = _figure()
    return f'<figure class="dn-figure">{figure.panels()}{record_fold(figure.records)}</figure>\n'


def _adapt() -> str:
    """What makes the picture follow the reader's light or dark setting, where no page does."""
    used = [ON_PAGES[color] for color in (TRAIN.color, *SETS)]
    light, dark = (";".join(f"--dn-{one[0]}:{one[place]}" for one in used) for place in (1, 2))
    day, night = (f".dn-hero{{color:{ink};{rest}}}" for ink, rest in (("#1f2328", light), ("#f0f6fc", dark)))
    return f"<style>{day}@media (prefers-color-scheme:dark){{{night}}}</style>"


def _figure() -> BookFigure:
    toy = _pinned("toy_model")
    images = [_pinned("loss_curve", dataset=name) for name in ("digits", "cifar10")]
    with mpl.rc_context(STYLE):
        figure = BookFigure(toy, *images, alt=ALT, size=SIZE)
        left, right = figure.subfigures(1, 2, width_ratios=(1.28, 1))
        _maps(left, toy)
        _areas(right.subplots(), images)
        right.suptitle("Images: the area under the optimal loss is ln N", fontsize=10.5)
    return figure


def _pinned(experiment: str, **settings: str) -> store.Record:
    record = store.best(experiment, settings)
    if record is None:
        raise store.MissingRecord(f"No record of {experiment} {settings} is pinned; the picture needs one.")
    return record


def _maps(figure, record: store.Record) -> None:
    """The gap of a clean point anywhere in the plane, for a falling model error."""
    axis, norm = record["map_axis"], BoundaryNorm(LEVELS, FADE.N, extend="both")
    panels = figure.subplots(1, 3, sharey=True)
    for panel, delta, gap in zip(panels, record["map_delta"], record["map_gap"], strict=True):
        field(panel, axis, gap, norm=norm, interpolation_stage="data")
        panel.contour(axis, axis, gap, levels=[0.5], colors=[INK], linewidths=1.6)
        dots(panel, record["train"], s=18, color=TRAIN.color, edgecolor=INK, linewidth=0.5)
        panel.set(xticks=(), yticks=(), title=f"model error {delta:g}")
    figure.suptitle("Toy model: where new points look like training points", fontsize=10.5)
    panels[1].set_xlabel("dots: training points; line: validation error 1.5 times training error")


def _areas(axes: Axes, records: list[store.Record]) -> None:
    """J* / sigma^2 over ln sigma for real images."""
    for record, name, color, shift in zip(records, ("digits", "CIFAR-10"), SETS, (-44, 0), strict=True):
        sigma, height = record["sigma"], record["mean"] / record["sigma"] ** 2
        axes.fill_between(sigma, 0, height, color=color, alpha=0.2, linewidth=0)
        axes.plot(sigma, height, color=color, linestyle="-" if shift else "--")
        n, area, top = int(record["n"]), float(record["area"]), int(height.argmax())
        text = f"{name}, {n:,} images\narea {area:.2f}, ln N = {math.log(n):.2f}"
        axes.annotate(text, (sigma[top], height[top]), (shift, 6), textcoords="offset points", ha="center")
    axes.set(xscale="log", xlim=(0.04, 70), xlabel="noise level σ", ylabel="optimal loss / σ²")
    axes.set_ylim(0, 1.4 * axes.dataLim.ymax)
    log_ticks(axes.xaxis, 0.1, 1, 10)
