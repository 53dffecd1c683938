"""Folders of images as people have them: read whole, or refused; what is left out is said."""

from __future__ import annotations

import os
import re
import struct
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from diffnotes import data
from diffnotes.base import files, terminal
from diffnotes.base.errors import UserError
from diffnotes.data import decoding, fingerprint, fingerprints
from diffnotes.data import folders as images


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder of the test's own, and in it a folder `in` with nothing in it."""
    monkeypatch.setenv("DIFFNOTES_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(terminal, "_said", set())
    monkeypatch.setattr(fingerprints, "_known", {})
    (tmp_path / "data" / "in").mkdir(parents=True)
    return tmp_path / "data" / "in"


def load(split: str = "train", **settings: object) -> data.Dataset:
    return data.load("imagenet64", split=split, folder="in", **settings)


def picture(seed: int, height: int = 64, width: int = 64) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def put(*paths: Path, **settings: object) -> None:
    """A picture in each place; its seed is the place in the list."""
    for seed, path in enumerate(paths):
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture(seed)).save(path, **settings)


def shown(image: Image.Image, file: Path, **settings: object) -> np.ndarray:
    """The pixels [h, w, 3] that are read from a file with this image."""
    file.parent.mkdir()
    image.save(file, **settings)
    return load().values[0].permute(1, 2, 0).numpy()


def refused(*parts: str, split: str = "train", **settings: object) -> None:
    with pytest.raises(UserError) as error:
        load(split, **settings)
    text = str(error.value)
    assert text.endswith(".")
    assert "\n" not in text
    for part in parts:
        assert part in text


# ------ what is there


def test_what_is_left_out_is_said(root: Path, capfd: pytest.CaptureFixture[str]) -> None:
    put(root / "train" / "a" / "1.JPEG", root / "train" / "b" / "deeper" / "2.TIFF")
    put(root / "train" / "b" / "deep" / "3.webp", root / "train" / "stray.png", root / "logs" / "x.png")
    for hidden in (".DS_Store", "._1.jpg", ".ipynb_checkpoints/1-copy.png", "Thumbs.db", "@eaDir/1.jpg"):
        put_text(root / "train" / "a" / hidden)
    for other in ("notes.txt", "more.txt", "x.npy", "LICENSE"):
        put_text(root / "train" / "a" / other)
    (root / "train" / "empty").mkdir()
    assert load().labels.tolist() == [0, 1, 1]
    assert load().values.shape == (3, 3, 64, 64)
    said = capfd.readouterr().err.splitlines()  # once, though it was read twice
    assert said == [
        f"Read 3 images of 2 classes (1 with several folders inside) in {root / 'train'}; "
        "left out: .npy (1), .txt (2), empty class folders (1), folders beside the splits (1), hidden (5), "
        "images in no class folder (1), without a suffix (1)."
    ]


def put_text(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("")


def test_fingerprints_are_found_in_silence(root: Path, capfd: pytest.CaptureFixture[str]) -> None:
    put(root / "a" / "1.png")
    assert fingerprint("imagenet64", folder="in") == load().fingerprint
    assert capfd.readouterr().err.count("\n") == 1


def test_an_empty_class_keeps_its_number_in_all_splits(root: Path) -> None:
    put(root / "train" / "a" / "1.png", root / "train" / "c" / "2.png", root / "val" / "c" / "3.png")
    (root / "train" / "b").mkdir()
    assert load().labels.tolist() == [0, 2]
    assert load("val").labels.tolist() == [2]


@pytest.mark.parametrize("name", ["val", "valid", "Validation", "TEST", "Val"])
def test_names_of_the_held_out_split(root: Path, name: str) -> None:
    put(root / "Train" / "a" / "1.png", root / name / "a" / "2.png")
    assert torch.equal(load("val").values[0], torch.from_numpy(picture(1)).permute(2, 0, 1))
    assert torch.equal(load().values[0], torch.from_numpy(picture(0)).permute(2, 0, 1))


def test_val_goes_before_test(root: Path) -> None:
    put(root / "test" / "a" / "1.png", root / "val" / "a" / "2.png")
    assert torch.equal(load("test").values[0], torch.from_numpy(picture(1)).permute(2, 0, 1))


@pytest.mark.parametrize(
    ("places", "split", "parts"),
    [
        (["val/a/1.png"], "train", ["'val'", "no folder 'train'", "split='validation'"]),
        (["train/a/1.png"], "val", ["no folder 'val'", "split='train'"]),
        (["val/a/1.png", "Valid/a/2.png", "train/a/3.png"], "val", ["two folders for one split"]),
        (["set/train/a/1.png", "set/val/a/2.png"], "train", ["set/train", "a split inside of a class"]),
        (["1.png"], "train", ["No class folder"]),
        (["train/a/1.png", "val/images/2.png"], "val", ["val_annotations.txt", "not known"]),
    ],
)
def test_the_wrong_split_is_not_read(root: Path, places: list[str], split: str, parts: list[str]) -> None:
    put(*(root / place for place in places))
    refused(*parts, split=split)


# ------ links and permissions


LINKS: dict[str, Callable[[Path], object]] = {
    "Too many levels": lambda a: os.symlink("loop.png", a / "loop.png"),
    "a link to nothing": lambda a: os.symlink("nowhere", a.parent / "b"),
    "b are the same by a link": lambda a: os.symlink("a", a.parent / "b"),
    "up are the same by a link": lambda a: os.symlink("..", a / "up"),
    "again.png and": lambda a: os.symlink("one.png", a / "again.png"),
    "leads to a folder that holds": lambda a: os.symlink("/", a / "all"),
    "or no file": lambda a: os.mkfifo(a / "pipe.png"),
}


@pytest.mark.parametrize("part", LINKS)
def test_links_that_go_nowhere_or_twice(root: Path, part: str) -> None:
    put(root / "a" / "one.png")
    LINKS[part](root / "a")
    refused(part)


def test_links_to_folders_and_files_are_followed(root: Path, tmp_path: Path) -> None:
    put(tmp_path / "b" / "1.png", tmp_path / "2.png", root / "a" / "3.png")
    os.symlink(tmp_path / "b", root / "b")
    os.symlink(tmp_path / "2.png", root / "a" / "2.png")
    assert load().labels.tolist() == [0, 0, 1]


def denied(plain: Callable, name: str) -> Callable:
    """A call that may not touch a file or folder of this name; permissions do not bind an administrator."""

    def call(path: object, *words: object, **settings: object) -> object:
        if Path(str(path)).name == name:
            raise PermissionError(13, "Permission denied", str(path))
        return plain(path, *words, **settings)

    return call


@pytest.mark.parametrize("locked", ["in", "a", "inner", "1.png"])
def test_what_may_not_be_read_is_named(root: Path, locked: str, monkeypatch: pytest.MonkeyPatch) -> None:
    put(root / "a" / "inner" / "1.png", root / "b" / "2.png")
    monkeypatch.setattr(os, "scandir", denied(os.scandir, locked))
    monkeypatch.setattr(Path, "read_bytes", denied(Path.read_bytes, locked))
    refused(locked, "Permission denied")


def test_a_disk_that_fails_is_told_with_the_file(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(root / "a" / "1.png")

    def failing(_: Path) -> bytes:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(Path, "read_bytes", failing)
    refused(str(root / "a" / "1.png"), "Input/output error")


def test_the_root_of_the_system_is_no_link() -> None:
    with pytest.raises(UserError) as error:
        data.load("imagenet64", folder="/")
    assert "link / leads" not in str(error.value)


def test_odd_names_stay_on_one_line(root: Path) -> None:
    (root / "a").mkdir()
    place = os.fsencode(root / "a") + b"/\xff two\nlines.png"
    with open(place, "wb") as file:
        Image.fromarray(picture(0)).save(file, "png")
    assert len(load()) == 1
    with open(place, "wb") as file:
        file.write(b"none")
    refused(r"\udcff two\nlines.png")


# ------ kinds of files


RAMP = (np.arange(4096) * 16).astype(np.uint16).reshape(64, 64)


@pytest.mark.parametrize("mode", ["I;16", "I;16B"])
def test_16_bits_keep_their_scale(root: Path, mode: str) -> None:
    order = ">u2" if mode.endswith("B") else "<u2"
    image = Image.frombytes(mode, (64, 64), RAMP.astype(order).tobytes())
    found = shown(image, root / "a" / "grey.tif")
    assert np.array_equal(found, np.repeat((RAMP >> 8)[..., None], 3, axis=2))


def test_one_bit_is_black_and_white(root: Path) -> None:
    bits = RAMP % 48 > 16
    assert np.array_equal(shown(Image.fromarray(bits), root / "a" / "bits.png")[..., 1], bits * 255)


def test_the_picture_stands_upright(root: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: to be shown a quarter clockwise
    found = shown(Image.fromarray(picture(3)), root / "a" / "turned.png", exif=exif)
    assert np.array_equal(found, np.rot90(picture(3), -1))


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
@pytest.mark.parametrize("palette", [False, True])
def test_alpha_may_be_there_if_nothing_shows_through(root: Path, mode: str, palette: bool) -> None:
    plain = Image.fromarray(picture(0)).convert("L" if mode == "LA" else "RGB")
    plain = plain.quantize(200) if palette else plain
    opaque = {"transparency": bytes([255] * 200)} if palette else {}
    found = shown(plain if palette else plain.convert(mode), root / "a" / "1.png", **opaque)
    assert np.array_equal(found, np.asarray(plain.convert("RGB")))


def two(file: Path) -> None:
    put(file, save_all=True, append_images=[Image.fromarray(picture(9))])


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def bomb(file: Path) -> None:
    size = chunk(b"IHDR", struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0))
    file.write_bytes(b"\x89PNG\r\n\x1a\n" + size + chunk(b"IDAT", zlib.compress(b"0")) + chunk(b"IEND", b""))


def swapped(file: Path) -> None:
    """A PNG with the pixels of one picture and the check sum of another."""
    contents = []
    for seed in (0, 1):
        Image.fromarray(picture(seed)).save(file, compress_level=0)
        contents.append(file.read_bytes())
    file.write_bytes(contents[0][:-16] + contents[1][-16:])


def grey(file: Path, transparency: int = 16) -> None:
    Image.fromarray(RAMP).save(file, transparency=transparency)


REFUSED: dict[str, tuple[str, Callable[[Path], object]]] = {
    "an animation": ("several pictures", lambda a: two(a / "1.gif")),
    "an animated png": ("several pictures", lambda a: two(a / "1.png")),
    "an animated webp": ("several pictures", lambda a: two(a / "1.webp")),
    "pages": ("several pictures", lambda a: two(a / "1.tiff")),
    "alpha": ("transparent", lambda a: Image.new("RGBA", (64, 64), (9, 9, 9, 254)).save(a / "1.png")),
    "a palette": ("transparent", lambda a: Image.new("P", (64, 64)).save(a / "1.png", transparency=0)),
    "a colour": ("transparent", lambda a: Image.new("L", (64, 64)).save(a / "1.png", transparency=0)),
    "a level of 16 bits": ("transparent", lambda a: grey(a / "1.png")),
    "fractions": ("(F)", lambda a: Image.new("F", (64, 64)).save(a / "1.tiff")),
    "32 bits": ("(I)", lambda a: Image.new("I", (64, 64)).save(a / "1.tiff")),
    "another colour space": ("(LAB)", lambda a: Image.new("LAB", (64, 64)).save(a / "1.tiff")),
    "nothing": ("it is empty", lambda a: (a / "1.png").write_bytes(b"")),
    "text": ("no image is in it", lambda a: (a / "1.png").write_text("text")),
    "a program": ("no image is in it", lambda a: (a / "1.png").write_text("%!PS-Adobe-3.0 EPSF-3.0\n")),
    "a bomb": ("more pixels", lambda a: bomb(a / "1.png")),
    "another check sum": ("damaged", lambda a: swapped(a / "1.png")),
}


@pytest.mark.parametrize("name", REFUSED)
def test_files_that_are_not_one_picture(root: Path, name: str, capfd: pytest.CaptureFixture[str]) -> None:
    (root / "a").mkdir()
    part, make = REFUSED[name]
    make(root / "a")
    refused(part, str(root / "a" / "1."))
    assert capfd.readouterr().err == ""


def test_content_counts_and_not_the_name(root: Path) -> None:
    put(root / "a" / "jpeg.png", format="JPEG")
    put(root / "a" / "phone.jpg", format="MPO", save_all=True, append_images=[Image.new("RGB", (64, 64))])
    assert torch.equal(load().values[0], load().values[1])


# ------ Tiny ImageNet's table


@pytest.fixture
def tiny(root: Path) -> Path:
    """Three held-out images; the returned table has their classes."""
    put(*(root / "val" / "images" / f"v_{k}.png" for k in range(3)), root / "train" / "n1" / "t.png")
    table = root / "val" / "val_annotations.txt"
    table.write_text("v_0.png\tn2\t0\t0\nv_1.png\tn1\t0\t0\nv_2.png\tn2\t0\t0\n")
    return table


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_tables_of_all_editors(tiny: Path, encoding: str, end: str) -> None:
    rows = tiny.read_text().replace("\t0\t0", "").replace("n1", "nä").replace("\n", end)
    tiny.write_bytes(rows.encode(encoding))
    assert load("val").labels.tolist() == [1, 2, 1]  # n1 is a training class


@pytest.mark.parametrize(
    ("old", "new", "part"),
    [
        (b"n1", b"n\xe4", "not in UTF-8"),
        (b"n1", b"n\0", "is damaged"),
        (b"\tn1\t0\t0", b"", "is damaged"),
        (b"\tn1", b"\t", "is damaged"),
        (b"v_1.png", b"v_0.png", "two lines for v_0.png"),
        (b"v_1.png\tn1\t0\t0\n", b"", "v_1.png has no line"),
        (b"v_1.png", b"../../train/n1/t.png", "t.png is missing"),
    ],
)
def test_damaged_tables(tiny: Path, old: bytes, new: bytes, part: str) -> None:
    tiny.write_bytes(tiny.read_bytes().replace(old, new))
    refused(part, split="val")


def test_class_folders_win_over_a_table_that_was_left(tiny: Path, root: Path) -> None:
    (root / "val" / "n1").mkdir()
    (root / "val" / "images" / "v_1.png").rename(root / "val" / "n1" / "v_1.png")
    refused("'images' and in the class folder 'n1'", split="val")
    (root / "val" / "images").rename(root / "val" / "n2")
    assert load("val").labels.tolist() == [0, 1, 1]


@pytest.mark.parametrize("change", ["none", "blank", "Images"])
def test_a_class_has_one_number_in_all_splits(tiny: Path, root: Path, change: str) -> None:
    put(root / "train" / "n3" / "t.png")  # n2 is a class of the table alone
    if change == "blank":
        tiny.write_text(tiny.read_text().replace("n1", " n1 "))
    if change == "Images":
        (root / "val" / "images").rename(root / "val" / "Images")
        tiny.rename(root / "val" / "Val_Annotations.txt")
    assert load("train").labels.tolist() == [0, 2]
    assert load("val").labels.tolist() == [1, 0, 1]


def test_the_held_out_split_alone_is_told(tiny: Path, root: Path) -> None:
    with pytest.raises(UserError, match="is the validation split of Tiny ImageNet; name the folder"):
        data.load("imagenet64", folder=str(root / "val"))


def test_an_edited_table_is_another_set(tiny: Path) -> None:
    before = fingerprint("imagenet64", None, "val", folder="in")
    tiny.write_text(tiny.read_text().replace("n1", "n3"))
    assert fingerprint("imagenet64", None, "val", folder="in") == load("val").fingerprint != before


# ------ the cache


@pytest.fixture
def cache(root: Path) -> Path:
    """The cache file of one image."""
    put(root / "a" / "1.bmp")
    load()
    [file] = (root.parent / ".diffnotes-cache").iterdir()
    return file


@pytest.mark.parametrize("harm", ["empty", "short", "header", "pixel", "seal", "another", "folder"])
def test_a_damaged_cache_is_written_anew(cache: Path, harm: str) -> None:
    content, whole = bytearray(cache.read_bytes()), cache.read_bytes()
    places = {"header": 40, "pixel": 5000, "seal": -1}
    if harm in places:
        content[places[harm]] ^= 1
    cut = {"empty": 0, "short": -7}.get(harm, len(content))
    cache.write_bytes(content[:cut])
    if harm == "another":  # of other images under this name
        cache.write_bytes(files.sealed(bytes(len(content) - files.SEAL), "x.npy"))
    if harm == "folder":
        cache.unlink()
        cache.mkdir()
    assert np.array_equal(load().values[0], picture(0).transpose(2, 0, 1))
    assert harm == "folder" or cache.read_bytes() == whole


def test_other_pixels_of_equal_size_and_time(root: Path, cache: Path) -> None:
    file = root / "a" / "1.bmp"
    before = file.stat()
    Image.fromarray(picture(7)).save(file)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (file.stat().st_size, file.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert np.array_equal(load().values[0], picture(7).transpose(2, 0, 1))


@pytest.mark.parametrize("call", ["tempfile.mkstemp", "os.fsync", "os.replace", "pathlib.Path.mkdir"])
def test_a_cache_that_cannot_be_written_is_done_without(
    root: Path, call: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    put(root / "a" / "1.png")

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(call, full)
        assert np.array_equal(load().values[0], picture(0).transpose(2, 0, 1))
    assert "No space left on device" in capfd.readouterr().err
    assert [*root.parent.glob(".diffnotes-cache/.*")] == []


def test_what_a_killed_process_left_is_removed_and_of_a_living_one_not(root: Path) -> None:
    put(root / "a" / "1.png")
    folder = root.parent / ".diffnotes-cache"
    folder.mkdir()
    killed, living = folder / ".in-train-0.npy.dead", folder / ".in-train-0.npy.held"
    killed.write_bytes(b"a part")
    with open(living, "wb") as held:
        assert files.hold(held.fileno())
        load()
        assert living.exists()
        assert not killed.exists()


def test_images_that_change_meanwhile_are_refused(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(root / "a" / "1.png")
    plain = decoding.decode

    def slow(path: Path) -> np.ndarray:
        found = plain(path)
        put(path)
        return found

    monkeypatch.setattr(decoding, "decode", slow)
    refused("have changed while they were read")


def test_two_write_it_at_once(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(*(root / "a" / f"{k}.png" for k in range(5)))
    plain, inner = decoding.decode, []

    def decode(path: Path) -> np.ndarray:
        if path.name == "3.png" and not inner:  # the other one begins later and is done before
            inner.append(None)
            inner[0] = load().fingerprint
        return plain(path)

    monkeypatch.setattr(decoding, "decode", decode)
    assert inner == [load().fingerprint] == [load().fingerprint]
    assert len([*(root.parent / ".diffnotes-cache").iterdir()]) == 1


# ------ gone through once

CHANGES: dict[str, Callable[[Path], object]] = {
    "another image": lambda tiny: put(tiny / "train" / "n1" / "9.png"),
    "an image less": lambda tiny: (tiny / "train" / "n1" / "0.png").unlink(),
    "other bytes": lambda tiny: (tiny / "train" / "n2" / "1.png").write_bytes(b"other"),
    "another name": lambda tiny: (tiny / "train" / "n1").rename(tiny / "train" / "n0"),
    "another class": lambda tiny: put(tiny / "train" / "n0" / "1.png"),
    "another table": lambda tiny: (tiny / "val" / "val_annotations.txt").write_text("3.png\tn2\n"),
    "another link": lambda tiny: relink(tiny / "train" / "n3", tiny.parent / "beside" / "b"),
    "a link less": lambda tiny: (tiny / "train" / "n3").unlink(),
    "no access": lambda tiny: (tiny / "train" / "n1").chmod(0),
    "none": lambda tiny: None,
}  # fmt: skip


def relink(link: Path, target: Path) -> None:
    link.unlink()
    link.symlink_to(target)


def listed(folder: Path, split: str) -> object:
    """The listing, or the sentence that refuses it."""
    try:
        return images.list_split(folder, split)
    except UserError as error:
        return str(error)


@pytest.mark.parametrize("split", ["train", "validation", "all"])
@pytest.mark.parametrize("change", CHANGES)
def test_it_is_gone_through_again_when_anything_has_changed(
    root: Path, change: str, split: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "TICK", -(10**18))  # as if all were old
    put(*(root.parent / "beside" / name / "5.png" for name in "abc"))
    put(root / "train" / "n1" / "0.png", root / "train" / "n2" / "1.png", root / "val" / "images" / "3.png")
    (root / "train" / "n3").symlink_to(root.parent / "beside" / "a")
    (root / "val" / "val_annotations.txt").write_text("3.png\tn1\n")
    before = listed(root, split)
    CHANGES[change](root)
    after = listed(root, split)
    assert after is before or change != "none"
    images._listed.clear()
    assert listed(root, split) == after


def test_a_folder_that_has_just_changed_is_not_kept_in_mind(root: Path) -> None:
    put(root / "a" / "1.png")
    assert images.list_split(root, "train") is not images.list_split(root, "train")
    old = time.time_ns() + 2 * files.TICK
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "time_ns", lambda: old)
        assert images.list_split(root, "train") is images.list_split(root, "train")


def test_few_listings_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "TICK", -(10**18))
    for name in "abcdef":
        put(tmp_path / name / "a" / "1.png")
        images.list_split(tmp_path / name, "train")
    assert [place[0].name for place in images._listed] == ["c", "d", "e", "f"]


# ------ folders by name


def test_homes_that_are_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("DIFFNOTES_DATA", "~nobody-here/x"), ("XDG_CACHE_HOME", "~nobody-here/x")):
        monkeypatch.delenv("DIFFNOTES_DATA", raising=False)
        monkeypatch.setenv(name, value)
        with pytest.raises(UserError, match=re.escape("~nobody-here/x")):
            data.load("cifar10")


def test_a_home_in_the_name_of_a_folder(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(root / "mine" / "a" / "1.png")
    monkeypatch.setenv("HOME", str(root))
    assert len(data.load("imagenet64", folder="~/mine")) == 1
