"""What the sliders of chapter 1 move: the displacements in the plane, and the gap curve beside them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import BoundaryNorm
from matplotlib.figure import Figure

from diffnotes.chapters.toy.figures import GAP, SIGMA, dots, field
from diffnotes.show.style import BLUE, FADE, GREY, ORANGE, book_frame, log_ticks

EVERY = 4  # grid points from arrow to arrow
SIZE, DPI = (6.7, 3.2), 144  # half as many pixels again as the page has: most screens show them
STEPS = (0, 0.5, 1, 2, 3, 4, 6, 8, 10, 12)  # of the length; flat colours make small and sharp pictures


class Explorer:
    """Displacement of points in the plane, and the relative gap with a mark at the noise level shown."""

    def __init__(self, values: Callable[[float, float, int], Mapping[str, np.ndarray]]) -> None:
        self._values = values
        self._build()

    @book_frame
    def _build(self) -> None:
        self.figure = Figure(figsize=SIZE, dpi=DPI)
        halves = self.figure.add_gridspec(1, 2)  # so that the figure can be cut between them
        self._plane = self.figure.add_subfigure(halves[0]).subplots()
        self._gap = self.figure.add_subfigure(halves[1]).subplots()
        shown = self._values(1.0, 1.6, 10)
        axis, count = shown["axis"], len(shown["axis"][2::EVERY])
        steps = {"norm": BoundaryNorm(STEPS, FADE.N, extend="max"), "interpolation_stage": "data"}
        self._image = field(self._plane, axis, np.zeros((len(axis), len(axis))), **steps)
        x, y = np.meshgrid(axis[2::EVERY], axis[2::EVERY])
        still = np.zeros((count, count))
        self._arrows = self._plane.quiver(x, y, still, still, color=GREY, pivot="mid", scale=16, width=0.005)
        self._train = dots(self._plane, shown["train"], s=26, color=ORANGE, edgecolor=GREY, zorder=3)
        (self._curve,) = self._gap.plot([], [], color=BLUE)
        (self._mark,) = self._gap.plot([], [], "o", color=ORANGE, clip_on=False)
        self._text = self._gap.text(0.03, 0.93, "", transform=self._gap.transAxes)
        self._gap.set(xscale="log", xlim=shown["sigmas"][[0, -1]], ylim=(0, 1.5), xlabel=SIGMA, ylabel=GAP)
        log_ticks(self._gap.xaxis, 0.1, 1, 10)
        self._plane.set_title("displacement $D(x,\\sigma) - x$")
        self._gap.set_title("gap over noise level")
        self._freeze()

    def _freeze(self) -> None:
        """Turn all that stays the same into a picture: drawing axes anew would take most of the time."""
        moving = (self._image, self._arrows, self._train, self._curve, self._mark, self._text)
        for artist in moving:
            artist.set_visible(False)
        canvas = FigureCanvasAgg(self.figure)
        canvas.draw()
        self.figure.set_layout_engine("none")
        self.figure.figimage(np.array(canvas.buffer_rgba()), zorder=-1)
        for axes in (self._plane, self._gap):
            axes.set_axis_off()
            axes.set_title("")
        for artist in moving:
            artist.set_visible(True)

    @book_frame
    def __call__(self, sigma: float, delta: float, n: int) -> Figure:
        """The figure at these values; it is one figure, redrawn."""
        shown = self._values(sigma, delta, n)
        length = np.sqrt(np.square(shown["flow"]).sum(-1))
        self._image.set_data(length)
        arrows = (shown["flow"] / np.maximum(length, 0.5)[..., None])[2::EVERY, 2::EVERY]
        self._arrows.set_UVC(arrows[..., 0], arrows[..., 1])
        self._train.set_offsets(shown["train"])
        self._curve.set_data(shown["sigmas"], shown["gap"])
        height = float(shown["gap_here"][0])
        self._mark.set_data([sigma], [min(height, 1.5)])
        self._text.set_text(f"$G$ = {height:.3f}" + (" (above the axis)" if height > 1.5 else ""))
        return self.figure
