"""A reader's own images: whatever form they come in, they are the same; what does not fit is refused."""

from __future__ import annotations

import importlib.util
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from diffnotes import data
from diffnotes.base.errors import UserError
from diffnotes.data.given import given, same_classes, shown_as, split

needs_pyarrow = pytest.mark.skipif(
    importlib.util.find_spec("pyarrow") is None, reason="pyarrow is not installed (make test installs it)"
)
GENERATOR = np.random.default_rng(0)
COLOURS = GENERATOR.integers(0, 256, (6, 12, 12, 3), dtype=np.uint8)
GREY = GENERATOR.integers(0, 256, (6, 12, 12), dtype=np.uint8)
CHANNELS = COLOURS.transpose(0, 3, 1, 2)


def folder(path: Path, images: np.ndarray, classes: bool = False) -> Path:
    for number, image in enumerate(images):
        place = path / (f"class{number % 2}" if classes else "")
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(place / f"{number}.png")
    return path


def png(image: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(image).save(out, "PNG")
    return out.getvalue()


# ---------------------------------------------------------------------------------------- one set, many forms


def test_a_folder_and_arrays_of_one_set_are_equal(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=COLOURS)
    np.save(tmp_path / "b.npy", CHANNELS)
    np.savez(tmp_path / "c.npz", images=CHANNELS.astype(np.float64) / 255)
    np.savez(tmp_path / "d.npz", CHANNELS.astype(np.float32) / 127.5 - 1)
    whole = [
        given(folder(tmp_path / "photos", COLOURS)), given(tmp_path / "a.npz"), given(tmp_path / "b.npy"),
        given(str(tmp_path / "c.npz"), pixels="0,1"), given(tmp_path / "d.npz"),
    ]  # fmt: skip
    for one in whole:
        assert one.x.shape == (6, 3, 12, 12)
        assert torch.allclose(one.x, torch.from_numpy(CHANNELS.copy()) / 127.5 - 1, atol=1e-6)
    assert whole[0].pixels is not None
    assert shown_as(whole[0].values) == "6 images 3 × 12 × 12"


@needs_pyarrow
@pytest.mark.parametrize("layout", ["file", "folder", "data"])
def test_a_table_of_datasets_is_the_same(tmp_path: Path, layout: str) -> None:
    import pyarrow
    import pyarrow.parquet

    rows = [{"bytes": png(image), "path": None} for image in COLOURS]
    place = tmp_path if layout != "data" else tmp_path / "data"
    place.mkdir(exist_ok=True)
    table = pyarrow.table({"image": rows, "label": [0, 1, 2, 0, 1, 2]})
    for k in range(2):
        pyarrow.parquet.write_table(table.slice(3 * k, 3), place / f"train-0000{k}-of-00002.parquet")
    pyarrow.parquet.write_table(table.slice(0, 2), place / "test-00000-of-00001.parquet")
    if layout == "file":
        one = given(place / "train-00001-of-00002.parquet")
        assert torch.equal(one.values, torch.from_numpy(CHANNELS[3:].copy()))
        return
    found = given(tmp_path)
    assert torch.equal(found.values, torch.from_numpy(CHANNELS.copy()))
    assert found.labels.tolist() == [0, 1, 2, 0, 1, 2]
    assert len(given(tmp_path, split="test")) == 2


def test_grey_images_have_one_channel(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=GREY)
    one, two = given(folder(tmp_path / "photos", GREY)), given(tmp_path / "a.npz")
    assert one.values.shape == (6, 1, 12, 12)
    assert torch.equal(one.values, two.values)


def test_classes_are_folders_or_an_array(tmp_path: Path) -> None:
    found = given(folder(tmp_path / "photos", COLOURS, classes=True))
    assert found.labels.tolist() == [0, 0, 0, 1, 1, 1]
    np.savez(tmp_path / "a.npz", x=COLOURS, y=np.array([2, 1, 0, 2, 1, 0]))
    assert given(tmp_path / "a.npz").labels.tolist() == [2, 1, 0, 2, 1, 0]


def test_both_splits_of_a_folder(tmp_path: Path) -> None:
    folder(tmp_path / "train", COLOURS, classes=True)
    folder(tmp_path / "val", COLOURS[:2], classes=True)
    assert len(given(tmp_path)) == 6
    assert len(given(tmp_path, split="validation")) == 2


def test_a_set_of_the_book_by_name() -> None:
    assert torch.equal(given("digits").x, data.load("digits").x)
    assert given("digits", split="test").split == "validation"
    assert given("specimens", side=8, grey=True).x.shape[1:] == (1, 8, 8)


# ------------------------------------------------------------------------------------------ brought to a form


def test_sizes_are_brought_to_a_side_only_where_it_is_said(tmp_path: Path) -> None:
    path = folder(tmp_path / "photos", COLOURS)
    Image.fromarray(GENERATOR.integers(0, 256, (20, 16, 3), dtype=np.uint8)).save(path / "9.png")
    with pytest.raises(UserError, match="9.png is 16 x 20, and .*0.png is 12 x 12; give side"):
        given(path)
    assert given(path, side=6).values.shape == (7, 3, 6, 6)
    with pytest.raises(UserError, match="too small for 14 x 14"):
        given(path, side=14)


def test_grey_and_coloured_images_together_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = folder(tmp_path / "photos", COLOURS)
    Image.fromarray(GREY[0]).save(path / "9.png")
    found = given(path)
    assert found.values.shape == (7, 3, 12, 12)
    assert "1 of 7 images are grey; they are taken as colours." in capsys.readouterr().err
    assert torch.equal(found.values[-1], torch.from_numpy(GREY[:1].repeat(3, 0)))
    assert given(path, grey=True).values.shape == (7, 1, 12, 12)


def test_grey_is_that_of_pillow(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=COLOURS)
    theirs = np.stack([np.asarray(Image.fromarray(image).convert("L")) for image in COLOURS])
    ours = given(tmp_path / "a.npz", grey=True).values.numpy()[:, 0]
    assert np.abs(ours.astype(int) - theirs).max() <= 1


def test_latents_are_left_as_they_are(tmp_path: Path) -> None:
    latents = 3 * GENERATOR.standard_normal((5, 4, 8, 8)).astype(np.float32)
    np.savez(tmp_path / "a.npz", x=latents)
    with pytest.raises(UserError, match=r"bring them to \[-1, 1\], or say as they are"):
        given(tmp_path / "a.npz")
    assert torch.equal(given(tmp_path / "a.npz", pixels="as they are").x, torch.from_numpy(latents))


def test_a_split_is_of_the_seed_alone(tmp_path: Path) -> None:
    whole = data.load("digits")
    known, unseen = split(whole, 0.1, seed=3)
    assert (len(known), len(unseen)) == (len(whole) - round(0.1 * len(whole)), round(0.1 * len(whole)))
    again = split(whole, 0.1, seed=3)
    assert torch.equal(unseen.values, again[1].values)
    assert not torch.equal(unseen.values, split(whole, 0.1, seed=4)[1].values)
    both = torch.cat([known.values, unseen.values]).flatten(1)
    assert torch.equal(both.sum(0), whole.values.flatten(1).sum(0))
    for share in (0.0, 1.0, 1e-6):
        with pytest.raises(UserError, match="share"):
            split(whole, share)


# ------------------------------------------------------------------------------------------------ bad input


def saved(path: Path, **arrays: Any) -> Path:
    np.savez(path / "a.npz", **arrays)
    return path / "a.npz"


def objects(path: Path) -> Path:
    np.savez(path / "a.npz", x=np.array([{}], dtype=object))
    return path / "a.npz"


def text(path: Path) -> Path:
    (path / "a.npz").write_text("no arrays")
    return path / "a.npz"


def other(path: Path) -> Path:
    (path / "a.txt").write_text("x")
    return path / "a.txt"


def empty(path: Path) -> Path:
    (path / "photos").mkdir()
    return path / "photos"


def damaged(path: Path) -> Path:
    found = folder(path / "photos", COLOURS)
    (found / "0.png").write_bytes(b"\x89PNG")
    return found


def no_table(path: Path) -> Path:
    (path / "a.parquet").write_bytes(b"PAR1")
    return path / "a.parquet"


F, HALVES = np.float32, np.full(6, 0.5)
BAD = {
    "nothing": (lambda path: path / "nothing", "There are no images"),
    "another file": (other, "is neither a folder nor"),
    "an empty folder": (empty, "No class folder with images"),
    "a damaged image": (damaged, "0.png is truncated or damaged"),
    "objects": (objects, "cannot be read"),
    "text": (text, "cannot be read"),
    "no images": (lambda path: saved(path, a=COLOURS, b=COLOURS), "none of them is called"),
    "two sets of images": (lambda path: saved(path, x=COLOURS, data=COLOURS), "holds x and data"),
    "labels of another number": (lambda path: saved(path, x=COLOURS, y=np.arange(5)), "a whole number each"),
    "labels that are no classes": (lambda path: saved(path, x=COLOURS, y=HALVES), "a whole number each"),
    "whole numbers": (lambda path: saved(path, x=COLOURS.astype(int)), "images are uint8"),
    "NaN": (lambda path: saved(path, x=np.full((3, 4, 4), np.nan, F)), "NaN or infinite"),
    "numbers from 0 to 1": (lambda path: saved(path, x=np.full((3, 4, 4), 0.5, F)), "if 0 is black, say"),
    "one number": (lambda path: saved(path, x=np.array(3.0)), "images are .n, h, w."),
    "nothing in it": (lambda path: saved(path, x=np.zeros((0, 4, 4), F)), "images are .n, h, w."),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_images_are_one_sentence(tmp_path: Path, name: str) -> None:
    make, words = BAD[name]
    with pytest.raises(UserError, match=words) as told:
        given(make(tmp_path))
    assert "\n" not in str(told.value)


def test_what_is_wanted_must_be_known(tmp_path: Path) -> None:
    path = folder(tmp_path / "photos", COLOURS)
    with pytest.raises(UserError, match="pixels must be one of"):
        given(path, pixels="0-255")
    with pytest.raises(UserError, match="no split 'all'"):
        given(path, split="all")
    with pytest.raises(UserError, match="has no held-out images"):
        given(path, split="validation")
    with pytest.raises(UserError, match="side must divide the 8 pixels"):
        given("digits", side=3)


@needs_pyarrow
def test_a_bad_table_is_one_sentence(tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    with pytest.raises(UserError, match="is no parquet file"):
        given(no_table(tmp_path))
    cases = {
        "has no column image": {"photo": [b"1"]}, "does not hold images": {"image": ["x"]},
        "does not hold classes": {"image": [png(GREY[0])], "label": ["cat"]},
    }  # fmt: skip
    for words, columns in cases.items():
        pyarrow.parquet.write_table(pyarrow.table(columns), tmp_path / "a.parquet")
        with pytest.raises(UserError, match=words):
            given(tmp_path / "a.parquet")


@pytest.mark.parametrize("most", [1, 16])
def test_bytes_that_are_no_grey_values_are_refused(tmp_path: Path, most: int) -> None:
    np.savez(tmp_path / "masks.npz", x=np.random.default_rng(0).integers(0, most + 1, (9, 8, 8), np.uint8))
    with pytest.raises(UserError, match=f"has bytes up to {most}, and bytes are grey values up to 255"):
        given(tmp_path / "masks.npz")


def test_folders_with_other_classes_are_refused(tmp_path: Path) -> None:
    for folder, names in (("a", "xyz"), ("b", "yz"), ("c/train", "xyz"), ("flat", "")):
        for name in names:
            (tmp_path / folder / name).mkdir(parents=True)
    (tmp_path / "flat").mkdir(exist_ok=True)
    same_classes(tmp_path / "a", tmp_path / "c")
    same_classes(tmp_path / "a", tmp_path / "flat")  # has no classes to be wrong about
    same_classes(tmp_path / "a", "digits")
    with pytest.raises(UserError, match=r"differ \(x\), so their numbers do, too"):
        same_classes(tmp_path / "a", tmp_path / "b")
