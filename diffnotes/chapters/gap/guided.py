"""Gaps of denoising and of samples when a network is guided by its own early snapshot.

D_w = D + w (D - D_early), autoguidance (Karras et al., arXiv 2406.02507); the noise is the same for all w.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from diffnotes.base import runtime
from diffnotes.chapters.gap.experiment import GapSpec, noise_levels
from diffnotes.metrics import denoising_error, frechet, pooled, relative_gap
from diffnotes.sample import edm_sigmas, guided, sample
from diffnotes.store import Arrays
from diffnotes.train import stacked

ROWS = 256  # samples solved at once


def guided_gaps(
    good: Callable[..., Tensor], bad: Callable[..., Tensor], known: Tensor, unseen: Tensor,
    weights: Sequence[float], count: int, spec: GapSpec, seed: int,
) -> Arrays:  # fmt: skip
    """For each weight: errors and their gap over sigma [w, l], and Fréchet distances of `count` samples to
    images of both splits [w]."""
    rows = []
    for weight in weights:
        model = guided(good, bad, weight)
        made = sample(model, tuple(known.shape[1:]), count, edm_sigmas(spec.sampler_steps), seed=seed,
                      batch=ROWS, device=known.device)  # fmt: skip
        far = {
            f"frechet_{name}": np.array(frechet(pooled(made), pooled(x[:count].cpu())))
            for name, x in (("train", known), ("val", unseen))
        }
        rows.append(errors(model, known, unseen, spec, seed) | far)
    return stacked(rows)


def errors(
    model: Callable[..., Tensor], known: Tensor, unseen: Tensor, spec: GapSpec, seed: int
) -> Arrays:
    """Denoising errors over sigma [l] of both splits, their relative gap and its standard error."""
    sigmas = torch.from_numpy(noise_levels(spec))
    with runtime.full_precision(), torch.no_grad():
        one, two = (
            denoising_error(model, x, sigmas, seed=seed, draws=spec.draws).cpu() for x in (known, unseen)
        )
    gap, spread = relative_gap(one, two)
    found = {"train": one.mean(1), "val": two.mean(1), "gap": gap, "gap_stderr": spread}
    return {name: value.numpy() for name, value in found.items()}
