"""Chapter 1: what the sampler of a trained network visits, and what guidance by its early self does.

The networks of `digits_gap`, measured at the end of training. One seed, the pilot, is evaluated all the way
and says at which noise level the network overfits; it enters nothing else. The other seeds are measured
there, and at the sampler's levels around it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from diffnotes.base import runtime
from diffnotes.chapters.gap import experiment as network_gap
from diffnotes.chapters.gap.experiment import WARMUP, GapSpec
from diffnotes.chapters.gap.guided import errors, guided_gaps
from diffnotes.chapters.gap.overlap import overlaps
from diffnotes.networks import NetworkDenoiser, seeded, small_network
from diffnotes.sample import edm_sigmas
from diffnotes.store import Arrays, Experiment, Spec, Tolerance, Work, number, numbers
from diffnotes.train import DenoisingLoss, LogNormal, Plan, Snapshot, Training, evaluating, stacked


@dataclass(frozen=True)
class TrainedSpec(Spec):
    """Settings of the networks, of their training, and of what is measured."""

    n: int = number(600, low=4, help="training images")
    held_out: int = number(599, low=4, help="held-out images")
    width: int = number(144, low=8, help="width of the network")
    depth: int = number(3, low=1, high=8, help="residual blocks")
    steps: int = number(8000, low=8, help="training steps")
    batch: int = number(256, low=1, help="batch size")
    horizon: int = number(400, low=1, help="average of the weights that is evaluated, in steps")
    first: int = number(100, low=1, help="step of the pilot's first evaluation")
    snapshots: int = number(12, low=2, high=100, help="evaluations of the pilot")
    levels: int = number(24, low=2, high=200, help="noise levels of errors, evenly spaced in ln sigma")
    draws: int = number(4, low=1, help="noise draws for each image behind an error")
    samples: int = number(599, low=4, help="samples, at most as many as images of a split")
    sampler_steps: int = number(32, low=4, help="Heun steps of the sampler")
    low: float = number(0.04, low=0.002, high=80, help="smallest level at which states are compared")
    high: float = number(1.5, low=0.002, high=80, help="largest level at which states are compared")
    early: float = number(0.25, low=0.01, high=1.0, help="share of training at which the guide is")
    weights: tuple[float, ...] = numbers(
        (0.0, 0.4, 0.8, 1.2, 1.6, 2.0), low=0.0, high=10, help="weights of guidance"
    )
    pilot: int = number(0, low=0, high=2**31, help="the seed that chooses the noise level")
    seeds: tuple[int, ...] = numbers((1, 2, 3), low=0, high=2**31, help="those that are measured")

    def gap(self) -> GapSpec:
        """The settings that `digits_gap` has too."""
        shared = ("n", "held_out", "width", "depth", "steps", "batch", "horizon", "first", "snapshots",
                  "levels", "draws", "sampler_steps")  # fmt: skip
        return GapSpec(**{name: getattr(self, name) for name in shared})


def compute(spec: TrainedSpec, work: Work) -> Arrays:
    """The pilot's errors [evaluation, l]; overlaps and guided gaps [seed, ...]."""
    work.device = runtime.device_name(runtime.device())
    stops, sigmas = network_gap.evaluation_steps(spec.gap()), network_gap.noise_levels(spec.gap())
    parts = len(spec.seeds) + 1
    pilot = _training(spec, spec.pilot, "pilot", stops).evaluations(work, work.part(0, parts, "pilot"))
    levels = compared(spec)
    place = chosen(pilot["val"], sigmas, levels)
    tables = []
    for part, seed in enumerate(spec.seeds, start=1):
        name = f"seed-{seed}"
        found = work.load(f"{name}-measured")
        if found is None:
            ends = _training(spec, seed, name, [_early(spec), spec.steps]).evaluations(
                work, work.part(part, parts, name)
            )
            found = _measured(spec, seed, ends["weights"], levels, place)
            work.save(f"{name}-measured", found)
            work.step(part + 1, parts, name)
        tables.append(found)
    return stacked(tables) | {
        "step": np.array(stops), "sigma": sigmas, "level": np.array(levels), "chosen": np.array(place),
        "pilot_val": pilot["val"], "pilot_train": pilot["train"], "weight": np.array(spec.weights),
    }  # fmt: skip


def compared(spec: TrainedSpec) -> list[float]:
    """The sampler's levels at which states are compared, falling."""
    return [float(s) for s in edm_sigmas(spec.sampler_steps) if spec.low <= s <= spec.high]


def chosen(val: np.ndarray, sigmas: np.ndarray, levels: list[float]) -> int:
    """Which of the compared levels is nearest to the one where the pilot's held-out error has risen most."""
    rise = val[-1] / val.min(0) - 1
    return int(np.abs(np.log(np.array(levels) / sigmas[rise.argmax()])).argmin())


def _early(spec: TrainedSpec) -> int:
    return max(1, round(spec.early * spec.steps))


def _network(spec: TrainedSpec, seed: int, known: Tensor) -> NetworkDenoiser:
    """The network of a seed as it is before training."""
    shape = tuple(known.shape[1:])
    build = partial(small_network, "mlp", shape, spec.width, spec.depth, (1, 2), 64)
    return NetworkDenoiser(seeded(seed, build)).to(known.device)


def _training(spec: TrainedSpec, seed: int, name: str, stops: list[int]) -> Training:
    """The run of a seed, as `digits_gap` has it. The pilot gives errors, the others their weights."""
    known, unseen = _images(spec, seed)
    plan = Plan(
        spec.steps, spec.batch, GapSpec().rate, warmup=WARMUP, horizons=(spec.horizon,),
        precision="float32", seed=seed,
    )  # fmt: skip

    def of_errors(snapshot: Snapshot) -> Arrays:
        with evaluating(snapshot, spec.horizon) as model:
            return errors(model, known, unseen, spec.gap(), seed)

    def of_weights(snapshot: Snapshot) -> Arrays:
        with evaluating(snapshot, spec.horizon) as model:
            return {"weights": parameters_to_vector(model.parameters()).cpu().numpy()}

    objective = DenoisingLoss(known, LogNormal())
    evaluate = of_errors if name == "pilot" else of_weights
    return Training(name, _network(spec, seed, known), objective, plan, stops, evaluate)


def _measured(
    spec: TrainedSpec, seed: int, weights: np.ndarray, levels: list[float], place: int
) -> Arrays:
    """What is measured of a trained network, given its weights [early and last, parameter]."""
    known, unseen = _images(spec, seed)
    early, last = (_network(spec, seed, known) for _ in range(2))
    for model, vector in zip((early, last), torch.from_numpy(weights).to(known), strict=True):
        vector_to_parameters(vector, model.parameters())
    count = min(spec.samples, len(known), len(unseen))
    with runtime.full_precision(), torch.no_grad():
        found = overlaps(last, known, unseen, count, spec.sampler_steps, levels, place, seed)
        return found | guided_gaps(last, early, known, unseen, spec.weights, count, spec.gap(), seed)


def _images(spec: TrainedSpec, seed: int) -> tuple[Tensor, Tensor]:
    """Training and held-out images, where they are computed with."""
    known, unseen = network_gap.images_of(spec.gap(), seed)
    return known.to(runtime.device()), unseen.to(runtime.device())


def _fingerprints(spec: TrainedSpec) -> dict[str, str]:
    return network_gap.fingerprints(spec.gap())


EXPERIMENT = Experiment(
    name="digits_trained",
    version=1,
    spec=TrainedSpec,
    profiles={
        # more steps than the warm-up has; two blocks of samples, the second one short
        "smoke": TrainedSpec(
            n=300, held_out=280, width=16, depth=2, steps=120, batch=16, horizon=4, first=30, snapshots=3,
            levels=6, draws=2, samples=264, sampler_steps=10, weights=(0.0, 1.0), seeds=(1, 2),
        ),
        "laptop": TrainedSpec(),
    },
    compute=compute,
    seconds={"smoke": 5, "laptop": 600},
    data=_fingerprints,
    tolerance=Tolerance(2e-4, 1e-6, "float32 steps and samples: rounding grows on the way"),
    tolerances={
        "share": Tolerance(0.0, 0.012, "an image or two of 264 on the other side of an end of the range"),
        "gap": Tolerance(2e-4, 2e-5, "a quotient near 1, less 1"),
    },
)  # fmt: skip
