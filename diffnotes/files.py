"""Atomic writes and digests: a file is either whole or not there."""

from __future__ import annotations

import hashlib
import io
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from diffnotes.errors import UserError


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
    """The bytes of a compressed npz file; equal arrays in equal order give equal bytes (numpy writes no
    clock).
    """
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **dict(arrays))
    return buffer.getvalue()


def save_npz_atomic(path: Path | str, arrays: Mapping[str, np.ndarray]) -> None:
    """`npz_bytes` written by `write_atomic`."""
    write_atomic(path, npz_bytes(arrays))


def load_npz(path: Path | str) -> dict[str, np.ndarray]:
    """All arrays of an npz file, with the file closed again."""
    with np.load(io.BytesIO(Path(path).read_bytes()), allow_pickle=False) as saved:
        return dict(saved)


def sha256_bytes(data: bytes) -> str:
    """SHA-256 as 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path | str) -> str:
    """SHA-256 of a file's bytes, read in blocks."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
