"""Sweeps of many records on two workers, in which jobs and Snakemake itself are killed at random moments.

A kill may cost time and nothing else: the same command, given until it says that all is done, ends with the
records of a sweep that was left alone, digest for digest, and with no partial result.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SNAKEMAKE = Path(os.environ.get("SNAKEMAKE") or ROOT / ".venv-sweep" / "bin" / "snakemake")
GRID = ROOT / "sweep" / "grids" / "smoke.yaml"
WORKERS = 2
KILLED = ("killed: Snakemake", "killed: a job")
STARTS = 20  # of one sweep; more mean that it does not come to an end


def command(grid: Path | str, *words: str, **config: object) -> list[str]:
    """Snakemake on a grid, with this Python for the records."""
    given = {"grid": grid, "python": sys.executable, **config}
    config_words = [f"{name}={value}" for name, value in given.items()]
    start = [str(SNAKEMAKE), "-s", str(ROOT / "sweep" / "Snakefile"), "-c", str(WORKERS)]
    return [*start, *words, "--config", *config_words]


def environment(root: Path) -> dict[str, str]:
    """For records under `root`."""
    return {**os.environ, "DIFFNOTES_ROOT": str(root), "OMP_NUM_THREADS": "1"}


def started(root: Path, grid: Path) -> subprocess.Popen[bytes]:
    """A sweep, begun, in a session of its own; what it says is in `said` beside the records."""
    with (root / "said").open("ab") as said:
        return subprocess.Popen(
            command(grid), env=environment(root), stdout=said, stderr=said, start_new_session=True, cwd=root
        )


def jobs(root: Path) -> list[int]:
    """The processes that make records under `root`, those of a killed Snakemake too."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
            if words[1:4] == [b"-m", b"diffnotes", b"run"] and (folder / "cwd").samefile(root):
                found.append(int(folder.name))
        except OSError:  # it has ended
            continue
    return sorted(found)


def kill(process: int) -> bool:
    """Whether it was still there to be killed."""
    try:
        os.kill(process, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def swept(root: Path, grid: Path, kills: int, draw: random.Random, span: float) -> Counter[str]:
    """Give the command until all is done; kill so often on the way, each time up to `span` seconds after some
    job was seen at work.
    """
    root.mkdir()
    counts: Counter[str] = Counter()
    for _ in range(STARTS):
        process = started(root, grid)
        counts["starts"] += 1
        while process.poll() is None:
            if kills <= sum(counts[name] for name in KILLED):
                process.wait()
            elif jobs(root):
                time.sleep(draw.uniform(0, span))
                counts[strike(process, root, draw)] += 1
            else:
                time.sleep(0.05)
        if process.returncode == 0:
            while jobs(root):  # of a Snakemake that was killed: they find that all is done
                time.sleep(0.05)
            return counts
    raise AssertionError((root / "said").read_text(encoding="utf-8"))


def seconds_of_jobs(root: Path, grid: Path) -> float:
    """Leave a sweep alone; how long its jobs took, all together."""
    root.mkdir()
    process, seconds, before = started(root, grid), 0.0, time.monotonic()
    while process.poll() is None:
        time.sleep(0.05)
        now = time.monotonic()
        seconds += len(jobs(root)) * (now - before)
        before = now
    if process.returncode:
        raise AssertionError((root / "said").read_text(encoding="utf-8"))
    return seconds


def strike(process: subprocess.Popen[bytes], root: Path, draw: random.Random) -> str:
    """Kill Snakemake, or a job; what was killed."""
    if process.poll() is None and draw.random() < 0.4:
        process.kill()
        process.wait()
        return KILLED[0]
    alive = jobs(root)
    return KILLED[1] if alive and kill(draw.choice(alive)) else "came too late"


def digests(root: Path) -> dict[str, str]:
    """Of every record, that of its arrays."""
    found = {}
    for path in sorted(root.glob("runs/*/*/record.json")):
        found[f"{path.parts[-3]}/{path.parts[-2]}"] = json.loads(path.read_text(encoding="utf-8"))["digest"]
    return found


def compared(root: Path, whole: dict[str, str]) -> str:
    """Whether the records are those of a sweep that was left alone, and nothing else is left."""
    left = [str(path.relative_to(root)) for path in root.glob("runs/*/*/partial-*")]
    if left:
        return f"FAILED: left behind: {left}"
    found = digests(root)
    if found == whole:
        return f"sweeps of {len(whole)} equal records"
    return f"FAILED: {sorted(name for name, _ in found.items() ^ whole.items())}"


def kills(count: int, draw: random.Random, folder: Path, grid: Path = GRID) -> Counter[str]:
    """So many kills: as many in each sweep as it has records, or less in the last one."""
    span = seconds_of_jobs(folder / "whole", grid)
    whole = digests(folder / "whole")
    span /= max(len(whole), 1)
    counts: Counter[str] = Counter({"records of a sweep that was left alone": len(whole)})
    for number, left in enumerate(range(count, 0, -len(whole))):
        root = folder / f"sweep {number}"
        counts += swept(root, grid, min(left, len(whole)), draw, span)
        counts[compared(root, whole)] += 1
    return counts
