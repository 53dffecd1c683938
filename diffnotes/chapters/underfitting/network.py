"""The plain network of chapter 2, and the law of its noise levels in training."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import torch
from torch import nn

from diffnotes.base.shapes import Float, Int, Tensor
from diffnotes.networks.layers import zero

UNIT = 1.0  # the standard deviation of the data, which is that of N(0, I)


class PlainMLP(nn.Module):
    """`depth` layers of `width` with ReLU on (x_t, t), and a linear one to [b, dim]: flow matching's x_t.

    Song et al. (arXiv 2510.01378, appendix C.6) say "MLP, 10 layers, width 1000". The rest is ours: ReLU; t
    as one more input; the initial weights of He et al. (2015), since torch's own hardly train at the paper's
    rate; a last layer that starts at zero, since the paper's curves start near what a score of zero has.

    The interface is that of `networks`: x is x_t / sqrt(alpha^2 + sigma^2), as a `NetworkDenoiser` with
    sigma_data 1 hands it over, and noise is ln(s)/4, from which t = s/(1 + s).
    """

    def __init__(self, dim: int, width: int, depth: int) -> None:
        super().__init__()
        sizes = [dim + 1, *[width] * depth]
        self.hidden = nn.ModuleList(_he(nn.Linear(a, b)) for a, b in itertools.pairwise(sizes))
        self.leave = zero(nn.Linear(width, dim))

    def forward(
        self, x: Float[Tensor, "b d"], noise: Float[Tensor, "b"], labels: Int[Tensor, "b"] | None = None
    ) -> Float[Tensor, "b d"]:
        t = torch.sigmoid(4 * noise)[:, None]
        h = torch.cat([x * torch.hypot(t, 1 - t), t], 1)
        for layer in self.hidden:
            h = torch.relu(layer(h))
        return self.leave(h)


def _he(layer: nn.Linear) -> nn.Linear:
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    nn.init.zeros_(layer.bias)
    return layer


@dataclass(frozen=True)
class Between:
    """t of flow matching is uniform between two times; a `NoiseLaw` of `train`: uniform numbers -> s."""

    low: float
    high: float

    def __call__(self, u: Float[Tensor, "b"]) -> Float[Tensor, "b"]:
        t = self.low + u * (self.high - self.low)
        return t / (1 - t)
