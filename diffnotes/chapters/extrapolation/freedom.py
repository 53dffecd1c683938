"""Freedom of extrapolation: what the experiments `freedom_gaussian`, `_circle`, `_digits`, `_cifar` compute.

Song et al. (arXiv 2510.01378), section 4.3 and figure 5, made small. All networks learn the same function,
the score of a few points (D_score); they differ in where they are told of it: in the shells around a growing
set D_region that begins with D_score. What they make is then compared with D_score: if the target is the same
everywhere and only the supervised region grows, a network that was free to go its own way between the shells
loses that freedom, and its samples become points of D_score.

Beside the growing region there are controls. `shell` (asked for by reviewers): no new centres, but shells of
another thickness, half of them thicker and half thinner. `balanced`: as many centres as the control says,
chosen so that every point of D_score is the nearest of equally many, with repetitions where there are too
few. `perturbed`: as many centres, which are points of D_score moved in random
directions by as far as the region's own points lie from their nearest one. `drawn`: the region as it is,
learnt by importance sampling.

Sizes were chosen on a seed that no record uses, by a rule fixed before: the shortest training in which the
largest region is copied, with so many points in D_score that the region of D_score alone is not.

Runs of one seed share D_score, initial weights of each network, noise levels, noise, and the noise that
samples begin with.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from diffnotes import data
from diffnotes.base import runtime
from diffnotes.base.files import sha256_bytes
from diffnotes.base.runtime import blocks, normals
from diffnotes.base.shapes import Float, Int
from diffnotes.chapters.extrapolation.objective import FreedomLoss
from diffnotes.data import fingerprint
from diffnotes.metrics import neighbours
from diffnotes.networks import MLP, NetworkDenoiser, UNet, parameter_count, seeded
from diffnotes.posterior import ExactDenoiser
from diffnotes.process import FlowMatching
from diffnotes.sample import flow_times, sample
from diffnotes.store import Arrays, Spec, Tolerance, Work, choice, number, numbers
from diffnotes.train import Plan, Snapshot, Training, UniformTime, evaluating

KINDS = ("region", "shell", "balanced", "perturbed", "drawn")
HELD_OUT = 0  # the seed that picks held-out images: the same for every run
SHEET = 8  # samples of the first seed kept as pictures
POINTS = 512  # points of the first seed kept where samples are no images
LEVELS = (0.1, 0.3, 0.5, 0.7, 0.9)  # times at which the distance to the target is taken
MADE = ("gaussian", "circle")  # data sets of which there is no end
SPARE = 16  # how many times as many of their points as the largest region has can be chosen from
RADIUS = 10.0  # of the circle of the data sets, which is brought to 1
TOLERANCE = Tolerance(1e-3, 1e-5, "float32 steps and samples: rounding grows on the way")
TOLERANCES = dict.fromkeys(("sheet", "near"), Tolerance(0.0, 1.0, "a byte may round the other way"))


@dataclass(frozen=True)
class FreedomSpec(Spec):
    """Settings of the networks and of their regions; ratios are |D_region| / |D_score|."""

    dataset: str = choice("digits", "digits", "cifar10", "specimens", "gaussian", "circle", help="points")
    side: int = number(0, low=0, high=32, help="pixels of a side after averaging; 0: as they are")
    dimension: int = number(20, low=1, high=1000, help="dimensions of the Gaussian")
    anchors: int = number(128, low=4, help="points of D_score")
    ratios: tuple[int, ...] = numbers((1, 2, 4, 8), low=1, help="sizes of D_region, in units of D_score")
    shells: tuple[float, ...] = numbers((2.0, 4.0), low=1, high=100, help="factors by which noise is spread")
    control: int = number(8, low=2, help="the ratio at which the other controls are made")
    networks: str = choice("mlp", "mlp", "mlp unet", help="the first has the controls")
    width: int = number(256, low=8, help="width of the MLP")
    depth: int = number(3, low=1, high=8, help="its blocks")
    channels: int = number(16, low=8, help="width of the U-Net")
    steps: int = number(2000, low=4, help="training steps")
    batch: int = number(64, low=1, help="batch size")
    rate: float = number(1e-3, low=1e-7, high=1.0, help="learning rate of Adam")
    horizon: int = number(200, low=1, help="average of the weights that is evaluated, in steps")
    samples: int = number(256, low=8, help="samples at each evaluation")
    held_out: int = number(512, low=8, help="unseen points that samples are compared with, at most")
    near: int = number(50, low=2, help="neighbours in m")
    sampler_steps: int = number(30, low=2, help="Euler steps of the sampler")
    precision: str = choice("float32", "float32", "bfloat16", help="of a U-Net's training")
    seeds: tuple[int, ...] = numbers((0, 1, 2), low=0, high=2**31, help="of points, weights and noise")


@dataclass(frozen=True)
class Arm:
    """One way to choose where the score is supervised: a ratio, or for `shell` the factor of the noise."""

    network: str
    kind: str
    amount: float

    @property
    def name(self) -> str:
        """'mlp-region-8'."""
        return f"{self.network}-{self.kind}-{self.amount:g}"


def arms_of(spec: FreedomSpec) -> list[Arm]:
    """Every network with every ratio, and the controls of the first."""
    first, *_ = networks = spec.networks.split()
    regions = [Arm(network, "region", float(ratio)) for network in networks for ratio in spec.ratios]
    shells = [Arm(first, "shell", factor) for factor in spec.shells]
    return regions + shells + [Arm(first, kind, float(spec.control)) for kind in KINDS[2:]]


def stops_of(spec: FreedomSpec) -> list[int]:
    """Steps after which a run is evaluated: a quarter, half, and all of them."""
    return [max(1, spec.steps // 4), max(2, spec.steps // 2), spec.steps]


def compute(spec: FreedomSpec, work: Work) -> Arrays:
    """Closeness of the samples, m [arm, seed, stop, sample], and of unseen points [seed, point]; distance of
    the network to its target [arm, seed, stop, 2, level]; numbers of centres, and of distinct ones among them
    [arm, seed]; pictures of the first seed."""
    where = runtime.device()
    work.device = runtime.device_name(where)
    arms, seeds = arms_of(spec), spec.seeds
    sets = {seed: FreedomSets.of(spec, seed) for seed in seeds}
    runs = [(arm, seed) for arm in arms for seed in seeds]
    tables = [
        _Run(spec, arm, sets[seed], where).table(work, place, len(runs))
        for place, (arm, seed) in enumerate(runs)
    ]
    stacks = {k: np.stack([one[k] for one in tables]) for k in tables[0]}
    arrays = {k: v.reshape(len(arms), len(seeds), *v.shape[1:]) for k, v in stacks.items()}
    pictures = {k: arrays[k][:, 0, -1] for k in ("sheet", "near")}
    first = sets[seeds[0]]
    return arrays | pictures | {
        "network": np.array([arm.network for arm in arms]), "kind": np.array([arm.kind for arm in arms]),
        "amount": np.array([float(arm.amount) for arm in arms]), "step": np.array(stops_of(spec)),
        "unseen": np.stack([closeness(one.unseen, one.score, spec.near).numpy() for one in sets.values()]),
        "distinct": np.array([[len(sets[seed].region(arm).unique(dim=0)) for seed in seeds] for arm in arms]),
        "centres": np.array([[len(sets[seed].region(arm)) for seed in seeds] for arm in arms]),
        "time": np.array(LEVELS), "anchor": kept(first.score, POINTS), "shape": np.array(first.shape),
    }  # fmt: skip


# ----------------------------------------------------------------------------------------------- the points


@dataclass(frozen=True)
class FreedomSets:
    """D_score, the pool that begins with it and from which regions are taken, points that no run sees, and
    the spare ones, which begin with the pool: all that a balanced region can be chosen from."""

    seed: int
    score: Float[Tensor, "m ..."]
    pool: Float[Tensor, "n ..."]
    unseen: Float[Tensor, "k ..."]
    spare: Float[Tensor, "s ..."]

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one sample."""
        return tuple(self.score.shape[1:])

    @classmethod
    def of(cls, spec: FreedomSpec, seed: int) -> FreedomSets:
        """Those of one seed."""
        most = spec.anchors * max(*spec.ratios, spec.control)
        spare = points_of(spec, SPARE * most if spec.dataset in MADE else None, "train", seed)
        unseen = points_of(spec, spec.held_out, "test", HELD_OUT)
        return cls(seed, spare[: spec.anchors], spare[:most], unseen, spare)

    def region(self, arm: Arm) -> Float[Tensor, "r ..."]:
        """The centres of the shells of an arm."""
        if arm.kind == "shell":
            return self.score
        count = round(arm.amount * len(self.score))
        if arm.kind == "balanced":
            return self.spare[balanced(self.spare, self.score, round(arm.amount))]
        return self.perturbed(count) if arm.kind == "perturbed" else self.pool[:count]

    def perturbed(self, count: int) -> Float[Tensor, "r ..."]:
        """D_score, and its points moved: number i as far as point i of the pool lies from D_score, in a
        random direction."""
        extra = self.pool[len(self.score) : count]
        far = neighbours(extra, self.score).distance[:, 0]
        places = range(len(self.score), count)
        noise = normals(self.seed, "freedom, moved", places, self.shape, torch.float64).flatten(1)
        moves = noise / noise.norm(dim=1, keepdim=True) * far[:, None]
        centres = self.score[torch.tensor(places) % len(self.score)]
        return torch.cat([self.score, centres + moves.float().view(centres.shape)])


def points_of(spec: FreedomSpec, n: int | None, split: str, seed: int) -> Float[Tensor, "n ..."]:
    """n points of a split, or all in the order of the seed; the circle has radius 1."""
    if n is None:
        n = len(data.load(spec.dataset, split=split).labels)
    if spec.dataset == "circle":
        return data.load("circle", n, split, seed, layout="random").x / RADIUS
    if spec.dataset == "gaussian":
        return data.load("gaussian", n, split, seed, dimension=spec.dimension).x
    return data.shrunk(data.load(spec.dataset, n, split, seed), spec.side).x


def balanced(points: Float[Tensor, "n ..."], score: Float[Tensor, "m ..."], each: int) -> Int[Tensor, "k"]:
    """Numbers of points, `each` for each point of `score` of those nearest to it: the first of them, and over
    again where there are too few."""
    nearest = neighbours(points, score).index[:, 0]
    cells = [(nearest == anchor).nonzero()[:, 0] for anchor in range(len(score))]
    return torch.cat([cell[torch.arange(each) % len(cell)] for cell in cells])


def closeness(x: Float[Tensor, "b ..."], score: Float[Tensor, "m ..."], near: int) -> Float[Tensor, "b"]:
    """m = |x - y_1|^2 / mean over i = 1..near of |x - y_i|^2, y_i the i-th nearest of `score`; float64.

    Near 0 for a copy, near 1 where no neighbour stands out (Song et al., section 4.3, with near = 50).
    """
    points, found = score.double().flatten(1), []
    for part in blocks(len(x), 64):
        rows = x[part].double().flatten(1)
        apart = torch.cdist(rows, points, compute_mode="donot_use_mm_for_euclid_dist").square()
        least = apart.topk(min(near, len(points)), 1, largest=False).values
        found.append(least[:, 0] / least.mean(1).clamp(min=1e-300))
    return torch.cat(found)


def kept(x: Float[Tensor, "b ..."], count: int) -> np.ndarray:
    """Pictures as bytes, other points as numbers: the first SHEET, or the first `count`."""
    return data.as_bytes(x[:SHEET]) if x.ndim == 4 else x[:count].cpu().numpy()


# ------------------------------------------------------------------------------------------------- one run


class _Run:
    """One network in one region: trained, and what is measured on the way."""

    def __init__(self, spec: FreedomSpec, arm: Arm, points: FreedomSets, where: torch.device) -> None:
        self.spec, self.arm, self.points, self.where = spec, arm, points, where
        process = FlowMatching()
        network = seeded(points.seed, self._network)
        self.denoiser = NetworkDenoiser(network, process, "x0").to(where)
        thickness = arm.amount if arm.kind == "shell" else 1.0
        self.objective = FreedomLoss(
            points.region(arm).to(where), points.score.to(where), UniformTime(process), arm.kind == "drawn",
            thickness,
        )  # fmt: skip

    def _network(self) -> nn.Module:
        spec, shape = self.spec, self.points.shape
        if self.arm.network == "unet":
            return UNet(shape, spec.channels, (1, 2), blocks=1, attention=(1,), embedding=64)
        return MLP(shape, spec.width, spec.depth)

    def table(self, work: Work, place: int, count: int) -> Arrays:
        """Everything at every stop, [stop, ...]."""
        spec, name = self.spec, f"{self.arm.name}-s{self.points.seed}"
        half = spec.precision == "bfloat16" and self.arm.network != "mlp"
        plan = Plan(
            spec.steps, spec.batch, spec.rate, horizons=(spec.horizon,), seed=self.points.seed,
            precision="bfloat16" if half else "float32",
        )  # fmt: skip
        run = Training(name, self.denoiser, self.objective, plan, stops_of(spec), self._evaluated)
        table = run.evaluations(work, work.part(place, count, name))
        return table | {"parameters": np.array(parameter_count(self.denoiser))}

    def _evaluated(self, snapshot: Snapshot) -> Arrays:
        spec, points = self.spec, self.points
        with evaluating(snapshot, spec.horizon):
            x = sample(
                self.denoiser, points.shape, spec.samples, flow_times(spec.sampler_steps),
                process=FlowMatching(), solver="euler", seed=points.seed, batch=256, device=self.where,
            )  # fmt: skip
            apart = np.stack([self._apart(some) for some in (points.score, points.unseen)])
        nearest = points.score[neighbours(x, points.score).index[:, 0]]
        return {
            "m": closeness(x, points.score, spec.near).numpy(), "apart": apart,
            "loss": np.array(snapshot.loss), "sheet": kept(x, POINTS), "near": kept(nearest, POINTS),
        }  # fmt: skip

    def _apart(self, x0: Tensor) -> np.ndarray:
        """|D(x; s) - E[x0|x, s]|^2/d over D_score at each of LEVELS, the mean over noised points x0."""
        some = x0[: self.spec.samples].to(self.where)
        noise = normals(self.points.seed, "freedom, apart", range(len(some)), some.shape[1:]).to(self.where)
        levels = FlowMatching().noise_ratio(torch.tensor(LEVELS, dtype=torch.float64)).tolist()
        exact, found = ExactDenoiser(self.points.score.to(self.where)), []
        for s in levels:
            x = some + s * noise
            found.append(float((self.denoiser(x, s) - exact(x, s)).double().square().mean()))
        return np.array(found)


def fingerprints(spec: FreedomSpec) -> dict[str, str]:
    """Of the sets that points are taken from; of those that are made, the points of the first seed."""
    if spec.dataset in MADE:
        first = FreedomSets.of(spec, spec.seeds[0])
        return {name: sha256_bytes(getattr(first, name).numpy().tobytes()) for name in ("pool", "unseen")}
    return {f"{spec.dataset} {split}": fingerprint(spec.dataset, split=split) for split in ("train", "test")}
