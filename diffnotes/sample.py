"""Deterministic samplers: the probability-flow ODE of a process, solved with any denoiser.

With a denoiser D(x; s) = E[x0|x] for x = x0 + s eps, the ODE of x_t = alpha x0 + sigma eps is
dx/dt = alpha' D + sigma' (x - alpha D)/sigma, with D taken at x/alpha and s = sigma/alpha. For VE it is
dx/dsigma = (x - D)/sigma (Karras et al. 2022, Eq. 1), for flow matching dx/dt = (x - D)/t. `trajectory` takes
given steps; `sample` begins from noise of its own for each sample.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch

from diffnotes.base.errors import UserError
from diffnotes.base.runtime import blocks, normals
from diffnotes.base.runtime import device as device_called
from diffnotes.base.shapes import Float, Int, Num, Tensor, checked
from diffnotes.process import VE, FlowMatching, Process, check_denoised

Denoiser = Callable[..., Tensor]  # (x [b, ...], sigma scalar or [b]) -> E[x0|x] [b, ...]
SOLVERS = ("euler", "heun")


@checked(steps=2)
def edm_sigmas(
    steps: int = 18, low: float = 0.002, high: float = 80.0, rho: float = 7.0
) -> Float[Tensor, "l"]:
    """Times of VE for `steps` steps, float64 [steps + 1], from high to low and then 0 (Karras et al. 2022).

    sigma_i = (high^(1/rho) + i/(steps - 1) (low^(1/rho) - high^(1/rho)))^rho for i < steps (Eq. 5).
    """
    if not (1e-30 <= low < high <= 1e30 and 0.5 <= rho <= 1e3):
        raise UserError(
            "The noise levels need 0 < low < high, within 1e-30 and 1e30, and rho from 0.5 to 1000, "
            f"not {low}, {high} and {rho}."
        )
    ramp = torch.linspace(high ** (1 / rho), low ** (1 / rho), steps, dtype=torch.float64) ** rho
    ramp[0], ramp[-1] = high, low
    return torch.cat([ramp, ramp.new_zeros(1)])


@checked(steps=1)
def flow_times(steps: int = 18, high: float = 80.0) -> Float[Tensor, "l"]:
    """Evenly spaced times of flow matching, float64 [steps + 1], from noise ratio `high` down to 0.

    The first is high/(1 + high) rather than 1, where x would say nothing about the data and s be infinite.
    """
    if not 0 < high < math.inf:
        raise UserError(f"The highest noise ratio must be positive and finite, not {high}.")
    start = float(FlowMatching().time(torch.tensor(high, dtype=torch.float64)))
    return torch.linspace(start, 0.0, steps + 1, dtype=torch.float64)


@checked()
def conditioned(denoise: Denoiser, labels: Int[Tensor, "b"], weight: float = 0.0) -> Denoiser:
    """The denoiser of these classes, D_y + weight (D_y - D), with D that of no class (label -1).

    `denoise` takes (x, sigma, labels). Classifier-free guidance (Ho and Salimans, arXiv 2207.12598, Eq. 6);
    weight 0 is plain conditioning and costs one evaluation, else both are made in one call of 2b rows.
    """
    _check_weight(weight)
    if weight == 0:
        return lambda x, sigma: denoise(x, sigma, labels.to(x.device))

    def guiding(x: Tensor, sigma: float | Tensor) -> Tensor:
        twice = torch.cat([labels, torch.full_like(labels, -1)]).to(x.device)
        levels = sigma.repeat(2) if isinstance(sigma, Tensor) and sigma.ndim else sigma
        both = torch.cat([x, x])
        with_class, without = check_denoised(denoise(both, levels, twice), both, levels).chunk(2)
        return with_class + weight * (with_class - without)

    return guiding


@checked()
def guided(good: Denoiser, bad: Denoiser, weight: float) -> Denoiser:
    """Autoguidance, D_+ + weight (D_+ - D_-): away from what a worse model says (arXiv 2406.02507).

    Labels, if given, go to both. Weight 0 is `good` alone and costs one evaluation.
    """
    _check_weight(weight)
    if weight == 0:
        return good

    def apart(x: Tensor, sigma: float | Tensor, *labels: Tensor | None) -> Tensor:
        better, worse = (check_denoised(model(x, sigma, *labels), x, sigma) for model in (good, bad))
        return better + weight * (better - worse)

    return apart


def _check_weight(weight: float) -> None:
    if not abs(weight) < 1e15:
        raise UserError(f"The weight of guidance must be a finite number, below 1e15, not {weight}.")


@dataclass(frozen=True)
class SamplerState:
    """A point of a trajectory: time, noise ratio, x_t, and what it would give if stopped here, E[x0|x_t]."""

    t: float
    noise_ratio: float
    x: Float[Tensor, "b ..."]
    denoised: Float[Tensor, "b ..."]


@checked()
def trajectory(
    denoise: Denoiser,
    x: Float[Tensor, "b ..."],
    times: Num[Tensor, "..."],
    process: Process | None = None,
    solver: str = "heun",
) -> Iterator[SamplerState]:
    """Solve the ODE of `process` (default VE) from x at times[0]; yield a SamplerState at each of the times.

    Euler: x += (t' - t) v(x, t). Heun: the average of v there and at the Euler point (Karras et al. 2022,
    Algorithm 1), except for a step to t' = 0, where v is not defined. At time 0, denoised = x. The state has
    the type of x. Only what is asked for is computed: to stop early, stop iterating.

    Raises UserError for an unknown solver, for times that do not fall or begin where alpha = 0, and for a
    denoiser that answers NaN or another shape.
    """
    times, process = times.detach(), VE() if process is None else process
    if solver not in SOLVERS:
        names = ", ".join(SOLVERS)
        raise UserError(f"There is no solver {solver!r}; choose one of {names}.")
    _check_times(times, process)
    return _states(denoise, x, times.double().cpu(), process, solver == "heun")


def _check_times(times: Tensor, process: Process) -> None:
    falls = times.ndim == 1 and len(times) > 0 and bool((times[1:] < times[:-1]).all())
    if not falls or not bool((times >= 0).all() and torch.isfinite(times).all()):
        raise UserError("The times must be a vector of falling, finite numbers of at least 0.")
    if not float(process.alpha(times[0].double())) > 0:
        first = float(times[0])
        raise UserError(f"Nothing of the data is left at time {first}; start below it, as flow_times does.")


def _states(
    denoise: Denoiser, x: Tensor, times: Tensor, process: Process, heun: bool
) -> Iterator[SamplerState]:
    for t, after in itertools.pairwise(times):
        state = _state(denoise, x, t, process)
        yield state
        slope = process.from_x0(state.denoised, x, t, "velocity")
        ahead = x + (after - t) * slope
        if heun and after > 0:
            corrected = _state(denoise, ahead, after, process).denoised
            slope = (slope + process.from_x0(corrected, ahead, after, "velocity")) / 2
            ahead = x + (after - t) * slope
        x = ahead
    yield _state(denoise, x, times[-1], process)


def _state(denoise: Denoiser, x: Tensor, t: Tensor, process: Process) -> SamplerState:
    if t == 0:
        return SamplerState(0.0, 0.0, x, x)
    scaled, ratio = process.to_ve(x, t)
    found = check_denoised(denoise(scaled, float(ratio)), scaled, ratio)
    return SamplerState(float(t), float(ratio), x, found)


@checked(shape=1, indices=0)
def initial_noise(
    indices: Sequence[int] | range,
    shape: Sequence[int],
    seed: int = 0,
    stream: str = "sample",
    dtype: torch.dtype = torch.float32,
) -> Float[Tensor, "b ..."]:
    """Standard normals [len(indices), *shape]: those of sample i depend on (seed, stream, i) alone."""
    if len(indices) == 0:
        raise UserError("There is no sample to make noise for; give at least one index.")
    return normals(seed, stream, indices, shape, dtype)


@checked(shape=1, count=1, batch=1)
def sample(
    denoise: Denoiser,
    shape: Sequence[int],
    count: int,
    times: Num[Tensor, "..."],
    *,
    process: Process | None = None,
    solver: str = "heun",
    seed: int = 0,
    batch: int = 64,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    labels: Int[Tensor, "b"] | None = None,
    guidance: float = 0.0,
) -> Float[Tensor, "b ..."]:
    """`count` samples [count, *shape] on the CPU, x at the last of the times; sample i depends on (seed, i).

    Each starts at sigma(times[0]) times its own noise. `batch` is how many are solved at once. With labels
    [count], sample i is of class labels[i] and depends on it too: `denoise` then takes (x, sigma, labels) and
    is guided with the weight `guidance`; see `conditioned`.
    Raises UserError as `trajectory` does, for a count or batch below 1, and for labels that do not fit.
    """
    _check_labels(labels, count, guidance)
    times, process = times.detach().double().cpu(), VE() if process is None else process
    _check_times(times, process)
    where = device_called(device) if isinstance(device, str) else device
    done = []
    for part in blocks(count, batch):
        noise = initial_noise(range(part.start, part.stop), shape, seed, dtype=dtype).to(where)
        start = process.sigma(times[0]) * noise
        chosen = None if labels is None else labels[part]
        model = denoise if chosen is None else conditioned(denoise, chosen, guidance)
        *_, last = trajectory(model, start, times, process, solver)
        done.append(last.x.cpu())
    return torch.cat(done)


def _check_labels(labels: Tensor | None, count: int, guidance: float) -> None:
    _check_weight(guidance)
    if labels is not None and labels.shape != (count,):
        raise UserError(f"There are {labels.numel()} labels for {count} samples; give one each.")
    if labels is None and guidance != 0:
        raise UserError("Guidance pushes samples towards their class; give labels too.")
