"""Fetching a dataset archive on request: resumed, checked by md5, and unpacked whole or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import os
import re
import shutil
import ssl
import tarfile
import tempfile
import urllib.error
import urllib.request
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from diffnotes.base.errors import UserError

BLOCK = 1 << 20
NETWORK_ERRORS = (
    urllib.error.URLError,
    http.client.HTTPException,
    ConnectionError,
    TimeoutError,
    ssl.SSLError,
)
TIMEOUT = 30.0  # seconds without a byte before the connection counts as lost


@dataclass(frozen=True)
class Archive:
    """A tar archive on the web: its address, the md5 of the file, and the one folder it unpacks to."""

    url: str
    md5: str
    folder: str


CIFAR10 = Archive(
    "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
    "c58f30108f718f92721af3b95e74349a",
    "cifar-10-batches-py",
)


def fetch(archive: Archive, root: Path) -> Path:
    """Download, check and unpack `archive` so that `root/<archive.folder>` is whole; returns that folder.

    A broken transfer leaves `<name>.part`; the next call continues it where the server offers HTTP Range.
    Errors: UserError for no connection, a broken transfer, a wrong md5 (the file is removed), a full disk.
    """
    part = root / f"{archive.url.rsplit('/', 1)[-1]}.part"
    with _disk_errors(root):
        root.mkdir(parents=True, exist_ok=True)
        _download(archive.url, part)
        _check(archive, part)
        _unpack(archive, part, root)
        part.unlink()
    return root / archive.folder


@contextlib.contextmanager
def _disk_errors(root: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or error
        raise UserError(
            f"Cannot store the download in {root}: {reason}; free space or set DIFFNOTES_DATA."
        ) from error


def _download(url: str, part: Path) -> None:
    have = part.stat().st_size if part.exists() else 0
    try:
        with _open(url, have) as reply:
            if reply is not None:
                _append(reply, part, have if reply.status == http.client.PARTIAL_CONTENT else 0)
    except NETWORK_ERRORS as error:
        reason = getattr(error, "reason", None) or error
        raise UserError(
            f"The download of {url} failed ({reason}); run the same command again to continue it."
        ) from error


@contextlib.contextmanager
def _open(url: str, have: int) -> Iterator[http.client.HTTPResponse | None]:
    """The reply from byte `have` on; None when the server says that there is nothing after it."""
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        reply = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        error.close()
        if not (have and error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE):
            raise
        yield None  # all bytes are here already (or too many: the md5 decides)
        return
    with reply:
        yield reply


def _append(reply: http.client.HTTPResponse, part: Path, start: int) -> None:
    length = reply.headers.get("Content-Length")
    total = start + int(length) if length and re.fullmatch("[0-9]{1,18}", length) else None  # else unknown
    with open(part, "r+b" if start else "wb") as file, _bar(total, start) as bar:
        file.seek(start)
        while block := reply.read(BLOCK):
            file.write(block)
            bar.update(len(block))
        done = file.tell()
    if total is not None and done < total:
        raise http.client.HTTPException(f"it broke off after {done:,} of {total:,} bytes")


def _bar(total: int | None, start: int) -> tqdm:
    return tqdm(total=total, initial=start, unit="B", unit_scale=True, desc="downloading", disable=None)


def _check(archive: Archive, part: Path) -> None:
    with open(part, "rb") as file:
        found = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    if found != archive.md5:
        part.unlink()
        raise UserError(
            f"The file from {archive.url} has md5 {found}, not {archive.md5}, and was removed; run it again."
        )


def _unpack(archive: Archive, part: Path, root: Path) -> None:
    """Unpack beside the target and rename: the folder is the old one or the new one, never a mixture."""
    with tempfile.TemporaryDirectory(prefix=".unpack-", dir=root) as scratch:
        try:
            with tarfile.open(part) as tar:
                tar.extractall(
                    scratch, filter="data"
                )  # refuses paths that leave the folder, devices and links outwards
        except (tarfile.TarError, EOFError, zlib.error) as error:
            part.unlink()
            raise UserError(
                f"The archive {part} cannot be unpacked safely ({error}); remove it and fetch again."
            ) from error
        fresh, target = Path(scratch) / archive.folder, root / archive.folder
        if not fresh.is_dir():
            raise UserError(
                f"The archive {part} holds no folder {archive.folder}; remove it and fetch again."
            )
        if target.exists():
            os.rename(target, Path(scratch) / ".old")
        shutil.move(fresh, target)
