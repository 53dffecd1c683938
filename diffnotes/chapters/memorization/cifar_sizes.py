"""The sweep over N of chapter 3 on CIFAR-10 at 16 x 16, up to more images than a small U-Net copies: see
`cifar`.

Everything is as in the laptop profile there, but for two things: there are more sizes, the larger of which
take longer (the largest ends at a bound on the steps, after fewer passes), and training is in bfloat16, in
which some processors are faster. The sizes that both have tell what bfloat16 changes.
"""

from __future__ import annotations

from diffnotes.chapters.memorization import cifar
from diffnotes.chapters.memorization import experiment as memorization
from diffnotes.chapters.memorization.experiment import MemorizationSpec
from diffnotes.store import Arrays, Experiment, Tolerance, Work


def compute(spec: MemorizationSpec, work: Work) -> Arrays:
    """See `cifar.compute`."""
    return cifar.compute(spec, work)


EXPERIMENT = Experiment(
    name="cifar_sizes",
    version=1,
    spec=MemorizationSpec,
    profiles={
        "smoke": cifar.SMOKE.replace(precision="bfloat16"),
        "smoke_pixels": cifar.PIXELS.replace(precision="bfloat16", seeds=(0, 1)),
        "laptop": cifar.LAPTOP.replace(
            sizes=(32, 64, 128, 256, 512, 1024), most_steps=24_000, precision="bfloat16"
        ),
    },
    compute=compute,
    seconds={"smoke": 3, "smoke_pixels": 5, "laptop": 16_000},
    data=memorization.fingerprints,
    inputs=cifar.EXPERIMENT.inputs,
    tolerance=Tolerance(1e-3, 1e-6, "bfloat16: 1.5e-4 with other instructions of the processor"),
    tolerances=memorization.TOLERANCES,
)
