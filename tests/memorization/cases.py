"""Records on which the claims of Marion & Wu, and our own beside them, hold and fail."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
from fakes import record

from diffnotes.chapters.memorization.onsets import DEFINITIONS
from diffnotes.store import Record

STEP = np.geomspace(50, 100_000, 34)
SIZE = np.array([32, 64, 128])
SEEDS = np.array([0.97, 1.0, 1.03])  # what sets the seeds apart
AVERAGES = 2
SHAPE = (len(SIZE), len(SEEDS), len(STEP), AVERAGES)
BASE = {
    "n": 64, "width": 256, "batch": 32, "rate": 1e-3, "seeds": (0, 1, 2), "dataset": "digits", "side": 0,
    "samples": 256,
}  # fmt: skip


def curves(shape: Callable[[np.ndarray], np.ndarray], power: float = 1.0) -> np.ndarray:
    """[value, seed, evaluation, average]: a curve over step / N^power, in which the power varies by seed."""
    clock = STEP / SIZE[:, None, None] ** (power * SEEDS[:, None])
    return np.broadcast_to(shape(clock)[..., None], SHAPE).copy()


def bent(*values: float) -> Callable[[np.ndarray], np.ndarray]:
    """A curve through values at 1, 4, 16, ... steps per image."""
    return lambda clock: np.interp(np.log(clock), np.log(4.0) * np.arange(len(values)), values)


def shares(shape: Callable[[np.ndarray], np.ndarray], count: int) -> np.ndarray:
    """The same with a last axis, of a share and the ends of its interval."""
    return np.repeat(curves(shape)[..., None], count, -1)


def by_t(*shapes: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """[value, seed, evaluation, average, t]: curves at four times, the first of which are `shapes`."""
    return np.stack([curves(shape) for shape in (*shapes, *3 * [train_loss])][:4], -1)


def factors(values: Any) -> np.ndarray:
    """[value, seed, average]: one number per value of the factor."""
    return np.array(values)[:, None, None] * np.ones((1, 3, AVERAGES)) * SEEDS[:, None]


def times(values: Any, tenth: float = 1.0) -> np.ndarray:
    """[value, seed, average, definition]; a tenth of memorized samples comes `tenth` times as late."""
    found = np.repeat(factors(values)[..., None], len(DEFINITIONS), -1)
    found[..., DEFINITIONS.index("copies 0.1")] *= tenth
    return found


def train_loss(clock: np.ndarray) -> np.ndarray:
    return 1 / (1 + clock)


def test_loss(clock: np.ndarray) -> np.ndarray:
    return train_loss(clock) + 0.02 * clock


test_loss.__test__ = False  # type: ignore[attr-defined]
DESCENTS = bent(3, 1, 2.0, 1.1, 0.9)


def memorizing(most: float) -> Callable[[np.ndarray], np.ndarray]:
    return lambda clock: most * clock**2 / (clock**2 + 50**2)


ONSET = 50.0 * SIZE / 64 * (SIZE / 64) ** 0.5 * 64


def arrays() -> dict[str, Any]:
    """On these every claim about the sweep over n holds."""
    return {
        "value": SIZE, "step": np.tile(STEP.round().astype(int), (3, 3, 1)), "average": [0, 1000],
        "definition": np.array(DEFINITIONS), "parameters": np.full((3, 3), 1000),
        "train_loss": curves(train_loss), "test_loss": curves(test_loss),
        "copies": shares(memorizing(0.99), 3), "copies_baseline": shares(memorizing(0.01), 1),
        "rate": factors([3.0, 2.0, 1.0]), "best": factors([3.0, 2.0, 1.0]),
        "onset": times(ONSET, 1.5), "wasserstein_floor": np.array(0.1),
        "wasserstein": curves(DESCENTS), "wasserstein_train": curves(DESCENTS),
        "wasserstein_few": 1.03 * curves(DESCENTS), "frechet": curves(DESCENTS),
        "train_by_t": by_t(train_loss), "test_by_t": by_t(test_loss),
    }  # fmt: skip


Beside = Mapping[tuple[str, str], Record]


def fake(sweep: str = "n", value: Any = SIZE, beside: Beside | None = None, **changed: Any) -> Record:
    """A record on which its claims hold, but for what is changed; beside it is the sweep over n."""
    if sweep != "n":
        beside = {("digits", "sweep=n"): fake()}
    found = arrays() | {"value": np.asarray(value)} | changed
    return record(found, experiment="digits", spec={**BASE, "sweep": sweep}, beside=beside)


def one_seed() -> Record:
    """The sweep over n with the first seed alone."""
    found = {key: np.asarray(value) for key, value in arrays().items()}
    first = {key: a[:, :1] if a.shape[:2] == SHAPE[:2] else a for key, a in found.items()}
    return record(first, experiment="digits", spec={**BASE, "sweep": "n", "seeds": (0,)})


def all_sweeps(others: Mapping[str, Mapping[str, Any]], **changed: Any) -> Record:
    """The sweep over n beside the three others, in which `others` says what is changed."""
    values = {"width": [64, 128, 512], "batch": [8, 16, 64], "rate": [1e-4, 3e-4, 2e-3]}
    beside = {
        ("digits", f"sweep={name}"): fake(name, found, **others.get(name, {}))
        for name, found in values.items()
    }
    return fake(beside=beside, **changed)


def precisions(**changed: Any) -> Record:
    """The sweep over n in bfloat16, beside it that in float32, which differ by what is changed."""
    return fake(beside={("digits", "sweep=n"): fake()}, **changed)


def halves(*share: float) -> Record:
    """Distances of two samples over those of unrelated ones, at three sizes of a half."""
    unrelated = np.full((3, 2), 5.0)
    apart = unrelated * np.array(share)[:, None] * [0.99, 1.01]
    return record({"n": np.array([8, 32, 599]), "apart": apart, "unrelated": unrelated})


# a distance that gets good at a step in proportion to one over the width; that of the default is 256
WIDE = np.stack([DESCENTS(STEP * width / (64 * 256)) for width in (64, 128, 512)])
WIDE = np.broadcast_to(WIDE[:, None, :, None], SHAPE).copy()
STEADY = curves(bent(*[3.0] * 5, 1.5, *[1.0] * 4), 0.0)  # good at a step without N
LATE = curves(bent(3, 3, 1.5, 1, 1))
ONE = factors([1.0, 1.0, 1.0])
UP, DOWN = factors([1.0, 2.0, 3.0]), factors([3.0, 2.0, 1.0])
NOT: dict[str, dict[str, Any]] = {  # claim on the sweep over n: a change that makes it fail
    "marion-part": {"test_loss": curves(lambda clock: 1.05 * train_loss(clock))},
    "marion-copies": {"copies": shares(memorizing(0.3), 3), "onset": times(ONSET, 0.8)},
    "marion-linear": {"test_loss": curves(test_loss, 0.0), "train_loss": curves(train_loss, 0.0)},
    "ours-above": {"onset": times(50.0 * SIZE)},
    "marion-slope": {"rate": UP},
    "marion-size-fidelity": {"best": UP},
    "marion-same": {"wasserstein_few": 0.8 * curves(DESCENTS)},
    "marion-double": {"wasserstein": curves(bent(3, 2, 1.5, 1.6, 0.9))},
    "marion-double-frechet": {"frechet": curves(bent(3, 2, 1.5, 1.6, 0.9))},
    "marion-second-fall": {"copies": shares(bent(0, 0, 0.5, 0.3, 0.1), 3)},
}
Sweep = tuple[str, str, list[float], dict[str, Any], dict[str, Any]]
SWEEPS: list[Sweep] = [
    # claim, factor, values (the default comes from the sweep over n: onset 3,200, of a tenth 4,800, rate 2,
    # best 2), where it holds, where it fails
    ("marion-width-onset", "width", [64, 128, 512], {"onset": times([9e3, 5e3, 2e3])},
     {"onset": times([1e3, 2e3, 5e3])}),
    ("marion-width-split", "width", [64, 128, 512], {"onset": times([9e3, 5e3, 3e3])},
     {"onset": times([9e3, 5e3, 1e3])}),
    ("bonnaire-width", "width", [64, 128, 512],
     {"onset": times([12_800.0, 6_400.0, 1_600.0]), "wasserstein": WIDE, "best": factors([2.0, 2.0, 2.0])},
     {"onset": times([3_200.0] * 3), "best": factors([2.0, 2.0, 2.0])}),
    ("marion-width-fidelity", "width", [64, 128, 512], {"best": factors([4.0, 3.0, 1.0])},
     {"best": factors([0.5, 1.0, 3.0])}),
    ("marion-batch-onset", "batch", [8, 16, 64], {"onset": times([12_800.0, 6_400.0, 9_000.0])},
     {"onset": times([3_200.0, 3_200.0, 3_200.0])}),
    ("marion-batch-copies", "batch", [8, 16, 64], {"onset": times([12_800.0, 6_400.0, 9_000.0])},
     {"onset": times([3_200.0, 3_200.0, 3_200.0])}),
    ("marion-batch-slope", "batch", [8, 16, 64], {"rate": factors([2.0, 2.1, 2.2])},
     {"rate": factors([2.0, 2.1, 2.6])}),
    ("marion-batch-fidelity", "batch", [8, 16, 64], {"best": factors([1.0, 1.5, 4.0])},
     {"best": factors([3.0, 2.5, 1.0])}),
    ("marion-rate-onset", "rate", [1e-4, 3e-4, 2e-3], {"onset": times([9e3, 5e3, 4e3])},
     {"onset": times([90e3, 20e3, 1e3])}),
    ("marion-rate-raw", "rate", [1e-4, 3e-4, 2e-3], {"onset": times([9e3, 5e3, 9e3])},
     {"onset": times([9e3, 5e3, 1e3])}),
    ("marion-rate-slope", "rate", [1e-4, 3e-4, 2e-3], {"rate": factors([2.0, 2.1, 2.2])},
     {"rate": factors([2.0, 2.1, 2.6])}),
    ("marion-rate-fidelity", "rate", [1e-4, 3e-4, 2e-3], {"best": factors([4.0, 3.0, 1.0])},
     {"best": factors([1.0, 1.5, 4.0])}),
]  # fmt: skip


TURNING = shares(bent(0, 0, 0.5, 0.2, 0.1), 3)
WIDER_IS_BETTER = {"width": {"onset": times([9e3, 5e3, 2e3]), "best": factors([4.0, 3.0, 1.0])}}
WIDER_IS_WORSE = {"width": {"onset": times([1e3, 2e3, 5e3]), "best": factors([0.5, 1.0, 3.0])}}
AT_SOME_T = {"test_by_t": by_t(test_loss, DESCENTS)}


def _both(made: Mapping[str, Callable[[], Record]]) -> dict[str, Callable[[], Record]]:
    return {f"{name}-{data}": make for name, make in made.items() for data in ("digits", "cifar")}


HOLDS: dict[str, Callable[[], Record]] = {
    **_both(dict.fromkeys(NOT, fake)),
    **_both({name: partial(fake, factor, values, **good) for name, factor, values, good, _ in SWEEPS}),
    **_both(
        {
            "marion-roles": partial(all_sweeps, WIDER_IS_BETTER),
            "marion-gradual": partial(all_sweeps, {}),
            "marion-least-loss": partial(fake, test_loss=curves(test_loss) * DOWN[:, :, None]),
            "bonnaire-early": partial(fake, wasserstein=STEADY, best=ONE),
        }
    ),
    "marion-levels-digits": fake,
    "ours-averaging": fake,
    "ours-precision": precisions,
    "ours-halves": partial(halves, 1.0, 0.7, 0.2),
}
FAILS: dict[str, Callable[[], Record]] = {
    **_both({name: partial(fake, **changed) for name, changed in NOT.items()}),
    **_both({name: partial(fake, factor, values, **bad) for name, factor, values, _, bad in SWEEPS}),
    **_both(
        {
            "marion-roles": partial(all_sweeps, WIDER_IS_WORSE, onset=times(ONSET[::-1]), best=UP),
            "marion-gradual": partial(all_sweeps, {}, copies=TURNING),
            "marion-least-loss": partial(fake, test_loss=curves(test_loss) * UP[:, :, None]),
            "bonnaire-early": partial(fake, wasserstein=LATE, best=ONE),
        }
    ),
    "marion-levels-digits": partial(fake, **AT_SOME_T),
    "ours-averaging": partial(fake, best=UP),
    "ours-precision": partial(
        precisions, onset=times(2 * ONSET, 1.5), best=1.2 * DOWN, test_loss=1.03 * curves(test_loss)
    ),
    "ours-halves": partial(halves, 0.5, 0.6, 0.7),
}
