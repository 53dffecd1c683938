"""The fingerprint of a data set, worked out once in a process for as long as its files stay as they are."""

from __future__ import annotations

import os
from pathlib import Path

from diffnotes import data, data_part, images

FOLDERS = {"cifar10": "cifar-10-batches-py", "imagenet64": "tiny-imagenet-200"}
Files = tuple[tuple[str, int, int, int, int], ...]
_known: dict[tuple[str, int | None, str, int, Files], str] = {}


def fingerprint(name: str, n: int | None = None, split: str = "train", seed: int = 0) -> str:
    """`data.load(name, n, split, seed).fingerprint`.

    Sets without files of their own are made anew. The others are read again when path, size, inode or a time
    of any of their files has changed; the time of the last change of an inode cannot be set by hand.
    """
    if name not in FOLDERS:
        return data.load(name, n, split, seed).fingerprint
    key = (name, n, split, seed, _files(name, split))
    if key not in _known:
        _known[key] = data.load(name, n, split, seed).fingerprint
    return _known[key]


def _files(name: str, split: str) -> Files:
    folder = data.data_folder() / FOLDERS[name]
    if name == "imagenet64":
        return tuple(map(_stat, images.list_split(folder, data.SPLITS[split]).paths))
    part = data_part.file_of(data.data_folder(), name)
    return tuple(map(_stat, sorted(folder.iterdir()) if folder.is_dir() else [part]))


def _stat(path: Path) -> tuple[str, int, int, int, int]:
    try:
        found = os.stat(path)
    except OSError:  # `load` says what is wrong with it
        return (str(path), -1, 0, 0, 0)
    return (str(path), found.st_size, found.st_ino, found.st_mtime_ns, found.st_ctime_ns)
