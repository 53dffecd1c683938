"""Tables of claims and records; each shows itself at the end of a cell."""

from __future__ import annotations

import html
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from diffnotes.show.numbers import NUMBERS, PAGES
from diffnotes.show.page import for_pages, row_anchor
from diffnotes.show.style import BookTable, Markup
from diffnotes.store import Record

PAPERS = {
    "kaiser2026diffusion": "Kaiser & Kollmann 2026",
    "song2025selective": "Song et al. 2025",
    "marion2026understanding": "Marion & Wu 2026",
    "bonnaire2025dynamics": "Bonnaire et al. 2025",
    "xu2025diagnosing": "Xu et al. 2025",
    "this book": "this book",
}
VERDICTS = ("reproduced", "partly", "not reproduced", "only on paper", "pending")


def claims_table(claims: Iterable[Mapping[str, str]], papers: Sequence[str]) -> BookTable:
    """The claims of some papers, with the rule of each behind a fold that says when it
    came after a first look, as `Checked.as_dict` gives them."""
    rows = [_claim_row(claim) for claim in claims if claim["paper"] in papers]
    return BookTable(header=("claim", "paper", "ours", "verdict"), rows=rows)


def _claim_row(claim: Mapping[str, str]) -> list[Markup]:
    text = {name: html.escape(value) for name, value in claim.items()}
    target = f"{text['page']}.html#{text['figure']}"
    link = f' <a href="{target}">{NUMBERS.get(claim["figure"], "figure")}</a>' if text["page"] else ""
    key = f"<br>record <code>{text['record']}</code>" if text["record"] else ""
    name = "rule" if claim["fixed"] == "before" else "rule, after a first look"
    rule = f"<details><summary>{name}</summary>{text['rule']}{key}</details>"
    interval = f'<br><span class="dn-small">{text["interval"]}</span>' if text["interval"] else ""
    statement = f'<span id="{text["id"]}">{text["statement"]}</span>{link}{rule}'
    cells = (statement, text["paper_value"], text["our_value"] + interval, badge(claim["verdict"]))
    return list(map(Markup, cells))


def badge(word: str, reason: str = "") -> Markup:
    """A verdict or a state: a word with a tint, and what stands behind it."""
    below = f"<br>{html.escape(reason)}" if reason else ""
    return Markup(f'<span class="dn-verdict dn-{word.replace(" ", "-")}">{word}</span>{below}')


def verdicts(claims: Iterable[Mapping[str, str]]) -> tuple[tuple[str, ...], list[list[str]]]:
    """How many claims of each paper met each verdict: header and rows."""
    counts: dict[str, Counter[str]] = {}
    for claim in claims:
        counts.setdefault(claim["paper"], Counter())[claim["verdict"]] += 1
    rows = [
        [PAPERS[paper], *(str(found[verdict] or "–") for verdict in VERDICTS)]
        for paper, found in counts.items()
    ]
    return ("claims of", *VERDICTS), rows


def verdicts_table(claims: Iterable[Mapping[str, str]]) -> BookTable:
    """How many claims of each paper met each verdict."""
    header, rows = verdicts(claims)
    return BookTable(header=header, rows=rows)


def claims_in_short(claims: Sequence[Mapping[str, str]]) -> str:
    """How many claims of each paper met each verdict, in Markdown for the README; and how many have none
    because a record does not hold.
    """
    header, rows = verdicts(claims)
    lines = [header, ["---", *["---:"] * len(VERDICTS)], *rows]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    without = sum(claim["state"] not in ("", "valid") for claim in claims)
    return f"{table}\n\n{without} of these are pending because a record does not hold." if without else table


def records_table(records: Iterable[Record]) -> BookTable:
    """Every record: what it is, whether it holds, who made it; all that is known of it behind a fold."""
    header = ("record", "state", "made by", "seconds")
    return BookTable(header=header, rows=[_record_row(record) for record in records])


def _record_row(record: Record) -> list[str]:
    meta = record.meta
    settings = ", ".join(f"{k} = {v}" for k, v in record.changed().items())
    title = f"<strong>{record.experiment}</strong> {record.profile}{'; ' + settings if settings else ''}"
    everything = html.escape(json.dumps(meta, indent=1, sort_keys=True))
    fold = f"<details><summary><code>{record.key}</code></summary><pre>{everything}</pre></details>"
    commit = (meta["commit"] or "no commit")[:10] + (", with changes" if meta["dirty"] else "")
    made = f"{html.escape(meta['device'])}<br>{meta['created'][:10]}, commit <code>{commit}</code>"
    state = badge(record.state, record.reason)
    row = f'<span id="{row_anchor(record)}">{title}</span>{fold}'
    return [Markup(row), state, Markup(made), f"{meta['seconds']:.1f}"]


def status_table(rows: Iterable[Any]) -> BookTable:
    """What the book shows, as `experiments.status.rows` gives it."""
    header = ("shown", "profile", "state", "a heavier profile would be")
    return BookTable(header=header, rows=[_status_row(row) for row in rows])


def _figure(name: str) -> str:
    """A figure's number as a link to it, where the book gives it one; else its name."""
    number = NUMBERS.get(name)
    page = PAGES.get(number.split()[1].split(".")[0]) if number else None
    return f'<a href="{page}.html#{name}">{number}</a>' if page and for_pages() else html.escape(name)


def _status_row(row: Any) -> list[Markup]:
    figures = ", ".join(map(_figure, row.figures))
    shown = (
        f"<strong>{html.escape(row.title())}</strong><details><summary>figures</summary>{figures}</details>"
    )
    better = f"<code>{html.escape(row.command)}</code><br>{row.cost}" if row.command else "–"
    return [Markup(shown), Markup(row.profile), badge(row.state, row.reason), Markup(better)]
