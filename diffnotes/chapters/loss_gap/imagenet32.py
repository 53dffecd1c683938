"""Chapter 4 on Tiny ImageNet averaged to 32 x 32: a quarter of the pixels of `imagenet64`, more steps."""

from __future__ import annotations

from diffnotes.chapters.loss_gap import diagnosis, imagenet64
from diffnotes.chapters.loss_gap.diagnosis import DiagnosisSpec
from diffnotes.store import Arrays, Experiment, Work


def compute(spec: DiagnosisSpec, work: Work) -> Arrays:
    """See `diagnosis.compute`."""
    return diagnosis.compute(spec, work)


SMOKE = imagenet64.SMOKE.replace(side=32)

EXPERIMENT = Experiment(
    name="diagnosis_imagenet32",
    version=1,
    spec=DiagnosisSpec,
    profiles={
        "smoke": SMOKE.replace(seeds=(0, 1), precision="float32"),
        "smoke_pixels": SMOKE.replace(seeds=(0,)),
        "laptop": imagenet64.LAPTOP.replace(side=32, steps=4800, first=600, batch=16, draws=304),
    },
    compute=compute,
    seconds={"smoke": 5, "smoke_pixels": 4, "laptop": 2500},
    data=diagnosis.fingerprints,
    tolerance=diagnosis.TOLERANCE,
    tolerances={"smoke_pixels/*": imagenet64.COARSE, **diagnosis.TOLERANCES},
)
