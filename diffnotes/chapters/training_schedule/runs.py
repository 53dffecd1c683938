"""One training run under a schedule, and what is measured of it: what the experiments of this room share.

Runs of one seed differ in nothing but the law of noise levels and the weight of the loss: they have the same
training set, initial weights, samples, noise and, in place of noise levels, the same uniform numbers; and all
measurements of them have the same noise. Losses, gaps and errors are of x0, squared, per dimension.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from diffnotes import data
from diffnotes.data import fingerprint
from diffnotes.loss_gap import loss_gap
from diffnotes.metrics import denoising_error, frechet, memorized, neighbours, pooled, ratios
from diffnotes.networks import NetworkDenoiser, parameter_count, seeded, small_network
from diffnotes.optimal_loss import optimal_loss
from diffnotes.process import VE, noise_levels
from diffnotes.sample import edm_sigmas, sample
from diffnotes.schedule import LossGapLaw, ScheduledLoss
from diffnotes.store import Arrays, Spec, Tolerance, Work, choice, number, numbers
from diffnotes.train import DenoisingLoss, LogNormal, Plan, Snapshot, Training, evaluating, log_spaced

TOLERANCE = Tolerance(1e-4, 1e-6, "float32 steps and samples: rounding grows on the way")
COARSE = Tolerance(2e-2, 1e-4, "bfloat16, with other instructions of the processor")
EDM = "EDM"  # the run under EDM's law and weight
IMAGES = 0  # the seed that picks training and held-out images: the same for every run
LOW, HIGH = 0.005, 80.0  # noise levels that a schedule draws from
FINE = 64  # levels at which the optimal loss is taken
WARMUP = 100  # steps over which the learning rate rises


@dataclass(frozen=True)
class RunSpec(Spec):
    """Settings of runs; sigma is in units of pixels in [-1, 1]."""

    dataset: str = choice("digits", "digits", "cifar10", "specimens", help="images")
    side: int = number(0, low=0, high=32, help="pixels of a side after averaging; 0: as they are")
    n: int = number(1000, low=8, help="training images")
    held_out: int = number(599, low=8, help="held-out images, and samples")
    network: str = choice("mlp", "mlp", "unet", help="kind of network")
    width: int = number(96, low=8, help="width of the network")
    depth: int = number(2, low=1, high=8, help="residual blocks, of a U-Net per level")
    multipliers: tuple[int, ...] = numbers((1, 2), low=1, help="widths of a U-Net's levels, times width")
    embedding: int = number(64, low=8, help="width of the U-Net's embedding of the noise level")
    steps: int = number(2000, low=4, help="training steps")
    batch: int = number(128, low=1, help="batch size")
    rate: float = number(2e-3, low=1e-7, high=1.0, help="learning rate of Adam")
    horizon: int = number(200, low=1, help="average of the weights that is evaluated, in steps")
    first: int = number(125, low=1, help="step at which the law is first looked at")
    looks: int = number(4, low=2, high=100, help="looks at the law, evenly spaced in the logarithm of steps")
    bins: int = number(48, low=2, high=512, help="parts of ln sigma of the schedule")
    memory: int = number(256, low=1, help="images that its running means look back over, per part")
    sources: int = number(4096, low=16, help="images drawn for the optimal loss")
    levels: int = number(24, low=4, high=200, help="noise levels of gaps, evenly spaced in ln sigma")
    sigma_min: float = number(0.02, low=1e-3, high=10, help="smallest noise level of gaps")
    sigma_max: float = number(20.0, low=1e-2, high=80, help="largest noise level of gaps")
    draws: int = number(2000, low=2, help="noisy images at each level, for gaps and for held-out errors")
    sampler_steps: int = number(24, low=2, help="Heun steps of the sampler")
    precision: str = choice("float32", "float32", "bfloat16", help="of products in training")


@dataclass(frozen=True)
class Setting:
    """What all runs of an experiment share: images [n, ...] and the law of the schedule for these."""

    known: Tensor
    unseen: Tensor
    law: LossGapLaw

    @classmethod
    def of(cls, spec: RunSpec, where: torch.device, options: Mapping[str, Any]) -> Setting:
        """Training and held-out images, and the law with these constants."""
        known, unseen = (
            data.shrunk(data.load(spec.dataset, n=n, split=name, seed=IMAGES), spec.side).x.to(where)
            for name, n in (("train", spec.n), ("test", spec.held_out))
        )
        curve = optimal_loss(known, noise_levels(FINE, LOW, HIGH), sources=spec.sources)
        law = LossGapLaw.of(curve, known[0].numel(), bins=spec.bins, memory=spec.memory, **options)
        return cls(known, unseen, law)

    def arrays(self, spec: RunSpec) -> Arrays:
        """What no run changes. floor: the Fréchet distance of as many training images."""
        count = min(len(self.known), len(self.unseen))
        return {
            "sigma": levels(spec).numpy(), "critical": np.array(self.law.critical),
            "variance": np.array(self.law.variance), "centre": self.law.centres().numpy(),
            "optimal": self.law.optimal_at(self.law.centres()).numpy(), "step": np.array(stops(spec)),
            "floor": np.array(frechet(pooled(self.known[:count]), pooled(self.unseen[:count]))),
        }  # fmt: skip


def levels(spec: RunSpec) -> Tensor:
    """Noise levels of gaps and errors, float64 [l]."""
    return noise_levels(spec.levels, spec.sigma_min, spec.sigma_max)


def stops(spec: RunSpec) -> list[int]:
    """Steps at which the law is looked at; at the last one all is measured."""
    return log_spaced(min(spec.first, spec.steps), spec.steps, spec.looks)


class ScheduleRun:
    """One network, under EDM's law (options None) or under the schedule with some constants changed."""

    def __init__(
        self, spec: RunSpec, setting: Setting, name: str, seed: int, options: Mapping[str, Any] | None
    ) -> None:
        self.spec, self.setting, self.seed = spec, setting, seed
        self.name = f"{name}-seed-{seed}".replace(" ", "-")
        self.law = None if options is None else replace(setting.law, **options)
        self.shape = tuple(setting.known.shape[1:])
        self.denoiser = NetworkDenoiser(seeded(seed, self._network)).to(setting.known.device)

    def _network(self) -> nn.Module:
        spec = self.spec
        return small_network(
            spec.network, self.shape, spec.width, spec.depth, spec.multipliers, spec.embedding
        )

    def table(self, work: Work, place: int, count: int) -> Arrays:
        """Train and measure. law, running [look, bin]; the rest of the last look alone."""
        spec, x = self.spec, self.setting.known
        plan = Plan(
            spec.steps, spec.batch, spec.rate, warmup=WARMUP, horizons=(spec.horizon,),
            precision=spec.precision, seed=self.seed,
        )  # fmt: skip
        objective = DenoisingLoss(x, LogNormal()) if self.law is None else ScheduledLoss(x, self.law)
        training = Training(self.name, self.denoiser, objective, plan, stops(spec), self._looked)
        found = training.evaluations(work, work.part(place, count, self.name))
        several = ("law", "running", "loss")
        last = {k: v if k in several else v[-1] for k, v in found.items()}
        return last | {"weight": self._weight(), "parameters": np.array(parameter_count(self.denoiser))}

    def _weight(self) -> np.ndarray:
        """w at the middles of the parts of ln sigma [bin]."""
        centres = self.setting.law.centres()
        return (VE().loss_factor("F", centres) if self.law is None else self.law.weight(centres)).numpy()

    def _looked(self, snapshot: Snapshot) -> Arrays:
        """The law as it is, and at the end what is measured."""
        last = snapshot.step == self.spec.steps
        shape = {**dict.fromkeys(CURVES, (self.spec.levels,)), **dict.fromkeys(NUMBERS, ())}
        found: Arrays = {name: np.full(size, np.nan) for name, size in shape.items()}
        if last:
            with evaluating(snapshot, self.spec.horizon) as model:
                found = self._measured(model)
        return found | self._law(snapshot) | {"loss": np.array(snapshot.loss)}

    def _law(self, snapshot: Snapshot) -> Arrays:
        """The share of noise levels in each part of ln sigma, and the running means of losses there [bin]."""
        if self.law is None or snapshot.memory is None:
            edges = (self.setting.law.edges() - LogNormal.mean) / LogNormal.std
            return {
                "law": torch.special.ndtr(edges).diff().numpy(), "running": np.full(self.spec.bins, np.nan)
            }
        memory = snapshot.memory.cpu()
        return {"law": self.law.probabilities(memory).numpy(), "running": memory.numpy()}

    def _measured(self, model: nn.Module) -> Arrays:
        """CURVES [l] and NUMBERS of the network."""
        spec, known, unseen = self.spec, self.setting.known, self.setting.unseen
        size, sigmas = known[0].numel(), levels(spec)
        gap = loss_gap(model, known, sigmas, draws=spec.draws, seed=self.seed)
        repeats = max(1, spec.draws // len(unseen))
        error = denoising_error(model, unseen, sigmas, seed=self.seed, draws=repeats).mean(1)
        curves = {"gap": gap.gap, "gap_stderr": gap.stderr, "train": gap.loss}
        return {name: (value / size).numpy() for name, value in curves.items()} | {
            "held_out": error.cpu().numpy(), **self._samples(model)
        }  # fmt: skip

    def _samples(self, model: nn.Module) -> Arrays:
        """Fréchet distances of samples to both sets at equal counts, and the share of copies among them."""
        known, unseen = self.setting.known, self.setting.unseen
        count = min(len(known), len(unseen))
        times = edm_sigmas(self.spec.sampler_steps)
        made = sample(
            model, self.shape, count, times, seed=self.seed, batch=256, device=known.device
        ).to(known.device)  # fmt: skip
        one, both = pooled(made), {"frechet": unseen, "frechet_train": known}
        return {name: np.array(frechet(one, pooled(x[:count]))) for name, x in both.items()} | {
            "copies": np.array(memorized(ratios(neighbours(made, known)), repeats=2).value)
        }


CURVES = ("gap", "gap_stderr", "train", "held_out")
NUMBERS = ("frechet", "frechet_train", "copies")


def fingerprints(spec: RunSpec) -> dict[str, str]:
    """Of both splits, whole."""
    return {f"{spec.dataset} {s}": fingerprint(spec.dataset, split=s) for s in ("train", "test")}
