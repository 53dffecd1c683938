"""The training schedule of Xu et al. (arXiv 2506.13763, section 5) against our own small runs.

What is read off a record stands in `readings`.
"""

from __future__ import annotations

import numpy as np

from diffnotes.chapters.checks import Check, Finding, Nothing, every, most, verdict
from diffnotes.chapters.training_schedule import readings
from diffnotes.chapters.training_schedule.readings import EDM, NEAR, SCHEDULE
from diffnotes.show.labels import at_95, bounds
from diffnotes.store import Record

LEARNT = 0.8  # of the gap of plain shrinkage around sigma*; above it there is nothing to compare
ALIKE = 0.1  # relative difference up to which gaps near the jump agree
MATTERS = 0.05  # relative difference from which a Fréchet distance is another one


def _alive(record: Record, *runs: str) -> None:
    """Nothing unless these runs have learnt something."""
    for run in (EDM, *runs):
        if (share := readings.learnt(record, run)) > LEARNT:
            raise Nothing(f"the network of {run} has learnt next to nothing: {share:.2f} of the first gap")


def _below(found: np.ndarray) -> bool:
    return bool(found[2] < 1)


def _gap(record: Record) -> Finding:
    _alive(record)
    at = readings.left(record)
    found, single = readings.factor(record, "gap", at), readings.by_level(record, "gap")[at]
    right = readings.factor(record, "gap", ~at)
    lower = single[:, 2] < 1
    text = (
        f"{found[0]:.2f} times EDM's gap left of σ*, lower at {lower.sum()} of {len(lower)} levels; "
        f"{right[0]:.2f} times right of it"
    )
    return Finding(text, at_95(found), verdict(_below(found), most(lower)))


def _frechet(record: Record) -> Finding:
    _alive(record)
    found, known = readings.distance(record), readings.distance(record, to="frechet_train")
    means = [readings.of(record, "frechet", run).mean() for run in (EDM, SCHEDULE)]
    text = (
        f"{means[0]:.3f} with EDM's law, {means[1]:.3f} with the schedule: {found[0]:.2f} times; "
        f"{known[0]:.2f} times to training images"
    )
    return Finding(text, at_95(found), verdict(_below(found)))


def _held_out(record: Record) -> Finding:
    _alive(record)
    found = readings.factor(record, "held_out", readings.everywhere(record))
    side = readings.factor(record, "held_out", readings.left(record))
    text = f"{found[0]:.3f} times EDM's held-out error over all levels, {side[0]:.3f} times left of σ*"
    return Finding(text, at_95(found), verdict(_below(found)))


def _jump(record: Record) -> Finding:
    _alive(record, "soft edge")
    found = readings.by_level(record, "gap", "soft edge", SCHEDULE)[readings.within(record, NEAR)]
    inside = (found[:, 1] > 1 - ALIKE) & (found[:, 2] < 1 + ALIKE)
    text = (
        f"with a soft edge {found[:, 0].min():.2f} to {found[:, 0].max():.2f} times the gap with the jump at "
        f"{len(found)} levels near σ*, within {100 * ALIKE:.0f} % at {inside.sum()} of them; the jump is one "
        f"by a factor {readings.jump(record):.1f}"
    )
    interval = f"{bounds(found[:, 1].min(), found[:, 2].max(), 2)} at 95 %, over these levels"
    return Finding(text, interval, verdict(every(inside), most(inside)))


def _adaptive(record: Record) -> Finding:
    return _better(record, "fixed law", "adapting")


def _exponent(record: Record) -> Finding:
    return _better(record, "half exponent", "exponent 1 in place of 1/2")


def _better(record: Record, other: str, words: str) -> Finding:
    """Whether the schedule as it is has a smaller Fréchet distance than one of its ablations."""
    _alive(record, other)
    found = readings.distance(record, SCHEDULE, other)
    gap = readings.factor(record, "gap", readings.left(record), SCHEDULE, other)
    text = f"{words}: {found[0]:.2f} times the Fréchet distance, {gap[0]:.2f} times the gap left of σ*"
    return Finding(text, at_95(found), verdict(_below(found)))


def _second(record: Record) -> Finding:
    _alive(record, "no second term")
    found = readings.factor(record, "gap", readings.left(record), SCHEDULE, "no second term")
    text = f"{found[0]:.2f} times the gap left of σ* that is there without the second term"
    return Finding(text, at_95(found), verdict(_below(found)))


def _clip(record: Record) -> Finding:
    _alive(record, "higher clip")
    found = readings.distance(record, "higher clip", SCHEDULE)
    text = f"with ten times ω*, {found[0]:.2f} times the Fréchet distance"
    apart = found[1] > 1 + MATTERS or found[2] < 1 - MATTERS
    return Finding(text, at_95(found), verdict(bool(apart)))


_BOTH: dict[str, Check] = {
    "xu-schedule-gap": _gap,
    "xu-schedule-frechet": _frechet,
    "ours-schedule-held-out": _held_out,
    "ours-schedule-jump": _jump,
    "ours-schedule-adaptive": _adaptive,
}
CHECKS: dict[str, Check] = {
    **_BOTH,
    "ours-schedule-exponent": _exponent,
    "ours-schedule-second": _second,
    "ours-schedule-clip": _clip,
    **{f"{name}-cifar10": check for name, check in _BOTH.items()},
}
