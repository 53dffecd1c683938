"""Execute every notebook of the book, two at a time, then build its pages: `build_book` runs this.

The outputs go through a notebook cache that is emptied before and filled by this very build, so every page is
executed on every build. A notebook that fails is not in it: the builder executes it again, and reports it.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import nbformat
import yaml
from jupyter_cache import get_cache
from jupyter_cache.base import CacheBundleIn
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbclient.util import run_sync
from nbformat import NotebookNode

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


@dataclass(frozen=True)
class Executed:
    """A notebook, the seconds that it took, and whether it came to its end."""

    notebook: NotebookNode
    seconds: float
    whole: bool


def execute(path: Path, kernel: AsyncKernelManager) -> Executed:
    """Execute a notebook in a kernel, as the builder would."""
    notebook, start = nbformat.read(path, 4), time.monotonic()
    how = {"timeout": settings()["execute"]["timeout"], "record_timing": False}  # the cache wants no timings
    client = NotebookClient(notebook, km=kernel, **how)
    try:
        client.execute()
        whole = True
    except (CellExecutionError, CellTimeoutError, DeadKernelError):
        whole = False
    finally:
        if client.kc:
            client.kc.stop_channels()
    return Executed(notebook, time.monotonic() - start, whole)


def forgets(kernel: AsyncKernelManager, folder: Path) -> bool:
    """Leave no name and no cell of the notebook before, only the packages that it loaded; go to the folder.

    False where the kernel has died, or does not answer.
    """
    client = kernel.blocking_client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=60)
        code = f"get_ipython().reset(); __import__('os').chdir({str(folder)!r})"
        return client.execute_interactive(code, silent=True, timeout=60)["content"]["status"] == "ok"
    except (RuntimeError, TimeoutError):
        return False
    finally:
        client.stop_channels()


def execute_all(paths: list[Path]) -> list[Executed]:
    """Execute notebooks one after the other in one kernel, since each new one loads torch and its like."""
    kernel, found = None, []
    try:
        for path in paths:
            if kernel and not forgets(kernel, path.parent):
                run_sync(kernel.shutdown_kernel)(now=True)
                kernel = None
            if not kernel:
                kernel = AsyncKernelManager(kernel_name="python3")
                run_sync(kernel.start_kernel)(cwd=str(path.parent))
            found.append(execute(path, kernel))
            print(f"{path.name}: {found[-1].seconds:.0f} s", flush=True)
    finally:
        if kernel:
            run_sync(kernel.shutdown_kernel)(now=True)
    return found


def shared(paths: list[Path]) -> list[list[Path]]:
    """Notebooks, the largest first, for AT_ONCE kernels: there and back, so that each has as much to do."""
    rounds = [paths[k : k + AT_ONCE] for k in range(0, len(paths), AT_ONCE)]
    turned = [part[::-1] if k % 2 else part for k, part in enumerate(rounds)]
    return [[part[k] for part in turned if k < len(part)] for k in range(AT_ONCE)]


def fill() -> None:
    """Execute all notebooks into an empty cache."""
    shutil.rmtree(CACHE, ignore_errors=True)
    cache, parts = get_cache(CACHE), shared(notebooks())
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for paths, results in zip(parts, pool.map(execute_all, parts), strict=True):
            for path, done in zip(paths, results, strict=True):
                if done.whole:
                    data = {"execution_seconds": done.seconds}
                    bundle = CacheBundleIn(done.notebook, str(path), data=data)
                    cache.cache_notebook_bundle(bundle, check_validity=False, overwrite=True)


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
