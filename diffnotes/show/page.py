"""What surrounds a figure or a table on a page: number, caption, warnings, and the record behind a fold."""

from __future__ import annotations

import html
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from diffnotes.show.colours import INK, Role, paint
from diffnotes.show.numbers import NUMBERS
from diffnotes.store import Record

FOR_PAGES = "DIFFNOTES_PAGES"  # set by tools/build_book.py: what is shown becomes a page without a kernel
DASHES = {"-": "", "--": "5 2.5", "-.": "6 2 1.5 2", ":": "1.5 2"}
MARKERS = {
    "o": '<circle cx="14" cy="6" r="3.5"/>',
    "D": '<path d="M14 1.5l4.5 4.5-4.5 4.5-4.5-4.5z"/>',
    "^": '<path d="M14 1.5l4.5 8h-9z"/>',
    "s": '<path d="M10.5 2.5h7v7h-7z"/>',
    "v": '<path d="M14 10.5l4.5-8h-9z"/>',
    "P": '<path d="M12.5 2h3v2.5h2.5v3h-2.5v2.5h-3v-2.5h-2.5v-3h2.5z"/>',
    "x": '<path d="M10 2l8 8m0-8l-8 8" stroke="currentColor" stroke-width="1.6"/>',
}
SQUARE = '<path d="M1 1h10v10H1z"/>'


def for_pages() -> bool:
    """Whether the book's pages are being built."""
    return os.environ.get(FOR_PAGES) == "1"


_drawn: dict[str, list[tuple[object, ...]]] = {}  # in this kernel: it makes one page


def new_page() -> None:
    """Forget what has been drawn, so that numbers behind names begin anew."""
    _drawn.clear()


def anchored(name: str, *arguments: object) -> str:
    """The anchor of a drawing: the name, with its place among the different drawings of that name. A cell
    that is run again keeps its own.
    """
    before = _drawn.setdefault(name, [])
    if arguments not in before:
        before.append(arguments)
    place = before.index(arguments) + 1
    return name if place == 1 or not name else f"{name}-{place}"


@dataclass(frozen=True)
class Caption:
    """What stands below a figure or above a table: the finding, what is shown, and what the colours mean."""

    finding: str = ""
    shows: str = ""
    key: Mapping[str, Role | str] = field(default_factory=dict)

    def html(self, name: str = "") -> str:
        """The caption as HTML, with the number that the book gives to this anchor; "" for an empty one."""
        number = f'<span class="dn-number">{NUMBERS[name]}.</span>' if name in NUMBERS else ""
        first = f"<strong>{html.escape(self.finding)}</strong>" if self.finding else ""
        return " ".join(filter(None, [number, first, html.escape(self.shows), *map(_key, self.key.items())]))


def _key(entry: tuple[str, Role | str]) -> str:
    """A word of the caption with its colour before it; a role with its line and marker too."""
    word, role = entry
    return f'<span style="white-space:nowrap">{mark(role)} {html.escape(word)}</span>'


def mark(role: Role | str) -> str:
    """A small drawing of a role's line and marker, or a square of a colour."""
    color = role.color if isinstance(role, Role) else role
    if not isinstance(role, Role):
        return _sample(12, color, SQUARE)
    dash = f' stroke-dasharray="{DASHES[role.line]}"' if DASHES.get(role.line) else ""
    line = f'<path d="M0 6h28" fill="none" stroke="currentColor" stroke-width="2"{dash}/>'
    shapes = line * (role.line in DASHES) + MARKERS.get(role.marker, "")
    return _sample(28, color, shapes or SQUARE)


def _sample(width: int, color: str, shapes: str) -> str:
    style = f"color:{'inherit' if color == INK else paint(color)};fill:currentColor"
    return f'<svg aria-hidden="true" width="{width}" height="12" style="{style}">{shapes}</svg>'


def page_figure(
    content: str,
    records: Sequence[Record],
    name: str = "",
    caption: Caption = Caption(),
    above: bool = False,
) -> str:
    """`content` with its number and caption below or `above`, warnings before it, and the records
    behind a fold.
    """
    words, told, made = caption.html(name), banner(records), record_fold(records)
    parts = _said(words) + told + content + made if above else told + content + _said(words + made)
    anchor = f' id="{name}"' if name else ""
    return f'<figure class="dn-figure"{anchor}>{parts}</figure>'


def _said(words: str) -> str:
    return f'<figcaption class="dn-caption">{words}</figcaption>' if words else ""


def record_fold(records: Sequence[Record]) -> str:
    """All that is known of how the records were made, behind one fold; "" for none."""
    if not records:
        return ""
    title = "Record" if len(records) == 1 else f"{len(records)} records"
    lines = "".join(f"<li>{_line(record)}</li>" for record in records)
    return f'<details class="dn-record"><summary>{title}</summary><ul>{lines}</ul></details>'


def _line(record: Record) -> str:
    """The record's own line; on the book's pages its key leads to its row on the page of records."""
    state = "" if record.state == "unchecked" else f" · {record.state}"
    text = html.escape(f"{record.provenance()}{state}")
    link = f'<a href="provenance.html#{row_anchor(record)}">{record.key}</a>'
    return text.replace(record.key, link) if for_pages() and record.pinned else text


def row_anchor(record: Record) -> str:
    """Where the page of records tells of this one."""
    return f"record-{record.key}"


def banner(records: Sequence[Record]) -> str:
    """A visible warning for every record that the code no longer supports, and the notes of the others; empty
    when all hold.
    """
    notes = dict.fromkeys(record.note for record in records if record.note)
    return "".join(
        f'<div class="dn-stale" role="note"><strong>This result is {html.escape(record.state)}.</strong> '
        f"{html.escape(record.reason)}</div>"
        for record in records
        if record.state != "valid"
    ) + "".join(f'<p class="dn-note" role="note">{html.escape(note)}</p>' for note in notes)
