"""The loss gap: how far a denoiser is from the best one, at the noisy images on which both are judged.

The optimal denoiser of a finite set is its posterior mean D*(x) = E[x0|x] (Xu et al., arXiv 2506.13763,
Theorem 1). Since D* is the conditional mean of x0, the cross term of
|D - x0|^2 = |D - D*|^2 + 2 (D - D*).(D* - x0) + |D* - x0|^2 vanishes on average, for any D:

    J(theta) - J* = E |D(x) - D*(x)|^2,    x = x0 + sigma eps.

So the gap is measured as that distance. It is never negative, no difference of two noisy losses, and it is
exactly 0 for the optimal denoiser. The difference of the two losses on the same draws stands beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import torch

from diffnotes.base.errors import UserError
from diffnotes.base.runtime import blocks, full_precision, normals, permutation
from diffnotes.base.shapes import Float, Int, Num, Tensor, checked, finite
from diffnotes.base.statistics import disagreement
from diffnotes.base.terminal import bar
from diffnotes.data import Shards, as_floats
from diffnotes.posterior import Data, Support, posterior
from diffnotes.process import Process, check_denoised

Source = Num[Tensor, "m ..."] | Shards  # what noisy images are made of

DRAWS = 4096
BATCH = 512  # noisy images that the denoiser sees at once


@dataclass(frozen=True, eq=False)
class LossGap:
    """Losses of a denoiser and of the optimal one at noise levels sigma [l]; squared norms, summed over
    dimensions, float64 [l]; the standard errors are those of means over the draws.

    gap: E|D - D*|^2. loss: J = E|D - x0|^2. optimal: J* = E|D* - x0|^2, on the same draws; `optimal_loss` has
    it with a smaller error. difference_stderr: that of `difference` = loss - optimal, draw by draw.
    """

    sigma: Float[Tensor, "l"]
    gap: Float[Tensor, "l"]
    stderr: Float[Tensor, "l"]
    loss: Float[Tensor, "l"]
    loss_stderr: Float[Tensor, "l"]
    optimal: Float[Tensor, "l"]
    optimal_stderr: Float[Tensor, "l"]
    difference_stderr: Float[Tensor, "l"]
    draws: int

    @property
    def difference(self) -> Float[Tensor, "l"]:
        """loss - optimal: the gap read as a difference of losses."""
        return self.loss - self.optimal

    @property
    def disagreement(self) -> Float[Tensor, "l"]:
        """difference - gap in units of both standard errors together; see `base.statistics`."""
        parts = (self.loss, self.optimal, self.gap, self.stderr, self.difference_stderr)
        return torch.from_numpy(disagreement(*(part.numpy() for part in parts)))

    @checked()
    def converted(self, process: Process, target: str) -> LossGap:
        """The same in the losses of predicting `target` under `process`, at the times of these noise ratios:
        everything but sigma times `Process.loss_factor` (Xu et al., Eqs. 3-5)."""
        factor = process.loss_factor(target, process.time(self.sigma))
        scaled = {name: factor * getattr(self, name) for name in SUMS}
        return replace(self, **scaled)


SUMS = ("gap", "stderr", "loss", "loss_stderr", "optimal", "optimal_stderr", "difference_stderr")


@checked(draws=2)
def loss_gap(
    denoiser: Callable[..., Tensor],
    data: Data,
    sigmas: Num[Tensor, "..."],
    *,
    draws: int = DRAWS,
    labels: Int[Tensor, "k"] | None = None,
    held_out: Num[Tensor, "m ..."] | None = None,
    held_out_labels: Int[Tensor, "j"] | None = None,
    seed: int = 0,
    progress: bool = False,
) -> LossGap:
    """The loss gap of `denoiser` to the optimum of `data` at noise levels sigmas [l], in the order given.

    denoiser(x [b, ...], sigma [b]) -> [b, ...] is an estimate of E[x0|x] in the frame x = x0 + sigma eps; a
    network that predicts something else under another process becomes one by `Process.denoiser`. data [n,
    ...] float32, or uint8 where pixel p stands for p/127.5 - 1.

    draws: noisy images at each level, rounded up to whole passes over smaller data. Source and eps of draw j
    are functions of (seed, j) alone: the same at every level and for every denoiser, so that differences
    between denoisers are far less noisy than the gaps.

    labels [n]: class-conditional models. The denoiser is called with (x, sigma, labels [b]) and compared with
    the posterior mean over the images of that class.

    held_out [m, ...]: noisy images are made of these instead, and the optimum is still that of `data`. Then
    D* is no conditional mean of what it is shown: it knows other images only. `gap` is how far the denoiser
    is from it, `loss` the held-out loss, and `optimal` the loss of D* on images that it has not seen. For n +
    1 images from one distribution that is, in the mean, the leave-one-out loss: each image denoised by the
    posterior over the n others. A denoiser that generalizes has a *smaller* loss, so `difference` may be
    negative and says nothing of `gap`.

    Raises UserError for levels, images or labels that do not fit.
    """
    levels = _check_levels(sigmas)
    source = data if held_out is None else held_out
    classes = labels if held_out is None else held_out_labels
    _check(data, source, labels, classes)
    count = draws if draws <= len(source) else len(source) * -(-draws // len(source))
    sums = torch.zeros(len(levels), 2, len(_PARTS), dtype=torch.float64)
    steps = bar(progress, total=count, unit=" draws", leave=False)
    with full_precision(), torch.no_grad(), steps:
        for part in blocks(count, BATCH):
            x0, noise, wanted = _draw(source, classes, range(part.start, part.stop), seed)
            for level, sigma in enumerate(levels.tolist()):
                found = _parts(denoiser, data, labels, x0, noise, wanted, sigma)
                sums[level] += torch.stack([found.sum(1), found.square().sum(1)]).cpu()
            steps.update(len(x0))
    return _gap(levels, sums, count)


_PARTS = ("gap", "loss", "optimal", "difference")


def _parts(
    denoiser: Callable[..., Tensor],
    data: Data,
    labels: Tensor | None,
    x0: Tensor,
    noise: Tensor,
    wanted: Tensor | None,
    sigma: float,
) -> Float[Tensor, "4 b"]:
    """What is averaged, of each draw; the order is that of _PARTS.

    The cross term is formed as such: as a difference of losses it would be lost in their rounding.
    """
    x = finite(x0 + sigma * noise, "A noisy image")
    levels = torch.full((len(x),), sigma, dtype=x.dtype, device=x.device)
    found = denoiser(x, levels) if wanted is None else denoiser(x, levels, wanted)
    check_denoised(found, x, sigma)
    best = torch.empty_like(x)
    for rows, points in _by_class(data, labels, wanted):
        best[rows] = posterior(x[rows], sigma, points).mean
    apart, missed = (found.double() - best.double()).flatten(1), (best.double() - x0.double()).flatten(1)
    gap, optimal = apart.square().sum(1), missed.square().sum(1)
    cross = 2 * (apart * missed).sum(1)
    return torch.stack([gap, gap + cross + optimal, optimal, gap + cross])


def _by_class(
    data: Data, labels: Tensor | None, wanted: Tensor | None
) -> Iterator[tuple[Tensor | slice, Data]]:
    """Rows of a batch, and the points that they may come from."""
    if labels is None or wanted is None:
        yield slice(None), data
        return
    for label in wanted.unique():
        yield wanted == label, data[(labels == label).nonzero()[:, 0].to(data.device)]


def _draw(
    source: Source, labels: Tensor | None, draws: range, seed: int
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Clean images [b, ...], noise and classes of these draws: whole passes, each in an order of its own."""
    n = len(source)
    turns = range(draws.start // n, draws[-1] // n + 1)
    orders = {turn: permutation(seed, "loss gap, order of sources", n, turn) for turn in turns}
    index = torch.tensor([int(orders[j // n][j % n]) for j in draws], device=source.device)
    x0 = as_floats(source[index])
    noise = normals(seed, "loss gap, noise", draws, x0.shape[1:]).to(x0)
    return x0, noise, None if labels is None else labels.to(source.device)[index]


def _gap(sigma: Tensor, sums: Float[Tensor, "l 2 4"], count: int) -> LossGap:
    mean = sums[:, 0] / count
    variance = (sums[:, 1] / count - mean**2).clamp(min=0.0)
    error = (variance / max(1, count - 1)).sqrt()
    gap, loss, optimal, _ = mean.unbind(1)
    gap_error, loss_error, optimal_error, difference_error = error.unbind(1)
    errors = {"stderr": gap_error, "loss_stderr": loss_error, "optimal_stderr": optimal_error}
    return LossGap(
        sigma, gap=gap, loss=loss, optimal=optimal, **errors, difference_stderr=difference_error, draws=count
    )


# ----------------------------------------------------------------------------------------------------- checks


def _check_levels(sigmas: Tensor) -> Tensor:
    levels = torch.as_tensor(sigmas, dtype=torch.float64).cpu()
    if levels.ndim != 1 or len(levels) == 0:
        raise UserError(f"sigmas must be a list of at least one noise level, [l], not {list(levels.shape)}.")
    if not bool((torch.isfinite(levels) & (levels > 0)).all()):
        raise UserError(f"Every noise level must be positive and finite, not {levels.tolist()}.")
    return levels


def _check(data: Data, source: Source, labels: Tensor | None, classes: Tensor | None) -> None:
    for name, images in {"data": data, "held_out": source}.items():
        if isinstance(images, Tensor | Shards) and (len(images.shape) < 2 or len(images) == 0):
            raise UserError(f"{name} must be [n, ...] with at least one image, not {list(images.shape)}.")
    Support.of(data)
    Support.of(source.float() if isinstance(source, Tensor) and source.dtype == torch.float64 else source)
    own, other = tuple(data.shape[1:]), tuple(source.shape[1:])
    if own != other:
        raise UserError(f"held_out must have images of shape {own}, like the data, not {other}.")
    if (labels is None) != (classes is None):
        raise UserError("Give labels for data and held_out alike, or for neither.")
    if labels is not None and classes is not None:
        _check_labels({"data": (data, labels), "held_out": (source, classes)})


def _check_labels(pairs: Mapping[str, tuple[Source, Tensor]]) -> None:
    for name, (images, labels) in pairs.items():
        if labels.shape != (len(images),):
            raise UserError(f"There are {len(images)} images in {name}, but labels {list(labels.shape)}.")
    strange = sorted({*pairs["held_out"][1].tolist()} - {*pairs["data"][1].tolist()})
    if strange:
        raise UserError(f"The data has no image of class {strange[0]}, so no optimum for that class.")
