"""Where the words of a figure lie, for tests that none covers another."""

from __future__ import annotations

import itertools

import pytest
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from diffnotes.show.style import BookFigure


def texts(figure: BookFigure) -> dict[str, Bbox]:
    """What the figure writes, with its boxes in pixels; equal texts get a number."""
    found: dict[str, Bbox] = {}
    draw = Text.draw

    def note(self, renderer, *args, **kwargs):
        if self.get_visible() and self.get_text().strip():
            found[f"{self.get_text()} {len(found)}"] = self.get_window_extent(renderer)
        return draw(self, renderer, *args, **kwargs)

    figure.canvas.draw()  # the layout is found in the first drawing
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Text, "draw", note)
        figure.canvas.draw()
    return found


def collisions(boxes: dict[str, Bbox]) -> list[tuple[str, str]]:
    """Texts that touch each other."""
    pairs = itertools.combinations(boxes, 2)
    shared = {pair: Bbox.intersection(boxes[pair[0]], boxes[pair[1]]) for pair in pairs}
    return [pair for pair, box in shared.items() if box is not None and box.width * box.height > 0]
