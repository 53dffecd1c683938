"""Sentences of chapter 3: what the records say of onsets, distances, breakdowns and averages.

Functions that return text make the first sentence of a caption; those that return a Sentence stand alone.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from diffnotes.chapters.memorization import readings, run_readings
from diffnotes.chapters.memorization.readings import AVERAGED, LABELS, RAW, TENTH, Swept, label, named, title
from diffnotes.chapters.memorization.run_readings import AGAIN
from diffnotes.show.labels import bounds, minus
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
    ten = readings.onset(record, TENTH)
    best = readings.swept(record, record).read("best").mean(1)
    sizes = f"{label(record, first)} to {label(record, end)}"
    small, large = (
        f"at step {ten[k].mean():,.0f}"
        if np.isfinite(ten[k]).all()
        else f"in {np.isfinite(ten[k]).sum()} of {len(ten[k])} runs by step {readings.steps(record, k)[-1]:,}"
        for k in (first, end)
    )
    return (
        f"In our runs on {title(record)}, {sizes}: a tenth of the samples are memorized {small} with the "
        f"fewest images and {large} with the most, and the least distance to real images before the losses "
        f"part goes from {best[0]:.2f} to {best[-1]:.2f}."
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


def levels(record: Record) -> str:
    """Where the held-out losses at the first and last t are least, and how far losses fall again."""
    place, t = readings.default_place(record), record["t"]
    first, *_, end = run_readings.least_by_t(record, place)[0]
    held, known = (run_readings.fall_again(record, place, split, AGAIN) for split in ("test", "train"))
    return (
        f"The held-out loss is least at step {first:,} at t = {t[0]:.2f} and at step {end:,} at "
        f"t = {t[-1]:.2f}; once risen, it falls again by at most {100 * held:.0f} %, the "
        f"training loss by {100 * known:.0f} %."
    )


def mismatch_found(*records: Record) -> Sentence:
    """How far the distances to training and to held-out images differ, before the losses part and in all."""
    return together(*(Sentence(record, text=_mismatch(record)) for record in records))


def _mismatch(record: Record) -> str:
    places = readings.ordered(record)
    pairs = [run_readings.mismatch(record, place) for place in places]
    early, late = (_percents(shares) for shares in zip(*pairs, strict=True))
    sizes, most = ", ".join(f"{record['value'][k]:,}" for k in places), record.spec["samples"]
    part = f" (with larger N: to {most} of the training images)" if record["value"].max() > most else ""
    return (
        f"{title(record)}, N = {sizes}: distances to training{part} and to held-out images differ by at most "
        f"{early} % before the losses part, and by at most {late} % in all."
    )


# --------------------------------------------------------------------------------------------------- onsets


def collapse(*records: Record) -> str:
    """How much later, in steps per image, a tenth of the samples are memorized with more images."""
    parts = [f"{_later_per_image(record)} on {title(record)}" for record in records]
    return f"In steps per image, “{LABELS[TENTH]}” comes {_join(parts)}."


def _later_per_image(record: Record) -> str:
    """'1.49 times as late at N = 256 as at N = 32', between the ends that every seed reaches."""
    sweep = readings.swept(record, record)
    times = sweep.onset(TENTH).mean(1) / sweep.value
    known = np.flatnonzero(np.isfinite(times))
    if len(known) < 2:
        return "in every seed at fewer than two sizes"
    first, last = known[[0, -1]]
    low, high = (named("n", sweep.value[k]) for k in (first, last))
    return f"{times[last] / times[first]:.2f} times as late at {high} as at {low}"


def powers(*records: Record) -> str:
    """For how many definitions the interval of the power of N contains 1, and how many lie above or below."""
    return f"Of the 95 % intervals of the power of N, {'; '.join(map(_powers, records))}."


def _powers(record: Record) -> str:
    found = [readings.power(record, name) for name in LABELS]
    known = [power for power in found if power.known]
    if not known:
        return f"none on {title(record)}"
    above, below = sum(power.low > 1 for power in known), sum(power.high < 1 for power in known)
    held = len(known) - above - below
    return f"{held} of {len(known)} on {title(record)} contain 1, {above} lie above and {below} below"


def power_range(*records: Record) -> str:
    """The powers of N for losses that part, over the thresholds from a tenth on, and which exclude 1."""
    wide = [share for share in readings.SCAN if share >= readings.SHARES[0]]
    low, high = (f"{100 * share:.0f}" for share in (wide[0], wide[-1]))
    parts = _join([f"{_power_range(record, wide)} on {title(record)}" for record in records])
    return f"For losses that part by {low} to {high} %, the power of N is {parts}."


def _power_range(record: Record, shares: Sequence[float]) -> str:
    """'1.04 to 1.22 (3 of these 4 intervals exclude 1)'."""
    fits = {name: readings.fitted(record, times) for name, times in readings.thresholds(record).items()}
    parting = [fits[f"losses part by {100 * share:.0f} %"] for share in shares]
    if not all(power.known for power in parting):
        return "not known at each"
    values = [power.value for power in parting]
    off = sum(not power.low <= 1 <= power.high for power in parting) or "none"
    small = [share for share in readings.SCAN if share < shares[0]]
    other = fits[f"losses part by {100 * small[0]:.0f} %"] if small else None
    more = f"; {other.value:.2f} by {100 * small[0]:.0f} %" if other and other.known else ""
    return minus(
        f"{min(values):.2f} to {max(values):.2f} ({off} of these {len(parting)} intervals exclude 1{more})"
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


def their_powers() -> Sentence:
    """The power of the parting of the losses that the paper's curves give, and that of a tenth of copies."""
    low, high = readings.THEIR_SPLITS
    return Sentence(text=(
        f"In the paper’s curves, as we read them, the power is {readings.THEIR_SPLIT:.2f}, and {low:.2f} to "
        f"{high:.2f} with other thresholds; at a tenth of memorized samples it is {readings.THEIR_TENTH:.2f}."
    ))  # fmt: skip


# --------------------------------------------------------------------------------------- width, batch, rate


def moved_most(base: Record, *sweeps: Record) -> str:
    """How far each factor moves the step of 10 % memorized samples: largest over least mean."""
    parts = [_span(base, sweep) for sweep in sweeps]
    return f"{title(base)}: the step of 10 % memorized samples varies by a factor {_join(parts)}."


def _span(base: Record, record: Record) -> str:
    """'3.12 with the width'."""
    sweep = readings.swept(base, record)
    mean, word = sweep.onset(TENTH).mean(1), readings.WORDS[sweep.factor] + readings.beside(base, record)
    if np.isfinite(mean).sum() < 2:
        return f"that is not known with the {word} (known in every seed at fewer than two values)"
    return f"{_ratio(mean)} with the {word}{_without(sweep, mean)}"


def _without(sweep: Swept, mean: np.ndarray) -> str:
    """Which values a ratio leaves out."""
    missing = [named(sweep.factor, value) for value in sweep.value[~np.isfinite(mean)]]
    why = "where a seed does not get there or breaks down before"
    return f" (without {', '.join(missing)}, {why})" if missing else ""


def best_run(base: Record, *sweeps: Record) -> str:
    """The runs that come nearest to real images before their losses part, and the one that does so least."""
    least = {
        readings.run_label(base, record, place): readings.read(record, "best")[place]
        for record in (base, *sweeps)
        for place in readings.ordered(record)
    }
    known = {name: each for name, each in least.items() if np.isfinite(each).all()}
    if not known:
        return f"{title(base)}: no run has a least distance in every seed."
    order = sorted(known, key=lambda name: float(known[name].mean()))
    best, worst = order[0], order[-1]
    near = [name for name in order[1:] if not _apart(known[best], known[name])]
    tied = f" (not told from it: {'; '.join(near)})" if near else ""
    return (
        f"{title(base)}: of all {len(least)} runs, {best} has the smallest least distance, "
        f"{known[best].mean():.3f}{tied}. {worst} has the largest, {known[worst].mean():.3f}."
    )


def _apart(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two means over seeds lie more than two standard errors of their difference apart."""
    if min(len(one), len(other)) < 2:
        return False
    error = np.hypot(*(each.std(ddof=1) / len(each) ** 0.5 for each in (one, other)))
    return bool(abs(one.mean() - other.mean()) > 2 * error)



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

