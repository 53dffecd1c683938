"""Sentences of chapter 3: what the records say of onsets, distances, breakdowns and averages.

Functions that return text make the first sentence of a caption; those that return a Sentence stand alone.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from diffnotes.chapters.memorization import halves_readings, readings, run_readings
from diffnotes.chapters.memorization.readings import AVERAGED, LABELS, RAW, TENTH, Swept, label, named, title
from diffnotes.show.labels import bounds
from diffnotes.show.style import Sentence, together
from diffnotes.store import Record

UNITS = {"batch": "images seen", "rate": "units of τη"}


def stages(record: Record, runs: Sequence[tuple[int, int]]) -> str:
    """The share of memorized samples of the first seed at (place, evaluation)s."""
    parts = [
        f"{100 * readings.curve(record, place, 'copies')[0, at]:.0f} % at {label(record, place)}, step "
        f"{readings.steps(record, place)[at]:,}"
        for place, at in runs
    ]
    return f"of the first seed’s samples at these three stages, {'; '.join(parts)} are memorized."


def scrubbed(record: Record, place: int) -> str:
    """The memorized share of the first seed at its first and last evaluation."""
    step, share = readings.steps(record, place), readings.curve(record, place, "copies")[0]
    return (
        f"{title(record)}, {label(record, place)}: from step {step[0]:,} to {step[-1]:,}, the memorized "
        f"share goes from {100 * share[0]:.0f} to {100 * share[-1]:.0f} %."
    )


def _percents(shares: Sequence[float]) -> str:
    return ", ".join(f"{100 * share:.0f}" for share in shares)


def _join(parts: Sequence[str]) -> str:
    """'a', 'a and b', 'a, b and c'."""
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


# ----------------------------------------------------------------------------------------------- the answer


def answer_found(*records: Record) -> Sentence:
    """The chapter in a sentence for each data set: when copying begins at both ends of N, and how good
    samples are before."""
    return together(*(Sentence(record, text=_answer(record)) for record in records))


def _answer(record: Record) -> str:
    first, *_, end = readings.ordered(record)
    ten = readings.onset(record, TENTH).mean(1)
    best = readings.swept(record, record).read("best").mean(1)
    sizes = f"{label(record, first)} to {label(record, end)}"
    when = "not in every run"
    if np.isfinite(ten[[first, end]]).all():
        when = f"at step {ten[first]:,.0f} to {ten[end]:,.0f}"
    return (
        f"In our runs on {title(record)}, {sizes}: a tenth of the samples are memorized {when}, and the "
        f"least distance to real images before the losses part goes from {best[0]:.2f} to {best[-1]:.2f}."
    )


# ------------------------------------------------------------------------------------------------- one run


def order(*records: Record) -> str:
    """When the losses part and when a tenth of the samples are memorized, and the control."""
    return " ".join(map(_order, records))


def _order(record: Record) -> str:
    place = readings.default_place(record)
    split, ten = (readings.onset(record, which)[place].mean() for which in ("split", TENTH))
    base = 100 * readings.curve(record, place, "copies_baseline").max()
    head = f"{title(record)}, {label(record, place)}: "
    control = f" Against held-out images never more than {base:.1f} % count as memorized."
    if not np.isfinite([split, ten]).all():
        return (
            f"{head}not every seed gets as far as parting losses and a tenth of memorized samples.{control}"
        )
    later = f"{ten / split:.1f} times as late" if ten > split else "not later"
    return (
        f"{head}the losses part at step {split:,.0f}, and a tenth of the samples are memorized at step "
        f"{ten:,.0f}, {later}.{control}"
    )


def descent_found(*records: Record) -> Sentence:
    """How far the distance of samples to held-out images rises again, at each N."""
    return together(*(Sentence(record, text=_descent(record)) for record in records))


def _descent(record: Record) -> str:
    parts = ", ".join(
        f"{_rise(record, place)} at {label(record, place)}" for place in readings.ordered(record)
    )
    return f"{title(record)}: largest rise of the distance above an earlier minimum: {parts}."


def _rise(record: Record, place: int) -> str:
    """'22 % (4 to 41 %)', or 'none'."""
    found = run_readings.rise(record, place)
    if not found.value > 0:
        return "none"
    ends = f" ({bounds(100 * found.low, 100 * found.high)} %)" if np.isfinite(found.low) else ""
    return f"{100 * found.value:.0f} %{ends}"


def mismatch_found(*records: Record) -> Sentence:
    """How far the distances to training and to held-out images differ, before the losses part and in all."""
    return together(*(Sentence(record, text=_mismatch(record)) for record in records))


def _mismatch(record: Record) -> str:
    places = readings.ordered(record)
    pairs = [run_readings.mismatch(record, place) for place in places]
    early, late = (_percents(shares) for shares in zip(*pairs, strict=True))
    sizes = ", ".join(f"{record['value'][place]:,}" for place in places)
    return (
        f"{title(record)}, N = {sizes}: distances to training and to held-out images differ by at most "
        f"{early} % before the losses part, and by at most {late} % in all."
    )


# --------------------------------------------------------------------------------------------------- onsets


def collapse(*records: Record) -> str:
    """How the two onsets move with N, in steps and in steps per image."""
    return " ".join(map(_collapse, records))


def _collapse(record: Record) -> str:
    sweep = readings.swept(record, record)
    parts = [_moved_by(sweep.onset(which).mean(1), sweep.value, LABELS[which]) for which in ("split", TENTH)]
    return f"{title(record)}, {sweep.ends}: {'; '.join(parts)}."


def _moved_by(times: np.ndarray, size: np.ndarray, name: str) -> str:
    known = np.isfinite(times)
    if known.sum() < 2:
        return f"“{name}” happens in every seed at fewer than two sizes"
    first, *_, end = times[known]
    per = end / first / (size[known][-1] / size[known][0])
    return f"“{name}” comes {end / first:.1f} times as late in steps, and {per:.2f} times in steps per image"


def powers(*records: Record) -> str:
    """By which definitions the interval of the power of N contains 1, or lies above or below it."""
    return " ".join(map(_powers, records))


def _powers(record: Record) -> str:
    found = {text: readings.power(record, name) for name, text in LABELS.items()}
    fitted = {text: power for text, power in found.items() if power.known}
    kinds = {
        "contains 1": [text for text, p in fitted.items() if p.low <= 1 <= p.high],
        "lies above 1": [text for text, p in fitted.items() if p.low > 1],
        "lies below 1": [text for text, p in fitted.items() if p.high < 1],
    }
    parts = [f"{kind} for {_join([f'“{name}”' for name in names])}" for kind, names in kinds.items() if names]
    if not parts:
        return f"{title(record)}: no power has an interval."
    return f"{title(record)}: the 95 % interval of the power of N {'; it '.join(parts)}."


def power_range(*records: Record) -> str:
    """Which definition of the onset grows slowest with N, and which fastest."""
    return " ".join(map(_power_range, records))


def _power_range(record: Record) -> str:
    found = {text: readings.fitted(record, t).value for text, t in readings.thresholds(record).items()}
    known = {text: value for text, value in found.items() if np.isfinite(value)}
    if not known:
        return f"{title(record)}: no onset has a power."
    low, high = min(known, key=known.__getitem__), max(known, key=known.__getitem__)
    return (
        f"{title(record)}: the fitted power of N is least, {known[low]:.2f}, for “{low}” and largest, "
        f"{known[high]:.2f}, for “{high}”."
    )


def bends(*records: Record) -> str:
    """For how many onsets the power changes with N beyond its interval."""
    return " ".join(map(_bends, records))


def _bends(record: Record) -> str:
    found = [readings.bend(record, times) for times in readings.thresholds(record).values()]
    known = [bend for bend in found if bend.known]
    if not known:
        return f"{title(record)}: too few sizes or seeds for a bend."
    up, down = sum(bend.low > 0 for bend in known), sum(bend.high < 0 for bend in known)
    return (
        f"{title(record)}: of {len(known)} onsets, the power rises with N beyond its interval for {up}, and "
        f"falls for {down}."
    )


def thresholds_found(*records: Record) -> Sentence:
    """The power of the parting of the losses at several thresholds, beside what the paper's curves give."""
    low, high = readings.THEIR_SPLITS
    paper = Sentence(*records, text=(
        f"In the paper’s curves, as we read them, the power is {readings.THEIR_SPLIT:.2f}, and {low:.2f} to "
        f"{high:.2f} with other thresholds; at a tenth of memorized samples it is {readings.THEIR_TENTH:.2f}."
    ))  # fmt: skip
    return together(*(Sentence(record, text=_thresholds(record)) for record in records), paper)


def _thresholds(record: Record) -> str:
    parts = [
        f"{power.value:.2f} ({power.interval}) at {100 * share:.0f} %"
        for share, power in zip(readings.SHARES, readings.scan(record), strict=True)
        if power.known
    ]
    said = f"the losses part with a power of {_join(parts)} of the least held-out loss."
    return f"{title(record)}: {said if parts else 'no power has an interval.'}{_local(record)}"


def _local(record: Record) -> str:
    """The power from each size to the next, where a tenth are memorized."""
    steps = readings.local_powers(record, readings.onset(record, TENTH)).mean(1)
    if len(steps) < 2:
        return ""
    listed = ", ".join(f"{step:.2f}" for step in steps)
    return f" From each size to the next, the power at 10 % memorized is {listed}."


# --------------------------------------------------------------------------------------- width, batch, rate


def moved_most(base: Record, *sweeps: Record) -> str:
    """How far each factor moves the step of 10 % memorized samples: largest over least mean."""
    parts = [_span(base, sweep) for sweep in sweeps]
    return f"{title(base)}: the step of 10 % memorized samples varies by a factor {_join(parts)}."


def _span(base: Record, record: Record) -> str:
    """'3.12 with the width'."""
    sweep = readings.swept(base, record)
    mean, word = sweep.onset(TENTH).mean(1), readings.WORDS[sweep.factor] + readings.beside(base, record)
    if not np.isfinite(mean).any():
        return f"unknown with the {word}"
    return f"{_ratio(mean)} with the {word}{_without(sweep, mean)}"


def _without(sweep: Swept, mean: np.ndarray) -> str:
    """Which values a ratio leaves out."""
    missing = [named(sweep.factor, value) for value in sweep.value[~np.isfinite(mean)]]
    return f" (without {', '.join(missing)}, where a seed never gets there)" if missing else ""


def best_run(base: Record, *sweeps: Record) -> str:
    """The run that comes nearest to real images before its losses part, and the one that does so least."""
    least = {
        readings.run_label(base, record, place): float(readings.read(record, "best")[place].mean())
        for record in (base, *sweeps)
        for place in readings.ordered(record)
    }
    known = {name: value for name, value in least.items() if np.isfinite(value)}
    if not known:
        return f"{title(base)}: no run has a least distance in every seed."
    best, worst = min(known, key=known.__getitem__), max(known, key=known.__getitem__)
    return (
        f"{title(base)}: of all {len(least)} runs, {best} has the smallest least distance, "
        f"{known[best]:.3f}, and {worst} the largest, {known[worst]:.3f}."
    )


def factor_found(base: Record, sweep: Record) -> Sentence:
    """How much a factor moves the two onsets, in steps and in the paper's units: largest over least mean."""
    runs = readings.swept(base, sweep)
    parts = [_moved(runs, which) for which in ("split", TENTH)]
    where = f"{title(base)}{readings.beside(base, sweep)}"
    return Sentence(base, sweep, text=f"{where}, from {runs.ends}: {'; '.join(parts)}.")


def _moved(runs: Swept, which: str) -> str:
    mean, name = runs.onset(which).mean(1), LABELS[which]
    if np.isfinite(mean).sum() < 2:
        return f"“{name}” happens in every seed at fewer than two values"
    spans = [f"{_ratio(mean)} in steps"]
    if runs.factor in UNITS:
        spans.append(f"{_ratio(mean * runs.value)} in {UNITS[runs.factor]}")
    return f"the onset “{name}” varies by a factor {' and '.join(spans)}{_without(runs, mean)}"


def _ratio(values: np.ndarray) -> str:
    known = values[np.isfinite(values)]
    return f"{known.max() / known.min():.2f}"


def regime_found(*sweeps: Record) -> Sentence:
    """How large batches are beside the training set."""
    return together(*(Sentence(sweep, text=_regime(sweep)) for sweep in sweeps))


def _regime(sweep: Record) -> str:
    shares = np.append(sweep["value"], sweep.spec["batch"]) / sweep.spec["n"]
    low, high = _fraction(shares.min()), _fraction(shares.max())
    return f"{title(sweep)}, {named('n', sweep.spec['n'])}: B/N from {low} to {high}."


def _fraction(share: float) -> str:
    return f"1/{1 / share:g}" if share < 1 else f"{share:g}"


def breakdown_found(*records: Record) -> Sentence:
    """Runs in which training loses again what it had learned."""
    runs = [(record, place) for record in records for place in range(len(record["value"]))]
    parts = [part for run in runs for part in _broken(records[0], *run)]
    text = f"{title(records[0])}: no run breaks down."
    if parts:
        text = (
            f"{title(records[0])}: some runs break down, and what comes from there on is left out of their "
            f"onset, rate and least distance. {' '.join(parts)}"
        )
    return Sentence(*records, text=text)


def _broken(base: Record, record: Record, place: int) -> list[str]:
    found, far = run_readings.breakdowns(record, place), sum(readings.astray(record, place))
    where, seeds = readings.run_label(base, record, place), len(record.spec["seeds"])
    astray = [f"{where}: in {far} of {seeds} seeds samples go astray, and none can be a copy."] if far else []
    if not found:
        return astray
    tops, lows, ends = (_percents(shares) for shares in zip(*found, strict=True))
    return [
        *astray,
        f"{where}: in {len(found)} of {seeds} seeds memorized samples reach {tops} %, fall to {lows} % and "
        f"end at {ends} %."
    ]


# ------------------------------------------------------------------------------------------------- averages


def averages(base: Record, *sweeps: Record) -> str:
    """How much lower the longest average makes the least distance, over each sweep."""
    return " ".join(_gain(base, record) for record in (base, *sweeps))


def _gain(base: Record, record: Record) -> str:
    """In percent of the distance of the weights as they are, least and most over the values."""
    sweep = readings.swept(base, record)
    raw, long = (sweep.read("best", average).mean(1) for average in (RAW, AVERAGED))
    gains = 100 * np.sort(1 - long / raw)[[0, -1]]
    ends = sweep.ends + readings.beside(base, record)
    return f"From {ends}, the longest average lowers the least distance by {bounds(*gains)} %."


def averages_found(base: Record, *sweeps: Record) -> Sentence:
    """The least distances for the weights as they are and for the longest average."""
    return Sentence(base, *sweeps, text=" ".join(_averages(base, record) for record in (base, *sweeps)))


def _averages(base: Record, record: Record) -> str:
    sweep = readings.swept(base, record)
    raw, long = (sweep.read("best", average).mean(1) for average in (RAW, AVERAGED))
    first, second = (", ".join(f"{v:.3f}" for v in values) for values in (raw, long))
    ends = sweep.ends + readings.beside(base, record)
    text = (
        f"{title(base)}, {ends}: the least distance is {first} as they are and {second} with the longest "
        "average."
    )
    between = [sweep.read("best", place).mean(1) for place in range(1, len(readings.horizons(base)) - 1)]
    if between:
        apart = 100 * np.abs(np.array(between) / long - 1).max()
        text += f" A shorter average changes that by {_at_most(apart)}."
    return text


def _at_most(percent: float) -> str:
    """'at most 1.2 %'; what would round to nothing is less than the last digit."""
    return f"at most {percent:.1f} %" if percent >= 0.05 else "less than 0.1 %"


# ------------------------------------------------------------------------------------------ disjoint halves


def halves(record: Record) -> str:
    """Distances and memorized shares at the ends."""
    share, copied = halves_readings.apart(record).mean(1), halves_readings.memorized_halves(record).mean(1)
    n = record["n"]
    return (
        f"With {n[0]} images in a half, two samples from the same noise are {share[0]:.2f} times as far "
        f"apart as unrelated ones, and {100 * copied[0]:.0f} % of the samples are memorized; with {n[-1]} "
        f"images these are {share[-1]:.2f} and {100 * copied[-1]:.0f} %."
    )
