"""Datasets: values, splits, subsets, fingerprints, and one clear sentence for every foreseeable mistake."""

from __future__ import annotations

import dataclasses
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from diffnotes.base.errors import UserError
from diffnotes.data import decoding, fingerprint, specimens
from diffnotes.data import sets as data

REAL = os.environ.get("DIFFNOTES_DATA", "")
REAL_CIFAR = Path(REAL) / "cifar-10-batches-py"
needs_cifar = pytest.mark.skipif(
    not (REAL and REAL_CIFAR.is_dir()), reason="set DIFFNOTES_DATA to a folder that holds cifar-10-batches-py"
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty data folder of this test's own; the real one stays untouched."""
    monkeypatch.setenv("DIFFNOTES_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


def sentence(error: pytest.ExceptionInfo[UserError], *parts: object) -> None:
    text = str(error.value)
    assert text.endswith(".")
    assert "\n" not in text
    for part in parts:
        assert str(part) in text


# ------ what every set has


@pytest.mark.parametrize("name", ["digits", "circle", "gaussian"])
@pytest.mark.parametrize("split", ["train", "validation"])
def test_types_shapes_and_repeatability(name: str, split: str) -> None:
    one, two = data.load(name, 7, split, seed=3), data.load(name, 7, split, seed=3)
    assert one.x.dtype == torch.float32
    assert one.labels.dtype == torch.int64
    assert len(one) == len(one.x) == len(one.labels) == 7
    assert torch.equal(one.x, two.x)
    assert one.fingerprint == two.fingerprint
    assert one.pixels is None


def test_a_dataset_is_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        data.load("circle").name = "square"  # type: ignore[misc]


def test_val_and_test_are_names_of_the_held_out_split() -> None:
    prints = {data.load("digits", split=split).fingerprint for split in ("validation", "val", "test")}
    assert len(prints) == 1
    assert data.load("digits").fingerprint not in prints


def test_fingerprint_sees_type_shape_values_and_labels() -> None:
    x, labels = torch.arange(12, dtype=torch.float32).reshape(6, 2), torch.zeros(6, dtype=torch.int64)
    changed = x.clone()
    changed[5, 1] += 1e-6 * 11
    variants = [
        data.Dataset("a", "train", x, labels),
        data.Dataset("a", "train", x.to(torch.float64), labels),
        data.Dataset("a", "train", x.reshape(6, 2, 1), labels),
        data.Dataset("a", "train", changed, labels),
        data.Dataset("a", "train", x, labels + torch.tensor([0, 0, 0, 0, 0, 1])),
        data.Dataset("a", "train", x.to(torch.uint8), labels),
    ]
    assert len({variant.fingerprint for variant in variants}) == len(variants)
    assert data.Dataset("b", "train", x.clone(), labels).fingerprint == variants[0].fingerprint
    strided = torch.stack([x, x], dim=2)[..., 0]
    assert data.Dataset("a", "train", strided, labels).fingerprint == variants[0].fingerprint


def test_pixels_become_x_exactly() -> None:
    pixels = torch.arange(256, dtype=torch.uint8).reshape(4, 1, 8, 8)
    made = data.Dataset("grey", "train", pixels, torch.zeros(4, dtype=torch.int64))
    assert made.pixels is pixels
    expected = np.arange(256, dtype=np.float32) / np.float32(127.5) - np.float32(1)
    assert np.array_equal(made.x.numpy().ravel(), expected)
    assert (made.x.min(), made.x.max()) == (-1, 1)
    assert torch.equal(pixels.ravel(), torch.arange(256, dtype=torch.uint8))  # x is a copy


# ------ subsets


def test_smaller_subsets_are_parts_of_larger_ones() -> None:
    large, small = data.load("digits", 100, seed=5), data.load("digits", 10, seed=5)
    assert torch.equal(large.x[:10], small.x)
    assert torch.equal(large.labels[:10], small.labels)
    assert data.load("digits", 10, seed=6).fingerprint != small.fingerprint


def test_the_permutation_is_fixed_for_good() -> None:
    # Literal values: a subset must not change with the version of numpy, or pinned records would lie.
    assert data.permutation(10, 0).tolist() == [0, 2, 9, 1, 8, 5, 4, 3, 6, 7]
    assert sorted(data.permutation(1000, 7).tolist()) == list(range(1000))


def test_all_of_a_set_keeps_its_stored_order() -> None:
    from sklearn.datasets import load_digits

    grey, labels = load_digits(return_X_y=True)
    train, held_out = data.load("digits"), data.load("digits", split="validation")
    assert (len(train), len(held_out)) == (1198, 599)
    assert np.array_equal(held_out.x.reshape(599, 64).numpy(), grey[2::3] / 8 - 1)
    assert np.array_equal(held_out.labels.numpy(), labels[2::3])
    assert train.x.shape == (1198, 1, 8, 8)
    assert (train.x.min(), train.x.max()) == (-1, 1)
    both = np.concatenate([train.x.numpy(), held_out.x.numpy()]).reshape(-1, 64)
    assert np.array_equal(np.sort(both, axis=0), np.sort(grey / 8 - 1, axis=0))


# ------ toys


@pytest.mark.parametrize("n", [1, 8, 10, 15])
def test_circle_validation_lies_midway(n: int) -> None:
    train, held_out = (data.load("circle", n, split).x.double() for split in ("train", "validation"))
    for points in (train, held_out):
        assert torch.allclose(points.norm(dim=1), torch.tensor(10.0).double(), rtol=1e-6)
    if n > 1:
        following = train.roll(-1, dims=0)
        middle = train + following
        assert torch.allclose(held_out, 10 * middle / middle.norm(dim=1, keepdim=True), atol=1e-5)
    else:
        assert torch.allclose(held_out, -train, atol=1e-5)


def test_random_circle_is_the_frozen_legacy_stream() -> None:
    train, held_out = (data.load("circle", 20, split, layout="random").x for split in ("train", "val"))
    turns = np.random.RandomState(0).rand(40) * 2 * np.pi
    angles = np.concatenate([held_out, train]).astype(float)
    assert np.allclose(np.arctan2(angles[:, 1], angles[:, 0]) % (2 * np.pi), turns, atol=1e-6)
    assert data.load("circle", 20, seed=1, layout="random").fingerprint != data.load("circle", 20).fingerprint


def test_gaussian_has_the_stated_covariance() -> None:
    made = data.load("gaussian", 40_000, dimension=6, decay=1.5, seed=2)
    variances = data.spectrum(6, 1.5)
    assert torch.allclose(variances, torch.tensor([k**-1.5 for k in range(1, 7)]).double())
    covariance = torch.cov(made.x.double().T)
    scale = torch.sqrt(variances[:, None] * variances[None])
    assert ((covariance - torch.diag(variances)) / scale).abs().max() < 5 * (2 / 40_000) ** 0.5
    assert (made.x.mean(0) / variances.sqrt()).abs().max() < 5 / 40_000**0.5


def test_gaussian_draws_are_nested_and_splits_differ() -> None:
    assert data.load("gaussian").x.shape == (100, 20)
    assert torch.equal(data.load("gaussian", 50).x[:20], data.load("gaussian", 20).x)
    draws = [data.load("gaussian", 20, "val").x, data.load("gaussian", 20, seed=1).x]
    assert not any(torch.equal(data.load("gaussian", 20).x, other) for other in draws)


# ------ specimens


@pytest.mark.parametrize(
    ("name", "split", "shape", "fingerprint"),
    [
        ("specimens", "train", (2080, 3, 32, 32), "25a4273a331154ae"),
        ("specimens", "val", (2080, 3, 32, 32), "3a4aacf52d3bd487"),
        ("specimens64", "train", (40, 3, 64, 64), "a4f4d7e26440e0e4"),
        ("specimens64", "val", (520, 3, 64, 64), "195acb461de94828"),
    ],
)
def test_specimens_are_the_same_everywhere(name, split, shape, fingerprint) -> None:
    made = data.load(name, split=split)
    assert made.pixels is not None
    assert tuple(made.pixels.shape) == shape
    assert made.fingerprint.startswith(fingerprint)
    assert torch.bincount(made.labels).tolist() == [shape[0] // 10] * 10
    assert 0.4 < made.x.std() < 0.5
    assert torch.unique(made.pixels.flatten(1), dim=0).shape[0] == shape[0]


def test_specimens_do_not_need_a_data_folder(folder: Path) -> None:
    folder.rmdir()
    data.load("specimens64")
    data.load("specimens")
    assert not folder.exists()


def test_specimen_files_are_of_many_kinds() -> None:
    made = [specimens.file("validation", number) for number in range(40)]
    assert {image.mode for image in made} == {"RGB", "L", "P"}
    assert {image.size for image in made} == {(w, h) for h, w in specimens.SIZES}
    larger = [image for image in made if image.size != (64, 64)]
    assert {image.mode for image in larger} == {"RGB", "L", "P"}


# ------ mistakes


@pytest.mark.parametrize(
    ("arguments", "settings", "parts"),
    [
        (("cifar",), {}, ("'cifar'", "cifar10")),
        (("digits", 10, "dev"), {}, ("'dev'", "validation")),
        (("digits", 1199), {}, ("1199", "1198", "digits")),
        (("digits", 0), {}, ("n must", "0")),
        (("digits", True), {}, ("n must", "True")),
        (("digits", 5, "train", -1), {}, ("seed", "-1")),
        (("digits",), {"layout": "random"}, ("'layout'", "it has none")),
        (("circle",), {"radius": 3}, ("'radius'", "layout")),
        (("circle",), {"layout": "square"}, ("'square'", "equispaced")),
        (("gaussian",), {"dimension": 0}, ("dimension", "0")),
        (("gaussian",), {"decay": -1.0}, ("decay", "-1.0")),
    ],
)
def test_mistakes_are_one_sentence(arguments: tuple, settings: dict, parts: tuple) -> None:
    with pytest.raises(UserError) as error:
        data.load(*arguments, **settings)
    sentence(error, *parts)


def test_data_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("DIFFNOTES_DATA", raising=False)
    assert data.data_folder() == tmp_path / "diffnotes" / "data"
    monkeypatch.setenv("DIFFNOTES_DATA", "~/pictures")
    assert data.data_folder() == Path.home() / "pictures"


# ------ CIFAR-10 through torchvision


def test_import_is_light() -> None:
    code = "import sys, diffnotes.data; print([m for m in ('torchvision', 'sklearn') if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True
    )
    assert done.stdout.strip() == "[]"


def test_torchvision_works_through_the_guard() -> None:
    torchvision = data.load_torchvision()
    assert data.load_torchvision() is torchvision
    assert torchvision.utils.make_grid(torch.zeros(4, 3, 8, 8)).shape == (3, 12, 42)
    from torchvision.transforms.v2 import functional  # once the guard has run, a plain import works

    assert functional.resize(torch.zeros(3, 8, 8), [4, 4], antialias=True).shape == (3, 4, 4)


def test_the_guard_leaves_other_errors_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(name: str) -> None:
        raise RuntimeError("no space left on device")

    monkeypatch.setattr(data.importlib, "import_module", broken)
    with pytest.raises(RuntimeError, match="no space left"):
        data.load_torchvision()


def fake_cifar(root: Path) -> Path:
    """The official layout with invented content: every file is there, none has the official md5."""
    target = root / "cifar-10-batches-py"
    target.mkdir(parents=True)
    for name in [*(f"data_batch_{k}" for k in range(1, 6)), "test_batch", "batches.meta"]:
        content = {"data": np.zeros((2, 3072), np.uint8), "labels": [0, 1], "label_names": ["a", "b"]}
        (target / name).write_bytes(pickle.dumps(content))
    return target


def test_cifar_missing(folder: Path) -> None:
    with pytest.raises(UserError) as error:
        data.load("cifar10")
    sentence(error, folder / "cifar-10-batches-py", "diffnotes fetch cifar10", "DIFFNOTES_DATA")


def test_cifar_missing_batch_is_named(folder: Path) -> None:
    fake_cifar(folder)
    (folder / "cifar-10-batches-py" / "data_batch_1").unlink()
    with pytest.raises(UserError) as error:
        data.load("cifar10")
    sentence(error, folder / "cifar-10-batches-py" / "data_batch_1", "missing", "diffnotes fetch cifar10")


def test_cifar_that_may_not_be_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_cifar(folder)
    data.load_torchvision()
    plain = open

    def denied(path: object, *words: object, **settings: object) -> object:
        if str(path).endswith("data_batch_1"):  # permissions do not bind an administrator
            raise PermissionError(13, "Permission denied", str(path))
        return plain(path, *words, **settings)

    for module in ("builtins", "io"):
        monkeypatch.setattr(f"{module}.open", denied)
    with pytest.raises(UserError) as error:
        data.load("cifar10")
    sentence(error, "data_batch_1", "Permission denied")


def test_cifar_with_wrong_content_is_refused(folder: Path) -> None:
    fake_cifar(folder)
    with pytest.raises(UserError) as error:
        data.load("cifar10", split="test")
    sentence(error, folder / "cifar-10-batches-py" / "data_batch_1", "md5", "diffnotes fetch cifar10")


@needs_cifar
def test_real_cifar() -> None:
    train, held_out = data.load("cifar10"), data.load("cifar10", split="test")
    assert train.pixels is not None
    assert train.pixels.shape == (50_000, 3, 32, 32)
    assert held_out.values.shape == (10_000, 3, 32, 32)
    assert torch.bincount(train.labels).tolist() == [5000] * 10
    assert torch.bincount(held_out.labels).tolist() == [1000] * 10
    with open(REAL_CIFAR / "data_batch_3", "rb") as file:
        batch = pickle.load(file, encoding="bytes")
    red, green, blue = np.split(batch[b"data"][17], 3)  # the format: 1024 red, then green, then blue values
    planes = np.stack([red, green, blue]).reshape(3, 32, 32)
    assert np.array_equal(train.pixels[20_017].numpy(), planes)
    assert int(train.labels[20_017]) == batch[b"labels"][17]
    assert train.fingerprint == "119142bcc1439a38c642ccf0a44af1e7206c9bc2e722be2a5f54f98d74df5f8f"
    small = data.load("cifar10", 64, seed=1)
    assert torch.equal(small.x, data.load("cifar10", 128, seed=1).x[:64])


@needs_cifar
def test_one_damaged_byte_in_cifar_is_found(folder: Path) -> None:
    copy = folder / "cifar-10-batches-py"
    shutil.copytree(REAL_CIFAR, copy)
    content = bytearray((copy / "data_batch_4").read_bytes())
    content[1_000_000] ^= 1
    (copy / "data_batch_4").write_bytes(content)
    with pytest.raises(UserError) as error:
        data.load("cifar10")
    sentence(error, copy / "data_batch_4", "damaged")


# ------ folders of images


def save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def picture(seed: int, height: int = 64, width: int = 64) -> np.ndarray:
    return np.random.Generator(np.random.PCG64(seed)).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.fixture
def tiny(folder: Path) -> Path:
    """Tiny ImageNet's layout with two classes; file names chosen so that order matters."""
    root = folder / "tiny-imagenet-200"
    for label, wnid in enumerate(["n01", "n02"]):
        for k in (0, 1, 10):
            save(root / "train" / wnid / "images" / f"{wnid}_{k}.png", picture(10 * label + k))
    rows = []
    for k in range(3):
        save(root / "val" / "images" / f"val_{k}.png", picture(100 + k))
        rows.append(f"val_{k}.png\tn0{2 - k % 2}\t0\t0\t62\t62\n")
    (root / "val" / "val_annotations.txt").write_text("".join(reversed(rows)))
    return root


def test_tiny_imagenet_layout(tiny: Path) -> None:
    train, held_out = data.load("imagenet64"), data.load("imagenet64", split="val")
    assert train.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert held_out.labels.tolist() == [1, 0, 1]
    for index, seed in enumerate([0, 1, 10, 10, 11, 20]):
        assert np.array_equal(train.values[index].numpy(), picture(seed).transpose(2, 0, 1))
    assert np.array_equal(held_out.values[2].numpy(), picture(102).transpose(2, 0, 1))
    assert train.x.shape == (6, 3, 64, 64)


def numbered(folder: Path, wnid: str, numbers: dict[int, int]) -> None:
    """Training files with these numbers, each a picture of this seed."""
    for number, seed in numbers.items():
        save(folder / "train" / wnid / "images" / f"{wnid}_{number}.png", picture(seed))


def test_all_are_the_held_out_images_and_the_first_of_each_class(tiny: Path) -> None:
    numbered(tiny, "n01", {2: 102, 9: 9})  # number 2 repeats a held-out image
    numbered(tiny, "n02", {0: 9, 3: 13})  # number 0 repeats one of another class
    found = data.load("imagenet64", split="all", per_class=3)
    expected = [100, 101, 102, 0, 1, 9, 11, 13, 20]
    for place, seed in enumerate(expected):
        assert np.array_equal(found.values[place].numpy(), picture(seed).transpose(2, 0, 1)), place
    assert found.labels.tolist() == [1, 0, 1, 0, 0, 0, 1, 1, 1]
    assert (len(found), found.split) == (9, "all")
    assert len(data.load("imagenet64", split="all")) == 10  # and number 10 of the first class


def test_a_complete_folder_and_its_first_images_are_the_same_set(tiny: Path) -> None:
    numbered(tiny, "n01", {2: 2})
    complete = data.load("imagenet64", split="all", per_class=2).fingerprint
    for wnid, number in (("n01", 2), ("n01", 10), ("n02", 10)):
        (tiny / "train" / wnid / "images" / f"{wnid}_{number}.png").unlink()
    assert data.load("imagenet64", split="all", per_class=2).fingerprint == complete
    assert fingerprint("imagenet64", None, "all", 0, per_class=2) == complete
    assert fingerprint("imagenet64", None, "all", 0, per_class=1) != complete


@pytest.mark.parametrize(
    ("settings", "parts"),
    [
        ({"split": "all", "per_class": 4}, ["n01", "3 different images", "per_class = 4"]),
        ({"split": "train", "per_class": 2}, ["per_class", "'all'"]),
        ({"split": "all", "per_class": -1}, ["per_class", "-1"]),
        ({"split": "all", "per_class": True}, ["per_class", "True"]),
    ],
)
def test_mistakes_with_the_first_images_of_each_class(tiny: Path, settings: dict, parts: list[str]) -> None:
    with pytest.raises(UserError) as error:
        data.load("imagenet64", **settings)
    sentence(error, *parts)


@pytest.mark.parametrize("name", ["digits", "circle", "cifar10"])
def test_other_sets_have_no_split_of_all(name: str) -> None:
    with pytest.raises(UserError) as error:
        data.load(name, split="all")
    sentence(error, "imagenet64", "'all'")


def test_image_cache_is_used_and_follows_the_files(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = data.load("imagenet64").fingerprint
    caches = list((tiny.parent / ".diffnotes-cache").iterdir())
    assert [path.suffix for path in caches] == [".npy"]  # and no temporary file beside it
    with monkeypatch.context() as patch:
        patch.setattr(decoding, "decode", None)  # a second load must not decode
        assert data.load("imagenet64").fingerprint == first
    save(tiny / "train" / "n01" / "images" / "n01_1.png", picture(77))
    assert data.load("imagenet64").fingerprint != first


def test_a_write_into_the_pixels_never_reaches_the_cache(tiny: Path) -> None:
    loaded = data.load("imagenet64")
    before = loaded.fingerprint
    loaded.values.zero_()
    assert data.load("imagenet64").fingerprint == before


def test_cache_of_a_read_only_folder_goes_to_the_user(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data.os, "access", lambda *_: False)  # permissions do not bind an administrator
    data.load("imagenet64")
    assert len(list((tmp_path / "cache" / "diffnotes" / "images").glob("*.npy"))) == 1
    assert not (tiny.parent / ".diffnotes-cache").exists()


def test_crop_and_box_filter(folder: Path, tmp_path: Path) -> None:
    wide = picture(1, height=128, width=200)
    save(tmp_path / "photos" / "a" / "wide.png", wide)
    square = wide[:, 36:164].astype(float)
    boxes = square.reshape(64, 2, 64, 2, 3).mean((1, 3))
    loaded = data.load("imagenet64", folder=str(tmp_path / "photos"))
    assert np.abs(loaded.values[0].permute(1, 2, 0).numpy() - boxes).max() <= 1


def test_grey_images_become_three_equal_planes(folder: Path) -> None:
    save(folder / "photos" / "a" / "grey.png", picture(1)[..., 0])
    planes = data.load("imagenet64", folder="photos").values[0]
    assert torch.equal(planes[0], planes[1])
    assert torch.equal(planes[0], planes[2])


def test_truncated_image_is_named_and_no_cache_is_left(tiny: Path) -> None:
    bad = tiny / "train" / "n02" / "images" / "n02_1.png"
    bad.write_bytes(bad.read_bytes()[:2000])
    with pytest.raises(UserError) as error:
        data.load("imagenet64")
    sentence(error, bad, "truncated or damaged")
    assert list((tiny.parent / ".diffnotes-cache").iterdir()) == []


def test_image_folder_mistakes(tiny: Path, folder: Path) -> None:
    with pytest.raises(UserError) as error:
        data.load("imagenet64", folder="nowhere")
    sentence(error, folder / "nowhere", "DIFFNOTES_DATA")
    (folder / "empty").mkdir()
    with pytest.raises(UserError) as error:
        data.load("imagenet64", folder="empty")
    sentence(error, folder / "empty", ".png")
    save(folder / "flat" / "a" / "one.png", picture(1))
    with pytest.raises(UserError) as error:
        data.load("imagenet64", split="val", folder="flat")
    sentence(error, folder / "flat", "split='train'")
    save(folder / "small" / "a" / "one.png", picture(1, 32, 32))
    with pytest.raises(UserError) as error:
        data.load("imagenet64", folder="small")
    sentence(error, "one.png", "32 x 32")
    (tiny / "val" / "images" / "val_1.png").unlink()
    with pytest.raises(UserError) as error:
        data.load("imagenet64", split="val")
    sentence(error, "val_1.png")
    (tiny / "val" / "val_annotations.txt").write_text("val_0.png n01\n")
    with pytest.raises(UserError) as error:
        data.load("imagenet64", split="val")
    sentence(error, "val_annotations.txt", "damaged")


def test_shrunk_images_are_box_averages() -> None:
    digits = data.load("digits", n=5)
    small = data.shrunk(digits, 4)
    assert small.x.shape == (5, 1, 4, 4)
    assert torch.allclose(small.x[2, 0, 1, 3], digits.x[2, 0, 2:4, 6:8].mean())
    assert data.shrunk(digits, 0) is digits
    assert small.fingerprint != digits.fingerprint
    with pytest.raises(UserError, match="side must divide the 8 pixels of digits"):
        data.shrunk(digits, 3)
