"""Fingerprints are remembered only while what they come from is the same."""

from __future__ import annotations

from pathlib import Path

import pytest
import sklearn.datasets

from diffnotes.data import fingerprint, fingerprints
from diffnotes.data import sets as data


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fingerprints, "_known", {})


def test_it_is_that_of_the_data_and_found_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, n in (("digits", None), ("digits", 7), ("specimens", 5)):
        assert fingerprint(name, n) == data.load(name, n).fingerprint
    monkeypatch.setattr(data, "load", lambda *_: pytest.fail("loaded again"))
    assert fingerprint("digits", 7) != fingerprint("digits")


def test_a_patched_loader_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    before, load = fingerprint("digits"), sklearn.datasets.load_digits

    def darker(return_X_y: bool) -> tuple:
        grey, labels = load(return_X_y=return_X_y)
        return grey / 2, labels

    monkeypatch.setattr(sklearn.datasets, "load_digits", darker)
    assert fingerprint("digits") != before


def test_changed_files_are_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIFFNOTES_DATA", str(tmp_path))
    loads = []

    def load(name: str, *_: object) -> data.Dataset:
        loads.append(name)
        return data.digits()

    monkeypatch.setattr(data, "load", load)
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    for content in (b"one", b"two", b"two"):
        (folder / "data_batch_1").write_bytes(content)
        fingerprint("cifar10")
        fingerprint("cifar10")
    assert len(loads) == 3  # the third file is as long as the second, and another all the same
