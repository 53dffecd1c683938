"""Figure 10 of Song et al. (arXiv 2510.01378), curve by curve, and what we add to it.

What is read off a record stands in `readings`.
"""

from __future__ import annotations

import numpy as np

from diffnotes.base.statistics import factor_over_seeds, over_seeds
from diffnotes.chapters.checks import Check, Finding, Nothing, every, most, verdict
from diffnotes.chapters.underfitting import readings
from diffnotes.chapters.underfitting.readings import (
    APART,
    EARLY,
    EMPIRICAL,
    FIRST,
    FRESH,
    PAPER_CROSSING,
    PAPER_END,
    PAPER_PLATEAU,
    PAPER_STEPS,
    RISES,
    SUPERVISED,
    TRUE,
)
from diffnotes.show.labels import bounds
from diffnotes.store import Record

END = 0.2  # how far, relatively, the end of the first curve may be off
FALLEN = 0.5  # least share of the first curve that has fallen at the end; the paper's falls by 0.82
FLAT = 0.1  # how far a flat curve may move, relatively; also how far the plateau may be off
FACTOR = 1.5  # by which the end of the third curve may be off
STEADY = 1.05  # from one of the paper's points to the next, a falling curve may rise by this factor


def _three(record: Record) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Errors of the three seeds, times, steps."""
    return readings.errors(readings.with_seeds(record)), record["t"], record["step"]


def _fitting(record: Record) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The same of networks that fit; Nothing where the first curve ends above that of the true score."""
    ends, true = readings.fit(readings.with_seeds(record))
    if not every(ends < true):
        text = f"ends at {readings.span(ends)}, that of the true score is {readings.span(true)}"
        raise Nothing(f"the network does not fit: its first curve {text}")
    return _three(record)


def _interval(values: np.ndarray) -> str:
    _, low, high = over_seeds(values)
    return f"{bounds(low, high, 3)} at 95 %"


def _ratio_interval(ratios: np.ndarray) -> str:
    _, low, high = factor_over_seeds(ratios)
    return f"{bounds(low, high, 2)} at 95 %"


# --------------------------------------------------------------------------------- the paper's three curves


def _supervised(record: Record) -> Finding:
    error, t, step = _three(record)
    values = readings.curve(error, t, SUPERVISED, EMPIRICAL)
    ends = readings.last(values, step)
    points = readings.at(values.mean(0), step, PAPER_STEPS[step[-1] >= PAPER_STEPS])
    near = bool(abs(ends.mean() / PAPER_END[0] - 1) <= END)
    falls = every(points[1:] <= STEADY * points[:-1]) and every(ends <= (1 - FALLEN) * values[:, 0])
    fallen = 100 * (1 - ends.mean() / values[:, 0].mean())
    text = f"{values[:, 0].mean():.3f} to {ends.mean():.3f}, by {fallen:.0f} %"
    return Finding(text, f"end {_interval(ends)}", verdict(near, falls))


def _crossing(record: Record) -> Finding:
    found = readings.crossings(readings.with_seeds(record))
    near = (found >= PAPER_CROSSING / 2) & (found <= 2 * PAPER_CROSSING)
    text = "iteration " + ", ".join("never" if np.isinf(one) else f"{one:,.0f}" for one in found)
    return Finding(text, "one per seed", verdict(every(near)))


def _truth(record: Record) -> Finding:
    error, t, step = _fitting(record)
    values = readings.curve(error, t, SUPERVISED, TRUE)
    (plateau, near), (before, after) = _plateau(values, step), _halves(values, step)
    flat = bool(abs(after / before - 1) <= FLAT)
    drops = every(readings.at(values, step, [PAPER_CROSSING])[:, 0] < values[:, 0])
    text = f"{values[:, 0].mean():.3f}, then {before:.3f} and {after:.3f} in the last two quarters"
    return Finding(text, f"second half {_interval(plateau)}", verdict(near, flat, also=[drops]))


def _plateau(values: np.ndarray, step: np.ndarray) -> tuple[np.ndarray, bool]:
    """The mean over the second half of training [seed], and whether that over seeds is near the paper's."""
    found, (low, high) = readings.between(values, step, 0.5, 1.0), PAPER_PLATEAU
    return found, bool(low * (1 - FLAT) <= found.mean() <= high * (1 + FLAT))


def _halves(values: np.ndarray, step: np.ndarray) -> tuple[float, float]:
    """Means over the third and the last quarter of training, over all seeds."""
    third, fourth = ((0.5, 0.75), (0.75, 1.0))
    return tuple(float(readings.between(values, step, *part).mean()) for part in (third, fourth))  # type: ignore[return-value]


def _fresh(record: Record) -> Finding:
    error, t, step = _fitting(record)
    values = readings.curve(error, t, FRESH, TRUE)
    ends, rises = readings.last(values, step), readings.rise(values, step)
    low = bool(PAPER_END[2] / FACTOR <= ends.mean() <= PAPER_END[2] * FACTOR)
    stays = every(rises <= RISES)
    text = f"{values[:, 0].mean():.3f}, least {values.min(1).mean():.3f}, end {ends.mean():.3f}"
    return Finding(text, f"end {_interval(ends)}", verdict(low, stays))


# ---------------------------------------------------------------------------------- with a tenth of the rate


def _slower_fit(record: Record) -> Finding:
    error, t, step = _three(record)
    values = readings.curve(error, t, SUPERVISED, EMPIRICAL)[:, -1]
    paper = float(readings.paper_at(step[-1])[0])
    crossed = readings.crossings(readings.with_seeds(record))
    text = f"{values.mean():.3f} at iteration {step[-1]:,}"
    low = bool(values.mean() <= paper * (1 + END))
    return Finding(text, _interval(values), verdict(low, every(np.isfinite(crossed))))


def _truth_slower(record: Record) -> Finding:
    error, t, step = _fitting(record)
    plateau, near = _plateau(readings.curve(error, t, SUPERVISED, TRUE), step)
    return Finding(f"{plateau.mean():.3f} in the second half", _interval(plateau), verdict(near))


def _slower_rise(record: Record) -> Finding:
    error, t, step = _three(record)
    rises = readings.rise(readings.curve(error, t, FRESH, TRUE), step)
    share = readings.early_share(error, t, step)
    middle, low, _ = factor_over_seeds(rises)
    text = f"× {middle:.2f}; {100 * share.mean():.0f} % of it at t < {EARLY}"
    return Finding(text, _ratio_interval(rises), verdict(bool(low > RISES), every(share >= 0.9)))


# -------------------------------------------------------------------- against the empirical score elsewhere


def _selective(record: Record) -> Finding:
    error, t, step = _fitting(record)
    inside, outside = (readings.ratio_from(error, t, step, place, APART) for place in (SUPERVISED, FRESH))
    falls = bool(factor_over_seeds(inside)[2] < 1)
    stays = bool(factor_over_seeds(outside)[0] >= 0.95)
    text = (
        f"from iteration {FIRST:,} on × {factor_over_seeds(inside)[0]:.2f} at noised training points, "
        f"× {factor_over_seeds(outside)[0]:.2f} at fresh ones"
    )
    interval = f"{_ratio_interval(inside)}; {_ratio_interval(outside)}"
    return Finding(text, interval, verdict(falls, stays))


def _path(record: Record) -> Finding:
    error, t, step = _fitting(record)
    found = readings.place_ratio(error, t, step, APART)
    middle, low, _ = factor_over_seeds(found)
    text = f"{middle:.1f} times that at noised training points"
    return Finding(text, _ratio_interval(found), verdict(bool(low > 1)))


# ------------------------------------------------------------------------------------- when the third rises


def _range(record: Record) -> Finding:
    return _where(*_fitting(record))


def _range_small(record: Record) -> Finding:
    return _where(readings.run_errors(record), record["t"], record["step"])


def _where(error: np.ndarray, t: np.ndarray, step: np.ndarray) -> Finding:
    """At which times the third curve rises, where it does."""
    rises = readings.rise(readings.curve(error, t, FRESH, TRUE), step)
    if rises.mean() <= RISES:
        raise Nothing(f"the curve does not rise (last over least {readings.span(rises)}): no cause to name")
    share, late = readings.early_share(error, t, step), readings.late_ratio(error, t, step)
    text = f"{100 * share.mean():.0f} % of the rise at t < {EARLY}; at t ≥ {APART} × {late.mean():.2f}"
    interval = f"{bounds(100 * share.min(), 100 * share.max(), 0, ' %')}, lowest to highest seed"
    return Finding(text, interval, verdict(every(share >= 0.9), every(late <= 1.1)))


def _rate(record: Record) -> Finding:
    return _less(record, "rate", more=True)


def _batch(record: Record) -> Finding:
    return _less(record, "batch", more=False)


def _less(record: Record, factor: str, *, more: bool) -> Finding:
    """Whether, at the same first curve, the third is lower with more, or with less, of a factor."""
    low, high = readings.ends_of(record, factor)
    one, other = (readings.run_errors(record, factor, value) for value in (low, high))
    small, large = readings.at_equal_fit(one, other, record["t"], record["step"])
    ratio = large / small if more else small / large
    text = f"{readings.span(small)} for {factor} {low}, {readings.span(large)} for {high}"
    interval = f"ratio {_ratio_interval(ratio)}"
    return Finding(text, interval, verdict(bool(factor_over_seeds(ratio)[2] < 1)))


def _averaged(record: Record) -> Finding:
    t, step = record["t"], record["step"]
    raw, mean = (
        readings.last(readings.curve(record["error"], t, FRESH, TRUE, average), step)
        for average in (readings.RAW, readings.AVERAGED)
    )
    found = [factor_over_seeds(ratio) for ratio in mean / raw]
    lower = [one[2] < 1 for one in found]
    text = f"× {found[0][0]:.2f} in the default run; lower in {sum(lower)} of {len(lower)} runs"
    return Finding(text, _ratio_interval((mean / raw)[0]), verdict(every(lower), most(lower)))


def _target(record: Record) -> Finding:
    t, step = record["t"], record["step"]
    runs = {"eps": ("default", ""), "x0": ("target", "x0"), "velocity": ("target", "velocity")}
    logs = {
        name: np.log(readings.rise_by_time(readings.run_errors(record, *run), step)[:, t < EARLY]).mean(1)
        for name, run in runs.items()
    }
    found = {name: np.exp(over_seeds(values)) for name, values in logs.items()}
    rises = [one[1] > RISES for one in found.values()]
    text = ", ".join(f"{name} × {one[0]:.2f}" for name, one in found.items())
    interval = "; ".join(bounds(one[1], one[2], 2) for one in found.values())
    return Finding(text, f"{interval} at 95 %", verdict(every(rises), most(rises)))


CHECKS: dict[str, Check] = {
    "song-gauss-supervised": _supervised,
    "song-gauss-crossing": _crossing,
    "song-gauss-truth": _truth,
    "song-gauss-fresh": _fresh,
    "song-gauss-selective": _selective,
    "song-gauss-path": _path,
    "ours-gauss-slower-fit": _slower_fit,
    "ours-gauss-slower-truth": _truth_slower,
    "ours-gauss-slower-selective": _selective,
    "ours-gauss-slower-rise": _slower_rise,
    "ours-gauss-range": _range,
    "ours-gauss-range-small": _range_small,
    "ours-gauss-rate": _rate,
    "ours-gauss-batch": _batch,
    "ours-gauss-average": _averaged,
    "ours-gauss-target": _target,
}
