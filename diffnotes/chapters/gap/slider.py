"""What the slider of chapter 1's networks moves: the gap over noise levels, and samples, through training."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from diffnotes.chapters.gap import readings
from diffnotes.chapters.gap.figures import GAP, gap_axis, sigma_axis
from diffnotes.show.style import GREY, book_frame, picture, ramp
from diffnotes.store import Record

SIZE, DPI = (6.7, 3.2), 144
COLUMNS = 4


class GapSlider:
    """Gap over noise levels, and samples above their nearest training images, after so many steps."""

    def __init__(self, record: Record) -> None:
        self._record = record
        self.steps = record["step"].tolist()

    @book_frame
    def __call__(self, step: float) -> Figure:
        """The figure at the evaluation nearest to `step`."""
        place = readings.place_of(self._record["step"], step)
        figure = Figure(figsize=SIZE, dpi=DPI)
        parts: Any = figure.subfigures(1, 2)
        self._curves(parts[0].subplots(), place)
        self._samples(parts[1], place)
        return figure

    def _curves(self, axes: Axes, place: int) -> None:
        """All curves in grey, this one in its colour; the axis has room for the largest."""
        record = self._record
        sigma, gap = record["sigma"], record["gap"].mean(0)
        axes.plot(sigma, gap.T, color=GREY, lw=0.7, alpha=0.5)
        axes.plot(sigma, gap[place], color=ramp(place, len(gap)), lw=2, marker=".")
        axes.set(ylabel=GAP, title=f"gap, {record['images_seen'][place]:,} images seen")
        gap_axis(axes, float(gap.max()))
        sigma_axis(axes)

    def _samples(self, part: SubFigure, place: int) -> None:
        made, near = (self._record[name][place] for name in ("sheet", "near"))
        pairs = -(-len(made) // COLUMNS)
        heights = ([1, 1, 0.1] * pairs)[:-1]  # a little room between the pairs of rows
        cells = part.subplots(len(heights), COLUMNS, squeeze=False, height_ratios=heights)
        for axes in cells.flat:
            axes.set_axis_off()
        for column, images in enumerate(zip(made, near, strict=True)):
            for below, image in enumerate(images):
                axes = cells[3 * (column // COLUMNS) + below, column % COLUMNS]
                picture(axes, image, "")
                axes.set_axis_on()
        share = f"{100 * readings.memorized(self._record)[:, place].mean():.0f} % memorized"
        part.suptitle(f"samples, each above its nearest\ntraining image; {share}", fontsize=10)
