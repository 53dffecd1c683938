"""Sentences of chapter 4 with numbers from its records."""

from __future__ import annotations

import math

import numpy as np

from diffnotes.chapters.loss_floor import readings
from diffnotes.chapters.loss_floor.estimator_readings import PAPER_RULE, Study
from diffnotes.chapters.loss_floor.readings import Curve, Noisy
from diffnotes.show.labels import bounds
from diffnotes.show.style import Sentence
from diffnotes.store import Record


def answer(study: Record, *curves: Record) -> Sentence:
    """The chapter in three sentences."""
    found, few = list(map(readings.curve, curves)), Study(study)
    low = ", ".join(f"{one.critical[0]:.1f} ({one.dataset})" for one in found)
    off = max(abs(one.area / one.entropy - 1) for one in found)
    worst = dict(zip(("DOL", "cDOL", "SNIS"), 100 * few.worst()[0].max(0), strict=True))
    lower = few.lower()
    best, *others = sorted(worst, key=lambda name: worst[name])
    rest = " and ".join(f"{worst[name]:.0f} % for {name}" for name in others)
    return Sentence(study, *curves, text=(
        "Every training set has a floor under its denoising loss: it is near zero up to a noise level σ* "
        f"of {low}, and rises to the data variance. The area under the floor over σ² is ln N, which we find "
        f"to within {100 * off:.1f} %, so the floor can be computed, and tested without a second method. "
        f"Of the paper's three estimators that look at few images, {best} is off least on {few.dataset}: by "
        f"{worst[best]:.0f} % of the variance at its worst N/L, against {rest}. At {lower.sum()} of "
        f"{len(lower)} N/L, cDOL is below both others by more than two standard errors. The "
        f"correction that suits it grows as a power of {few.power()} of N/L, where the paper has 1."
    ))  # fmt: skip


def found(*records: Record) -> Sentence:
    """One sentence per training set: where the curve leaves zero, and how precise it is."""
    return Sentence(*records, text=" ".join(_sentence(readings.curve(record)) for record in records))


def _sentence(curve: Curve) -> str:
    return (
        f"{curve.name}: the optimal loss stays below 1 % of the data variance up to σ = "
        f"{curve.critical[0]:.2f} and reaches half of it at {curve.at(0.5):.2f}. No standard error exceeds "
        f"{100 * curve.share_error.max():.2f} % of the variance ({curve.sources:,} sources)."
    )


def order_found(sizes: Record, images: Record) -> Sentence:
    """The critical noise levels of two training sets at equal N."""
    large = readings.curve(images)
    small = readings.part_of(sizes, large.n)
    if small is None:
        return Sentence(sizes, images, text=f"There is no curve for {large.n:,} images of the first set.")
    low, high = float(small.critical[0]), float(large.critical[0])
    each = [float(one.critical[0]) / math.sqrt(one.variance) for one in (small, large)]
    return Sentence(sizes, images, text=(
        f"With N = {large.n:,} each, the critical σ is {low:.2f} for {small.dataset} and {high:.2f} for "
        f"{large.dataset}, {high / low:.2f} times as large. In units of the root of the data variance it is "
        f"{each[0]:.3f} and {each[1]:.3f}, {each[1] / each[0]:.2f} times as large."
    ))  # fmt: skip


def law_found(*records: Record) -> Sentence:
    """How the best correction grows, and what the paper's rule costs."""
    return Sentence(*records, text=" ".join(_law(Study(record)) for record in records))


def _law(study: Study) -> str:
    rule, lowest = study.rms(PAPER_RULE), int(study.rms(PAPER_RULE).argmin())
    ends = " and ".join(f"{100 * rule[k]:.0f} % at {study.ratios[k]}" for k in (0, -1))
    return (
        f"{study.dataset}: the RMS relative bias of C = 4 N/L is smallest at N/L = "
        f"{study.ratios[lowest]} ({100 * rule[lowest]:.0f} %); it is {ends}. By the least relative bias, C "
        f"grows as a power of {study.power()} of N/L."
    )


def noisy_found(record: Record) -> Sentence:
    """Between which levels each image stops being one image."""
    noisy = Noisy(record)
    sigma, last = noisy.sigma, noisy.effective[:, -1]
    if (last < 100).any():
        text = (
            f"At σ = {sigma[-1]:g} the effective number is still below 100; more levels would show it pass."
        )
        return Sentence(record, text=text)
    pairs = zip(noisy.passes(1.01), noisy.passes(100), strict=True)
    each = ", ".join(f"{a:.1f} and {b:.1f}" for a, b in pairs)
    share = 100 * last / noisy.count
    return Sentence(record, text=(
        f"For these {len(last)} images the effective number leaves 1 and passes 100 at σ = {each}. At σ = "
        f"{sigma[-1]:g} it is {bounds(share.min(), share.max(), 0, ' %')} of all {noisy.count:,}."
    ))  # fmt: skip


def cost_found(*records: Record) -> Sentence:
    """How long each curve took, for the page on costs."""
    each = [f"{readings.minutes(one):.1f} minutes for {readings.curve(one).name}" for one in records]
    return Sentence(*records, text=f"All {len(records[0]['sigma'])} levels took {', '.join(each)}.")


def not_gaussian(*records: Record) -> Sentence:
    """How far the optimum of the set lies from that of its Gaussian above and below sigma*."""
    parts = []
    for curve in map(readings.curve, records):
        assert curve.gaussian is not None
        ratio = np.interp([curve.critical[0], curve.critical[2]], curve.sigma, curve.mean / curve.gaussian)
        parts.append(
            f"{ratio[0]:.2f} at σ* and {ratio[1]:.2f} where it is half the variance ({curve.dataset})"
        )
    return Sentence(*records, text=f"The optimal loss over that of the Gaussian is {', '.join(parts)}.")
