"""Records on which every claim about the training schedule holds, and on which it fails."""

from __future__ import annotations

from collections.abc import Callable

import fakes
import numpy as np

from diffnotes.store import Record

SIGMA = np.geomspace(0.02, 20, 24)
CENTRE = np.geomspace(0.005, 80, 48)
CRITICAL, VARIANCE, SEEDS, LOOKS = 0.5, 0.25, 5, 4
NOISE = np.linspace(-1e-3, 1e-3, SEEDS)  # of a seed
RUNS = (
    "EDM", "schedule", "soft edge", "fixed law", "half exponent", "no second term", "higher clip"
)  # fmt: skip
SPEC = {"dataset": "digits", "n": 1000, "batch": 128, "steps": 2000, "precision": "float32", "seeds": [0] * 5}
LEFT = SIGMA < CRITICAL


def shrinkage(sigma: np.ndarray) -> np.ndarray:
    return VARIANCE * sigma**2 / (sigma**2 + VARIANCE)


OPTIMAL = shrinkage(CENTRE) * CENTRE**4 / (CENTRE**4 + 1)


def curves(**factor: float) -> np.ndarray:
    """Gaps [run, seed, l], 0.3 of shrinkage's under EDM's law; those of a run are that times its factors
    left of sigma* (`left_<run>`) and right of it (`right_<run>`)."""
    start = shrinkage(SIGMA) - np.interp(np.log(SIGMA), np.log(CENTRE), OPTIMAL)
    found = []
    for run in RUNS:
        name = run.replace(" ", "_")
        both = [factor.get(f"{side}_{name}", 1.0) for side in ("left", "right")]
        found.append((0.3 * start * np.where(LEFT, *both))[None] * (1 + NOISE[:, None]))
    return np.array(found)


def distances(**factor: float) -> np.ndarray:
    """Fréchet distances [run, seed]: 1 times the factor of the run."""
    each = np.array([factor.get(run.replace(" ", "_"), 1.0) for run in RUNS])
    shared = 1 + 0.1 * np.arange(SEEDS)  # of a seed, in all its runs
    return each[:, None] * shared * (1 + np.roll(NOISE, 1) * np.arange(len(RUNS))[:, None])


GAP = curves(left_schedule=0.8, left_soft_edge=0.8, left_no_second_term=1.0, right_schedule=1.1,
             right_soft_edge=1.1)  # fmt: skip
DISTANCE = distances(EDM=1.0, schedule=0.8, higher_clip=1.2)


def base() -> dict[str, np.ndarray]:
    """Arrays for which every claim on them holds."""
    law = np.exp(-0.5 * (np.log(CENTRE) + 1.2) ** 2)
    looks = np.stack([np.roll(law, shift) for shift in range(LOOKS)]) / law.sum()
    weight = np.where(CENTRE < CRITICAL, 100.0, 4.0)
    return {
        "run": np.array(RUNS), "sigma": SIGMA, "centre": CENTRE, "critical": np.array(CRITICAL),
        "variance": np.array(VARIANCE), "optimal": OPTIMAL, "step": np.array([125, 500, 1000, 2000]),
        "constants": np.array([3.0, -2.0, 0.01]), "floor": np.array(0.4), "gap": GAP,
        "gap_stderr": 0.01 * GAP, "train": GAP + 0.01, "held_out": 2 * GAP * DISTANCE[:, :, None],
        "frechet": DISTANCE, "frechet_train": 0.9 * DISTANCE, "copies": np.full((len(RUNS), SEEDS), 0.002),
        "law": np.broadcast_to(looks, (len(RUNS), SEEDS, LOOKS, 48)).copy(),
        "running": np.ones((len(RUNS), SEEDS, LOOKS, 48)), "loss": np.ones((len(RUNS), SEEDS, LOOKS)),
        "weight": np.broadcast_to(weight, (len(RUNS), SEEDS, 48)).copy(),
        "parameters": np.full((len(RUNS), SEEDS), 80_000),
    }  # fmt: skip


BASE = base()


def fake(experiment: str = "schedule_digits", **changed: np.ndarray) -> Record:
    """The record of `base`, with some arrays changed."""
    return fakes.record(BASE | changed, experiment, spec=SPEC)


def choice() -> Record:
    """A record of the choice, whose second combination is best."""
    tried = np.array([[0.3, -3, 0.01], [3.0, -2, 0.01], [30.0, -1, 0.01]])
    arrays = {
        "name": np.array(["bump", "shift", "clip"]), "tried": tried, "chosen": tried[1],
        "frechet_train": np.array([0.9, 0.7, 0.8]), "edm_frechet_train": np.array(0.85), "gap": GAP[:3, 0],
        "edm_gap": GAP[0, 0], "sigma": SIGMA, "critical": np.array(CRITICAL),
    }  # fmt: skip
    return fakes.record(arrays, "schedule_choice", spec=SPEC)


Case = Callable[[], Record]

_BOTH: dict[str, Case] = {
    "xu-schedule-gap": lambda: fake(gap=curves(left_schedule=1.2)),
    "xu-schedule-frechet": lambda: fake(frechet=distances(schedule=1.1)),
    "ours-schedule-held-out": lambda: fake(held_out=GAP[::-1]),
    "ours-schedule-jump": lambda: fake(gap=curves(left_soft_edge=2.0, right_soft_edge=2.0)),
    "ours-schedule-adaptive": lambda: fake(frechet=distances(fixed_law=0.5)),
}
_DIGITS: dict[str, Case] = {
    "ours-schedule-exponent": lambda: fake(frechet=distances(half_exponent=0.5)),
    "ours-schedule-second": lambda: fake(gap=curves(left_schedule=1.1)),
    "ours-schedule-clip": lambda: fake(frechet=distances()),
}
FAILS: dict[str, Case] = _BOTH | _DIGITS | {f"{name}-cifar10": make for name, make in _BOTH.items()}
HOLDS: dict[str, Case] = dict.fromkeys(FAILS, fake)
