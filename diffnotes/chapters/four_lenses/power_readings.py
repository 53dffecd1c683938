"""How small a change the numbers of chapter 5 can show, at each training-set size."""

from __future__ import annotations

import numpy as np

from diffnotes.chapters.four_lenses.readings import LENSES, relapses
from diffnotes.show.resolution import Seen, told
from diffnotes.store import Record


def lenses(record: Record, size: int) -> list[Seen]:
    """Every lens of chapter 5 at the last steady checkpoint, over the widths at one training-set size; those
    that are positive for all seeds at one width at least."""
    last = steady(record, size)
    read = ((lens.word, np.asarray(lens.read(record), float)[size, :, :, last]) for lens in LENSES)
    return told((word, values[(values > 0).all(1)]) for word, values in read)


def steady(record: Record, size: int) -> int:
    """The last checkpoint at which no run of a training-set size is thrown back by a jump of its loss."""
    return int(np.flatnonzero(~relapses(record)[size].any((0, 1)))[-1])
