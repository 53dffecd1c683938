"""The real commands, killed at random file-system calls and then let finish.

A kill may cost time and nothing else: afterwards the same command prints what it prints undisturbed, and
leaves the same files with the same arrays, and no other.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import builds
import faults
import server

from diffnotes.__main__ import main
from diffnotes.base import files
from diffnotes.base.errors import UserError
from diffnotes.data import download, sets

PINNED = "toy_model"
ARCHIVE = (("set/one", b"first"), ("set/two", random.Random(3).randbytes(300_000)))


@dataclass(frozen=True)
class Case:
    """A command, how its folder looks before, and the share of all kills that it gets."""

    words: tuple[str, ...]
    prepare: Callable[[Path], None]
    share: float


def empty(root: Path) -> None:
    """Nothing was run yet."""
    root.mkdir()


def pinned(root: Path) -> None:
    """One experiment is pinned."""
    root.mkdir()
    builds.pin_one(PINNED, root)


CASES = {
    "run (training)": Case(("run", "digits_gap", "--profile", "smoke_long"), empty, 0.2),
    "run --pin": Case(("run", "paper_values", "--profile", "laptop", "--pin"), empty, 0.2),
    "verify": Case(("verify", "paper_values"), pinned, 0.1),
    "status": Case(("status", PINNED), pinned, 0.15),
    "claims": Case(("claims",), pinned, 0.1),
    "fetch": Case(("fetch", "cifar10"), empty, 0.25),
}


def kills(count: int, draw: random.Random, folder: Path) -> Counter[str]:
    """Kill each command its share of `count` times."""
    counts: Counter[str] = Counter()
    with served():
        for name, case in CASES.items():
            whole, out = folder / f"whole {name}", folder / "out"
            case.prepare(whole)
            status, calls = faults.forked(whole, said(case.words, out))
            assert status == 0, name
            expected = tree(whole), out.read_bytes()
            for number in range(round(case.share * count)):
                root = folder / f"{name} {number}"
                case.prepare(root)
                for _ in range(draw.choice((1, 1, 2))):
                    status, _ = faults.forked(root, said(case.words, out), draw.randint(1, calls))
                    counts[f"{name}: killed" if os.WIFSIGNALED(status) else f"{name}: finished before"] += 1
                assert faults.forked(root, said(case.words, out))[0] == 0, (name, number)
                found = tree(root), out.read_bytes().replace(bytes(root), bytes(whole))
                if found == expected:
                    counts["same files and words afterwards"] += 1
                else:
                    counts[f"FAILED {name}: {differences(found[0], expected[0])} {found[1][:200]!r}"] += 1
                shutil.rmtree(root)
    return counts


def said(words: tuple[str, ...], out: Path) -> Callable[[], None]:
    """The command, with what it prints in a file."""

    def act() -> None:
        os.environ["DIFFNOTES_DATA"] = os.environ["DIFFNOTES_ROOT"] + "/data"
        with (
            open(out, "w", encoding="utf-8") as file, contextlib.redirect_stdout(file),
            open(os.devnull, "w") as lost, contextlib.redirect_stderr(lost),
        ):  # fmt: skip
            status = main(words)
        assert status in (0, 4), status

    return act


@contextlib.contextmanager
def served() -> Iterator[None]:
    """A small archive in place of CIFAR-10; the children inherit it."""
    with server.serving() as running:
        running.content = server.tar(*ARCHIVE)
        md5 = hashlib.md5(running.content).hexdigest()
        download.CIFAR10, sets.cifar10 = download.Archive(running.url, md5, "set"), there
        yield


def there() -> None:
    """What stands for reading CIFAR-10."""
    if tree(sets.data_folder() / "set").keys() != {"one", "two"}:
        raise UserError("It is not there.")


def tree(root: Path) -> dict[str, str]:
    """Digest of every file; of a record those of its arrays alone, since it says when it was made.

    The file by which a killed process held a folder is left out: whoever writes there next removes it.
    """
    found = {}
    for path in sorted(path for path in root.rglob("*") if path.name != files.LOCK):
        own = path.is_file() and path.name not in ("record.json", "index.json", "verified.json")
        found[str(path.relative_to(root))] = hashlib.sha256(path.read_bytes()).hexdigest() if own else ""
    return found


def differences(found: dict[str, str], expected: dict[str, str]) -> list[str]:
    """Paths that are not the same in both."""
    return sorted(name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name))
