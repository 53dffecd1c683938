"""Song et al., Selective Underfitting in Diffusion Models (arXiv 2510.01378): what the loss leaves free."""

from __future__ import annotations

import numpy as np

from diffnotes.base.statistics import over_seeds
from diffnotes.chapters.checks import Check, Finding, Nothing, every, verdict
from diffnotes.chapters.extrapolation import readings
from diffnotes.chapters.extrapolation.readings import NETWORKS
from diffnotes.show.labels import bounds, minus
from diffnotes.store import Record

ROOM, CLEAN = 0.2, 0.15  # most that D_score alone, and unseen points, may have of memorized samples
DISTINCT = 0.8  # least share of distinct centres in a balanced region
ERRORS = 3  # standard errors within which the two forms must agree
FITS = 0.5  # least share of samples at a point, of a plain denoiser that fits
SLIGHTLY = 0.01  # most that "slightly" is, of the loss
GREATLY = 2  # how many times as much "greatly" is, beside "barely"


def _points(shares: np.ndarray) -> str:
    return ", ".join(f"{100 * share:.0f}" for share in shares) + " %"


def _percent(found: np.ndarray) -> str:
    """'31 (20 to 42) points', of a difference of shares with its interval."""
    value, low, high = 100 * found
    return minus(f"{value:z.0f} ({low:z.0f} to {high:z.0f}) points")


def _above(found: np.ndarray) -> bool:
    """Whether an interval lies above 0; one seed has none."""
    return bool(found[1] > 0)


# ---------------------------------------------------------------------------------- freedom of extrapolation


def _rises(record: Record) -> Finding:
    """Does the memorization ratio of each network rise from D_score alone to the largest region?"""
    found, others = readings.rises(record), readings.rises(record, readings.WIDER)
    text = "; ".join(f"{NETWORKS[one.network]} {_points(one.mean)}" for one in found)
    ratios = ", ".join(f"{ratio:g}" for ratio in found[0].ratio)
    unseen = readings.baseline(record).mean()
    text = f"{text}, at ratios {ratios}; unseen points {_points(np.array([unseen]))}"
    interval = "last less first: " + "; ".join(_percent(one.gain) for one in found)
    also = [every([one.mean[0] < ROOM for one in found]), bool(unseen < CLEAN)]
    also += [every([_above(one.gain) for one in others])]
    return Finding(text, interval, verdict(*(_above(one.gain) for one in found), also=also))


def _later(record: Record) -> Finding:
    """Does the U-Net's ratio rise later than that of each other network?"""
    unet = readings.rise(record, "unet")
    if not _above(unet.gain):
        raise Nothing(f"the U-Net’s own rise is not beyond its interval: {_percent(unet.gain)}")
    others = [one for one in readings.rises(record) if one.network != "unet"]
    gaps = [over_seeds(one.growth - unet.growth) for one in others]
    text = "; ".join(
        f"{NETWORKS[one.network]} {_points(np.array([one.growth.mean()]))}" for one in [unet, *others]
    )
    interval = "less U-Net: " + "; ".join(_percent(gap) for gap in gaps)
    return Finding(f"mean gain of regions beyond D_score: {text}", interval, verdict(*map(_above, gaps)))


def _control(kind: str) -> Check:
    """Does a control raise the ratio above that of D_score alone?"""

    def check(record: Record) -> Finding:
        found = _controlled(record, kind)
        shares = (found.alone, found.share, found.same)
        alone, share, same = (f"{100 * one.mean():.0f} %" for one in shares)
        text = f"{share}; D_score alone {alone}, region of ratio {record.spec['control']} {same}"
        return Finding(text, f"over D_score alone: {_percent(found.gain)}", verdict(_above(found.gain)))

    return check


def _controlled(record: Record, kind: str) -> readings.Control:
    """A control; Nothing where the region itself does nothing, or where one is not what its name says."""
    found = readings.control(record, kind)
    if not _above(found.effect):
        text = "the region of that size makes no more copies than D_score alone"
        raise Nothing(f"{text}: {_percent(found.effect)}")
    distinct = readings.distinct(record, kind).mean()
    if kind == "balanced" and distinct < DISTINCT:
        raise Nothing(f"only {100 * distinct:.0f} % of its centres are distinct: there are too few points")
    return found


def _drawn(record: Record) -> Finding:
    """Does importance sampling make as many memorized samples as the exact target?"""
    found = _controlled(record, "drawn")
    text = f"{100 * found.share.mean():.0f} % by draws, {100 * found.same.mean():.0f} % by the exact mean"
    half = found.effect[0] / 2
    inside = bool(found.less[1] > -half and found.less[2] < half)
    if not inside and found.less[1] <= 0 <= found.less[2]:
        said = f"{text}; difference {_percent(found.less)}, half of the effect {100 * half:.0f}"
        raise Nothing(f"the seeds are too few to tell: {said}")
    interval = f"difference {_percent(found.less)}; half of the effect is {100 * half:.0f}"
    return Finding(text, interval, verdict(inside))


def _forms(record: Record) -> Finding:
    """Do losses, less the posterior variance, and slopes agree within three standard errors?"""
    found = readings.agreement(record)
    text = (
        f"{found.count} comparisons, largest difference {found.largest:.2f} standard errors; variance of the "
        f"gradient {found.variance.min():.3g} to {found.variance.max():.3g} times as large by draws"
    )
    held = (every(np.abs(found.loss) < ERRORS), every(np.abs(found.slope) < ERRORS))
    return Finding(text, f"within {ERRORS} standard errors", verdict(*held, also=[every(found.variance > 1)]))


# ------------------------------------------------------------------------------------------------ perception


def _aligned(pair: str) -> Check:
    """Does the aligned denoiser put fewer samples into the bad gap, and more into the good ones?"""

    def check(record: Record) -> Finding:
        at = readings.plain_share(record, pair, "point")
        if at < FITS:
            raise Nothing(f"the plain denoiser does not fit: {100 * at:.0f} % of its samples are at a point")
        bad, good = (readings.moved(record, pair, place) for place in ("bad", "good"))
        text = "; ".join(
            f"{word} gap {', '.join(_percent(one) for one in found)}"
            for word, found in (("bad", bad), ("good", good))
        )
        kind, _ = readings.ALIGNED[pair]
        tried = ", ".join(f"{one:g}" for one in readings.settings(record, kind))
        fewer, more = every(bad[:, 2] < 0), every(good[:, 1] > 0)
        good_too = (more,) if pair in readings.FILLED else ()
        return Finding(f"aligned less plain: {text}", f"at widths {tried}", verdict(fewer, *good_too))

    return check


# ------------------------------------------------------------------------------------- the paper's values


def _scale(record: Record) -> Finding:
    """Figure 3: does the supervised error fall with compute, and the extrapolated one rise?"""
    supervised, extrapolated = 100 * readings.growth(record)
    text = f"supervised {supervised[0]:+.2f} %, extrapolated {extrapolated[0]:+.2f} % for each factor 10"
    interval = (
        f"{supervised[1]:.2f} to {supervised[2]:.2f} %; {extrapolated[1]:.2f} to {extrapolated[2]:.2f} %"
    )
    return Finding(minus(text), minus(interval), verdict(bool(supervised[2] < 0), bool(extrapolated[1] > 0)))


def _ordered(repa: bool) -> Check:
    """Figure 7: does each line lie below the one before it, beyond the interval?"""

    def check(record: Record) -> Finding:
        found = readings.lower_by(record, repa)
        text = "; ".join(f"{name} by {minus(f'{one[0]:.1f}')}" for name, one in found.items())
        interval = "; ".join(f"{one[1]:.1f} to {one[2]:.1f}" for one in found.values())
        return Finding(f"{text} FID", minus(interval), verdict(*map(_above, found.values())))

    return check


def _straight(record: Record) -> Finding:
    """Figure 7: is each recipe one straight line: no curvature, and the same slope within sizes?"""
    found = readings.lines(record)
    bent = [one.name for one in found if not one.straight]
    apart = [one.name for one in found if not one.one_slope]
    slopes = ", ".join(f"{one.slope[0]:.1f} and {one.within[0]:.1f}" for one in found)
    text = f"slope through all points and within sizes, FID per 0.01: {slopes}"
    said = f"curved: {', '.join(bent) or 'none'}; other slope within sizes: {', '.join(apart) or 'none'}"
    return Finding(text, said, verdict(not bent, not apart))


def _repa(record: Record) -> Finding:
    """Figure 6: does the score change more outside than inside, and greatly so?"""
    value, low, high = readings.repa_ratio(record)
    text = f"{value:.2f} times as much outside"
    return Finding(text, f"{low:.2f} to {high:.2f}", verdict(bool(low > 1), bool(value >= GREATLY)))


def _repa_loss(record: Record) -> Finding:
    """Figure 7(b): does REPA raise the loss slightly, and lower the FID, at every size and step?"""
    found = readings.repa_changes(record)
    ends = {name: (one.min(0), one.max(0)) for name, one in found.items()}
    each = (
        f"{name} {bounds(low[0], high[0], 4)} and {bounds(low[1], high[1], 1)}"
        for name, (low, high) in ends.items()
    )
    cost = readings.repa_costs(record)
    higher, lower = (
        every(np.concatenate([sign * one[:, k] for one in found.values()]) > 0)
        for k, sign in ((0, 1), (1, -1))
    )
    text = f"added to loss and FID: {'; '.join(each)}"
    word = f"at most {100 * cost.max():.1f} % of the loss"
    return Finding(text, word, verdict(higher, lower, also=[every(cost <= SLIGHTLY)]))


DATA = ("gaussian", "circle", "digits", "cifar")
CHECKS: dict[str, Check] = {
    "song-forms": _forms,
    **{f"song-freedom-{name}": _rises for name in DATA},
    **{f"song-later-{name}": _later for name in ("digits", "cifar")},
    **{f"ours-{kind}-{name}": _control(kind) for kind in ("shell", "balanced", "perturbed") for name in DATA},
    **{f"ours-drawn-{name}": _drawn for name in DATA},
    **{f"song-aligned-{pair}": _aligned(pair) for pair in readings.ALIGNED},
    "song-scale-values": _scale,
    "song-lines-values": _ordered(repa=False),
    "song-repa-lines-values": _ordered(repa=True),
    "ours-straight-values": _straight,
    "song-repa-values": _repa,
    "song-repa-loss": _repa_loss,
}
