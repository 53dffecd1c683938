"""Kaiser & Kollmann, Diffusion Models Generalize but Not in the Way You Might Think (arXiv 2603.13419)."""

from __future__ import annotations

import numpy as np

from diffnotes.chapters.checks import Finding, every, verdict
from diffnotes.store import Record

# Read off the authors' stored plots and printed numbers.
STORED_PEAKS = {2.2: 0.104, 2.0: 0.161, 1.8: 0.249, 1.6: 0.387, 1.4: 0.603, 1.2: 0.954}
STORED_GUIDED = (0.249, 0.684)
STORED_DENSITY = {8: 0.800, 10: 0.387, 12: 0.213, 15: 0.073}


def _span(values: np.ndarray) -> str:
    """'0.59 to 0.78', or one number when both ends read the same."""
    ends = dict.fromkeys(f"{end:.2f}" for end in (values.min(), values.max()))
    return " to ".join(ends)


def _optimal_flow(record: Record) -> Finding:
    """At the smallest noise the prediction is a training point; at the largest it is near their mean."""
    axis, train = record["flow_axis"], record["flow_train"]
    plane = np.stack(np.meshgrid(axis, axis), axis=-1)
    guess = plane + record["flow"][0]
    nearest = np.linalg.norm(guess[-1][..., None, :] - train, axis=-1).min(-1)
    share = float((nearest < 0.1).mean())
    far = float(np.linalg.norm(guess[0] - train.mean(0), axis=-1).max())
    good = verdict(share > 0.9, far < 10 / 2)
    near = f"σ 0.63: {100 * share:.0f} % of the plane lands on a training point"
    text = f"{near}; σ 28: within {far:.1f} of the mean"
    return Finding(text, "exact", good)


def _bump(record: Record) -> Finding:
    gap, sigma = record["gap_exact"], record["sigma"]
    peak, top = gap.max(1), sigma[gap.argmax(1)]
    ends = np.maximum(np.abs(gap[:, sigma < 0.02]).max(1), np.abs(gap[:, sigma > 40]).max(1)) / peak
    inside = (top > 0.3) & (top < 5)
    return Finding(
        f"peaks at σ {_span(top)}; ends at most {100 * ends.max():.1f} % of the peak",
        "exact",
        verdict(every(ends < 0.05), every(inside)),
    )


def _heights(record: Record) -> Finding:
    order = np.argsort(-record["delta"])
    peak, spread = record["peak"][order], record["peak_stderr"][order]
    rising = every(np.diff(peak) > 2 * np.hypot(spread[1:], spread[:-1]))
    interval = f"± {spread[0]:.3f} to {spread[-1]:.3f}"
    return Finding(f"{peak[0]:.3f} to {peak[-1]:.3f}", interval, verdict(rising))


def _stored(record: Record) -> Finding:
    """Do the authors' stored peaks lie in the central 99 % of repeats with 50 draws, when the two sets have
    draws of their own?
    """
    peaks = record["repeat_peaks"][:, 1]
    low, high = np.quantile(peaks, (0.005, 0.995), axis=1)
    known = [i for i, delta in enumerate(record["delta"]) if round(float(delta), 3) in STORED_PEAKS]
    stored = np.array([STORED_PEAKS[round(float(record["delta"][i]), 3)] for i in known])
    inside = (stored > low[known]) & (stored < high[known])
    text = f"{inside.sum()} of {len(known)} inside the band of 50-draw repeats"
    return Finding(text, f"band at δ 1.2: {low[-1]:.2f} to {high[-1]:.2f}", verdict(*map(bool, inside)))


def _contour(record: Record) -> Finding:
    delta, inside = record["level_delta"], record["level_inside"]
    n = int(record.spec["n_train"])
    above, below = inside[delta >= 1.5 - 1e-9], inside[delta <= 1.4 + 1e-9]
    edge = float(record["threshold"])
    text = f"all {n} inside at δ ≥ 1.5, {below.max():.0f} at δ ≤ 1.4; they leave at δ {edge:.3f}"
    return Finding(text, "exact threshold", verdict(every(above == n), every(below == 0)))


def _density(record: Record) -> Finding:
    peak, n = record["density_peak"], record["density_n"]
    falling = every(np.diff(peak[np.argsort(n)]) < 0)
    stored = np.array([STORED_DENSITY.get(int(i), np.nan) for i in n])
    near = every(np.abs(peak / stored - 1)[np.isfinite(stored)] < 0.2)
    return Finding(", ".join(f"{p:.3f}" for p in peak), "exact", verdict(falling, near))


def _guidance(record: Record) -> Finding:
    peak, weight = record["guidance_peak"], record["guidance_weight"]
    rising = every(np.diff(peak) > 0)
    near = every(np.abs(peak[[0, -1]] / np.array(STORED_GUIDED) - 1) < 0.2)
    text = f"{peak[0]:.3f} at w = {weight[0]:g} to {peak[-1]:.3f} at w = {weight[-1]:g}"
    return Finding(text, "exact", verdict(rising, near))


def _position(record: Record) -> Finding:
    """Is sigma at the peak proportional to delta? The log-log slope would be 1."""
    delta, sigma = record["position_delta"], record["position_sigma"]
    plotted = (delta > 1.1) & (delta < 2.3)
    ratio = sigma[plotted] / delta[plotted]
    slope = float(np.polyfit(np.log(delta), np.log(sigma), 1)[0])
    near = every((ratio > 0.5) & (ratio < 2))
    span = _span(ratio)
    text = f"σ / δ is {span} as plotted, but σ grows only as δ to the power {slope:.2f}"
    return Finding(text, f"δ {delta.min():g} to {delta.max():g}", verdict(near, abs(slope - 1) < 0.25))


def _states(record: Record) -> Finding:
    """RMS distance to the nearest training point: noised training data < sampler states; columns of
    `law_rms`.
    """
    rms, spread = record["law_rms"], record["law_rms_stderr"]
    states, law, train = rms[:, 1], rms[:, 2], rms[:, 3]
    apart = every(states - train > 3 * spread[:, 1])
    exact = every(np.abs(states - law) < np.maximum(4 * spread[:, 1], 0.02 * law))
    text = f"sampler {states[0]:.2f} (exact law {law[0]:.2f}), noised training data {train[0]:.2f}"
    return Finding(text, f"± {spread[0, 1]:.2f}", verdict(apart, exact))


def _shots(record: Record) -> Finding:
    states, train, val = record["shot_rms"]
    spread = record["shot_rms_stderr"]
    below = bool(states - train > 3 * np.hypot(spread[0], spread[1]))
    above = bool(val - states > 3 * np.hypot(spread[0], spread[2]))
    return Finding(f"{train:.2f} < {states:.2f} < {val:.2f}", f"± {spread.max():.2f}", verdict(below, above))


def _overlap(record: Record) -> Finding:
    """Bhattacharyya overlap per training point at delta = sigma: does it vanish in the plane, and in 3,072
    dimensions?
    """
    row = record["overlap"][list(record["overlap_ratio"]).index(1.0)]
    low, high = float(row[0]), float(row[-1])
    text = f"{low:.2f} in the plane, 10 to the power −{-np.log10(high):.0f} in 3,072 dimensions"
    return Finding(text, "exact", verdict(low < 0.1, high < 0.1))


CHECKS = {
    "kaiser-toy-flow": _optimal_flow,
    "kaiser-toy-bump": _bump,
    "kaiser-toy-delta": _heights,
    "kaiser-toy-peaks": _stored,
    "kaiser-toy-contour": _contour,
    "kaiser-toy-density": _density,
    "kaiser-toy-guidance": _guidance,
    "kaiser-toy-position": _position,
    "kaiser-toy-states": _states,
    "kaiser-toy-shots": _shots,
    "kaiser-toy-overlap": _overlap,
}
