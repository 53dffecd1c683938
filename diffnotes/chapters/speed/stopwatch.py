"""What timings need: the data in every form, the ways to a posterior mean, a clock, the peak of memory."""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import math
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
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
from diffnotes.store import Arrays, Work

PEER = "smalldiffusion"
PACKAGES = {PEER: PEER, "pykeops": "pykeops", "faiss": "faiss-cpu"}  # peers: as imported, as installed
FEWER = {"pykeops": 16}  # a peer that is timed with one row in so many: its time is linear in rows
NEAREST = 256  # points that a truncated posterior keeps

Mean = Callable[[Tensor, float], Tensor]
"""(x [b, d], sigma) -> E[x0|x] [b, d]."""


@dataclass(frozen=True)
class Workload:
    """The data in both forms, what each way may prepare, and the peers that are timed."""

    pixels: Tensor  # uint8 [n, d]
    x: Tensor  # float32 [n, d]
    half: Tensor  # float32 [n], |x_i|^2/2
    peers: dict[str, Mean]
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


def load_peers(x: Tensor) -> dict[str, Mean]:
    """E[x0|x] by public packages: smalldiffusion's IdealDenoiser, which predicts the noise; PyKeOps, which
    compiles the formula; and the NEAREST points that faiss finds, all others left out."""
    data.load_torchvision()  # which a peer imports, without the guard that some installations need
    try:  # spelt out, so that they reach nothing of ours
        ideal = importlib.import_module("smalldiffusion").IdealDenoiser(x)
        lazy = importlib.import_module("pykeops.torch").LazyTensor
        index = importlib.import_module("faiss").IndexFlatL2(x.shape[1])
    except ImportError as error:
        missing = PACKAGES.get(str(error.name).partition(".")[0], error.name)
        raise UserError(
            f"{missing} is not installed here, and peers=True compares with it; run `make bench`."
        ) from error
    index.add(x.cpu().numpy())

    def compiled(noisy: Tensor, sigma: float) -> Tensor:
        points = lazy(x[None])
        square = ((lazy(noisy[:, None]) - points) ** 2).sum(-1)
        found: Tensor = (-square / (2 * sigma**2)).sumsoftmaxweight(points, axis=1)
        return found

    def truncated(noisy: Tensor, sigma: float) -> Tensor:
        square, near = (torch.from_numpy(one) for one in index.search(noisy.cpu().numpy(), _nearest(x)))
        weights = torch.softmax(-square / (2 * sigma**2), 1).to(x.device)
        return torch.nn.functional.embedding_bag(near.to(x.device), x, per_sample_weights=weights, mode="sum")

    def smalldiffusion(noisy: Tensor, sigma: float) -> Tensor:
        return noisy - sigma * ideal(noisy, torch.tensor(sigma, device=noisy.device))

    return {PEER: smalldiffusion, "pykeops": compiled, "faiss": truncated}


def _nearest(x: Tensor) -> int:
    return min(NEAREST, len(x))


def attention(x: Tensor, sigma: float, points: Tensor, half: Tensor) -> Tensor:
    """E[x0|x] by torch's fused attention: x asks, the points are keys and values, |x_i|^2/2 is the bias."""
    bias = (-half / sigma**2).expand(len(x), -1)
    query, key = x[None, None], points[None, None]
    dot = torch.nn.functional.scaled_dot_product_attention
    return dot(query, key, key, attn_mask=bias[None, None], scale=sigma**-2)[0, 0]


def plain_mean(x: Tensor, sigma: float, points: Tensor, half: Tensor) -> Tensor:
    """E[x0|x] [b, d] the direct way, for half = |points|^2/2: two float32 products and a softmax."""
    return torch.softmax((x @ points.T - half) / sigma**2, 1) @ points


def products(x: Tensor, points: Tensor) -> Tensor:
    """The two products of a posterior mean, and nothing else."""
    return (x @ points.T) @ points


# ------------------------------------------------------------------------------------------ clock and memory


def rounds(work: Work, name: str, count: int, measure: Callable[[int], dict[str, Any]]) -> Arrays:
    """measure(0), measure(1), ..., each saved; the same arrays with a first axis for the round."""
    rounds = []
    for turn in range(count):
        saved = work.load(f"{name}-{turn}")
        if saved is None:
            saved = {key: np.asarray(value) for key, value in measure(turn).items()}
            work.save(f"{name}-{turn}", saved)
            work.step(turn + 1, count, f"{name}: {turn + 1} of {count}")
        rounds.append(saved)
    return {key: np.stack([saved[key] for saved in rounds]) for key in rounds[0]}


# Busy for as long as the process that began it is there.
BUSY = """
import os
parent = os.getppid()
print(flush=True)
while os.getppid() == parent:
    for _ in range(10**6):
        pass
"""


@contextlib.contextmanager
def busy(count: int) -> Iterator[None]:
    """Inside, `count` other processes each take what they get of a core."""
    program = [sys.executable, "-S", "-c", BUSY]
    others: list[subprocess.Popen[bytes]] = []
    try:
        for _ in range(count):
            others.append(subprocess.Popen(program, stdout=subprocess.PIPE))
        for other in others:
            assert other.stdout is not None  # a pipe
            other.stdout.readline()  # it runs
        yield
    finally:
        for other in others:
            other.kill()
        for other in others:
            other.communicate()


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
