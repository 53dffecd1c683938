"""A reader's own images: a folder, an array, a table of Hugging Face's datasets, or a set of the book.

    train = given("photos", side=32)                # a folder of images, with or without folders for classes
    train = given("faces.npz", pixels="0,1")        # [n, h, w], [n, h, w, c] or [n, c, h, w]
    train = given("data/train.parquet", grey=True)  # columns image and label
    train, held_out = split(train, 0.1, seed=0)

Nothing is rescaled, cut or made grey unless it is said: what does not fit together is refused.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from diffnotes.base import files
from diffnotes.base.errors import UserError, out_of_memory
from diffnotes.base.shapes import Array, Num, Tensor, checked
from diffnotes.base.terminal import bar, tell
from diffnotes.data.dataset import Dataset
from diffnotes.data.decoding import opened, squared
from diffnotes.data.folders import list_split
from diffnotes.data.sets import NAMES, SPLITS, load, permutation, shrunk
from diffnotes.data.walk import Walk, content

IMAGES = ("x", "images", "image", "data", "samples", "arr_0")  # names of the array with images
LABELS = ("y", "labels", "label")
LITTLE = 16  # bytes up to which an array of them is no picture: masks, or digits of 17 grey values
RANGES = ("-1,1", "0,1", "as they are")  # of floating-point values


@dataclass(frozen=True)
class Wanted:
    """How images are brought to one form: side 0 leaves them as they are, and then they must be equal."""

    side: int = 0
    grey: bool = False
    pixels: str = "-1,1"

    def __post_init__(self) -> None:
        if self.pixels not in RANGES:
            raise UserError(f"pixels must be one of {', '.join(map(repr, RANGES))}, not {self.pixels!r}.")


@checked(side=0)
def given(
    source: str | Path, *, split: str = "train", side: int = 0, grey: bool = False, pixels: str = "-1,1"
) -> Dataset:
    """The images that `source` names: a set of the book, an image folder, .npy or .npz, or .parquet.

    side: pixels of a side to which images of a folder or table are cut (their central square) and averaged;
    0: as they are, which must be one size. grey: colours are made grey. pixels: what floating-point arrays
    mean: "-1,1", "0,1" (brought to [-1, 1]), or "as they are" (latents). uint8 p stands for p/127.5 - 1.
    split ("train" or "validation"): of a set of the book, and of a folder or table that has both.

    Raises UserError for what is missing, damaged, of several sizes or colours, or of another range.
    """
    if SPLITS.get(split) not in ("train", "validation"):
        raise UserError(f"There is no split {split!r}; choose train or validation.")
    wanted, path, split = Wanted(side, grey, pixels), files.folder_named(source), SPLITS[split]
    if str(source) in NAMES and not path.exists():
        return _formed(load(str(source), split=split), wanted)
    if not path.exists():
        raise UserError(
            f"There are no images {source}; give a folder, a .npz, .npy or .parquet file, or one of "
            f"{', '.join(NAMES)}."
        )
    if path.is_dir() and not _tables(path, split):
        return _of_folder(path, split, wanted)
    if path.suffix in (".npz", ".npy"):
        return _of_array(path, wanted)
    if path.is_dir() or path.suffix == ".parquet":
        return _of_table(path, split, wanted)
    raise UserError(f"{path} is neither a folder nor a .npz, .npy or .parquet file; give one of these.")


@checked(seed=0)
def split(images: Dataset, share: float, seed: int = 0) -> tuple[Dataset, Dataset]:
    """(the others, a share of the images that is held out), chosen by `seed` alone.

    Held out means that the model was not trained on them: train on the first, and keep the second.
    """
    if not 0 < share < 1:
        raise UserError(f"The share of held-out images must be between 0 and 1, not {share}.")
    count = round(share * len(images))
    if not 0 < count < len(images):
        raise UserError(f"A share {share:g} of {len(images)} images leaves one of the two parts empty.")
    order = permutation(len(images), seed)
    return images.taken(order[count:]), images.taken(order[:count])


def _formed(images: Dataset, wanted: Wanted) -> Dataset:
    """A set of the book, as it is wanted."""
    values = images.values
    if wanted.grey and values.ndim == 4 and values.shape[1] == 3:
        values = _to_grey(values)
    found = Dataset(images.name, images.split, values, images.labels)
    return shrunk(found, wanted.side) if values.ndim == 4 else found


def _to_grey(values: Tensor) -> Tensor:
    """ITU-R 601 luma, as Pillow has it, [n, 1, h, w]."""
    weights = torch.tensor([0.299, 0.587, 0.114], dtype=torch.float64).view(1, 3, 1, 1)
    found = (values.double() * weights).sum(1, keepdim=True)
    return found.round().to(torch.uint8) if values.dtype == torch.uint8 else found.float()


# -------------------------------------------------------------------------------------------------- folders


def same_classes(one: str | Path, other: str | Path) -> None:
    """UserError unless two image folders have the same folders for classes, so that equal numbers are equal
    classes."""
    names = [_class_folders(files.folder_named(source)) for source in (one, other)]
    strange = sorted(names[0] ^ names[1])
    if all(names) and strange:
        raise UserError(
            f"The classes of {one} and {other} differ ({', '.join(strange[:3])}), so their numbers do, too; "
            "give both the same folders for classes, empty ones as well."
        )


def _class_folders(folder: Path) -> set[str]:
    base = folder / "train" if (folder / "train").is_dir() else folder
    if not base.is_dir():
        return set()
    return {one.name for one in base.iterdir() if one.is_dir() and not one.name.startswith(".")}


def _of_folder(path: Path, split: str, wanted: Wanted) -> Dataset:
    walk = Walk(path)
    folders, beside = walk.inside(path)
    flat = walk.images(beside)
    if flat and not any(walk.below(folder) for folder in folders):
        if split != "train":
            raise UserError(f"{path} has no held-out images; give a folder of them.")
        paths, labels = tuple(flat), (0,) * len(flat)
        tell(f"Read {len(paths):,} images in {path}, which has no folders for classes; {walk.told()}.")
    else:
        listing = list_split(path, split)
        paths, labels = listing.paths, listing.labels
        tell(listing.note)
    pictures = (opened(content(one), one) for one in paths)
    return _stacked(path.name, split, _shown(pictures, len(paths)), paths, labels, wanted)


def _shown(pictures: Iterable[Image.Image], count: int) -> Iterator[Image.Image]:
    yield from bar(iterable=pictures, total=count, desc="reading images", unit="image", leave=False)


def _stacked(
    name: str, split: str, pictures: Iterable[Image.Image], paths: Iterable[Path], labels: Iterable[int],
    wanted: Wanted,
) -> Dataset:  # fmt: skip
    """Pictures as one array [n, c, h, w] uint8: grey where all are."""
    rows: list[Array] = []
    first: tuple[Path, tuple[int, int]] | None = None
    for picture, path in zip(pictures, paths, strict=True):
        shown = squared(picture, wanted.side, path) if wanted.side else picture
        if first is None:
            first = path, shown.size
        elif shown.size != first[1]:
            raise UserError(
                f"The image {path} is {shown.width} x {shown.height}, and {first[0]} is {first[1][0]} x "
                f"{first[1][1]}; give side, to which all are brought."
            )
        shown = shown.convert("L") if wanted.grey else shown
        rows.append(np.asarray(shown)[None] if shown.mode == "L" else np.asarray(shown).transpose(2, 0, 1))
    coloured = sum(len(row) == 3 for row in rows)
    if 0 < coloured < len(rows):
        tell(f"{len(rows) - coloured:,} of {len(rows):,} images are grey; they are taken as colours.")
        rows = [row if len(row) == 3 else row.repeat(3, 0) for row in rows]
    values = torch.from_numpy(np.stack(rows))
    return Dataset(name, split, values, torch.tensor([*labels], dtype=torch.int64))


# --------------------------------------------------------------------------------------------------- arrays


def _of_array(path: Path, wanted: Wanted) -> Dataset:
    arrays = _arrays(path)
    labels = _one(arrays, LABELS, path) if len(arrays) > 1 else None
    values = _one(arrays, IMAGES, path) if len(arrays) > 1 else next(iter(arrays.values()))
    if values is None:
        raise UserError(
            f"{path} holds arrays {', '.join(sorted(arrays)[:6])}, and none of them is called "
            f"{' or '.join(IMAGES[:3])}; rename that of the images."
        )
    found = _as_images(values, path, wanted)
    classes = np.zeros(len(found)) if labels is None else labels
    if classes.shape != (len(found),) or not np.array_equal(classes, np.round(classes)):
        shape = [*classes.shape]
        raise UserError(f"{path} has labels {shape} for {len(found)} images; give a whole number each.")
    whole = Dataset(path.stem, "train", found, torch.from_numpy(classes.astype(np.int64)))
    return _formed(whole, wanted)


def _arrays(path: Path) -> dict[str, Array]:
    try:
        if path.suffix == ".npy":
            return {"x": np.load(path, allow_pickle=False)}
        return files.npz_arrays(files.read_plain(path))
    except UserError as error:
        raise UserError(f"{path} cannot be read: {error}") from error
    except Exception as error:  # whatever such bytes make of numpy
        if out_of_memory(error):
            raise
        raise UserError(f"{path} is no file of arrays ({error}); save it anew, without objects.") from error


def _one(arrays: dict[str, Array], names: tuple[str, ...], path: Path) -> Array | None:
    found = [name for name in names if name in arrays]
    if len(found) > 1:
        raise UserError(f"{path} holds {' and '.join(found)}; keep the one that is meant.")
    return arrays[found[0]] if found else None


def _as_images(values: Array, path: Path, wanted: Wanted) -> Num[Tensor, "n ..."]:
    """[n, c, h, w] or points [n, d]; uint8, or float32 in [-1, 1] unless "as they are" is wanted."""
    if values.size == 0 or values.ndim < 2:
        shape = [*values.shape]
        raise UserError(f"{path} holds an array {shape}; images are [n, h, w], with or without colours.")
    if values.ndim == 3:
        values = values[:, None]
    if values.ndim == 4 and values.shape[-1] in (1, 3) and values.shape[1] not in (1, 3):
        values = values.transpose(0, 3, 1, 2)
    if values.dtype == np.uint8:
        if values.max() <= LITTLE:
            raise UserError(
                f"{path} has bytes up to {values.max()}, and bytes are grey values up to 255; scale them, or "
                "give floating-point numbers."
            )
        return torch.from_numpy(np.ascontiguousarray(values))
    if not np.issubdtype(values.dtype, np.floating):
        raise UserError(
            f"{path} holds {values.dtype}; images are uint8 from 0 to 255, or floating-point numbers."
        )
    if not np.isfinite(values).all():
        raise UserError(f"{path} holds NaN or infinite values; a missing image must be left out.")
    return torch.from_numpy(np.ascontiguousarray(_in_range(values, path, wanted.pixels), dtype=np.float32))


def _in_range(values: Array, path: Path, pixels: str) -> Array:
    low, high = float(values.min()), float(values.max())
    said = f"{path} has values from {low:.4g} to {high:.4g}"
    if pixels == "as they are":
        return values
    if pixels == "0,1":
        if low < 0 or high > 1:
            raise UserError(f"{said}, and not from 0 to 1.")
        return 2 * values - 1
    if low < -1 - 1e-6 or high > 1 + 1e-6:
        raise UserError(
            f"{said}: bring them to [-1, 1], or say as they are (--values 'as they are'), for latents."
        )
    if low >= 0:
        raise UserError(
            f"{said}: if 0 is black, say that pixels are 0,1 (--values 0,1); if these are the numbers that "
            "the model takes, as they are."
        )
    return values


# --------------------------------------------------------------------------------------------------- tables


def _tables(folder: Path, split: str) -> list[Path]:
    """The parquet files of a split in a folder as the datasets library has them, there or in data/, such as
    train-00000-of-00002.parquet."""
    names = ("train",) if split == "train" else ("validation", "valid", "val", "test")
    places = (folder, folder / "data")
    for name in names:
        found = [path for place in places for path in sorted(place.glob(f"{name}*.parquet"))]
        if found:
            return found
    return []


def _of_table(path: Path, split: str, wanted: Wanted) -> Dataset:
    try:
        parquet: Any = importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        raise UserError("Parquet files need `pip install diffnotes[datasets]`.") from error
    contents: list[bytes] = []
    labels: list[int] = []
    paths = [path] if path.is_file() else _tables(path, split)
    for one in paths:
        try:
            table = parquet.read_table(one, partitioning=None)
        except Exception as error:  # whatever such bytes make of it
            if out_of_memory(error):
                raise
            raise UserError(f"{one} is no parquet file ({type(error).__name__}); get it again.") from error
        contents += _column(table, one)
        labels += _labels(table, one)
    name = path.stem
    where = [Path(f"{name}, row {row}") for row in range(len(contents))]
    pictures = (opened(whole, place) for whole, place in zip(contents, where, strict=True))
    return _stacked(name, split, _shown(pictures, len(contents)), where, labels, wanted)


def _column(table: Any, path: Path) -> list[bytes]:
    """The bytes of the images."""
    name = next((n for n in ("image", "img") if n in table.column_names), None)
    if name is None:
        columns = ", ".join(map(str, table.column_names[:6]))
        raise UserError(f"{path} has no column image (its columns are {columns}); rename that of the images.")
    rows = table.column(name).to_pylist()
    given = [row.get("bytes") if isinstance(row, dict) else row for row in rows]
    found = [one for one in given if isinstance(one, bytes)]
    if not found or len(found) < len(given):
        raise UserError(f"The column {name} of {path} does not hold images; images are bytes of image files.")
    return found


def _labels(table: Any, path: Path) -> list[int]:
    name = next((n for n in ("label", "labels") if n in table.column_names), None)
    if name is None:
        return [0] * table.num_rows
    found = table.column(name).to_pylist()
    if not all(isinstance(one, int) for one in found):
        raise UserError(f"The column {name} of {path} does not hold classes; classes are whole numbers.")
    return found


def shown_as(values: Num[Tensor, "n ..."]) -> str:
    """'1,797 images 1 × 8 × 8' or '500 points in 20 dimensions'."""
    size = [*values.shape[1:]]
    kind = f"points in {size[0]} dimensions" if len(size) == 1 else f"images {' × '.join(map(str, size))}"
    return f"{len(values):,} {kind}"
