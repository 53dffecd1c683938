"""Pictures of chapter 3: samples beside their nearest training images, and of networks on disjoint halves."""

from __future__ import annotations

from typing import Any

import numpy as np

from diffnotes.chapters.memorization import findings, halves_findings, halves_readings, readings
from diffnotes.chapters.memorization.readings import label
from diffnotes.show.style import INK, OCHRE, PINK, TEAL, BookFigure, book_figure
from diffnotes.store import Record


def mosaic(tiles: np.ndarray) -> np.ndarray:
    """Tiles [row, column, c, h, w] of bytes as one picture [H, W, 4]; its gaps let the page through."""
    rows, columns, channels, height, width = tiles.shape
    found = np.zeros((rows, height + 1, columns, width + 1, 4), np.uint8)
    colours = tiles if channels == 3 else tiles.repeat(3, 2)
    found[:, :height, :, :width, :3] = colours.transpose(0, 3, 1, 4, 2)
    found[:, :height, :, :width, 3] = 255
    return found.reshape(rows * (height + 1), columns * (width + 1), 4)[:-1, :-1]


def show_mosaic(axis: Any, tiles: np.ndarray) -> None:
    """A mosaic without axes."""
    axis.imshow(mosaic(tiles), interpolation="nearest")
    axis.set(xticks=[], yticks=[])
    axis.spines[:].set_visible(False)


@book_figure
def sheets(record: Record) -> BookFigure:
    """Samples and the training images nearest to them; every row starts from the same noise."""
    small, *_, large = readings.ordered(record)
    stages = [
        (small, readings.before_split(record, small)),
        (small, readings.last(record, small)),
        (large, readings.before_split(record, large)),
    ]
    figure = BookFigure(
        record, finding=f"{readings.title(record).capitalize()}: {findings.stages(record, stages)}",
        shows=(
            "Each pair of columns has samples on the left and the training image nearest to each on the "
            "right. A row starts from the same noise. The first and the last stage are before the losses "
            "part."
        ),
        size=(6.0, 5.0),
    )  # fmt: skip
    for axis, (place, evaluation) in zip(figure.subplots(1, len(stages)), stages, strict=True):
        show_mosaic(axis, np.stack(readings.pictures(record, place, evaluation), 1))
        step = int(readings.steps(record, place)[evaluation])
        axis.set_title(f"{label(record, place)}\nstep {step:,}", fontsize=9)
    return figure


# ------------------------------------------------------------------------------------------ disjoint halves

SERIES = (  # what is read at each size of a half
    (halves_readings.apart, TEAL, "o", "-", "same noise, two networks"),
    (halves_readings.again, INK, "D", ":", "same half, another start"),
    (halves_readings.own, OCHRE, "s", "--", "own nearest / other half’s"),
    (halves_readings.memorized_halves, PINK, "^", "-.", "memorized share"),
)


@book_figure
def halves(record: Record) -> BookFigure:
    """Pictures that two networks make from the same noise, a row for each size of a half, beside what is
    measured at that size."""
    count = len(record["n"])
    figure = BookFigure(
        record, finding=halves_findings.halves(record),
        shows=(
            "Left: for each size N of a half, samples of the first network above those of the second, from "
            "the same noise. Right, at the same heights: the distance of two such samples over that of "
            "samples from different noises (the vertical line); the same for two networks that learned the "
            "same half from different starts; the distance to the nearest image of the own "
            "half over that to the nearest of the other half; and the share of memorized samples. Error "
            "bars are standard errors over seeds. Both networks start from the same weights and see the "
            "same noise in training, which brings their samples nearer to each other."
        ),
        size=(6.8, 0.5 + 1.15 * count),
    )  # fmt: skip
    grid = figure.add_gridspec(count, 2, width_ratios=(1.05, 1))
    for place in range(count):
        axis = figure.add_subplot(grid[place, 0])
        show_mosaic(axis, halves_readings.pairs(record, place))
        axis.set_ylabel(f"N = {int(record['n'][place])}")
    _measured(figure.add_subplot(grid[:, 1]), record)
    return figure


def _measured(axis: Any, record: Record) -> None:
    """The same rows as points."""
    count = len(record["n"])
    for k, (read, color, marker, line, text) in enumerate(SERIES):
        values = read(record)
        rows = np.arange(count) + 0.06 * (k - 1.5)
        axis.errorbar(
            values.mean(1),
            rows,
            xerr=readings.stderr(values),
            color=color,
            marker=marker,
            ls=line,
            ms=5,
            capsize=2,
            label=text,
        )
    axis.axvline(1, color=INK, lw=0.8)
    axis.set(xlim=(-0.03, 1.3), ylim=(count - 0.5, -0.5), yticks=range(count), xlabel="ratio or share")
    axis.set_yticklabels([f"{int(n)}" for n in record["n"]])
    axis.grid(True)
    axis.legend(fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=1)
