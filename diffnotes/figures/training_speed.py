"""How fast U-Nets train and sample: images per second of every method, and whether the targets hold."""

from __future__ import annotations

import numpy as np

from diffnotes.figures.speed import Target, spread
from diffnotes.figures.style import BLUE, INK, ORANGE, PURPLE, BookFigure, BookTable, book_figure
from diffnotes.store import Record

NAMES = {"diffnotes": "ours"}
DEEPER = "denoising-diffusion-pytorch, a level more"
COLOURS = {"diffnotes": BLUE, "diffusers": PURPLE, "denoising-diffusion-pytorch": ORANGE, DEEPER: ORANGE}
QUESTIONS = ("training", "sampling")
WANTED = 1.2  # times as fast as the fastest peer
APART = 0.05  # how far the numbers of parameters may be apart


def answered(record: Record) -> list[str]:
    """The questions that a record answers."""
    return [question for question in QUESTIONS if f"{question}_rate" in record]


def targets(record: Record) -> list[Target]:
    """Two for each question, where peers were timed: in each repeat the fastest peer counts, of all, and of
    those with as many levels. And whether the numbers of parameters agree, without which the others would
    mean nothing."""
    counts = record["parameters"]
    if len(counts) == 1:
        return []
    apart = np.array([np.abs(counts / counts[0] - 1).max()])
    return [
        *(target for question in answered(record) for target in _pair(record, question)),
        Target("parameters: largest difference from ours, as a share", APART, apart, least=False),
    ]


def _pair(record: Record, question: str) -> list[Target]:
    ratio = record[f"{question}_ratio"][:, 1:]
    alike = np.array([name != DEEPER for name in record["methods"]])[1:]
    text = f"{question}: times faster than the fastest peer"
    return [
        Target(text, WANTED, ratio.min(1)),
        Target(f"{text} with as many levels", WANTED, ratio[:, alike].min(1)),
    ]


@book_figure
def network_targets(*records: Record) -> BookTable:
    """The targets: median, least and largest over the repeats, and whether they hold."""
    rows = [target.row() for record in records for target in targets(record)]
    return BookTable(*records, header=("target", "wanted", "found", ""), rows=rows, note="Speed targets")


def timings(record: Record) -> BookTable:
    """Size and work of every network, its images per second, and how many times faster ours is."""
    header = ("what", "method", "parameters", "Mflop/image", "seconds", "images/s", "ratio")
    rows = [row for question in answered(record) for row in _rows(record, question)]
    return BookTable(record, header=header, rows=rows)


def _rows(record: Record, question: str) -> list[tuple[str, ...]]:
    columns = (record[f"{question}_{key}"].T for key in ("seconds", "rate", "ratio"))
    sizes = zip(record["methods"], record["parameters"], record["flop"], *columns, strict=True)
    return [
        (
            question,
            NAMES.get(method, method),
            f"{parameters:,}",
            f"{flop / 1e6:,.0f}",
            spread(seconds),
            spread(rate),
            spread(ratio) if place else "1",
        )
        for place, (method, parameters, flop, seconds, rate, ratio) in enumerate(sizes)
    ]


@book_figure
def network_speed(record: Record) -> BookFigure:
    """Images per second of every method, with how many times faster ours is."""
    shown = answered(record)
    size = (6.7, 2.2 * len(shown))
    figure = BookFigure(record, alt="Images per second of each method, as bars.", size=size)
    unit = "images per second" + " of one thread" * (str(record["clock"]) == "processor")
    panels = figure.subplots(len(shown), 1, squeeze=False)[:, 0]
    methods = list(record["methods"])
    places = np.arange(len(methods))
    for axes, question in zip(panels, shown, strict=True):
        rate, ratio = record[f"{question}_rate"], record[f"{question}_ratio"]
        axes.barh(places, np.median(rate, 0), color=[COLOURS[method] for method in methods], lw=0)
        axes.hlines(places, rate.min(0), rate.max(0), color=INK, lw=1.2)
        for place, values, times in zip(places, rate.T, ratio.T, strict=True):
            text = f"{np.median(values):.3g}" + (f", ours {np.median(times):.2f} × as fast" if place else "")
            axes.annotate(text, (values.max(), place), (6, 0), textcoords="offset points", va="center")
        axes.set_yticks(places, [NAMES.get(method, method).replace(", ", ",\n") for method in methods])
        axes.invert_yaxis()
        axes.set(xlim=(0, 1.65 * rate.max()), xlabel=f"{unit}, {question}")
    return figure
