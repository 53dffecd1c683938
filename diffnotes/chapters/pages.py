"""Which figures the pages draw from which experiment: read off the notebooks, so that no list drifts."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

from diffnotes import chapters

PACKAGE = Path(__file__).resolve().parents[1]
NOTEBOOKS = PACKAGE.parent / "notebooks"
Names = dict[str, str]  # a name in a notebook -> the dotted name of what it was imported as


def figures(folder: Path = NOTEBOOKS) -> dict[str, tuple[str, ...]]:
    """Experiment -> what is drawn from its records, as "page#figure"; a slider goes by its class.

    Figures and tables are what `book_figure` decorates. Without the notebooks, as on a GPU node, it is empty.
    """
    found: dict[str, dict[str, None]] = {}
    for path in sorted(folder.glob("*.ipynb")):
        for experiment, name in _drawn(ast.parse(_source(path))):
            found.setdefault(experiment, {})[f"{path.stem}#{name}"] = None
    return {experiment: tuple(names) for experiment, names in found.items()}


def _source(path: Path) -> str:
    """The code of a notebook, in order."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")


def _drawn(page: ast.Module) -> Iterator[tuple[str, str]]:
    """(experiment, figure) for every figure and slider that is made from loaded records."""
    places = _imported(page)
    records: dict[str, set[str]] = {}  # variable -> the experiments that its records are of
    for statement in page.body:
        for call in _calls(statement):
            if name := _figure(_dotted(call.func, places)):
                inside = [*call.args, *(word.value for word in call.keywords)]
                behind = [_behind(one, places, records) for one in inside]
                yield from ((experiment, name) for some in behind for experiment in sorted(some))
        if isinstance(statement, ast.Assign):
            own = _behind(statement.value, places, records)
            records |= {node.id: own for target in statement.targets for node in _names(target)}


def _imported(page: ast.Module) -> Names:
    froms = [node for node in ast.walk(page) if isinstance(node, ast.ImportFrom)]
    return {name.asname or name.name: f"{node.module}.{name.name}" for node in froms for name in node.names}


def _behind(node: ast.expr, places: Names, records: dict[str, set[str]]) -> set[str]:
    """The experiments whose records an expression uses: those it loads, and those of its variables."""
    loads = [call for call in _calls(node) if ast.unparse(call.func) in ("store.load", "store.load_all")]
    known = {
        f"{room.__name__}.{module}.EXPERIMENT": name
        for room in chapters.rooms()
        for name, module in room.EXPERIMENTS.items()
    }
    loaded = {known.get(_dotted(call.args[0], places), "") for call in loads if call.args}
    held = [records.get(name.id, set()) for name in _names(node)]
    return loaded.union(*held) - {""}


def _figure(dotted: str) -> str:
    """The name of a figure or of a slider; "" for anything else that a notebook calls."""
    module, _, name = dotted.rpartition(".")
    file = PACKAGE.parent / f"{module.replace('.', '/')}.py"
    if not module.startswith("diffnotes.chapters.") or not file.is_file():
        return ""
    decorated = rf"^@book_figure\s+def {re.escape(name)}\("
    slider = rf"^class {re.escape(name)}\b"
    return name if re.search(f"{decorated}|{slider}", file.read_text(encoding="utf-8"), re.MULTILINE) else ""


def _dotted(node: ast.expr, places: Names) -> str:
    """The full name of `alias.name` or of a name that is imported itself."""
    head, _, rest = ast.unparse(node).partition(".")
    return places.get(head, head) + (f".{rest}" if rest else "")


def _calls(node: ast.AST) -> list[ast.Call]:
    return [inner for inner in ast.walk(node) if isinstance(inner, ast.Call)]


def _names(node: ast.AST) -> list[ast.Name]:
    return [inner for inner in ast.walk(node) if isinstance(inner, ast.Name)]
