"""Shape annotations are checked at run time while the tests run, in every module that has them."""

from pathlib import Path

import pytest
from hypothesis import settings
from jaxtyping import install_import_hook

PACKAGE = Path(__file__).resolve().parents[1] / "diffnotes"
SHAPED = [
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
    for path in PACKAGE.rglob("*.py")
    if "from diffnotes.base.shapes import" in path.read_text()
]
install_import_hook(SHAPED, "beartype.beartype")

# A busy machine is no bug; and every machine tries the same examples, so that a failure is one anywhere.
settings.register_profile("diffnotes", deadline=None, derandomize=True)
settings.load_profile("diffnotes")


@pytest.fixture
def committed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkout without changes, wherever the tests run: records made in it can be pinned."""
    from diffnotes.store import records

    monkeypatch.setattr(records, "commit", lambda: {"commit": "0" * 40, "dirty": False})


@pytest.fixture(autouse=True)
def page() -> None:
    """Each test draws on a page of its own, so that anchors do not depend on the tests before it."""
    from diffnotes.show.page import new_page

    new_page()
