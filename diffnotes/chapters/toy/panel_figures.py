"""What the figures of chapter 1 are put together from: points, fields, axes. No torch."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.image import AxesImage

from diffnotes.show.style import FADE, HELD_OUT, INK, PALETTE, TRAIN, log_ticks

SIGMA = "noise level $\\sigma$"
GAP = "relative gap $G$"
LEVELS = (0, 0.1, 0.25, 0.5, 0.75, 1, 1.5, 2)  # of the gap maps; far out the gap exceeds 10
ONE, TWO, THREE = PALETTE[-3:]  # colours of no role
LINES = ("-", "--", ":", "-.")  # the second cue of an ordered series
DESIGN_LOOKS = ((ONE, "o"), (TWO, "s"), (THREE, "^"))  # of the three ways to draw noise


def known(points: np.ndarray, axes: Axes, size: float = 24, **style: Any) -> PathCollection:
    """Training points [n, 2]."""
    return dots(axes, points, **TRAIN.points(s=size, edgecolor=INK, linewidth=0.6, zorder=4, **style))


def unseen(points: np.ndarray, axes: Axes, inside: np.ndarray, size: float = 30) -> None:
    """Validation points [n, 2]: full where they are inside, hollow where they are outside."""
    for chosen, face in ((inside, HELD_OUT.color), (~inside, "none")):
        rim = {"color": None, "facecolor": face, "edgecolor": HELD_OUT.color, "label": None}
        dots(axes, points[chosen], **HELD_OUT.points(s=size, linewidth=1.2, zorder=4, **rim))


def field(axes: Axes, axis: np.ndarray, values: np.ndarray, **style: Any) -> AxesImage:
    """A field on a square grid as colour that fades into the page."""
    half = (axis[1] - axis[0]) / 2
    low, high = float(axis[0] - half), float(axis[-1] + half)
    style = {"origin": "lower", "cmap": FADE, "interpolation": "bilinear", **style}
    image = axes.imshow(values, extent=(low, high, low, high), **style)
    axes.set(xlim=(axis[0], axis[-1]), ylim=(axis[0], axis[-1]), xticks=(-10, 0, 10), yticks=(-10, 0, 10))
    for spine in axes.spines.values():
        spine.set_visible(True)
    return image


def dots(axes: Axes, points: np.ndarray, **style: Any) -> PathCollection:
    """Points [n, 2] as dots."""
    return axes.scatter(points[:, 0], points[:, 1], **style)


def sigma_axis(axes: Axes) -> None:
    axes.set(xscale="log", xlim=(0.02, 20), xlabel=SIGMA, ylabel=GAP)
    log_ticks(axes.xaxis, 0.1, 1, 10)
