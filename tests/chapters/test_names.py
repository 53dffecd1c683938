"""One name, one thing: no two public classes of the package are called the same."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[2] / "diffnotes"


def shared(sources: Mapping[str, str]) -> dict[str, list[str]]:
    """Public class -> the modules that define it, of those in more than one; also inside other classes."""
    found = defaultdict(list)
    for module, source in sources.items():
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                found[node.name].append(module)
    return {name: modules for name, modules in found.items() if len(modules) > 1}


def package() -> dict[str, str]:
    """Module path -> source, of the whole package."""
    files = sorted(PACKAGE.rglob("*.py"))
    return {str(path.relative_to(PACKAGE)): path.read_text(encoding="utf-8") for path in files}


def test_public_classes_have_names_of_their_own() -> None:
    assert shared(package()) == {}


def test_two_classes_of_one_name_are_found() -> None:
    sources = {
        "a.py": "class A: ...\nclass _B: ...",
        "b.py": "def f():\n    class A: ...",
        "c.py": "class _B: ...",
    }
    assert shared(sources) == {"A": ["a.py", "b.py"]}
