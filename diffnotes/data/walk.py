"""Going through a folder of images: each entry is read, refused with a sentence, or left out and counted."""

from __future__ import annotations

import codecs
import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from diffnotes.base import files
from diffnotes.base.errors import UserError

EXTENSIONS = (".jpeg", ".jpg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")
TRAINING = ("train", "training")
VALIDATION = ("val", "valid", "validation")
TEST = ("test", "testing")
TABLE = "val_annotations.txt"
SPLITS = (*TRAINING, *VALIDATION, *TEST)
# What systems put beside people's files under plain names; names that begin with a dot are hidden anyway.
SYSTEM = {
    "__macosx", "@eadir", "#recycle", "$recycle.bin", "system volume information", "lost+found",
    "thumbs.db", "desktop.ini",
}  # fmt: skip

Inside = tuple[list[Path], list[Path]]  # the folders and the files of a folder


class Walk:
    """One way through a folder. `left` counts by reason what was left out.

    Links are followed. Errors: UserError for what cannot be read, a link to nothing, what is neither file nor
    folder, and a file or folder that is reached twice, so also for a link back to where it lies.
    """

    def __init__(self, top: Path) -> None:
        self.top = top
        self.left: Counter[str] = Counter()
        self._real_top = os.path.realpath(top)
        self._reached: dict[str, Path] = {}
        self._inside: dict[Path, Inside] = {}
        self._below: dict[Path, list[Path]] = {}

    def inside(self, folder: Path) -> Inside:
        """The folders and the files in `folder`, each by name; what is hidden is left out."""
        if folder not in self._inside:
            try:
                self._inside[folder] = self._scan(folder)
            except OSError as error:
                raise unreadable(error, folder) from error
        return self._inside[folder]

    def _scan(self, folder: Path) -> Inside:
        real = self._once(folder, os.path.realpath(folder))
        found: Inside = ([], [])
        with os.scandir(folder) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                path = folder / entry.name
                if entry.name.startswith(".") or entry.name.lower() in SYSTEM:
                    self.left["hidden"] += 1
                elif entry.is_dir():
                    found[0].append(path)
                elif entry.is_file():
                    self._once(path, os.path.realpath(path) if entry.is_symlink() else f"{real}/{entry.name}")
                    found[1].append(path)
                else:
                    raise UserError(f"{path} is a link to nothing, or no file; mend or remove it.")
        return found

    def _once(self, path: Path, real: str) -> str:
        if real != self._real_top and self._real_top.startswith(os.path.join(real, "")):
            raise UserError(f"The link {path} leads to a folder that holds {self.top}; remove it.")
        if (other := self._reached.setdefault(real, path)) != path:
            raise UserError(f"{other} and {path} are the same by a link; keep one of them.")
        return real

    def reached(self) -> Iterable[Path]:
        """The files and folders that it came to so far, but not those that are hidden."""
        return self._reached.values()

    def below(self, folder: Path) -> list[Path]:
        """All image files of a class folder and of the folders in it, by their paths in it.

        Plain code-point order: the same on every machine, whatever its locale or file system.
        """
        if folder not in self._below:
            found, todo = [], [folder]
            while todo:
                folders, files = self.inside(todo.pop())
                if split := [inner for inner in folders if inner.name.lower() in SPLITS]:
                    raise UserError(
                        f"{split[0]} is a split inside of a class; name the folder that holds the splits, or "
                        "call it otherwise."
                    )
                todo += folders
                found += self.images(files)
            self._below[folder] = sorted(found, key=lambda path: path.relative_to(folder).as_posix())
        return self._below[folder]

    def images(self, files: list[Path]) -> list[Path]:
        """Those of the files that are images by their names; the others are left out."""
        chosen = [path for path in files if path.suffix.lower() in EXTENSIONS]
        self.left.update(path.suffix.lower() or "without a suffix" for path in set(files) - set(chosen))
        return chosen

    def leave(self, files: list[Path]) -> None:
        """Leave out files that lie in no class folder."""
        if images := self.images(files):
            self.left["images in no class folder"] += len(images)

    def told(self) -> str:
        """What was left out, and why."""
        reasons = [f"{reason} ({count:,})" for reason, count in sorted(self.left.items())]
        return f"left out: {', '.join(reasons)}" if reasons else "nothing was left out"


State = tuple[str, int, int, int, int]


def states(paths: Iterable[Path]) -> list[State]:
    """Each path with its `files.state`. UserError for what has gone."""
    found = []
    for path in paths:
        try:
            found.append((str(path), *files.state(path)))
        except OSError as error:
            raise unreadable(error, path) from error
    return found


class Stamp:
    """Files and folders as they were when it was made."""

    def __init__(self, paths: tuple[Path, ...]) -> None:
        self.paths = paths
        found = states(paths)
        self._hash, self._newest = hash(tuple(found)), max(state[-1] for state in found)

    def settled(self, since: int) -> bool:
        """Whether the last change of any lies so long before a time, in ns, that the next will be seen."""
        return self._newest < since - files.TICK

    def holds(self) -> bool:
        """Whether they still are as they were."""
        try:
            return hash(tuple(states(self.paths))) == self._hash
        except UserError:  # one has gone
            return False


def only(folders: list[Path], names: tuple[str, ...]) -> Path | None:
    """The one of the folders that has one of the names, in capital letters or small ones."""
    found = [path for path in folders if path.name.lower() in names]
    if len(found) > 1:
        raise UserError(
            f"{found[0]} and {found[1].name} are two folders for one split; keep one of them, or rename it."
        )
    return found[0] if found else None


def called(paths: list[Path], name: str) -> Path | None:
    """The first of the paths with that name, in capital letters or small ones."""
    return next((path for path in paths if path.name.lower() == name), None)


def unreadable(error: OSError, path: Path) -> UserError:
    """The sentence for a file or folder that the system does not give."""
    place = error.filename or path  # an entry of `path`, perhaps
    return UserError(f"Cannot read {place}: {error.strerror}; restore it or give access to it.")


def content(path: Path) -> bytes:
    """All of a file."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise unreadable(error, path) from error


def table(path: Path) -> dict[str, str]:
    """Tiny ImageNet's table of classes: file name -> class, in the order of the names.

    UTF-8 or UTF-16, with any line ends. Errors: UserError for other encodings, damaged lines, doubled names.
    """
    rows: dict[str, str] = {}
    for line in filter(str.strip, _text(path).replace("\r", "\n").split("\n")):
        file, name, *_ = map(str.strip, [*line.split("\t"), "", ""])
        if not file or not name or "\0" in line:
            raise UserError(
                f"{path} is damaged: each line must hold a file name, a tab and a class; restore that file."
            )
        if file in rows:
            raise UserError(f"{path} has two lines for {file}; restore that file.")
        rows[file] = name
    if not rows:
        raise UserError(f"{path} is damaged: it is empty; restore that file.")
    return dict(sorted(rows.items()))


def _text(path: Path) -> str:
    whole = content(path)
    wide = whole.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        return whole.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not in UTF-8 ({error.reason}); save it in UTF-8.") from error
