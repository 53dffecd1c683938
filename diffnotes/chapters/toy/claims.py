"""Kaiser & Kollmann, Diffusion Models Generalize but Not in the Way You Might Think (arXiv 2603.13419)."""

from __future__ import annotations

import numpy as np

from diffnotes.chapters.checks import Finding, every, verdict
from diffnotes.chapters.toy import readings, sample_readings
from diffnotes.show.labels import at_95, bounds, power_of_ten
from diffnotes.store import Record

CIFAR = 3072  # dimensions of CIFAR-10
FROM_SPREADS = "from the spreads of sampler states"


def _span(values: np.ndarray) -> str:
    """'0.59 to 0.78', or one number when both ends read the same."""
    ends = dict.fromkeys(f"{end:.2f}" for end in (values.min(), values.max()))
    return " to ".join(ends)


def _joined(match: readings.Match) -> str:
    """Whether one factor joins our heights with the authors', in words."""
    low, high = match.factor
    heights = f"all {len(match.at)} heights, known to ±{match.error:.3f}"
    if not match.joined:
        return f"no one factor on 1 + G joins {heights}"
    return f"one factor on 1 + G, {_span(np.array([low, high]))}, joins {heights}"


def _scattered(record: Record) -> str:
    low, high = readings.repeat_factor(record)
    return f"50 draws: a factor of {low:.2f} to {high:.2f}"


def _explained(record: Record, match: readings.Match) -> bool:
    """Whether 50 draws may put heights off by that factor."""
    (low, high), (least, most) = match.factor, readings.repeat_factor(record)
    return low <= most and high >= least


def _optimal_flow(record: Record) -> Finding:
    """At the smallest noise the prediction is a training point; at the largest it is near their mean."""
    share, far = readings.landing(record)[0], readings.from_mean(record)
    near = f"σ 0.63: {100 * share:.0f} % of the plane lands on a training point"
    text = f"{near}; σ 28: within {far:.1f} of the mean"
    return Finding(text, "exact", verdict(share > 0.9, also=[far < 10 / 2]))


def _bump(record: Record) -> Finding:
    top, ends = readings.peak_places(record), readings.ends(record)
    text = f"peaks at σ {_span(top)}; ends at most {100 * ends.max():.1f} % of the peak"
    return Finding(text, "exact", verdict(every(ends < 0.05), also=[every((top > 0.3) & (top < 5))]))


def _heights(record: Record) -> Finding:
    peak, error = readings.growth(record)
    interval = f"± {error[0]:.3f} to {error[-1]:.3f}"
    return Finding(f"{peak[0]:.3f} to {peak[-1]:.3f}", interval, verdict(every(readings.rising(record))))


def _peaks(record: Record) -> Finding:
    match = readings.peaks(record)
    share = f"{100 * readings.joined_repeats(record):.0f} % of our own repeats would pass"
    good = verdict(match.joined, also=[_explained(record, match)])
    return Finding(_joined(match), f"{_scattered(record)}; {share}", good)


def _along(record: Record) -> Finding:
    """The heights along the circle, between zeros at training points and maxima at validation points."""
    match = readings.along(record)
    gap = record["along_gap"]
    train, val = (readings.gap_on_circle(record, record[name]) for name in ("train", "val"))
    shape = [every(np.abs(train).max(1) < 0.02 * gap.max(1)), every(val.min(1) > 0.98 * gap.max(1))]
    good = verdict(match.joined, also=[*shape, _explained(record, match)])
    return Finding(f"{_joined(match)}: {', '.join(f'{height:.3f}' for height in match.ours)}", "exact", good)


def _contour(record: Record) -> Finding:
    n, edge = int(record.spec["n_train"]), float(record["threshold"])
    above, below = readings.inside(record, 1.5, np.inf), readings.inside(record, 0, 1.4)
    text = f"all {n} inside at δ ≥ 1.5, {below.max():.0f} at δ ≤ 1.4; they leave at δ {edge:.3f}"
    if not every(above == n):
        text = f"{above.min():.0f} of {n} inside at δ ≥ 1.5, {below.max():.0f} at δ ≤ 1.4"
    return Finding(text, "exact threshold", verdict(every(above == n) and every(below == 0)))


def _density(record: Record) -> Finding:
    match = readings.densities(record)
    text = f"{', '.join(f'{peak:.3f}' for peak in match.ours)}; {_joined(match)}"
    also = [match.joined, _explained(record, match)]
    return Finding(text, _scattered(record), verdict(every(readings.falling(record)), also=also))


def _random(record: Record) -> Finding:
    """Points at random angles: medians over sets of them, and where the first set peaks."""
    (low, middle, high), first = readings.random_spread(record), readings.random_places(record)
    rows = zip(record["random_delta"], middle, low, high, strict=True)
    medians, spread = [], []
    for delta, centre, least, most in rows:
        medians.append(f"{centre:.2f} (δ {delta:g})")
        spread.append(f"{least:.2f} to {most:.2f}")
    places = ", ".join(f"{one:.2f}" for one in first)
    text = f"medians {', '.join(medians)}; the first set peaks at σ {places}"
    inside = every((first > 0.3) & (first < 5))
    good = verdict(every(readings.random_rising(record)), also=[inside])
    return Finding(text, f"80 % of sets {', '.join(spread)}", good)


def _guidance(record: Record) -> Finding:
    match = readings.guided(record)
    text = f"{match.ours[0]:.3f} at w = {match.at[0]:g} to {match.ours[-1]:.3f} at w = {match.at[-1]:g}"
    also = [match.joined, _explained(record, match)]
    good = verdict(every(readings.guidance_rising(record)), also=also)
    return Finding(f"{text}; {_joined(match)}", _scattered(record), good)


def _position(record: Record) -> Finding:
    """Is sigma at the peak proportional to delta? The log-log slope would be 1."""
    ratio, power = readings.in_proportion(record)
    delta = record["position_delta"]
    text = f"σ / δ is {_span(ratio)} as plotted, but σ grows only as δ to the power {power:.2f}"
    if power > 0.75:
        text = f"σ / δ is {_span(ratio)} as plotted, and σ grows as δ to the power {power:.2f}"
    near = every((ratio > 0.5) & (ratio < 2))
    good = verdict(abs(power - 1) < 0.25, also=(near,))
    return Finding(text, f"δ {delta.min():g} to {delta.max():g}", good)


def _states(record: Record) -> Finding:
    """RMS distance to the nearest training point: noised training data < sampler states."""
    law = readings.law(record)
    apart = every(law.heun - law.noised_train > 3 * law.heun_error)
    exact = every(np.abs(law.heun - law.exact) < np.maximum(4 * law.heun_error, 0.02 * law.exact))
    sampler = f"sampler {law.heun[0]:.2f} (exact law {law.exact[0]:.2f})"
    text = f"{sampler}, noised training data {law.noised_train[0]:.2f}"
    return Finding(text, f"± {law.heun_error[0]:.2f}", verdict(apart, also=[exact]))


def _shots(record: Record) -> Finding:
    states, train, val = record["shot_rms"]
    error = record["shot_rms_stderr"]
    below = bool(states - train > 3 * np.hypot(error[0], error[1]))
    above = bool(val - states > 3 * np.hypot(error[0], error[2]))
    text = f"noised training {train:.2f}, sampler {states:.2f}, noised validation {val:.2f}"
    return Finding(text, f"± {error.max():.2f}", verdict(below, above))


def _overlap(record: Record) -> Finding:
    """Bhattacharyya overlap per training point in 3,072 dimensions, from measured spreads."""
    ratio, overlaps = readings.measured(record, CIFAR)
    return Finding(_overlaps(ratio, overlaps), FROM_SPREADS, verdict(every(overlaps < 0.1)))


def _overlaps(ratio: np.ndarray, overlaps: np.ndarray) -> str:
    """'0.99 at δ/σ 0.56, 0.94 at δ/σ 1.1'."""
    rows = zip(ratio, overlaps, strict=True)
    return ", ".join(f"{_number(value)} at δ/σ {place:.2g}" for place, value in rows)


def _number(value: float) -> str:
    return f"{value:.2f}" if value > 0.01 else power_of_ten(value)


def _plane(record: Record) -> Finding:
    """Bhattacharyya overlap per training point in the plane: up to δ = σ, is it nearly that of equal laws?"""
    ratio, overlaps = readings.measured(record, 2)
    return Finding(_overlaps(ratio, overlaps), FROM_SPREADS, verdict(every(overlaps[ratio <= 1] > 0.9)))


def _frechet(record: Record) -> Finding:
    """Euler's samples: is the distance to points of either split least midway?"""
    dips = [sample_readings.dip(record, sample_readings.EULER, split) for split in range(2)]
    named = list(zip(sample_readings.SPLITS, dips, strict=True))
    text = "; ".join(f"to {name} points least at δ {one.delta:g}, {one.distance:.3f}" for name, one in named)
    ends = "; ".join(f"{name}: {_above(record, one)}" for name, one in named)
    return Finding(text, f"{ends}, at 95 %", verdict(*(one.midway for one in dips)))


def _above(record: Record, dip: sample_readings.Dip) -> str:
    """How much more the ends of the model errors are; an end that is least itself is left out."""
    ends = (("smallest", record["delta"].min()), ("largest", record["delta"].max()))
    parts = [
        f"{bounds(found[1], found[2], 3)} more at the {name} δ"
        for (name, delta), found in zip(ends, dip.above, strict=True)
        if delta != dip.delta
    ]
    return ", ".join(parts)


def _steps(record: Record) -> Finding:
    """Heun's samples, at the model error that is best for Euler's."""
    delta, more = sample_readings.cost(record)
    text = f"Euler’s best δ, {delta:g}, takes Heun’s samples {more[0]:.3f} farther than the smallest δ"
    return Finding(text, at_95(more, 3), verdict(bool(more[1] > 0)))


def _optimal(record: Record) -> Finding:
    """Where the sampler of the optimal denoiser ends."""
    on, copied = sample_readings.on_points(record), sample_readings.copies(record)
    end, unseen = sample_readings.apart(record)
    text = (
        f"{100 * on:.1f} % of {len(record['rho']):,} samples end on a training point, {100 * copied:.1f} % "
        f"are copies; median distance {power_of_ten(end)}, of held-out points {unseen:.2g}"
    )
    return Finding(text, "", verdict(on >= 0.99, copied >= 0.99))


CHECKS = {
    "kaiser-toy-flow": _optimal_flow,
    "kaiser-toy-bump": _bump,
    "kaiser-toy-delta": _heights,
    "kaiser-toy-peaks": _peaks,
    "kaiser-toy-contour": _contour,
    "kaiser-toy-along": _along,
    "kaiser-toy-density": _density,
    "kaiser-toy-random": _random,
    "kaiser-toy-guidance": _guidance,
    "kaiser-toy-position": _position,
    "kaiser-toy-states": _states,
    "kaiser-toy-shots": _shots,
    "kaiser-toy-overlap": _overlap,
    "ours-toy-plane": _plane,
    "kaiser-toy-frechet": _frechet,
    "ours-toy-steps": _steps,
    "kaiser-toy-optimal": _optimal,
    "kaiser-net-optimal": _optimal,
    "kaiser-net-optimal-cifar10": _optimal,
}
