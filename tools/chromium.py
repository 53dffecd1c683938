"""Headless Chromium and a local web server, for the page tests and for screenshots."""

from __future__ import annotations

import functools
import http.server
import json
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from selenium import webdriver
from selenium.webdriver.chrome.service import Service

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# No window, and none of the requests that a browser makes on its own account.
FLAGS = [
    "--headless=new",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-default-apps",
    "--disable-extensions",
    "--hide-scrollbars",
    "--force-color-profile=srgb",
]
# Resolved once all scripts have run, all fonts are there and MathJax has set every formula.
SETTLED = """
const done = arguments[arguments.length - 1];
const ready = () => document.readyState === 'complete' && (!window.MathJax || MathJax.startup);
const wait = () => ready()
  ? Promise.all([document.fonts.ready, window.MathJax ? MathJax.startup.promise : null])
      .then(() => requestAnimationFrame(() => done(true)))
  : setTimeout(wait, 20);
wait();
"""
ARRIVED = "document.getAnimations().filter((e) => e instanceof CSSTransition).forEach((e) => e.finish());"


def missing() -> str:
    """Why there is no browser to drive, or ""."""
    if not any(map(shutil.which, BROWSERS)):
        return f"no Chromium on the PATH (looked for {', '.join(BROWSERS)})"
    if not shutil.which("chromedriver"):
        return "no chromedriver on the PATH (Debian's package is chromium-driver)"
    return ""


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        """Say nothing: a request is no news."""


@contextmanager
def serve(folder: Path) -> Iterator[str]:
    """Serve a folder on a free port of this machine; yield the address without a closing slash."""
    handler = functools.partial(_Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def _options(profile: str) -> webdriver.ChromeOptions:
    options = webdriver.ChromeOptions()
    options.binary_location = next(filter(None, map(shutil.which, BROWSERS)))
    for flag in [*FLAGS, f"--user-data-dir={profile}", *(["--no-sandbox"] if os.geteuid() == 0 else [])]:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    return options


class Browser:
    """One Chromium; `open` loads a page and waits until it stands still."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver
        self.driver.set_script_timeout(60)
        self._shown: tuple = ()  # what `show` left open

    def resize(self, width: int, height: int = 900) -> None:
        """Set the size of the page's window in CSS pixels, also below the least width of a real window. What
        would slide to its new place is there at once.
        """
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        self.run(ARRIVED)

    def open(self, address: str) -> None:
        """Load a page afresh; what earlier pages logged is forgotten."""
        self._shown = ()
        self.driver.get("about:blank")
        self.requests(), self.complaints()
        self.driver.get(address)
        self.driver.execute_async_script(SETTLED)

    def show(self, address: str, width: int, theme: str) -> None:
        """Have a page open at a width and in a theme. What the last `show` opened so is not loaded again: for
        those who look, and leave the page as it was.
        """
        self.resize(width)
        if self._shown == (address, width, theme):
            self.run("window.scrollTo(0, 0)")
            return
        if urlsplit(self.driver.current_url).netloc != urlsplit(address).netloc:
            self.open(address)  # where the theme is stored
        self.set_theme(theme)
        self.open(address)
        self._shown = (address, width, theme)

    def run(self, script: str, *values: object) -> Any:
        """Run JavaScript in the page and return what it returns."""
        return self.driver.execute_script(script, *values)

    def set_theme(self, theme: str) -> None:
        """Show the next pages "light" or "dark", as the reader's choice in an earlier visit would."""
        self.run("localStorage.mode = localStorage.theme = arguments[0]", theme)

    def set_media(self, media: str) -> None:
        """Show pages as on "screen" or as in "print"."""
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": media})

    def requests(self) -> list[str]:
        """Addresses asked for since the last call or the last `open`."""
        messages = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        sent = [message["params"] for message in messages if message["method"] == "Network.requestWillBeSent"]
        return [params["request"]["url"] for params in sent]

    def complaints(self) -> list[str]:
        """Errors and warnings on the console since the last call or the last `open`."""
        return [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] != "INFO"]

    def screenshot(self, path: Path) -> None:
        """The whole page as a PNG file; the window grows to the page's height, then shrinks back."""
        width, height = self.run("return [innerWidth, innerHeight]")
        self.resize(width, self.run("return document.documentElement.scrollHeight"))
        path.write_bytes(self.driver.get_screenshot_as_png())
        self.resize(width, height)


def foreign(addresses: list[str], own: str) -> list[str]:
    """The addresses that lead to another host; data and blob addresses stay inside the page."""
    host = urlsplit(own).netloc
    remote = [address for address in addresses if urlsplit(address).scheme not in ("data", "blob", "about")]
    return [address for address in remote if urlsplit(address).netloc != host]


@contextmanager
def browser(width: int = 1280) -> Iterator[Browser]:
    """Start Chromium with an empty profile and stop it in the end."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        driver = webdriver.Chrome(_options(profile), Service(shutil.which("chromedriver")))
        try:
            started = Browser(driver)
            started.resize(width)
            yield started
        finally:
            driver.quit()
            time.sleep(0.1)  # Chromium's helpers write to the profile until they are gone
