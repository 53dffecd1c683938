"""Change a number anywhere in the code behind a record: the record is stale, or the numbers are the same."""

from __future__ import annotations

import ast
import json
import os
import random
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from forks import Forks

from diffnotes import chapters, store
from diffnotes.store import code, staleness

ROOT = Path(__file__).resolve().parents[2]
MUTATIONS, SEED = 24, 20261128
# In a process of its own, with the changed code: what is said of the records, and the twins it was said by.
# Those are computed with stops, as `status` does it; or, when asked, once more in one go.
ASKED = """
import functools, json, sys, tempfile
from pathlib import Path
from diffnotes import chapters, store
from diffnotes.base import files
from diffnotes.chapters import status
from diffnotes.store import staleness
name, out, again = sys.argv[1], Path(sys.argv[2]), sys.argv[3] == "again"
experiment = chapters.find(name)
compute, made = experiment.compute, {}
@functools.wraps(compute)
def kept(spec, work):
    made[repr(spec)] = found = compute(spec, work)
    return found
object.__setattr__(experiment, "compute", kept)
found = [[row.state, row.reason] for row in status.rows(name)]
print(json.dumps(found))
valid = any(state == "valid" for state, _ in found)  # else nothing is claimed
for twin in staleness.pinned_twins(experiment) if valid else ():  # each with the settings it was pinned with
    spec = experiment.spec.restored(twin.spec)
    if again or repr(spec) not in made:
        with tempfile.TemporaryDirectory() as folder:
            made[repr(spec)] = compute(spec, store.Work(Path(folder)))
    files.save_npz_atomic(out / f"{twin.profile}.npz", made[repr(spec)])
print("computed")
"""
AGAIN = 3  # every third change: twins are computed in one go, too


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the package and its records."""
    for name in ("diffnotes", "results"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def constants(text: str) -> list[ast.Constant]:
    """The numbers in a source file."""
    nodes = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Constant)]
    return [node for node in nodes if type(node.value) in (int, float)]


def mutated(text: str, draw: random.Random) -> tuple[str, str]:
    """The text with one number changed by about a tenth or by one, and what was done."""
    node = draw.choice(constants(text))
    old = node.value
    new = old + draw.choice((1, -1)) if isinstance(old, int) else old * draw.choice((0.9, 1.1)) or 0.1
    lines = text.splitlines(keepends=True)
    line = lines[node.lineno - 1].encode()  # columns count bytes
    shown = f"({new!r})".encode()
    lines[node.lineno - 1] = (line[: node.col_offset] + shown + line[node.end_col_offset :]).decode()
    return "".join(lines), f"line {node.lineno}: {old!r} -> {new!r}"


def asked(forks: Forks, checkout: Path, name: str, *, again: bool) -> tuple[list[list[str]], bool]:
    """States of what is shown of an experiment, and whether its twins could be computed (into out/)."""
    (checkout / "out").mkdir(exist_ok=True)
    environment = {
        **os.environ, "PYTHONPATH": str(checkout), "DIFFNOTES_ROOT": str(checkout), "OMP_NUM_THREADS": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }  # fmt: skip
    words = ("-c", ASKED, name, str(checkout / "out"), "again" if again else "")
    done = forks.run(*words, cwd=checkout, environment=environment)
    lines = done.stdout.splitlines()
    states = json.loads(lines[0]) if lines and lines[0].startswith("[") else [["stale", done.stderr[-200:]]]
    return states, lines[-1:] == ["computed"]


def equal(checkout: Path, experiment: store.Experiment) -> bool:
    """Whether the twins as computed there are the pinned ones, by the tolerances as they stand here."""
    out = checkout / "out"
    twins = staleness.pinned_twins(experiment)
    return all(_equal(out / f"{twin.profile}.npz", twin, experiment) for twin in twins)


def _equal(path: Path, twin: store.Record, experiment: store.Experiment) -> bool:
    with np.load(path, allow_pickle=False) as found:
        tolerances = {name: experiment.tolerance_of(name, twin.profile) for name in twin.arrays}
        alike = (_close(twin[name], found[name], tolerances[name]) for name in found.files)
        return set(found.files) == set(twin.arrays) and all(alike)


def _close(a: np.ndarray, b: np.ndarray, tolerance: store.Tolerance) -> bool:
    if a.shape != b.shape or a.dtype.kind != b.dtype.kind:
        return False
    if a.dtype.kind not in "fiu":
        return bool((a == b).all())
    if tolerance.absolute == np.inf:
        return True
    if tolerance.relative == np.inf:
        return bool((np.isnan(a) == np.isnan(b)).all())
    a, b = a.astype(float), b.astype(float)
    return bool(np.isclose(b, a, tolerance.relative, tolerance.absolute, equal_nan=True).all())


def chosen() -> list[str]:
    """Experiments at random: what is tried is the way to all of them, and each takes many seconds."""
    return random.Random(SEED).sample(sorted(chapters.names()), MUTATIONS)


def file_behind(name: str, draw: random.Random) -> str:
    """One of the source files behind an experiment that have numbers in them."""
    files = sorted(file for file in code.reached(chapters.find(name).module) if file.endswith(".py"))
    return draw.choice([file for file in files if constants((ROOT / "diffnotes" / file).read_text("utf-8"))])


COUNTS: Counter[str] = Counter()


@pytest.mark.parametrize(("place", "name"), list(enumerate(chosen())))
def test_a_changed_number(forks: Forks, checkout: Path, place: int, name: str) -> None:
    draw = random.Random(f"{SEED} {place}")
    file = file_behind(name, draw)
    path = checkout / "diffnotes" / file
    text, what = mutated(path.read_text("utf-8"), draw)
    path.write_text(text, encoding="utf-8")
    states, computed = asked(forks, checkout, name, again=place % AGAIN == 0)
    valid = any(state == "valid" for state, _ in states)
    same = valid and computed and equal(checkout, chapters.find(name))
    assert same or not valid, f"{file} {what}: {name} is called valid"
    COUNTS["stale" if not valid else "valid, with equal numbers"] += 1


def test_some_were_stale(capsys: pytest.CaptureFixture[str]) -> None:
    if not COUNTS:
        pytest.skip("runs after the mutations")
    with capsys.disabled():
        print("\nmutations: " + ", ".join(f"{n} {what}" for what, n in COUNTS.items()))
    assert COUNTS["stale"] > 0


@pytest.mark.parametrize(
    ("name", "file", "old", "new"),
    [
        ("loss_curve", "data/dataset.py", "div_(127.5)", "div_(127.0)"),  # the scale of pixels
        ("loss_curve", "data/decoding.py", "(image.width - short) //", "(image.width + short) //"),  # crop
        ("loss_curve", "data/decoding.py", "Resampling.BOX", "Resampling.BILINEAR"),  # the filter
        ("digits", "metrics.py", "repeats: int = 1000", "repeats: int = 3"),  # a default
        ("cifar", "data/sets.py", "avg_pool2d(data.x, height // side)", "max_pool2d(data.x, height // side)"),
        ("toy_model", "chapters/toy/formulas.py", "2 * CIRCLE_RADIUS", "2.001 * CIRCLE_RADIUS"),  # a constant
        ("digits", "store/experiment.py", "", ""),  # nothing: what is asked of an untouched copy
    ],
)
def test_a_named_change(forks: Forks, checkout: Path, name: str, file: str, old: str, new: str) -> None:
    path = checkout / "diffnotes" / file
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")
    states, _ = asked(forks, checkout, name, again=False)
    assert {state for state, _ in states} == {"stale" if old else "valid"}, states
