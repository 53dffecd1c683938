"""Sentences of chapter 2's Gaussian: what the records say, in captions and between figures."""

from __future__ import annotations

import numpy as np

from diffnotes.chapters.underfitting import readings
from diffnotes.chapters.underfitting.readings import (
    APART,
    AVERAGED,
    EARLY,
    EMPIRICAL,
    FRESH,
    PAPER,
    PATH,
    RAW,
    RISES,
    SUPERVISED,
    TRUE,
    span,
)
from diffnotes.show.style import Sentence
from diffnotes.store import Record

FIGURE_10 = ((SUPERVISED, EMPIRICAL), (SUPERVISED, TRUE), (FRESH, TRUE))


# ------------------------------------------------------------------------------- first sentences of captions


def curves_text(*records: Record) -> str:
    """The ends of the three curves, the paper's in brackets where they can be compared."""
    error, t, step = readings.errors(records), records[0]["t"], records[0]["step"]
    ends = [readings.last(readings.curve(error, t, *one), step) for one in FIGURE_10]
    beside = readings.is_papers(records[0])
    first, second, third = (
        span(end) + (f", the paper's {paper:.2f}" if beside else "")
        for end, paper in zip(ends, readings.paper_at(step[-1]), strict=True)
    )
    return (
        f"In the last tenth of training the error at noised training points is {first}, against the "
        f"empirical score, and {second}, against the true one; at fresh points it is {third}, against the "
        "true one."
    )


def by_time_text(*records: Record) -> str:
    """Where the third curve rises."""
    error, t, step = readings.errors(records), records[0]["t"], records[0]["step"]
    whole = readings.curve(error, t, FRESH, TRUE)
    parts = [
        span(readings.rise(readings.curve(error, t, FRESH, TRUE, low=low, high=high), step))
        for low, high in ((0.0, EARLY), (APART, 1.0))
    ]
    when = step[readings.least(whole)]
    return (
        f"The error at fresh points, against the true score, is least at iteration {_range(when)} and ends "
        f"at {span(readings.rise(whole, step))} times that; at t < {EARLY} it is {parts[0]} times, "
        f"at t ≥ {APART} {parts[1]} times its own least value."
    )


def _range(values: np.ndarray) -> str:
    """'4,000', '3,500 to 4,000'."""
    return " to ".join(dict.fromkeys(f"{value:,}" for value in (values.min(), values.max())))


def elsewhere_text(*records: Record) -> str:
    """Against the empirical score at the three places, at small t."""
    error, t, step = readings.errors(records), records[0]["t"], records[0]["step"]
    inside, fresh, path = (
        span(readings.last(readings.in_denoiser_units(records[0], error, place, EMPIRICAL), step))
        for place in (SUPERVISED, FRESH, PATH)
    )
    true = readings.denoiser_units(readings.reference(records, 1, FRESH, EMPIRICAL), t)[:, t < APART].mean(1)
    return (
        f"In the last tenth of training, the mean over t < {APART} of the squared distance from the denoised "
        f"point to the empirical score's is {inside} per dimension at noised training points, {fresh} at "
        f"fresh ones and {path} on the network's own paths; for the true score at fresh points it is "
        f"{span(true)}."
    )


def factors_by_time_text(record: Record) -> str:
    """In which runs the third curve stays."""
    rises = _rises(record)
    stays = [name for name, one in zip(readings.run_names(record), rises, strict=True) if one <= RISES]
    low, high = int(rises.argmin()), int(rises.argmax())
    names = readings.run_names(record)
    which = f" ({', '.join(stays)})" if stays else ""
    return (
        f"The error at fresh points ends within {RISES:g} of its least value in {len(stays)} of {len(rises)} "
        f"runs{which}; last over least goes from {rises[low]:.2f} ({names[low]}) to {rises[high]:.2f} "
        f"({names[high]}), in the mean over seeds."
    )


def _rises(record: Record, average: int = RAW) -> np.ndarray:
    """Last over least of the third curve, the mean over seeds [run]."""
    values = readings.curve(record["error"], record["t"], FRESH, TRUE, average)
    return readings.rise(values, record["step"]).mean(1)


def fit_text(record: Record) -> str:
    """The third curve where two runs fit equally well."""
    return " ".join(_fit(record, factor) for factor in ("rate", "batch"))


def _fit(record: Record, factor: str) -> str:
    low, high = readings.ends_of(record, factor)
    one, other = (readings.run_errors(record, factor, value) for value in (low, high))
    small, large = readings.at_equal_fit(one, other, record["t"], record["step"])
    return (
        f"Where runs with {factor} {low} and {high} fit the training points equally well, their errors at "
        f"fresh points are {span(small)} and {span(large)}."
    )


def factors_text(record: Record) -> str:
    """What averaging the weights does."""
    t, step = record["t"], record["step"]
    raw, mean = (
        readings.last(readings.curve(record["error"], t, FRESH, TRUE, average), step)
        for average in (RAW, AVERAGED)
    )
    ratios = (mean / raw).mean(1)
    return (
        f"With averaged weights the error at fresh points ends at {ratios.min():.2f} to {ratios.max():.2f} "
        f"times that of weights as they are."
    )


# ----------------------------------------------------------------------------------------- between figures


def start(*records: Record) -> Sentence:
    """What a score of zero has in the units of this page, beside the paper's first values."""
    zero = [readings.reference(records, 0, *one).mean(1) for one in FIGURE_10]
    ours = ", ".join(f"{one.mean():.2f}" for one in zero)
    text = f"In these units a score of zero has the errors {ours} in the three curves"
    if readings.is_papers(records[0]):
        text += f"; the paper's begin with {', '.join(f'{one:.3f}' for one in PAPER[:, 0])}"
    return Sentence(*records, text=f"{text}.")


def gap(*records: Record) -> Sentence:
    """How far the two scores are apart: what a network with the true score has in the first curve."""
    inside, outside = (
        readings.reference(records, 1, place, EMPIRICAL).mean(1) for place in (SUPERVISED, FRESH)
    )
    apart = readings.reference(records, 1, FRESH, EMPIRICAL)
    share = 100 * apart[:, records[0]["t"] < EARLY].sum(1) / apart.sum(1)
    text = (
        f"The two scores are {span(inside)} apart at noised training points and {span(outside, 0)} at fresh "
        f"ones. There {share.mean():.0f} % of it is at t < {EARLY}, where the empirical score points to a "
        "training point, however far away it is."
    )
    return Sentence(*records, text=text)


def fit(*records: Record) -> Sentence:
    """Whether the network fits the empirical score better than the true score would."""
    ends, true = readings.fit(records)
    fits = "so the network fits" if (ends < true).all() else "so the network does not fit"
    text = (
        f"At a rate of {records[0].spec['rate']:g} the first curve ends at {span(ends)}, and that of the "
        f"true score is {span(true)}: {fits}."
    )
    return Sentence(*records, text=text)


def crossings(*records: Record) -> Sentence:
    """Where the first two curves cross."""
    found = readings.crossings(records)
    there = [f"{one:,.0f}" for one in found if np.isfinite(one)]
    when = f"at iteration {', '.join(there)} (one per seed)" if there else "in no seed"
    rest = f", and not at all in {len(found) - len(there)} of {len(found)} seeds"
    text = (
        "At noised training points the network comes nearer to the empirical score than to the true one "
        f"{when}{rest if 0 < len(there) < len(found) else ''}."
    )
    return Sentence(*records, text=text)


def path(*records: Record) -> Sentence:
    """Errors on the network's own paths against the true score, beside fresh points."""
    error, step = readings.errors(records), records[0]["step"]
    own, fresh = (
        span(readings.last(readings.in_denoiser_units(records[0], error, place, TRUE), step))
        for place in (PATH, FRESH)
    )
    text = (
        f"Against the true score, the squared distance of denoised points at t < {APART} ends at {own} per "
        f"dimension on the network's own paths, and at {fresh} at fresh points."
    )
    return Sentence(*records, text=text)
