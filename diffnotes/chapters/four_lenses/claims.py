"""What one ladder of checkpoints says of the instruments of all four papers: ours, no paper has it.

What is read off a record stands in `readings`, with what its intervals include.
"""

from __future__ import annotations

import numpy as np

from diffnotes.base.ranks import over_clusters, rank_correlation
from diffnotes.base.statistics import over_seeds
from diffnotes.chapters.checks import Check, Finding, Nothing, every, most, verdict
from diffnotes.chapters.four_lenses import onset_readings, readings, watch_readings
from diffnotes.show.labels import at_95, minus
from diffnotes.store import Record

SPREAD = 10.0  # largest over smallest loss gap that a ladder must have before it says anything
SIGMAS, AGREE = 3.0, 0.95  # standard errors, and the share of levels of checkpoints that lie within them
CLOSE, USUAL = 0.1, 0.9  # relative difference, and the share of checkpoints within it
STRONG = 0.8  # rank correlation
TWICE = 2.0  # the last onset over the first
FEW = 6  # runs that must reach an onset before it is judged
WRONG = 0.1  # balanced error up to which a lens tells
RANGE, FALLS = 0.3, -0.4  # of agreement over a ladder, and its rank correlation with copies
LEAVES = 0.5  # share of the deviation of onsets, in logarithms, that a predictor may leave
HALF, ALMOST = onset_readings.HALF, 0.95  # overlap, and the share of checkpoints in which it is as said


def _moves(record: Record) -> None:
    """Nothing, unless networks differ in how near they are to the optimum."""
    if readings.spread(readings.gap_in(record)) < SPREAD:
        raise Nothing("the loss gap hardly differs between checkpoints, so networks have learned nothing")


def _enough(record: Record, *names: str) -> np.ndarray:
    """Which runs reach all these onsets; Nothing where they are few."""
    found = [np.isfinite(onset_readings.onset(record, name)) for name in names]
    both = np.logical_and.reduce(found)
    if both.sum() < FEW:
        raise Nothing(f"only {int(both.sum())} runs reach what is compared, of at least {FEW}")
    return both


# ------------------------------------------------------------------------------------------- one quantity


def _same(record: Record) -> Finding:
    _moves(record)
    apart, by_losses = readings.same_quantity(record), readings.by_losses(record)
    shares = [float((np.abs(found) <= SIGMAS).mean()) for found in (apart, by_losses)]
    level = float(np.median(np.abs(record["loss_gap"] / record["supervised"] - 1)))
    text = (
        f"{100 * shares[0]:.1f} % of {apart.size:,} pairs within {SIGMAS:g} standard errors, median "
        f"difference {100 * level:.1f} %; as a difference of losses {100 * shares[1]:.1f} %"
    )
    return Finding(text, "", verdict(shares[0] >= AGREE, shares[1] >= AGREE))


def _left(record: Record) -> Finding:
    _moves(record)
    measured, given = readings.from_gap(record)
    off = np.abs(given / measured - 1)
    share = float((off <= CLOSE).mean())
    text = (
        f"held-out error over loss gap is within {100 * CLOSE:.0f} % of held-out over training error at "
        f"{100 * share:.0f} % of checkpoints; at most {100 * off.max():.0f} % off"
    )
    return Finding(text, "", verdict(share >= USUAL))


# ---------------------------------------------------------------------------------------------- onsets


def _order(record: Record) -> Finding:
    both = _enough(record, "relative", "memorized")
    early, late = (onset_readings.seen_first(record, name)[both] for name in ("relative", "memorized"))
    first = early < late
    found = np.exp(over_seeds(_seeds(onset_readings.lag(record, "relative"))))
    text = (
        f"at an earlier checkpoint in {first.sum()} of {first.size} runs; copies come {found[0]:.2f} times "
        "as late"
    )
    twice = bool(found[1] >= TWICE) and len(np.unique(late)) > 1
    return Finding(text, at_95(found), verdict(every(first), also=[twice]))


def _seeds(values: np.ndarray) -> np.ndarray:
    """Means over the runs of each seed; Nothing where a seed has none."""
    found = onset_readings.by_run(values)
    if not np.isfinite(found).all():
        raise Nothing("not every seed has a run that reaches what is compared")
    return found


def _moves_left(record: Record) -> Finding:
    memorizes = readings.memorized(record) >= readings.COPIED
    if memorizes.any(-1).sum() < FEW:
        raise Nothing(f"fewer than {FEW} runs memorize")
    first = onset_readings.first_level(record, "relative")
    late = np.where(memorizes, onset_readings.peak_level(record), np.nan)[..., -1]
    begins, ends = (np.exp(over_seeds(_seeds(np.log(values)))) for values in (first, late))
    text = (
        f"the relative gap passes 1 first at {begins[0]:.2f} σ*; it is largest at {ends[0]:.2f} σ* "
        "at the end of runs that memorize"
    )
    interval = f"first {at_95(begins)}, at the end {at_95(ends)}"
    return Finding(text, interval, verdict(bool(begins[1] > 1 / readings.NARROW), bool(ends[2] < begins[1])))


def _predicts(record: Record) -> Finding:
    both = _enough(record, "gap", "memorized")
    if len(np.unique(onset_readings.seen_first(record, "memorized")[both])) < 2:
        raise Nothing("copies come between the same two checkpoints in all runs, so none is known to be late")
    early, late = (np.log(onset_readings.onset(record, name))[both] for name in ("gap", "memorized"))
    left, low, high = over_clusters(_left_over, np.stack([early, late], 1)[:, None], repeats=2000)
    text = (
        f"the deviation of the lag is {left:.2f} of that of the number of passes, over {both.sum()} runs"
    )
    if low < LEAVES <= high:
        raise Nothing(f"{text} ({low:.2f} to {high:.2f}): too few to tell")
    rank = float(rank_correlation(np.stack([early, late], 1))[0, 1])
    interval, good = at_95(np.array([left, low, high])), verdict(bool(high < LEAVES), also=[rank >= STRONG])
    return Finding(minus(f"{text}; rank correlation {rank:.2f}"), interval, good)


def _left_over(pairs: np.ndarray) -> np.ndarray:
    """The deviation of the lag over that of the later onset alone; pairs of logarithms [run, 1, 2]."""
    early, late = pairs[:, 0].T
    whole = late.std(ddof=1)
    return np.array((late - early).std(ddof=1) / whole if whole > 0 else np.nan)


# --------------------------------------------------------------------------------------------- going together


def _overlap(record: Record) -> Finding:
    copies = watch_readings.memorizing(record)
    near, left = (readings.lens(name).read(record) >= HALF for name in ("inside", "inside_left"))
    if not copies.any() or not left.any():
        raise Nothing("no checkpoint memorizes, or no sampler overlaps left of σ*")
    if near.mean() >= ALMOST:
        raise Nothing(f"{near.sum()} of {near.size} checkpoints overlap by a half at σ*, copying or not")
    needed, enough = near[copies], copies[left]
    text = (
        f"{needed.sum()} of {needed.size} checkpoints that memorize overlap by a half at σ*; {enough.sum()} "
        f"of {enough.size} that do so left of it memorize, of those that do at σ* {copies[near].sum()} of "
        f"{near.sum()}"
    )
    return Finding(text, "", verdict(needed.mean() >= ALMOST, enough.mean() >= ALMOST))


def _halves(record: Record) -> Finding:
    found = readings.agreement(record)
    if found.max() - found.min() < RANGE:
        raise Nothing("the agreement of halves hardly changes over the ladder")
    pooled, given = (
        readings.pair(readings.correlations(record, way), "agreement", "memorized")
        for way in (readings.WAYS[0], readings.WAYS[-1])
    )
    text = f"rank correlation {pooled[0]:.2f} over all checkpoints, {given[0]:.2f} at equal passes"
    good = verdict(bool(pooled[2] < FALLS), bool(given[2] < FALLS))
    return Finding(minus(text), f"{at_95(pooled)}; at equal passes {at_95(given)}", good)


def _watch(record: Record) -> Finding:
    found = {watch.lens.name: watch for watch in watch_readings.watched(record)}
    if not found:
        raise Nothing("all checkpoints memorize, or none does")
    chosen = found["relative"]
    others = [found[name] for name in ("loss", "passes", "work")]
    beside = ", ".join(f"{one.lens.word} {100 * one.error:.0f} %" for one in others)
    text = (
        f"balanced error {100 * chosen.error:.0f} % on sizes left out ({_percents(chosen.errors)}); {beside}"
    )
    beats = [chosen.better(one) for one in others]
    good = verdict(chosen.error <= WRONG, most(chosen.errors <= WRONG), also=beats)
    return Finding(text, at_95(100 * chosen.interval, 0, " %"), good)


def _percents(values: np.ndarray) -> str:
    return ", ".join(f"{100 * value:.0f}" for value in values) + " %"


_ONE: dict[str, Check] = {
    "ours-lens-same": _same,
    "ours-lens-left": _left,
    "ours-lens-order": _order,
    "ours-lens-sigma": _moves_left,
    "ours-lens-predicts": _predicts,
    "ours-lens-overlap": _overlap,
    "ours-lens-halves": _halves,
    "ours-lens-watch": _watch,
}
CHECKS: dict[str, Check] = _ONE | {f"{name}-cifar10": check for name, check in _ONE.items()}
