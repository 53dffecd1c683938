"""Sentences on `digits_trained` and `digits_conditions`: what the records say between figures."""

from __future__ import annotations

import numpy as np

from diffnotes.base.statistics import over_seeds
from diffnotes.chapters.gap import condition_readings, readings
from diffnotes.chapters.gap import trained_readings as trained
from diffnotes.chapters.gap.trained_claims import HARDLY
from diffnotes.show.labels import bounds
from diffnotes.show.style import Sentence
from diffnotes.store import Record


def overlap_finding(record: Record) -> Sentence:
    """How near to training images the states come by the standard of held-out images, whether they overlap
    there, and how flat the pilot's rise is."""
    text = f"At σ = {trained.most(record):.2g}, {_standard(record)} {_overlap(record)}"
    return Sentence(record, text=f"{text} {_flat(record)}")


def _flat(record: Record) -> str:
    """Between which noise levels the pilot's held-out error has risen about as much."""
    if not trained.rise(record).max() > 0:
        return "The pilot’s held-out error has risen at no noise level."
    low, high = trained.flat(record)
    return (
        f"The pilot’s rise is nearly flat: at σ = {low:.2g} and at {high:.2g} it is still at least 85 % of "
        "its largest value."
    )


def _standard(record: Record) -> str:
    """Where states lie in the mean, and whether that is nearer than noised held-out images."""
    place = trained.position(record)
    interval = over_seeds(place)
    where = (
        f"in the mean states lie at {bounds(place.min(), place.max(), 2)} of the way from noised training to "
        "noised held-out images"
    )
    if interval[2] < 1:
        return f"{where}: by that standard the sampler has memorized something."
    return f"{where}, and no nearer than these by the interval over seeds."


def _overlap(record: Record) -> str:
    """Whether states overlap with noised training images there."""
    share = over_seeds(record["share"][:, int(record["chosen"]), trained.SAMPLER])
    text = f"{100 * share[0]:.0f} % of them overlap with noised training images."
    return f"They still do not overlap: {text}" if share[2] < HARDLY else text


def guidance_finding(record: Record) -> Sentence:
    """Which of the two gaps moderate guidance raises more."""
    place, gaps = trained.moderate(record), (trained.sample_gap(record), trained.peak(record))
    if not all((one > 0).all() for one in gaps):
        return Sentence(record, text="A gap is not above 0, so it has no factor by which it grows.")
    samples, denoising = (over_seeds(trained.growth(one, place)) for one in gaps)
    head = "Here it is the other way round" if denoising[0] > samples[0] else "So it is here"
    return Sentence(record, text=(
        f"{head}: up to w = {record['weight'][place]:g} the denoising gap grows "
        f"{np.exp(denoising[0]):.1f}-fold, that of samples {np.exp(samples[0]):.1f}-fold."
    ))  # fmt: skip


def conditions_finding(told: Record, longer: Record) -> Sentence:
    """Two ways to say where the peak is, and why it is lower than that of a run that is longer."""
    top, seen = condition_readings.peak(told)[:, 0].mean(), int(told["step"][-1] * told.spec["batch"])
    theirs = readings.peak(longer)[:, -1].mean()
    return Sentence(told, longer, text=(
        f"From no condition to the finest: {condition_readings.places_text(told)}. Without a condition G "
        f"peaks at {top:.2f}, after {seen:,} images seen; above, with {readings.title(longer)}, it ends at "
        f"{theirs:.2f}, after {longer['images_seen'][-1]:,}."
    ))  # fmt: skip
