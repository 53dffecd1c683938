"""One ladder of checkpoints measured by all instruments at once: what `lenses_digits` and `lenses_cifar`
compute (chapter 5).

Training time x training-set size x width. Each (size, width, seed) is trained twice, on two disjoint halves
A and B of 2 n images, from equal weights and with equal noise. At every checkpoint A is measured; B only
gives samples, for the agreement of the two. Training is EDM's (Karras et al. 2022): prediction target F,
ln sigma normal with mean -1.2 and deviation 1.2, EDM's weight; what is measured has averaged weights.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from diffnotes import data
from diffnotes.base import runtime
from diffnotes.chapters.four_lenses.instruments import INSTRUMENTS, Bench, Counts
from diffnotes.data import fingerprint
from diffnotes.networks import NetworkDenoiser, parameter_count, seeded, small_network
from diffnotes.process import noise_levels
from diffnotes.sample import sample
from diffnotes.store import Arrays, Spec, SpecError, Tolerance, Work, choice, number, numbers
from diffnotes.train import (
    DenoisingLoss,
    LogNormal,
    Plan,
    Snapshot,
    Training,
    evaluating,
    log_spaced,
    stacked,
)

TOLERANCE = Tolerance(1e-4, 1e-6, "float32 steps and samples: rounding grows on the way")
TOLERANCES = dict.fromkeys(
    ("sheet", "near", "partner"), Tolerance(0.0, 1.0, "a byte may round the other way")
)
HELD_OUT = 0  # the seed that picks held-out images: the same for every run
HALVES = ("A", "B")
APART = 3.0  # factor between two noise levels, at most: sigma* has neighbours


@dataclass(frozen=True)
class LensSpec(Spec):
    """Settings of one ladder; sigma is in units of pixels in [-1, 1]."""

    dataset: str = choice("digits", "digits", "cifar10", "specimens", help="images")
    side: int = number(0, low=0, high=32, help="pixels of a side after averaging; 0: as they are")
    sizes: tuple[int, ...] = numbers((32, 96, 288), low=4, help="training images of a half, rising")
    network: str = choice("mlp", "mlp", "unet", help="kind of network")
    widths: tuple[int, ...] = numbers((48, 112, 256), low=8, help="widths of the networks, rising")
    blocks: int = number(3, low=1, high=8, help="residual blocks, of a U-Net per level")
    multipliers: tuple[int, ...] = numbers((1, 2), low=1, help="widths of a U-Net's levels, times width")
    embedding: int = number(64, low=8, help="width of the U-Net's embedding of the noise level")
    epochs: float = number(4000.0, low=1, help="passes over the training set")
    batch: int = number(128, low=1, help="batch size")
    rate: float = number(2e-3, low=1e-7, high=1.0, help="learning rate of Adam")
    horizon: int = number(100, low=1, help="average of the weights that is measured, in steps")
    first: int = number(30, low=1, help="step of the first checkpoint")
    snapshots: int = number(9, low=2, high=100, help="checkpoints, evenly spaced in the logarithm of steps")
    levels: int = number(20, low=4, high=100, help="noise levels, evenly spaced in ln sigma")
    sigma_min: float = number(0.02, low=1e-4, high=10, help="smallest noise level")
    sigma_max: float = number(40.0, low=1e-3, high=1000, help="largest noise level, where samples begin")
    images: int = number(288, low=4, help="images of each split, or draws of them, for errors")
    samples: int = number(256, low=4, help="samples, and noised images at each level")
    band: int = number(1000, low=4, help="noised training images that the range of distances is read off")
    sheet: int = number(8, low=1, high=64, help="samples of the first seed kept as pictures")
    seeds: tuple[int, ...] = numbers((1, 2, 3), low=0, high=2**31, help="of images, weights and noise")
    precision: str = choice("float32", "float32", "bfloat16", help="of products in training")

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("sizes", "widths"):
            values = getattr(self, name)
            if list(values) != sorted(set(values)):
                raise SpecError(f"{name} must rise, not {values!r}.")
        if any(len(stops(self, n)) != self.snapshots for n in self.sizes):
            raise SpecError(
                f"{self.snapshots} checkpoints do not fit between step {self.first} and the last step of the "
                f"smallest training set, {steps(self, self.sizes[0])}; raise epochs or lower snapshots."
            )
        if self.sigma_max > self.sigma_min * APART ** (self.levels - 1):
            raise SpecError(f"levels must lie within a factor of {APART:g}; raise levels.")
        if self.sheet > self.samples:
            raise SpecError(f"sheet is a part of the {self.samples} samples, so at most that.")


def steps(spec: LensSpec, n: int) -> int:
    """Training steps on n images."""
    return max(spec.first, round(spec.epochs * n / spec.batch))


def stops(spec: LensSpec, n: int) -> list[int]:
    """Steps of the checkpoints."""
    return log_spaced(spec.first, steps(spec, n), spec.snapshots)


def compute(spec: LensSpec, work: Work) -> Arrays:
    """Everything that is measured, [size, width, seed, checkpoint, ...]; what no network changes, [size,
    seed, ...]; pictures of the first seed [size, width, checkpoint, ...]."""
    where = runtime.device()
    work.device = runtime.device_name(where)
    count = len(spec.sizes) * len(spec.widths) * len(spec.seeds)
    tables: list[Arrays] = []
    fixed: list[Arrays] = []
    for n in spec.sizes:
        for seed in spec.seeds:
            rung = _Rung(spec, n, seed, where)
            fixed.append(rung.bench.fixed())
            for width in spec.widths:
                tables.append(rung.table(width, work, len(tables), count))
    shape = (len(spec.sizes), len(spec.seeds))
    found = _shaped(stacked(tables), (*shape, len(spec.widths)))
    found = {name: values.swapaxes(1, 2) for name, values in found.items()}  # [size, width, seed, ...]
    pictures = {name: found[name][:, :, 0] for name in ("sheet", "near", "partner", "rho")}
    once = {name: found[name][:, :, 0, 0] for name in ("parameters", "cost")}
    plan = np.array([stops(spec, n) for n in spec.sizes])
    return found | pictures | once | _shaped(stacked(fixed), shape) | {
        "n": np.array(spec.sizes), "width": np.array(spec.widths), "step": plan,
        "images_seen": plan * spec.batch, "sigma": levels(spec), "instrument": np.array(INSTRUMENTS),
    }  # fmt: skip


def _shaped(table: Arrays, shape: tuple[int, ...]) -> Arrays:
    return {name: values.reshape(*shape, *values.shape[1:]) for name, values in table.items()}


def levels(spec: LensSpec) -> np.ndarray:
    """The noise levels of errors and of the sampler, rising, float64 [l]."""
    return noise_levels(spec.levels, spec.sigma_min, spec.sigma_max).numpy()


def images_of(spec: LensSpec, n: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Training images of A and of B, which share none, and held-out images; float32 [n, ...]."""
    both = data.shrunk(data.load(spec.dataset, n=2 * n, seed=seed), spec.side).x
    count = max(spec.images, 2 * spec.samples)
    unseen = data.shrunk(data.load(spec.dataset, n=count, split="test", seed=HELD_OUT), spec.side).x
    return both[:n], both[n:], unseen


class _Rung:
    """A training set of one size and seed: its halves, what networks are measured with, the networks."""

    def __init__(self, spec: LensSpec, n: int, seed: int, where: torch.device) -> None:
        self.spec, self.n, self.seed, self.where = spec, n, seed, where
        *halves, unseen = (x.to(where) for x in images_of(spec, n, seed))
        self.halves = dict(zip(HALVES, halves, strict=True))
        counts = Counts(spec.images, spec.samples, spec.band, spec.sheet)
        self.bench = Bench(self.halves["A"], unseen, levels(spec), counts, seed)

    def table(self, width: int, work: Work, place: int, count: int) -> Arrays:
        """Both networks of one width: what is measured at every checkpoint of A, [checkpoint, ...]."""
        places = stops(self.spec, self.n)

        def samples(end: Snapshot) -> Arrays:
            with evaluating(end, self.spec.horizon) as model:
                return {"samples": self._sampled(model).numpy()}

        partner = self._trained("B", width, samples).evaluations(
            work, work.part(2 * place, 2 * count, self._name("B", width))
        )["samples"]

        def measured(end: Snapshot) -> Arrays:
            like = torch.from_numpy(partner[places.index(end.step)]).to(self.where)
            with evaluating(end, self.spec.horizon) as model:
                size = {"parameters": np.array(parameter_count(model)), "batch_loss": np.array(end.loss)}
                return _small(self.bench.measured(model, like)) | size

        run = self._trained("A", width, measured)
        return run.evaluations(work, work.part(2 * place + 1, 2 * count, self._name("A", width)))

    def _sampled(self, model: nn.Module) -> Tensor:
        """Samples from the noise that A's begin with."""
        spec, sigma = self.spec, self.bench.sigma
        times = torch.cat([sigma.flip(0), sigma.new_zeros(1)])
        return sample(
            model, self.bench.shape, spec.samples, times, seed=self.seed, batch=256, device=self.where
        )

    def _name(self, half: str, width: int) -> str:
        return f"n{self.n}-w{width}-s{self.seed}-{half}"

    def _trained(self, half: str, width: int, evaluate: Callable[[Snapshot], Arrays]) -> Training:
        """The run of one half: weights, batches and noise are functions of the seed alone."""
        spec = self.spec
        denoiser = NetworkDenoiser(seeded(self.seed, lambda: self._network(width))).to(self.where)
        plan = Plan(
            steps(spec, self.n), spec.batch, spec.rate, warmup=spec.first, horizons=(spec.horizon,),
            precision=spec.precision, seed=self.seed,
        )  # fmt: skip
        objective = DenoisingLoss(self.halves[half], LogNormal())
        return Training(self._name(half, width), denoiser, objective, plan, stops(spec, self.n), evaluate)

    def _network(self, width: int) -> nn.Module:
        spec, shape = self.spec, self.bench.shape
        return small_network(spec.network, shape, width, spec.blocks, spec.multipliers, spec.embedding)


def _small(found: Arrays) -> Arrays:
    """Curves in float32: a record has hundreds of checkpoints."""
    return {k: v.astype(np.float32) if v.dtype == np.float64 else v for k, v in found.items()}


def fingerprints(spec: LensSpec) -> dict[str, str]:
    """Of both splits, whole."""
    return {f"{spec.dataset} {s}": fingerprint(spec.dataset, split=s) for s in ("train", "test")}
