"""Chapter 4 on 8 x 8 digits: eleven residual networks, and one that memorizes."""

from __future__ import annotations

from diffnotes.chapters.loss_gap import diagnosis
from diffnotes.chapters.loss_gap.diagnosis import DiagnosisSpec
from diffnotes.store import Arrays, Experiment, Work


def compute(spec: DiagnosisSpec, work: Work) -> Arrays:
    """See `diagnosis.compute`."""
    return diagnosis.compute(spec, work)


EXPERIMENT = Experiment(
    name="diagnosis_digits",
    version=1,
    spec=DiagnosisSpec,
    profiles={
        # more steps than the warm-up has, more samples than a batch
        "smoke": DiagnosisSpec(
            n=120, held_out=60, tiny=20, width=16, blocks=1, steps=40, tiny_steps=120, batch=16, horizon=4,
            first=20, snapshots=2, tiny_snapshots=2, levels=8, draws=120, sources=400, samples=40,
            sampler_steps=6, seeds=(0, 1),
        ),
        "laptop": DiagnosisSpec(),
    },
    compute=compute,
    seconds={"smoke": 8, "laptop": 1500},
    data=diagnosis.fingerprints,
    tolerance=diagnosis.TOLERANCE,
    tolerances=diagnosis.TOLERANCES,
)  # fmt: skip
