"""Three packages' ways to train a U-Net and to sample from it: what `training_speed` compares.

diffusers' network is given the very layers of ours (`UNet2DModel` with residual blocks for resampling and
scales and shifts by the embedding). denoising-diffusion-pytorch always has two blocks per level and linear
attention at the fine ones, and its levels work at the width of the level before, so no choice makes it equal
to ours in everything. It is timed twice, each time with nearly the parameters of ours: with the widths of
ours at the sides of ours, which makes its way up wider; and with a level more, whose parameters cost little
at a quarter of the pixels. `flop` says what an evaluation costs, so that equal parameters do not hide unequal
work. All multiply in float32 unless told otherwise, and all can be told to use bfloat16: ours by
`Plan.precision`, the peers by the `mixed_precision` of their loops, which is autocast around network and
loss. On a GPU ours compiles in bfloat16 as well.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from diffnotes import data
from diffnotes.base import runtime
from diffnotes.base.errors import UserError
from diffnotes.chapters.speed import stopwatch
from diffnotes.networks import NetworkDenoiser, UNet, seeded
from diffnotes.sample import edm_sigmas, sample
from diffnotes.store import Spec, choice, flag, number, numbers
from diffnotes.train import DenoisingLoss, LogNormal, Plan, batch_indices, train

HEAD = 32  # channels of a head of attention, for all
CLIP = 1.0  # bound of the gradient's norm, for all
RATE = 1e-4  # learning rate, for all
TIMES = 1000  # noise levels of the peers, their default
QUESTIONS = ("training", "sampling")
PRECISIONS = ("float32", "bfloat16")


@dataclass(frozen=True)
class TrainingSpeedSpec(Spec):
    """What is timed, and how often."""

    question: str = choice("all", "all", *QUESTIONS, help="what is timed")
    dataset: str = choice("noise", "noise", "cifar10", "specimens", help="noise: made-up pixels, small")
    n: int = number(64, low=1, help="training images")
    peers: bool = flag(False, help="time diffusers and denoising-diffusion-pytorch too (`make bench`)")
    width: int = number(32, low=8, help="width of the U-Net")
    multipliers: tuple[int, ...] = numbers((1, 2, 4), low=1, help="widths of its levels, times width")
    blocks: int = number(2, low=1, high=8, help="residual blocks per level")
    attention: tuple[int, ...] = numbers((1, 2), low=0, help="levels with attention, 0 is the finest")
    batch: int = number(64, low=1, help="images of a training step")
    steps: int = number(2, low=1, help="training steps that are timed at once, and before that to warm up")
    images: int = number(64, low=1, help="images sampled at once")
    sampler_steps: int = number(20, low=2, high=TIMES, help="evaluations for an image")
    half: bool = flag(True, help="time all in bfloat16 as well as in float32")
    repeats: int = number(3, low=1, help="how often everything is timed")
    seed: int = number(0, low=0, high=2**31, help="of images, weights and noise")


class Method(ABC):
    """A network with its loop and its sampler, in one precision."""

    name: str
    package: str
    network: nn.Module

    def __init__(self, spec: TrainingSpeedSpec, x: Tensor, precision: str) -> None:
        self.spec, self.x, self.precision = spec, x, precision

    def timed(self, call: Callable[[], Any]) -> float:
        """Seconds of a call."""
        return stopwatch.timed(call, self.x.device)[0]

    def autocast(self) -> torch.autocast:
        """The precision, for what is computed within."""
        return torch.autocast(self.x.device.type, torch.bfloat16, enabled=self.precision == "bfloat16")

    def exact(self) -> contextlib.AbstractContextManager[None]:
        """Keeps a GPU from taking TF32 for float32, in the peers' loops as in ours."""
        return runtime.full_precision() if self.precision == "float32" else contextlib.nullcontext()

    @abstractmethod
    def training(self) -> float:
        """Seconds of the next `steps` steps."""

    @abstractmethod
    def sampling(self) -> float:
        """Seconds of sampling `images` images."""

    @abstractmethod
    def evaluate(self, x: Tensor) -> Tensor:
        """The network's output [b, c, h, w] at some noise level."""


class Ours(Method):
    """`UNet` in a `NetworkDenoiser`, `train` with one average of the weights, `sample`."""

    name = package = "diffnotes"

    def __init__(self, spec: TrainingSpeedSpec, x: Tensor, precision: str, folder: Path) -> None:
        super().__init__(spec, x, precision)
        network = seeded(spec.seed, partial(_unet, spec, tuple(x.shape[1:])))
        self.network = NetworkDenoiser(network).to(x.device)
        steps = spec.steps * (spec.repeats + 1)
        plan = Plan(
            steps, spec.batch, RATE, clip=CLIP, horizons=(TIMES,), precision=precision, seed=spec.seed
        )
        objective = DenoisingLoss(x, LogNormal())
        stops = range(spec.steps, steps + 1, spec.steps)
        self.snapshots = train(
            self.network, objective, plan, stops, folder, self._reported, save_seconds=math.inf
        )

    def _reported(self, done: float, total: float, text: str) -> None:
        self.last_report = time.perf_counter()

    def training(self) -> float:
        """Up to the last report, which comes before a checkpoint is written: the peers write none."""
        start = time.perf_counter()
        next(self.snapshots)
        return self.last_report - start

    def sampling(self) -> float:
        levels, shape = edm_sigmas(self.spec.sampler_steps), tuple(self.x.shape[1:])
        call = partial(sample, self.network, shape, self.spec.images, levels, solver="euler")
        with torch.no_grad(), self.exact(), self.autocast():
            return self.timed(partial(call, batch=self.spec.images, device=self.x.device))

    def evaluate(self, x: Tensor) -> Tensor:
        return self.network(x, 1.0)


def _unet(spec: TrainingSpeedSpec, shape: tuple[int, ...]) -> UNet:
    return UNet(
        shape,
        spec.width,
        spec.multipliers,
        spec.blocks,
        spec.attention,
        embedding=4 * spec.width,
        head=HEAD,
    )


class Peer(Method):
    """What both peers' loops share: batches from memory, a step of the optimizer, the clock."""

    optimizer: torch.optim.Optimizer

    def __init__(self, spec: TrainingSpeedSpec, x: Tensor, precision: str) -> None:
        super().__init__(spec, x, precision)
        self.step = 0

    def training(self) -> float:
        self.network.train()
        with self.exact():
            return self.timed(self._steps)

    def sampling(self) -> float:
        self.network.eval()
        quiet = contextlib.redirect_stderr(io.StringIO())  # progress bars
        with torch.no_grad(), self.exact(), self.autocast(), quiet:
            return self.timed(self.sampled)

    def _steps(self) -> None:
        for _ in range(self.spec.steps):
            self._step()

    def _step(self) -> None:
        index = batch_indices(self.spec.seed, len(self.x), self.spec.batch, self.step).to(self.x.device)
        with self.autocast():
            loss = self.loss(self.x[index])
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), CLIP)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.average()
        self.step += 1
        loss.item()  # both loops show it at every step

    @abstractmethod
    def loss(self, x0: Tensor) -> Tensor:
        """The loss of a batch [b, c, h, w], at noise and noise levels of the package's own drawing."""

    @abstractmethod
    def average(self) -> None:
        """What follows a step of the optimizer: the average of the weights."""

    @abstractmethod
    def sampled(self) -> Tensor:
        """`images` images."""


class Diffusers(Peer):
    """UNet2DModel in the loop of diffusers' example of unconditional training; DDIMScheduler."""

    name = package = "diffusers"

    def __init__(self, spec: TrainingSpeedSpec, x: Tensor, precision: str) -> None:
        super().__init__(spec, x, precision)
        package = _load("diffusers", lambda: importlib.import_module("diffusers"))
        self.network = seeded(spec.seed, lambda: package.UNet2DModel(**self._layers())).to(x.device)
        self.noising, self.sampler = package.DDPMScheduler(TIMES), package.DDIMScheduler(TIMES)
        weights = list(self.network.parameters())
        self.optimizer = torch.optim.AdamW(weights, lr=RATE, betas=(0.95, 0.999), weight_decay=1e-6)
        ema = importlib.import_module("diffusers.training_utils").EMAModel
        self.ema = ema(weights, decay=0.9999, use_ema_warmup=True, inv_gamma=1.0, power=3 / 4)

    def _layers(self) -> dict[str, Any]:
        """The layers of our `UNet`, in diffusers' words."""
        spec = self.spec
        attends = ["Attn" * (level in spec.attention) for level in range(len(spec.multipliers))]
        return {
            "sample_size": self.x.shape[-1], "in_channels": self.x.shape[1], "out_channels": self.x.shape[1],
            "block_out_channels": tuple(spec.width * times for times in spec.multipliers),
            "layers_per_block": spec.blocks, "norm_num_groups": spec.width // 4,
            "down_block_types": tuple(f"{kind}DownBlock2D" for kind in attends),
            "up_block_types": tuple(f"{kind}UpBlock2D" for kind in reversed(attends)),
            "attention_head_dim": HEAD, "resnet_time_scale_shift": "scale_shift",
            "downsample_type": "resnet", "upsample_type": "resnet",
        }  # fmt: skip

    def evaluate(self, x: Tensor) -> Tensor:
        return self.network(x, torch.zeros(len(x), dtype=torch.int64, device=x.device)).sample

    def loss(self, x0: Tensor) -> Tensor:
        noise, t = torch.randn_like(x0), torch.randint(0, TIMES, (len(x0),), device=x0.device)
        return F.mse_loss(self.network(self.noising.add_noise(x0, noise, t), t).sample, noise)

    def average(self) -> None:
        self.ema.step(self.network.parameters())

    def sampled(self) -> Tensor:
        x = torch.randn(self.spec.images, *self.x.shape[1:], device=self.x.device)
        self.sampler.set_timesteps(self.spec.sampler_steps)
        for t in self.sampler.timesteps:
            x = self.sampler.step(self.network(x, t).sample, t, x).prev_sample
        return x


class Lucid(Peer):
    """Unet and GaussianDiffusion in the loop of denoising-diffusion-pytorch's Trainer; its DDIM."""

    package = "denoising-diffusion-pytorch"

    def __init__(self, spec: TrainingSpeedSpec, x: Tensor, precision: str, deeper: bool) -> None:
        super().__init__(spec, x, precision)
        self.name = self.package + ", a level more" * deeper
        package = _load(
            "denoising_diffusion_pytorch", lambda: importlib.import_module("denoising_diffusion_pytorch")
        )
        times = (*spec.multipliers[not deeper :], spec.multipliers[-1])  # the widths that levels leave with
        build = partial(package.Unet, spec.width, spec.width * spec.multipliers[0], dim_mults=times)
        build = partial(build, channels=x.shape[1], attn_dim_head=HEAD)
        self.network = seeded(spec.seed, build).to(x.device)
        self.diffusion = package.GaussianDiffusion(
            self.network, image_size=x.shape[-1], timesteps=TIMES, sampling_timesteps=spec.sampler_steps
        ).to(x.device)
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=RATE, betas=(0.9, 0.99))
        ema = importlib.import_module("ema_pytorch").EMA
        self.ema = ema(self.diffusion, beta=0.995, update_every=10).to(x.device)

    def evaluate(self, x: Tensor) -> Tensor:
        return self.network(x, torch.zeros(len(x), dtype=torch.int64, device=x.device))

    def loss(self, x0: Tensor) -> Tensor:
        return self.diffusion((x0 + 1) / 2)  # it wants images in [0, 1]

    def average(self) -> None:
        self.ema.update()

    def sampled(self) -> Tensor:
        return self.diffusion.ddim_sample((self.spec.images, *self.x.shape[1:]))


def _load(name: str, bring: Callable[[], Any]) -> Any:
    """The package; `bring` spells its name out, so that a digest sees that nothing of ours is reached."""
    data.load_torchvision()  # which the peers import, without the guard that some installations need
    try:
        return bring()
    except ImportError as error:
        raise UserError(
            f"{name.replace('_', '-')} is not installed here, and peers=True compares with it; "
            "run `make bench`."
        ) from error
