"""Chapter 5 on CIFAR-10 averaged to 16 x 16: U-Nets of two widths on training sets of three sizes.

They train in bfloat16, which a CPU with instructions for it does faster (see `train.Plan`); what is measured
of them is measured in float32.
"""

from __future__ import annotations

from diffnotes.chapters.four_lenses import experiment as lenses
from diffnotes.chapters.four_lenses.experiment import LensSpec
from diffnotes.store import Arrays, Experiment, Tolerance, Work


def compute(spec: LensSpec, work: Work) -> Arrays:
    """See `lenses.compute`."""
    return lenses.compute(spec, work)


LAPTOP = LensSpec(
    dataset="cifar10", side=16, sizes=(12, 24, 48), network="unet", widths=(8, 16), blocks=1, epochs=1300.0,
    batch=32, rate=3e-3, horizon=50, first=30, snapshots=6, levels=14, images=96, samples=96, sheet=6,
    precision="bfloat16",
)  # fmt: skip

SMOKE = LAPTOP.replace(  # digits, so that there is something to see without a download
    dataset="digits", side=0, sizes=(4, 6), widths=(8, 12), epochs=9.0, batch=6, horizon=4, first=3,
    snapshots=2, levels=8, images=12, samples=12, band=40, sheet=2, seeds=(0, 1), precision="float32",
)  # fmt: skip
BYTES = Tolerance(0.0, 2.0, "a byte may round the other way, and bfloat16")
COARSE = Tolerance(1e-2, 1e-4, "bfloat16, with other instructions of the processor")

EXPERIMENT = Experiment(
    name="lenses_cifar",
    version=1,
    spec=LensSpec,
    profiles={
        "smoke": SMOKE,
        "smoke_pixels": SMOKE.replace(
            dataset="specimens", side=16, sizes=(4,), widths=(8,), seeds=(0,), precision="bfloat16"
        ),
        "laptop": LAPTOP,
    },
    compute=compute,
    seconds={"smoke": 6, "smoke_pixels": 4, "laptop": 2700},
    data=lenses.fingerprints,
    tolerance=lenses.TOLERANCE,
    tolerances={
        **{f"smoke_pixels/{name}": BYTES for name in lenses.TOLERANCES},
        "smoke_pixels/*": COARSE,
        **lenses.TOLERANCES,
    },
)  # fmt: skip
