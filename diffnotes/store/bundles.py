"""Records in a file, from one machine to another: a zip of <experiment>/<key>/{record.json, arrays.npz}.

What is taken in lands in runs/, under the key that its settings have, and its state is found as for every
record. Nothing in a bundle is run. Digests tell of damage, not of lies: whoever can write a bundle can write
any number into it, so take in only what comes from somebody you trust, or compute a record of it again.
"""

from __future__ import annotations

import io
import re
import tempfile
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path

from diffnotes.base import archives, files
from diffnotes.base.errors import UserError, quoted
from diffnotes.store import records
from diffnotes.store.experiment import Experiment
from diffnotes.store.records import Record
from diffnotes.store.spec import SpecError
from diffnotes.store.staleness import of_the_same_code

MEMBERS = ("record.json", "arrays.npz")
MEMBER = re.compile(r"([a-z][a-z0-9_]*)/([0-9a-f]{16})/(record\.json|arrays\.npz)", re.ASCII)
BEGIN = (1980, 1, 1, 0, 0, 0)  # when every member was written: the same records are the same bytes

Find = Callable[[str], Experiment]
"""The experiment of a name; SpecError where there is none."""


def export(keys: Iterable[str], path: Path, find: Find) -> list[Record]:
    """Write the records of these keys, and the twins of the same code that speak for them, to a new file."""
    if path.exists():
        raise UserError(f"{path} is there already; name another file.")
    asked = [_here(key) for key in dict.fromkeys(keys)]
    twins = [twin for record in asked for twin in of_the_same_code(record, find(record.experiment))[0]]
    every = {record.key: record for record in (*asked, *twins)}
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as packed:  # arrays.npz is small already
        for record in every.values():
            data = record.check_bytes(), files.read_plain(record.folder / "record.json")
            for name, one in zip(reversed(MEMBERS), data, strict=True):
                packed.writestr(zipfile.ZipInfo(f"{record.experiment}/{record.key}/{name}", BEGIN), one)
    files.write_atomic(path, content.getvalue())
    return list(every.values())


def receive(path: Path, find: Find) -> list[tuple[Record, bool]]:
    """Take in the records of a file, all of which are checked before the first is; each with whether it is
    new here.

    UserError for a file that is no bundle or is damaged, for settings that do not make the key, and for a
    record that differs from what is here under its key.
    """
    folders = _unpacked(path)
    with tempfile.TemporaryDirectory(prefix="diffnotes-import-") as scratch:
        found = []
        for (experiment, key), members in folders.items():
            folder = Path(scratch) / experiment / key
            for name, content in members.items():
                files.write_atomic(folder / name, content)
            found.append(_checked(path, folder, find))
        for record in found:
            _is_new(record)
        new = [_put(record) for record in found]
    where = (records.runs() / record.experiment / record.key for record in found)
    return [(Record(at, one.meta), is_new) for at, one, is_new in zip(where, found, new, strict=True)]


def _put(record: Record) -> bool:
    """Put a record into runs/ unless it is there, by now; whether it was not."""
    target = records.runs() / record.experiment / record.key
    with files.alone(records.own(target)):
        is_new = _is_new(record)
        if is_new:
            records.put(target, record.meta, record.check_bytes())
    return is_new


def _here(key: str) -> Record:
    """The finished record of a key, pinned or not."""
    places = (records.results(), records.runs()) if records.is_key(key) else ()
    found = (records.read(path.parent) for place in places for path in place.glob(f"*/{key}/record.json"))
    record = next((one for one in found if one is not None), None)
    if record is None:
        raise UserError(
            f"No finished record {quoted(key)} is in results/ or runs/; `python -m diffnotes run` prints the "
            "key of one."
        )
    return record


def _unpacked(path: Path) -> dict[tuple[str, str], dict[str, bytes]]:
    """Experiment and key -> the two files of each record in a bundle."""
    if not path.is_file():
        raise UserError(f"{path} cannot be read: there is no such file.")
    found: dict[tuple[str, str], dict[str, bytes]] = {}
    for named, content in archives.unpacked(path, MEMBER):
        experiment, key, name = named.groups()
        found.setdefault((experiment, key), {})[name] = content
    if not found or any(len(folder) < len(MEMBERS) for folder in found.values()):
        raise UserError(f"{path} is no bundle of `export` (a record in it is not whole).")
    return found


def _checked(path: Path, folder: Path, find: Find) -> Record:
    """The record in a folder, if it is whole, and its key is that of its settings."""
    try:
        record = records.read(folder)
        assert record is not None  # it has just been written
        _ = record.arrays
    except UserError as error:  # which names the folder, that is gone
        raise UserError(f"{path}: {folder.name} is damaged; have it exported again.") from error
    try:
        experiment = find(record.experiment)
        spec = experiment.spec.restored(record.spec)
    except (KeyError, SpecError) as error:
        why = f"{record.key} is of an experiment, or has settings, that are unknown here"
        raise UserError(f"{why}: {error}") from error
    same = (record.experiment, record.meta["version"]) == (folder.parent.name, experiment.version)
    if not same or records.key(experiment, spec, record.stands_on) != record.key:
        raise UserError(f"{record.key} is not what it says it is; have it exported again.")
    return record


def _is_new(record: Record) -> bool:
    """Whether no whole record is in runs/ under its key; UserError where another one is, or is pinned."""
    there = records.read_own(records.runs() / record.experiment / record.key)
    pinned = records.read(records.results() / record.experiment / record.key)
    for one in (there, pinned):
        if one is not None and one.meta["digest"] != record.meta["digest"]:
            raise UserError(
                f"{record.key} differs from the record in {records.short(one.folder)}; remove that first if "
                "the one of the file is wanted."
            )
    return there is None
