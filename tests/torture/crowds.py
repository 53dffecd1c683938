"""Several processes at once: one key is computed once, and no pin is lost."""

from __future__ import annotations

import os
import random
import shutil
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from small import EXPERIMENT, compute

from diffnotes import store
from diffnotes.store import Arrays, Spec, Work, records

records.commit = lambda: {"commit": "0" * 40, "dirty": False}
PROCESSES = 4
MANY = [(kind, profile) for kind in ("x", "y") for profile in ("laptop", "paper")]
SIZES = (7, 9, 12, 15)  # one record each


def counting(spec: Spec, work: Work) -> Arrays:
    """The small experiment; each computation that is finished leaves a line."""
    arrays = compute(spec, work)
    with open(Path(os.environ["DIFFNOTES_ROOT"]) / "computed", "a", encoding="utf-8") as file:
        file.write("once\n")
    return arrays


COUNTED = replace(EXPERIMENT, compute=counting)


def together(root: Path, actions: Sequence[Callable[[], object]]) -> list[int]:
    """Do each in a process of its own, all at once; their statuses."""
    ready, go = os.pipe()
    children = []
    for action in actions:
        if (child := os.fork()) == 0:
            _child(root, action, ready, go)
        children.append(child)
    os.close(ready)
    os.close(go)  # the last end that writes: now all begin
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]


def _child(root: Path, action: Callable[[], object], ready: int, go: int) -> None:
    os.environ["DIFFNOTES_ROOT"] = str(root)
    os.close(go)
    os.read(ready, 1)
    try:
        action()
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)


def rounds(count: int, draw: random.Random, folder: Path) -> Counter[str]:
    """So many times one key asked for by all, and then a record of its own pinned by each."""
    counts: Counter[str] = Counter()
    for number in range(count):
        root = folder / f"round {number}"
        root.mkdir()
        counts += one_key(root, draw.choice(SIZES)) + one_index(root)
        shutil.rmtree(root)
    return counts


def one_key(root: Path, n: int) -> Counter[str]:
    """All ask for the same record."""
    status = together(root, [lambda: store.run(COUNTED, "laptop", n=n)] * PROCESSES)
    once = (root / "computed").read_text().count("once") == 1
    return Counter(
        {
            "processes on one key": PROCESSES,
            "one key computed once" if once else "FAILED: one key computed more than once": 1,
            "FAILED: processes on one key that failed": sum(map(bool, status)),
        }
    )


def one_index(root: Path) -> Counter[str]:
    """Each pins a record that is there."""
    os.environ["DIFFNOTES_ROOT"] = str(root)
    keys = [store.run(EXPERIMENT, profile, kind=kind).key for kind, profile in MANY]
    status = together(root, [lambda key=key: store.pin(EXPERIMENT, key) for key in keys])
    kept = [entry.key for entry in store.index() if entry.readable()]
    return Counter(
        {
            "processes that pin": len(keys),
            "pins kept": sum(key in kept for key in keys),
            "FAILED: pins that failed": sum(map(bool, status)),
            "FAILED: pins lost": sum(key not in kept for key in keys),
        }
    )
