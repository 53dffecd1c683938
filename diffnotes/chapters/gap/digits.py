"""Chapter 1 on 8 x 8 digits: a residual network of two sizes on training sets of three sizes."""

from __future__ import annotations

from diffnotes.chapters.gap import experiment as network_gap
from diffnotes.chapters.gap.experiment import GapSpec
from diffnotes.store import Arrays, Experiment, Work

WIDE, NARROW = 144, 54  # 233,056 and 38,836 parameters
RUNS = {
    "A": {"n": 600, "width": WIDE},
    "B": {"n": 600, "width": NARROW},
    "C": {"n": 1190, "width": WIDE},
    "D": {"n": 200, "width": WIDE},
}


def compute(spec: GapSpec, work: Work) -> Arrays:
    """See `network_gap.compute`."""
    return network_gap.compute(spec, work)


EXPERIMENT = Experiment(
    name="digits_gap",
    version=1,
    spec=GapSpec,
    profiles={
        # two full batches and a part; two blocks of samples, the second one short
        "smoke": GapSpec(
            n=300, held_out=280, width=16, depth=2, steps=60, batch=32, horizon=4, first=10, snapshots=3,
            levels=6, draws=1, samples=264, sheet=2, sampler_steps=8, probes=(0.6, 0.283), seeds=(0, 1),
        ),
        # more steps than the warm-up has
        "smoke_long": GapSpec(
            n=40, held_out=40, width=16, depth=2, steps=110, batch=8, horizon=4, first=10, snapshots=2,
            levels=4, draws=2, samples=20, sheet=2, sampler_steps=4, seeds=(0,),
        ),
        "laptop": GapSpec(),
    },
    compute=compute,
    seconds={"smoke": 4, "smoke_long": 1, "laptop": 300},
    data=network_gap.fingerprints,
    shown=tuple(RUNS.values()),
    tolerance=network_gap.TOLERANCE,
    tolerances=network_gap.TOLERANCES,
)  # fmt: skip
