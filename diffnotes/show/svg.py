"""A drawing as inline SVG: small, in the colours of the page, and cut where a narrow page may break it."""

from __future__ import annotations

import hashlib
import html
import io
import itertools
import re
from collections.abc import Iterator, Sequence
from typing import Any
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure, FigureBase

from diffnotes.show.colours import painted

DPI = 110  # of what is rasterized inside an SVG
PIXEL = 96 / 72  # in points, in which SVG files are written
LEAST_TEXT = 8  # pixels on the narrowest page
NARROW, PHONE = 100, 262  # points: less is no piece of its own; what a phone shows without scrolling
FINE = 40  # points of a path above which a tenth of a point is fine enough for each
HUNDREDTHS = re.compile(r"(\.\d\d)\d+")
CLIP = "clip-path"
NAMESPACES = re.compile(r"\{[^}]*\}")


def drawing(figure: Figure) -> str:
    """The figure as matplotlib writes it, made small: one <g> without line breaks and foreign names."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", dpi=DPI, metadata={"Date": None, "Creator": None})
    root = ElementTree.fromstring(buffer.getvalue())
    _tidy(root)
    name = "f" + hashlib.sha256(ElementTree.tostring(root)).hexdigest()[:7]
    _rename(root, name)
    body = "".join(_text(child) for child in root)
    # What matplotlib writes as a rule for all elements of the page.
    return painted(f'<g id="{name}" stroke-linejoin="round">{body}</g>')


def whole(figure: Figure, alt: str) -> str:
    """The figure as one <svg> element."""
    width, height = (72 * inches for inches in figure.get_size_inches())
    size = f'width="{round(width * PIXEL)}" height="{round(height * PIXEL)}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{html.escape(alt)}"'
    return f'{head} viewBox="0 0 {width:.6g} {height:.6g}" {size}>{drawing(figure)}</svg>'


def pieces(figure: Figure) -> str:
    """The figure as <svg> elements that stand side by side or, on a narrow page, below one another. The first
    holds the drawing, the others show their part of it.
    """
    body, height = drawing(figure), 72 * figure.get_size_inches()[1]
    name, smallest = re.search(r'id="(\w+)"', body)[1], _smallest(body)  # type: ignore[index]
    edges = [0.0, *cuts(figure), 72 * figure.get_size_inches()[0]]
    parts = [body, *itertools.repeat(f'<use href="#{name}"/>', len(edges) - 2)]
    return "".join(
        f'<svg aria-hidden="true" viewBox="{left:.6g} 0 {right - left:.6g} {height:.6g}" '
        f'style="{_flexible(right - left, smallest)}">{part}</svg>'
        for (left, right), part in zip(itertools.pairwise(edges), parts, strict=True)
    )


def scrolls(drawn: str) -> bool:
    """Whether pieces are too wide for a phone even at their smallest, so that keys must reach them."""
    return any(int(least) > PHONE * PIXEL - 30 for least in re.findall(r"min-width:(\d+)px", drawn))


def _flexible(points: float, smallest: float) -> str:
    """As wide as drawn where there is room, and narrower down to legible text."""
    width = points * PIXEL
    least = width * min(1.0, LEAST_TEXT / (smallest * PIXEL))
    basis = max(0.75 * width, least)
    return f"flex:{points:.0f} 1 {basis:.0f}px;min-width:{least:.0f}px;max-width:{width:.0f}px"


def _smallest(body: str) -> float:
    """The size of the smallest text, in points; indices and exponents do not count."""
    sizes = [100 * float(size) for size in re.findall(r"scale\(([\d.]+) -", body)]
    return min(sizes, default=10.0)


# --- where to cut ---


def cuts(figure: Figure) -> list[float]:
    """Places, in points from the left, at which nothing is drawn and the figure may be cut into columns."""
    spans = sorted(_spans(figure))
    columns: list[list[float]] = []
    for left, right in spans:
        if columns and left <= columns[-1][1]:
            columns[-1][1] = max(columns[-1][1], right)
        else:
            columns.append([left, right])
    joined = _join(columns)
    return [(before[1] + after[0]) / 2 for before, after in itertools.pairwise(joined)]


def _spans(figure: Figure) -> Iterator[tuple[float, float]]:
    """From where to where each axes with all its words reaches, and each thing that belongs to no axes."""
    canvas = figure.canvas if isinstance(figure.canvas, FigureCanvasAgg) else FigureCanvasAgg(figure)
    renderer = canvas.get_renderer()
    for artist in _artists(figure):
        box = artist.get_tightbbox(renderer) if artist.get_visible() else None
        if box is not None and box.width > 0:
            yield 72 * box.x0 / figure.dpi, 72 * box.x1 / figure.dpi


def _artists(part: Any) -> Iterator[Any]:
    for artist in part.get_children():
        if isinstance(artist, FigureBase):
            yield from _artists(artist)
        elif artist is not part.patch:
            yield artist


def _join(columns: Sequence[Sequence[float]]) -> list[list[float]]:
    """Columns too narrow to stand alone go with the one before, while a phone can show both."""
    joined: list[list[float]] = []
    for left, right in columns:
        narrow = joined and (right - left < NARROW or joined[-1][1] - joined[-1][0] < NARROW)
        if narrow and right - joined[-1][0] <= PHONE:
            joined[-1][1] = right
        else:
            joined.append([left, right])
    return joined


# --- making it small ---


def _tidy(root: Element) -> None:
    """Drop what says nothing: metadata, style of all elements, groups and names without use, blanks."""
    used = set(re.findall(r"#([\w.-]+)", ElementTree.tostring(root, encoding="unicode")))
    for parent in root.iter():
        parent.text = parent.tail = None
        parent.tag = NAMESPACES.sub("", parent.tag)
        parent.attrib = dict(_attributes(parent, used))
    _unwrap(root)
    for parent in list(root.iter()):
        _gather(parent)


def _attributes(element: Element, used: set[str]) -> Iterator[tuple[str, str]]:
    for key, value in element.attrib.items():
        name = NAMESPACES.sub("", key)
        if name == "d":
            yield name, _path(value)
        elif name == "style":
            yield name, value.replace(": ", ":").replace("; ", ";")
        elif name in ("x", "y", "width", "height"):
            yield name, HUNDREDTHS.sub(r"\1", value)
        elif name == "transform":
            yield _placed(element, value)
        elif name != "type" and (name != "id" or value in used):
            yield name, value


def _placed(element: Element, value: str) -> tuple[str, str]:
    """A transform; a letter that is only moved to the right says so in fewer words."""
    value = re.sub(r"translate\([^)]*\)", lambda found: HUNDREDTHS.sub(r"\1", found[0]), value)
    shift = re.fullmatch(r"translate\((\S+) 0\)", value)
    return ("x", shift[1]) if shift and element.tag.endswith("use") else ("transform", value)


def _unwrap(element: Element) -> None:
    children: list[Element] = []
    for child in list(element):
        _unwrap(child)
        if child.tag in ("metadata", "style") or (child.tag in ("g", "defs") and not len(child)):
            continue
        if (
            children
            and child.tag == "g"
            and child.attrib == children[-1].attrib
            and set(child.attrib) == {CLIP}
        ):
            children[-1].extend(child)  # one frame around many marks
        else:
            children.extend(child if child.tag == "g" and not child.attrib else [child])
    element[:] = children


def _gather(parent: Element) -> None:
    """Marks side by side that look alike say so once."""
    children: list[Element] = []
    for style, run in itertools.groupby(parent, key=_look):
        marks = list(run)
        if style and len(marks) > 1:
            group = Element("g", {"style": style})
            group.extend(marks)
            for mark in marks:
                del mark.attrib["style"]
            marks = [group]
        children += marks
    parent[:] = children


def _look(mark: Element) -> str:
    """The style of a mark that a group could give it; "" for all else."""
    style = mark.attrib.get("style", "")
    return style if mark.tag == "use" and not re.search(r"(^|;)opacity", style) else ""


def _rename(root: Element, name: str) -> None:
    """Short names that no other figure of the page has."""
    names = {
        element.attrib["id"]: f"{name}{place:x}"
        for place, element in enumerate(root.iter())
        if "id" in element.attrib
    }
    for element in root.iter():
        for key, value in element.attrib.items():
            if key == "id":
                element.attrib[key] = names[value]
            elif "#" in value and key in ("href", CLIP, "mask", "fill", "style"):
                element.attrib[key] = re.sub(
                    r"(^|url\()#([\w.-]+)", lambda found: f"{found[1]}#{names.get(found[2], found[2])}", value
                )


def _text(element: Element) -> str:
    return ElementTree.tostring(element, encoding="unicode").replace(" />", "/>")


def _path(data: str) -> str:
    """Absolute moves, lines and curves as relative ones, to a tenth or a hundredth of a point."""
    words = data.split()
    digits = 1 if len(words) > 3 * FINE else 2
    commands = re.findall(r"([MLQCzZ])([^MLQCzZ]*)", " ".join(words))
    here = start = [0, 0]  # in units of the last digit, so that rounding does not add up
    out = []
    for command, text in commands:
        numbers = [round(float(word) * 10**digits) for word in text.split()]
        out.append(command.lower() + _relative(numbers, here, digits))
        start = numbers if command == "M" else start
        here = numbers[-2:] or start
    return "".join(out)


def _relative(numbers: Sequence[int], here: Sequence[int], digits: int) -> str:
    """'1.5-.25.5': in as few characters as SVG can read."""
    text = last = ""
    for place, number in enumerate(numbers):
        word = _short(number - here[place % 2], digits)
        apart = bool(text) and word[0] != "-" and not (word[0] == "." and "." in last)
        text, last = f"{text}{' ' * apart}{word}", word
    return text


def _short(units: int, digits: int) -> str:
    """'.5' for five tenths."""
    word = f"{units / 10**digits:.{digits}f}".rstrip("0").rstrip(".")
    return re.sub(r"^(-?)0\.", r"\1.", word) if word not in ("", "-") else "0"
