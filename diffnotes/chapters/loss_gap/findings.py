"""Sentences of chapter 4's networks: what the records say, in captions and between figures."""

from __future__ import annotations

import math

import numpy as np

from diffnotes.base.statistics import factor_over_seeds, over_seeds
from diffnotes.chapters.loss_gap import readings
from diffnotes.chapters.loss_gap.readings import BASE
from diffnotes.show.labels import bounds, images, joined, minus
from diffnotes.show.style import Sentence
from diffnotes.store import Record

EPS, BEST = "VE eps", f"VE {BASE}"
CHANNELS = 3


def name(record: Record) -> str:
    """'1,000 digits', '20,000 Tiny ImageNet images, 64 × 64'."""
    return f"{images(record)}, {pixels(record)}" if "imagenet" in record.spec["dataset"] else images(record)


def pixels(record: Record) -> str:
    """'64 × 64', of colour images."""
    side = math.isqrt(int(record["dimension"][0]) // CHANNELS)
    return f"{side} × {side}"


def factor(values: np.ndarray, digits: int = 2) -> str:
    """'2.31 (2.10 to 2.52)': a positive number over seeds and its interval, by logarithms."""
    found = factor_over_seeds(values)
    text = f"{found[0]:.{digits}f}"
    return text if np.isnan(found[1]) else f"{text} ({bounds(found[1], found[2], digits)})"


def share(values: np.ndarray) -> str:
    """'55 % (50 to 60 %)': a share over seeds and its interval."""
    found = 100 * over_seeds(values)
    text = f"{found[0]:.0f} %"
    ends = text if np.isnan(found[1]) else bounds(found[1], found[2], 0, " %")
    return text if ends == text else f"{text} ({ends})"


# ------------------------------------------------------------------------------- first sentences of captions


def peak_text(record: Record) -> str:
    """Where the gaps are largest."""
    inside, peaks = readings.intermediate(record).all(1), readings.peak(record)
    base = readings.base(record)
    where = f"σ = {peaks[base].mean():.2f}, {peaks[base].mean() / readings.critical(record).mean():.1f} σ*"
    return (
        f"With {name(record)}, the gap of {inside.sum()} of {inside.size} networks is largest at an "
        f"intermediate noise level in every seed; that of {BEST} at {where}."
    )


def eps_text(record: Record) -> str:
    """What the prediction of noise costs at large noise, and in samples."""
    where = readings.large(record)
    names = readings.processes(record)
    parts = [f"{one} {factor(readings.times_base(record, one, where), 1)}" for one in names]
    quality = factor(readings.quality_times_base(record, "VE"))
    return (
        f"With {name(record)}, at large noise the gap of networks that predict ε is larger than that of F by "
        f"these factors: {'; '.join(parts)}. The Fréchet distance under VE is {quality} times as large."
    )


def relation_text(record: Record) -> str:
    """How gap and quality go together."""
    found = readings.relation(record)
    near, left, large = (
        minus(f"{readings.over(found, where(record)).mean():+.2f}")
        for where in (readings.near, readings.left, readings.large)
    )
    return (
        f"With {name(record)}, the rank correlation of gap and Fréchet distance over the networks is {near} "
        f"near σ*, {left} to its left, and {large} at large noise."
    )


def parts_text(record: Record) -> str:
    """How large the gap is, and what of it has an excuse."""
    base = readings.base(record)
    top, optimum = (
        readings.at_peak(record, values)[base]
        for values in (readings.gap(record), np.broadcast_to(record["optimum"], readings.gap(record).shape))
    )
    other = readings.at_peak(record, readings.generalization(record))[base]
    text = (
        f"With {name(record)}, at its peak the gap of {BEST} is {top.mean():.2f}, where J* is "
        f"{optimum.mean():.2f} and held-out loss exceeds training loss by {other.mean():.2f}"
    )
    if "population" in record.arrays:
        known = readings.population_share(record, readings.near(record))[base]
        return f"{text}; the least loss on unseen draws less J* is {factor(known)} times the gap near σ*."
    sure = readings.failure_share(record, readings.large(record))[readings.place(record, EPS)]
    return f"{text}; at large noise {share(sure)} of the gap of {EPS} is surely failure."


def size_text(record: Record) -> str:
    """How large the gap of one network is at its peak, and where that is."""
    base, gap = readings.base(record), readings.gap(record)
    top, other = (readings.at_peak(record, v)[base].mean() for v in (gap, readings.generalization(record)))
    peak, star = readings.peak(record)[base].mean(), readings.critical(record).mean()
    passes = record["step"][-1] * record.spec["batch"] / record.spec["n"]
    return (
        f"With {name(record)}, after {passes:.1f} passes, the gap is largest at σ = {peak:.2f}, "
        f"{peak / star:.1f} σ*: "
        f"{100 * top / record['variance'].mean():.1f} % of the data variance; there held-out loss exceeds "
        f"training loss by {minus(f'{100 * other / top:.0f}')} % of it."
    )


def memorizer_text(record: Record) -> str:
    """What happens while a network memorizes."""
    gap, held = (readings.since_turning(record, f"tiny_{one}") for one in ("gap", "held_loss"))
    return (
        f"With {images(record, 'tiny')}, from the evaluation with the least held-out loss on, the "
        f"gap near σ* changes by a factor {factor(gap)}, the held-out loss there by {factor(held)}; at the "
        f"end {share(readings.copies(record))} of the samples are copies."
    )


def readings_text(record: Record) -> str:
    """How the two readings of the gap agree."""
    found = np.abs(readings.readings_apart(record))
    return (
        f"With {name(record)}, the largest of {found.size:,} differences between the two readings is "
        f"{found.max():.2f} of their standard errors together."
    )


# ---------------------------------------------------------------------------------------- between the figures


def eps_finding(*records: Record) -> Sentence:
    """What the prediction of noise costs."""
    return Sentence(*records, text=joined(map(eps_text, records)))


def answer(record: Record, known: Record) -> Sentence:
    """What this half of the chapter finds, in three sentences."""
    base = readings.base(record)
    peak, star = readings.peak(record)[base].mean(), readings.critical(record).mean()
    inside = readings.intermediate(record).all(1)
    part = readings.population_share(known, readings.near(known))[readings.place(known, BEST)]
    gap, held = (readings.since_turning(record, f"tiny_{one}") for one in ("gap", "held_loss"))
    return Sentence(record, known, text=(
        "The gap of a network to the floor is its mean squared distance from the copying machine, where it "
        f"is trained. Of {inside.size} networks on {name(record)}, {inside.sum()} miss the floor most at "
        f"intermediate noise ({BEST}, which has the form of EDM, at σ = {peak:.2f}, {peak / star:.1f} σ*). "
        "On data whose limit is known, what no network can close without knowing its training set is "
        f"{factor(part)} times the gap near σ*, more than all of it where the network already knows some of "
        f"its training set; one that memorizes {images(record, 'tiny')} closes "
        f"it: there its gap changes by a factor {factor(gap)}, its held-out loss by {factor(held)}."
    ))  # fmt: skip
