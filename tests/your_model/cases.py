"""Reports on networks that copy and on networks that do not, and reports that get it wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import fakes
import numpy as np

from diffnotes.store import Record

SIGMA = np.geomspace(0.02, 30, 12)
VARIANCE = 0.3
LINEAR = VARIANCE * SIGMA**2 / (SIGMA**2 + 3 * VARIANCE)
OPTIMUM = LINEAR * SIGMA**4 / (0.2 + SIGMA**4)
SHEET = np.zeros((8, 3, 16, 16), np.uint8)
COUNTS, SEEDS = (32, 20_000), (0, 1, 2)


def arrays(memorizes: bool, **changed: Any) -> dict[str, np.ndarray]:
    """A report on a network that copies its training images, or on one that does not."""
    loss = np.maximum(1.02 * OPTIMUM, (0.3 if memorizes else 0.9) * LINEAR)
    held = 3 * loss if memorizes else 1.01 * loss
    found = {
        "sigma": SIGMA, "variance": np.array(VARIANCE), "optimum": OPTIMUM, "linear": LINEAR,
        "train_loss": loss, "train_loss_stderr": 1e-3 * loss, "train_gap": loss - OPTIMUM,
        "train_gap_stderr": 1e-3 * loss, "held_loss": held, "held_loss_stderr": 1e-3 * held,
        "train_count": np.array(COUNTS[0] if memorizes else COUNTS[1]), "held_count": np.array(10_000),
        "train_apart": np.full(60, 0.3), "held_apart": np.full(60, 0.3), "probe_sigma": SIGMA[2:9:3],
        "probe_factor": np.array([0.5, 1.0, 2.0]), "probe_fit": np.array([[1.01, 0.0, 1.0]] * 3),
        "same_within": np.array(0.04),
        "probe_loss": np.array([[1.4, 1.0, 1.3]] * 3) * 0.1,
        "rho": np.linspace(0.05, 0.6, 256) if memorizes else np.linspace(0.6, 1, 256),
        "copies": np.array([0.6, 0.55, 0.65]) if memorizes else np.array([0.0, 0.0, 0.014]),
        "control": np.array([0.0, 0.0, 0.01]), "batch_loss": np.array([0.2 if memorizes else 0.3]),
        "closest_samples": SHEET, "closest_images": SHEET, "sheet": SHEET,
    }  # fmt: skip
    return found | {name: np.asarray(value) for name, value in changed.items()}


def spec(n: int, **changed: Any) -> dict[str, Any]:
    return {"model": "", "train": "cifar10", "held_out": "cifar10", "side": 16, "n": n, "seed": 0, **changed}


def fake(n: int = COUNTS[0], few: dict[str, Any] | None = None, many: dict[str, Any] | None = None) -> Record:
    """A report of n images, beside those of all seeds; `few` and `many` change arrays of the last seed."""
    beside = {}
    for count, more in zip(COUNTS, (few, many), strict=True):
        for seed in SEEDS:
            changed = (more or {}) if seed == SEEDS[-1] else {}
            found = fakes.record(arrays(count == COUNTS[0], **changed), "own_cifar", spec=spec(count))
            beside["own_cifar", f"n={count}, seed={seed}"] = found
    return fakes.record(arrays(n == COUNTS[0]), "own_cifar", spec=spec(n), beside=beside)


Case = Callable[[], Record]
HOLDS: dict[str, Case] = dict.fromkeys(
    ("ours-report-copies", "ours-report-clean", "ours-report-loss"), fake
)
FAILS: dict[str, Case] = {
    # held-out images in the training set come first
    "ours-report-copies": lambda: fake(few={"held_apart": np.zeros(60)}),
    "ours-report-clean": lambda: fake(many={"held_loss": 3 * arrays(False)["held_loss"]}),
    "ours-report-loss": lambda: fake(few={"batch_loss": np.array([0.4])}),
}
