"""What the parameters of a notebook ask for: those of its own cell, and of the one that papermill adds.

Both are read from the kernel's history of cells, so a name that nothing takes is an error, though papermill
itself only warns of it.
"""

from __future__ import annotations

import ast
import re
import reprlib
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from diffnotes.store.spec import PINNED, Request, SpecError, known, request

if TYPE_CHECKING:
    from diffnotes.store.experiment import Experiment

FIRST_LINE = re.compile(r"\s*#[ \t]*parameters\b[^\n]*", re.IGNORECASE)
NOT_PLAIN = (ValueError, TypeError, MemoryError, RecursionError)  # what literal_eval says of other values


def parameters(
    namespace: Mapping[str, Any], *experiments: Experiment, profile_only: Sequence[Experiment] = ()
) -> Request:
    """The Request that a notebook's parameters make. Call as ``store.parameters(globals(), EXPERIMENT)``.

    Name every experiment that the notebook loads: those that take the settings, and in `profile_only` those
    that follow the profile alone. A setting must suit all of the first, a profile must exist in all of both.
    SpecError says what does not, and what is valid.
    """
    given: dict[str, Any] = {}
    for cell in _cells(namespace.get("In")):
        given |= _assigned(cell)
    names = _shared([experiment.spec.names() for experiment in experiments])
    for name, value in given.items():
        known(name, names, "profile")
        _check_held(name, value, namespace)
    profile = given.pop("profile", PINNED)
    _check_profile(profile, [*experiments, *profile_only])
    asked = [request(experiment, profile, given) for experiment in experiments]
    return asked[0] if asked else Request(profile, {})


def _check_held(name: str, value: Any, namespace: Mapping[str, Any]) -> None:
    """Raise SpecError when the variable holds something else by now than its cell says."""
    if repr(namespace.get(name)) != repr(value):  # 1, 1.0 and True are not the same here
        raise SpecError(
            f"{name} is no longer the {reprlib.repr(value)} of the parameters cell; run that cell again, "
            "with another value if you mean one."
        )


def _cells(history: Any) -> list[str]:
    """The parameter cells that were run, in that order: of those with the same first line the latest alone,
    because a cell that is edited and run again takes the place of what it was.
    """
    latest: dict[str, str] = {}
    for text in history if isinstance(history, list) else []:
        begin = FIRST_LINE.match(text) if isinstance(text, str) else None
        if begin:
            name = begin[0].strip()
            latest.pop(name, None)  # run later than it stands there
            latest[name] = text
    if not latest:
        raise SpecError(
            "The parameters are not known, because no cell that begins with '# Parameters' is in the history "
            "of a kernel; run all cells in Jupyter, or use papermill."
        )
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


def _shared(lists: Sequence[Sequence[str]]) -> list[str]:
    """What is in all of the lists, in the order of the first."""
    return [name for name in (lists[0] if lists else []) if all(name in names for names in lists)]


def _check_profile(profile: Any, experiments: Sequence[Experiment]) -> None:
    """A profile of a notebook is one that all of its results have."""
    offered = [PINNED, *_shared([list(experiment.profiles) for experiment in experiments])]
    if profile in offered:
        return
    some = ", ".join(experiment.name for experiment in experiments if profile in list(experiment.profiles))
    alone = f", which exists for {some} alone" if some else ""
    raise SpecError(f"profile must be one of {', '.join(offered)}; not {profile!r}{alone}.")
