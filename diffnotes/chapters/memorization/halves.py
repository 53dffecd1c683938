"""Two networks that share no training image, and the same noise: do they make the same picture? (chapter 3)

The test of Kadkhodaie et al. (arXiv 2310.02557, figure 2): with enough images they do, so both must have
learned the distribution; with few images each returns its own training images. It needs no features and no
threshold. Here on digits, with a small residual network. Both networks of a pair start from equal weights
and see equal noise in training, which brings their samples nearer to each other. So a third network learns
the first half from another start and with other noise: how far it is from the first one is what chance alone
does, and how far from the second one what the two networks would be apart without a common start.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from diffnotes import data
from diffnotes.base import runtime
from diffnotes.data import fingerprint
from diffnotes.metrics import neighbours, ratios
from diffnotes.networks import MLP, NetworkDenoiser, seeded
from diffnotes.process import FlowMatching
from diffnotes.sample import flow_times, sample
from diffnotes.store import Arrays, Experiment, Spec, Tolerance, Work, number, numbers
from diffnotes.train import DenoisingLoss, Plan, Report, Snapshot, Training, UniformTime, evaluating

HALVES = 2
FRESH = 1_000_000  # added to the seed: another start, and other noise in training


@dataclass(frozen=True)
class HalvesSpec(Spec):
    """Settings; n is the size of one half."""

    sizes: tuple[int, ...] = numbers((8, 32, 128, 599), low=2, high=599, help="images of a half")
    width: int = number(256, low=8, help="width of the network")
    blocks: int = number(3, low=1, help="residual blocks")
    batch: int = number(32, low=1, help="batch size")
    rate: float = number(1e-3, low=1e-7, high=1.0, help="learning rate of Adam")
    steps: int = number(5000, low=10, help="training steps, the same for every size")
    horizon: int = number(500, low=1, help="average of the weights, in steps")
    samples: int = number(256, low=8, help="pairs of samples from the same noise")
    sampler_steps: int = number(30, low=2, help="Euler steps of the sampler")
    seeds: tuple[int, ...] = numbers((0, 1, 2), low=0, high=2**31, help="of images, weights and noise")


def compute(spec: HalvesSpec, work: Work) -> Arrays:
    """Distances with axes [size, seed, ...]; each pair of networks has equal initial weights."""
    work.device = runtime.device_name(runtime.device())
    pairs = [(n, seed) for n in spec.sizes for seed in spec.seeds]
    found = [_pair(spec, n, seed, work, place, len(pairs)) for place, (n, seed) in enumerate(pairs)]
    shape = (len(spec.sizes), len(spec.seeds))
    arrays = {key: np.stack([one[key] for one in found]) for key in found[0]}
    return {"n": np.array(spec.sizes)} | {k: v.reshape(*shape, *v.shape[1:]) for k, v in arrays.items()}


def _pair(spec: HalvesSpec, n: int, seed: int, work: Work, place: int, count: int) -> Arrays:
    """What the samples of two networks have in common.

    `apart`: distance of the two samples from one noise; `unrelated`: of samples from different noises; all
    as root mean square over pairs. `again`: the same between the first network and one that learned the same
    half from another start; `strangers`: between that one and the second network. `cosine`: of the two
    samples, less the mean image of their training sets. `own`: distance to the nearest image of the own half;
    `other`: to that of the other half.
    """
    name = f"n{n}-s{seed}"
    saved = work.load(name)
    if saved is not None:
        return saved
    whole = data.load("digits", n=HALVES * n, seed=seed).x
    halves = whole.chunk(HALVES)
    networks = [(halves[0], seed), (halves[1], seed), (halves[0], seed + FRESH)]
    made = []
    for k, (x, start) in enumerate(networks):
        part = f"{name}-{k}"
        report = work.part(len(networks) * place + k, len(networks) * count, part)
        made.append(_samples(spec, x, seed, start, work, part, report))
    fresh = made.pop().flatten(1).double()
    one, two = (x.flatten(1).double() for x in made)
    middle = whole.flatten(1).double().mean(0)
    near = [[neighbours(x, half) for half in halves] for x in made]
    measured = {
        "apart": _rms(one - two), "unrelated": _rms(one - two.roll(1, 0)),
        "again": _rms(one - fresh), "strangers": _rms(fresh - two),
        "cosine": torch.cosine_similarity(one - middle, two - middle).mean().numpy(),
        "own": torch.stack([near[k][k].distance[:, 0].mean() for k in range(HALVES)]).mean().numpy(),
        "other": torch.stack([near[k][1 - k].distance[:, 0].mean() for k in range(HALVES)]).mean().numpy(),
        "copies": np.mean([float((ratios(near[k][k]) < 1 / 3).double().mean()) for k in range(HALVES)]),
        "sheet": np.stack([data.as_bytes(x[:6]) for x in made]),
    }  # fmt: skip
    found = {key: np.asarray(value) for key, value in measured.items()}
    work.save(name, found)
    work.step(place + 1, count, name)
    return found


def _samples(
    spec: HalvesSpec, x: Tensor, seed: int, start: int, work: Work, name: str, report: Report
) -> Tensor:
    """Samples, from the noise of `seed`, of a network trained on x with the weights and the noise of `start`;
    float32 on the CPU, kept under `name`."""
    where, process, shape = runtime.device(), FlowMatching(), tuple(x.shape[1:])
    network = seeded(start, lambda: MLP(shape, spec.width, spec.blocks))
    denoiser = NetworkDenoiser(network, process, "velocity").to(where)
    objective = DenoisingLoss(x.to(where), UniformTime(process), process, "velocity")
    plan = Plan(spec.steps, spec.batch, spec.rate, horizons=(spec.horizon,), precision="float32", seed=start)
    stops = [spec.steps // 2, spec.steps]  # halfway only to be stopped there

    def evaluate(end: Snapshot) -> Arrays:
        with evaluating(end, spec.horizon) as model:
            made = sample(
                model, shape, spec.samples, flow_times(spec.sampler_steps), process=process, solver="euler",
                seed=seed, batch=256, device=where,
            )  # fmt: skip
        return {"samples": made.numpy()}

    run = Training(name, denoiser, objective, plan, stops, evaluate)
    return torch.from_numpy(run.evaluations(work, report)["samples"][-1])


def _rms(gap: Tensor) -> np.ndarray:
    return gap.square().sum(1).mean().sqrt().numpy()


def _fingerprints(spec: HalvesSpec) -> dict[str, str]:
    return {"digits": fingerprint("digits")}


SMOKE = HalvesSpec(
    sizes=(8, 12), width=16, blocks=1, batch=8, steps=12, horizon=4, samples=16, sampler_steps=4, seeds=(0, 1)
)

EXPERIMENT = Experiment(
    name="disjoint_halves",
    version=1,
    spec=HalvesSpec,
    profiles={
        "smoke": SMOKE,
        "smoke_blocks": SMOKE.replace(sizes=(8,), blocks=2),
        "laptop": HalvesSpec(),
    },
    compute=compute,
    seconds={"smoke": 2, "smoke_blocks": 1, "laptop": 750},
    data=_fingerprints,
    tolerance=Tolerance(5e-5, why="float32 steps and samples: rounding grows on the way"),
    tolerances={"sheet": Tolerance(0.0, 1.0, "a byte may round the other way")},
)  # fmt: skip
