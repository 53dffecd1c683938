"""What the sliders of chapter 4 move: a noisy image, and the training images that may lie behind it."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure, SubFigure

from diffnotes.show.style import GREY, ORANGE, Finding, book_frame, picture
from diffnotes.store import Record

SIZE, DPI = (6.7, 2.5), 144


class Explorer:
    """A noisy image, its posterior mean, and the training images with the largest posterior weights."""

    def __init__(self, record: Record) -> None:
        self._record = record
        self.sigmas = record["sigma"].tolist()
        self.images = list(range(1, len(record["clean"]) + 1))

    @book_frame
    def __call__(self, sigma: float, image: int) -> Figure:
        """The figure at the stored level nearest to sigma, for image number 1, 2, ..."""
        level = int(np.argmin(np.abs(np.log(np.array(self.sigmas) / sigma))))
        figure = Figure(figsize=SIZE, dpi=DPI)
        parts: Any = figure.subfigures(1, 2)
        self._left(parts[0].subplots(1, 2), level, image - 1)
        self._right(parts[1], level, image - 1)
        return figure

    def _left(self, axes: np.ndarray, level: int, image: int) -> None:
        record, sigma = self._record, self.sigmas[level]
        clean = record["clean"][image] / 127.5 - 1
        noisy = (clean + sigma * record["noise"][image].astype(np.float32)) / np.sqrt(1 + 4 * sigma**2)
        picture(axes[0], np.clip((noisy + 1) * 127.5, 0, 255).astype(np.uint8), "noisy image")
        picture(axes[1], record["mean"][image, level], "posterior mean")
        axes[0].set_xlabel("contrast lowered to fit", fontsize=8)

    def _right(self, part: SubFigure, level: int, image: int) -> None:
        record = self._record
        weights = record["weight"][image, level]
        kept = record["which"][image, level]
        cells = part.subplots(2, len(weights), height_ratios=(3, 2), gridspec_kw={"wspace": 0.05})
        for column, (weight, which) in enumerate(zip(weights, kept, strict=True)):
            picture(cells[0, column], record["kept"][which], "")
            if record["number"][which] == record.spec["images"][image]:
                cells[0, column].spines[:].set(visible=True, color=ORANGE, linewidth=2)
            bar = cells[1, column]
            bar.bar([0], [weight], width=0.6, color=ORANGE)
            bar.set(xlim=(-0.6, 0.6), ylim=(0, 1), xticks=[], yticks=[], xlabel=_percent(weight))
            bar.axhline(0, color=GREY, lw=0.8)
            bar.spines[["left", "bottom"]].set_visible(False)
        count, effective = int(record["n"]), float(record["effective"][image, level])
        shown = f"{effective:,.1f}" if effective < 100 else f"{effective:,.0f}"
        part.suptitle(f"largest posterior weights\neffective number: {shown} of {count:,}", fontsize=10)


def _percent(weight: float) -> str:
    return (
        f"{100 * weight:.0f} %" if weight >= 0.1 else f"{100 * weight:.1f} %" if weight >= 5e-4 else "< 0.1 %"
    )


def found(record: Record) -> Finding:
    """Between which levels each image stops being one image."""
    sigma, effective = record["sigma"], record["effective"]
    if (effective[:, -1] < 100).any():
        text = (
            f"At σ = {sigma[-1]:g} the effective number is still below 100; more levels would show it pass."
        )
        return Finding(record, text=text)
    low, high = ([sigma[row > least].min() for row in effective] for least in (1.01, 100))
    largest = 100 * effective[:, -1] / int(record["n"])
    pairs = ", ".join(f"{a:.1f} and {b:.1f}" for a, b in zip(low, high, strict=True))
    text = (
        f"For these {len(low)} images the effective number leaves 1 and passes 100 at σ = {pairs}. "
        f"At σ = {sigma[-1]:g} it is {largest.min():.0f} to {largest.max():.0f} % "
        f"of all {int(record['n']):,}."
    )
    return Finding(record, text=text)
