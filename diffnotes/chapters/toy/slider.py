"""What the sliders of chapter 1 move: from ring to islands in the plane, and the gap curve beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from diffnotes.chapters.toy.panel_figures import GAP, ONE, SIGMA, dots
from diffnotes.chapters.toy.readings import LEVEL, chord
from diffnotes.show.style import FADE, HELD_OUT, INK, TRAIN, Caption, book_frame, log_ticks

SIZE, DPI = (6.7, 3.4), 144  # half as many pixels again as the page has: most screens show them
STEPS = (0, 0.1, 0.25, 0.5, 1, 2, 1e9)  # of the gap; flat colours make small and sharp pictures
WINDOW = 15


def choices(delta: float, n_train: int) -> dict[str, list[float]]:
    """Values of the sliders, 54 pictures, around the notebook's own: those are in the middle."""
    spacing, step = chord(n_train), max(1, n_train // 4)
    return {
        "sigma": [float(f"{share * spacing:.2g}") for share in (0.1, 0.17, 0.4)],
        "delta": [float(f"{share * delta:.3g}") for share in (0.5, 0.75, 0.9, 1, 1.15, 1.3)],
        "n": sorted({max(2, n_train - step), n_train, n_train + 2 * step}),
    }


class RingSlider:
    """Where a clean point counts as inside (gap below one half), and the gap curve of the validation points.

    The axis of the curve follows its height.
    """

    def __init__(self, values: Callable[[float, float, int], Mapping[str, np.ndarray]]) -> None:
        self._values = values
        self.caption = Caption(
            shows="Left: where a clean point counts as inside, with its gap as colour and a line where the "
            "gap is one half; δ/a is the model error over the spacing. Right: the gap of validation points; "
            "the diamond marks the noise level shown. Drawn from the formulas.",
            key={"training points": TRAIN, "validation points: full inside, hollow outside": HELD_OUT},
        )
        self._build()

    @book_frame
    def _build(self) -> None:
        self.figure = Figure(figsize=SIZE, dpi=DPI)
        self.figure.set_layout_engine("none")  # to find a layout takes half the time
        FigureCanvasAgg(self.figure)
        grid = self.figure.add_gridspec(1, 2)  # so that the figure can be cut between the halves
        halves = [self.figure.add_subfigure(grid[place]) for place in (0, 1)]
        room = {"left": 0.17, "right": 0.97, "bottom": 0.14, "top": 0.91}
        self._plane, self._gap = (half.subplots(gridspec_kw=room) for half in halves)

    @book_frame
    def __call__(self, sigma: float, delta: float, n: int) -> Figure:
        """The figure at these values; it is one figure, redrawn."""
        shown = self._values(sigma, delta, n)
        self._draw_plane(shown, delta)
        self._draw_gap(shown, sigma)
        return self.figure

    def _draw_plane(self, shown: Mapping[str, np.ndarray], delta: float) -> None:
        axes = self._plane
        axes.clear()
        plane, region = shown["plane"], shown["region"]
        x, y = plane[..., 0], plane[..., 1]
        colors = [FADE(place / (len(STEPS) - 2)) for place in range(len(STEPS) - 1)]
        axes.contourf(x, y, region, levels=(-1e9, *STEPS[1:]), colors=colors)
        axes.contour(x, y, region, levels=[LEVEL], colors=[INK], linewidths=2)
        inside = float(shown["gap_here"][0]) <= LEVEL
        dots(axes, shown["train"], **TRAIN.points(s=30, edgecolor=INK, linewidth=0.6, zorder=3))
        face = HELD_OUT.color if inside else "none"
        rim = {"color": None, "facecolor": face, "edgecolor": HELD_OUT.color}
        dots(axes, shown["val"], **HELD_OUT.points(s=40, linewidth=1.5, zorder=3, **rim))
        axes.set(xlim=(-WINDOW, WINDOW), ylim=(-WINDOW, WINDOW), xticks=(-10, 0, 10), yticks=(-10, 0, 10))
        axes.set_aspect("equal")
        axes.set_title(f"δ/a = {delta / float(shown['spacing']):.2f}: {'inside' if inside else 'outside'}")

    def _draw_gap(self, shown: Mapping[str, np.ndarray], sigma: float) -> None:
        axes, height = self._gap, float(shown["gap_here"][0])
        axes.clear()
        top = 1.15 * max(height, float(shown["gap"].max()), LEVEL)
        axes.axhline(LEVEL, color=INK, linewidth=0.8)
        axes.plot(shown["sigmas"], shown["gap"], color=ONE)
        axes.plot([sigma], [height], **HELD_OUT.points(markersize=8), linestyle="none", clip_on=False)
        axes.set(xscale="log", xlim=shown["sigmas"][[0, -1]], ylim=(0, top), xlabel=SIGMA, ylabel=GAP)
        log_ticks(axes.xaxis, 0.1, 1, 10)
        axes.set_title(f"at this σ, $G$ = {height:.3f}")
