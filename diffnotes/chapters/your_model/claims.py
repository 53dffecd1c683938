"""Whether a report tells a network that copies from one that does not: ours."""

from __future__ import annotations

import numpy as np

from diffnotes.chapters.checks import Check, Finding, Nothing, verdict
from diffnotes.chapters.your_model import readings
from diffnotes.chapters.your_model.readings import remarks
from diffnotes.report.findings import BAD
from diffnotes.store import Record

MOST, FEW = 0.2, 0.02  # shares of copies of a network that memorizes, and of one that does not
COUNTS, SEEDS = (32, 20_000), (0, 1, 2)  # training images: few and many


def _seeds(record: Record, n: int) -> list[Record]:
    """The record of each seed, of n training images."""
    assert record.beside is not None
    return [record.beside("own_cifar", {"n": n, "seed": seed}) for seed in SEEDS]


def _named(record: Record) -> Finding:
    found = _seeds(record, COUNTS[0])
    if not all(readings.copies(one)[1] > MOST for one in found):
        raise Nothing("a network does not memorize, so there is nothing to name")
    firsts = [remarks(one)[0] for one in found]
    right = [(first.kind, first.word) == ("copies", BAD) for first in firsts]
    said = "; ".join(f"“{first.text}”" for first in firsts)
    return Finding(f"in {sum(right)} of {len(right)} seeds: {said}", "", verdict(all(right)))


def _clean(record: Record) -> Finding:
    found = _seeds(record, COUNTS[1])
    if not all(readings.copies(one)[2] < FEW for one in found):
        raise Nothing("a network may copy itself, so it is no example of one that does not")
    wrong = [readings.accused(one, "copies", "overfits") for one in found]
    text = f"at fault: {'; '.join(map(', '.join, filter(None, wrong)))}" if any(wrong) else "none is at fault"
    firsts = "; ".join(f"“{remarks(one)[0].text}”" for one in found)
    return Finding(f"{text}; first {firsts}", "", verdict(not any(wrong)))


def _prefers(record: Record) -> Finding:
    few, many = ([readings.training_loss(one) for one in _seeds(record, n)] for n in COUNTS)
    text = ", ".join(f"{one:.3f} against {other:.3f}" for one, other in zip(few, many, strict=True))
    return Finding(text, "", verdict(bool((np.array(few) < np.array(many)).all())))


CHECKS: dict[str, Check] = {
    "ours-report-copies": _named,
    "ours-report-clean": _clean,
    "ours-report-loss": _prefers,
}
