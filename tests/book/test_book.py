"""The built pages: what they load, where they link, and how they behave in a browser.

Each check is a function from a page to its faults, and each has a test that feeds it a page with that fault.
"""

from __future__ import annotations

import functools
import re
import time
from pathlib import Path
from urllib.parse import unquote, urlsplit

import chromium
import pytest
from bs4 import BeautifulSoup, Tag
from pages import DESK, PAGES, faults, read, show
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

LOADED = dict.fromkeys(["script", "img", "iframe", "source", "video", "audio"], "src") | {"link": "href"}
REMOTE_CSS = re.compile(r"""(?:@import\s+|url\()\s*["']?((?:https?:)?//[^"')\s]+)""")

# --- what the files say ---


@functools.cache
def places(path: Path, changed: int) -> frozenset[str]:
    """What links may lead to in a page, by the time of its last change; pages are large and read once."""
    return frozenset(str(tag["id"]) for tag in read(path).find_all(id=True))


def remote_sources(page: BeautifulSoup) -> list[str]:
    """What a page would load from another host, by its own markup and style."""
    loading = [tag for tag in page.find_all(list(LOADED)) if tag.get("rel") != ["canonical"]]
    addresses = [tag.get(LOADED[tag.name]) or "" for tag in loading]
    styles = [tag.get_text() for tag in page.find_all("style")] + [
        tag["style"] for tag in page.find_all(style=True)
    ]
    remote = [address for address in addresses if re.match(r"(https?:)?//", address)]
    return remote + REMOTE_CSS.findall(" ".join(styles))


def dead_links(page: BeautifulSoup, path: Path, site: Path) -> list[str]:
    """Links and sources inside the site that lead nowhere, fragments included."""
    names = [tag.get("href") or tag.get("src") for tag in page.find_all(["a", "link", "script", "img"])]
    return [name for name in names if name and not resolves(name, path, site)]


def resolves(name: str, path: Path, site: Path) -> bool:
    """Whether a link leads out of the site, or to a file (and a place in it) that exists."""
    parts = urlsplit(name)
    if parts.scheme or parts.netloc or name == "#":
        return True
    target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
    if not target.is_file() or not target.is_relative_to(site.resolve()):
        return False
    return (
        not parts.fragment
        or target.suffix != ".html"
        or unquote(parts.fragment) in places(target, target.stat().st_mtime_ns)
    )


def without_provenance(page: BeautifulSoup) -> list[str]:
    """Figures that do not say which record they show, and pictures that are in no figure at all. Sliders may
    show what no record holds.
    """
    figures = [
        figure
        for figure in page.select("figure.dn-figure:has(.dn-panels)")
        if not figure.select_one(".dn-explore") and not says_key(figure.select_one(".dn-record"))
    ]
    strays = [
        tag
        for tag in page.select(".cell_output img, .cell_output svg")
        if not tag.find_parent(class_=re.compile("^dn-"))
    ]
    return [str(tag)[:80] for tag in figures + strays]


def says_key(caption: Tag | None) -> bool:
    """Whether a caption names the record's key and profile."""
    text = caption.get_text() if caption else ""
    return "profile" in text and re.search(r"\b[0-9a-f]{8,}\b", text) is not None


@pytest.mark.parametrize("page", PAGES)
def test_markup_stays_at_home(site: Path, page: str) -> None:
    parsed = read(site / page)
    assert remote_sources(parsed) == []
    assert dead_links(parsed, site / page, site) == []
    assert without_provenance(parsed) == []


def test_stylesheets_stay_at_home(site: Path) -> None:
    sheets = list(site.rglob("*.css"))
    assert sheets
    assert [
        (sheet.name, found)
        for sheet in sheets
        if (found := REMOTE_CSS.findall(sheet.read_text(encoding="utf-8")))
    ] == []


@pytest.mark.parametrize(
    "markup",
    [
        '<script src="https://unpkg.com/x.js"></script>',
        '<link rel="stylesheet" href="//fonts.example/x.css">',
        '<img src="http://a.example/x.png">',
        "<style>@import 'https://a.example/x.css';</style>",
        '<p style="background: url(https://a.example/x.png)">x</p>',
    ],
)
def test_remote_markup_is_found(markup: str) -> None:
    assert len(remote_sources(BeautifulSoup(markup, "html.parser"))) == 1


@pytest.mark.parametrize("link", ["gone.html", "page.html#gone", "../outside.html", "#gone"])
def test_dead_link_is_found(tmp_path: Path, link: str) -> None:
    site = tmp_path / "site"
    site.mkdir()
    (tmp_path / "outside.html").write_text("x")
    (site / "page.html").write_text('<p id="here">x</p>')
    markup = f'<a href="{link}">x</a> <a href="page.html#here">x</a> <a href="https://arxiv.org">x</a>'
    assert dead_links(BeautifulSoup(markup, "html.parser"), site / "page.html", site) == [link]


@pytest.mark.parametrize(
    "markup",
    [
        '<figure class="dn-figure"><div class="dn-panels"><svg></svg></div></figure>',
        '<figure class="dn-figure"><div class="dn-panels"></div><p class="dn-record"></p></figure>',
        '<div class="cell_output"><img src="plot.png"></div>',
    ],
)
def test_figure_without_provenance_is_found(markup: str) -> None:
    assert len(without_provenance(BeautifulSoup(markup, "html.parser"))) == 1


# --- what a browser does ---


def dead_sliders(browser: chromium.Browser) -> list[str]:
    """Sliders without a name, or whose next step, taken with the keyboard, leaves the picture as it was."""
    dead = []
    for box in browser.driver.find_elements(By.CLASS_NAME, "dn-explore"):
        for slider in box.find_elements(By.CSS_SELECTOR, "input[type=range]"):
            if not slider.accessible_name or not moves(box, slider):
                dead.append(slider.accessible_name or "nameless slider")
    return dead


def moves(box, slider, patience: float = 3.0) -> bool:
    """Whether one step of the slider changes the picture in its box within `patience` seconds."""
    before, key = picture(box), Keys.ARROW_LEFT if at_end(slider) else Keys.ARROW_RIGHT
    slider.send_keys(key)
    give_up = time.monotonic() + patience
    while picture(box) == before:
        if time.monotonic() > give_up:
            return False
        time.sleep(0.05)
    return True


def at_end(slider) -> bool:
    """Whether a step to the right is impossible."""
    return float(slider.get_attribute("value")) >= float(slider.get_attribute("max"))


def picture(box) -> list[bytes]:
    """What the box's pictures look like now."""
    found = box.find_elements(By.CSS_SELECTOR, "img, canvas, svg")
    return [element.screenshot_as_png for element in found if element.is_displayed()]


@pytest.mark.parametrize("page", PAGES)
def test_page_in_a_browser(browser: chromium.Browser, address: str, page: str) -> None:
    browser.resize(DESK)
    browser.open(f"{address}/{page}")
    asked = browser.requests()
    assert f"{address}/{page}" in asked
    assert chromium.foreign(asked, address) == []
    assert browser.complaints() == []
    assert faults(browser, "rawFormulas") == []


def test_theme_button_switches(browser: chromium.Browser, address: str) -> None:
    browser.resize(DESK)
    browser.open(f"{address}/{PAGES[0]}")
    grounds = set()
    for _ in range(3):  # the button goes round light, dark and the system's choice
        browser.driver.find_element(By.CSS_SELECTOR, "main .theme-switch-button").click()
        grounds.add(browser.run("return getComputedStyle(document.body).backgroundColor"))
    assert len(grounds) == 2


def test_sliders_change_their_pictures(browser: chromium.Browser, address: str) -> None:
    browser.resize(DESK)
    seen = 0
    for page in PAGES:
        browser.open(f"{address}/{page}")
        seen += len(browser.driver.find_elements(By.CSS_SELECTOR, ".dn-explore input[type=range]"))
        assert dead_sliders(browser) == []
    assert seen > 0


def test_remote_request_is_found(browser: chromium.Browser, tmp_path: Path) -> None:
    script = (
        "const s = document.createElement('img'); s.src = 'http://cdn.invalid/x.png'; document.body.append(s)"
    )
    own = show(browser, tmp_path, f"<script>{script}</script>")
    assert chromium.foreign(browser.requests(), own) == ["http://cdn.invalid/x.png"]


@pytest.mark.parametrize("script", ["throw Error('boom')", "console.error('boom')", "console.warn('boom')"])
def test_console_message_is_found(browser: chromium.Browser, tmp_path: Path, script: str) -> None:
    show(browser, tmp_path, f"<script>{script}</script>")
    assert any("boom" in message for message in browser.complaints())


@pytest.mark.parametrize(
    "body", [r"<p>\(x_t\)</p>", r'<span class="math">x_t</span>', "<mjx-merror>Undefined</mjx-merror>"]
)
def test_raw_formula_is_found(browser: chromium.Browser, tmp_path: Path, body: str) -> None:
    show(browser, tmp_path, body + r"<pre>\(shown on purpose\)</pre>")
    assert len(faults(browser, "rawFormulas")) == 1


def test_dead_slider_is_found(browser: chromium.Browser, tmp_path: Path) -> None:
    box = """<div class="dn-explore"><img width="9" height="9" src="data:image/svg+xml;utf8,<svg/>">
        <label>{name} <input type="range" min="0" max="3" value="0" oninput="{action}"></label></div>"""
    paint = "this.closest('div').querySelector('img').style.background = 'red'"
    boxes = [("dead", ""), ("live", paint), ("", paint)]
    show(browser, tmp_path, "".join(box.format(name=name, action=action) for name, action in boxes))
    assert dead_sliders(browser) == ["dead", "nameless slider"]
