"""Records on which every claim about loss against compute holds, and on which it fails."""

from __future__ import annotations

from collections.abc import Callable

import fakes
import numpy as np

from diffnotes.store import Record

WIDTHS, SEEDS, LEVELS, DIMENSION = 6, 3, 20, 64
SIGMA = np.geomspace(0.02, 50, LEVELS)
VARIANCE, ALPHA = 24.0, -0.4
IMAGES_SEEN = np.geomspace(8e3, 256e3, 6).astype(int)
FLOPS = 1.7 * 10 ** np.linspace(4, 7, WIDTHS)
COMPUTE = FLOPS[:, None] * IMAGES_SEEN
NOISE = 0.01 * np.random.default_rng(0).standard_normal((WIDTHS, SEEDS, len(IMAGES_SEEN), 1))
SPEC = {"dataset": "digits", "n": 1000, "batch": 64, "rate": 2e-3}

LAW = np.exp(-0.5 * ((np.log(SIGMA) + 1.2) / 1.2) ** 2)
WEIGHT = LAW / LAW.sum() * (SIGMA**2 + 0.25) / (0.5 * SIGMA) ** 2 / DIMENSION
OPTIMUM = VARIANCE / (1 + (1.4 / SIGMA) ** 4)
GAUSSIAN = VARIANCE / (1 + 0.3 / SIGMA**2)


def with_seeds(values: np.ndarray) -> np.ndarray:
    """Of values [width, snapshot, l]: a little more or less for each seed [width, seed, snapshot, l]."""
    return values[:, None] * (1 + NOISE)


def power(alpha: float = ALPHA) -> np.ndarray:
    """Falls as a power of compute [width, snapshot, 1], from 1 at the least of it."""
    return (COMPUTE / COMPUTE.min())[..., None] ** alpha


# The gap is a power law at every level: from five times J* down, where there is a J*.
LAWFUL = with_seeds((5 * OPTIMUM + 0.05) * power())


def unsubtracted() -> np.ndarray:
    """Gaps such that J itself is a power law, and ends just above J*: what is left is bent."""
    end = power(-0.05).min()
    loss = (OPTIMUM + 1e-3) * power(-0.05) / end * 1.002
    return with_seeds(loss - OPTIMUM)


def base() -> dict[str, np.ndarray]:
    """Arrays on which every claim holds."""
    nothing = np.zeros((SEEDS, LEVELS))
    return {
        "sigma": SIGMA, "weight": WEIGHT, "optimum": OPTIMUM, "optimum_stderr": 1e-3 * OPTIMUM,
        "variance": np.array(VARIANCE), "dimension": np.array(DIMENSION), "gaussian": 3 * GAUSSIAN,
        "from_dol": 0.7 * OPTIMUM, "from_cdol": 0.95 * OPTIMUM,
        "width": np.array([16, 32, 64, 128, 256, 512]), "flops": FLOPS.astype(int),
        "parameters": (FLOPS / 6).astype(int), "step": IMAGES_SEEN // 64, "images_seen": IMAGES_SEEN,
        "gap": LAWFUL, "gap_stderr": 0.01 * LAWFUL, "loss": LAWFUL + OPTIMUM,
        "loss_stderr": 0.01 * LAWFUL, "optimal": nothing + OPTIMUM, "disagreement": 0 * LAWFUL + 0.5,
        "held_out_loss": LAWFUL + 1.1 * OPTIMUM, "held_out_optimal": nothing + 2 * OPTIMUM + 5,
        "train_loss": LAWFUL[..., 0],
    }  # fmt: skip


BASE = base()


def curve() -> Record:
    """A loss curve in place of that of Tiny ImageNet: at sigma 4.38 a linear denoiser leaves 39 %."""
    sigma = np.geomspace(0.1, 100, 41)
    share = 1 / (1 + (4.38 / sigma) ** 2 * (1 / 0.39 - 1))
    arrays = {
        "sigma": sigma, "variance": np.array(3700.0), "gaussian": 3700 * share, "mean": 37 * share,
        "n": np.array(10_000),
    }  # fmt: skip
    return fakes.record(arrays, "loss_curve", spec={"dataset": "imagenet64"})


def fake(**changed: np.ndarray) -> Record:
    """The record of `base`, with some arrays changed."""
    beside = {("loss_curve", "dataset=imagenet64"): curve()}
    return fakes.record(BASE | changed, "scaling_digits", spec=SPEC, beside=beside)


def bent() -> Record:
    """One whose loss is a power law before J* is subtracted, and none after."""
    return fake(gap=unsubtracted())


NAMES = ("xu-scaling-sigma", "xu-scaling-total", "xu-scaling-fit", "ours-scaling-floor", "ours-scaling-wrong")
HOLDS: dict[str, Callable[[], Record]] = dict.fromkeys(NAMES, fake)
FAILS: dict[str, Callable[[], Record]] = dict.fromkeys(NAMES, bent)
