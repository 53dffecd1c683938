"""Sentences of the training schedule: what the records say, in captions and between figures."""

from __future__ import annotations

import numpy as np

from diffnotes.chapters.training_schedule import readings
from diffnotes.chapters.training_schedule.readings import EDM, SCHEDULE
from diffnotes.show.labels import bounds, images, joined, minus
from diffnotes.show.style import Sentence
from diffnotes.store import Record

LESS, MORE, SAME = "less than", "more than", "not told from"  # by an interval of a factor


def name(record: Record) -> str:
    """'1,000 digits'."""
    return images(record)


def interval(found: np.ndarray, digits: int = 2) -> str:
    """'1.04 (0.98 to 1.10)'."""
    text = f"{found[0]:.{digits}f}"
    return text if np.isnan(found[1]) else f"{text} ({bounds(found[1], found[2], digits)})"


def word(found: np.ndarray) -> str:
    """How a quotient compares with 1, by its interval."""
    return LESS if found[2] < 1 else MORE if found[1] > 1 else SAME


# ------------------------------------------------------------------------------- first sentences of captions


def gap_text(record: Record) -> str:
    """The gap under the schedule over that under EDM's law, on both sides of sigma*."""
    at = readings.left(record)
    sides = [readings.factor(record, "gap", where) for where in (at, ~at)]
    return (
        f"With {name(record)}, the schedule leaves a gap of {interval(sides[0])} times EDM's left of "
        f"σ* = {float(record['critical']):.2f}, and of {interval(sides[1])} times right of it."
    )


def law_text(record: Record) -> str:
    """Where the schedule draws from, and how far that has moved."""
    shares = [100 * readings.share_left(record, readings.density(record, run)) for run in (SCHEDULE, EDM)]
    return (
        f"With {name(record)}, at the end {shares[0]:.0f} % of the levels that the schedule draws lie left "
        f"of σ*, {shares[1]:.0f} % of EDM's; from the first look to the last, "
        f"{100 * readings.moved(record):.0f} % of the schedule's levels have moved."
    )


def objective_text(record: Record) -> str:
    """What lies left of sigma* of either objective."""
    shares = [100 * readings.share_left(record, readings.objective(record, run)) for run in (SCHEDULE, EDM)]
    return (
        f"With {name(record)}, {shares[0]:.0f} % of the schedule's objective comes from levels left of σ*, "
        f"{shares[1]:.0f} % of EDM's."
    )


def outcome_text(record: Record) -> str:
    """Fréchet distance and held-out error under the schedule."""
    far = readings.distance(record)
    held = readings.factor(record, "held_out", readings.everywhere(record))
    return (
        f"With {name(record)}, under the schedule the Fréchet distance is {word(far)} EDM's, "
        f"{interval(far)} times, and the held-out error {word(held)} EDM's, {interval(held)} times."
    )


def choice_text(record: Record) -> str:
    """Which constants were chosen."""
    at = readings.best(record)
    pairs = ", ".join(
        minus(f"{label} {value:g}") for label, value in zip(record["name"], record["chosen"], strict=True)
    )
    ends, distance = readings.at_border(record), record["frechet_train"][at]
    border = f" At an end of what was tried: {', '.join(ends)}." if ends else ""
    return (
        f"Of {len(record['tried'])} combinations the smallest Fréchet distance to training images, "
        f"{distance:.3f}, is that of {pairs}; EDM's run has {float(record['edm_frechet_train']):.3f}.{border}"
    )


# ---------------------------------------------------------------------------------------- between the figures


def outcome_finding(*records: Record) -> Sentence:
    """Fréchet distance and held-out error."""
    return Sentence(*records, text=joined(map(outcome_text, records)))


def ablation_finding(*records: Record) -> Sentence:
    """What each ablation changes of the Fréchet distance and of the gap left of sigma*."""
    return Sentence(*records, text=joined(map(_ablations, records)))


def _ablations(record: Record) -> str:
    others = [run for run in readings.names(record) if run not in (EDM, SCHEDULE)]
    parts = [_ablation(record, run) for run in others]
    return f"With {name(record)}, over the schedule as it is: {'; '.join(parts)}." if parts else ""


def _ablation(record: Record, run: str) -> str:
    far = readings.distance(record, run, SCHEDULE)
    gap = readings.factor(record, "gap", readings.left(record), run, SCHEDULE)
    return f"{readings.shown(run)}, distance {interval(far)}, gap left of σ* {interval(gap)}"


def copies_finding(*records: Record) -> Sentence:
    """Whether anything was memorized, so that the distance may be taken for quality."""
    return Sentence(*records, text=joined(map(_copies, records)))


def _copies(record: Record) -> str:
    share = 100 * float(record["copies"].mean(1).max())
    floor = float(record["floor"])
    return (
        f"With {name(record)}, at most {share:.1f} % of the samples of a run are copies of training images; "
        f"as many training images are at a Fréchet distance of {floor:.3f} from the held-out ones."
    )
