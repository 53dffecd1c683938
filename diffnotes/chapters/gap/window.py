"""Chapter 1: how far does a prediction look? A U-Net that sees windows of an image, and its gradients.

Kaiser & Kollmann (arXiv 2603.13419) restrict the receptive field of a trained network: it is applied to four
windows at the corners, and predictions are averaged where windows overlap. We do so on digits, and train
networks on such windows as well, since a network that never saw a window need not be good at one. How far a
prediction looks is the mean distance of input pixels, weighted by the size of its gradients.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from diffnotes.base import runtime
from diffnotes.chapters.gap import experiment as network_gap
from diffnotes.chapters.gap.experiment import WARMUP, GapSpec
from diffnotes.chapters.gap.guided import errors
from diffnotes.networks import NetworkDenoiser, seeded, small_network
from diffnotes.store import Arrays, Experiment, Spec, SpecError, Tolerance, Work, number, numbers
from diffnotes.train import DenoisingLoss, LogNormal, Plan, Snapshot, Training, evaluating, stacked

SIDE = 8  # pixels of a digit's side


@dataclass(frozen=True)
class WindowSpec(Spec):
    """Settings of the networks and of the windows."""

    n: int = number(600, low=4, help="training images")
    held_out: int = number(599, low=4, help="held-out images")
    windows: tuple[int, ...] = numbers((6, 4), low=SIDE // 2, high=SIDE, help="sides of windows, in pixels")
    width: int = number(24, low=8, help="width of the U-Net")
    blocks: int = number(1, low=1, high=8, help="residual blocks for each of its levels")
    steps: int = number(4000, low=4, help="training steps")
    batch: int = number(64, low=1, help="batch size")
    horizon: int = number(200, low=1, help="average of the weights that is evaluated, in steps")
    levels: int = number(16, low=4, high=200, help="noise levels of errors, evenly spaced in ln sigma")
    draws: int = number(1, low=1, help="noise draws for each image behind an error")
    images: int = number(32, low=1, help="images of each split that gradients are taken at")
    seeds: tuple[int, ...] = numbers((0, 1, 2), low=0, high=2**31, help="of images, weights and noise")

    def __post_init__(self) -> None:
        super().__post_init__()
        odd = [w for w in self.windows if w % 2 or w >= SIDE]
        if odd:
            raise SpecError(f"windows must be even, so that they can be halved, and below {SIDE}; not {odd}.")

    def gap(self) -> GapSpec:
        """The settings that `digits_gap` has too."""
        return GapSpec(n=self.n, held_out=self.held_out, levels=self.levels, draws=self.draws)


def compute(spec: WindowSpec, work: Work) -> Arrays:
    """Errors and gaps [seed, case, l], and ranges of predictions [seed, split, l].

    A case is a network, trained on `trained` pixels, applied to windows of `window` pixels: first the network
    that learned from whole images, then those that learned from windows.
    """
    work.device = runtime.device_name(runtime.device())
    parts, done, tables = len(spec.seeds) * (1 + len(spec.windows)), 0, []
    for seed in spec.seeds:
        cases: list[Arrays] = []
        for side in (SIDE, *spec.windows):
            name = f"seed-{seed}-{side}"
            found = _training(spec, seed, side, name).evaluations(work, work.part(done, parts, name))
            cases.append({key: value[0] for key, value in found.items()})  # of the one evaluation
            done += 1
        ranges = cases[0].pop("range")
        joined = {key: np.concatenate([case[key] for case in cases]) for key in cases[0]}
        tables.append(joined | {"range": ranges})
    whole = (SIDE, *spec.windows)
    return stacked(tables) | {
        "trained": np.array([*[SIDE] * len(whole), *spec.windows]),
        "window": np.array([*whole, *spec.windows]), "sigma": network_gap.noise_levels(spec.gap()),
    }  # fmt: skip


def windowed(model: Callable[..., Tensor], side: int) -> Callable[..., Tensor]:
    """The model applied to the four windows at the corners of an image, averaged where they overlap."""

    def denoise(x: Tensor, sigma: Tensor) -> Tensor:
        total, count = torch.zeros_like(x), torch.zeros_like(x[:1])
        for place in corners(side):
            total[place] += model(x[place].contiguous(), sigma)
            count[place] += 1
        return total / count

    return denoise if side < SIDE else model


def corners(side: int) -> list[tuple[slice, ...]]:
    """Where in images [b, c, h, w] the four windows at the corners are."""
    ends = [slice(start, start + side) for start in (0, SIDE - side)]
    return [(slice(None), slice(None), rows, columns) for rows in ends for columns in ends]


def looking(model: Callable[..., Tensor], x: Tensor, sigma: float) -> Tensor:
    """How far from a pixel those input pixels are that its prediction rests on, in pixels [b].

    For output pixel p, the mean distance |p - q| of the input pixels q with weights |dD_p/dx_q|; then the
    mean over p. With equal weights it would be 4.2 pixels for 8 x 8.
    """
    grid = torch.arange(SIDE, dtype=torch.float64)
    places = torch.cartesian_prod(grid, grid)
    apart = torch.cdist(places, places)
    with torch.enable_grad():
        x = x.detach().requires_grad_(True)
        made = model(x, sigma).flatten(1)
        found = torch.zeros(len(x), dtype=torch.float64)
        for pixel in range(made.shape[1]):
            (slope,) = torch.autograd.grad(made[:, pixel].sum(), x, retain_graph=True)
            weight = slope.flatten(1).double().abs().cpu()
            found += weight @ apart[pixel] / weight.sum(1)
    return found / made.shape[1]


def _training(spec: WindowSpec, seed: int, side: int, name: str) -> Training:
    """The run of a seed on windows of `side` pixels; with whole images, all windows and gradients are
    measured."""
    known, unseen = (x.to(runtime.device()) for x in network_gap.images_of(spec.gap(), seed))
    cut = known if side == SIDE else torch.cat([known[place] for place in corners(side)])
    build = partial(small_network, "unet", tuple(cut.shape[1:]), spec.width, spec.blocks)
    plan = Plan(
        spec.steps, spec.batch, GapSpec().rate, warmup=WARMUP, horizons=(spec.horizon,),
        precision="float32", seed=seed,
    )  # fmt: skip

    def evaluate(snapshot: Snapshot) -> Arrays:
        with evaluating(snapshot, spec.horizon) as model:
            sides = (SIDE, *spec.windows) if side == SIDE else (side,)
            cases = [errors(windowed(model, one), known, unseen, spec.gap(), seed) for one in sides]
            found = stacked(cases)
            return found | {"range": _ranges(spec, model, known, unseen, seed)} if side == SIDE else found

    objective = DenoisingLoss(cut, LogNormal())
    model = NetworkDenoiser(seeded(seed, build)).to(known.device)
    return Training(name, model, objective, plan, [spec.steps], evaluate)


def _ranges(
    spec: WindowSpec, model: Callable[..., Tensor], known: Tensor, unseen: Tensor, seed: int
) -> np.ndarray:
    """`looking` at noised images of each split, in the mean over images [split, l]."""
    count = min(spec.images, len(known), len(unseen))
    noise = runtime.normals(seed, "looking", range(count), known.shape[1:]).to(known.device)
    sigmas = network_gap.noise_levels(spec.gap())
    return np.array([
        [float(looking(model, x[:count] + float(sigma) * noise, float(sigma)).mean()) for sigma in sigmas]
        for x in (known, unseen)
    ])  # fmt: skip


def _fingerprints(spec: WindowSpec) -> dict[str, str]:
    return network_gap.fingerprints(spec.gap())


EXPERIMENT = Experiment(
    name="digits_window",
    version=1,
    spec=WindowSpec,
    profiles={
        # more steps than the warm-up has
        "smoke": WindowSpec(
            n=40, held_out=30, windows=(4,), width=8, steps=104, batch=8, horizon=4, levels=4, images=4,
            seeds=(0, 1),
        ),
        "laptop": WindowSpec(),
    },
    compute=compute,
    seconds={"smoke": 8, "laptop": 900},
    data=_fingerprints,
    tolerance=Tolerance(2e-4, 1e-6, "float32 steps: rounding grows on the way"),
    tolerances={"gap": Tolerance(2e-4, 2e-5, "a quotient near 1, less 1")},
)  # fmt: skip
