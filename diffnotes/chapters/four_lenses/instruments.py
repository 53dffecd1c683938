"""The instruments of the four papers, and a fifth one, at one denoiser, on one grid of noise levels.

Noisy images are x = x0 + sigma eps, D is the denoiser and D* that of the training set, the posterior mean
over it. Errors are squared and per dimension. The sampler's levels are those of the errors, so that a state
of a trajectory and a noised image can be compared level by level.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from diffnotes import data
from diffnotes.base import runtime
from diffnotes.base.shapes import Float, Tensor
from diffnotes.loss_gap import loss_gap
from diffnotes.metrics import denoising_error, frechet, memorized, neighbours, pooled, ratios, relative_gap
from diffnotes.optimal_loss import optimal_loss
from diffnotes.posterior import posterior
from diffnotes.process import noise_levels
from diffnotes.sample import initial_noise, trajectory
from diffnotes.store import Arrays

ROWS = 256  # noisy images that a network sees at once
BAND = (0.01, 0.99)  # quantiles of the distance of noised training images
CRITICAL = 0.01  # of the data variance: the optimal loss at sigma*
FINE = 48  # levels that sigma* is sought on
INSTRUMENTS = ("error", "supervised", "gap", "sampler", "agreement")


def critical_level(known: Float[Tensor, "n ..."], low: float, high: float) -> float:
    """sigma*: the largest noise level with J* <= 1 % of the data variance, linear in ln sigma between levels.

    The ends of the range where J* is above it, or below it, everywhere.
    """
    curve = optimal_loss(known, noise_levels(FINE, low, high))
    below = (curve.mean <= CRITICAL * curve.variance).nonzero().flatten()
    k = int(below[-1]) if len(below) else -1
    if k < 0 or k == FINE - 1:
        return low if k < 0 else high
    (a, b), (x, y) = curve.mean[k : k + 2].tolist(), curve.sigma[k : k + 2].log().tolist()
    return math.exp(x + (y - x) * (CRITICAL * curve.variance - a) / (b - a))


def per_dimension(a: Tensor, b: Tensor) -> Float[Tensor, "b"]:
    """|a - b|^2 / d of each image, float64."""
    return (a - b).double().square().flatten(1).mean(1)


def nearer(a: Float[Tensor, "m"], b: Float[Tensor, "k"]) -> float:
    """P(a < b), ties counted half: the area under the curve that tells a from b; 1/2 for equal laws."""
    less = (a[:, None] < b).double() + 0.5 * (a[:, None] == b).double()
    return float(less.mean())


def likeness(a: Float[Tensor, "m ..."], b: Float[Tensor, "m ..."], middle: Tensor) -> Float[Tensor, "m"]:
    """Cosine of what two images have beyond the mean image, pair by pair, float64."""
    one, two = ((x - middle).double().flatten(1) for x in (a, b))
    return torch.cosine_similarity(one, two)


@contextlib.contextmanager
def counted(model: nn.Module, costs: dict[str, int], name: str) -> Iterator[None]:
    """Adds to costs[name] how many images the model sees meanwhile."""

    def add(module: nn.Module, inputs: object, output: Tensor) -> None:
        costs[name] = costs.get(name, 0) + len(output)

    hook = model.register_forward_hook(add)
    try:
        yield
    finally:
        hook.remove()


@dataclass(frozen=True)
class Counts:
    """How many images and draws an instrument takes."""

    images: int  # of each split for errors: training images are repeated up to it
    samples: int  # samples, and noised images at each level
    band: int  # noised training images that the range of distances is read off
    sheet: int  # samples kept as pictures


class Bench:
    """What every network on one training set is measured with: images [n, ...] and [k, ...], noise, and what
    the exact denoiser says. `sigma` [l] rises; the seed is that of all draws."""

    def __init__(self, known: Tensor, unseen: Tensor, sigma: np.ndarray, counts: Counts, seed: int) -> None:
        self.known, self.unseen, self.counts, self.seed = known, unseen, counts, seed
        self.sigma, self.shape = torch.from_numpy(sigma), tuple(known.shape[1:])
        self.unit = [s * math.sqrt(known[0].numel()) for s in sigma.tolist()]
        self.noised = self._noised(known, counts.samples)
        self.exact = [posterior(x, s, known).mean for x, s in self._levels(self.noised)]
        self.range = self._distances(self._noised(known, counts.band)).quantile(
            torch.tensor(BAND, dtype=torch.float64, device=known.device), dim=1
        )
        self.apart = self._distances(self._noised(unseen, counts.samples))

    def _levels(self, noisy: list[Tensor]) -> list[tuple[Tensor, float]]:
        return list(zip(noisy, self.sigma.tolist(), strict=True))

    def _noised(self, x: Tensor, count: int) -> list[Tensor]:
        """`count` noised images [m, ...] at every level, repeated where there are fewer; an image has one eps
        for all levels."""
        eps = runtime.normals(self.seed, "lenses, noise", range(count), self.shape).to(x)
        clean = x[torch.arange(count, device=x.device) % len(x)]
        return [clean + s * eps for s in self.sigma.tolist()]

    def _distances(self, noisy: list[Tensor]) -> Float[Tensor, "l m"]:
        """Distance to the nearest training image in units of sigma sqrt(d)."""
        pairs = zip(noisy, self.unit, strict=True)
        return torch.stack([neighbours(x, self.known).distance[:, 0] / unit for x, unit in pairs])

    def _inside(self, distance: Float[Tensor, "l m"]) -> Float[Tensor, "l"]:
        """Share within the range of noised training images."""
        low, high = self.range[:, :, None]
        return ((distance >= low) & (distance <= high)).double().mean(1)

    def fixed(self) -> Arrays:
        """What no network changes: the optimal loss per dimension [l] and sigma*, the variance of the data,
        how many noised held-out images lie in the range [l], the mean squared distance of held-out images to
        the nearest training image, and the Fréchet distance of two sets of them."""
        size, m = self.known[0].numel(), self.counts.samples
        curve = optimal_loss(self.known, self.sigma)
        near = neighbours(self.unseen[:m], self.known).distance[:, 0]
        real = pooled(self.unseen[: 2 * m])
        found = {
            "optimal": curve.mean / size, "optimal_stderr": curve.stderr / size,
            "variance": curve.variance / size,
            "critical": critical_level(self.known, float(self.sigma[0]), float(self.sigma[-1])),
            "unseen_inside": self._inside(self.apart), "unseen_distance": near.square().mean() / size,
            "floor": frechet(real[:m], real[m:]),
        }  # fmt: skip
        return {k: np.asarray(torch.as_tensor(v).cpu().numpy(), np.float64) for k, v in found.items()}

    # ------------------------------------------------------------------------------------- one denoiser

    def measured(self, model: nn.Module, partner: Float[Tensor, "m ..."]) -> Arrays:
        """All instruments at one denoiser; `partner` are samples of its partner from the same noise."""
        costs: dict[str, int] = {}
        found: Arrays = {}
        for name, measure in (
            ("error", self._errors), ("supervised", self._supervised), ("gap", self._gap),
        ):  # fmt: skip
            with counted(model, costs, name):
                found |= measure(model)
        with counted(model, costs, "sampler"):
            made, along = self.sampled(model)
        costs["agreement"] = 2 * costs["sampler"]
        found |= along | self._samples(made) | self._agreement(made, partner)
        return found | {"cost": np.array([costs[name] for name in INSTRUMENTS])}

    def _errors(self, model: nn.Module) -> Arrays:
        """Paper 2: errors on training and held-out images [l], their relative gap and its standard error."""
        most = self.counts.images
        draws = max(1, most // len(self.known))
        known = denoising_error(model, self.known[:most], self.sigma, seed=self.seed, draws=draws)
        unseen = denoising_error(model, self.unseen[:most], self.sigma, seed=self.seed)
        gap, spread = relative_gap(known, unseen)
        found = {
            "train": known.mean(1), "held_out": unseen.mean(1), "relative": gap, "relative_stderr": spread,
            "held_out_stderr": unseen.std(1) / unseen.shape[1] ** 0.5,
        }  # fmt: skip
        return {name: value.cpu().numpy() for name, value in found.items()}

    def _supervised(self, model: nn.Module) -> Arrays:
        """Paper 1, where the loss looks: |D - D*|^2 / d at noised training images [l], and standard error."""
        each = torch.stack([
            per_dimension(torch.cat([model(part, s) for part in x.split(ROWS)]), best)
            for (x, s), best in zip(self._levels(self.noised), self.exact, strict=True)
        ])  # fmt: skip
        return {
            "supervised": each.mean(1).cpu().numpy(),
            "supervised_stderr": (each.std(1) / each.shape[1] ** 0.5).cpu().numpy(),
        }

    def _gap(self, model: nn.Module) -> Arrays:
        """Paper 4: the loss gap per dimension [l], the training loss on the same draws, and their errors."""
        found = loss_gap(model, self.known, self.sigma, draws=self.counts.images, seed=self.seed)
        size = self.known[0].numel()
        names = {"loss_gap": "gap", "loss_gap_stderr": "stderr", "loss": "loss", "loss_stderr": "loss_stderr"}
        return {name: (getattr(found, theirs) / size).numpy() for name, theirs in names.items()}

    def sampled(self, model: nn.Module) -> tuple[Float[Tensor, "m ..."], Arrays]:
        """Samples, and what is read off their trajectories [l]. Paper 1: extrapolated error, its mean and its
        median over trajectories. Paper 2: the share of states within the range of noised training images, and
        how often a state is nearer to the training set than a noised held-out image."""
        times = torch.cat([self.sigma.flip(0), self.sigma.new_zeros(1)])
        states, guesses, made = self._solved(model, times)
        errors = torch.stack([
            per_dimension(guess, posterior(x, s, self.known).mean)
            for (x, s), guess in zip(self._levels(states), guesses, strict=True)
        ])  # fmt: skip
        distance = self._distances(states)
        auc = [nearer(mine, other) for mine, other in zip(distance, self.apart, strict=True)]
        return made, {
            "extrapolated": errors.median(1).values.cpu().numpy(),
            "extrapolated_mean": errors.mean(1).cpu().numpy(),
            "inside": self._inside(distance).cpu().numpy(), "nearer": np.array(auc),
        }  # fmt: skip

    def _solved(self, model: nn.Module, times: Tensor) -> tuple[list[Tensor], list[Tensor], Tensor]:
        """States and predictions [m, ...] at the levels, rising, and finished samples."""
        parts = []
        for part in runtime.blocks(self.counts.samples, ROWS):
            noise = initial_noise(range(part.start, part.stop), self.shape, self.seed).to(self.known)
            parts.append(list(trajectory(model, float(times[0]) * noise, times)))
        steps = [[torch.cat(pair) for pair in _pairs(states)] for states in zip(*parts, strict=True)]
        *rising, (made, _) = [*reversed(steps[:-1]), steps[-1]]
        return [x for x, _ in rising], [guess for _, guess in rising], made

    def _samples(self, made: Tensor) -> Arrays:
        """Paper 3: memorized samples, 95 % interval; the Fréchet distance to held-out images; pictures."""
        near = neighbours(made, self.known)
        rho = ratios(near)
        share, some = memorized(rho, seed=self.seed), self.counts.sheet
        return {
            "memorized": np.array([share.value, share.low, share.high]),
            "frechet": np.array(frechet(pooled(made), pooled(self.unseen[: len(made)]))),
            "rho": rho[:some].cpu().numpy(),
            "sheet": data.as_bytes(made[:some]), "near": data.as_bytes(self.known[near.index[:some, 0]]),
        }  # fmt: skip

    def _agreement(self, made: Tensor, partner: Tensor) -> Arrays:
        """Two networks that share no image: likeness of samples from one noise, its standard error, and of
        samples from different noises."""
        middle = self.unseen.mean(0)
        same, other = (likeness(made, x, middle) for x in (partner, partner.roll(1, 0)))
        error = float(same.std()) / len(same) ** 0.5
        return {
            "agreement": np.array([float(same.mean()), error]), "unrelated": np.array(float(other.mean())),
            "partner": data.as_bytes(partner[: self.counts.sheet]),
        }  # fmt: skip


def _pairs(states: tuple) -> tuple[list[Tensor], list[Tensor]]:
    """States and predictions of the parts of a batch."""
    return [state.x for state in states], [state.denoised for state in states]
