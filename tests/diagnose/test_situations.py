"""Six questions that people ask in public about their own training, each built small.

The report's first sentence must be the right answer. Beside each stands where it was asked.
"""

from __future__ import annotations

import copy
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from diffnotes import data
from diffnotes.__main__ import main
from diffnotes.adapters import adapt
from diffnotes.data import Dataset
from diffnotes.diagnose import Diagnosis, Settings, diagnose
from diffnotes.networks import MLP, NetworkDenoiser, seeded
from diffnotes.train import DenoisingLoss, LogNormal, Plan, train
from diffnotes.watch import TrainingWatch

SOME = Settings(levels=10, draws=256, samples=96, steps=14, probes=2, sources=512)
MANY, UNSEEN = data.load("digits", n=1100), data.load("digits", split="test")


def trained(images: Dataset, steps: int, folder: Path, width: int = 128) -> NetworkDenoiser:
    denoiser = NetworkDenoiser(seeded(0, lambda: MLP((1, 8, 8), width, 2)))
    plan = Plan(steps, 64, 2e-3, horizons=(50,), precision="float32")
    for last in train(denoiser, DenoisingLoss(images.x, LogNormal()), plan, [steps], folder):
        with last.averaged(50) as model:
            return copy.deepcopy(model)  # type: ignore[return-value]
    raise AssertionError


@pytest.fixture(scope="module")
def converged(tmp_path_factory: pytest.TempPathFactory) -> NetworkDenoiser:
    """A network that was trained on many images for long enough, and not for too long."""
    return trained(MANY, 1500, tmp_path_factory.mktemp("converged"), 96)


def first(model: object, images: Dataset, held: Dataset | None = UNSEEN) -> str:
    return report(model, images, held).findings[0].text


def report(model: object, images: Dataset, held: Dataset | None = UNSEEN) -> Diagnosis:
    return diagnose(adapt(model), images, held, settings=SOME)


def test_what_value_should_my_loss_reach(capsys: pytest.CaptureFixture[str]) -> None:
    """facebookresearch/DiT#17, mirthAI/Fast-DDPM#30, zoubohao/DenoisingDiffusionProbabilityModel-ddpm-#5.

    A loop as they have it, noise predicted under DDPM's linear schedule, ends between the two numbers.
    """
    assert main(["optimal-loss", "--data", "digits", "--sources", "600"]) == 0
    line, *lines = capsys.readouterr().out.splitlines()
    assert line.startswith("What a training loss can reach on these 1,198 images, as a mean per dimension")
    [ddpm] = [one for one in lines if "DDPM" in one]
    least, linear = map(float, re.findall(r"(\d\.\d+) to (\d\.\d+)", ddpm)[0])
    whole = data.load("digits").x
    kept = torch.cumprod(1 - torch.linspace(1e-4, 0.02, 1000), 0)
    network, draw = seeded(0, lambda: MLP((1, 8, 8), 128, 2)), torch.Generator().manual_seed(0)
    optimizer, losses = torch.optim.Adam(network.parameters(), 2e-3), []
    for _ in range(1500):
        x0 = whole[torch.randint(len(whole), (128,), generator=draw)]
        t = torch.randint(1000, (128,), generator=draw)
        noise, share = torch.randn(x0.shape, generator=draw), kept[t].view(-1, 1, 1, 1)
        found = network(share.sqrt() * x0 + (1 - share).sqrt() * noise, t / 250 - 2)
        loss = (found - noise).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert least < np.mean(losses[-300:]) < 1.25 * linear
    assert np.mean(losses[:50]) > 2 * linear


def test_has_it_converged_and_when_do_i_stop(tmp_path: Path, converged: NetworkDenoiser) -> None:
    """IGITUGraz/WeatherDiffusion#8, arimousa/DDAD#8."""
    assert first(trained(MANY, 200, tmp_path), MANY).startswith("It underfits at sigma")
    assert first(converged, MANY).startswith("It has converged at sigma")


def test_there_is_no_validation_loss_is_it_overfitting(tmp_path: Path) -> None:
    """huggingface/diffusers#7249, pfriedri/wdm-3d#13."""
    images = MANY.taken(np.arange(250))
    found = report(trained(images, 1200, tmp_path), images)
    assert found.findings[0].text.startswith("It overfits at sigma")
    assert found.arrays["copies"][0] < 0.05
    alone = report(trained(images, 1200, tmp_path), images, None)
    assert "cannot be told without images that it was not trained on" in str(alone)


def test_my_samples_are_training_images(tmp_path: Path) -> None:
    """lucidrains/denoising-diffusion-pytorch#17, with 140 images, and #108; here with 40."""
    images = MANY.taken(np.arange(40))
    text = first(trained(images, 2000, tmp_path, 256), images)
    assert text.startswith("Samples are training images: ")


@pytest.mark.parametrize(("planted", "words"), [(0, ""), (1, "Some samples may be"), (9, "Samples are")])
def test_how_do_i_check_before_i_publish(converged: NetworkDenoiser, planted: int, words: str) -> None:
    """mueller-franzes/medfusion#3: the samples are there already, few or none of them copies."""
    noise = 0.05 * torch.randn(planted, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    others = UNSEEN.x[: 300 - planted]
    samples = torch.cat([MANY.x[:planted] + noise, others])
    held = UNSEEN.taken(np.arange(300, 599))
    found = diagnose(adapt(converged), MANY, held, samples=samples, settings=SOME)
    if planted:
        assert found.findings[0].text.startswith(f"{words} training images: {planted / 3:.1f} % of 300")
        assert found.html().count("<img") == 3  # samples, the nearest of them, and these images
    else:
        assert "No sign of copies: 0 % of 300 samples" in str(found)
        assert found.findings[0].text.startswith("It has converged at sigma")


def test_fine_tuning_on_a_small_set_without_memorizing_it(tmp_path: Path) -> None:
    """tbonnair/Why-Diffusion-Models-Don-t-Memorize#1: stopped by the watch, and gone on."""
    small, start = MANY.taken(np.arange(1000, 1012)), trained(MANY.taken(np.arange(1000)), 700, tmp_path, 256)
    watch = TrainingWatch(small.x, UNSEEN.x, every=25, samples=48)
    optimizer, draw = torch.optim.Adam(start.parameters(), 1e-3), torch.Generator().manual_seed(0)
    stopped = None
    for step in range(1, 1001):
        x0 = small.x[torch.randint(len(small), (32,), generator=draw)]
        sigma = torch.exp(1.2 * torch.randn(32, generator=draw) - 1.2)
        scale = sigma.view(-1, 1, 1, 1)
        answer = start(x0 + scale * torch.randn(x0.shape, generator=draw), sigma)
        loss = ((answer - x0).square() * (1 + 0.25 / scale**2)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if stopped is None:
            watch(step, start)
            stopped = copy.deepcopy(start) if watch.should_stop else None
    assert stopped is not None
    assert report(stopped, small).arrays["copies"][0] < 0.1
    assert first(start, small).startswith("Samples are training images: ")
