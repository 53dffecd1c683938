from __future__ import annotations

import math
import subprocess
import sys
import time

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from diffnotes.base.errors import UserError
from diffnotes.base.runtime import normals
from diffnotes.posterior import (
    ExactDenoiser,
    Posterior,
    gaussian_optimal_loss,
    gaussian_posterior_mean,
    support,
)
from diffnotes.posterior import exact as posterior

NAN, INF = math.nan, math.inf


def brute_force(x: torch.Tensor, sigma: float | torch.Tensor, data: torch.Tensor) -> Posterior:
    """The same in plain float64, all at once."""
    flat, queries = data.flatten(1).double(), x.flatten(1).double()
    if data.dtype == torch.uint8:
        flat = flat / 127.5 - 1
    variance = torch.as_tensor(sigma, dtype=torch.float64).reshape(-1, 1) ** 2
    logits = -torch.stack([(row - flat).square().sum(1) for row in queries]) / (2 * variance)
    weights = torch.softmax(logits, 1)
    mean = (weights @ flat).reshape(x.shape)
    return Posterior(mean, torch.logsumexp(logits, 1), 1 / weights.square().sum(1))


def check(found: Posterior, x: torch.Tensor, sigma: float | torch.Tensor, data: torch.Tensor) -> None:
    want = brute_force(x, sigma, data)
    scale = 1.0 if data.dtype == torch.uint8 else float((data - data.mean(0)).abs().max())
    bound = 1e-6 * scale + 1e-7 * float(want.mean.abs().max())
    torch.testing.assert_close(found.mean.double(), want.mean, rtol=0, atol=bound)
    torch.testing.assert_close(found.log_z, want.log_z, rtol=1e-6, atol=2e-6)
    torch.testing.assert_close(found.ess, want.ess, rtol=1e-5, atol=0)


def cloud(n: int, d: int, stream: str = "cloud") -> torch.Tensor:
    return normals(0, stream, range(n), (d,))


@given(
    log_sigma=st.floats(math.log(0.002), math.log(80)),
    batch=st.sampled_from([1, 3, 8]),
    n=st.integers(1, 300),
    d=st.sampled_from([1, 2, 10, 200]),
    scale=st.sampled_from([0.05, 1.0, 30.0]),
    where=st.sampled_from([0.0, 3.0, 1000.0]),
)
def test_agrees_with_float64_on_random_data(
    log_sigma: float, batch: int, n: int, d: int, scale: float, where: float
) -> None:
    sigma = math.exp(log_sigma)
    data = scale * cloud(n, d) + where
    x = data[torch.arange(batch) % n] + sigma * cloud(batch, d, "noise")
    check(posterior.posterior(x, sigma, data), x, sigma, data)


@pytest.mark.parametrize("sigma", [0.002, 0.02, 0.2, 0.5, 1.0, 3.0, 10.0, 80.0])
def test_agrees_with_float64_where_float32_products_do_not(sigma: float) -> None:
    """Image-sized points with near duplicates: float32 distances are off by up to hundreds of nats here."""
    centres = 0.5 * cloud(400, 3072) + 0.3
    near = centres[:64] + 0.001 * cloud(64, 3072, "near")
    data = torch.cat([centres, near, centres[:8]])
    x = (centres[:8] + near[:8]) / 2 + sigma * cloud(8, 3072, "noise")
    check(posterior.posterior(x, sigma, data), x, sigma, data)


@pytest.mark.parametrize("batch", [1, 2, 8])
def test_small_batches_over_many_points_lose_no_digit(batch: int) -> None:
    """Products of one or two rows round badly when many points that are alike carry weight."""
    random = torch.Generator().manual_seed(0)
    light, texture = torch.rand(20_000, 1, generator=random), torch.rand(20_000, 768, generator=random)
    pixels = (255 * (0.7 * light + 0.3 * texture)).to(torch.uint8)
    data = pixels.double() / 127.5 - 1
    x = (data[:batch] + 8 * torch.randn(batch, 768, generator=random, dtype=torch.float64)).float()
    square = torch.cdist(x.double(), data, compute_mode="donot_use_mm_for_euclid_dist").square()
    expected = torch.softmax(-square / 128, 1) @ data
    assert (posterior.posterior(x, 8.0, pixels).mean - expected).abs().max() < 5e-7


def test_one_far_point_does_not_make_all_others_doubtful(monkeypatch: pytest.MonkeyPatch) -> None:
    data = torch.cat([0.1 * cloud(2000, 64), torch.full((1, 64), 10.0)])
    x, scored = data[:8] + 0.3 * cloud(8, 64, "noise"), []

    def counted(*arguments: torch.Tensor) -> torch.Tensor:
        scored.append(len(arguments[-1]))
        return support.squared_distances(*arguments)

    monkeypatch.setattr(posterior, "squared_distances", counted)
    check(posterior.posterior(x, 0.3, data), x, 0.3, data)
    assert sum(scored) < 200  # nearly 7,000 by the error of the far one


@pytest.mark.parametrize("sigma", [0.002, 0.1, 0.5, 2.0, 80.0])
def test_pixels_stand_for_numbers_between_minus_one_and_one(sigma: float) -> None:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (200, 3, 8, 8), dtype=torch.uint8, generator=generator)
    x = pixels[:8].float() / 127.5 - 1 + sigma * normals(0, "noise", range(8), (3, 8, 8))
    found = posterior.posterior(x, sigma, pixels)
    check(found, x, sigma, pixels)
    as_floats = posterior.posterior(x, sigma, pixels.float() / 127.5 - 1)
    torch.testing.assert_close(found.mean, as_floats.mean, rtol=0, atol=2e-6)


@given(rows=st.integers(1, 64), budget=st.integers(1, 40_000), block=st.permutations(range(8)))
def test_chunks_and_order_do_not_matter(rows: int, budget: int, block: list[int]) -> None:
    data, x = cloud(150, 20), 2 * cloud(8, 20, "x")
    sigma = torch.logspace(-2, 1, 8)
    whole = posterior.posterior(x, sigma, data)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(support.Support, "tile_rows", property(lambda self: rows))
        patch.setattr(posterior, "memory_budget", lambda where: budget)
        shuffled = data[torch.randperm(150, generator=torch.Generator().manual_seed(rows))]
        again = posterior.posterior(x[block], sigma[block], shuffled)
    torch.testing.assert_close(again.mean, whole.mean[block], rtol=0, atol=3e-6)
    torch.testing.assert_close(again.log_z, whole.log_z[block], rtol=1e-6, atol=2e-6)
    torch.testing.assert_close(again.ess, whole.ess[block], rtol=1e-5, atol=0)


def test_one_sigma_per_row() -> None:
    data, x = cloud(100, 5), cloud(4, 5, "x")
    sigma = torch.tensor([0.0, 0.1, 1.0, INF])
    together = posterior.posterior(x, sigma, data)
    for i, level in enumerate(sigma):
        alone = posterior.posterior(x[i : i + 1], float(level), data)
        torch.testing.assert_close(together.mean[i], alone.mean[0])
        torch.testing.assert_close(together.log_z[i], alone.log_z[0])
        torch.testing.assert_close(together.ess[i], alone.ess[0])


@pytest.mark.parametrize("sigma", [0.0, 1e-200, 1e-30, 1e-12, 1e-6])
def test_without_noise_the_nearest_points_share(sigma: float) -> None:
    data = torch.tensor([[-1.0, 0], [1, 0], [5, 5], [5, 5], [5, 5], [9, 9]])
    x = torch.tensor([[0.0, 0], [0, 3], [5, 5.5], [9, 9], [0.1, 0]])
    found = posterior.posterior(x, sigma, data)
    torch.testing.assert_close(found.mean, torch.tensor([[0.0, 0], [0, 0], [5, 5], [9, 9], [1, 0]]))
    torch.testing.assert_close(found.ess, torch.tensor([2.0, 2, 3, 1, 1], dtype=torch.float64))
    assert float(found.log_z[3]) == 0.0  # one point at distance 0
    on_three = posterior.posterior(torch.tensor([[5.0, 5.0]]), sigma, data)
    assert float(on_three.log_z) == pytest.approx(math.log(3))


@pytest.mark.parametrize("sigma", [1e9, INF])
def test_in_endless_noise_every_point_counts(sigma: float) -> None:
    data, x = cloud(1000, 7) + 5, cloud(3, 7, "x")
    found = posterior.posterior(x, sigma, data)
    torch.testing.assert_close(found.mean, data.mean(0).expand(3, -1), rtol=1e-6, atol=0)
    torch.testing.assert_close(found.log_z, torch.full((3,), math.log(1000), dtype=torch.float64))
    torch.testing.assert_close(found.ess, torch.full((3,), 1000.0, dtype=torch.float64), rtol=1e-6, atol=0)


@given(seed=st.integers(0, 2**32), power=st.sampled_from([-7, 2, 10]), halves=st.integers(-100, 100))
def test_scaling_and_moving_everything_changes_nothing_else(seed: int, power: int, halves: int) -> None:
    """With numbers of few bits: the moved data are exact in float32, and all error is the posterior's."""
    data, x = normals(seed, "data", range(80), (6,)), normals(seed, "x", range(5), (6,))
    data, x = (data * 256).round() / 256, (x * 256).round() / 256
    sigma, factor, move = torch.logspace(-1.5, 1, 5).double(), 2.0**power, halves / 2
    assert torch.equal((data * factor + move).double(), data.double() * factor + move)
    plain = posterior.posterior(x.double(), sigma, data)
    moved = posterior.posterior(x.double() * factor + move, sigma * factor, data * factor + move)
    scale = factor + abs(move)
    torch.testing.assert_close(moved.mean, plain.mean * factor + move, rtol=0, atol=2e-6 * scale)


def test_results_have_the_type_and_shape_of_the_queries() -> None:
    data = normals(0, "data", range(9), (3, 4, 4))
    for dtype in (torch.float32, torch.float64):
        x = normals(0, "x", range(2), (3, 4, 4), dtype)
        found = posterior.posterior(x, 0.5, data)
        assert (found.mean.shape, found.mean.dtype) == (x.shape, dtype)
        assert found.log_z.dtype == found.ess.dtype == torch.float64
        denoise = ExactDenoiser(data)
        assert torch.equal(denoise(x, 0.5), found.mean)
        assert torch.equal(denoise(x, 0.5), found.mean)  # now with the norms it remembers


def test_a_denoiser_forms_the_norms_of_its_points_once(monkeypatch: pytest.MonkeyPatch) -> None:
    formed: list[int] = []
    plain = support.half_squares

    def counted(tile: torch.Tensor) -> torch.Tensor:
        formed.append(len(tile))
        return plain(tile)

    monkeypatch.setattr(support, "half_squares", counted)
    data, x = cloud(200, 100), cloud(3, 100, "x")
    denoise = ExactDenoiser(data)
    for sigma in (0.1, 1.0, 10.0):
        assert torch.equal(denoise(x, sigma), posterior.posterior(x, sigma, data).mean)
    assert formed == [200] * 4  # once for the denoiser, and once in each of three other calls


def test_precision_settings_of_the_caller_do_not_matter() -> None:
    data, x = cloud(200, 100), cloud(3, 100, "x")
    plain = posterior.posterior(x, 1.0, data)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(posterior.posterior(x, 1.0, data).log_z, plain.log_z)


X, DATA = torch.zeros(2, 3), torch.zeros(4, 3)
MISTAKES = [
    ((X, -0.1, DATA), r"sigma must be at least 0, not -0\.1"),
    ((X, NAN, DATA), "sigma must be at least 0, not nan"),
    ((X, torch.tensor([1.0, 2.0, 3.0]), DATA), r"one per row of x, \[2\], not \[3\]"),
    ((X, 1.0, torch.full((4, 3), NAN)), "data contain NaN"),
    ((X, 1.0, torch.full((4, 3), INF)), "data contain NaN, infinite"),
    ((X, 1.0, DATA.long()), r"float32, or uint8 pixels, not int64; convert with data\.float"),
    ((X, 1.0, DATA[:0]), "at least one point"),
    ((X, 1.0, DATA[:, :0]), "at least one point"),
    ((X, 1.0, torch.zeros(4)), "at least one point"),
    ((X, 1.0, torch.zeros(4, 5)), r"\(5,\), but its shape is \(2, 3\)"),
    ((X[:0], 1.0, DATA), "b >= 1"),
    ((X.long(), 1.0, DATA), r"x must be .* not int64; convert with x\.float"),
    ((torch.full((2, 3), NAN), 1.0, DATA), "x contains NaN"),
]


@pytest.mark.parametrize(("arguments", "sentence"), MISTAKES)
def test_each_mistake_gets_one_sentence(arguments: tuple, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence) as caught:
        posterior.posterior(*arguments)
    assert "\n" not in str(caught.value)


def test_gaussian_closed_form_is_the_limit_of_many_points() -> None:
    mix = torch.tensor([[1.0, 0.0], [0.8, 0.3]])
    data = normals(0, "gauss", range(200_000), (2,)) @ mix.T + 2
    x = torch.tensor([[2.0, 2.0], [3.0, 3.5], [2.5, 1.0]])
    for sigma in (0.3, 1.0, 5.0):
        exact = gaussian_posterior_mean(x, sigma, torch.full((2,), 2.0), mix @ mix.T)
        assert (posterior.posterior(x, sigma, data).mean - exact).abs().max() < 0.02


def test_gaussian_closed_form_in_one_dimension() -> None:
    x, four = torch.tensor([[3.0]], dtype=torch.float64), torch.tensor([[4.0]])
    assert float(gaussian_posterior_mean(x, 1.0, torch.ones(1), four)) == pytest.approx(1 + 2 * 4 / 5)
    assert float(gaussian_posterior_mean(x, 0.0, torch.ones(1), four)) == pytest.approx(3)
    flat = gaussian_posterior_mean(x, torch.tensor([0.0]), torch.ones(1), torch.zeros(1, 1))
    assert float(flat) == pytest.approx(1)  # a point mass stays where it is
    levels = torch.tensor([0.0, 1.0, 1e9])
    torch.testing.assert_close(gaussian_optimal_loss(levels, four), torch.tensor([0.0, 0.8, 4.0]).double())
    torch.testing.assert_close(gaussian_optimal_loss(levels, torch.zeros(2, 2)), torch.zeros(3).double())


BIG = """
import resource, torch
from diffnotes.posterior import posterior
data = torch.empty(50_000, 3072).uniform_(-1, 1)
x = data[:512] + {sigma} * torch.randn(512, 3072)
torch.mm(x[:8], data[:8].T)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
posterior(x, {sigma}, data)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.parametrize("sigma", [4.0, 40.0])
def test_peak_memory_stays_within_a_gibibyte(sigma: float) -> None:
    script = [sys.executable, "-c", BIG.format(sigma=sigma)]
    done = subprocess.run(script, capture_output=True, text=True, check=True)
    assert int(done.stdout) * 1024 < 2**30


def test_costs_little_more_than_its_two_products() -> None:
    data, x = cloud(4000, 3072), 4 * cloud(256, 3072, "x")
    weights = torch.rand(256, 4000, generator=torch.Generator().manual_seed(0))
    ratios = []
    for _ in range(5):
        start = time.perf_counter()
        _ = x @ data.T, weights @ data
        middle = time.perf_counter()
        posterior.posterior(x, 40.0, data)
        ratios.append((time.perf_counter() - middle) / (middle - start))
    assert min(ratios) < 3  # 1.1 at full size on a quiet machine; room for a small, busy one
