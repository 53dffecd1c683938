"""The cells of parameters in a notebook, compared with the values that it goes on with.

Nothing is taken from here. It sees to what papermill does not: that only warns of a name that nothing takes,
and when the tag of the cell is gone it puts its values in front, where they are lost.
"""

from __future__ import annotations

import ast
import re
import reprlib
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from diffnotes.store.spec import NOT_PLAIN, SpecError, known

FIRST_LINE = re.compile(r"\s*#[ \t]*parameters\b[^\n]*", re.IGNORECASE)
PAPERMILL = "# Parameters"  # all of the first line of the cell that papermill adds


def check(values: Mapping[str, Any]) -> None:
    """Raise SpecError unless the parameter cells of this notebook assign these names, these values to them,
    and no other names. Outside of IPython, where there are no cells, nothing is checked.
    """
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if shell is not None:
        check_history(shell.user_ns.get("In"), values)


def check_history(history: Any, values: Mapping[str, Any]) -> None:
    """`check`, for the cells that were run so far."""
    cells = _cells(history)
    given: dict[str, Any] = {}
    for cell in cells:
        given |= _assigned(cell)
    for name in given:
        known(name, list(values))
    for name, value in values.items():
        _check_held(name, value, given)


def _check_held(name: str, value: Any, given: Mapping[str, Any]) -> None:
    """Raise SpecError when a value is another than its cell says, or comes from no such cell."""
    if name not in given:
        raise SpecError(
            f"{name} is assigned in no cell that begins with '# Parameters'; assign it there, or give its "
            "cell that line back."
        )
    if repr(value) != repr(given[name]):  # 1, 1.0 and True are not the same here
        raise SpecError(
            f"{name} is no longer the {reprlib.repr(given[name])} of the parameters cell; run that cell "
            "again, with another value if you mean one."
        )


def _cells(history: Any) -> list[str]:
    """The parameter cells that were run, in that order: of those with the same first line the latest alone,
    because a cell that is edited and run again takes the place of what it was.
    """
    run = [text for text in history if isinstance(text, str)] if isinstance(history, list) else []
    begun = [(begin[0].strip(), text) for text in run if (begin := FIRST_LINE.match(text))]
    if not begun:
        raise SpecError(
            "The parameters are not known, because no cell that begins with '# Parameters' is in the history "
            "of a kernel; run all cells in Jupyter, or use papermill."
        )
    lines = [line for line, _ in begun]
    if lines[0] == PAPERMILL and any(line != PAPERMILL for line in lines):
        raise SpecError(
            "The values of papermill came before the parameters cell, which has lost its tag; give it back "
            "the tag `parameters`."
        )
    latest: dict[str, str] = {}
    for line, text in begun:
        latest.pop(line, None)  # run later than it stands there
        latest[line] = text
    return list(latest.values())


def _assigned(cell: str) -> dict[str, Any]:
    """The names that a cell assigns, and their values; it may hold nothing else but text."""
    found: dict[str, Any] = {}
    for statement in _parsed(cell).body:
        try:
            found |= _values(statement)
        except NOT_PLAIN:
            line = cell.splitlines()[statement.lineno - 1].strip()
            raise SpecError(
                f"A parameters cell may hold only plain values such as `seed = 1`; not `{line}` "
                f"(its line {statement.lineno})."
            ) from None
    return found


def _parsed(cell: str) -> ast.Module:
    try:
        return ast.parse(cell)
    except SyntaxError as error:
        where = f"; see its line {error.lineno}" if error.lineno else ""
        raise SpecError(f"The parameters cell is not Python ({error.msg}){where}.") from None
    except NOT_PLAIN:
        raise SpecError("The parameters cell is not Python that can be read; simplify its values.") from None


def _values(statement: ast.stmt) -> dict[str, Any]:
    """Name -> value of an assignment, nothing of a text or `pass`; one of NOT_PLAIN for anything else."""
    match statement:
        case ast.Assign(targets=targets, value=value):
            literal = ast.literal_eval(value)
            return dict(pair for target in targets for pair in _pairs(target, literal))
        case ast.AnnAssign(target=target, value=ast.expr() as value):
            return dict(_pairs(target, ast.literal_eval(value)))
        case ast.Pass() | ast.Expr(value=ast.Constant(value=str())):
            return {}
    raise ValueError


def _pairs(target: ast.expr, value: Any) -> Iterator[tuple[str, Any]]:
    """(name, value) of a name, or of each of several names in a tuple."""
    match target:
        case ast.Name(id=name):
            yield name, value
        case ast.Tuple(elts=parts) | ast.List(elts=parts) if isinstance(value, (tuple, list)):
            for part, item in zip(parts, value, strict=True):
                yield from _pairs(part, item)
        case _:
            raise ValueError
