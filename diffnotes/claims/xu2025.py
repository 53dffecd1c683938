"""Xu et al., Diagnosing and Improving Diffusion Models by Estimating the Optimal Loss Value (arXiv
2506.13763).
"""

from __future__ import annotations

import numpy as np

from diffnotes.claims.base import Finding, verdict
from diffnotes.store import Record


def _shape(record: Record) -> Finding:
    """J* rises with sigma, is near zero at small sigma and tends to the variance of the data."""
    share, spread = record["mean"] / record["variance"], record["stderr"] / record["variance"]
    rises = bool((np.diff(share) >= -3 * np.hypot(spread[1:], spread[:-1])).all())
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


CHECKS = {
    "xu-shape-digits": _shape,
    "xu-shape-cifar10": _shape,
    "ours-area-digits": _digits_area,
    "ours-area-cifar10": _cifar_area,
}
