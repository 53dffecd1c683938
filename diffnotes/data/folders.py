"""A folder of images as 64 x 64 pixels: listed in a fixed order, decoded once, then read from a cache."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby, islice
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError
from tqdm import tqdm

from diffnotes.base.errors import UserError
from diffnotes.base.shapes import Array, UInt8

SIDE = 64
RECIPE = "rgb, centre crop, box filter, 64 x 64, version 1"  # part of the cache key
EXTENSIONS = (".jpeg", ".jpg", ".png", ".webp", ".bmp")


@dataclass(frozen=True)
class Listing:
    """Image files of one split; a label is the position of the class name among the sorted class names."""

    paths: tuple[Path, ...]
    labels: tuple[int, ...]


Found = list[tuple[Path, str]]  # a file and the name of its class


def list_split(folder: Path, split: str, per_class: int = 0) -> Listing:
    """Images of `split` ("train" or "validation") under `folder`, by class name, then by file path; or "all".

    Layouts: `folder/train/<class>/...` with `folder/val/<class>/...` or with Tiny ImageNet's
    `folder/val/images` and `val_annotations.txt`; or `folder/<class>/...`, which has a train split only.
    "all": the validation images, then of each training class the `per_class` files with the lowest numbers
    (0: all of them), without files that repeat one before them byte for byte. So a complete folder and one
    that has no more than these files give the same images.
    Errors: UserError names the folder or file.
    """
    if not folder.is_dir():
        raise UserError(
            f"There is no image folder {folder}; put one there, or set DIFFNOTES_DATA to where it is."
        )
    if split == "all":
        return _numbered(_distinct(folder, per_class))
    if per_class:
        raise UserError(f"per_class chooses images of the split 'all'; leave it out of {split!r}.")
    return _numbered(_training(folder) if split == "train" else _held_out(folder))


def _numbered(found: Found) -> Listing:
    place = {name: label for label, name in enumerate(sorted({name for _, name in found}))}
    return Listing(tuple(path for path, _ in found), tuple(place[name] for _, name in found))


def _training(folder: Path) -> Found:
    return _by_class(folder / "train" if (folder / "train").is_dir() else folder)


def _held_out(folder: Path) -> Found:
    if not (folder / "val").is_dir():
        raise UserError(
            f"The image folder {folder} has no folder 'val', so no validation split; use split='train'."
        )
    if (folder / "val" / "val_annotations.txt").is_file():
        return _by_annotation(folder / "val")
    return _by_class(folder / "val")


def _distinct(folder: Path, per_class: int) -> Found:
    """The split "all": see `list_split`."""
    seen: set[bytes] = set()
    found = [pair for pair in _held_out(folder) if _new(pair[0], seen)]
    for name, pairs in groupby(_training(folder), key=lambda pair: pair[1]):
        # n_9 comes before n_10: the shorter name first
        ordered = sorted(pairs, key=lambda pair: (len(pair[0].name), pair[0].name))
        chosen = list(islice((pair for pair in ordered if _new(pair[0], seen)), per_class or None))
        if len(chosen) < per_class:
            raise UserError(
                f"The training class {name} in {folder} has {len(chosen)} different images, fewer than "
                f"per_class = {per_class}; complete it, or take a smaller per_class."
            )
        found += chosen
    return found


def _new(path: Path, seen: set[bytes]) -> bool:
    """Whether no file before it had these bytes."""
    try:
        digest = hashlib.sha256(path.read_bytes()).digest()
    except OSError as error:
        raise _unreadable(error) from error
    fresh = digest not in seen
    seen.add(digest)
    return fresh


def _unreadable(error: OSError) -> UserError:
    return UserError(f"Cannot read the image {error.filename}: {error.strerror}; restore that file.")


def _by_class(folder: Path) -> Found:
    names = sorted(
        entry.name for entry in os.scandir(folder) if entry.is_dir() and not entry.name.startswith(".")
    )
    found = [(path, name) for name in names for path in _images(folder / name)]
    if not found:
        raise UserError(
            f"No class folder with images ({', '.join(EXTENSIONS)}) is in {folder}; check its layout."
        )
    return found


def _images(folder: Path) -> list[Path]:
    # Plain code-point order: the same on every machine, whatever its locale or file system.
    found = [path for path in folder.rglob("*") if path.suffix.lower() in EXTENSIONS]
    return sorted(found, key=lambda path: path.relative_to(folder).as_posix())


def _by_annotation(folder: Path) -> Found:
    table = folder / "val_annotations.txt"
    rows = [line.split("\t")[:2] for line in table.read_text(encoding="utf-8").splitlines() if line.strip()]
    if not rows or any(len(row) != 2 for row in rows):
        raise UserError(
            f"{table} is damaged: each line must hold a file name, a tab and a class; restore that file."
        )
    rows.sort(key=lambda row: row[0])
    return [(folder / "images" / file, name) for file, name in rows]


def pixels(listing: Listing, cache: Path, name: str) -> UInt8[Array, "n 3 64 64"]:
    """All images of a listing as one uint8 array, copy-on-write mapped from `cache/<name>-<key>.npy`.

    The key covers every file's path, size and time of change, so an edited folder is decoded again. The cache
    file appears only when it is complete. Cost: one decoding pass the first time (a progress bar on a
    terminal), then none.
    """
    target = cache / f"{name}-{_key(listing)}.npy"
    if not target.is_file():
        _decode_all(listing.paths, target)
    # Copy-on-write: torch can wrap it without a warning, and a stray write never reaches the file.
    return np.load(target, mmap_mode="c")


def _key(listing: Listing) -> str:
    try:
        stats = [(str(path), path.stat()) for path in listing.paths]
    except OSError as error:
        raise _unreadable(error) from error
    text = json.dumps([RECIPE, [(path, stat.st_size, stat.st_mtime_ns) for path, stat in stats]])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _decode_all(paths: Sequence[Path], target: Path) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
        os.close(handle)
        try:
            _decode_into(paths, temporary)
            os.chmod(temporary, 0o644)
            os.replace(temporary, target)
        finally:
            Path(temporary).unlink(missing_ok=True)
    except OSError as error:
        raise UserError(
            f"Cannot write the image cache {target}: {error.strerror}; free some space or set DIFFNOTES_DATA."
        ) from error


def _decode_into(paths: Sequence[Path], file: str) -> None:
    header = {"descr": "|u1", "fortran_order": False, "shape": (len(paths), 3, SIDE, SIDE)}
    pool = ThreadPoolExecutor()  # Pillow decodes without holding the interpreter
    try:
        with open(file, "wb") as out:
            np.lib.format.write_array_header_1_0(out, header)
            decoded = pool.map(decode, paths)
            for image in tqdm(decoded, total=len(paths), desc="decoding images", unit="image", disable=None):
                out.write(image.tobytes())
    finally:
        pool.shutdown(cancel_futures=True)


def decode(path: Path) -> UInt8[Array, "3 64 64"]:
    """One image: to RGB, cut to its central square, then averaged over boxes down to 64 x 64."""
    try:
        with Image.open(path) as file:
            image = file.convert("RGB")
    except (OSError, SyntaxError, ValueError, UnidentifiedImageError) as error:
        raise UserError(f"The image {path} is truncated or damaged ({error}); restore that file.") from error
    side = min(image.size)
    if side < SIDE:
        raise UserError(
            f"The image {path} is {image.width} x {image.height}, too small for {SIDE} x {SIDE}; remove it."
        )
    left, top = (image.width - side) // 2, (image.height - side) // 2
    if image.size != (SIDE, SIDE):
        image = image.resize((SIDE, SIDE), Image.Resampling.BOX, box=(left, top, left + side, top + side))
    return np.ascontiguousarray(np.asarray(image).transpose(2, 0, 1))
