"""What samples and denoisers are judged by: memorized samples, errors, and distances between sets.

Everything is measured in full precision (no TF32) and, except for the search for candidates, in float64.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

from diffnotes.base.errors import UserError
from diffnotes.base.intervals import Interval, bootstrap, wilson
from diffnotes.base.runtime import (
    MEBIBYTE,
    blocks,
    full_precision,
    memory_budget,
    normals,
    rows_within,
)
from diffnotes.base.shapes import Float, Int, Num, Tensor, checked, finite
from diffnotes.posterior import Data, Support, half_squares, squared_distances
from diffnotes.posterior.exact import eigen
from diffnotes.process import check_denoised

_CANDIDATES = 8  # points per row that the first search keeps


# ------------------------------------------------------------------------------------------ memorized samples


@checked()
@dataclass(frozen=True)
class Neighbours:
    """The two nearest data points of each row: distance [m, 2] float64 in data units, index [m, 2] int64."""

    distance: Num[Tensor, "m 2"]
    index: Int[Tensor, "m 2"]


@checked()
def neighbours(x: Num[Tensor, "m ..."], data: Data) -> Neighbours:
    """The two points of `data` [n, ...] nearest to each sample x [m, ...], exact, on the device of x.

    Candidates come from float32 products; their distances are computed again in difference form and float64.
    A row whose candidates might miss a neighbour, by the bound on float32 rounding, is searched again with
    more of them. Of points at one distance the first in `data` comes first. Memory is bounded.

    Raises UserError for fewer than 2 points, a wrong type or shape, or NaN anywhere: a missing sample is an
    error, never "not a copy".
    """
    support = Support.of(data)
    if support.count < 2:
        raise UserError("The data hold 1 point, but a second-nearest one is needed; give at least 2.")
    _check_samples(x, "The samples", (len(x), *data.shape[1:]))
    flat = x.detach().reshape(len(x), -1)
    distance = torch.empty(len(x), 2, dtype=torch.float64, device=x.device)
    index = torch.empty(len(x), 2, dtype=torch.int64, device=x.device)
    todo, width = torch.arange(len(x), device=x.device), min(_CANDIDATES, support.count)
    with full_precision(), torch.no_grad():
        while len(todo):
            doubtful = []
            rows = rows_within(memory_budget(x.device), 40 * width + 24 * flat.shape[1], len(todo))
            for part in todo.split(rows):
                distance[part], index[part], sure = _two_nearest(flat[part], support, width)
                doubtful.append(part[~sure])
            todo, width = torch.cat(doubtful), min(8 * width, support.count)
    return Neighbours(distance, index)


def _check_samples(x: Tensor, name: str, shape: tuple[int, ...]) -> None:
    """`x` is floating, of this shape, not empty, and finite."""
    if not x.is_floating_point():
        kind = str(x.dtype).removeprefix("torch.")
        raise UserError(f"{name} must be floating-point numbers, not {kind}; convert with .float().")
    if x.numel() == 0 or tuple(x.shape) != shape:
        wanted = ", ".join(["n", *map(str, shape[1:])])
        raise UserError(f"{name} must be [{wanted}] with n >= 1, but their shape is {[*x.shape]}.")
    if not torch.isfinite(x).all():
        raise UserError(f"{name} contain NaN or infinite values; a missing sample is an error.")


def _two_nearest(x: Tensor, support: Support, width: int) -> tuple[Tensor, Tensor, Tensor]:
    """Distance [m, 2] and index [m, 2] among the `width` best candidates, and whether no other can win [m].

    At least two candidates truly score above the second-best found score less the bound on rounding, and all
    other points below the last found score plus the bound.
    """
    y = support.centred(x, "The samples contain")
    norms = torch.linalg.vector_norm(y, dim=1)
    score, index, radius = _candidates(y, support, width)
    sure = (score[:, 1] - score[:, -1]).double() > 2 * support.rounding(norms, radius)
    index = index.sort(1).values  # so that the first of equals is the first in the data
    row = torch.arange(len(x), device=x.device).repeat_interleave(width)
    distance = squared_distances(support, x.double(), row, index.flatten()).view(-1, width).sqrt()
    distance, order = distance.sort(dim=1, stable=True)
    return distance[:, :2], index.gather(1, order[:, :2]), sure | (width == support.count)


def _candidates(y: Tensor, support: Support, width: int) -> tuple[Tensor, Tensor, float]:
    """The `width` best y.y_i - |y_i|^2/2 of each row, best first, with their i, and the largest |y_i|."""
    best = torch.full((len(y), width), -math.inf, dtype=torch.float32, device=y.device)
    index = torch.zeros(len(y), width, dtype=torch.int64, device=y.device)
    longest = 0.0
    size = 16 * MEBIBYTE if y.device.type == "cpu" else memory_budget(y.device) // 4
    for part in blocks(support.count, support.tile_rows):
        tile = support.tile(part, y.device)
        half = half_squares(tile)
        longest = max(longest, float(half.max()))
        for rows in blocks(len(y), rows_within(size, 4 * len(tile), len(y))):
            scores = torch.addmm(half, y[rows], tile.T, beta=-1)
            value, at = scores.topk(min(width, len(tile)), 1)
            value, at = torch.cat([best[rows], value], 1), torch.cat([index[rows], at + part.start], 1)
            best[rows], order = value.topk(width, 1)
            index[rows] = at.gather(1, order)
    return best, index, math.sqrt(2 * longest)


@checked()
def ratios(found: Neighbours) -> Float[Tensor, "m"]:
    """rho = d1/d2, the distance to the nearest training image over that to the second nearest; float64 [m].

    A sample is called a copy where rho < 1/3 (Yoon et al. 2023; Bonnaire et al., arXiv 2505.17638). Where d2
    = 0, so that d1 = 0 too, it is a copy of an image that the set holds twice, and rho = 0. A sample that is
    merely near such an image has rho = 1: clean data of duplicates first.
    """
    _check_samples(found.distance, "The distances", (len(found.distance), 2))
    if not bool((found.distance >= 0).all()):
        raise UserError(f"Distances must be at least 0, not {float(found.distance.min())}.")
    first, second = found.distance.unbind(1)
    return torch.where(second > 0, first / second, 0.0)


@checked()
def memorized(
    rho: Num[Tensor, "m"], threshold: float = 1 / 3, seed: int = 0, repeats: int = 1000
) -> Interval:
    """f_mem, the share of samples with rho [m] < threshold, with a 95 % interval over samples.

    The interval is the union of the bootstrap's and of Wilson's (1927): the bootstrap distribution of a
    share is binomial around the share found, and with no copy found, or nothing but copies, it is a point.
    """
    _check_samples(rho, "The ratios", (len(rho),))
    if not bool((rho >= 0).all()):
        raise UserError(f"The ratios are of distances, so at least 0, not {float(rho.min())}.")
    if not 0 < threshold <= 1:
        raise UserError(f"threshold must be above 0 and at most 1, as a ratio d1/d2 is, not {threshold}.")
    copies = (rho < threshold).double()
    found = bootstrap(lambda some: float(some.mean()), copies, seed=seed, repeats=repeats)
    low, high = wilson(found.value, len(copies))
    return Interval(found.value, min(low, found.low), max(high, found.high))


@checked()
def copy_similarity(samples: Num[Tensor, "m k"], train: Num[Tensor, "n j"]) -> Float[Tensor, "m"]:
    """The largest cosine similarity of each sample's features [k] to training features; float64 [m].

    With SSCD features more than 0.6 counts as a copy (Somepalli et al., arXiv 2212.03860). Features of zeros
    are similar to nothing: 0.
    """
    _check_samples(samples, "The samples' features", (len(samples), *samples.shape[1:]))
    _check_samples(train, "The training features", (len(train), *samples.shape[1:]))
    found = torch.full((len(samples),), -1.0, dtype=torch.float64, device=samples.device)
    rows = rows_within(16 * MEBIBYTE, 8 * max(samples.shape[1], 1024), max(len(samples), len(train)))
    with full_precision(), torch.no_grad():
        for part in blocks(len(train), rows):
            tile = _unit(train[part].to(samples.device)).T
            for some in blocks(len(samples), rows):
                best = (_unit(samples[some]) @ tile).amax(1).double()
                torch.maximum(found[some], best, out=found[some])
    return found.clamp(-1.0, 1.0)


def _unit(x: Tensor) -> Tensor:
    """Rows of length 1, float32. A power of two first brings the largest value near 1; it rounds nothing."""
    exponent = x.double().abs().amax(1, keepdim=True).frexp().exponent
    return torch.nn.functional.normalize(torch.ldexp(x.double(), -exponent), eps=1e-300).float()


# -------------------------------------------------------------------------------------------------- errors


@checked()
def denoising_error(
    denoise: Callable[..., Tensor],
    x: Num[Tensor, "n _ ..."],
    sigmas: Num[Tensor, "l"],
    *,
    seed: int = 0,
    draws: int = 1,
    labels: Int[Tensor, "k"] | None = None,
    batch: int = 512,
) -> Float[Tensor, "l n"]:
    """|D(x0 + sigma eps; sigma) - x0|^2 / d of each image x [n, ...] at each level, the mean over draws.

    float64 [l, n] on the device of x. eps of image i in draw k is a function of (seed, i, k) alone: the same
    at every level and for every model, so that differences between levels, snapshots and models are far
    less noisy than the errors themselves. Called is `denoise(x, sigma)`, with `labels` [n] given
    `denoise(x, sigma, labels)`, sigma [b] in the type of x; up to `batch` rows of several levels at a time.
    """
    _check_samples(x, "The images", (len(x), *x.shape[1:]))
    _check_levels(sigmas, x, draws, labels, batch)
    found = torch.zeros(len(sigmas), len(x), dtype=torch.float64, device=x.device)
    levels = sigmas.to(x)
    with full_precision(), torch.no_grad():
        for part in blocks(len(x), max(1, batch // len(levels))):
            some = None if labels is None else labels[part].to(x.device)
            for draw in range(draws):
                index, stream = range(part.start, part.stop), f"denoising error, draw {draw}"
                noise = normals(seed, stream, index, x.shape[1:], x.dtype).to(x.device)
                for at in blocks(len(levels), batch):
                    found[at, part] += _errors(denoise, x[part], noise, levels[at], some)
    return finite(found / draws, "The error")


def _check_levels(sigmas: Tensor, x: Tensor, draws: int, labels: Tensor | None, batch: int) -> None:
    levels = sigmas.to(x)
    if len(sigmas) == 0 or not (torch.isfinite(levels) & (levels >= 0)).all():
        raise UserError(f"sigmas must be one or more finite numbers of at least 0, not {sigmas.tolist()}.")
    if draws < 1 or batch < 1:
        raise UserError(f"draws and batch must be at least 1, not {draws} and {batch}.")
    if labels is not None and len(labels) != len(x):
        raise UserError(f"There are {len(labels)} labels for {len(x)} images; give one each.")


def _errors(
    denoise: Callable[..., Tensor], x0: Tensor, noise: Tensor, sigmas: Tensor, labels: Tensor | None
) -> Tensor:
    """Squared errors per dimension [l, n] of one draw, in one call of the denoiser."""
    x = x0 + sigmas.view(-1, *[1] * x0.ndim) * noise  # [l, n, ...]
    inputs = [x.flatten(0, 1), sigmas.repeat_interleave(len(x0))]
    if labels is not None:
        inputs.append(labels.repeat(len(sigmas)))
    answer = check_denoised(denoise(*inputs), inputs[0], inputs[1])
    gap = answer.double().view(x.shape) - x0.double()
    return gap.square().flatten(2).mean(2)


@checked()
def relative_gap(
    train: Float[Tensor, "l n"], val: Float[Tensor, "l m"]
) -> tuple[Float[Tensor, "l"], Float[Tensor, "l"]]:
    """G = mean(val)/mean(train) - 1 of errors per image at l levels, and its standard error; float64 [l].

    The standard error is the delta method's over images, train and val being independent:
    (1 + G)^2 (var(val)/(m mean(val)^2) + var(train)/(n mean(train)^2)).
    """
    if min(train.shape[1], val.shape[1]) < 2:
        raise UserError("A standard error needs the errors of at least 2 images on either side.")
    known, other = train.double(), val.double()
    base = known.mean(1)
    if not (base > 0).all():
        raise UserError("The training error must be above 0 at every level for a relative gap.")
    ratio = other.mean(1) / base
    spread = other.var(1) / val.shape[1] + ratio**2 * known.var(1) / train.shape[1]
    return finite(ratio - 1, "The relative gap"), finite(spread.sqrt() / base, "Its standard error")


# --------------------------------------------------------------------------------- distances between sets


@checked(most=1)
def pooled(x: Float[Tensor, "b _ *d"], most: int = 64) -> Float[Tensor, "b k"]:
    """Images [b, c, h, h] averaged over boxes of 2 x 2 until at most `most` values of each are left: [b, k].

    Plain features for a Fréchet distance: a covariance of several hundred samples needs far fewer dimensions
    than an image has. Points [b, d] stay as they are. Raises UserError for sides that are then not even.
    """
    while x.ndim == 4 and x[0].numel() > most:
        if x.shape[2] % 2 or x.shape[3] % 2:
            raise UserError(f"Images {[*x.shape[1:]]} cannot be halved to at most {most} values each.")
        x = torch.nn.functional.avg_pool2d(x, 2)
    return x.flatten(1)


@checked()
def sliced_wasserstein(
    a: Num[Tensor, "m k"],
    b: Num[Tensor, "n j"],
    *,
    projections: int = 256,
    seed: int = 0,
    p: int = 2,
) -> float:
    """SW_p(a, b) = (mean over directions of W_p^p of the projections)^(1/p) (Rabin et al. 2011).

    a and b [m, k], in their units; random directions on the sphere are functions of (seed, number). Between
    two samples of one law it is not 0 but falls with m: hence equal counts, and compare only at one count.
    """
    _check_pair(a, b)
    a, b = a.detach(), b.detach()
    if projections < 1 or p < 1:
        raise UserError(f"projections and p must be at least 1, not {projections} and {p}.")
    where, total, unit = a.device, 0.0, _unit_of(a, b)
    ours, theirs = a.double() / unit, b.to(where).double() / unit
    for part in blocks(projections, rows_within(32 * MEBIBYTE, 32 * (len(a) + a.shape[1]), projections)):
        index = range(part.start, part.stop)
        direction = normals(seed, "directions", index, (a.shape[1],), torch.float64).to(where)
        direction = direction / torch.linalg.vector_norm(direction, dim=1, keepdim=True)
        one, two = ((points_ @ direction.T).sort(0).values for points_ in (ours, theirs))
        total += float((one - two).abs().pow(p).mean(0).sum())
    return _scaled(float((total / projections) ** (1 / p)), unit)


def _unit_of(*sets: Tensor) -> float:
    """1, unless squares of the largest value of some sets would be too large or too small for float64: then
    that value."""
    largest = max(float(x.detach().abs().max()) for x in sets)
    return largest if 0 < largest < 1e-60 or largest > 1e60 else 1.0


def _scaled(found: float, unit: float) -> float:
    """found * unit; UserError where float64 has no such number."""
    scaled = finite(found, "The distance") * unit
    if not math.isfinite(scaled) or (scaled == 0 and found > 0):
        raise UserError(f"The distance of values up to {unit:g} is no number of float64; rescale them.")
    return scaled


def _check_pair(a: Tensor, b: Tensor) -> None:
    _check_samples(a, "The first set's points", (len(a), *a.shape[1:]))
    _check_samples(b, "The second set's points", (len(b), *a.shape[1:]))
    if len(a) != len(b):
        raise UserError(
            f"The sets have {len(a)} and {len(b)} points, but the distance between finite sets depends "
            "on their count; cut both to the smaller one."
        )


@checked()
def frechet(a: Num[Tensor, "m k"], b: Num[Tensor, "n j"]) -> float:
    """The squared Fréchet distance of the Gaussians fitted to a and b [m, k] (Heusel et al. 2017).

    Covariances have the divisor m - 1. Its bias falls with m: hence equal counts, and compare only at one.
    """
    _check_pair(a, b)
    if len(a) < 2:
        raise UserError("A covariance needs at least 2 points in each set, not 1.")
    moments, unit = [], _unit_of(a, b)
    for x in (a.double() / unit, b.to(a.device).double() / unit):
        mean = x.mean(0)
        moments += [mean, (x - mean).T @ (x - mean) / (len(x) - 1)]
    return _scaled(_scaled(frechet_gaussian(*moments), unit), unit)


@checked()
def frechet_gaussian(
    mean_a: Float[Tensor, "k"],
    cov_a: Float[Tensor, "k k"],
    mean_b: Float[Tensor, "k"],
    cov_b: Float[Tensor, "k k"],
) -> float:
    """|m_a - m_b|^2 + tr(S_a + S_b - 2 (S_a S_b)^(1/2)) of two Gaussians (Dowson and Landau 1982).

    In float64; the last trace is the sum of the roots of the eigenvalues of S_a^(1/2) S_b S_a^(1/2). Raises
    UserError for wrong shapes or values, for what is no covariance, and for a distance beyond float64.
    """
    unit = _unit_of(mean_a, mean_b, cov_a.double().abs().sqrt(), cov_b.double().abs().sqrt())
    one, two = cov_a.double() / unit / unit, cov_b.double() / unit / unit
    values, vectors = eigen(one, "cov_a")
    eigen(two, "cov_b", vectors=False)
    root = vectors * values.clamp(min=0.0).sqrt() @ vectors.T
    common = torch.linalg.eigvalsh(root @ two @ root).clamp(min=0.0).sqrt().sum()
    shift = (mean_a.double() / unit - mean_b.double() / unit).square().sum()
    found = finite(float((shift + one.trace() + two.trace() - 2 * common).detach()), "The distance")
    return _scaled(_scaled(max(0.0, found), unit), unit)
