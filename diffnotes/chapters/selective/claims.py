"""Selective underfitting (Song et al., arXiv 2510.01378) against our own small networks.

What is read off a record stands in `readings`, with what its intervals include.
"""

from __future__ import annotations

import numpy as np

from diffnotes.base.statistics import factor_over_seeds, over_seeds
from diffnotes.chapters.checks import Check, Finding, Nothing, every, most, verdict
from diffnotes.chapters.selective import readings
from diffnotes.chapters.selective.readings import COMMON, LOW, OWN, TRAINING
from diffnotes.show.labels import at_95, minus, power_of_ten
from diffnotes.store import Record

CLOSE = 0.05  # relative difference up to which medians of r* agree
ALIKE = 0.10  # the same between states of trajectories and noised held-out images
NOISY = 0.9  # times above it have hardly any data left
STAYS = 0.95  # share of noised training images that return where nothing can confuse them
FAR = 100  # times the gap at the largest t: two orders of magnitude
APART, OVERLAPS = 1e-6, 0.01  # of C(t): shells that are apart, and an overlap that can be seen


# --------------------------------------------------------------------------------------------------- errors


def _selective(record: Record) -> Finding:
    found = _factors(readings.beyond_gaussian(record, COMMON))
    plain, own = (_factors(readings.excess(record, point)) for point in (COMMON, OWN))
    above = found[:, 1] > 1
    text = (
        f"{plain[0, 0]:.2f} times the supervised error on common trajectories for the smallest network, "
        f"{plain[-1, 0]:.2f} for the largest, {found[0, 0]:.2f} and {found[-1, 0]:.2f} times as much as for "
        f"the Gaussian denoiser; beyond that one at {sum(above)} of {len(above)} widths"
    )
    good = verdict(every(above), most(above), also=[every(plain[:, 1] > 1), every(own[:, 1] > 1)])
    return Finding(text, f"the largest against the Gaussian {at_95(found[-1])}", good)


def _factors(values: np.ndarray) -> np.ndarray:
    """Intervals [width, 3] of factors [width, seed]."""
    return np.array([factor_over_seeds(one) for one in values])


def _supervised(record: Record) -> Finding:
    trend, change = readings.trend(record, TRAINING), readings.change(record, TRAINING)
    return Finding(_trends(trend, change), _over(trend), verdict(bool(trend[2] < 0), also=[change[2] < 0]))


def _extrapolated(record: Record) -> Finding:
    trend, change = readings.trend(record, COMMON), readings.change(record, COMMON)
    own = readings.trend(record, OWN)
    text = f"{_trends(trend, change)}; on own trajectories {_signed(own[0])} %"
    return Finding(text, _over(trend), verdict(bool(trend[1] > 0), also=[change[1] > 0]))


def _trends(trend: np.ndarray, change: np.ndarray) -> str:
    return (
        f"{_signed(trend[0])} % over {readings.PAPER_RANGE:.0f} times the compute; "
        f"{_signed(change[0])} % from the smallest network to the largest"
    )


def _over(trend: np.ndarray) -> str:
    return f"over compute {at_95(trend, 1, ' %')}"


def _signed(value: float) -> str:
    return minus(f"{value:+.1f}")


# ------------------------------------------------------------------------------------------ distance ratios


def _leaves(record: Record) -> Finding:
    median, t = readings.own_ratio(record), record["t"]
    off = readings.off_the_shells(record, median)[:, readings.small(record)]
    noisy = t > NOISY
    inside = (median >= readings.ratio(record, "training", LOW))[:, noisy]
    on = inside & ~readings.off_the_shells(record, median)[:, noisy]
    left = over_seeds(readings.leaving_time(record))
    places = [int(np.abs(t - wanted).argmin()) for wanted in (0.5, 0.2)]
    values = ", ".join(f"{median.mean(0)[k]:.2f} at t {t[k]:.2f}" for k in places)
    text = f"r* leaves those of noised training images at t {left[0]:.2f}; its median is {values}"
    return Finding(text, f"t {at_95(left)}", verdict(every(off), most(off), also=[every(on)]))


def _analytic(record: Record) -> Finding:
    where = readings.midrange(record)
    own = readings.spread(readings.own_ratio(record), readings.analytic(record, "own"), where)
    unseen = readings.spread(readings.ratio(record, "held_out"), readings.analytic(record, "held_out"), where)
    text = f"off by at most {100 * own:.1f} % along trajectories, by {100 * unseen:.1f} % at held-out images"
    return Finding(text, "", verdict(own < CLOSE, unseen < CLOSE))


def _control(record: Record) -> Finding:
    unseen, own = readings.ratio(record, "held_out"), readings.own_ratio(record)
    off = every(readings.off_the_shells(record, unseen)[:, readings.small(record)])
    apart = readings.spread(own, unseen, readings.midrange(record))
    ends = factor_over_seeds((own / unseen)[:, np.flatnonzero(readings.midrange(record))[0]])
    text = f"medians of r* on trajectories and at held-out images differ by at most {100 * apart:.1f} %"
    interval = f"their quotient at t {record['t'][readings.midrange(record)][0]:.2f}: {at_95(ends)}"
    return Finding(text, interval, verdict(apart < ALIKE, also=[off]))


def _again(record: Record) -> Finding:
    apart = readings.spread(
        readings.again_ratio(record), readings.own_ratio(record), np.ones(len(record["t"]), bool)
    )
    text = f"medians of r* differ by at most {100 * apart:.1f} %, over all t"
    return Finding(text, "", verdict(apart < CLOSE))


# ------------------------------------------------------------------------------------------------- guidance


def _guidance(record: Record) -> Finding:
    small = readings.small(record)
    own, known = readings.learned_gap(record, OWN), readings.learned_gap(record, TRAINING)
    exact = readings.exact_gap(record, TRAINING, rank=-1)
    found = _factors((own / known).T[small])
    more = found[:, 1] > 1
    above = every((own > exact)[:, small])
    k = int(np.flatnonzero(small)[-1])
    text = (
        f"at t {record['t'][k]:.2f} the learned gap is {own.mean(0)[k]:.3f} on trajectories, "
        f"{known.mean(0)[k]:.3f} at noised training images, where the exact one is at most "
        f"{power_of_ten(exact.max(0)[k])} for nine in ten"
    )
    good = verdict(every(more), most(more), also=[above])
    return Finding(text, f"trajectories over training images {at_95(found[-1])}", good)


def _grows(record: Record) -> Finding:
    gap, t = readings.learned_gap(record, OWN), record["t"]
    scores = readings.as_scores(record, gap)
    mean, plain = scores.mean(0), gap.mean(0)
    k = int(np.abs(t - readings.PAPER_WIDEST).argmin())
    at = f"at t {t[-1]:.2f}, {t[k]:.2f} and {t[0]:.2f}"
    text = (
        f"{at} the gap of scores is {mean[-1]:.2g}, {mean[k]:.2g} and {mean[0]:.2g}, that of denoisers "
        f"{plain[-1]:.3f}, {plain[k]:.3f} and {plain[0]:.3f}"
    )
    ratio = factor_over_seeds(scores[:, 0] / scores[:, -1])
    parts = (every(np.diff(mean) < 0), bool(mean[0] >= FAR * mean[-1]))
    good = verdict(*parts, also=[bool(plain[k] > plain[-1])])
    return Finding(text, f"scores, smallest t over largest {at_95(ratio, 0)}", good)


# ------------------------------------------------------------------------------------------------ way back


def _returns(record: Record) -> Finding:
    share, t = readings.return_share(record), record["t"]
    apart = readings.overlap(record, t) < APART
    stays, gone = every(share.mean(0)[apart] >= STAYS), bool(share[:, -1].mean() <= 0.1)
    half = over_seeds(readings.fall_time(record, 0.5))
    text = (
        f"at least {100 * share.mean(0)[apart].min():.0f} % return while C(t) < 10⁻⁶ (t up to "
        f"{t[apart][-1]:.2f}), half at t {half[0]:.2f}, {100 * share[:, -1].mean():.0f} % at {t[-1]:.2f}"
    )
    return Finding(text, f"half at t {at_95(half)}", verdict(stays, also=[gone]))


def _early(record: Record) -> Finding:
    share = readings.return_share(record).mean(0)[readings.overlap(record, record["t"]) < APART].min()
    if share < STAYS:
        raise Nothing(f"only {100 * share:.0f} % return where shells are far apart")
    times = readings.fall_time(record, 0.9)
    seen = readings.overlap(record, times)
    text = f"C(t) is {seen.max():.1g} at most where the share falls below 90 % (t {times.mean():.2f})"
    return Finding(text, f"t {at_95(over_seeds(times))}", verdict(every(seen < OVERLAPS)))


# ------------------------------------------------------------------------------------------------- contrast


def _memorizer(record: Record) -> Finding:
    share = readings.copies(record, "tiny_").mean()
    if share < 0.5:
        raise Nothing(f"the network of the contrast does not memorize: {100 * share:.0f} % are copies")
    tiny = factor_over_seeds(readings.excess(record, OWN, "tiny_"))
    ladder = _factors(readings.excess(record, OWN))
    off = readings.off_the_shells(record, readings.tiny_ratio(record))[:, readings.small(record)]
    text = (
        f"error on its own trajectories {tiny[0]:.2f} times that at noised training images, against "
        f"{ladder[:, 0].min():.2f} to {ladder[:, 0].max():.2f}; {100 * share:.0f} % of its samples are copies"
    )
    below = every(tiny[2] < ladder[:, 1])
    return Finding(text, at_95(tiny), verdict(below, every(~off)))


_ONE: dict[str, Check] = {
    "song-net-selective": _selective,
    "song-net-supervised": _supervised,
    "song-net-extrapolated": _extrapolated,
    "song-net-leaves": _leaves,
    "ours-net-analytic": _analytic,
    "ours-net-control": _control,
    "ours-net-again": _again,
    "song-net-guidance": _guidance,
    "song-guidance-grows": _grows,
    "song-net-returns": _returns,
    "song-net-early": _early,
    "ours-net-memorizer": _memorizer,
}
CHECKS: dict[str, Check] = _ONE | {f"{name}-cifar10": check for name, check in _ONE.items()}
