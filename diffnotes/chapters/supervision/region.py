"""Where training looks, exactly: shells around the images of a data set, and who lies on them (chapter 2).

Three measurements of Song et al. (arXiv 2510.01378) that need no network: how much the shells of two images
overlap (their C(t)), how near noised images are to a shell (their r*), and how much posterior weight the
image has that was noised. And the control that the paper lacks: images that no training has seen, noised
alike.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from diffnotes import data
from diffnotes.base import runtime
from diffnotes.data import fingerprint
from diffnotes.metrics import neighbours
from diffnotes.posterior import posterior
from diffnotes.process import FlowMatching
from diffnotes.regions import distance_ratio, nearest_other
from diffnotes.store import Arrays, Experiment, Spec, Tolerance, Work, choice, number, numbers

PROCESS = FlowMatching()
TIMES = (0.02, *(k / 20 for k in range(1, 20)), 0.98)
ROWS = 2048  # images whose neighbours are found between two saves
CLOSEST = 1000  # distances that are kept one by one
PAIRS = 8  # pictures of the nearest pairs
CUT = ("imagenet64", "specimens64")  # sets of which a part is held out here: see `images_of`


@dataclass(frozen=True)
class RegionSpec(Spec):
    """Which images, and where in the time of flow matching, z = (1 - t) x + t eps."""

    dataset: str = choice(
        "digits", "digits", "cifar10", "imagenet64", "specimens", "specimens64", help="training set"
    )
    n: int = number(0, low=0, help="training images, drawn at random by the seed; 0 for all")
    times: tuple[float, ...] = numbers(TIMES, low=1e-3, high=0.999, help="times t of the noised images")
    queries: int = number(256, low=4, help="images of each split that are noised, the same at each time")
    seed: int = number(0, low=0, high=2**31, help="seed of the images and of their noise")


def compute(spec: RegionSpec, work: Work) -> Arrays:
    """Distances between training images, and who lies on their shells."""
    where = runtime.device()
    work.device = runtime.device_name(where)
    images = images_of(spec)
    known, unseen = images[0].to(where), images[1].to(where)
    near = _nearest(known, work, work.part(0, 2, "neighbours"))
    return {
        "n": np.array(len(known)), "dim": np.array(known[0].numel()), "t": np.array(spec.times),
        **_distances(near, known.cpu()), **_on_shells(spec, known, unseen, work),
    }  # fmt: skip


def images_of(spec: RegionSpec) -> tuple[Tensor, Tensor]:
    """Training images, and `queries` held-out ones, as they are stored: pixels, or numbers for digits.

    For 64 x 64 images the training set is the validation split, which anyone can get whole, and the held-out
    images are cut off from it.
    """
    if spec.dataset in CUT:
        whole = data.load(spec.dataset, split="validation")
        order = runtime.permutation(spec.seed, "held out", len(whole))
        held_out, rest = order[: spec.queries], order[spec.queries :]
        known = whole.taken(rest[: spec.n or None])
        return known.values, whole.taken(held_out).values
    known = data.load(spec.dataset, n=spec.n or None, seed=spec.seed)
    unseen = data.load(spec.dataset, n=spec.queries, split="test", seed=spec.seed)
    return known.values, unseen.values


def exact(values: Tensor) -> Tensor:
    """Stored images as float64: pixels p as p/127.5 - 1 without rounding to float32."""
    return values.double() / 127.5 - 1 if values.dtype == torch.uint8 else values.double()


# -------------------------------------------------------------------------------- distances between images


def _nearest(known: Tensor, work: Work, step: Callable[[float, float, str], None]) -> Arrays:
    """Distance [n] and number [n] of the nearest other training image, some rows after the other."""
    found = work.load("nearest") or {"distance": np.zeros(0), "index": np.zeros(0, np.int64)}
    for part in runtime.blocks(len(known), ROWS):
        if part.start < len(found["distance"]):
            continue
        more = nearest_other(known, part)
        found = {
            name: np.concatenate([found[name], values.cpu().numpy()])
            for name, values in zip(("distance", "index"), more, strict=True)
        }
        work.save("nearest", found)
        step(part.stop, len(known), f"{part.stop:,} of {len(known):,} images")
    return found


def _distances(near: Arrays, known: Tensor) -> Arrays:
    """What is kept of all nearest distances: quantiles, the least of them, how many are unusually small, and
    the nearest pairs as pictures."""
    distance, shares = near["distance"], np.linspace(0, 1, 401)
    pairs, far = _nearest_pairs(near)
    pictures = torch.stack([_bytes(known[torch.from_numpy(side)]) for side in pairs.T], 1)
    return {
        "share": shares, "nearest": np.quantile(distance, shares),
        "closest": np.sort(distance)[:CLOSEST],
        "near_duplicates": np.array((distance < np.median(distance) / 2).sum()),
        "pairs": pictures.numpy(), "pair_distance": far,
    }  # fmt: skip


def _bytes(values: Tensor) -> Tensor:
    return values if values.dtype == torch.uint8 else torch.from_numpy(data.as_bytes(values))


def _nearest_pairs(near: Arrays) -> tuple[np.ndarray, np.ndarray]:
    """The pairs [k, 2] of images with the least distances, each once, and these distances [k]."""
    order = np.argsort(near["distance"], kind="stable")
    pairs = np.sort(np.stack([order, near["index"][order]], 1), 1)
    first = np.sort(np.unique(pairs, axis=0, return_index=True)[1])[:PAIRS]
    return pairs[first], near["distance"][order[first]]


# --------------------------------------------------------------------------------------- who is on a shell


class _Queries:
    """Images of both splits, and the noise that they share at all times."""

    def __init__(self, spec: RegionSpec, known: Tensor, unseen: Tensor) -> None:
        count = min(spec.queries, len(known), len(unseen))
        chosen = runtime.permutation(spec.seed, "queries", len(known))[:count]
        own = torch.from_numpy(chosen).to(known.device)
        self.known, self.unseen = map(exact, (known[own], unseen[:count]))
        noise = runtime.normals(spec.seed, "eps", range(count), known.shape[1:], torch.float64)
        self.eps, self.values = noise.to(known.device), known
        near = neighbours(self.unseen, known)
        self.distance, self.near = near.distance[:, 0], exact(known[near.index[:, 0]])

    def at(self, t: float) -> Arrays:
        """Everything that is measured at one time, [query] each."""
        time = torch.tensor(t, dtype=torch.float64, device=self.eps.device)
        noised = [PROCESS.noisy(x, self.eps, time) for x in (self.known, self.unseen)]
        train, held_out = (distance_ratio(z, t, self.values, PROCESS).ratio for z in noised)
        found = {
            "ratio_train": train,
            "ratio_held_out": held_out,
            "ratio_nearest": self._to_near(noised[1], t),
        }
        found |= self._weights(*PROCESS.to_ve(noised[0], time))
        return {name: value.float().cpu().numpy() for name, value in found.items()}

    def _to_near(self, z: Tensor, t: float) -> Tensor:
        """r of noised held-out images to the training image nearest to the clean one."""
        gap = (z - (1 - t) * self.near).flatten(1)
        return torch.linalg.vector_norm(gap, dim=1) / (t * gap.shape[1] ** 0.5)

    def _weights(self, x: Tensor, s: Tensor) -> dict[str, Tensor]:
        """Posterior weight of the image that was noised, exp(-|eps|^2/2 - log z), and the effective number of
        images."""
        found = posterior(x, s, self.values)
        own = torch.exp(-self.eps.flatten(1).square().sum(1) / 2 - found.log_z)
        return {"own": own.clamp(max=1.0), "effective": found.ess}


def _on_shells(spec: RegionSpec, known: Tensor, unseen: Tensor, work: Work) -> Arrays:
    """[time, query] each; and the distance [query] of held-out images to the nearest training image."""
    queries, rows = _Queries(spec, known, unseen), []
    for place, t in enumerate(spec.times):
        name = f"time-{place}"
        found = work.load(name)
        if found is None:
            found = queries.at(t)
            work.save(name, found)
            work.step(len(spec.times) + place + 1, 2 * len(spec.times), f"t = {t:g}")
        rows.append(found)
    table = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
    return table | {"distance_held_out": queries.distance.cpu().numpy()}


def _fingerprints(spec: RegionSpec) -> dict[str, str]:
    splits = ("validation",) if spec.dataset in CUT else ("train", "test")
    return {f"{spec.dataset} {split}": fingerprint(spec.dataset, split=split) for split in splits}


EXPERIMENT = Experiment(
    name="supervision_region",
    version=1,
    spec=RegionSpec,
    profiles={
        "smoke": RegionSpec(n=300, times=(0.1, 0.5, 0.9), queries=24),
        "smoke_pixels": RegionSpec(dataset="specimens", times=(0.02, 0.7), queries=16),  # two rounds of rows
        "smoke_files": RegionSpec(dataset="specimens64", times=(0.3, 0.95), queries=8),
        "laptop": RegionSpec(),
    },
    compute=compute,
    seconds={"smoke": 1, "smoke_pixels": 4, "smoke_files": 3, "laptop": 300},
    data=_fingerprints,
    shown=({"dataset": "digits"}, {"dataset": "cifar10"}, {"dataset": "imagenet64"}),
    tolerance=Tolerance(1e-6, 1e-9, "float64 distances"),
    tolerances={
        "own": Tolerance(1e-5, 1e-7, "log-weights that are right to 1e-6"),
        "effective": Tolerance(1e-5, why="log-weights that are right to 1e-6"),
        "ratio_*": Tolerance(1e-6, 1e-7, "kept in float32"),
    },
)
