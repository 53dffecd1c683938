"""The compiled sums over all levels, against float64; that the engine agrees with either is in
test_optimal_loss."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from diffnotes.optimal_loss import all_levels, optimal_loss
from diffnotes.optimal_loss.fused import sum_levels
from diffnotes.optimal_loss.kernels import BLOCK

ALL = -math.inf  # drop nothing


def products(sources: int, points: int, noises: int = 2) -> tuple[Tensor, Tensor]:
    """D/2 and H as of points at distances that differ by a factor of 4; each source is one of the points."""
    generator = torch.Generator().manual_seed(points)
    a = 100 * torch.rand(sources, points, generator=generator) + 20
    h = (2 * a).sqrt()[:, None] * torch.randn(sources, noises, points, generator=generator)
    own = torch.arange(sources)
    a[own, own % points], h[own, :, own % points] = 0, 0
    return a, h


def wanted(a: Tensor, h: Tensor, rates: list[float]) -> tuple[Tensor, Tensor]:
    """The sums of weights and of moments, float64 [p, 2r, l], h and -h in turn."""
    both = torch.stack([h, -h], 2).flatten(1, 2).double()
    pairs = [torch.exp(-(a.double()[:, None] * u + both) * u) for u in torch.tensor(rates).tolist()]
    return torch.stack([w.sum(2) for w in pairs], 2), torch.stack(
        [(w * a.double()[:, None]).sum(2) for w in pairs], 2
    )


def found(a: Tensor, h: Tensor, rates: list[float], least: float) -> tuple[Tensor, Tensor]:
    weight, moment = torch.zeros(2, len(a), 2 * h.shape[1], len(rates), dtype=torch.float64)
    sum_levels(a, h, rates, weight, moment, least)
    return weight, moment


RATES = np.geomspace(1e-3, 3, 40).tolist()


@pytest.mark.parametrize("points", [1, 2, 15, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 7])
@pytest.mark.parametrize("noises", [1, 2])
@pytest.mark.parametrize("drop", [False, True])
def test_sums_are_those_of_float64(points: int, noises: int, drop: bool) -> None:
    a, h = products(5, points, noises)
    least = -(math.log(points) + 40) if drop else ALL
    for got, want in zip(found(a, h, RATES, least), wanted(a, h, RATES), strict=True):
        # log-weights are float32 sums of terms that are much larger than they: 3e-6 at most here
        assert ((got - want).abs() <= 4e-6 * want + 1e-17 * want.max()).all()


def test_they_are_added_to_what_is_there() -> None:
    a, h = products(3, 40)
    weight, moment = torch.ones(2, 3, 4, len(RATES), dtype=torch.float64)
    sum_levels(a, h, RATES, weight, moment, ALL)
    for got, want in zip((weight, moment), wanted(a, h, RATES), strict=True):
        torch.testing.assert_close(got - 1, want, rtol=1e-5, atol=1e-12)


def test_what_is_given_is_not_written_to() -> None:
    a, h = products(3, 2 * BLOCK)
    before = a.clone(), h.clone()
    found(a, h, RATES, -20.0)
    assert torch.equal(a, before[0])
    assert torch.equal(h, before[1])


@pytest.mark.parametrize("rate", [1e-30, 1e-4, 1e4, 1e18, 1e30])
def test_extreme_levels(rate: float) -> None:
    """At the smallest all points weigh the same, at the largest none but the source itself."""
    a, h = products(4, 700)
    weight, moment = found(a, h, [rate], ALL)
    if rate < 1:
        assert torch.allclose(weight, torch.tensor(700.0, dtype=torch.float64), rtol=2e-2)
        return
    assert torch.allclose(weight, torch.ones_like(weight), rtol=1e-12)
    assert (moment < 1e-30).all()


def test_points_like_the_source_keep_their_weight() -> None:
    a, h = torch.zeros(2, 600), torch.zeros(2, 1, 600)
    weight, moment = found(a, h, [0.1, 10.0, 1e6], -40.0)
    assert (weight == 600).all()
    assert (moment == 0).all()


def test_without_numba_torch_does_it(monkeypatch: pytest.MonkeyPatch) -> None:
    data = products(30, 60)[0]
    levels = torch.tensor([0.5, 2.0, 8.0, 30.0])
    compiled = optimal_loss(data, levels, sources=60)
    monkeypatch.setitem(sys.modules, "diffnotes.optimal_loss.fused", None)
    all_levels._fused.cache_clear()
    try:
        assert all_levels._fused("cpu") is None
        plain = optimal_loss(data, levels, sources=60)
    finally:
        all_levels._fused.cache_clear()
    torch.testing.assert_close(plain.mean, compiled.mean, rtol=1e-5, atol=1e-9)


def test_nowhere_to_keep_what_is_compiled(tmp_path: Path) -> None:
    """Read-only folders everywhere: the number is the same."""
    program = (
        "import torch; from diffnotes.optimal_loss import optimal_loss\n"
        "x = torch.arange(12.0).view(6, 2)\n"
        "print(float(optimal_loss(x, torch.tensor([1.0, 3.0]), sources=6).mean[1]))"
    )
    nowhere = tmp_path / "file"
    nowhere.write_text("")  # no folder can be made in a file
    root = str(Path(__file__).resolve().parents[2])
    numbers = []
    for change in ({}, {"NUMBA_CACHE_DIR": str(nowhere / "cache")}):
        made = subprocess.run(
            [sys.executable, "-c", program], env={**os.environ, "PYTHONPATH": root, **change},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert made.returncode == 0, made.stderr
        numbers.append(float(made.stdout))
    assert numbers[1] == pytest.approx(numbers[0], rel=1e-5)


WRONG = {
    "raises": lambda *_: 1 / 0,
    "is off": lambda a, h, rates, weight, moment, least: weight.add_(1.0),
}


@pytest.mark.parametrize("fault", WRONG)
def test_a_compiler_that_is_at_fault_is_not_used(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("diffnotes.optimal_loss.fused.sum_levels", WRONG[fault])
    all_levels._fused.cache_clear()
    try:
        assert all_levels._fused("cpu") is None
    finally:
        all_levels._fused.cache_clear()


# ------------------------------------------------------------------------------------------------ on a GPU

EMULATED = """
    import math
    import torch
    from diffnotes.optimal_loss import on_gpu
    from test_fused import RATES, products, wanted

    on_gpu.ROOM = 1 << 16  # so that the rows take several turns
    for sources, points, noises in ((3, 5, 1), (2, on_gpu.BLOCK, 2), (2, on_gpu.BLOCK + 300, 2)):
        a, h = products(sources, points, noises)
        for least in (-math.inf, -(40 + math.log(points))):
            weight, moment = torch.zeros(2, sources, 2 * noises, len(RATES), dtype=torch.float64)
            on_gpu.sum_levels(a, h, RATES, weight, moment, least)
            for got, want in zip((weight, moment), wanted(a, h, RATES)):
                assert ((got - want).abs() <= 4e-6 * want + 1e-17 * want.max()).all()
"""


def test_the_kernel_of_a_gpu_emulated() -> None:
    """Triton's interpreter goes through the kernel with numpy."""
    pytest.importorskip("triton")
    root = Path(__file__).resolve().parents[2]
    paths = os.pathsep.join(map(str, (root, root / "tests", Path(__file__).parent)))
    made = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(EMULATED)], capture_output=True, text=True, check=False,
        env={**os.environ, "TRITON_INTERPRET": "1", "PYTHONPATH": paths},
    )  # fmt: skip
    assert made.returncode == 0, made.stderr


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_the_kernel_of_a_gpu() -> None:
    a, h = products(40, 5000)
    sums = all_levels._fused("cuda")
    assert sums is not None
    weight, moment = torch.zeros(2, 40, 4, len(RATES), dtype=torch.float64, device="cuda")
    sums(a.cuda(), h.cuda(), RATES, weight, moment, -50.0)
    for got, want in zip((weight, moment), wanted(a, h, RATES), strict=True):
        assert ((got.cpu() - want).abs() <= 4e-6 * want + 1e-17 * want.max()).all()
