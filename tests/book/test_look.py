"""How the built pages look on phones and paper, in light and dark, and to assistive technology; their weight.

Each check is a function from a page to its faults, and each has a test that feeds it a page with that fault.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import axe
import chromium
import pytest
from pages import DESK, HEAVIEST, PAGES, PAPER, PHONE, View, each_page, faults, show

SMALL, LARGER, WIDE = View(PHONE), View(390), View(DESK)
DARK = View(DESK, "dark")


@each_page(SMALL, LARGER, WIDE)
def test_page_fits_its_window(opened: chromium.Browser, view: View) -> None:
    assert faults(opened, "stickingOut") == []
    assert opened.run("return document.documentElement.scrollWidth") <= view.width


@each_page(SMALL)
def test_what_scrolls_on_a_phone_shows_it(opened: chromium.Browser) -> None:
    assert faults(opened, "unhinted") == []


@each_page(SMALL)
def test_figures_suit_a_phone(opened: chromium.Browser) -> None:
    assert faults(opened, "tiny") == []
    assert faults(opened, "narrow") == []
    opened.resize(390)
    assert faults(opened, "unwrapped") == []


@each_page(WIDE)
def test_tables_fit_the_column_of_a_wide_page(opened: chromium.Browser) -> None:
    opened.resize(1440)
    assert faults(opened, "overfull") == []


def test_what_does_not_suit_a_phone_is_found(browser: chromium.Browser, tmp_path: Path) -> None:
    browser.resize(PHONE)
    words = '<svg viewBox="0 0 400 100" style="width: {}px"><g transform="scale(0.09 -0.09)"></g></svg>'
    box = '<div class="dn-panels" aria-label="{}" style="overflow: auto">{}</div>'
    fine, small, wide = (
        box.format(name, words.format(size)) for name, size in (("a", 360), ("b", 300), ("c", 900))
    )
    target = '<div class="dn-explore"><input id="x" type="range" style="height: 16px"></div>'
    show(browser, tmp_path, f"<style>body {{ margin: 0 }}</style><main>{fine}{small}{wide}{target}</main>")
    assert faults(browser, "tiny") == ["6.8 px: b"]
    assert faults(browser, "unwrapped") == ["900 px: c"]
    assert faults(browser, "overfull") == ["900 px: c"]
    assert faults(browser, "narrow") == ["16 px: x"]


@pytest.fixture
def paper(browser: chromium.Browser) -> Iterator[chromium.Browser]:
    """The browser as a printer."""
    browser.set_media("print")
    browser.resize(PAPER)
    yield browser
    browser.set_media("screen")


@each_page(DARK)
def test_paper_shows_all(opened: chromium.Browser, paper: chromium.Browser) -> None:
    """Printed from the dark theme, which must not reach the paper."""
    assert faults(paper, "cutOff") == []
    assert faults(paper, "pressable") == []
    assert faults(paper, "faint") == []


@pytest.mark.parametrize("overflow", ["auto", "visible"])
def test_what_paper_cuts_off_is_found(paper: chromium.Browser, tmp_path: Path, overflow: str) -> None:
    show(
        paper, tmp_path, f'<main><div style="overflow: {overflow}"><p style="width: 900px">x</p></div></main>'
    )
    assert "p." in faults(paper, "cutOff")


def loaded(browser: chromium.Browser, address: str, site: Path) -> dict[str, int]:
    """Bytes of each file that the open page has asked for."""
    paths = {unquote(urlsplit(url).path).lstrip("/") for url in browser.requests() if url.startswith(address)}
    return {path: (site / path).stat().st_size for path in paths if (site / path).is_file()}


@each_page(WIDE)
def test_page_is_light(opened: chromium.Browser, address: str, site: Path, page: str) -> None:
    opened.run("window.scrollTo(0, document.body.scrollHeight)")
    time.sleep(0.2)
    files = loaded(opened, address, site)
    assert page in files
    assert [path for path in files if "fontawesome" in path or "sphinx-design" in path] == []
    assert sum(files.values()) <= HEAVIEST, sorted((size, path) for path, size in files.items())[-4:]


def test_icons_are_drawn(browser: chromium.Browser, address: str) -> None:
    """Each icon in sight has a shape of its own, though the icon font is gone."""
    script = """return [...document.querySelectorAll('.fa-solid, .fas')].filter((e) => e.checkVisibility())
        .filter((e) => !getComputedStyle(e).maskImage.includes('svg')).map((e) => e.className)"""
    for width in (PHONE, DESK):
        browser.resize(width)
        browser.open(f"{address}/{PAGES[1]}")
        assert browser.run(script) == []


@pytest.fixture(scope="module")
def axe_core() -> str:
    """The text of axe-core."""
    return axe.script()


@each_page(LARGER, WIDE)
def test_page_is_accessible(opened: chromium.Browser, axe_core: str) -> None:
    assert axe.violations(opened, axe_core) == []


def test_inaccessible_page_is_found(browser: chromium.Browser, tmp_path: Path, axe_core: str) -> None:
    show(browser, tmp_path, '<main><button aria-label="Search">Find it</button><img src="x.png"></main>')
    found = axe.violations(browser, axe_core)
    assert [any(rule in one for one in found) for rule in ("label-content-name-mismatch", "image-alt")] == [
        True
    ] * 2


def test_unhinted_scrolling_is_found(browser: chromium.Browser, tmp_path: Path) -> None:
    browser.resize(PHONE)
    box = '<div class="dn-table" style="overflow: auto; {}"><p style="width: 600px">{}</p></div>'
    shade = "background-image: linear-gradient(red, blue)"
    show(browser, tmp_path, f"<main>{box.format('', 'bare')}{box.format(shade, 'shaded')}</main>")
    assert faults(browser, "unhinted") == ["bare"]


@pytest.mark.parametrize("clip", ["visible", "hidden"])
@pytest.mark.parametrize("side", ["left", "right"])
def test_overflow_is_found(browser: chromium.Browser, tmp_path: Path, clip: str, side: str) -> None:
    wide = '<div style="width: 600px">x</div>'
    floating = f'<p style="float: {"left" if side == "right" else "right"}; width: 600px">x</p>'
    browser.resize(PHONE)
    show(
        browser,
        tmp_path,
        f'<main style="overflow: {clip}">{floating}<div style="overflow: auto">{wide}</div></main>',
    )
    assert faults(browser, "stickingOut") == ["p."]


@each_page(WIDE, DARK)
def test_page_is_legible(opened: chromium.Browser, view: View) -> None:
    assert opened.run("return document.documentElement.dataset.theme") == view.theme
    assert faults(opened, "faint") == []


def test_faint_text_is_found(browser: chromium.Browser, tmp_path: Path) -> None:
    show(browser, tmp_path, '<main><p style="color: #999">faint</p><p>clear</p></main>')
    assert faults(browser, "faint") == ["2.8 p: faint"]
