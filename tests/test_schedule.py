"""The training schedule: its formulas by hand, its state, and two training loops that are not the book's."""

from __future__ import annotations

import dataclasses
import importlib.util
import math
import os
import re

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from diffnotes import data
from diffnotes.base.errors import UserError
from diffnotes.loss_gap import loss_gap
from diffnotes.networks import MLP, NetworkDenoiser, seeded
from diffnotes.optimal_loss import LossCurve, optimal_loss
from diffnotes.process import noise_levels
from diffnotes.schedule import LossGapLaw, LossGapSchedule

D = 64


def digits(n: int = 200) -> torch.Tensor:
    return data.load("digits", n).x


CURVE = optimal_loss(digits(), noise_levels(40, 0.01, 40.0))


def schedule(**options) -> LossGapSchedule:  # type: ignore[no-untyped-def]
    return LossGapSchedule(CURVE, D, **options)


def plain_curve(sigma: list[float], mean: list[float], variance: float = 1.0) -> LossCurve:
    """A curve of which every number is given."""
    levels, losses = (torch.tensor(x, dtype=torch.float64) for x in (sigma, mean))
    return LossCurve(levels, losses, 0 * losses, 0.0, 0.0, variance, 1, 0 * losses)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# --------------------------------------------------------------------------------------------- formulas


def by_hand(sigma: float, **options: float) -> float:
    """w(sigma)/a from the formula, with numpy, for the curve of the digits."""
    given = {"threshold": 0.01, "clip": 0.01, "bump": 1.0, "shift": -1.0, "width": 1.0} | options
    levels, optimal, variance = CURVE.sigma.numpy(), CURVE.mean.numpy() / D, CURVE.variance / D
    fine = np.geomspace(levels[0], levels[-1], 400_001)
    curve = np.interp(np.log(fine), np.log(levels), optimal)
    critical = fine[np.argmax(curve >= given["threshold"] * variance)]
    known = np.interp(math.log(sigma), np.log(levels), optimal)
    largest = 1 / (given["clip"] * variance)
    mu, s = math.log(critical) + given["shift"], given["width"]
    a = 1 / (given["bump"] * largest * s * math.sqrt(2 * math.pi))
    density = math.exp(-((math.log(sigma) - mu) ** 2) / (2 * s**2)) / (s * math.sqrt(2 * math.pi))
    scale = min(1 / known, largest) if known else largest
    return (a * scale + density * (sigma < critical)) / a


@pytest.mark.parametrize(
    "options", [{}, {"clip": 0.1, "bump": 3.0}, {"shift": 0.5, "width": 0.4, "threshold": 0.1}]
)
def test_the_weight_is_the_formula_of_the_paper(options: dict[str, float]) -> None:
    levels = torch.tensor([0.011, 0.05, 0.2, 0.37, 0.62, 1.3, 4.0, 39.0], dtype=torch.float64)
    found = schedule(**options).weight(levels)
    expected = [by_hand(float(sigma), **options) for sigma in levels]
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-4)  # the fine levels


def test_the_critical_level_is_where_the_loss_first_counts() -> None:
    law = LossGapLaw.of(plain_curve([1.0, math.e, math.e**2], [0.0, 0.0, 0.5]), 1)
    assert math.log(law.critical) == pytest.approx(1 + 0.01 / 0.5)
    assert LossGapLaw.of(plain_curve([1.0, 2.0], [0.0, 0.001]), 1).critical == 2.0  # never
    assert LossGapLaw.of(plain_curve([1.0, 2.0], [0.3, 0.4]), 1).critical == 1.0  # from the start


def test_the_weight_jumps_by_the_hill_or_not() -> None:
    law = schedule().law
    beside = law.critical * torch.tensor([1 - 1e-6, 1 + 1e-6], dtype=torch.float64)
    hard, soft = law.weight(beside), dataclasses.replace(law, edge=0.3).weight(beside)
    hill = law.largest * math.exp(-0.5)  # one width from its peak
    assert float(hard[0] - hard[1]) == pytest.approx(hill, rel=1e-3)
    assert float(soft[0] - soft[1]) < 1e-4 * hill
    assert float(soft[0]) == pytest.approx(float(hard.mean()), rel=1e-3)  # half of it


def test_far_above_the_critical_level_the_data_have_the_loss_1() -> None:
    law = schedule().law
    assert float(law.weight(law.sigma[-1]) * law.variance) == pytest.approx(1, abs=0.02)


def test_weights_are_finite_and_bounded() -> None:
    found = schedule(clip=1e-3, bump=0.0)
    levels = noise_levels(500, 0.01, 40.0)
    weight = found.weight(levels)
    assert float(CURVE.mean[0]) == 0  # where 1/J* is infinite
    assert bool(torch.isfinite(weight).all())
    assert float(weight.max()) == pytest.approx(found.law.largest)
    assert float(found.law.largest) == pytest.approx(1e3 * D / CURVE.variance)
    constant = schedule(clip=1.0, bump=0.0).weight(levels)
    torch.testing.assert_close(constant, torch.full_like(levels, D / CURVE.variance))


# ---------------------------------------------------------------------------------------------- p(sigma)


def known_gap(law: LossGapLaw, place: int, height: float = 1.0) -> torch.Tensor:
    """Running means that lie above the optimum in one part of ln sigma alone."""
    running = law.optimal_at(law.centres())
    running[place] += height
    return running


def test_p_follows_a_known_gap() -> None:
    found = schedule(bins=20, floor=0.1)
    for place in (3, 12):
        p = found.law.probabilities(known_gap(found.law, place))
        assert float(p[place]) == pytest.approx(0.9 + 0.1 / 20)
        assert float(p.sum()) == pytest.approx(1)
    two = known_gap(found.law, 3) + known_gap(found.law, 12, 2.0) - known_gap(found.law, 0, 0.0)
    weight = found.law.weight(found.law.centres())
    p = found.law.probabilities(two) - 0.1 / 20
    assert float(p[12] / p[3]) == pytest.approx(float(2 * weight[12] / weight[3]))
    half = dataclasses.replace(found.law, exponent=0.5).probabilities(two) - 0.1 / 20
    assert float(half[12] / half[3]) == pytest.approx(math.sqrt(2 * float(weight[12] / weight[3])))


def test_updates_bring_p_to_where_the_loss_is_above_the_optimum() -> None:
    found = schedule(bins=16, memory=20)
    centres = found.law.centres()
    for _ in range(20):
        sigma = centres.repeat(10)
        loss = found.law.optimal_at(sigma)
        loss[found.law.place(sigma) == 5] += 0.1
        found.update(sigma, loss)
    assert int(found.probabilities.argmax()) == 5
    assert float(found.probabilities[5]) > 0.9
    fixed = schedule(bins=16, memory=20, adaptive=False)
    before = fixed.probabilities
    fixed.update(centres, centres)
    assert torch.equal(fixed.probabilities, before)


def test_below_the_optimum_there_is_no_gap_and_nowhere_is_everywhere() -> None:
    law = schedule(bins=8).law
    p = law.probabilities(law.optimal_at(law.centres()) * 0.5)
    torch.testing.assert_close(p, torch.full((8,), 1 / 8, dtype=torch.float64))


def test_p_begins_as_what_a_network_of_edms_form_scores() -> None:
    law = schedule().law
    middle = digits().mean(0)
    for sigma, loss in zip(law.centres()[::8].tolist(), law.begin()[::8].tolist(), strict=True):
        shrunk = law.variance / (law.variance + sigma**2)
        x0 = digits().repeat(5, 1, 1, 1) - middle
        noisy = x0 + sigma * torch.randn(x0.shape, generator=generator())
        assert loss == pytest.approx(float((shrunk * noisy - x0).square().mean()), rel=0.03)


def test_samples_follow_p() -> None:
    found = schedule(bins=12)
    found.update(found.law.centres(), 3 * found.law.begin())
    sigma = found.sample(200_000, generator())
    p = found.probabilities
    counts = found.law.place(sigma).bincount(minlength=12).double()
    expected = 200_000 * p
    chi = ((counts - expected) ** 2 / expected).sum()
    assert float(chi) < 31.3  # 0.1 % of chi squared with 11 degrees of freedom
    inside = sigma[found.law.place(sigma) == int(p.argmax())].double().log()
    edges = found.law.edges()[int(p.argmax()) :][:2]
    share = (inside - edges[0]) / (edges[1] - edges[0])
    assert float(share.mean()) == pytest.approx(0.5, abs=0.01)
    assert float(share.var()) == pytest.approx(1 / 12, abs=0.003)
    assert sigma.dtype == torch.float32


@given(u=st.floats(2.0**-54, 1 - 2.0**-53), bins=st.integers(1, 70), place=st.integers(0, 69))
def test_every_uniform_number_gives_a_level_of_the_range(u: float, bins: int, place: int) -> None:
    law = schedule(bins=bins).law
    running = known_gap(law, place % bins)
    sigma = law.levels(torch.tensor([u], dtype=torch.float64), running)
    assert law.sigma[0] * (1 - 1e-12) <= float(sigma) <= law.sigma[-1] * (1 + 1e-12)
    p = law.probabilities(running)
    at = int(law.place(sigma))
    rounding = 1e-9
    assert float(p[:at].sum()) - rounding <= u <= float(p[: at + 1].sum()) + rounding


# ---------------------------------------------------------------------------------------- running means


def test_running_means_by_hand() -> None:
    found = schedule(bins=4, memory=10)
    before = found.running.clone()
    centres = found.law.centres()
    found.update(centres[[1, 1, 3]], torch.tensor([0.2, 0.4, 5.0], dtype=torch.float64))
    kept = 0.9 ** np.array([0, 2, 0, 1])
    expected = kept * before.numpy() + (1 - kept) * np.array([0, 0.3, 0, 5.0])
    np.testing.assert_allclose(found.running.numpy(), expected, rtol=1e-12)


def test_a_schedule_goes_on_from_its_state() -> None:
    whole, first = schedule(), schedule()
    draws, again = generator(1), generator(1)

    def steps(found: LossGapSchedule, source: torch.Generator, count: int) -> list[torch.Tensor]:
        made = []
        for _ in range(count):
            sigma = found.sample(32, source)
            found.update(sigma, sigma.square() / (1 + sigma.square()))
            made.append(sigma)
        return made

    expected = steps(whole, draws, 20)
    found = steps(first, again, 8)
    second = schedule()
    second.load_state_dict({name: value.clone() for name, value in first.state_dict().items()})
    found += steps(second, again, 12)
    assert all(torch.equal(a, b) for a, b in zip(expected, found, strict=True))
    assert torch.equal(whole.running, second.running)
    assert not torch.equal(whole.running, first.running)


def test_sums_of_parts_of_a_batch_add() -> None:
    law = schedule().law
    sigma = schedule().sample(100, generator())
    parts = [law.seen(sigma[rows], sigma[rows]) for rows in (slice(0, 30), slice(30, 100))]
    torch.testing.assert_close(parts[0] + parts[1], law.seen(sigma, sigma))
    assert float(law.seen(sigma, sigma)[0].sum()) == 100


# ---------------------------------------------------------------------------------------------- mistakes

BAD = plain_curve([1.0, 2.0], [0.1, 0.2])


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: LossGapSchedule(CURVE, 0), "dimensions must be the number of values"),
        (lambda: schedule(clip=0.0), "clip must be a finite number above 0, not 0.0"),
        (lambda: schedule(bump=-1.0), "bump must be a finite number of at least 0"),
        (lambda: schedule(floor=0.0), "floor must be a share above 0"),
        (lambda: schedule(shift=math.nan), "shift must be a finite number"),
        (lambda: schedule(bins=0), "bins must be a whole number of at least 1"),
        (lambda: LossGapSchedule(plain_curve([1.0], [0.1]), 1), "at least two noise levels"),
        (lambda: LossGapSchedule(plain_curve([1.0, 1.0], [0.1, 0.1]), 1), "must differ and be positive"),
        (lambda: LossGapSchedule(plain_curve([1.0, 2.0], [0.1, 0.2], 0.0), 1), "without variance"),
        (lambda: schedule().weight(torch.tensor([0.5, 41.0])), "noise level 41 is outside the curve's 0.01"),
        (lambda: schedule().weight(torch.tensor([math.nan])), "noise level nan is outside"),
        (lambda: schedule().update(torch.tensor([1e-3]), torch.ones(1)), "noise level 0.001 is outside"),
        (lambda: schedule().update(torch.ones(2), torch.ones(3)), "one each per image, not [2] and [3]"),
        (lambda: schedule().update(torch.ones(2, 1), torch.ones(2, 1)), "one each per image"),
        (lambda: schedule().update(torch.ones(1), torch.tensor([math.nan])), "NaN, infinite or negative"),
        (lambda: schedule().update(torch.ones(1), torch.tensor([-1.0])), "NaN, infinite or negative"),
        (lambda: schedule().sample(0), "n must be a whole number of at least 1, not 0"),
        (lambda: schedule().load_state_dict({}), "not nothing"),
        (lambda: schedule().load_state_dict(schedule(bins=3).state_dict()), "The state has 3 bins"),
        (lambda: schedule().load_state_dict(LossGapSchedule(BAD, 1).state_dict()), "another sigma curve"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_sentence(make, said: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(UserError, match=re.escape(said)):
        make()


def test_a_mistake_leaves_the_running_means_alone() -> None:
    found = schedule()
    before = found.running.clone()
    with pytest.raises(UserError):
        found.update(torch.ones(2), torch.tensor([0.1, math.inf]))
    assert torch.equal(found.running, before)


# ----------------------------------------------------------------------------------------- training loops


def trained(found: LossGapSchedule | None, steps: int) -> NetworkDenoiser:
    """A small network in a plain torch loop: under the schedule, or under EDM's law and weight."""
    images, source = digits(), generator(3)
    model = NetworkDenoiser(seeded(0, lambda: MLP((1, 8, 8), 48, 2)))
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    for _ in range(steps):
        x0 = images[torch.randint(len(images), (128,), generator=source)]
        if found is None:
            sigma = torch.exp(1.2 * torch.randn(128, generator=source) - 1.2)
        else:
            sigma = found.sample(len(x0), source)
        noise = torch.randn(x0.shape, generator=source)
        error = (model(x0 + sigma.view(-1, 1, 1, 1) * noise, sigma) - x0).square().flatten(1).mean(1)
        if found is None:
            loss = ((sigma**2 + 0.25) / (0.5 * sigma) ** 2 * error).mean()
        else:
            loss = (found.weight(sigma) * error).mean()
            found.update(sigma, error)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model


def test_three_lines_in_a_plain_loop() -> None:
    found = schedule()
    start = found.probabilities
    model, before = trained(found, 600), trained(found=schedule(), steps=0)
    critical = found.law.critical
    levels = torch.tensor([critical / 8, critical / 4, critical / 2], dtype=torch.float64)
    gaps = [loss_gap(one, digits(), levels, draws=400).gap for one in (before, model)]
    assert bool((gaps[1] < gaps[0]).all())  # left of sigma*, where the second term looks
    assert float(gaps[1][2] / gaps[0][2]) < 0.7
    assert float((found.probabilities - start).abs().sum()) > 0.05
    # What the running means say of the losses is what they are.
    centres = found.law.centres()
    often = (found.probabilities > 1.5 / len(centres)) & (centres > critical / 4)
    told = found.running[often]
    measured = loss_gap(model, digits(), centres[often], draws=800).loss / D
    assert len(told) >= 3
    torch.testing.assert_close(told, measured, rtol=0.3, atol=0)


def test_three_lines_in_a_loop_of_diffusers() -> None:
    """Discrete times and eps prediction: the noise ratio of a time is the noise level, and |D - x0|^2 is
    ratio^2 times the error of eps."""
    if importlib.util.find_spec("diffusers") is None:
        pytest.skip("diffusers is not installed (make test installs it)")
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    data.sets.load_torchvision()  # which diffusers loads, and a torch for the CPU alone refuses
    from diffusers import DDPMScheduler, UNet2DModel

    noising = DDPMScheduler(num_train_timesteps=1000)
    ratios = ((1 - noising.alphas_cumprod) / noising.alphas_cumprod).sqrt()
    images, source = digits(), generator(5)
    curve = optimal_loss(images, noise_levels(40, float(ratios[0]), float(ratios[-1])))
    model = seeded(0, lambda: small_unet(UNet2DModel))
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    found, losses = LossGapSchedule(curve, dimensions=D), []
    start = found.probabilities
    for _ in range(60):
        x0 = images[torch.randint(len(images), (64,), generator=source)]
        t = nearest(ratios, found.sample(len(x0), source))  # 1
        sigma = ratios[t]
        noise = torch.randn(x0.shape, generator=source)
        eps = model(noising.add_noise(x0, noise, t), t).sample
        error = sigma**2 * (eps - noise).square().flatten(1).mean(1)
        loss = (found.weight(sigma) * error).mean()  # 2
        found.update(sigma, error)  # 3
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert np.isfinite(losses).all()
    assert np.mean(losses[-10:]) < 0.5 * np.mean(losses[:10])
    assert bool(torch.isfinite(found.running).all())
    assert float((found.probabilities - start).abs().sum()) > 0.05


def small_unet(kind: type) -> torch.nn.Module:
    return kind(
        sample_size=8, in_channels=1, out_channels=1, block_out_channels=(16, 32), layers_per_block=1,
        down_block_types=("DownBlock2D", "DownBlock2D"), up_block_types=("UpBlock2D", "UpBlock2D"),
        norm_num_groups=8, attention_head_dim=8,
    )  # fmt: skip


def nearest(ratios: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
    """The times whose noise ratios are nearest in their logarithm."""
    return (ratios.log() - sigma.log()[:, None]).abs().argmin(1)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA GPU here")
def test_levels_and_weights_on_a_gpu() -> None:
    found = schedule()
    there = torch.Generator("cuda").manual_seed(0)
    sigma = found.sample(100, there)
    assert sigma.device.type == "cuda"
    weight = found.weight(sigma)
    assert weight.device == sigma.device
    torch.testing.assert_close(weight.cpu(), found.weight(sigma.cpu()))
    found.update(sigma, sigma)
    assert bool(torch.isfinite(found.running).all())
