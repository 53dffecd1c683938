"""The diagnosis of Xu et al. (arXiv 2506.13763) against our own small networks.

What is read off a record stands in `readings`, with what its intervals include.
"""

from __future__ import annotations

import numpy as np

from diffnotes.base.statistics import factor_over_seeds, over_seeds
from diffnotes.chapters.checks import Check, Finding, Nothing, every, most, verdict
from diffnotes.chapters.loss_gap import readings
from diffnotes.show.labels import at_95, minus
from diffnotes.store import Record

HALF = 0.5


def _factors(rows: list[np.ndarray]) -> np.ndarray:
    """Intervals [case, 3] of factors [case][seed]."""
    return np.array([factor_over_seeds(one) for one in rows])


def _trained(record: Record) -> np.ndarray:
    """Which networks have learned something in every seed [kind]; Nothing where one of F has not."""
    good = np.array([all(one) for one in readings.fitted(record)])
    for name, learned in zip(readings.kinds(record), good, strict=True):
        if name.endswith(f" {readings.BASE}") and not learned:
            raise Nothing(f"the network {name} has not learned its data")
    return good


def _peak(record: Record) -> Finding:
    good, inside = _trained(record), readings.intermediate(record).all(1)
    peaks, names = readings.peak(record), np.array(readings.kinds(record))
    base = readings.base(record)
    outside = ", ".join(names[~inside]) or "none"
    where = (
        f"at σ {peaks[base].mean():.2f}, where J* is "
        f"{100 * readings.peak_share(record)[base].mean():.0f} % of the variance"
    )
    text = (
        f"at {inside.sum()} of {inside.size} networks in every seed; VE {readings.BASE} {where}; not at: "
        f"{outside}"
        if len(names) > 1
        else f"{where}, in {readings.intermediate(record).sum()} of {peaks.size} seeds between the bounds"
    )
    ends = f"peaks from σ {peaks.min():.2g} to {peaks.max():.2g}"
    return Finding(text, ends, verdict(every(inside & good), most(inside & good)))


def _far(record: Record) -> list[str]:
    """The processes with networks of eps and of F; Nothing where one has not learned its data."""
    _trained(record)
    names = readings.processes(record)
    for process in names:
        if not readings.fitted_far(record, process).all():
            raise Nothing(f"the network {process} eps has not learned anything at large noise")
    return names


def _eps(record: Record) -> Finding:
    names, where = _far(record), readings.large(record)
    found = _factors([readings.times_base(record, one, where) for one in names])
    text = "; ".join(f"{name} {row[0]:.1f} times" for name, row in zip(names, found, strict=True))
    low = found[:, 1] > 1
    return Finding(f"gap of eps over that of F: {text}", _each(names, found), verdict(every(low), most(low)))


def _each(names: list[str], found: np.ndarray, unit: str = "") -> str:
    return "; ".join(f"{name} {at_95(row, 1, unit)}" for name, row in zip(names, found, strict=True))


def _quality(record: Record) -> Finding:
    _far(record)
    found = factor_over_seeds(readings.quality_times_base(record, "VE"))
    text = f"Fréchet distance {found[0]:.2f} times that of F under VE"
    return Finding(text, at_95(found), verdict(bool(found[1] > 1)))


def _relation(record: Record) -> Finding:
    if len(record["kind"]) < 8:
        raise Nothing(f"{len(record['kind'])} networks are too few for a correlation over networks")
    _trained(record)
    places = readings.near(record), readings.left(record)
    near, left = (readings.related(record, where) for where in places)
    rest = readings.other_networks(record)
    least = [readings.related(record, where, rest)[0] for where in places]
    words = [minus(f"{value:+.2f}") for value in (near[0], left[0], *least)]
    text = (
        f"rank correlation {words[0]} near σ*, {words[1]} to its left; without the networks that predict the "
        f"noise {words[2]} and {words[3]}"
    )
    ends = f"near {at_95(near)}, left {at_95(left)}"
    return Finding(text, ends, verdict(bool(near[2] < 0), bool(left[1] > 0)))


def _two_readings(record: Record) -> Finding:
    found = np.abs(readings.readings_apart(record))
    if not (found > 0).any():
        raise Nothing("the two readings are the same number everywhere")
    inside = found <= readings.TESTS
    text = f"{inside.sum():,} of {inside.size:,} within 3 standard errors; the largest is {found.max():.2f}"
    return Finding(text, "", verdict(every(inside)))


def _size(record: Record) -> Finding:
    good = _trained(record)
    found = np.array([over_seeds(one) for one in readings.beyond(record)])
    base = readings.base(record)
    above = (found[:, 1] > 0) & good
    count = f"for {sum(above)} of {len(above)} networks; " if len(above) > 1 else ""
    text = (
        f"{count}for VE {readings.BASE} the excess of held-out loss is "
        f"{minus(f'{100 * (1 - found[base, 0]):.0f}')} % of the gap"
    )
    ends = f"VE {readings.BASE} {at_95(100 * (1 - found[base, [0, 2, 1]]), 0, ' %')}"
    return Finding(text, ends, verdict(every(above), most(above)))


def _failure(record: Record) -> Finding:
    names, where = _far(record), readings.large(record)
    shares = readings.failure_share(record, where)
    found = np.array([over_seeds(shares[readings.place(record, f"{one} eps")]) for one in names])
    near = readings.failure_share(record, readings.near(record))
    text = "; ".join(f"{name} {100 * row[0]:.0f} %" for name, row in zip(names, found, strict=True))
    low = found[:, 1] > HALF
    base = near[readings.base(record)].mean()
    text += f"; near σ* {100 * base:.0f} % of that of VE {readings.BASE}"
    return Finding(text, _each(names, 100 * found, " %"), verdict(every(low), most(low)))


def _population(record: Record) -> Finding:
    _trained(record)
    base = readings.base(record)
    near, left = (
        over_seeds(readings.population_share(record, where(record))[base])
        for where in (readings.near, readings.left)
    )
    text = f"{100 * near[0]:.0f} % of the gap near σ*, {100 * left[0]:.0f} % to its left"
    ends = f"near {at_95(100 * near, 0, ' %')}, left {at_95(100 * left, 0, ' %')}"
    return Finding(text, ends, verdict(bool(near[1] > HALF), also=[left[1] > HALF]))


def _memorizer(record: Record) -> Finding:
    share = readings.copies(record).mean()
    if share < HALF:
        raise Nothing(f"the network on few images does not memorize: {100 * share:.0f} % are copies")
    closed = factor_over_seeds(readings.since_turning(record, "tiny_gap"))
    risen = factor_over_seeds(readings.since_turning(record, "tiny_held_loss"))
    text = (
        f"from its least held-out loss on, the gap near σ* changes by a factor {closed[0]:.2f}, the held-out "
        f"loss by {risen[0]:.2f}; {100 * share:.0f} % of its samples are copies"
    )
    ends = f"gap {at_95(closed)}, held-out loss {at_95(risen)}"
    return Finding(text, ends, verdict(bool(closed[2] < 1), bool(risen[1] > 1)))


_ONE: dict[str, Check] = {
    "xu-gap-peak": _peak,
    "xu-gap-eps": _eps,
    "xu-gap-eps-quality": _quality,
    "ours-gap-readings": _two_readings,
    "ours-gap-size": _size,
    "ours-gap-failure": _failure,
    "ours-gap-memorizer": _memorizer,
}
_FEW = ("xu-gap-peak", "ours-gap-size", "ours-gap-readings")  # what one network can say
CHECKS: dict[str, Check] = {
    **_ONE,
    **{f"{name}-imagenet{side}": _ONE[name] for name in _FEW for side in (32, 64)},
    "xu-gap-quality": _relation,
    "ours-gap-population": _population,
    **{f"{name}-cifar10": check for name, check in _ONE.items()},
}
