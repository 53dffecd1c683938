"""What the slider of chapter 5 moves: one checkpoint of a ladder, through all lenses."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from diffnotes.chapters.four_lenses import readings
from diffnotes.chapters.four_lenses.readings import title
from diffnotes.show.style import HELD_OUT, OPTIMUM, SAMPLER, TEAL, TRAIN, Caption, book_frame, log_ticks
from diffnotes.store import Record

SIZE, DPI = (6.7, 3.4), 110
FLOOR = 1e-5  # of errors: below it nothing is drawn


class LensSlider:
    """One checkpoint of a ladder: errors over noise levels, samples, and what every lens says."""

    def __init__(self, record: Record) -> None:
        self._record = record
        self.records = (record,)
        self.n, self.width = record["n"].tolist(), record["width"][[0, -1]].tolist()
        self.checkpoint = list(range(1, record["images_seen"].shape[1] + 1))
        self.caption = Caption(
            finding=f"One checkpoint of {readings.checkpoints(record)}: {title(record)}.",
            shows="Left: errors per dimension over σ at this checkpoint, in the mean over seeds; dotted, the "
            "optimal loss; the vertical line is at σ*. Right: samples of the first seed, each above its "
            "nearest training image.",
            key={"training error": TRAIN, "held-out error": HELD_OUT, "loss gap": TEAL,
                 "error on own trajectories": SAMPLER, "optimal loss": OPTIMUM},
        )  # fmt: skip

    @book_frame
    def __call__(self, n: float, width: float, checkpoint: float) -> Figure:
        """The figure at the checkpoint nearest to these values."""
        record = self._record
        place = tuple(int(np.abs(np.array(known) - value).argmin()) for known, value in (
            (record["n"], n), (record["width"], width), (self.checkpoint, checkpoint),
        ))  # fmt: skip
        figure = Figure(figsize=SIZE, dpi=DPI)
        figure.set_layout_engine("none")  # a layout by hand is drawn much faster
        left, right = figure.add_axes((0.1, 0.15, 0.385, 0.74)), figure.add_axes((0.54, 0.03, 0.44, 0.78))
        self._curves(left, place)
        size, net, at = place
        pair = np.concatenate([record[name][size, net, at] for name in ("sheet", "near")], -2)
        right.imshow(_row(pair), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        right.set_axis_off()
        right.set_title(self._words(place), fontsize=9)
        return figure

    def _curves(self, axes: Axes, place: tuple[int, ...]) -> None:
        record, (size, net, at) = self._record, place
        sigma = record["sigma"]
        for name, style in (
            ("train", TRAIN.curve()), ("held_out", HELD_OUT.curve()),
            ("loss_gap", {"color": TEAL, "ls": "-", "marker": ".", "ms": 4}),
            ("extrapolated", SAMPLER.curve()),
        ):  # fmt: skip
            axes.plot(sigma, record[name][size, net, :, at].mean(0), **style)
        axes.plot(sigma, record["optimal"][size].mean(0), **OPTIMUM.curve())
        axes.axvline(record["critical"][size].mean(), color=OPTIMUM.color, lw=0.8)
        axes.set(xscale="log", yscale="log", ylim=(FLOOR, 1), xlabel="noise level $\\sigma$")
        axes.set_ylabel("error per dimension")
        seen = int(record["images_seen"][size, at])
        axes.set_title(f"N = {record['n'][size]}, width {record['width'][net]}, {seen:,} images seen", size=9)
        log_ticks(axes.xaxis, 0.1, 1, 10)

    def _words(self, place: tuple[int, ...]) -> str:
        """What the lenses say, in the mean over seeds."""
        size, net, at = place

        def mean(name: str) -> float:
            return float(readings.lens(name).read(self._record)[size, net, :, at].mean())

        return (
            f"memorized {100 * mean('memorized'):.0f} %, agreement {mean('agreement'):.2f}\n"
            f"overlap {mean('inside'):.2f} at $\\sigma^*$, {mean('inside_left'):.2f} left of it\n"
            f"relative gap {mean('relative'):.2f}, Fréchet {min(mean('frechet'), 999.0):.1f}"
        )


def _row(pictures: np.ndarray) -> np.ndarray:
    """Pictures [n, c, h, w] in rows of four, with gaps between them, as bytes [H, W] or [H, W, 3]."""
    gap = max(1, pictures.shape[-1] // 6)
    padded = np.pad(pictures, ((0, -len(pictures) % 4), (0, 0), (0, 2 * gap), (0, gap)), constant_values=255)
    rows = padded.reshape(-1, 4, *padded.shape[1:])
    found = rows.transpose(0, 3, 1, 4, 2).reshape(len(rows) * padded.shape[2], 4 * padded.shape[3], -1)
    return found[..., 0] if found.shape[-1] == 1 else found
