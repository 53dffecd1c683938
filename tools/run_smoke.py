"""Run every chapter notebook in its smoke profile through papermill and report the seconds each takes."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from build_book import ROOT, kernel_environment

OUT = ROOT / "runs" / "smoke"


def chapters() -> list[Path]:
    """The chapter notebooks, in the order of the book."""
    return sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))


def execute(notebook: Path) -> str:
    """Run one notebook; return "" or its error. The executed notebook is kept, also after an error."""
    import papermill

    try:
        papermill.execute_notebook(
            notebook,
            OUT / notebook.name,
            parameters={"profile": "smoke"},
            kernel_name="python3",
            progress_bar=False,
        )
    except papermill.PapermillExecutionError as error:
        return f"{error.ename}: {error.evalue}"
    return ""


def report(notebook: Path) -> bool:
    """Run one notebook and print its line; tell whether it passed."""
    start = time.monotonic()
    failure = execute(notebook)
    seconds = time.monotonic() - start
    print(f"{notebook.name:<32} {seconds:6.1f} s  {failure or 'ok'}", flush=True)
    return not failure


def main() -> int:
    """Exit code 1 if any chapter fails; the seconds are reported, not judged."""
    os.environ.update(kernel_environment())
    OUT.mkdir(parents=True, exist_ok=True)
    passed = [report(notebook) for notebook in chapters()]
    print(f"{sum(passed)} of {len(passed)} chapters passed; executed notebooks: {OUT.relative_to(ROOT)}")
    return 0 if all(passed) else 1


if __name__ == "__main__":
    sys.exit(main())
