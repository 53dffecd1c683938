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
from diffnotes.show.style import BLUE, FADE, INK, ORANGE, STYLE, BookFigure, log_ticks

PATH = Path(__file__).resolve().parents[1] / "book" / "static" / "hero.svg"
SIZE = (8.33, 2.8)  # inches: 800 pixels wide
ALT = (
    "Left: around a circle of training points, the region where a toy model generalizes breaks into islands "
    "as its error falls. Right: the optimal loss of two image sets over noise level; each area is ln N."
)
ADAPT = "<style>.dn-hero{color:#1f2328}@media (prefers-color-scheme:dark){.dn-hero{color:#f0f6fc}}</style>"


def svg() -> str:
    """The picture as it follows from the pinned records."""
    toy = _pinned("toy_model")
    images = [_pinned("loss_curve", dataset=name) for name in ("digits", "cifar10")]
    with mpl.rc_context(STYLE):
        figure = BookFigure(toy, *images, alt=ALT, size=SIZE)
        left, right = figure.subfigures(1, 2, width_ratios=(1.28, 1))
        _maps(left, toy)
        _areas(right.subplots(), images)
        right.suptitle("Images: the area under the optimal loss is ln N", fontsize=10.5)
    made = html.escape("; ".join(record.provenance() for record in figure.records))
    head, body = figure.svg().split(">", 1)
    return f'{head} class="dn-hero"><desc>{made}</desc>{ADAPT}{body}\n'


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
        dots(panel, record["train"], s=18, color=ORANGE, edgecolor=INK, linewidth=0.5)
        panel.set(xticks=(), yticks=(), title=f"model error {delta:g}")
    figure.suptitle("Toy model: where new points look like training points", fontsize=10.5)
    panels[1].set_xlabel("dots: training points; line: validation error 1.5 times training error")


def _areas(axes: Axes, records: list[store.Record]) -> None:
    """J* / sigma^2 over ln sigma for real images."""
    for record, name, color, shift in zip(
        records, ("digits", "CIFAR-10"), (BLUE, ORANGE), (-44, 0), strict=True
    ):
        sigma, height = record["sigma"], record["mean"] / record["sigma"] ** 2
        axes.fill_between(sigma, 0, height, color=color, alpha=0.2, linewidth=0)
        axes.plot(sigma, height, color=color)
        n, area, top = int(record["n"]), float(record["area"]), int(height.argmax())
        text = f"{name}, {n:,} images\narea {area:.2f}, ln N = {math.log(n):.2f}"
        axes.annotate(text, (sigma[top], height[top]), (shift, 6), textcoords="offset points", ha="center")
    axes.set(xscale="log", xlim=(0.04, 70), xlabel="noise level σ", ylabel="optimal loss / σ²")
    axes.set_ylim(0, 1.4 * axes.dataLim.ymax)
    log_ticks(axes.xaxis, 0.1, 1, 10)
