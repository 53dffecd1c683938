"""What the slider of chapter 1's networks moves: the gap over noise levels, and samples, through training."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from diffnotes.chapters.gap import findings, readings
from diffnotes.chapters.gap.figures import GAP, gap_axis, sigma_axis
from diffnotes.show.style import GREY, Caption, book_frame, ramp
from diffnotes.store import Record

SIZE, DPI = (6.7, 3.2), 144
COLUMNS = 4


class TrainingSlider:
    """Gap over noise levels, and samples above their nearest training images, after so many steps."""

    def __init__(self, record: Record) -> None:
        self._record = record
        self.records = (record,)
        self.steps = record["step"].tolist()
        self.caption = Caption(
            finding=f"{findings.growth_text(record)} {findings.memorized_text(record)}",
            shows="Left: the relative gap at this evaluation, with all evaluations in grey, in the mean over "
            "seeds. Right: samples of the first seed, each above its nearest training image.",
        )

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
        """All pictures in one image, which is drawn much faster than axes for each."""
        made, near = (self._record[name][place] for name in ("sheet", "near"))
        axes = part.subplots()
        axes.imshow(mosaic(made, near), interpolation="nearest")
        axes.set_axis_off()
        share = f"{100 * readings.memorized(self._record)[:, place].mean():.1f} % memorized"
        axes.set_title(f"samples, each above its nearest\ntraining image; {share}")


def mosaic(made: np.ndarray, near: np.ndarray) -> np.ndarray:
    """Bytes [h, w, 4]: pictures [n, c, s, s], COLUMNS in a row, each above its partner; gaps are empty."""
    gap = max(1, made.shape[-1] // 6)
    pairs = np.concatenate([made, np.zeros_like(made[:, :, :gap]), near], 2)  # [n, c, 2 s + gap, s]
    colours = np.broadcast_to(pairs, (len(pairs), 3, *pairs.shape[2:]))
    solid = np.full((len(pairs), 1, *pairs.shape[2:]), 255, np.uint8)
    solid[:, :, made.shape[-1] : -near.shape[-1]] = 0
    cells = np.pad(np.concatenate([colours, solid], 1), ((0, 0), (0, 0), (0, 2 * gap), (0, gap)))
    missing = -len(cells) % COLUMNS
    whole = np.concatenate([cells, np.zeros_like(cells[:1].repeat(missing, 0))])
    grid = whole.reshape(-1, COLUMNS, *whole.shape[1:])  # [row, column, 4, y, x]
    found = grid.transpose(0, 3, 1, 4, 2).reshape(len(grid) * cells.shape[2], -1, 4)
    return found[: -2 * gap, :-gap]
