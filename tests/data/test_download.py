"""`fetch` against a web server on this machine: resume, digest, unpacking, what a failure leaves."""

from __future__ import annotations

import hashlib
import http.client
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from server import Server, serving, tar

from diffnotes.base import files
from diffnotes.base.errors import UserError
from diffnotes.data import download
from diffnotes.data import sets as data
from diffnotes.data.download import Archive


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as running:
        yield running


NOISE = np.random.Generator(np.random.PCG64(0)).bytes(300_000)  # does not compress, so bytes on the wire


@pytest.fixture
def archive(server: Server) -> Archive:
    server.content = tar(("set/one", b"first"), ("set/two", NOISE))
    return Archive(server.url, hashlib.md5(server.content).hexdigest(), "set")


def names(root: Path) -> list[str]:
    return sorted(path.name for path in root.iterdir())


def test_fetch_leaves_the_folder_and_nothing_else(archive: Archive, tmp_path: Path) -> None:
    root = tmp_path / "made" / "here"
    assert download.fetch(archive, root) == root / "set"
    assert (root / "set" / "two").read_bytes() == NOISE
    assert names(root) == ["set"]


def test_a_broken_download_goes_on_where_it_stopped(server: Server, archive: Archive, tmp_path: Path) -> None:
    server.cut = 100_000
    with pytest.raises(UserError, match=r"broke off after 100,000 of .* run the same command again"):
        download.fetch(archive, tmp_path)
    assert names(tmp_path) == ["set.tar.gz.part"]
    download.fetch(archive, tmp_path)
    assert server.asked == [None, "bytes=100000-"]
    assert (tmp_path / "set" / "two").read_bytes() == NOISE
    assert names(tmp_path) == ["set"]


def test_a_server_without_range_starts_over(server: Server, archive: Archive, tmp_path: Path) -> None:
    server.cut, server.ranges = 100_000, False
    with pytest.raises(UserError, match="broke off"):
        download.fetch(archive, tmp_path)
    download.fetch(archive, tmp_path)
    assert (tmp_path / "set" / "two").read_bytes() == NOISE


def test_a_complete_part_is_not_downloaded_again(server: Server, archive: Archive, tmp_path: Path) -> None:
    (tmp_path / "set.tar.gz.part").write_bytes(server.content)
    download.fetch(archive, tmp_path)
    assert server.asked == [f"bytes={len(server.content)}-"]
    assert names(tmp_path) == ["set"]


@pytest.mark.parametrize("stale", [b"", b"not the beginning of this file"])
def test_a_wrong_md5_is_one_sentence_and_leaves_nothing(
    archive: Archive, tmp_path: Path, stale: bytes
) -> None:
    (tmp_path / "set.tar.gz.part").write_bytes(stale)
    wrong = archive if stale else Archive(archive.url, "0" * 32, "set")
    with pytest.raises(UserError) as error:
        download.fetch(wrong, tmp_path)
    assert wrong.md5 in str(error.value)
    assert str(error.value).endswith("run it again.")
    assert names(tmp_path) == []
    if stale:
        assert download.fetch(archive, tmp_path).is_dir()  # and the remedy works


def test_an_old_folder_is_replaced_as_a_whole(archive: Archive, tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "three").write_text("old")
    download.fetch(archive, tmp_path)
    assert names(tmp_path / "set") == ["one", "two"]


@pytest.mark.parametrize("name", ["../outside", "set/../../outside", "/outside"])
def test_paths_that_leave_the_folder_are_refused(server: Server, tmp_path: Path, name: str) -> None:
    server.content = tar(("set/one", b"1"), (name, b"2"))
    root = tmp_path / "root"
    with pytest.raises(UserError, match="cannot be unpacked safely"):
        download.fetch(Archive(server.url, hashlib.md5(server.content).hexdigest(), "set"), root)
    assert names(root) == []
    assert names(tmp_path) == ["root"]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_links_and_devices_are_refused(server: Server, tmp_path: Path, kind: bytes) -> None:
    server.content = tar(("set/one", b"1"), odd=kind)
    with pytest.raises(UserError, match="cannot be unpacked safely .*set/odd"):
        download.fetch(Archive(server.url, hashlib.md5(server.content).hexdigest(), "set"), tmp_path)
    assert names(tmp_path) == []


@pytest.mark.parametrize("length", ["abc", "-5", "400000", "10"])
def test_a_wrong_length_changes_nothing(
    server: Server, archive: Archive, tmp_path: Path, length: str
) -> None:
    server.length = length
    if length == "10":  # that much is taken, and no more
        with pytest.raises(UserError, match="run it again"):
            download.fetch(archive, tmp_path)
        assert names(tmp_path) == []
        server.length = ""
    download.fetch(archive, tmp_path)
    assert (tmp_path / "set" / "two").read_bytes() == NOISE
    assert names(tmp_path) == ["set"]


def test_what_a_killed_fetch_left_is_removed(archive: Archive, tmp_path: Path) -> None:
    (tmp_path / ".unpack-dead" / "set").mkdir(parents=True)
    download.fetch(archive, tmp_path)
    assert names(tmp_path) == ["set"]


def test_what_a_fetch_left_that_was_killed_at_its_end_is_removed(archive: Archive, tmp_path: Path) -> None:
    download.fetch(archive, tmp_path)
    (tmp_path / ".unpack-dead").mkdir()
    (tmp_path / "set.tar.gz.part").touch()
    download.tidy(archive, tmp_path)
    assert names(tmp_path) == ["set"]


def test_one_fetch_at_a_time(archive: Archive, tmp_path: Path) -> None:
    (tmp_path / ".unpack-living").mkdir()
    with files.alone(tmp_path):
        with pytest.raises(UserError, match="Another process fetches"):
            download.fetch(archive, tmp_path)
        assert (tmp_path / ".unpack-living").exists()
    download.fetch(archive, tmp_path)
    assert names(tmp_path) == ["set"]


@pytest.mark.parametrize("call", ["tarfile.TarFile.extractall", "os.rename"])
def test_a_full_disk_keeps_the_download(
    server: Server, archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    (tmp_path / "set").mkdir()
    with monkeypatch.context() as patch:
        patch.setattr(call, full)
        with pytest.raises(UserError, match="No space left on device; free space"):
            download.fetch(archive, tmp_path)
    assert names(tmp_path) == ["set", "set.tar.gz.part"]
    download.fetch(archive, tmp_path)
    assert server.asked[1:] == [f"bytes={len(server.content)}-"]


def test_an_archive_without_its_folder(server: Server, tmp_path: Path) -> None:
    server.content = tar(("other/one", b"1"))
    with pytest.raises(UserError, match="holds no folder set"):
        download.fetch(Archive(server.url, hashlib.md5(server.content).hexdigest(), "set"), tmp_path)


def test_no_server_is_one_sentence(tmp_path: Path) -> None:
    with Server() as gone:
        url = gone.url
    with pytest.raises(UserError, match="run the same command again"):
        download.fetch(Archive(url, "0" * 32, "set"), tmp_path)
    assert names(tmp_path) == []


def test_a_lost_network_is_no_full_disk(
    archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(*_: object) -> bytes:
        raise OSError(101, "Network is unreachable")

    monkeypatch.setattr(http.client.HTTPResponse, "read", lost)
    with pytest.raises(UserError, match=r"\(Network is unreachable\); run the same command again"):
        download.fetch(archive, tmp_path)
    assert names(tmp_path) == []


def test_a_root_that_is_a_file(archive: Archive, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="set DIFFNOTES_DATA"):
        download.fetch(archive, tmp_path / "file")


def test_only_cifar10_can_be_fetched() -> None:
    with pytest.raises(UserError, match="cifar10"):
        data.fetch("mnist")


def test_fetch_replaces_a_damaged_cifar_folder(
    server: Server, archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DIFFNOTES_DATA", str(tmp_path))
    server.content = tar(("cifar-10-batches-py/data_batch_1", b"invented"))
    md5 = hashlib.md5(server.content).hexdigest()
    monkeypatch.setattr(download, "CIFAR10", Archive(server.url, md5, "cifar-10-batches-py"))
    with pytest.raises(UserError, match="data_batch_1 is damaged"):  # what came is checked file by file
        data.fetch("cifar10")
    assert server.asked == [None]
