"""Small records of the Gaussian, made once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from diffnotes import store
from diffnotes.chapters.underfitting import factors, gaussian
from diffnotes.store import Record


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A place for records that are made here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DIFFNOTES_ROOT", str(tmp_path_factory.mktemp("underfitting")))
        yield


@pytest.fixture(scope="session")
def records(root: None) -> list[Record]:
    """Three seeds of the smoke profile."""
    made = (store.run(gaussian.EXPERIMENT, "smoke", seed=seed) for seed in (0, 1, 2))
    return [replace(record, state="valid") for record in made]


@pytest.fixture(scope="session")
def factorial(root: None) -> Record:
    """The smoke profile of the factors."""
    return replace(store.run(factors.EXPERIMENT, "smoke"), state="valid")
