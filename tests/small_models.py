"""Small models of other packages for the tests of adapters, and the denoisers that they must be."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import Any

import pytest
import torch

from diffnotes import data
from diffnotes.networks import seeded

needs_diffusers = pytest.mark.skipif(
    importlib.util.find_spec("diffusers") is None, reason="diffusers is not installed (make test installs it)"
)
SHAPE = (1, 8, 8)


def diffusers() -> Any:
    """The package, offline."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    data.load_torchvision()
    import diffusers as package

    return package


def unet(seed: int = 0, **settings: Any) -> Any:
    """A UNet2DModel of 8 x 8 grey images with weights that answer something."""
    given = {
        "sample_size": 8, "in_channels": 1, "out_channels": 1, "block_out_channels": (8, 16),
        "layers_per_block": 1, "down_block_types": ("DownBlock2D", "AttnDownBlock2D"),
        "up_block_types": ("AttnUpBlock2D", "UpBlock2D"), "norm_num_groups": 4, "attention_head_dim": 8,
        **settings,
    }  # fmt: skip
    return seeded(seed, lambda: diffusers().UNet2DModel(**given)).eval()


def dit(seed: int = 0, **settings: Any) -> Any:
    """A DiTTransformer2DModel of 8 x 8 grey images, whose answer has a variance, too."""
    given = {
        "num_attention_heads": 2, "attention_head_dim": 8, "in_channels": 1, "out_channels": 2,
        "num_layers": 1, "sample_size": 8, "patch_size": 2, "num_embeds_ada_norm": 3, "norm_num_groups": 4,
        **settings,
    }  # fmt: skip
    return seeded(seed, lambda: diffusers().DiTTransformer2DModel(**given)).eval()


def saved(folder: Path, network: Any, scheduler: Any) -> Path:
    """A folder as a pipeline has it: the network, the scheduler, and model_index.json."""
    network.save_pretrained(folder / "unet")
    scheduler.save_pretrained(folder / "scheduler")
    index = (
        '{"_class_name": "DDPMPipeline", "unet": ["diffusers", "' + type(network).__name__ + '"], '
        '"scheduler": ["diffusers", "' + type(scheduler).__name__ + '"]}'
    )
    (folder / "model_index.json").write_text(index)
    return folder


def noisy(sigma: float, count: int = 4, shape: tuple[int, ...] = SHAPE) -> torch.Tensor:
    """Images x0 + sigma eps."""
    generator = torch.Generator().manual_seed(1)
    x0 = torch.rand(count, *shape, generator=generator) * 2 - 1
    return x0 + sigma * torch.randn(count, *shape, generator=generator)
