"""Records on which every claim about gaps of networks holds, and on which it fails."""

from __future__ import annotations

from collections.abc import Callable

import fakes
import numpy as np

from diffnotes.store import Record

KINDS = [
    "VE x0", "VE eps", "VE F", "VP x0", "VP eps", "VP v", "VP F", "FM x0", "FM eps", "FM velocity", "FM F",
]  # fmt: skip
SEEDS, SNAPSHOTS, LEVELS = 3, 2, 28
SIGMA = np.geomspace(0.02, 50.0, LEVELS)
VARIANCE, STAR = 20.0, 0.6
NOISE = np.array([-0.01, 0.0, 0.01])  # of a seed
SPEC = {"dataset": "digits", "n": 1000, "tiny": 100, "batch": 128, "rate": 2e-3, "precision": "float32",
        "tiny_steps": 12_000}  # fmt: skip


def optimum(star: float = STAR) -> np.ndarray:
    """J* that is 1 % of the variance at `star` [seed, l]."""
    curve = VARIANCE / (1 + 99 * (star / SIGMA) ** 4)
    return np.broadcast_to(curve, (SEEDS, LEVELS)).copy()


def bump(height: float, at: float = 0.9) -> np.ndarray:
    """A gap with its peak at one level [l]."""
    return height * np.exp(-np.log(SIGMA / at) ** 2 / 2) + 0.02


def ladder(each: dict[str, np.ndarray]) -> np.ndarray:
    """[kind, seed, snapshot, l] of curves [l]."""
    rows = np.stack([each[kind] for kind in KINDS])[:, None, None]
    return rows * (1 + NOISE[:, None, None]) * np.array([2.0, 1.0])[:, None]


def gaps(eps: float = 3.0, at: float = 0.9, dip: float = 0.0) -> dict[str, np.ndarray]:
    """Gaps of all networks: those of eps are `eps` more at large noise. Better samples go with larger gaps
    near sigma* and with smaller ones to its left, by `dip`."""
    found = {}
    for place, kind in enumerate(KINDS):
        rank = dip * place
        shape = 1 + rank * np.exp(-(np.log(SIGMA / STAR) ** 2) / 0.1)
        shape -= 0.5 * rank * np.exp(-(np.log(SIGMA / (STAR / 4)) ** 2) / 0.3)
        found[kind] = bump(3.0, at) * shape + (eps * (SIGMA > 3) if kind.endswith("eps") else 0.0)
    return found


def tiny(closed: float, risen: float) -> dict[str, np.ndarray]:
    """Arrays of the network on few images, whose gap and held-out loss near sigma* change by these factors
    after the second evaluation."""
    seeds = (1 + NOISE)[:, None, None]
    change = lambda *factors: np.array(factors)[None, :, None]  # noqa: E731
    best = optimum(0.8)
    gap = bump(4.0, 0.8) * change(2.0, 1.0, closed) * seeds
    held = (10 + 0 * SIGMA) * change(1.5, 1.0, risen) * seeds
    star = np.broadcast_to(best[:, None], gap.shape)
    return {
        "tiny_gap": gap, "tiny_stderr": 0.02 * gap, "tiny_loss": gap + star, "tiny_optimal": star,
        "tiny_loss_stderr": 0.1 * gap, "tiny_optimal_stderr": 0.1 * gap, "tiny_difference_stderr": 0.1 * gap,
        "tiny_held_loss": held, "tiny_held_gap": gap, "tiny_held_optimal": held,
        "tiny_held_loss_stderr": 0.1 * held, "tiny_frechet": np.ones((SEEDS, 3)),
        "tiny_copies": np.broadcast_to([0.0, 0.2, 0.9], (SEEDS, 3)), "tiny_optimum": best,
        "tiny_optimum_stderr": 0.01 * best, "tiny_variance": np.full(SEEDS, VARIANCE),
        "tiny_step": np.array([250, 1000, 4000]), "tiny_start": np.broadcast_to(bump(30.0), (SEEDS, LEVELS)),
        "tiny_parameters": np.full(SEEDS, 9000),
    }  # fmt: skip


def base(each: dict[str, np.ndarray], unseen: float = 0.3) -> dict[str, np.ndarray]:
    """Arrays of the networks with these gaps; held-out loss is `unseen` of J* above the training loss."""
    best, gap = optimum(), ladder(each)
    star = np.broadcast_to(best[None, :, None], gap.shape)
    loss = gap + star + 0.01 * gap  # the difference is a bit more than the distance
    place = np.arange(len(KINDS))[:, None, None]
    return {
        "kind": np.array(KINDS), "sigma": SIGMA, "step": np.array([250, 4000]), "gap": gap,
        "stderr": 0.02 * gap, "loss": loss, "loss_stderr": 0.1 * gap, "optimal": star,
        "optimal_stderr": 0.1 * gap, "difference_stderr": 0.1 * gap, "held_loss": loss + unseen * star,
        "held_gap": gap, "held_optimal": 2 * star, "held_loss_stderr": 0.1 * gap,
        "frechet": np.broadcast_to(3.0 - 0.2 * place, (len(KINDS), SEEDS, SNAPSHOTS)) * (1 + NOISE[:, None]),
        "copies": np.zeros((len(KINDS), SEEDS, SNAPSHOTS)),
        "start": np.broadcast_to(bump(30.0) + 5, (len(KINDS), SEEDS, LEVELS)),
        "parameters": np.full((len(KINDS), SEEDS), 9000), "floor": np.full(SEEDS, 0.4),
        "dimension": np.full(SEEDS, 64), "optimum": best, "optimum_stderr": 0.01 * best,
        "variance": np.full(SEEDS, VARIANCE),
    }  # fmt: skip


BASE = base(gaps(dip=0.05)) | tiny(0.3, 1.8)
POPULATION = {"population": optimum()[0] + 2.0}


def fake(experiment: str = "diagnosis_digits", **changed: np.ndarray) -> Record:
    """The record of `base`, with some arrays changed."""
    named = {"dataset": "gaussian"} if "population" in changed else {}
    return fakes.record(BASE | changed, experiment, spec=SPEC | named)


def alone(
    each: dict[str, np.ndarray] | None = None, unseen: float = 0.3, side: int = 64, **changed: np.ndarray
) -> Record:
    """A record of the network that others are held against, and of no other."""
    chosen = [KINDS.index("VE F")]
    whole = base(each or gaps(), unseen) | changed
    arrays = {name: value[chosen] if len(value) == len(KINDS) else value for name, value in whole.items()}
    arrays["dimension"] = np.full(SEEDS, 3 * side**2)
    settings = {"dataset": "imagenet64-all", "n": 20_000, "kinds": "one", "tiny_steps": 0}
    return fakes.record(arrays, f"diagnosis_imagenet{side}", spec=SPEC | settings)


def with_gaps(**settings: float) -> Record:
    """The record of networks with these gaps."""
    return fake(**base(gaps(**settings)))


def better_noise() -> Record:
    """The network that predicts the noise makes the better samples."""
    return fake(frechet=BASE["frechet"][::-1] * 0 + np.array([3.0, 1.0, 2.0, *[3.0] * 8])[:, None, None])


def apart() -> Record:
    """The two readings of the gap are five standard errors apart."""
    return fake(
        loss=BASE["gap"] + BASE["optimal"] + 5 * np.hypot(BASE["stderr"], BASE["difference_stderr"]),
        tiny_loss=BASE["tiny_gap"]
        + BASE["tiny_optimal"]
        + 5 * np.hypot(BASE["tiny_stderr"], BASE["tiny_difference_stderr"]),
    )


Case = Callable[[], Record]
_FAILS: dict[str, Case] = {
    "xu-gap-peak": lambda: with_gaps(at=0.02, eps=0.0),
    "xu-gap-eps": lambda: with_gaps(eps=0.0),
    "xu-gap-eps-quality": better_noise,
    "ours-gap-readings": apart,
    "ours-gap-size": lambda: fake(**base(gaps(), unseen=30.0)),
    "ours-gap-failure": lambda: with_gaps(eps=0.02),
    "ours-gap-memorizer": lambda: fake(**tiny(1.5, 0.7)),
}
_ALONE = ("xu-gap-peak", "ours-gap-readings", "ours-gap-size")  # what one network can say
_SIDES = ("-imagenet32", "-imagenet64")
_HOLDS: dict[str, Case] = {
    **dict.fromkeys(_FAILS, fake),
    "xu-gap-peak": lambda: with_gaps(eps=0.5),
    "ours-gap-size": lambda: with_gaps(eps=0.5),
    "ours-gap-failure": lambda: fake(**base(gaps(), unseen=0.01)),
}
HOLDS: dict[str, Case] = {
    **{name + end: make for name, make in _HOLDS.items() for end in ("", "-cifar10")},
    **{name + end: lambda: alone() for name in _ALONE for end in _SIDES},
    "xu-gap-quality": fake,
    "ours-gap-population": lambda: fake("diagnosis_gaussian", **POPULATION),
}
FAILS: dict[str, Case] = {
    **{name + end: make for name, make in _FAILS.items() for end in ("", "-cifar10")},
    **{
        name + end: make
        for end in _SIDES
        for name, make in {
            "xu-gap-peak": lambda: alone(gaps(at=0.02)),
            "ours-gap-readings": lambda: alone(loss=5 * BASE["loss"]),
            "ours-gap-size": lambda: alone(unseen=30.0),
        }.items()
    },
    "xu-gap-quality": lambda: fake(**base(gaps(dip=-0.05))),
    "ours-gap-population": lambda: fake("diagnosis_gaussian", population=optimum()[0] + 0.1),
}
