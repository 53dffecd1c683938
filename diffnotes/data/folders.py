"""The image files of a folder, listed in a fixed order."""

from __future__ import annotations

import hashlib
import os
import time
from collections import Counter
from dataclasses import dataclass
from itertools import groupby, islice
from pathlib import Path

from diffnotes.base.errors import UserError
from diffnotes.data.walk import (
    EXTENSIONS,
    SPLITS,
    TABLE,
    TEST,
    TRAINING,
    VALIDATION,
    Inside,
    Stamp,
    Walk,
    called,
    content,
    only,
    table,
)


@dataclass(frozen=True)
class Listing:
    """Image files of one split; a label is the position of the class name among the sorted class names of
    both splits. `note` says what was read and what was left out."""

    paths: tuple[Path, ...]
    labels: tuple[int, ...]
    note: str = ""


LISTED = 4  # listings kept in a process, each for as long as what it comes from stays as it is
_listed: dict[tuple[Path, str, int], tuple[Listing, Stamp]] = {}
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
    wanted = (folder, split, per_class)
    known = _listed.pop(wanted, None)
    if known is None or not known[1].holds():
        begun, layout = time.time_ns(), _Layout(folder)
        known = layout.listed(split, per_class), Stamp(layout.gone_through())
        if not known[1].settled(begun):
            return known[0]
    _listed[wanted] = known
    for oldest in list(_listed)[:-LISTED]:
        del _listed[oldest]
    return known[0]


class _Layout:
    """Where the splits of a folder of images are, and what is in them."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.walk = folder, Walk(folder)
        self.beside: list[Walk] = []  # through the folders of both splits, for the names of their classes
        self.merged: set[str] = set()  # classes whose images lie in more than one folder
        folders, _ = self.walk.inside(folder)
        self.train = only(folders, TRAINING)
        self.unseen = only(folders, VALIDATION) or only(folders, TEST)
        if self.train or self.unseen:
            self.walk.leave(self.walk.inside(folder)[1])
            if others := [p for p in folders if p.name.lower() not in SPLITS]:
                self.walk.left["folders beside the splits"] = len(others)

    def listed(self, split: str, per_class: int) -> Listing:
        """The images of a split: see `list_split`."""
        if split == "all":
            return self.numbered(self.distinct(per_class), self.folder)
        if split == "train":
            return self.numbered(self.training(), self.train or self.folder)
        return self.numbered(self.held_out(), self.unseen or self.folder)

    def gone_through(self) -> tuple[Path, ...]:
        """Every file and folder on which the listing depends, so far."""
        return tuple({path: None for walk in (self.walk, *self.beside) for path in walk.reached()})

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
        digest = hashlib.sha256(content(path)).digest()
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
        if plain and folder == self.unseen and plain.name not in self.names(self.train):
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
            return self.names(self.train)
        folders, beside = self.within(self.unseen)
        rows, inner = called(beside, TABLE), called(folders, "images")
        if folders != [inner]:
            return self.names(self.train) | self.names(self.unseen)
        return self.names(self.train) | (set(table(rows).values()) if rows else set())

    def names(self, folder: Path | None) -> set[str]:
        """The names of the folders in a folder, where there is one."""
        return {path.name for path in self.within(folder)[0]} if folder else set()

    def within(self, folder: Path) -> Inside:
        """The folders and the files in a folder, by a walk of its own, which counts nothing."""
        self.beside.append(Walk(folder))
        return self.beside[-1].inside(folder)

    def numbered(self, found: Found, where: Path) -> Listing:
        names = {name for _, name in found}
        place = {name: label for label, name in enumerate(sorted(names.union(self.classes())))}
        many = f"{len(names):,} classes" if len(names) > 1 else "one class"
        if self.merged:
            many += f" ({len(self.merged):,} with several folders inside)"
        note = f"Read {len(found):,} images of {many} in {where}; {self.walk.told()}."
        return Listing(tuple(path for path, _ in found), tuple(place[name] for _, name in found), note)
