"""What the slider of chapter 2's networks moves: t, along one trajectory of two networks."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from diffnotes.chapters.selective import findings, readings
from diffnotes.show.style import GREY, OCHRE, TEAL, Caption, book_frame, log_ticks, picture
from diffnotes.store import Record

SIZE, DPI = (6.7, 3.4), 144
NETS = ((OCHRE, "the largest network"), (TEAL, "one that memorizes"))


class TrajectorySlider:
    """One trajectory of two networks: state, prediction, training image of the nearest shell, and r*."""

    def __init__(self, record: Record, place: int = 0) -> None:
        self._record, self._place = record, place
        self.records = (record,)
        self.times = [round(float(t), 4) for t in record["t"]]
        self.caption = Caption(
            finding=findings.trajectory_text(record),
            shows="Left, for two networks: the state of one trajectory at this t, what the network predicts "
            "there, and the training image whose shell is nearest. Right: r* along these trajectories; the "
            "large points are at this t.",
            key={name: colour for colour, name in NETS},
        )

    @book_frame
    def __call__(self, t: float) -> Figure:
        """The figure at the level nearest to `t`."""
        level = int(np.abs(self._record["t"] - t).argmin())
        figure = Figure(figsize=SIZE, dpi=DPI)
        parts: Any = figure.subfigures(1, 2)
        cells = parts[0].subplots(2, 3)
        for net, row in enumerate(cells):
            self._pictures(row, net, level)
        self._curve(parts[1].subplots(), level)
        return figure

    def _pictures(self, row: Any, net: int, level: int) -> None:
        titles = ("state", "prediction", "nearest shell") if net == 0 else ("", "", "")
        for axes, name, title in zip(row, ("state", "guess", "near"), titles, strict=True):
            picture(axes, readings.pictures(self._record, name, net, level)[self._place], title)
        row[0].set_ylabel(NETS[net][1].removeprefix("the "), fontsize=8)

    def _curve(self, axes: Axes, level: int) -> None:
        record = self._record
        t = record["t"]
        for net, (colour, _) in enumerate(NETS):
            values = record["shown_ratio"][net, :, self._place]
            axes.plot(t, values, color=colour, marker=".", ms=4)
            axes.plot(t[level], values[level], "o", color=colour, ms=8)
        axes.axvline(t[level], color=GREY, lw=1)
        axes.set(yscale="log", xlim=(0, 1), xlabel="time $t$", title=f"$r^*$ at $t$ = {t[level]:.3g}")
        log_ticks(axes.yaxis, 1, 2, 5, 10, 20)
