"""Sentences on the sweep over N alone, beside those of `findings`."""

from __future__ import annotations

import numpy as np

from diffnotes.chapters.memorization import readings
from diffnotes.chapters.memorization.readings import TENTH, Power, named, title
from diffnotes.chapters.memorization.run_readings import PART
from diffnotes.show.style import Sentence, together
from diffnotes.store import Record


def small_batches_found(*records: Record) -> Sentence:
    """The powers of N of the onset over the sizes of which a batch is a small part; no claim rests on it."""
    return together(*(Sentence(record, text=_small_batches(record)) for record in records))


def _small_batches(record: Record) -> str:
    large = record["value"] >= PART * record.spec["batch"]
    sizes = np.sort(record["value"][large])
    if len(sizes) < 2:
        return f"{title(record)}: at fewer than two sizes a batch is at most a quarter of the training set."
    steps = {
        "the losses part": readings.onset(record, "split"),
        "a tenth is memorized": readings.onset(record, TENTH),
    }
    powers = [f"{_power(record, step, large)} where {what}" for what, step in steps.items()]
    return (
        f"{title(record)}: over {named('n', sizes[0])} to {sizes[-1]:,}, of which a batch is at most a "
        f"quarter, the power of N of the step is {' and '.join(powers)}."
    )


def _power(record: Record, times: np.ndarray, large: np.ndarray) -> str:
    """'1.02 (0.95 to 1.10, N = 128 to 512)'."""
    known = large & np.isfinite(times).all(1)
    found: Power = readings.fitted_over(record["value"][known], times[known])
    if not found.known:
        return "not known"
    sizes = np.sort(record["value"][known])
    return f"{found.value:.2f} ({found.interval}; N = {sizes[0]:,} to {sizes[-1]:,})"


def precision(record: Record) -> str:
    """That of training; a record that does not say it is in float32."""
    return str(record.spec.get("precision", "float32"))


def trained_in(record: Record) -> str:
    """'trained in bfloat16'."""
    return f"trained in {precision(record)}"
