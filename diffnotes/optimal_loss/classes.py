"""The optimal loss of class-conditional models: each class has a curve, and the whole has their mean."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from diffnotes.base.shapes import Int, Tensor, checked
from diffnotes.optimal_loss.statistics import LossCurve


@dataclass(frozen=True)
class ClassPart:
    """One class of a data set: where its points are [k], its share of all, and the draws of its curve."""

    label: int
    members: Int[Tensor, "k"]
    share: float
    draws: int
    seed: int


@checked(draws=1)
def class_parts(labels: Int[Tensor, "n"], draws: int, seed: int = 0) -> list[ClassPart]:
    """The classes in the order of their numbers; draws are shared out in proportion to size, at least 4."""
    parts = []
    for number, label in enumerate(labels.unique().tolist()):
        members = (labels == label).nonzero()[:, 0]
        share = len(members) / len(labels)
        parts.append(ClassPart(label, members, share, max(4, math.ceil(draws * share)), seed + number))
    return parts


@checked()
def mean_over_classes(parts: Sequence[ClassPart], curves: Sequence[LossCurve]) -> LossCurve:
    """The mean of the curves of the classes, weighted by their size: E_c J*(sigma | c). Its variance is that
    within classes, its area the mean of ln N_c.
    """
    shares = [part.share for part in parts]

    def mean(values: list) -> Tensor:
        scaled = [share * torch.as_tensor(value) for share, value in zip(shares, values, strict=True)]
        return torch.stack(scaled).sum(0)

    def error(values: list) -> Tensor:
        squares = [share**2 * torch.as_tensor(v) ** 2 for share, v in zip(shares, values, strict=True)]
        return torch.stack(squares).sum(0).sqrt()

    # Of a class whose mean rests on e draws, the squares of what they add to the sum sum to mean^2 / e.
    whole = mean([curve.mean for curve in curves])
    squares = error([curve.mean / curve.effective.clamp(min=1e-9).sqrt() for curve in curves]).square()
    draws = sum(curve.draws for curve in curves)
    return LossCurve(
        curves[0].sigma,
        whole,
        error([curve.stderr for curve in curves]),
        float(mean([curve.area for curve in curves])),
        float(error([curve.area_stderr for curve in curves])),
        float(mean([curve.variance for curve in curves])),
        draws,
        torch.where(squares > 0, whole.square() / squares, 0.0).clamp(max=draws),
    )
