"""What recomputed twins said before, so that they are recomputed once and not at every look.

A line holds for one code, one pinned twin, one set of data and one environment (`line`). Only "valid" and
"stale" are kept: what could not be read or computed is asked anew. Lines of this checkout lie in
runs/verified.json; results/verified.json is committed, for fresh clones. A memory that cannot be written is
none, and nothing is lost but time.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from diffnotes.base import files
from diffnotes.base.errors import UserError
from diffnotes.store import records

KEPT = ("valid", "stale")
EQUAL = "the recomputed twin is equal"
MOST = 400  # lines; the oldest go first
VARIABLES = ("DIFFNOTES_FEATURES",)  # of the environment, that change what code computes

Said = tuple[str, str]
"""A state and its reason."""


def line(code: str, twin: str, data: Mapping[str, str]) -> str:
    """The name of a line, 64 hexadecimal digits."""
    environment = {name: os.environ.get(name, "") for name in VARIABLES}
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    content = [code, twin, dict(data), environment, python, records.packages()]
    return files.sha256_bytes(json.dumps(content, sort_keys=True).encode())


def recall(name: str) -> Said | None:
    """What a line says, this checkout's own first."""
    for folder in (records.runs(), records.results()):
        said = _read(folder).get(name)
        if said is not None:
            return said
    return None


def keep(name: str, said: Said) -> None:
    """Remember, in runs/."""
    where = records.runs()
    if said[0] not in KEPT:
        return
    with contextlib.suppress(UserError), files.alone(where, left=files.HERE):
        lines = {k: v for k, v in _read(where).items() if k != name} | {name: said}
        newest = dict(list(lines.items())[-MOST:])
        files.write_atomic(_path(where), (json.dumps(newest, indent=0) + "\n").encode())


def ship(names: Iterable[str]) -> None:
    """Write what is remembered under these names into results/, in place of what was shipped before."""
    lines = {name: said for name in sorted(names) if (said := _read(records.runs()).get(name)) is not None}
    valid = {name: said for name, said in lines.items() if said[0] == "valid"}
    with files.alone(records.results()):
        files.write_atomic(_path(records.results()), (json.dumps(valid, indent=0) + "\n").encode())


def _path(folder: Path) -> Path:
    return folder / "verified.json"


def _read(folder: Path) -> dict[str, Said]:
    """The lines of a file that are lines; a damaged file has none."""
    try:
        content = files.read_json(_path(folder))
    except (OSError, ValueError):
        return {}
    lines = content.items() if isinstance(content, dict) else ()
    return {name: (v[0], v[1]) for name, v in lines if _is_said(v)}


def _is_said(value: object) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 2
        and value[0] in KEPT
        and isinstance(value[1], str)
        and (value[0] == "valid") == (value[1] == EQUAL)
    )
