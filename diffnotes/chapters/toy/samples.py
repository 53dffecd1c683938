"""Chapter 1: Fréchet distances of the toy's samples from its training and validation points.

Points at random angles, as in the authors' study of samples (public code of arXiv 2603.13419), and many sets
of them. One set of start noise for each set of points, the same for every model error and both solvers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy import ndarray as Array

from diffnotes.chapters.toy import formulas as toy
from diffnotes.metrics import frechet
from diffnotes.sample import edm_sigmas
from diffnotes.store import Arrays, Experiment, Spec, Tolerance, Work, number, numbers
from diffnotes.train import stacked

WAYS = ("Euler", "Heun", "exact law")  # how samples are made: the axis `way`


@dataclass(frozen=True)
class SamplesSpec(Spec):
    """Settings; lengths are in units where the circle has radius 10."""

    n: int = number(500, low=4, high=5000, help="training points, as many validation points and samples")
    deltas: tuple[float, ...] = numbers(
        (3.0, 2.52, 2.03, 1.55, 1.07, 0.58, 0.1), low=0.01, high=50, help="model errors"
    )
    steps: int = number(40, low=2, high=1000, help="steps of the sampler")
    supports: int = number(20, low=2, high=1000, help="sets of points")
    seed: int = number(2, low=0, high=1_000_000, help="of the first set of points; 2 is the authors'")


def compute(spec: SamplesSpec, work: Work) -> Arrays:
    """Distances [support, delta, way, split] of samples from training and from validation points."""
    tables = []
    for place in range(spec.supports):
        found = work.load(f"support-{place}")
        if found is None:
            found = _support(spec, spec.seed + place)
            work.save(f"support-{place}", found)
            work.step(place + 1, spec.supports, f"set {place + 1}")
        tables.append(found)
    return stacked(tables) | {"delta": np.array(spec.deltas), "way": np.array(WAYS)}


def _support(spec: SamplesSpec, seed: int) -> Arrays:
    """Of one set of points; `floor` is the distance of its validation points from its training points."""
    train, val = toy.random_support(spec.n, seed)
    start, blur = (toy.normal(seed, f"samples, {name}", spec.n) for name in ("start", "law"))
    rows = []
    for delta in spec.deltas:
        made = [*_solved(train, delta, start, spec.steps), train + delta * blur]
        rows.append([[_distance(x, points) for points in (train, val)] for x in made])
    return {"frechet": np.array(rows), "floor": np.array(_distance(val, train))}


def _solved(train: Array, delta: float, start: Array, steps: int) -> list[Array]:
    """Samples [n, 2] by Euler's and by Heun's method."""
    sigmas, predict = edm_sigmas(steps).numpy(), toy.blurred(train, delta)
    return [toy.sample(predict, sigmas[0] * start, sigmas, heun, len(train)) for heun in (False, True)]


def _distance(a: Array, b: Array) -> float:
    return frechet(torch.from_numpy(a), torch.from_numpy(b))


EXPERIMENT = Experiment(
    name="toy_samples",
    version=1,
    spec=SamplesSpec,
    profiles={
        "smoke": SamplesSpec(n=40, deltas=(3.0, 1.5, 0.1), steps=12, supports=3),
        "laptop": SamplesSpec(),
    },
    compute=compute,
    seconds={"smoke": 1, "laptop": 120},
    tolerance=Tolerance(1e-7, 1e-9, "float64; a distance near 0 is a difference of traces"),
)
