"""When does the error on fresh points rise? One factor at a time on a smaller network (chapter 2).

In figure 10 of Song et al. the error at noised fresh points, against the true score, falls and stays. Their
batch size, target, times and averages are not given. Here each is varied around a default with everything
else as in `gaussian`; so is the learning rate, the depth, and nothing else. The share of each range of times
and of the average over weights is in the arrays of every run.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from diffnotes.base import runtime
from diffnotes.chapters.underfitting import gaussian
from diffnotes.chapters.underfitting.gaussian import GaussianSpec
from diffnotes.store import Arrays, Experiment, Spec, Work, number, numbers
from diffnotes.train import stacked

DEFAULT = "default"
TARGETS = ("x0", "velocity")  # in place of eps
FRESH = 300  # fresh points of an evaluation, as in `gaussian`


@dataclass(frozen=True)
class FactorsSpec(Spec):
    """The default run, and the other values of each factor."""

    dim: int = number(20, low=1, high=4096, help="dimension d")
    n_train: int = number(100, low=2, high=100_000, help="training points")
    width: int = number(128, low=1, high=10_000, help="width of a layer")
    iterations: int = number(8000, low=1, help="training steps")
    depth: int = number(5, low=1, high=50, help="hidden layers")
    batch: int = number(100, low=1, help="batch size")
    rate: float = number(1e-3, low=1e-7, high=1.0, help="learning rate of Adam, constant")
    depths: tuple[int, ...] = numbers((10,), low=1, high=50, help="other values of depth")
    batches: tuple[int, ...] = numbers((20, 400), low=1, help="other values of batch")
    rates: tuple[float, ...] = numbers((5e-4, 4e-3), low=1e-7, high=1.0, help="other values of rate")
    horizon: int = number(1000, low=1, help="steps over which a second set of weights is averaged")
    every: int = number(500, low=1, help="steps from one evaluation to the next")
    levels: int = number(10, low=1, high=500, help="times of evaluation: midpoints of equal intervals")
    paths: int = number(25, low=1, help="trajectories in an evaluation")
    seeds: tuple[int, ...] = numbers((0, 1, 2), low=0, high=2**31, help="of points, weights and noise")


def runs_of(spec: FactorsSpec) -> list[tuple[str, str, GaussianSpec]]:
    """(factor, value, settings) of each run, with the first seed: the default, then one change at a time."""
    base = GaussianSpec(
        dim=spec.dim, n_train=spec.n_train, depth=spec.depth, width=spec.width, rate=spec.rate,
        iterations=spec.iterations, batch=spec.batch, horizon=spec.horizon, every=spec.every,
        levels=spec.levels, draws=3, fresh=FRESH, paths=spec.paths, seed=spec.seeds[0],
    )  # fmt: skip
    values = {"batch": spec.batches, "rate": spec.rates, "target": TARGETS, "depth": spec.depths}
    changes = [(name, value) for name, some in values.items() for value in some]
    return [(DEFAULT, "", base), *((k, f"{v}", base.replace(**{k: v})) for k, v in changes)]


def compute(spec: FactorsSpec, work: Work) -> Arrays:
    """`error` [run, seed, evaluation, average, place, score, level] as in `gaussian`, and `reference` [seed,
    net, place, score, level], which is the same for all runs of a seed."""
    where = runtime.device()
    work.device = runtime.device_name(where)
    runs = runs_of(spec)
    jobs = [
        (f"{factor}-{value}-{seed}", settings.replace(seed=seed))
        for factor, value, settings in runs
        for seed in spec.seeds
    ]
    found = stacked([
        gaussian.GaussianRun(settings, where).table(work, name, work.part(place, len(jobs), name))
        for place, (name, settings) in enumerate(jobs)
    ])  # fmt: skip
    shaped = {k: v.reshape(len(runs), len(spec.seeds), *v.shape[1:]) for k, v in found.items()}
    first = runs[0][2]
    return {
        "error": shaped["error"], "reference": shaped["reference"][0],
        "parameters": shaped["parameters"][:, 0], "factor": np.array([factor for factor, _, _ in runs]),
        "value": np.array([value for _, value, _ in runs]),
        "step": np.array(gaussian.evaluation_steps(first)), "t": gaussian.times(first).numpy(),
    }  # fmt: skip


def fingerprints(spec: FactorsSpec) -> dict[str, str]:
    """Of the training points of each seed."""
    base = runs_of(spec)[0][2]
    return {
        f"{name}, seed {seed}": digest
        for seed in spec.seeds
        for name, digest in gaussian.fingerprints(base.replace(seed=seed)).items()
    }


EXPERIMENT = Experiment(
    name="gaussian_factors",
    version=1,
    spec=FactorsSpec,
    profiles={
        "smoke": FactorsSpec(
            dim=6, n_train=30, width=16, iterations=30, depth=2, batch=10, depths=(3,), batches=(5, 20),
            horizon=5, every=15, levels=4, paths=10, seeds=(0, 1),
        ),
        "laptop": FactorsSpec(),
    },
    compute=compute,
    seconds={"smoke": 3, "laptop": 600},
    data=fingerprints,
    tolerance=gaussian.TOLERANCE,
)  # fmt: skip
