"""Datasets through one door, `load`: digits, toys, CIFAR-10, 64 x 64 images, our own. Only `fetch` downloads.

Pixels p in 0..255 become p/127.5 - 1 in [-1, 1], layout [n, c, h, w]. Every dataset has a train split and a
held-out one. Origin, terms and digests of each set: book/datasets.md.
"""

from __future__ import annotations

import importlib
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch

from diffnotes.base import files, runtime
from diffnotes.base.errors import UserError, quoted
from diffnotes.base.shapes import Array, Float, Int, Tensor, UInt8, checked
from diffnotes.base.terminal import tell
from diffnotes.data import decoding, download
from diffnotes.data import folders as images
from diffnotes.data import part as data_part
from diffnotes.data import specimens as made_up
from diffnotes.data.dataset import Dataset, InPart

NAMES = ("digits", "circle", "gaussian", "cifar10", "imagenet64", "specimens", "specimens64")
SPLITS = {"train": "train", **dict.fromkeys(("validation", "val", "test"), "validation"), "all": "all"}
BOTH = ("imagenet64", "specimens64")  # sets with a split "all"
CIRCLE_RADIUS = 10.0
CIRCLE_OFFSET = 0.01  # of a turn; any value but 0 keeps the points off the axes


@checked()
def load(name: str, n: int | None = None, split: str = "train", seed: int = 0, **settings: Any) -> Dataset:
    """The dataset `name`: one of NAMES.

    Args:
        n: how many. From a stored set, the first n of one permutation drawn from `seed`, so that a smaller n
            is a part of a larger one; None: all, in the stored order. For "circle" and "gaussian", the number
            of points to make; None: 10 and 100.
        split: "train" or "validation" ("val" and "test" mean the same: each set has one held-out part); for a
            folder of images also "all", see `diffnotes.data.folders.list_split`.
        seed: of the subset, or of the random points of a toy.
        settings: passed to the function of that name: `circle(layout=...)`, `gaussian(dimension=, decay=)`,
            `imagenet64(folder=..., per_class=...)`.

    Errors: UserError for an unknown name, split or setting, too large an n, missing or damaged files.
    """
    split = requested(name, n, split, seed)
    if name in MADE:
        size = {} if n is None else {"n": n}
        return MADE[name](split=split, seed=seed, **size, **_checked(MADE[name], name, settings))
    return subset(_stored(name, split, _checked(STORED[name], name, settings)), n, seed)


def requested(name: str, n: int | None, split: str, seed: int) -> str:
    """The split of a request by its first name; UserError for what there is not."""
    if name not in NAMES:
        raise UserError(f"There is no dataset {name!r}; choose one of {', '.join(NAMES)}.")
    if n is not None and n < 1:
        raise UserError(f"n must be a whole number of at least 1, or None for all; got {n!r}.")
    _check_seed(seed)
    return _known(split, name)


def _known(split: str, name: str) -> str:
    """The split by its first name."""
    if split not in SPLITS:
        raise UserError(f"There is no split {split!r}; choose one of {', '.join(SPLITS)}.")
    if SPLITS[split] == "all" and name not in BOTH:
        raise UserError(f"Only {' and '.join(BOTH)} have a split 'all'; choose train or validation.")
    return SPLITS[split]


def _check_seed(seed: int) -> None:
    if not 0 <= seed < 2**32:
        raise UserError(f"seed must be a whole number from 0 to {2**32 - 1}; got {seed!r}.")


def _stored(name: str, split: str, settings: dict[str, Any]) -> Dataset:
    """A stored set, whole, or as far as it was brought to this machine."""
    part = data_part.find(data_folder(), name, split) if name in data_part.OFFICIAL else None
    return STORED[name](split=split, **settings) if part is None else InPart(name, split, part)


def _checked(make: Callable[..., Dataset], name: str, settings: dict[str, Any]) -> dict[str, Any]:
    allowed = sorted(make.__annotations__.keys() - {"return", "n", "split", "seed"})
    for key in settings:
        if key not in allowed:
            valid = f"choose from {', '.join(allowed)}" if allowed else "it has none"
            raise UserError(f"The dataset {name!r} has no setting {key!r}; {valid}.")
    return settings


def subset(data: Dataset, n: int | None, seed: int) -> Dataset:
    """The first n of the permutation that `load` draws from `seed`; None: all."""
    if n is None:
        return data
    if n > len(data):
        raise UserError(
            f"n = {n} is more than the {len(data)} samples of {data.name} ({data.split}); choose a smaller n."
        )
    return data.taken(permutation(len(data), seed)[:n])


@checked()
def shrunk(data: Dataset, side: int) -> Dataset:
    """Square images [n, c, h, h] averaged over boxes to [n, c, side, side] float32; side 0 or h: unchanged.

    Raises UserError unless side divides h.
    """
    height = data.values.shape[-1]
    if side in (0, height):
        return data
    if data.values.ndim != 4 or height != data.values.shape[-2] or side < 1 or height % side:
        raise UserError(f"side must divide the {height} pixels of {data.name}, or be 0; not {side}.")
    return Dataset(data.name, data.split, torch.nn.functional.avg_pool2d(data.x, height // side), data.labels)


def permutation(total: int, seed: int) -> Int[Array, "total"]:
    """A permutation of 0..total-1 that depends on (total, seed) only.

    Made of the ranks of Philox's raw output, which numpy promises never to change; its shuffling may change.
    """
    return np.argsort(np.random.Philox(key=int(seed)).random_raw(total), kind="stable")


@checked()
def digits(split: str = "train") -> Dataset:
    """scikit-learn's 1,797 digits [n, 1, 8, 8], grey levels 0..16 as g/8 - 1; every third is held out."""
    from sklearn.datasets import load_digits  # slow to import, needed only here

    grey, labels = load_digits(return_X_y=True)
    held_out = np.arange(len(labels)) % 3 == 2
    keep = held_out if _known(split, "digits") == "validation" else ~held_out
    x = torch.from_numpy((grey[keep] / 8.0 - 1.0).astype(np.float32)).reshape(-1, 1, 8, 8)
    return Dataset("digits", split, x, torch.from_numpy(labels[keep].astype(np.int64)))


@checked(n=1)
def circle(n: int = 10, split: str = "train", seed: int = 0, layout: str = "equispaced") -> Dataset:
    """Points [n, 2] on a circle of radius 10: the toy's own unit, which sigma and delta share; not [-1, 1].

    "equispaced": angles 2 pi (k/n + 0.01), each validation point midway between two training points; no seed.
    "random": 2n uniform angles from `seed`, the first n for validation, the rest for training.
    Source: Kaiser & Kollmann (2026), toy model. All labels are 0.
    """
    return _unlabelled("circle", split, on_circle(circle_turns(n, split, seed, layout)))


@checked(n=1)
def circle_turns(
    n: int, split: str = "train", seed: int = 0, layout: str = "equispaced"
) -> Float[Array, "n"]:
    """Where the points of `circle` lie, in turns: angles divided by 2 pi, float64."""
    if layout not in ("equispaced", "random"):
        raise UserError(f"The circle has no layout {layout!r}; choose equispaced or random.")
    _check_seed(seed)
    split = _known(split, "circle")
    if layout == "equispaced":
        return np.arange(n) / n + (0.5 / n if split == "validation" else 0.0) + CIRCLE_OFFSET
    # the legacy generator: its stream is frozen, and the paper's random points come from it
    both = np.random.RandomState(seed).uniform(size=2 * n)
    return both[:n] if split == "validation" else both[n:]


def on_circle(turns: Float[Array, "n"]) -> Float[Array, "n 2"]:
    """The points at these turns on the circle of radius 10, float64."""
    angle = 2 * np.pi * turns
    return CIRCLE_RADIUS * np.stack([np.cos(angle), np.sin(angle)], axis=1)


@checked(n=1, dimension=1)
def gaussian(
    n: int = 100, split: str = "train", seed: int = 0, dimension: int = 20, decay: float = 0.0
) -> Dataset:
    """n independent draws [n, dimension] of N(0, diag(`spectrum(dimension, decay)`)).

    A smaller n is a part of a larger one. Defaults: 100 points of N(0, I) in 20 dimensions, the setting of
    Song et al. (2025), appendix C.6. All labels are 0.
    """
    _check_seed(seed)
    split = _known(split, "gaussian")
    scale = np.sqrt(spectrum(dimension, decay).numpy())
    drawn = runtime.normals(int(seed), f"gaussian, {split}", range(n), (dimension,), torch.float64)
    return _unlabelled("gaussian", split, drawn.numpy() * scale)


@checked(dimension=1)
def spectrum(dimension: int, decay: float) -> Float[Tensor, "d"]:
    """Variances k^(-decay) for k = 1..dimension, float64; decay 0 gives the identity."""
    if not 0 <= decay < 100:
        raise UserError(f"decay must lie between 0 and 100; got {decay!r}.")
    return torch.arange(1, dimension + 1, dtype=torch.float64) ** -decay


def _unlabelled(name: str, split: str, points: np.ndarray) -> Dataset:
    x = torch.from_numpy(points.astype(np.float32))
    return Dataset(name, split, x, torch.zeros(len(x), dtype=torch.int64))


@checked()
def cifar10(split: str = "train") -> Dataset:
    """CIFAR-10 [n, 3, 32, 32]: 50,000 for training; the official test batch of 10,000 is the held-out split.

    torchvision's reader checks the md5 of every file under `data_folder()/cifar-10-batches-py`.
    """
    split, reader = _known(split, "cifar10"), load_torchvision().datasets.CIFAR10
    try:
        read = reader(data_folder(), train=split == "train", download=False)
    except (RuntimeError, OSError) as error:
        raise UserError(download.what_is_wrong(reader, data_folder())) from error
    return _from_rows("cifar10", split, read.data, read.targets)


@checked()
def specimens(split: str = "train") -> Dataset:
    """2,080 made-up images [n, 3, 32, 32] of 10 classes in each split: see `diffnotes.data.specimens`.

    They take the way of CIFAR-10 from bytes on, so that code for it can be tried without a download.
    """
    split = _known(split, "specimens")
    rows = made_up.rows(split)
    return _from_rows("specimens", split, rows, made_up.labels(len(rows)).tolist())


def _from_rows(name: str, split: str, rows: UInt8[Array, "n h w c"], labels: list[int]) -> Dataset:
    """Images whose colours come last, as CIFAR-10's reader gives them."""
    values = torch.from_numpy(np.ascontiguousarray(rows.transpose(0, 3, 1, 2)))
    return Dataset(name, split, values, torch.tensor(labels, dtype=torch.int64))


@checked(per_class=0)
def imagenet64(split: str = "train", folder: str = "tiny-imagenet-200", per_class: int = 0) -> Dataset:
    """Images of `folder` (a path, or a name under `data_folder()`) as [n, 3, 64, 64], cropped and filtered.

    Layouts, the split "all" and `per_class`: see `diffnotes.data.folders.list_split`. The first use decodes
    all images into one file: in `.diffnotes-cache` of the data folder, or the user's where that is read-only.
    """
    split = _known(split, "imagenet64")
    path = data_folder() / files.folder_named(folder)  # an absolute one replaces the left side
    listing = images.list_split(path, split, per_class)
    read = _from_folder("imagenet64", split, listing, _cache_folder(), path.name)
    tell(listing.note)
    return read


@checked(per_class=0)
def specimens64(split: str = "train", per_class: int = 0) -> Dataset:
    """Made-up image files as [n, 3, 64, 64], 40 for training, 520 held out: see `diffnotes.data.specimens`.

    They are written to a temporary folder and take the way of `imagenet64` from there.
    """
    split = _known(split, "specimens64")
    with tempfile.TemporaryDirectory() as folder:
        for part in ("train", "validation") if split == "all" else (split,):
            made_up.write_folder(Path(folder), part)
        listing = images.list_split(Path(folder), split, per_class)
        read = _from_folder("specimens64", split, listing, Path(folder), "specimens64")
        return Dataset(read.name, split, read.values.clone(), read.labels)  # the folder and its cache go


def _from_folder(name: str, split: str, listing: images.Listing, cache: Path, called: str) -> Dataset:
    """Images of a listing, decoded into a file in `cache` unless it is there."""
    values = torch.from_numpy(decoding.pixels(listing, cache, f"{called}-{split}"))
    return Dataset(name, split, values, torch.tensor(listing.labels, dtype=torch.int64))


def data_folder() -> Path:
    """`DIFFNOTES_DATA` where set, otherwise `~/.cache/diffnotes/data`, wherever you are."""
    return files.folder_of("DIFFNOTES_DATA") or _user_cache() / "data"


def _user_cache() -> Path:
    return (files.folder_of("XDG_CACHE_HOME") or files.home("DIFFNOTES_DATA") / ".cache") / "diffnotes"


def _cache_folder() -> Path:
    beside = data_folder()
    return beside / ".diffnotes-cache" if os.access(beside, os.W_OK) else _user_cache() / "images"


@checked()
def fetch(name: str) -> Path:
    """Download dataset `name` (so far "cifar10") into `data_folder()` unless it is there; returns its folder.

    Errors: UserError for an unknown name, no connection, a broken transfer (the next call continues it), or a
    wrong md5.
    """
    if name != "cifar10":
        why = " (see the page on datasets for how to get it)" if name == "imagenet64" else ""
        raise UserError(f"Cannot fetch {quoted(name)}{why}; the one dataset to fetch is cifar10.")
    try:
        cifar10()
    except UserError:
        download.fetch(download.CIFAR10, data_folder())
        cifar10()
    else:
        download.tidy(download.CIFAR10, data_folder())
    return data_folder() / download.CIFAR10.folder


MADE: dict[str, Callable[..., Dataset]] = {"circle": circle, "gaussian": gaussian}
STORED: dict[str, Callable[..., Dataset]] = {
    "digits": digits, "cifar10": cifar10, "imagenet64": imagenet64,
    "specimens": specimens, "specimens64": specimens64,
}  # fmt: skip

_declared: list[torch.library.Library] = []  # torch forgets the schemas of a Library that nobody holds


def load_torchvision() -> ModuleType:
    """Import torchvision; the package's only way to it.

    A CPU-only torch beside a torchvision built for CUDA fails on import, because the compiled operators
    cannot be loaded and two of them are decorated without a check. Declaring those two is enough for
    datasets, transforms and models; a call of a compiled operator still ends in torchvision's own clear
    error. With an intact pair this is a plain import.
    """
    try:
        return importlib.import_module("torchvision")
    except RuntimeError as error:
        if "operator torchvision::" not in str(error):
            raise
    for module in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
        del sys.modules[module]  # a failed import leaves submodules behind
    library = torch.library.Library("torchvision", "FRAGMENT")
    for operator in ("nms", "qnms"):
        library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _declared.append(library)
    return importlib.import_module("torchvision")
