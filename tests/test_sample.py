"""Samplers against the exact solution of the ODE for Gaussian data."""

from __future__ import annotations

import pytest
import torch

from diffnotes.base.errors import UserError
from diffnotes.process import VE, VP, FlowMatching
from diffnotes.sample import (
    conditioned,
    edm_sigmas,
    flow_times,
    guided,
    initial_noise,
    sample,
    trajectory,
)

MEAN = torch.tensor([0.5, -1.0, 2.0], dtype=torch.float64)
VARIANCE = torch.tensor([0.04, 1.0, 9.0], dtype=torch.float64)


def wiener(x: torch.Tensor, sigma: float | torch.Tensor) -> torch.Tensor:
    """E[x0|x] for independent normals with these means and variances."""
    level = torch.as_tensor(sigma).reshape(-1, 1)
    return (MEAN + VARIANCE / (VARIANCE + level**2) * (x - MEAN)).to(x.dtype)


POINTS = initial_noise(range(20), (3,), seed=5)


def nearest(x: torch.Tensor, sigma: float | torch.Tensor) -> torch.Tensor:
    """E[x0|x] for twenty points, in two matrix products: what a batch adds up can differ in the last bit."""
    points, level = POINTS.to(x.dtype), torch.as_tensor(sigma, dtype=x.dtype).reshape(-1, 1)
    return torch.softmax((x @ points.T - points.square().sum(1) / 2) / level**2, 1) @ points


def exact(x: torch.Tensor, start: float, end: float) -> torch.Tensor:
    """The VE solution: (x - m)/sqrt(variance + sigma^2) does not change along the ODE."""
    return MEAN + ((VARIANCE + end**2) / (VARIANCE + start**2)).sqrt() * (x - MEAN)


def noise(rows: int = 4) -> torch.Tensor:
    return initial_noise(range(rows), (3,), dtype=torch.float64)


def test_the_edm_grid() -> None:
    grid = edm_sigmas(18)
    assert grid.shape == (19,)
    assert (float(grid[0]), float(grid[-2]), float(grid[-1])) == (80.0, 0.002, 0.0)
    seventh = grid[:-1] ** (1 / 7)
    torch.testing.assert_close(
        seventh.diff(), torch.full((17,), float((0.002 ** (1 / 7) - 80 ** (1 / 7)) / 17)).double()
    )
    torch.testing.assert_close(edm_sigmas(3, 1.0, 9.0, 1.0), torch.tensor([9.0, 5.0, 1.0, 0.0]).double())


def test_the_flow_grid_starts_at_a_noise_ratio() -> None:
    grid = flow_times(4, high=9.0)
    torch.testing.assert_close(grid, torch.tensor([0.9, 0.675, 0.45, 0.225, 0.0]).double())


@pytest.mark.parametrize(("solver", "order"), [("euler", 1), ("heun", 2)])
@pytest.mark.parametrize("process", [VE(), FlowMatching(), VP()], ids=["ve", "flow", "vp"])
def test_orders_of_convergence(solver: str, order: int, process: VE | FlowMatching | VP) -> None:
    high, low = 4.0, 0.5
    start, end = (float(process.time(torch.tensor(s, dtype=torch.float64))) for s in (high, low))
    x = noise() * high
    errors = []
    for steps in (40, 80, 160):
        times = torch.linspace(start, end, steps + 1, dtype=torch.float64)
        *_, last = trajectory(wiener, x * process.alpha(times[0]), times, process, solver)
        reached = last.x / process.alpha(times[-1])
        errors.append(float((reached - exact(x, high, low)).norm()))
    rates = [errors[0] / errors[1], errors[1] / errors[2]]
    assert rates == pytest.approx([2**order, 2**order], rel=0.08)


@pytest.mark.parametrize(("times", "process"), [(edm_sigmas(200), VE()), (flow_times(4000), FlowMatching())])
def test_samples_follow_the_exact_map(times: torch.Tensor, process: VE | FlowMatching) -> None:
    got = sample(wiener, (3,), 50, times, process=process, dtype=torch.float64)
    torch.testing.assert_close(got, exact(80 * noise(50), 80.0, 0.0), rtol=0, atol=4e-3)


def test_euler_by_hand() -> None:
    states = list(
        trajectory(lambda x, s: x / 2, torch.tensor([[8.0]]), torch.tensor([4.0, 2.0, 0.0]), solver="euler")
    )
    assert [float(state.x) for state in states] == [8.0, 6.0, 3.0]  # slopes 1 and 1.5
    assert [float(state.denoised) for state in states] == [4.0, 3.0, 3.0]
    assert [state.noise_ratio for state in states] == [4.0, 2.0, 0.0]


def test_heun_by_hand_ends_with_an_euler_step() -> None:
    states = list(trajectory(lambda x, s: x / 2, torch.tensor([[8.0]]), torch.tensor([4.0, 2.0, 0.0])))
    assert [float(state.x) for state in states] == [8.0, 5.5, 2.75]  # slopes (1 + 1.5)/2 and 1.375


@pytest.mark.parametrize("batch", [1, 3, 8])
@pytest.mark.parametrize("solver", ["euler", "heun"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_batches_do_not_change_a_sample(solver: str, batch: int, dtype: torch.dtype) -> None:
    options = {"solver": solver, "dtype": dtype}
    for denoise in (wiener, nearest):
        whole = sample(denoise, (3,), 11, edm_sigmas(6), batch=100, **options)
        assert whole.dtype == dtype
        for count in (11, 5):
            part = sample(denoise, (3,), count, edm_sigmas(6), batch=batch, **options)
            rounding = 1e-10 if dtype == torch.float64 else 2e-5
            torch.testing.assert_close(part, whole[:count], rtol=rounding, atol=rounding)
            if denoise is wiener:  # element by element: nothing can differ
                assert torch.equal(part, whole[:count])


CLASS_MEANS = torch.tensor([-4.0, 1.0, 7.0, 0.5], dtype=torch.float64)  # the last is that of "no class", -1


def of_class(x: torch.Tensor, sigma: float | torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """E[x0|x] if each class is a normal of variance 1 around its mean."""
    level = torch.as_tensor(sigma, dtype=x.dtype).reshape(-1, 1)
    return (x + level**2 * CLASS_MEANS[labels, None].to(x.dtype)) / (1 + level**2)


def test_guidance_is_one_call_that_extrapolates() -> None:
    x, labels, calls = noise(3), torch.tensor([0, 2, -1]), []

    def counted(x: torch.Tensor, sigma: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        calls.append(len(x))
        return of_class(x, sigma, labels)

    for sigma in (torch.tensor(2.0), torch.tensor([1.0, 2.0, 3.0])):
        mine, none = (of_class(x, sigma, y) for y in (labels, torch.full((3,), -1)))
        torch.testing.assert_close(conditioned(counted, labels, 1.5)(x, sigma), 2.5 * mine - 1.5 * none)
        assert torch.equal(conditioned(counted, labels)(x, sigma), mine)
    assert calls == [6, 3, 6, 3]


@pytest.mark.parametrize("guidance", [0.0, 2.0])
def test_labels_go_with_their_samples(guidance: float) -> None:
    labels = torch.tensor([0, 2, 1, 1, 0, 2, -1, 0])
    options = {"labels": labels, "guidance": guidance, "dtype": torch.float64}
    got = sample(of_class, (3,), 8, edm_sigmas(100), **options)
    means = ((1 + guidance) * CLASS_MEANS[labels] - guidance * CLASS_MEANS[-1])[:, None]
    torch.testing.assert_close(got, means + (80 * noise(8) - means) / (1 + 80**2) ** 0.5, rtol=0, atol=4e-3)
    for batch in (1, 3):
        assert torch.equal(sample(of_class, (3,), 8, edm_sigmas(100), batch=batch, **options), got)


def test_autoguidance_by_hand() -> None:
    x, labels = noise(3), torch.tensor([0, 2, 1])

    def bad(x: torch.Tensor, sigma: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return of_class(x, sigma, labels) + 1 + labels[:, None]

    push = guided(of_class, bad, 2.0)(x, torch.tensor(0.5), labels) - of_class(x, 0.5, labels)
    torch.testing.assert_close(push, -2.0 * (1 + labels[:, None]) * torch.ones_like(x))
    assert guided(of_class, bad, 0.0) is of_class
    unlabelled = guided(wiener, lambda x, sigma: wiener(x, sigma) - 1, 0.5)
    torch.testing.assert_close(unlabelled(x, 1.0), wiener(x, 1.0) + 0.5)


def test_noise_depends_on_seed_stream_and_index_alone() -> None:
    first = initial_noise(range(5), (2, 3))
    assert torch.equal(initial_noise([4, 1], (2, 3)), first[[4, 1]])
    for other in (initial_noise(range(5), (2, 3), seed=1), initial_noise(range(5), (2, 3), stream="other")):
        assert not torch.isclose(other, first).any()


def test_stopping_early_asks_for_nothing_more() -> None:
    asked = []

    def denoise(x: torch.Tensor, sigma: float | torch.Tensor) -> torch.Tensor:
        asked.append(float(sigma))
        return wiener(x, sigma)

    states = trajectory(denoise, 80 * noise(), edm_sigmas(10), solver="euler")
    state = [next(states), next(states)][1]
    assert asked == [80.0, pytest.approx(float(edm_sigmas(10)[1]))]
    torch.testing.assert_close(state.denoised, wiener(state.x, state.noise_ratio))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: edm_sigmas(1), "steps must be a whole number of at least 2"),
        (lambda: edm_sigmas(5, 2.0, 1.0), "0 < low < high"),
        (lambda: flow_times(0), "steps must"),
        (lambda: flow_times(3, -1.0), "noise ratio must be positive"),
        (lambda: trajectory(wiener, noise(), edm_sigmas(4), solver="rk4"), "choose one of euler, heun"),
        (lambda: sample(wiener, (3,), 2, edm_sigmas(4), solver="rk4"), "choose one of euler, heun"),
        (lambda: trajectory(wiener, noise(), edm_sigmas(4).flip(0)), "falling"),
        (lambda: trajectory(wiener, noise(), torch.tensor([1.0, -1.0])), "falling"),
        (
            lambda: trajectory(wiener, noise(), torch.tensor([1.0, 0.5]), FlowMatching()),
            "Nothing of the data",
        ),
        (lambda: sample(wiener, (3,), 0, edm_sigmas(4)), "count must"),
        (lambda: sample(wiener, (3,), 2, edm_sigmas(4), batch=0), "batch must"),
        (lambda: sample(of_class, (3,), 2, edm_sigmas(4), labels=torch.tensor([0])), "1 labels for 2"),
        (lambda: sample(of_class, (3,), 2, edm_sigmas(4), guidance=1.0), "give labels"),
    ],
)
def test_bad_input_gets_a_sentence(call, words: str) -> None:
    with pytest.raises(UserError, match=words):
        call()
