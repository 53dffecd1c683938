"""Networks: shapes, classes, parameter counts, and the preconditioning that makes each a denoiser."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from diffnotes.base.errors import UserError
from diffnotes.base.runtime import normals
from diffnotes.networks import (
    MLP,
    DiT,
    NetworkDenoiser,
    UNet,
    denoiser,
    parameter_count,
    seeded,
    small_network,
)
from diffnotes.networks.layers import Norm, attend, convolve_doubled, heads
from diffnotes.process import TARGETS, VE, VP, FlowMatching, Process

IMAGE = (3, 8, 8)
PROCESSES = [VE(), VP(), FlowMatching()]
BUILD: dict[str, Callable[[], nn.Module]] = {
    "mlp": lambda: MLP(IMAGE, 16, depth=2, classes=10),
    "unet": lambda: UNet(IMAGE, 8, blocks=1, classes=10, embedding=16),
    "dit": lambda: DiT(IMAGE, 16, depth=2, classes=10),
}
PAPER = {16: 2_926_690, 32: 7_929_010, 64: 25_751_890, 128: 92_670_610, 192: 201_286_610}


def disturbed(build: Callable[[], nn.Module]) -> nn.Module:
    """A network whose zero layers are no longer zero."""
    net = seeded(0, build)
    generator = torch.Generator().manual_seed(1)
    for w in net.parameters():
        w.data += 0.1 * torch.randn(w.shape, generator=generator)
    return net


def inputs(count: int = 5) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(2)
    labels = torch.arange(count) % 10
    return torch.randn(count, *IMAGE, generator=generator), torch.linspace(-1.5, 1.0, count), labels


@pytest.mark.parametrize("name", BUILD)
def test_a_new_network_predicts_zero(name: str) -> None:
    x, noise, labels = inputs()
    assert torch.equal(seeded(0, BUILD[name])(x, noise, labels), torch.zeros_like(x))


@pytest.mark.parametrize("name", BUILD)
def test_every_weight_and_every_input_counts(name: str) -> None:
    net = disturbed(BUILD[name])
    x, noise, labels = inputs(10)
    found = net(x, noise, labels)
    assert found.shape == x.shape
    found.square().sum().backward()
    for key, w in net.named_parameters():
        assert w.grad is not None, key
        assert bool((w.grad != 0).any()), key
    for changed in ((x + 1, noise, labels), (x, noise + 0.3, labels), (x, noise, labels.roll(1))):
        assert not torch.allclose(net(*changed), found, atol=1e-4)


@pytest.mark.parametrize("name", BUILD)
def test_no_class_is_minus_one(name: str) -> None:
    net = disturbed(BUILD[name])
    x, noise, labels = inputs()
    none = net(x, noise)
    assert torch.allclose(net(x, noise, torch.full_like(labels, -1)), none, atol=1e-6)
    mixed = net(x, noise, torch.where(labels == 2, -1, labels))
    assert torch.allclose(mixed[2], none[2], atol=1e-5)
    assert not torch.allclose(mixed[1], none[1], atol=1e-4)


@pytest.mark.parametrize("name", BUILD)
def test_the_batch_does_not_matter(name: str) -> None:
    net = disturbed(BUILD[name])
    x, noise, labels = inputs(7)
    parts = [net(x[i : i + 2], noise[i : i + 2], labels[i : i + 2]) for i in range(0, 7, 2)]
    whole = net(x, noise, labels)
    assert torch.allclose(torch.cat(parts), whole, atol=1e-5 * whole.abs().max().item())


@pytest.mark.parametrize("name", BUILD)
def test_seeds_decide_and_leave_torch_alone(name: str) -> None:
    before = torch.get_rng_state()
    one, same, other = (seeded(seed, BUILD[name]) for seed in (3, 3, 4))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), same.parameters(), strict=True))
    assert any(not torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


@pytest.mark.parametrize("name", BUILD)
def test_state_dicts_go_round(name: str) -> None:
    net, fresh = disturbed(BUILD[name]), BUILD[name]()
    fresh.load_state_dict(net.state_dict())
    assert torch.equal(fresh(*inputs()), net(*inputs()))


@pytest.mark.parametrize("width", PAPER)
def test_the_u_net_has_the_parameters_of_the_paper(width: int) -> None:
    with torch.device("meta"):
        net = UNet((3, 32, 32), width, classes=10)
    assert parameter_count(net) == PAPER[width] == 5090 * width**2 + 68_325 * width + 530_450


def test_networks_begin_small() -> None:
    assert parameter_count(UNet((1, 8, 8), 8, (1, 2), blocks=1, embedding=16)) < 50_000
    assert parameter_count(MLP((1, 8, 8), 54, depth=3)) < 50_000


@pytest.mark.parametrize("width", [8, 21, 52])  # 4 * 52 channels are no multiple of 3 heads
def test_u_nets_take_any_width(width: int) -> None:
    x = torch.randn(2, 1, 4, 4)
    assert UNet((1, 4, 4), width, blocks=1, embedding=16)(x, torch.zeros(2)).shape == x.shape


def test_heads_have_at_least_their_channels() -> None:
    assert [heads(channels, 64) for channels in (32, 64, 96, 192, 208, 768)] == [1, 1, 1, 3, 2, 12]
    assert DiT(IMAGE, 96, depth=1)(torch.randn(2, *IMAGE), torch.zeros(2)).shape == (2, *IMAGE)


@pytest.mark.parametrize("name", BUILD)
def test_half_precision_products_change_little(name: str) -> None:
    denoise = NetworkDenoiser(disturbed(BUILD[name]))
    x, _, labels = inputs()
    exact = denoise(x, 0.5, labels)
    with torch.autocast("cpu", torch.bfloat16):
        found = denoise(x, 0.5, labels)
    assert found.dtype == torch.float32
    assert 0 < (found - exact).abs().max() < 0.05 * exact.abs().max()


@pytest.mark.parametrize("half", [False, True])
def test_the_order_in_memory_stays_that_of_the_precision(half: bool) -> None:
    """No layer of a U-Net may undo it: a normalization in the other order is slow."""
    net, seen = disturbed(lambda: UNet((3, 16, 16), 16, blocks=1, embedding=16)), []
    for layer in net.modules():
        if isinstance(layer, Norm):
            layer.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    with torch.autocast("cpu", torch.bfloat16, enabled=half):
        net(torch.randn(2, 3, 16, 16), torch.zeros(2))
    order = torch.contiguous_format if half else torch.channels_last
    assert len(seen) > 10
    assert all(x.is_contiguous(memory_format=order) for x in seen)


def test_a_convolution_of_doubled_pixels() -> None:
    conv, x = torch.nn.Conv2d(5, 7, 3, padding=1), torch.randn(2, 5, 6, 4)
    wanted = conv(torch.nn.functional.interpolate(x, scale_factor=2.0))
    torch.testing.assert_close(convolve_doubled(conv, x), wanted)


def test_attention_in_half_precision_is_attention() -> None:
    q, k, v = torch.randn(3, 2, 3, 20, 8).unbind(0)
    exact = attend(q, k, v)
    weight = torch.softmax(torch.einsum("bhnc,bhmc->bhnm", q, k) / 8**0.5, -1)
    torch.testing.assert_close(exact, torch.einsum("bhnm,bhmc->bhnc", weight, v))
    found = attend(q.bfloat16(), k.bfloat16(), v.bfloat16())
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), exact, rtol=0, atol=0.03)


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 16, 16), (2, 4, 12)])
def test_u_nets_take_any_shape_that_halves(shape: tuple[int, int, int]) -> None:
    net = UNet(shape, 12, blocks=2, embedding=16)
    x = torch.randn(2, *shape)
    assert net(x, torch.zeros(2)).shape == x.shape


def test_bad_networks_get_one_sentence() -> None:
    x, noise, labels = inputs()
    with pytest.raises(UserError, match="knows no classes; build it with classes="):
        MLP(IMAGE, 16)(x, noise, labels)
    for wrong in (10, -2):
        with pytest.raises(UserError, match="from 0 to 9, or -1 for no class"):
            BUILD["mlp"]()(x, noise, torch.where(labels == 2, wrong, labels))
    with pytest.raises(UserError, match="2 halvings cannot take images of shape"):
        UNet((1, 6, 6), 16)
    with pytest.raises(UserError, match="even embedding and head >= 1, not 15 and 64"):
        UNet(IMAGE, 16, embedding=15)
    with pytest.raises(UserError, match="width >= 8"):
        MLP(IMAGE, 4)
    with pytest.raises(UserError, match="not width 16, 0 blocks and 0 classes"):
        MLP(IMAGE, 16, depth=0)
    with pytest.raises(UserError, match="patch 3 cannot take images"):
        DiT(IMAGE, 16, patch=3)
    with pytest.raises(UserError, match="a width that 4 divides"):
        DiT(IMAGE, 18)


# --------------------------------------------------------------------------------------------- denoisers


class Oracle(nn.Module):
    """Predicts the true target, and remembers what it saw."""

    def __init__(self, target: torch.Tensor) -> None:
        super().__init__()
        self.target = target

    def forward(self, x: torch.Tensor, noise: torch.Tensor, labels: object = None) -> torch.Tensor:
        self.seen = x, noise
        return self.target


@pytest.mark.parametrize("process", PROCESSES)
@pytest.mark.parametrize("target", TARGETS)
def test_a_true_prediction_gives_the_clean_image(process: Process, target: str) -> None:
    x0, eps = torch.randn(2, 6, 3, 4, 4).unbind(0)
    s = torch.tensor([0.002, 0.05, 0.5, 2.0, 20.0, 80.0], dtype=torch.float64)
    t = process.time(s)
    a, b = (value.view(-1, 1, 1, 1) for value in process.coefficients(target, t))
    oracle = Oracle((a * x0 + b * eps).float())
    denoise = NetworkDenoiser(oracle, process, target)
    x = (x0 + s.view(-1, 1, 1, 1) * eps).float()
    found = denoise(x, s)
    assert torch.allclose(found, x0, atol=2e-4)  # float32: s eps is up to 80 times larger than x0
    scaled, noise = oracle.seen
    assert torch.allclose(noise, s.log().float() / 4)
    assert torch.allclose(scaled, (x / (s.view(-1, 1, 1, 1) ** 2 + 0.25).sqrt()).float(), rtol=1e-5)


@pytest.mark.parametrize("process", PROCESSES)
@pytest.mark.parametrize("target", TARGETS)
def test_estimates_are_those_of_the_process(process: Process, target: str) -> None:
    """Also where float32 would lose the difference of a sigma and b alpha, and gradients with them."""
    x, y = normals(0, "networks", [0, 1], (4, 3, 2), torch.float64)
    y.requires_grad_()
    s = torch.tensor([0.002, 0.3, 5.0, 80.0], dtype=torch.float64)
    t = process.time(s)
    expected = process.to_x0(y, x * process.alpha(t)[:, None, None], t, target)
    slope = torch.autograd.grad(expected.sum(), y)[0]
    found = NetworkDenoiser(Oracle(y.float()), process, target)(x.float(), s.float())
    scale = s[:, None, None].clamp(min=1)  # D is up to s away from x
    assert torch.allclose(found.double() / scale, expected / scale, atol=2e-6)
    assert torch.allclose(torch.autograd.grad(found.sum(), y)[0], slope, rtol=1e-5, atol=0)


@pytest.mark.parametrize("process", PROCESSES)
@pytest.mark.parametrize("target", TARGETS)
def test_without_noise_a_denoiser_returns_its_input(process: Process, target: str) -> None:
    x = torch.randn(3, *IMAGE)
    denoise = NetworkDenoiser(Oracle(torch.ones_like(x)), process, target)
    assert torch.equal(denoise(x, 0.0), x)
    assert torch.equal(denoise(x, torch.tensor([0.0, 1.0, 0.0]))[::2], x[::2])
    if target != "x0":  # which the network says alone, at any noise above zero
        assert torch.allclose(denoise(x, 1e-7), x, atol=1e-6)


def test_one_level_or_one_per_image() -> None:
    denoise = NetworkDenoiser(disturbed(BUILD["mlp"]))
    x, _, labels = inputs()
    assert torch.allclose(denoise(x, 0.7, labels), denoise(x, torch.full((5,), 0.7), labels), atol=1e-6)


def test_an_unknown_target_is_told_at_once() -> None:
    with pytest.raises(UserError, match="Unknown prediction target"):
        NetworkDenoiser(nn.Identity(), VE(), "noise")


@pytest.mark.parametrize(
    ("side", "levels", "place"), [(8, 2, 1), (16, 2, 1), (32, 3, 1), (64, 3, 2), (64, 2, 1)]
)
def test_small_networks_attend_among_few_pixels(side, levels, place, monkeypatch):
    seen = []
    monkeypatch.setattr(denoiser, "UNet", lambda *settings: seen.append(settings[4]) or nn.Identity())
    small_network("unet", (3, side, side), 8, 1, (1, 2, 2)[:levels])
    assert seen == [(place,)]
