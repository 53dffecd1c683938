"""Tables of claims and records; each shows itself at the end of a cell."""

from __future__ import annotations

import html
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from diffnotes.show.labels import OPEN, VERDICTS
from diffnotes.show.numbers import NUMBERS
from diffnotes.show.page import row_anchor
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


def badge(word: str, reason: str = "") -> Markup:
    """A verdict or a state: a word with a tint, and what stands behind it."""
    below = f"<br>{html.escape(reason)}" if reason else ""
    return Markup(f'<span class="dn-verdict dn-{word.replace(" ", "-")}">{word}</span>{below}')


def badge_of(claim: Mapping[str, str]) -> Markup:
    """The verdict of a claim, with a word on its scale where the paper's is much larger and it was tried."""
    tried = claim["verdict"] not in OPEN
    small = f' <span class="dn-small">{claim["small"]}</span>' if claim["small"] and tried else ""
    return Markup(badge(claim["verdict"]) + small)


def counted(claims: Iterable[Mapping[str, str]]) -> dict[str, Counter[str]]:
    """Paper -> how many of its claims met each verdict."""
    counts: dict[str, Counter[str]] = {}
    for claim in claims:
        counts.setdefault(PAPERS[claim["paper"]], Counter())[claim["verdict"]] += 1
    return counts


def claims_in_short(claims: Sequence[Mapping[str, str]]) -> str:
    """How many claims of each paper met each verdict, in Markdown for the README; and how many have none
    because a record does not hold.
    """
    counts = counted(claims)
    counts["**all**"] = Counter(claim["verdict"] for claim in claims)
    rows = [[name, *(str(found[word] or "–") for word in VERDICTS)] for name, found in counts.items()]
    lines = [("claims of", *VERDICTS), ["---", *["---:"] * len(VERDICTS)], *rows]
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
    kind = html.escape(f"{record.profile}{'; ' + settings if settings else ''}")
    title = f"<strong>{html.escape(record.experiment)}</strong> {kind}"
    everything = html.escape(json.dumps(meta, indent=1, sort_keys=True))
    key = html.escape(record.key)
    fold = f"<details><summary><code>{key}</code></summary><pre>{everything}</pre></details>"
    commit = (meta["commit"] or "no commit")[:10] + (", with changes" if meta["dirty"] else "")
    day = html.escape(meta["created"][:10])
    made = f"{html.escape(meta['device'])}<br>{day}, commit <code>{html.escape(commit)}</code>"
    state = badge(record.state, record.reason)
    row = f'<span id="{html.escape(row_anchor(record))}">{title}</span>{fold}'
    return [Markup(row), state, Markup(made), f"{meta['seconds']:.1f}"]


def status_table(rows: Iterable[Any]) -> BookTable:
    """What the book shows, as `chapters.status.rows` gives it."""
    header = ("shown", "profile", "state", "a heavier profile would be")
    return BookTable(header=header, rows=[_status_row(row) for row in rows])


def _figure_link(place: str) -> str:
    """A link to "page#figure"; a slider, which goes by its class, has the page alone."""
    page, _, name = place.partition("#")
    anchor = "" if name[:1].isupper() else f"#{name}"
    word = html.escape(NUMBERS.get(name, name))
    return f'<a href="{html.escape(page)}.html{html.escape(anchor)}">{word}</a>'


def _status_row(row: Any) -> list[Markup]:
    fold = f"<details><summary>figures</summary>{', '.join(map(_figure_link, row.figures))}</details>"
    shown = f"<strong>{html.escape(row.title())}</strong>{fold}"
    better = f"<code>{html.escape(row.command)}</code><br>{row.cost}" if row.command else "–"
    return [Markup(shown), Markup(html.escape(row.profile)), badge(row.state, row.reason), Markup(better)]
