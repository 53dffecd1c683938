"""Remove outputs and execution counts from the notebooks, as git keeps them; number their figures anew."""

from __future__ import annotations

from pathlib import Path

import nbformat
import number_figures

ROOT = Path(__file__).resolve().parent.parent
KEPT = {"kernelspec", "language_info"}


def strip(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Drop everything that executing leaves behind."""
    notebook.metadata = {key: value for key, value in notebook.metadata.items() if key in KEPT}
    notebook.metadata.get("language_info", {}).pop("version", None)  # else each Python would make a diff
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return notebook


def main() -> None:
    """Strip in place; a notebook that is clean stays untouched, byte for byte."""
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        old = path.read_text(encoding="utf-8")
        new = nbformat.writes(strip(nbformat.reads(old, as_version=4))) + "\n"
        if new != old:
            path.write_text(new, encoding="utf-8")
            print(f"stripped {path.relative_to(ROOT)}")
    number_figures.main()


if __name__ == "__main__":
    try:
        main()
    except number_figures.Misnumbered as error:
        raise SystemExit(f"Error: {error}") from None
