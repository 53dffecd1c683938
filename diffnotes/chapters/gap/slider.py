"""What the slider of chapter 1's networks moves: the gap over noise levels, and samples, through training."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from diffnotes.chapters.gap.figures import GAP, SIGMA, copies
from diffnotes.show.style import GREY, ORANGE, book_frame, log_ticks, picture
from diffnotes.store import Record

SIZE, DPI = (6.7, 3.2), 144
COLUMNS = 4


class Explorer:
    """Gap over noise levels, and samples above their nearest training images, after so many steps."""

    def __init__(self, record: Record) -> None:
        self._record = record
        self.steps = record["step"].tolist()

    @book_frame
    def __call__(self, step: float) -> Figure:
        """The figure at the look nearest to `step`."""
        look = int(np.argmin(np.abs(np.log(np.array(self.steps) / step))))
        figure = Figure(figsize=SIZE, dpi=DPI)
        parts: Any = figure.subfigures(1, 2)
        self._curves(parts[0].subplots(), look)
        self._samples(parts[1], look)
        return figure

    def _curves(self, axes: Axes, look: int) -> None:
        record = self._record
        sigma, gap = record["sigma"], record["gap"].mean(0)
        axes.plot(sigma, gap.T, color=GREY, lw=0.7, alpha=0.5)
        axes.plot(sigma, gap[look], color=ORANGE, lw=2)
        seen = f"gap, {record['images_seen'][look]:,} images seen"
        axes.set(xscale="log", xlabel=SIGMA, ylabel=GAP, title=seen)
        axes.set_yscale("symlog", linthresh=0.1)
        axes.set_yticks([0, 0.1, 1, 10, 100], ["0", "0.1", "1", "10", "100"])
        axes.minorticks_off()
        axes.set_ylim(-0.03, max(1.0, 1.3 * float(gap.max())))
        log_ticks(axes.xaxis, 0.01, 0.1, 1, 10)

    def _samples(self, part: SubFigure, look: int) -> None:
        made, near = (self._record[name][look] for name in ("sheet", "near"))
        pairs = -(-len(made) // COLUMNS)
        heights = ([1, 1, 0.1] * pairs)[:-1]  # a little room between the pairs of rows
        cells = part.subplots(len(heights), COLUMNS, squeeze=False, height_ratios=heights)
        for axes in cells.flat:
            axes.set_axis_off()
        for place, images in enumerate(zip(made, near, strict=True)):
            for below, image in enumerate(images):
                axes = cells[3 * (place // COLUMNS) + below, place % COLUMNS]
                picture(axes, image, "")
                axes.set_axis_on()
        share = 100 * copies(self._record)[:, look].mean()
        part.suptitle(f"samples, each above its nearest\ntraining image; {share:.0f} % copies", fontsize=10)
