"""Sphinx extension: makes the built pages light, and mends what the theme leaves inaccessible.

Pages load no icon font and no script that draws icons (book.css has the few icons), style sheets only where
they are used, and pictures of sliders when they are first shown. Formulas are set without MathJax's menu.
Marks of figures that look alike name their look instead of saying it each time.
"""

from __future__ import annotations

import base64
import hashlib
import re
import shutil
from collections import Counter
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.config import Config

# MathJax without its menu, which is a third of the package that contains everything.
MATHJAX = "mathjax/startup.js"
PARTS = ["input/tex", "output/chtml", "a11y/assistive-mml"]
FRAME = re.compile(r"data:image/webp;base64,([A-Za-z0-9+/=]+)")
ICON_SCRIPT = re.compile(
    r"\s*<!-- So that users can add custom icons -->|\s*<script[^>]*fontawesome[^>]*></script>"
)
DESIGN = re.compile(
    r"\s*<(?:link|script)[^>]*(?:sphinx-design\.min\.css|design-tabs\.js)[^>]*>(?:</script>)?"
)
BANNER = re.compile(r"/\*!\s*\* Font Awesome Free.*?\*/", re.DOTALL)
ICON_RULES = re.compile(r"(?:(?::host,:root|@font-face|\.fa[^{}]*)\{[^{}]*\})*")  # what follows a banner
MARK = re.compile(r'(<(?:path|use|g)\b(?![^>]*\bclass=)[^>]*?) style="([^"]{20,})"')
OFTEN = 4  # marks of one look, from which on it gets a name
MENDED = [
    # The visible text of the search button is "Search Ctrl+K", so its spoken name must not be "Search" alone.
    (re.compile(r'(<button class="btn search-button-field[^>]*) aria-label="[^"]*"'), r"\1"),
    # So has the fold of a code cell: "Show code cell source".
    (re.compile(r'<summary aria-label="Toggle hidden content">'), "<summary>"),
    # A wide formula scrolls on a phone, so keys must reach it.
    (re.compile(r'(<div class="(?:amsmath )?math notranslate nohighlight")'), r'\1 tabindex="0"'),
    # A list whose children are divs and anchors is none; the roles of its entries are out of use.
    (re.compile(r'<div role="list" class="citation-list">'), '<div class="citation-list">'),
    (re.compile(r' role="doc-biblioentry"'), ""),
    # The sidebar holds the book's title and the search: a landmark of its own.
    (
        re.compile(r'<div id="pst-primary-sidebar"'),
        '<div id="pst-primary-sidebar" role="complementary" aria-label="Book"',
    ),
    # Columns without a name have no heading.
    (re.compile(r"<th([^>]*)></th>"), r"<td\1></td>"),
]


def choose_mathjax(app: Sphinx, config: Config) -> None:
    """After all extensions have had their say."""
    config.mathjax_path = MATHJAX
    config.mathjax3_config = (config.mathjax3_config or {}) | {"loader": {"load": PARTS}}


def slim(app: Sphinx, exception: Exception | None) -> None:
    """Go through all built pages once they are there."""
    if exception or app.builder.format != "html":
        return
    site = Path(app.outdir)
    for page in site.rglob("*.html"):
        if "_static" not in page.parts:
            text = page.read_text(encoding="utf-8")
            page.write_text(mended(text, page, site), encoding="utf-8")
    style = site / "_static" / "styles" / "pydata-sphinx-theme.css"
    style.write_text(without_icons(style.read_text(encoding="utf-8")), encoding="utf-8")
    for script in (site / "_static" / "scripts").glob("fontawesome*"):
        script.unlink()
    shutil.rmtree(site / "_static" / "vendor" / "fontawesome", ignore_errors=True)


def mended(text: str, page: Path, site: Path) -> str:
    """A page with all of the above done to it."""
    text = ICON_SCRIPT.sub("", text)
    if 'class="sd-' not in text:
        text = DESIGN.sub("", text)
    for fault, cure in MENDED:
        text = fault.sub(cure, text)
    text = with_named_looks(text)
    up = "../" * (len(page.relative_to(site).parts) - 1)
    return FRAME.sub(lambda found: up + put_aside(found[1], site), text)


def with_named_looks(text: str) -> str:
    """The page with a class in place of each style that many marks of its figures have."""
    counted = Counter(look for _, look in MARK.findall(text))
    often = [look for look, times in counted.items() if times >= OFTEN]
    names = {look: f"dn-m{place}" for place, look in enumerate(often)}
    if not names or "</head>" not in text:
        return text
    rules = "".join(f".{name}{{{look}}}" for look, name in names.items())

    def named(mark: re.Match[str]) -> str:
        return f'{mark[1]} class="{names[mark[2]]}"' if mark[2] in names else mark[0]

    return MARK.sub(named, text).replace("</head>", f"<style>{rules}</style></head>", 1)


def put_aside(picture: str, site: Path) -> str:
    """Write a picture into a file; return its address from the site's root."""
    content = base64.b64decode(picture)
    file = site / "_images" / "frames" / f"{hashlib.sha256(content).hexdigest()[:16]}.webp"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    return file.relative_to(site).as_posix()


def without_icons(style: str) -> str:
    """The theme's style sheet without the part of Font Awesome, each file of which has a banner before it."""
    banners = list(BANNER.finditer(style))
    if not banners:
        return style
    rules = ICON_RULES.match(style, banners[-1].end())
    return style[: banners[0].start()] + style[rules.end() if rules else banners[-1].end() :]


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("config-inited", choose_mathjax, priority=900)
    app.connect("build-finished", slim)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
