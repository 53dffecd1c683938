"""A slider through one run: samples, the training images nearest to them, losses, memorized samples."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from diffnotes.chapters.memorization import findings, readings
from diffnotes.chapters.memorization.sample_figures import show_mosaic
from diffnotes.show.style import GREY, HELD_OUT, TRAIN, Caption, book_frame
from diffnotes.store import Record

DPI = 144


class Scrubber:
    """One run of the first seed at any evaluation."""

    def __init__(self, record: Record, place: int | None = None) -> None:
        self._record = record
        self._place = readings.default_place(record) if place is None else place
        self.steps = [int(step) for step in readings.steps(record, self._place)]
        self.records = (record,)
        self.caption = Caption(
            findings.scrubbed(record, self._place),
            "Above, samples of the first seed, always from the same noise; below them the training image "
            "nearest to each. Right, losses and memorized share of that run; the line is the step shown.",
            {"training": TRAIN, "held-out": HELD_OUT},
        )

    @book_frame
    def __call__(self, step: int) -> Figure:
        """Samples above their nearest training images; beside them the losses and the memorized share."""
        evaluation = int(np.argmin(np.abs(np.log(np.array(self.steps) / step))))
        figure = Figure(figsize=(6.7, 2.7), dpi=DPI)
        pictures, curves = figure.subfigures(1, 2, width_ratios=(1, 1))  # type: ignore[misc]
        axis = pictures.subplots()
        show_mosaic(axis, np.stack(readings.pictures(self._record, self._place, evaluation)))
        axis.set_title(f"samples at step {self.steps[evaluation]:,}", fontsize=10)
        axis.set_xlabel("and the nearest training images", fontsize=10)
        self._curves(curves.subplots(2, 1, sharex=True), evaluation)
        return figure

    def _curves(self, axes: Any, evaluation: int) -> None:
        record, place = self._record, self._place
        for role, name in ((TRAIN, "train_loss"), (HELD_OUT, "test_loss")):
            axes[0].plot(self.steps, readings.curve(record, place, name)[0], **role.curve())
        axes[1].plot(self.steps, readings.curve(record, place, "copies")[0], **TRAIN.curve())
        for axis, text in zip(axes, ("loss", "memorized"), strict=True):
            axis.axvline(self.steps[evaluation], color=GREY, lw=1)
            axis.set(xscale="log", ylabel=text)
            axis.set_ylim(bottom=0)
        axes[0].legend(fontsize=8, loc="lower left", bbox_to_anchor=(0, 1), ncols=2, borderpad=0)
        axes[1].set(xlabel="training step τ", ylim=(-0.02, 1.02))
