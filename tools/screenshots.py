"""Pictures of every page, light and dark, wide, on a phone, on paper: `tools/screenshots.py FOLDER`."""

from __future__ import annotations

import argparse
import sys
from itertools import product
from pathlib import Path

import chromium
from build_book import SITE, BuildError, build

LOOKS = (("screen", 1440), ("screen", 390), ("print", 688))  # A4 between its margins
THEMES = ("light", "dark")


def pages(site: Path) -> list[str]:
    """Built pages of the table of contents, as paths below the site."""
    found = [path for folder in ("book", "notebooks") for path in site.glob(f"{folder}/*.html")]
    return sorted(str(path.relative_to(site)) for path in found)


def shoot(site: Path, out: Path) -> None:
    """One file per page, theme and look."""
    with chromium.serve(site) as address, chromium.browser() as browser:
        browser.open(f"{address}/search.html")
        for theme, (media, width), page in product(THEMES, LOOKS, pages(site)):
            browser.set_theme(theme)
            browser.set_media(media)
            browser.resize(width)
            browser.open(f"{address}/{page}")
            browser.screenshot(out / f"{Path(page).stem}-{theme}-{media}-{width}.png")


def main(out: Path) -> None:
    """Build the book if its inputs changed, then take the pictures."""
    if chromium.missing():
        raise BuildError(chromium.missing())
    out.mkdir(parents=True, exist_ok=True)
    shoot(build(if_stale=True), out)
    print(f"{len(pages(SITE)) * len(THEMES) * len(LOOKS)} pictures in {out}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="where the pictures go")
    try:
        main(parser.parse_args().folder)
    except BuildError as error:
        sys.exit(f"Error: {error}")
