"""Chapter 1: where the sampler of the optimal denoiser ends.

D*(x, sigma) = sum_i w_i x_i with w = softmax(-|x - x_i|^2 / (2 sigma^2)), the exact posterior mean of n
training points, in the probability-flow ODE dx/dsigma = (x - D*)/sigma of EDM (Karras et al. 2022).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from diffnotes import data
from diffnotes.base import runtime
from diffnotes.data import fingerprint
from diffnotes.metrics import neighbours, ratios
from diffnotes.posterior import posterior
from diffnotes.sample import edm_sigmas, initial_noise, trajectory
from diffnotes.store import Arrays, Experiment, Spec, Tolerance, Work, choice, number

ROWS = 100  # samples solved at once


@dataclass(frozen=True)
class SamplerSpec(Spec):
    """Which training points, and how many samples."""

    dataset: str = choice("digits", "circle", "digits", "cifar10", "specimens", help="training set")
    n: int = number(600, low=4, help="training points")
    samples: int = number(599, low=4, help="samples, and held-out points, at most")
    steps: int = number(32, low=4, help="Heun steps of the sampler")
    seed: int = number(0, low=0, high=2**31, help="of the training points and of the noise")


def compute(spec: SamplerSpec, work: Work) -> Arrays:
    """Of each sample: distance to the nearest training point, rho, and which it is; what it does on the way;
    and the distance of held-out points to the nearest training point."""
    where = runtime.device()
    work.device = runtime.device_name(where)
    known, unseen = (x.to(where) for x in points(spec))
    parts = []
    for part in runtime.blocks(spec.samples, ROWS):
        found = work.load(f"rows-{part.start}")
        if found is None:
            found = _solved(spec, known, range(part.start, part.stop))
            work.save(f"rows-{part.start}", found)
            work.step(part.stop, spec.samples, f"sample {part.stop}")
        parts.append(found)
    names = parts[0]
    made = {name: np.concatenate([one[name] for one in parts], axis=-1) for name in names}
    return made | {
        "sigma": edm_sigmas(spec.steps)[:-1].numpy(), "dimension": np.array(known[0].numel()),
        "held_out": neighbours(unseen, known).distance[:, 0].cpu().numpy(),
    }  # fmt: skip


def points(spec: SamplerSpec) -> tuple[Tensor, Tensor]:
    """Training and held-out points [n, ...]; as many of both on the circle, each midway between two."""
    unseen = spec.n if spec.dataset == "circle" else spec.samples
    known = data.load(spec.dataset, spec.n, "train", spec.seed)
    return known.x, data.load(spec.dataset, unseen, "validation", spec.seed).x


def _solved(spec: SamplerSpec, known: Tensor, rows: range) -> Arrays:
    """Ends of some trajectories; and over noise levels [l, m], which training point is nearest to the
    prediction, and how far it is, as a root mean square per dimension."""
    levels, unit = edm_sigmas(spec.steps), known[0].numel() ** 0.5
    noise = initial_noise(rows, tuple(known.shape[1:]), spec.seed).to(known.device)
    *path, last = trajectory(lambda x, s: posterior(x, s, known).mean, float(levels[0]) * noise, levels)
    on_way, end = [neighbours(state.denoised, known) for state in path], neighbours(last.x, known)
    index = end.index[:, 0]
    return {
        "distance": end.distance[:, 0].cpu().numpy(), "rho": ratios(end).cpu().numpy(),
        "index": index.cpu().numpy(),
        "settled": torch.stack([near.index[:, 0] == index for near in on_way]).cpu().numpy(),
        "off": torch.stack([near.distance[:, 0] / unit for near in on_way]).cpu().numpy(),
    }  # fmt: skip


def _fingerprints(spec: SamplerSpec) -> dict[str, str]:
    """Of both splits, whole; the circle is made."""
    splits = () if spec.dataset == "circle" else ("train", "test")
    return {f"{spec.dataset} {split}": fingerprint(spec.dataset, split=split) for split in splits}


EXPERIMENT = Experiment(
    name="optimal_sampler",
    version=1,
    spec=SamplerSpec,
    profiles={
        "smoke": SamplerSpec(n=60, samples=110, steps=8),  # two parts, the second one short
        "smoke_circle": SamplerSpec(dataset="circle", n=10, samples=20, steps=12),
        "smoke_pixels": SamplerSpec(dataset="specimens", n=20, samples=10, steps=6),
        "laptop": SamplerSpec(),
    },
    compute=compute,
    seconds={"smoke": 1, "smoke_circle": 1, "smoke_pixels": 1, "laptop": 60},
    data=_fingerprints,
    shown=(
        {"dataset": "circle", "n": 10, "samples": 2000},
        {"dataset": "digits", "n": 600, "samples": 599},
        {"dataset": "cifar10", "n": 2000, "samples": 200},
    ),
    tolerance=Tolerance(1e-4, 1e-6, "float32 states, and distances near 0"),
)
