"""The built book, and where it is served."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import build_book
import chromium
import pytest


@pytest.fixture(scope="session")
def site() -> Path:
    """The built book; built once, unless pages of the present inputs are there."""
    try:
        return build_book.build(if_stale=True)
    except build_book.BuildError as error:
        pytest.fail(str(error), pytrace=False)


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    """Where the book is served."""
    with chromium.serve(site) as served:
        yield served
