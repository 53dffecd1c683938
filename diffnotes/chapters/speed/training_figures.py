"""How fast U-Nets train and sample: images per second of every method, and whether the targets hold."""

from __future__ import annotations

import numpy as np

from diffnotes.chapters.speed import readings
from diffnotes.chapters.speed.figures import named_bars
from diffnotes.chapters.speed.readings import Timed, answered, precisions, spread
from diffnotes.show.style import BookFigure, BookTable, book_figure
from diffnotes.store import Record


@book_figure
def network_targets(*records: Record) -> BookTable:
    """The targets: median, least and largest over the repeats, and whether they hold."""
    # by their rows: the numbers of parameters stand in both records, and count once
    each = {target.row(): target for record in records for target in readings.network_targets(record)}
    held = sum(target.holds for target in each.values())
    return BookTable(
        *records, header=("target", "wanted", "found", ""), rows=list(each),
        finding=f"{held} of {len(each)} targets hold.",
        shows="Median over the repeats, with the least and the largest. Ratios are those within a repeat.",
    )  # fmt: skip


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
            "ours" if method == readings.OURS else method,
            precision,
            f"{parameters:,}",
            f"{flop / 1e6:,.0f}",
            spread(seconds),
            spread(rate),
            spread(ratio) if method != readings.OURS else "1",
        )
        for method, precision, parameters, flop, seconds, rate, ratio in zip(*facts, *columns, strict=True)
    ]


@book_figure
def network_speed(record: Record) -> BookFigure:
    """Images per second of every method in each precision, with how many times faster ours is."""
    panels = [(question, kind) for question in answered(record) for kind in precisions(record)]
    found = [readings.rates(record, *panel) for panel in panels]
    rows = -(-len(panels) // 2)
    figure = BookFigure(
        record,
        finding=" ".join(_fastest(*panel, methods) for panel, methods in zip(panels, found, strict=True)),
        shows="Medians over the repeats, and in grey from the least to the largest. Times are ratios of "
        "medians.",
        size=(3.4 * min(len(panels), 2), 2.8 * rows),
    )
    cells = np.ravel(figure.subplots(rows, min(len(panels), 2), squeeze=False))
    right = 1.1 * max(one.values.max() for methods in found for one in methods)
    for axes, (question, kind), methods in zip(cells, panels, found, strict=False):
        named_bars(axes, methods, [_text(one) for one in methods])
        axes.set(xlim=(0, right), xlabel=f"images per second, {question} in {kind}")
    return figure


def _text(one: Timed) -> str:
    return f"{one.median:.3g}" + ("" if one.name == readings.OURS else f", ours {1 / one.times:.2f} ×")


def _fastest(question: str, precision: str, methods: list[Timed]) -> str:
    """What ours reaches, and by how much it is ahead of, or behind, the fastest other."""
    head = f"{question.capitalize()} in {precision}, ours takes {methods[0].median:.3g} images per second"
    if len(methods) == 1:
        return f"{head}."
    best = max(methods[1:], key=lambda one: one.median)
    return f"{head}, {1 / best.times:.2f} times as many as {_said(best)}."


def _said(method: Timed) -> str:
    """The name of a method within a sentence."""
    return method.name.replace(", a level more", " (one level more)")
