"""The figure of `digits_conditions`."""

from __future__ import annotations

from diffnotes.chapters.gap import condition_readings as readings
from diffnotes.chapters.gap.figures import sigma_axis
from diffnotes.show.style import BookFigure, band, book_figure, ramp
from diffnotes.store import Record


@book_figure
def gap_by_condition(record: Record) -> BookFigure:
    """The gap over noise levels for networks that are told ever finer clusters."""
    counts = record["clusters"]
    top, seen = readings.peak(record).mean(0), record["step"] * record.spec["batch"]
    parts = [f"{one:.2f} with {readings.named(count)}" for one, count in zip(top, counts, strict=True)]
    names = [readings.named(count) for count in counts]
    colours = [ramp(place, len(counts)) for place in range(len(counts))]
    figure = BookFigure(
        record, size=(6.9, 3.0), key=dict(zip(names, colours, strict=True)),
        finding=f"After {seen[-1]:,} images seen, the gap peaks at {', '.join(parts)}.",
        shows="Left, the relative gap over noise levels at the last evaluation; right, its peak against "
        "images seen. Each network is told which k-means cluster of the training images an image is in. "
        "Lines are means over seeds, bands reach from the lowest seed to the highest.",
    )  # fmt: skip
    left, right = figure.subplots(1, 2)
    for place, colour in enumerate(colours):
        band(left, record["sigma"], record["gap"][:, place, -1], {"color": colour})
        peaks = record["gap"][:, place].max(2)
        band(right, seen, peaks, {"color": colour, "marker": "o", "markersize": 4})
    sigma_axis(left)
    left.set(ylabel="relative gap $G$")
    right.set(xscale="log", xlabel="images seen", ylabel="largest $G$ over noise levels", ylim=(0, None))
    right.set_xticks(seen, [f"{one / 1000:,.0f}k" for one in seen])
    right.minorticks_off()
    for axes in (left, right):
        axes.grid(True)
    return figure
