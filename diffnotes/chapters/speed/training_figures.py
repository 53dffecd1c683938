"""How fast U-Nets train and sample: images per second of every method, and whether the targets hold."""

from __future__ import annotations

import numpy as np

from diffnotes.chapters.speed.figures import Target, spread
from diffnotes.show.style import BLUE, INK, ORANGE, PURPLE, BookFigure, BookTable, book_figure
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
    """Two for each question and precision, where peers were timed: in each repeat the fastest peer counts, of
    all, and of those with as many levels. One more with every package as it comes: the peers in float32, ours
    in bfloat16. And whether the numbers of parameters agree, without which the others would mean nothing."""
    counts = record["parameters"]
    if not _peers(record).any():
        return []
    apart = np.array([np.abs(counts / counts[0] - 1).max()])
    asked = [(question, kind) for question in answered(record) for kind in _precisions(record)]
    return [
        *(target for question, kind in asked for target in _pair(record, question, kind)),
        *(_as_they_come(record, question) for question in answered(record) if len(_precisions(record)) > 1),
        Target("parameters: largest difference from ours, as a share", APART, apart, least=False),
    ]


def _pair(record: Record, question: str, precision: str) -> list[Target]:
    ratio, rivals = record[f"{question}_ratio"], _peers(record) & (record["precision"] == precision)
    alike = rivals & (record["methods"] != DEEPER)
    text = f"{question}, {precision}: times faster than the fastest peer"
    return [
        Target(text, WANTED, ratio[:, rivals].min(1)),
        Target(f"{text} with as many levels", WANTED, ratio[:, alike].min(1)),
    ]


def _as_they_come(record: Record, question: str) -> Target:
    rate, peers, single = record[f"{question}_rate"], _peers(record), record["precision"] == "float32"
    found = rate[:, ~peers & ~single].max(1) / rate[:, peers & single].max(1)
    text = f"{question}: ours in bfloat16 over the fastest peer as it comes, in float32"
    return Target(text, WANTED, found)


def _peers(record: Record) -> np.ndarray:
    """Which methods are not ours."""
    found: np.ndarray = record["methods"] != "diffnotes"
    return found


def _precisions(record: Record) -> list[str]:
    return list(dict.fromkeys(record["precision"].tolist()))


@book_figure
def network_targets(*records: Record) -> BookTable:
    """The targets: median, least and largest over the repeats, and whether they hold."""
    rows = [target.row() for record in records for target in targets(record)]
    return BookTable(*records, header=("target", "wanted", "found", ""), rows=rows, note="Speed targets")


def timings(record: Record) -> BookTable:
    """Size and work of every network, its images per second, and how many times faster ours is."""
    header = ("what", "method", "precision", "parameters", "Mflop/image", "seconds", "images/s", "ratio")
    rows = [row for question in answered(record) for row in _rows(record, question)]
    return BookTable(record, header=header, rows=rows)


def _rows(record: Record, question: str) -> list[tuple[str, ...]]:
    columns = (record[f"{question}_{key}"].T for key in ("seconds", "rate", "ratio"))
    facts = (record[key] for key in ("methods", "precision", "parameters", "flop"))
    return [
        (
            question,
            NAMES.get(method, method),
            precision,
            f"{parameters:,}",
            f"{flop / 1e6:,.0f}",
            spread(seconds),
            spread(rate),
            spread(ratio) if method not in NAMES else "1",
        )
        for method, precision, parameters, flop, seconds, rate, ratio in zip(*facts, *columns, strict=True)
    ]


@book_figure
def network_speed(record: Record) -> BookFigure:
    """Images per second of every method in each precision, with how many times faster ours is."""
    shown = [(question, kind) for question in answered(record) for kind in _precisions(record)]
    size = (6.7, 2.2 * len(shown))
    figure = BookFigure(record, alt="Images per second of each method, as bars.", size=size)
    panels = figure.subplots(len(shown), 1, squeeze=False)[:, 0]
    for axes, (question, kind) in zip(panels, shown, strict=True):
        chosen = record["precision"] == kind
        rate, ratio = (record[f"{question}_{key}"][:, chosen] for key in ("rate", "ratio"))
        methods = record["methods"][chosen].tolist()
        places = np.arange(len(methods))
        axes.barh(places, np.median(rate, 0), color=[COLOURS[method] for method in methods], lw=0)
        axes.hlines(places, rate.min(0), rate.max(0), color=INK, lw=1.2)
        for place, values, times in zip(places, rate.T, ratio.T, strict=True):
            text = f"{np.median(values):.3g}" + (f", ours {np.median(times):.2f} × as fast" if place else "")
            axes.annotate(text, (values.max(), place), (6, 0), textcoords="offset points", va="center")
        axes.set_yticks(places, [NAMES.get(method, method).replace(", ", ",\n") for method in methods])
        axes.invert_yaxis()
        most = record[f"{question}_rate"].max()  # of both precisions, so that their bars compare
        axes.set(xlim=(0, 1.65 * most), xlabel=f"images per second, {question} in {kind}")
    return figure
