"""Sentences about what the numbers of chapter 5 can resolve."""

from __future__ import annotations

from diffnotes.chapters.four_lenses import power_readings
from diffnotes.chapters.four_lenses.readings import LENSES, title
from diffnotes.show.resolution import EFFECT, WANTED, listed
from diffnotes.show.style import Sentence
from diffnotes.store import Record


def counts(record: Record) -> list[int]:
    """For each training-set size: how many lenses see EFFECT with the seeds of the record."""
    found = [power_readings.lenses(record, place) for place in range(len(record["n"]))]
    return [sum(one.smallest <= EFFECT for one in some) for some in found]


def seen(record: Record) -> str:
    """'On digits, 3 seeds see a change of 10 % in 0 of 14 numbers at N = 32 and 6 at N = 288.'"""
    few, *more = counts(record)
    sizes = [f"N = {int(n):,}" for n in record["n"]]
    each = [f"{few} of {len(LENSES)} numbers at {sizes[0]}"]
    each += [f"{many} at {size}" for many, size in zip(more, sizes[1:], strict=True)]
    seeds = record["frechet"].shape[2]
    return f"On {title(record)}, {seeds} seeds see a change of {WANTED} in {listed(each)}."


def resolved(*ladders: Record) -> Sentence:
    """How many seeds most numbers of chapter 5 need."""
    parts = []
    for record in ladders:
        each = [
            one.needed[0]
            for place in range(len(record["n"]))
            for one in power_readings.lenses(record, place)
        ]
        if each:
            half = sorted(each)[len(each) // 2]
            parts.append(f"half of the {len(each)} on {title(record)} need {half:,} or more")
    if not parts:
        return Sentence(*ladders, text="One seed says nothing of the scatter over seeds.")
    have = ladders[0]["frechet"].shape[2]
    return Sentence(*ladders, text=(
        f"To see a change of {WANTED} between two widths, the numbers of chapter 5 mostly need more seeds "
        f"than the {have} it has: {listed(parts)}, counted at every training-set size."
    ))  # fmt: skip
