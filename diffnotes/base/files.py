"""Atomic writes, digests, locks: a file is whole or not there, and read whoever wrote it."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import io
import json
import math
import os
import shutil
import stat
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from diffnotes.base.errors import UserError, quoted

if sys.platform != "win32":
    import fcntl

_Bytes = TypeVar("_Bytes", bytes, memoryview)
Made = TypeVar("Made")

LARGEST = 4 << 30  # bytes of the arrays of one file
SEAL = 32  # bytes of SHA-256
LOCK = ".lock"  # the file by which a process holds its folder
UNDONE = ".undone"  # ends the names of files that are being written
TICK = 3 * 10**9  # ns; of two changes within one tick of a file system's clock, the second is not seen
HERE, EVERYWHERE = f".*{UNDONE}", f"**/.*{UNDONE}"


def folder_named(text: str | Path, variable: str = "DIFFNOTES_DATA") -> Path:
    """A folder by a name that may begin with ~.

    UserError for a `~` that stands for no folder, and for no name; it tells to set `variable`.
    """
    try:
        return Path(text).expanduser()
    except (RuntimeError, TypeError) as error:  # no such user, no home
        why = str(error).rstrip(".")
        raise UserError(f"{text} is no folder here ({why}); set {variable} to an absolute path.") from error


def folder_of(variable: str) -> Path | None:
    """The folder that an environment variable names, absolute, with `~` expanded; None where it names none.

    UserError for a `~` that stands for no folder.
    """
    named = os.environ.get(variable)
    return _expanded(named, variable) if named else None


def home(variable: str) -> Path:
    """The user's own folder; UserError where there is none, which tells to set `variable` instead."""
    return _expanded("~", variable)


def _expanded(path: str, variable: str) -> Path:
    try:
        return folder_named(path, variable).absolute()
    except OSError as error:  # a working folder that is gone
        raise UserError(f"{path} is no folder here ({error}); set {variable} to an absolute path.") from error


def write_atomic(path: Path | str, data: bytes) -> None:
    """Write `data` to `path` so that a reader, or a crash, sees the old file or the new one, never a part."""
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=UNDONE, dir=path.parent)
    except OSError as error:
        raise UserError(
            f"Cannot write {path}: {error.strerror}; choose a folder you may write to."
        ) from error
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)  # mkstemp makes private files; records are meant to be shared
        os.replace(temporary, path)
    except OSError as error:
        raise UserError(
            f"Cannot write {path}: {error.strerror}; the old file, if any, is unharmed."
        ) from error
    finally:
        Path(temporary).unlink(missing_ok=True)


def npz_bytes(arrays: Mapping[str, np.ndarray]) -> bytes:
    """The bytes of a compressed npz file; equal arrays in equal order give equal bytes, as no clock is in it.

    It is what `np.savez_compressed` writes, but arrays may have any name; "file" is one of that function's
    own.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, array in arrays.items():
            with packed.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, np.asanyarray(array), allow_pickle=False)
    return buffer.getvalue()


def save_npz_atomic(path: Path | str, arrays: Mapping[str, np.ndarray]) -> None:
    """`npz_bytes` written by `write_atomic`."""
    write_atomic(path, npz_bytes(arrays))


def npz_arrays(content: bytes) -> dict[str, np.ndarray]:
    """All arrays of the bytes of an npz file, whoever wrote it.

    UserError for bytes that are none, for arrays of Python objects, and for more than LARGEST bytes.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as packed:
            members = packed.infolist()
            if sum(member.file_size for member in members) > LARGEST:
                raise ValueError(f"it holds more than {LARGEST >> 30} GiB")
            found = {member.filename.removesuffix(".npy"): _member(packed, member) for member in members}
    except Exception as error:  # whatever such bytes make of zipfile and numpy
        raise UserError(f"This is no file of arrays ({error or type(error).__name__}).") from error
    if len(found) < len(members):
        raise UserError("This is no file of arrays (it holds an array twice).")
    return found


def _member(packed: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    with packed.open(member) as file:
        return np.lib.format.read_array(file, allow_pickle=False)


def while_unchanged(make: Callable[[Path], Made]) -> Callable[[Path], Made]:
    """Decorator: what is made of a file is kept for as long as the file has the same size, inode and times.

    Nothing is kept where `make` raises, nor of a file that changed within the last TICK.
    """
    known: dict[Path, tuple[tuple[int, ...], Made]] = {}

    @functools.wraps(make)
    def kept(path: Path) -> Made:
        begun, now = time.time_ns(), None
        with contextlib.suppress(OSError):  # `make` says what is wrong
            now = state(path)
        before = known.pop(path, None)
        found = make(path) if before is None or before[0] != now else before[1]
        if now is not None and now[-1] < begun - TICK:
            known[path] = now, found
        return found

    return kept


def state(path: Path) -> tuple[int, int, int, int]:
    """What another version of a file or folder differs in: size, inode, and in ns the times of the last
    change of content and of inode; the latter cannot be set by hand. Links are followed. OSError where there
    is none.
    """
    s = os.stat(path)
    return s.st_size, s.st_ino, s.st_mtime_ns, s.st_ctime_ns


def read_plain(path: Path) -> bytes:
    """The bytes of a file. OSError for a device or a pipe in its place, which might never end."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(f"{path.name} is no plain file")
    return path.read_bytes()


def read_json(path: Path) -> Any:
    """What a JSON file says. OSError where it cannot be read.

    ValueError for all that no file of this package says: a name twice, NaN, numbers beyond float64, text with
    control characters, deep nesting.
    """
    content = read_plain(path).decode()
    try:
        value = json.loads(
            content, object_pairs_hook=_once, parse_constant=_number(float), parse_float=_number(float),
            parse_int=_number(int),
        )  # fmt: skip
        odd = next((text for text in _texts(value) if not text.isprintable()), None)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    if odd is not None:
        raise ValueError(f"{ascii(odd)[:60]} is no plain text")
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("it says a name twice")
    return found


def _number(kind: Callable[[str], Any]) -> Callable[[str], Any]:
    def read(text: str) -> Any:
        if not math.isfinite(float(text)):
            raise ValueError(f"{text[:20]} is no finite number")
        return kind(text)

    return read


def _texts(value: Any) -> Iterator[str]:
    """All texts in a JSON value."""
    if isinstance(value, str):
        yield value
    parts = [*value, *value.values()] if isinstance(value, dict) else value if isinstance(value, list) else []
    for part in parts:
        yield from _texts(part)


def sealed(content: bytes, name: str) -> bytes:
    """`content` with a seal at its end: the SHA-256 of `name` and `content`.

    An npz file can still be read as one: zip files are read from their end, and what follows it is ignored.
    """
    return content + _seal(content, name)


def unsealed(data: _Bytes, name: str) -> _Bytes | None:
    """What was sealed under `name`, or None where a bit of it is not what was written."""
    content = data[:-SEAL]
    return content if data[-SEAL:] == _seal(content, name) else None


def begun_seal(name: str) -> hashlib._Hash:
    """A SHA-256 whose digest is the seal of all that it is updated with."""
    label = name.encode(errors="surrogateescape")
    return hashlib.sha256(len(label).to_bytes(8, "little") + label)


def _seal(content: bytes | memoryview, name: str) -> bytes:
    digest = begun_seal(name)
    digest.update(content)
    return digest.digest()


def sha256_bytes(data: bytes) -> str:
    """SHA-256 as 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path | str) -> str:
    """SHA-256 of a file's bytes, read in blocks."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def trusted(path: Path | str, program: bytes, sha256: str | None) -> bytes:
    """The bytes of a program that is to be loaded; UserError unless they have the SHA-256 that is trusted."""
    found = sha256_bytes(program)
    if sha256 is None or len(sha256) != 64 or set(sha256.lower()) - set("0123456789abcdef"):
        given = "" if sha256 is None else f", not {quoted(sha256)}"
        raise UserError(
            f"{path} is a program, which is run when it is loaded: give the SHA-256 of the file that you "
            f"trust, 64 hexadecimal digits{given}. That of this file is {found}."
        )
    if found != sha256.lower():
        raise UserError(
            f"{path} is not the program that you trust: its SHA-256 is {found}, not {sha256.lower()}; it was "
            "not loaded. Get it again."
        )
    return program


def hold(handle: int) -> bool | None:
    """Hold an open file or folder for this process until it is closed, or the process ends.

    False where another process holds it; None where that cannot be known.
    """
    if sys.platform == "win32":
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return None
    return True


def remove_unheld(path: Path) -> None:
    """Remove what a killed process left; what a living one holds, or may hold, stays."""
    with contextlib.suppress(OSError):
        handle = os.open(path, os.O_RDONLY)
        try:
            if hold(handle):
                path.unlink()
        finally:
            os.close(handle)


@contextlib.contextmanager
def alone(folder: Path, waits: Callable[[], None] = lambda: None, left: str = EVERYWHERE) -> Iterator[None]:
    """Be the only one who writes in a folder, which is made where there is none. What killed processes left
    there half-made, known by the pattern `left`, is removed.

    `waits` is called again and again while another process is in there; what it raises ends the waiting.
    UserError for a folder that cannot be written.
    """
    path = folder / LOCK
    try:
        folder.mkdir(parents=True, exist_ok=True)
        while (handle := _taken(path)) is None:
            waits()
            time.sleep(0.05)
    except OSError as error:
        advice = f"remove the link {path}" if os.path.islink(path) else "choose a folder you may write to"
        raise UserError(f"Cannot write in {folder}: {error.strerror}; {advice}.") from error
    try:
        for one in folder.glob(left) if hold(handle) else ():  # else it may be a living one's
            shutil.rmtree(one, ignore_errors=True) if one.is_dir() else _unlink(one)
        yield
    finally:
        _unlink(path)  # while it is held: who opened it meanwhile notices
        os.close(handle)


def _unlink(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()


def _taken(path: Path) -> int | None:
    """The handle of a lock file that this process now holds; None while another one does."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o644)
    try:
        if hold(handle) is not False and os.path.samestat(os.fstat(handle), path.stat()):
            return handle
    except FileNotFoundError:  # its holder has just left
        pass
    except BaseException:
        os.close(handle)
        raise
    os.close(handle)
    return None
