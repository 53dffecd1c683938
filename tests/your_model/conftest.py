"""Small records of this chapter, made once."""

from __future__ import annotations

from dataclasses import replace

import pytest

from diffnotes import store
from diffnotes.chapters.your_model import cifar, own
from diffnotes.store.records import Record


@pytest.fixture(scope="session")
def record(tmp_path_factory: pytest.TempPathFactory) -> Record:
    """The smoke profile of the report on digits."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DIFFNOTES_ROOT", str(tmp_path_factory.mktemp("own_model")))
        return replace(store.run(own.EXPERIMENT, "smoke"), state="valid")


@pytest.fixture(scope="session")
def pictured(tmp_path_factory: pytest.TempPathFactory) -> Record:
    """The smoke profile of the reports on colour images."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DIFFNOTES_ROOT", str(tmp_path_factory.mktemp("own_cifar")))
        return replace(store.run(cifar.EXPERIMENT, "smoke"), state="valid")
