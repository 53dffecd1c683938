"""Part of a data set in one file, for a machine to which only the images that it uses are brought.

A file holds chosen samples of each split, their places in the whole set, and its length and fingerprint. So
whatever is drawn from the part is bit for bit what the whole set gives, and so are the keys of records. A
sample that is not in it is an error. The file is used only where the official folder of the set is absent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from diffnotes.base import files
from diffnotes.base.errors import UserError
from diffnotes.base.shapes import Array, Int

OFFICIAL = {"cifar10": "cifar-10-batches-py"}  # which sets can be brought in part, and where they lie whole


@dataclass(frozen=True)
class DataPart:
    """Some samples of one split: `places` [k] are their numbers in the whole, rising; `total` is its length,
    `fingerprint` its own."""

    total: int
    fingerprint: str
    places: Int[Array, "k"]
    values: Array
    labels: Int[Array, "k"]

    def at(self, index: Int[Array, "m"]) -> Int[Array, "m"]:
        """Where in `values` the samples number `index` of the whole are; -1 for those that are not here."""
        found = np.searchsorted(self.places, index)
        found = found.clip(max=len(self.places) - 1)
        return np.where(self.places[found] == index, found, -1)


def file_of(folder: Path, name: str) -> Path:
    """Where the part of the set `name` lies in a data folder."""
    return folder / f"{name}-part.npz"


def find(folder: Path, name: str, split: str) -> DataPart | None:
    """The part of a split in a data folder; None where the whole set is there, or no part.

    Raises UserError for a file that is not what `write` wrote, and for a split that it does not have.
    """
    path = file_of(folder, name)
    if (folder / OFFICIAL[name]).exists() or not path.is_file():
        return None
    try:
        content = files.unsealed(path.read_bytes(), name)
    except OSError as error:
        raise UserError(f"Cannot read {path}: {error.strerror}; give access to it.") from error
    if content is None:
        raise UserError(f"{path} is damaged; bring it again.")
    stored = files.npz_arrays(content)
    if f"{split} total" not in stored:
        raise UserError(f"{path} has nothing of the {split} split; bring it again for the runs that use it.")
    fields = {field: stored[f"{split} {field}"] for field in ("places", "values", "labels")}
    return DataPart(int(stored[f"{split} total"]), str(stored[f"{split} fingerprint"]), **fields)


def write(folder: Path, name: str, parts: Mapping[str, DataPart]) -> Path:
    """Write the parts of the splits of one set; returns the file."""
    arrays = {
        f"{split} {field}": np.asarray(value)
        for split, part in parts.items()
        for field, value in vars(part).items()
    }
    path = file_of(folder, name)
    files.write_atomic(path, files.sealed(files.npz_bytes(arrays), name))
    return path
