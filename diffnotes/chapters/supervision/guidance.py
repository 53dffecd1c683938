"""What a class label changes where training looks: the exact gap of two posterior means (chapter 2).

Figure 2 of Song et al. (arXiv 2510.01378), its curve of training: |s*(z | c) - s*(z)| at noised training
images z of class c, where s* is the score of the noised data of that class, and of all classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from diffnotes import data
from diffnotes.base import runtime
from diffnotes.chapters.supervision.region import PROCESS, exact
from diffnotes.data import fingerprint
from diffnotes.regions import guidance_gap
from diffnotes.store import Arrays, Experiment, Spec, Tolerance, Work, choice, number, numbers


@dataclass(frozen=True)
class GuidanceSpec(Spec):
    """Which images, and where in the time of flow matching; 200 images at 100 times are the paper's."""

    dataset: str = choice("digits", "digits", "cifar10", "specimens", help="training set, with its classes")
    n: int = number(0, low=0, help="training images, drawn at random by the seed; 0 for all")
    times: tuple[float, ...] = numbers(
        tuple(k / 100 for k in range(1, 101)), low=1e-3, high=1.0, help="times t of the noised images"
    )
    queries: int = number(200, low=4, help="images that are noised, the same at each time")
    seed: int = number(0, low=0, high=2**31, help="seed of the images and of their noise")


def compute(spec: GuidanceSpec, work: Work) -> Arrays:
    """|E[x0|z, c] - E[x0|z]|^2 / d [time, query] at noised training images of class c."""
    where = runtime.device()
    work.device = runtime.device_name(where)
    known = data.load(spec.dataset, n=spec.n or None, seed=spec.seed)
    chosen = torch.from_numpy(runtime.permutation(spec.seed, "queries", len(known))[: spec.queries])
    clean = exact(known.values[chosen]).to(where)
    shape = clean.shape[1:]
    eps = runtime.normals(spec.seed, "eps", range(len(chosen)), shape, torch.float64).to(where)
    values, labels, wanted = (x.to(where) for x in (known.values, known.labels, known.labels[chosen]))

    def at(t: float) -> Tensor:
        z = PROCESS.noisy(clean, eps, torch.tensor(t, dtype=torch.float64, device=where))
        return guidance_gap(z, t, values, labels, wanted, PROCESS)

    rows = []
    for place, t in enumerate(spec.times):
        found = work.load(f"time-{place}")
        if found is None:
            found = {"gap": at(t).float().cpu().numpy()}
            work.save(f"time-{place}", found)
            work.step(place + 1, len(spec.times), f"t = {t:g}")
        rows.append(found["gap"])
    return {
        "t": np.array(spec.times), "gap": np.stack(rows), "n": np.array(len(known)),
        "dim": np.array(clean[0].numel()), "classes": np.array(len(known.labels.unique())),
    }  # fmt: skip


def _fingerprints(spec: GuidanceSpec) -> dict[str, str]:
    return {spec.dataset: fingerprint(spec.dataset)}


EXPERIMENT = Experiment(
    name="guidance_gap",
    version=1,
    spec=GuidanceSpec,
    profiles={
        "smoke": GuidanceSpec(n=200, times=(0.05, 0.5, 0.9, 1.0), queries=20),
        "smoke_pixels": GuidanceSpec(dataset="specimens", times=(0.3, 0.9), queries=10),
        "laptop": GuidanceSpec(),
    },
    compute=compute,
    seconds={"smoke": 1, "smoke_pixels": 2, "laptop": 150},
    data=_fingerprints,
    shown=({"dataset": "digits"}, {"dataset": "cifar10"}),
    tolerance=Tolerance(1e-4, 1e-12, "squares of differences of means that are right to 1e-6"),
)
