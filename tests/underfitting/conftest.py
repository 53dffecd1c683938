"""Small records of the Gaussian, made once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from diffnotes import store
from diffnotes.chapters.underfitting import factors, gaussian
from diffnotes.store import Experiment, Record


def made(factory: pytest.TempPathFactory, experiment: Experiment, **settings: Any) -> Record:
    """A record of the smoke profile, made in a folder of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DIFFNOTES_ROOT", str(factory.mktemp("underfitting")))
        return replace(store.run(experiment, "smoke", **settings), state="valid")


@pytest.fixture(scope="session")
def records(tmp_path_factory: pytest.TempPathFactory) -> list[Record]:
    """Three seeds of the smoke profile."""
    return [made(tmp_path_factory, gaussian.EXPERIMENT, seed=seed) for seed in (0, 1, 2)]


@pytest.fixture(scope="session")
def factorial(tmp_path_factory: pytest.TempPathFactory) -> Record:
    """The smoke profile of the factors."""
    return made(tmp_path_factory, factors.EXPERIMENT)
