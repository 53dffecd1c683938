"""Checks on what moves with a factor, and on what the second fall of the distance is."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from diffnotes.base.statistics import factor_over_seeds
from diffnotes.chapters.checks import Finding, Nothing, every, verdict
from diffnotes.chapters.memorization import readings, run_readings
from diffnotes.chapters.memorization.judging import (
    LESS,
    Weighed,
    beyond_noise,
    late,
    listed,
    ordered,
    sweep_of,
    swept_beside,
    upto,
)
from diffnotes.chapters.memorization.readings import AVERAGED, RAW, TENTH, Power, Swept
from diffnotes.chapters.memorization.run_readings import PART
from diffnotes.store import Record

FEW = 0.2  # share of memorized samples: the paper's curves have 1 to 17 % at the peak
ALIKE = 1.5  # factor between images seen at the onset, below which they count as the same
FELL, FLAT = 1.5, 1.25  # factors, for a fall and for none
STILL = 0.25  # a power that is none: a factor 1.7 over sizes that differ by 8, and 2.4 by 32
SAME_LOSS, SAME_DISTANCE = 1.02, 1.1  # factors: a quarter to a half of what twice the images change
SLOPE_ENDS = 0.6  # share of memorized samples up to which a slope is read


def least_loss(record: Record, average: int) -> Weighed:
    """Does the least held-out loss fall with N?"""
    return ordered(sweep_of(record).least_loss(average), falls=True)


def saturates(record: Record, average: int) -> Weighed:
    """Does the step at which the losses part fall with the width at first, and not at last?"""
    steps = sweep_of(record).onset("split", average).mean(1)
    text = f"step {listed(steps)}"
    if len(steps) < 3 or not np.isfinite(steps[-2:]).all():
        return Weighed(f"the losses part at fewer than three widths; {text}")
    first = steps[0] if np.isfinite(steps[0]) else np.inf
    fell, flat = first / steps[-2], steps[-2] / steps[-1]
    times = f"{listed([fell])} times as early" if np.isfinite(fell) else "not in every seed at first"
    said = f"{times} from first to last but one, {listed([flat])} times as early after that"
    return Weighed(text, said, (bool(fell > FELL and 1 / FLAT < flat < FLAT),))


def turns(record: Record, average: int) -> Weighed:
    """Is a tenth memorized soonest, in steps, at a learning rate between the ends?"""
    steps = late(sweep_of(record), average)
    steps = steps[~np.isnan(steps).any(1)]
    if len(steps) < 3:
        return Weighed(f"known in all seeds at {len(steps)} rates")
    middle = 1 + int(steps.mean(1)[1:-1].argmin())
    sides = (("least", steps[0]), ("largest", steps[-1]))
    ends = {name: beyond_noise(steps[middle], end, False, 3) for name, end in sides}
    text = listed(np.where(np.isinf(steps).any(1), np.inf, steps.mean(1)))
    said = "; ".join(
        f"{name} η: {words.replace(LESS, 'later by')}" for name, (_, words) in ends.items()
    )
    return Weighed(text, said, (all(sure for sure, _ in ends.values()),))


def inverse_batch(definition: str, record: Record, average: int) -> Weighed:
    """Is the onset times B the same at every B that is a small part of the training set?

    A batch size of which a seed does not know the onset, since it breaks down before, is left out. Where runs
    end before the onset, it is later than they are long.
    """
    sweep = sweep_of(record)
    each = sweep.never(definition, average) * sweep.value[:, None]
    seen = each.mean(1)
    length = sweep.length * sweep.value
    small = sweep.value <= record.spec["n"] / PART
    text = f"images seen at the onset: {listed(seen)}"
    known, late = small & np.isfinite(seen), small & np.isinf(seen)
    if (known | late).sum() < 2 or not known.any():
        count = {0: "there is none", 1: "there is one"}[int(known.sum())]
        told = "" if small.sum() < 2 else " with an onset that every seed knows"
        return Weighed(f"needs two batches of at most N/{PART}{told}; {count}")
    least = float(seen[known].min())
    ratio = max(float(seen[known].max()), float(length[late].max(initial=0.0))) / least
    more = "".join(
        f"; {words} at B = {', '.join(f'{value:g}' for value in sweep.value[which])}"
        for words, which in (("not reached", late), ("not known in every seed", small & np.isnan(seen)))
        if which.any()
    )
    if late.any() and ratio < ALIKE:
        return Weighed(f"{text}{more}")
    few = known & (sweep.value <= record.spec["n"] / (2 * PART))
    nearer = f", {seen[few].max() / seen[few].min():.2f} up to N/{2 * PART}" if few.sum() > 1 else ""
    mean = each[known].mean(1)
    _, low, high = factor_over_seeds(each[known][mean.argmax()] / each[known][mean.argmin()])
    near = f", so {ALIKE:g} is not told from it" if low < ALIKE < high else ""
    span = f" ({low:.2f} to {high:.2f}{near})" if np.isfinite(low) and not late.any() else ""
    said = f"ratio {ratio:.2f}{span} up to N/{PART}{nearer}{more}"
    return Weighed(text, said, (ratio < ALIKE,), (bool(high < ALIKE),))


def early(record: Record, average: int) -> Weighed:
    """Do samples get as good as they will at a step that does not depend on N, where copies come later?"""
    good = readings.fitted(record, readings.generalized(record, average))
    copies = readings.power(record, TENTH, average)
    end = upto(record, readings.onset(record, TENTH, average))
    text = f"power of N {_shown(good)} for good samples, {_shown(copies)}{end} for a tenth memorized"
    if not good.known:
        return Weighed(text)
    still = good.low >= -STILL and good.high <= STILL
    return Weighed(text, "", (still,), (copies.low > STILL,))


def inverse_width(record: Record, average: int) -> Weighed:
    """Do good samples and the parting of the losses come at steps in proportion to 1/W?"""
    sweep = sweep_of(record)
    pairs = {
        "good samples": sweep.generalized(average), "losses that part": sweep.onset("split", average)
    }  # fmt: skip
    powers = {name: readings.fitted_over(sweep.value, times) for name, times in pairs.items()}
    text = ", ".join(f"{_shown(power)} for {name}" for name, power in powers.items())
    if not all(power.known for power in powers.values()):
        return Weighed(f"power of W {text}")
    return Weighed(f"power of W {text}", "", tuple(_minus_one(power) for power in powers.values()))


def _minus_one(power: Power) -> bool:
    """Whether the interval holds −1, and tells it from −1/2 and −3/2."""
    return -1.5 < power.low <= -1 <= power.high < -0.5


def _shown(power: Power) -> str:
    """'1.20 (1.05 to 1.34)'; without an interval, '–'."""
    return f"{power.value:.2f} ({power.interval})".replace("-", "−") if power.known else "–"


def slower(record: Record, average: int) -> Weighed:
    """Does the share of memorized samples grow more slowly with more images, where it gets to 60 %?"""
    sweep = sweep_of(record)
    most = np.stack([readings.curve(*run, "copies", average).max(1) for run in sweep.runs])
    rates = np.where(most >= SLOPE_ENDS, sweep.read("rate", average), np.nan)
    return ordered(rates, falls=True)


def same_in_bfloat16(record: Record, average: int) -> Weighed:
    """Is what is trained in bfloat16 what is trained in float32, by the intervals of the ratios?"""
    coarse, fine = sweeps = [readings.swept(one, one) for one in (record, swept_beside(record, "n"))]
    n = np.intersect1d(coarse.value, fine.value)
    seeds = [seed for seed in coarse.seeds if seed in fine.seeds]
    reads: dict[str, tuple[float, Callable[[Swept], np.ndarray]]] = {
        "losses part": (FLAT, lambda sweep: sweep.onset("split", average)),
        "a tenth memorized": (FLAT, lambda sweep: sweep.onset(TENTH, average)),
        "least held-out loss": (SAME_LOSS, lambda sweep: sweep.least_loss(average)),
        "least distance": (SAME_DISTANCE, lambda sweep: sweep.read("best", average)),
    }
    ratios = {
        name: np.divide(*(_of(sweep, read(sweep), n, seeds) for sweep in sweeps))
        for name, (_, read) in reads.items()
    }  # [size, seed]
    if len(seeds) < 2 or not all(np.isfinite(ratio).all() for ratio in ratios.values()):
        return Weighed(f"not known in at least two seeds at each of N = {listed(n)}")
    means = {name: factor_over_seeds(np.exp(np.log(ratio).mean(0))) for name, ratio in ratios.items()}
    powers = [readings.fitted_over(n, ratio) for ratio in list(ratios.values())[:2]]
    text = ", ".join(f"{name} {value:.3f}" for name, (value, *_) in means.items())
    bend = ", ".join(_shown(power) for power in powers)
    said = ", ".join(f"{low:.3f} to {high:.3f}" for _, low, high in means.values())
    margins = [margin for margin, _ in reads.values()]
    pairs = zip(margins, means.values(), strict=True)
    core = [bool(low > 1 / margin and high < margin) for margin, (_, low, high) in pairs]
    straight = every([power.known and power.low >= -STILL and power.high <= STILL for power in powers])
    where = f"bfloat16 over float32 at N = {listed(n)}"
    return Weighed(f"{where}: {text}", f"{said}; powers of N of the steps {bend}", tuple(core), (straight,))


def _of(sweep: Swept, values: np.ndarray, n: np.ndarray, seeds: Sequence[int]) -> np.ndarray:
    """The rows of these sizes and the columns of these seeds."""
    found: np.ndarray = values[np.isin(sweep.value, n)][:, [sweep.seeds.index(seed) for seed in seeds]]
    return found


ONCE, RISING = "does not descend twice", "rises, and has not lost half of it again by the end"


def second_fall(record: Record) -> Finding:
    """Where the distance descends twice: are few samples memorized at the peak, and many after the fall?"""
    peaks, ends, found, single = [], [], [], []
    for average, words in ((AVERAGED, "longest average"), (RAW, "weights as they are")):
        for place in readings.ordered(record):
            rise = run_readings.rise(record, place, average)
            if not rise.twice:
                open_end = rise.value >= run_readings.RISE and rise.low > 0
                single.append((f"{words}: {RISING if open_end else ONCE}", f"{record['value'][place]:,}"))
                continue
            share = readings.curve(record, place, "copies", average).mean(0)[[rise.top, rise.end]]
            peaks.append(share[0] <= FEW)
            ends.append(share[1] >= max(FEW, 2 * share[0]))
            peak, end = (f"{100 * one:.0f} %" for one in share)
            where = f"{words}, {readings.label(record, place)}"
            found.append(f"{where}: {peak} at the peak, {end} after the fall")
    if not found:
        raise Nothing("the distance descends twice at no N, so there is no second fall")
    once = {kind: ", ".join(n for words, n in single if words == kind) for kind, _ in single}
    found += [f"{words} at N = {sizes}" for words, sizes in once.items()]
    return Finding("; ".join(found), "means over seeds", verdict(every(peaks), every(ends)))
