"""Features of images, for distances that do not hang on single pixels.

The default ones are the last hidden layer of a small classifier of CIFAR-10 that the book trains itself (the
experiment `features`), so they need no download. Distances in them are not the FID or SSCD numbers of papers,
which come from Inception and SSCD: `load_torchscript` takes those where their files are at hand.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from diffnotes.base import files, runtime
from diffnotes.base.errors import UserError
from diffnotes.base.shapes import Array, Float, Num, Tensor, checked
from diffnotes.data import data_folder
from diffnotes.networks.denoiser import seeded
from diffnotes.networks.layers import fitting

SIDE = 32  # pixels of a side that the network sees
CLASSES = 10


class Convolution(nn.Conv2d):
    """A convolution whose filters have mean 0 and variance gain^2 / fan-in (Brock et al. 2021, section 2).

    This takes the place of a normalization of activations: it costs nothing per image, and features of one
    image do not depend on the others. 1.7 undoes what a ReLU takes from the variance.
    """

    def __init__(self, enter: int, leave: int, size: int, stride: int) -> None:
        super().__init__(enter, leave, size, stride, padding=1)
        self.gain = nn.Parameter(torch.full((leave, 1, 1, 1), 1.7))
        nn.init.kaiming_normal_(self.weight)  # small, so that a step of Adam turns a filter noticeably

    def forward(self, x: Tensor) -> Tensor:
        centred = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        scale = (centred.square().sum((1, 2, 3), keepdim=True) + 1e-4).rsqrt()
        return F.conv2d(x, centred * scale * self.gain, self.bias, self.stride, self.padding)


class FeatureNet(nn.Module):
    """Six convolutions, three of them residual, and an average over pixels: 64 features, 10 classes.

    141,066 weights and 9 million products per image at the default width.
    """

    @checked(width=1)
    def __init__(self, width: int = 32) -> None:
        super().__init__()
        w = width
        self.halve = nn.ModuleList(
            [Convolution(3, w, 4, 2), Convolution(w, 2 * w, 3, 2), Convolution(2 * w, 2 * w, 3, 2)]
        )
        self.add = nn.ModuleList(
            [Convolution(w, w, 3, 1), Convolution(2 * w, 2 * w, 3, 1), Convolution(2 * w, 2 * w, 3, 1)]
        )
        self.head = nn.Linear(2 * w, CLASSES)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @checked()
    def features(self, x: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b k"]:
        """The last hidden layer for images in [-1, 1] of any size; all features are at least 0."""
        fitting(x, x, self.head.weight)
        h = sized(x).contiguous(memory_format=torch.channels_last)
        for halve, add in zip(self.halve, self.add, strict=True):
            h = F.relu(halve(h))
            h = h + F.relu(add(h))
        return h.mean((2, 3))

    @checked()
    def forward(self, x: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b classes"]:
        """Logits of the ten classes."""
        return self.head(self.features(x))


def sized(x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c side side"]:
    """Images at 32 x 32, bilinearly where they are not."""
    if x.shape[2:] == (SIDE, SIDE):
        return x
    larger = max(x.shape[2:]) > SIDE
    return F.interpolate(x, (SIDE, SIDE), mode="bilinear", align_corners=False, antialias=larger)


@checked()
def coarse(x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
    """Images averaged over 2 x 2 pixels and brought back to size: what a half-sized image looks like here."""
    if min(x.shape[2:]) < 2:
        raise UserError(f"Images must have 2 x 2 pixels or more to be averaged, not {list(x.shape[2:])}.")
    small = F.avg_pool2d(x, 2)
    return F.interpolate(small, x.shape[2:], mode="bilinear", align_corners=False)


@checked(batch=1)
def extract(
    features: FeatureNet | Callable[[Tensor], Tensor], x: Num[Tensor, "n ..."], batch: int = 256
) -> Float[Tensor, "n k"]:
    """Features [n, k] float32 of images x [n, c, h, w] in [-1, 1], `batch` at a time, on the device of x.

    `features` is a FeatureNet or any module from [b, 3, h, w] to [b, k]. Grey images are repeated to three
    channels; values are cut to [-1, 1], as they are when samples are kept as 8-bit images.

    Raises UserError for images of another shape, or NaN in images or features.
    """
    if x.ndim != 4 or x.shape[1] not in (1, 3) or len(x) == 0 or not x.is_floating_point():
        kind = f"{str(x.dtype).removeprefix('torch.')} {[*x.shape]}"
        raise UserError(f"Features are taken of float images [n, 1 or 3, h, w] in [-1, 1], not of {kind}.")
    if not torch.isfinite(x).all():
        raise UserError("The images contain NaN or infinite values; a missing sample is an error.")
    function = features.features if isinstance(features, FeatureNet) else features
    with runtime.full_precision(), torch.no_grad():
        found = [_checked(function(_rgb(part)), len(part)) for part in x.split(batch)]
    return torch.cat(found)


def _rgb(x: Tensor) -> Tensor:
    return x.float().clamp(-1.0, 1.0).expand(-1, 3, -1, -1)


def _checked(found: object, count: int) -> Tensor:
    """Features [count, k], finite."""
    if not isinstance(found, Tensor) or found.ndim != 2 or len(found) != count:
        shape = [*found.shape] if isinstance(found, Tensor) else type(found).__name__
        raise UserError(f"A module of features must map [b, 3, h, w] to [b, k]; {count} images gave {shape}.")
    if not found.is_floating_point() or not torch.isfinite(found).all():
        raise UserError("The features contain NaN or infinite values; the module or its file is damaged.")
    return found.float()


# -------------------------------------------------------------------------------------------------- weights


def to_arrays(net: FeatureNet) -> dict[str, Array]:
    """The weights by name, float16: 282 kB."""
    return {name: w.detach().cpu().half().numpy() for name, w in net.named_parameters()}


def from_arrays(arrays: Mapping[str, Array]) -> FeatureNet:
    """The network with these weights; its width is read from them.

    Raises UserError when an array is missing, has another shape, or is one too many.
    """
    try:
        width = len(arrays["halve.0.weight"])
        net = seeded(0, lambda: FeatureNet(width))  # whose own weights do not matter
        weights = {name: torch.from_numpy(np.asarray(w, np.float32)) for name, w in arrays.items()}
        net.load_state_dict(weights)
    except (KeyError, RuntimeError) as error:
        raise UserError("These are not the weights of a FeatureNet; take what to_arrays gives.") from error
    return net.requires_grad_(False)


@checked()
def load_torchscript(name: str, sha256: str) -> nn.Module:
    """The module in `DIFFNOTES_DATA/features/<name>.pt`, for example Inception's or SSCD's, for `extract`.

    Such a file is a program: whoever made it decides what your machine does when it is loaded. So nothing is
    loaded unless `sha256`, which you have from a source that you trust, is that of the file.

    It must map images [b, 3, h, w] in [-1, 1], of whatever size they have, to features [b, k]; resizing and
    normalizing are its own. A module that wants [0, 1], or 299 x 299 pixels, is to be wrapped before it is
    saved.

    Raises UserError for a missing file, another file than `sha256` says, or one that is not TorchScript.
    """
    path, content = torchscript_file(name, sha256)
    try:
        with warnings.catch_warnings():
            # torch would rather have its newer format, but these files are handed out as TorchScript
            warnings.filterwarnings("ignore", ".*torch.jit.load", DeprecationWarning)
            return torch.jit.load(io.BytesIO(content), map_location="cpu").eval()
    except Exception as error:  # whatever such bytes make of torch
        raise UserError(f"{path} is no TorchScript file; get it again.") from error


def torchscript_file(name: str, sha256: str) -> tuple[Path, bytes]:
    """`DIFFNOTES_DATA/features/<name>.pt` and its bytes; UserError unless they have that SHA-256."""
    path = data_folder() / "features" / f"{name}.pt"
    if not path.is_file():
        raise UserError(f"There are no features {name!r}: {path} is missing; put the TorchScript file there.")
    return path, files.trusted(path, path.read_bytes(), sha256)
