"""How small a change the numbers of chapter 5 can show, at each training-set size."""

from __future__ import annotations

import numpy as np

from diffnotes.chapters.four_lenses.readings import LENSES, relapses
from diffnotes.show.resolution import Seen, told
from diffnotes.store import Record

OVERLAPS = ("inside", "inside_left")  # shares whose ceiling is that of noised training images, 98 %
FULL = 0.9  # of such a share: whatever is above is at the ceiling


def lenses(record: Record, size: int) -> list[Seen]:
    """Every lens of chapter 5 at the last steady checkpoint, over the widths at one training-set size: those
    that are positive for all seeds at one width at least. An overlap that is at its ceiling everywhere is
    left out: nothing can be seen there."""
    last = steady(record, size)
    read = {lens: np.asarray(lens.read(record), float)[size, :, :, last] for lens in LENSES}
    full = {lens for lens, values in read.items() if lens.name in OVERLAPS and values.min() > FULL}
    return told(
        (lens.word, values[(values > 0).all(1)]) for lens, values in read.items() if lens not in full
    )


def steady(record: Record, size: int) -> int:
    """The last checkpoint at which no run of a training-set size is thrown back by a jump of its loss."""
    return int(np.flatnonzero(~relapses(record)[size].any((0, 1)))[-1])
