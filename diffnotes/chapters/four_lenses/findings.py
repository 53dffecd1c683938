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
    known = np.isfinite(interval[1:]).all()
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
        found = {watch.lens.name: watch.error for watch in watch_readings.watched(record)}
        if not found:
            return "nothing to tell apart"
        return f"{100 * found['relative']:.0f} % (training loss: {100 * found['loss']:.0f} %)"

    return (
        "A number that needs no samples, the largest relative gap, was asked which checkpoints memorize, on "
        "sizes of training set that its threshold was not fitted to. Its balanced error is "
        f"{_each(records, wrong)}."
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
    """The order of onsets."""
    times = {name: middle(onset_readings.onset(record, name)) for name in ONSETS}
    seen = sorted((name for name in times if np.isfinite(times[name])), key=lambda name: times[name])
    order = ", ".join(f"{ONSETS[name][0]} ({times[name]:,.0f})" for name in seen)
    return f"With {title(record)}, in passes over the training set, geometric means: {order or NEVER}."


def onsets_text(record: Record) -> str:
    """How far apart the first and the last onset lie, in runs that have all."""
    all_times = np.stack([onset_readings.onset(record, name) for name in ONSETS])
    whole = np.isfinite(all_times).all(0)
    if not whole.any():
        return f"With {title(record)}, no run reaches every onset."
    factor = all_times[:, whole].max(0) / all_times[:, whole].min(0)
    return (
        f"With {title(record)}, the last instrument to see memorization does so {middle(factor):.1f} times "
        f"as late as the first, in the geometric mean over the {whole.sum()} of {whole.size} runs that "
        "reach all."
    )


def levels_text(record: Record) -> str:
    """Where each curve passes its threshold first."""
    words = {"relative": "the relative gap", "gap": "the loss gap", "inside": "the sampler's overlap"}
    found = {name: middle(onset_readings.first_level(record, name)) for name in words}
    parts = [f"{words[name]} at {value:.2f} σ*" for name, value in found.items() if np.isfinite(value)]
    return f"With {title(record)}, what passes its threshold passes it first: {', '.join(parts) or NEVER}."


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
    """Overlap before copies."""
    early = readings.memorized(record) < readings.COPIED
    near, left = (readings.lens(name).read(record)[early] for name in ("inside", "inside_left"))
    return (
        f"With {title(record)}, before 5 % of samples are copies, up to {100 * near.max():.0f} % of sampler "
        f"states at σ* and up to {100 * left.max():.0f} % left of it are as near to the training set as "
        "noised training images."
    )


def correlation_text(record: Record) -> str:
    """The lens that goes with copies best."""
    found = readings.correlations(record, WAYS[0])
    ranks = {lens: readings.pair(found, lens.name, "memorized") for lens in readings.LENSES[:-1]}
    known = {lens: value for lens, value in ranks.items() if np.isfinite(value[0])}
    if not known:
        return f"With {title(record)}, no sample is memorized at any checkpoint."
    best = max(known, key=lambda lens: abs(known[lens][0]))
    return (
        f"With {title(record)}, over {readings.checkpoints(record)} checkpoints the share of copies goes "
        f"best with: {best.word}, rank correlation {spoken(known[best])}."
    )


def watch_text(record: Record) -> str:
    """The cheapest number that tells."""
    found = watch_readings.watched(record)
    if not found:
        return f"With {title(record)}, there is nothing to tell apart on some sizes."
    best, free = found[0], next(watch for watch in found if not watch.lens.samples)
    return (
        f"With {title(record)}, {best.lens.word} tells best ({100 * best.error:.0f} % balanced error); of "
        f"what needs no samples it is {free.lens.word} ({100 * free.error:.0f} %), for {free.cost:,.0f} "
        "images seen by the network at a checkpoint."
    )
