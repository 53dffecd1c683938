"""The files of this package as they were when this process began: its code, whatever is on disk by now.

Python reads a module once. Who edits a file under an open notebook goes on with the old code, so a digest of
the file on disk would speak of code that never ran. This module is the first that `import diffnotes` loads.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType

PACKAGE = Path(__file__).resolve().parents[1]


def on_disk(name: str) -> bytes | None:
    """The bytes of a file of the package now, None where it is gone; `name` is its path below the package."""
    try:
        return (PACKAGE / name).read_bytes()
    except OSError:
        return None


def _all() -> dict[str, bytes]:
    """Every file of the package by its path, with forward slashes; what Python itself keeps is left out."""
    files = (path for path in PACKAGE.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    names = (path.relative_to(PACKAGE).as_posix() for path in sorted(files))
    return {name: data for name in names if (data := on_disk(name)) is not None}


class _Unchanged(MetaPathFinder):
    """Lets no module of the package be loaded whose file is not the one that this process began with."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not name.startswith(f"{PACKAGE.name}."):
            return None
        spec = PathFinder.find_spec(name, path)
        origin = Path(spec.origin) if spec is not None and spec.origin else None
        if origin is not None and origin.is_relative_to(PACKAGE):
            file = origin.relative_to(PACKAGE).as_posix()
            if on_disk(file) != SOURCES.get(file):
                raise ImportError(f"{file} has changed since this process began; start it again.")
        return None


SOURCES = _all()
sys.meta_path.insert(0, _Unchanged())
