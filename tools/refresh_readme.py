"""Bring the README's picture and its table of claims up to date with the pinned records: `make readme`."""

from __future__ import annotations

import re

import hero

from diffnotes.base import files
from diffnotes.chapters import status
from diffnotes.chapters.checks import check_all
from diffnotes.show.tables import claims_in_short

README = hero.PATH.parents[2] / "README.md"
BETWEEN = re.compile(r"(<!-- claims:start -->\n).*?\n?(<!-- claims:end -->)", re.DOTALL)


def with_claims(text: str) -> str:
    """The README's text with what `python -m diffnotes claims --short` prints between its two marks."""
    table = claims_in_short([checked.as_dict() for checked in check_all(status.checked)])
    return BETWEEN.sub(lambda marks: f"{marks[1]}{table}\n{marks[2]}", text)


if __name__ == "__main__":
    files.write_atomic(README, with_claims(README.read_text(encoding="utf-8")).encode())
    files.write_atomic(hero.PATH, hero.svg().encode())
    files.write_atomic(hero.ON_PAGE, hero.panels().encode())
    print(f"{README.name} and {hero.PATH.relative_to(README.parent)} now show the pinned records.")
