from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from diffnotes.base.errors import UserError
from diffnotes.base.runtime import normals
from diffnotes.process import TARGETS, VE, VP, FlowMatching, Process, edm_scalings, noise_levels

PROCESSES = [VE(), VP(), FlowMatching()]
RATIOS = st.floats(0.002, 80.0)


def tensor(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


@pytest.mark.parametrize("process", PROCESSES)
@given(ratio=RATIOS)
def test_time_inverts_the_noise_ratio(process: Process, ratio: float) -> None:
    s = tensor(ratio)
    t = process.time(s)
    assert 0 < t < process.t_max * (1 + 1e-12)
    torch.testing.assert_close(process.noise_ratio(t), s, rtol=1e-9, atol=0)
    torch.testing.assert_close(process.sigma(t) / process.alpha(t), s, rtol=1e-9, atol=0)


@pytest.mark.parametrize("process", PROCESSES)
@given(ratio=RATIOS)
def test_derivatives_match_automatic_differentiation(process: Process, ratio: float) -> None:
    t = process.time(tensor(ratio)).requires_grad_()
    for function, derivative in ((process.alpha, process.alpha_dot), (process.sigma, process.sigma_dot)):
        value = function(t)
        slope = torch.autograd.grad(value.sum(), t)[0] if value.requires_grad else torch.zeros_like(t)
        torch.testing.assert_close(derivative(t), slope, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("process", PROCESSES)
@pytest.mark.parametrize("target", TARGETS)
@given(ratio=RATIOS, seed=st.integers(0, 2**32))
def test_targets_round_trip(process: Process, target: str, ratio: float, seed: int) -> None:
    x0, eps = normals(seed, "process", [0, 1], (2, 3, 4), torch.float64)
    t = process.time(tensor(ratio, 1.0))
    x = process.noisy(x0, eps, t)
    a, b = (c[:, None, None] for c in process.coefficients(target, t))
    y = process.from_x0(x0, x, t, target)
    torch.testing.assert_close(y, a * x0 + b * eps, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(process.to_x0(y, x, t, target), x0, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("process", PROCESSES)
@pytest.mark.parametrize("target", TARGETS)
@given(ratio=RATIOS)
def test_loss_factors_convert_squared_errors(process: Process, target: str, ratio: float) -> None:
    x0, eps, wrong = normals(0, "process", range(3), (1, 50), torch.float64)
    t = process.time(tensor(ratio))
    x = process.noisy(x0, eps, t)
    error = process.from_x0(wrong, x, t, target) - process.from_x0(x0, x, t, target)
    factor = (error**2).sum() / ((wrong - x0) ** 2).sum()
    torch.testing.assert_close(process.loss_factor(target, t)[0], factor, rtol=1e-6, atol=0)


@given(ratio=RATIOS)
def test_loss_factors_are_those_of_the_table(ratio: float) -> None:
    s, sd = tensor(ratio), 0.5
    for process in PROCESSES:
        t = process.time(s)
        alpha, sigma = process.alpha(t), process.sigma(t)
        for target, factor in (("x0", s / s), ("eps", s**-2), ("score", (alpha / sigma**2) ** 2)):
            torch.testing.assert_close(process.loss_factor(target, t), factor, rtol=1e-6, atol=0)
        edm = (s**2 + sd**2) / (s * sd) ** 2
        torch.testing.assert_close(process.loss_factor("F", t), edm, rtol=1e-6, atol=0)
        torch.testing.assert_close(process.loss_factor("F", t), edm_scalings(s)[1] ** -2, rtol=1e-6, atol=0)
    flow, vp = FlowMatching(), VP()
    torch.testing.assert_close(flow.loss_factor("velocity", flow.time(s)), flow.time(s) ** -2)
    torch.testing.assert_close(vp.loss_factor("v", vp.time(s)), vp.sigma(vp.time(s)) ** -2)


def test_flow_matching_velocity_is_noise_minus_data_and_moves_the_point() -> None:
    x0, eps = normals(1, "process", range(2), (3, 2), torch.float64)
    for process in PROCESSES:
        t = process.time(tensor(0.3, 1.0, 5.0))
        y = process.from_x0(x0, process.noisy(x0, eps, t), t, "velocity")
        slope = (process.noisy(x0, eps, t + 1e-6) - process.noisy(x0, eps, t - 1e-6)) / 2e-6
        torch.testing.assert_close(y, slope, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(y, eps - x0)


def test_monte_carlo_losses_of_a_gaussian_convert() -> None:
    """The optimal losses of one Gaussian variable, by simulation, are in the ratios the factors say."""
    draws = normals(2, "process", range(2), (1, 200_000), torch.float64)
    x0, eps = 0.7 * draws[0], draws[1]
    for process in PROCESSES:
        t = process.time(tensor(0.8))
        x = process.noisy(x0, eps, t)
        best = x / process.alpha(t) * 0.49 / (0.49 + 0.64)  # E[x0 | x] of a Gaussian of variance 0.49
        for target in TARGETS:
            a, b = process.coefficients(target, t)
            loss = ((process.from_x0(best, x, t, target) - (a * x0 + b * eps)) ** 2).mean()
            optimum = process.loss_factor(target, t) * 0.49 * 0.64 / (0.49 + 0.64)
            assert abs(float(loss / optimum) - 1) < 4 * math.sqrt(2 / 200_000)


@pytest.mark.parametrize("process", PROCESSES)
def test_the_common_frame(process: Process) -> None:
    x0, eps = normals(3, "process", range(2), (2, 5), torch.float64)
    t = process.time(tensor(0.1, 3.0))
    x, s = process.to_ve(process.noisy(x0, eps, t), t)
    torch.testing.assert_close(x, x0 + s[:, None] * eps)
    scalar = process.time(torch.tensor(3.0, dtype=torch.float64))
    torch.testing.assert_close(process.to_ve(process.noisy(x0, eps, scalar), scalar)[0][1], x[1])


def test_ends_of_the_paths() -> None:
    t = tensor(0.0)
    for process in PROCESSES:
        assert process.alpha(t) == 1
        assert process.sigma(t) == 0
        x = normals(0, "process", 0, (3,), torch.float64)
        torch.testing.assert_close(process.to_x0(x + 9, x, t, "eps"), x)  # without noise x is the data
    assert FlowMatching().time(tensor(math.inf)) == 1


def test_unknown_targets_and_levels_are_refused() -> None:
    with pytest.raises(UserError, match='target "noise"; choose one of x0, eps'):
        VE().coefficients("noise", tensor(1.0))
    levels = noise_levels(64)
    assert (len(levels), float(levels[0]), float(levels[-1])) == (64, pytest.approx(0.002), pytest.approx(80))
    for bad in ((1, 0.1, 1.0), (5, 0.0, 1.0), (5, 2.0, 1.0), (5, 1.0, math.inf)):
        with pytest.raises(UserError, match="Noise levels need"):
            noise_levels(*bad)
