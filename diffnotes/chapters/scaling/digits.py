"""Chapter 4 on 8 x 8 digits: residual networks of six widths."""

from __future__ import annotations

from diffnotes.chapters.scaling import experiment as scaling
from diffnotes.chapters.scaling.experiment import ScalingSpec
from diffnotes.store import Arrays, Experiment, Work


def compute(spec: ScalingSpec, work: Work) -> Arrays:
    """See `scaling.compute`."""
    return scaling.compute(spec, work)


SMOKE = ScalingSpec(
    n=80, held_out=40, widths=(8, 16, 48), steps=120, batch=16, horizon=8, first=15, snapshots=4, levels=12,
    draws=80, sources=160, seeds=(0, 1),
)  # fmt: skip

EXPERIMENT = Experiment(
    name="scaling_digits",
    version=1,
    spec=ScalingSpec,
    profiles={
        "smoke": SMOKE,
        # more noisy images than a network sees at once, fewer steps than the warm-up has
        "smoke_blocks": SMOKE.replace(n=560, held_out=540, draws=600, widths=(8,), steps=40, seeds=(3,)),
        "laptop": ScalingSpec(),
    },
    compute=compute,
    seconds={"smoke": 5, "smoke_blocks": 5, "laptop": 1000},
    data=scaling.fingerprints,
    tolerance=scaling.TOLERANCE,
    tolerances=scaling.TOLERANCES,
)  # fmt: skip
