"""Memorized samples through training: what `cifar` and `digits` compute (chapter 3).

The setting of Marion & Wu (arXiv 2605.06077, section 3 and Table 1), made small: a network learns the
velocity of flow matching, and on the way its losses, its memorized samples and the distance of its samples
to real images are measured. One factor is varied at a time: the size N of the training set, the width of the
network, the batch or the learning rate.

All runs of one seed share their noise: the samples start from the same noise at every snapshot and in every
run, the losses are taken at the same noise levels with the same noise, and a smaller training set is part of
a larger one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from diffnotes import data
from diffnotes.base import runtime
from diffnotes.chapters.memorization.onsets import DEFINITIONS, best_before, exponent, onsets, rate
from diffnotes.data import fingerprint
from diffnotes.metrics import (
    denoising_error,
    frechet,
    memorized,
    neighbours,
    ratios,
    sliced_wasserstein,
)
from diffnotes.networks import MLP, NetworkDenoiser, UNet, parameter_count, seeded
from diffnotes.process import FlowMatching
from diffnotes.sample import flow_times, sample
from diffnotes.store import Arrays, Spec, SpecError, Tolerance, Work, choice, flag, number, numbers
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

SWEEPS = {"n": "sizes", "width": "widths", "batch": "batches", "rate": "rates"}
TOLERANCE = Tolerance(3e-4, 1e-6, "float32 steps and samples: rounding grows on the way, to 3e-5 in rho")
TOLERANCES = dict.fromkeys(("sheet", "near"), Tolerance(0.0, 1.0, "a byte may round the other way"))
HELD_OUT = 0  # the seed that picks held-out images: the same for every run
CLASSES = 10  # of digits and of CIFAR-10
SHEET = 6  # samples kept as pictures, at every snapshot


@dataclass(frozen=True)
class MemorizationSpec(Spec):
    """Settings of a sweep over one factor; the default run is part of the sweep over n."""

    dataset: str = choice("digits", "digits", "cifar10", "specimens", help="training set")
    side: int = number(0, low=0, high=32, help="pixels of a side after averaging; 0: as they are")
    sweep: str = choice("n", *SWEEPS, help="the factor that varies")
    n: int = number(64, low=4, help="training images of the default run")
    width: int = number(256, low=8, help="width of the network")
    batch: int = number(32, low=1, help="batch size")
    rate: float = number(1e-3, low=1e-7, high=1.0, help="learning rate of Adam")
    sizes: tuple[int, ...] = numbers((32, 64, 128, 256), low=4, help="values of n")
    widths: tuple[int, ...] = numbers((64, 128), low=8, help="values of width, without the default")
    batches: tuple[int, ...] = numbers((8, 64), low=1, help="values of batch, without the default")
    rates: tuple[float, ...] = numbers((3e-4, 2e-3), low=1e-7, high=1.0, help="values of rate, without it")
    network: str = choice("mlp", "mlp", "unet", help="kind of network")
    conditional: bool = flag(False, help="whether the network is told the class")
    embedding: int = number(64, low=8, help="width of the U-Net's embedding of noise and class")
    blocks: int = number(3, low=1, high=8, help="residual blocks, of a U-Net per level")
    epochs: float = number(8000.0, low=1, help="passes over the training set, while steps allow")
    most_steps: int = number(48_000, low=10, help="steps of the longest run")
    first: int = number(60, low=1, help="step of the first evaluation")
    snapshots: int = number(16, low=2, high=200, help="evaluations, evenly spaced in the logarithm of steps")
    horizons: tuple[int, ...] = numbers((100, 1000), low=1, help="averages of the weights, in steps")
    levels: int = number(16, low=2, high=100, help="noise levels of a loss, evenly spaced in t")
    images: int = number(256, low=8, help="images that a loss is taken on, of each split, at most")
    samples: int = number(256, low=8, help="samples at each evaluation")
    sampler_steps: int = number(30, low=2, help="Euler steps of the sampler")
    seeds: tuple[int, ...] = numbers((0, 1, 2), low=0, high=2**31, help="of images, weights, noise")
    precision: str = choice(
        "float32", "float32", "bfloat16", help="of products and convolutions in training", later=True
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.n not in self.sizes:
            raise SpecError(
                f"sizes must contain n = {self.n}, the size of the default run; not {self.sizes!r}."
            )


@dataclass(frozen=True)
class Run:
    """One training run of a sweep."""

    n: int
    width: int
    batch: int
    rate: float
    seed: int
    steps: int


def runs_of(spec: MemorizationSpec) -> list[list[Run]]:
    """The runs [value][seed] of a sweep.

    A run sees `epochs` passes over its training set, and more of them if its learning rate is below the
    default, in proportion; `most_steps` bounds it.
    """
    default = {name: getattr(spec, name) for name in SWEEPS}
    values = [{**default, spec.sweep: value} for value in getattr(spec, SWEEPS[spec.sweep])]
    return [[Run(**value, seed=seed, steps=_steps(spec, value)) for seed in spec.seeds] for value in values]


def _steps(spec: MemorizationSpec, value: dict[str, float]) -> int:
    slower = max(1.0, spec.rate / value["rate"])
    wanted = spec.epochs * value["n"] / value["batch"] * slower
    return max(spec.first, min(spec.most_steps, round(wanted)))


def compute(spec: MemorizationSpec, work: Work, features: Callable[[Tensor], Tensor]) -> Arrays:
    """Everything that is measured, with axes [value, seed, snapshot, average]: average 0 are the weights as
    they are, then those over `horizons` steps. `features` [b, ...] -> [b, k] are for distances."""
    where = runtime.device()
    work.device = runtime.device_name(where)
    runs = runs_of(spec)
    everyone = [run for row in runs for run in row]
    tables = [
        _Trained(spec, run, features, where).table(work, place, len(everyone))
        for place, run in enumerate(everyone)
    ]
    shape = (len(runs), len(spec.seeds))
    arrays = {name: _stacked([table[name] for table in tables], shape) for name in tables[0]}
    arrays |= {name: arrays[name][:, 0] for name in ("sheet", "near")}  # pictures of the first seed alone
    factor = np.array([getattr(row[0], spec.sweep) for row in runs])
    names = {"value": factor, "average": np.array([0, *spec.horizons]), "t": _times(spec).numpy()}
    return names | arrays | _read(factor, arrays)


def _read(factor: np.ndarray, found: Arrays) -> Arrays:
    """Onsets [value, seed, average, definition], exponents [average, definition, 4], rates and the least
    distances before the losses part [value, seed, average]."""
    values, seeds, _, averages = found["train_loss"].shape
    times = np.full((values, seeds, averages, len(DEFINITIONS)), np.nan)
    rates, best = np.full((2, values, seeds, averages), np.nan)
    for v, s, a in np.ndindex(values, seeds, averages):
        step, copies = found["step"][v, s], found["copies"][v, s, :, a, 0]
        train_loss, test_loss = (found[f"{name}_loss"][v, s, :, a] for name in ("train", "test"))
        times[v, s, a] = onsets(step, train_loss, test_loss, copies)
        rates[v, s, a] = rate(step, copies)
        best[v, s, a] = best_before(step, found["wasserstein"][v, s, :, a], times[v, s, a, 1])
    powers = [[exponent(factor, times[:, :, a, d]) for d in range(len(DEFINITIONS))] for a in range(averages)]
    return {
        "onset": times, "exponent": np.array(powers), "definition": np.array(DEFINITIONS), "rate": rates,
        "best": best,
    }  # fmt: skip


def _stacked(tables: list[np.ndarray], shape: tuple[int, int]) -> np.ndarray:
    """[value, seed, ...]; runs with fewer evaluations are filled up: NaN, or -1 for whole numbers."""
    longest = max(len(table) for table in tables) if tables[0].ndim else 0
    filled = [_filled(table, longest) for table in tables]
    return np.stack(filled).reshape(*shape, *filled[0].shape)


def _filled(table: np.ndarray, length: int) -> np.ndarray:
    if table.ndim == 0 or len(table) == length:
        return table
    blank = np.nan if table.dtype.kind == "f" else np.array(-1).astype(table.dtype)
    more = np.full((length - len(table), *table.shape[1:]), blank, table.dtype)
    return np.concatenate([table, more])


def _times(spec: MemorizationSpec) -> Tensor:
    """Times of flow matching at which losses are taken: the middles of `levels` equal parts of (0, 1)."""
    return (torch.arange(spec.levels, dtype=torch.float64) + 0.5) / spec.levels


def images_of(spec: MemorizationSpec, n: int | None, split: str, seed: int) -> data.Dataset:
    """`n` images of a split at the side of the spec."""
    return data.shrunk(data.load(spec.dataset, n=n, split=split, seed=seed), spec.side)


class _Trained:
    """One run: its images, its network, and what is measured on the way."""

    def __init__(
        self, spec: MemorizationSpec, run: Run, features: Callable[[Tensor], Tensor], where: torch.device
    ) -> None:
        self.spec, self.run, self.where, self.features = spec, run, where, features
        self.train_set = images_of(spec, run.n, "train", run.seed)
        self.held_out = images_of(spec, max(run.n, spec.samples, spec.images), "test", HELD_OUT)
        self.x = self.train_set.x.to(where)
        self.shape = tuple(self.x.shape[1:])
        network = seeded(run.seed, self._network)
        process = FlowMatching()
        self.denoiser = NetworkDenoiser(network, process, "velocity").to(where)
        self.objective = DenoisingLoss(
            self.x, UniformTime(process), process, "velocity",
            self.train_set.labels.to(where) if spec.conditional else None,
        )  # fmt: skip

    def _network(self) -> nn.Module:
        spec, run = self.spec, self.run
        classes = CLASSES if spec.conditional else 0
        if spec.network == "mlp":
            return MLP(self.shape, run.width, spec.blocks, classes)
        return UNet(self.shape, run.width, blocks=spec.blocks, classes=classes, embedding=spec.embedding)

    def table(self, work: Work, place: int, count: int) -> Arrays:
        """Train, evaluate at every snapshot, and stack what was found: [snapshot, average, ...]."""
        spec, run = self.spec, self.run
        name = f"n{run.n}-w{run.width}-b{run.batch}-r{run.rate:g}-s{run.seed}"
        stops = log_spaced(min(spec.first, run.steps), run.steps, spec.snapshots)
        plan = Plan(
            run.steps, run.batch, run.rate, horizons=spec.horizons, precision=spec.precision, seed=run.seed
        )

        trained = Training(name, self.denoiser, self.objective, plan, stops, self._evaluated)
        table = trained.evaluations(work, work.part(place, count, name))
        return table | {"step": np.array(stops), "parameters": np.array(parameter_count(self.denoiser))}

    def _evaluated(self, snapshot: Snapshot) -> Arrays:
        """What is measured at one snapshot, for the weights as they are and for each average."""
        found = []
        for horizon in (0, *self.spec.horizons):
            with evaluating(snapshot, horizon):
                found.append(self._losses() | self._samples())
        table = stacked(found)
        pictures = {name: table[name][1] for name in ("sheet", "near")}  # of the first average
        return table | pictures | {"batch_loss": np.array(snapshot.loss)}

    # ------------------------------------------------------------------------------------------- losses

    def _losses(self) -> Arrays:
        """Mean loss of the velocity on both splits, with standard errors over images, and its parts by t."""
        pairs = {"train": self.train_set, "test": self.held_out}
        found: Arrays = {}
        for name, images in pairs.items():
            each = self._loss(images)  # [levels, images]
            mean = each.mean(0)
            found[f"{name}_loss"] = mean.mean().numpy()
            found[f"{name}_loss_stderr"] = (mean.std() / len(mean) ** 0.5).numpy()
            found[f"{name}_by_t"] = each.mean(1).numpy()
        return found

    def _loss(self, images: data.Dataset) -> Tensor:
        """The loss of single images at every t, float64 [levels, images]: error of x0 times 1/t^2."""
        count = min(self.spec.images, len(images))
        process, times = FlowMatching(), _times(self.spec)
        error = denoising_error(
            self.denoiser, images.x[:count].to(self.where), process.noise_ratio(times), seed=self.run.seed,
            labels=images.labels[:count].to(self.where) if self.spec.conditional else None,
        )  # fmt: skip
        return error.cpu() * process.loss_factor("velocity", times)[:, None]

    # ------------------------------------------------------------------------------------------ samples

    def _samples(self) -> Arrays:
        """Memorized samples, and distances of the samples to real images.

        The baseline counts as memorized what is as close to one of n held-out images. Distances are taken to
        held-out images at the count of samples, and to both splits at the count that the training set allows:
        distances at different counts cannot be compared.
        """
        x = self._drawn()
        near = neighbours(x, self.train_set.x)
        rho = ratios(near)
        share = memorized(rho, seed=self.run.seed)
        apart = memorized(ratios(neighbours(x, self.held_out.x[: self.run.n])), seed=self.run.seed)
        found = {
            "copies": [share.value, share.low, share.high], "copies_baseline": [apart.value],
            "rho": torch.quantile(rho.double(), torch.linspace(0, 1, 21, dtype=torch.float64)),
            "distance": [near.distance[:, 0].mean()],
        }  # fmt: skip
        known = self.train_set.x[near.index[:SHEET, 0]]
        sheet = {"sheet": data.as_bytes(x[:SHEET]), "near": data.as_bytes(known)}
        return {k: np.asarray(v, np.float64) for k, v in found.items()} | self._distances(x) | sheet

    def _drawn(self) -> Tensor:
        """The samples, float32 on the CPU; where classes count, sample i is of class i mod 10."""
        spec, times = self.spec, flow_times(self.spec.sampler_steps)
        wanted = torch.arange(spec.samples) % CLASSES if spec.conditional else None
        return sample(
            self.denoiser, self.shape, spec.samples, times, process=FlowMatching(), solver="euler",
            seed=self.run.seed, batch=256, device=self.where, labels=wanted,
        )  # fmt: skip

    def _distances(self, x: Tensor) -> Arrays:
        """Sliced Wasserstein and Fréchet distances in features."""
        count, few = len(x), min(len(x), self.run.n)
        made, held, known = (self.features(v) for v in (x, self.held_out.x[:count], self.train_set.x[:few]))
        pairs = {"": (made, held), "_few": (made[:few], held[:few]), "_train": (made[:few], known)}
        found: Arrays = {}
        for name, (a, b) in pairs.items():
            found[f"wasserstein{name}"] = np.array(float(sliced_wasserstein(a, b)))
            found[f"frechet{name}"] = np.array(float(frechet(a, b)))
        return found


def floors(spec: MemorizationSpec, features: Callable[[Tensor], Tensor]) -> Arrays:
    """The same distances between two halves of the held-out images: what perfect samples would have."""
    real = images_of(spec, 2 * spec.samples, "test", HELD_OUT).x
    a, b = features(real[: spec.samples]), features(real[spec.samples :])
    return {
        "wasserstein_floor": np.array(float(sliced_wasserstein(a, b))),
        "frechet_floor": np.array(float(frechet(a, b))),
    }


def fingerprints(spec: MemorizationSpec) -> dict[str, str]:
    """Of the training images, whole, and of the held-out ones."""
    return {f"{spec.dataset} {s}": fingerprint(spec.dataset, split=s) for s in ("train", "test")}
