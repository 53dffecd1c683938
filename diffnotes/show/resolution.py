"""What the book's comparisons resolve, over seeds and over samples, and how tables say it.

All settings of a record share their seeds: images, initial weights and noise. So settings are compared seed
by seed, and only the part of the scatter counts that seeds do not share.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from diffnotes.base import power

EFFECT = 0.1  # the change that is to be seen
LOG_EFFECT = math.log1p(EFFECT)
WANTED = f"{100 * EFFECT:.0f} %"
NOTHING = "–"  # where nothing can be said
FOLD = 10


@dataclass(frozen=True)
class Seen:
    """What differences of a number can be seen, from its positive values [setting, seed]."""

    name: str
    values: np.ndarray

    @property
    def seeds(self) -> int:
        """How many there are."""
        return self.values.shape[1]

    @property
    def smallest(self) -> float:
        """The relative change that is seen with these seeds."""
        return math.expm1(power.visible(self._scatter[0], self.seeds))

    @property
    def needed(self) -> tuple[int, int, int]:
        """Seeds to see EFFECT, and the ends of their 95 % interval: the scatter itself is an estimate."""
        deviation, freedom = self._scatter
        spread = (deviation, *power.between(deviation, freedom))
        value, low, high = (power.needed(one, LOG_EFFECT) for one in spread)
        return value, low, high

    @property
    def _scatter(self) -> tuple[float, int]:
        return power.scatter(np.log(self.values))


def told(found: Iterable[tuple[str, np.ndarray]]) -> list[Seen]:
    """Those of which something can be said: with a setting, and with two seeds."""
    return [Seen(word, values) for word, values in found if len(values) and values.shape[1] > 1]


@dataclass(frozen=True)
class Counted:
    """A number with a relative standard error from `count` draws of one kind."""

    name: str
    unit: str
    count: int
    error: float

    def needed(self, effect: float = EFFECT) -> int:
        """Draws to see a relative change between two settings that share none; nothing else scatters."""
        return math.ceil(self.count * (2**0.5 * self.error * power.QUANTILES / math.log1p(effect)) ** 2)


def seeds(seen: Seen | None) -> str:
    """'5 (3 to 14)'."""
    if seen is None:
        return NOTHING
    value, low, high = (f"{count:,}" for count in seen.needed)
    return f"{value} ({low} to {high})"


def cell(seen: Seen | None) -> str:
    """'12 %; 5 (3 to 14)'."""
    return NOTHING if seen is None else f"{change(seen.smallest)}; {seeds(seen)}"


def change(value: float) -> str:
    """'12 %', or 'over 10-fold' where a percentage says nothing any more."""
    if value >= FOLD - 1:
        return f"over {FOLD}-fold"
    return "below 0.1 %" if value < 5e-4 else f"{100 * value:.{1 if value < 0.095 else 0}f} %"


def listed(parts: Sequence[str]) -> str:
    """'a, b and c'."""
    *first, last = parts
    return f"{', '.join(first)} and {last}" if first else last
