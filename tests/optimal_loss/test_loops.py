"""What training loops can show: by drawing noise, and where the answer is known."""

from __future__ import annotations

import math

import pytest
import torch

from diffnotes import data
from diffnotes.optimal_loss import LOOPS, in_loops, linear_loss, optimal_loss
from diffnotes.posterior import ExactDenoiser
from diffnotes.process import VE, FlowMatching, noise_levels

IMAGES = data.load("digits", n=60).x
NAMES = list(LOOPS)


def drawn(name: str, count: int = 4000) -> float:
    """The loss that a loop shows of the optimal denoiser, with its own random noise."""
    draw, best = torch.Generator().manual_seed(0), ExactDenoiser(IMAGES)
    x0 = IMAGES[torch.randint(len(IMAGES), (count,), generator=draw)].double()
    noise = torch.randn(x0.shape, generator=draw, dtype=torch.float64)

    def answer(ratio: torch.Tensor) -> torch.Tensor:
        return best((x0 + ratio.view(-1, 1, 1, 1) * noise).float(), ratio.float()).double()

    if name.startswith("noise"):
        t = torch.randint(1000, (count,), generator=draw)
        kept = torch.cumprod(1 - torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64), 0)
        if "cosine" in name:
            grid = torch.cos((torch.arange(1001) / 1000 + 0.008) / 1.008 * math.pi / 2).double() ** 2
            kept = torch.cumprod(1 - (1 - grid[1:] / grid[:-1]).clamp(max=0.999), 0)
        ratio = ((1 - kept[t]) / kept[t]).sqrt()
        x = x0 + ratio.view(-1, 1, 1, 1) * noise
        return float(((x - answer(ratio)) / ratio.view(-1, 1, 1, 1) - noise).square().mean())
    if name.startswith("velocity"):
        t = torch.rand(count, generator=draw, dtype=torch.float64).view(-1, 1, 1, 1)
        found = ((1 - t) * x0 + t * noise - answer((t / (1 - t)).flatten())) / t
        return float((found - (noise - x0)).square().mean())
    ratio = torch.exp(1.2 * torch.randn(count, generator=draw, dtype=torch.float64) - 1.2)
    weight = (ratio**2 + 0.25) / (0.5 * ratio) ** 2
    return float(((answer(ratio) - x0).square().flatten(1).mean(1) * weight).mean())


@pytest.mark.parametrize("name", NAMES)
def test_the_optimum_of_a_loop_is_what_its_own_noise_shows(name: str) -> None:
    levels = noise_levels(48, 0.004, 200.0)
    curve = optimal_loss(IMAGES, levels, sources=600)
    found = in_loops(levels, curve.mean / 64, curve.variance / 64)
    assert set(found) == set(LOOPS)
    assert found[name] == pytest.approx(drawn(name), rel=0.1)


def test_factors_are_those_of_the_processes() -> None:
    ratio, factor = (torch.from_numpy(one) for one in LOOPS["velocity of flow matching, t drawn evenly"]())
    flow = FlowMatching()
    assert torch.allclose(factor, flow.loss_factor("velocity", flow.time(ratio)))
    ratio, factor = (torch.from_numpy(one) for one in LOOPS["noise, DDPM's linear schedule"]())
    assert torch.allclose(factor, VE().loss_factor("eps", ratio))
    ratio, factor = (torch.from_numpy(one) for one in LOOPS["EDM's weighted loss"]())
    assert torch.allclose(factor, VE().loss_factor("F", ratio))


def test_a_linear_denoiser_of_gaussian_images_has_the_loss_of_theory() -> None:
    draw = torch.Generator().manual_seed(0)
    scale = torch.tensor([2.0, 1.0, 0.5, 0.1])
    one, other = (torch.randn(20_000, 4, generator=draw) * scale + 3 for _ in range(2))
    sigma = torch.tensor([0.1, 1.0, 10.0], dtype=torch.float64)
    square = sigma[:, None] ** 2
    theory = (square * scale**2 / (square + scale**2)).mean(1)
    assert torch.allclose(linear_loss(one, other, sigma), theory, rtol=0.03)


def plain(variance: float, sigma: torch.Tensor) -> torch.Tensor:
    """The loss of the best multiple of the noisy image."""
    return sigma**2 * variance / (sigma**2 + variance)


@pytest.mark.parametrize("count", [10, 30, 300])
def test_with_few_images_it_is_hardly_worse_than_a_multiple_of_the_noisy_image(count: int) -> None:
    """Fewer images than dimensions have no variance along most of them."""
    whole = data.load("digits", n=2 * count).x
    sigma = torch.logspace(-3, 2, 11, dtype=torch.float64)
    found = linear_loss(whole[:count], whole[count:], sigma)
    variance = float((whole[count:] - whole[:count].mean(0)).square().mean())
    assert bool((found < 1.05 * plain(variance, sigma)).all())
    assert count < 100 or float(found[5]) < 0.8 * float(plain(variance, sigma)[5])


def test_images_of_many_dimensions() -> None:
    """Of 40 images with 3,072 dimensions: at small noise the noisy image itself is better than an answer in
    the span of the images."""
    whole = data.load("specimens", n=80).x
    sigma = torch.tensor([0.005, 0.05], dtype=torch.float64)
    assert bool((linear_loss(whole[:40], whole[40:], sigma) <= sigma**2).all())


def test_equal_images_are_denoised_by_their_mean() -> None:
    same = IMAGES[:1].repeat(6, 1, 1, 1)
    assert torch.allclose(linear_loss(same, same, torch.tensor([0.5])), torch.zeros(1, dtype=torch.float64))
