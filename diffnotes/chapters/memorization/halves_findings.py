"""What the record of two networks on disjoint halves says."""

from __future__ import annotations

from diffnotes.chapters.memorization import halves_readings
from diffnotes.store import Record


def halves(record: Record) -> str:
    """Distances and memorized shares at the ends, and what another start alone does."""
    share, copied = halves_readings.apart(record).mean(1), halves_readings.memorized_halves(record).mean(1)
    again, strangers = (
        read(record).mean(1)[-1] for read in (halves_readings.again, halves_readings.strangers)
    )
    n = record["n"]
    return (
        f"With {n[0]} images in a half, two samples from the same noise are {share[0]:.2f} times as far "
        f"apart as unrelated ones, and {100 * copied[0]:.0f} % of the samples are memorized; with {n[-1]} "
        f"images these are {share[-1]:.2f} and {100 * copied[-1]:.0f} %. There, two networks that learned "
        f"the same half from different starts are {again:.2f} times as far apart, and two on different "
        f"halves from different starts {strangers:.2f} times."
    )
