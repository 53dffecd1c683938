"""What `all_levels` does by compiled loops (`kernels`), on the CPU."""

from __future__ import annotations

import numpy as np
import torch

from diffnotes.base.runtime import MEBIBYTE, blocks, in_threads, rows_within
from diffnotes.base.shapes import Float, Tensor
from diffnotes.optimal_loss.kernels import add_rows, sum_rows
from diffnotes.posterior import Support, checked_halves


def sum_levels(
    a: Float[Tensor, "p k"],
    h: Float[Tensor, "p r k"],
    rates: list[float],
    weight: Float[Tensor, "p 2*r l"],
    moment: Float[Tensor, "p 2*r l"],
    least: float,
) -> None:
    """Add sum_i w_i and sum_i w_i a_i, w_i = exp(-a_i u^2 - h_i u), at each rate u (rising) to weight and
    moment, for h and -h in turn.

    A point is dropped at all larger u where its log-weights under h and -h are both below `least`.
    """
    w, m = (one.numpy().reshape(*h.shape[:2], 2, -1) for one in (weight, moment))
    sum_rows(a.numpy(), h.numpy(), np.array(rates, np.float32), np.float32(least), w, m)


def row_sums(support: Support) -> tuple[Float[Tensor, "n"], Float[Tensor, "d"]]:
    """|y_i|^2 / 2 of all points in the frame of the tiles (float32), and the sum of y_i (float64)."""
    width = support.raw.shape[1]
    half, total = torch.empty(support.count, dtype=torch.float32), np.zeros(width)
    shift = np.zeros(width, np.float32) if support.shift is None else support.shift.numpy()

    def work(part: slice) -> np.ndarray:
        found = np.zeros(width)
        add_rows(support.raw[part].contiguous().numpy(), shift, half[part].numpy(), found)
        return found

    for found in in_threads(work, blocks(support.count, rows_within(8 * MEBIBYTE, width, support.count))):
        total += found
    return checked_halves(half), torch.from_numpy(total)
