"""What is done to the built pages: fewer bytes, and names for those who listen."""

from __future__ import annotations

import base64
import sys
from pathlib import Path

import build_book

sys.path.insert(0, str(build_book.ROOT / "book"))
import slim_pages


def mended(text: str, site: Path) -> str:
    return slim_pages.mended(text, site / "notebooks" / "page.html", site)


def test_pictures_of_sliders_become_files(tmp_path: Path) -> None:
    first, second = (base64.b64encode(word).decode() for word in (b"first", b"second"))
    one, two = (f"data:image/webp;base64,{picture}" for picture in (first, second))
    text = mended(f'<img src="{one}">["{one}", "{two}"]', tmp_path)
    files = {file.read_bytes(): file for file in (tmp_path / "_images" / "frames").iterdir()}
    assert set(files) == {b"first", b"second"}
    address = f"../_images/frames/{files[b'first'].name}"
    assert text.startswith(f'<img src="{address}">["{address}", "../_images')


def test_pages_do_without_what_they_do_not_use(tmp_path: Path) -> None:
    script = '<script defer src="../_static/scripts/fontawesome.js?digest=1"></script>'
    sheet = '<link rel="stylesheet" href="../_static/sphinx-design.min.css?v=1" />'
    assert mended(f"<head>{script}{sheet}</head>", tmp_path) == "<head></head>"
    assert "sphinx-design" in mended(f'<head>{sheet}</head><div class="sd-card"></div>', tmp_path)


def test_style_of_the_icon_font_is_taken_out() -> None:
    banner = "/*!\n * Font Awesome Free 6\n */"
    icons = f'{banner}.fa{{x:1}}.fa-a:before{{content:"a"}}{banner}:host,:root{{--a:1}}@font-face{{x:y}}'
    assert slim_pages.without_icons(f"a{{b:c}}{icons}.fab{{y:2}}html{{d:e}}") == "a{b:c}html{d:e}"
    assert slim_pages.without_icons("a{b:c}") == "a{b:c}"


def test_names_that_differ_from_what_is_seen_go(tmp_path: Path) -> None:
    button = (
        '<button class="btn search-button-field x" title="Search" aria-label="Search">Search Ctrl+K</button>'
    )
    assert "aria-label" not in mended(button, tmp_path)
    assert (
        mended('<summary aria-label="Toggle hidden content">Show</summary>', tmp_path)
        == "<summary>Show</summary>"
    )
    formula = '<div class="math notranslate nohighlight" id="x">'
    assert 'tabindex="0" id="x"' in mended(formula, tmp_path)
    listed = (
        '<div role="list" class="citation-list"><div class="citation" role="doc-biblioentry">x</div></div>'
    )
    assert "role" not in mended(listed, tmp_path)
    assert mended('<th class="head"></th><th>n</th>', tmp_path) == '<td class="head"></td><th>n</th>'


def test_looks_of_many_marks_get_a_name(tmp_path: Path) -> None:
    often = '<path d="M0 0" style="fill:none;stroke:currentColor"/>'
    alone = '<path d="M1 1" style="fill:red;stroke:blue;x:1"/>'
    marks = often * 5 + alone + '<td style="fill:none;stroke:currentColor">'
    found = mended(f"<head></head><body>{marks}</body>", tmp_path)
    assert found.count('<path d="M0 0" class="dn-m0"/>') == 5
    assert "<style>.dn-m0{fill:none;stroke:currentColor}</style></head>" in found
    assert found.count("style=") == 2  # the mark that is alone, and what is no mark
