"""Models that are there already: GaussianDiffusion of denoising-diffusion-pytorch, and any module or function
with a stated target and process.

Nothing is imported from those packages: an object says by its attributes what it is.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from diffnotes.adapters.adapted import Adapted, DiscreteVP
from diffnotes.base.errors import UserError
from diffnotes.base.shapes import Tensor
from diffnotes.process import VE, VP, FlowMatching, Process

PROCESSES: dict[str, Callable[[], Process]] = {"ve": VE, "vp": VP, "flow": FlowMatching}
OBJECTIVES = {"pred_noise": "eps", "pred_x0": "x0", "pred_v": "v"}  # of denoising-diffusion-pytorch


def stated(
    function: Callable[..., Any], process: Process | str | None, target: str | None, name: str
) -> Adapted:
    """A function by what its user says of it.

    Without a target it is a denoiser already: (x, sigma[, labels]) -> E[x0|x]. With one it predicts `target`
    from (x_t, t[, labels]) under a process.
    """
    _no_relative(function)
    own = evaluated(function) if isinstance(function, nn.Module) else function
    modules = (function,) if isinstance(function, nn.Module) else ()
    if target is None:
        if process is not None:
            raise UserError("A process needs a target: what the model predicts, such as eps or velocity.")
        return Adapted(own, name, modules=modules)
    if process is None:
        raise UserError("A target needs a process, under which it is predicted: ve, vp or flow.")
    known = _process(process)
    high = float(known.noise_ratio(torch.tensor(known.t_max, dtype=torch.float64)))
    estimate = known.denoiser(own, target)
    return Adapted(estimate, name, high=high, modules=modules)


def _process(named: Process | str) -> Process:
    if isinstance(named, Process):
        return named
    if named not in PROCESSES:
        raise UserError(f"There is no process {named!r}; choose one of {', '.join(PROCESSES)}.")
    return PROCESSES[named]()


def evaluated(module: nn.Module) -> nn.Module:
    """The module without dropout, its weights looked at."""
    for key, weight in [*module.named_parameters(), *module.named_buffers()]:
        if weight.is_floating_point() and not bool(torch.isfinite(weight).all()):
            raise UserError(f"The weight {key} has NaN or infinite values; the model is damaged or diverged.")
    with contextlib.suppress(NotImplementedError):  # a program of torch.export is what it was exported as
        module.eval()
    return module


# --------------------------------------------------------------------- GaussianDiffusion (lucidrains)


def is_gaussian_diffusion(model: object) -> bool:
    """Whether it is one of denoising-diffusion-pytorch, or looks like one."""
    names = ("model", "alphas_cumprod", "objective", "normalize", "image_size")
    return isinstance(model, nn.Module) and all(hasattr(model, name) for name in names)


def _no_relative(model: object) -> None:
    """UserError for another diffusion of that package: called, it returns its training loss."""
    kind = type(model).__module__.split(".")[0]
    if kind == "denoising_diffusion_pytorch" and hasattr(model, "sample"):
        raise UserError(
            f"The {type(model).__name__} of {kind} is not known here; give a function of yours that predicts "
            "x0, with its process and target."
        )


def of_gaussian_diffusion(model: Any, pixels: str = "-1,1") -> Adapted:
    """Its network as a denoiser of images in [-1, 1].

    pixels: the range of the images that it adds noise to, where it does not bring them to [-1, 1] by itself
    (`auto_normalize=False`); where it does, UserError for another one.
    """
    if model.objective not in OBJECTIVES:
        known = ", ".join(OBJECTIVES)
        raise UserError(f"The objective {model.objective!r} is not known here; it must be one of {known}.")
    network, process = evaluated(model.model), DiscreteVP(model.alphas_cumprod)
    told = (None,) if getattr(model, "self_condition", False) else ()

    def predict(x: Tensor, t: Tensor, *labels: Tensor) -> Tensor:
        found: Tensor = network(x, t, *(labels or told))
        return found[:, : x.shape[1]]  # what follows is a learned variance

    estimate = process.denoiser(predict, OBJECTIVES[model.objective])
    sides = model.image_size
    shape = (int(model.channels), *((sides, sides) if isinstance(sides, int) else map(int, sides)))
    low, high = process.ends
    found = Adapted(
        estimate, "GaussianDiffusion", shape, low=low, high=high, modules=(model,), notes=(between(process),)
    )
    if told:
        found = found.noted("It conditions on its own last guess; here, as in its first step, on none.")
    itself = _to_minus_one(model)
    if itself and pixels != "-1,1":
        raise UserError("This GaussianDiffusion brings images to [-1, 1] by itself; leave out pixels.")
    if not itself:
        found = found.noted(f"It adds noise to images as they are, which are said to be in [{pixels}].")
    return rescaled(found) if pixels == "0,1" else found


def _to_minus_one(model: Any) -> bool:
    """Whether it brings images from [0, 1] to [-1, 1] before it adds noise."""
    return bool(model.normalize(torch.zeros(())) < -0.5)


def rescaled(model: Adapted) -> Adapted:
    """A model of images in [0, 1] as one of the same images in [-1, 1]: y = (x + 1)/2 has half the noise."""

    def estimate(x: Tensor, sigma: Tensor, *labels: Tensor) -> Tensor:
        return 2 * model.estimate((x + 1) / 2, sigma / 2, *labels) - 1

    ends = {"low": 2 * model.low, "high": 2 * model.high}
    fields = {**vars(model), **ends, "estimate": estimate}
    return Adapted(**fields).noted(
        "It was trained on images in [0, 1]; noise levels here are those of images in [-1, 1]."
    )


def between(process: DiscreteVP) -> str:
    """What is said of noise levels that are not on the grid."""
    low, high = process.ends
    return (
        f"It knows {int(process.last) + 1:,} noise levels, {low:.3g} to {high:.4g}; for one between two of "
        "them it is told a time between theirs, which it has not seen in training."
    )
