"""Chapter 4 on CIFAR-10 averaged to 16 x 16: the schedule against EDM's, with a U-Net.

It trains in bfloat16, which a CPU with instructions for it does faster (see `train.Plan`); what is measured
is measured in float32.
"""

from __future__ import annotations

from diffnotes.chapters.training_schedule import comparison, runs
from diffnotes.chapters.training_schedule.comparison import ScheduleSpec
from diffnotes.store import Arrays, Experiment, Work


def compute(spec: ScheduleSpec, work: Work) -> Arrays:
    """See `comparison.compute`."""
    return comparison.compute(spec, work)


LAPTOP = ScheduleSpec(
    dataset="cifar10", side=16, n=1000, held_out=400, network="unet", width=16, depth=1, steps=750, batch=32,
    horizon=75, first=75, bins=24, memory=64, levels=12, draws=400, sampler_steps=12, arms=(0, 1, 2, 3),
    precision="bfloat16",
)  # fmt: skip
SMOKE = LAPTOP.replace(  # digits, so that there is something to see without a download
    dataset="digits", side=0, n=40, held_out=30, width=8, steps=12, batch=8, horizon=4, first=4, looks=2,
    bins=8, memory=8, sources=80, levels=4, draws=30, sampler_steps=4, arms=(0, 1),
    constants="given", seeds=(0, 1), precision="float32",
)  # fmt: skip
PIXELS = SMOKE.replace(dataset="specimens", side=16, n=24, held_out=24, draws=24, seeds=(0,), steps=8)

EXPERIMENT = Experiment(
    name="schedule_cifar",
    version=1,
    spec=ScheduleSpec,
    profiles={
        "smoke": SMOKE,
        "smoke_pixels": PIXELS,
        "smoke_half": PIXELS.replace(precision="bfloat16"),
        "laptop": LAPTOP,
    },
    compute=compute,
    seconds={"smoke": 4, "smoke_pixels": 4, "smoke_half": 4, "laptop": 1400},
    data=runs.fingerprints,
    inputs=comparison.inputs,
    tolerance=runs.TOLERANCE,
    tolerances={"smoke_half/*": runs.COARSE},
)  # fmt: skip
