"""One colour contract for the whole book: what each colour means, and how it looks on light and dark pages.

Figures are drawn in colours that read on any ground. On the book's own pages each becomes a CSS variable,
darker on light pages and lighter on dark ones: `python -m diffnotes.show.colours` writes their style sheet,
book/static/colours.css. What the colours must hold, in all common colour-vision deficiencies and in grey, is
measured in tests/show/test_colours.py.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.colors import LinearSegmentedColormap, to_hex

INK = "#0a0b0c"  # near black where colours are fixed (PDF, PNG); becomes currentColor in the page
GREY = "#7f848c"  # lines of little weight; too faint for text
BLUE, ORANGE, GREEN = "#2a86e0", "#cb5a1a", "#1f7d68"
PURPLE, TEAL, PINK, OCHRE = "#9065d0", "#3d8299", "#c3518d", "#94802f"
PALETTE = (BLUE, ORANGE, GREEN, PINK, OCHRE, PURPLE, TEAL)  # neighbours differ for everybody

# Colour: its name, and its values on light and on dark pages. The ink is that of the page.
ON_PAGES = {
    GREY: ("grey", "#5f6670", "#a3aab4"),
    BLUE: ("blue", "#1d559f", "#3d7fe0"),
    ORANGE: ("orange", "#c44b0d", "#f5701f"),
    GREEN: ("green", "#25a083", "#5fd39b"),
    PURPLE: ("purple", "#6d43b4", "#b795f0"),
    TEAL: ("teal", "#0d5f78", "#2f93a0"),
    PINK: ("pink", "#a83273", "#ee8fc4"),
    OCHRE: ("ochre", "#86700a", "#cdb75a"),
}
INKS = ("#222832", "#eef2f6")  # of figures on light and on dark pages
STEPS = 21  # of the ramp, so that each can have a value on light and on dark pages


def _ramp(*colours: str) -> LinearSegmentedColormap:
    return LinearSegmentedColormap.from_list("ramp", colours, N=STEPS)


# Ordered curves: from dark to bright, violet to rose, with no hue of a role.
RAMP = _ramp("#665cac", "#9e55ad", "#cc4e9b", "#e15a81", "#e4716c")
LIGHT_RAMP = _ramp("#2d2b73", "#732c82", "#ad2f80", "#cf4a72", "#e06e6a")
DARK_RAMP = _ramp("#776cbe", "#c074ce", "#fe80ca", "#feadbf", "#fdd3cf")
ON_PAGES |= {
    to_hex(RAMP(step)): (f"ramp-{step}", to_hex(LIGHT_RAMP(step)), to_hex(DARK_RAMP(step)))
    for step in range(STEPS)
}
# Fields: the page shows through where the value is low, and no role's hue is taken.
FADE = LinearSegmentedColormap.from_list(
    "fade", ["#84749c00", "#85699c4d", "#87599a99", "#8f4796d0", "#963690f2"]
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
ROLES = (TRAIN, HELD_OUT, SAMPLER, OPTIMUM)


def ramp(place: int, count: int) -> str:
    """The colour of the curve at `place` of `count` ordered ones."""
    return to_hex(RAMP(place / max(count - 1, 1)))


def paint(color: str) -> str:
    """A colour as CSS: the page's ink, a variable of the book's pages, or itself."""
    if color == INK:
        return "currentColor"
    return f"var(--dn-{ON_PAGES[color][0]},{color})" if color in ON_PAGES else color


def painted(text: str) -> str:
    """CSS or SVG with each colour of the book as `paint` has it."""
    return re.sub(r"#[0-9a-f]{6}\b", lambda found: paint(found[0]), text)


def style_sheet() -> str:
    """The variables on light pages, on dark ones, and on paper, which is light whatever the screen was."""
    values = [("ink", *INKS), *ON_PAGES.values()]
    light = _variables({name: light for name, light, _ in values})
    dark = _variables({name: dark for name, _, dark in values})
    return (
        "/* Written by `python -m diffnotes.show.colours`. */\n"
        f':root {{\n{light}}}\n@media screen {{\nhtml[data-theme="dark"] {{\n{dark}}}\n}}\n'
    )


def _variables(values: Mapping[str, str]) -> str:
    return "".join(f"  --dn-{name}: {value};\n" for name, value in values.items())


if __name__ == "__main__":
    root = Path(__file__).resolve().parents[2]
    (root / "book" / "static" / "colours.css").write_text(style_sheet(), encoding="utf-8")
