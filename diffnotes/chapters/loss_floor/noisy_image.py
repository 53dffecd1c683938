"""What may lie behind one noisy image: its posterior over the training set at many noise levels."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

from diffnotes import data
from diffnotes.base import runtime
from diffnotes.base.shapes import Tensor
from diffnotes.data import fingerprint
from diffnotes.optimal_loss.all_levels import prepare
from diffnotes.optimal_loss.subsets import Draws, draws_of
from diffnotes.posterior import Support
from diffnotes.process import noise_levels
from diffnotes.store import Arrays, Experiment, Spec, Tolerance, Work, choice, number, numbers


@dataclass(frozen=True)
class NoisySpec(Spec):
    """Settings; sigma is in units of pixels in [-1, 1]."""

    dataset: str = choice("cifar10", "digits", "cifar10", "specimens", help="training set, used whole")
    images: tuple[int, ...] = numbers((4, 7, 8), low=0, high=49_999, help="positions of the clean images")
    levels: int = number(25, low=2, high=60, help="noise levels, evenly spaced in ln sigma")
    sigma_min: float = number(0.5, low=1e-3, high=1e3, help="smallest noise level")
    sigma_max: float = number(50.0, low=1e-3, high=1e3, help="largest noise level")
    shown: int = number(5, low=1, high=8, help="training images with the largest weights to keep")
    seed: int = number(0, low=0, high=2**31, help="seed of the noise, the same at all levels")


def compute(spec: NoisySpec, work: Work) -> Arrays:
    """Clean images, noise, posterior means, the largest weights and whose they are; pixels as bytes."""
    images = data.load(spec.dataset)
    whole, shape = prepare(Support.of(images.values)), tuple(images.values.shape[1:])
    sigmas = noise_levels(spec.levels, spec.sigma_min, spec.sigma_max)
    noise = runtime.normals(spec.seed, "noisy image", spec.images, (math.prod(shape),))
    with runtime.full_precision(), torch.no_grad():
        weight = _weights(draws_of(whole, torch.tensor(spec.images), noise), sigmas)
        mean = _means(whole.support, weight.flatten(0, 1).float())
    top = weight.topk(spec.shown, 2)
    kept, place = top.indices.unique(return_inverse=True)
    return {
        "sigma": sigmas.numpy(), "n": np.array(len(images)),
        "clean": _bytes(whole.support, torch.tensor(spec.images), shape),
        "noise": noise.view(-1, *shape).half().numpy(),
        "mean": data.as_bytes(mean).reshape(len(spec.images), spec.levels, *shape),
        "effective": (1 / weight.square().sum(2)).numpy(), "weight": top.values.numpy(),
        "source_weight": weight[torch.arange(len(noise)), :, torch.tensor(spec.images)].numpy(),
        "which": place.numpy().astype(np.int16), "number": kept.numpy(),
        "kept": _bytes(whole.support, kept, shape),
    }  # fmt: skip


def _weights(drawn: Draws, sigmas: Tensor) -> Tensor:
    """Posterior weights [images, levels, n], float64."""
    rates = drawn.support.scale / sigmas[:, None]
    a, h = drawn.a.double()[:, None], drawn.h.double()[:, None]
    return torch.softmax(-rates * (a * rates + h), 2)


def _means(support: Support, weight: Tensor) -> Tensor:
    """Posterior means [b, d] in data units, float64."""
    total = torch.zeros(len(weight), support.raw.shape[1])
    for part in runtime.blocks(support.count, support.tile_rows):
        total.addmm_(weight[:, part], support.tile(part, weight.device))
    return support.uncentred(total)


def _bytes(support: Support, index: Tensor, shape: tuple[int, ...]) -> np.ndarray:
    return data.as_bytes(support.rows(index, index.device)).reshape(len(index), *shape)


def _fingerprints(spec: NoisySpec) -> dict[str, str]:
    return {spec.dataset: fingerprint(spec.dataset)}


EXPERIMENT = Experiment(
    name="noisy_image",
    version=1,
    spec=NoisySpec,
    profiles={
        "smoke": NoisySpec(dataset="digits", images=(4, 7), levels=5, sigma_min=0.2, sigma_max=5.0),
        # more points than a tile holds
        "smoke_pixels": NoisySpec(dataset="specimens", images=(4, 7), levels=9),
        "laptop": NoisySpec(),
    },
    compute=compute,
    seconds={"smoke": 1, "smoke_pixels": 1, "laptop": 15},
    data=_fingerprints,
    tolerance=Tolerance(1e-4, 1e-7, "weights of float32 products"),
    tolerances={
        "noise": Tolerance(1e-3, 1e-6, "kept as float16"),
        **dict.fromkeys(("clean", "mean", "kept"), Tolerance(0.0, 1.0, "a byte may round the other way")),
    },
)
