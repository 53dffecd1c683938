"""Run every benchmark, one after another (they measure time, so never two at once).

Arguments go to each benchmark: `--profile smoke`, `--max-seconds S` for each of them, `--pin`. What was
finished before an interruption is kept, and the same command continues.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def scripts(folder: Path) -> list[Path]:
    """The benchmarks of a folder, by name; files that begin with _ are none."""
    return sorted(folder.glob("[!_]*.py"))


def run(folder: Path, arguments: Sequence[str]) -> int:
    """Exit code of the first benchmark that fails or is unfinished (3), else 0."""
    for script in scripts(folder):
        print(f"== {script.name}", flush=True)
        code = subprocess.call([sys.executable, str(script), *arguments], cwd=ROOT)
        if code:
            return code
    return 0


if __name__ == "__main__":
    try:
        sys.exit(run(ROOT / "benchmarks", sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit("Interrupted; the same command continues.")
