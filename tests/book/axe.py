"""axe-core, the accessibility checker, and what it finds on an open page.

It is a script, so it comes out of a pinned package by pip, whose other parts (and their own needs) stay out.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import build_book
import chromium
import pytest

PACKAGE = "axe-playwright-python==0.1.8"  # brings axe-core 4.12.1
DIGEST = "84494fec757e4710dc751c8d7a636e457f4532f08f85c86dc9070133fbff53bc"  # of its script
GRAVE = ("serious", "critical")
# Experimental in axe-core, and asked for here: what is seen on a button is what a voice must say.
RUN = """
const done = arguments[arguments.length - 1];
axe.run(document, {rules: {'label-content-name-mismatch': {enabled: true}}})
  .then((found) => done(found.violations.map((v) => [v.impact, v.id, v.nodes.map((n) => n.html)])))
  .catch((error) => done([['critical', String(error), []]]));
"""


def script() -> str:
    """The text of axe-core, fetched once into _build; without network the tests are skipped, not in CI."""
    folder = build_book.ROOT / "_build" / "axe"
    if not list(folder.glob("*.whl")):
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--quiet",
            "--no-deps",
            "--dest",
            str(folder),
            PACKAGE,
        ]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            said = f"axe-core could not be fetched: {done.stderr.strip()[-200:]}"
            pytest.fail(said, pytrace=False) if os.environ.get("CI") == "true" else pytest.skip(said)
    wheel = next(Path(folder).glob("*.whl"))
    content = zipfile.ZipFile(wheel).read("axe_playwright_python/axe.min.js")
    assert hashlib.sha256(content).hexdigest() == DIGEST, f"{wheel} is not the axe-core that was looked at"
    return content.decode()


def violations(browser: chromium.Browser, source: str) -> list[str]:
    """Serious and critical violations on the open page."""
    browser.run(source)
    found = browser.driver.execute_async_script(RUN)
    return [
        f"{impact} {rule}: {' | '.join(nodes[:3])[:400]}" for impact, rule, nodes in found if impact in GRAVE
    ]
