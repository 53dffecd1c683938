"""The optimal loss of random parts of Tiny ImageNet, several of each size: their spread is the error.

One size is that of `imagenet64-sample`, one a tenth, and three parts of the last are all images there are.
"""

from __future__ import annotations

from diffnotes.chapters.loss_floor import sizes
from diffnotes.chapters.loss_floor.curve import SMALL, TOLERANCE, WIDE
from diffnotes.chapters.loss_floor.sizes import SizeSpec
from diffnotes.store import Arrays, Experiment, Work


def compute(spec: SizeSpec, work: Work) -> Arrays:
    """See `sizes.compute`."""
    return sizes.compute(spec, work)


EXPERIMENT = Experiment(
    name="loss_sizes_imagenet",
    version=1,
    spec=SizeSpec,
    profiles={
        "smoke": SizeSpec(dataset="specimens64-all", sizes=(60, 183), levels=24, sources=40, parts=3, **WIDE),
        "laptop": SizeSpec(dataset="imagenet64-all", sizes=(2299, 3000, 10_000), parts=3, **WIDE),
    },
    compute=compute,
    seconds={"smoke": 5, "laptop": 500},
    data=sizes.fingerprints,
    tolerance=TOLERANCE,
    tolerances={"mean": SMALL, "stderr": SMALL},
)
