"""How much states of the sampler overlap with noised training images, by their distance to these images.

The distance to the nearest training image, in units of sigma sqrt(d), is a score that needs no fit. A trained
classifier has more to go by, and could tell the two only better apart: overlap is overstated, never
understated.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.stats import rankdata
from torch import Tensor, nn

from diffnotes.base import runtime
from diffnotes.metrics import neighbours
from diffnotes.sample import edm_sigmas, initial_noise, trajectory
from diffnotes.store import Arrays

CENTRAL = (0.01, 0.99)  # quantiles of the distances of noised training images: the range that counts as there
NOISES = 8  # draws of noise for each training image behind these quantiles
ROWS = 256  # samples solved at once


def overlaps(
    model: nn.Module, known: Tensor, unseen: Tensor, count: int, steps: int, levels: list[float],
    place: int, seed: int,
) -> Arrays:  # fmt: skip
    """Of `count` images of each kind at each level: shares within the range of noised training images, and
    areas under the ROC curve against noised training images [level, kind]; distances at one level.

    Kinds are noised training images of another draw, noised held-out images, and states of the sampler.
    """
    states = sampler_states(model, known, count, steps, levels, seed)
    shares, areas, kept = [], [], []
    for at, sigma in enumerate(levels):
        unit = sigma * known[0].numel() ** 0.5
        noise = [_noise(seed, f"overlap, {name}", count, known) for name in ("training", "held out")]
        kinds = [known[:count] + sigma * noise[0], unseen[:count] + sigma * noise[1], states[at]]
        found = [neighbours(x, known).distance[:, 0].cpu().numpy() / unit for x in kinds]
        low, high = np.quantile(reference(known, sigma, seed) / unit, CENTRAL)
        shares.append([np.mean((one >= low) & (one <= high)) for one in found])
        areas.append([area(found[0], one) for one in found])
        if at == place:
            kept = [found, [low, high]]
    return {
        "share": np.array(shares), "area": np.array(areas),
        "distance": np.array(kept[0], np.float32), "range": np.array(kept[1]),
    }  # fmt: skip


def reference(known: Tensor, sigma: float, seed: int) -> np.ndarray:
    """Distances of noised training images [NOISES * n] to the nearest one."""
    found = []
    for draw in range(NOISES):
        noise = _noise(seed, f"overlap, reference {draw}", len(known), known)
        found.append(neighbours(known + sigma * noise, known).distance[:, 0])
    return torch.cat(found).cpu().numpy()


def area(zero: np.ndarray, one: np.ndarray) -> float:
    """The area under the ROC curve: P(a score of `one` is above one of `zero`), ties half (Mann-Whitney)."""
    ranks = rankdata(np.concatenate([zero, one]))[len(zero) :]
    return float((ranks.mean() - (len(one) + 1) / 2) / len(zero))


def sampler_states(
    model: nn.Module, known: Tensor, count: int, steps: int, levels: list[float], seed: int
) -> list[Tensor]:
    """States [count, ...] of the sampler at some of its levels."""
    times, shape = edm_sigmas(steps), tuple(known.shape[1:])
    found: dict[float, list[Tensor]] = {level: [] for level in levels}
    for part in runtime.blocks(count, ROWS):
        noise = initial_noise(range(part.start, part.stop), shape, seed).to(known.device)
        for state in trajectory(model, float(times[0]) * noise, times):
            if state.t in found:
                found[state.t].append(state.x)
            if state.t <= levels[-1]:
                break
    return [torch.cat(found[level]) for level in levels]


def _noise(seed: int, stream: str, count: int, like: Tensor) -> Tensor:
    return runtime.normals(seed, stream, range(count), tuple(like.shape[1:])).to(like.device)
