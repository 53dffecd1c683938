"""Atomic writes and digests: a file is either whole or not there."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

import numpy as np

from diffnotes.base.errors import UserError

_Bytes = TypeVar("_Bytes", bytes, memoryview)

SEAL = 32  # bytes of SHA-256


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
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
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


def load_npz(path: Path | str) -> dict[str, np.ndarray]:
    """All arrays of an npz file, with the file closed again."""
    return npz_arrays(Path(path).read_bytes())


def npz_arrays(content: bytes) -> dict[str, np.ndarray]:
    """All arrays of the bytes of an npz file."""
    with np.load(io.BytesIO(content), allow_pickle=False) as saved:
        return dict(saved)


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


def hold(handle: int) -> bool | None:
    """Hold an open file or folder for this process until it is closed, or the process ends.

    False where another process holds it; None where that cannot be known.
    """
    try:
        import fcntl  # not on every system

        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except (ImportError, OSError):  # or a file system without locks
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


def sha256_bytes(data: bytes) -> str:
    """SHA-256 as 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path | str) -> str:
    """SHA-256 of a file's bytes, read in blocks."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
