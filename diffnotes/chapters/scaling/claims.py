"""Scaling with the optimal loss subtracted (Xu et al., arXiv 2506.13763) against our own small networks.

What is read off a record stands in `readings`, with what its intervals include.
"""

from __future__ import annotations

import numpy as np

from diffnotes.chapters.checks import Check, Finding, companion, every, most, verdict
from diffnotes.chapters.scaling import readings
from diffnotes.chapters.scaling.readings import (
    AFTER,
    ALPHA,
    BEFORE,
    FACTORS,
    FLOOR,
    FREE,
    KNOWN,
    MISFIT,
    NONE,
    RISE,
    TOTAL,
)
from diffnotes.show.labels import bounds, minus
from diffnotes.store import Record

STRAIGHT = 0.99  # rho of the total loss: the paper's, to two digits
GOOD = 0.05  # misfit of a power law, as a part of the loss
FOUND = 0.20  # how close to J* a free floor comes, as a part of it
RIGHT = (0.9, 1.0, 1.1)  # factors of J* that count as the right one
CURVE = {"dataset": "imagenet64"}  # the loss curve behind the paper's noise level


def _ends(interval: np.ndarray, digits: int) -> str:
    return bounds(interval[1], interval[2], digits)


def _levels(record: Record) -> list[int]:
    """The noise levels that may be like the paper's, where the networks learned."""
    found = readings.comparable(record, companion(record, "loss_curve", CURVE))
    readings.check_trained(record, *found)
    return found


def _sigma(record: Record) -> Finding:
    found = _levels(record)
    rho = readings.correlations(record)[:, :, found]
    above = rho[1, RISE] > 0
    text = ", ".join(
        f"{rho[0, BEFORE, k]:.3f} to {rho[0, AFTER, k]:.3f} at σ {record['sigma'][place]:.2f}"
        for k, place in enumerate(found)
    )
    rises = ", ".join(_ends(rho[:, RISE, k], 3) for k in range(len(found)))
    return Finding(minus(text), f"rise {rises} at 95 %", verdict(every(above), most(above)))


def _total(record: Record) -> Finding:
    readings.check_trained(record, TOTAL)
    rho = readings.correlations(record)[:, :, TOTAL]
    text = f"{rho[0, AFTER]:.4f} with J* subtracted, {rho[0, BEFORE]:.4f} without"
    sure = bool(rho[1, AFTER] >= STRAIGHT)
    good = verdict(bool(rho[0, AFTER] >= STRAIGHT), also=[sure, bool(rho[2, RISE] >= 0)])
    ends = f"{_ends(rho[:, AFTER], 4)}, rise {_ends(rho[:, RISE], 4)} at 95 %"
    return Finding(minus(text), ends, good)


def _fit(record: Record) -> Finding:
    readings.check_trained(record, TOTAL)
    fits, ratio = readings.laws(record), readings.misfit_ratio(record)
    known, none = fits[0, KNOWN], fits[0, NONE]
    text = (
        f"exponent {known[ALPHA]:.3f}; misfit {100 * known[MISFIT]:.1f} %, and {100 * none[MISFIT]:.1f} % "
        "without a floor"
    )
    ends = f"exponent {_ends(fits[:, KNOWN, ALPHA], 3)}, quotient of misfits {_ends(ratio, 2)} at 95 %"
    return Finding(minus(text), ends, verdict(bool(ratio[2] < 1), also=[bool(known[MISFIT] < GOOD)]))


def _floor(record: Record) -> Finding:
    readings.check_trained(record, TOTAL)
    free, known = readings.laws(record)[:, FREE, FLOOR], readings.optimum(record)[TOTAL]
    inside = bool(free[1] <= known <= free[2])
    close = bool(abs(free[0] / known - 1) <= FOUND)
    text = f"the fit finds {free[0]:.3f}, J* is {known:.3f}"
    return Finding(text, f"{_ends(free, 3)} at 95 %", verdict(close, also=[inside]))


def _wrong(record: Record) -> Finding:
    places = [*_levels(record), TOTAL]
    best = readings.straightest(record, places)
    names = [*(f"σ {record['sigma'][place]:.2f}" for place in places[:-1]), "the total"]
    text = ", ".join(f"{factor:g} at {name}" for factor, name in zip(best, names, strict=True))
    right = np.isin(best, RIGHT)
    return Finding(f"straightest with J* times {text}", "", verdict(every(right), most(right)))


CHECKS: dict[str, Check] = {
    "xu-scaling-sigma": _sigma,
    "xu-scaling-total": _total,
    "xu-scaling-fit": _fit,
    "ours-scaling-floor": _floor,
    "ours-scaling-wrong": _wrong,
}
assert set(RIGHT) < set(FACTORS)
