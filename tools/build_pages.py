"""Execute every notebook of the book, two at a time, then build its pages: `build_book` runs this.

The outputs go through a notebook cache that is emptied before and filled by this very build, so every page is
executed on every build. A notebook that fails is not in it: the builder executes it again, and reports it.
"""

from __future__ import annotations

import os
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat
import yaml
from jupyter_cache import get_cache
from jupyter_cache.base import CacheBundleIn
from jupyter_cache.executors.utils import ExecutionResult, single_nb_execution

ROOT = Path(__file__).resolve().parent.parent
CACHE, CONFIG = ROOT / "_build" / "executed", ROOT / "_build" / "config.yml"
AT_ONCE = 2  # the waiting of one fills the pauses of the other; each kernel computes on few threads anyway


def settings() -> dict:
    """The settings of the book."""
    return yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))


def pages() -> list[str]:
    """Every page in the table of contents, as a path without its ending."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    return [toc["root"], *(entry["file"] for part in toc.get("parts", ()) for entry in part["chapters"])]


def notebooks() -> list[Path]:
    """The notebooks among the pages, the largest first, since they take longest."""
    paths = [ROOT / f"{page}.ipynb" for page in pages()]
    return sorted((path for path in paths if path.exists()), key=lambda path: -path.stat().st_size)


def execute(path: Path) -> ExecutionResult:
    """Execute a notebook in its folder, as the builder would."""
    notebook = nbformat.read(path, 4)
    timeout = settings()["execute"]["timeout"]
    return single_nb_execution(notebook, cwd=str(path.parent), timeout=timeout, allow_errors=False)


def fill() -> None:
    """Execute all notebooks into an empty cache."""
    shutil.rmtree(CACHE, ignore_errors=True)
    cache, paths = get_cache(CACHE), notebooks()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for path, done in zip(paths, pool.map(execute, paths), strict=True):
            if done.err is None:
                bundle = CacheBundleIn(done.nb, str(path), data={"execution_seconds": done.time})
                cache.cache_notebook_bundle(bundle, check_validity=False, overwrite=True)
            print(f"{path.name}: {done.time:.0f} s", flush=True)


def main() -> None:
    """Fill the cache, and become the builder."""
    fill()
    changed = settings()
    changed["execute"] |= {"execute_notebooks": "cache", "cache": str(CACHE)}
    own = changed["sphinx"].get("local_extensions", {})  # their folders are below the configuration's own
    changed["sphinx"]["local_extensions"] = {name: str(ROOT / folder) for name, folder in own.items()}
    CONFIG.write_text(yaml.safe_dump(changed), encoding="utf-8")
    program = str(Path(sys.prefix, "bin", "jupyter-book"))
    words = ["build", ".", "--all", "-W", "-n", "--keep-going", "--config", str(CONFIG)]
    os.chdir(ROOT)
    os.execv(program, [program, *words])


if __name__ == "__main__":
    main()
