"""Figures of chapter 6: a report as curves, and samples beside the training images nearest to them."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from diffnotes.chapters.your_model import findings, readings
from diffnotes.show.style import (
    GREY,
    HELD_OUT,
    INK,
    OPTIMUM,
    SAMPLER,
    TRAIN,
    BookFigure,
    Role,
    book_figure,
    picture,
    plain_ticks,
)
from diffnotes.store import Record

LEVEL = "noise level $\\sigma$"
COPY = 1 / 3


@book_figure
def own_curves(*records: Record) -> BookFigure:
    """Losses, their ratio and the ratio of distances, a row for each report."""
    figure = BookFigure(
        *records, finding=findings.compared(records),
        shows=(
            "A row for each model. Left: the loss per dimension on training and on held-out images, the "
            "optimal loss of the training set, and that of a linear denoiser (grey). Middle: the ratio of "
            "the losses; bands are ± 2 standard errors. Right: the share of samples whose distance to the "
            "nearest training image, over that to the second nearest, is at most what the axis says; those "
            "left of the dotted line count as copies."
        ),
        key={role.word: role for role in (TRAIN, HELD_OUT, OPTIMUM, SAMPLER)},
        size=(6.9, 2.3 * len(records) + 0.3),
    )  # fmt: skip
    grid = figure.subplots(len(records), 3, squeeze=False, sharex="col", sharey="col")
    for row, record in zip(grid, records, strict=True):
        _losses(row[0], record)
        _ratio(row[1], record)
        _copies(row[2], record)
        row[0].set_title(readings.title(record), loc="left")
        for axes in row:
            axes.tick_params(labelbottom=True, labelleft=True)  # on a phone each column stands alone
            axes.grid(True)
    for axes, label in zip(grid[-1], (LEVEL, LEVEL, "ratio of distances"), strict=True):
        axes.set_xlabel(label)
    return figure


def _curve(axes: Axes, sigma: np.ndarray, y: np.ndarray, band: np.ndarray, role: Role) -> None:
    low = np.maximum(y - band, 0.1 * y)
    axes.fill_between(sigma, low, y + band, color=role.color, alpha=0.2, lw=0)
    axes.plot(sigma, y, **role.curve())


def _losses(axes: Axes, record: Record) -> None:
    sigma = record["sigma"]
    axes.plot(sigma, record["linear"], color=GREY, lw=1)
    axes.plot(sigma, np.maximum(record["optimum"], 1e-12), **OPTIMUM.curve())
    _curve(axes, sigma, record["train_loss"], 2 * record["train_loss_stderr"], TRAIN)
    if "held_loss" in record.arrays:
        _curve(axes, sigma, record["held_loss"], 2 * record["held_loss_stderr"], HELD_OUT)
    lowest = float(record["train_loss"].min())
    axes.set(xscale="log", yscale="log", ylabel="loss per dimension", ylim=(0.2 * lowest, None))
    plain_ticks(axes.xaxis)


def _ratio(axes: Axes, record: Record) -> None:
    axes.axhline(1, color=INK, ls=":", lw=1)
    axes.set(xscale="log", yscale="log", ylabel="held-out / training loss")
    if "held_loss" in record.arrays:
        value, error = readings.ratio(record)
        _curve(axes, record["sigma"], value, 2 * error, HELD_OUT)
    low, high = axes.get_ylim()
    axes.set_ylim(min(low, 0.8), max(high, 2))  # so that noise around 1 does not look like much
    plain_ticks(axes.xaxis)
    plain_ticks(axes.yaxis)


def _copies(axes: Axes, record: Record) -> None:
    axes.axvline(COPY, color=INK, ls=":", lw=1)
    if "rho" in record.arrays:
        rho = np.sort(record["rho"])
        axes.step(rho, np.arange(1, len(rho) + 1) / len(rho), where="post", **SAMPLER.curve())
    axes.set(xlim=(0, 1), ylim=(0, 1.03), ylabel="share of samples")


@book_figure
def own_samples(*records: Record) -> BookFigure:
    """The samples that are nearest to a training image, above that image, two rows for each report."""
    figure = BookFigure(
        *records, finding=findings.nearest(records),
        shows=(
            "Of each model the samples with the smallest ratio of distances, and below each the training "
            "image that is nearest to it. These are the worst of all samples, not typical ones."
        ),
        size=(6.7, 1.75 * len(records)),
    )  # fmt: skip
    figure.set_layout_engine("compressed")  # pictures keep their shape
    count = max(len(record["closest_samples"]) for record in records)
    grid = figure.subplots(2 * len(records), count, squeeze=False)
    for place, record in enumerate(records):
        rows = ("closest_samples", "closest_images")
        for row, name in enumerate(rows):
            for column in range(count):
                axes = grid[2 * place + row, column]
                if column < len(record[name]):
                    picture(axes, record[name][column], "")
                else:
                    axes.set_axis_off()
        first = grid[2 * place, 0]
        first.set_title(" ")  # keeps the place for words that are wider than a picture
        over = first.annotate(
            readings.title(record), (0, 1), (0, 5), xycoords="axes fraction", textcoords="offset points"
        )
        over.set_in_layout(False)
        for row, word in enumerate(("samples", "nearest")):
            grid[2 * place + row, 0].set_ylabel(word, fontsize=8)
    return figure
