"""The built book, and where it is served."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import build_book
import chromium
import pytest
from pages import View


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


@pytest.fixture
def opened(browser: chromium.Browser, address: str, page: str, view: View) -> chromium.Browser:
    """The browser with a page of the book in a view, loaded once for all tests that ask for it in a row."""
    browser.show(f"{address}/{page}", view.width, view.theme)
    return browser


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests of one view of a page in a row, at the end of their file."""
    files = {item.path: number for number, item in reversed(list(enumerate(items)))}

    def place(item: pytest.Item) -> tuple:
        case = item.callspec.params if hasattr(item, "callspec") else {}
        return files[item.path], (case["page"], case["view"].theme, case["view"]) if "view" in case else ()

    items.sort(key=place)
