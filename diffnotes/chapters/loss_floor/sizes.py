"""The optimal loss of parts of a training set: how its critical noise level falls as images are added."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from diffnotes.chapters.loss_floor.curve import (
    SHARES,
    SMALL,
    TOLERANCE,
    curve_of,
    gaussian_sigma,
    images_of,
    spectrum,
)
from diffnotes.process import noise_levels
from diffnotes.store import Arrays, Experiment, Spec, Work, choice, number, numbers

SLICE = 1024  # draws between two saves


@dataclass(frozen=True)
class SizeSpec(Spec):
    """Settings of the curves of parts; sigma is in units of pixels in [-1, 1]."""

    dataset: str = choice(
        "cifar10", "digits", "cifar10", "imagenet64", "specimens", "specimens64", help="training set"
    )
    sizes: tuple[int, ...] = numbers((500, 5000, 10000), low=2, help="images in each part, rising")
    levels: int = number(64, low=2, high=1000, help="noise levels, evenly spaced in ln sigma")
    sigma_min: float = number(0.01, low=1e-6, high=1e3, help="smallest noise level")
    sigma_max: float = number(100.0, low=1e-6, high=1e6, help="largest noise level")
    sources: int = number(4096, low=4, help="draws of a source image, each under two noises")
    seed: int = number(0, low=0, high=2**31, help="seed of the parts, of sources and noise")


def compute(spec: SizeSpec, work: Work) -> Arrays:
    """One curve for each size; a smaller part lies inside a larger one."""
    levels = noise_levels(spec.levels, spec.sigma_min, spec.sigma_max)
    sigmas, curves = levels.numpy(), []
    for place, size in enumerate(spec.sizes):
        values = images_of(spec.dataset, size, spec.seed).values
        step = work.part(place, len(spec.sizes), f"{size:,} images")
        curves.append(curve_of(values, levels, spec, work, step, f"size-{size}", SLICE))
    eigenvalues = spectrum(images_of(spec.dataset, 0, spec.seed).x)
    critical = [np.interp(SHARES, c.mean.numpy() / c.variance, sigmas) for c in curves]
    return {
        "sigma": sigmas, "size": np.array(spec.sizes),
        "mean": np.stack([c.mean.numpy() for c in curves]),
        "stderr": np.stack([c.stderr.numpy() for c in curves]),
        "area": np.array([c.area for c in curves]), "area_stderr": np.array([c.area_stderr for c in curves]),
        "variance": np.array([c.variance for c in curves]),
        "critical_share": np.array(SHARES), "critical": np.stack(critical),
        "gaussian_sigma": np.array([gaussian_sigma(eigenvalues, size) for size in spec.sizes]),
    }  # fmt: skip


def _fingerprints(spec: SizeSpec) -> dict[str, str]:
    return {spec.dataset: images_of(spec.dataset, 0, spec.seed).fingerprint}


EXPERIMENT = Experiment(
    name="loss_sizes",
    version=1,
    spec=SizeSpec,
    profiles={
        "smoke": SizeSpec(dataset="digits", sizes=(40, 300), levels=24, sources=400),
        # two slices, the first of several batches; the larger part is more than a tile holds
        "smoke_pixels": SizeSpec(dataset="specimens", sizes=(40, 2060), levels=24, sources=1030),
        "laptop": SizeSpec(),
    },
    compute=compute,
    seconds={"smoke": 2, "smoke_pixels": 6, "laptop": 150},
    data=_fingerprints,
    tolerance=TOLERANCE,
    tolerances={"mean": SMALL, "stderr": SMALL},
)
