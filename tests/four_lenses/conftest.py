"""A small record of the digits, made once."""

from __future__ import annotations

from dataclasses import replace

import pytest

from diffnotes import store
from diffnotes.chapters.four_lenses import digits
from diffnotes.store.records import Record


@pytest.fixture(scope="session")
def record(tmp_path_factory: pytest.TempPathFactory) -> Record:
    """The smoke profile of the digits."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DIFFNOTES_ROOT", str(tmp_path_factory.mktemp("lenses_digits")))
        return replace(store.run(digits.EXPERIMENT, "smoke"), state="valid")
