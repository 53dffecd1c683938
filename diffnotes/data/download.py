"""Fetching a dataset archive on request: resumed, checked by md5, and unpacked whole or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import os
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
from typing import Any

from diffnotes.base import files
from diffnotes.base.errors import UserError
from diffnotes.base.terminal import bar

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
    What a killed one left is used or removed.
    Errors: UserError for no connection, a broken transfer, a wrong md5 (the file is removed), a full disk, an
    archive that holds more than files and folders, and while another process fetches into `root`.
    """
    part = _part(archive, root)
    with _disk_errors(root):
        root.mkdir(parents=True, exist_ok=True)
    with _disk_errors(root), _alone(root):
        part.touch()
        try:
            _check(archive, part, _download(archive.url, part))
        finally:
            if part.exists() and not part.stat().st_size:
                part.unlink()
        _unpack(archive, part, root)
        part.unlink()
    return root / archive.folder


def tidy(archive: Archive, root: Path) -> None:
    """Remove what a fetch that was killed at its very end left beside the folder, where that may be done."""
    with contextlib.suppress(UserError, OSError), _alone(root):
        _part(archive, root).unlink(missing_ok=True)


def _part(archive: Archive, root: Path) -> Path:
    """What has come so far."""
    return root / f"{archive.url.rsplit('/', 1)[-1]}.part"


def _alone(root: Path) -> contextlib.AbstractContextManager[None]:
    """No other process fetches into `root` in this block, and nothing is left of one that was killed."""

    def refuse() -> None:
        raise UserError(f"Another process fetches into {root}; wait until it is done.")

    return files.alone(root, refuse, left=".unpack-*")


@contextlib.contextmanager
def _disk_errors(root: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or error
        raise UserError(
            f"Cannot store the download in {root}: {reason}; free space or set DIFFNOTES_DATA."
        ) from error


def _download(url: str, part: Path) -> str:
    """Bring what is lacking; returns what is wrong with the length, if something is."""
    have = part.stat().st_size
    try:
        with _open(url, have) as reply:
            if reply is None:
                return ""
            return _append(reply, part, have if reply.status == http.client.PARTIAL_CONTENT else 0)
    except NETWORK_ERRORS as error:
        reason = getattr(error, "reason", None) or error
        raise _failed(url, reason) from error


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


def _append(reply: http.client.HTTPResponse, part: Path, start: int) -> str:
    total = None if reply.length is None else start + reply.length
    shown = bar(total=total, initial=start, unit="B", unit_scale=True, desc="downloading")
    with open(part, "r+b" if start else "wb") as file, shown:
        file.seek(start)
        for block in iter(lambda: _read(reply), b""):
            file.write(block)
            shown.update(len(block))
        done = file.tell()
    return "" if total is None or done >= total else f"it broke off after {done:,} of {total:,} bytes"


def _read(reply: http.client.HTTPResponse) -> bytes:
    try:
        return reply.read(BLOCK)
    except OSError as error:  # of the network, and not of the disk
        raise http.client.HTTPException(error.strerror or str(error)) from error


def _failed(url: str, reason: object) -> UserError:
    return UserError(f"The download of {url} failed ({reason}); run the same command again to continue it.")


def _check(archive: Archive, part: Path, broken: str) -> None:
    """Nothing, if the file is whole, whatever the server said of its length."""
    with open(part, "rb") as file:
        found = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    if found == archive.md5:
        return
    if broken:
        raise _failed(archive.url, broken)
    part.unlink()
    raise UserError(
        f"The file from {archive.url} has md5 {found}, not {archive.md5}, and was removed; run it again."
    )


def _plain(member: tarfile.TarInfo, folder: str) -> tarfile.TarInfo:
    """Refuses what is no file or folder, and paths that leave the folder."""
    if not (member.isfile() or member.isdir()) or os.path.isabs(member.name):
        raise tarfile.FilterError(f"{member.name!r} is no file or folder of its own")
    return tarfile.data_filter(member, folder)


def _unpack(archive: Archive, part: Path, root: Path) -> None:
    """Unpack beside the target and rename: the folder is the old one or the new one, never a mixture."""
    with tempfile.TemporaryDirectory(prefix=".unpack-", dir=root) as scratch:
        try:
            with tarfile.open(part) as tar:
                tar.extractall(scratch, filter=_plain)
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


def what_is_wrong(reader: Any, root: Path) -> str:
    """One sentence on the first file of CIFAR-10 that is missing or differs from its official md5."""
    remedy = "run `python -m diffnotes fetch cifar10`, or set DIFFNOTES_DATA to the folder that holds it"
    folder = root / reader.base_folder
    if not os.path.isdir(folder):
        return f"CIFAR-10 is not in {folder}; {remedy}."
    meta = [(reader.meta["filename"], reader.meta["md5"])]
    for name, md5 in [*reader.train_list, *reader.test_list, *meta]:
        try:
            found = hashlib.md5((folder / name).read_bytes(), usedforsecurity=False).hexdigest()
        except OSError as error:
            return f"The CIFAR-10 file {folder / name} is missing or locked ({error.strerror}); {remedy}."
        if found != md5:
            return f"The CIFAR-10 file {folder / name} is damaged (its md5 is not {md5}); {remedy}."
    return f"CIFAR-10 in {folder} cannot be read; {remedy}."
