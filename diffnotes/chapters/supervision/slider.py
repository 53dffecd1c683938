"""What the slider of chapter 2 moves: two shells of noised data in ever more dimensions, drawn from formulas.

Let u be the coordinate of z along the line through two images and rho its distance from that line. For noise
of standard deviation sigma around an image, u/sigma is standard normal and rho/sigma has the chi distribution
of d - 1: so two coordinates show every shell exactly. Lengths are in units of the radius sigma sqrt(d), and
`apart` is the distance alpha |x - x'| of the two images in that unit.
"""

from __future__ import annotations

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from diffnotes.show.style import FADE, INK, OCHRE, TRAIN, Caption, book_frame

SIZE, DPI = (6.7, 3.4), 144
DIMENSIONS = (2, 3, 5, 10, 20, 50, 100, 300, 1000, 3000)
APART = (0.25, 0.5, 1.0)
LEVELS = (0.011, 0.135, 0.61, 1.0)  # of the density over its largest value: 3, 2 and 1 deviations of a normal
NEVER = 1e-12  # an overlap below which 0 is said


def coefficient(dim: int, apart: float) -> float:
    """The overlap C = exp(-apart^2 d / 8) of the two laws."""
    return math.exp(-(apart**2) * dim / 8)


class ShellSlider:
    """Two shells in a plane, and the noise along the line of their centres."""

    def __init__(self) -> None:
        self.dims, self.apart = list(DIMENSIONS), list(APART)
        self.caption = Caption(
            shows="Left: two shells around two images (dots), and where noised data around the left one are, "
            "by the place along the line of both and the distance from it: the density as colour. Right: the "
            "noise of both along that line alone, in units of t; its overlap is that of the shells. As d "
            "grows the shells cross as before, but no noise is left where they cross. From the formulas.",
            key={"own image": TRAIN, "other image": OCHRE},
        )

    @book_frame
    def __call__(self, dimension: float, apart: float) -> Figure:
        """The figure in so many dimensions, for images so far apart in units of t√d."""
        dim = max(2, round(dimension))
        figure = Figure(figsize=SIZE, dpi=DPI)
        figure.set_layout_engine("none")
        FigureCanvasAgg(figure)
        grid = figure.add_gridspec(1, 2)
        halves = [figure.add_subfigure(grid[place]) for place in (0, 1)]
        room = {"left": 0.17, "right": 0.97, "bottom": 0.16, "top": 0.89}
        plane, along = (half.subplots(gridspec_kw=room) for half in halves)
        _plane(plane, dim, apart)
        _along(along, dim, apart)
        return figure


def _plane(axes: Axes, dim: int, apart: float) -> None:
    """Density of noised data around the left image in (u, rho) over sigma sqrt(d), mirrored; both shells."""
    root = math.sqrt(dim)
    reach, top = min(2.2, 4.5 / root), math.sqrt((dim - 2) / dim)
    rows = np.linspace(max(top - reach, 1e-9), top + reach, 121)
    u, rho = np.meshgrid(np.linspace(-reach, reach, 121), rows)
    log = -((root * u) ** 2) / 2 + (dim - 2) * np.log(rho) - (root * rho) ** 2 / 2
    density = np.exp(log - log.max())
    colors = [FADE(step / (len(LEVELS) - 1)) for step in range(1, len(LEVELS))]
    for sign in (1, -1):
        axes.contourf(u, sign * rho, density, levels=LEVELS, colors=colors)
    angle = np.linspace(0, 2 * np.pi, 200)
    for centre, color in ((0.0, TRAIN.color), (apart, OCHRE)):
        axes.plot(centre + np.cos(angle), np.sin(angle), color=color, lw=1.2)
        axes.plot([centre], [0], "o", color=color, ms=5)
    axes.set(xlim=(-2.1, 2.6), ylim=(-2.35, 2.35), xticks=(-1, 0, 1, 2), yticks=(-2, -1, 0, 1, 2))
    axes.set(xlabel="along the line / t√d", ylabel="away from it / t√d", title=f"d = {dim:,}")
    axes.set_aspect("equal")


def _along(axes: Axes, dim: int, apart: float) -> None:
    """Densities along the line through both images: two normal laws, whose overlap is that of the shells."""
    far = apart * math.sqrt(dim)
    for centre, color in ((0.0, TRAIN.color), (far, OCHRE)):
        u = np.linspace(centre - 6, centre + 6, 400)
        height = np.exp(-((u - centre) ** 2) / 2)
        axes.fill_between(u, 0, height, color=color, alpha=0.25, lw=0)
        axes.plot(u, height, color=color)
    overlap = coefficient(dim, apart)
    said = "0" if overlap < NEVER else f"{overlap:.2g}"
    axes.text(0.97, 0.94, f"overlap C = {said}", transform=axes.transAxes, ha="right", color=INK, fontsize=10)
    axes.set(xlim=(-4.5, max(9.0, far + 4.5)), ylim=(0, 1.15), yticks=())
    axes.set(xlabel="along the line / t", title="noise along the line")
