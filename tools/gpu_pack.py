"""Finished records and partial results as zip files, packed within a limit; see `archives.unpacked`."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterable
from pathlib import Path

MIB = 1 << 20
_KEY, _DIGEST = r"(?P<experiment>[a-z][a-z0-9_]*)/(?P<key>[0-9a-f]{16})", r"(?P<code>[0-9a-f]{16})"
_NAME = r"[A-Za-z0-9][A-Za-z0-9_.+-]*"
# The names that runs/ has, and no others: nothing hidden, nothing above, no folder of another kind.
RECORD = re.compile(rf"{_KEY}/(?P<file>record\.json|arrays\.npz)", re.ASCII)
PARTIAL = re.compile(
    rf"{_KEY}/partial-{_DIGEST}/(?P<file>seconds|{_NAME}\.npz|{_NAME}/checkpoint\.pt)", re.ASCII
)


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
