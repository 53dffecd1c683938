"""Shape annotations are checked at run time while the tests run, in every module that has them."""

from pathlib import Path

from jaxtyping import install_import_hook

PACKAGE = Path(__file__).resolve().parents[1] / "diffnotes"
SHAPED = [
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
    for path in PACKAGE.rglob("*.py")
    if "from diffnotes.shapes import" in path.read_text()
]
install_import_hook(SHAPED, "beartype.beartype")
