"""A small record of the digits, and one of a Gaussian, made once."""

from __future__ import annotations

from dataclasses import replace

import pytest

from diffnotes import store
from diffnotes.chapters.loss_gap import digits, gaussian
from diffnotes.store.records import Record


def _made(experiment: store.Experiment, factory: pytest.TempPathFactory) -> Record:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DIFFNOTES_ROOT", str(factory.mktemp(experiment.name)))
        return replace(store.run(experiment, "smoke"), state="valid")


@pytest.fixture(scope="session")
def record(tmp_path_factory: pytest.TempPathFactory) -> Record:
    """The smoke profile of the digits."""
    return _made(digits.EXPERIMENT, tmp_path_factory)


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Record:
    """The smoke profile of the Gaussian."""
    return _made(gaussian.EXPERIMENT, tmp_path_factory)
