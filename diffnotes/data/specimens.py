"""Made-up images with classes: smooth blobs with grain, for tests and twins, the same bytes on every machine.

Only whole numbers are used, since sines and roots may differ in the last digit. They come as the two public
sets come: as rows of bytes [n, 32, 32, 3] like CIFAR-10, and as a folder of files like Tiny ImageNet.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from diffnotes.base.runtime import words
from diffnotes.base.shapes import Array, Int, UInt8

CLASSES, GRID, GRAIN = 10, 5, 16
COUNT = 2080  # images of a split: more than a tile of 24 MiB holds at 3 x 32 x 32
FILES = {"train": 40, "validation": 520}  # the same at 3 x 64 x 64 for what is used whole
SIZES = ((64, 64), (64, 64), (64, 64), (64, 64), (96, 80), (64, 64), (70, 131), (129, 66))  # height, width
MODES = ("RGB", "RGB", "L", "P", "RGB")


def labels(count: int) -> Int[Array, "count"]:
    """Classes in turn."""
    return np.arange(count) % CLASSES


@cache
def rows(split: str) -> UInt8[Array, "n 32 32 3"]:
    """All images of a split; whoever reads them must not write."""
    return pictures(split, range(COUNT), 32, 32)


def pictures(split: str, index: range, height: int, width: int) -> UInt8[Array, "n h w 3"]:
    """Images number `index`, each a function of (split, number, size) alone.

    A coarse grid of colours, two parts of its class and one of the image's own, is interpolated with whole
    numbers; grain is added to every pixel.
    """
    kinds = _levels("class", range(CLASSES), (GRID, GRID, 3), 256)[labels(index.stop)[index.start :]]
    own = _levels(split, index, (GRID, GRID, 3), 256)
    grid = kinds + own // 2 - 64  # whole contrast; what lies beyond a byte is cut off below
    across = np.einsum("nijc,wj->niwc", grid, _weights(width))
    smooth = np.einsum("niwc,hi->nhwc", across, _weights(height)) >> 16
    grain = _levels(f"{split}, grain", index, (height, width, 3), GRAIN) - GRAIN // 2
    return (smooth + grain).clip(0, 255).astype(np.uint8)


def _levels(stream: str, index: range, shape: tuple[int, ...], count: int) -> Int[Array, "n ..."]:
    """Whole numbers from 0 to count - 1, a power of two."""
    high = words(0, f"specimens, {stream}", index, int(np.prod(shape))) >> np.uint64(48)
    return (high.astype(np.int64) % count).reshape(len(index), *shape)


def _weights(size: int) -> Int[Array, "size grid"]:
    """Linear interpolation from GRID places to `size`, in units of 1/256."""
    place = np.arange(size) * (GRID - 1) * 256 // (size - 1)
    return (256 - np.abs(place[:, None] - 256 * np.arange(GRID))).clip(0)


# ----------------------------------------------------------------------------------------------- as files


def write_folder(folder: Path, split: str) -> None:
    """PNG files of a split in the layout of Tiny ImageNet: see `images.list_split`."""
    table = []
    for number, label in enumerate(labels(FILES[split])):
        name = f"{split}_{number:03d}.png"
        inner = f"train/c{label}/images" if split == "train" else "val/images"
        (folder / inner).mkdir(parents=True, exist_ok=True)
        file(split, number).save(folder / inner / name, compress_level=1)
        table.append(f"{name}\tc{label}\t0\t0\t63\t63\n")
    if split == "validation":
        (folder / "val" / "val_annotations.txt").write_text("".join(table), encoding="utf-8")


def file(split: str, number: int) -> Image.Image:
    """Image number `number`, of its own size and mode; grey ones show red, palettes hold 16 colours."""
    height, width = SIZES[number % len(SIZES)]
    [colours] = pictures(f"{split}, files", range(number, number + 1), height, width)
    mode = MODES[number % len(MODES)]
    if mode == "RGB":
        return Image.fromarray(colours)
    grey = np.ascontiguousarray(colours[..., 0])
    if mode == "L":
        return Image.fromarray(grey)
    image = Image.fromarray(grey >> 4)
    image.putpalette([(place * step) % 256 for place in range(16) for step in (17, 5, 251)])
    return image
