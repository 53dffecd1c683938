"""Finished records and partial results as zip files: packed within a limit, unpacked with suspicion."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from diffnotes.base.errors import UserError

MIB = 1 << 20
MOST = 64 << 30  # bytes that a folder may unpack to
_KEY, _DIGEST = r"(?P<experiment>[a-z][a-z0-9_]*)/(?P<key>[0-9a-f]{16})", r"(?P<code>[0-9a-f]{16})"
_NAME = r"[A-Za-z0-9][A-Za-z0-9_.+-]*"
# The names that runs/ has, and no others: nothing hidden, nothing above, no folder of another kind.
RECORD = re.compile(rf"{_KEY}/(?P<file>record\.json|arrays\.npz)", re.ASCII)
PARTIAL = re.compile(
    rf"{_KEY}/partial-{_DIGEST}/(?P<file>seconds|{_NAME}\.npz|{_NAME}/checkpoint\.pt)", re.ASCII
)


class Damaged(UserError):
    """What came back is not what was sent."""


def packed(paths: Iterable[Path], base: Path, limit: int) -> tuple[bytes, list[Path]]:
    """A zip of files by their names below `base`, in order while they fit into `limit` bytes; and the files
    that did not. A file that goes away meanwhile is passed over."""
    buffer, left = io.BytesIO(), []
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as target:  # npz and weights hardly shrink
        used = 1000
        for path in paths:
            name = path.relative_to(base).as_posix()
            try:
                cost = path.stat().st_size + 2 * len(name) + 200
                if used + cost > limit:
                    left.append(path)
                    continue
                content = path.read_bytes()
            except FileNotFoundError:  # a run that is just finished removes its partial results
                continue
            used += cost
            target.writestr(zipfile.ZipInfo(name), content)  # no clock in it
    return buffer.getvalue(), left


def unpacked(path: Path, pattern: re.Pattern[str]) -> Iterator[tuple[re.Match[str], bytes]]:
    """The files of a zip whose names all match `pattern`, each with its content.

    Raises Damaged, before anything is given out, for a zip that cannot be read, names that do not match or
    come twice, and more than MOST bytes; and later for a file whose bytes are not those that were packed.
    """
    try:
        with zipfile.ZipFile(path) as source:
            for name, match in _checked(path, source, pattern):
                yield match, source.read(name)
    except UserError:
        raise
    except Exception as error:  # whatever a damaged zip file makes Python's reader raise
        raise Damaged(f"{path.name} is damaged ({error}); nothing more is taken from it.") from error


def _checked(
    path: Path, source: zipfile.ZipFile, pattern: re.Pattern[str]
) -> list[tuple[str, re.Match[str]]]:
    entries = source.infolist()
    matches = [(entry.filename, pattern.fullmatch(entry.filename)) for entry in entries]
    for name, match in matches:
        if match is None:
            raise Damaged(f"{path.name} holds {name!r}, which is no file of a run; nothing is taken from it.")
    if len({name for name, _ in matches}) < len(matches):
        raise Damaged(f"{path.name} holds a file twice; nothing is taken from it.")
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        raise Damaged(f"{path.name} is compressed, as we never pack; nothing is taken from it.")
    if sum(entry.file_size for entry in entries) > MOST:
        raise Damaged(f"{path.name} unpacks to more than {MOST / 1e9:.0f} GB; nothing is taken from it.")
    if bad := source.testzip():
        raise Damaged(f"{path.name} is damaged (in {bad}); nothing is taken from it.")
    return [(name, match) for name, match in matches if match is not None]
