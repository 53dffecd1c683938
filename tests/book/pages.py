"""What the page tests share: the pages, sizes of windows, how a page is opened and asked for its faults."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import build_pages
import chromium
import pytest
from bs4 import BeautifulSoup

PAGES = [f"{page}.html" for page in build_pages.pages()]  # below the site
PHONE, DESK = 360, 1280
PAPER = 688  # pixels of A4 between margins of 14 mm
HEAVIEST = 3_000_000  # bytes of a page with all that it loads, uncompressed
CHECKS = Path(__file__).with_name("page_checks.js").read_text(encoding="utf-8")


class View(NamedTuple):
    """The width of a window, and the theme that its reader has chosen."""

    width: int
    theme: str = "light"


def each_page(*views: View) -> Callable:
    """A test of every page in some views, with the page as `opened`. Tests of one view of a page follow each
    other and share its load (conftest.py), so they leave it as it was.
    """
    cases = [
        pytest.param(page, view, id=f"{page}-{view.width}-{view.theme}") for page in PAGES for view in views
    ]
    return pytest.mark.parametrize(("page", "view"), cases)


def show(browser: chromium.Browser, folder: Path, body: str) -> str:
    """Serve and open a page made up for a test; return the address of its host."""
    (folder / "page.html").write_text(f"<!DOCTYPE html><html><body>{body}</body></html>", encoding="utf-8")
    (folder / "favicon.ico").write_bytes(b"")
    with chromium.serve(folder) as served:
        browser.open(f"{served}/page.html")
    return served


def read(path: Path) -> BeautifulSoup:
    """A parsed page."""
    return BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")


def faults(browser: chromium.Browser, check: str) -> list[str]:
    """What one of the functions in page_checks.js finds on the open page."""
    return browser.run(f"{CHECKS}\nreturn {check}();")
