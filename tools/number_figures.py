"""Number figures, tables and equations in the order of the notebooks: `python tools/number_figures.py`.

Figures and tables are calls of functions under `book_figure`, and of `widgets.explore`. Their numbers go into
diffnotes/show/numbers.py; `[Figure 1.3](#anchor)` in the text, `\\tag{1.3}` and "equation (1.3)" follow. A
page that draws and is no chapter has a letter in place of a number: Figure A.1.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import string
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat

from diffnotes.show.widgets import drawer_name, explore

ROOT = Path(__file__).resolve().parent.parent
NUMBERS = ROOT / "diffnotes" / "show" / "numbers.py"
KINDS = {"BookFigure": "Figure", "BookTable": "Table"}
LINK = re.compile(r"\[(?:Figure|Table)[^\]]*\]\(([\w/.]*)#([\w-]+)\)")
TAG = re.compile(r"\\tag\{([^}]*)\}")
MENTION = re.compile(r"(\b[Ee]quations?\s+)\(((?:\d+|[A-Z])\.\d+)\)")


class Misnumbered(Exception):
    """Told to the user in one sentence."""


def pages() -> dict[str, Path]:
    """Notebooks by what their numbers begin with: chapters by their own, others that draw by A, B, ..."""
    paths = sorted((ROOT / "notebooks").glob("*.ipynb"))
    chapters = {str(int(path.name[:2])): path for path in paths if path.name[0].isdigit()}
    others = [path for path in paths if not path.name[0].isdigit() and any(drawings(_read(path)))]
    return chapters | dict(zip(string.ascii_uppercase, others, strict=False))


def _read(path: Path) -> nbformat.NotebookNode:
    return nbformat.read(path, as_version=4)


# --- which anchors a notebook draws ---


class Names:
    """What the names in a notebook's code stand for, as far as imports and plain assignments tell."""

    def __init__(self) -> None:
        self._known: dict[str, Any] = {}

    def learn(self, statement: ast.stmt) -> None:
        """Take in an import or an assignment."""
        if isinstance(statement, ast.ImportFrom):
            for alias in statement.names:
                self._known[alias.asname or alias.name] = (statement.module, alias.name)
        elif isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            self._known[statement.targets[0].id] = statement.value

    def object(self, node: ast.expr) -> Any:
        """The function, class or module behind an expression; for a call, what is called; else None."""
        if isinstance(node, ast.Call):
            return self.object(node.func)
        if isinstance(node, ast.Attribute):
            return getattr(self.object(node.value), node.attr, None)
        known = self._known.get(node.id) if isinstance(node, ast.Name) else None
        if isinstance(known, ast.expr):
            return self.object(known)
        return _imported(*known) if known else None


def _imported(package: str, name: str) -> Any:
    if not package.startswith("diffnotes"):
        return None
    module = importlib.import_module(package)
    return getattr(module, name) if hasattr(module, name) else importlib.import_module(f"{package}.{name}")


def drawings(notebook: nbformat.NotebookNode) -> Iterator[tuple[str, str]]:
    """(kind, anchor) of everything that the notebook draws, in order."""
    names, before = Names(), {}
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        for statement in ast.parse(cell.source).body:
            names.learn(statement)
            for call in (node for node in ast.walk(statement) if isinstance(node, ast.Call)):
                kind, name = _drawn(call, names)
                if name:
                    arguments = ast.unparse(call)
                    seen = before.setdefault(name, [])
                    if arguments not in seen:
                        seen.append(arguments)
                        yield kind, name if len(seen) == 1 else f"{name}-{len(seen)}"


def _drawn(call: ast.Call, names: Names) -> tuple[str, str]:
    """Kind and name of what a call draws; two empty words for another call."""
    called = names.object(call.func)
    if called is explore:
        given = [word.value.value for word in call.keywords if word.arg == "name"]  # type: ignore[attr-defined]
        drawer = names.object(call.args[0])
        return "Figure", given[0] if given else drawer_name(drawer) if isinstance(drawer, type) else ""
    draw = inspect.unwrap(called) if callable(called) else None
    kind = KINDS.get(getattr(draw, "__annotations__", {}).get("return", ""), "")
    return (kind, draw.__name__) if kind and draw is not called and draw else ("", "")


def numbers() -> dict[str, str]:
    """Number of every anchor: {'flow_field': 'Figure 1.1', ...}."""
    found: dict[str, str] = {}
    for label, path in pages().items():
        counts = {"Figure": 0, "Table": 0}
        for kind, anchor in drawings(_read(path)):
            if anchor in found:
                raise Misnumbered(f"{anchor} is drawn on two pages; rename the function of one of them.")
            counts[kind] += 1
            found[anchor] = f"{kind} {label}.{counts[kind]}"
    return found


def module(found: dict[str, str]) -> str:
    """The text of numbers.py."""
    lines = "".join(f'    "{anchor}": "{number}",\n' for anchor, number in found.items())
    files = "".join(f'    "{label}": "{path.stem}",\n' for label, path in pages().items())
    return (
        '"""Numbers of figures and tables by anchor. Written by tools/number_figures.py; do not edit."""\n\n'
        f"NUMBERS: dict[str, str] = {{\n{lines}}}\n"
        f"PAGES: dict[str, str] = {{\n{files}}}\n"
    )


# --- what the text says ---


def linked(text: str, found: dict[str, str]) -> str:
    """Text whose links to figures and tables carry their numbers."""

    def renamed(link: re.Match[str]) -> str:
        if link[2] not in found:
            raise Misnumbered(f"The text links to #{link[2]}, which no notebook draws.")
        return f"[{found[link[2]]}]({link[1]}#{link[2]})"

    return LINK.sub(renamed, text)


def tagged(texts: list[str], page: str) -> list[str]:
    """The texts of one page with equations numbered in order, and mentions of them renamed alike."""
    old = [tag for text in texts for tag in TAG.findall(text)]
    if len(set(old)) < len(old):
        raise Misnumbered(f"Page {page} has two equations with one \\tag; give the new one another.")
    new = {tag: f"{page}.{place}" for place, tag in enumerate(old, 1)}
    texts = [TAG.sub(lambda tag: f"\\tag{{{new[tag[1]]}}}", text) for text in texts]
    return [MENTION.sub(lambda said: f"{said[1]}({new.get(said[2], said[2])})", text) for text in texts]


def renumbered() -> Iterator[tuple[Path, str]]:
    """Every file whose text depends on the numbers, with the text that it should have."""
    found, labels = numbers(), {path: label for label, path in pages().items()}
    yield NUMBERS, module(found)
    for path in sorted((ROOT / "book").glob("*.md")):
        yield path, linked(path.read_text(encoding="utf-8"), found)
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        notebook = _read(path)
        prose = [cell for cell in notebook.cells if cell.cell_type == "markdown"]
        texts = [linked(cell.source, found) for cell in prose]
        if path in labels:
            texts = tagged(texts, labels[path])
        for cell, text in zip(prose, texts, strict=True):
            cell.source = text
        yield path, nbformat.writes(notebook) + "\n"


def main() -> None:
    """Write what has changed."""
    for path, text in list(renumbered()):
        if path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            print(f"numbered {path.relative_to(ROOT)}")


if __name__ == "__main__":
    try:
        main()
    except Misnumbered as error:
        raise SystemExit(f"Error: {error}") from None
