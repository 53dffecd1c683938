"""Years of bad luck in minutes: `make torture`, or `make torture PARTS="--share 0.1 checkpoints"`.

Kills commands, starts them at once, damages and forges files, and calls everything with arguments that make
no sense. What is promised of every case stands at the top of the part's module. Prints counts; exits with 1
when a single case fails.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import builds
import calls
import checkpoints
import commands
import crowds
import faults
import forgeries
import images
import modules
import sweeps
import words

Part = Callable[[int, random.Random, Path], "Counter[str]"]
FAILED = "FAILED"


def built(count: int, draw: random.Random, folder: Path) -> Counter[str]:
    """Builds of the book, killed."""
    builds.make_book(folder)
    killed, _ = builds.killed(folder, count, draw)
    return Counter({"book: killed": killed, "book: finished before": count - killed})


PARTS: dict[str, tuple[Part, int]] = {
    "kills of the store": (faults.kills, 320),
    "kills of commands": (commands.kills, 200),
    "kills of builds": (built, 10),
    "kills of sweeps": (sweeps.kills, 24),
    "processes at once": (crowds.rounds, 16),
    "damaged files of the store": (faults.damage, 2000),
    "forged files of the store": (forgeries.forgeries, 1000),
    "checkpoints": (checkpoints.damage, 500),
    "TorchScript": (modules.damage, 500),
    "images and data sets": (images.damage, 5500),
    "argument lists and settings": (words.misuse, 6000),
    "calls of functions": (calls.misuse, 12000),
}


def main() -> int:
    """Do the parts that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; without: all")
    parser.add_argument("--share", type=float, default=1.0, help="of the cases")
    parser.add_argument("--seed", type=int, default=20261129)
    options = parser.parse_args()
    if unknown := set(options.parts) - PARTS.keys():
        parser.error(f"no part is called {', '.join(sorted(unknown))}")
    failed = 0
    for name, (part, full) in PARTS.items():
        if options.parts and name not in options.parts:
            continue
        start, count = time.monotonic(), max(1, round(options.share * full))
        with tempfile.TemporaryDirectory() as folder:
            counts = part(count, random.Random(f"{options.seed} {name}"), Path(folder))
        print(f"{name}: {count:,} cases, {time.monotonic() - start:.0f} s")
        for what, times in sorted(counts.items()):
            print(f"  {times:7,} {what}", flush=True)
        failed += sum(times for what, times in counts.items() if FAILED in what)
    print(f"{failed:,} cases failed" if failed else "no case failed")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
