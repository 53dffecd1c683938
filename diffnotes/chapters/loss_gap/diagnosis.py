"""Networks that predict different targets under different processes, and their distance from the optimum:
what `diagnosis_digits`, `diagnosis_cifar`, `diagnosis_imagenet64` and others compute (chapter 4).

The diagnosis of Xu et al. (arXiv 2506.13763, Table 1 and Figure 2) on small images. One network, with the
same initial weights, batches and random numbers, learns each of ALL: a prediction target under a process,
with the plain squared error of that target as loss and the process's own law of noise. They are compared in
one frame, as estimates of x0 from x0 + sigma eps, at the same noisy images: their loss gap to the exact
posterior mean of the training set, their loss on held-out images, and the Fréchet distance of their samples,
which one sampler makes of all. One more network learns a small part of the training set until it memorizes
it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from diffnotes import data
from diffnotes.base import runtime
from diffnotes.data import fingerprint
from diffnotes.data.sets import permutation, spectrum, subset
from diffnotes.loss_gap import loss_gap
from diffnotes.metrics import frechet, neighbours, pooled, ratios
from diffnotes.networks import NetworkDenoiser, parameter_count, seeded, small_network
from diffnotes.optimal_loss import optimal_loss
from diffnotes.posterior import gaussian_optimal_loss
from diffnotes.process import VE, VP, FlowMatching, Process, noise_levels
from diffnotes.sample import edm_sigmas, sample
from diffnotes.store import Arrays, Spec, SpecError, Tolerance, Work, choice, number, numbers
from diffnotes.train import (
    DenoisingLoss,
    LogNormal,
    LogUniform,
    NoiseLaw,
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
    "sheet": Tolerance(0.0, 1.0, "a byte may round the other way"),
    "*stderr": Tolerance(1e-3, 1e-6, "spread of few draws"),
}
HELD_OUT = 0  # the seed that picks held-out images: the same for every run
COPIED = 1 / 3  # a sample is a copy when its nearest training image is that much closer than the second
WARMUP = 100  # steps
ROWS = 512  # samples that are made at once
GAUSSIAN: dict[str, Any] = {"dimension": 64, "decay": 1.0}  # variances 1/k: unequal, as those of images

PROCESSES: dict[str, Process] = {"VE": VE(), "VP": VP(), "FM": FlowMatching()}
LAWS: dict[str, NoiseLaw] = {  # of noise in training: EDM's under VE, but that of VE models for the noise
    "VE": LogNormal(),
    "VE eps": LogUniform(),
    "VP": UniformTime(VP()),
    "FM": UniformTime(FlowMatching()),
}
ALL = (
    "VE x0", "VE eps", "VE F", "VP x0", "VP eps", "VP v", "VP F", "FM x0", "FM eps", "FM velocity", "FM F",
)  # fmt: skip
FEW = ("VE x0", "VE eps", "VE F", "VP eps", "FM velocity")
MEMORIZER = "VE F"
LADDERS = {"all": ALL, "few": FEW, "one": (MEMORIZER,)}
WHOLE: dict[str, dict[str, Any]] = {  # all images of both splits, from which the held-out ones are taken
    "imagenet64-all": {"name": "imagenet64", "split": "all", "per_class": 100},
    "specimens64-all": {"name": "specimens64", "split": "all", "per_class": 3},
}


@dataclass(frozen=True)
class DiagnosisSpec(Spec):
    """Settings of the networks, and of the one that memorizes."""

    dataset: str = choice(
        "digits", "digits", "cifar10", "specimens", "gaussian", *WHOLE, help="images"
    )
    side: int = number(0, low=0, high=32, help="pixels of a side after averaging; 0: as they are")
    n: int = number(1000, low=8, help="training images")
    held_out: int = number(599, low=8, help="held-out images")
    tiny: int = number(100, low=4, help="training images of the network that memorizes, part of the others")
    kinds: str = choice("all", "all", "few", "one", help="all eleven networks, five of them, or one")
    network: str = choice("mlp", "mlp", "unet", help="kind of network")
    width: int = number(144, low=8, help="width of the networks")
    blocks: int = number(3, low=1, high=8, help="residual blocks, of a U-Net per level")
    multipliers: tuple[int, ...] = numbers((1, 2), low=1, help="widths of a U-Net's levels, times width")
    embedding: int = number(64, low=8, help="width of the U-Net's embedding of the noise level")
    steps: int = number(4000, low=4, help="training steps")
    tiny_steps: int = number(12000, low=0, help="steps of the network that memorizes; 0: without it")
    batch: int = number(128, low=1, help="batch size")
    rate: float = number(2e-3, low=1e-7, high=1.0, help="learning rate of Adam")
    horizon: int = number(400, low=1, help="average of the weights that is evaluated, in steps")
    first: int = number(250, low=1, help="step of the first evaluation")
    snapshots: int = number(3, low=2, high=50, help="evaluations, evenly spaced in the logarithm of steps")
    tiny_snapshots: int = number(8, low=2, high=50, help="the same of the network that memorizes")
    levels: int = number(28, low=4, high=200, help="noise levels, evenly spaced in ln sigma")
    sigma_min: float = number(0.02, low=1e-4, high=10, help="smallest noise level")
    sigma_max: float = number(50.0, low=1e-3, high=1000, help="largest noise level")
    draws: int = number(2000, low=4, help="noisy images of a level for each gap")
    sources: int = number(16000, low=4, help="draws of a source image for the exact optimal loss")
    samples: int = number(599, low=4, help="samples at each evaluation, at most as many as held-out images")
    sampler_steps: int = number(32, low=4, help="Heun steps of the sampler")
    seeds: tuple[int, ...] = numbers((0, 1, 2), low=0, high=2**31, help="of images, weights and noise")
    precision: str = choice("float32", "float32", "bfloat16", help="of products in training")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.tiny > self.n:
            raise SpecError(f"tiny is a part of the n = {self.n} training images, so at most that.")
        if not self.sigma_min < self.sigma_max:
            raise SpecError("sigma_min must be below sigma_max.")


def kinds_of(spec: DiagnosisSpec) -> tuple[str, ...]:
    """The networks, each a process and a target."""
    return LADDERS[spec.kinds]


def compute(spec: DiagnosisSpec, work: Work) -> Arrays:
    """Arrays [kind, seed, evaluation, ...], those of the network that memorizes [seed, evaluation, ...] under
    `tiny_...`, and what no network changes [seed, ...]."""
    where = runtime.device()
    work.device = runtime.device_name(where)
    kinds, tables, tiny, fixed = kinds_of(spec), [], [], []
    each = len(kinds) + bool(spec.tiny_steps)
    count = len(spec.seeds) * each
    for turn, seed in enumerate(spec.seeds):
        scene = _Scene(spec, seed, where)
        place = turn * each
        fixed.append(_once(work, f"scene-seed-{seed}", scene.fixed))
        runs = [_Run(scene, kind) for kind in kinds]
        tables.append(stacked([run.table(work, place + k, count) for k, run in enumerate(runs)]))
        if spec.tiny_steps:
            tiny.append(_Run(scene, MEMORIZER, tiny=True).table(work, place + len(kinds), count))
    ladder = {name: np.moveaxis(values, 0, 1) for name, values in stacked(tables).items()}
    small = {f"tiny_{name}": values for name, values in stacked(tiny).items()} if tiny else {}
    return ladder | small | stacked(fixed) | _axes(spec)


def _once(work: Work, name: str, make: Callable[[], Arrays]) -> Arrays:
    """What `make` returns, kept so that a run that goes on has it."""
    found = work.load(name)
    if found is None:
        work.save(name, found := make())
    return found


def _axes(spec: DiagnosisSpec) -> Arrays:
    tiny = {"tiny_step": np.array(_stops(spec, tiny=True))} if spec.tiny_steps else {}
    return tiny | {
        "kind": np.array(kinds_of(spec)), "sigma": levels_of(spec).numpy(), "step": np.array(_stops(spec)),
    }  # fmt: skip


def levels_of(spec: DiagnosisSpec) -> Tensor:
    """Noise levels, float64 [l]."""
    return noise_levels(spec.levels, spec.sigma_min, spec.sigma_max)


def _stops(spec: DiagnosisSpec, tiny: bool = False) -> list[int]:
    steps, count = (spec.tiny_steps, spec.tiny_snapshots) if tiny else (spec.steps, spec.snapshots)
    return log_spaced(min(spec.first, steps), steps, count)


def images_of(spec: DiagnosisSpec, seed: int) -> tuple[Tensor, Tensor]:
    """Training and held-out images [n, ...], or draws of a Gaussian. Held-out ones are the same in all."""
    if spec.dataset in WHOLE:
        whole = data.load(**WHOLE[spec.dataset])
        order = permutation(len(whole), HELD_OUT)
        unseen = whole.taken(order[: spec.held_out])
        known = subset(whole.taken(order[spec.held_out :]), spec.n, seed)
    else:
        settings = GAUSSIAN if spec.dataset == "gaussian" else {}
        known = data.load(spec.dataset, n=spec.n, seed=seed, **settings)
        unseen = data.load(spec.dataset, n=spec.held_out, split="test", seed=HELD_OUT, **settings)
    return data.shrunk(known, spec.side).x, data.shrunk(unseen, spec.side).x


class _Scene:
    """The images of one seed, and what is known of them without a network."""

    def __init__(self, spec: DiagnosisSpec, seed: int, where: torch.device) -> None:
        self.spec, self.seed, self.where = spec, seed, where
        known, unseen = images_of(spec, seed)
        self.known, self.unseen = known.to(where), unseen.to(where)
        self.levels, self.shape = levels_of(spec), tuple(self.known.shape[1:])
        self.count = min(spec.samples, len(self.known), len(self.unseen))

    def fixed(self) -> Arrays:
        """Exact optimal losses [l] of the training set and of its small part, with standard errors and
        variances; the Fréchet distance between as many training and held-out images as samples are made. Of
        a Gaussian, `population`: the least loss on images that were not seen."""
        known, unseen = (pooled(x[: self.count]) for x in (self.known, self.unseen))
        size = np.array(self.known[0].numel())
        found: Arrays = {"floor": np.array(frechet(known, unseen)), "dimension": size}
        sets = {"": self.known} | ({"tiny_": self.known[: self.spec.tiny]} if self.spec.tiny_steps else {})
        for prefix, images in sets.items():
            curve = optimal_loss(images, self.levels, sources=self.spec.sources, seed=self.seed)
            found |= {
                f"{prefix}optimum": curve.mean.numpy(), f"{prefix}optimum_stderr": curve.stderr.numpy(),
                f"{prefix}variance": np.array(curve.variance),
            }  # fmt: skip
        if self.spec.dataset == "gaussian":
            found["population"] = gaussian_optimal_loss(self.levels, spectrum(**GAUSSIAN)).numpy()
        return found


class _Run:
    """One network: its training, and what is measured on the way."""

    def __init__(self, scene: _Scene, kind: str, tiny: bool = False) -> None:
        self.scene, self.spec, self.seed = scene, scene.spec, scene.seed
        self.images = scene.known[: self.spec.tiny] if tiny else scene.known
        self.name = f"{'tiny' if tiny else kind.replace(' ', '-')}-seed-{self.seed}"
        self.stops = _stops(self.spec, tiny)
        process, self.target = kind.split()
        self.process, self.law = PROCESSES[process], LAWS.get(kind, LAWS[process])
        network = seeded(self.seed, self._network)
        self.denoiser = NetworkDenoiser(network, self.process, self.target).to(scene.where)

    def _network(self) -> nn.Module:
        spec, shape = self.spec, self.scene.shape
        return small_network(spec.network, shape, spec.width, spec.blocks, spec.multipliers, spec.embedding)

    def table(self, work: Work, place: int, count: int) -> Arrays:
        """Train and evaluate: [evaluation, ...]; beside it the gap of the network that was not trained."""
        spec, steps = self.spec, self.stops[-1]
        plan = Plan(
            steps, spec.batch, spec.rate, warmup=min(WARMUP, steps), horizons=(spec.horizon,),
            precision=spec.precision, seed=self.seed,
        )  # fmt: skip
        objective = DenoisingLoss(self.images, self.law, self.process, self.target)
        begin = self._begin(work)
        run = Training(self.name, self.denoiser, objective, plan, self.stops, self._evaluated)
        return run.evaluations(work, work.part(place, count, self.name)) | begin

    def _begin(self, work: Work) -> Arrays:
        """The gap of the network before training, and its size."""
        return _once(work, f"{self.name}-0", self._untrained)

    def _untrained(self) -> Arrays:
        gap = loss_gap(
            self.denoiser, self.images, self.scene.levels, draws=self.spec.draws, seed=self.seed
        )
        return {"start": gap.gap.numpy(), "parameters": np.array(parameter_count(self.denoiser))}

    def _evaluated(self, snapshot: Snapshot) -> Arrays:
        """What is measured at one evaluation, with averaged weights."""
        with evaluating(snapshot, self.spec.horizon) as model:
            return self._losses(model) | self._samples(model) | {"running": np.array(snapshot.loss)}

    def _losses(self, model: nn.Module) -> Arrays:
        """Of noisy training and of noisy held-out images, against the optimum of the training set [l]."""
        scene, draws = self.scene, self.spec.draws
        known = loss_gap(model, self.images, scene.levels, draws=draws, seed=self.seed)
        other = loss_gap(
            model, self.images, scene.levels, draws=draws, held_out=scene.unseen, seed=self.seed
        )
        names = ("gap", "stderr", "loss", "loss_stderr", "optimal", "optimal_stderr", "difference_stderr")
        kept = ("gap", "loss", "loss_stderr", "optimal")
        found = {name: getattr(known, name).numpy() for name in names}
        return found | {f"held_{name}": getattr(other, name).numpy() for name in kept}

    def _samples(self, model: nn.Module) -> Arrays:
        """Fréchet distance of samples to as many held-out images, and the share of copies."""
        scene, count = self.scene, self.scene.count
        times = edm_sigmas(self.spec.sampler_steps)
        made = sample(
            model, scene.shape, count, times, seed=self.seed, batch=ROWS, device=scene.where
        ).to(scene.where)
        near = ratios(neighbours(made, self.images))
        distance = frechet(pooled(made), pooled(scene.unseen[:count]))
        return {"frechet": np.array(distance), "copies": np.array(float((near < COPIED).double().mean()))}


def fingerprints(spec: DiagnosisSpec) -> dict[str, str]:
    """Of both splits, whole; a Gaussian is drawn anew."""
    if spec.dataset == "gaussian":
        return {}
    if spec.dataset in WHOLE:
        return {spec.dataset: fingerprint(**WHOLE[spec.dataset])}
    return {f"{spec.dataset} {s}": fingerprint(spec.dataset, split=s) for s in ("train", "test")}
