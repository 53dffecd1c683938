"""Sentences of chapter 5: what the records say, in captions and between figures."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from diffnotes.base.ranks import rank_correlation
from diffnotes.chapters.four_lenses import onset_readings, readings, watch_readings
from diffnotes.chapters.four_lenses.onset_readings import ONSETS
from diffnotes.chapters.four_lenses.readings import WAYS, title
from diffnotes.show.labels import bounds, joined, minus
from diffnotes.show.style import Sentence
from diffnotes.store import Record

NEVER = "in no run"


def spoken(interval: np.ndarray, digits: int = 2) -> str:
    """'0.83 (0.71 to 0.90)'; '–' for a correlation with what never changes."""
    if np.isnan(interval[0]):
        return "–"
    text = minus(f"{interval[0]:.{digits}f}")
    known = len(interval) > 1 and np.isfinite(interval[1:]).all()
    return f"{text} ({bounds(interval[1], interval[2], digits)})" if known else text


def middle(values: np.ndarray) -> float:
    """Geometric mean over the runs that have a value; NaN for none."""
    some = onset_readings.known(values)
    return float(np.exp(np.log(some).mean())) if len(some) else np.nan


# -------------------------------------------------------------------------------------------- the answer


def answer_found(*records: Record) -> Sentence:
    """What the chapter found."""
    parts = (_one_quantity, _one_after_another, _watched)
    return Sentence(*records, text=joined(part(records) for part in parts))


def _each(records: tuple[Record, ...], say: Callable[[Record], str]) -> str:
    """'x on digits, y on CIFAR-10, 16 × 16'."""
    return ", ".join(f"{say(record)} on {title(record)}" for record in records)


def _one_quantity(records: tuple[Record, ...]) -> str:
    def off(record: Record) -> str:
        return f"{100 * same_level(record):.1f} %"

    return (
        "Two of the papers' instruments are one: loss gap and supervised error, measured with different "
        f"noise, differ by {_each(records, off)} (median over checkpoints and noise levels)."
    )


def _one_after_another(records: tuple[Record, ...]) -> str:
    def times(record: Record) -> str:
        factor = np.exp(onset_readings.known(onset_readings.lag(record, "relative")))
        return f"{np.exp(np.log(factor).mean()):.1f} times as late" if len(factor) else NEVER

    return (
        "The others speak one after another: 5 % of samples are copies, compared with the time at which the "
        f"held-out error is twice the training error at some noise level, {_each(records, times)}."
    )


def _watched(records: tuple[Record, ...]) -> str:
    def wrong(record: Record) -> str:
        found = {watch.lens.name: 100 * watch.error for watch in watch_readings.watched(record)}
        if not found:
            return f"nothing to tell apart on {title(record)}"
        names = ("held_out", "relative", "loss", "passes")
        errors = ", ".join(f"{found[name]:.1f} %" for name in names)
        return f"{errors} on {title(record)}"

    return (
        "Which number that needs no samples tells the checkpoints that copy, on sizes of training set that "
        "its threshold was not fitted to? Balanced errors of held-out loss, relative gap, training loss, and "
        f"of the mere number of passes: {'; '.join(map(wrong, records))}."
    )


# ----------------------------------------------------------------------------------------- between figures


def relapses_found(*records: Record) -> Sentence:
    """Which trainings were thrown back."""
    return Sentence(*records, text=joined(map(_thrown_back, records)))


def _thrown_back(record: Record) -> str:
    where = np.argwhere(readings.relapses(record))
    if not len(where):
        return f"With {title(record)}, no training was thrown back."
    runs = dict.fromkeys(
        f"N = {record['n'][size]}, width {record['width'][width]}, seed {record.spec['seeds'][seed]}"
        for size, width, seed, _ in where
    )
    return (
        f"With {title(record)}, the training loss jumped to {readings.RELAPSE:g} times its least or more "
        f"before {len(where)} of {readings.checkpoints(record)} checkpoints ({'; '.join(runs)}). What was "
        "measured there is in all figures and tables."
    )


def predicts_found(*records: Record) -> Sentence:
    """What the loss gap is worth as a forecast, beside the simplest one."""
    return Sentence(*records, text=joined(map(_forecast, records)))


def _forecast(record: Record) -> str:
    gap, copies = (np.log(onset_readings.onset(record, name)) for name in ("gap", "memorized"))
    both = np.isfinite(gap) & np.isfinite(copies)
    if both.sum() < 2:
        return f"With {title(record)}, fewer than two runs reach both onsets."
    if len(np.unique(onset_readings.seen_first(record, "memorized")[both])) < 2:
        return f"With {title(record)}, all copies come between the same two checkpoints, so nothing is told."
    left, whole = (values[both].std(ddof=1) for values in (copies - gap, copies))
    return (
        f"With {title(record)}, a forecast that waits a fixed factor after the halving of the loss gap is "
        f"off by a factor {np.exp(left):.2f} (one standard deviation over {both.sum()} runs), one that names "
        f"a number of passes and looks at nothing by {np.exp(whole):.2f}."
    )


# ------------------------------------------------------------------------------- first sentences of captions


def same_level(record: Record) -> float:
    """The median relative difference of loss gap and supervised error."""
    return float(np.median(np.abs(record["loss_gap"] / record["supervised"] - 1)))


def same_text(record: Record) -> str:
    """How near the two are, under one law of sigma and under two."""
    pair = [readings.in_law(record, record[name]) for name in ("loss_gap", "supervised")]
    other = readings.flow_law(record, record["supervised"])
    apart = np.abs(pair[0] / pair[1] - 1)
    rank = rank_correlation(np.stack([pair[0].ravel(), other.ravel()], 1))[0, 1]
    return (
        f"With {title(record)}, loss gap and supervised error under EDM's law of σ differ by "
        f"{100 * np.median(apart):.1f} % in the median over {apart.size} checkpoints; with the law of each "
        f"paper their rank correlation is {minus(f'{rank:.3f}')}."
    )


def run_text(record: Record) -> str:
    """The order of onsets in the runs that memorize."""
    memorize = np.isfinite(onset_readings.onset(record, "memorized"))
    each = {name: onset_readings.onset(record, name)[memorize] for name in ONSETS}
    times = {name: middle(found) for name, found in each.items()}
    seen = sorted((name for name in times if np.isfinite(times[name])), key=lambda name: times[name])
    order = ", ".join(f"{ONSETS[name][0]} ({times[name]:,.0f}{_in_some(each[name])})" for name in seen)
    return (
        f"With {title(record)}, in passes over the training set, geometric means over the {memorize.sum()} "
        f"runs that memorize: {order or NEVER}."
    )


def _in_some(times: np.ndarray) -> str:
    known = int(np.isfinite(times).sum())
    return "" if known == len(times) else f" in {known} runs"


def onsets_text(record: Record) -> str:
    """How much later copies come than the first sign of fitting, and how both grow with N."""
    lag = onset_readings.known(onset_readings.lag(record, "parted"))
    if not len(lag):
        return f"With {title(record)}, the losses part and copies come {NEVER}."
    powers = [(word, _power(record, name)) for name, word in (("parted", "parting"), ("memorized", "copies"))]
    grown = " and ".join(f"{power:.2f} for {word}" for word, power in powers if np.isfinite(power))
    return (
        f"With {title(record)}, copies come {np.exp(lag.mean()):.1f} times as late as the parting of the "
        f"losses, in the geometric mean over {len(lag)} runs. Images seen until then go as N to the power "
        f"{grown} with the widest network, where 1 would be a level line."
    )


def _power(record: Record, name: str) -> float:
    """The power of N with which images seen until an onset go, for the widest network; NaN where a size has
    none."""
    times = np.array([middle(each) for each in onset_readings.onset(record, name)[:, -1]])
    if not np.isfinite(times).all():
        return np.nan
    return float(1 + np.polyfit(np.log(record["n"]), np.log(times), 1)[0])


def levels_text(record: Record) -> str:
    """Where the relative gap passes its threshold first, and from where on the overlap has passed already."""
    first = middle(onset_readings.first_level(record, "relative"))
    found = f"the relative gap passes 1 first at {first:.2f} σ*" if np.isfinite(first) else "no gap reaches 1"
    past = onset_readings.past_already(record, "inside").all((0, 1, 2))
    if past.any():
        ratio = record["sigma"][past].min() / np.exp(np.log(record["critical"]).mean())
        found += f"; the overlap is past a half at the first checkpoint of every run from {ratio:.1f} σ* on"
    return f"With {title(record)}, {found}."


def predicts_text(record: Record) -> str:
    """How constant the lag behind the loss gap is."""
    lag = onset_readings.known(onset_readings.lag(record, "gap"))
    if len(lag) < 2:
        return f"With {title(record)}, fewer than two runs reach both onsets."
    return (
        f"With {title(record)}, copies come {np.exp(lag.mean()):.2f} times as late as the halving of the "
        f"loss gap, give or take a factor {np.exp(lag.std(ddof=1)):.2f} over {len(lag)} runs."
    )


def overlap_text(record: Record) -> str:
    """Overlap before copies, beside that of noised held-out images."""
    early = readings.memorized(record) < readings.COPIED
    near, left = (100 * readings.lens(name).read(record)[early].max() for name in ("inside", "inside_left"))
    ends = [100 * held_out_overlap(record, zone) for zone in ("at", "left")]
    at, below = (bounds(one.min(), one.max(), 0, " %") for one in ends)
    return (
        f"With {title(record)}, before 5 % of samples are copies, up to {near:.0f} % of sampler states at σ* "
        f"and up to {left:.0f} % left of it are within the range; of noised held-out images {at} and {below}."
    )


def held_out_overlap(record: Record, zone: str) -> np.ndarray:
    """Share of noised held-out images within the range, in a zone, of all sizes and seeds [size, seed]."""
    inside = readings.zone(record, zone)
    return np.asarray((record["unseen_inside"] * inside).sum(-1) / inside.sum(-1))


def correlation_text(record: Record) -> str:
    """What bounds the correlations with copies, and the lens that goes with them best where there are any."""
    share, most = readings.ceiling(record)
    found = readings.correlations(record, WAYS[1])
    ranks = {lens: readings.pair(found, lens.name, "memorized") for lens in readings.LENSES[:-1]}
    known = {lens: value for lens, value in ranks.items() if np.isfinite(value[0])}
    if not known:
        return f"With {title(record)}, hardly a sample is memorized at any checkpoint."
    best = max(known, key=lambda lens: abs(known[lens][0]))
    return (
        f"With {title(record)}, {100 * share:.0f} % of {readings.checkpoints(record)} checkpoints have no "
        f"copy; so over all of them no lens whose values differ can go beyond {most:.2f}. Among those with "
        f"copies the share goes best with: {best.word}, rank correlation {spoken(known[best])}."
    )


def watch_text(record: Record) -> str:
    """The numbers that tell, and whether the differences are beyond the runs."""
    found = watch_readings.watched(record)
    if not found:
        return f"With {title(record)}, there is nothing to tell apart on some sizes."
    clock = next(watch for watch in found if watch.lens.name == "passes")
    good = [watch for watch in found if watch.better(clock)]
    best = [watch for watch in found if not any(other.better(watch) for other in found)]
    words = ", ".join(watch.lens.word for watch in best)
    return (
        f"With {title(record)}, {len(good)} of {len(found) - 1} numbers have a lower balanced error than the "
        f"mere number of passes ({100 * clock.error:.1f} %), by the interval over runs. Those that none is "
        f"better than, by the same measure: {words}."
    )
