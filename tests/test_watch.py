"""Three lines in a training loop, of plain torch, of diffusers and of Lightning."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from diffnotes import data
from diffnotes.adapters import adapt
from diffnotes.base.errors import UserError
from diffnotes.networks import MLP, NetworkDenoiser, seeded
from diffnotes.posterior import ExactDenoiser
from diffnotes.process import FlowMatching
from diffnotes.watch import TrainingWatch

FEW, UNSEEN = data.load("digits", n=8).x, data.load("digits", n=100, split="test").x


def test_a_plain_loop_that_memorizes() -> None:
    """Flow matching, as anybody writes it, on eight digits: losses part, then copies come."""
    network = seeded(0, lambda: MLP((1, 8, 8), 128, 2))
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-3)
    source = torch.Generator().manual_seed(0)
    watch = TrainingWatch(FEW, UNSEEN, every=300, samples=32)  # 1
    denoiser = adapt(network, process="flow", target="velocity")
    for step in range(1, 1501):
        network.train()
        x0 = FEW[torch.randint(len(FEW), (64,), generator=source)]
        t, noise = torch.rand(64, generator=source), torch.randn(64, 1, 8, 8, generator=source)
        xt = (1 - t).view(-1, 1, 1, 1) * x0 + t.view(-1, 1, 1, 1) * noise
        loss = (network(xt, t) - (noise - x0)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        watch(step, denoiser)  # 2
        assert network.training
    text = str(watch)  # 3
    assert [row.step for row in watch.rows] == [300, 600, 900, 1200, 1500]
    assert watch.onsets["losses part"] == 300
    assert watch.should_stop
    assert watch.rows[-1].copies > 0.2
    assert watch.onsets["copies"] is not None
    assert "least held-out loss: step" in text.splitlines()[-1]


def test_looks_differ_by_the_model_alone() -> None:
    watch = TrainingWatch(FEW, UNSEEN, every=1, samples=8, steps=4)
    for step in (1, 2):
        watch(step, ExactDenoiser(FEW))
    assert torch.equal(watch.rows[0].held_out, watch.rows[1].held_out)
    assert watch.rows[0].copies == watch.rows[1].copies == 1
    assert watch.onsets == {"least held-out loss": 1, "losses part": 1, "copies": 1}


def test_nothing_is_seen_of_a_model_that_does_not_memorize() -> None:
    watch = TrainingWatch(FEW, UNSEEN, every=10, samples=0)
    assert not watch.should_stop
    assert watch(5, lambda x, sigma: 0 * x) is None
    watch(10, lambda x, sigma: 0 * x)
    assert watch.onsets["copies"] is None
    assert np.isnan(watch.rows[0].copies)
    assert "–" in str(watch)


@pytest.mark.parametrize(
    ("words", "given"),
    [
        ("at least 3 images of one shape", (FEW, UNSEEN[:, :, :4])),
        ("at least 3 images of one shape", (FEW[:2], UNSEEN)),
        ("All training images are the same", (FEW[:1].expand(5, -1, -1, -1), UNSEEN)),
    ],
)
def test_images_that_do_not_fit_are_refused(words: str, given: tuple[torch.Tensor, torch.Tensor]) -> None:
    with pytest.raises(UserError, match=words):
        TrainingWatch(*given)


def small_unet() -> Any:
    from diffusers import UNet2DModel

    return seeded(0, lambda: UNet2DModel(
        sample_size=8, in_channels=1, out_channels=1, block_out_channels=(16, 32), layers_per_block=1,
        down_block_types=("DownBlock2D", "DownBlock2D"), up_block_types=("UpBlock2D", "UpBlock2D"),
        norm_num_groups=8, attention_head_dim=8,
    ))  # fmt: skip


@pytest.mark.skipif(importlib.util.find_spec("diffusers") is None, reason="make test installs diffusers")
def test_a_loop_of_diffusers_and_accelerate() -> None:
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    data.load_torchvision()
    from accelerate import Accelerator
    from diffusers import DDPMPipeline, DDPMScheduler

    accelerator = Accelerator(cpu=True)
    model, noising = small_unet(), DDPMScheduler(num_train_timesteps=1000)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    model, optimizer = accelerator.prepare(model, optimizer)
    source = torch.Generator().manual_seed(0)
    watch = TrainingWatch(FEW, UNSEEN, every=20, samples=8, steps=4)  # 1
    for step in range(1, 41):
        model.train()
        x0 = FEW[torch.randint(len(FEW), (16,), generator=source)]
        noise, t = torch.randn(x0.shape, generator=source), torch.randint(1000, (16,), generator=source)
        loss = (model(noising.add_noise(x0, noise, t), t).sample - noise).square().mean()
        accelerator.backward(loss)
        optimizer.step()
        optimizer.zero_grad()
        if step % watch.every == 0:
            watch(step, DDPMPipeline(unet=accelerator.unwrap_model(model), scheduler=noising))  # 2
            assert model.training
    assert len(watch.rows) == 2
    assert torch.isfinite(watch.rows[-1].train).all()


@pytest.mark.filterwarnings("ignore")  # Lightning's own, of torch's pytrees and of few workers
@pytest.mark.skipif(importlib.util.find_spec("pytorch_lightning") is None, reason="make test installs it")
def test_a_callback_of_lightning(tmp_path: Path) -> None:
    data.load_torchvision()  # which torchmetrics loads, and a torch for the CPU alone refuses
    import pytorch_lightning as lightning

    class Flow(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.network = seeded(0, lambda: MLP((1, 8, 8), 32, 1))

        def training_step(self, batch: list[torch.Tensor], number: int) -> torch.Tensor:
            x0 = batch[0]
            t, noise = torch.rand(len(x0)), torch.randn_like(x0)
            xt = (1 - t).view(-1, 1, 1, 1) * x0 + t.view(-1, 1, 1, 1) * noise
            return (self.network(xt, t) - (noise - x0)).square().mean()

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.Adam(self.parameters(), lr=1e-3)

    watch = TrainingWatch(FEW, UNSEEN, every=4, samples=8, steps=4)  # 1

    class Watching(lightning.Callback):
        def on_train_batch_end(self, trainer: Any, module: Any, *_: Any) -> None:
            watch(trainer.global_step, adapt(module.network, process=FlowMatching(), target="velocity"))  # 2
            trainer.should_stop = watch.should_stop  # 3

    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(FEW), batch_size=4)
    trainer = lightning.Trainer(
        max_steps=8, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, default_root_dir=tmp_path, callbacks=[Watching()],
    )  # fmt: skip
    trainer.fit(Flow(), loader)
    assert [row.step for row in watch.rows] == [4, 8]


def test_a_denoiser_of_the_book_is_watched_as_it_is() -> None:
    denoiser = NetworkDenoiser(seeded(0, lambda: MLP((1, 8, 8), 16, 1)))
    watch = TrainingWatch(FEW, UNSEEN, every=1, samples=8, steps=4)
    denoiser.train()
    watch(1, denoiser)
    assert denoiser.training
