"""Marion & Wu, Understanding diffusion models requires rethinking (again) generalization (2605.06077).

The paper averages the weights. So each claim is judged for the longest average, and once more for the weights
as they are: it is reproduced only where both agree.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from diffnotes.base.statistics import over_seeds
from diffnotes.chapters.checks import PENDING, Check, Finding, Nothing, every, verdict
from diffnotes.chapters.memorization import halves_readings, readings, run_readings, trends
from diffnotes.chapters.memorization.judging import (
    LESS,
    Judge,
    Weighed,
    beyond_noise,
    both,
    compared,
    late,
    listed,
    number,
    ordered,
    sweep_of,
    swept_beside,
    unread,
    upto,
)
from diffnotes.chapters.memorization.readings import AVERAGED, RAW, SHARES, TENTH
from diffnotes.chapters.memorization.run_readings import AGAIN, LOST, RISE
from diffnotes.show.labels import bounds
from diffnotes.store import Record

BEYOND = 2  # standard errors


# -------------------------------------------------------------------------------------------------- one run


def _part(record: Record, average: int) -> Weighed:
    """Held-out loss rises again while the training loss goes on falling."""
    rise, fall = run_readings.after_minimum(record, readings.default_place(record), average)
    text = f"held-out loss +{100 * rise.mean():.0f} %, training loss −{100 * fall.mean():.0f} % from there on"
    least = f"{len(rise)} seeds, least rise {100 * rise.min():.0f} %"
    return Weighed(text, least, (every(rise > 0.2),), (every(fall > 0),))


def _memorized(record: Record, average: int) -> Weighed:
    """Few memorized samples at first, most of them at last, none by chance; a tenth after the losses part."""
    place = readings.ordered(record)[0]
    split, ten = (readings.onset(record, name, average)[place] for name in ("split", TENTH))
    share, chance = (
        readings.curve(record, place, name, average).mean(0) for name in ("copies", "copies_baseline")
    )
    text = f"{100 * share[0]:.0f} % to {100 * share[-1]:.0f} % at {readings.label(record, place)}"
    later = f"a tenth {listed([(ten / split).mean()])} times as late as the losses part"
    control = f"of held-out images at most {100 * chance.max():.0f} %"
    core = (bool(share[-1] > 0.5), every(ten > split))
    return Weighed(f"{text}; {later}", control, core, (bool(share[0] < 0.02), bool(chance.max() < 0.05)))


def _same_distance(record: Record, average: int) -> Weighed:
    """Distance to the training set over that to as many held-out images, before and after the losses part."""
    early, whole = run_readings.mismatch(record, readings.default_place(record), average)
    text = f"differ by at most {100 * early:.0f} % before the losses part, {100 * whole:.0f} % in all"
    return Weighed(text, "means over seeds", (early < 0.1, whole < 0.1))


def _double_descent(record: Record, average: int, name: str = "wasserstein") -> Weighed:
    """A rise of a fifth above the first minimum, of which at least half is lost again."""
    found = run_readings.rise(record, readings.default_place(record), average, name)
    large = found.value >= RISE and bool(found.low > 0)  # one seed has no interval
    core = (large, large and bool(found.low >= RISE), large and found.lost >= LOST)
    if not found.value > 0:
        return Weighed("falls all along", core=core)
    lost = f"then falls by {found.lost:.1f} times that"
    text = f"rises by {100 * found.value:.0f} % after its first minimum, {lost}"
    known = np.isfinite(found.low)
    return Weighed(text, bounds(100 * found.low, 100 * found.high, unit=" %") if known else "one seed", core)


def _double_frechet(record: Record, average: int) -> Weighed:
    return _double_descent(record, average, "frechet")


def _levels(record: Record) -> Finding:
    """Do the losses at no t rise and fall again, where the distance does?"""
    place = readings.default_place(record)
    core, also, found = [], [], []
    for average, words in ((AVERAGED, "longest average"), (RAW, "weights as they are")):
        if not run_readings.rise(record, place, average).twice:
            found.append(f"{words}: the distance does not descend twice")
            continue
        held, known = (
            run_readings.fall_again(record, place, name, AGAIN, average) for name in ("test", "train")
        )
        core.append(held <= AGAIN)
        also.append(known <= AGAIN)
        falls = f"held-out {100 * held:.0f} %, training {100 * known:.0f} %"
        found.append(f"{words}: largest fall after a rise {falls}")
    if not core:
        raise Nothing("the distance does not descend twice, so there is nothing to explain")
    return Finding("; ".join(found), "means over seeds", verdict(*core, also=also))


def _gradual(record: Record, average: int) -> Weighed:
    """Once a tenth is memorized, does the share never turn back: over N, and in the other sweeps?"""
    core, beyond = _turned(record, average)
    others = {
        name: _turned(swept_beside(record, name), average)
        for name in ("width", "batch", "rate")
    }
    parts = [("n", beyond), *((name, most) for name, (_, most) in others.items())]
    text = ", ".join(f"{_percent(most)} over {readings.FACTORS[name]}" for name, most in parts)
    also = tuple(one for found, _ in others.values() for one in found)
    return Weighed(f"largest fall {text}", core=core, also=also)


def _turned(record: Record, average: int) -> tuple[tuple[bool, ...], float]:
    """Which runs of a sweep do not turn back beyond noise, and the largest fall; NaN where none gets far."""
    found = [run_readings.turned_back(record, place, average) for place in readings.ordered(record)]
    known = [one for one in found if one is not None]
    return tuple(errors <= BEYOND for _, errors in known), max((fall for fall, _ in known), default=np.nan)


def _percent(share: float) -> str:
    return "–" if np.isnan(share) else f"{100 * share:.0f} %"


# ---------------------------------------------------------------------------------------------- more images


def _linear(record: Record, average: int) -> Weighed:
    """At every threshold: the interval holds 1, and is narrow enough to tell 1 from 1/2 and from 3/2.

    One alone says nothing: a wide interval holds 1 whatever the power is.
    """
    powers = readings.scan(record, average)
    names = ", ".join(f"{100 * share:.0f} %" for share in SHARES)
    if missing := unread(powers):
        return missing
    ends = [upto(record, readings.split_at(record, share, average)) for share in SHARES]
    values = ", ".join(f"{p.value:.2f}{end}" for p, end in zip(powers, ends, strict=True))
    text = f"power {values} at thresholds of {names}"
    core = tuple(0.5 < p.low <= 1 <= p.high < 1.5 for p in powers)
    return Weighed(text, "; ".join(p.interval for p in powers), core)


def _above_linear(record: Record, average: int) -> Weighed:
    found = readings.power(record, TENTH, average)
    end = upto(record, readings.onset(record, TENTH, average))
    text = f"power {found.value:.2f} over {found.sizes} sizes{end}"
    return unread([found]) or Weighed(text, found.interval, (found.low > 1,))


# ------------------------------------------------------------------------------------------------- in order


def _fidelity_with_more(record: Record, average: int) -> Weighed:
    """The least distance gets smaller as the factor grows."""
    return ordered(sweep_of(record).read("best", average), falls=True)


def _fidelity_with_less(record: Record, average: int) -> Weighed:
    return ordered(sweep_of(record).read("best", average), falls=False)


def _raw_fidelity(record: Record) -> Finding:
    """The same for the weights as they are alone."""
    found = _fidelity_with_more(record, RAW)
    return Finding(
        found.value, found.interval, verdict(*found.core, also=found.also) if found.core else PENDING
    )


def _sooner(record: Record, average: int) -> Weighed:
    return ordered(late(sweep_of(record), average), falls=True)


def _later(record: Record, average: int) -> Weighed:
    """Does the onset, times the learning rate, grow with the rate?"""
    sweep = sweep_of(record)
    return ordered(late(sweep, average) * sweep.value[:, None], falls=False)


def _roles(record: Record, average: int) -> Weighed:
    """More images delay memorization, a larger network hastens it, and both bring the distance down."""
    sweeps = (sweep_of(record), sweep_of(swept_beside(record, "width")))
    onsets = [late(sweep, average) for sweep in sweeps]
    tenths = [_known(steps)[[0, -1]] for steps in onsets]
    bests = [sweep.read("best", average)[[0, -1]] for sweep in sweeps]
    text = "; ".join(
        f"{readings.FACTORS[sweep.factor]}: step {_to(tenth)}, distance {_to(best)}"
        + (sweep.shared if average == AVERAGED else "")
        for sweep, tenth, best in zip(sweeps, tenths, bests, strict=True)
    )
    if np.isnan(bests).any():
        return Weighed(text)
    wanted = [(tenths[0], False), (tenths[1], True), (bests[0], True), (bests[1], True)]
    names = [f"{what} over {readings.FACTORS[s.factor]}" for what in ("step", "distance") for s in sweeps]
    found = [beyond_noise(first, last, falls, 3) for (first, last), falls in wanted]
    compare = [*map(compared, onsets), LESS, LESS]
    said = "; ".join(
        f"{name}: {words.replace(LESS, which)}"
        for name, which, (_, words) in zip(names, compare, found, strict=True)
    )
    return Weighed(text, said, tuple(sure for sure, _ in found))


def _known(found: np.ndarray) -> np.ndarray:
    """The values that every seed knows, [value, seed]."""
    return found[~np.isnan(found).any(1)]


def _to(ends: np.ndarray) -> str:
    """'1,644 to 19,609': means over seeds [end, seed]."""
    means = ends.mean(1)
    return " to ".join("not in every seed" if np.isinf(one) else number(one) for one in means)


# ------------------------------------------------------------------------------------------------ the batch


def _same_rate(record: Record, average: int) -> Weighed:
    rates = sweep_of(record).read("rate", average).mean(1)
    known = rates[np.isfinite(rates)]
    if len(known) < 2:
        return Weighed("too few evaluations between 10 and 60 % for a slope")
    ratio = float(known.max() / known.min())
    return Weighed(listed(rates), f"ratio {ratio:.2f}", (ratio < 1.25 and len(known) == len(rates),))


# ------------------------------------------------------------------------------------------ disjoint halves


def _halves(record: Record) -> Finding:
    """Distance of the two samples from one noise over that of samples from different noises."""
    first, *_, end = (over_seeds(each) for each in halves_readings.apart(record))
    n = record["n"]
    text = f"{first[0]:.4f} at N = {n[0]}, {end[0]:.4f} at N = {n[-1]}"
    interval = f"{end[1]:.2f} to {end[2]:.2f} at N = {n[-1]}" if np.isfinite(end[1]) else "one seed"
    return Finding(text, interval, verdict(bool(end[0] < 0.5), also=(bool(first[0] > 0.9),)))


ON_BOTH: dict[str, Judge] = {  # judged on digits and on CIFAR-10
    "marion-part": _part,
    "marion-copies": _memorized,
    "marion-linear": _linear,
    "ours-above": _above_linear,
    "marion-slope": trends.slower,
    "marion-size-fidelity": _fidelity_with_more,
    "marion-least-loss": trends.least_loss,
    "bonnaire-early": trends.early,
    "marion-same": _same_distance,
    "marion-double": _double_descent,
    "marion-double-frechet": _double_frechet,
    "marion-gradual": _gradual,
    "marion-roles": _roles,
    "marion-width-onset": _sooner,
    "marion-width-split": trends.saturates,
    "bonnaire-width": trends.inverse_width,
    "marion-width-fidelity": _fidelity_with_more,
    "marion-batch-onset": partial(trends.inverse_batch, "split"),
    "marion-batch-copies": partial(trends.inverse_batch, TENTH),
    "marion-batch-slope": _same_rate,
    "marion-batch-fidelity": _fidelity_with_less,
    "marion-rate-onset": _later,
    "marion-rate-raw": trends.turns,
    "marion-rate-slope": _same_rate,
    "marion-rate-fidelity": _fidelity_with_more,
}
CHECKS: dict[str, Check] = {
    **{f"{name}-{data}": both(judge) for name, judge in ON_BOTH.items() for data in ("digits", "cifar")},
    **{f"marion-second-fall-{data}": trends.second_fall for data in ("digits", "cifar")},
    "marion-levels-digits": _levels,
    "ours-averaging": _raw_fidelity,
    "ours-precision": both(trends.same_in_bfloat16),
    "ours-halves": _halves,
}
