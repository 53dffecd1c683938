"""Kill and damage the store at random, in folders of its own: `python faults.py kills|damage COUNT SEED`.

Runs without torch, so that a thousand cases take a minute. Prints one line of JSON with counts. What it
checks of every case: whatever was killed or damaged, the same command afterwards gives the bits of an
undisturbed one, and nothing that differs from them is ever called valid.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
from small import EXPERIMENT

from diffnotes import store
from diffnotes.base.errors import UserError
from diffnotes.store import records

records.commit = lambda: {"commit": "0" * 40, "dirty": False}
EVENTS = {"open", "os.rename", "os.remove", "os.mkdir", "shutil.rmtree", "tempfile.mkstemp"}


def run() -> None:
    store.run(EXPERIMENT, "laptop", kind="x")


def pin() -> None:
    store.pin(EXPERIMENT, store.run(EXPERIMENT, "laptop", kind="x").key)


def pin_again() -> None:
    pin()
    store.pin(EXPERIMENT, store.run(EXPERIMENT, "smoke").key)
    pin()


def verify() -> None:
    pin()
    assert store.verify(EXPERIMENT).name == "valid"
    assert store.state(store.best(EXPERIMENT, {"kind": "x"}), EXPERIMENT).name == "valid"


COMMANDS: dict[str, Callable[[], None]] = {"run": run, "pin": pin, "pin again": pin_again, "verify": verify}


def forked(root: Path, action: Callable[[], object], kill_at: int = 0) -> tuple[int, int]:
    """Do it in a process of its own, killed at its `kill_at`-th file-system call; (status, calls)."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        _child(root, action, kill_at, write)
    os.close(write)
    calls = len(b"".join(iter(lambda: os.read(read, 4096), b"")))
    os.close(read)
    return os.waitpid(child, 0)[1], calls


def _child(root: Path, action: Callable[[], object], kill_at: int, pipe: int) -> None:
    os.environ["DIFFNOTES_ROOT"] = str(root)
    calls = 0

    def hook(event: str, arguments: tuple) -> None:
        nonlocal calls
        if event in EVENTS and str(root) in str(arguments[0] if arguments else ""):
            calls += 1
            os.write(pipe, b".")
            if calls == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)

    try:
        sys.addaudithook(hook)
        action()
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        os._exit(1)


def truth(root: Path) -> dict[str, dict[str, np.ndarray]]:
    """The arrays of every record under a root, by the folder's name."""
    os.environ["DIFFNOTES_ROOT"] = str(root)
    found = [records.read(path.parent) for path in root.rglob("record.json")]
    return {record.key: record.arrays for record in found if record is not None}


def same(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> bool:
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)


def kills(count: int, draw: random.Random, folder: Path) -> Counter[str]:
    """Kill commands at random file-system calls, once or twice, then let them finish."""
    counts: Counter[str] = Counter()
    expected, length = {}, {}
    store.code_digest(EXPERIMENT)  # the children need not read the package again
    for name, command in COMMANDS.items():
        whole = folder / f"whole {name}"
        status, length[name] = forked(whole, command)
        assert status == 0, name
        expected[name] = truth(whole)
    for case in range(count):
        name = draw.choice(list(COMMANDS))
        root = folder / f"killed {case}"
        for _ in range(draw.choice((1, 1, 2))):
            status, _ = forked(root, COMMANDS[name], draw.randint(1, length[name]))
            counts[f"{name}: killed" if os.WIFSIGNALED(status) else f"{name}: finished before"] += 1
            counts["FAILED: wrong shown as valid"] += lies(root, expected[name])
        assert forked(root, COMMANDS[name])[0] == 0, (case, name)
        found = truth(root)
        assert found.keys() == expected[name].keys(), (case, name)
        assert all(same(found[key], arrays) for key, arrays in expected[name].items()), (case, name)
        left = [*root.rglob(".*"), *root.rglob("partial-*")]
        assert not left, (case, name, left)
        counts["same bits afterwards"] += 1
        shutil.rmtree(root)
    return counts


def lies(root: Path, expected: dict[str, dict[str, np.ndarray]]) -> int:
    """How many records are called valid and are not what they should be."""
    os.environ["DIFFNOTES_ROOT"] = str(root)
    wrong = 0
    for kind in ("x", "y"):
        try:
            record = store.best(EXPERIMENT, {"kind": kind})
            if record is not None and store.state(record, EXPERIMENT).name == "valid":
                wrong += not same(record.arrays, expected.get(record.key, {})) or record.spec["kind"] != kind
        except UserError:
            continue
    return wrong


def judged(act: Callable[[], str]) -> str:
    """What `act` says came of it, or that it refused with one sentence; all else is a failure."""
    try:
        return act()
    except UserError as error:
        text = str(error)
        return "one sentence" if text.endswith(".") and len(text) < 600 else f"FAILED: {text}"
    except Exception:
        return f"FAILED: {traceback.format_exc(limit=-3)}"


# ----------------------------------------------------------------------------------------------------- damage


def damaged(data: bytes, other: bytes, draw: random.Random) -> bytes:
    """A file's bytes after an accident."""
    kind = draw.choice(("flip", "flip", "flip", "truncate", "zeros", "empty", "swap", "insert"))
    if kind == "flip" and data:
        place = draw.randrange(len(data))
        return data[:place] + bytes([data[place] ^ (1 << draw.randrange(8))]) + data[place + 1 :]
    if kind == "truncate":
        return data[: draw.randrange(len(data) or 1)]
    if kind == "zeros":
        start = draw.randrange(len(data) or 1)
        return data[:start] + bytes(min(64, len(data) - start)) + data[start + 64 :]
    if kind == "insert":
        place = draw.randrange(len(data) + 1)
        return data[:place] + draw.randbytes(3) + data[place:]
    return other if kind == "swap" else b""


def prepared(root: Path) -> dict[str, dict[str, np.ndarray]]:
    """Two pinned records with their twin, an unpinned one, an unfinished one, and a memory."""
    os.environ["DIFFNOTES_ROOT"] = str(root)
    for kind in ("x", "y"):
        store.pin(EXPERIMENT, store.run(EXPERIMENT, "laptop", kind=kind).key)
    store.run(EXPERIMENT, "laptop", n=9)
    store.verify(EXPERIMENT)
    with contextlib.suppress(store.Unfinished):
        store.run(EXPERIMENT, "laptop", max_seconds=1e-9, n=12)
    return truth(root)


def damage(count: int, draw: random.Random, folder: Path) -> Counter[str]:
    """Damage one file at a time; ask for everything, run everything again, and compare."""
    counts: Counter[str] = Counter()
    original = folder / "original"
    expected = prepared(original)
    finished = store.run(EXPERIMENT, "laptop", n=12).arrays
    shutil.rmtree(original)
    prepared(original)
    names = [path.relative_to(original) for path in sorted(original.rglob("*")) if path.is_file()]
    for case in range(count):
        root = folder / f"case {case}"
        shutil.copytree(original, root)
        name = draw.choice(names)
        data, other = (original / name).read_bytes(), (original / draw.choice(names)).read_bytes()
        content = damaged(data, other, draw)
        (root / name).write_bytes(content)
        counts[f"damaged {_kind(name)}"] += 1
        counts["FAILED: wrong shown as valid"] += lies(root, expected)
        for settings in ({"n": 9}, {"n": 12}):
            record = store.run(EXPERIMENT, "laptop", **settings)
            wanted = finished if settings["n"] == 12 else expected[record.key]
            assert same(record.arrays, wanted), (case, name)
        counts["same bits afterwards"] += 1
        shutil.rmtree(root)
    return counts


def _kind(name: Path) -> str:
    part = "partial" if "partial-" in str(name) else name.parts[0]
    return f"{part} {name.name}" if part != "partial" else "partial result"


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        work = {"kills": kills, "damage": damage}[sys.argv[1]]
        print(json.dumps(work(int(sys.argv[2]), random.Random(int(sys.argv[3])), Path(made))))
