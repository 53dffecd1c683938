"""Chapter 4 on draws of a Gaussian in 64 dimensions: there the least loss on unseen draws is known."""

from __future__ import annotations

from diffnotes.chapters.loss_gap import diagnosis
from diffnotes.chapters.loss_gap.diagnosis import DiagnosisSpec
from diffnotes.store import Arrays, Experiment, Work


def compute(spec: DiagnosisSpec, work: Work) -> Arrays:
    """See `diagnosis.compute`."""
    return diagnosis.compute(spec, work)


EXPERIMENT = Experiment(
    name="diagnosis_gaussian",
    version=1,
    spec=DiagnosisSpec,
    profiles={
        "smoke": DiagnosisSpec(
            dataset="gaussian", kinds="few", n=60, held_out=40, tiny=20, width=16, blocks=1, steps=20,
            tiny_steps=30, batch=16, horizon=4, first=10, snapshots=2, tiny_snapshots=2, levels=8, draws=60,
            sources=100, samples=30, sampler_steps=4, seeds=(0, 1),
        ),
        "laptop": DiagnosisSpec(dataset="gaussian", kinds="few"),
    },
    compute=compute,
    seconds={"smoke": 3, "laptop": 900},
    data=diagnosis.fingerprints,
    tolerance=diagnosis.TOLERANCE,
    tolerances=diagnosis.TOLERANCES,
)  # fmt: skip
