"""Small records of the digits, made once."""

from __future__ import annotations

from dataclasses import replace

import pytest

from diffnotes import store
from diffnotes.chapters import find
from diffnotes.store.records import Record


@pytest.fixture(scope="session")
def records(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Record]:
    """The smoke profile of each experiment."""
    names = ("shell_width", "supervision_region", "guidance_gap")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DIFFNOTES_ROOT", str(tmp_path_factory.mktemp("supervision")))
        return {name: replace(store.run(find(name), "smoke"), state="valid") for name in names}
