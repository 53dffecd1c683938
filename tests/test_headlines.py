"""Six headline numbers again, with numpy alone: from the arrays of pinned records, or from embedded data.

What the package calls a result is found a second time without it, by formulas written down again, so that a
fault cannot hide in both.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits

RESULTS = Path(__file__).resolve().parents[1] / "results"
STUDENT = {1: 12.706, 2: 4.303, 4: 2.776, 9: 2.262}  # 97.5 % points, by degrees of freedom


def pinned(experiment: str, **settings: Any) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Settings and arrays of a pinned laptop record."""
    for line in json.loads((RESULTS / "index.json").read_text(encoding="utf-8"))["records"]:
        shown = line["shown"]
        if line["experiment"] == experiment and line["profile"] == "laptop":
            folder = RESULTS / experiment / line["key"]
            spec = json.loads((folder / "record.json").read_text(encoding="utf-8"))["spec"]
            if all({**spec, **shown}.get(name) == value for name, value in settings.items()):
                with np.load(folder / "arrays.npz") as arrays:
                    return spec, dict(arrays)
    raise LookupError(experiment)


def training_digits() -> np.ndarray:
    """scikit-learn's digits but every third, in [-1, 1]: [n, 64]."""
    grey = load_digits().data
    return grey[np.arange(len(grey)) % 3 != 2] / 8 - 1


def softmax(logits: np.ndarray) -> np.ndarray:
    weights = np.exp(logits - logits.max(1, keepdims=True))
    return weights / weights.sum(1, keepdims=True)


def squared(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Squared distances [len(a), len(b)]."""
    return np.maximum((a**2).sum(1)[:, None] + (b**2).sum(1) - 2 * a @ b.T, 0)


# --- chapter 1 ---


def test_the_peak_of_the_toy_gap() -> None:
    """10 training points on a circle of radius 10, held-out ones midway; norm error; delta = 1.6."""
    _, arrays = pinned("toy_model")
    place = int(np.abs(arrays["delta"] - 1.6).argmin())
    sigma = float(arrays["peak_sigma"][place])
    turns = np.arange(10) / 10 + 0.01
    known, unseen = (
        10 * np.stack([np.cos(2 * np.pi * u), np.sin(2 * np.pi * u)], 1) for u in (turns, turns + 0.05)
    )
    noise = sigma * np.random.default_rng(0).normal(size=(40_000, 1, 2))
    errors = []
    for points in (known, unseen):
        x = (points + noise).reshape(-1, 2)
        scale = sigma**2 + 1.6**2
        mean = softmax(-squared(x, known) / (2 * scale)) @ known
        guess = (sigma**2 * mean + 1.6**2 * x) / scale
        errors.append(np.linalg.norm(guess.reshape(-1, 10, 2) - points, axis=2).mean())
    assert errors[1] / errors[0] - 1 == pytest.approx(float(arrays["peak"][place]), abs=0.012)


# --- chapter 4 ---


@pytest.mark.parametrize("wanted", [0.3, 1.0, 3.0])
def test_the_optimal_loss_of_digits(wanted: float) -> None:
    """J*(sigma) = E |x0 - E[x0 | x]|^2 over the 1,198 training images."""
    _, arrays = pinned("loss_curve", dataset="digits")
    place = int(np.abs(np.log(arrays["sigma"] / wanted)).argmin())
    sigma, x0 = float(arrays["sigma"][place]), np.repeat(training_digits(), 4, axis=0)
    x = x0 + sigma * np.random.default_rng(1).normal(size=x0.shape)
    mean = softmax(-squared(x, x0[::4]) / (2 * sigma**2)) @ x0[::4]
    loss = ((x0 - mean) ** 2).sum(1)
    error = np.hypot(loss.std() / len(loss) ** 0.5, arrays["stderr"][place])
    assert loss.mean() == pytest.approx(float(arrays["mean"][place]), abs=3.5 * error)


@pytest.mark.parametrize("dataset", ["digits", "cifar10", "imagenet64-all"])
def test_the_area_under_the_optimal_loss_is_ln_n(dataset: str) -> None:
    """The integral of J*(sigma) / sigma^3: by trapezoids in ln sigma, with the tail V / (2 sigma^2)."""
    _, arrays = pinned("loss_curve", dataset=dataset)
    sigma, mean = arrays["sigma"], arrays["mean"]
    height = mean / sigma**2
    area = (np.diff(np.log(sigma)) * (height[1:] + height[:-1]) / 2).sum()
    area += float(arrays["variance"]) / (2 * sigma[-1] ** 2)
    assert area == pytest.approx(np.log(float(arrays["n"])), abs=0.1)
    assert area == pytest.approx(float(arrays["area"]), abs=0.1)


def test_the_gap_by_distance_is_the_gap_by_losses() -> None:
    """E |D - D*|^2 = J - J* at every level, network and seed, within its standard errors."""
    _, arrays = pinned("diagnosis_digits")
    apart = arrays["loss"] - arrays["optimal"] - arrays["gap"]
    error = np.hypot(arrays["stderr"], arrays["difference_stderr"])
    assert (np.abs(apart) <= 3.0 * error + 1e-10).mean() > 0.99
    assert np.abs(apart / np.maximum(error, 1e-12)).max() < 4


# --- chapter 3 ---


def test_the_exponent_of_the_onset() -> None:
    """Steps to 10 % memorized samples, linear in ln(step) between looks, as a power of N; Student's."""
    _, arrays = pinned("digits", sweep="n")
    average, definition = -1, [*arrays["definition"]].index("copies 0.1")
    times = np.full(arrays["step"].shape[:2], np.nan)
    for size, seed in np.ndindex(times.shape):
        step, share = arrays["step"][size, seed], arrays["copies"][size, seed, :, average, 0]
        share, step = share[step > 0], step[step > 0]
        above = np.flatnonzero(share >= 0.1)
        if len(above):
            k = above[0]
            part = (0.1 - share[k - 1]) / (share[k] - share[k - 1])
            times[size, seed] = step[k - 1] * (step[k] / step[k - 1]) ** part
    known = np.isfinite(times).all(1)
    x = np.log(arrays["value"][known].astype(float))
    slopes = ((x - x.mean())[:, None] * np.log(times[known])).sum(0) / ((x - x.mean()) ** 2).sum()
    seeds = len(slopes)
    half = STUDENT[seeds - 1] * slopes.std(ddof=1) / seeds**0.5
    found = [slopes.mean(), slopes.mean() - half, slopes.mean() + half, known.sum()]
    assert found == pytest.approx(arrays["exponent"][average, definition].tolist(), rel=1e-3)


# --- chapter 5 ---


def test_the_rank_correlation_of_gap_and_copies() -> None:
    """Spearman's, over all checkpoints, of the largest relative gap with the share of memorized samples."""
    _, arrays = pinned("lenses_digits")
    gap, copies = arrays["relative"].max(-1).ravel(), arrays["memorized"][..., 0].ravel()
    ranks = [np.array([(v < one).sum() + ((v == one).sum() + 1) / 2 for one in v]) for v in (gap, copies)]
    found = np.corrcoef(ranks)[0, 1]
    from diffnotes import store
    from diffnotes.chapters.four_lenses import readings

    claimed = readings.correlations(store.best("lenses_digits", {}))
    assert found == pytest.approx(float(readings.pair(claimed, "relative", "memorized")[0]), abs=1e-9)
