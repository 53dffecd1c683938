"""Memorized samples through training on CIFAR-10 with a U-Net (chapter 3): Marion & Wu, arXiv 2605.06077.

The laptop profile averages the images down to 16 x 16 and is small in everything. The paper profile is
theirs at N = 2,048 and B = 128, the batch size that their figures 1 and 2 must have had; sizes and widths are
ordered by what a short lease of a GPU gives.
"""

from __future__ import annotations

from torch import Tensor

from diffnotes.base import runtime
from diffnotes.chapters.memorization import experiment as memorization
from diffnotes.chapters.memorization.calibration import extractor, weights_digest
from diffnotes.chapters.memorization.experiment import MemorizationSpec
from diffnotes.store import Arrays, Experiment, Tolerance, Work


def compute(spec: MemorizationSpec, work: Work) -> Arrays:
    """See `memorization.compute`; distances are taken between features of the book's own classifier."""
    features = extractor()

    def of(x: Tensor) -> Tensor:
        return features(x.to(runtime.device())).cpu()

    floors = memorization.floors(spec, of)  # first: it tells of a held-out split that is too small
    return memorization.compute(spec, work, of) | floors


def _features(spec: MemorizationSpec) -> dict[str, str]:
    return {"features": weights_digest()}


LAPTOP = MemorizationSpec(
    dataset="cifar10", side=16, network="unet", blocks=1, n=64, width=16, batch=32, rate=2e-3,
    sizes=(32, 64, 128), widths=(8, 32), batches=(8, 128), rates=(5e-4, 4e-3), epochs=1000.0,
    most_steps=4000, first=30, snapshots=12, horizons=(200,), levels=8, images=64, samples=128,
    sampler_steps=16,
)  # fmt: skip

SMOKE = LAPTOP.replace(  # digits, so that there is something to see without a download
    dataset="digits", side=0, n=16, width=8, batch=8, sizes=(16, 24), widths=(16,), batches=(4,),
    rates=(3e-4,), epochs=6.0, first=4, snapshots=2, horizons=(4,), levels=2, images=16, samples=16,
    sampler_steps=3, seeds=(0,),
)  # fmt: skip
PIXELS = SMOKE.replace(dataset="specimens", side=16)
# A small network and so few images that some samples, but not all, are memorized at the end.
COPIED = PIXELS.replace(
    network="mlp", side=4, n=4, sizes=(4,), width=128, widths=(32, 256), batch=16, batches=(8, 4),
    rate=3e-3, rates=(1e-3, 4e-3), epochs=1600.0, most_steps=400, snapshots=3, samples=32,
    sampler_steps=4, seeds=(0, 1),
)  # fmt: skip
SHORT = COPIED.replace(epochs=20.0, snapshots=2, samples=16)

EXPERIMENT = Experiment(
    name="cifar",
    version=1,
    spec=MemorizationSpec,
    profiles={
        "smoke": SMOKE,
        "smoke_pixels": PIXELS,
        "smoke_width": COPIED.replace(sweep="width", seeds=(0,)),
        "smoke_batch": SHORT.replace(sweep="batch"),
        "smoke_rate": SHORT.replace(sweep="rate"),
        # more images than a tile holds
        "smoke_paper": PIXELS.replace(
            side=0, conditional=True, blocks=2, n=2060, sizes=(2060,), most_steps=10, horizons=(4, 8),
            precision="bfloat16",
        ),
        "laptop": LAPTOP,
        "paper": LAPTOP.replace(
            side=0, conditional=True, blocks=3, embedding=512, n=2048, width=128, batch=128,
            rate=1e-4,
            sizes=(2048, 1024, 512, 4096),
            widths=(64, 32, 16), batches=(64, 32), rates=(4e-4, 5e-5), epochs=1900.0, most_steps=60_000,
            first=500, horizons=(10_000, 500), levels=16, images=2048, samples=1000, sampler_steps=50,
            seeds=(0,), precision="bfloat16",
        ),
    },
    compute=compute,
    seconds={
        "smoke": 3, "smoke_pixels": 3, "smoke_width": 3, "smoke_batch": 2, "smoke_rate": 2, "smoke_paper": 4,
        "laptop": 1500, "paper": 7200,
    },
    machine={"paper": "one H200"},
    data=memorization.fingerprints,
    inputs=_features,
    shown=tuple({"sweep": sweep} for sweep in memorization.SWEEPS),
    tolerance=memorization.TOLERANCE,
    tolerances={
        **memorization.TOLERANCES,
        "smoke_paper/*": Tolerance(1e-3, 1e-6, "bfloat16: 1.5e-4 with other instructions of the processor"),
    },
)  # fmt: skip
