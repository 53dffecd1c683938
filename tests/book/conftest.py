"""The built book, a browser, and a server between them."""

from __future__ import annotations

import os
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
def browser() -> Iterator[chromium.Browser]:
    """A browser; without one the tests are skipped, but not in CI."""
    reason = chromium.missing()
    if reason and os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    if reason:
        pytest.skip(reason)
    with chromium.browser() as started:
        yield started


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    """Where the book is served."""
    with chromium.serve(site) as served:
        yield served
