"""Networks that denoise, and a small classifier whose hidden layer gives features."""

from diffnotes.networks.classifier import FeatureNet, coarse, extract, load_torchscript
from diffnotes.networks.denoiser import (
    MLP,
    DiT,
    NetworkDenoiser,
    UNet,
    parameter_count,
    seeded,
    small_network,
)

__all__ = [
    "DiT",
    "FeatureNet",
    "MLP",
    "NetworkDenoiser",
    "UNet",
    "coarse",
    "extract",
    "load_torchscript",
    "parameter_count",
    "seeded",
    "small_network",
]
