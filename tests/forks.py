"""Python processes that begin with torch and its like loaded: a server of its own forks one for each command.

A test that asks a changed copy of the package for something needs a fresh process for it, and most of the
seconds of such a process go into importing packages that have not changed. The server has imported those, and
nothing of `diffnotes`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

LOADED = ("torch", "sklearn.datasets", "scipy.special", "PIL.Image", "tqdm")


class Forks:
    """The server, running; `run` does `python -c SOURCE WORDS` or `python -m MODULE WORDS`."""

    def __init__(self) -> None:
        here = {**os.environ, "OMP_NUM_THREADS": "1"}  # a process with threads must not fork
        self.server = subprocess.Popen(
            [sys.executable, __file__], env=here, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def run(
        self, flag: str, code: str, *words: str, cwd: Path, environment: Mapping[str, str]
    ) -> subprocess.CompletedProcess[str]:
        """What `python FLAG CODE WORDS` printed and how it ended."""
        assert self.server.stdin is not None
        assert self.server.stdout is not None
        with tempfile.TemporaryDirectory() as folder:
            asked = [flag, code, list(words), str(cwd), dict(environment), folder]
            print(json.dumps(asked), file=self.server.stdin, flush=True)
            status = int(self.server.stdout.readline())
            printed = [(Path(folder) / name).read_text(encoding="utf-8") for name in ("1", "2")]
        return subprocess.CompletedProcess([flag, code, *words], status, *printed)

    def close(self) -> None:
        """End the server."""
        self.server.communicate()


def serve() -> None:
    """One line of JSON for each command; its exit status in return."""
    for name in LOADED:
        __import__(name)
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            _become(*json.loads(line))
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


def _become(flag: str, code: str, words: list[str], cwd: str, environment: dict[str, str], out: str) -> None:
    """Be that command from here on, as far as it can see."""
    for number in (1, 2):
        os.dup2(os.open(f"{out}/{number}", os.O_WRONLY | os.O_CREAT), number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    sys.path[:1] = ["", *environment.get("PYTHONPATH", "").split(os.pathsep)]
    sys.dont_write_bytecode = bool(environment.get("PYTHONDONTWRITEBYTECODE"))
    sys.argv = [flag, *words]
    status = 1
    try:
        status = _run(flag, code)
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(status)


def _run(flag: str, code: str) -> int:
    import runpy
    import traceback

    try:
        if flag == "-c":
            exec(compile(code, "<string>", "exec"), {"__name__": "__main__"})
        else:
            runpy.run_module(code, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    del sys.path[0]  # of this folder
    serve()
