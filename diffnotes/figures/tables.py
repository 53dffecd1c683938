"""Tables as HTML: claims, records, numbers. Each shows itself at the end of a cell."""

from __future__ import annotations

import html
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from diffnotes.store import Record

PAPERS = {
    "kaiser2026diffusion": "Kaiser & Kollmann 2026",
    "song2025selective": "Song et al. 2025",
    "marion2026understanding": "Marion & Wu 2026",
    "xu2025diagnosing": "Xu et al. 2025",
    "this book": "this book",
}
VERDICTS = ("reproduced", "partly", "not reproduced", "only on paper", "pending")


@dataclass(frozen=True)
class Table:
    """Rows of ready HTML under a header, with a line of provenance below."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{html.escape(name)}</th>" for name in self.header)
        body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in self.rows)
        note = f'<p class="dn-provenance">{self.note}</p>' if self.note else ""
        table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        return f'<div class="dn-table">{table}</div>{note}'


def claims_table(claims: Iterable[Mapping[str, str]], papers: Sequence[str]) -> Table:
    """The claims of some papers, with the rule of each behind a fold, as `Checked.as_dict` gives them."""
    rows = [_claim_row(claim) for claim in claims if claim["paper"] in papers]
    return Table(("claim", "paper", "ours", "verdict"), rows)


def _claim_row(claim: Mapping[str, str]) -> tuple[str, ...]:
    text = {name: html.escape(value) for name, value in claim.items()}
    target = f"{text['page']}.html#{text['figure']}"
    link = f' <a href="{target}">figure</a>' if text["page"] else ""
    key = f"<br>record <code>{text['record']}</code>" if text["record"] else ""
    rule = f"<details><summary>rule</summary>{text['rule']}{key}</details>"
    interval = f'<br><span class="dn-small">{text["interval"]}</span>' if text["interval"] else ""
    verdict = f'<span class="dn-verdict dn-{text["verdict"].replace(" ", "-")}">{text["verdict"]}</span>'
    statement = f'<span id="{text["id"]}">{text["statement"]}</span>{link}{rule}'
    return statement, text["paper_value"], text["our_value"] + interval, verdict


def claims_in_short(claims: Iterable[Mapping[str, str]]) -> str:
    """A Markdown table of verdicts per paper, for the README."""
    counts: dict[str, Counter[str]] = {}
    for claim in claims:
        counts.setdefault(claim["paper"], Counter())[claim["verdict"]] += 1
    lines = ["| claims of | " + " | ".join(VERDICTS) + " |", "|---|" + "---|" * len(VERDICTS)]
    for paper, found in counts.items():
        cells = " | ".join(str(found[verdict] or "–") for verdict in VERDICTS)
        lines.append(f"| {PAPERS[paper]} | {cells} |")
    return "\n".join(lines)


def records_table(records: Iterable[Record]) -> Table:
    """Every record: what it is, whether it holds, who made it; all that is known of it behind a fold."""
    header = ("record", "state", "made by", "seconds")
    return Table(header, [_record_row(record) for record in records])


def _record_row(record: Record) -> tuple[str, ...]:
    meta = record.meta
    settings = ", ".join(f"{k} = {v}" for k, v in record.changed().items())
    title = f"<strong>{record.experiment}</strong> {record.profile}{'; ' + settings if settings else ''}"
    everything = html.escape(json.dumps(meta, indent=1, sort_keys=True))
    fold = f"<details><summary><code>{record.key}</code></summary><pre>{everything}</pre></details>"
    commit = (meta["commit"] or "no commit")[:10] + (", with changes" if meta["dirty"] else "")
    made = f"{html.escape(meta['device'])}<br>{meta['created'][:10]}, commit <code>{commit}</code>"
    reason = html.escape(record.reason)
    state = f'<span class="dn-verdict dn-{record.state}">{record.state}</span><br>{reason}'
    return f"{title}{fold}", state, made, f"{meta['seconds']:.1f}"


def status_table(rows: Iterable[Any]) -> Table:
    """What the book shows, as `experiments.status.rows` gives it."""
    return Table(
        ("shown", "profile", "state", "a heavier profile would be"), [_status_row(row) for row in rows]
    )


def _status_row(row: Any) -> tuple[str, ...]:
    figures = ", ".join(row.figures)
    fold = f"<details><summary>figures</summary>{html.escape(figures)}</details>"
    state = f'<span class="dn-verdict dn-{row.state}">{row.state}</span><br>{html.escape(row.reason)}'
    better = f"<code>{html.escape(row.command)}</code><br>{row.cost}" if row.command else "–"
    return f"<strong>{html.escape(row.title())}</strong>{fold}", row.profile, state, better
