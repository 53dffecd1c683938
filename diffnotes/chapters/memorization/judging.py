"""How a claim of this chapter is judged: for both kinds of weights, by order and by noise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from diffnotes.base.statistics import over_seeds
from diffnotes.chapters.checks import PENDING, Check, Finding, companion, every, verdict
from diffnotes.chapters.memorization import readings
from diffnotes.chapters.memorization.readings import AVERAGED, RAW, TENTH, Power, Swept
from diffnotes.show.labels import minus
from diffnotes.store import Record


@dataclass(frozen=True)
class Weighed:
    """What one kind of weights says: a value, its interval, and which parts of the rule hold."""

    value: str
    interval: str = ""
    core: tuple[bool, ...] = ()
    also: tuple[bool, ...] = ()


LESS = "last less first"
ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth")

OTHERS = {"cifar_sizes": "cifar"}  # where a sweep over n is an experiment of its own: that with the others
Judge = Callable[[Record, int], Weighed]


def both(judge: Judge) -> Check:
    """The finding of a claim by both kinds of weights; pending where one of them cannot be read."""

    def check(record: Record) -> Finding:
        seeds = sweep_of(record).shared
        mean, raw = (judge(record, average) for average in (AVERAGED, RAW))
        unlike = f"weights as they are: {raw.value}" + (f" ({raw.interval})" if raw.interval else "")
        interval = "; ".join(filter(None, (mean.interval, unlike)))
        if not (mean.core and raw.core):
            return Finding(mean.value, unlike if mean.core else "", PENDING)
        word = verdict(*mean.core, *raw.core, also=(*mean.also, *raw.also))
        return Finding(mean.value + seeds, interval, word)

    return check


def listed(values: Sequence[float] | np.ndarray, digits: int = 3) -> str:
    """'1.2, never, –': infinity is what never happens, NaN what cannot be read."""
    return ", ".join(number(value, digits) for value in np.asarray(values).tolist())


def number(value: float, digits: int = 3) -> str:
    if not np.isfinite(value):
        return "–" if np.isnan(value) else "never"
    return minus(f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.{digits}g}")


def sweep_of(record: Record) -> Swept:
    """The sweep with its default run, which is part of the sweep over n."""
    alone = record.spec["sweep"] == "n"
    base = record if alone else swept_beside(record, "n")
    return readings.swept(base, record)


def swept_beside(record: Record, factor: str) -> Record:
    """The record of the sweep over another factor."""
    return companion(record, OTHERS.get(record.experiment, record.experiment), {"sweep": factor})


def ordered(found: np.ndarray, falls: bool, digits: int = 3) -> Weighed:
    """Do means over seeds fall (or rise) at every step, and from first to last by more than noise?

    The second part, Student's 95 % interval of the difference, paired by seed, is the core: noise may well
    have the right order, which can only take away. Values that a seed lacks
    are left out; infinity, for what never happens, counts as later than all.
    """
    known = found[~np.isnan(found).any(1)]
    if len(known) < 2:
        return Weighed(f"known in all seeds at {len(known)} of {len(found)} values")
    mean = known.mean(1) * (-1 if falls else 1)
    rising = every(mean[1:] > mean[:-1])
    sure, said = beyond_noise(known[0], known[-1], falls, digits)
    said = said.replace(LESS, compared(found))
    shown = np.where(np.isnan(found).any(1), np.nan, found.mean(1))
    return Weighed(listed(shown, digits), said, (sure,), (rising,))


def compared(found: np.ndarray) -> str:
    """'last less first' of values [value, seed]; where an end is not known in every seed, which one stands in
    for it: 'last less second (the first is not known)'."""
    known = np.flatnonzero(~np.isnan(found).any(1))
    first, last = int(known[0]), int(known[-1]) - len(found)
    missing = " and ".join(name for name, at, end in (("first", first, 0), ("last", last, -1)) if at != end)
    tense = "are" if " and " in missing else "is"
    end = "last" if last == -1 else ORDINALS[int(known[-1])]
    return f"{end} less {ORDINALS[first]}" + (f" (the {missing} {tense} not known)" if missing else "")


def beyond_noise(first: np.ndarray, last: np.ndarray, falls: bool, digits: int) -> tuple[bool, str]:
    """Whether last - first [seed] has the wanted sign beyond noise, and the interval as text."""
    if not np.isfinite([first, last]).all():
        return every(last < first if falls else last > first), "an end is never reached"
    value, low, high = over_seeds(last - first)
    if np.isnan(low):
        return False, "one seed, so no interval"
    sure = high < 0 if falls else low > 0
    said = [number(one, digits) for one in (value, low, high)]
    return bool(sure), f"{LESS} {said[0]}, {said[1]} to {said[2]}"


def unread(powers: list[Power]) -> Weighed | None:
    """What is said where a power has no interval. One seed has none, which proves nothing."""
    if min(found.sizes for found in powers) < 2:
        return Weighed("not reached at two sizes", "", (False,))
    return None if all(found.known for found in powers) else Weighed("one seed, so no interval")


def upto(record: Record, times: np.ndarray) -> str:
    """' (N = 32 to 512)' where times [value, seed] lack a seed at some size, else nothing."""
    sizes = np.sort(record["value"][np.isfinite(times).all(1)])
    if len(sizes) == len(times) or not len(sizes):
        return ""
    return f" (N = {sizes[0]:,} to {sizes[-1]:,})"


def late(sweep: Swept, average: int) -> np.ndarray:
    """The step of 10 % memorized samples [value, seed]; infinite where they are never reached, and NaN where
    the run breaks down before."""
    return sweep.never(TENTH, average)
