"""Records on which every claim about the Gaussian holds, and on which it fails."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import fakes
import numpy as np

from diffnotes.chapters.underfitting.readings import CURVES, PAPER, PAPER_STEPS
from diffnotes.store import Record

STEP = np.array([0, 50, *range(500, 20_001, 500)])
T = 0.005 + 0.99 * (np.arange(20) + 0.5) / 20
WOBBLE = (1.0, 0.97, 1.04)  # of the seeds
RUNS = [
    ("default", ""), ("batch", "20"), ("batch", "400"), ("rate", "0.0005"), ("rate", "0.004"),
    ("target", "x0"), ("target", "velocity"), ("depth", "10"),
]  # fmt: skip

Curves = Mapping[str, np.ndarray]


def of_steps(points: np.ndarray) -> np.ndarray:
    """Values at the paper's iterations as a curve [evaluation, level]."""
    return np.interp(STEP, PAPER_STEPS, points)[:, None] * np.ones(len(T))


def rising(times: float, *, early: bool = True) -> np.ndarray:
    """A third curve that falls until iteration 4,000 and then goes to `times` its value, at t < 0.4 alone or
    at every t."""
    share = np.clip((STEP - 4000) / 16_000, 0, 1)[:, None]
    where = T < 0.4 if early else np.ones(len(T), bool)
    falling = np.interp(STEP, [0, 4000, 20_000], [0.5, 0.1, 0.1])[:, None]
    return falling * (1 + (times - 1) * share * where)


BASE: Curves = {
    "supervised, empirical": of_steps(PAPER[0]),
    "supervised, true": of_steps(PAPER[1]),
    "fresh, true": of_steps(PAPER[2]),
    "fresh, empirical": of_steps(np.full(14, 40.0)),
    "path, empirical": of_steps(np.full(14, 20.0)),
    "path, true": of_steps(PAPER[2]),
}
RISING = BASE | {"fresh, true": rising(6.0)}


def errors(curves: Curves, averaged: float = 0.8) -> np.ndarray:
    """[evaluation, average, place, score, level]; averaged weights have `averaged` times the error."""
    found = np.zeros((len(STEP), 2, 3, 2, len(T)))
    for name, (place, score) in CURVES.items():
        found[:, :, place, score] = curves[name][:, None] * np.array([1, averaged])[:, None]
    return found


def of_seed(
    curves: Curves,
    seed: int,
    beside: Mapping[tuple[str, str], Record] | None = None,
    experiment: str = "gaussian",
) -> Record:
    """The record of a seed."""
    arrays = {
        "error": WOBBLE[seed] * errors(curves), "step": STEP, "t": T, "parameters": 9_000_000,
        "reference": np.ones((3, 2, 2, len(T))),
    }  # fmt: skip
    return fakes.record(arrays, experiment, spec={"seed": seed, "rate": 4e-3}, beside=beside)


def three(curves: Curves = BASE, experiment: str = "gaussian", **changed: np.ndarray) -> Record:
    """The record of the first seed beside the others; `changed` names curves as `fresh_true`."""
    whole = dict(curves) | {name.replace("_", ", "): value for name, value in changed.items()}
    others = {(experiment, f"seed={seed}"): of_seed(whole, seed, experiment=experiment) for seed in (1, 2)}
    return of_seed(whole, 0, others, experiment)


def factors(runs: Mapping[tuple[str, str], np.ndarray] | None = None, averaged: float = 0.8) -> Record:
    """A record of `gaussian_factors`; `runs` says the third curve of some of them."""
    known = dict.fromkeys(RUNS, rising(6.0)) | dict(runs or {})
    error = np.stack([errors(BASE | {"fresh, true": curve}, averaged) for curve in known.values()])
    arrays = {
        "error": error[:, None] * np.array(WOBBLE).reshape(-1, *(1,) * (error.ndim - 1)),
        "reference": np.ones((3, 3, 2, 2, len(T))), "step": STEP, "t": T,
        "factor": np.array([factor for factor, _ in RUNS]), "value": np.array([value for _, value in RUNS]),
        "parameters": np.full(len(RUNS), 71_572),
    }  # fmt: skip
    spec = {"seeds": (0, 1, 2), "depth": 5, "batch": 100, "rate": 1e-3, "width": 128}
    return fakes.record(arrays, "gaussian_factors", spec=spec)


FLAT = of_steps(np.full(14, 0.6))
SAME_END = {("rate", "0.0005"): rising(3.0), ("rate", "0.004"): rising(6.0)}
BATCHES = {("batch", "20"): rising(2.0), ("batch", "400"): rising(6.0)}

HOLDS: dict[str, Callable[[], Record]] = {
    "song-gauss-supervised": three,
    "song-gauss-crossing": three,
    "song-gauss-truth": three,
    "song-gauss-fresh": three,
    "song-gauss-selective": three,
    "song-gauss-path": three,
    "ours-gauss-slower-fit": lambda: three(experiment="gaussian_slower"),
    "ours-gauss-slower-truth": lambda: three(experiment="gaussian_slower"),
    "ours-gauss-slower-selective": lambda: three(experiment="gaussian_slower"),
    "ours-gauss-slower-rise": lambda: three(RISING, "gaussian_slower"),
    "ours-gauss-range": lambda: three(RISING),
    "ours-gauss-range-small": factors,
    "ours-gauss-rate": lambda: factors({("rate", "0.0005"): rising(9.0), ("rate", "0.004"): rising(3.0)}),
    "ours-gauss-batch": lambda: factors(BATCHES),
    "ours-gauss-average": factors,
    "ours-gauss-target": factors,
}

FAILS: dict[str, Callable[[], Record]] = {
    "song-gauss-supervised": lambda: three(supervised_empirical=of_steps(PAPER[0][::-1])),
    "song-gauss-crossing": lambda: three(supervised_empirical=FLAT),
    "song-gauss-truth": lambda: three(supervised_true=of_steps(np.linspace(0.4, 1.4, 14))),
    "song-gauss-fresh": lambda: three(RISING),
    "song-gauss-selective": lambda: three(
        supervised_empirical=FLAT, fresh_empirical=of_steps(np.linspace(40, 10, 14))
    ),
    "song-gauss-path": lambda: three(path_empirical=BASE["supervised, empirical"]),
    "ours-gauss-slower-fit": lambda: three(experiment="gaussian_slower", supervised_empirical=FLAT),
    "ours-gauss-slower-truth": lambda: three(
        experiment="gaussian_slower", supervised_true=of_steps(np.full(14, 0.6))
    ),
    "ours-gauss-slower-selective": lambda: three(
        experiment="gaussian_slower",
        supervised_empirical=FLAT,
        fresh_empirical=of_steps(np.linspace(40, 10, 14)),
    ),
    "ours-gauss-slower-rise": lambda: three(experiment="gaussian_slower"),
    "ours-gauss-range": lambda: three(fresh_true=rising(6.0, early=False)),
    "ours-gauss-range-small": lambda: factors({("default", ""): rising(6.0, early=False)}),
    "ours-gauss-rate": lambda: factors(SAME_END),
    "ours-gauss-batch": lambda: factors({("batch", "20"): rising(6.0), ("batch", "400"): rising(2.0)}),
    "ours-gauss-average": lambda: factors(averaged=1.0),
    "ours-gauss-target": lambda: factors(dict.fromkeys(RUNS, rising(1.0))),
}
