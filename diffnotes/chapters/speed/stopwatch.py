"""What timings need: the data in every form, the ways to a posterior mean, a clock, the peak of memory."""

from __future__ import annotations

import ctypes
import importlib
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from diffnotes import data
from diffnotes.base import runtime
from diffnotes.base.errors import UserError
from diffnotes.posterior import ExactDenoiser

PEER = "smalldiffusion"


@dataclass(frozen=True)
class Workload:
    """The data in both forms, what each way may prepare, and the peer (None: not timed)."""

    pixels: Tensor  # uint8 [n, d]
    x: Tensor  # float32 [n, d]
    half: Tensor  # float32 [n], |x_i|^2/2
    peer: Callable[[Tensor, float], Tensor] | None
    seed: int

    @cached_property
    def ours(self) -> dict[str, ExactDenoiser]:
        """Our posterior means, by the type of their data."""
        return {"float32": ExactDenoiser(self.x), "uint8": ExactDenoiser(self.pixels)}

    def draws(self, count: int, turn: int) -> tuple[Tensor, Tensor]:
        """Clean images [count, d] and noise [count, d] of repeat number `turn`."""
        order = runtime.permutation(self.seed, "speed, sources", len(self.x), turn)
        index = torch.from_numpy(order[np.arange(count) % len(order)]).to(self.x.device)
        rows = range(turn * count, (turn + 1) * count)
        noise = runtime.normals(self.seed, "speed, noise", rows, self.x.shape[1:])
        return self.x[index], noise.to(self.x.device)


def half_squares(x: Tensor) -> Tensor:
    return torch.cat([part.square().sum(1) / 2 for part in x.split(4096)])


def load_peer(x: Tensor) -> Callable[[Tensor, float], Tensor]:
    """E[x0|x] by smalldiffusion's IdealDenoiser, which predicts the noise (x - E[x0|x])/sigma."""
    data.load_torchvision()  # which the peer imports, without the guard that some installations need
    try:
        module = importlib.import_module("smalldiffusion")  # spelt out, so that it reaches nothing of ours
    except ImportError as error:
        raise UserError(
            f"{PEER} is not installed here, and peers=True compares with it; run `make bench`."
        ) from error
    ideal = module.IdealDenoiser(x)
    return lambda noisy, sigma: noisy - sigma * ideal(noisy, torch.tensor(sigma, device=noisy.device))


def plain_mean(x: Tensor, sigma: float, points: Tensor, half: Tensor) -> Tensor:
    """E[x0|x] [b, d] the direct way, for half = |points|^2/2: two float32 products and a softmax."""
    return torch.softmax((x @ points.T - half) / sigma**2, 1) @ points


def products(x: Tensor, points: Tensor) -> Tensor:
    """The two products of a posterior mean, and nothing else."""
    return (x @ points.T) @ points


# ------------------------------------------------------------------------------------------ clock and memory


def timed(call: Callable[[], Any], where: torch.device) -> tuple[float, Any]:
    """Seconds of a call on an idle device, and its result."""
    _wait(where)
    start = time.perf_counter()
    result = call()
    _wait(where)
    return time.perf_counter() - start, result


def _wait(where: torch.device) -> None:
    if where.type == "cuda":
        torch.cuda.synchronize(where)


def watched(call: Callable[[], Any], where: torch.device) -> tuple[float, float, Any]:
    """Seconds, the peak of memory above what was in use before, in bytes, and the result."""
    before = _restart_peak(where)
    seconds, result = timed(call, where)
    return seconds, _peak(where) - before, result


def _restart_peak(where: torch.device) -> float:
    """Forget the highest use of memory so far; bytes in use now (NaN where the system does not tell)."""
    if where.type == "cuda":
        torch.cuda.reset_peak_memory_stats(where)
        return float(torch.cuda.memory_allocated(where))
    try:
        ctypes.CDLL(None).malloc_trim(0)  # else memory freed before, and kept, would hide what is used next
        Path("/proc/self/clear_refs").write_text("5")
    except (OSError, AttributeError):
        return math.nan
    return _peak(where)


def _peak(where: torch.device) -> float:
    if where.type == "cuda":
        return float(torch.cuda.max_memory_allocated(where))
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return math.nan
    return next((1024.0 * int(line.split()[1]) for line in lines if line.startswith("VmHWM:")), math.nan)
