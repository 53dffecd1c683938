"""95 % intervals: the bootstrap over rows of samples, and Wilson's for a share."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from diffnotes.base.errors import UserError
from diffnotes.base.runtime import MEBIBYTE, blocks, rows_within, uniforms
from diffnotes.base.shapes import Num, Tensor, checked

_Z = 1.959963984540054  # 97.5 % of a standard normal lies below


@dataclass(frozen=True)
class Interval:
    """A number with its 95 % interval."""

    value: float
    low: float
    high: float


@checked()
def bootstrap(
    statistic: Callable[..., float], *samples: Num[Tensor, "_ ..."], seed: int = 0, repeats: int = 200
) -> Interval:
    """`statistic(*samples)` with its 95 % percentile interval under resampling of rows (Efron 1979).

    Each sample [m, ...] is resampled on its own, with replacement; its rows in repeat r are a function of
    (seed, its place among the samples, r) and m. A statistic that is biased in small samples, such as a
    distance between sets, is more so under resampling: its interval may lie above its value.
    """
    samples = tuple(_rows_of(sample) for sample in samples)
    if not samples or any(len(sample) == 0 for sample in samples):
        raise UserError("The bootstrap needs at least one sample, each with at least one row.")
    if repeats < 2:
        raise UserError(f"The bootstrap needs at least 2 repeats, not {repeats}.")
    values: list[float] = []
    for part in blocks(repeats, rows_within(MEBIBYTE, 8 * max(map(len, samples)), repeats)):
        picks = [_picks(seed, place, part, sample) for place, sample in enumerate(samples)]
        for rows in zip(*picks, strict=True):
            values.append(_value(statistic(*(s[row] for s, row in zip(samples, rows, strict=True)))))
    low, high = np.quantile(np.array(values, np.float64), [0.025, 0.975])
    return Interval(_value(statistic(*samples)), float(low), float(high))


@checked()
def _rows_of(sample: Num[Tensor, "_ ..."]) -> Num[Tensor, "_ ..."]:
    return sample.detach()


def _value(found: object) -> float:
    """What a statistic gave, a finite number."""
    try:
        value = float(found.detach() if isinstance(found, Tensor) else found)  # type: ignore[arg-type]
    except (TypeError, ValueError, RuntimeError):
        value = math.nan
    if not math.isfinite(value):
        raise UserError("The statistic must give a finite number for every resample; it gave something else.")
    return value


def _picks(seed: int, place: int, repeats: slice, sample: Tensor) -> Tensor:
    """Rows of the sample in some repeats, int64 [repeats, m]; u <= 1 - 2^-53, so u * m < m in float64 too."""
    stream, index = f"bootstrap, sample {place}", range(repeats.start, repeats.stop)
    draws = uniforms(seed, stream, index, len(sample)) * len(sample)
    return torch.from_numpy(draws.astype(np.int64)).to(sample.device)


def wilson(share: float, count: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share of `count` trials; it holds the share itself, 0 and 1 too."""
    extra = _Z**2 / count
    centre = (share + extra / 2) / (1 + extra)
    half = math.sqrt(extra * share * (1 - share) + extra**2 / 4) / (1 + extra)
    return min(share, max(0.0, centre - half)), max(share, min(1.0, centre + half))
