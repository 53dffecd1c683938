"""Reports on CIFAR-10 at 16 x 16: equal networks and steps, few and many training images (chapter 6)."""

from __future__ import annotations

from typing import Any

from diffnotes.chapters.your_model import own
from diffnotes.chapters.your_model.own import OwnSpec
from diffnotes.store import Arrays, Experiment, Work, is_twin


def compute(spec: OwnSpec, work: Work) -> Arrays:
    """See `own.compute`."""
    return own.compute(spec, work)


LAPTOP = OwnSpec(
    train="cifar10", held_out="cifar10", side=16, network="unet", n=32, width=16, blocks=1, steps=2000,
    batch=32, precision="bfloat16",
)  # fmt: skip
SMOKE = LAPTOP.replace(  # a picture of the package, so that nothing has to be downloaded
    train="specimens", held_out="specimens", n=12, width=8, steps=30, batch=8, horizon=4, levels=5, draws=24,
    samples=12, sampler_steps=4,
)  # fmt: skip
COUNTS = (32, 20_000)  # training images, few and many
SEEDS = (0, 1, 2)

EXPERIMENT = Experiment(
    name="own_cifar",
    version=1,
    spec=OwnSpec,
    profiles={"smoke": SMOKE, "laptop": LAPTOP},
    compute=compute,
    seconds={"smoke": 4, "laptop": 300},
    data=own.fingerprints,
    shown=tuple({"n": n, "seed": seed} for n in COUNTS for seed in SEEDS),
    tolerance=own.TOLERANCE,
    tolerances=own.TOLERANCES,
)


def pair(profile: str) -> list[dict[str, Any]]:
    """The settings of the two reports that stand side by side, with few and with many images."""
    counts = (SMOKE.n, 2 * SMOKE.n) if is_twin(profile) else COUNTS
    return [{"n": n} for n in counts]
