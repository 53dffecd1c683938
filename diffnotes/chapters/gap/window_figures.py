"""The figure of `digits_window`."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from diffnotes.chapters.gap import window_readings as readings
from diffnotes.chapters.gap.figures import sigma_axis
from diffnotes.show.style import HELD_OUT, INK, TRAIN, BookFigure, band, book_figure, ramp
from diffnotes.store import Record


@book_figure
def gap_by_window(record: Record) -> BookFigure:
    """The gap over noise levels for smaller and smaller windows, and how far predictions look."""
    wide = readings.restricted(record)
    names = [f"{side} pixels" for side in record["window"][wide]]
    colours = [ramp(place, len(wide)) for place in range(len(wide))]
    figure = BookFigure(
        record, size=(6.9, 3.0), finding=_finding(record),
        key=dict(zip(names, colours, strict=True)) | {"training": TRAIN, "held-out": HELD_OUT},
        shows="Left, the relative gap over noise levels of the network that learned from whole images, "
        "applied to windows of so many pixels; middle, of networks that learned from such windows. Right, "
        "how far from a pixel the input pixels are that its prediction rests on, at noised training and "
        "held-out images; horizontal line, where all pixels count alike. Lines are means over seeds, bands "
        "reach from the lowest seed to the highest.",
    )  # fmt: skip
    left, middle, right = figure.subplots(1, 3)
    _gaps(left, record, wide, colours)
    _gaps(middle, record, readings.local(record), colours)
    left.set_title("gap $G$, windows of one network")
    middle.set_title("gap $G$, trained on windows")
    low, high = zip(*(axes.get_ylim() for axes in (left, middle)), strict=True)
    for axes in (left, middle):
        axes.set_ylim(min(low), max(high))
    for split, role in enumerate((TRAIN, HELD_OUT)):
        band(right, record["sigma"], record["range"][:, split], role.curve())
    right.axhline(readings.even(int(record["window"][0])), color=INK, lw=0.8)
    sigma_axis(right)
    right.set(title="range, pixels", ylim=(0, None))
    right.grid(True)
    return figure


def _gaps(axes: Axes, record: Record, cases: np.ndarray, colours: list[str]) -> None:
    for case, colour in zip(cases, colours, strict=True):
        band(axes, record["sigma"], record["gap"][:, case], {"color": colour})
    sigma_axis(axes)
    axes.grid(True)


def _finding(record: Record) -> str:
    """The peaks of both kinds of networks, and how much larger their held-out errors are."""
    sides = " and ".join(f"{side}" for side in record["window"][readings.restricted(record)][1:])
    told = []
    for name, cases in (("in one network", readings.restricted(record)), ("in networks that learned from "
                        "windows", readings.local(record))):  # fmt: skip
        tops = " and ".join(f"{one:.2f}" for one in readings.peak(record, cases).mean(0)[1:])
        worse = " and ".join(f"{one:.1f}" for one in readings.errors(record, cases)[1:])
        told.append(f"{name} it is {tops}, with {worse} times the held-out error")
    whole = readings.peak(record, np.array([0])).mean()
    head = f"The gap peaks at {whole:.2f} for whole images."
    return f"{head} With windows of {sides} pixels, {'; '.join(told)}."
