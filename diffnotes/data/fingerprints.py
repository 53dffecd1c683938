"""The fingerprint of a data set, worked out once in a process while what it comes from stays as it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from diffnotes.base import files
from diffnotes.base.shapes import checked
from diffnotes.base.terminal import silently
from diffnotes.data import folders as images
from diffnotes.data import part as data_part
from diffnotes.data import sets as data
from diffnotes.data import walk

FOLDERS = {"cifar10": "cifar-10-batches-py", "imagenet64": "tiny-imagenet-200"}
_Place = tuple[str, str, object, object]  # name, split, settings, and what they come from
_known: dict[tuple[_Place, int | None, int], str] = {}
_whole: dict[_Place, data.Dataset] = {}  # the last set that was read: subsets come in rows


@checked()
def fingerprint(name: str, n: int | None = None, split: str = "train", seed: int = 0, **settings: Any) -> str:
    """`data.load(name, n, split, seed, **settings).fingerprint`.

    It is worked out anew when path, size, inode or a time of any file behind the set has changed (the time of
    the last change of an inode cannot be set by hand), or when scikit-learn's function for digits is another.
    """
    data.requested(name, n, split, seed)
    source = _source(name, split, settings)
    place = (name, split, repr(sorted(settings.items())), source)
    if (place, n, seed) not in _known:
        _known[place, n, seed] = _loaded(place, n, seed, settings).fingerprint
    return _known[place, n, seed]


def _loaded(place: _Place, n: int | None, seed: int, settings: dict[str, Any]) -> data.Dataset:
    """`data.load`, in silence; what lies on the disk is read once for all subsets asked for in a row."""
    name, split, _, source = place
    with silently():
        if source is None:
            return data.load(name, n, split, seed, **settings)
        if place not in _whole:
            _whole.clear()
            _whole[place] = data.load(name, None, split, **settings)
    return data.subset(_whole[place], n, seed)


def _source(name: str, split: str, settings: dict[str, Any]) -> object:
    """What the set comes from: states of files, or the function that makes it; None for code alone."""
    if name == "digits":
        from sklearn import datasets  # slow to import, needed only here

        return datasets.load_digits
    if name == "imagenet64" and split in data.SPLITS and settings.keys() <= {"folder", "per_class"}:
        folder = data.data_folder() / files.folder_named(settings.get("folder", FOLDERS[name]))
        listing = images.list_split(folder, data.SPLITS[split], settings.get("per_class", 0))
        return listing.labels, tuple(walk.states(listing.paths))
    if name == "cifar10":
        folder, part = data.data_folder() / FOLDERS[name], data_part.file_of(data.data_folder(), name)
        return tuple(map(_state, sorted(folder.glob("*")) or [folder, part]))
    return None  # made by the code of this process alone, or refused by `load`


def _state(path: Path) -> tuple[str, int, int, int, int]:
    try:
        return (str(path), *files.state(path))
    except OSError:  # `load` says what is wrong with it
        return (str(path), -1, 0, 0, 0)
