"""Copies through training on 8 x 8 digits with a small residual network: chapter 3 in minutes."""

from __future__ import annotations

from torch import Tensor

from diffnotes.experiments import memorization
from diffnotes.experiments.memorization import MemorizationSpec
from diffnotes.store import Arrays, Experiment, Tolerance, Work


def compute(spec: MemorizationSpec, work: Work) -> Arrays:
    """See `memorization.compute`; distances are taken between pixels."""
    floors = memorization.floors(spec, pixels)  # first: it tells of a held-out split that is too small
    return memorization.compute(spec, work, pixels) | floors


def pixels(x: Tensor) -> Tensor:
    """Digits need no features: their 64 grey values."""
    return x.flatten(1)


# So few images that some samples, but not all, are copies of them at the end.
SMOKE = MemorizationSpec(
    n=4, width=128, batch=16, rate=3e-3, sizes=(4, 12), batches=(8, 4), rates=(1e-3, 4e-3), blocks=2,
    epochs=1600.0, most_steps=400, first=5, snapshots=3, horizons=(4, 40), levels=4, images=32, samples=32,
    sampler_steps=4, seeds=(0, 1),
)  # fmt: skip
SHORT = SMOKE.replace(n=16, sizes=(16,), width=16, widths=(8, 24), epochs=20.0)

EXPERIMENT = Experiment(
    name="digits",
    version=1,
    spec=MemorizationSpec,
    profiles={
        "smoke": SMOKE,
        "smoke_width": SHORT.replace(sweep="width"),
        "smoke_batch": SHORT.replace(sweep="batch"),
        "smoke_rate": SHORT.replace(sweep="rate"),
        "laptop": MemorizationSpec(),
    },
    compute=compute,
    seconds={"smoke": 6, "smoke_width": 2, "smoke_batch": 1, "smoke_rate": 1, "laptop": 900},
    data=memorization.fingerprints,
    shown=tuple({"sweep": sweep} for sweep in memorization.SWEEPS),
    figures=("onset",),
    tolerance=Tolerance(0.02),  # a few steps of training, then 4 of the sampler: rounding grows on the way
)  # fmt: skip
