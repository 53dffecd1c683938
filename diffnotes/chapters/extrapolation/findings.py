"""Sentences on extrapolation: what the records say. Functions that return text begin a caption; a Sentence
stands alone."""

from __future__ import annotations

import numpy as np

from diffnotes.base.statistics import over_seeds
from diffnotes.chapters.extrapolation import readings, values
from diffnotes.chapters.extrapolation.readings import CONTROLS, NETWORKS, VARIANTS, title
from diffnotes.show.labels import bounds, minus
from diffnotes.show.style import Sentence, together
from diffnotes.store import Record

FITTED = 0.1  # the noise level at which denoisers of the four points are compared with the exact one


def percent(share: float) -> str:
    """'31 %'."""
    return f"{100 * share:.0f} %"


# ---------------------------------------------------------------------------------- freedom of extrapolation


def rising(*records: Record) -> str:
    """The memorized share at both ends, for every data set and network."""
    return f"As the region grows, the memorized share goes {'; '.join(map(_rising, records))}."


def rising_finding(record: Record) -> Sentence:
    """The same of one data set, as a sentence of its own."""
    return Sentence(record, text=rising(record))


def _rising(record: Record) -> str:
    """'for digits (to 4 times D_score) from 8 % to 61 % (MLP)'."""
    found = readings.rises(record)
    parts = [
        f"from {percent(one.mean[0])} to {percent(one.mean[-1])} ({NETWORKS[one.network]}{_sure(one.gain)})"
        for one in found
    ]
    return f"for {title(record)} (to {found[0].ratio[-1]:g} times D_score) {', '.join(parts)}"


def _sure(gain: np.ndarray) -> str:
    return "" if gain[1] > 0 or gain[2] < 0 else ", its interval holds 0"


def baseline_found(*records: Record) -> Sentence:
    """What the limit is, and how many unseen points it takes for memorized."""
    return Sentence(*records, text=" ".join(_baseline(record) for record in records))


def _baseline(record: Record) -> str:
    low, middle = (float(np.quantile(record["unseen"], q)) for q in (readings.FEW, 0.5))
    return (
        f"{title(record)}: of unseen points {100 * readings.baseline(record).mean():.1f} % have m below "
        f"{readings.limit(record):.3g}, their median m is {middle:.2f}, and 1 % of them lie below {low:.2g}."
    )


def later(*records: Record) -> Sentence:
    """What larger regions add on average, for every network: more, where the share rises earlier."""
    parts = []
    for record in records:
        each = [
            f"{NETWORKS[one.network]} {100 * one.growth.mean():.0f} points "
            f"({bounds(*100 * over_seeds(one.growth)[1:])})"
            for one in readings.rises(record)
        ]
        parts.append(f"{title(record)}: mean rise of larger regions over D_score alone, {'; '.join(each)}.")
    return Sentence(*records, text=" ".join(parts))


def limits_found(*records: Record) -> Sentence:
    """Whether the rise stands with every limit of m."""
    return together(*(Sentence(record, text=_limits(record)) for record in records))


def _limits(record: Record) -> str:
    """The gain at each limit, over networks."""
    limits = [*readings.LIMITS, readings.few(record)]
    held = [all(one.gain[1] > 0 for one in readings.rises(record, limit)) for limit in limits]
    return (
        f"{title(record)}: the share rises beyond its interval, for every network, at {sum(held)} of "
        f"{len(limits)} limits of m from {min(limits):.2g} to {max(limits):.2g}."
    )


def thicker(*records: Record) -> str:
    """The memorized share with the noise as it is, and with the thickest shells."""
    parts = []
    for record in records:
        factor, share = readings.shells(record)
        ends = f"from {percent(share[0].mean())} to {percent(share[-1].mean())}"
        parts.append(f"{ends} ({title(record)}, {factor[-1]:g} times)")
    return f"With thicker shells and no new centres the memorized share goes {', '.join(parts)}."


def controls(*records: Record) -> str:
    """What each control does, for every data set."""
    return " ".join(_controls(record) for record in records)


def _controls(record: Record) -> str:
    alone = readings.control(record, "balanced").alone.mean()
    same = readings.control(record, "balanced").same.mean()
    parts = [
        f"{words} {percent(readings.control(record, kind).share.mean())}" for kind, words in CONTROLS.items()
    ]
    return (
        f"{title(record)}: D_score alone {percent(alone)}, a region {record.spec['control']} times as large "
        f"{percent(same)}; {', '.join(parts)}."
    )


def reach(*records: Record) -> Sentence:
    """How well networks follow the target where they were not told of it."""
    return Sentence(*records, text=" ".join(map(_reach, records)))


def _reach(record: Record) -> str:
    first = readings.networks(record)[0]
    ratio = readings.apart(record, first)
    return (
        f"{title(record)}, {NETWORKS[first]}: the squared distance to the target around unseen points is "
        f"{ratio[0]:.1f} times that around D_score with D_score alone, and {ratio[-1]:.1f} times with the "
        "largest region."
    )


def forms(record: Record) -> str:
    """How far both forms lie apart, and what draws cost."""
    found = readings.agreement(record)
    return (
        f"In {found.count} comparisons both forms differ by {found.largest:.1f} standard errors at most; the "
        f"variance of the gradient is {bounds(found.variance.min(), found.variance.max(), 2)} times as "
        f"large by "
        "draws."
    )


# ------------------------------------------------------------------------------------------------ perception


def fits(record: Record) -> Sentence:
    """How near the denoisers are to the exact one around the points."""
    level = int(np.abs(record["level"] - FITTED).argmin())
    parts = [f"{VARIANTS[one]} {readings.off(record, one)[level]:.3f}" for one in readings.variants(record)]
    return Sentence(record, text=(
        f"At σ = {record['level'][level]:g} the denoisers are this far from the exact one around the points "
        f"(root mean square): {', '.join(parts)}. A sample within {record.spec['close']:g} of a point counts "
        "as at it."
    ))  # fmt: skip


def perception(record: Record) -> str:
    """Shares in the gaps of each variant, over the widths tried."""
    parts = []
    for variant in readings.variants(record):
        bad, good = (100 * readings.gap_interval(record, variant, place)[:, 0] for place in ("bad", "good"))
        parts.append(
            f"{VARIANTS[variant]}: {bounds(bad.min(), bad.max(), 1)} and {bounds(good.min(), good.max(), 1)}"
        )
    return f"Percent of samples in the bad gap and in the good ones: {'; '.join(parts)}."


def at_points(record: Record) -> str:
    """How many samples of the plain MLP are at a point, beside the paper's."""
    ours = readings.plain_share(record, "polar", "point")
    theirs = values.PERCEPTION["mlp", "plain"][0]
    return f"Of the plain MLP’s samples {percent(ours)} are at a point, in the paper {percent(theirs)}."


# ------------------------------------------------------------------------------------- the paper's values


def curved(record: Record) -> str:
    """Figure 7: how many of the lines are none."""
    found = [not one.straight for one in readings.lines(record)]
    return f"{sum(found)} of {len(found)} lines are curved beyond their interval."


def scale(record: Record) -> str:
    """Figure 3: both slopes with intervals."""
    words = ("supervised", "extrapolated")
    parts = [
        f"the {word} error {minus(f'{one[0]:+.2f}')} % ({bounds(one[1], one[2], 2)})"
        for word, one in zip(words, 100 * readings.growth(record), strict=True)
    ]
    return f"For ten times the compute, by lines through the paper’s ten points: {' and '.join(parts)}."


def lines(record: Record) -> str:
    """Figure 7: FID of each line at the common loss."""
    from_paper = [
        f"{one.name} {one.fid[0]:.1f} ({bounds(one.fid[1], one.fid[2], 1)})" for one in readings.lines(record)
    ]
    return f"FID at a loss of {values.AT:.3f}, by the lines: {'; '.join(from_paper)}."


def repa(record: Record) -> str:
    """Figure 6: the ratio."""
    value, low, high = readings.repa_ratio(record)
    return (
        f"With REPA the score changes {value:.2f} times as much along trajectories as in the supervision "
        f"region (mean of three sizes, {bounds(low, high, 2)})."
    )
