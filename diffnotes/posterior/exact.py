"""The posterior over a finite data set given x = x0 + sigma eps, and the Gaussian closed form.

For data x_1..x_n with equal prior weight, w_i is proportional to exp(-|x - x_i|^2 / (2 sigma^2)), and
E[x0|x] = sum_i w_i x_i is the denoiser with the least squared error (Karras et al. 2022, Eq. 57; Xu et al.,
arXiv 2506.13763, Eq. 8).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol

import torch

from diffnotes.base.errors import UserError
from diffnotes.base.runtime import blocks, full_precision, memory_budget, rows_within
from diffnotes.base.shapes import Float, Num, Tensor, checked, finite
from diffnotes.posterior.support import Data, Support, squared_distances, true_pairs
from diffnotes.process import row_levels

_TOLERANCE = 1e-6  # a float32 log-weight may be off by this much, weighted by its share of the posterior
_DEAD = -87.0  # below it float32 exponentials are subnormal: slow, and nothing (e^-87) beside the winner's 1
_UNEVEN = 1e-4  # of a covariance: what float32 rounding may do to it, relatively
_TIE = 1e-14  # squared distances this close (relatively) are one distance, to float64 rounding


@dataclass(frozen=True, eq=False)
class Posterior:
    """mean [b, ...] = E[x0|x], log_z [b] = ln sum_i exp(-|x - x_i|^2/(2 sigma^2)), ess [b] = 1/sum_i w_i^2.

    mean has the type of x; log_z and ess are float64. log_z has no 1/n and no Gaussian normaliser.
    """

    mean: Float[Tensor, "b ..."]
    log_z: Float[Tensor, "b"]
    ess: Float[Tensor, "b"]


class Denoiser(Protocol):
    """Anything that maps (x [b, ...], sigma scalar or [b]) to an estimate of E[x0|x] [b, ...]."""

    def __call__(self, x: Tensor, sigma: float | Tensor) -> Tensor: ...


@dataclass(frozen=True)
class ExactDenoiser:
    """The posterior mean over `data` [n, ...] as a denoiser.

    The norms of the points are formed at the first call and kept: the data must not change after it.
    """

    data: Data

    @checked()
    def __call__(self, x: Num[Tensor, "b ..."], sigma: float | Tensor) -> Float[Tensor, "b ..."]:
        return _posterior(x, sigma, self.data, self._support).mean

    @cached_property
    def _support(self) -> Support:
        return replace(Support.of(self.data), halves={})


@checked()
def posterior(x: Num[Tensor, "b ..."], sigma: float | Tensor, data: Data) -> Posterior:
    """Posterior over `data` given x = x0 + sigma eps, in memory bounded by a budget.

    x [b, ...] float32 or float64; sigma a number or [b], 0 and infinity meaning the limits (the nearest
    points, ties shared evenly; the mean of the data); data [n, ...] float32, or uint8 where pixel p
    stands for p/127.5 - 1. Data may stay on another device than x. Cost: two float32 products, x with the
    data and weights with the data. Every point whose weight float32 could spoil is scored again in
    float64 difference form, so that mean (relative to the data's scale), log_z and ln ess agree with
    float64 arithmetic to about 1e-6 at any sigma.

    Raises UserError for a wrong type, shape or value.
    """
    return _posterior(x, sigma, data, Support.of(data))


def _posterior(x: Tensor, sigma: float | Tensor, data: Data, support: Support) -> Posterior:
    check_queries(x, data)
    flat, levels = x.detach().reshape(len(x), -1), row_levels(sigma, x)
    rows = rows_within(memory_budget(x.device) // 2, 4 * support.count, len(x))
    with full_precision(), torch.no_grad():
        parts = [_chunk(flat[part], levels[part], support) for part in blocks(len(x), rows)]
    mean, log_z, ess = (torch.cat(values) for values in zip(*parts, strict=True))
    return Posterior(mean.to(x.dtype).reshape(x.shape), log_z, ess)


def check_queries(x: Tensor, data: Data) -> None:
    if not isinstance(x, Tensor) or x.dtype not in (torch.float32, torch.float64):
        kind = str(getattr(x, "dtype", type(x).__name__)).removeprefix("torch.")
        raise UserError(f"x must be a float32 or float64 tensor, not {kind}; convert with x.float().")
    if x.ndim == 0 or x.shape[1:] != data.shape[1:] or len(x) == 0:
        raise UserError(
            f"x must be [b, ...] with b >= 1 and the shape of the data after that, {tuple(data.shape[1:])}, "
            f"but its shape is {tuple(x.shape)}."
        )
    if not torch.isfinite(x).all():
        raise UserError("x contains NaN or infinite values; give finite observations.")


@dataclass(frozen=True)
class _Rows:
    """Some of the queries: x [b, d]; in the frame of the tiles their norms |y| [b] and 1/sigma^2 [b]."""

    x: Tensor
    norms: Tensor
    precision: Tensor


def _chunk(x: Tensor, sigma: Tensor, support: Support) -> tuple[Tensor, Tensor, Tensor]:
    """Mean [b, d], log_z [b] and ess [b] of rows few enough that [b, n] scores fit in memory."""
    y = support.centred(x)
    scores, radii = _scores(y, support)
    precision = (support.scale / sigma.clamp(min=1e-150)) ** 2  # 1/sigma^2 in stored units
    log_z, ess, total = (torch.empty(len(x), dtype=torch.float64, device=x.device) for _ in range(3))
    size = 1 << (20 if x.device.type == "cpu" else 26)  # a block for the level-3 cache, or a kernel
    for part in blocks(len(x), max(1, size // support.count)):
        rows = _Rows(x[part], torch.linalg.vector_norm(y[part], dim=1), precision[part])
        log_z[part], ess[part], total[part] = _weigh(scores[part], rows, radii, support)
    mean = support.uncentred(_weighted_sum(scores, support)[: len(x)] / total[:, None])
    return mean, log_z, ess


def _scores(y: Tensor, support: Support) -> tuple[Tensor, Tensor]:
    """y.y_i - |y_i|^2/2 [b, n], which is -|y - y_i|^2/2 up to a constant per row; and |y_i| [n]."""
    scores = torch.empty(len(y), support.count, dtype=torch.float32, device=y.device)
    radii = torch.empty(support.count, dtype=torch.float32, device=y.device)
    for part in blocks(support.count, support.tile_rows):
        tile = support.tile(part, y.device)
        half = support.half(part, tile)
        torch.addmm(half, y, tile.T, beta=-1, out=scores[:, part])
        torch.sqrt(2 * half, out=radii[part])
    return scores, radii


def _weigh(scores: Tensor, rows: _Rows, radii: Tensor, support: Support) -> tuple[Tensor, Tensor, Tensor]:
    """Turn scores into weights in place; return log_z, ess and the sum of the weights (float64 [b])."""
    best, winner = scores.max(1)
    scores.sub_(best[:, None]).mul_(rows.precision.clamp(max=1e30).float()[:, None])
    nearest = _rescore(scores, winner, rows, radii, support)
    scores.clamp_(min=_DEAD).exp_()
    total, squares = scores.sum(1).double(), scores.square().sum(1).double()
    exponent = nearest * rows.precision / support.scale**2 / -2
    return exponent.nan_to_num(nan=0.0) + total.log(), total**2 / squares, total


def _rescore(logits: Tensor, winner: Tensor, rows: _Rows, radii: Tensor, support: Support) -> Tensor:
    """Replace logits that float32 may have spoilt by float64 ones, in place; return the least |x - x_i|^2
    [b].
    """
    row, index = _doubtful(logits, winner, rows, radii, support)
    distance = squared_distances(support, rows.x, row, index)
    nearest = squared_distances(support, rows.x, torch.arange(len(winner), device=winner.device), winner)
    least = nearest.scatter_reduce(0, row, distance, "amin")
    rate = rows.precision / support.scale**2 / 2
    logits.sub_(((nearest - least) * rate).float()[:, None])
    gap = distance - least[row]
    gap[gap <= _TIE * least[row]] = 0.0
    logits[row, index] = (-gap * rate[row]).float()
    return least


def _doubtful(
    logits: Tensor, winner: Tensor, rows: _Rows, radii: Tensor, support: Support
) -> tuple[Tensor, Tensor]:
    """Row and point [k], [k] of the logits to score again.

    A logit off by `error` (in nats) matters in proportion to its share of the posterior: points whose
    share is above _TOLERANCE/error, and any that rounding may have kept from the top, are scored again.
    They are sought with the error for the longest |y_i|, and then sifted with their own, which grows with
    |y_i|: a logit is the difference of two scores, so the longer of its point and the winner counts.
    """
    bound = support.rounding(rows.norms, float(radii.max()))
    error = bound * rows.precision
    total = torch.exp(logits.clamp(min=_DEAD)).sum(1).double()
    total = torch.where(error < 0.1, total, 1.0)  # a large error hides the total
    floor = torch.log(_TOLERANCE * total / error.clamp(min=1e-300)) - 2 * error
    row, index = true_pairs(logits > floor.clamp(min=-1e38).float()[:, None])
    own = support.rounding(rows.norms[row], torch.maximum(radii[index], radii[winner[row]]))
    kept = logits[row, index] > floor[row] + torch.log(bound[row] / own.clamp(min=1e-300))
    return row[kept], index[kept]


def _weighted_sum(weights: Tensor, support: Support) -> Tensor:
    """sum_i weights[:, i] y_i [b, d] in float64, without the points that carry less than 1e-8 of the weight.

    Tiles are multiplied in float32, and every few of them added in float64. Fewer than 8 rows are padded:
    products of one or two rows add thousands of terms in turn, which costs a digit (1e-5 on CIFAR-10).
    """
    rows = max(8, len(weights))
    result = torch.zeros(rows, support.raw.shape[1], dtype=torch.float64, device=weights.device)
    alive = weights.amax(0) > 1e-8 / support.count
    if len(weights) < rows:  # `pad` by nothing would copy
        weights = torch.nn.functional.pad(weights, (0, 0, 0, rows - len(weights)))
    some = torch.zeros(result.shape, dtype=torch.float32, device=weights.device)
    for number, part in enumerate(blocks(support.count, support.tile_rows), 1):
        index = alive[part].nonzero()[:, 0] + part.start
        if len(index) > 0.7 * (part.stop - part.start):
            some.addmm_(weights[:, part], support.tile(part, weights.device))
        elif len(index):
            some.addmm_(weights[:, index], support.tile(index.to(support.raw.device), weights.device))
        if number % 4 == 0:
            result += some
            some.zero_()
    return result.add_(some)


# -------------------------------------------------------------------------------------------- Gaussian data


@checked()
def gaussian_posterior_mean(
    x: Float[Tensor, "b d"],
    sigma: float | Tensor,
    mean: Float[Tensor, "d"],
    covariance: Float[Tensor, "d d"],
) -> Float[Tensor, "b d"]:
    """E[x0|x] = m + S (S + sigma^2 I)^-1 (x - m) for x0 ~ N(m, S): the Wiener filter; sigma scalar or [b].

    Raises UserError for wrong shapes or values, and for what is no covariance.
    """
    values, vectors = eigen(covariance, "covariance")
    variance = row_levels(sigma, x)[:, None] ** 2
    values = values.clamp(min=0.0)
    gain = torch.where(values > 0, values / (values + variance), values)
    inner = (x.double() - mean.double()) @ vectors
    return finite((mean.double() + (inner * gain) @ vectors.T).to(x.dtype), "The posterior mean")


@checked()
def gaussian_optimal_loss(sigmas: Float[Tensor, "l"], covariance: Float[Tensor, "..."]) -> Float[Tensor, "l"]:
    """J*(sigma) = sum_k lambda_k sigma^2 / (lambda_k + sigma^2), lambda the eigenvalues; float64 [l].

    `covariance` is a matrix [d, d], or its eigenvalues [d] where these are known. Raises UserError for wrong
    shapes or values, and for what is no covariance.
    """
    if not bool((sigmas >= 0).all()):
        raise UserError(f"sigmas must be at least 0, not {float(sigmas.min())}.")
    found = covariance.double()
    if found.ndim == 1 and float(found.min()) < 0:
        raise UserError(f"Eigenvalues of a covariance are at least 0, not {float(found.min())}.")
    values = (found if found.ndim == 1 else eigen(found, "covariance", vectors=False)[0]).clamp(min=0.0)
    variance = sigmas.double()[:, None] ** 2
    loss = (values * (variance / (values + variance).clamp(min=1e-300))).sum(1)
    return finite(loss, "The optimal loss")


def eigen(covariance: Tensor, name: str, vectors: bool = True) -> tuple[Tensor, Tensor]:
    """Eigenvalues, rising, and eigenvectors of a covariance, in float64; UserError for what is none.

    Rounding may leave it a little asymmetric, and the least eigenvalues a little below 0.
    """
    found = covariance.double()
    if found.ndim != 2 or found.shape[0] != found.shape[1]:
        raise UserError(f"{name} must be a square matrix, [d, d], but its shape is {[*found.shape]}.")
    known = finite(found, name).detach()
    if not torch.allclose(known, known.T, rtol=0, atol=_UNEVEN * float(known.abs().max())):
        raise UserError(f"{name} must be symmetric; give a covariance.")
    values, base = torch.linalg.eigh(found) if vectors else (torch.linalg.eigvalsh(found), found)
    least, most = values.detach()[0], values.detach().abs().max()
    if bool(least < -_UNEVEN * most):
        raise UserError(f"{name} has the negative eigenvalue {float(least):g}; give a covariance.")
    return values, base
