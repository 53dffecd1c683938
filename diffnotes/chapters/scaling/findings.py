"""Sentences on loss against compute: what the records say, in captions and between figures."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np

from diffnotes.chapters.scaling import readings
from diffnotes.chapters.scaling.readings import (
    AFTER,
    ALL,
    ALPHA,
    BEFORE,
    ESTIMATES,
    FLOOR,
    FREE,
    FRONTIER,
    KNOWN,
    MISFIT,
    NONE,
    RISE,
    TOTAL,
)
from diffnotes.show.labels import bounds, images, minus
from diffnotes.show.style import Sentence
from diffnotes.store import Record

WORDS = ("rises", "falls", "does not change for certain")  # by an interval above 0, below it, or neither


def name(record: Record) -> str:
    """'1,000 digits'."""
    return images(record)


def word(interval: np.ndarray) -> str:
    """What rho does, by the interval of its rise [value, low, high]."""
    return WORDS[0] if interval[1] > 0 else WORDS[1] if interval[2] < 0 else WORDS[2]


def with_ends(found: np.ndarray, digits: int = 2) -> str:
    """'0.94 (0.92 to 0.96)': [value, low, high]."""
    return minus(f"{found[0]:.{digits}f} ({bounds(found[1], found[2], digits)})")


def level(record: Record, place: int) -> str:
    """'σ = 0.81', or 'the total loss'."""
    return "the total loss" if place == TOTAL else f"σ = {record['sigma'][place]:.2f}"


# ------------------------------------------------------------------------------- first sentences of captions


def losses_text(record: Record) -> str:
    """What the ladder reaches, against the optimum."""
    total, floor = readings.losses(record)[..., TOTAL].mean(1), readings.optimum(record)[TOTAL]
    cost = readings.compute(record)
    return (
        f"With {name(record)}, the total loss falls from {total[0, 0]:.2f} to {total[-1, -1]:.2f} while "
        f"training compute grows {cost[-1, -1] / cost[0, 0]:,.0f}-fold; the optimal loss is {floor:.3f}, "
        f"and the best linear denoiser has {readings.gaussian(record)[TOTAL]:.2f}."
    )


def correlation_text(record: Record, curve: Record) -> str:
    """rho before and after, in the middle of the comparable levels, and for the total loss."""
    rho, place = readings.correlations(record), readings.middle(record, curve)
    part = 100 * readings.share(record)[place]
    return (
        f"At {level(record, place)}, where J* is {part:.0f} % of the variance, "
        f"ρ {word(rho[:, RISE, place])} from {rho[0, BEFORE, place]:.3f} to {rho[0, AFTER, place]:.3f} when "
        f"J* is subtracted; that of the total loss {word(rho[:, RISE, TOTAL])} "
        f"({rho[0, BEFORE, TOTAL]:.4f} to {rho[0, AFTER, TOTAL]:.4f})."
    )


def wrong_text(record: Record, curve: Record) -> str:
    """Which factor makes the straightest lines, and what the exponent makes of a wrong one."""
    places = [*readings.comparable(record, curve), TOTAL]
    best = readings.straightest(record, places)
    exponents = readings.by_floor(record, np.array([0.5, 1.0]), [TOTAL])[1][:, 0]
    parts = ", ".join(f"{one:g} for {level(record, k)}" for one, k in zip(best, places, strict=True))
    text = (
        f"Of {', '.join(f'{f:g}' for f in readings.FACTORS)} times J*, what leaves the straightest line is "
        f"{parts}. With half of J* subtracted from the total loss the exponent is {exponents[0]:.3f}, with "
        f"all of it {exponents[1]:.3f}."
    )
    return minus(text)


def laws_text(record: Record) -> str:
    """The two fits of the total loss."""
    fits, known = readings.laws(record), readings.optimum(record)[TOTAL]
    misfit = 100 * fits[0, :, MISFIT]
    return minus(
        f"A free floor comes out as {with_ends(fits[:, FREE, FLOOR], 3)}, and J* is {known:.3f}. With J* the "
        f"exponent is {with_ends(fits[:, KNOWN, ALPHA], 3)} and the misfit "
        f"{misfit[KNOWN]:.1f} % of the loss; with no floor {misfit[NONE]:.1f} %, with a free one "
        f"{misfit[FREE]:.1f} %."
    )


# ---------------------------------------------------------------------------------------- between the figures


def points_finding(record: Record) -> Sentence:
    """Which points are taken, and what all of them would say."""
    kept, cost = readings.on_frontier(record), readings.compute(record)
    first, second = (readings.correlations(record, kind)[:, :, TOTAL] for kind in (FRONTIER, ALL))
    text = (
        f"Of {kept.size} points, {kept.sum()} are compute-efficient, over {readings.decades(record):.1f} "
        f"decades of compute; all points span {np.log10(cost.max() / cost.min()):.1f}. For the total loss ρ "
        f"with J* subtracted is {with_ends(first[:, AFTER], 4)} over the first and "
        f"{with_ends(second[:, AFTER], 4)} over all; it {word(first[:, RISE])} over the first and "
        f"{word(second[:, RISE])} over all when J* is subtracted."
    )
    return Sentence(record, text=text)


def level_finding(record: Record, curve: Record) -> Sentence:
    """How the paper's noise level was matched."""
    low, high = readings.paper_share(curve)
    found = readings.comparable(record, curve)
    text = (
        f"At the paper's σ = {readings.PAPER_SIGMA:g} the optimal loss of {int(curve['n']):,} Tiny ImageNet "
        f"images is {100 * low:.2g} % of their variance, and the best linear denoiser leaves "
        f"{100 * high:.0f} %. That of all of ImageNet-64 we take to lie between the two. On "
        f"{name(record)}, J* is between {100 * readings.NEGLIGIBLE:.0f} % and {100 * high:.0f} % of the "
        f"variance at {', '.join(level(record, place) for place in found)}."
    )
    return Sentence(record, curve, text=text)


def generalization_finding(record: Record) -> Sentence:
    """What part of the gap is generalization: held-out losses of the largest network and of D*."""
    own, unseen = (f(record)[-1, :, -1, TOTAL].mean() for f in (readings.losses, readings.held_out))
    best, far = readings.optimum(record)[TOTAL], readings.held_out_optimum(record)[:, TOTAL].mean()
    text = (
        f"The largest network ends with a total loss of {own:.3f} on training images and {unseen:.3f} on "
        f"held-out ones. The exact denoiser of the training set has {best:.3f} and {far:.2f}: to reach it "
        "means to memorize, so a part of the gap is generalization and not underfitting."
    )
    return Sentence(record, text=text)


def estimate_finding(record: Record, curve: Record) -> Sentence:
    """What estimates of J* from subsets do to rho."""
    places = [readings.middle(record, curve), TOTAL]
    exact = readings.by_floor(record, np.array([1.0]), places)[0][0]
    words = {"dol": "DOL", "cdol": "cDOL"}
    parts = [f"exact J*: {exact[0]:.4f} and {exact[1]:.4f}"]
    for one in ESTIMATES:
        rho = readings.by_estimate(record, one, places)
        parts.append(f"{words[one]}: {_rho(rho[0])} and {_rho(rho[1])}")
    text = (
        f"ρ at {level(record, places[0])} and of the total loss, with estimates of J* from subsets of a "
        f"sixteenth of the images, {'; '.join(parts)}."
    )
    return Sentence(record, text=text)


def _rho(value: float) -> str:
    return "undefined" if np.isnan(value) else minus(f"{value:.4f}")


def measured_finding(record: Record) -> Sentence:
    """Whether the gap as a distance agrees with the difference of losses on the same draws."""
    apart = np.abs(record["disagreement"])
    text = (
        "The gap as a distance and the difference of the two losses on the same draws differ by at most "
        f"{apart.max():.1f} of their standard errors, in {apart.size:,} measurements, and by "
        f"{np.median(apart):.2f} in the median. The largest of so many normal numbers is above "
        f"{NormalDist().inv_cdf((1 + 0.5 ** (1 / apart.size)) / 2):.1f} in half of all cases."
    )
    return Sentence(record, text=text)
