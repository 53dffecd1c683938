"""What a network learns in the experiment on the freedom of extrapolation: a score of few points.

Song et al. (arXiv 2510.01378), section 4.3 and equation for L'. Two nested sets, D_score within D_region: the
noisy inputs come from D_region, the target is the exact score of D_score. In x0-prediction, in the frame
x = x0 + s eps, that target is the posterior mean over D_score. Importance sampling puts a draw from the
posterior in its place, which has the same mean given x, and so the same gradient in expectation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch

from diffnotes.base import runtime
from diffnotes.base.errors import UserError
from diffnotes.base.shapes import Float, Int, Tensor
from diffnotes.train import Batch, NoiseLaw


@dataclass(frozen=True)
class FreedomLoss:
    """The loss of row j in the batch of a step: |D(x; s) - y|^2 / d, with x = x0 + c s eps, x0 from `region`.

    y is E[x0|x, s] over `score`, or, where `drawn`, one point of `score` drawn from that posterior (equation
    L' of the paper). c = thickness^(2u - 1), u uniform in (0, 1): with thickness 1 the shells are those of
    the noise level s; above 1 they are thicker, while the network is still told s, and y is still the exact
    mean at (x, s). Every draw is a function of the plan's seed and of step * batch + j alone, and the same
    for every region, form and thickness. An `Objective` of `train`.
    """

    region: Float[Tensor, "n ..."] = field(repr=False)
    score: Float[Tensor, "m ..."] = field(repr=False)
    law: NoiseLaw
    drawn: bool = False
    thickness: float = 1.0

    def __post_init__(self) -> None:
        if self.region.shape[1:] != self.score.shape[1:] or not (len(self.region) and len(self.score)):
            raise UserError(
                "The region and the score must be samples [n, ...] of one shape, at least one each."
            )
        if not 1 <= self.thickness < float("inf"):
            raise UserError(f"thickness must be a finite number of at least 1, not {self.thickness}.")

    def __call__(self, model: Callable[..., Tensor], batch: Batch) -> Float[Tensor, "m"]:
        x, s, u = self.inputs(batch)
        weights = posterior_weights(x, s, self.score)
        target = self.score[drawn(weights, u)] if self.drawn else posterior_mean(weights, self.score)
        return (model(x, s.float()) - target).square().flatten(1).mean(1)

    def inputs(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """The noisy inputs x [m, ...] float32, their levels s [m] float64, and numbers u [m] for a draw."""
        where, shape = self.region.device, self.region.shape[1:]
        index = batch.indices(len(self.region)).to(where)
        uniform = torch.from_numpy(runtime.uniforms(batch.seed, "freedom, level", batch.places, 3))
        s = self.law(uniform[:, 0].clamp(min=2.0**-54)).to(where)
        spread = s * self.thickness ** (2 * uniform[:, 1].to(where) - 1)
        noise = runtime.normals(batch.seed, "freedom, noise", batch.places, shape).to(where)
        x = torch.addcmul(self.region[index], noise, spread.float().view(-1, *[1] * len(shape)))
        return x, s, uniform[:, 2].to(where)


def drawn(weights: Float[Tensor, "m n"], u: Float[Tensor, "m"]) -> Int[Tensor, "m"]:
    """For each row the number of a point, drawn with these weights by u in [0, 1)."""
    total = weights.cumsum(1)
    at = torch.searchsorted(total, u.double()[:, None] * total[:, -1:], right=True)[:, 0]
    return at.clamp(max=weights.shape[1] - 1)


def posterior_mean(weights: Float[Tensor, "m n"], score: Float[Tensor, "n ..."]) -> Float[Tensor, "m ..."]:
    """sum_y w y, float32: what `posterior` gives, without its care for many points."""
    mean = weights @ score.double().flatten(1)
    return mean.to(score.dtype).view(len(weights), *score.shape[1:])


def posterior_weights(
    x: Float[Tensor, "m ..."], s: Float[Tensor, "m"], score: Float[Tensor, "n ..."]
) -> Float[Tensor, "m n"]:
    """softmax over y of -|x - y|^2/(2 s^2) = softmax((x.y - |y|^2/2)/s^2); float64, for few points."""
    points = score.double().flatten(1)
    scores = x.double().flatten(1) @ points.T - points.square().sum(1) / 2
    return torch.softmax(scores / s.double()[:, None] ** 2, 1)
