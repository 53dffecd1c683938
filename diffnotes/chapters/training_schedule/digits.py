"""Chapter 4 on 8 x 8 digits: the schedule against EDM's, with a residual network."""

from __future__ import annotations

from diffnotes.chapters.training_schedule import comparison, runs
from diffnotes.chapters.training_schedule.comparison import ScheduleSpec
from diffnotes.store import Arrays, Experiment, Work


def compute(spec: ScheduleSpec, work: Work) -> Arrays:
    """See `comparison.compute`."""
    return comparison.compute(spec, work)


SMOKE = ScheduleSpec(
    n=60, held_out=40, width=16, steps=30, batch=16, horizon=4, first=10, looks=2, bins=12,
    memory=16, sources=120, levels=6, draws=60, sampler_steps=5, constants="given", seeds=(0, 1),
)  # fmt: skip

EXPERIMENT = Experiment(
    name="schedule_digits",
    version=1,
    spec=ScheduleSpec,
    profiles={
        "smoke": SMOKE,
        # more samples than are solved at once, more steps than the warm-up has
        "smoke_blocks": SMOKE.replace(n=280, held_out=270, steps=110, arms=(0, 1), seeds=(3,)),
        "laptop": ScheduleSpec(),
    },
    compute=compute,
    seconds={"smoke": 4, "smoke_blocks": 3, "laptop": 450},
    data=runs.fingerprints,
    inputs=comparison.inputs,
    tolerance=runs.TOLERANCE,
)
