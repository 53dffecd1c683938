"""Figures of the training schedule: gaps, law and weight, and where the objective lies.

Curves are means over seeds; bands of curves reach from the lowest seed to the highest, bars of quotients are
intervals at 95 %.
"""

from __future__ import annotations

from matplotlib.axes import Axes

from diffnotes.chapters.training_schedule import findings, readings
from diffnotes.chapters.training_schedule.readings import EDM, SCHEDULE
from diffnotes.show.labels import joined
from diffnotes.show.style import (
    GREY,
    INK,
    PINK,
    TEAL,
    BookFigure,
    band,
    book_figure,
    log_ticks,
    ramp,
)
from diffnotes.store import Record

COLOURS = {EDM: INK, SCHEDULE: TEAL}
NOISE = "noise level σ"
TICKS = (0.01, 0.1, 1, 10)
CRITICAL = "The vertical line is σ*."


def _levels(axes: Axes, record: Record, low: float, high: float) -> None:
    """The axis of noise levels, and sigma*."""
    axes.axvline(float(record["critical"]), color=GREY, lw=0.8)
    axes.set(xscale="log", xlim=(low, high), xlabel=NOISE)
    axes.minorticks_off()
    log_ticks(axes.xaxis, *(tick for tick in TICKS if low <= tick <= high))


@book_figure
def schedule_gaps(*records: Record) -> BookFigure:
    """Gap curves under EDM's law and under the schedule, and their quotient."""
    figure = BookFigure(
        *records, size=(6.9, 0.3 + 2.7 * len(records)),
        key={"EDM": INK, "schedule": TEAL},
        finding=joined(map(findings.gap_text, records)),
        shows="Left, the loss gap J − J* per dimension; right, that of the schedule over EDM's, seed by "
        f"seed, with intervals at 95 %. {CRITICAL}",
    )  # fmt: skip
    for row, record in zip(figure.subplots(len(records), 2, squeeze=False), records, strict=True):
        sigma = record["sigma"]
        for run, colour in COLOURS.items():
            band(row[0], sigma, readings.of(record, "gap", run), {"color": colour})
        row[0].set(yscale="log", ylabel="loss gap per dimension", title=findings.name(record))
        _quotients(row[1], record)
        for axes in row:
            _levels(axes, record, sigma[0] / 1.1, sigma[-1] * 1.1)
    return figure


def _quotients(axes: Axes, record: Record) -> None:
    found = readings.by_level(record, "gap")
    errors = [found[:, 0] - found[:, 1], found[:, 2] - found[:, 0]]
    axes.errorbar(record["sigma"], found[:, 0], errors, fmt="o", color=TEAL, ms=3.5, lw=1.2)
    axes.axhline(1, color=INK, lw=0.8)
    axes.set(yscale="log", ylabel="gap, schedule / EDM", title=findings.name(record))
    low, high = axes.get_ylim()
    low, high = min(low, 0.48), max(high, 2.1)
    axes.set_ylim(low, high)
    log_ticks(axes.yaxis, *(tick for tick in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50) if low <= tick <= high))


@book_figure
def schedule_law(*records: Record) -> BookFigure:
    """p(sigma) through training, and w(sigma)."""
    looks = len(records[0]["step"])
    figure = BookFigure(
        *records, size=(6.9, 0.3 + 2.7 * len(records)),
        key={"EDM": INK, "schedule, first look": ramp(0, looks), "last look": ramp(looks - 1, looks),
             "weight of the schedule": TEAL},
        finding=joined(map(findings.law_text, records)),
        shows="Left, the density of noise levels in ln σ at several times of training, in the mean over "
        "seeds; it begins as the gap of plain shrinkage has it. Right, the weight of the loss of x0 over its "
        f"value at the largest level. {CRITICAL}",
    )  # fmt: skip
    for row, record in zip(figure.subplots(len(records), 2, squeeze=False), records, strict=True):
        centre, count = record["centre"], len(record["step"])
        row[0].plot(centre, readings.density(record, EDM).mean(0), color=INK, ls="--")
        for look in range(count):
            row[0].plot(centre, readings.density(record, SCHEDULE, look).mean(0), color=ramp(look, count))
        for run, colour in COLOURS.items():
            row[1].plot(centre, readings.weight(record, run), color=colour, ls="--" if run == EDM else "-")
        row[0].set(ylim=(0, None), ylabel="density of levels in ln σ", title=findings.name(record))
        row[1].set(yscale="log", ylabel="weight, relative", title=findings.name(record))
        for axes in row:
            _levels(axes, record, centre[0], centre[-1])
    return figure


@book_figure
def schedule_objective(*records: Record) -> BookFigure:
    """Where the objective lies: p w J over ln sigma, and where the levels are drawn."""
    figure = BookFigure(
        *records, size=(3.45 * len(records), 3.0),
        key={"EDM": INK, "schedule": TEAL, "schedule, levels drawn": PINK},
        finding=joined(map(findings.objective_text, records)),
        shows="What noise levels add to the objective at the end of training, p ω J in ln σ, with the area "
        f"1; under the schedule that is about ω² (J − J*) J. Dotted, p of the schedule alone. {CRITICAL}",
    )  # fmt: skip
    cells = figure.subplots(1, len(records), squeeze=False)[0]
    for axes, record in zip(cells, records, strict=True):
        centre = record["centre"]
        for run, colour in COLOURS.items():
            style = {"color": colour, "ls": "--" if run == EDM else "-"}
            band(axes, centre, readings.objective(record, run), style)
        axes.plot(centre, readings.density(record, SCHEDULE).mean(0), color=PINK, ls=":")
        axes.set(ylim=(0, None), ylabel="density in ln σ", title=findings.name(record))
        _levels(axes, record, centre[0], centre[-1])
    return figure
