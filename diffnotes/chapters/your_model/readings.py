"""What chapter 6 takes off the record of a report."""

from __future__ import annotations

import numpy as np

from diffnotes.report.findings import BAD, LOOK, Remark, findings, relative_gap
from diffnotes.show.labels import DATASETS
from diffnotes.store import Record


def own(record: Record) -> bool:
    """Whether the report is on a reader's model, and not on a network that was trained for it."""
    return bool(record.spec["model"])


def title(record: Record) -> str:
    """'N = 20,000 on CIFAR-10, 16 × 16'; the name of a reader's model."""
    if own(record):
        return str(record.spec["model"]).rstrip("/").rsplit("/", 1)[-1]
    name = DATASETS.get(record.spec["train"], str(record.spec["train"]).rstrip("/").rsplit("/", 1)[-1])
    side = f", {record.spec['side']} × {record.spec['side']}" if record.spec["side"] else ""
    return f"N = {int(record['train_count']):,} on {name}{side}"


def remarks(record: Record) -> tuple[Remark, ...]:
    """What the report says, the most important first."""
    return findings(record.arrays)


def remark(record: Record, kind: str) -> Remark | None:
    """What it says of one thing; None where that was not measured."""
    return next((one for one in remarks(record) if one.kind == kind), None)


def accused(record: Record, *kinds: str) -> list[str]:
    """Those of these things that the report finds at fault."""
    found = {one.kind for one in remarks(record) if one.word in (BAD, LOOK)}
    return [kind for kind in kinds if kind in found]


def ratio(record: Record) -> tuple[np.ndarray, np.ndarray]:
    """Held-out over training loss and its standard error, [l]."""
    gap, error = relative_gap(record.arrays)
    return 1 + gap, error


def copies(record: Record) -> np.ndarray:
    """Share of copies among the samples, with its interval: [value, low, high]; NaN without samples."""
    found: np.ndarray = record["copies"] if "copies" in record.arrays else np.full(3, np.nan)
    return found


def training_loss(record: Record) -> float:
    """The mean loss of the last half of training, as a training loop shows it: EDM's, no unit."""
    return float(record["batch_loss"][-1])
