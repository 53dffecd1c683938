"""Chapter 5 on 8 x 8 digits: residual networks of three widths on training sets of three sizes."""

from __future__ import annotations

from diffnotes.chapters.four_lenses import experiment as lenses
from diffnotes.chapters.four_lenses.experiment import LensSpec
from diffnotes.store import Arrays, Experiment, Work


def compute(spec: LensSpec, work: Work) -> Arrays:
    """See `lenses.compute`."""
    return lenses.compute(spec, work)


SMOKE = LensSpec(
    sizes=(4, 6), widths=(16, 32), epochs=200.0, batch=16, horizon=8, first=10, snapshots=3, levels=8,
    images=24, samples=24, band=60, sheet=3, seeds=(0, 1),
)  # fmt: skip

EXPERIMENT = Experiment(
    name="lenses_digits",
    version=1,
    spec=LensSpec,
    profiles={
        "smoke": SMOKE,
        # so few images that some samples, but not all, are memorized at the end
        "smoke_copies": SMOKE.replace(
            sizes=(4,), widths=(192,), epochs=8000.0, batch=64, first=20, levels=16, seeds=(0,)
        ),
        # more samples than a network sees at once
        "smoke_blocks": SMOKE.replace(widths=(16,), epochs=60.0, snapshots=2, samples=260, seeds=(0,)),
        "laptop": LensSpec(),
    },
    compute=compute,
    seconds={"smoke": 6, "smoke_copies": 5, "smoke_blocks": 3, "laptop": 1500},
    data=lenses.fingerprints,
    tolerance=lenses.TOLERANCE,
    tolerances=lenses.TOLERANCES,
)
