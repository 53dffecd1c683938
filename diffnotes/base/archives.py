"""Zip files from elsewhere, unpacked with suspicion."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

from diffnotes.base.errors import UserError

MOST = 64 << 30  # bytes that a file may unpack to


class Damaged(UserError):
    """What came is not what was sent."""


def unpacked(path: Path, pattern: re.Pattern[str]) -> Iterator[tuple[re.Match[str], bytes]]:
    """The files of a zip whose names all match `pattern`, each with its content.

    Raises Damaged, before anything is given out, for a zip that cannot be read or is compressed, names that
    do not match or come twice, and more than MOST bytes; and later for a file whose bytes are not those that
    were packed.
    """
    try:
        with zipfile.ZipFile(path) as source:
            for name, match in _checked(path, source, pattern):
                yield match, source.read(name)
    except UserError:
        raise
    except Exception as error:  # whatever a damaged zip file makes Python's reader raise
        raise Damaged(f"{path.name} is damaged ({error}); nothing of it is used.") from error


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
        raise Damaged(f"{path.name} is compressed, and so not packed here; nothing is taken from it.")
    if sum(entry.file_size for entry in entries) > MOST:
        raise Damaged(f"{path.name} unpacks to more than {MOST / 1e9:.0f} GB; nothing is taken from it.")
    if bad := source.testzip():
        raise Damaged(f"{path.name} is damaged (in {bad}); nothing is taken from it.")
    return [(name, match) for name, match in matches if match is not None]
