"""Certified pruning against a full scan in float64, on trajectories and on jumps that no trajectory makes."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from diffnotes.base.errors import UserError
from diffnotes.posterior import PrunedDenoiser
from diffnotes.posterior import int8 as integer_products
from diffnotes.sample import edm_sigmas, sample, trajectory

PATHS = [True, False] if integer_products.supported() else [False]


def values(data: torch.Tensor) -> torch.Tensor:
    flat = data.reshape(len(data), -1).double()
    return flat / 127.5 - 1 if data.dtype == torch.uint8 else flat


def full_scan(x: torch.Tensor, sigma: torch.Tensor | float, data: torch.Tensor) -> torch.Tensor:
    """E[x0|x] from float64 differences alone, as no code under test computes it."""
    points, flat = values(data), x.reshape(len(x), -1).double()
    squares = (flat[:, None] - points).square().sum(2)
    sigma = torch.as_tensor(sigma, dtype=torch.float64).expand(len(x))[:, None]
    gap = squares - squares.amin(1, keepdim=True)
    gap[gap < 1e-13 * squares] = 0.0
    weights = torch.softmax(torch.where(gap > 0, -gap / (2 * sigma**2), 0.0), 1)
    return (weights @ points).reshape(x.shape)


def images(n: int, seed: int = 0, side: int = 6) -> torch.Tensor:
    """Pixels of random blobs, so that some images are closer to each other than others."""
    random = torch.Generator().manual_seed(seed)
    kind = torch.randint(0, 256, (8, 1, side, side), generator=random).float()
    noise = 25 * torch.randn(n, 1, side, side, generator=random)
    return (kind[torch.randint(0, 8, (n,), generator=random)] + noise).clamp(0, 255).to(torch.uint8)


@pytest.fixture(params=PATHS, ids=lambda exact: "integers" if exact else "floats")
def path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    if not request.param:
        monkeypatch.setattr(integer_products, "supported", lambda: False)
    return bool(request.param)


@st.composite
def journeys(draw: st.DrawFn) -> tuple[torch.Tensor, int, list[tuple[int, float, float, int]]]:
    """Data with duplicates, a number of candidates, and calls (batch, sigma, size of the move of x, seed)."""
    n, d, seed = draw(st.integers(1, 40)), draw(st.integers(1, 5)), draw(st.integers(0, 99))
    random = torch.Generator().manual_seed(seed)
    data = torch.randint(0, 256, (n, d), generator=random).to(torch.uint8)
    if draw(st.booleans()):
        data = 3 * torch.randn(n, d, generator=random) + 2
    data = data[torch.randint(0, n, (n,), generator=random)] if draw(st.booleans()) else data
    sigma = st.sampled_from([0.0, 1e-3, 0.03, 0.1, 0.3, 1.0, 4.0, 80.0, float("inf")])
    call = st.tuples(
        st.sampled_from([1, 3, 3, 3]), sigma, st.sampled_from([0.0, 0.01, 0.2, 3.0]), st.integers(0, 9)
    )
    return data, draw(st.integers(1, 6)), draw(st.lists(call, min_size=1, max_size=8))


@settings(max_examples=150)
@given(journey=journeys(), tolerance=st.sampled_from([1e-6, 1e-2]), integers=st.sampled_from(PATHS))
def test_any_calls_in_any_order_stay_within_the_bound(journey, tolerance: float, integers: bool) -> None:
    data, candidates, calls = journey
    with pytest.MonkeyPatch.context() as patch:
        if not integers:
            patch.setattr(integer_products, "supported", lambda: False)
        denoise = PrunedDenoiser(data, tolerance, candidates)
    x = torch.zeros(0, data.shape[1], dtype=torch.float64)
    for rows, sigma, move, seed in calls:
        random = torch.Generator().manual_seed(seed)
        x = x if len(x) == rows else values(data)[torch.randint(0, len(data), (rows,), generator=random)]
        x = x + move * torch.randn(x.shape, generator=random, dtype=torch.float64)
        error = float((denoise(x, sigma) - full_scan(x, sigma, data)).abs().max())
        rounding = 1e-5 if denoise.history[-1].deferred else 1e-10  # `posterior` works in float32
        assert error <= tolerance + rounding * (1 + float(values(data).abs().max()))


def test_a_trajectory_ends_on_candidates_alone(path: bool) -> None:
    data = images(400)
    denoise = PrunedDenoiser(data)
    noise = 80 * torch.randn(5, 1, 6, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    worst = 0.0
    for state in trajectory(denoise, noise, edm_sigmas(24), solver="euler"):
        if state.t > 0:
            worst = max(worst, float((state.denoised - full_scan(state.x, state.t, data)).abs().max()))
    assert worst < (1.1e-6 if path else 1e-5)
    first, *_, last = denoise.history
    assert (first.scanned + first.deferred, first.candidates) == (5, 0)
    assert sum(call.scanned + call.deferred == 0 for call in denoise.history) >= 5
    assert (last.scanned, last.deferred) == (0, 0)
    assert 5 <= last.candidates < 5 * 32


@pytest.mark.parametrize("solver", ["euler", "heun"])
def test_samples_are_those_of_the_full_scan(path: bool, solver: str) -> None:
    data = images(300)
    pruned, full = (
        sample(denoise, (1, 6, 6), 6, edm_sigmas(16), solver=solver, batch=4, dtype=torch.float64)
        for denoise in (PrunedDenoiser(data), lambda x, sigma: full_scan(x, sigma, data))
    )
    torch.testing.assert_close(pruned, full, rtol=0, atol=1e-5)


def test_the_tolerance_is_spent_but_not_exceeded() -> None:
    """With much to spend, points that matter are dropped: the bound is what holds the error down."""
    data = images(200)
    x = values(data)[:4].reshape(4, 1, 6, 6) + torch.randn(
        4, 1, 6, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )
    errors = {}
    for tolerance in (1e-9, 1e-3, 0.5):
        denoise = PrunedDenoiser(data, tolerance, candidates=3)
        errors[tolerance] = 0.0
        for sigma in (0.6, 0.5, 0.45, 0.4):
            error = (denoise(x, sigma) - full_scan(x, sigma, data)).abs().max()
            errors[tolerance] = max(errors[tolerance], float(error))
        assert errors[tolerance] <= tolerance + (1e-5 if denoise.history[-1].deferred else 1e-9)
    assert errors[0.5] > 1e-4


def test_going_back_up_or_elsewhere_is_noticed(path: bool) -> None:
    data = images(300)
    denoise = PrunedDenoiser(data)
    near = values(data)[:3].reshape(3, 1, 6, 6)
    for x, sigma, scans in (
        (near, 0.05, 3),
        (near, 0.04, 0),
        (near, 50.0, 3),
        (near, 0.04, 3),
        (near, 0.04, 0),
    ):
        torch.testing.assert_close(denoise(x, sigma), full_scan(x, sigma, data), rtol=0, atol=2e-6)
        assert denoise.history[-1].scanned + denoise.history[-1].deferred == scans
    elsewhere = near.flip(0)
    torch.testing.assert_close(denoise(elsewhere, 0.04), full_scan(elsewhere, 0.04, data), rtol=0, atol=2e-6)
    assert denoise.history[-1].scanned + denoise.history[-1].deferred == 2  # the row in the middle stayed
    torch.testing.assert_close(denoise(near[:2], 0.04), near[:2], rtol=0, atol=2e-6)


@pytest.mark.parametrize("fraction", [0.2, 0.45, 0.6, 1.0])
def test_a_dropped_point_comes_back_when_x_nears_it(path: bool, fraction: float) -> None:
    """x walks from one point towards another: the candidate alone looks close enough far too long."""
    data = torch.tensor([[0, 128], [200, 128]], dtype=torch.uint8)
    first, second = values(data)
    denoise = PrunedDenoiser(data, candidates=1)
    x = first[None].clone()
    denoise(x, 0.01)
    denoise(x, 0.01)
    assert denoise.history[-1].candidates == 1
    x += fraction * (second - first)  # in place: the denoiser must have kept its own copy
    torch.testing.assert_close(denoise(x, 0.01), full_scan(x, 0.01, data), rtol=0, atol=2e-6)
    assert (denoise.history[-1].scanned + denoise.history[-1].deferred == 0) == (fraction < 0.5)


def test_doubtful_scores_widen_the_gap() -> None:
    denoise = PrunedDenoiser(torch.tensor([[0, 0], [10, 0], [255, 0]], dtype=torch.uint8), candidates=1)
    scores = torch.tensor([[5.0, 1.0, 2.0]], dtype=torch.float64)
    slack = torch.tensor([0.5], dtype=torch.float64)
    _, index, gap, _ = denoise._nearest(scores, slack, torch.ones_like(slack))
    assert index.tolist() == [[0]]
    assert float(gap) == pytest.approx(2 * (5.0 - 2.0 - 0.5) / 127.5**2)


def test_one_noise_level_per_row_and_float32() -> None:
    data = images(100)
    x = values(data)[:3].reshape(3, 1, 6, 6).float()
    sigma = torch.tensor([0.01, 1.0, 30.0])
    got = PrunedDenoiser(data)(x, sigma)
    assert got.dtype == torch.float32
    torch.testing.assert_close(got.double(), full_scan(x, sigma, data), rtol=0, atol=1e-5)


def test_pixels_are_recognised_in_float32_and_nothing_else_is() -> None:
    data = images(50)
    floats = data.to(torch.float32).div_(127.5).sub_(1.0)
    flat = (data.reshape(50, -1).to(torch.int16) - 128).to(torch.int8)
    assert torch.equal(integer_products.signed_pixels(data), flat)
    assert torch.equal(integer_products.signed_pixels(floats), flat)
    assert integer_products.signed_pixels(floats * 1.0001) is None
    assert integer_products.signed_pixels(floats * 3) is None


@pytest.mark.skipif(
    not integer_products.supported(), reason="int8 products of this CPU are slow or not exact"
)
@pytest.mark.parametrize("count", integer_products.COUNTS)
@pytest.mark.parametrize("side", [1, 6])
def test_integer_products_round_as_little_as_they_say(side: int, count: int) -> None:
    pixels = integer_products.signed_pixels(images(70, side=side))
    random = torch.Generator().manual_seed(0)
    x = 1000 * torch.randn(3, side * side, generator=random, dtype=torch.float64)
    x[0, 0] = -x.abs().max() * 2  # the largest magnitude is negative
    half = torch.rand(70, generator=random, dtype=torch.float64)
    error = (integer_products.scores(x, pixels, half, count) - (x @ pixels.double().T - half)).abs()
    bound = integer_products.rounding(x, count)[:, None] * pixels.double().norm(dim=1)
    assert (error <= bound + 1e-8).all()
    assert error.max() > 0


def test_one_point_and_only_duplicates() -> None:
    one = images(1)
    same = one.expand(60, -1, -1, -1).contiguous()
    x = torch.randn(2, 1, 6, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for data in (one, same):
        for sigma in (0.0, 0.1, 80.0, float("inf")):
            got = PrunedDenoiser(data)(x, sigma)
            torch.testing.assert_close(
                got, values(one).reshape(1, 1, 6, 6).expand(2, -1, -1, -1), rtol=0, atol=1e-6
            )


@pytest.mark.parametrize(
    ("settings_", "words"),
    [({"tolerance": 0.0}, "tolerance must"), ({"tolerance": float("nan")}, "tolerance must"),
     ({"candidates": 0}, "candidates must"), ({"candidates": True}, "candidates must")],
)  # fmt: skip
def test_bad_settings_get_a_sentence(settings_: dict[str, float], words: str) -> None:
    with pytest.raises(UserError, match=words):
        PrunedDenoiser(images(3), **settings_)


def test_bad_queries_and_data_get_a_sentence() -> None:
    denoise = PrunedDenoiser(images(3))
    with pytest.raises(UserError, match="shape of the data"):
        denoise(torch.zeros(2, 5), 1.0)
    with pytest.raises(UserError, match="at least 0"):
        denoise(torch.zeros(2, 1, 6, 6), -1.0)
    with pytest.raises(UserError, match="NaN"):
        PrunedDenoiser(torch.full((3, 2), float("nan")))
