"""Run the notebooks with parameters in their smoke profiles through papermill; report the seconds of each."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from build_book import ROOT, kernel_environment

from diffnotes.show.numbers import PAGES

OUT = ROOT / "runs" / "smoke"


def pages() -> list[Path]:
    """The notebooks with figures: chapters in the order of the book, then the others."""
    return [ROOT / "notebooks" / f"{name}.ipynb" for name in PAGES.values()]


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
    """Exit code 1 if any notebook fails; the seconds are reported, not judged."""
    os.environ.update(kernel_environment())
    OUT.mkdir(parents=True, exist_ok=True)
    passed = [report(notebook) for notebook in pages()]
    print(f"{sum(passed)} of {len(passed)} notebooks passed; executed notebooks: {OUT.relative_to(ROOT)}")
    return 0 if all(passed) else 1


if __name__ == "__main__":
    sys.exit(main())
