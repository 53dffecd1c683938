"""What is measured of a denoiser at noisy images: its distance from the exact denoisers of the training set,
and what it makes of the class. Times are those of flow matching, z_t = (1 - t) x0 + t eps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from diffnotes.base import runtime
from diffnotes.base.shapes import Float, Int, Tensor
from diffnotes.metrics import neighbours
from diffnotes.posterior import gaussian_posterior_mean, posterior
from diffnotes.process import FlowMatching
from diffnotes.regions import distance_ratio
from diffnotes.sample import conditioned, trajectory
from diffnotes.store import Arrays

FLOW = FlowMatching()
ROWS = 512  # noisy images that a denoiser sees at once
START = 0.999  # where trajectories begin: of the data, a thousandth is left
RANKS = (0.05, 0.25, 0.5, 0.75, 0.95)  # quantiles of distance ratios
BAND = (0.1, 0.5, 0.9)  # quantiles of gaps between classes, as the paper draws them
CALIBRATION = 50  # nearest training images that a squared distance is divided by the mean of
Denoiser = Callable[..., Tensor]  # (x [b, ...], s [b] or a number, labels [b] or None) -> E[x0|x] [b, ...]


@dataclass(frozen=True)
class Images:
    """A training set: x [n, ...], labels [n]."""

    x: Float[Tensor, "n ..."]
    labels: Int[Tensor, "n"]


# --------------------------------------------------------------------------------------------- denoisers


def class_means(
    x: Float[Tensor, "b ..."], s: Float[Tensor, "b"], images: Images, wanted: Int[Tensor, "b"]
) -> Float[Tensor, "b ..."]:
    """E[x0 | x, c] over the training images of class wanted[i] alone, given x = x0 + s eps."""
    found = torch.empty_like(x)
    for kind in wanted.unique():
        rows = wanted == kind
        found[rows] = posterior(x[rows], s[rows], images.x[images.labels == kind]).mean
    return found


def untrained(x: Tensor, s: Tensor, labels: Tensor | None = None) -> Tensor:
    """The denoiser of a network that predicts the velocity 0: x0 = z_t = x / (1 + s)."""
    return x / (1 + s).to(x.dtype).view(-1, *[1] * (x.ndim - 1))


def gaussian(images: Images) -> Denoiser:
    """The best denoiser for a Gaussian with the mean and the covariance of the training set."""
    flat = images.x.flatten(1).double()
    middle = flat.mean(0)
    covariance = (flat - middle).T @ (flat - middle) / len(flat)

    def denoise(x: Tensor, s: Tensor, labels: Tensor | None = None) -> Tensor:
        return gaussian_posterior_mean(x.flatten(1), s, middle, covariance).view_as(x)

    return denoise


# ------------------------------------------------------------------------------------------ noisy images


@dataclass(frozen=True)
class Points:
    """Noisy images z [l, m, ...] at times [l], the classes [m] that the network is told of them, and what the
    exact denoisers of the training set say there, told the class and not told it [2, l, m, ...]."""

    z: Float[Tensor, "l m ..."]
    times: Float[Tensor, "l"]
    labels: Int[Tensor, "m"]
    exact: Float[Tensor, "2 l m ..."]

    @classmethod
    def of(cls, z: Tensor, times: Tensor, labels: Tensor, images: Images) -> Points:
        """The points with what the denoisers of `images` say."""
        x, s = in_rows(z, times)
        wanted = labels.repeat(len(times))
        both = [class_means(x, s, images, wanted), posterior(x, s, images.x).mean]
        return cls(z, times, labels, torch.stack(both).view(2, *z.shape))

    def denoised(self, model: Denoiser) -> Float[Tensor, "2 l m ..."]:
        """What `model` says, told the class and not told it."""
        x, s = in_rows(self.z, self.times)
        wanted = self.labels.repeat(len(self.times))
        both = [_in_parts(model, x, s, labels) for labels in (wanted, torch.full_like(wanted, -1))]
        return torch.stack(both).view(2, *self.z.shape)


def in_rows(z: Float[Tensor, "l m ..."], times: Float[Tensor, "l"]) -> tuple[Tensor, Tensor]:
    """z as rows [l m, ...] in the frame x0 + s eps, and s [l m], float64."""
    t = times.repeat_interleave(z.shape[1])
    x, s = FLOW.to_ve(z.flatten(0, 1), t.to(z.dtype))
    return x, FLOW.noise_ratio(t).to(s.device)


def _in_parts(model: Denoiser, x: Tensor, s: Tensor, labels: Tensor) -> Tensor:
    parts = zip(x.split(ROWS), s.split(ROWS), labels.split(ROWS), strict=True)
    return torch.cat([model(*part) for part in parts])


def noised(x: Float[Tensor, "m ..."], times: Float[Tensor, "l"], seed: int) -> Float[Tensor, "l m ..."]:
    """z_t of every image at every time; an image has one eps for all times, by its place and the seed."""
    eps = runtime.normals(seed, "selective, noise", range(len(x)), x.shape[1:]).to(x.device)
    return torch.stack([FLOW.noisy(x, eps, t.to(x.dtype)) for t in times.to(x.device)])


def per_dimension(a: Float[Tensor, "..."], b: Float[Tensor, "..."]) -> Float[Tensor, "l m"]:
    """|a - b|^2 / d of images [l, m, ...], float64."""
    return (a - b).double().square().flatten(2).mean(2)


def errors(points: Points, model: Denoiser) -> Arrays:
    """Squared errors per dimension against the exact denoisers, [told] being the class told and not told.

    error, error_stderr [told, l]: mean over the points, and its standard error over them; error_each [m]: of
    single points, told the class, in the mean over t; learned, exact [l, 3]: quantiles of the root of
    |D(z, c) - D(z)|^2 / d, of the model and of the exact denoisers.
    """
    found = points.denoised(model)
    each = torch.stack([per_dimension(*pair) for pair in zip(found, points.exact, strict=True)])
    count = each.shape[2]
    arrays: Arrays = {
        "error": each.mean(2).cpu().numpy(),
        "error_stderr": (each.std(2) / count**0.5).cpu().numpy(),
        "error_each": each[0].mean(0).float().cpu().numpy(),
    }
    pairs = {"learned": found, "exact": points.exact}
    return arrays | {k: quantiles(per_dimension(*both).sqrt(), BAND) for k, both in pairs.items()}


def quantiles(values: Float[Tensor, "l m"], ranks: Sequence[float]) -> np.ndarray:
    """Quantiles over m, float64 [l, len(ranks)]."""
    at = torch.tensor(ranks, dtype=torch.float64, device=values.device)
    return torch.quantile(values.double(), at, dim=1).T.cpu().numpy()


def shells(z: Float[Tensor, "l m ..."], times: Float[Tensor, "l"], images: Images) -> tuple[Tensor, Tensor]:
    """The distance ratio r* of every noisy image, float64 [l, m], and the training image it is to [l, m]."""
    ratio, index = distance_ratio(z.flatten(0, 1), times.repeat_interleave(z.shape[1]).to(z.device), images.x)
    return ratio.view(z.shape[:2]), index.view(z.shape[:2])


# ------------------------------------------------------------------------------------------ trajectories


def grid(levels: int, half_steps: int) -> tuple[Float[Tensor, "k"], list[int]]:
    """Times of the sampler, falling from START to 0, float64, and the places in them of the middles of
    `levels` equal parts of (0, 1), by rising t. There are `half_steps` steps to half a part."""
    whole = 2 * half_steps * levels
    steps = torch.arange(whole - 1, -1, -1, dtype=torch.float64) / whole
    places = [whole - (2 * k + 1) * half_steps for k in range(levels)]
    return torch.cat([torch.tensor([START], dtype=torch.float64), steps]), places


def solved(
    model: Denoiser, x: Float[Tensor, "m ..."], labels: Int[Tensor, "m"], times: Tensor, places: list[int]
) -> tuple[Float[Tensor, "l m ..."], Float[Tensor, "l m ..."], Float[Tensor, "m ..."]]:
    """States and predictions at some places of the trajectories from x at times[0], and their ends."""
    kept: dict[int, tuple[Tensor, Tensor]] = {}
    for place, state in enumerate(trajectory(conditioned(model, labels), x, times, FLOW)):
        if place in places:
            kept[place] = (state.x, state.denoised)
        end = state.x
    states, guesses = (torch.stack([kept[place][k] for place in places]) for k in (0, 1))
    return states, guesses, end


def returned(
    model: Denoiser, images: Images, index: Int[Tensor, "m"], times: Tensor, places: list[int], seed: int
) -> Arrays:
    """Training images noised to each level and denoised by the ODE from there, told their class.

    returned [l]: the share whose result is nearest to the image it began with, of all training images;
    calibrated [l, 3]: quantiles of the squared distance to that image over the mean squared distance to the
    CALIBRATION nearest training images.
    """
    x, labels = images.x[index], images.labels[index]
    starts = noised(x, times[places], seed)
    shares, ratios = [], []
    for z, place in zip(starts, places, strict=True):
        *_, last = trajectory(conditioned(model, labels), z, times[place:], FLOW)
        own, ratio = _to_its_own(last.x, images, index)
        shares.append(own)
        ratios.append(ratio)
    return {
        "returned": torch.stack(shares).double().mean(1).cpu().numpy(),
        "calibrated": quantiles(torch.stack(ratios), BAND),
    }


def _to_its_own(x: Tensor, images: Images, index: Tensor) -> tuple[Tensor, Tensor]:
    """Whether x [m, ...] is nearest to training image index[m], and its calibrated squared distance to it."""
    apart = torch.cdist(x.flatten(1).double(), images.x.flatten(1).double()).square()
    own = apart.gather(1, index[:, None])[:, 0]
    near = apart.topk(min(CALIBRATION, apart.shape[1]), 1, largest=False).values
    return neighbours(x, images.x).index[:, 0] == index, own / near.mean(1)
