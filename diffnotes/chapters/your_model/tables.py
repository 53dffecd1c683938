"""Tables of chapter 6: what a report says, and what it says of two models side by side."""

from __future__ import annotations

import html

from diffnotes.chapters.your_model import readings
from diffnotes.report.findings import KINDS, Remark
from diffnotes.report.page import TITLES, WORDS
from diffnotes.show.style import BookTable, Markup, book_figure
from diffnotes.store import Record


@book_figure
def own_report(record: Record) -> BookTable:
    """All that a report says of one model, in its order."""
    rows = [
        (Markup(TITLES[one.kind]), _cell(one), Markup(html.escape(one.advice) or "–"),
         Markup(html.escape(one.source) or "–"))
        for one in readings.remarks(record)
    ]  # fmt: skip
    return BookTable(
        record, header=("question", "what the report says", "what to try", "from"), rows=rows,
        shows=f"The report on {readings.title(record)}, the most important first.",
    )  # fmt: skip


@book_figure
def two_reports(*records: Record) -> BookTable:
    """The same questions to several models."""
    said = [{one.kind: one for one in readings.remarks(record)} for record in records]
    asked = [kind for kind in KINDS if any(kind in one for one in said)]
    rows = [
        (Markup(f"<strong>{TITLES[kind]}</strong>"), *(_cell(one.get(kind)) for one in said))
        for kind in asked
    ]
    return BookTable(
        *records, header=("question", *map(readings.title, records)), rows=rows,
        shows="What the report says of each, question by question.",
    )  # fmt: skip


def _cell(one: Remark | None) -> Markup:
    if one is None:
        return Markup("–")
    return Markup(f"<em>{WORDS[one.word]}</em>: {html.escape(one.text)}")
