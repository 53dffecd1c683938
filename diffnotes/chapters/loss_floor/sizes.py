"""The optimal loss of parts of a training set: how its critical noise level falls as images are added."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from diffnotes.chapters.loss_floor.curve import (
    MADE_UP,
    SETS,
    SHARES,
    SMALL,
    TOLERANCE,
    asked,
    curve_of,
    gaussian_sigma,
    images_of,
    spectrum,
)
from diffnotes.data import fingerprint
from diffnotes.data.sets import subset
from diffnotes.process import noise_levels
from diffnotes.store import Arrays, Experiment, Spec, Work, choice, number, numbers

SLICE = 1024  # draws between two saves


@dataclass(frozen=True)
class SizeSpec(Spec):
    """Settings of the curves of parts; sigma is in units of pixels in [-1, 1]."""

    dataset: str = choice("cifar10", *SETS, *MADE_UP, help="training set")
    sizes: tuple[int, ...] = numbers((500, 5000, 10000), low=2, help="images in each part, rising")
    levels: int = number(64, low=2, high=1000, help="noise levels, evenly spaced in ln sigma")
    sigma_min: float = number(0.01, low=1e-6, high=1e3, help="smallest noise level")
    sigma_max: float = number(100.0, low=1e-6, high=1e6, help="largest noise level")
    sources: int = number(4096, low=4, help="draws of a source image, each under two noises")
    seed: int = number(0, low=0, high=2**31, help="seed of the parts, of sources and noise")
    parts: int = number(1, low=1, high=100, later=True, help="parts of each size, without common images")


def compute(spec: SizeSpec, work: Work) -> Arrays:
    """One curve for each part of each size; a smaller first part lies inside a larger one."""
    levels = noise_levels(spec.levels, spec.sigma_min, spec.sigma_max)
    whole, sigmas, curves = images_of(spec.dataset, 0, spec.seed), levels.numpy(), []
    cut = [(size, part) for size in spec.sizes for part in range(spec.parts)]
    for place, (size, part) in enumerate(cut):
        values = subset(whole, (part + 1) * size, spec.seed).values[part * size :]
        step = work.part(place, len(cut), f"{size:,} images")
        name = f"size-{size}-{part}" if part else f"size-{size}"
        curves.append(curve_of(values, levels, spec, work, step, name, SLICE))
    eigenvalues = spectrum(whole.values)
    critical = [np.interp(SHARES, c.mean.numpy() / c.variance, sigmas) for c in curves]
    return {
        "sigma": sigmas, "size": np.array([size for size, _ in cut]),
        "mean": np.stack([c.mean.numpy() for c in curves]),
        "stderr": np.stack([c.stderr.numpy() for c in curves]),
        "area": np.array([c.area for c in curves]), "area_stderr": np.array([c.area_stderr for c in curves]),
        "variance": np.array([c.variance for c in curves]),
        "critical_share": np.array(SHARES), "critical": np.stack(critical),
        "gaussian_sigma": np.array([gaussian_sigma(eigenvalues, size) for size, _ in cut]),
    }  # fmt: skip


def fingerprints(spec: SizeSpec) -> dict[str, str]:
    """Of the whole set."""
    return {spec.dataset: fingerprint(**asked(spec.dataset))}


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
    data=fingerprints,
    tolerance=TOLERANCE,
    tolerances={"mean": SMALL, "stderr": SMALL},
)
