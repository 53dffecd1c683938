"""A network that diffusers trained in its own loop and saved: the report from disk is that by hand, and the
same denoiser by other predictions gives the same report."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from small_models import diffusers, needs_diffusers, unet
from torch import nn

from diffnotes import data
from diffnotes.adapters import Adapted, DiscreteVP, adapt
from diffnotes.diagnose import Diagnosis, Settings, diagnose

pytestmark = needs_diffusers
LITTLE = Settings(levels=6, draws=48, samples=24, steps=6, probes=2, sources=256)
KNOWN, UNSEEN = data.load("digits", n=64), data.load("digits", n=200, split="test")
LAYERS = {"down_block_types": ("DownBlock2D",) * 2, "up_block_types": ("UpBlock2D",) * 2}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the training script of diffusers leaves, with its scheduler, loss and learning rates."""
    package, place = diffusers(), tmp_path_factory.mktemp("unet")
    from accelerate import Accelerator
    from diffusers.optimization import get_cosine_schedule_with_warmup

    network, noising = unet(**LAYERS).train(), package.DDPMScheduler(num_train_timesteps=1000)
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3)
    warming = get_cosine_schedule_with_warmup(optimizer, num_warmup_steps=10, num_training_steps=120)
    loader = torch.utils.data.DataLoader(KNOWN.x.split(1), batch_size=16, shuffle=True)  # type: ignore[arg-type]
    accelerator = Accelerator(cpu=True, gradient_accumulation_steps=1)
    network, optimizer, loader, warming = accelerator.prepare(network, optimizer, loader, warming)
    torch.manual_seed(0)
    for _ in range(30):
        for batch in loader:
            clean = batch[:, 0]
            noise, t = torch.randn(clean.shape), torch.randint(0, 1000, (len(clean),)).long()
            with accelerator.accumulate(network):
                found = network(noising.add_noise(clean, noise, t), t, return_dict=False)[0]
                accelerator.backward(torch.nn.functional.mse_loss(found, noise))
                accelerator.clip_grad_norm_(network.parameters(), 1.0)
                optimizer.step()
                warming.step()
                optimizer.zero_grad()
    pipeline = package.DDPMPipeline(unet=accelerator.unwrap_model(network), scheduler=noising)
    pipeline.save_pretrained(place)
    return place


def report(model: Adapted) -> Diagnosis:
    return diagnose(model, KNOWN, UNSEEN, settings=LITTLE)


@pytest.fixture(scope="module")
def from_disk(folder: Path) -> Diagnosis:
    return report(adapt(folder))


def same(one: Diagnosis, other: Diagnosis, share: float) -> None:
    """All numbers to this share of the largest of their kind, and all sentences."""
    assert set(one.arrays) == set(other.arrays)
    for name, wanted in one.arrays.items():
        if wanted.dtype.kind == "f":
            scale = float(np.abs(wanted).max())
            assert np.allclose(other.arrays[name], wanted, rtol=0, atol=share * scale), name


def test_the_report_from_disk_is_that_of_the_network_wrapped_by_hand(
    folder: Path, from_disk: Diagnosis
) -> None:
    network = diffusers().UNet2DModel.from_pretrained(folder / "unet").eval()
    kept = diffusers().DDPMScheduler.from_pretrained(folder / "scheduler").alphas_cumprod.double()
    ratios = ((1 - kept) / kept).sqrt().numpy()

    def by_hand(x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        step = np.interp(np.log(sigma.double().numpy()), np.log(ratios), np.arange(1000.0))
        s = sigma.view(-1, 1, 1, 1)
        return x - s * network(x / (1 + s**2).sqrt(), torch.from_numpy(step).float()).sample

    ends = {"low": float(ratios[0]), "high": float(ratios[-1])}
    other = report(Adapted(by_hand, "by hand", shape=(1, 8, 8), modules=(network,), **ends))
    same(from_disk, other, 1e-4)
    assert [one.text for one in from_disk.findings] == [one.text for one in other.findings]
    assert from_disk.about["identity"]


class Predicting(nn.Module):
    """One denoiser behind a network of diffusers, which predicts another thing."""

    def __init__(self, model: Adapted, config: dict[str, Any], kind: str, grid: DiscreteVP) -> None:
        super().__init__()
        self.model, self.config, self.kind, self.grid = model, config, kind, grid

    def forward(self, xt: torch.Tensor, t: torch.Tensor, *_: Any, **__: Any) -> Any:
        if self.kind == "velocity":
            share = (t / 1000).view(-1, 1, 1, 1)
            sigma = share / (1 - share)
            found = (xt - self.model(xt / (1 - share), sigma.flatten())) / share
            return (found,)
        alpha, spread = (one.view(-1, 1, 1, 1).to(xt) for one in (self.grid.alpha(t), self.grid.sigma(t)))
        x0 = self.model(xt / alpha, (spread / alpha).flatten())
        noise = (xt - alpha * x0) / spread
        kinds = {"epsilon": noise, "sample": x0, "v_prediction": alpha * noise - spread * x0}
        return (kinds[self.kind],)


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction", "sample", "velocity"])
def test_every_prediction_of_one_denoiser_gives_one_report(
    folder: Path, from_disk: Diagnosis, kind: str
) -> None:
    package, model = diffusers(), adapt(folder)
    scheduler = package.DDPMScheduler(prediction_type="epsilon" if kind == "velocity" else kind)
    grid = DiscreteVP(scheduler.alphas_cumprod)
    if kind == "velocity":
        scheduler = package.FlowMatchEulerDiscreteScheduler()
    network = Predicting(model, dict(unet(**LAYERS).config), kind, grid)
    other = adapt(SimpleNamespace(unet=network, scheduler=scheduler))
    found = report(replace(other, low=model.low, high=model.high))
    same(from_disk, found, 1e-3)
    words = [[(one.kind, one.word) for one in said.findings] for said in (from_disk, found)]
    assert words[0] == words[1]
