"""How the book's figures and tables look: inline SVG that follows light and dark pages, and what they say.

A figure is drawn once, in the colours of `colours`; `svg` makes it fit for a page, `page` surrounds it with
number, caption and record.
"""

from __future__ import annotations

import functools
import html
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ParamSpec, TypeVar

import matplotlib as mpl
import numpy as np
from matplotlib import rcsetup
from matplotlib.axes import Axes
from matplotlib.axis import Axis, XAxis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullFormatter

from diffnotes.show import svg
from diffnotes.show.colours import (
    FADE,
    GREY,
    HELD_OUT,
    INK,
    OCHRE,
    OPTIMUM,
    PALETTE,
    PINK,
    SAMPLER,
    TEAL,
    TRAIN,
    Role,
    ramp,
)
from diffnotes.show.labels import check_profiles, power_of_ten
from diffnotes.show.page import Caption, anchored, banner, page_figure, record_fold
from diffnotes.store import Record

# What chapters import from here.
__all__ = [
    "FADE", "GREY", "HELD_OUT", "INK", "OCHRE", "OPTIMUM", "PALETTE", "PINK", "SAMPLER", "STYLE", "TEAL",
    "TRAIN", "BookFigure", "BookTable", "Caption", "Sentence", "Markup", "Role", "book_figure", "book_frame",
    "check_profiles", "log_ticks", "picture", "plain_ticks", "plus_minus", "power_of_ten", "ramp", "together",
]  # fmt: skip

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
        check_profiles(records)
        super().__init__(figsize=size)
        FigureCanvasAgg(self)
        self.records, self.alt, self.name = records, alt or finding, ""
        self.caption = Caption(finding, shows, dict(key or {}))

    def svg(self) -> str:
        """The drawing as one <svg> element, for a file or a page."""
        with mpl.rc_context(STYLE):
            return svg.whole(self, self.alt)

    def panels(self) -> str:
        """The drawing as a box of pieces that wrap on narrow pages and paper."""
        with mpl.rc_context(STYLE):
            pieces = svg.pieces(self)
        # Written into the elements, since notebooks outside the book know no style sheet of ours.
        style = "display:flex;flex-wrap:wrap;align-items:flex-start;overflow-x:auto"
        reach = ' tabindex="0"' if svg.scrolls(pieces) else ""
        label = f'role="img" aria-label="{html.escape(self.alt)}"{reach}'
        return f'<div class="dn-panels" {label} style="{style}">{pieces}</div>'

    def _repr_html_(self) -> str:
        return page_figure(self.panels(), self.records, self.name, self.caption)


LONGEST_NUMBER = 15  # characters that stay on one line, as "0.3623 ± 0.0033" does


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
        finding: str = "",
        shows: str = "",
    ) -> None:
        check_profiles(records)
        self.records, self.header, self.rows, self.name = records, header, rows, ""
        self.caption = Caption(finding, shows)

    def _repr_html_(self) -> str:
        first = self.rows[0] if self.rows else self.header
        sides = [_side(cell) for cell in first]
        head = "".join(map(_heading, self.header, sides))
        body = "".join(f"<tr>{''.join(map(_cell, self.header, row, sides))}</tr>" for row in self.rows)
        table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        look = "dn-table dn-words" if isinstance(first[0], Markup) else "dn-table"
        label = html.escape(self.caption.finding or self.caption.shows or ", ".join(self.header))
        box = f'role="group" tabindex="0" aria-label="{label}" style="overflow-x:auto"'
        content = f'<div class="{look}" {box}>{table}</div>'
        return page_figure(content, self.records, self.name, self.caption, above=True)


def _heading(name: str, side: str) -> str:
    """A heading wraps, also between the words that `side` keeps together in the cells below it."""
    style = side.replace("white-space:nowrap", "white-space:normal")
    if not name.strip():  # a heading of nothing is none
        return f'<td style="{style}"></td>'
    return f'<th scope="col" style="{style}">{html.escape(name)}</th>'


def _cell(name: str, cell: str, side: str) -> str:
    text = cell if isinstance(cell, Markup) else html.escape(cell)
    return f'<td data-label="{html.escape(name)}" style="{side}">{text}</td>'


def wordy(cell: str) -> bool:
    """Whether a cell is words: it begins with one, or is long and has more letters than not."""
    mostly = 2 * sum(map(str.isalpha, cell)) > len(cell) > LONGEST_NUMBER
    return mostly or cell[:1].isalpha()


def _side(cell: str) -> str:
    """Written into the cells, since notebooks outside the book know no style sheet of ours."""
    if isinstance(cell, Markup):
        return "text-align:left;vertical-align:top"
    if wordy(cell):
        return "padding:.15rem .5rem;text-align:left;vertical-align:bottom"
    nowrap = "white-space:nowrap;" if len(cell) <= LONGEST_NUMBER else ""
    look = "vertical-align:bottom;font-variant-numeric:tabular-nums"
    return f"padding:.15rem .5rem;text-align:right;{nowrap}{look}"


class Sentence:
    """A sentence or two with numbers from records, so that no result is ever typed into the text."""

    def __init__(self, *records: Record, text: str) -> None:
        check_profiles(records)
        self.records, self.text = records, text

    def _repr_html_(self) -> str:
        text = f'<p class="dn-finding">{html.escape(self.text)}</p>'
        return f'<div class="dn-found">{banner(self.records)}{text}{record_fold(self.records)}</div>'

    def __str__(self) -> str:
        return self.text


def together(*findings: Sentence) -> Sentence:
    """One paragraph of several findings; each record is named once."""
    records = {record.key: record for finding in findings for record in finding.records}
    return Sentence(*records.values(), text=" ".join(finding.text for finding in findings))


def book_figure(draw: Callable[Arguments, Drawn]) -> Callable[Arguments, Drawn]:
    """Decorator of a function that draws a figure or a table: the book's style holds in it, nowhere else.

    The function's name becomes the anchor of what it draws, so that claims can point to it. What it draws of
    other records, or with other arguments, on the same page has a number behind the name: name-2, name-3.
    """

    @functools.wraps(draw)
    def styled(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Drawn:
        with mpl.rc_context(STYLE):
            drawn = draw(*args, **kwargs)
        if isinstance(drawn, (BookFigure, BookTable)):
            drawn.name = anchored(draw.__name__, *map(_known, args), *map(_known, kwargs.items()))
        return drawn

    return styled


def _known(argument: object) -> object:
    """What tells one drawing from another: the record's key, or the argument as text."""
    return argument.key if isinstance(argument, Record) else repr(argument)


# Frames of sliders stand on a white plate in light and dark: pixels cannot follow the page, and no one ink
# reads on both.
FRAME_STYLE: Any = {
    **STYLE,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "savefig.transparent": False,
}


def book_frame(draw: Callable[Arguments, Drawn]) -> Callable[Arguments, Drawn]:
    """Like `book_figure` on a white ground, for frames of sliders."""

    @functools.wraps(draw)
    def styled(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Drawn:
        with mpl.rc_context(FRAME_STYLE):
            return draw(*args, **kwargs)

    return styled


def band(axes: Axes, x: np.ndarray, values: np.ndarray, style: dict[str, Any]) -> None:
    """The mean over seeds of [seed, x], and from the lowest to the highest seed."""
    axes.fill_between(x, values.min(0), values.max(0), color=style["color"], alpha=0.2, lw=0)
    axes.plot(x, values.mean(0), **style)


def log_ticks(axis: Axis, *ticks: float) -> None:
    """A logarithmic axis with plain numbers at these places."""
    axis.set_ticks(ticks, [f"{tick:g}" for tick in ticks])
    axis.set_minor_formatter(NullFormatter())


def plain_ticks(axis: Axis) -> None:
    """The same at round numbers within what it shows now, be its ends near to each other or far apart."""
    low, high = sorted(axis.get_view_interval())
    far = 100 if isinstance(axis, XAxis) else 300  # numbers beside each other need more room
    if high / low < 5:
        found = np.asarray(MaxNLocator(4).tick_values(low, high))
    else:
        tens = 10.0 ** np.arange(np.floor(np.log10(low)), np.ceil(np.log10(high)) + 1)
        found = np.outer(tens, (1, 2, 5) if high / low < far else (1,)).ravel()
    axis.axes.minorticks_off()
    log_ticks(axis, *(float(f"{tick:.6g}") for tick in found if low <= tick <= high))


def plus_minus(value: float, error: float) -> str:
    """Value and standard error, both to two digits of the error, and to four decimals at most."""
    digits = min(4, max(0, 1 - math.floor(math.log10(error)))) if error > 0 else 3
    return f"{value:.{digits}f} ± {error:.{digits}f}"


def picture(axes: Axes, pixels: np.ndarray, title: str) -> None:
    """An image [c, h, w] of bytes without axes; a page holds its pixels, not more."""
    shown = pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0)
    axes.imshow(shown, cmap="gray", vmin=0, vmax=255, interpolation="none")
    axes.set(xticks=[], yticks=[], title=title)
    axes.spines[:].set_visible(False)
