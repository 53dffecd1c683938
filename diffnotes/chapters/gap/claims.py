"""The networks of Kaiser & Kollmann (arXiv 2603.13419), against our own small ones.

The records have axes [seed, look, ...]. An interval is Student's at 95 % over seeds.
"""

from __future__ import annotations

import numpy as np

from diffnotes.chapters.checks import FAILED, Check, Finding, companion, every, verdict
from diffnotes.store import Record

STUDENT = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776, 6: 2.571}  # 97.5 % of Student's law, by seeds
PROBE = 0.283  # noise level at which trajectories are judged
GREY_STEP = 0.125  # between the grey levels of digits
TRAINING, HELD_OUT, SAMPLER = range(3)
WIDE, NARROW = 144, 54


def interval(values: np.ndarray) -> tuple[float, float]:
    """Student's 95 % interval of the mean of values [seed]; without end for a single seed."""
    if len(values) < 2:
        return -np.inf, np.inf
    half = STUDENT.get(len(values), 2.571) * values.std(ddof=1) / len(values) ** 0.5
    return float(values.mean() - half), float(values.mean() + half)


def peaks(record: Record) -> np.ndarray:
    """The largest gap over noise levels [seed, look]."""
    return record["gap"].max(2)


def sample_gap(record: Record) -> np.ndarray:
    """(FD_val - FD_train) / FD_train, for every stop of the trajectory [seed, look, stop]; last: samples."""
    return record["frechet_val"] / record["frechet_train"] - 1


def onset_steps(record: Record) -> np.ndarray:
    """The step of the least validation error, float64 [seed, level]; NaN where it is the last look."""
    place = record["val"].argmin(1)
    return np.where(place < len(record["step"]) - 1, record["step"][place], np.nan)


def probed(record: Record, name: str) -> np.ndarray:
    """`distance` or `similarity` at the probe nearest to PROBE: [seed, look, kind]."""
    return record[name][:, :, int(np.abs(np.log(record["probe"] / PROBE)).argmin())]


def position(record: Record) -> np.ndarray:
    """Where sampler states are [seed, look]: 0 as near to training images as noised ones, 1 as held-out."""
    known, unseen, states = np.moveaxis(probed(record, "distance"), 2, 0)
    return (states - known) / (unseen - known)


def _eighth(record: Record) -> int:
    """The look nearest to an eighth of the training steps: three doublings before the end."""
    return int(np.abs(np.log(record["step"] * 8 / record["step"][-1])).argmin())


def _run(beside: Record, n: int, width: int) -> Record:
    """The pinned record of another run on digits, of the same profile."""
    return companion(beside, "digits_gap", {"n": n, "width": width})


def _below(small: np.ndarray, large: np.ndarray) -> bool:
    """Whether the intervals of the logarithms of two positive quantities [seed] lie apart, in this order."""
    return interval(np.log(small))[1] < interval(np.log(large))[0]


def _middle(values: np.ndarray) -> str:
    """Geometric mean over seeds, to two digits."""
    return f"{np.exp(np.log(values).mean()):.2g}"


def _spread(values: np.ndarray) -> str:
    """'0.59 to 0.78': the interval of the mean."""
    return "{:.2f} to {:.2f}".format(*interval(values))


# ------------------------------------------------------------------------------------------ denoising gap


def _growth(record: Record) -> Finding:
    peak = peaks(record)
    rising = every(np.diff(peak.mean(0)) > 0)
    text = f"peak gap {peak[:, 0].mean():.3f} to {peak[:, -1].mean():.2f}"
    return Finding(text, _spread(peak[:, -1]), verdict(every(peak[:, -1] >= 10 * peak[:, 0]), rising))


def _growth_cifar(record: Record) -> Finding:
    peak = peaks(record)
    grown = interval(peak[:, -1] - peak[:, 0])[0] > 0
    rising = every(np.diff(peak.mean(0)[-4:]) > 0)
    text = f"peak gap {peak[:, 0].mean():.3f} to {peak[:, -1].mean():.2f}"
    return Finding(text, _spread(peak[:, -1]), verdict(grown, rising))


def _capacity(record: Record) -> Finding:
    wide, narrow = peaks(record)[:, -1], peaks(_run(record, 600, NARROW))[:, -1]
    text = f"peak gap {_middle(narrow)} with 38,836 parameters, {_middle(wide)} with 233,056"
    return Finding(text, f"{_spread(narrow)}; {_spread(wide)}", verdict(_below(narrow, wide)))


def _size(record: Record) -> Finding:
    runs = [_run(record, 200, WIDE), record, _run(record, 1190, WIDE)]
    few, some, many = (peaks(run)[:, -1] for run in runs)
    lower = _below(many, some) and _below(some, few)
    level = int(np.abs(np.log(record["sigma"] / 0.2)).argmin())
    onsets = [np.log(np.nan_to_num(onset_steps(run)[:, level], nan=np.inf)).mean() for run in runs]
    later = onsets[0] < onsets[1] < onsets[2]
    text = f"peak gap {_middle(few)}, {_middle(some)}, {_middle(many)} for 200, 600, 1,190 images"
    steps = ", ".join("later" if np.isinf(t) else f"{np.exp(t):.0f}" for t in onsets)
    return Finding(f"{text}; overfitting from step {steps}", _spread(some), verdict(lower, later))


def _bump(record: Record) -> Finding:
    """Both ends of the curve at the last look, as a share of its peak."""
    gap, spread, sigma = record["gap"][:, -1], record["gap_stderr"][:, -1], record["sigma"]
    ends = (sigma > 10) | (sigma == sigma.min())
    small = np.abs(gap[:, ends]) < np.maximum(0.1 * gap.max(1, keepdims=True), 2 * spread[:, ends])
    top = sigma[gap.argmax(1)]
    inside = every((top > sigma[0]) & (top < 10))
    share = 100 * np.abs(gap[:, ends]).max() / gap.max()
    text = f"peak at σ {top.min():.2f} to {top.max():.2f}; ends at most {share:.0f} % of it"
    return Finding(text, "lowest to highest seed", verdict(every(small), inside))


def _overfit(record: Record) -> Finding:
    level = int(record["gap"][:, -1].mean(0).argmax())
    val, train = record["val"][:, :, level], record["train"][:, :, level]
    rise = val[:, -1] / val.min(1) - 1
    falls = every(train.argmin(1) == train.shape[1] - 1)
    text = f"σ {record['sigma'][level]:.2f}: {100 * rise.mean():.0f} % above its minimum at the end"
    low, high = interval(rise)
    return Finding(text, f"{100 * low:.0f} to {100 * high:.0f} %", verdict(low > 0, falls))


def _onset(record: Record) -> Finding:
    steps, sigma = onset_steps(record), record["sigma"]
    used = np.isfinite(steps).all(0) & (sigma >= GREY_STEP)
    if used.sum() < 3:
        return Finding(f"reached at {used.sum()} noise levels only", "", FAILED)
    logs = np.log(steps[:, used])
    slopes = np.polyfit(np.log(sigma[used]), logs.T, 1)[0]
    one_look = 1.01 * np.log(record["step"][1] / record["step"][0])
    steady = every(np.diff(logs.mean(0)) >= -one_look)
    first, last = np.exp(logs.mean(0)[[0, -1]])
    text = f"step {first:.0f} at σ {sigma[used][0]:.2f}, {last:.0f} at {sigma[used][-1]:.2f}"
    return Finding(text, f"power of σ {_spread(slopes)}", verdict(interval(slopes)[0] > 0, steady))


# --------------------------------------------------------------------------------- samples and trajectories


def _samples(record: Record) -> Finding:
    peak, gap, mid = peaks(record), sample_gap(record)[:, :, -1], _eighth(record)
    grown, ratio = peak[:, -1] / peak[:, mid], gap[:, -1].mean() / gap[:, mid].mean()
    text = (
        f"from step {record['step'][mid]:,} on the peak gap grows {_middle(grown)}-fold, "
        f"that of samples from {gap[:, mid].mean():.2f} to {gap[:, -1].mean():.2f}"
    )
    return Finding(text, _spread(gap[:, -1]), verdict(every(grown >= 4), bool(ratio <= 1.25)))


def _stops(record: Record) -> Finding:
    gap, probe = sample_gap(record)[:, -1], record["probe"]
    mean = gap.mean(0)
    early = int(np.abs(np.log(probe / 1.17)).argmin())
    small = every(gap[:, early] < gap[:, -1] / 4)
    levels = [*(f"σ {level:.2g}" for level in probe), "the end"]
    text = ", ".join(f"{value:.2f} at {level}" for value, level in zip(mean, levels, strict=True))
    return Finding(text, f"at the end {_spread(gap[:, -1])}", verdict(every(np.diff(mean) > 0), small))


def _states(record: Record) -> Finding:
    place = position(record)
    known, unseen, states = probed(record, "distance")[:, -1].mean(0)
    text = f"noised training {known:.2f}, held-out {unseen:.2f}, states {states:.2f}"
    good = verdict(every(place[:, -1] >= 0.9), every(place >= 0.9))
    return Finding(text, f"position {_spread(place[:, -1])}, least {place.min():.2f}", good)


def _shots(record: Record) -> Finding:
    alike, mid = probed(record, "similarity"), _eighth(record)
    last = alike[:, -1]
    less = interval(last[:, TRAINING] - last[:, SAMPLER])[0] > 0
    gain = last - alike[:, mid]
    stops = interval(gain[:, TRAINING] - gain[:, SAMPLER])[0] > 0
    named = zip(("training", "held-out", "states"), last.mean(0), gain.mean(0), strict=True)
    text = ", ".join(f"{name} {value:.3f} ({more:+.3f})" for name, value, more in named)
    return Finding(text, f"states {_spread(last[:, SAMPLER])}", verdict(less, stops))


def _limit(record: Record) -> Finding:
    alike, place = probed(record, "similarity")[:, -1], position(record)[:, -1]
    closer = interval(alike[:, SAMPLER] - alike[:, HELD_OUT])[0] > 0
    inside = every(place < 0.9)
    copies = (record["rho"][:, -1] < 1 / 3).mean()
    text = (
        f"similarity {alike[:, SAMPLER].mean():.3f} against {alike[:, HELD_OUT].mean():.3f} for held-out "
        f"images; position {place.mean():.2f}; {100 * copies:.0f} % of samples are copies"
    )
    return Finding(text, f"position {_spread(place)}", verdict(closer, inside))


CHECKS: dict[str, Check] = {
    "kaiser-net-growth": _growth,
    "kaiser-net-growth-cifar10": _growth_cifar,
    "kaiser-net-capacity": _capacity,
    "kaiser-net-size": _size,
    "kaiser-net-bump": _bump,
    "kaiser-net-bump-cifar10": _bump,
    "kaiser-net-overfit": _overfit,
    "kaiser-net-samples": _samples,
    "kaiser-net-stops": _stops,
    "kaiser-net-states": _states,
    "kaiser-net-states-cifar10": _states,
    "kaiser-net-shots": _shots,
    "ours-net-onset": _onset,
    "ours-net-limit": _limit,
}
