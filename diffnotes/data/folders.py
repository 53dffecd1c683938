"""A folder of images as 64 x 64 pixels: listed in a fixed order, decoded once, then read from a cache."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import mmap
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from dataclasses import dataclass
from itertools import chain, groupby, islice
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError
from tqdm import tqdm

from diffnotes.base import files
from diffnotes.base.errors import UserError, printable
from diffnotes.base.shapes import Array, UInt8
from diffnotes.data.walk import (
    EXTENSIONS,
    SPLITS,
    TABLE,
    TEST,
    TRAINING,
    VALIDATION,
    Walk,
    called,
    only,
    table,
    unreadable,
)

SIDE = 64
RECIPE = "rgb, upright, centre crop, box filter, 64 x 64, version 2"  # part of the cache key
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM")  # of others, some run programs
BYTES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr")  # white is known


@dataclass(frozen=True)
class Listing:
    """Image files of one split; a label is the position of the class name among the sorted class names of
    both splits. `note` says what was read and what was left out."""

    paths: tuple[Path, ...]
    labels: tuple[int, ...]
    note: str = ""


Found = list[tuple[Path, str]]  # a file and the name of its class


def list_split(folder: Path, split: str, per_class: int = 0) -> Listing:
    """Images of `split` ("train" or "validation") under `folder`, by class name, then by file path; or "all".

    Layouts: `folder/train/<class>/...` with `folder/val/<class>/...` or with Tiny ImageNet's
    `folder/val/images` and `val_annotations.txt`; or `folder/<class>/...`, which has a train split only. The
    held-out folder may be called val, valid or validation; where there is none, test. Capitals do not matter.
    "all": the validation images, then of each training class the `per_class` files with the lowest numbers
    (0: all of them), without files that repeat one before them byte for byte. So a complete folder and one
    that has no more than these files give the same images.
    Errors: UserError names the folder or file: see also `diffnotes.data.walk.Walk`.
    """
    if isinstance(per_class, bool) or not isinstance(per_class, int) or per_class < 0:
        raise UserError(f"per_class must be a whole number, or 0 for all images; got {per_class!r}.")
    if not os.path.isdir(folder):
        raise UserError(
            f"There is no image folder {folder}; put one there, or set DIFFNOTES_DATA to where it is."
        )
    if per_class and split != "all":
        raise UserError(f"per_class chooses images of the split 'all'; leave it out of {split!r}.")
    layout = _Layout(folder)
    if split == "all":
        return layout.numbered(layout.distinct(per_class), folder)
    if split == "train":
        return layout.numbered(layout.training(), layout.train or folder)
    return layout.numbered(layout.held_out(), layout.unseen or folder)


class _Layout:
    """Where the splits of a folder of images are, and what is in them."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.walk = folder, Walk(folder)
        self.merged: set[str] = set()  # classes whose images lie in more than one folder
        folders, _ = self.walk.inside(folder)
        self.train = only(folders, TRAINING)
        self.unseen = only(folders, VALIDATION) or only(folders, TEST)
        if self.train or self.unseen:
            self.walk.leave(self.walk.inside(folder)[1])
            if others := [p for p in folders if p.name.lower() not in SPLITS]:
                self.walk.left["folders beside the splits"] = len(others)

    def training(self) -> Found:
        if self.unseen and not self.train:
            raise UserError(
                f"The image folder {self.folder} has a folder {self.unseen.name!r} and no folder 'train', so "
                "no training split; use split='validation', or rename that folder if it is a class."
            )
        return self.by_class(self.train or self.folder)

    def held_out(self) -> Found:
        if not self.unseen:
            raise UserError(
                f"The image folder {self.folder} has no folder 'val', so no validation split; "
                "use split='train'."
            )
        return self.by_table(self.unseen) or self.by_class(self.unseen)

    def distinct(self, per_class: int) -> Found:
        """The split "all": see `list_split`."""
        seen: set[bytes] = set()
        found = [pair for pair in self.held_out() if self.is_new(pair[0], seen)]
        for name, pairs in groupby(self.training(), key=lambda pair: pair[1]):
            # n_9 comes before n_10: the shorter name first
            ordered = sorted(pairs, key=lambda pair: (len(pair[0].name), pair[0].name))
            fresh = (pair for pair in ordered if self.is_new(pair[0], seen))
            chosen = list(islice(fresh, per_class or None))
            if len(chosen) < per_class:
                raise UserError(
                    f"The training class {name} in {self.folder} has {len(chosen)} different images, fewer "
                    f"than per_class = {per_class}; complete it, or take a smaller per_class."
                )
            found += chosen
        return found

    def is_new(self, path: Path, seen: set[bytes]) -> bool:
        """Whether no file before it had these bytes."""
        digest = hashlib.sha256(_content(path)).digest()
        fresh = digest not in seen
        seen.add(digest)
        self.walk.left.update([] if fresh else ["repeated images"])
        return fresh

    def by_class(self, folder: Path) -> Found:
        folders, beside = self.walk.inside(folder)
        found = [(path, inner.name) for inner in folders for path in self.walk.below(inner)]
        if not found:
            raise UserError(
                f"No class folder with images ({', '.join(EXTENSIONS)}) is in {folder}; check its layout."
            )
        names = {name for _, name in found}
        places = Counter(name for _, name in {(path.parent, name) for path, name in found})
        self.merged |= {name for name, count in places.items() if count > 1}
        plain = len(folders) == 1 and called(folders, "images")
        if plain and called(beside, TABLE):
            raise UserError(
                f"{folder} is the validation split of Tiny ImageNet; name the folder that holds it, and ask "
                "for split='validation'."
            )
        if plain and folder == self.unseen and plain.name not in _names(self.train):
            raise UserError(
                f"The classes of {plain} are not known, as {folder} has no {TABLE}; "
                "restore that file, or make class folders."
            )
        self.walk.leave(beside)
        if empty := len(folders) - len(names):
            self.walk.left["empty class folders"] += empty
        return found

    def by_table(self, folder: Path) -> Found:
        """The images of Tiny ImageNet's held-out folder; none where they lie in class folders."""
        folders, beside = self.walk.inside(folder)
        rows_file, inner = called(beside, TABLE), called(folders, "images") or folder / "images"
        if rows_file is None:
            return []
        paths = self.walk.below(inner) if inner in folders else []
        there = {path.relative_to(inner).as_posix(): path for path in paths}
        sorted_in = [other for other in folders if other != inner and self.walk.below(other)]
        if sorted_in and not there:
            return []
        if sorted_in:
            raise UserError(
                f"{folder} has images both in 'images' and in the class folder {sorted_in[0].name!r}; move "
                "all of them to class folders, or none."
            )
        rows = table(rows_file)
        if lacking := sorted(rows.keys() ^ there.keys()):
            what = "has no line" if lacking[0] in there else "is missing, but has a line"
            raise UserError(f"The image {inner / lacking[0]} {what} in {rows_file.name}; restore it.")
        self.walk.leave([path for path in beside if path != rows_file])
        return [(there[file], name) for file, name in rows.items()]

    def classes(self) -> set[str]:
        """The classes of both splits, so that a class has one number: names of folders, or of the table."""
        if not self.unseen:
            return _names(self.train)
        folders, beside = Walk(self.unseen).inside(self.unseen)
        rows, inner = called(beside, TABLE), called(folders, "images")
        if folders != [inner]:
            return _names(self.train) | _names(self.unseen)
        return _names(self.train) | (set(table(rows).values()) if rows else set())

    def numbered(self, found: Found, where: Path) -> Listing:
        names = {name for _, name in found}
        place = {name: label for label, name in enumerate(sorted(names.union(self.classes())))}
        many = f"{len(names):,} classes" if len(names) > 1 else "one class"
        if self.merged:
            many += f" ({len(self.merged):,} with several folders inside)"
        note = f"Read {len(found):,} images of {many} in {where}; {self.walk.told()}."
        return Listing(tuple(path for path, _ in found), tuple(place[name] for _, name in found), note)


def _names(folder: Path | None) -> set[str]:
    """The names of the folders in a folder, where there is one."""
    return {path.name for path in Walk(folder).inside(folder)[0]} if folder else set()


# ------------------------------------------------------------------------------------------ what is said

_silent: ContextVar[bool] = ContextVar("silent", default=False)
_said: set[str] = set()


@contextlib.contextmanager
def silently() -> Iterator[None]:
    """`tell` says nothing in this block."""
    before = _silent.set(True)
    try:
        yield
    finally:
        _silent.reset(before)


def tell(text: str) -> None:
    """One line on stderr, once in a process."""
    if not _silent.get() and text not in _said:
        _said.add(text)
        with contextlib.suppress(OSError, ValueError):  # nobody listens
            print(printable(text), file=sys.stderr or io.StringIO())


# -------------------------------------------------------------------------------------- pixels and cache


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
    try:
        stats = [(str(path), path.stat()) for path in listing.paths]
    except OSError as error:
        raise unreadable(error, listing.paths[0].parent) from error
    states = [(path, s.st_size, s.st_ino, s.st_mtime_ns, s.st_ctime_ns) for path, s in stats]
    return hashlib.sha256(json.dumps([RECIPE, states]).encode()).hexdigest()[:16]


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
        yield from tqdm(images, total=len(paths), desc="decoding images", unit="image", disable=None)
    finally:
        pool.shutdown(cancel_futures=True)


def decode(path: Path) -> UInt8[Array, "3 64 64"]:
    """One image: upright, to RGB, cut to its central square, then averaged over boxes down to 64 x 64."""
    content = _content(path)
    try:
        image = _upright(content, path).convert("RGB")
    except UserError:
        raise
    except Exception as error:  # Pillow's readers raise whatever they stumble over
        raise UserError(f"The image {path} {_fault(content, error)}.") from error
    side = min(image.size)
    if side < SIDE:
        raise UserError(
            f"The image {path} is {image.width} x {image.height}, too small for {SIDE} x {SIDE}; remove it."
        )
    left, top = (image.width - side) // 2, (image.height - side) // 2
    if image.size != (SIDE, SIDE):
        image = image.resize((SIDE, SIDE), Image.Resampling.BOX, box=(left, top, left + side, top + side))
    return np.ascontiguousarray(np.asarray(image).transpose(2, 0, 1))


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise unreadable(error, path) from error


def _upright(content: bytes, path: Path) -> Image.Image:
    """The picture of a file as it is to be seen, its values as bytes; UserError where that is open."""
    with Image.open(io.BytesIO(content), formats=FORMATS) as file:
        if file.format == "PNG":
            file.verify()  # its check sums, which decoding leaves out
    with Image.open(io.BytesIO(content), formats=FORMATS) as file:
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
    return image.convert("RGBA")


def _fault(content: bytes, error: Exception) -> str:
    if isinstance(error, Image.DecompressionBombError):
        return "claims to have more pixels than photographs have; remove it, or make it smaller"
    reason = "no image is in it" if isinstance(error, UnidentifiedImageError) else str(error) or repr(error)
    return f"is truncated or damaged ({reason if content else 'it is empty'}); restore that file"
