"""Which files of the package a computation can reach, and one digest over them.

Reached is what Python would load, and more where that cannot be told from the text: every module named by an
import of any form (`import a`, `from a import b`, `from . import b`, in functions too) or by a string; the
`__init__` of every package on the way; the whole package from a module that imports by a name which it only
computes. Data files count always; the texts of claims only where they are named.

Digests are over syntax trees, without comments, docstrings and layout, and over the bytes of data files. They
are of the code that this process runs (`sources.SOURCES`), not of what is on disk by now: `edited` compares.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from diffnotes.base import files, sources
from diffnotes.base.errors import UserError

NAME = sources.PACKAGE.name
DIGITS = 16
# Calls that import by name: with a literal one the string tells, with any other the whole package counts.
LITERAL = {"import_module", "__import__", "run_module"}
DYNAMIC = LITERAL | {
    "run_path", "spec_from_file_location", "module_from_spec", "SourceFileLoader", "iter_modules",
    "walk_packages", "resolve_name", "locate", "entry_points", "get_data",
}  # fmt: skip
BUILT_IN = {"exec", "eval"}  # as names, not as methods of something
NOT_READ = ".".join(("claims", "toml"))  # data files that computations do not read, unless they name them
REGISTRY = ("chapters/__init__.py", "ROOMS")  # a list of names, which says nothing of what they do


class Edited(UserError):
    """Files of the package are not those that this process runs."""


@dataclass
class _File:
    """One source file: what it names when it is loaded, what its functions name, and its digest."""

    digest: str
    top: set[str] = field(default_factory=set)  # modules that loading it loads
    named: set[str] = field(default_factory=set)  # all modules that it names anywhere
    data: set[str] = field(default_factory=set)
    dynamic: bool = False
    reads_itself: bool = False  # its docstrings or its text, so that these count
    raw: str = ""  # the digest of its bytes


def digest(module: str) -> str:
    """The digest of the code behind a module, 16 hexadecimal digits."""
    names = sorted(reached(module))
    outside = _outside(module)
    own = [_scan(outside, module, False)] if outside is not None else []
    every = [*map(_file, (name for name in names if name.endswith(".py"))), *own]
    raw = any(file.reads_itself for file in every)
    parts = [f"{name} {_digest(name, raw)}" for name in names]
    parts += [f"{module} {file.raw if raw else file.digest}" for file in own]
    return files.sha256_bytes("\n".join(parts).encode())[:DIGITS]


def edited(module: str) -> list[str]:
    """The files behind a module that are not on disk as this process began with them."""
    names = [name for name in sorted(reached(module)) if sources.on_disk(name) != sources.SOURCES[name]]
    loaded = getattr(sys.modules.get(module), "__file__", None)
    if _outside(module) is not None and loaded and Path(loaded).read_bytes() != _outside(module):
        names.append(Path(loaded).name)
    return names


def refuse_if_edited(module: str) -> None:
    """Raise Edited when files behind a module have changed since this process began."""
    if names := edited(module):
        raise Edited(
            f"{names[0]} has changed since this process began, so its numbers would be booked on code "
            "that did not make them; start again (a notebook: restart the kernel). Finished parts are kept."
        )


def reached(module: str) -> frozenset[str]:
    """Paths below the package of all files that the module reaches."""
    outside = _outside(module)
    if outside is None:
        return _closure(frozenset({module}))
    first = _scan(outside, module, False)
    return frozenset(sources.SOURCES) if first.dynamic else _closure(frozenset(first.named))


@cache
def _closure(start: frozenset[str]) -> frozenset[str]:
    whole: set[str] = set()
    loaded: set[str] = set()  # as a package on the way to another module: only its top level runs
    found: set[str] = set()
    waiting = [(name, True) for name in start]
    while waiting:
        name, wholly = waiting.pop()
        path = _path(name)
        if path is None or name in whole or (not wholly and name in loaded):
            continue
        (whole if wholly else loaded).add(name)
        file = _file(path)
        if wholly and file.dynamic:
            return frozenset(sources.SOURCES)
        found |= {path, *_read_by_all(), *(file.data if wholly else ())}
        waiting += [(other, True) for other in (file.named if wholly else file.top)]
        waiting += [(parent, False) for parent in _parents(name)]
    return frozenset(found)


def _parents(module: str) -> list[str]:
    words = module.split(".")
    return [".".join(words[:k]) for k in range(1, len(words))]


def _path(module: str) -> str | None:
    """The file of a module of the package, by its path below the package."""
    if module.split(".")[0] != NAME:
        return None
    base = "/".join(module.split(".")[1:])
    candidates = [f"{base}/__init__.py", f"{base}.py"] if base else ["__init__.py"]  # as Python looks for it
    return next((name for name in candidates if name in sources.SOURCES), None)


@cache
def _modules() -> frozenset[str]:
    """All modules of the package."""
    python = (name for name in sources.SOURCES if name.endswith(".py"))
    paths = [name.removesuffix(".py").removesuffix("/__init__") for name in python]
    return frozenset(NAME if path == "__init__" else f"{NAME}.{path.replace('/', '.')}" for path in paths)


@cache
def _data() -> tuple[str, ...]:
    """All files of the package that are no Python."""
    return tuple(name for name in sources.SOURCES if not name.endswith(".py"))


@cache
def _read_by_all() -> tuple[str, ...]:
    """Data files that any computation may read, by a name that no text shows."""
    return tuple(name for name in _data() if name.rpartition("/")[2] != NOT_READ)


# ---------------------------------------------------------------------------------------------- single files


@cache
def _digest(path: str, raw: bool) -> str:
    if not path.endswith(".py"):
        return files.sha256_bytes(sources.SOURCES[path])
    return _file(path).raw if raw else _file(path).digest


@cache
def _file(path: str) -> _File:
    words = path.removesuffix(".py").split("/")
    package = words[-1] == "__init__"
    module = ".".join([NAME, *(words[:-1] if package else words)])
    return _scan(sources.SOURCES[path], module, package, REGISTRY[1] if path == REGISTRY[0] else "")


_seen: dict[int, tuple[object, bytes]] = {}  # modules outside the package with their source when first seen


def _outside(module: str) -> bytes | None:
    """The source of an experiment that is defined outside the package, such as in a test, as it was when the
    experiment was made. Raises Edited for one that is in no file, whose code nobody could compare.
    """
    if module.split(".")[0] == NAME:
        return None
    found = sys.modules.get(module)
    loaded = getattr(found, "__file__", None)
    if found is None or loaded is None:
        raise Edited(f"The experiment of {module} is in no file, so its code has no digest; put it into one.")
    if id(found) not in _seen:
        _seen[id(found)] = (found, Path(loaded).read_bytes())
    return _seen[id(found)][1]


def see(module: str) -> None:
    """Remember the source of a module outside the package, while it is the one that runs."""
    if getattr(sys.modules.get(module), "__file__", None):
        _outside(module)


@cache
def _scan(text: bytes, module: str, package: bool, registry: str = "") -> _File:
    """What a source file names, and its digest."""
    tree = ast.parse(text)
    here = module if package else module.rpartition(".")[0]
    tree.body = [node for node in tree.body if not (registry and _assigns(node, registry))]
    names = {word for node in ast.walk(tree) for word in _words(node)}
    found = _File("", dynamic=_is_dynamic(tree), raw=files.sha256_bytes(text))
    found.reads_itself = bool(names & {"__doc__", "getsource", "getsourcelines", "getdoc"})
    own = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    for node in _at_load(tree):
        found.top |= set(_imports(node, here))
    runs_own = own & {word for node in _at_load(tree) for word in _words(node)}
    for node in ast.walk(tree):
        found.named |= set(_imports(node, here))
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.named |= _named_modules(node.value, here)
            found.data |= {name for name in _data() if node.value.endswith(name.rpartition("/")[2])}
    found.top |= found.named if runs_own else set()
    found.digest = files.sha256_bytes(_dump(_without_docstrings(tree)).encode())
    return found


def _words(node: ast.AST) -> Iterator[str]:
    """The names that a node uses."""
    if isinstance(node, ast.Name):
        yield node.id
    elif isinstance(node, ast.Attribute):
        yield node.attr


def _assigns(node: ast.stmt, name: str) -> bool:
    targets = node.targets if isinstance(node, ast.Assign) else []
    return any(isinstance(target, ast.Name) and re.fullmatch(name, target.id) for target in targets)


def _at_load(tree: ast.Module) -> Iterator[ast.AST]:
    """The nodes that run when a module is loaded: all but the insides of functions."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            waiting += ast.iter_child_nodes(node)


def _imports(node: ast.AST, here: str) -> Iterator[str]:
    """Modules of this package that an import statement names."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names if alias.name.split(".")[0] == NAME)
    elif isinstance(node, ast.ImportFrom):
        base = _resolved(node.module or "", node.level, here)
        below = [f"{base}.{alias.name}" for alias in node.names]
        if base.split(".")[0] == NAME:
            yield from (name for name in below if name in _modules())
            if any(name not in _modules() for name in below):
                yield base
            if f"{base}.*" in below:  # what `__all__` names is loaded as well
                yield from (name for name in _modules() if name.rpartition(".")[0] == base)


def _resolved(module: str, level: int, here: str) -> str:
    """An absolute name for `from ..module import`, seen from the package `here`."""
    words = here.split(".")
    base = words[: len(words) - level + 1] if level else []
    return ".".join([*base, *([module] if module else [])])


def _named_modules(text: str, here: str) -> set[str]:
    """Modules that a string names: whole, relative, or by a beginning such as "diffnotes.chapters."."""
    if len(text) > 200 or not re.fullmatch(rf"(\.+|{NAME}\.)\w[\w.]*|{NAME}\.?", text):
        return set()
    level = len(text) - len(text.lstrip("."))
    name = _resolved(text.lstrip("."), level, here) if level else text
    if name.endswith("."):
        return {module for module in _modules() if module.startswith(name)}
    return {name} & _modules()


def _is_dynamic(tree: ast.Module) -> bool:
    """Whether a file imports by a name that is not written there, or may do so."""
    told = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call) and _tells(node)}
    for node in ast.walk(tree):
        word = next(_words(node), "")
        if word in DYNAMIC and id(node) not in told:
            return True
        if isinstance(node, ast.Name) and word in BUILT_IN:
            return True
        if isinstance(node, ast.ImportFrom) and any(a.asname and a.name in DYNAMIC for a in node.names):
            return True
    return False


def _tells(call: ast.Call) -> bool:
    """Whether a call that imports says what, by a literal or by the beginning of one."""
    if next(_words(call.func), "") not in LITERAL or not call.args:
        return False
    if any(word.arg == "fromlist" for word in call.keywords) or len(call.args) > 2:
        return False
    first = call.args[0]
    if isinstance(first, ast.JoinedStr):
        first = first.values[0]
        return isinstance(first, ast.Constant) and str(first.value).startswith(f"{NAME}.")
    return isinstance(first, ast.Constant)


def _without_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and isinstance(body[0], ast.Expr):
            value = body[0].value
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                node.body = body[1:]  # type: ignore[attr-defined]
    return tree


def _dump(node: object) -> str:
    """Like ast.dump, but empty and absent fields are left out: the same text under every Python version."""
    if isinstance(node, ast.AST):
        fields = [
            f"{k}={_dump(v)}"
            for k, v in ast.iter_fields(node)
            if v not in (None, []) and k not in ("kind", "type_comment")
        ]
        return f"{type(node).__name__}({','.join(fields)})"
    return f"[{','.join(map(_dump, node))}]" if isinstance(node, list) else repr(node)
