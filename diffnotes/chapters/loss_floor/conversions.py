"""The loss of one exact denoiser in every prediction target, and the factor that should stand between them.

All targets are affine in x0 once x_t is known, so their losses differ by a factor per t (Xu et al., arXiv
2506.13763, Eqs. 3-5). The factors are written here as one would on paper, apart from `process`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from diffnotes import data
from diffnotes.base.runtime import normals
from diffnotes.base.shapes import Float, Tensor
from diffnotes.data import fingerprint
from diffnotes.posterior import ExactDenoiser
from diffnotes.process import SIGMA_DATA, VE, VP, FlowMatching, Process
from diffnotes.store import Arrays, Experiment, Spec, Tolerance, Work, number, numbers

PROCESSES: dict[str, Process] = {"VE": VE(), "VP": VP(), "FM": FlowMatching()}
Factor = Callable[[Process, Tensor], Tensor]


def _x0(p: Process, t: Tensor) -> Tensor:
    return torch.ones_like(t)


def _eps(p: Process, t: Tensor) -> Tensor:
    return p.alpha(t) ** 2 / p.sigma(t) ** 2


def _score(p: Process, t: Tensor) -> Tensor:
    return p.alpha(t) ** 2 / p.sigma(t) ** 4


def _velocity(p: Process, t: Tensor) -> Tensor:
    return (p.alpha_dot(t) - p.alpha(t) * p.sigma_dot(t) / p.sigma(t)) ** 2


def _v(p: Process, t: Tensor) -> Tensor:
    return 1 / p.sigma(t) ** 2


def _flow(p: Process, t: Tensor) -> Tensor:
    return 1 / t**2


def _f(p: Process, t: Tensor) -> Tensor:
    s = p.sigma(t) / p.alpha(t)
    return (s**2 + SIGMA_DATA**2) / (s * SIGMA_DATA) ** 2


ROWS: tuple[tuple[str, str, str, Factor], ...] = (  # process, target, factor as text, factor
    ("VE", "x0", "1", _x0), ("VE", "eps", "1/σ²", _eps), ("VE", "score", "1/σ⁴", _score),
    ("VE", "velocity", "1/σ²", _velocity), ("VE", "F", "(σ² + σ_d²)/(σ σ_d)²", _f),
    ("VP", "x0", "1", _x0), ("VP", "eps", "α²/σ²", _eps), ("VP", "score", "α²/σ⁴", _score),
    ("VP", "velocity", "(α′ − α σ′/σ)²", _velocity), ("VP", "v", "1/σ²", _v),
    ("VP", "F", "(s² + σ_d²)/(s σ_d)²", _f),
    ("FM", "x0", "1", _x0), ("FM", "eps", "(1 − t)²/t²", _eps), ("FM", "score", "(1 − t)²/t⁴", _score),
    ("FM", "velocity", "1/t²", _flow),
)  # fmt: skip


@dataclass(frozen=True)
class ConversionSpec(Spec):
    """Settings of the check; the noise ratio s = sigma/alpha is in units of pixels in [-1, 1]."""

    n: int = number(1000, low=2, high=1198, help="digits behind the exact denoiser")
    draws: int = number(2000, low=2, high=100_000, help="noisy images for each row and noise level")
    ratios: tuple[float, ...] = numbers((0.5, 1.0, 2.0, 10.0), low=0.01, high=100.0, help="noise ratios s")
    seed: int = number(0, low=0, high=2**31, help="seed of the digits and of the noise")


def compute(spec: ConversionSpec, work: Work) -> Arrays:
    """Measured losses [rows, ratios] of each target, and the factors on paper."""
    digits = data.load("digits", n=spec.n, seed=spec.seed).x
    x0 = digits[torch.arange(spec.draws) % len(digits)].double()
    eps = normals(spec.seed, "loss conversions", range(spec.draws), x0.shape[1:], torch.float64)
    s = torch.tensor(spec.ratios, dtype=torch.float64)
    loss, factor = [], []
    for name, target, _, formula in ROWS:
        process = PROCESSES[name]
        times = process.time(s)
        loss.append([_loss(process, target, t, x0, eps, digits) for t in times])
        factor.append(formula(process, times).tolist())
    names, targets, texts, _ = zip(*ROWS, strict=True)
    return {
        "process": np.array(names), "target": np.array(targets), "formula": np.array(texts),
        "ratio": np.array(spec.ratios), "loss": np.array(loss), "factor": np.array(factor),
    }  # fmt: skip


def _loss(
    process: Process, target: str, t: Tensor, x0: Float[Tensor, "b ..."], eps: Tensor, points: Tensor
) -> float:
    """Mean squared error of the exact denoiser's prediction of `target` against the target itself."""
    noisy = process.noisy(x0, eps, t)
    denoised = ExactDenoiser(points)(*process.to_ve(noisy, t))
    predicted = process.from_x0(denoised, noisy, t, target)
    a, b = process.coefficients(target, t)
    return float((predicted - (a * x0 + b * eps)).flatten(1).square().sum(1).mean())


def _fingerprints(spec: ConversionSpec) -> dict[str, str]:
    return {"digits": fingerprint("digits", spec.n, seed=spec.seed)}


EXPERIMENT = Experiment(
    name="loss_conversions",
    version=1,
    spec=ConversionSpec,
    profiles={"smoke": ConversionSpec(n=100, draws=150, ratios=(0.5, 2.0)), "laptop": ConversionSpec()},
    compute=compute,
    seconds={"smoke": 1, "laptop": 20},
    data=_fingerprints,
    tolerance=Tolerance(1e-7, why="float32 products where float64 would not show: 1e-8"),
)
