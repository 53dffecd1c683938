"""The chapters, one room each: experiments, readings, figures, tables, sliders, claims.

A room is a folder with a line in ROOMS. Its `EXPERIMENTS` says which of its modules holds which experiment;
its `claims.py` and `claims.toml`, where there are any, are found by themselves.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from types import ModuleType

from diffnotes.base.errors import quoted
from diffnotes.store import Experiment, SpecError

ROOMS = (
    "toy",
    "gap",
    "supervision",
    "underfitting",
    "selective",
    "extrapolation",
    "memorization",
    "random_features",
    "loss_floor",
    "loss_gap",
    "training_schedule",
    "scaling",
    "four_lenses",
    "your_model",
    "speed",
    "power",
)


def rooms() -> list[ModuleType]:
    """The rooms, in the order of the book."""
    return [importlib.import_module(f"diffnotes.chapters.{room}") for room in ROOMS]


def names() -> tuple[str, ...]:
    """The names of all experiments, in the order of the book."""
    return tuple(name for room in rooms() for name in room.EXPERIMENTS)


def find(name: str) -> Experiment:
    """The experiment of that name; an unknown one is an error that lists them."""
    known = {one: room for room in rooms() for one in room.EXPERIMENTS}
    if name not in known:
        raise SpecError(f"experiment must be one of {', '.join(known)}; not {quoted(name)}.")
    room = known[name]
    return importlib.import_module(f"{room.__name__}.{room.EXPERIMENTS[name]}").EXPERIMENT


def every() -> Iterator[Experiment]:
    """All experiments, in the order of the book."""
    return map(find, names())
