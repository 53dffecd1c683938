"""Chapter 4 on Tiny ImageNet at 64 x 64: a U-Net with EDM's target and law of noise.

It trains in bfloat16, which a CPU with instructions for it does faster (see `train.Plan`); what is measured
is measured in float32. 1,000 images are held out; each seed takes 20,000 of the others.
"""

from __future__ import annotations

from diffnotes.chapters.loss_gap import diagnosis
from diffnotes.chapters.loss_gap.diagnosis import DiagnosisSpec
from diffnotes.store import Arrays, Experiment, Tolerance, Work


def compute(spec: DiagnosisSpec, work: Work) -> Arrays:
    """See `diagnosis.compute`."""
    return diagnosis.compute(spec, work)


LAPTOP = DiagnosisSpec(
    dataset="imagenet64-all", n=20_000, held_out=1000, kinds="one", network="unet", width=16, blocks=1,
    multipliers=(1, 2, 2), steps=2400, tiny_steps=0, batch=8, rate=1e-3, horizon=200, first=300, snapshots=2,
    levels=16, sigma_min=0.05, sigma_max=200.0, draws=152, sources=1024, samples=128, sampler_steps=12,
    precision="bfloat16",
)  # fmt: skip
SMOKE = LAPTOP.replace(  # images that need no download
    dataset="specimens64-all", n=60, held_out=20, tiny=60, width=8, steps=6, batch=4, horizon=3, first=3,
    levels=4, draws=16, sources=40, samples=6, sampler_steps=4,
)  # fmt: skip
COARSE = Tolerance(1e-2, 1e-4, "bfloat16, with other instructions of the processor")

EXPERIMENT = Experiment(
    name="diagnosis_imagenet64",
    version=1,
    spec=DiagnosisSpec,
    profiles={
        "smoke": SMOKE.replace(seeds=(0, 1), precision="float32"),
        "smoke_pixels": SMOKE.replace(seeds=(0,)),
        "laptop": LAPTOP,
    },
    compute=compute,
    seconds={"smoke": 10, "smoke_pixels": 8, "laptop": 3000},
    data=diagnosis.fingerprints,
    tolerance=diagnosis.TOLERANCE,
    tolerances={"smoke_pixels/*": COARSE, **diagnosis.TOLERANCES},
)
