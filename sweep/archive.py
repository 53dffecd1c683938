"""Execute notebooks for the archive: `archive.py run NOTEBOOK PROFILE OUT` and `archive.py pack ZIP OUT...`.

`run` executes one notebook with papermill and writes OUT, and its line of the manifest in a .json beside it.
`pack` puts executed notebooks and one manifest into a zip. Each writes its result last, at once. This is for
the project's Python.
"""

from __future__ import annotations

import io
import json
import os
import sys
import time
import zipfile
from pathlib import Path

import nbformat
from build_book import kernel_environment  # tools/ is on the path

from diffnotes.base import files
from diffnotes.store import records


def run(notebook: Path, profile: str, out: Path) -> str:
    """Execute a notebook; "" or what went wrong. One that failed stays beside `out`, with its error in it."""
    import papermill  # with which a process counts as a notebook

    parameters = {"profile": profile} if takes_parameters(notebook) else {}
    start, begun = time.monotonic(), out.with_name(f"unfinished-{out.name}")
    out.parent.mkdir(parents=True, exist_ok=True)
    try:
        papermill.execute_notebook(
            notebook, begun, parameters=parameters, kernel_name="python3", progress_bar=False
        )
    except papermill.PapermillExecutionError as error:
        return f"{notebook.name}: {error.ename}: {error.evalue}; see {begun}"
    line = {
        "notebook": notebook.name,
        "parameters": parameters,
        **records.commit(),
        "seconds": round(time.monotonic() - start, 1),
        "sha256": files.sha256_file(begun),
    }
    files.write_atomic(out.with_suffix(".json"), (json.dumps(line, indent=1) + "\n").encode())
    begun.replace(out)
    return ""


def takes_parameters(notebook: Path) -> bool:
    """Whether it has a cell of parameters."""
    cells = nbformat.read(notebook, as_version=4).cells
    return any("parameters" in cell.metadata.get("tags", ()) for cell in cells)


def pack(archive: Path, executed: list[Path]) -> None:
    """All executed notebooks, and what is known of each."""
    manifest = [json.loads(path.with_suffix(".json").read_text(encoding="utf-8")) for path in executed]
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as new:
        for path in executed:
            new.write(path, path.name)
        new.writestr("manifest.json", json.dumps(manifest, indent=1) + "\n")
    files.write_atomic(archive, buffer.getvalue())


def main(words: list[str]) -> int:
    """Do what is asked; 1 if a notebook fails."""
    if words[:1] == ["run"] and len(words) == 4:
        threads = os.environ.get("OMP_NUM_THREADS", "1")
        os.environ.update(kernel_environment() | {"OMP_NUM_THREADS": threads})
        failure = run(Path(words[1]), words[2], Path(words[3]))
        print(failure, file=sys.stderr, end="\n" if failure else "")
        return int(bool(failure))
    if words[:1] == ["pack"] and len(words) > 2:
        pack(Path(words[1]), [Path(word) for word in words[2:]])
        return 0
    print("usage: archive.py run NOTEBOOK PROFILE OUT | pack ZIP OUT...", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
