"""The checks of a GPU (`tools/gpu_checks.py`): on one, where there is one; dry; and with faults put in."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gpu_checks
import pytest
import torch
from torch import Tensor, nn

from diffnotes.optimal_loss import accumulate
from diffnotes.posterior import posterior
from diffnotes.sample import sample
from diffnotes.train import Batch

ROOT = Path(__file__).resolve().parents[2]
CPU = torch.device("cpu")
each = pytest.mark.parametrize("name", gpu_checks.CHECKS)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA GPU here")
@each
def test_gpu(name: str) -> None:
    in_a_process(name, "cuda")


def in_a_process(name: str, device: str) -> None:
    """Without the checks of shapes that tests have: they cannot be compiled."""
    done = subprocess.run(
        [sys.executable, ROOT / "tools" / "gpu_checks.py", name, device],
        capture_output=True, text=True, timeout=600, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_dry_run_of_compiling() -> None:
    in_a_process("compiled", "cpu")


@pytest.mark.parametrize("name", [name for name in gpu_checks.CHECKS if name != "compiled"])
def test_dry_run(name: str) -> None:
    found = gpu_checks.CHECKS[name](CPU)
    assert found
    assert all(one.passed for one in found)
    assert gpu_checks.worst(found) <= 1


# ------------------------------------------------------------------------------------- each of them can fail


@dataclass(frozen=True)
class Steeper:
    """A loss whose gradient is too large by a factor."""

    objective: Any
    factor: float

    def __call__(self, model: Callable[..., Tensor], batch: Batch) -> Tensor:
        return self.factor * self.objective(model, batch)


def steeper(factor: float) -> Callable[[Tensor, Tensor], Steeper]:
    return lambda x, labels: Steeper(gpu_checks._objective(x, labels), factor)


def blurred(x: Tensor, sigma: float, points: Tensor) -> Any:
    """The posterior at a noise level that is off by 1e-4 of itself."""
    return posterior(x, sigma * (1 + 1e-4), points)


def coarse(x: Tensor, sigma: float, points: Tensor) -> Any:
    """The posterior, its mean rounded as TF32 rounds."""
    right = posterior(x, sigma, points)
    return replace(right, mean=right.mean.bfloat16().float())


def other_draws(points: Tensor, sigmas: Tensor, draws: range) -> Any:
    """The loss over other noise."""
    return accumulate(points, sigmas, draws, seed=1)


def drifting(*args: Any, **options: Any) -> Tensor:
    return sample(*args, **options) * 1.02


def off_compiler(model: nn.Module) -> Callable[..., Tensor]:
    return lambda *inputs: 1.001 * model(*inputs)


def off_layout(model: nn.Module) -> nn.Module:
    """As if one weight were read from the wrong place."""
    with torch.no_grad():
        weight = model.network.enter.weight
        weight.copy_(weight.flip(2))
    return model


FAULTS = {
    "posterior": (blurred, coarse),
    "all noise levels": (other_draws,),
    "float32 training": (steeper(1.001),),
    "channels last": (off_layout,),
    "sampling": (drifting,),
    "compiled": (off_compiler,),
    "bfloat16 training": (steeper(1.1),),
}


@pytest.mark.parametrize(("name", "fault"), [(n, f) for n, faults in FAULTS.items() for f in faults])
def test_a_fault_is_seen(name: str, fault: Any) -> None:
    found = gpu_checks.CHECKS[name](CPU, fault)
    assert not all(one.passed for one in found)
    assert gpu_checks.worst(found) > 1


def test_no_check_goes_without_a_fault() -> None:
    assert FAULTS.keys() == gpu_checks.CHECKS.keys()


def test_no_number_is_no_pass() -> None:
    assert not gpu_checks.Deviation("x", float("nan"), 1.0).passed
    assert gpu_checks.worst([gpu_checks.Deviation("x", float("nan"), 1.0)]) == float("inf")
