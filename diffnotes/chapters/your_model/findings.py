"""Sentences of chapter 6."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from diffnotes.chapters.your_model import readings
from diffnotes.show.labels import bounds, joined
from diffnotes.show.style import Sentence
from diffnotes.store import Record


def first(record: Record) -> str:
    """What the report says first."""
    return readings.remarks(record)[0].text


def answer_found(*records: Record) -> Sentence:
    """The first sentence of every report."""
    said = (f"{readings.title(record)}: “{first(record)}”" for record in records)
    return Sentence(*records, text=f"The first sentence of each report. {joined(said)}")


def compared(records: Sequence[Record]) -> str:
    """Copies and the widest gap of each."""
    return joined(f"{readings.title(record)}: {_numbers(record)}." for record in records)


def _numbers(record: Record) -> str:
    parts = []
    share = readings.copies(record)
    if np.isfinite(share[0]):
        ends = bounds(100 * share[1], 100 * share[2], 1, " %")
        parts.append(f"{100 * share[0]:.0f} % of {len(record['rho']):,} samples are copies ({ends})")
    if "held_loss" in record.arrays:
        value, _ = readings.ratio(record)
        top = int(value.argmax())
        parts.append(
            f"the held-out loss is at most {value[top]:.2g} times the training loss, at "
            f"σ = {record['sigma'][top]:.2g}"
        )
    return ", and ".join(parts) or "no samples and no held-out images were given"


def losses_found(few: Record, many: Record) -> Sentence:
    """What a training loop would have shown of both."""
    values = [readings.training_loss(record) for record in (few, many)]
    order = "lower than" if values[0] < values[1] else "no lower than"
    text = (
        f"Over the last half of training, the mean loss of {readings.title(few)} was {values[0]:.3f}, "
        f"{order} the {values[1]:.3f} of {readings.title(many)}."
    )
    return Sentence(few, many, text=text)


def nearest(records: Sequence[Record]) -> str:
    """How near the nearest samples are."""
    said = (
        f"{readings.title(record)}: in the median over all samples the nearest training image is "
        f"{np.median(record['rho']):.2f} times as far as the second nearest."
        for record in records
    )
    return joined(said)
