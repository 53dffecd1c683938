"""The optimal loss of a training set at every noise level, exactly, with standard errors (chapter 4).

Theorem 1 of Xu et al. (arXiv 2506.13763): J*(sigma) = E|x0 - E[x0|x]|^2 is the loss that no denoiser can beat
on its training set. Beside it stands the same quantity for a Gaussian with the training set's covariance.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from scipy.optimize import brentq

from diffnotes import data
from diffnotes.base import runtime
from diffnotes.data import fingerprint
from diffnotes.optimal_loss import LossCurve, LossSums, accumulate
from diffnotes.posterior import gaussian_optimal_loss
from diffnotes.process import noise_levels
from diffnotes.store import Arrays, Experiment, Spec, Tolerance, Work, choice, is_twin, number

SHARES = (0.01, 0.1, 0.5)  # of the data variance; the first defines the critical sigma*
SLICE = 256  # draws between two saves
ROWS = 4096  # points whose products are formed at a time
LOADED: dict[str, dict[str, Any]] = {  # as `data.load` is asked; every other set: its train split
    "imagenet64": {"split": "validation"},
    "specimens64": {"split": "validation"},
    "imagenet64-all": {"name": "imagenet64", "split": "all", "per_class": 100},
    "specimens64-all": {"name": "specimens64", "split": "all", "per_class": 3},
    "imagenet64-sample": {"name": "imagenet64", "folder": "imagenet64-sample"},
}
SETS = ("digits", "cifar10", "imagenet64", "imagenet64-all", "imagenet64-sample")
MADE_UP = ("specimens", "specimens64", "specimens64-all")
WIDE: dict[str, Any] = {"sigma_min": 0.1, "sigma_max": 1000.0}  # reaches the 1/sigma^2 tail of 64 x 64 images


@dataclass(frozen=True)
class LossSpec(Spec):
    """Settings of an optimal-loss curve; sigma is in units of pixels in [-1, 1]."""

    dataset: str = choice("digits", *SETS, *MADE_UP, help="training set")
    n: int = number(0, low=0, help="training images, drawn at random by the seed; 0 for all")
    levels: int = number(64, low=2, high=1000, help="noise levels, evenly spaced in ln sigma")
    sigma_min: float = number(0.01, low=1e-6, high=1e3, help="smallest noise level")
    sigma_max: float = number(100.0, low=1e-6, high=1e6, help="largest noise level")
    sources: int = number(
        16384, low=4, help="draws of a source image, each under two noises and their negatives"
    )
    seed: int = number(0, low=0, high=2**31, help="seed of subset, sources and noise")


def compute(spec: LossSpec, work: Work) -> Arrays:
    """The curve of the training set, that of the Gaussian, and where both leave zero."""
    images = images_of(spec.dataset, spec.n, spec.seed)
    where = runtime.device()
    work.device = runtime.device_name(where)
    levels = noise_levels(spec.levels, spec.sigma_min, spec.sigma_max)
    curve = curve_of(images.values.to(where), levels, spec, work, work.step)
    sigmas = levels.numpy()
    eigenvalues = spectrum(images.values)
    mean, share = curve.mean.numpy(), curve.mean.numpy() / curve.variance
    return {
        "sigma": sigmas, "mean": mean, "stderr": curve.stderr.numpy(),
        "area": np.array(curve.area), "area_stderr": np.array(curve.area_stderr),
        "variance": np.array(curve.variance), "n": np.array(len(images)), "sources": np.array(curve.draws),
        "dimension": np.array(images.values[0].numel()), "eigenvalues": eigenvalues.astype(np.float32),
        "critical_share": np.array(SHARES), "critical": np.interp(SHARES, share, sigmas),
        "gaussian": gaussian_optimal_loss(levels, torch.from_numpy(eigenvalues)).numpy(),
        "gaussian_sigma": np.array(gaussian_sigma(eigenvalues, len(images))),
    }  # fmt: skip


def images_of(dataset: str, n: int, seed: int) -> data.Dataset:
    """The images whose optimum is meant: `n` at random, or all for 0.

    imagenet64 is the validation split of Tiny ImageNet: 10,000 images that anyone can get whole.
    imagenet64-all has 20,000 of its training images beside them, 100 of each class. imagenet64-sample is a
    folder of that name, with a folder for each class, of full ImageNet at 64 x 64.
    """
    return data.load(n=n or None, seed=seed, **asked(dataset))


def asked(dataset: str) -> dict[str, Any]:
    """Name, split and settings with which `data.load` gives a set."""
    return {"name": dataset, "split": "train", **LOADED.get(dataset, {})}


class Sampled(Protocol):
    """Settings of how many sources are drawn."""

    @property
    def sources(self) -> int: ...

    @property
    def seed(self) -> int: ...


def curve_of(
    values: torch.Tensor,
    levels: torch.Tensor,
    spec: Sampled,
    work: Work,
    step: Callable[[float, float, str], None],
    name: str = "sums",
    size: int = SLICE,
) -> LossCurve:
    """The exact curve, with sums that are saved under `name` after every `size` draws, which `step` hears."""
    saved = work.load(name)
    sums = LossSums.from_arrays(saved) if saved else None
    for start in range(sums.draws if sums else 0, spec.sources, size):
        draws = range(start, min(start + size, spec.sources))
        more = accumulate(values, levels, draws, seed=spec.seed)
        sums = more if sums is None else sums + more
        work.save(name, sums.to_arrays())
        step(draws.stop, spec.sources, f"{draws.stop:,} of {spec.sources:,} sources")
    assert sums is not None  # spec.sources is at least 4
    return sums.curve()


def spectrum(values: torch.Tensor) -> np.ndarray:
    """Eigenvalues [d] of the covariance of values [n, ...], falling, float64; bytes p stand for p/127.5 - 1.

    With fewer points than dimensions they come from the products of the points with each other, and zeros;
    else from sums over a part of the points at a time, so that never all of them are floats.
    """
    flat = values.reshape(len(values), -1)
    count, dimension = flat.shape
    with runtime.full_precision():
        if count < dimension:
            x = data.as_floats(flat)
            products = _summed((x - x.mean(0)).T.split(ROWS), count)
        else:
            parts = [flat[part] for part in runtime.blocks(count, ROWS)]
            mean = torch.stack([data.as_floats(part).sum(0).double() for part in parts]).sum(0) / count
            products = _summed((data.as_floats(part) - mean.float() for part in parts), dimension)
    found = torch.linalg.eigvalsh(products.div_(count)).flip(0).clamp(min=0.0)
    return torch.nn.functional.pad(found, (0, dimension - len(found))).numpy()


def _summed(parts: Iterable[torch.Tensor], size: int) -> torch.Tensor:
    """The sum of the products part^T part [size, size], float64."""
    total = torch.zeros(size, size, dtype=torch.float64)
    for part in parts:
        total += part.T @ part
    return total


def gaussian_sigma(eigenvalues: np.ndarray, n: int) -> float:
    """The sigma at which a Gaussian observation has told ln n nats:
    1/2 sum_k ln(1 + lambda_k/sigma^2) = ln n.
    """

    def excess(log_sigma: float) -> float:
        return 0.5 * float(np.log1p(eigenvalues / math.exp(2 * log_sigma)).sum()) - math.log(n)

    return math.exp(brentq(excess, math.log(1e-9), math.log(1e9)))


def fingerprints(spec: LossSpec) -> dict[str, str]:
    return {spec.dataset: fingerprint(n=spec.n or None, seed=spec.seed, **asked(spec.dataset))}


TOLERANCE = Tolerance(2e-6, why="means of float32 weights over many draws: 2e-7")
FLOAT32 = Tolerance(2e-5, 4e-5, "covariances in float32: 4e-6 beside a largest eigenvalue of 806")
# Small losses hang on few draws: float32 weights make up to 1e-4 for one. Points below exp(-40) of the weight
# are dropped, which ones by rounding: up to exp(-40) of half a squared distance, of 1e4 at most.
SMALL = Tolerance(1e-3, 1e-13, "float32 weights of few draws; which weights below exp(-40) are dropped")

EXPERIMENT = Experiment(
    name="loss_curve",
    version=1,
    spec=LossSpec,
    profiles={
        "smoke": LossSpec(n=300, levels=24, sources=700),  # two full passes and a part, three slices
        "smoke_pixels": LossSpec(dataset="specimens", n=300, levels=24, sources=300),
        # more points than a tile holds, more sources than a batch
        "smoke_files": LossSpec(dataset="specimens64", levels=24, sources=270),
        "laptop": LossSpec(),
    },
    compute=compute,
    seconds={"smoke": 2, "smoke_pixels": 2, "smoke_files": 4, "laptop": 300},
    data=fingerprints,
    shown=(
        {"dataset": "digits"},
        {"dataset": "cifar10"},
        {"dataset": "imagenet64"},
        {"dataset": "imagenet64-all", "sources": 8192, **WIDE},
        {"dataset": "imagenet64-sample", **WIDE},
    ),
    tolerance=TOLERANCE,
    tolerances={"mean": SMALL, "stderr": SMALL, "eigenvalues": FLOAT32, "gaussian": FLOAT32},
)


def sets(profile: str) -> tuple[Mapping[str, Any], ...]:
    """The settings that the book shows; in a twin every set has the twin's few sources."""
    if not is_twin(profile):
        return EXPERIMENT.shown
    return tuple({name: shown[name] for name in shown if name != "sources"} for shown in EXPERIMENT.shown)
