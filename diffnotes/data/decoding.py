"""Image files as 64 x 64 pixels: decoded once, then read from a cache."""

from __future__ import annotations

import hashlib
import io
import json
import mmap
import os
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from diffnotes.base import files
from diffnotes.base.errors import UserError
from diffnotes.base.shapes import Array, UInt8
from diffnotes.base.terminal import bar, tell
from diffnotes.data.folders import Listing
from diffnotes.data.walk import content, states

SIDE = 64
RECIPE = "rgb, upright, centre crop, box filter, 64 x 64, version 2"  # part of the cache key
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM")  # of others, some run programs
BYTES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr")  # white is known


def pixels(listing: Listing, cache: Path, name: str) -> UInt8[Array, "n 3 64 64"]:
    """All images of a listing as one uint8 array, copy-on-write mapped from `cache/<name>-<key>.npy`.

    The key covers every file's path, size, inode and times (that of the last change of an inode cannot be set
    by hand), so an edited folder is decoded again. The file appears only when it is complete, and ends with
    a SHA-256, so a damaged one is written anew. Where it cannot be written, the images are decoded into
    memory. Cost: one decoding pass the first time (a progress bar on a terminal), then none.
    """
    key = _key(listing)
    target = cache / f"{name}-{key}.npy"
    found = _cached(target, len(listing.paths))
    if found is not None:
        return found
    try:
        _decode_all(listing.paths, target)
        found = _cached(target, len(listing.paths))
    except OSError as error:
        tell(f"Decoded images cannot be kept in {cache} ({error.strerror}), so each run decodes them.")
    if found is None:
        found = np.stack(list(_decoded(listing.paths)))
    if _key(listing) != key:
        raise UserError("Images have changed while they were read; run it again.")
    return found


def _key(listing: Listing) -> str:
    recipe = [RECIPE, states(listing.paths)]
    return hashlib.sha256(json.dumps(recipe).encode()).hexdigest()[:16]


def _cached(target: Path, count: int) -> UInt8[Array, "n 3 64 64"] | None:
    """The images of a cache file, if every bit is as it was written."""
    try:
        with open(target, "rb") as file:
            whole = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY))
    except (OSError, ValueError):  # not there, not to be read, or empty
        return None
    if files.unsealed(whole, target.name) is None:
        return None
    # Copy-on-write: torch can wrap it without a warning, and a stray write never reaches the file.
    size = count * 3 * SIDE * SIDE
    return np.frombuffer(whole, np.uint8, size, len(whole) - files.SEAL - size).reshape(count, 3, SIDE, SIDE)


def _decode_all(paths: tuple[Path, ...], target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    for left in target.parent.glob(".*.npy.*"):
        files.remove_unheld(left)
    handle, temporary = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    try:
        with os.fdopen(handle, "wb") as out:
            files.hold(handle)
            header = io.BytesIO()
            shape = {"descr": "|u1", "fortran_order": False, "shape": (len(paths), 3, SIDE, SIDE)}
            np.lib.format.write_array_header_1_0(header, shape)
            seal = files.begun_seal(target.name)
            for part in chain([header.getvalue()], map(bytes, _decoded(paths))):
                seal.update(part)
                out.write(part)
            out.write(seal.digest())
            out.flush()
            os.fsync(handle)
            os.chmod(temporary, 0o644)
        os.replace(temporary, target)
    finally:
        Path(temporary).unlink(missing_ok=True)


def _decoded(paths: tuple[Path, ...]) -> Iterator[UInt8[Array, "3 64 64"]]:
    pool = ThreadPoolExecutor()  # Pillow decodes without holding the interpreter
    try:
        images = pool.map(decode, paths)
        yield from bar(iterable=images, total=len(paths), desc="decoding images", unit="image")
    finally:
        pool.shutdown(cancel_futures=True)


def decode(path: Path) -> UInt8[Array, "3 64 64"]:
    """One image: upright, to RGB, cut to its central square, then averaged over boxes down to 64 x 64."""
    image = squared(opened(content(path), path), SIDE, path).convert("RGB")
    return np.ascontiguousarray(np.asarray(image).transpose(2, 0, 1))


def opened(whole: bytes, path: Path) -> Image.Image:
    """The picture in the bytes of a file, upright: grey ("L") where it has no colours, else "RGB"."""
    try:
        image = _upright(whole, path)
        return image.convert("L" if image.mode in ("1", "L", "LA") else "RGB")
    except UserError:
        raise
    except Exception as error:  # Pillow's readers raise whatever they stumble over
        raise UserError(f"The image {path} {_fault(whole, error)}.") from error


def squared(image: Image.Image, side: int, path: Path) -> Image.Image:
    """The central square of a picture, averaged over boxes down to side x side."""
    short = min(image.size)
    if short < side:
        raise UserError(
            f"The image {path} is {image.width} x {image.height}, too small for {side} x {side}; remove it."
        )
    left, top = (image.width - short) // 2, (image.height - short) // 2
    if image.size == (side, side):
        return image
    return image.resize((side, side), Image.Resampling.BOX, box=(left, top, left + short, top + short))


def _upright(whole: bytes, path: Path) -> Image.Image:
    """The picture of a file as it is to be seen, its values as bytes; UserError where that is open."""
    with Image.open(io.BytesIO(whole), formats=FORMATS) as file:
        if file.format == "PNG":
            file.verify()  # its check sums, which decoding leaves out
    with Image.open(io.BytesIO(whole), formats=FORMATS) as file:
        # of the pictures in an MPO, as telephones make them, the first is the photograph
        if getattr(file, "is_animated", False) and file.format != "MPO":
            raise UserError(f"The image {path} holds several pictures; save the one that is meant.")
        image = ImageOps.exif_transpose(file)
    if image.mode.startswith("I;16"):
        # as Pillow does with colours of 16 bits: the upper byte
        grey = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
        grey.info, image = image.info, grey
    if image.mode not in BYTES:
        raise UserError(
            f"The image {path} holds numbers ({image.mode}) whose white is not known; save it with 8 bits."
        )
    if not image.has_transparency_data:
        return image
    if image.convert("RGBA").getchannel("A").getextrema()[0] != 255:
        raise UserError(
            f"The image {path} is transparent, and what lies behind is not known; save it without alpha."
        )
    return image.convert("L" if image.mode in ("L", "LA") else "RGBA")


def _fault(whole: bytes, error: Exception) -> str:
    if isinstance(error, Image.DecompressionBombError):
        return "claims to have more pixels than photographs have; remove it, or make it smaller"
    reason = "no image is in it" if isinstance(error, UnidentifiedImageError) else str(error) or repr(error)
    return f"is truncated or damaged ({reason if whole else 'it is empty'}); restore that file"
