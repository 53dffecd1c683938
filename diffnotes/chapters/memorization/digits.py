"""Memorized samples through training on 8 x 8 digits with a small residual network: chapter 3 in minutes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from diffnotes.chapters.memorization import experiment as memorization
from diffnotes.chapters.memorization.experiment import MemorizationSpec
from diffnotes.store import PINNED, Arrays, Experiment, Work


def compute(spec: MemorizationSpec, work: Work) -> Arrays:
    """See `memorization.compute`; distances are taken between pixels."""
    floors = memorization.floors(spec, pixels)  # first: it tells of a held-out split that is too small
    return memorization.compute(spec, work, pixels) | floors


def pixels(x: Tensor) -> Tensor:
    """Digits need no features: their 64 grey values."""
    return x.flatten(1)


SMOKE = MemorizationSpec(
    n=16, width=16, batch=16, sizes=(16, 24), widths=(8,), batches=(8,), rates=(3e-4,), blocks=1, epochs=20.0,
    first=5, snapshots=3, horizons=(4,), levels=4, images=32, samples=32, sampler_steps=4, seeds=(0, 1),
)  # fmt: skip
SWEPT = SMOKE.replace(
    blocks=2, widths=(8, 24), batches=(8, 4), rates=(3e-4, 2e-3), snapshots=2, horizons=(4, 9), samples=16
)

TEN = tuple(range(10))
SHOWN: dict[str, dict[str, Any]] = {  # of each sweep, the settings that differ from those of the profile
    "n": {"seeds": TEN},
    "width": {"seeds": TEN},
    # At an N of which some batches are as small a part as in the paper; B = 32 is in the sweep over n.
    "batch": {
        "n": 256, "batches": (8, 16, 64, 128), "epochs": 4500.0, "most_steps": 144_000, "seeds": (0, 1, 2),
    },
    "rate": {"seeds": TEN},
}

EXPERIMENT = Experiment(
    name="digits",
    version=1,
    spec=MemorizationSpec,
    profiles={
        "smoke": SMOKE,
        # so few images that some samples, but not all, are memorized at the end
        "smoke_copies": SMOKE.replace(
            n=4, sizes=(4,), width=128, rate=3e-3, epochs=1600.0, most_steps=400, seeds=(0,)
        ),
        "smoke_width": SWEPT.replace(sweep="width"),
        "smoke_batch": SWEPT.replace(sweep="batch"),
        "smoke_rate": SWEPT.replace(sweep="rate"),
        "laptop": MemorizationSpec(),
    },
    compute=compute,
    seconds={
        "smoke": 3, "smoke_copies": 2, "smoke_width": 2, "smoke_batch": 2, "smoke_rate": 2, "laptop": 900,
    },
    data=memorization.fingerprints,
    shown=tuple({"sweep": sweep, **settings} for sweep, settings in SHOWN.items()),
    tolerance=memorization.TOLERANCE,
    tolerances=memorization.TOLERANCES,
)  # fmt: skip


def sweeps(profile: str) -> tuple[Mapping[str, Any], ...]:
    """The settings that the book shows; a profile that is asked for by name has its own."""
    return EXPERIMENT.shown if profile == PINNED else tuple({"sweep": sweep} for sweep in SHOWN)
