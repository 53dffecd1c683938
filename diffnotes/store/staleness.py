"""Is a record still what the code computes? Digests of code first, then the smoke twin.

A record keeps a digest of the code that made it: the syntax trees of the modules reached from the experiment,
without comments,
docstrings and layout. While that digest stands, the record is valid. When it differs, the experiment's
seconds-long twin (its smoke profile, pinned
beside it) is recomputed and compared: equal within the experiment's tolerance means that the change did not
matter.
"""

from __future__ import annotations

import ast
import json
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from diffnotes import files
from diffnotes.errors import UserError
from diffnotes.store import records
from diffnotes.store.experiment import Arrays, Experiment, Tolerance, Work
from diffnotes.store.records import Entry, Record

PACKAGE = Path(__file__).resolve().parents[1]
BESIDE = (
    "diffnotes.store",
    "diffnotes.errors",
    "diffnotes.files",
    "diffnotes.shapes",
)  # cannot change a number
LIST = "diffnotes.experiments"  # names the experiments; a new name says nothing about the others


@dataclass(frozen=True)
class State:
    """valid | stale | tampered | missing, and why."""

    name: str
    reason: str


def code_digest(experiment: Experiment) -> str:
    """SHA-256 over the syntax trees of every module of the package that the experiment's module reaches."""
    trees = _reached(experiment.module)
    text = "\n".join(f"{name} {_dump(_without_docstrings(tree))}" for name, tree in sorted(trees.items()))
    return files.sha256_bytes(text.encode())[: records.KEY_DIGITS]


def state(record: Record, experiment: Experiment) -> State:
    """The state of a record under the code as it stands."""
    if record.meta["version"] != experiment.version:
        return State(
            "stale",
            f"version {record.meta['version']} of {experiment.name}; the code is at {experiment.version}",
        )
    try:
        record.check_bytes()
    except UserError as error:
        return State("tampered", str(error))
    drift = _drift(record, experiment)
    if drift:
        return State("stale", f"profile {record.profile} has changed since: {drift}")
    digest = code_digest(experiment)
    if digest == record.meta["code"]:
        return State("valid", "the code is the one that made it")
    return _by_twin(experiment, digest)


def checked(record: Record, experiment: Experiment) -> Record:
    """The record with its state filled in."""
    found = state(record, experiment)
    return replace(record, state=found.name, reason=found.reason)


def verify(experiment: Experiment) -> State:
    """Recompute the experiment's twin whatever the digests say, and compare."""
    twin = pinned_twin(experiment)
    if twin is None:
        return State("missing", f"no twin of {experiment.name} is pinned; `python -m diffnotes pin` makes it")
    try:
        expected = twin.arrays
    except UserError as error:
        return State("tampered", str(error))
    with tempfile.TemporaryDirectory() as folder:
        work = Work(Path(folder), title=f"twin of {experiment.name}")
        found = experiment.compute(experiment.twin, work)
        work.close()
    difference = compare(expected, found, experiment)
    return (
        State("stale", f"the recomputed twin differs: {difference}")
        if difference
        else State("valid", "the recomputed twin is equal")
    )


def pinned_twin(experiment: Experiment) -> Record | None:
    """The pinned record of the smoke profile."""
    for entry in records.index():
        if (entry.experiment, entry.profile) == (experiment.name, "smoke") and entry.readable():
            record = entry.read()
            return record if record.spec == experiment.twin.as_dict() else None
    return None


def compare(expected: Arrays, found: Arrays, experiment: Experiment) -> str:
    """Empty when equal: the same names, kinds and shapes, and every entry within the experiment's tolerance
    for its array; else what differs.
    """
    if expected.keys() != found.keys():
        return f"arrays {sorted(expected.keys() ^ found.keys())} are in one and not in the other"
    for name, a in expected.items():
        b = found[name]
        if a.shape != b.shape or a.dtype.kind != b.dtype.kind:
            return f"{name} was {a.dtype}{list(a.shape)} and is {b.dtype}{list(b.shape)}"
        if difference := _difference(a, b, experiment.tolerance_of(name)):
            return f"{name} {difference}"
    return ""


def _difference(a: np.ndarray, b: np.ndarray, tolerance: Tolerance) -> str:
    """What differs beyond the tolerance, entry by entry; NaN and infinity equal only themselves."""
    if tolerance.relative == np.inf:
        return ""
    if a.dtype.kind not in "fiu":
        return "" if np.array_equal(a, b) else "holds other words"
    was, now = (x.reshape(-1).astype(np.float64) for x in (a, b))
    finite = np.isfinite(was) & np.isfinite(now)
    odd = ~finite & ~((was == now) | (np.isnan(was) & np.isnan(now)))
    if odd.any():
        return f"was {was[odd][0]:.3g} and is {now[odd][0]:.3g} in {odd.sum()} of {odd.size} entries"
    if not finite.any():
        return ""
    was, now = was[finite], now[finite]
    allowed = tolerance.absolute + tolerance.relative * np.abs(was)
    wrong = np.abs(now - was) > allowed
    if not wrong.any():
        return ""
    worst = np.argmax(np.abs(now - was) - allowed)
    return (
        f"was {was[worst]:.6g} and is {now[worst]:.6g} (tolerance {allowed[worst]:.1g}), "
        f"beyond it in {wrong.sum()} of {a.size} entries"
    )


def _by_twin(experiment: Experiment, digest: str) -> State:
    """`verify`, remembered under runs/ for as long as code and twin stand."""
    twin = pinned_twin(experiment)
    memory_path = records.runs() / "verified.json"
    memory = _remembered(memory_path)
    name = f"{experiment.name} {digest} {twin.meta['digest'] if twin else 'none'}"
    if name not in memory:
        found = verify(experiment)
        memory[name] = [found.name, found.reason]
        if found.name != "missing":
            files.write_atomic(memory_path, json.dumps(memory, indent=1).encode())
    kind, reason = memory[name]
    return State("valid" if kind == "valid" else "stale", f"the code has changed; {reason}")


def _remembered(path: Path) -> dict[str, list[str]]:
    try:
        return dict(json.loads(path.read_text()))
    except (OSError, ValueError):
        return {}


def _drift(record: Record, experiment: Experiment) -> str:
    """Which settings of the record's profile differ today from when the record was made."""
    default = experiment.profiles[record.profile].as_dict() if record.profile in experiment.profiles else {}
    now = {**default, **record.meta["settings"]}
    names = [
        name for name in sorted(now.keys() | record.spec.keys()) if now.get(name) != record.spec.get(name)
    ]
    return ", ".join(f"{name} was {record.spec.get(name)} and is {now.get(name)}" for name in names)


def _reached(module: str) -> dict[str, ast.Module]:
    """Syntax trees of the modules reached by imports from `module`, by name."""
    trees: dict[str, ast.Module] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        path = _source(name)
        if name in trees or path is None or name.startswith(BESIDE) or name == LIST:
            continue
        trees[name] = ast.parse(path.read_text())
        waiting += _imports(trees[name])
    return trees


def _source(module: str) -> Path | None:
    """The file of a module: below the package, or, for an experiment defined elsewhere, where Python loaded
    it from.
    """
    import sys

    base = PACKAGE.joinpath(*module.split(".")[1:])
    inside = module.split(".")[0] == PACKAGE.name
    candidates = [base.with_suffix(".py"), base / "__init__.py"] if inside else []
    loaded = getattr(sys.modules.get(module), "__file__", None)
    return next(
        (p for p in [*candidates, *([Path(loaded)] if loaded and not inside else [])] if p.is_file()), None
    )


def _imports(tree: ast.Module) -> list[str]:
    """Modules of this package that a tree imports, at any depth."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            found += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
    return [name for name in found if name.split(".")[0] == PACKAGE.name]


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


__all__ = ["Entry", "State", "checked", "code_digest", "compare", "pinned_twin", "state", "verify"]
