"""Chapter 1: does a finer condition give a larger gap? Networks that are told the cluster of an image.

Kaiser & Kollmann (arXiv 2603.13419) give networks the k-means cluster of an image in features; here clusters
are of pixels. One more network is told the digit that an image shows. Runs of one seed share images, batches
and noise, and differ in the condition alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from diffnotes import data
from diffnotes.base import runtime
from diffnotes.chapters.gap import experiment as network_gap
from diffnotes.chapters.gap.experiment import HELD_OUT, ROWS, WARMUP, GapSpec
from diffnotes.metrics import denoising_error, frechet, pooled, relative_gap
from diffnotes.networks import NetworkDenoiser, seeded, small_network
from diffnotes.sample import edm_sigmas, sample
from diffnotes.store import Arrays, Experiment, Spec, Tolerance, Work, flag, number, numbers
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

STARTS = 4  # of k-means; the best counts
DIGITS, CLASSES = 0, 10  # in place of a number of clusters: the condition is the digit; how many there are


@dataclass(frozen=True)
class ConditionsSpec(Spec):
    """Settings of networks and conditions."""

    n: int = number(600, low=8, help="training images")
    held_out: int = number(599, low=8, help="held-out images")
    clusters: tuple[int, ...] = numbers((1, 10, 50, 200), low=1, high=500, help="clusters; 1: no condition")
    digits: bool = flag(True, help="one more network, which is told the digit")
    width: int = number(144, low=8, help="width of the network")
    depth: int = number(3, low=1, high=8, help="residual blocks")
    steps: int = number(2000, low=4, help="training steps")
    batch: int = number(256, low=1, help="batch size")
    horizon: int = number(100, low=1, help="average of the weights that is evaluated, in steps")
    first: int = number(250, low=1, help="step of the first evaluation")
    snapshots: int = number(4, low=2, high=100, help="evaluations")
    levels: int = number(24, low=4, high=200, help="noise levels of errors, evenly spaced in ln sigma")
    draws: int = number(2, low=1, help="noise draws for each image behind an error")
    samples: int = number(599, low=4, help="samples, at most as many as images of a split")
    sampler_steps: int = number(32, low=4, help="Heun steps of the sampler")
    seeds: tuple[int, ...] = numbers((0, 1, 2, 3, 4), low=0, high=2**31, help="of images, weights and noise")

    def gap(self) -> GapSpec:
        """The settings that `digits_gap` has too."""
        return GapSpec(n=self.n, held_out=self.held_out, levels=self.levels)

    def conditions(self) -> tuple[int, ...]:
        """What networks are told: one of so many clusters, ever finer; then, where asked for, the digit."""
        return (*self.clusters, DIGITS) if self.digits else self.clusters


def compute(spec: ConditionsSpec, work: Work) -> Arrays:
    """Errors and gaps [seed, condition, evaluation, l], and distances of samples [seed, condition,
    evaluation]."""
    work.device = runtime.device_name(runtime.device())
    stops = log_spaced(min(spec.first, spec.steps), spec.steps, spec.snapshots)
    parts, done, tables = len(spec.seeds) * len(spec.conditions()), 0, []
    for seed in spec.seeds:
        rows = []
        for count in spec.conditions():
            name = f"seed-{seed}-{count}"
            run = _training(spec, seed, count, name, stops)
            rows.append(run.evaluations(work, work.part(done, parts, name)))
            done += 1
        tables.append(stacked(rows))
    return stacked(tables) | {
        "step": np.array(stops), "sigma": network_gap.noise_levels(spec.gap()),
        "clusters": np.array(spec.conditions()),
    }  # fmt: skip


def clustered(known: Tensor, unseen: Tensor, count: int, seed: int) -> tuple[Tensor, Tensor] | None:
    """Which of `count` k-means clusters of the training images each image is in; None for one cluster."""
    if count == 1:
        return None
    from sklearn.cluster import KMeans  # slow to import, needed only here

    found = KMeans(count, n_init=STARTS, random_state=seed).fit(known.flatten(1).double().cpu().numpy())
    pixels = unseen.flatten(1).double().cpu().numpy()
    labels = (torch.from_numpy(x.astype(np.int64)) for x in (found.labels_, found.predict(pixels)))
    one, two = (x.to(known.device) for x in labels)
    return one, two


def conditions(spec: ConditionsSpec, seed: int, count: int) -> tuple[Tensor, Tensor] | None:
    """What a network is told of each training and held-out image; None for nothing."""
    if count == DIGITS:
        pairs = (("train", spec.n, seed), ("test", spec.held_out, HELD_OUT))
        one, two = (data.load("digits", n=n, split=split, seed=own).labels for split, n, own in pairs)
        return one.to(runtime.device()), two.to(runtime.device())
    known, unseen = network_gap.images_of(spec.gap(), seed)
    return clustered(known.to(runtime.device()), unseen.to(runtime.device()), count, seed)


def _training(spec: ConditionsSpec, seed: int, count: int, name: str, stops: list[int]) -> Training:
    """The run of a seed under a condition."""
    known, unseen = (x.to(runtime.device()) for x in network_gap.images_of(spec.gap(), seed))
    labels = conditions(spec, seed, count)
    classes = 0 if labels is None else count or CLASSES
    build = partial(small_network, "mlp", tuple(known.shape[1:]), spec.width, spec.depth, classes=classes)
    plan = Plan(
        spec.steps, spec.batch, GapSpec().rate, warmup=WARMUP, horizons=(spec.horizon,),
        precision="float32", seed=seed,
    )  # fmt: skip

    def evaluate(snapshot: Snapshot) -> Arrays:
        with evaluating(snapshot, spec.horizon) as model:
            found = _errors(model, (known, unseen), labels, spec, seed)
            return found | _distances(model, (known, unseen), labels, spec, seed)

    objective = DenoisingLoss(known, LogNormal(), labels=None if labels is None else labels[0])
    model = NetworkDenoiser(seeded(seed, build)).to(known.device)
    return Training(name, model, objective, plan, stops, evaluate)


def _errors(
    model: Callable[..., Tensor], images: tuple[Tensor, Tensor], labels: tuple[Tensor, Tensor] | None,
    spec: ConditionsSpec, seed: int,
) -> Arrays:  # fmt: skip
    """Errors over sigma [l] of both splits, each image with its condition, and their relative gap."""
    sigmas = torch.from_numpy(network_gap.noise_levels(spec.gap()))
    one, two = (
        denoising_error(model, x, sigmas, seed=seed, draws=spec.draws, labels=own).cpu()
        for x, own in zip(images, labels or (None, None), strict=True)
    )
    gap, spread = relative_gap(one, two)
    found = {"train": one.mean(1), "val": two.mean(1), "gap": gap, "gap_stderr": spread}
    return {name: value.numpy() for name, value in found.items()}


def _distances(
    model: Callable[..., Tensor], images: tuple[Tensor, Tensor], labels: tuple[Tensor, Tensor] | None,
    spec: ConditionsSpec, seed: int,
) -> Arrays:  # fmt: skip
    """Fréchet distances of samples to images of both splits; sample i is asked for what the network was told
    of training image i, so that conditions are as frequent as in training."""
    count = min(spec.samples, *map(len, images))
    made = sample(
        model, tuple(images[0].shape[1:]), count, edm_sigmas(spec.sampler_steps), seed=seed, batch=ROWS,
        device=images[0].device, labels=None if labels is None else labels[0][:count],
    )  # fmt: skip
    return {
        f"frechet_{name}": np.array(frechet(pooled(made), pooled(x[:count].cpu())))
        for name, x in zip(("train", "val"), images, strict=True)
    }


def _fingerprints(spec: ConditionsSpec) -> dict[str, str]:
    return network_gap.fingerprints(spec.gap())


EXPERIMENT = Experiment(
    name="digits_conditions",
    version=1,
    spec=ConditionsSpec,
    profiles={
        # more steps than the warm-up has
        "smoke": ConditionsSpec(
            n=60, held_out=40, clusters=(1, 3), width=16, depth=2, steps=110, batch=16, horizon=4, first=40,
            snapshots=2, levels=6, samples=36, sampler_steps=6, seeds=(0, 1),
        ),
        "laptop": ConditionsSpec(),
    },
    compute=compute,
    seconds={"smoke": 5, "laptop": 900},
    data=_fingerprints,
    tolerance=Tolerance(2e-4, 1e-6, "float32 steps: rounding grows on the way"),
    tolerances={"gap": Tolerance(2e-4, 2e-5, "a quotient near 1, less 1")},
)  # fmt: skip
