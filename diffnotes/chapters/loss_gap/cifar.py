"""Chapter 4 on CIFAR-10 averaged to 16 x 16: U-Nets of five kinds, and one that memorizes.

They train in bfloat16, which a CPU with instructions for it does faster (see `train.Plan`); what is measured
of them is measured in float32.
"""

from __future__ import annotations

from diffnotes.chapters.loss_gap import diagnosis
from diffnotes.chapters.loss_gap.diagnosis import DiagnosisSpec
from diffnotes.store import Arrays, Experiment, Tolerance, Work


def compute(spec: DiagnosisSpec, work: Work) -> Arrays:
    """See `diagnosis.compute`."""
    return diagnosis.compute(spec, work)


LAPTOP = DiagnosisSpec(
    dataset="cifar10", side=16, n=1000, held_out=1000, tiny=16, kinds="few", network="unet", width=16,
    blocks=1, steps=500, tiny_steps=1000, batch=32, rate=2e-3, horizon=100, first=125, snapshots=2,
    tiny_snapshots=3, levels=16, draws=304, sources=8000, samples=200, sampler_steps=18,
    precision="bfloat16",
)  # fmt: skip

PIXELS = LAPTOP.replace(  # images that need no download
    dataset="specimens", n=40, held_out=40, width=8, steps=8, tiny_steps=12, batch=8, horizon=4,
    first=4, tiny_snapshots=2, levels=4, draws=40, sources=40, samples=20, sampler_steps=4, seeds=(0,),
)  # fmt: skip

EXPERIMENT = Experiment(
    name="diagnosis_cifar",
    version=1,
    spec=DiagnosisSpec,
    profiles={
        "smoke": PIXELS.replace(seeds=(0, 1), precision="float32"),
        "smoke_pixels": PIXELS,
        "laptop": LAPTOP,
    },
    compute=compute,
    seconds={"smoke": 10, "smoke_pixels": 6, "laptop": 3000},
    data=diagnosis.fingerprints,
    tolerance=diagnosis.TOLERANCE,
    tolerances={
        "smoke_pixels/*": Tolerance(1e-2, 1e-4, "bfloat16, with other instructions of the processor"),
        **diagnosis.TOLERANCES,
    },
)  # fmt: skip
