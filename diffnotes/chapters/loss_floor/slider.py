"""What the sliders of chapter 4 move: a noisy image, the training images that may lie behind it, and its
place on the curve of the optimal loss.
"""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from diffnotes.chapters.loss_floor.readings import Curve, Noisy, curve
from diffnotes.show.style import GREY, OCHRE, OPTIMUM, PINK, TRAIN, book_frame, log_ticks, picture
from diffnotes.store import Record

SIZE, DPI = (6.8, 4.0), 120
MOST = 15  # levels that are shown, of which each is a picture for each image
TICKS = (0.1, 1, 10, 100)


class PosteriorSlider:
    """A noisy image, its posterior mean, the training images with the largest weights, and the curve."""

    def __init__(self, noisy: Record, whole: Record) -> None:
        self._noisy, self._curve = Noisy(noisy), curve(whole)
        self.sigmas: list[float] = self._noisy.sigma.tolist()
        self.images = list(range(1, len(self._noisy.effective) + 1))

    @property
    def shown(self) -> list[float]:
        """The levels worth a picture: from a little before the images become doubtful on."""
        doubtful = (self._noisy.effective > 1.001).any(0)
        first = int(doubtful.argmax()) if doubtful.any() else 0
        return self.sigmas[max(0, first - 3) :][:MOST]

    @book_frame
    def __call__(self, sigma: float, image: int) -> Figure:
        """The figure at the stored level nearest to sigma, for image number 1, 2, ..."""
        level = int(np.argmin(np.abs(np.log(np.array(self.sigmas) / sigma))))
        figure = Figure(figsize=SIZE, dpi=DPI)
        figure.set_layout_engine("none")  # to seek one takes most of the time
        _seen(figure, self._noisy, level, image - 1)
        effective = f"{self._effective(level, image - 1)} of {self._noisy.count:,}"
        _dot(figure.add_axes((0.1, 0.13, 0.37, 0.34)), self._curve, self.sigmas[level], effective)
        _behind(figure, self._noisy, level, image - 1)
        return figure

    def _effective(self, level: int, image: int) -> str:
        value = float(self._noisy.effective[image, level])
        return f"{value:,.1f}" if value < 100 else f"{value:,.0f}"


def _seen(figure: Figure, noisy: Noisy, level: int, image: int) -> None:
    left, right = (figure.add_axes((x, 0.56, 0.225, 0.38)) for x in (0.01, 0.25))
    picture(left, noisy.noisy(image, level), "noisy image")
    picture(right, noisy.mean(image, level), "best answer")


def _dot(axes: Axes, whole: Curve, sigma: float, effective: str) -> None:
    """The curve with a dot at this noise level, and how many images may lie behind the noisy one."""
    axes.plot(whole.sigma, whole.share, **OPTIMUM.curve(color=GREY))
    height = float(np.interp(np.log(sigma), np.log(whole.sigma), whole.share))
    axes.plot(sigma, height, "o", color=PINK, ms=9)
    text = f"effective number:\n{effective}"
    axes.text(0.04, 0.95, text, color=PINK, transform=axes.transAxes, va="top", fontsize=10)
    low, high = whole.at(1e-6), whole.at(0.97)
    axes.set(xscale="log", xlabel="noise level σ", ylim=(-0.04, 1.04), xlim=(low / 2, high))
    axes.set_ylabel("optimal loss\n/ data variance", fontsize=9)
    log_ticks(axes.xaxis, *(tick for tick in TICKS if low / 2 <= tick <= high))


def _behind(figure: Figure, noisy: Noisy, level: int, image: int) -> None:
    """The likeliest training images, half of them in a row, with their weights."""
    found = noisy.behind(image, level)
    columns = -(-len(found) // 2)
    width = 0.46 / columns
    for place, (weight, pixels, true) in enumerate(found):
        row, column = divmod(place, columns)
        axes = figure.add_axes((0.53 + column * width, 0.55 - 0.43 * row, 0.95 * width, 0.32))
        picture(axes, pixels, "")
        axes.set_xlabel(_percent(weight), color=TRAIN.color, fontsize=11)
        if true:
            axes.spines[:].set(visible=True, color=OCHRE, linewidth=3)
    figure.text(0.76, 0.955, "training images that may lie behind it", ha="center", va="center", fontsize=10)


def _percent(weight: float) -> str:
    if weight >= 0.1:
        return f"{100 * weight:.0f} %"
    return f"{100 * weight:.1f} %" if weight >= 5e-4 else "< 0.1 %"
