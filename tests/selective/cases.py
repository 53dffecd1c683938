"""Records on which every claim about networks of several sizes holds, and on which it fails."""

from __future__ import annotations

from collections.abc import Callable

import fakes
import numpy as np

from diffnotes.store import Record

LEVELS, WIDTHS, SEEDS, SNAPSHOTS, POINTS = 20, 4, 3, 3, 40
T = (np.arange(LEVELS) + 0.5) / LEVELS
NOISE = np.array([-1e-3, 0.0, 1e-3])  # of a seed
SPREAD = np.array([0.93, 0.97, 1.0, 1.03, 1.07])  # quantiles of r* over their median
FAR, SPACING = 0.3, 5.0  # D / sqrt(d) of images off the set, and the least distance within a class
SPEC = {"dataset": "digits", "n": 1000, "tiny": 48, "batch": 128, "points": POINTS}
GROW = np.arange(WIDTHS)[:, None, None] + 0.3 * np.arange(SNAPSHOTS)  # with compute [width, 1, snapshot]


def errors(training: float, trajectories: float, growth: float = 0.01) -> np.ndarray:
    """[width, seed, snapshot, point, told, l]: supervised errors fall, those on trajectories rise."""
    seeds = NOISE[:, None]
    known = training * (1 - 0.05 * GROW) * (1 + seeds)
    far = trajectories * (1 + growth * GROW) * (1 + seeds)
    found = np.stack([known, far, 0.9 * far], -1)
    return np.broadcast_to(found[..., None, None], (*found.shape, 2, LEVELS)).copy()


def geometric(distance: float) -> np.ndarray:
    """r* by the formula, with quantiles around it [l, 5]."""
    return np.sqrt(1 + ((1 - T) / T) ** 2 * distance**2)[:, None] * SPREAD


def ladder(values: np.ndarray) -> np.ndarray:
    """The same for every network, seed and snapshot."""
    return np.broadcast_to(values, (WIDTHS, SEEDS, SNAPSHOTS, *values.shape)).copy()


def gaps(training: float, own: float) -> np.ndarray:
    """[width, seed, snapshot, point, l, 3]: gaps between told and not told that grow as t falls."""
    height = np.array([training, own, own])[:, None] * (1 - T) + 1e-9
    found = height[:, :, None] * np.array([0.5, 1.0, 2.0])
    return ladder(found) * (1 + 10 * NOISE[:, None, None, None, None])


def back(half: float) -> np.ndarray:
    """Shares that return, of one network [seed, l]; half of them do at `half`."""
    share = 1 / (1 + np.exp((T - half) / 0.01))
    return np.broadcast_to(share, (SEEDS, LEVELS)).copy()


def base() -> dict[str, np.ndarray]:
    """Arrays for which every claim on them holds."""
    err = errors(0.01, 0.03)
    shown = np.zeros((2, LEVELS, 2, 1, 8, 8), np.uint8)
    exact = ladder(np.zeros((3, LEVELS, 3)))
    ratio = np.broadcast_to(geometric(0.0), (SEEDS, LEVELS, 5)).copy()
    return {
        "t": T, "width": np.array([32, 64, 128, 256]), "step": np.array([250, 1000, 4000]),
        "tiny_step": np.array([250, 1000, 4000]), "parameters": np.array([9e3, 3e4, 1e5, 4e5], int),
        "flops": np.array([2e4, 6e4, 2e5, 8e5], int), "tiny_parameters": np.array(100_000),
        "tiny_flops": np.array(200_000), "error": err, "error_stderr": 0.01 * err,
        "tiny_error": np.broadcast_to(err[0, :, :, :1], err[0].shape).copy(),
        "guide": np.full((SEEDS, 2, 2, 2, LEVELS), 0.05), "learned": gaps(0.01, 0.05), "exact": exact,
        "ratio_training": ratio, "ratio_held_out": ratio * 0 + geometric(1.02 * FAR),
        "ratio_own": ladder(geometric(FAR)), "ratio_again": ladder(geometric(1.01 * FAR)),
        "tiny_ratio_own": ladder(geometric(0.0))[0], "distance": ladder(np.full(POINTS, FAR**2)),
        "held_out_distance": np.full((SEEDS, POINTS), (1.02 * FAR) ** 2),
        "rho": np.full((WIDTHS, SEEDS, SNAPSHOTS, POINTS), 0.8),
        "tiny_rho": np.full((SEEDS, SNAPSHOTS, POINTS), 0.1), "returned": np.stack([back(0.4)] * WIDTHS),
        "tiny_returned": back(0.6), "calibrated": np.zeros((WIDTHS, SEEDS, LEVELS, 3)),
        "spacing": np.linspace(SPACING, 9, 100), "class_spacing": np.linspace(SPACING, 9, 100),
        "shown_ratio": np.ones((2, LEVELS, 2)), "shown_state": shown, "shown_guess": shown,
        "shown_near": shown,
    }  # fmt: skip


BASE = base()


def fake(experiment: str = "selective_digits", **changed: np.ndarray) -> Record:
    """The record of `base`, with some arrays changed."""
    arrays = BASE | changed
    each = {f"{one}error_each": arrays[f"{one}error"][..., 0, :].mean(-1) for one in ("", "tiny_")}
    many = {name: np.repeat(values[..., None], POINTS, -1) for name, values in each.items()}
    return fakes.record(many | arrays, experiment, spec=SPEC)


Case = Callable[[], Record]
NEAR = ladder(geometric(0.0))

_FAILS: dict[str, Case] = {
    "song-net-selective": lambda: fake(error=errors(0.05, 0.02)),
    "song-net-supervised": lambda: fake(error=np.flip(BASE["error"], 0)),
    "song-net-extrapolated": lambda: fake(error=errors(0.01, 0.03, -0.01)),
    "song-net-leaves": lambda: fake(ratio_own=NEAR),
    "ours-net-analytic": lambda: fake(
        distance=4 * BASE["distance"], held_out_distance=4 * BASE["held_out_distance"]
    ),
    "ours-net-control": lambda: fake(ratio_own=NEAR),
    "ours-net-again": lambda: fake(ratio_again=NEAR),
    "song-net-guidance": lambda: fake(learned=gaps(0.05, 0.01)),
    "song-guidance-grows": lambda: fake(learned=BASE["learned"] * (T**4 / (1 - T))[:, None]),
    "song-net-returns": lambda: fake(returned=np.full((WIDTHS, SEEDS, LEVELS), 0.5)),
    "song-net-early": lambda: fake(returned=np.stack([back(0.8)] * WIDTHS)),
    "ours-net-memorizer": lambda: fake(tiny_error=BASE["error"][0], tiny_ratio_own=ladder(geometric(FAR))[0]),
}

HOLDS: dict[str, Case] = {name + end: fake for name in _FAILS for end in ("", "-cifar10")}
FAILS: dict[str, Case] = {name + end: make for name, make in _FAILS.items() for end in ("", "-cifar10")}
