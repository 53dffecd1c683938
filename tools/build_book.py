"""Execute every notebook and build the book: `python tools/build_book.py [--if-stale]`.

The page tests call `build(if_stale=True)`, so that they read what `make book` makes.
"""

from __future__ import annotations

import argparse
import ctypes
import fcntl
import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SITE = ROOT / "_build" / "html"
STAMP = ROOT / "_build" / "book.stamp"
LOG = ROOT / "_build" / "book.log"
INPUTS = [
    "_config.yml",
    "_toc.yml",
    "pyproject.toml",
    "requirements.txt",
    "book",
    "notebooks",
    "diffnotes",
    "results",
]
NOT_INPUTS = {"__pycache__", ".ipynb_checkpoints"}


class BuildError(Exception):
    """Told to the user in one sentence."""


def kernel_environment() -> dict[str, str]:
    """The user's environment with this virtual environment's kernel, without personal Jupyter set-ups."""
    own = Path(sys.prefix)
    dropped = ("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "MPLBACKEND")
    kept = {key: value for key, value in os.environ.items() if key not in dropped}
    return kept | {
        "JUPYTER_PATH": str(own / "share" / "jupyter"),
        "JUPYTER_CONFIG_DIR": str(own / "etc" / "jupyter-user"),
        "JUPYTER_DATA_DIR": str(own / "share" / "jupyter"),
        "JUPYTER_RUNTIME_DIR": str(ROOT / "_build" / "kernels"),
        "IPYTHONDIR": str(ROOT / "_build" / "ipython"),
        "PYTHONNOUSERSITE": "1",
        "DIFFNOTES_PAGES": "1",  # sliders for readers without a kernel, links from page to page
        # Two kernels work at once, and threads that wait for each other spin.
        "OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 2) // 2)),
    }


def input_files() -> Iterator[Path]:
    """Every file that can change a built page."""
    for name in INPUTS:
        path = ROOT / name
        candidates = sorted(path.rglob("*")) if path.is_dir() else [path]
        yield from (file for file in candidates if file.is_file() and not NOT_INPUTS & set(file.parts))


def inputs_digest() -> str:
    """One digest over names and contents of all inputs."""
    digest = hashlib.sha256()
    for file in input_files():
        digest.update(f"{file.relative_to(ROOT)}\0{hashlib.sha256(file.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()


def is_fresh() -> bool:
    """Whether the built pages belong to the present inputs."""
    return STAMP.exists() and (SITE / "index.html").exists() and STAMP.read_text() == inputs_digest()


def complaints(log: str) -> str:
    """What each failed notebook said, and the warnings, out of a log that is mostly progress."""
    lines = [line for line in log.splitlines() if re.search(r"WARNING|ERROR|Error:", line)]
    lines = [line for line in lines if "IPKernelApp" not in line]
    reports = [Path(name) for name in re.findall(r"traceback saved in: (.+?\.err\.log)", log)]
    said = [
        f"{path.name.removesuffix('.err.log')}: {last_line(path.read_text(encoding='utf-8'))}"
        for path in reports
        if path.exists()
    ]
    return "\n".join([*said, *lines[:40]] or log.splitlines()[-20:])


def last_line(text: str) -> str:
    """The line of a traceback that says what was wrong."""
    return (plain(text).strip().splitlines() or ["nothing"])[-1]


def plain(text: str) -> str:
    """Text without the codes that colour it on a terminal."""
    return re.sub(r"\x1b\[[\d;]*m", "", text)


def die_with_parent() -> None:
    """Let a process end when this one is killed; an orphan would go on writing into the next build."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def run_builder() -> tuple[int, str]:
    """Run the builder; return its exit code and everything it printed."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "build_pages.py")],
        cwd=ROOT,
        preexec_fn=die_with_parent,
        env=kernel_environment() | {"NO_COLOR": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    )
    return done.returncode, plain(done.stdout)


def build(if_stale: bool = False) -> Path:
    """Build the book and return its folder; with `if_stale`, re-use pages whose inputs have not changed.

    Whoever comes while another process builds waits for it.
    """
    LOG.parent.mkdir(exist_ok=True)
    with open(LOG.with_name("book.lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # gone with the process that holds it, however that ends
        return SITE if if_stale and is_fresh() else _built()


def _built() -> Path:
    """The pages, built anew."""
    STAMP.unlink(missing_ok=True)
    shutil.rmtree(SITE, ignore_errors=True)  # no page of an earlier table of contents stays behind
    digest, start = inputs_digest(), time.monotonic()
    print("Executing the notebooks and building the book ...", flush=True)
    code, log = run_builder()
    LOG.write_text(log, encoding="utf-8")
    if code:
        raise BuildError(f"The book did not build:\n{complaints(log)}\nFull log: {LOG}")
    STAMP.write_text(digest)
    print(f"Built in {time.monotonic() - start:.0f} s: {SITE / 'index.html'}", flush=True)
    return SITE


def asked_for_status() -> subprocess.Popen[str]:
    """A process that says in one line what is stale or missing, while the pages are built."""
    return subprocess.Popen(
        [sys.executable, "-m", "diffnotes", "status", "--summary"],
        cwd=ROOT,
        preexec_fn=die_with_parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def print_status(asked: subprocess.Popen[str]) -> None:
    """What that process says."""
    said, failed = asked.communicate()
    if asked.returncode not in (0, 4):  # 4: something is stale, and the line says so
        raise BuildError(f"The state of the records is unknown: {last_line(failed)}")
    print(said.strip())


def main(if_stale: bool) -> None:
    """Build, then say where the page is and what it lacks."""
    asked = asked_for_status()
    try:
        build(if_stale)
        print_status(asked)
    finally:
        asked.kill()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Execute every notebook and build the book.")
    parser.add_argument("--if-stale", action="store_true", help="keep pages whose inputs have not changed")
    try:
        main(parser.parse_args().if_stale)
    except BuildError as error:
        sys.exit(f"Error: {error}")
    except KeyboardInterrupt:
        sys.exit("Interrupted; run the same command again.")
