"""Chapter 2 on CIFAR-10 averaged to 16 x 16: U-Nets of four widths, and one that memorizes.

They train in bfloat16, which a CPU with instructions for it does faster (see `train.Plan`); what is measured
of them is measured in float32.
"""

from __future__ import annotations

from diffnotes.chapters.selective import experiment as selective
from diffnotes.chapters.selective.experiment import SelectiveSpec
from diffnotes.store import Arrays, Experiment, Work


def compute(spec: SelectiveSpec, work: Work) -> Arrays:
    """See `selective.compute`."""
    return selective.compute(spec, work)


LAPTOP = SelectiveSpec(
    dataset="cifar10", side=16, n=1000, tiny=32, network="unet", widths=(8, 16, 24, 32), tiny_width=16,
    blocks=1, steps=1000, tiny_steps=2000, batch=32, rate=2e-3, horizon=100, first=250, snapshots=3,
    levels=10, points=64, returns=32, precision="bfloat16",
)  # fmt: skip

SMOKE = LAPTOP.replace(  # digits, so that there is something to see without a download
    dataset="digits", side=0, n=60, tiny=16, widths=(8, 16), tiny_width=8, steps=20, tiny_steps=30, batch=8,
    horizon=4, first=10, snapshots=2, levels=4, points=12, returns=6, kept=1, seeds=(0, 1),
    precision="float32",
)  # fmt: skip
PIXELS = SMOKE.replace(
    dataset="specimens", side=16, n=40, widths=(8,), steps=10, tiny_steps=12, kept=2, seeds=(0,),
    precision="bfloat16",
)  # fmt: skip

EXPERIMENT = Experiment(
    name="selective_cifar",
    version=2,
    spec=SelectiveSpec,
    profiles={
        "smoke": SMOKE,
        "smoke_pixels": PIXELS,
        "laptop": LAPTOP,
    },
    compute=compute,
    seconds={"smoke": 6, "smoke_pixels": 6, "laptop": 2400},
    data=selective.fingerprints,
    tolerance=selective.TOLERANCE,
    tolerances={
        **{f"smoke_pixels/{name}": kind for name, kind in selective.COARSE.items()},
        **selective.TOLERANCES,
    },
)  # fmt: skip
