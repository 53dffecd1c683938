"""What must hold on a GPU, each thing against the CPU or against the plain way on the same device.

A check is a function of a device that returns deviations with their tolerances; it needs nothing but the
package. `tests/tools/test_cuda.py` runs all of them under pytest, `tools/gpu_session.py` without it. On the
CPU they compare other orders of addition and of memory: a dry run, in which each can be seen to fail.
"""

from __future__ import annotations

import contextlib
import math
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn

from diffnotes.base import runtime
from diffnotes.networks import denoiser as networks
from diffnotes.optimal_loss import estimate as optimal_loss
from diffnotes.posterior import posterior
from diffnotes.process import FlowMatching
from diffnotes.sample import flow_times, sample
from diffnotes.train import DenoisingLoss, Plan, UniformTime, train

CPU = torch.device("cpu")
SHAPE, CLASSES = (3, 8, 8), 10
IMAGES, BATCH, STEPS, SAMPLES = 64, 16, 4, 6
SIGMAS = (0.02, 0.1, 0.5, 2.0, 50.0)

# Tolerances. Posteriors promise 1e-6 of the float64 answer: ten times that. float32 sums of some thousand
# terms in another order: 1e-6 each, up to 1e-4 through a network and back. Adam divides a gradient by its own
# size, so entries of rounding size move the weights as far as any: 1e-2 of the way. bfloat16 has 8 bits, and
# each of some thirty layers rounds: 1 to 2 % of a gradient is measured on CPUs.
EXACT, ROUNDING, WAY, HALF = 1e-5, 1e-4, 1e-2, 0.06


@dataclass(frozen=True)
class Deviation:
    """How far something is off, and how far it may be."""

    what: str
    value: float
    tolerance: float

    @property
    def passed(self) -> bool:
        return self.value <= self.tolerance  # NaN is not


def _relative(found: Tensor, expected: Tensor) -> float:
    """|found - expected| / |expected|, on the CPU in float64."""
    a, b = found.detach().cpu().double(), expected.detach().cpu().double()
    return float((a - b).norm() / b.norm())


def _largest(found: Tensor, expected: Tensor) -> float:
    """The largest difference."""
    return float((found.cpu().double() - expected.cpu().double()).abs().max())


# --------------------------------------------------------------------------------- posterior and optimal loss


def _sets() -> dict[str, Tensor]:
    """Made-up images: float32 [500, 3, 4, 4], and bytes [300, 3, 8, 8]."""
    floats = 0.5 * runtime.normals(0, "check, floats", range(500), (3, 4, 4))
    bytes_ = (127.5 + 60 * runtime.normals(0, "check, bytes", range(300), (3, 8, 8))).clamp(0, 255).byte()
    return {"float32": floats, "uint8": bytes_}


def _in_float64(x: Tensor, sigma: float, points: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean [b, d], log_z [b] and ln ess [b] by the definition, on the CPU."""
    logits = -(x.double()[:, None] - points[None]).square().sum(2) / (2 * sigma**2)
    log_z = logits.logsumexp(1)
    weights = (logits - log_z[:, None]).exp()
    return weights @ points, log_z, -weights.square().sum(1).log()


def posterior_matches(where: torch.device, candidate: Callable[..., Any] = posterior) -> list[Deviation]:
    """Posterior means, log-partitions and effective sizes against their definition in float64 on the CPU."""
    found = []
    for kind, points in _sets().items():
        plain = points.double().flatten(1)
        plain = plain / 127.5 - 1 if points.dtype == torch.uint8 else plain
        worst = torch.zeros(3)
        for sigma in SIGMAS:
            noise = runtime.normals(1, f"check, {kind}", range(24), points.shape[1:])
            x = (plain[:24].view(noise.shape) + sigma * noise).float()
            ours = candidate(x.to(where), sigma, points.to(where))
            values = (ours.mean.flatten(1), ours.log_z, ours.ess.log())
            right = _in_float64(x.flatten(1), sigma, plain)
            off = [_largest(a, b) for a, b in zip(values, right, strict=True)]
            worst = torch.maximum(worst, torch.tensor(off))
        names = ("mean", "log partition", "log effective size")
        found += [Deviation(f"{name}, {kind}", float(v), EXACT) for name, v in zip(names, worst, strict=True)]
    return found


def all_levels_match(
    where: torch.device, candidate: Callable[..., Any] = optimal_loss.accumulate
) -> list[Deviation]:
    """The optimal loss at all noise levels at once, in two slices there against one on the CPU."""
    sigmas = torch.logspace(-1.3, 1.3, 9, dtype=torch.float64)
    found = []
    for kind, points in _sets().items():
        right = optimal_loss.accumulate(points, sigmas, range(128)).curve()
        there = points.to(where)
        slices = candidate(there, sigmas, range(50)), candidate(there, sigmas, range(50, 128))
        ours = (slices[0] + slices[1]).curve()
        floor = 1e-6 * right.variance  # what is smaller than rounding has no relative error
        off = ((ours.mean.cpu() - right.mean).abs() / right.mean.clamp(min=floor)).max()
        found.append(Deviation(f"loss at every level, {kind}", float(off), ROUNDING))
        found.append(Deviation(f"area, {kind}", abs(float(ours.area / right.area) - 1), ROUNDING))
    return found


# ------------------------------------------------------------------------------------------------- networks


def _network() -> networks.NetworkDenoiser:
    """A small U-Net with attention and classes, none of whose layers is at zero."""

    def build() -> nn.Module:
        return networks.UNet(SHAPE, 16, (1, 2), 1, (1,), CLASSES, 32)

    model = networks.NetworkDenoiser(networks.seeded(0, build), FlowMatching(), "velocity")
    with torch.no_grad():
        for place, w in enumerate(model.parameters()):
            w += 0.05 * runtime.normals(0, "check, weights", place, w.shape)[0]
    return model


def _images() -> tuple[Tensor, Tensor]:
    return 0.5 * runtime.normals(0, "check, images", range(IMAGES), SHAPE), torch.arange(IMAGES) % CLASSES


def _objective(x: Tensor, labels: Tensor) -> Any:
    return DenoisingLoss(x, UniformTime(), FlowMatching(), "velocity", labels)


def _flat(tensors: Iterator[Tensor] | list[Tensor]) -> Tensor:
    """All entries in one vector on the CPU, whatever the order in memory."""
    return torch.cat([t.detach().cpu().reshape(-1) for t in tensors])


def _trained(where: torch.device, precision: str, objective: Callable) -> tuple[Tensor, Tensor]:
    """The gradient of the first step, and how far all weights have moved after the last."""
    model, (x, labels) = _network().to(where), _images()
    before = _flat(list(model.parameters()))
    plan, gradient = Plan(STEPS, BATCH, rate=1e-3, horizons=(2,), precision=precision), before
    with tempfile.TemporaryDirectory() as folder:
        loss = objective(x.to(where), labels.to(where))
        for snapshot in train(model, loss, plan, [1, STEPS], Path(folder)):
            if snapshot.step == 1:
                gradient = _flat([w.grad for w in model.parameters() if w.grad is not None])
    return gradient, _flat(list(model.parameters())) - before


def training_matches(where: torch.device, objective: Callable = _objective) -> list[Deviation]:
    """float32 training there against the CPU."""
    right, ours = _trained(CPU, "float32", _objective), _trained(where, "float32", objective)
    return [
        Deviation("gradient of a float32 step", _relative(ours[0], right[0]), ROUNDING),
        Deviation(f"way of the weights in {STEPS} steps", _relative(ours[1], right[1]), WAY),
    ]


def bfloat16_matches(where: torch.device, objective: Callable = _objective) -> list[Deviation]:
    """A bfloat16 step there (on a GPU compiled, as in every run) against float32 on the CPU."""
    right, ours = _trained(CPU, "float32", _objective)[0], _trained(where, "bfloat16", objective)[0]
    return [Deviation("gradient of a bfloat16 step", _relative(ours, right), HALF)]


def _answers(model: Callable, weights: nn.Module, where: torch.device) -> tuple[Tensor, Tensor]:
    """What a network says of some noisy images, and the gradient of the square of that."""
    x, labels = (v[:BATCH].to(where) for v in _images())
    sigma = torch.logspace(-1, 1, BATCH, dtype=torch.float64).to(where)
    labels = labels if x.is_cuda else None  # on the CPU they are looked at one by one, which is not compiled
    with runtime.full_precision():
        said = model(x, sigma, labels)
        weights.zero_grad(set_to_none=True)
        said.square().mean().backward()
    return said, _flat([w.grad for w in weights.parameters() if w.grad is not None])


def _compared(found: tuple[Tensor, Tensor], right: tuple[Tensor, Tensor], name: str) -> list[Deviation]:
    return [
        Deviation(f"{name}, output", _relative(found[0], right[0]), ROUNDING),
        Deviation(f"{name}, gradient", _relative(found[1], right[1]), ROUNDING),
    ]


def _compile(model: nn.Module) -> Callable:
    """As in training; on the CPU traced and not made into kernels, which would need a C++ compiler."""
    cuda = next(model.parameters()).is_cuda
    return torch.compile(model) if cuda else torch.compile(model, backend="aot_eager")


def compiled_matches(
    where: torch.device, candidate: Callable[[nn.Module], Callable] = _compile
) -> list[Deviation]:
    """A compiled network against the same one uncompiled, on one device."""
    model = _network().to(where)
    right = _answers(model, model, where)
    return _compared(_answers(candidate(model), model, where), right, "compiled")


@contextlib.contextmanager
def _channels_first() -> Iterator[None]:
    """Networks keep images as they come, whatever is fastest."""
    with mock.patch.object(networks, "layout", return_value=torch.contiguous_format):
        yield


def _channels_last(model: nn.Module) -> nn.Module:
    return model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def channels_last_matches(
    where: torch.device, candidate: Callable[[nn.Module], nn.Module] = _channels_last
) -> list[Deviation]:
    """A network with channels last in memory against the same one with channels first, on one device."""
    plain, other = _network().to(where), candidate(_network().to(where))
    with _channels_first():
        right = _answers(plain, plain, where)
    return _compared(_answers(other, other, where), right, "channels last")


def samples_match(where: torch.device, candidate: Callable[..., Tensor] = sample) -> list[Deviation]:
    """Samples by both solvers, in two blocks there, in one here."""
    found = []
    for solver in ("euler", "heun"):
        options: dict[str, Any] = {"process": FlowMatching(), "solver": solver}
        options |= {"labels": torch.arange(SAMPLES) % CLASSES}
        with runtime.full_precision(), torch.no_grad():
            right = sample(_network(), SHAPE, SAMPLES, flow_times(8), **options)
            there = _network().to(where)
            ours = candidate(there, SHAPE, SAMPLES, flow_times(8), batch=4, device=where, **options)
        found.append(Deviation(f"samples, {solver}", _relative(ours, right), ROUNDING))
    return found


Check = Callable[[torch.device], list[Deviation]]
CHECKS: dict[str, Check] = {
    "posterior": posterior_matches,
    "all noise levels": all_levels_match,
    "float32 training": training_matches,
    "channels last": channels_last_matches,
    "sampling": samples_match,
    "compiled": compiled_matches,  # before the next one, which needs it on a GPU
    "bfloat16 training": bfloat16_matches,
}


def worst(found: list[Deviation]) -> float:
    """The largest share of its tolerance that a deviation takes; infinity where one is no number."""
    return max((d.value / d.tolerance if math.isfinite(d.value) else math.inf) for d in found)


def main(name: str, device: str) -> int:
    """One check in a process of its own; the exit code says whether it passed."""
    found = CHECKS[name](torch.device(device))
    print("\n".join(f"{d.what}: {d.value:.2e} (at most {d.tolerance:g})" for d in found))
    return int(worst(found) > 1)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
