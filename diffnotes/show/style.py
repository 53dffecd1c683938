"""How the book's figures look: inline SVG that follows light and dark pages, with its provenance below.

A figure is drawn once. Its ink is `currentColor`, its other colours have a contrast of at least 3.4 with
white and with the dark page, and fields are painted with colours that fade into the page.
"""

from __future__ import annotations

import functools
import hashlib
import html
import io
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ParamSpec, TypeVar

import matplotlib as mpl
import numpy as np
from matplotlib import rcsetup
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap, to_hex
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from diffnotes.base.errors import UserError
from diffnotes.store import Record

INK = "#0a0b0c"  # near black where colours are fixed (PDF, PNG); becomes currentColor in the page
GREY = "#7f848c"  # for pictures that cannot follow the page: legible on white and on the dark page
BLUE, ORANGE, GREEN, PURPLE = "#3280dd", "#cb5a1a", "#139948", "#9065d0"
TEAL, PINK, OCHRE = "#079393", "#c3518d", "#a17905"
PALETTE = (BLUE, ORANGE, GREEN, PURPLE, TEAL, PINK, OCHRE)
RAMP = LinearSegmentedColormap.from_list(  # ordered lines: one lightness, hue from blue to orange
    "ramp", ["#447be4", "#746ee1", "#9561d2", "#af57b9", "#c24e99", "#ce4a74", "#d24c4a", "#cf5604"]
)
FADE = LinearSegmentedColormap.from_list(  # fields: the page shows through; no orange, since dots are
    "fade", ["#447be400", "#5f73e366", "#8566dba6", "#a658c4cc", "#bd3f9bf2"]
)


@dataclass(frozen=True)
class Role:
    """How one kind of thing looks in every chapter: by colour, and without it by line and marker."""

    word: str
    color: str
    line: str
    marker: str

    def curve(self, **style: Any) -> dict[str, Any]:
        """Arguments of `plot`."""
        return {"color": self.color, "linestyle": self.line, "label": self.word, **style}

    def points(self, **style: Any) -> dict[str, Any]:
        """Arguments of `scatter`."""
        return {"color": self.color, "marker": self.marker, "label": self.word, **style}


TRAIN = Role("training", BLUE, "-", "o")
HELD_OUT = Role("held-out", ORANGE, "--", "D")
SAMPLER = Role("sampler", GREEN, "-.", "^")
OPTIMUM = Role("optimum", INK, ":", "s")


def ramp(place: int, count: int) -> str:
    """The colour of the curve at `place` of `count` ordered ones."""
    return to_hex(RAMP(place / max(count - 1, 1)))


DPI = 110  # of what is rasterized inside an SVG
STYLE: Any = {
    "figure.facecolor": "none", "axes.facecolor": "none", "savefig.facecolor": "none",
    "savefig.transparent": True,
    "figure.constrained_layout.use": True, "figure.constrained_layout.w_pad": 0.05,
    "text.color": INK, "axes.edgecolor": INK, "axes.labelcolor": INK, "axes.titlecolor": INK,
    "xtick.color": INK, "ytick.color": INK, "lines.color": INK, "patch.edgecolor": INK,
    "legend.labelcolor": INK, "grid.color": INK,
    "font.family": "DejaVu Sans", "mathtext.fontset": "dejavusans", "font.size": 10, "axes.titlesize": 10,
    "axes.labelsize": 10, "xtick.labelsize": 9, "ytick.labelsize": 9, "legend.fontsize": 9,
    "axes.spines.top": False, "axes.spines.right": False, "axes.linewidth": 0.8, "lines.linewidth": 1.6,
    "axes.prop_cycle": rcsetup.cycler(color=PALETTE), "legend.frameon": False, "legend.handlelength": 1.4,
    "grid.alpha": 0.15, "grid.linewidth": 0.7,
    "svg.fonttype": "path", "svg.hashsalt": "diffnotes", "path.simplify": True,
}  # fmt: skip

Arguments = ParamSpec("Arguments")
Drawn = TypeVar("Drawn")


def _check_profiles(records: Sequence[Record]) -> None:
    """Raise UserError when two records of one experiment are of two profiles: no figure mixes them."""
    profiles: dict[str, str] = {}
    for record in records:
        first = profiles.setdefault(record.experiment, record.profile)
        if record.profile != first:
            raise UserError(
                f"{record.experiment} records of the profiles {first} and {record.profile} cannot be shown "
                "together; load them with store.load_all, which takes one profile for all."
            )


@dataclass(frozen=True)
class Caption:
    """What stands below a figure or above a table: the finding, what is shown, and what the colours mean."""

    finding: str = ""
    shows: str = ""
    key: Mapping[str, Role | str] = field(default_factory=dict)

    def html(self) -> str:
        """The caption as HTML; "" for an empty one."""
        first = f"<strong>{html.escape(self.finding)}</strong>" if self.finding else ""
        return " ".join(filter(None, [first, html.escape(self.shows), *map(_key, self.key.items())]))


def _key(entry: tuple[str, Role | str]) -> str:
    """A word of the caption with its colour before it."""
    word, role = entry
    color = role.color if isinstance(role, Role) else role
    paint = "currentColor" if color == INK else color
    mark = f'<span aria-hidden="true" style="color: {paint}">■</span>'
    return f'<span class="dn-key">{mark} {html.escape(word)}</span>'


class BookFigure(Figure):
    """A matplotlib figure that knows the records behind it, and shows itself as inline SVG with provenance.

    The caption begins with the `finding`, a sentence with what the records say, goes on with what is drawn
    (`shows`), and explains the colours (`key`: word -> Role or colour). `alt` tells readers who cannot see it
    what it shows; the finding, where nothing is given. `size` is in inches, 96 pixels each. On a phone the
    figure is cut between its columns, so none should be wider than 3.5 inches.
    """

    def __init__(
        self,
        *records: Record,
        finding: str = "",
        shows: str = "",
        key: Mapping[str, Role | str] | None = None,
        alt: str = "",
        size: tuple[float, float] = (6.7, 3.2),
    ) -> None:
        _check_profiles(records)
        super().__init__(figsize=size)
        FigureCanvasAgg(self)
        self.records, self.alt, self.name = records, alt or finding, ""
        self.caption = Caption(finding, shows, dict(key or {}))

    def svg(self) -> str:
        """The drawing as an <svg> element for use inside a page."""
        buffer = io.StringIO()
        with mpl.rc_context(STYLE):
            self.savefig(buffer, format="svg", dpi=DPI, metadata={"Date": None, "Creator": None})
        return inline_svg(buffer.getvalue(), self.alt)

    def _repr_html_(self) -> str:
        return page_figure(self.svg(), self.records, self.alt, self.name, caption=self.caption)


class Markup(str):
    """A table cell of ready HTML; any other cell is plain text."""


class BookTable:
    """A table of results: a sentence, header, rows, and the provenance of its records where it has any.

    Columns of words stand left, columns of numbers right, as their first row has it. A table with cells of
    `Markup` is one to read: on a phone its rows become blocks instead of scrolling.
    """

    def __init__(
        self,
        *records: Record,
        header: Sequence[str],
        rows: Sequence[Sequence[str]],
        note: str = "",
        finding: str = "",
        shows: str = "",
    ) -> None:
        _check_profiles(records)
        self.records, self.header, self.rows, self.note, self.name = records, header, rows, note, ""
        self.caption = Caption(finding, shows)

    def _repr_html_(self) -> str:
        first = self.rows[0] if self.rows else self.header
        sides = [_side(cell) for cell in first]
        head = "".join(map(_heading, self.header, sides))
        body = "".join(f"<tr>{''.join(map(_cell, self.header, row, sides))}</tr>" for row in self.rows)
        table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        note = f'<p class="dn-note">{html.escape(self.note)}</p>' if self.note else ""
        look = "dn-table dn-words" if isinstance(first[0], Markup) else "dn-table"
        label = self.note or ", ".join(self.header)
        content = f'<div class="{look}">{table}</div>'
        return page_figure(content, self.records, label, self.name, note, self.caption)


def _heading(name: str, side: str) -> str:
    return f'<th scope="col" style="{side}; white-space: normal">{html.escape(name)}</th>'


def _cell(name: str, cell: str, side: str) -> str:
    text = cell if isinstance(cell, Markup) else html.escape(cell)
    return f'<td data-label="{html.escape(name)}" style="{side}">{text}</td>'


def _side(cell: str) -> str:
    """Written into the cells, since notebooks outside the book know no style sheet of ours."""
    if isinstance(cell, Markup):
        return "text-align: left; vertical-align: top"
    side = (
        "text-align: left; min-width: 5rem"
        if cell[:1].isalpha()
        else "text-align: right; white-space: nowrap"
    )
    return f"padding: 0.15rem 0.5rem; {side}; vertical-align: bottom"


class Finding:
    """A sentence or two with numbers from records, so that no result is ever typed into the text."""

    def __init__(self, *records: Record, text: str) -> None:
        _check_profiles(records)
        self.records, self.text = records, text

    def _repr_html_(self) -> str:
        return f'{banner(self.records)}<p class="dn-finding">{html.escape(self.text)}</p>'

    def __str__(self) -> str:
        return self.text


def together(*findings: Finding) -> Finding:
    """One paragraph of several findings; each record is named once."""
    records = {record.key: record for finding in findings for record in finding.records}
    return Finding(*records.values(), text=" ".join(finding.text for finding in findings))


def book_figure(draw: Callable[Arguments, Drawn]) -> Callable[Arguments, Drawn]:
    """Decorator of a function that draws a figure or a table: the book's style holds in it, nowhere else.

    The function's name becomes the anchor of what it draws, so that claims can point to it.
    """

    @functools.wraps(draw)
    def styled(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Drawn:
        with mpl.rc_context(STYLE):
            drawn = draw(*args, **kwargs)
        if isinstance(drawn, (BookFigure, BookTable)):
            drawn.name = draw.__name__
        return drawn

    return styled


FRAME_STYLE: Any = {name: GREY if value == INK else value for name, value in STYLE.items()}


def book_frame(draw: Callable[Arguments, Drawn]) -> Callable[Arguments, Drawn]:
    """Like `book_figure` with grey ink, for frames of sliders: pixels cannot follow the page."""

    @functools.wraps(draw)
    def styled(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Drawn:
        with mpl.rc_context(FRAME_STYLE):
            return draw(*args, **kwargs)

    return styled


def log_ticks(axis: Axis, *ticks: float) -> None:
    """A logarithmic axis with plain numbers at these places."""
    axis.set_ticks(ticks, [f"{tick:g}" for tick in ticks])
    axis.set_minor_formatter(NullFormatter())


def inline_svg(text: str, alt: str) -> str:
    """An SVG file's text made fit for a page: own ids and styles, pixels, the page's ink, a spoken label."""
    body = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    name = "f" + hashlib.sha256(body.encode()).hexdigest()[:8]
    body = body.replace(' id="', f' id="{name}-').replace('href="#', f'href="#{name}-')
    body = body.replace("url(#", f"url(#{name}-").replace(INK, "currentColor")
    body = re.sub(r' d="[^"]*"', _rounded, body)
    body = re.sub(r"\s*\n\s*", "\n", re.sub(r'<g id="[^"]*"', "<g", body))  # nothing refers to a group
    body = body.replace("*{", f"#{name} *{{")  # else matplotlib's style would hold for the whole page
    width, height = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', body).groups()  # type: ignore[union-attr]
    head = (
        f'<svg id="{name}" role="img" aria-label="{html.escape(alt)}" viewBox="0 0 {width} {height}" '
        f'width="{_pixels(width)}" height="{_pixels(height)}" xmlns="http://www.w3.org/2000/svg" '
        'xmlns:xlink="http://www.w3.org/1999/xlink">'
    )
    return head + body[body.index(">") + 1 :].strip()


def _rounded(path: re.Match[str]) -> str:
    """Path coordinates to a hundredth of a point: half the bytes, and nothing an eye could see."""
    return re.sub(r"(\.\d\d)\d+", r"\1", path[0]).replace("\n", "")


def _pixels(points: str) -> int:
    return round(float(points) * 96 / 72)


def page_figure(
    content: str,
    records: Sequence[Record],
    label: str,
    name: str = "",
    note: str = "",
    caption: Caption = Caption(),
) -> str:
    """`content` in a box that scrolls sideways where it must, with warnings and a note above, and caption and
    provenance below.
    """
    text, anchor = html.escape(label), f' id="{name}"' if name else ""
    box = f'{note}<div tabindex="0" role="group" aria-label="{text}" style="overflow-x: auto">{content}</div>'
    if not records:
        return f'<div class="dn-plain"{anchor}>{box}</div>'
    lines = "<br>".join(html.escape(record.provenance()) for record in records)
    words = f'<p class="dn-caption">{caption.html()}</p>' if caption.html() else ""
    below = f'<figcaption>{words}<span class="dn-provenance">{lines}</span></figcaption>'
    return f'<figure class="dn-figure"{anchor}>{banner(records)}{box}{below}</figure>'


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


def plus_minus(value: float, error: float) -> str:
    """Value and standard error, both to two digits of the error, and to four decimals at most."""
    digits = min(4, max(0, 1 - math.floor(math.log10(error)))) if error > 0 else 3
    return f"{value:.{digits}f} ± {error:.{digits}f}"


def power_of_ten(value: float) -> str:
    """A number far from 1 as people write it: 5 × 10⁻⁴⁰; zero stays 0."""
    if value == 0:
        return "0"
    digits, exponent = f"{value:.0e}".split("e")
    raised = str(int(exponent)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return f"{digits} × 10{raised}"


def picture(axes: Axes, pixels: np.ndarray, title: str) -> None:
    """An image [c, h, w] of bytes without axes."""
    axes.imshow(pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0), cmap="gray", vmin=0, vmax=255)
    axes.set(xticks=[], yticks=[], title=title)
    axes.spines[:].set_visible(False)
