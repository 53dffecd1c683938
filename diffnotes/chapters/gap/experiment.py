"""The gap between training and held-out error of networks, through training: what `digits_gap` and
`cifar_gap` compute (chapter 1).

The measurements of Kaiser & Kollmann (arXiv 2603.13419, figures 1 and 2 and their study of trajectories),
made small. A network learns in the setting of EDM (Karras et al. 2022): prediction target F, ln sigma normal
with mean -1.2 and deviation 1.2, EDM's weight. sigma_data is EDM's 0.5 for every set of images; it only sets
the scale of inputs and targets. All evaluations of one run share their noise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from diffnotes import data
from diffnotes.base import runtime
from diffnotes.data import fingerprint
from diffnotes.metrics import (
    copy_similarity,
    denoising_error,
    frechet,
    neighbours,
    pooled,
    ratios,
    relative_gap,
)
from diffnotes.networks import NetworkDenoiser, parameter_count, seeded, small_network
from diffnotes.sample import edm_sigmas, initial_noise, trajectory
from diffnotes.store import Arrays, Spec, Tolerance, Work, choice, number, numbers
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

TOLERANCE = Tolerance(5e-6, why="float32 steps and samples: rounding grows on the way, to 3e-7")
TOLERANCES = {
    "gap": Tolerance(5e-6, 1e-6, "a quotient near 1, less 1"),
    "similarity*": Tolerance(5e-6, 5e-7, "cosines in float32"),
    **dict.fromkeys(("sheet", "near"), Tolerance(0.0, 1.0, "a byte may round the other way")),
}
HELD_OUT = 0  # the seed that picks held-out images: the same for every run
ROWS = 256  # samples solved at once
WARMUP = 100  # steps over which the learning rate rises


@dataclass(frozen=True)
class GapSpec(Spec):
    """Settings of one network and its training set; sigma is in units of pixels in [-1, 1]."""

    dataset: str = choice("digits", "digits", "cifar10", "specimens", help="images")
    side: int = number(0, low=0, high=32, help="pixels of a side after averaging; 0: as they are")
    n: int = number(600, low=4, help="training images")
    held_out: int = number(599, low=4, help="held-out images")
    network: str = choice("mlp", "mlp", "unet", help="kind of network")
    width: int = number(144, low=8, help="width of the network")
    depth: int = number(3, low=1, high=8, help="residual blocks, of a U-Net per level")
    multipliers: tuple[int, ...] = numbers((1, 2), low=1, help="widths of a U-Net's levels, times width")
    embedding: int = number(64, low=8, help="width of the U-Net's embedding of the noise level")
    steps: int = number(8000, low=4, help="training steps")
    batch: int = number(256, low=1, help="batch size")
    rate: float = number(2e-3, low=1e-7, high=1.0, help="learning rate of Adam")
    horizon: int = number(400, low=1, help="average of the weights that is evaluated, in steps")
    first: int = number(100, low=1, help="step of the first evaluation")
    snapshots: int = number(12, low=2, high=100, help="evaluations, evenly spaced in the logarithm of steps")
    levels: int = number(24, low=2, high=200, help="noise levels, evenly spaced in ln sigma")
    sigma_min: float = number(0.01, low=1e-4, high=10, help="smallest noise level")
    sigma_max: float = number(30.0, low=1e-3, high=1000, help="largest noise level")
    draws: int = number(4, low=1, help="noise draws for each image")
    images: int = number(1200, low=4, help="images of each split that errors are taken on, at most")
    samples: int = number(599, low=4, help="samples at each evaluation, at most as many as images of a split")
    sheet: int = number(8, low=1, high=64, help="samples of the first seed kept as pictures, at most")
    sampler_steps: int = number(32, low=4, help="Heun steps of the sampler")
    probes: tuple[float, ...] = numbers(
        (1.17, 0.6, 0.283, 0.12), low=0.01, high=50, help="noise levels at which trajectories are compared"
    )
    seeds: tuple[int, ...] = numbers((0, 1, 2), low=0, high=2**31, help="of images, weights and noise")
    precision: str = choice(
        "float32", "float32", "bfloat16", help="of products and convolutions in training", later=True
    )


def compute(spec: GapSpec, work: Work) -> Arrays:
    """Everything that is measured, with axes [seed, evaluation, ...], and the first seed's pictures."""
    where = runtime.device()
    work.device = runtime.device_name(where)
    arrays = stacked([_Run(spec, seed, where).table(work, place) for place, seed in enumerate(spec.seeds)])
    arrays |= {name: arrays[name][0] for name in ("sheet", "near")}
    stops, levels = evaluation_steps(spec), sampler_levels(spec)
    return arrays | {
        "step": np.array(stops), "images_seen": np.array(stops) * spec.batch, "sigma": noise_levels(spec),
        "probe": levels[probe_places(spec, levels)].numpy(), "kind": np.array(KINDS),
    }  # fmt: skip


KINDS = ("training", "held out", "sampler")  # where the noisy images at a probe come from


def evaluation_steps(spec: GapSpec) -> list[int]:
    """Steps after which the run is evaluated."""
    return log_spaced(min(spec.first, spec.steps), spec.steps, spec.snapshots)


def noise_levels(spec: GapSpec) -> np.ndarray:
    """The levels of the error curves, float64 [l]."""
    return np.geomspace(spec.sigma_min, spec.sigma_max, spec.levels)


def sampler_levels(spec: GapSpec) -> Tensor:
    """The levels of the sampler, falling to 0, float64 [steps + 1]."""
    return edm_sigmas(spec.sampler_steps)


def probe_places(spec: GapSpec, levels: Tensor) -> list[int]:
    """Which of the sampler's levels are nearest to the probes in ln sigma, in falling order of sigma."""
    logs = levels[:-1].log()
    return sorted({int((logs - math.log(probe)).abs().argmin()) for probe in spec.probes})


def images_of(spec: GapSpec, seed: int) -> tuple[Tensor, Tensor]:
    """Training and held-out images, float32 [n, ...]."""
    known = data.load(spec.dataset, n=spec.n, seed=seed)
    unseen = data.load(spec.dataset, n=spec.held_out, split="test", seed=HELD_OUT)
    return data.shrunk(known, spec.side).x, data.shrunk(unseen, spec.side).x


class _Run:
    """The run of one seed: its images, its network, and what is measured on the way."""

    def __init__(self, spec: GapSpec, seed: int, where: torch.device) -> None:
        self.spec, self.seed, self.where = spec, seed, where
        self.known, self.unseen = (x.to(where) for x in images_of(spec, seed))
        self.shape = tuple(self.known.shape[1:])
        self.denoiser = NetworkDenoiser(seeded(seed, self._network)).to(where)
        self.objective = DenoisingLoss(self.known, LogNormal())
        self.count = min(spec.samples, len(self.known), len(self.unseen))

    def _network(self) -> nn.Module:
        spec = self.spec
        return small_network(
            spec.network, self.shape, spec.width, spec.depth, spec.multipliers, spec.embedding
        )

    def table(self, work: Work, place: int) -> Arrays:
        """Train and evaluate: [evaluation, ...]; then what does not change through training."""
        spec, name = self.spec, f"seed-{self.seed}"
        plan = Plan(
            spec.steps, spec.batch, spec.rate, warmup=WARMUP, horizons=(spec.horizon,),
            precision=spec.precision, seed=self.seed,
        )  # fmt: skip
        run = Training(name, self.denoiser, self.objective, plan, evaluation_steps(spec), self._evaluated)
        return run.evaluations(work, work.part(place, len(spec.seeds), name)) | self._fixed()

    def _fixed(self) -> Arrays:
        """Parameters, deviation of the data, and Fréchet distances between sets of real images.

        `floor`: training against held-out images at the count of samples, what memorized samples would score;
        `halves`: two halves of the held-out images, so at half that count.
        """
        known, unseen = (pooled(x[: self.count]) for x in (self.known, self.unseen))
        half = self.count // 2
        return {
            "parameters": np.array(parameter_count(self.denoiser)), "count": np.array(self.count),
            "deviation": np.array(float(self.known.std())), "floor": np.array(frechet(known, unseen)),
            "halves": np.array(frechet(unseen[:half], unseen[half : 2 * half])),
        }  # fmt: skip

    def _evaluated(self, snapshot: Snapshot) -> Arrays:
        """What is measured at one evaluation, with averaged weights."""
        with evaluating(snapshot, self.spec.horizon) as model:
            return self._errors(model) | self._trajectories(model) | {"loss": np.array(snapshot.loss)}

    def _errors(self, model: nn.Module) -> Arrays:
        """Denoising errors over sigma [l] of both splits, their relative gap, and standard errors."""
        spec = self.spec
        sigmas = torch.from_numpy(noise_levels(spec))
        known, unseen = (
            denoising_error(model, x[: spec.images], sigmas, seed=self.seed, draws=spec.draws).cpu()
            for x in (self.known, self.unseen)
        )
        gap, spread = relative_gap(known, unseen)
        arrays = {"train": known.mean(1), "val": unseen.mean(1), "gap": gap, "gap_stderr": spread}
        return {name: value.numpy() for name, value in arrays.items()}

    # ------------------------------------------------------------------------------------- trajectories

    def _trajectories(self, model: nn.Module) -> Arrays:
        """Samples, and states of the sampler at the probes [p], against noised images of both splits."""
        levels = sampler_levels(self.spec)
        places = probe_places(self.spec, levels)
        states, guesses, made = self._solved(model, levels, places)
        probes = [
            self._probed(model, x, guess, float(levels[place]))
            for x, guess, place in zip(states, guesses, places, strict=True)
        ]
        near, count = neighbours(made, self.known), self.spec.sheet
        return {
            **stacked(probes),
            **self._frechet([*guesses, made]),
            "rho": ratios(near).sort().values.float().cpu().numpy(),
            "sheet": data.as_bytes(made[:count]), "near": data.as_bytes(self.known[near.index[:count, 0]]),
        }  # fmt: skip

    def _solved(
        self, model: nn.Module, levels: Tensor, places: list[int]
    ) -> tuple[list[Tensor], list[Tensor], Tensor]:
        """States and one-shot predictions [m, ...] at some places of the trajectory, and finished samples."""
        found: dict[int, list[tuple[Tensor, Tensor]]] = {place: [] for place in [*places, len(levels) - 1]}
        for part in runtime.blocks(self.count, ROWS):
            noise = initial_noise(range(part.start, part.stop), self.shape, self.seed).to(self.where)
            for place, state in enumerate(trajectory(model, float(levels[0]) * noise, levels)):
                if place in found:
                    found[place].append((state.x, state.denoised))
        *stops, (made, _) = [tuple(map(torch.cat, zip(*pairs, strict=True))) for pairs in found.values()]
        return [x for x, _ in stops], [guess for _, guess in stops], made

    def _probed(self, model: nn.Module, states: Tensor, guesses: Tensor, sigma: float) -> Arrays:
        """At one sigma, for each of KINDS: distance of the noisy images to the nearest training image, in
        units of sigma sqrt(d), and cosine similarity of one-shot predictions to the most similar one; means
        and standard errors [kind]."""
        noise = runtime.normals(self.seed, "probe", range(self.count), self.shape).to(self.where)
        noised = [x[: self.count] + sigma * noise for x in (self.known, self.unseen)]
        unit = sigma * math.sqrt(self.known[0].numel())
        distances = [neighbours(x, self.known).distance[:, 0] / unit for x in (*noised, states)]
        alike = [self._alike(guess) for guess in (*(_predicted(model, x, sigma) for x in noised), guesses)]
        found: Arrays = {}
        for name, values in (("distance", distances), ("similarity", alike)):
            found[name] = np.array([float(v.double().mean()) for v in values])
            found[f"{name}_stderr"] = np.array([float(v.double().std()) / len(v) ** 0.5 for v in values])
        return found

    def _alike(self, x: Tensor) -> Tensor:
        return copy_similarity(x.flatten(1), self.known.flatten(1))

    def _frechet(self, sets: list[Tensor]) -> Arrays:
        """Fréchet distances to both splits at equal counts, for trajectories stopped at each probe by one
        step to 0, and last for finished samples: [p + 1]."""
        split = {"train": self.known, "val": self.unseen}
        real = {name: pooled(x[: self.count]) for name, x in split.items()}
        return {
            f"frechet_{name}": np.array([frechet(pooled(x), one) for x in sets])
            for name, one in real.items()
        }


def _predicted(model: nn.Module, x: Tensor, sigma: float) -> Tensor:
    return torch.cat([model(part, sigma) for part in x.split(ROWS)])


def fingerprints(spec: GapSpec) -> dict[str, str]:
    """Of both splits, whole."""
    return {f"{spec.dataset} {s}": fingerprint(spec.dataset, split=s) for s in ("train", "test")}
