"""Chapter 2 on 8 x 8 digits: residual networks of four widths, and one that memorizes."""

from __future__ import annotations

from diffnotes.chapters.selective import experiment as selective
from diffnotes.chapters.selective.experiment import SelectiveSpec
from diffnotes.store import Arrays, Experiment, Work


def compute(spec: SelectiveSpec, work: Work) -> Arrays:
    """See `selective.compute`."""
    return selective.compute(spec, work)


SMOKE = SelectiveSpec(
    n=80, tiny=16, widths=(8, 16), tiny_width=32, steps=120, tiny_steps=200, batch=32, horizon=8, first=30,
    snapshots=2, levels=6, points=24, returns=12, kept=2, seeds=(0, 1),
)  # fmt: skip

EXPERIMENT = Experiment(
    name="selective_digits",
    version=2,
    spec=SelectiveSpec,
    profiles={
        "smoke": SMOKE,
        # more noisy images than a network sees at once, fewer steps than the warm-up has
        "smoke_blocks": SMOKE.replace(
            steps=40, tiny_steps=40, levels=12, points=50, half_steps=2, seeds=(3,)
        ),
        "laptop": SelectiveSpec(),
    },
    compute=compute,
    seconds={"smoke": 5, "smoke_blocks": 5, "laptop": 900},
    data=selective.fingerprints,
    tolerance=selective.TOLERANCE,
    tolerances=selective.TOLERANCES,
)  # fmt: skip
