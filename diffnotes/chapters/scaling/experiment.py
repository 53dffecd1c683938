"""Loss against training compute for networks of several widths: what `scaling_digits` computes (chapter 4).

Xu et al. (arXiv 2506.13763, section on scaling laws, figure 3) replace the law J(F) = beta F^alpha by
J(F) - J* = beta F^alpha, where F is the training compute and J* the optimal loss of the training set. Here
it is made small. Unconditional networks of several widths learn in the setting of EDM (Karras et al. 2022):
target F, ln sigma normal with mean -1.2 and deviation 1.2, a constant learning rate after a warm-up, averaged
weights. At snapshots that are evenly spaced in the logarithm of steps the loss gap J - J* of each is measured
at every noise level, as the distance to the exact denoiser of the training set (`loss_gap`).

No network of the ladder is narrower than an image has pixels, and none is looked at before its first few
hundred steps: what narrower ones lose, and what all learn first, is no matter of compute.

Compute is counted, not timed: the floating-point operations of products and convolutions, forward and
backward, of one training image, times the images seen. Within a seed all networks share batches and all
noise, in training and in the measurement; seeds share the training set, so there is one J*.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from diffnotes import data
from diffnotes.base import runtime
from diffnotes.data import fingerprint
from diffnotes.loss_gap import LossGap, loss_gap
from diffnotes.networks import MLP, NetworkDenoiser, parameter_count, seeded
from diffnotes.optimal_loss import LossCurve, optimal_loss
from diffnotes.posterior import gaussian_optimal_loss
from diffnotes.process import SIGMA_DATA, noise_levels
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

TOLERANCE = Tolerance(1e-4, 1e-6, "float32 steps: rounding grows on the way")
SMALL = Tolerance(1e-3, 1e-9, "float32 weights of few draws, where the optimal loss is next to nothing")
CLOSED = Tolerance(2e-5, 1e-6, "a covariance in float32")
TOLERANCES = {"optimum*": SMALL, "optimal*": SMALL, "from_*": SMALL, "gaussian": CLOSED, "variance": CLOSED}
IMAGES = 0  # the seed that picks the training and the held-out images: the same for every run
WARMUP = 100  # steps over which the learning rate rises
LAW = LogNormal()
DRAWN = 2048  # sources that estimates of the optimum from subsets are made of, at most
SHARE = 16  # such a subset is this part of the training set


@dataclass(frozen=True)
class ScalingSpec(Spec):
    """Settings of one ladder of networks; sigma is in units of pixels in [-1, 1]."""

    dataset: str = choice("digits", "digits", "cifar10", "specimens", help="images")
    side: int = number(0, low=0, high=32, help="pixels of a side after averaging; 0: as they are")
    n: int = number(1000, low=64, help="training images")
    held_out: int = number(500, low=8, help="held-out images")
    widths: tuple[int, ...] = numbers(
        (64, 96, 144, 208, 320, 480), low=8, help="widths of the networks, rising"
    )
    blocks: int = number(2, low=1, high=8, help="residual blocks")
    steps: int = number(4000, low=4, help="training steps")
    batch: int = number(64, low=1, help="batch size")
    rate: float = number(
        6e-3, low=1e-7, high=1.0, help="learning rate of Adam for the narrowest network; see rate_of"
    )
    horizon: int = number(400, low=1, help="average of the weights that is evaluated, in steps")
    first: int = number(500, low=1, help="step of the first evaluation")
    snapshots: int = number(8, low=2, high=100, help="evaluations, evenly spaced in the logarithm of steps")
    levels: int = number(20, low=4, high=200, help="noise levels, evenly spaced in ln sigma")
    sigma_min: float = number(0.02, low=1e-4, high=10, help="smallest noise level")
    sigma_max: float = number(50.0, low=1e-3, high=1000, help="largest noise level")
    draws: int = number(2000, low=8, help="noised training images at each level, in whole passes")
    sources: int = number(16384, low=4, help="draws that the optimal loss is taken from")
    seeds: tuple[int, ...] = numbers((0, 1, 2), low=0, high=999, help="of weights, batches and all noise")

    def __post_init__(self) -> None:
        super().__post_init__()
        if list(self.widths) != sorted(set(self.widths)):
            raise SpecError(f"widths must rise, not {self.widths!r}.")


# ------------------------------------------------------------------------------------------------- the whole


def compute(spec: ScalingSpec, work: Work) -> Arrays:
    """Arrays of networks [width, seed, snapshot, ...], of seeds [seed, l], and of the training set [l]."""
    where = runtime.device()
    work.device = runtime.device_name(where)
    known, unseen = (x.to(where) for x in images_of(spec))
    count = len(spec.seeds) * len(spec.widths)
    tables: dict[int, list[Arrays]] = {width: [] for width in spec.widths}
    for turn, seed in enumerate(spec.seeds):
        for place, width in enumerate(spec.widths):
            run = _Run(spec, known, unseen, width, seed)
            tables[width].append(run.table(work, turn * len(spec.widths) + place, count))
    return _gathered(stacked([stacked(tables[width]) for width in spec.widths])) | _known(spec, known)


def _gathered(found: Arrays) -> Arrays:
    """Sizes once for all seeds [width]; what the exact denoiser scores once for all networks [seed, l]."""
    sizes = {name: found[name][:, 0] for name in ("parameters", "flops")}
    exact = {name: found[name][0, :, 0] for name in EXACT}
    return found | sizes | exact


def images_of(spec: ScalingSpec) -> tuple[Tensor, Tensor]:
    """Training and held-out images, float32 [n, ...]."""
    known = data.load(spec.dataset, n=spec.n, seed=IMAGES)
    unseen = data.load(spec.dataset, n=spec.held_out, split="test", seed=IMAGES)
    return data.shrunk(known, spec.side).x, data.shrunk(unseen, spec.side).x


def _known(spec: ScalingSpec, known: Tensor) -> Arrays:
    """The training set's optimal loss [l], what subsets say of it, and that of the Gaussian with its
    covariance; weights of the total loss, and the grid."""
    levels = levels_of(spec)
    exact = optimal_loss(known, levels, sources=spec.sources)
    flat = known.flatten(1).double().cpu()
    return {
        "sigma": levels.numpy(), "weight": total_weights(levels, known[0].numel()).numpy(),
        "optimum": exact.mean.numpy(), "optimum_stderr": exact.stderr.numpy(),
        "variance": np.array(exact.variance), "dimension": np.array(known[0].numel()),
        "gaussian": gaussian_optimal_loss(levels, torch.cov(flat.T, correction=0)).numpy(),
        "from_dol": from_subset(spec, known, "dol").mean.numpy(),
        "from_cdol": from_subset(spec, known, "cdol").mean.numpy(),
        "width": np.array(spec.widths), "step": np.array(stops_of(spec)),
        "images_seen": spec.batch * np.array(stops_of(spec)),
    }  # fmt: skip


def from_subset(spec: ScalingSpec, known: Tensor, estimator: str) -> LossCurve:
    """The optimal loss as an estimate from a subset of n/SHARE images for each draw has it."""
    sources = min(DRAWN, spec.sources)
    subset = max(2, spec.n // SHARE)
    return optimal_loss(known, levels_of(spec), estimator=estimator, sources=sources, subset=subset)


def levels_of(spec: ScalingSpec) -> Tensor:
    """The noise levels, float64 [l]."""
    return noise_levels(spec.levels, spec.sigma_min, spec.sigma_max)


def total_weights(levels: Tensor, dimension: int) -> Tensor:
    """Weights [l] so that sum_l weight_l J(sigma_l) is EDM's total loss per dimension: the integral of
    J/(d c_out^2) under ln sigma ~ N(-1.2, 1.2^2), which is cut off at the ends of the evenly spaced grid.

    1/c_out^2 = (sigma^2 + sigma_data^2) / (sigma sigma_data)^2 (Karras et al. 2022, Table 1).
    """
    law = torch.exp(-0.5 * ((levels.log() - LAW.mean) / LAW.std) ** 2)
    return law / law.sum() * (levels**2 + SIGMA_DATA**2) / (levels * SIGMA_DATA) ** 2 / dimension


def rate_of(spec: ScalingSpec, width: int) -> float:
    """The learning rate of a network: it falls as 1/width, as for Adam in Yang et al. (arXiv 2203.03466), so
    that no width of the ladder is favoured by a rate that suits it."""
    return spec.rate * spec.widths[0] / width


def stops_of(spec: ScalingSpec) -> list[int]:
    """Steps after which networks are measured."""
    return log_spaced(min(spec.first, spec.steps), spec.steps, spec.snapshots)


# ---------------------------------------------------------------------------------------------- one network

EXACT = ("optimal", "held_out_optimal")  # losses of the exact denoiser on the draws of a seed


class _Run:
    """One network: its training, and what is measured on the way."""

    def __init__(self, spec: ScalingSpec, known: Tensor, unseen: Tensor, width: int, seed: int) -> None:
        self.spec, self.known, self.unseen, self.width, self.seed = spec, known, unseen, width, seed
        network = seeded(seed, lambda: MLP(tuple(known.shape[1:]), width, spec.blocks))
        self.denoiser = NetworkDenoiser(network).to(known.device)
        self.objective = DenoisingLoss(known, LAW)
        self.plan = Plan(
            spec.steps, spec.batch, rate_of(spec, width), warmup=min(WARMUP, spec.steps),
            horizons=(spec.horizon,), precision="float32", seed=seed,
        )  # fmt: skip

    def table(self, work: Work, place: int, count: int) -> Arrays:
        """Train and evaluate: [snapshot, ...]; the size of the network."""
        name = f"width-{self.width}-seed-{self.seed}"
        size = {"parameters": np.array(parameter_count(self.denoiser)), "flops": np.array(self.flops())}
        run = Training(name, self.denoiser, self.objective, self.plan, stops_of(self.spec), self._evaluated)
        return run.evaluations(work, work.part(place, count, name)) | size

    def flops(self) -> int:
        """Floating-point operations of the products and convolutions for one training image, forward and
        backward."""
        with FlopCounterMode(display=False) as counter:
            self.objective(self.denoiser, self.plan.batch_at(0, range(1))).sum().backward()
        self.denoiser.zero_grad(set_to_none=True)
        return counter.get_total_flops()

    def _evaluated(self, snapshot: Snapshot) -> Arrays:
        """What is measured at one snapshot, with averaged weights; all losses are summed over dimensions."""
        spec, levels = self.spec, levels_of(self.spec)
        with evaluating(snapshot, spec.horizon) as model:
            seen = loss_gap(model, self.known, levels, draws=spec.draws, seed=self.seed)
            other = loss_gap(
                model, self.known, levels, draws=len(self.unseen), held_out=self.unseen, seed=self.seed
            )
        return _measured(seen) | {
            "held_out_loss": other.loss.numpy(), "held_out_optimal": other.optimal.numpy(),
            "train_loss": np.array(snapshot.loss),
        }  # fmt: skip


def _measured(found: LossGap) -> Arrays:
    names = ("gap", "stderr", "loss", "loss_stderr", "optimal", "disagreement")
    return {name if name != "stderr" else "gap_stderr": getattr(found, name).numpy() for name in names}


def fingerprints(spec: ScalingSpec) -> dict[str, str]:
    """Of both splits, whole."""
    return {f"{spec.dataset} {s}": fingerprint(spec.dataset, split=s) for s in ("train", "test")}
