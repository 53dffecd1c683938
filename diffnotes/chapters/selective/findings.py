"""Sentences of chapter 2's networks: what the records say, in captions and between figures."""

from __future__ import annotations

import numpy as np

from diffnotes.base.statistics import factor_over_seeds, over_seeds
from diffnotes.chapters.selective import readings
from diffnotes.chapters.selective.readings import COMMON, GAUSSIAN, HIGH, OWN, TRAINING, UNTOLD, UNTRAINED
from diffnotes.show.labels import bounds, images, joined, minus
from diffnotes.show.style import Sentence
from diffnotes.store import Record

WORDS = (
    "rises",
    "falls",
    "is not told from level",
)  # a trend whose interval is above 0, below it, or neither


def name(record: Record) -> str:
    """'1,000 digits'."""
    return images(record)


def mean_of(values: np.ndarray, digits: int = 2) -> str:
    """'2.31 (2.10 to 2.52)': a positive number over seeds and its interval, by logarithms."""
    found = factor_over_seeds(values)
    text = minus(f"{found[0]:.{digits}f}")
    return text if np.isnan(found[1]) else f"{text} ({bounds(found[1], found[2], digits)})"


def word(interval: np.ndarray) -> str:
    """What a trend does, by its interval."""
    return WORDS[0] if interval[1] > 0 else WORDS[1] if interval[2] < 0 else WORDS[2]


def _change(interval: np.ndarray) -> str:
    """'−12.3 %, −14.0 to −10.5 %'."""
    ends = "" if np.isnan(interval[1]) else f", {bounds(interval[1], interval[2], 1, ' %')}"
    return minus(f"{interval[0]:+.1f} %") + ends


# ------------------------------------------------------------------------------- first sentences of captions


def excess_text(record: Record) -> str:
    """How much larger errors are on trajectories, for the smallest and the largest network."""
    common, own = (readings.excess(record, point) for point in (COMMON, OWN))
    return (
        f"With {name(record)}, the error on common trajectories is {mean_of(common[0])} times that at noised "
        f"training images for the smallest network and {mean_of(common[-1])} times for the largest; on their "
        f"own trajectories {mean_of(own[0])} and {mean_of(own[-1])} times."
    )


def guide_text(record: Record) -> str:
    """What denoisers without training score."""
    largest = [readings.error(record, point)[-1, :, -1].mean() for point in (TRAINING, COMMON)]
    gauss, zero = (
        [readings.guide_error(record, guide, point).mean() for point in (TRAINING, COMMON)]
        for guide in (GAUSSIAN, UNTRAINED)
    )
    return (
        f"With {name(record)}, the largest network has an error of {largest[0]:.4f} at noised training "
        f"images and {largest[1]:.4f} on common trajectories; the Gaussian denoiser has {gauss[0]:.4f} and "
        f"{gauss[1]:.4f}, a network that predicts the velocity 0 has {zero[0]:.3f} and {zero[1]:.3f}, and "
        "the exact denoiser 0."
    )


def scaling_text(record: Record) -> str:
    """Trends of both errors over compute."""
    known, far, own = (readings.trend(record, point) for point in (TRAINING, COMMON, OWN))
    return (
        f"With {name(record)}, over {readings.PAPER_RANGE:.0f} times the compute the error at noised "
        f"training images {word(known)} ({_change(known)}); that on common trajectories {word(far)} "
        f"({_change(far)}), and on own ones {word(own)} ({_change(own)})."
    )


def ratios_text(record: Record) -> str:
    """Where trajectories leave the shells, beside held-out images."""
    left = over_seeds(readings.leaving_time(record))[0]
    t, k = record["t"], int(np.flatnonzero(readings.small(record))[0])
    own, unseen = (values.mean(0)[k] for values in (readings.own_ratio(record), _unseen(record)))
    known = readings.ratio(record, "training", HIGH).mean(0)[k]
    return (
        f"With {name(record)}, states of trajectories leave the shells at t = {left:.2f}; at t = {t[k]:.2g} "
        f"their median of r* is {own:.1f}, that of noised held-out images {unseen:.1f}, and 95 % of noised "
        f"training images are below {known:.2f}."
    )


def _unseen(record: Record) -> np.ndarray:
    return readings.ratio(record, "held_out")


def gap_text(record: Record) -> str:
    """The learned gap between told and not told, in both places, at the largest small t."""
    k = int(np.flatnonzero(readings.small(record))[-1])
    own, known = (readings.learned_gap(record, point).mean(0)[k] for point in (OWN, TRAINING))
    less = f", {own / known:.2f} times less." if own > known else ": not less."
    return (
        f"With {name(record)}, at t = {record['t'][k]:.2g} the learned gap is {own:.4f} on trajectories and "
        f"{known:.4f} at noised training images{less}"
    )


def back_text(record: Record) -> str:
    """Where half of the images no longer return, and the overlap there."""
    half = readings.fall_time(record, 0.5)
    seen = readings.overlap(record, over_seeds(half)[0])
    return (
        f"With {name(record)}, half of the noised training images still return from t = {mean_of(half)}, "
        f"where the largest overlap within a class is {seen:.1g}."
    )


def contrast_text(record: Record) -> str:
    """What the network that memorizes does."""
    share = 100 * readings.copies(record, "tiny_").mean()
    own, ladder = readings.excess(record, OWN, "tiny_"), readings.excess(record, OWN)[-1]
    return (
        f"The network on {images(record, 'tiny')} ends with {share:.0f} % copies; its error on its own "
        f"trajectories is {mean_of(own)} times that at noised training images, against {mean_of(ladder)} for "
        f"the largest network on {name(record)}."
    )


def trajectory_text(record: Record) -> str:
    """Where the kept trajectories end up."""
    far, near = record["shown_ratio"][:, 0].mean(1)
    return (
        f"At t = {record['t'][0]:.2g} r* is {far:.1f} for the largest network on {name(record)}, and "
        f"{near:.1f} for the network on {images(record, 'tiny')}: means of the trajectories kept, of "
        "which one is drawn."
    )


# ---------------------------------------------------------------------------------------- between the figures


def scaling_finding(record: Record) -> Sentence:
    """The trends of one ladder alone."""
    return Sentence(record, text=scaling_text(record))


def runaway_finding(*records: Record) -> Sentence:
    """How often a sampler leaves all scales."""
    return Sentence(*records, text=joined(map(_runaway, records)))


def _runaway(record: Record) -> str:
    shares = 100 * readings.runaways(record).mean(1)
    if not shares.any():
        return f"With {name(record)}, none of their own trajectories run away from the networks."
    return (
        f"With {name(record)}, {shares[0]:.1f} % of their own trajectories run away from the smallest "
        f"networks, and {shares[-1]:.1f} % from the largest: so the errors on own trajectories are those of "
        "the median one."
    )


def told_finding(*records: Record) -> Sentence:
    """The same errors for the network that is told no class."""
    return Sentence(*records, text=joined(map(_told, records)))


def _told(record: Record) -> str:
    found = [readings.error(record, point, UNTOLD)[-1, :, -1] for point in (TRAINING, COMMON)]
    return (
        f"Not told the class, and against the exact denoiser of all images, the largest network on "
        f"{name(record)} has {mean_of(found[0], 4)} and {mean_of(found[1], 4)}."
    )


def paradox_finding(*records: Record) -> Sentence:
    """What the exact denoisers themselves make of the class on trajectories, and where their gap at noised
    training images begins."""
    return Sentence(*records, text=joined(map(_paradox, records)))


def _paradox(record: Record) -> str:
    k, t = int(np.flatnonzero(readings.small(record))[-1]), record["t"]
    learned, exact = (gap(record, OWN).mean(0) for gap in (readings.learned_gap, readings.exact_gap))
    score = readings.as_scores(record, learned)[k]
    above = readings.exact_gap(record, TRAINING).mean(0) > learned
    begins = f"from t = {t[above][0]:.2g} on" if above.any() else "at no t"
    return (
        f"With {name(record)}, on trajectories at t = {t[k]:.2g} the exact denoisers with and without the "
        f"class differ by {exact[k]:.3f}, the learned ones by {learned[k]:.3f} (as scores, {score:.2g}). At "
        f"noised training images the exact gap is above the learned one of trajectories {begins}."
    )


def sets_finding(*records: Record) -> Sentence:
    """How far generated and held-out images are from the training set, which is all that r* knows of them."""
    return Sentence(*records, text=joined(map(_sets, records)))


def _sets(record: Record) -> str:
    made, unseen = record["distance"][-1, :, -1], record["held_out_distance"]
    off = [
        readings.spread(median, readings.analytic(record, kind), readings.midrange(record))
        for median, kind in ((readings.own_ratio(record), "own"), (_unseen(record), "held_out"))
    ]
    return (
        f"With {name(record)}, ℓ²/d is {np.median(made):.3f} for generated and {np.median(unseen):.3f} for "
        f"held-out images; the formula is off by at most {100 * off[0]:.1f} % and {100 * off[1]:.1f} % "
        f"between t = {readings.MIDRANGE[0]:g} and {readings.MIDRANGE[1]:g}."
    )
