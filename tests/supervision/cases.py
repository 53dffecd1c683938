"""Records on which every claim about the supervision region holds, and on which it fails."""

from __future__ import annotations

from collections.abc import Callable
from statistics import NormalDist

import fakes
import numpy as np

from diffnotes.store import Record

T = np.array([0.02, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.98])
IMAGES, DIM = 100, 3072
NORMAL = np.array([NormalDist().inv_cdf((k + 0.5) / IMAGES) for k in range(IMAGES)])
FAR = 12 + 3 * NORMAL[::-1]  # distances of held-out images to the training set
SHELL = 1 + 0.01 * NORMAL  # ratios on a shell
FLIP = (-1.0) ** np.arange(IMAGES)
FLAT = np.ones((len(T), 1))


def expected(distance: np.ndarray) -> np.ndarray:
    """The analytic ratio [time, image]."""
    return np.sqrt(1 + ((1 - T) / T)[:, None] ** 2 * distance**2 / DIM)


def region(**changed: np.ndarray) -> Record:
    """Images 8 to 16 apart, on whose shells the noised ones lie, and held-out ones where they should."""
    nearest = np.linspace(8, 16, 401)
    known = np.where(T < 0.65, 0.9999, 0.01)[:, None]
    arrays = {
        "n": np.array(50_000), "dim": np.array(DIM), "t": T, "share": np.linspace(0, 1, 401),
        "nearest": nearest, "closest": nearest[:50], "near_duplicates": np.array(0),
        "pair_distance": np.arange(8.0), "pairs": np.zeros((8, 2, 3, 4, 4), np.uint8),
        "ratio_train": FLAT * SHELL, "ratio_held_out": expected(FAR) * (1 + 0.001 * FLIP),
        "ratio_nearest": expected(FAR), "distance_held_out": FAR,
        "own": known * np.ones(IMAGES), "effective": 1 / known * np.ones(IMAGES),
    }  # fmt: skip
    return fakes.record(arrays | changed, "supervision_region", spec={"dataset": "cifar10"})


def shells(**changed: np.ndarray) -> Record:
    """Half widths in 1, 2, 20 and 3,072 dimensions."""
    dim, delta = np.array([1, 2, 20, DIM]), np.array([0.5, 0.01])
    loose = np.sqrt(dim[:, None] * np.log(1 / delta))
    tight = np.sqrt(2 * np.log(2 / delta)) * np.ones((4, 1))
    arrays = {
        "dim": dim, "delta": delta, "kind": np.array(["loose", "tight", "exact"]),
        "width": np.stack([loose, tight, tight / 2]),
        "outside": np.stack([0.1 * delta, 0.5 * delta, delta])[:, None] * np.ones((1, 4, 1)),
    }  # fmt: skip
    return fakes.record(arrays | changed, "shell_width")


TIMES = np.arange(1, 101) / 100


def guidance(start: float = 0.6) -> Record:
    """Nothing up to `start`, then a gap of scores that is largest soon after it."""
    beyond = (TIMES[:, None] > start) * np.exp(-(((TIMES - start) / 0.1)[:, None] ** 2))
    scale = (TIMES / np.maximum(1 - TIMES, 0.01))[:, None] ** 2
    arrays = {
        "t": TIMES, "gap": scale * beyond * (1 + 0.1 * NORMAL) ** 2, "n": np.array(50_000),
        "dim": np.array(DIM), "classes": np.array(10),
    }  # fmt: skip
    return fakes.record(arrays, "guidance_gap", spec={"dataset": "cifar10"})


Case = Callable[[], Record]
NEAR = np.linspace(0.5, 1.0, 401)  # distances of images that shells of any size swallow


def _wide() -> Record:
    """Half widths that are as they need to be."""
    plain = shells()
    return fakes.changed(plain, width=plain["width"][[2, 2, 2]])


def _missing() -> Record:
    """Noise outside more often than it should be."""
    plain = shells()
    return fakes.changed(plain, outside=plain["outside"] * 20)


HOLDS: dict[str, Case] = {
    "song-shell-holds": shells,
    "ours-shell-loose": shells,
    **dict.fromkeys([f"song-overlap-{name}" for name in ("digits", "cifar10", "imagenet64")], region),
    **dict.fromkeys(["song-ratio-cifar10", "song-ratio-imagenet64"], region),
    "ours-held-out-curve": region,
    "ours-held-out-leaves": region,
    "song-one-hot": region,
    **dict.fromkeys([f"ours-criterion-{name}" for name in ("digits", "cifar10", "imagenet64")], region),
    **dict.fromkeys(["song-guidance-zero-digits", "song-guidance-zero-cifar10"], guidance),
}


def _seen() -> Record:
    """Held-out images that are training images."""
    return region(ratio_held_out=FLAT * SHELL)


def _lost(early: float = 0.0) -> Record:
    """Noised training images that could be any, from `early` on."""
    return region(own=np.where(early > T, 0.9999, 0.4)[:, None] * np.ones(IMAGES))


FAILS: dict[str, Case] = {
    "song-shell-holds": _missing,
    "ours-shell-loose": _wide,
    **dict.fromkeys(
        [f"song-overlap-{name}" for name in ("digits", "cifar10", "imagenet64")],
        lambda: region(nearest=NEAR),
    ),
    **dict.fromkeys(["song-ratio-cifar10", "song-ratio-imagenet64"], _seen),
    "ours-held-out-curve": _seen,
    "ours-held-out-leaves": _seen,
    "song-one-hot": _lost,
    **dict.fromkeys(
        [f"ours-criterion-{name}" for name in ("digits", "cifar10", "imagenet64")], lambda: _lost(0.25)
    ),
    **dict.fromkeys(["song-guidance-zero-digits", "song-guidance-zero-cifar10"], lambda: guidance(0.01)),
}
