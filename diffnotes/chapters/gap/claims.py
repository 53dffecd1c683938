"""The networks of Kaiser & Kollmann (arXiv 2603.13419), against our own small ones.

What is read off a record stands in `readings`, with what its intervals include.
"""

from __future__ import annotations

import numpy as np

from diffnotes.base.statistics import over_seeds
from diffnotes.chapters.checks import FAILED, Check, Finding, Nothing, companion, every, verdict
from diffnotes.chapters.gap import condition_claims, readings, trained_claims, window_claims
from diffnotes.chapters.gap.readings import HELD_OUT, SAMPLER, SIZES, TRAINING, WIDTHS
from diffnotes.show.labels import bounds, minus
from diffnotes.store import Record

SIZE_SIGMA = 0.2  # where the onset is compared between sizes
EARLY_SIGMA = 1.17  # where the paper has its early stop
FAR_ENOUGH = 0.9  # a position from which on states count as far from training images as held-out ones
SEEDS_ALONE = "over seeds alone"  # an interval without the share of held-out images


def _run(beside: Record, n: int, width: int) -> Record:
    """The pinned record of another run on digits, of the same profile."""
    return companion(beside, "digits_gap", {"n": n, "width": width})


def _range(interval: np.ndarray) -> str:
    """'0.59 to 0.78', '40 to 75'. The text around it says that it is one at 95 %."""
    return bounds(interval[1], interval[2], 2 if abs(interval[2]) < 10 else 0)


def _last_peaks(*records: Record) -> str:
    """Intervals of the last peak gaps."""
    found = "; ".join(_range(readings.peak_interval(record)) for record in records)
    return f"last peak {found} at 95 %"


def _ordered(*records: Record) -> bool:
    """Whether the last peak gaps rise from record to record, with intervals of their logarithms apart."""
    found = [readings.log_peak_interval(record) for record in records]
    return all(small[2] < large[1] for small, large in zip(found, found[1:], strict=False))


def _middle(values: np.ndarray) -> str:
    """Geometric mean over seeds, to two digits."""
    return f"{np.exp(np.log(values).mean()):.2g}"


# ------------------------------------------------------------------------------------------ denoising gap


def _growth(record: Record) -> Finding:
    peak = readings.peak(record).mean(0)
    grown = readings.growth_interval(record)[1] > 0
    times = f"{peak[-1] / peak[0]:.0f} times as much"
    text = f"peak gap {peak[0]:.3f} to {peak[-1]:.2f}, {times}"
    return Finding(text, _last_peaks(record), verdict(grown, every(np.diff(peak) > 0)))


def _capacity(record: Record) -> Finding:
    small = _run(record, record.spec["n"], WIDTHS[0])
    parts = [f"{_middle(readings.peak(run)[:, -1])} with {_size_of(run)}" for run in (small, record)]
    good = verdict(_ordered(small, record))
    return Finding(f"peak gap {', '.join(parts)}", _last_peaks(small, record), good)


def _size_of(record: Record) -> str:
    return f"{readings.parameters(record):,} parameters"


def _size(record: Record) -> Finding:
    runs = [record if n == record.spec["n"] else _run(record, n, record.spec["width"]) for n in SIZES]
    level = readings.place_of(record["sigma"], SIZE_SIGMA)
    onsets = [np.nan_to_num(readings.onset_steps(run)[:, level], nan=np.inf) for run in runs]
    steps = np.exp([np.log(found).mean() for found in onsets])
    peaks = ", ".join(_middle(readings.peak(run)[:, -1]) for run in runs)
    when = ", ".join("later" if np.isinf(step) else f"{step:.0f}" for step in steps)
    text = f"peak gap {peaks} for {', '.join(f'{n:,}' for n in SIZES)} images; overfitting from step {when}"
    return Finding(text, _last_peaks(*runs), verdict(_ordered(*runs[::-1]), bool((np.diff(steps) > 0).all())))


def _bump(record: Record) -> Finding:
    """The ends of the curve at the last evaluation, as a share of its peak."""
    low, high = readings.ends(record)
    top, sigma = readings.peak_sigma(record), record["sigma"]
    inside = every((top > sigma[0]) & (top < readings.FAR))
    near, far = map(readings.share, readings.end_shares(record))
    text = (
        f"peak at σ {np.median(top):.2f}; {near} of it at σ {sigma[0]:.2g}, "
        f"the largest beyond σ {readings.FAR:g} is {far}"
    )
    good = verdict(every(low), also=[inside, every(high)])
    return Finding(text, f"peak at {bounds(top.min(), top.max(), 2)}, lowest to highest seed", good)


def _overfit(record: Record) -> Finding:
    level = readings.peak_level(record)
    rise, train = over_seeds(readings.rise(record)[:, level]), record["train"][:, :, level]
    falls = every(train.argmin(1) == train.shape[1] - 1)
    text = f"σ {record['sigma'][level]:.2f}: {100 * rise[0]:.0f} % above its minimum at the end"
    interval = f"{bounds(100 * rise[1], 100 * rise[2])} % at 95 %, {SEEDS_ALONE}"
    return Finding(text, interval, verdict(rise[1] > 0, also=[falls]))


def _onset(record: Record) -> Finding:
    steps, sigma = readings.onset_steps(record), record["sigma"]
    used = np.isfinite(steps).all(0) & (sigma >= readings.GREY_STEP)
    if used.sum() < 3:
        return Finding(f"reached at {used.sum()} noise levels only", "", FAILED)
    logs = np.log(steps[:, used])
    slope = over_seeds(np.polyfit(np.log(sigma[used]), logs.T, 1)[0])
    one_step = 1.01 * np.log(record["step"][1] / record["step"][0])  # from one evaluation to the next
    steady = every(np.diff(logs.mean(0)) >= -one_step)
    middle, top = np.exp(logs.mean(0)), int(logs.mean(0).argmax())  # geometric means over seeds
    places = sorted({0, top, len(middle) - 1})
    steps_text = ", ".join(f"{middle[k]:.0f} at σ {sigma[used][k]:.2f}" for k in places)
    text = f"step {steps_text}, the seeds’ own geometric means"
    interval = f"power of σ {_range(slope)} at 95 %, {SEEDS_ALONE}"
    return Finding(text, interval, verdict(slope[1] > 0, also=[steady]))


# --------------------------------------------------------------------------------- samples and trajectories


def _samples(record: Record) -> Finding:
    peak, gap, mid = readings.peak(record), readings.sample_gap(record)[:, :, -1], readings.earlier(record)
    grown, ratio = peak[:, -1] / peak[:, mid], gap[:, -1].mean() / gap[:, mid].mean()
    text = (
        f"from step {record['step'][mid]:,} on the peak gap grows {_middle(grown)}-fold, "
        f"that of samples from {gap[:, mid].mean():.2f} to {gap[:, -1].mean():.2f}"
    )
    good = verdict(bool(ratio <= 1.25), also=[every(grown >= 4)])
    interval = f"that of samples {_range(over_seeds(gap[:, -1]))} at 95 %, {SEEDS_ALONE}"
    return Finding(text, interval, good)


def _samples_size(record: Record) -> Finding:
    """The gap of samples for both sizes, while the samples of both are still samples."""
    runs = (_run(record, record.spec["n"], WIDTHS[0]), record)
    at = readings.before_astray(*runs)
    small, large = (readings.sample_gap_interval(run, at) for run in runs)
    parts = [f"{found[0]:.2f} with {_size_of(run)}" for found, run in zip((small, large), runs, strict=True)]
    text = minus(f"at step {record['step'][at]:,} {', '.join(parts)}")
    interval = f"{_range(small)}; {_range(large)} at 95 %, {SEEDS_ALONE}"
    return Finding(text, interval, verdict(bool(small[2] < large[1])))


def _stops(record: Record) -> Finding:
    gap, probe = readings.sample_gap(record)[:, -1], record["probe"]
    small = every(gap[:, readings.place_of(probe, EARLY_SIGMA)] < gap[:, -1] / 4)
    levels = [*(f"σ {level:.2g}" for level in probe), "the end"]
    text = ", ".join(f"{value:.2f} at {level}" for value, level in zip(gap.mean(0), levels, strict=True))
    interval = f"at the end {_range(over_seeds(gap[:, -1]))} at 95 %, {SEEDS_ALONE}"
    return Finding(text, interval, verdict(small, every(np.diff(gap.mean(0)) > 0)))


def _needs_overfitting(record: Record) -> None:
    """What the sampler may avoid is there only where the network overfits."""
    if readings.overfitted_level(record) is None:
        rise = 100 * readings.rise(record).mean(0).max()
        raise Nothing(
            "nothing is memorized yet that the sampler could avoid: at no noise level does the held-out "
            f"error rise by more than the interval over seeds (at most by {rise:.0f} %)"
        )


def _states(record: Record) -> Finding:
    _needs_overfitting(record)
    place = readings.position(record)
    known, unseen, states = readings.probed(record, "distance")[:, -1].mean(0)
    interval = readings.position_interval(record)
    text = (
        f"σ {readings.probe_sigma(record):.2f}: noised training {known:.2f}, held-out {unseen:.2f}, "
        f"states {states:.2f}: position {interval[0]:.2f}"
    )
    good = verdict(every(place[:, -1] >= FAR_ENOUGH), also=[every(place >= FAR_ENOUGH)])
    return Finding(text, f"{_range(interval)} at 95 %{_near_miss(interval)}, least {place.min():.2f}", good)


def _near_miss(interval: np.ndarray) -> str:
    """A mean below the bound of the rule with an interval that reaches over it is said to be one."""
    if not interval[0] < FAR_ENOUGH < interval[2]:
        return ""
    as_far = "also" if interval[2] >= 1 else "not"
    return f", which holds the {FAR_ENOUGH:g} of the rule (a near miss), and {as_far} 1"


def _shots(record: Record) -> Finding:
    _needs_overfitting(record)
    gain = readings.gains(record)
    stops = over_seeds(gain[:, TRAINING] - gain[:, SAMPLER])[1] > 0
    ahead = readings.ahead(record)
    named = zip(readings.KINDS, _alike(record), gain.mean(0), strict=True)
    text = ", ".join(f"{name} {value:.3f} ({minus(f'{more:+.3f}')})" for name, value, more in named)
    interval = f"sampler less training {_signed(ahead)}"
    return Finding(text, interval, verdict(ahead[2] < 0, stops))


def _rank(record: Record) -> Finding:
    _needs_overfitting(record)
    apart = readings.above_held_out(record)
    alike = _alike(record)
    text = f"sampler {alike[SAMPLER]:.3f}, held-out {alike[HELD_OUT]:.3f}"
    return Finding(text, f"sampler less held-out {_signed(apart)}", verdict(apart[1] > 0))


def _alike(record: Record) -> np.ndarray:
    """Similarity of predictions to the most similar training image, at the last evaluation [kind]."""
    return readings.probed(record, "similarity")[:, -1].mean(0)


def _signed(interval: np.ndarray) -> str:
    return minus(f"{interval[1]:+.3f} to {interval[2]:+.3f} at 95 %")


def _limit(record: Record) -> Finding:
    _needs_overfitting(record)
    place, apart, alike = readings.position(record)[:, -1], readings.above_held_out(record), _alike(record)
    share = 100 * readings.memorized(record)[:, -1].mean()
    text = (
        f"similarity {alike[SAMPLER]:.3f} against {alike[HELD_OUT]:.3f} for held-out images; position "
        f"{place.mean():.2f}; {share:.1f} % of samples are memorized"
    )
    interval = f"position {_range(readings.position_interval(record))} at 95 %"
    return Finding(text, interval, verdict(apart[1] > 0, every(place < FAR_ENOUGH)))


CHECKS: dict[str, Check] = trained_claims.CHECKS | condition_claims.CHECKS | window_claims.CHECKS | {
    "kaiser-net-growth": _growth,
    "kaiser-net-growth-cifar10": _growth,
    "kaiser-net-capacity": _capacity,
    "kaiser-net-size": _size,
    "kaiser-net-bump": _bump,
    "kaiser-net-bump-cifar10": _bump,
    "kaiser-net-overfit": _overfit,
    "kaiser-net-samples": _samples,
    "kaiser-net-samples-size": _samples_size,
    "kaiser-net-stops": _stops,
    "kaiser-net-states": _states,
    "kaiser-net-states-cifar10": _states,
    "kaiser-net-shots": _shots,
    "kaiser-net-rank": _rank,
    "ours-net-onset": _onset,
    "ours-net-limit": _limit,
}
