"""A ladder of checkpoints on which every claim holds, and ladders on which each fails.

Networks learn (`skill` rises from 0 to 1 with training) and then memorize (`learned`, from 0 to 1), later in
larger sets and with narrower networks. All curves follow from these two.
"""

from __future__ import annotations

from collections.abc import Callable

import fakes
import numpy as np

from diffnotes.store import Record

SIZES, WIDTHS, SEEDS, POINTS, LEVELS = 3, 2, 3, 9, 20
N = np.array([32, 96, 288])
SIGMA = np.geomspace(0.02, 40, LEVELS)
CRITICAL, VARIANCE, FAR = 0.6, 0.3, 0.25
STEP = np.array([np.geomspace(30, 3000 * n / 96, POINTS).round() for n in N])
EPOCH = 128 * STEP / N[:, None]
NOISE = np.array([0.97, 1.0, 1.03])[None, None, :, None]
SHAPE = (SIZES, WIDTHS, SEEDS, POINTS)


def grown(start: float, power: float = 2.0, slower: float | np.ndarray = 1.0) -> np.ndarray:
    """From 0 to 1 through training, a half at `start` epochs, [size, width, seed, checkpoint]."""
    late = start * NOISE * np.array([1.6, 1.0])[None, :, None, None] * slower
    return np.broadcast_to(1 / (1 + (late / EPOCH[:, None, None]) ** power), SHAPE).copy()


def levels(values: np.ndarray) -> np.ndarray:
    """A level axis behind."""
    return np.broadcast_to(values[..., None], (*SHAPE, LEVELS)).copy()


def optimal() -> np.ndarray:
    """J* per dimension [l]: 0 left of sigma*, then up to the variance."""
    return VARIANCE / (1 + (2.2 * CRITICAL / SIGMA) ** 8)


def gaps(learned: np.ndarray) -> np.ndarray:
    """Loss gaps [..., l]: they fall with training first at sigma*, then to the left of it."""
    later = 1 + 0.15 * np.abs(np.log(SIGMA / (1.2 * CRITICAL)))
    kept = np.clip(1 - levels(learned) ** later, 0.02, 1)
    return kept * 0.1 * SIGMA**2 / (SIGMA**2 + 0.1)


def overlaps(near: np.ndarray, left: np.ndarray) -> np.ndarray:
    """Overlap at sigma* and right of it, and left of it."""
    return np.where(SIGMA < CRITICAL / 1.5, levels(left), levels(near))


def base(start: float = 300.0, copies: float = 6.0) -> dict[str, np.ndarray]:
    """Arrays on which every claim holds; `copies`: how much later than the gap they come."""
    gap, best = gaps(grown(start)), np.broadcast_to(optimal(), (SIZES, SEEDS, LEVELS)).copy()
    best_here = np.broadcast_to(optimal(), gap.shape)
    held_out = 0.1 * SIGMA**2 / (SIGMA**2 + 0.1) + best_here
    late = grown(start * copies, 4.0)
    bytes_ = np.zeros((SIZES, WIDTHS, POINTS, 4, 1, 8, 8), np.uint8)
    wide = np.ones((SIZES, WIDTHS, SEEDS, POINTS))
    alternating = np.where(np.arange(LEVELS) % 2, 0.5, -0.5)
    error = 0.02 * gap
    return {
        "n": N, "width": np.array([48, 256]), "step": STEP.astype(int), "sigma": SIGMA,
        "images_seen": (128 * STEP).astype(int), "parameters": np.array([[3e4, 7e5]] * SIZES).astype(int),
        "instrument": np.array(["error", "supervised", "gap", "sampler", "agreement"]),
        "cost": np.broadcast_to([10, 5, 6, 20, 40], (SIZES, WIDTHS, 5)).copy(),
        "optimal": best, "optimal_stderr": 0.01 * best + 1e-6, "variance": np.full((SIZES, SEEDS), VARIANCE),
        "critical": np.full((SIZES, SEEDS), CRITICAL), "unseen_distance": np.full((SIZES, SEEDS), FAR),
        "unseen_inside": np.zeros((SIZES, SEEDS, LEVELS)), "floor": np.full((SIZES, SEEDS), 0.5),
        "train": gap + best_here, "held_out": np.broadcast_to(held_out, gap.shape).copy(),
        "held_out_stderr": error, "relative": held_out / (gap + best_here) - 1, "relative_stderr": error,
        "supervised": gap + alternating * error, "supervised_stderr": error, "loss_gap": gap,
        "loss_gap_stderr": error, "loss": gap + best_here + alternating * error, "loss_stderr": error,
        "extrapolated": levels(FAR * (1.2 - grown(1.6 * start, 3.0))),
        "extrapolated_mean": levels(FAR * (1.2 - grown(1.6 * start, 3.0))),
        "inside": overlaps(grown(start), late), "nearer": levels(0.5 * (1 + grown(start))),
        "memorized": np.stack([late, 0.9 * late, 0.9 * late + 0.1], -1), "frechet": 1 + 5 * (1 - grown(50.0)),
        "rho": np.full((SIZES, WIDTHS, POINTS, 4), 0.2), "sheet": bytes_, "near": bytes_, "partner": bytes_,
        "agreement": np.stack([1 - grown(1.3 * start), 0.01 * wide], -1), "unrelated": 0 * wide,
        "batch_loss": 1 - 0.5 * grown(50.0),
    }  # fmt: skip


BASE = base()
SPEC = {"dataset": "digits", "side": 0, "batch": 128, "samples": 256, "rate": 2e-3, "precision": "float32",
        "seeds": [1, 2, 3], "images": 288}  # fmt: skip


def fake(experiment: str = "lenses_digits", **changed: np.ndarray) -> Record:
    """The record of `base`, with some arrays changed."""
    return fakes.record(BASE | changed, experiment, spec=SPEC)


def shares(late: np.ndarray) -> np.ndarray:
    """Memorized samples, with an interval."""
    return np.stack([late, 0.9 * late, late], -1)


def peaking(low: int, high: int) -> np.ndarray:
    """Relative gaps that pass 1 first at level `low` and are largest at the end at level `high`."""
    found = 0.1 * np.ones((*SHAPE, LEVELS))
    found[..., 4:, low] = 3.0
    found[..., -1, high] = 9.0
    return found


Case = Callable[[], Record]
UNTOLD = np.broadcast_to(np.sin(np.arange(POINTS) * 2.4), SHAPE)  # has nothing to do with memorization
SCATTER = np.exp(1.5 * np.sin(np.arange(SIZES * WIDTHS * SEEDS) * 2.4)).reshape(SIZES, WIDTHS, SEEDS, 1)

def untimely() -> Record:
    """Copies come at times of their own in each size, and only the relative gap knows of them."""
    late = grown(700.0, 4.0, slower=np.array([0.4, 1.0, 2.5])[:, None, None, None])
    return fake(memorized=shares(late), relative=levels(3 * late), batch_loss=1 + UNTOLD)


_FAILS: dict[str, Case] = {
    "ours-lens-same": lambda: fake(supervised=1.5 * BASE["loss_gap"], loss=2 * BASE["loss"]),
    "ours-lens-left": lambda: fake(train=2 * BASE["train"]),
    "ours-lens-order": lambda: fake(memorized=shares(grown(60.0, 3.0))),
    "ours-lens-sigma": lambda: fake(relative=peaking(6, 9)),
    "ours-lens-predicts": lambda: fake(memorized=shares(np.clip(SCATTER * grown(700.0, 4.0), 0, 1))),
    "ours-lens-overlap": lambda: fake(inside=levels(1.0 * (grown(1800.0, 4.0) < 0.02))),
    "ours-lens-halves": lambda: fake(agreement=np.stack([grown(300.0), 0.01 + 0 * UNTOLD], -1)),
    "ours-lens-watch": lambda: fake(relative=levels(np.abs(UNTOLD))),
}

HOLDS: dict[str, Case] = {name + end: fake for name in _FAILS for end in ("", "-cifar10")}
HOLDS |= {f"ours-lens-watch{end}": untimely for end in ("", "-cifar10")}
FAILS: dict[str, Case] = {name + end: make for name, make in _FAILS.items() for end in ("", "-cifar10")}
