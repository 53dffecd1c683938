"""Freedom of extrapolation on CIFAR-10, averaged to 16 x 16 (chapter 2); see `freedom`.

The U-Net is trained with products in bfloat16, which a CPU with instructions for it does in less time.
"""

from __future__ import annotations

from diffnotes.chapters.extrapolation import freedom
from diffnotes.chapters.extrapolation.freedom import FreedomSpec
from diffnotes.store import Arrays, Experiment, Tolerance, Work


def compute(spec: FreedomSpec, work: Work) -> Arrays:
    """See `freedom.compute`."""
    return freedom.compute(spec, work)


LAPTOP = FreedomSpec(
    dataset="cifar10", side=16, anchors=256, ratios=(1, 2, 4, 16), control=16, networks="mlp unet",
    steps=1200, precision="bfloat16",
)  # fmt: skip
SMOKE = LAPTOP.replace(
    dataset="specimens", anchors=8, ratios=(1, 2), shells=(2.0, 3.0), control=3, width=16, channels=8,
    steps=6, batch=8, horizon=4, samples=16, held_out=24, near=5, sampler_steps=3, seeds=(0, 1),
)  # fmt: skip

EXPERIMENT = Experiment(
    name="freedom_cifar",
    version=2,
    spec=FreedomSpec,
    profiles={"smoke": SMOKE, "laptop": LAPTOP},
    compute=compute,
    seconds={"smoke": 4, "laptop": 1500},
    data=freedom.fingerprints,
    tolerance=Tolerance(5e-3, 1e-4, "products in bfloat16, and another order of additions"),
    tolerances=dict.fromkeys(
        ("sheet", "near"), Tolerance(0.0, 2.0, "a byte may round the other way, and bfloat16")
    ),
)
