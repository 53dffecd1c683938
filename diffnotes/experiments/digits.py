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


EXPERIMENT = Experiment(
    name="digits",
    version=1,
    spec=MemorizationSpec,
    profiles={
        "smoke": MemorizationSpec(
            n=16, width=16, batch=16, sizes=(16, 24), widths=(8,), batches=(8,), rates=(3e-4,), blocks=1,
            epochs=20.0, first=5, snapshots=3, horizons=(4,), levels=4, images=32, samples=32,
            sampler_steps=4, seeds=(0, 1),
        ),
        "laptop": MemorizationSpec(),
    },
    compute=compute,
    seconds={"smoke": 3, "laptop": 900},
    data=memorization.fingerprints,
    shown=tuple({"sweep": sweep} for sweep in memorization.SWEEPS),
    figures=("onset",),
    tolerance=Tolerance(0.02),  # a few steps of training, then 4 of the sampler: rounding grows on the way
)  # fmt: skip
