from __future__ import annotations

import math
import re
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from diffnotes import data
from diffnotes.base.errors import UserError
from diffnotes.base.runtime import normals
from diffnotes.loss_gap import SUMS, LossGap, loss_gap
from diffnotes.networks import MLP, NetworkDenoiser, seeded
from diffnotes.optimal_loss import optimal_loss
from diffnotes.posterior import ExactDenoiser, posterior
from diffnotes.process import TARGETS, VE, VP, FlowMatching, Process, noise_levels

LEVELS = noise_levels(12, 0.02, 50.0)
PROCESSES: list[Process] = [VE(), VP(), FlowMatching()]
KINDS = [(p, t) for p in PROCESSES for t in TARGETS if not (t == "v" and isinstance(p, VE))]


def digits(n: int = 200) -> torch.Tensor:
    return data.load("digits", n).x


def wiener(x: torch.Tensor, sigma: torch.Tensor, *labels: torch.Tensor) -> torch.Tensor:
    """A plain shrinkage, which no posterior mean of digits is."""
    return x / (1 + sigma.view(-1, *[1] * (x.ndim - 1)) ** 2 / 0.37)


def by_hand(
    denoise: Callable[..., torch.Tensor], x: torch.Tensor, sigma: float, gap: LossGap, seed: int = 0
) -> tuple[float, float, float]:
    """Gap, loss and optimal loss on the library's own draws, in float64, with one softmax."""
    from diffnotes.loss_gap import _draw

    x0, noise, _ = _draw(x, None, range(gap.draws), seed)
    noisy = x0 + sigma * noise
    flat, points = noisy.flatten(1).double(), x.flatten(1).double()
    best = torch.softmax(-torch.cdist(flat, points) ** 2 / (2 * sigma**2), 1) @ points
    found = denoise(noisy, torch.full((len(noisy),), sigma)).flatten(1).double()
    clean = x0.flatten(1).double()
    return tuple(
        float((a - b).square().sum(1).mean()) for a, b in ((found, best), (found, clean), (best, clean))
    )


# ---------------------------------------------------------------------------------------------- what it says


def test_it_is_what_a_softmax_by_hand_says() -> None:
    x = digits(150)
    found = loss_gap(wiener, x, LEVELS, draws=450, seed=3)
    for level, sigma in enumerate(LEVELS.tolist()):
        gap, loss, optimal = by_hand(wiener, x, sigma, found, seed=3)
        assert found.gap[level] == pytest.approx(gap, rel=1e-5)
        assert found.loss[level] == pytest.approx(loss, rel=1e-5)
        assert found.optimal[level] == pytest.approx(optimal, rel=1e-4, abs=1e-9)


def test_the_posterior_mean_has_no_gap() -> None:
    x = digits()

    def softmax(noisy: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:  # another way to the same mean
        flat, points = noisy.flatten(1).double(), x.flatten(1).double()
        scores = -torch.cdist(flat, points, compute_mode="donot_use_mm_for_euclid_dist") ** 2
        return (torch.softmax(scores / (2 * sigma.double()[:, None] ** 2), 1) @ points).float().view_as(noisy)

    assert loss_gap(ExactDenoiser(x), x, LEVELS, draws=400).gap.max() < 1e-12
    found = loss_gap(softmax, x, LEVELS, draws=400)
    assert float(found.gap.max()) < 1e-9  # squares of float32 rounding, 64 of them
    assert float(found.disagreement.abs().max()) < 3


def test_its_optimal_loss_is_the_optimal_loss() -> None:
    x = digits()
    found, curve = loss_gap(wiener, x, LEVELS, draws=4000), optimal_loss(x, LEVELS)
    apart = (found.optimal - curve.mean).abs()
    assert (apart <= 4 * torch.hypot(found.optimal_stderr, curve.stderr) + 1e-9).all()


def test_both_readings_agree_and_the_distance_is_less_noisy() -> None:
    x = digits()
    found = [loss_gap(wiener, x, LEVELS, draws=1000, seed=seed) for seed in range(6)]
    apart = torch.stack([one.disagreement for one in found])
    assert float(apart.abs().max()) < 3
    assert float(apart.abs().max()) > 0.1  # they are two readings, not one
    assert (found[0].stderr <= found[0].difference_stderr * (1 + 1e-9)).all()


def test_its_standard_error_is_that_of_its_spread() -> None:
    x = digits(100)
    found = [loss_gap(wiener, x, LEVELS[4:9], draws=100, seed=seed) for seed in range(60)]
    spread = torch.stack([one.gap for one in found]).std(0)
    told = torch.stack([one.stderr for one in found]).mean(0)
    assert (spread < 1.35 * told).all()  # whole passes over the sources can only make it smaller
    assert (spread > 0.2 * told).all()


def test_a_smaller_model_error_is_a_smaller_gap() -> None:
    x, exact = digits(), ExactDenoiser(digits())

    def mixed(share: float) -> Callable[..., torch.Tensor]:
        return lambda noisy, sigma: share * wiener(noisy, sigma) + (1 - share) * exact(noisy, sigma)

    half, whole = (loss_gap(mixed(share), x, LEVELS, draws=400).gap for share in (0.5, 1.0))
    torch.testing.assert_close(whole, 4 * half, rtol=1e-4, atol=1e-10)  # the same draws, so exactly that


# ----------------------------------------------------------------------------------------- other coordinates


@pytest.mark.parametrize(("process", "target"), KINDS)
def test_every_conversion_gives_the_same_loss(process: Process, target: str) -> None:
    x, levels = digits(100), noise_levels(9, 0.05, 20.0)
    s, t = levels, process.time(levels)
    network = seeded(0, lambda: MLP(tuple(x.shape[1:]), 16, 1))
    torch.nn.init.normal_(network.leave.weight, std=0.05, generator=torch.Generator().manual_seed(0))
    denoiser = NetworkDenoiser(network, process, target)
    found = loss_gap(denoiser, x, levels, draws=200)
    losses = []
    for sigma, time in zip(s, t, strict=True):  # the loss of that target, measured in its own coordinates
        from diffnotes.loss_gap import _draw

        x0, noise, _ = _draw(x, None, range(found.draws), 0)
        x0, noise = x0.double(), noise.double()
        noisy = process.noisy(x0, noise, time)
        frame = (noisy / process.alpha(time)).float()
        with torch.no_grad():
            answer = denoiser(frame, torch.full((len(x0),), float(sigma))).double()
        a, b = process.coefficients(target, time)
        said = process.from_x0(answer, noisy, time, target)
        losses.append((said - a * x0 - b * noise).flatten(1).square().sum(1).mean())
    converted = found.converted(process, target).loss
    torch.testing.assert_close(torch.stack(losses), converted, rtol=1e-5, atol=0)
    back = torch.stack(losses) / process.loss_factor(target, t)
    torch.testing.assert_close(back, found.loss, rtol=1e-5, atol=0)


@pytest.mark.parametrize(("process", "target"), KINDS)
def test_a_network_of_another_process_is_a_denoiser(process: Process, target: str) -> None:
    x, exact = digits(100), ExactDenoiser(digits(100))

    def predict(noisy: torch.Tensor, t: torch.Tensor) -> torch.Tensor:  # the best there is, in other words
        s = process.noise_ratio(t.double())
        frame = noisy / process.alpha(t.double()).to(noisy.dtype).view(-1, 1, 1, 1)
        return process.from_x0(exact(frame, s), noisy, t, target)

    found = loss_gap(process.denoiser(predict, target), x, noise_levels(7, 0.2, 10.0), draws=100)
    assert (found.gap <= 1e-5 * (found.optimal + 1)).all()


def test_conversion_scales_everything_but_sigma() -> None:
    found = loss_gap(wiener, digits(60), LEVELS, draws=60)
    other = found.converted(FlowMatching(), "velocity")
    factor = ((1 + LEVELS) / LEVELS) ** 2  # 1/t^2
    for name in SUMS:
        torch.testing.assert_close(getattr(other, name), factor * getattr(found, name))
    assert torch.equal(other.sigma, found.sigma)
    torch.testing.assert_close(other.disagreement, found.disagreement)


# ------------------------------------------------------------------------------------- classes and held-out


def test_classes_have_their_own_optimum() -> None:
    found = data.load("digits", 300)
    x, labels = found.x, found.labels

    def exact(noisy: torch.Tensor, sigma: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        rows = torch.empty_like(noisy)
        for c in wanted.unique():
            rows[wanted == c] = posterior(noisy[wanted == c], sigma[wanted == c], x[labels == c]).mean
        return rows

    conditional = loss_gap(exact, x, LEVELS[::3], draws=300, labels=labels)
    assert float(conditional.gap.max()) < 1e-8
    plain = loss_gap(wiener, x, LEVELS[::3], draws=300)
    assert (conditional.optimal <= plain.optimal + 1e-9).all()
    blind = loss_gap(lambda n, s, wanted: ExactDenoiser(x)(n, s), x, LEVELS[::3], draws=300, labels=labels)
    torch.testing.assert_close(blind.loss, plain.optimal, rtol=1e-5, atol=1e-9)
    assert blind.gap[-1] > 1  # without the class it cannot know what the class tells


def test_held_out_is_the_leave_one_out_loss() -> None:
    whole = digits(61)
    known, levels = whole[:-1], torch.tensor([0.5, 1.0, 2.0])
    each = [
        loss_gap(ExactDenoiser(known), whole[keep], levels, draws=40, held_out=whole[[left]], seed=left)
        for left in range(len(whole))
        for keep in [torch.arange(len(whole)) != left]
    ]
    assert all(one.draws == 40 for one in each)
    left_out = torch.stack([one.optimal for one in each]).mean(0)
    by_hand = torch.zeros(3, dtype=torch.float64)
    for k, sigma in enumerate(levels.tolist()):
        x0 = whole.repeat(40, 1, 1, 1)
        noisy = (x0 + sigma * normals(9, "loo", range(len(x0)), x0.shape[1:])).flatten(1).double()
        points = whole.flatten(1).double()
        scores = -torch.cdist(noisy, points) ** 2 / (2 * sigma**2)
        scores[torch.arange(len(x0)), torch.arange(len(x0)) % len(whole)] = -math.inf  # its own image
        best = torch.softmax(scores, 1) @ points
        by_hand[k] = (best - x0.flatten(1)).square().sum(1).mean()
    torch.testing.assert_close(left_out, by_hand, rtol=0.05, atol=0)


def test_the_optimum_knows_nothing_of_held_out_images() -> None:
    known, unseen = data.load("digits", 300).x, data.load("digits", 300, split="test").x
    levels = torch.tensor([0.1, 0.3])
    found = loss_gap(wiener, known, levels, draws=600, held_out=unseen)
    assert (found.optimal > 3 * loss_gap(wiener, known, levels, draws=600).optimal).all()
    assert (found.difference < 0).all()  # a plain filter does better on new images
    assert (found.gap > 0).all()


# -------------------------------------------------------------------------------------------------- the draws


@given(first=st.integers(2, 130), seed=st.integers(0, 2**40))
def test_draws_are_whole_passes_and_do_not_depend_on_batches(first: int, seed: int) -> None:
    from diffnotes.loss_gap import _draw

    x = torch.arange(13.0)[:, None].repeat(1, 2)
    whole = _draw(x, None, range(130), seed)
    parts = [_draw(x, None, range(a, b), seed) for a, b in ((0, first), (first, 130)) if a < b]
    for k in range(2):
        assert torch.equal(whole[k], torch.cat([part[k] for part in parts]))
    counts = whole[0][:, 0].long().bincount(minlength=13)
    assert torch.equal(counts, torch.full((13,), 10))


def test_fewer_draws_than_images_are_not_rounded_up() -> None:
    assert loss_gap(wiener, digits(60), LEVELS[:1], draws=31).draws == 31
    assert loss_gap(wiener, digits(60), LEVELS[:1], draws=61).draws == 120


def test_pixels_as_bytes_are_the_same_images() -> None:
    pixels = torch.randint(0, 256, (40, 3, 4, 4), generator=torch.Generator().manual_seed(0)).byte()
    one, other = (loss_gap(wiener, x, LEVELS[::4], draws=80) for x in (pixels, pixels.float() / 127.5 - 1))
    torch.testing.assert_close(one.gap, other.gap, rtol=1e-5, atol=1e-10)


# -------------------------------------------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"sigmas": torch.tensor([0.0])}, "positive and finite"),
        ({"sigmas": torch.tensor([])}, "at least one noise level"),
        ({"sigmas": torch.tensor([1.0, math.nan])}, "positive and finite"),
        ({"draws": 1}, "at least 2"),
        ({"draws": True}, "whole number"),
        ({"held_out": torch.zeros(3, 1, 4, 4)}, "images of shape"),
        ({"held_out": torch.zeros(0, 1, 8, 8)}, "at least one image"),
        ({"data": torch.zeros(0, 1, 8, 8)}, "at least one image"),
        ({"labels": torch.zeros(3, dtype=torch.long)}, "30 images"),
        ({"held_out_labels": torch.tensor([0, 0]), "held_out": torch.zeros(2, 1, 8, 8)}, "alike"),
        (
            {
                "labels": torch.zeros(30, dtype=torch.long), "held_out": torch.zeros(2, 1, 8, 8),
                "held_out_labels": torch.tensor([0, 7]),
            },
            "class 7",
        ),
        ({"denoiser": lambda x, s: x[:, :, :4]}, "returned"),
        ({"denoiser": lambda x, s: x * math.nan}, "NaN"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_sentence(change: dict, said: str) -> None:
    given = {"denoiser": wiener, "data": digits(30), "sigmas": LEVELS[:2], "draws": 30} | change
    denoiser, points, sigmas = (given.pop(name) for name in ("denoiser", "data", "sigmas"))
    with pytest.raises(UserError, match=re.escape(said)):
        loss_gap(denoiser, points, sigmas, **given)


def test_an_unknown_target_is_told_at_once() -> None:
    with pytest.raises(UserError, match="Unknown prediction target"):
        VP().denoiser(lambda x, t: x, "noise")
