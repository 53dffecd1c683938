from __future__ import annotations

import ctypes
import math
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from diffnotes.base import runtime
from diffnotes.base.errors import UserError

INDICES = st.lists(st.integers(0, 2**62), min_size=1, max_size=20)


@given(index=INDICES, size=st.integers(1, 9), cut=st.integers(0, 20), seed=st.integers(-(2**70), 2**70))
def test_draws_do_not_depend_on_batching_or_order(index: list[int], size: int, cut: int, seed: int) -> None:
    whole = runtime.normals(seed, "noise", index, (size,))
    parts = [runtime.normals(seed, "noise", part, (size,)) for part in (index[:cut], index[cut:])]
    assert torch.equal(whole, torch.cat(parts))
    assert torch.equal(whole.flip(0), runtime.normals(seed, "noise", index[::-1], (size,)))
    assert torch.equal(whole, torch.cat([runtime.normals(seed, "noise", i, (size,)) for i in index]))


def test_internal_blocks_do_not_show() -> None:
    rows, size = 70, 4001  # several internal blocks, and an odd size
    whole = runtime.normals(3, "noise", range(rows), (size,))
    assert torch.equal(whole[[0, 7, 33, 69]], runtime.normals(3, "noise", [0, 7, 33, 69], (size,)))
    assert torch.equal(whole[:, :10], runtime.normals(3, "noise", range(rows), (10,)))


def test_words_are_the_same_on_every_machine() -> None:
    words = runtime.words(0, "noise", [0, 1], 2)
    assert [f"{word:016x}" for word in words.ravel()] == GOLDEN_WORDS


GOLDEN_WORDS = ["ed94b6f4c0a1efa1", "e73db5defc65ce19", "ae314a8ef8389828", "e75d062795403844"]


@pytest.mark.parametrize("other", [(1, "a", 0), (0, "b", 0), (0, "a", 1), (0, "a", 2**40)])
def test_seeds_streams_and_indices_are_independent(other: tuple[int, str, int]) -> None:
    count = 100_000
    first, second = (runtime.normals(s, n, i, (count,), torch.float64)[0] for s, n, i in ((0, "a", 0), other))
    assert abs(float((first * second).mean())) < 4 / math.sqrt(count)
    assert abs(float((first**2 * second**2).mean()) - 1) < 4 * math.sqrt(8 / count)


def test_normals_are_normal() -> None:
    draws = runtime.normals(1, "test", range(1000), (1001,), torch.float64).flatten()
    ordered = draws.sort().values
    grid = (torch.arange(len(ordered), dtype=torch.float64) + 0.5) / len(ordered)
    kolmogorov = float((torch.special.ndtr(ordered) - grid).abs().max()) * math.sqrt(len(ordered))
    assert kolmogorov < 1.95  # exceeded once in a thousand
    assert abs(float((draws[1:] * draws[:-1]).mean())) < 4 / math.sqrt(len(draws))
    assert torch.equal(draws[:1001].float(), runtime.normals(1, "test", 0, (1001,))[0])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [1, 2, 777])
def test_a_device_draws_the_same_normals(dtype: torch.dtype, size: int) -> None:
    """Torch's arithmetic, here on the CPU: the same words, and the same numbers to the last digit."""
    rows = np.array([0, 1, 5, 2**40], np.uint64)
    want = runtime.normals(3, "test", rows.astype(np.int64), (size,), dtype)
    got = runtime._normals_on(torch.device("cpu"), 3, "test", rows, (size + 1) // 2, dtype)[:, :size]
    assert got.dtype == dtype
    torch.testing.assert_close(got, want, rtol=1e-12 if dtype == torch.float64 else 1.2e-7, atol=1e-15)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_a_gpu_draws_the_same_normals() -> None:
    want = runtime.normals(3, "test", range(300), (3, 32, 32))
    got = runtime.normals(3, "test", range(300), (3, 32, 32), where=torch.device("cuda"))
    torch.testing.assert_close(got.cpu(), want, rtol=1.2e-7, atol=1e-15)


def test_uniforms_and_permutations() -> None:
    uniform = runtime.uniforms(0, "u", range(100), 1000)
    assert uniform.min() >= 0
    assert uniform.max() < 1
    assert abs(uniform.mean() - 0.5) < 4 * math.sqrt(1 / 12 / uniform.size)
    orders = [runtime.permutation(0, "p", 1000, i) for i in range(2)]
    assert all(np.array_equal(np.sort(order), np.arange(1000)) for order in orders)
    assert not np.array_equal(*orders)


@pytest.mark.parametrize("index", [-1, [0, -3], np.array([0.5])])
def test_a_bad_index_is_refused(index: int | list[int] | np.ndarray) -> None:
    with pytest.raises(UserError, match="whole indices of at least 0"):
        runtime.words(0, "noise", index, 1)


def test_full_precision_restores_what_it_found() -> None:
    backends, quick = torch.backends, ["bf16", "bf16", "tf32", "tf32"]
    switches = [backends.mkldnn.matmul, backends.mkldnn.conv, backends.cuda.matmul, backends.cudnn.conv]
    before = [switch.fp32_precision for switch in switches]
    try:
        for switch, value in zip(switches, quick, strict=True):
            switch.fp32_precision = value
        with runtime.full_precision():
            assert [switch.fp32_precision for switch in switches] == ["ieee"] * 4
        assert [switch.fp32_precision for switch in switches] == quick
        with pytest.raises(RuntimeError, match="singular"), runtime.full_precision():
            torch.linalg.inv(torch.zeros(2, 2))
        assert [switch.fp32_precision for switch in switches] == quick
    finally:
        for switch, value in zip(switches, before, strict=True):
            switch.fp32_precision = value


def test_full_precision_does_without_switches_that_torch_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        torch, "backends", SimpleNamespace(cuda=torch.backends.cuda, cudnn=object(), mkldnn=0)
    )
    assert runtime._precision_switches() == [torch.backends.cuda.matmul]
    with runtime.full_precision():
        assert torch.backends.cuda.matmul.fp32_precision == "ieee"


def test_full_precision_ignores_autocast() -> None:
    a = torch.randn(8, 8, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert (a @ a).dtype == torch.bfloat16
        with runtime.full_precision():
            assert (a @ a).dtype == torch.float32


def test_device_and_memory() -> None:
    assert runtime.device("cpu") == torch.device("cpu")
    assert runtime.device() in (torch.device("cpu"), torch.device("cuda"))
    for missing in ("cuda:99", "abacus"):
        with pytest.raises(UserError, match="not available"):
            runtime.device(missing)
    assert runtime.memory_budget(torch.device("cpu")) >= 2**20


@given(total=st.integers(0, 100), size=st.integers(1, 30))
def test_blocks_cover_everything_once(total: int, size: int) -> None:
    assert [i for part in runtime.blocks(total, size) for i in range(total)[part]] == list(range(total))


def test_rows_within() -> None:
    assert [runtime.rows_within(100, 30, most) for most in (10, 2)] == [3, 2]
    assert runtime.rows_within(10, 30, 10) == 1


KEPT = """
import resource, sys, torch
from diffnotes.base import runtime

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.empty(1 << 25).fill_(1.0)  # 128 MiB: 32,768 pages of 4 KiB
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

least = lambda: min(faults() for _ in range(8))  # a small object in the way may cost a second block
before = least()
runtime.keep_memory()
print(before, least())
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="the C library has no mallopt")
def test_kept_memory_is_not_given_out_anew() -> None:
    done = subprocess.run([sys.executable, "-c", KEPT], capture_output=True, text=True, check=True)
    before, after = map(int, done.stdout.split())
    assert after < 0.1 * before
