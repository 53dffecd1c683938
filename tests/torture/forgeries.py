"""What the store says of itself, rewritten by somebody who knows how its seals are made.

Whatever record.json, index.json or verified.json say, every question is answered or refused in one sentence;
nothing outside results/ and runs/ is written or removed; nothing reaches a page as anything but text; and no
array that the code does not compute is called valid.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import random
import shutil
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import faults
from small import EXPERIMENT

from diffnotes import store
from diffnotes.base.errors import UserError
from diffnotes.chapters import status
from diffnotes.show.style import Sentence
from diffnotes.show.tables import records_table, status_table
from diffnotes.store import records, staleness

SCRIPT = "<script>alert(1)</script>"
DEEP = "[" * 100_000
VALUES: tuple[Any, ...] = (
    None, True, 0, -1, 10**18, 1e308, "", "x", SCRIPT, "../../precious", "/precious", "\0", "a\nb", "é", [],
    {}, [1], {"a": 1}, [[[]]], {SCRIPT: SCRIPT}, "0" * 16, "f" * 64, 0.5,
)  # fmt: skip
RAW = ('"\ud800"', "NaN", "-Infinity", "1e999", "9" * 5000, '{"key": 1, "key": 2}', DEEP, '"')


def everything() -> str:
    """Ask the store all that commands and pages ask of it; what a page would show."""
    shown = []
    for kind in ("x", "y"):
        with contextlib.suppress(UserError):
            if (record := store.best(EXPERIMENT, {"kind": kind})) is not None:
                record = staleness.checked(record, EXPERIMENT)
                repr(record)  # plain text
                shown.append(Sentence(record, text="x")._repr_html_())
        with contextlib.suppress(UserError):
            store.load(EXPERIMENT, kind=kind).provenance()
    with contextlib.suppress(UserError):
        shown.append(records_table(status.pinned())._repr_html_())
    with contextlib.suppress(UserError):
        shown.append(status_table(status.rows())._repr_html_())
    with contextlib.suppress(UserError):
        store.verify(EXPERIMENT)
    for key in [path.parent.name for path in store.runs().rglob("record.json")] + ["../../precious", SCRIPT]:
        with contextlib.suppress(UserError):
            store.pin(EXPERIMENT, key)
    with contextlib.suppress(UserError):
        store.run(EXPERIMENT, "laptop", kind="x")
    return "".join(shown)


def replaced(value: Any, draw: random.Random) -> Any:
    """A JSON value with something else somewhere in it."""
    if isinstance(value, dict) and value and draw.random() < 0.85:
        name, kind = draw.choice(list(value)), draw.random()
        if kind < 0.1:
            return {other: part for other, part in value.items() if other != name}
        if kind < 0.2:
            return {**value, str(draw.choice(VALUES)): draw.choice(VALUES)}
        return {**value, name: replaced(value[name], draw)}
    if isinstance(value, list) and value and draw.random() < 0.85:
        place = draw.randrange(len(value))
        return [*value[:place], replaced(value[place], draw), *value[place + 1 :]]
    return draw.choice(VALUES)


def rewritten(text: str, draw: random.Random) -> str:
    """A JSON text with something in it that JSON or Python reads in its own way."""
    places = [place for place, sign in enumerate(text) if sign == ":"]
    place = draw.choice(places) + 1
    end = min(found for sign in ",}\n" if (found := text.find(sign, place)) > 0)
    return text[:place] + draw.choice(RAW) + text[end:]


def forge(root: Path, path: Path, draw: random.Random) -> None:
    """Rewrite a file, and, mostly, whatever would give that away."""
    text = path.read_text(encoding="utf-8")
    if draw.random() < 0.25:
        path.write_text(rewritten(text, draw), encoding="utf-8", errors="surrogatepass")
        return
    content = replaced(json.loads(text), draw)
    if path.name == "record.json" and isinstance(content, dict) and draw.random() < 0.8:
        content["seal"] = records._seal(content)
    path.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    index = root / "results/index.json"
    if path.name == "record.json" and "results" in path.parts and draw.random() < 0.8:
        old, new = (hashlib.sha256(one).hexdigest() for one in (text.encode(), path.read_bytes()))
        index.write_text(index.read_text().replace(old, new))


def forgeries(count: int, draw: random.Random, folder: Path) -> Counter[str]:
    """Rewrite one file, or two, and ask for everything."""
    counts: Counter[str] = Counter()
    original, precious = folder / "original", folder / "precious"
    expected = faults.prepared(original)
    names = [path.relative_to(original) for path in sorted(original.rglob("*.json"))]
    status.every = lambda: iter([EXPERIMENT])  # type: ignore[attr-defined]
    for _ in range(count):
        root = folder / "case"
        shutil.copytree(original, root)
        precious.mkdir()
        (precious / "record.json").write_text("mine")
        there = outside(folder, root)
        for name in draw.sample(names, draw.choice((1, 1, 2))):
            forge(root, root / name, draw)
        before = faults.lies(root, expected)
        counts[_outcome(everything)] += 1
        counts["FAILED: wrong shown as valid"] += before + faults.lies(root, expected)
        touched = outside(folder, root) != there or (precious / "record.json").read_text() != "mine"
        counts["FAILED: something outside was touched"] += touched
        shutil.rmtree(precious)
        shutil.rmtree(root)
    return counts


def outside(folder: Path, root: Path) -> set[Path]:
    """All paths of a folder that do not lie in `root`."""
    return {path for path in folder.rglob("*") if root not in path.parents}


def _outcome(act: Callable[[], str]) -> str:
    errors = io.StringIO()
    try:
        with contextlib.redirect_stderr(errors), contextlib.redirect_stdout(errors):
            page = act()
        return "FAILED: a page holds a script" if SCRIPT in page else "answered or refused"
    except Exception:
        return f"FAILED: {traceback.format_exc(limit=-3)}"
