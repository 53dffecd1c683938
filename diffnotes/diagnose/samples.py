"""What finished samples tell: copies among them, their distances to real images, and pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch

from diffnotes.base.errors import UserError
from diffnotes.base.shapes import Array, Tensor
from diffnotes.data import as_bytes, as_floats
from diffnotes.diagnose.subject import Subject
from diffnotes.metrics import frechet, memorized, neighbours, pooled, ratios, sliced_wasserstein
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
    rho = ratios(near)
    found = {"rho": rho.cpu().numpy(), "copies": _share(rho, subject.settings.seed), **path}
    if subject.held_out is not None:
        # of as many images as the training set has, where there are so many: more would be nearer
        chosen = subject.order(subject.held_out, len(subject.train))
        control = ratios(neighbours(samples, subject.held_out.values[chosen].to(subject.where)))
        found["control"] = _share(control, subject.settings.seed)
    order = rho.argsort()[:SHEET]
    closest = as_floats(subject.train.values[near.index[order, 0].cpu()])
    if len(subject.shape) == 3:
        found |= {
            "sheet": as_bytes(samples[:SHEET]), "closest_samples": as_bytes(samples[order]),
            "closest_images": as_bytes(closest),
        }  # fmt: skip
    return found | dict(_distances(subject, samples))


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
    """Pixels, averaged as far as the sides can be halved."""
    try:
        return pooled(x)
    except UserError:
        return x.flatten(1)
