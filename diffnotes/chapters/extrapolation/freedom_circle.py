"""Freedom of extrapolation for points on a circle in the plane, where it can be seen (chapter 2); see
`freedom`."""

from __future__ import annotations

from diffnotes.chapters.extrapolation import freedom
from diffnotes.chapters.extrapolation.freedom import FreedomSpec
from diffnotes.store import Arrays, Experiment, Work


def compute(spec: FreedomSpec, work: Work) -> Arrays:
    """See `freedom.compute`."""
    return freedom.compute(spec, work)


LAPTOP = FreedomSpec(
    dataset="circle", anchors=32, near=2, ratios=(1, 4, 16), control=16, width=64, depth=2, steps=600,
    samples=512,
)  # fmt: skip

EXPERIMENT = Experiment(
    name="freedom_circle",
    version=2,
    spec=FreedomSpec,
    profiles={
        "smoke": LAPTOP.replace(
            anchors=6, ratios=(1, 2), shells=(2.0, 3.0), control=3, width=16, steps=20, batch=16, horizon=4,
            samples=16, held_out=24, near=2, sampler_steps=4, seeds=(0, 1),
        ),
        "laptop": LAPTOP,
    },
    compute=compute,
    seconds={"smoke": 2, "laptop": 90},
    data=freedom.fingerprints,
    tolerance=freedom.TOLERANCE,
)  # fmt: skip
