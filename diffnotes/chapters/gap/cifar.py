"""Chapter 1 on CIFAR-10 with a U-Net: averaged down to 16 x 16 on a laptop, whole on a GPU."""

from __future__ import annotations

from diffnotes.chapters.gap import experiment as network_gap
from diffnotes.chapters.gap.experiment import GapSpec
from diffnotes.store import Arrays, Experiment, Tolerance, Work


def compute(spec: GapSpec, work: Work) -> Arrays:
    """See `network_gap.compute`."""
    return network_gap.compute(spec, work)


LAPTOP = GapSpec(
    dataset="cifar10", side=16, n=200, held_out=1000, network="unet", width=16, depth=1, steps=1000,
    batch=32, horizon=100, first=60, snapshots=7, levels=12, draws=1, images=300, samples=200,
    sampler_steps=16,
)  # fmt: skip

SMOKE = LAPTOP.replace(  # digits, so that there is something to see without a download
    dataset="digits", side=0, n=40, held_out=40, width=8, steps=12, batch=8, horizon=4, first=4, snapshots=2,
    levels=4, samples=20, sheet=2, sampler_steps=5, probes=(0.6,), seeds=(0, 1),
)  # fmt: skip
PIXELS = SMOKE.replace(
    dataset="specimens", side=16, n=24, held_out=24, batch=4, probes=(0.6, 0.2), seeds=(0,)
)

EXPERIMENT = Experiment(
    name="cifar_gap",
    version=1,
    spec=GapSpec,
    profiles={
        "smoke": SMOKE,
        "smoke_pixels": PIXELS,
        # two blocks of samples, more steps than the warm-up has: a small network stands in
        "smoke_blocks": PIXELS.replace(
            network="mlp", side=8, n=260, held_out=260, width=16, steps=110, samples=260
        ),
        "smoke_paper": PIXELS.replace(
            side=0, depth=2, multipliers=(1, 2, 2), steps=6, precision="bfloat16"
        ),
        "laptop": LAPTOP,
        # sizes of 1,000, 5,000 and 50,000 images are worth a comparison: --set n=5000
        "paper": LAPTOP.replace(
            side=0, n=1000, held_out=10_000, width=64, depth=3, multipliers=(1, 2, 2), embedding=256,
            steps=10_000, batch=512, rate=1e-3, horizon=1000, first=100, snapshots=12, levels=24,
            images=2048, samples=2048, sampler_steps=32, precision="bfloat16",
        ),
    },
    compute=compute,
    seconds={
        "smoke": 2, "smoke_pixels": 2, "smoke_blocks": 2, "smoke_paper": 3, "laptop": 600, "paper": 5400,
    },
    machine={"paper": "one H200"},
    data=network_gap.fingerprints,
    tolerance=network_gap.TOLERANCE,
    tolerances={
        **network_gap.TOLERANCES,
        "smoke_paper/*": Tolerance(2e-5, 1e-6, "bfloat16: 1.2e-6 with other instructions of the processor"),
    },
)  # fmt: skip
