"""The Gaussian of figure 10 with a tenth of the paper's learning rate (chapter 2): see `gaussian`.

The same network on the same points, batches and noise: with what the paper does not say, its rate is only one
guess among ours.
"""

from __future__ import annotations

from diffnotes.chapters.underfitting import gaussian
from diffnotes.chapters.underfitting.gaussian import SMOKE, GaussianSpec
from diffnotes.store import Arrays, Experiment, Work

RATE = GaussianSpec().rate / 10


def compute(spec: GaussianSpec, work: Work) -> Arrays:
    """See `gaussian.compute`."""
    return gaussian.compute(spec, work)


EXPERIMENT = Experiment(
    name="gaussian_slower",
    version=1,
    spec=GaussianSpec,
    profiles={"smoke": SMOKE.replace(rate=RATE), "laptop": GaussianSpec(rate=RATE, iterations=6000)},
    compute=compute,
    seconds={"smoke": 2, "laptop": 630},
    data=gaussian.fingerprints,
    shown=gaussian.EXPERIMENT.shown,
    tolerance=gaussian.TOLERANCE,
)
