"""Networks of several sizes where their loss looks and where their sampler goes: what `selective_digits` and
`selective_cifar` compute (chapter 2).

The experiments of Song et al. (arXiv 2510.01378, sections 3 and 4: their figures 1b, 2, 3 and 4) on small
images. Class-conditional networks of several widths learn the velocity of flow matching on one training set,
with the class dropped from a tenth of the batch. At a few snapshots each is compared with the exact denoiser
of the training set: at noised training images, along trajectories that are the same for all networks (those
of one more network of the largest width), and along its own. A network of one width on a tiny part of the
set, trained for as long as it takes to memorize it, is the contrast.

Within a seed all networks share batches, noise, images and the starts of trajectories; seeds share the
training set and the reference network alone. The denoiser D* that errors are taken against is the one over
the training images of the class that the network is told (`told` 0); that over all images, for the network
that is told none, stands beside it (`told` 1).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot
from torch.utils.flop_counter import FlopCounterMode

from diffnotes import data
from diffnotes.base import runtime
from diffnotes.base.shapes import Int
from diffnotes.chapters.selective import measures
from diffnotes.chapters.selective.measures import Images, Points
from diffnotes.data import fingerprint
from diffnotes.metrics import neighbours, ratios
from diffnotes.networks import NetworkDenoiser, parameter_count, seeded, small_network
from diffnotes.sample import initial_noise
from diffnotes.store import Arrays, Spec, SpecError, Tolerance, Work, choice, number, numbers
from diffnotes.train import (
    DenoisingLoss,
    Plan,
    Snapshot,
    Training,
    UniformTime,
    evaluating,
    log_spaced,
    stacked,
)

TOLERANCE = Tolerance(1e-4, 1e-6, "float32 steps and trajectories: rounding grows on the way")
TOLERANCES = {
    "shown_ratio": TOLERANCE,
    "shown_*": Tolerance(0.0, 1.0, "a byte may round the other way"),
}
COARSE = {  # of a twin in bfloat16
    "shown_ratio": Tolerance(1e-2, 1e-4, "bfloat16, with other instructions of the processor"),
    "shown_*": Tolerance(0.0, 2.0, "the same, in bytes"),
    "*returned": Tolerance(0.0, 0.2, "one image of few may go elsewhere"),
    "*": Tolerance(1e-2, 1e-4, "bfloat16, with other instructions of the processor"),
}
CLASSES = 10  # of digits and of CIFAR-10
DROP = 0.1  # share of a batch that is told no class
IMAGES = 0  # the seed that picks the training set: the same for every run
REFERENCE = 1000  # the seed of the reference network
POINTS = ("training", "common", "own")  # noised training images, common trajectories, own trajectories


@dataclass(frozen=True)
class SelectiveSpec(Spec):
    """Settings of one ladder of networks and of the contrast."""

    dataset: str = choice("digits", "digits", "cifar10", "specimens", help="images")
    side: int = number(0, low=0, high=32, help="pixels of a side after averaging; 0: as they are")
    n: int = number(1000, low=8, help="training images")
    tiny: int = number(32, low=4, help="training images of the network that memorizes, part of the others")
    network: str = choice("mlp", "mlp", "unet", help="kind of network")
    widths: tuple[int, ...] = numbers((32, 64, 128, 256), low=8, help="widths of the networks, rising")
    tiny_width: int = number(256, low=8, help="width of the network that memorizes")
    blocks: int = number(2, low=1, high=8, help="residual blocks, of a U-Net per level")
    multipliers: tuple[int, ...] = numbers((1, 2), low=1, help="widths of a U-Net's levels, times width")
    embedding: int = number(64, low=8, help="width of the U-Net's embedding of noise and class")
    steps: int = number(8000, low=4, help="training steps")
    tiny_steps: int = number(8000, low=4, help="training steps of the network that memorizes")
    batch: int = number(128, low=1, help="batch size")
    rate: float = number(1e-3, low=1e-7, high=1.0, help="learning rate of Adam")
    horizon: int = number(200, low=1, help="average of the weights that is evaluated, in steps")
    first: int = number(250, low=1, help="step of the first evaluation")
    snapshots: int = number(6, low=2, high=100, help="evaluations, evenly spaced in the logarithm of steps")
    levels: int = number(20, low=2, high=100, help="times of errors: middles of equal parts of (0, 1)")
    half_steps: int = number(1, low=1, high=4, help="steps of the sampler (Heun) to half such a part")
    points: int = number(200, low=4, help="noisy images of a kind at each time, and trajectories")
    returns: int = number(100, low=4, help="training images that are noised and denoised at the end")
    kept: int = number(3, low=1, high=16, help="trajectories kept as pictures")
    seeds: tuple[int, ...] = numbers((0, 1, 2), low=0, high=999, help="of weights, batches and all noise")
    precision: str = choice("float32", "float32", "bfloat16", help="of products in training")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.tiny > self.n:
            raise SpecError(f"tiny is a part of the n = {self.n} training images, so at most that.")
        if max(self.returns, self.kept) > self.points:
            raise SpecError(f"returns and kept are parts of the {self.points} points, so at most that.")
        if list(self.widths) != sorted(set(self.widths)):
            raise SpecError(f"widths must rise, not {self.widths!r}.")


# ------------------------------------------------------------------------------------------------- the whole


def compute(spec: SelectiveSpec, work: Work) -> Arrays:
    """Ladder arrays [width, seed, snapshot, ...], the contrast's [seed, snapshot, ...] under `tiny_...`, what
    no network changes [seed, ...], and pictures of the first seed."""
    where = runtime.device()
    work.device = runtime.device_name(where)
    known = images_of(spec, spec.n, where)
    count = 1 + len(spec.seeds) * (len(spec.widths) + 1)
    common = _reference(spec, known, work, count)
    tables: dict[int, list[Arrays]] = {width: [] for width in (*spec.widths, 0)}
    fixed, place = [], 0
    for seed, states in zip(spec.seeds, common, strict=True):
        whole = Scene(spec, known, states, seed)
        fixed.append(whole.fixed())
        for run in _runs_of(spec, whole, Scene(spec, images_of(spec, spec.tiny, where), states, seed)):
            place += 1
            tables[run.key].append(run.table(work, place, count))
    ladder = stacked([stacked(tables[width]) for width in spec.widths])
    return _gathered(spec, ladder, stacked(tables[0])) | stacked(fixed) | _spacings(known)


def _gathered(spec: SelectiveSpec, ladder: Arrays, tiny: Arrays) -> Arrays:
    """Both tables in one: sizes once, returns of the last snapshot alone, pictures of the first seed's."""
    found: Arrays = {}
    for prefix, table in (("", ladder), ("tiny_", tiny)):
        once = {k: table[k][..., 0] for k in ("parameters", "flops")}
        last = {k: _at(table[k], prefix, -1) for k in ("returned", "calibrated")}
        found |= {prefix + k: v for k, v in (table | once | last).items() if not k.startswith("shown_")}
    shown = [k for k in ladder if k.startswith("shown_")]
    found |= {k: np.stack([ladder[k][-1, 0, -1], tiny[k][0, -1]]) for k in shown}
    return found | {
        "width": np.array(spec.widths), "t": _times(spec).numpy(), "point": np.array(POINTS),
        "step": np.array(_stops(spec, spec.steps)), "tiny_step": np.array(_stops(spec, spec.tiny_steps)),
    }  # fmt: skip


def _at(table: np.ndarray, prefix: str, snapshot: int) -> np.ndarray:
    """One snapshot of [width, seed, snapshot, ...], or of [seed, snapshot, ...]."""
    return table[:, snapshot] if prefix else table[:, :, snapshot]


def _times(spec: SelectiveSpec) -> Tensor:
    """The times of errors, rising."""
    times, places = measures.grid(spec.levels, spec.half_steps)
    return times[places]


def _stops(spec: SelectiveSpec, steps: int) -> list[int]:
    return log_spaced(min(spec.first, steps), steps, spec.snapshots)


def images_of(spec: SelectiveSpec, n: int, where: torch.device) -> Images:
    """The first `n` training images, whose classes take turns: a smaller set is part of a larger one."""
    found = data.shrunk(data.load(spec.dataset, n=spec.n, seed=IMAGES), spec.side)
    order = in_turn(found.labels)[:n]
    return Images(found.x[order].to(where), found.labels[order].to(where))


def in_turn(labels: Int[Tensor, "n"]) -> Int[Tensor, "n"]:
    """Numbers of images so that classes take turns: the first image of each class, then the second ones."""
    earlier = one_hot(labels).cumsum(0).gather(1, labels[:, None])[:, 0]
    return torch.argsort(earlier, stable=True)


def _spacings(known: Images) -> Arrays:
    """Distance of every training image to the nearest other one, and to the nearest other of its class [n]:
    what overlaps of shells are made of. Infinite where a class has one image."""
    inside = torch.full((len(known.x),), torch.inf, dtype=torch.float64)
    for kind in known.labels.unique():
        rows = (known.labels == kind).cpu()
        if rows.sum() > 1:
            inside[rows] = neighbours(known.x[rows], known.x[rows]).distance[:, 1].cpu()
    near = neighbours(known.x, known.x).distance[:, 1]
    return {"spacing": near.cpu().numpy(), "class_spacing": inside.numpy()}


# ------------------------------------------------------------------------------------------ what is shared


class Scene:
    """What all networks of one seed on one training set are measured on: its images, and the common states
    [l, m, ...] of the reference's trajectories."""

    def __init__(self, spec: SelectiveSpec, images: Images, states: Tensor, seed: int) -> None:
        self.spec, self.images, self.states, self.seed = spec, images, states, seed
        self.where, self.shape = images.x.device, tuple(images.x.shape[1:])
        order = runtime.permutation(seed, "selective, images", len(images.x))
        self.index = torch.from_numpy(order[np.arange(spec.points) % len(order)]).to(self.where)
        self.times = _times(spec)

    @cached_property
    def wanted(self) -> Tensor:
        """The classes of trajectories: those of the images that all training sets have, one after another, so
        in nearly equal shares."""
        return self.images.labels[torch.arange(self.spec.points) % self.spec.tiny]

    @cached_property
    def training(self) -> Points:
        """Noised training images."""
        return self.at(self._noised(self.images.x[self.index]), self.images.labels[self.index])

    @cached_property
    def common(self) -> Points:
        """States of the common trajectories."""
        return self.at(self.states, self.wanted)

    def at(self, z: Tensor, labels: Tensor) -> Points:
        """Points with what the denoisers of this training set say."""
        return Points.of(z, self.times, labels, self.images)

    def _noised(self, x: Tensor) -> Tensor:
        return measures.noised(x, self.times, self.seed)

    def again(self, x: Tensor) -> np.ndarray:
        """Distance ratios [l, 5] of images [m, ...], noised by the noise of the training images."""
        return measures.quantiles(self.ratios(self._noised(x))[0], measures.RANKS)

    def ratios(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Distance ratio of noisy images [l, m, ...], and the training image it is to."""
        return measures.shells(z, self.times, self.images)

    def fixed(self) -> Arrays:
        """Distance ratios of noised training and held-out images [l, 5], squared distances per dimension of
        the held-out ones to the nearest training image [m], and the errors of denoisers that need no
        training, [guide, training or common, told, l]."""
        spec = self.spec
        unseen = data.load(spec.dataset, n=spec.points, split="test", seed=self.seed)
        x = data.shrunk(unseen, spec.side).x.to(self.where)
        guides = (measures.untrained, measures.gaussian(self.images))
        found = [
            [measures.errors(points, guide)["error"] for points in (self.training, self.common)]
            for guide in guides
        ]
        return {
            "ratio_training": self.again(self.images.x[self.index]), "ratio_held_out": self.again(x),
            "held_out_distance": self.distance(x), "guide": np.array(found),
        }  # fmt: skip

    def distance(self, x: Tensor) -> np.ndarray:
        """Squared distance per dimension to the nearest training image [m]."""
        near = neighbours(x, self.images.x).distance[:, 0]
        return (near.square() / x[0].numel()).float().cpu().numpy()

    def starts(self) -> Tensor:
        """Where trajectories begin."""
        noise = initial_noise(range(self.spec.points), self.shape, self.seed).to(self.where)
        return measures.START * noise


# ---------------------------------------------------------------------------------------------- one network


class _Run:
    """One network: its training, and what is measured on the way. `key` is the width in the ladder, 0 for the
    contrast."""

    def __init__(self, scene: Scene, width: int, steps: int, key: int, seed: int | None = None) -> None:
        self.scene, self.spec, self.key, self.steps = scene, scene.spec, key, steps
        self.seed = scene.seed if seed is None else seed
        self.name = f"{f'width-{width}' if key else 'tiny'}-seed-{self.seed}"
        network = seeded(self.seed, lambda: self._network(width))
        self.denoiser = NetworkDenoiser(network, measures.FLOW, "velocity").to(scene.where)

    def _network(self, width: int) -> nn.Module:
        spec, shape = self.spec, self.scene.shape
        return small_network(
            spec.network, shape, width, spec.blocks, spec.multipliers, spec.embedding, CLASSES
        )

    def training(self, stops: list[int], evaluate: Callable[[Snapshot], Arrays]) -> Training:
        """The run, evaluated at these steps."""
        spec, images = self.spec, self.scene.images
        plan = Plan(
            self.steps, spec.batch, spec.rate, warmup=min(100, self.steps), horizons=(spec.horizon,),
            precision=spec.precision, seed=self.seed,
        )  # fmt: skip
        law = UniformTime(measures.FLOW)
        objective = DenoisingLoss(images.x, law, measures.FLOW, "velocity", images.labels, DROP)
        return Training(self.name, self.denoiser, objective, plan, stops, evaluate)

    def table(self, work: Work, place: int, count: int) -> Arrays:
        """Train and evaluate: [snapshot, ...]; the size of the network."""
        run = self.training(_stops(self.spec, self.steps), self._evaluated)
        table = run.evaluations(work, work.part(place, count, self.name))
        size = {"parameters": np.array(parameter_count(self.denoiser)), "flops": np.array(self._flops())}
        return table | size

    def _flops(self) -> int:
        """Floating-point operations of the products and convolutions for one image, forward."""
        one = torch.zeros(1, *self.scene.shape, device=self.scene.where)
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            self.denoiser(one, 1.0, torch.zeros(1, dtype=torch.int64, device=one.device))
        return counter.get_total_flops()

    def _evaluated(self, snapshot: Snapshot) -> Arrays:
        """What is measured at one snapshot, with averaged weights."""
        scene, times = self.scene, measures.grid(self.spec.levels, self.spec.half_steps)
        with evaluating(snapshot, self.spec.horizon) as model:
            states, guesses, made = measures.solved(model, scene.starts(), scene.wanted, *times)
            own = scene.at(states, scene.wanted)
            found = stacked([measures.errors(p, model) for p in (scene.training, scene.common, own)])
            back = self._returned(model, snapshot.step == self.steps)
        return found | back | self._made(states, guesses, made) | {"loss": np.array(snapshot.loss)}

    def _returned(self, model: nn.Module, last: bool) -> Arrays:
        """The share of training images that return, at the last snapshot; else nothing but its shape."""
        spec, scene = self.spec, self.scene
        if not last:
            levels = len(scene.times)
            return {"returned": np.full(levels, np.nan), "calibrated": np.full((levels, 3), np.nan)}
        times, places = measures.grid(spec.levels, spec.half_steps)
        index = scene.index[: min(spec.returns, len(scene.images.x))]
        return measures.returned(model, scene.images, index, times, places, self.seed)

    def _made(self, states: Tensor, guesses: Tensor, made: Tensor) -> Arrays:
        """Distance ratios [l, 5] of the own states and of generated images noised again; squared distances
        and rho of generated images [m]; and the first trajectories as pictures."""
        scene, kept = self.scene, self.spec.kept
        ratio, index = scene.ratios(states)
        near = scene.images.x[index[:, :kept]]
        pictures = {"state": states[:, :kept], "guess": guesses[:, :kept], "near": near}
        return {
            "ratio_own": measures.quantiles(ratio, measures.RANKS), "ratio_again": scene.again(made),
            "distance": scene.distance(made),
            "rho": ratios(neighbours(made, scene.images.x)).float().cpu().numpy(),
            "shown_ratio": ratio[:, :kept].cpu().numpy(),
            **{f"shown_{name}": data.as_bytes(x) for name, x in pictures.items()},
        }  # fmt: skip


def _runs_of(spec: SelectiveSpec, whole: Scene, tiny: Scene) -> list[_Run]:
    """The networks of one seed: those of the ladder, then the contrast."""
    ladder = [_Run(whole, width, spec.steps, width) for width in spec.widths]
    return [*ladder, _Run(tiny, spec.tiny_width, spec.tiny_steps, 0)]


def _reference(spec: SelectiveSpec, known: Images, work: Work, count: int) -> Tensor:
    """States of the trajectories of the reference network, for every seed [seed, l, m, ...]."""
    nothing = known.x.new_zeros(0)
    scenes = [Scene(spec, known, nothing, seed) for seed in spec.seeds]
    run = _Run(scenes[0], spec.widths[-1], spec.steps, spec.widths[-1], seed=REFERENCE)
    grid = measures.grid(spec.levels, spec.half_steps)

    def evaluate(snapshot: Snapshot) -> Arrays:
        with evaluating(snapshot, spec.horizon) as model:
            found = [measures.solved(model, scene.starts(), scene.wanted, *grid)[0] for scene in scenes]
        return {"states": torch.stack(found).cpu().numpy()}

    found = run.training([spec.steps], evaluate).evaluations(work, work.part(0, count, "reference"))
    return torch.from_numpy(found["states"][0]).to(known.x.device)


def fingerprints(spec: SelectiveSpec) -> dict[str, str]:
    """Of both splits, whole."""
    return {f"{spec.dataset} {s}": fingerprint(spec.dataset, split=s) for s in ("train", "test")}
