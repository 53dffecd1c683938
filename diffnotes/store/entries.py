"""The index of pinned records: which of them pages show for what."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from diffnotes.base import files
from diffnotes.base.errors import UserError
from diffnotes.store.records import Record, Tampered, is_key, is_texts, read, results, short


class Lost(UserError):
    """The index names a record that is not on disk."""

    exit_code = 4


@dataclass(frozen=True)
class Entry:
    """A line of the index: which record is pinned for a profile of an experiment under the settings that
    pages show.

    `digest` is that of record.json, which in turn holds the digest of arrays.npz. `twins` are the digests of
    the arrays of the twins that speak for it: of the code that made it, or of code that was proved equal.
    """

    experiment: str
    profile: str
    shown: dict[str, Any]
    key: str
    digest: str
    twins: dict[str, str] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """Where the record should be."""
        return results() / self.experiment / self.key

    def readable(self) -> bool:
        """Whether the record is there as it was pinned."""
        try:
            return self.read().pinned
        except UserError:
            return False

    def read(self) -> Record:
        """The pinned record; Lost when its folder is gone, Tampered when record.json was edited."""
        record = read(self.folder, pinned=True)
        if record is None:
            raise Lost(
                f"{short(self.folder)} is named in the index and not there; "
                "restore it with git, or run it again."
            )
        same = (record.experiment, record.profile) == (self.experiment, self.profile)
        if not same or _digest(self.folder / "record.json") != self.digest:
            raise Tampered(f"{short(self.folder)}/record.json is not what was pinned; restore it with git.")
        return record


_digest = files.while_unchanged(files.sha256_file)


def index() -> list[Entry]:
    """The pinned records, by experiment, profile and key."""
    path = results() / "index.json"
    try:
        return list(_entries(path))
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Tampered(f"{short(path)} cannot be read ({error}); restore it with git.") from error


@files.while_unchanged
def _entries(path: Path) -> tuple[Entry, ...]:
    return tuple(_entry(line) for line in files.read_json(path)["records"])


def _entry(line: Any) -> Entry:
    """A line of the index; TypeError, or ValueError, for one that is none."""
    entry = Entry(**line)
    texts = (entry.experiment, entry.profile, entry.digest)
    good = all(isinstance(text, str) for text in texts) and re.fullmatch(r"\w+", entry.experiment)
    if not (good and is_key(entry.key) and isinstance(entry.shown, dict) and is_texts(entry.twins)):
        raise ValueError(f"the line of {entry.key!r} is none")
    return entry


def write_index(entries: list[Entry]) -> None:
    """Write the index, sorted, one line per record, so that merges stay readable."""
    ordered = sorted(entries, key=lambda e: (e.experiment, e.profile, str(e.shown)))
    lines = ",\n  ".join(json.dumps(vars(entry)) for entry in ordered)
    files.write_atomic(results() / "index.json", f'{{"records": [\n  {lines}\n]}}\n'.encode())
