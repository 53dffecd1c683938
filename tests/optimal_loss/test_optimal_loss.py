from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits
from torch import Tensor

from diffnotes.base.errors import UserError
from diffnotes.base.runtime import normals
from diffnotes.optimal_loss import LossSums, accumulate, optimal_loss
from diffnotes.optimal_loss import all_levels as pairwise
from diffnotes.optimal_loss import estimate as module
from diffnotes.optimal_loss.fused import sum_levels
from diffnotes.posterior import Support, gaussian_optimal_loss, half_squares
from diffnotes.process import noise_levels

LEVELS = noise_levels(16, 0.05, 80.0)


def digits(n: int) -> Tensor:
    return torch.from_numpy(load_digits().data[:n] / 8 - 1).float()


def brute_force(data: Tensor, source: Tensor, noise: Tensor, sigmas: Tensor) -> Tensor:
    """sum_i w_i |x0 - x_i|^2 / 2 [m, r, l], averaged over e and -e, in float64."""
    flat = data.double() / 127.5 - 1 if data.dtype == torch.uint8 else data.double()
    gap = flat[source][:, None] - flat
    square = gap.square().sum(2)[:, None]
    inner = torch.einsum("mnd,mrd->mrn", gap, noise.double())
    losses = []
    for sigma in sigmas.tolist():
        logits = [-square / (2 * sigma**2) - sign * inner / sigma for sign in (1, -1)]
        losses.append(sum((torch.softmax(logit, 2) * square).sum(2) / 4 for logit in logits))
    return torch.stack(losses, 2)


def engine(data: Tensor, source: Tensor, noise: Tensor, sigmas: Tensor) -> Tensor:
    support = Support.of(data)
    half = half_squares(support.tile(slice(0, support.count), torch.device("cpu")))
    return pairwise.pairwise_losses(support, half, source, noise, sigmas)


def agree(data: Tensor, sigmas: Tensor, draws: int = 6) -> None:
    source, noise = torch.arange(draws) % len(data), normals(0, "noise", range(draws), (2, data[0].numel()))
    want = brute_force(data.flatten(1), source, noise, sigmas)
    bound = 5e-4 * want + 1e-6 * want.mean((0, 1)) + 4e-18 * want.max()
    for sums in (sum_levels, None):  # compiled, and in plain torch
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(pairwise, "_fused", lambda kind, sums=sums: sums)
            off = (engine(data, source, noise, sigmas) - want).abs()
        assert (off <= bound).all(), (off / bound).amax((0, 1))


@given(
    n=st.integers(1, 120),
    d=st.sampled_from([1, 2, 64]),
    scale=st.sampled_from([0.01, 1.0, 50.0]),
    where=st.sampled_from([0.0, 5.0, 300.0]),
)
def test_every_level_agrees_with_float64(n: int, d: int, scale: float, where: float) -> None:
    data = scale * normals(0, "data", range(n), (d,)) + where
    agree(data, noise_levels(24, 0.002, 80.0).flip(0))


@pytest.mark.parametrize("segment", [7, 40, 1 << 16])
def test_segments_and_pruning_do_not_show(segment: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairwise, "_SEGMENT", segment)
    agree(digits(150), noise_levels(40, 0.02, 200.0), draws=50)


def test_near_duplicates_of_image_size() -> None:
    """float32 products alone would be wrong by tens of nats here."""
    centres = 0.5 * normals(0, "centres", range(100), (3072,)) + 0.3
    near = centres[:30] + 0.001 * normals(0, "near", range(30), (3072,))
    agree(torch.cat([centres, near, centres[:5]]), noise_levels(40, 0.002, 80.0))


def test_pixels() -> None:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (80, 1, 8, 8), dtype=torch.uint8, generator=generator)
    agree(pixels, LEVELS)
    from_pixels = optimal_loss(pixels, LEVELS, sources=64)
    from_floats = optimal_loss(pixels.float() / 127.5 - 1, LEVELS, sources=64)
    torch.testing.assert_close(from_pixels.mean, from_floats.mean, rtol=1e-5, atol=1e-12)


# ---------------------------------------------------------------------------------------- known answers


def test_two_points_agree_with_the_integral() -> None:
    """Points -a and a: J* = a^2 (1 - E tanh z), z ~ N(s, s) with s = a^2/sigma^2."""
    sigmas = torch.tensor([0.4, 0.7, 1.0, 1.5, 3.0, 10.0], dtype=torch.float64)
    curve = optimal_loss(torch.tensor([[-1.0], [1.0]]), sigmas, sources=100_000)
    grid = torch.linspace(-12, 12, 24_001, dtype=torch.float64)
    density = torch.exp(-(grid**2) / 2) * float(grid[1] - grid[0]) / math.sqrt(2 * math.pi)
    s = sigmas[:, None] ** -2
    integral = 1 - (density * torch.tanh(s + s.sqrt() * grid)).sum(1)
    torch.testing.assert_close(curve.mean, integral, rtol=0, atol=1e-3)
    assert ((curve.mean - integral).abs() < 4 * curve.stderr + 1e-7).all()
    assert curve.variance == pytest.approx(1.0)


@pytest.mark.parametrize("estimator", ["pairwise", "full"])
def test_gaussian_data_agree_with_the_closed_form(estimator: str) -> None:
    mix = torch.tensor([[1.5, 0.0, 0.0], [0.4, 0.7, 0.0], [0.1, 0.2, 0.5]])
    data = normals(0, "gauss", range(20_000), (3,)) @ mix.T
    sigmas = torch.tensor([0.7, 1.0, 2.0, 5.0, 20.0], dtype=torch.float64)
    curve = optimal_loss(data, sigmas, sources=300, estimator=estimator)
    exact = gaussian_optimal_loss(sigmas, torch.cov(data.double().T))
    assert (curve.stderr < 0.1 * curve.mean).all()
    assert ((curve.mean - exact).abs() < 3 * curve.stderr + 0.004 * exact).all()


def test_area_is_the_entropy_of_the_data() -> None:
    curve = optimal_loss(digits(600), noise_levels(64, 0.05, 80.0), sources=1200)
    assert curve.area == pytest.approx(math.log(600), rel=0.01)
    assert abs(curve.area - math.log(600)) < 3 * curve.area_stderr
    assert curve.area_stderr < 0.05


def test_duplicates_count_once_in_the_area() -> None:
    data = digits(40)
    twice = optimal_loss(torch.cat([data, data]), noise_levels(64, 0.05, 80.0), sources=4000)
    assert abs(twice.area - math.log(40)) < 3 * twice.area_stderr
    assert (optimal_loss(data[:1].expand(5, -1), LEVELS, sources=10).mean == 0).all()


@pytest.mark.parametrize("estimator", ["pairwise", "full"])
def test_a_single_point_has_no_loss(estimator: str) -> None:
    curve = optimal_loss(digits(1), LEVELS, estimator=estimator, sources=5)
    assert (curve.mean == 0).all()
    assert curve.area == curve.area_stderr == 0


def test_estimators_agree_and_pairwise_is_the_more_precise() -> None:
    full = optimal_loss(digits(300), LEVELS, estimator="full", sources=300)
    fast = optimal_loss(digits(300), LEVELS, sources=300)
    error = (full.stderr**2 + fast.stderr**2).sqrt()
    assert ((full.mean - fast.mean).abs() <= 4 * error + 1e-9).all()
    resolved = full.mean > 0.01
    assert (fast.stderr < full.stderr)[resolved].all()


# ------------------------------------------------------------------------------------------------ invariances


@settings(max_examples=15)
@given(seed=st.integers(0, 1000), factor=st.sampled_from([0.01, 2.5, 100.0]), move=st.floats(-3, 3))
def test_scale_and_translation(seed: int, factor: float, move: float) -> None:
    data = digits(60)
    plain = optimal_loss(data, LEVELS, sources=60, seed=seed)
    moved = optimal_loss(factor * (data + move), factor * LEVELS, sources=60, seed=seed)
    torch.testing.assert_close(moved.mean, factor**2 * plain.mean, rtol=1e-4, atol=1e-9 * factor**2)
    torch.testing.assert_close(moved.stderr, factor**2 * plain.stderr, rtol=1e-3, atol=1e-8 * factor**2)
    assert moved.area == pytest.approx(plain.area, rel=1e-4)


@settings(max_examples=15)
@given(seed=st.integers(0, 1000))
def test_rotation_and_order(seed: int) -> None:
    data = digits(60)
    turn = torch.linalg.qr(normals(seed, "turn", range(64), (64,))).Q
    plain = optimal_loss(data, LEVELS, sources=180, seed=seed)
    for other in (data @ turn, data.flip(0)):
        changed = optimal_loss(other, LEVELS, sources=180, seed=seed + 5000)
        error = (plain.stderr**2 + changed.stderr**2).sqrt()
        assert ((plain.mean - changed.mean).abs() <= 5 * error + 1e-6 * plain.mean)[plain.mean > 0.01].all()


def test_rises_from_zero_to_the_variance() -> None:
    data = digits(400)
    curve = optimal_loss(data, noise_levels(32, 0.01, 3000.0))
    variance = float((data - data.mean(0)).double().square().sum(1).mean())
    assert curve.variance == pytest.approx(variance, rel=1e-6)
    assert (curve.mean.diff() >= 0).all()
    assert (curve.mean >= 0).all()
    assert (curve.mean <= curve.variance).all()
    assert float(curve.mean[0]) < 1e-6
    assert float(curve.mean[-1]) == pytest.approx(variance, rel=1e-3)


# ----------------------------------------------------------------------------------- errors, slices, options


REPEATS = [(80, "pairwise"), (200, "pairwise"), (500, "pairwise"), (80, "full")]


@pytest.mark.parametrize(("sources", "estimator"), REPEATS)
def test_standard_errors_are_those_of_repeats(sources: int, estimator: str) -> None:
    """Part of a pass, one whole pass, and two and a half: 60 repeats give each standard deviation to 9 %."""
    data, levels = digits(200), torch.tensor([0.8, 1.2, 2.0, 4.0, 20.0])
    options = {"sources": sources, "estimator": estimator}
    curves = [optimal_loss(data, levels, seed=seed, **options) for seed in range(60)]
    ratios = torch.stack([c.mean for c in curves]).std(0) / torch.stack([c.stderr for c in curves]).mean(0)
    area = np.std([c.area for c in curves]) / np.mean([c.area_stderr for c in curves])
    assert ((ratios > 0.68) & (ratios < 1.36)).all(), ratios
    assert 0.68 < area < 1.36


@settings(max_examples=20)
@given(cuts=st.lists(st.integers(1, 249), max_size=4, unique=True), order=st.randoms(use_true_random=False))
def test_slices_add_up_in_any_order(cuts: list[int], order) -> None:
    data = digits(100)
    whole = accumulate(data, LEVELS, range(250))
    edges = [0, *sorted(cuts), 250]
    slices = [accumulate(data, LEVELS, range(a, b)) for a, b in zip(edges, edges[1:], strict=False)]
    order.shuffle(slices)
    total = slices[0]
    for part in slices[1:]:
        total = total + LossSums.from_arrays(part.to_arrays())
    assert total.drawn.tolist() == [[0, 250]]
    joined, direct = total.curve(), whole.curve()
    torch.testing.assert_close(joined.mean, direct.mean, rtol=1e-6, atol=1e-12)
    torch.testing.assert_close(joined.stderr, direct.stderr, rtol=1e-5, atol=1e-10)


def test_the_same_slices_give_the_same_bits() -> None:
    first, second = (accumulate(digits(50), LEVELS, range(10, 40), seed=3) for _ in range(2))
    for name, values in first.to_arrays().items():
        assert np.array_equal(values, second.to_arrays()[name])


def test_the_number_of_threads_does_not_change_the_result() -> None:
    threads, curves = torch.get_num_threads(), []
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            curves.append(optimal_loss(digits(300), LEVELS, sources=128))
    finally:
        torch.set_num_threads(threads)
    for curve in curves[1:]:
        torch.testing.assert_close(curve.mean, curves[0].mean, rtol=1e-6, atol=1e-12)


def test_memory_budget_does_not_change_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = optimal_loss(digits(100), LEVELS, sources=50)
    monkeypatch.setattr(module, "memory_budget", lambda where: 100_000)
    small = optimal_loss(digits(100), LEVELS, sources=50)
    torch.testing.assert_close(small.mean, plain.mean, rtol=1e-6, atol=1e-12)


def test_default_sources_are_whole_passes() -> None:
    assert optimal_loss(digits(100), LEVELS[-3:]).draws == 4100


def test_subset_is_a_random_part_of_the_data() -> None:
    data, levels = digits(300), noise_levels(40, 0.05, 80.0)
    curve = optimal_loss(data, levels, subset=50, sources=1000)
    assert abs(curve.area - math.log(50)) < 4 * curve.area_stderr
    assert optimal_loss(data, levels, subset=50, sources=10, seed=1).variance != curve.variance


def test_classes_have_their_own_posterior() -> None:
    data, labels = digits(300), torch.from_numpy(load_digits().target[:300])
    curve = optimal_loss(data, noise_levels(40, 0.05, 80.0), labels=labels, sources=3000)
    sizes = torch.bincount(labels).double()
    assert abs(curve.area - float((sizes / 300 * sizes.log()).sum())) < 4 * curve.area_stderr
    classes = [data[labels == c] for c in range(10)]
    within = sum(float((x - x.mean(0)).square().sum()) for x in classes) / 300
    assert curve.variance == pytest.approx(within, rel=1e-5)
    assert curve.draws >= 3000


DATA = digits(5)
MISTAKES = [
    ({"data": DATA.double()}, "float32, or uint8 pixels, not float64"),
    ({"data": DATA[:0]}, "at least one point"),
    ({"data": torch.full((3, 2), math.nan)}, "data contain NaN"),
    ({"sigmas": torch.tensor([1.0, 0.0])}, "positive and finite"),
    ({"sigmas": torch.tensor([math.nan])}, "positive and finite"),
    ({"sigmas": torch.tensor([math.inf])}, "positive and finite, not .*inf"),
    ({"sigmas": torch.zeros(0)}, "at least one noise level"),
    ({"estimator": "magic"}, 'estimator "magic"; choose one of pairwise, full, snis'),
    ({"correction": 4.0}, 'estimator "pairwise" takes no correction'),
    ({"sources": 0}, "sources must be a whole number of at least 1, not 0"),
    ({"subset": 0}, "subset must be a whole number"),
    ({"subset": 6}, "at most 5, the number of points, not 6"),
    ({"labels": torch.zeros(4, dtype=torch.long)}, r"one per point, \[5\], not \[4\]"),
]


@pytest.mark.parametrize(("change", "sentence"), MISTAKES)
def test_each_mistake_gets_one_sentence(change: dict, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence) as caught:
        optimal_loss(**{"data": DATA, "sigmas": LEVELS, **change})
    assert "\n" not in str(caught.value)


def test_sums_of_another_seed_or_estimator_do_not_add() -> None:
    sums = accumulate(DATA, LEVELS, range(4))
    for change in ({"seed": 1}, {"estimator": "full"}):
        with pytest.raises(UserError, match="one estimator and one seed"):
            sums + accumulate(DATA, LEVELS, range(4, 6), **change)
    back = type(sums).from_arrays(sums.to_arrays())
    assert back.origin == sums.origin == "pairwise, subset None, correction None, seed 0"
    elsewhere = replace(back, variance=back.variance * (1 + 1e-7))  # another order of float32 additions
    assert (elsewhere + accumulate(DATA, LEVELS, range(4, 6))).draws == 6


def test_sums_that_do_not_belong_together_do_not_add() -> None:
    sums = accumulate(DATA, LEVELS, range(4))
    with pytest.raises(UserError, match="Draws 2 to 4 are in both sums"):
        sums + accumulate(DATA, LEVELS, range(2, 6))
    for other in (accumulate(DATA, LEVELS[1:], range(4, 6)), accumulate(DATA * 2, LEVELS, range(4, 6))):
        with pytest.raises(UserError, match="same data and noise levels"):
            sums + other
    with pytest.raises(UserError, match="cross missing"):
        LossSums.from_arrays({k: v for k, v in sums.to_arrays().items() if k != "cross"})
    with pytest.raises(UserError, match="range of at least one draw"):
        accumulate(DATA, LEVELS, range(3, 3))
