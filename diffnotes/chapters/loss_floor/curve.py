"""The optimal loss of a training set at every noise level, exactly, with standard errors (chapter 4).

Theorem 1 of Xu et al. (arXiv 2506.13763): J*(sigma) = E|x0 - E[x0|x]|^2 is the loss that no denoiser can beat
on its training set. Beside it stands the same quantity for a Gaussian with the training set's covariance.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from scipy.optimize import brentq

from diffnotes import data
from diffnotes.base import runtime
from diffnotes.data import fingerprint
from diffnotes.optimal_loss import LossCurve, LossSums, accumulate
from diffnotes.posterior import gaussian_optimal_loss
from diffnotes.process import noise_levels
from diffnotes.store import Arrays, Experiment, Spec, Tolerance, Work, choice, number

SHARES = (0.01, 0.1, 0.5)  # of the data variance; the first defines the critical sigma*
SLICE = 256  # draws between two saves
SPLITS = {"imagenet64": "validation", "specimens64": "validation"}  # every other set: train


@dataclass(frozen=True)
class LossSpec(Spec):
    """Settings of an optimal-loss curve; sigma is in units of pixels in [-1, 1]."""

    dataset: str = choice(
        "digits", "digits", "cifar10", "imagenet64", "specimens", "specimens64", help="training set"
    )
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
    eigenvalues = spectrum(images.x)
    mean, share = curve.mean.numpy(), curve.mean.numpy() / curve.variance
    return {
        "sigma": sigmas, "mean": mean, "stderr": curve.stderr.numpy(),
        "area": np.array(curve.area), "area_stderr": np.array(curve.area_stderr),
        "variance": np.array(curve.variance), "n": np.array(len(images)), "sources": np.array(curve.draws),
        "dimension": np.array(images.x[0].numel()), "eigenvalues": eigenvalues.astype(np.float32),
        "critical_share": np.array(SHARES), "critical": np.interp(SHARES, share, sigmas),
        "gaussian": gaussian_optimal_loss(levels, torch.from_numpy(eigenvalues)).numpy(),
        "gaussian_sigma": np.array(gaussian_sigma(eigenvalues, len(images))),
    }  # fmt: skip


def images_of(dataset: str, n: int, seed: int) -> data.Dataset:
    """The images whose optimum is meant: `n` at random, or all for 0.

    imagenet64 is the validation split of Tiny ImageNet: 10,000 images that anyone can get whole.
    """
    return data.load(dataset, n=n or None, split=SPLITS.get(dataset, "train"), seed=seed)


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


def spectrum(x: torch.Tensor) -> np.ndarray:
    """Eigenvalues [d] of the covariance of x [n, ...], falling, float64.

    With fewer points than dimensions they come from the products of the points with each other, and zeros.
    """
    flat = x.reshape(len(x), -1)
    centred = flat - flat.mean(0)
    count, dimension = flat.shape
    short = centred.T if count < dimension else centred
    with runtime.full_precision():
        covariance = sum((part.T @ part).double() for part in short.split(4096))
    values = torch.linalg.eigvalsh(covariance / count).flip(0).clamp(min=0.0)
    return torch.nn.functional.pad(values, (0, dimension - len(values))).numpy()


def gaussian_sigma(eigenvalues: np.ndarray, n: int) -> float:
    """The sigma at which a Gaussian observation has told ln n nats:
    1/2 sum_k ln(1 + lambda_k/sigma^2) = ln n.
    """

    def excess(log_sigma: float) -> float:
        return 0.5 * float(np.log1p(eigenvalues / math.exp(2 * log_sigma)).sum()) - math.log(n)

    return math.exp(brentq(excess, math.log(1e-9), math.log(1e9)))


def _fingerprints(spec: LossSpec) -> dict[str, str]:
    split = SPLITS.get(spec.dataset, "train")
    return {spec.dataset: fingerprint(spec.dataset, spec.n or None, split, spec.seed)}


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
    data=_fingerprints,
    shown=({"dataset": "digits"}, {"dataset": "cifar10"}, {"dataset": "imagenet64"}),
    tolerance=TOLERANCE,
    tolerances={"mean": SMALL, "stderr": SMALL, "eigenvalues": FLOAT32, "gaussian": FLOAT32},
)
