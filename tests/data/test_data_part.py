"""A part of a data set gives what the whole gives, bit for bit, or a sentence; never other images."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import gpu_data
import numpy as np
import pytest
import torch

from diffnotes import data, store
from diffnotes.base.errors import UserError
from diffnotes.chapters.gap import cifar as cifar_gap
from diffnotes.chapters.gap import digits as digits_gap
from diffnotes.chapters.memorization import cifar, digits
from diffnotes.data import part as data_part
from diffnotes.data import sets

REAL = os.environ.get("DIFFNOTES_DATA", "")
SETTINGS = {"dataset": "cifar10", "side": 8}  # of the twin of cifar_gap, to have it on colour images


def made_up(split: str = "train") -> data.Dataset:
    """A CIFAR-10 of 300 and 120 random images."""
    count = 300 if split == "train" else 120
    pixels = np.random.default_rng(count).integers(0, 256, (count, 3, 32, 32), np.uint8)
    return data.Dataset("cifar10", split, torch.from_numpy(pixels), torch.arange(count) % 10)


@pytest.fixture(params=["made up", "real"])
def whole(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole set, where it lies; for the real one DIFFNOTES_DATA must hold it."""
    if request.param == "made up":
        monkeypatch.setitem(sets.STORED, "cifar10", made_up)
        monkeypatch.setenv("DIFFNOTES_DATA", str(tmp_path / "none"))
    elif not (Path(REAL) / "cifar-10-batches-py").is_dir():
        pytest.skip("set DIFFNOTES_DATA to a folder that holds cifar-10-batches-py")
    monkeypatch.setenv("DIFFNOTES_ROOT", str(tmp_path / "whole"))


@pytest.fixture
def part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder with only the first 40 training images of seeds 0 and 1, and 40 held-out ones."""
    monkeypatch.setitem(sets.STORED, "cifar10", made_up)
    monkeypatch.setenv("DIFFNOTES_DATA", str(tmp_path / "none"))
    spec = cifar_gap.EXPERIMENT.twin.replace(**SETTINGS)
    gpu_data.bring([("cifar_gap", spec)], tmp_path / "part")
    monkeypatch.setenv("DIFFNOTES_DATA", str(tmp_path / "part"))
    return tmp_path / "part"


def same(one: data.Dataset, two: data.Dataset) -> bool:
    return (
        torch.equal(one.x, two.x)
        and torch.equal(one.labels, two.labels)
        and (one.name, one.split, one.fingerprint) == (two.name, two.split, two.fingerprint)
    )


def test_what_is_drawn_is_that_of_the_whole_set(part: Path) -> None:
    for n, split, seed in ((40, "train", 0), (40, "train", 1), (7, "train", 1), (40, "test", 0)):
        whole = made_up(sets.SPLITS[split])
        drawn = sets.subset(whole, n, seed)
        assert same(data.load("cifar10", n, split, seed), drawn)
    for split in ("train", "test"):
        here = data.load("cifar10", split=split)
        assert here.fingerprint == made_up(sets.SPLITS[split]).fingerprint
        assert len(here) == len(made_up(sets.SPLITS[split]))


@pytest.mark.parametrize(("n", "seed"), [(41, 0), (1, 2), (300, 0)])
def test_an_image_that_is_not_there_is_an_error(part: Path, n: int, seed: int) -> None:
    with pytest.raises(UserError, match=r"of the samples asked for are not in the part .* bring a part"):
        data.load("cifar10", n, seed=seed)


@pytest.mark.parametrize("name", ["x", "values", "labels", "pixels"])
def test_all_images_are_not_there(part: Path, name: str) -> None:
    with pytest.raises(UserError, match=r"\(\d+ of 300\)"):
        getattr(data.load("cifar10"), name)


def test_other_mistakes_are_the_same(part: Path) -> None:
    with pytest.raises(UserError, match="n = 301 is more than the 300 samples"):
        data.load("cifar10", 301)
    with pytest.raises(UserError, match="has no setting 'folder'"):
        data.load("cifar10", folder="x")
    with pytest.raises(AttributeError):
        data.load("cifar10").nothing  # noqa: B018


def test_the_whole_set_goes_first(part: Path) -> None:
    (part / "cifar-10-batches-py").mkdir()
    assert len(data.load("cifar10").x) == 300


def test_a_damaged_part_is_refused(part: Path) -> None:
    path = data_part.file_of(part, "cifar10")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match="is damaged; bring it again"):
        data.load("cifar10", 4)


def test_a_split_that_was_not_brought_is_an_error(part: Path) -> None:
    only = data_part.find(part, "cifar10", "train")
    assert only is not None
    data_part.write(part, "cifar10", {"train": only})
    with pytest.raises(UserError, match="has nothing of the validation split"):
        data.load("cifar10", 4, "test")


@pytest.mark.usefixtures("whole")
def test_a_record_from_the_part_is_the_same_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right = store.run(cifar_gap.EXPERIMENT, "smoke", **SETTINGS)
    spec = cifar_gap.EXPERIMENT.spec(**right.spec)
    gpu_data.bring([("cifar_gap", spec)], tmp_path / "part")
    monkeypatch.setenv("DIFFNOTES_DATA", str(tmp_path / "part"))
    monkeypatch.setenv("DIFFNOTES_ROOT", str(tmp_path / "there"))
    ours = store.run(cifar_gap.EXPERIMENT, "smoke", **SETTINGS)
    assert ours.folder != right.folder
    assert ours.key == right.key
    assert (ours.folder / "arrays.npz").read_bytes() == (right.folder / "arrays.npz").read_bytes()


@pytest.mark.parametrize(
    ("experiment", "using"),
    [
        (digits.EXPERIMENT, "cifar"),  # the same computation as that of the experiment on CIFAR-10
        (digits_gap.EXPERIMENT, "cifar_gap"),
    ],
)
def test_what_a_run_loads_is_what_it_is_said_to_use(
    experiment: store.Experiment, using: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, load = [], data.load

    def noted(name: str, n: int | None = None, split: str = "train", seed: int = 0) -> data.Dataset:
        asked.append((name, sets.SPLITS[split], n, seed))
        return load(name, n, split, seed)

    monkeypatch.setattr(data, "load", noted)
    experiment.compute(experiment.twin, store.Work(tmp_path))
    assert {use for use in asked if use[2] is not None} == gpu_data.uses([(using, experiment.twin)])
    assert all(n is not None for _, _, n, _ in asked)


def test_the_paper_records_use_a_small_part() -> None:
    specs = [
        ("cifar", cifar.EXPERIMENT.profiles["paper"]),
        ("cifar_gap", cifar_gap.EXPERIMENT.profiles["paper"]),
    ]
    for name, spec in specs:
        asked = gpu_data.uses([(name, spec)])
        assert all(n <= (4096 if split == "train" else 10_000) for _, split, n, _ in asked)
    wider = replace(specs[0][1], seeds=(0, 5))
    assert {seed for _, split, _, seed in gpu_data.uses([("cifar", wider)]) if split == "train"} == {0, 5}
