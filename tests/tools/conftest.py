"""What the tests of a dry session share: the machine with the GPU, and the folder that comes back from it."""

from __future__ import annotations

from pathlib import Path

import gpu_dry
import pytest


@pytest.fixture
def there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, committed: None) -> Path:
    """This is the machine with the GPU, until `gpu_dry.at_home`."""
    return gpu_dry.set_up(tmp_path, monkeypatch)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"
