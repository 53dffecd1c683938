"""What finished samples tell: copies among them, their distances to real images, and pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch.nn.functional import adaptive_avg_pool2d

from diffnotes.base import runtime
from diffnotes.base.shapes import Array, Tensor
from diffnotes.data import as_bytes, as_floats
from diffnotes.diagnose.subject import CHUNK, Subject, distances, nearest
from diffnotes.metrics import Neighbours, frechet, memorized, neighbours, ratios, sliced_wasserstein
from diffnotes.store import Arrays

SHEET = 8  # samples kept as pictures


def ended(subject: Subject, made: Sequence[Arrays]) -> Arrays:
    """Copies among the samples, with the control; distances to real images; pictures."""
    if subject.given is not None:
        samples = subject.given.float().to(subject.where)
        path: Arrays = {}
    elif made:
        samples = torch.from_numpy(np.concatenate([one["sample"] for one in made])).to(subject.where)
        joined = [k for k in made[0] if k.endswith(("_gap", "_ratio"))]
        path = {k: np.concatenate([one[k] for one in made], 1) for k in joined}
        path["path_sigma"] = made[0]["path_sigma"]
    else:
        return {}
    near = neighbours(samples, subject.points())
    rho = _ratios(subject, samples, near)
    found = {
        "rho": rho.cpu().numpy(), "copies": _share(rho, subject.settings.seed),
        "control": _share(_control(subject, samples), subject.settings.seed), **path,
    }  # fmt: skip
    order = rho.argsort()[:SHEET]
    closest = as_floats(subject.train.values[near.index[order, 0].cpu()])
    if len(subject.shape) == 3:
        found |= {
            "sheet": as_bytes(samples[:SHEET]), "closest_samples": as_bytes(samples[order]),
            "closest_images": as_bytes(closest),
        }  # fmt: skip
    return found | dict(_distances(subject, samples))


def _ratios(subject: Subject, samples: Tensor, near: Neighbours) -> Tensor:
    """rho = d1/d2 [m], where d2 is the distance to the nearest training image that is no double of the
    nearest: else a copy of an image that is there twice would have rho near 1."""
    limit = subject.same * subject.size**0.5
    rho = ratios(near)
    values = subject.train.values
    pair = [as_floats(values[near.index[:, k].cpu()]).to(samples).flatten(1) for k in (0, 1)]
    rows = ((pair[0] - pair[1]).norm(dim=1) <= limit).nonzero()[:, 0]
    if not len(rows):
        return rho
    second = torch.full((len(rows),), torch.inf, dtype=torch.float64, device=samples.device)
    for part in runtime.blocks(len(values), CHUNK):
        other = distances(pair[0][rows], values[part]) > limit
        apart = torch.where(other, distances(samples[rows].flatten(1), values[part]), torch.inf)
        second = torch.minimum(second, apart.min(1).values.double())
    rho[rows] = torch.where(second > 0, near.distance[rows, 0] / second, 0.0)
    return rho


def _control(subject: Subject, samples: Tensor) -> Tensor:
    """The same ratio where there is nothing to copy: of the samples to held-out images, as many as there are
    training images; without any, of training images to the others, doubles left out."""
    if subject.held_out is not None:
        chosen = subject.order(subject.held_out, len(subject.train))  # more of them would be nearer
        return ratios(neighbours(samples, subject.held_out.values[chosen].to(subject.where)))
    own = subject.first(subject.train, len(samples)).flatten(1)
    limit = subject.same * subject.size**0.5
    found = nearest(own, subject.train.values, 2, beyond=limit)
    return (found[:, 0] / found[:, 1]).nan_to_num(1.0).double()


def _share(rho: Tensor, seed: int) -> Array:
    found = memorized(rho, seed=seed)
    return np.array([found.value, found.low, found.high])


def _distances(subject: Subject, samples: Tensor) -> Iterator[tuple[str, Array]]:
    """Fréchet and sliced Wasserstein distances of samples, and of training images, to as many real ones: in
    pixels averaged down to 64 values at most, and in features where there are any."""
    held = subject.held_out
    count = min(len(samples), len(subject.train), len(held) if held is not None else len(samples))
    if count < 2:
        return
    sets = {"sample": samples[:count], "train": subject.first(subject.train, count)}
    if held is not None:
        sets["held"] = subject.first(held, count)
    yield "distance_count", np.array(count)
    spaces: dict[str, Callable[[Tensor], Tensor]] = {"pixel": _plain}
    if subject.features is not None:
        spaces["feature"] = subject.features
    for space, features in spaces.items():
        seen = {name: features(x).cpu() for name, x in sets.items()}
        for one, two in (("sample", "train"), ("sample", "held"), ("train", "held")):
            if two in seen:
                yield f"{space}_frechet_{one}_{two}", np.array(float(frechet(seen[one], seen[two])))
                yield f"{space}_wasserstein_{one}_{two}", np.array(
                    float(sliced_wasserstein(seen[one], seen[two]))
                )


def _plain(x: Tensor) -> Tensor:
    """Pixels, averaged over parts of the image so that 64 values are left at most."""
    side = max(1, int((64 / x.shape[1]) ** 0.5)) if x.ndim == 4 else 0
    if not side or max(x.shape[2:]) <= side:
        return x.flatten(1)
    return adaptive_avg_pool2d(x, side).flatten(1)
