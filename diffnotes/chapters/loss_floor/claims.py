"""Xu et al., Diagnosing and Improving Diffusion Models by Estimating the Optimal Loss Value (arXiv
2506.13763).
"""

from __future__ import annotations

import numpy as np

from diffnotes.chapters.checks import PENDING, Finding, companion, every, verdict
from diffnotes.store import Record

PLAIN = 4.0  # the paper's correction, in units of N/L


def _shape(record: Record) -> Finding:
    """J* rises with sigma, is near zero at small sigma and tends to the variance of the data."""
    share, spread = record["mean"] / record["variance"], record["stderr"] / record["variance"]
    rises = every(np.diff(share) >= -3 * np.hypot(spread[1:], spread[:-1]))
    ends = (bool(share[0] < 1e-3), bool(share[-1] > 0.99))
    low, high = record["sigma"][[0, -1]]
    text = f"{100 * share[0]:.2g} % of the data variance at σ {low:g}, {100 * share[-1]:.2f} % at σ {high:g}"
    return Finding(text, f"± {100 * spread.max():.1g} % of the variance at most", verdict(rises, *ends))


def _area(record: Record, tolerance: float) -> Finding:
    """The area under J*/sigma^2 over ln sigma is the entropy of the training set, ln N."""
    area, spread, expected = float(record["area"]), float(record["area_stderr"]), float(np.log(record["n"]))
    text = f"{area:.3f}, ln N = {expected:.3f} ({100 * (area / expected - 1):+.2f} %)"
    return Finding(text, f"± {spread:.3f}", verdict(abs(area / expected - 1) < tolerance))


def _digits_area(record: Record) -> Finding:
    return _area(record, 0.01)


def _cifar_area(record: Record) -> Finding:
    return _area(record, 0.02)


def _order(record: Record) -> Finding:
    """sigma* of CIFAR-10 below that of 64 x 64 images, at equal N; without FFHQ-64, at best partly."""
    other = companion(record, "loss_sizes", {"dataset": "cifar10"})
    n = int(record["n"])
    if n not in other["size"]:
        return Finding(f"no {record.profile} CIFAR-10 curve of {n:,} images yet", "", PENDING)
    small = float(other["critical"][list(other["size"]).index(n)][0])
    large = float(record["critical"][0])
    text = f"N = {n:,} each: {small:.2f} (CIFAR-10), {large:.2f} (Tiny ImageNet); FFHQ-64 not at hand"
    return Finding(text, "both at 1 % of the variance", verdict(small < large, False))


def _cdol(record: Record) -> Finding:
    """At each N/L: is the worst bias of cDOL with 4N/L below those of DOL and of SNIS?"""
    bias = record["bias_repeats"]  # [repeats, ratios, corrections, levels]
    plain = int(np.argmin(np.abs(record["multiples"] - PLAIN)))
    chosen = [0, plain, bias.shape[2] - 1]
    worst, error = _jackknife(bias[:, :, chosen])
    lower = (worst[:, [0, 2]] - worst[:, [1]] > 2 * error).all(1).tolist()
    share = 100 * worst / float(record["variance"])
    span = [f"{part.min():.1f} to {part.max():.1f} %" for part in share.T]
    text = f"cDOL {span[1]}, DOL {span[0]}, SNIS {span[2]} of the variance, for N/L {_span(record)}"
    return Finding(text, f"{sum(lower)} of {len(lower)} ratios", verdict(*lower))


def _jackknife(bias: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Largest |mean bias| over levels [ratios, 3], and the errors of (first - second), (third - second)."""
    repeats = len(bias)
    left_out = (bias.sum(0) - bias) / (repeats - 1)
    worst = np.abs(left_out).max(-1)
    apart = worst[:, :, [0, 2]] - worst[:, :, [1]]
    error = np.sqrt((repeats - 1) * apart.var(0))
    return np.abs(bias.mean(0)).max(-1), error


def _span(record: Record) -> str:
    return f"{int(record['ratios'][0])} to {int(record['ratios'][-1])}"


def _plain_correction(record: Record) -> Finding:
    """Is the best C within a factor 2 of 4N/L at each N/L?"""
    near = np.abs(np.log(record["best"] / PLAIN)) < np.log(2)
    edge = record["multiples"][-2]
    found = ", ".join(
        "≥ " * bool(b > 0.99 * edge) + (f"{b:.1f}" if b < 10 else f"{b:,.0f}") for b in record["best"]
    )
    text = f"best C in units of N/L: {found} for N/L {', '.join(map(str, record['ratios']))}"
    return Finding(text, f"{near.sum()} of {len(near)} within a factor 2", verdict(*near.tolist()))


def _square_law(record: Record) -> Finding:
    """Is the best C about (N/L)^2: its log-log slope, and its value at small N/L?"""
    ratio = record["ratios"].astype(float)
    slope = float(np.polyfit(np.log(ratio), np.log(record["best"] * ratio), 1)[0])
    few = ratio <= 8
    near = every(np.abs(np.log(record["best"][few] / ratio[few])) < np.log(2))
    inside = (record["best_low"] <= ratio) & (ratio <= record["best_high"])
    text = f"C grows as (N/L)^{slope:.2f}; {'' if near else 'not '}within a factor 2 of (N/L)² up to N/L = 8"
    interval = f"(N/L)² in the 90 % interval at {inside.sum()} of {len(ratio)} ratios"
    return Finding(text, interval, verdict(1.5 < slope < 2.5, near))


def _dol_area(record: Record) -> Finding:
    """The area of DOL with L points is ln L, at each L."""
    reading = list(record["readings"]).index("PV")
    ratios = list(record["ratios"])
    sizes = np.array([record["sizes"][ratios.index(ratio)] for ratio in record["shared_ratios"]])
    area, error = record["area_mean"][:, 0, reading], record["area_stderr"][:, 0, reading]
    held = (np.abs(area - np.log(sizes)) < 3 * error + 0.01) & (error < 0.03 * np.log(sizes))
    pairs = zip(area, np.log(sizes), sizes, strict=True)
    text = "; ".join(f"{found:.3f}, ln {size:,} = {expected:.3f}" for found, expected, size in pairs)
    return Finding(text, f"± {error.max():.3f}", verdict(*held.tolist()))


def _spread(record: Record) -> Finding:
    """Does the scatter of the estimate rise from DOL to C = 16 N/L at ln sigma = 1.25, shared and fresh?"""
    level = int(np.argmin(np.abs(np.log(record["sigma"]) - 1.25)))
    wide = int(np.argmin(np.abs(record["grid"] - record["sigma"][level])))
    fine, coarse = (int(np.argmin(np.abs(record[name] - 16))) for name in ("multiples", "coarse"))
    k = list(record["ratios"]).index(int(record["shared_ratios"][0]))
    fresh = record["bias_repeats"][:, k][:, [0, fine], level] + record["full_repeats"][:, [level]]
    shared = record["shared_repeats"][:, 0][:, [0, coarse], wide]
    (a, low_a), (b, low_b) = _growth(shared), _growth(fresh)
    text = f"scatter at 16 N/L over that of DOL: {a:.2f} (one subset for all draws), {b:.2f} (fresh ones)"
    return Finding(
        text, f"jackknife, 2 errors: above {low_a:.2f}, {low_b:.2f}", verdict(low_a > 1, low_b > 1)
    )


def _growth(values: np.ndarray) -> tuple[float, float]:
    """Ratio of the second column's standard deviation to the first's, and its lower end at 2 errors."""
    repeats = len(values)
    kept = [np.delete(values, k, 0).std(0, ddof=1) for k in range(repeats)]
    logs = np.log([row[1] / row[0] for row in kept])
    sd = values.std(0, ddof=1)
    error = float(np.sqrt((repeats - 1) * logs.var()))
    return float(sd[1] / sd[0]), float(sd[1] / sd[0] * np.exp(-2 * error))


CHECKS = {
    "xu-shape-digits": _shape,
    "xu-shape-cifar10": _shape,
    "xu-shape-imagenet64": _shape,
    "xu-order": _order,
    "xu-cdol": _cdol,
    "xu-cdol-digits": _cdol,
    "xu-correction": _plain_correction,
    "xu-correction-digits": _plain_correction,
    "xu-spread": _spread,
    "ours-area-digits": _digits_area,
    "ours-area-cifar10": _cifar_area,
    "ours-area-imagenet64": _cifar_area,
    "ours-correction": _square_law,
    "ours-correction-digits": _square_law,
    "ours-dol-area": _dol_area,
    "ours-dol-area-digits": _dol_area,
}
