"""A network on 100 points of N(0, I) in 20 dimensions: figure 10 of Song et al. (arXiv 2510.01378, appendix
C.6), with two curves more (chapter 2).

The distribution is known, so a learned score can be held against two others at every noisy point
z_t = (1 - t) x0 + t eps: the empirical one, which is that of the noised training points and what training
asks for, and the true one, -z/((1 - t)^2 + t^2). It is done at three kinds of points: noised training points
(`supervised`), noised fresh draws (`fresh`; the paper's "entire data space"), and states of the network's own
ODE (`path`).

Errors are |eps_hat - eps'|^2 / d, with eps_hat = -sigma score: the squared error of the score in units of the
noise, per dimension. The paper does not say its units; in these, a score of zero is off by about what its
curves start with. Where errors of denoisers are wanted: |D - D'|^2 = s^2 |eps_hat - eps'|^2, s = t/(1 - t).

The paper gives the dimension, the points, the network, Adam with its rate, and the iterations. The rest is
ours: see `GaussianSpec` and `PlainMLP`. The loss is the plain squared error of the target that the network
predicts. All evaluations of one run share their points and their noise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from diffnotes import data
from diffnotes.base import runtime
from diffnotes.chapters.underfitting.network import UNIT, Between, PlainMLP
from diffnotes.networks import NetworkDenoiser, parameter_count, seeded
from diffnotes.posterior import ExactDenoiser
from diffnotes.process import FlowMatching
from diffnotes.sample import initial_noise, trajectory
from diffnotes.store import Arrays, Experiment, Spec, Tolerance, Work, choice, number, numbers
from diffnotes.train import DenoisingLoss, Plan, Report, Snapshot, Training, evaluating

PROCESS = FlowMatching()
PLACES = ("supervised", "fresh", "path")  # where errors are taken: axis `place`
SCORES = ("empirical", "true")  # against which: axis `score`
NETS = ("zero", "Gaussian", "empirical")  # what is measured as if it were a network: axis `net`
ROWS = 4096  # noisy points that a network sees at once
BOUND = 1e3  # no denoised value of a trained network is near it; it keeps trajectories of broken ones finite


@dataclass(frozen=True)
class GaussianSpec(Spec):
    """One training run; the defaults are those of figure 10 where the paper says them."""

    dim: int = number(20, low=1, high=4096, help="dimension d")
    n_train: int = number(100, low=2, high=100_000, help="training points")
    depth: int = number(10, low=1, high=50, help="hidden layers")
    width: int = number(1000, low=1, high=10_000, help="width of a layer")
    rate: float = number(4e-3, low=1e-7, high=1.0, help="learning rate of Adam, constant")
    iterations: int = number(20_000, low=1, help="training steps")
    batch: int = number(100, low=1, help="batch size; the paper does not say it")
    target: str = choice("eps", "eps", "x0", "velocity", help="what the network predicts; not said")
    t_min: float = number(0.005, low=1e-4, high=0.99, help="least time in training, where t is uniform")
    t_max: float = number(0.995, low=0.01, high=0.9999, help="largest time in training; not said")
    horizon: int = number(1000, low=1, help="steps over which a second set of weights is averaged")
    every: int = number(500, low=1, help="steps from one evaluation to the next")
    early: tuple[int, ...] = numbers((50, 100, 200, 300), low=1, help="steps of further evaluations")
    levels: int = number(20, low=1, high=500, help="times of evaluation: midpoints of equal intervals")
    draws: int = number(3, low=1, help="noise draws for each training point in an evaluation")
    fresh: int = number(300, low=1, help="fresh points in an evaluation")
    paths: int = number(100, low=1, help="trajectories in an evaluation")
    seed: int = number(0, low=0, high=2**31, help="of points, weights and noise")


def compute(spec: GaussianSpec, work: Work) -> Arrays:
    """`error` [evaluation, average, place, score, level]: average 0 are the weights as they are, 1 those over
    `horizon` steps. `reference` [net, place, score, level]: the same of NETS, at the first two places."""
    work.device = runtime.device_name(runtime.device())
    name = f"seed-{spec.seed}"
    found = GaussianRun(spec, runtime.device()).table(work, name, work.part(0, 1, name))
    return found | {"step": np.array(evaluation_steps(spec)), "t": times(spec).numpy()}


def evaluation_steps(spec: GaussianSpec) -> list[int]:
    """0, the early ones, then evenly spaced to the end."""
    steps = {0, *spec.early, *range(spec.every, spec.iterations + 1, spec.every), spec.iterations}
    return sorted(step for step in steps if step <= spec.iterations)


def times(spec: GaussianSpec) -> Tensor:
    """Midpoints of equal intervals between t_min and t_max, float64 [l], rising."""
    places = (torch.arange(spec.levels, dtype=torch.float64) + 0.5) / spec.levels
    return spec.t_min + places * (spec.t_max - spec.t_min)


def true_denoiser(x: Tensor, s: float | Tensor) -> Tensor:
    """E[x0|x] = x/(1 + s^2) of N(0, I), for x = x0 + s eps [b, d]; s a number or [b]."""
    ratio = torch.as_tensor(s, dtype=x.dtype, device=x.device)
    return x / (1 + ratio.square()).reshape(-1, 1)


def zero_score(x: Tensor, s: float | Tensor) -> Tensor:
    """The denoiser of a network that says that there is no noise."""
    return x


Denoise = Callable[[Tensor, Tensor], Tensor]


class GaussianRun:
    """A training run and its evaluations."""

    def __init__(self, spec: GaussianSpec, where: torch.device) -> None:
        self.spec, self.where = spec, where
        self.known, self.fresh = (x.to(where) for x in points(spec))
        network = seeded(spec.seed, lambda: PlainMLP(spec.dim, spec.width, spec.depth))
        self.denoiser = NetworkDenoiser(network, PROCESS, spec.target, UNIT).to(where)
        self.empirical = ExactDenoiser(self.known)
        self.ratios = PROCESS.noise_ratio(times(spec))  # [l]

    def table(self, work: Work, name: str, report: Report) -> Arrays:
        """Train and evaluate; then what does not change through training."""
        spec = self.spec
        plan = Plan(
            spec.iterations, spec.batch, spec.rate, horizons=(spec.horizon,), precision="float32",
            seed=spec.seed,
        )  # fmt: skip
        loss = DenoisingLoss(self.known, Between(spec.t_min, spec.t_max), PROCESS, spec.target)
        run = Training(name, self.denoiser, loss, plan, evaluation_steps(spec), self._evaluated)
        return run.evaluations(work, report) | self._fixed()

    def _evaluated(self, snapshot: Snapshot) -> Arrays:
        found = []
        for horizon in (0, self.spec.horizon):
            with evaluating(snapshot, horizon) as model:
                found.append(np.concatenate([self.errors(model), self.path_errors(model)[None]]))
        return {"error": np.stack(found)}

    def _fixed(self) -> Arrays:
        """The references, and the number of trained numbers."""
        with runtime.full_precision(), torch.no_grad():
            nets = [self.errors(net) for net in (zero_score, true_denoiser, self.empirical)]
        return {"reference": np.stack(nets), "parameters": np.array(parameter_count(self.denoiser))}

    # --------------------------------------------------------------------- noised training and fresh points

    def errors(self, net: Denoise) -> np.ndarray:
        """Errors at noised training points and noised fresh ones [place, score, level]."""
        return np.stack([self._at(net, *noised) for noised in self._noised])

    @cached_property
    def _noised(self) -> list[tuple[Tensor, Tensor]]:
        """For each place: noisy points [l, m, d] in the frame x0 + s eps, and what the two scores make of
        them [score, l, m, d]. A point has the same noise at every level."""
        known = self.known.repeat(self.spec.draws, 1)
        return [
            self._with_scores(x0, f"evaluation, {place}")
            for place, x0 in zip(PLACES, (known, self.fresh), strict=False)
        ]

    def _with_scores(self, x0: Tensor, stream: str) -> tuple[Tensor, Tensor]:
        noise = runtime.normals(self.spec.seed, stream, range(len(x0)), x0.shape[1:]).to(self.where)
        x = x0 + self.ratios.to(x0)[:, None, None] * noise
        flat, ratios = x.flatten(0, 1), self.ratios.repeat_interleave(len(x0)).to(self.where)
        means = [self.empirical(flat, ratios), true_denoiser(flat, ratios)]
        return x, torch.stack(means).view(len(SCORES), *x.shape)

    def _at(self, net: Denoise, x: Tensor, means: Tensor) -> np.ndarray:
        flat, ratios = x.flatten(0, 1), self.ratios.to(x).repeat_interleave(x.shape[1])
        parts = runtime.blocks(len(flat), ROWS)
        denoised = torch.cat([net(flat[part], ratios[part]) for part in parts]).view_as(x)
        return self._gap(denoised, means)

    def _gap(self, denoised: Tensor, means: Tensor) -> np.ndarray:
        """|D - D'|^2 / (s^2 d), the mean over points: [score, level]."""
        squares = (denoised.double() - means.double()).square().mean((2, 3)).detach().cpu()
        return (squares / self.ratios.square()).numpy()

    # ------------------------------------------------------------------------------ the network's own paths

    def path_errors(self, net: Denoise) -> np.ndarray:
        """Errors at states of the ODE of `net` [score, level]: Heun steps from t_max to each level."""
        steps = torch.cat([torch.tensor([self.spec.t_max], dtype=torch.float64), times(self.spec).flip(0)])
        noise = initial_noise(range(self.spec.paths), (self.spec.dim,), self.spec.seed).to(self.where)

        def bounded(x: Tensor, s: float | Tensor) -> Tensor:
            return net(x, torch.as_tensor(s, dtype=x.dtype, device=x.device)).clamp(-BOUND, BOUND)

        states = list(trajectory(bounded, self.spec.t_max * noise, steps, PROCESS))[:0:-1]
        x = [PROCESS.to_ve(state.x, torch.tensor(state.t, dtype=torch.float64))[0] for state in states]
        pairs = zip(x, self.ratios, strict=True)
        means = [torch.stack([self.empirical(y, s), true_denoiser(y, s)]) for y, s in pairs]
        return self._gap(torch.stack([state.denoised for state in states]), torch.stack(means, 1))


def points(spec: GaussianSpec) -> tuple[Tensor, Tensor]:
    """Training points [n_train, dim] and fresh ones [fresh, dim], float32."""
    counts = {"train": spec.n_train, "test": spec.fresh}
    known, fresh = (
        data.load("gaussian", n, split, spec.seed, dimension=spec.dim).x for split, n in counts.items()
    )
    return known, fresh


def fingerprints(spec: GaussianSpec) -> dict[str, str]:
    """Of the training points; fresh ones come from the same function."""
    found = data.load("gaussian", spec.n_train, "train", spec.seed, dimension=spec.dim)
    return {"gaussian train": found.fingerprint}


TOLERANCE = Tolerance(2e-5, 1e-6, "float32 steps: rounding grows on the way")
SMOKE = GaussianSpec(
    dim=8, n_train=40, depth=3, width=48, iterations=60, batch=20, horizon=10, every=20, early=(5, 10),
    levels=5, draws=2, fresh=50, paths=20,
)  # fmt: skip

EXPERIMENT = Experiment(
    name="gaussian",
    version=1,
    spec=GaussianSpec,
    profiles={
        "smoke": SMOKE,
        "smoke_x0": SMOKE.replace(target="x0", seed=1),
        "smoke_velocity": SMOKE.replace(target="velocity", seed=2),
        # more noisy points than a network sees at once
        "smoke_rows": SMOKE.replace(iterations=4, every=2, early=(1,), n_train=500, draws=3),
        "laptop": GaussianSpec(),
        "paper": GaussianSpec(),
    },
    compute=compute,
    seconds={
        "smoke": 2, "smoke_x0": 2, "smoke_velocity": 2, "smoke_rows": 1, "laptop": 2100, "paper": 2100,
    },
    data=fingerprints,
    shown=tuple({"seed": seed} for seed in (0, 1, 2)),
    tolerance=TOLERANCE,
)  # fmt: skip
