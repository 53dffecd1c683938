"""Computations that are stopped at every step and begun again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from diffnotes.store import Arrays, Unfinished, Work


def in_slices(compute: Callable[[Any, Work], Arrays], spec: Any, folder: Path) -> tuple[Arrays, int]:
    """The arrays of a run that stops after each of its steps, and how often it was begun."""
    for turn in range(1, 101):
        try:
            return compute(spec, Work(folder, max_seconds=0)), turn
        except Unfinished:
            continue
    raise AssertionError("A run in slices does not come to an end.")


def same(whole: Arrays, pieces: Arrays) -> bool:
    """Whether both have the same arrays, bit for bit; NaN is the same as NaN."""
    return whole.keys() == pieces.keys() and all(
        np.array_equal(one, pieces[name], equal_nan=one.dtype.kind == "f") for name, one in whole.items()
    )
