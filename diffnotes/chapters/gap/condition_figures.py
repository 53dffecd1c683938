"""The figure of `digits_conditions`."""

from __future__ import annotations

from typing import Any

from diffnotes.chapters.gap import condition_readings as readings
from diffnotes.chapters.gap.figures import sigma_axis
from diffnotes.show.style import INK, BookFigure, band, book_figure, plain_ticks, ramp
from diffnotes.store import Record


@book_figure
def gap_by_condition(record: Record) -> BookFigure:
    """The gap over noise levels, its peak, and distances of samples, for networks that are told more."""
    counts = [int(count) for count in record["clusters"]]
    top, seen = readings.peak(record).mean(0), record["step"] * record.spec["batch"]
    parts = [f"{one:.2f} with {readings.named(count)}" for one, count in zip(top, counts, strict=True)]
    names = [readings.named(count) for count in counts]
    styles = _styles(counts)
    figure = BookFigure(
        record, size=(6.9, 3.0),
        key={name: style["color"] for name, style in zip(names, styles, strict=True)},
        finding=f"After {seen[-1]:,} images seen, the gap peaks at {', '.join(parts)}.",
        shows="Left, the relative gap over noise levels at the last evaluation; middle, its peak against "
        "images seen; right, the Fréchet distance of samples to training images. A network is told which "
        "k-means cluster of the training images an image is in, or (dashed) which digit it shows. "
        "Lines are means over seeds, bands reach from the lowest seed to the highest.",
    )  # fmt: skip
    left, middle, right = figure.subplots(1, 3)
    for place, style in enumerate(styles):
        band(left, record["sigma"], record["gap"][:, place, -1], style)
        marked = {"marker": "o", "markersize": 4, **style}
        band(middle, seen, record["gap"][:, place].max(2), marked)
        band(right, seen, record["frechet_train"][:, place], marked)
    sigma_axis(left)
    left.set_title("relative gap $G$")
    middle.set(title="largest $G$", ylim=(0, None))
    right.set(title="Fréchet distance", yscale="log")
    plain_ticks(right.yaxis)
    for axes in (middle, right):
        axes.set(xscale="log", xlabel="images seen")
        some = seen[:: 1 + len(seen) // 4]
        axes.set_xticks(some, [_thousands(one) for one in some])
        axes.minorticks_off()
    for axes in (left, middle, right):
        axes.grid(True)
    return figure


def _styles(counts: list[int]) -> list[dict[str, Any]]:
    """Colours from none to the finest clusters; for the digit a black dashed line."""
    clusters = [count for count in counts if count != readings.DIGITS]
    colours = {count: ramp(place, len(clusters)) for place, count in enumerate(clusters)}
    dashed = {"color": INK, "linestyle": "--"}
    return [dashed if count == readings.DIGITS else {"color": colours[count]} for count in counts]


def _thousands(images: int) -> str:
    return f"{images / 1000:,.0f}k"
