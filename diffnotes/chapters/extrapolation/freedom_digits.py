"""Freedom of extrapolation on 8 x 8 digits (chapter 2); see `freedom`."""

from __future__ import annotations

from diffnotes.chapters.extrapolation import freedom
from diffnotes.chapters.extrapolation.freedom import FreedomSpec
from diffnotes.store import Arrays, Experiment, Work


def compute(spec: FreedomSpec, work: Work) -> Arrays:
    """See `freedom.compute`."""
    return freedom.compute(spec, work)


LAPTOP = FreedomSpec(anchors=299, ratios=(1, 2, 4), control=4, networks="mlp unet", steps=1200)
SMOKE = LAPTOP.replace(
    anchors=8, ratios=(1, 2), shells=(2.0, 3.0), control=3, width=16, channels=8, steps=8, batch=8,
    horizon=4, samples=16, held_out=24, near=5, sampler_steps=3, seeds=(0, 1),
)  # fmt: skip

EXPERIMENT = Experiment(
    name="freedom_digits",
    version=2,
    spec=FreedomSpec,
    profiles={"smoke": SMOKE, "laptop": LAPTOP},
    compute=compute,
    seconds={"smoke": 4, "laptop": 500},
    data=freedom.fingerprints,
    tolerance=freedom.TOLERANCE,
    tolerances=freedom.TOLERANCES,
)
