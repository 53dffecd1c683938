"""The sums over 8-bit pixels from products of integers, against float64 and against the floats."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from diffnotes.base.runtime import normals
from diffnotes.data import Shards
from diffnotes.optimal_loss import accumulate, all_levels, integers, optimal_loss
from diffnotes.optimal_loss.all_levels import pairwise_losses, prepare
from diffnotes.posterior import Support, int8
from diffnotes.process import noise_levels

LEVELS = noise_levels(30, 0.002, 80.0)


@pytest.fixture(autouse=True)
def measured_anew() -> Iterator[None]:
    for one in (integers.pays, int8.exact):
        one.cache_clear()
    yield
    for one in (integers.pays, int8.exact):
        one.cache_clear()


def pays(answer: bool, patch: pytest.MonkeyPatch) -> None:
    """As if it had been measured."""
    patch.setattr(integers, "pays", lambda: answer)


def pixels(count: int, width: int, seed: int = 0) -> Tensor:
    """Near each other, so that many weigh something; some extreme, two the same."""
    generator = torch.Generator().manual_seed(seed)
    base = torch.randint(0, 256, (1, width), generator=generator)
    found = (base + torch.randint(-9, 10, (count, width), generator=generator)).clamp(0, 255).to(torch.uint8)
    found[count // 3] = found[count // 2]
    found[-1], found[0] = 255, 0
    return found


def losses(data: Tensor | Shards, draws: int = 20, levels: Tensor = LEVELS) -> Tensor:
    support = Support.of(data)
    source = torch.arange(draws) % support.count
    noise = normals(0, "noise", range(draws), (2, support.raw.shape[1]))
    return pairwise_losses(support, prepare(support).half, source, noise, levels)


def in_float64(data: Tensor, draws: int = 20, levels: Tensor = LEVELS) -> Tensor:
    flat = data.double() / 127.5 - 1
    source, noise = torch.arange(draws) % len(data), normals(0, "noise", range(draws), (2, data.shape[1]))
    gap = flat[source][:, None] - flat
    square, inner = gap.square().sum(2)[:, None], torch.einsum("mnd,mrd->mrn", gap, noise.double())
    each = [
        [torch.softmax(-square / (2 * s**2) - sign * inner / s, 2) * square for sign in (1, -1)]
        for s in levels.tolist()
    ]
    return torch.stack([sum(one.sum(2) for one in pair) / 4 for pair in each], 2)


SIZES = [(1, 1), (40, 1), (2, 3), (40, 12), (300, 192), (3000, 3072), (9, 12288)]


@pytest.mark.parametrize(("count", "width"), SIZES)
def test_they_are_those_of_float64(count: int, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    pays(True, monkeypatch)
    data = pixels(count, width)
    want = in_float64(data)
    off = (losses(data) - want).abs()
    assert (off <= 2e-5 * want + 1e-7 * want.mean((0, 1)) + 1e-15).all(), (off / want).amax((0, 1))


def test_a_curve_is_that_of_floats(monkeypatch: pytest.MonkeyPatch) -> None:
    """To 1e-6 for the curve, to 1e-5 for a draw."""
    data, found, each = pixels(2500, 768), [], []
    for answer in (True, False):
        with monkeypatch.context() as patch:
            pays(answer, patch)
            found.append(optimal_loss(data, LEVELS, sources=500).mean)
            each.append(losses(data, 100))
    assert not torch.equal(each[0], each[1])  # they are two ways
    torch.testing.assert_close(found[0], found[1], rtol=1e-6, atol=1e-9 * float(found[0].max()))
    torch.testing.assert_close(each[0], each[1], rtol=1e-5, atol=1e-9 * float(each[0].max()))


@pytest.mark.parametrize("scale", [1e-20, 1.0, 1e6])
def test_digits_are_the_noise(scale: float) -> None:
    noise = scale * normals(0, "digits", range(50), (2, 64))
    noise[0, 0] = 0
    digits, step, whole = integers.digits_of(noise)
    again = sum(digits[:, :, k].double() * 256.0**k for k in range(3))
    assert digits.dtype == torch.int8
    assert digits.shape == (50, 2, 3, 64)
    assert torch.equal(again, whole)
    assert ((again * step[:, :, None] - noise).abs() <= 0.5001 * step[:, :, None]).all()
    assert (step <= noise.abs().amax(2) / 8.2e6 + 1e-36).all()


@pytest.mark.parametrize("integers_pay", [True, False])
def test_any_number_of_threads_gives_the_same_bits(
    integers_pay: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many pieces, of points and of sources, whose sums are added in order, whoever made them."""
    pays(integers_pay, monkeypatch)
    monkeypatch.setattr(all_levels, "_PIECE", 64)
    monkeypatch.setattr(all_levels, "_SOURCES", 50)
    data, before, sums = pixels(700, 48), torch.get_num_threads(), []
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            sums.append(accumulate(data, LEVELS, range(300)).total)
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert all(np.array_equal(sums[0], other) for other in sums[1:])
    monkeypatch.undo()
    assert not np.array_equal(sums[0], accumulate(data, LEVELS, range(300)).total)  # one piece


@pytest.mark.parametrize("order", ["columns", "reversed rows"])
def test_any_order_in_memory(order: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pays(True, monkeypatch)
    data = pixels(40, 12)
    other = data.T.contiguous().T if order == "columns" else data.flip(0).flip(0)
    assert torch.equal(losses(other), losses(data))


def test_the_default_type_of_torch_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    data, found = pixels(40, 12), []
    for integers_pay in (True, False):
        pays(integers_pay, monkeypatch)
        want = losses(data)
        torch.set_default_dtype(torch.float64)
        all_levels._fused.cache_clear()
        try:
            found.append(all_levels._fused("cpu") is not None)
            source = torch.arange(20)
            noise = normals(0, "noise", range(20), (2, 12))
            support = Support.of(data)
            got = pairwise_losses(support, prepare(support).half, source, noise, LEVELS)
        finally:
            torch.set_default_dtype(torch.float32)
            all_levels._fused.cache_clear()
        torch.testing.assert_close(got, want, rtol=1e-6, atol=1e-12)
    assert found == [True, True]


def test_images_in_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pays(True, monkeypatch)
    data = pixels(90, 27)
    np.save(tmp_path / "a.npy", data[:50].view(50, 3, 3, 3).numpy())
    np.save(tmp_path / "b.npy", data[50:].view(40, 3, 3, 3).numpy())
    assert torch.equal(losses(Shards([tmp_path / "a.npy", tmp_path / "b.npy"])), losses(data))


def test_too_many_dimensions_for_32_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    """The largest sum of products that can occur fits; beyond, floats do it."""
    assert int8.LONGEST * 128 * 128 < 2**31
    pays(True, monkeypatch)
    monkeypatch.setattr(int8, "LONGEST", 47)
    monkeypatch.setattr(integers.Pixels, "of", None)
    assert losses(pixels(20, 48)).isfinite().all()


@pytest.mark.parametrize("fault", ["missing", "refuses", "wrong", "slow"])
def test_where_integers_do_not_pay(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(*_: Tensor) -> Tensor:
        raise RuntimeError("not implemented")

    def wrong(x: Tensor, y: Tensor) -> Tensor:
        return exact(x, y) + 1

    def slow(x: Tensor, y: Tensor) -> Tensor:
        end = time.thread_time() + 0.02
        while time.thread_time() < end:
            pass
        return exact(x, y)

    exact = torch._int_mm
    if fault == "missing":
        monkeypatch.delattr(torch, "_int_mm")
    else:
        monkeypatch.setattr(torch, "_int_mm", {"refuses": refuses, "wrong": wrong, "slow": slow}[fault])
    assert not integers.pays()
    data = pixels(30, 12)
    torch.testing.assert_close(losses(data), in_float64(data), rtol=1e-4, atol=1e-9)


def test_without_numba_nothing_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(all_levels, "_fused", lambda kind: None)
    monkeypatch.setattr(integers, "pays", None)
    data = pixels(30, 12)
    torch.testing.assert_close(losses(data), in_float64(data), rtol=1e-4, atol=1e-9)
    assert math.isfinite(float(optimal_loss(data, LEVELS, sources=30).mean[0]))
