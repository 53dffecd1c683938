from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from diffnotes import metrics
from diffnotes.base.errors import UserError
from diffnotes.base.runtime import normals, uniforms
from diffnotes.metrics import (
    Interval,
    Neighbours,
    bootstrap,
    copy_similarity,
    denoising_error,
    frechet,
    frechet_gaussian,
    memorized,
    neighbours,
    ratios,
    relative_gap,
    sliced_wasserstein,
)
from diffnotes.optimal_loss import optimal_loss
from diffnotes.posterior import ExactDenoiser

NAN = math.nan


def cloud(n: int, *shape: int, stream: str = "cloud", seed: int = 0) -> torch.Tensor:
    return normals(seed, stream, range(n), shape)


# -------------------------------------------------------------------------------------------------- copies


def brute_force(x: torch.Tensor, data: torch.Tensor) -> Neighbours:
    """All distances in float64 difference form; of equals the first."""
    known = data.flatten(1).double()
    if data.dtype == torch.uint8:
        known = known / 127.5 - 1
    table = torch.stack([(row - known).square().sum(1).sqrt() for row in x.flatten(1).double()])
    distance, index = table.sort(dim=1, stable=True)
    return Neighbours(distance[:, :2], index[:, :2])


def check(x: torch.Tensor, data: torch.Tensor) -> None:
    found, want = neighbours(x, data), brute_force(x, data)
    torch.testing.assert_close(found.distance, want.distance, rtol=1e-12, atol=0)
    assert torch.equal(found.index, want.index)


@given(
    n=st.integers(2, 300),
    d=st.sampled_from([1, 3, 200]),
    where=st.sampled_from([0.0, 1000.0]),
    noise=st.sampled_from([0.0, 1e-3, 1.0, 1e4]),
    seed=st.integers(0, 1000),
)
def test_agrees_with_float64_on_random_data(n: int, d: int, where: float, noise: float, seed: int) -> None:
    data = cloud(n, d, seed=seed) + where
    x = data[torch.arange(7) % n] + noise * cloud(7, d, stream="noise", seed=seed)
    check(x, data)


def test_images_of_bytes_and_samples_in_float64_agree_too() -> None:
    data = torch.from_numpy((uniforms(0, "bytes", range(100), 48) * 256).astype(np.uint8)).view(-1, 3, 4, 4)
    check(cloud(20, 3, 4, 4).double(), data)
    found = neighbours(data[5:8].float() / 127.5 - 1, data)
    assert found.index[:, 0].tolist() == [5, 6, 7]
    assert found.distance[:, 0].max() < 1e-5


@pytest.mark.parametrize("where", [0.0, 1000.0])
def test_points_closer_than_float32_products_can_tell_are_told_apart(where: float) -> None:
    centre = 5 * cloud(2, 100, stream="centre") + where
    step = 1e-6 if where == 0 else 2e-4
    data = centre[torch.arange(600) % 2] + step * cloud(600, 100)
    check(data[:40] + step * cloud(40, 100, stream="noise"), data)


def test_points_all_alike_are_searched_to_the_last() -> None:
    data = torch.ones(100, 5)
    data[77:79] = 1 + 1e-7
    found = neighbours(torch.stack([data[0], data[77]]), data)
    assert found.index.tolist() == [[0, 1], [77, 78]]
    assert found.distance.count_nonzero() == 0


def test_the_memory_at_hand_does_not_change_neighbours(monkeypatch: pytest.MonkeyPatch) -> None:
    data, x = cloud(3000, 20), cloud(50, 20, stream="noise")
    whole = neighbours(x, data)
    monkeypatch.setattr(metrics, "memory_budget", lambda where: 1)
    monkeypatch.setattr(metrics, "MEBIBYTE", 1000)
    monkeypatch.setattr("diffnotes.posterior.support.MEBIBYTE", 100)
    small = neighbours(x, data)
    torch.testing.assert_close(small.distance, whole.distance, rtol=1e-13, atol=0)
    assert torch.equal(small.index, whole.index)


@pytest.mark.parametrize("where", [0.0, 1000.0])
def test_planted_copies_are_found_and_counted(where: float) -> None:
    train, x = cloud(500, 48), cloud(300, 48, stream="fresh")
    planted = torch.arange(0, 300, 10)
    x[planted] = train[7 * planted % 500] + 0.01 * x[planted]
    found = neighbours(x + where, train + where)
    rho = ratios(found)
    assert torch.equal((rho < 1 / 3).nonzero()[:, 0], planted)
    assert torch.equal(found.index[planted, 0], 7 * planted % 500)
    share = memorized(rho)
    assert share.value == pytest.approx(0.1)
    assert 0.06 < share.low < 0.1 < share.high < 0.15


def test_a_copy_of_an_image_that_is_there_twice_is_a_copy() -> None:
    train = cloud(50, 8)
    train[40] = train[3]
    found = neighbours(train[[3, 4]], train)
    assert found.index[0].tolist() == [3, 40]
    assert ratios(found).tolist() == [0.0, 0.0]
    near = neighbours(train[3:4] + 1e-3, train)  # documented: only near it, it is not one
    assert ratios(near).tolist() == [1.0]


@pytest.mark.parametrize("count", [0, 50])
def test_no_copies_or_only_copies_still_have_an_interval(count: int) -> None:
    rho = (torch.arange(50) >= count).double()
    share = memorized(rho)
    assert share.value == count / 50
    assert share.low <= share.value <= share.high
    # Wilson at 0 of m: z^2 / (m + z^2)
    assert share.high - share.low == pytest.approx(1.96**2 / (50 + 1.96**2), rel=1e-3)


def test_the_threshold_is_a_strict_bound() -> None:
    rho = torch.tensor([0.1, 0.5, 0.5, 0.9], dtype=torch.float64)
    assert memorized(rho, 0.5).value == 0.25
    assert memorized(rho, 0.51).value == 0.75


def test_intervals_of_the_share_hold_the_truth_19_times_in_20() -> None:
    seeds, hits = 300, 0
    for seed in range(seeds):
        rho = torch.from_numpy((uniforms(seed, "share", 0, 200)[0] >= 0.1).astype(np.float64))
        share = memorized(rho, seed=seed, repeats=100)
        hits += share.low <= 0.1 <= share.high
    assert 0.93 <= hits / seeds <= 0.985


def test_copy_similarity_is_the_largest_cosine(monkeypatch: pytest.MonkeyPatch) -> None:
    train, x = cloud(3000, 16), cloud(40, 16, stream="noise")
    x[0] = 3 * train[2222]
    x[1] = 0
    want = torch.nn.functional.cosine_similarity(x.double()[:, None], train.double()[None], dim=2).amax(1)
    found = copy_similarity(x, train)
    torch.testing.assert_close(found, want, rtol=0, atol=1e-6)
    assert found[:2].tolist() == pytest.approx([1, 0])
    monkeypatch.setattr(metrics, "MEBIBYTE", 5000)
    torch.testing.assert_close(copy_similarity(x, train), found, rtol=0, atol=1e-6)


def test_copy_similarity_may_be_negative() -> None:
    assert copy_similarity(-torch.ones(1, 3), torch.ones(2, 3)).tolist() == pytest.approx([-1.0])


# ----------------------------------------------------------------------------------------------- intervals


def mean(x: torch.Tensor) -> float:
    return float(x.double().mean())


def test_the_bootstrap_of_a_mean_has_the_width_of_its_standard_error() -> None:
    x = cloud(400)
    found = bootstrap(mean, x, repeats=2000)
    stderr = float(x.std()) / 20
    assert found.value == mean(x)
    assert found.low == pytest.approx(mean(x) - 1.96 * stderr, abs=0.15 * stderr)
    assert found.high == pytest.approx(mean(x) + 1.96 * stderr, abs=0.15 * stderr)


def test_each_sample_is_resampled_on_its_own_and_by_the_seed() -> None:
    x = cloud(100)
    two = bootstrap(lambda a, b: mean(a) - mean(b), x, x)
    assert two.value == 0
    assert two.high - two.low > 0.3  # in step with each other they would not differ
    assert bootstrap(mean, x, seed=1) == bootstrap(mean, x, seed=1) != bootstrap(mean, x, seed=2)
    sizes = set()
    bootstrap(lambda a, b: float(sizes.add((len(a), len(b))) is None), x, x[:30], repeats=3)
    assert sizes == {(100, 30)}


# -------------------------------------------------------------------------------------------------- errors

SIGMAS = torch.tensor([0.1, 0.5, 2.0])


def zero(x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
    return torch.zeros_like(x)


def identity(x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
    return x


def test_the_exact_denoiser_has_the_optimal_loss() -> None:
    x = cloud(60, 3, 2, 2)
    levels = torch.tensor([0.7, 1.0, 3.0])
    found = 12 * torch.stack(
        [denoising_error(ExactDenoiser(x), x, levels, seed=k).mean(1) for k in range(40)]
    )
    best = optimal_loss(x, levels.double(), sources=6000)
    stderr = (found.var(0) / 40 + best.stderr**2).sqrt()
    assert (stderr < 0.1 * best.mean).all()
    assert ((found.mean(0) - best.mean).abs() < 3 * stderr).all()


def test_errors_are_in_units_of_one_dimension_and_zero_noise_is_no_error() -> None:
    x = cloud(30, 2, 5, 5)
    torch.testing.assert_close(
        denoising_error(zero, x, SIGMAS), x.double().square().flatten(1).mean(1).expand(3, -1)
    )
    assert denoising_error(identity, x, torch.zeros(1)).count_nonzero() == 0
    many = denoising_error(identity, x, SIGMAS, draws=50).mean(1)
    torch.testing.assert_close(many, SIGMAS.double() ** 2, rtol=0.02, atol=0)


def test_levels_models_and_subsets_share_their_noise() -> None:
    x = cloud(20, 3, 4, 4).double()
    found = denoising_error(identity, x, SIGMAS.double(), draws=2)
    ratio = found / SIGMAS.double()[:, None] ** 2  # |eps|^2 / d: the same at every level
    torch.testing.assert_close(ratio, ratio[:1].expand(3, -1))
    torch.testing.assert_close(denoising_error(identity, x[:5], SIGMAS.double(), draws=2), found[:, :5])
    half = denoising_error(lambda x, s: x / 2, torch.zeros_like(x), SIGMAS.double(), draws=2)
    torch.testing.assert_close(4 * half, found)
    assert not torch.allclose(denoising_error(identity, x, SIGMAS.double(), seed=1, draws=2), found)
    one = denoising_error(identity, x, SIGMAS.double())
    assert not torch.allclose(one, found)  # the second draw has noise of its own
    assert len(ratio[0].unique()) == 20  # and so has each image


@pytest.mark.parametrize("batch", [1, 2, 7, 50])
def test_the_batch_size_changes_errors_by_rounding_only(batch: int) -> None:
    x, denoise = cloud(11, 6), ExactDenoiser(cloud(40, 6, stream="train"))
    sizes: list[int] = []

    def watched(x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        assert (sigma.shape, sigma.dtype) == ((len(x),), x.dtype)
        sizes.append(len(x))
        return denoise(x, sigma)

    found = denoising_error(watched, x, SIGMAS, batch=batch)
    assert max(sizes) <= batch
    torch.testing.assert_close(found, denoising_error(denoise, x, SIGMAS), rtol=1e-4, atol=1e-7)


def test_several_levels_go_through_one_call_with_their_labels() -> None:
    x, labels = torch.zeros(10, 4), torch.arange(10)
    calls = []

    def told(x: torch.Tensor, sigma: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        calls.append(len(x))
        assert not torch.is_grad_enabled()
        return (labels + 100 * sigma)[:, None].expand(x.shape)

    found = denoising_error(told, x, torch.tensor([1, 2, 3]), labels=labels)
    assert calls == [30]
    want = (labels + 100 * torch.tensor([[1], [2], [3]])).double() ** 2
    torch.testing.assert_close(found, want)


def test_the_gap_and_its_standard_error() -> None:
    level = torch.tensor([[1.0], [10.0]]).double()
    gaps = []
    for seed in range(300):
        train = level * (1 + 0.3 * cloud(100, seed=seed).double())
        val = 1.5 * level * (1 + 0.2 * cloud(50, seed=seed, stream="val").double())
        gap, stderr = relative_gap(train, val)
        gaps.append(gap)
    torch.testing.assert_close(gap[0], gap[1])  # a relative gap: the scale of a level drops out
    spread = torch.stack(gaps)
    assert spread.mean(0).tolist() == pytest.approx([0.5, 0.5], abs=0.02)
    assert stderr.tolist() == pytest.approx(spread.std(0).tolist(), rel=0.15)
    assert stderr[0] == pytest.approx(1.5 * math.sqrt(0.3**2 / 100 + 0.2**2 / 50), rel=0.15)


def test_equal_errors_have_no_gap() -> None:
    errors = cloud(3, 20).double().square()
    assert relative_gap(errors, errors)[0].count_nonzero() == 0


# --------------------------------------------------------------------------------- distances between sets


def test_sliced_wasserstein_of_shifted_sets_has_a_closed_form() -> None:
    a, shift = cloud(50, 10), torch.arange(10.0)
    found = sliced_wasserstein(a, a + shift, projections=4096)
    assert found**2 == pytest.approx(float(shift.square().sum()) / 10, rel=0.05)
    line = cloud(50, 1)  # in one dimension every direction is the line itself
    assert sliced_wasserstein(line, line + 2, projections=3) == pytest.approx(2)


@pytest.mark.parametrize("p", [1, 2, 3])
def test_on_a_line_it_is_the_wasserstein_distance(p: int) -> None:
    a, b = cloud(60, 1).double(), 2 * cloud(60, 1, stream="other").double()
    want = (a.sort(0).values - b.sort(0).values).abs().pow(p).mean() ** (1 / p)
    assert sliced_wasserstein(a, b, p=p) == pytest.approx(float(want))


@given(seed=st.integers(0, 1000), where=st.sampled_from([0.0, 1000.0]))
def test_distances_are_symmetric_and_zero_on_equal_sets(seed: int, where: float) -> None:
    a, b = cloud(40, 5, seed=seed) + where, cloud(40, 5, stream="other", seed=seed) + where
    assert sliced_wasserstein(a, b, projections=16) == sliced_wasserstein(b, a, projections=16) > 0
    assert sliced_wasserstein(a, a.flip(0), projections=16) == pytest.approx(0, abs=1e-9)
    assert frechet(a, b) == pytest.approx(frechet(b, a), rel=1e-9)
    assert frechet(a, b) > 0
    assert frechet(a, a.flip(0)) == pytest.approx(0, abs=1e-9)


def test_directions_depend_on_the_seed_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = cloud(40, 5), cloud(40, 5, stream="other")
    whole = sliced_wasserstein(a, b)
    assert sliced_wasserstein(a, b, seed=1) != whole
    monkeypatch.setattr(metrics, "MEBIBYTE", 300)
    assert sliced_wasserstein(a, b) == pytest.approx(whole, rel=1e-12)


def test_frechet_of_scaled_gaussians_has_a_closed_form() -> None:
    mix = cloud(6, 6).double()
    cov, mean = mix @ mix.T, torch.zeros(6).double()
    shift = torch.arange(6.0).double()
    found = frechet_gaussian(mean, 4 * cov, mean + shift, 9 * cov)
    assert found == pytest.approx(float(shift.square().sum() + (3 - 2) ** 2 * cov.trace()))


def test_frechet_of_gaussians_whose_covariances_do_not_commute() -> None:
    one, two = cloud(5, 5).double(), cloud(5, 5, stream="other").double()
    one, two, mean = one @ one.T, two @ two.T, torch.zeros(5).double()
    root = torch.linalg.eigvals(one @ two).real.sqrt().sum()
    want = one.trace() + two.trace() - 2 * root
    assert frechet_gaussian(mean, one, mean, two) == pytest.approx(float(want))


def test_frechet_of_samples() -> None:
    a = cloud(200, 4)
    variance = float(a.double().var(0).sum())
    assert frechet(a, a + 3) == pytest.approx(36, rel=1e-6)
    middle = a - a.mean(0)
    assert frechet(middle, 2 * middle) == pytest.approx(variance, rel=1e-5)
    big = 2 * cloud(20000, 4, stream="other") + 1
    assert frechet(cloud(20000, 4), big) == pytest.approx(4 + 4, rel=0.03)


def test_frechet_of_fewer_points_than_dimensions() -> None:
    a = cloud(10, 30)
    assert frechet(a, a) == pytest.approx(0, abs=1e-5)
    assert frechet(a, a + 1) == pytest.approx(30, rel=1e-5)


def test_an_interval_of_a_distance() -> None:
    a, b = cloud(200, 3), cloud(200, 3, stream="other") + 1
    found = bootstrap(frechet, a, b, repeats=100)
    assert isinstance(found, Interval)
    assert 1 < found.low < found.value < found.high < 5  # the truth is 3


# ---------------------------------------------------------------------------------------------- bad input


def spoilt(x: torch.Tensor, value: float = NAN) -> torch.Tensor:
    x = x.clone()
    x.flatten()[-1] = value
    return x


A = cloud(6, 4)
ROWS = torch.ones(2, 5).double()

BAD: list[tuple[Callable[[], object], str]] = [
    (lambda: neighbours(A, A[:1]), "second-nearest one is needed; give at least 2"),
    (lambda: neighbours(spoilt(A), A), "NaN or infinite values; a missing sample is an error"),
    (lambda: neighbours(spoilt(A, math.inf), A), "samples contain NaN or infinite"),
    (lambda: neighbours(spoilt(A, 1e30), A), "samples contain huge values"),
    (lambda: neighbours(A, spoilt(A)), "data contain NaN"),
    (lambda: neighbours(A[:, :3], A), r"samples must be \[n, 4\] with n >= 1, but their shape is \[6, 3\]"),
    (lambda: neighbours(A[:0], A), r"n >= 1, but their shape is \[0, 4\]"),
    (lambda: neighbours(A.to(torch.uint8), A), "must be floating-point numbers, not uint8"),
    (lambda: neighbours(A, A.double()), "data must be float32"),
    (lambda: memorized(spoilt(A[0])), "ratios contain NaN"),
    (lambda: memorized(A[0, :0]), "n >= 1"),
    (lambda: copy_similarity(A, A[:, :2]), r"training features must be \[n, 4\]"),
    (lambda: copy_similarity(spoilt(A), A), "samples' features contain NaN"),
    (lambda: bootstrap(mean), "at least one sample"),
    (lambda: bootstrap(mean, A[:0]), "at least one row"),
    (lambda: bootstrap(mean, A, repeats=1), "at least 2 repeats, not 1"),
    (lambda: denoising_error(zero, spoilt(A), SIGMAS), "images contain NaN"),
    (lambda: denoising_error(zero, A, -SIGMAS), "finite numbers of at least 0"),
    (lambda: denoising_error(zero, A, SIGMAS[:0]), "one or more finite numbers"),
    (lambda: denoising_error(zero, A, SIGMAS, draws=0), "at least 1, not 0 and 512"),
    (lambda: denoising_error(zero, A, SIGMAS, labels=torch.arange(5)), "5 labels for 6 images"),
    (lambda: relative_gap(ROWS, ROWS[:, :1]), "at least 2 images"),
    (lambda: relative_gap(0 * ROWS, ROWS), "training error must be above 0"),
    (lambda: sliced_wasserstein(A, A[:5]), "6 and 5 points, .* cut both"),
    (lambda: sliced_wasserstein(A, A[:, :3]), r"second set's points must be \[n, 4\]"),
    (lambda: sliced_wasserstein(A, spoilt(A)), "second set's points contain NaN"),
    (lambda: sliced_wasserstein(A, A, projections=0), "at least 1, not 0 and 2"),
    (lambda: frechet(A, A[:5]), "6 and 5 points, .* cut both"),
    (lambda: frechet(spoilt(A), A), "first set's points contain NaN"),
    (lambda: frechet(A[:1], A[:1]), "at least 2 points"),
]


@pytest.mark.parametrize(("wrong", "sentence"), BAD)
def test_bad_input_gets_a_sentence(wrong: Callable[[], object], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        wrong()


# --- plain features ---


def test_pooled_images_are_averages_of_boxes_until_few_values_are_left():
    x = torch.arange(2 * 3 * 16 * 16.0).view(2, 3, 16, 16)
    found = metrics.pooled(x)
    assert found.shape == (2, 48)
    assert torch.allclose(found.view(2, 3, -1).mean(2), x.mean((2, 3)))
    assert torch.allclose(found[:, 0], x[:, 0, :4, :4].mean((1, 2)))
    assert metrics.pooled(x, 200).shape == (2, 192)
    small = torch.randn(5, 1, 8, 8)
    assert torch.equal(metrics.pooled(small), small.flatten(1))
    points = torch.randn(5, 100)
    assert torch.equal(metrics.pooled(points), points)
