"""The figure of what the numbers of chapter 5 can resolve."""

from __future__ import annotations

from diffnotes.chapters.four_lenses import power_findings, power_readings
from diffnotes.chapters.four_lenses.readings import LENSES, title
from diffnotes.show.labels import joined
from diffnotes.show.resolution import EFFECT, FOLD, WANTED
from diffnotes.show.style import GREY, BookFigure, book_figure, log_ticks, ramp
from diffnotes.store import Record

MARKERS = "os^Dv"  # training-set sizes, rising
LEAST, MOST = 0.005, FOLD - 1.0  # relative changes; what lies beyond is drawn there


@book_figure
def lens_visible(*records: Record) -> BookFigure:
    """The smallest change that the seeds of a record see, of every lens at each training-set size."""
    seeds = records[0]["frechet"].shape[2]
    figure = BookFigure(
        *records, size=(3.45 * len(records), 4.2), finding=joined(map(power_findings.seen, records)),
        shows=f"The smallest relative change between two widths that {seeds} seeds see in four of five "
        "cases, at the last checkpoint of that size before any jump of the training loss. "
        f"The line is at {WANTED}; what is beyond {FOLD}-fold stands at the right edge.",
    )  # fmt: skip
    cells = figure.subplots(1, len(records), squeeze=False)[0]
    rows = {lens.word: place for place, lens in enumerate(reversed(LENSES))}
    for axes, record in zip(cells, records, strict=True):
        axes.set_title(title(record))
        count = len(record["n"])
        for size in range(count):
            found = power_readings.lenses(record, size)
            axes.plot(
                [min(max(one.smallest, LEAST), MOST) for one in found], [rows[one.name] for one in found],
                ls="", marker=MARKERS[size], ms=5, color=ramp(size, count), alpha=0.9,
                label=f"N = {int(record['n'][size]):,}",
            )  # fmt: skip
        axes.axvline(EFFECT, color=GREY, lw=0.8, ls=":")
        axes.set_yticks(list(rows.values()), list(rows))
        axes.set(xscale="log", xlim=(0.8 * LEAST, 1.25 * MOST), ylim=(-0.6, len(rows) - 0.4))
        axes.set_xlabel("smallest change (%)")
        log_ticks(axes.xaxis, 0.01, 0.1, 1)
        axes.xaxis.set_ticklabels(["1", "10", "100"])
        axes.grid(True, axis="y")
        below = {"loc": "upper center", "bbox_to_anchor": (-0.15, -0.15)}
        axes.legend(**below, ncols=count, columnspacing=0.8, handletextpad=0.1)
    return figure
