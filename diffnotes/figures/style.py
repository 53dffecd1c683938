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
from collections.abc import Callable, Sequence
from typing import Any, ParamSpec, TypeVar

import matplotlib as mpl
from matplotlib import rcsetup
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from diffnotes.store import Record

INK = "#0a0b0c"  # near black where colours are fixed (PDF, PNG); becomes currentColor in the page
GREY = "#7f848c"  # for pictures that cannot follow the page: legible on white and on the dark page
BLUE, ORANGE, GREEN, PURPLE = "#3280dd", "#cb5a1a", "#139948", "#9065d0"
TEAL, PINK, OCHRE = "#079393", "#c3518d", "#a17905"
PALETTE = (BLUE, ORANGE, GREEN, PURPLE, TEAL, PINK, OCHRE)
RAMP = LinearSegmentedColormap.from_list(  # ordered lines: one lightness, hue from blue to orange
    "ramp", ["#447be4", "#746ee1", "#9561d2", "#af57b9", "#c24e99", "#ce4a74", "#d24c4a", "#cf5604"]
)
FADE = LinearSegmentedColormap.from_list(  # fields: nothing at the low end, so that the page shows through
    "fade", [("#447be400"), ("#746ee166"), ("#af57b9a6"), ("#ce4a74cc"), ("#cf5604f2")]
)
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


class BookFigure(Figure):
    """A matplotlib figure that knows the records behind it, and shows itself as inline SVG with provenance.

    `alt` says in one sentence what the figure shows, for readers who cannot see it. `size` is in inches, 96
    pixels each.
    """

    def __init__(self, *records: Record, alt: str, size: tuple[float, float] = (6.7, 3.2)) -> None:
        super().__init__(figsize=size)
        FigureCanvasAgg(self)
        self.records, self.alt, self.name = records, alt, ""

    def svg(self) -> str:
        """The drawing as an <svg> element for use inside a page."""
        buffer = io.StringIO()
        with mpl.rc_context(STYLE):
            self.savefig(buffer, format="svg", dpi=DPI, metadata={"Date": None, "Creator": None})
        return inline_svg(buffer.getvalue(), self.alt)

    def _repr_html_(self) -> str:
        return page_figure(self.svg(), self.records, self.alt, self.name)


class BookTable:
    """A small table of results: a sentence, header, rows of text, provenance."""

    def __init__(
        self, *records: Record, header: Sequence[str], rows: Sequence[Sequence[str]], note: str = ""
    ) -> None:
        self.records, self.header, self.rows, self.note, self.name = records, header, rows, note, ""

    def _repr_html_(self) -> str:
        head = "".join(f'<th scope="col" style="{HEAD}">{html.escape(cell)}</th>' for cell in self.header)
        body = "".join("<tr>" + "".join(map(_cell, row)) + "</tr>" for row in self.rows)
        note = f'<caption style="caption-side: top">{html.escape(self.note)}</caption>' if self.note else ""
        table = f"<table>{note}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        label = self.note or ", ".join(self.header)
        return page_figure(f'<div class="dn-table">{table}</div>', self.records, label, self.name)


HEAD = "padding: 0.15rem 0.6rem; text-align: right; vertical-align: bottom; white-space: normal"
CELL = "padding: 0.15rem 0.6rem; text-align: right; white-space: nowrap"


def _cell(text: str) -> str:
    return f'<td style="{CELL}">{html.escape(text)}</td>'


class Finding:
    """A sentence or two with numbers from records, so that no result is ever typed into the text."""

    def __init__(self, *records: Record, text: str) -> None:
        self.records, self.text = records, text

    def _repr_html_(self) -> str:
        return f'{banner(self.records)}<p class="dn-finding">{html.escape(self.text)}</p>'

    def __str__(self) -> str:
        return self.text


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


def page_figure(content: str, records: Sequence[Record], label: str, name: str = "") -> str:
    """`content` in a box that scrolls sideways where it must, with warnings above and provenance below."""
    text = html.escape(label)
    box = f'<div tabindex="0" role="group" aria-label="{text}" style="overflow-x: auto">{content}</div>'
    lines = "<br>".join(html.escape(record.provenance()) for record in records)
    caption = f'<figcaption class="dn-provenance">{lines}</figcaption>' if records else ""
    anchor = f' id="{name}"' if name else ""
    return f'<figure class="dn-figure"{anchor}>{banner(records)}{box}{caption}</figure>'


def banner(records: Sequence[Record]) -> str:
    """A visible warning for every record that the code no longer supports; empty when all hold."""
    return "".join(
        f'<div class="dn-stale" role="note"><strong>This result is {html.escape(record.state)}.</strong> '
        f"{html.escape(record.reason)}</div>"
        for record in records
        if record.state != "valid"
    )


def plus_minus(value: float, error: float) -> str:
    """Value and standard error, both to two digits of the error, and to four decimals at most."""
    digits = min(4, max(0, 1 - math.floor(math.log10(error)))) if error > 0 else 3
    return f"{value:.{digits}f} ± {error:.{digits}f}"
