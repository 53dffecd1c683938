"""Every command, link and import that the README and the prose show is real."""

from __future__ import annotations

import ast
import importlib
import io
import re
import shlex
from contextlib import redirect_stderr, redirect_stdout
from functools import cache
from itertools import takewhile
from pathlib import Path
from xml.etree import ElementTree

import hero
import nbformat
import pytest
import refresh_readme
from plan import DEFAULTS

from diffnotes.__main__ import main

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "book").glob("*.md"))]
BLOCK = re.compile(r"^```(sh|bash|shell|console|python)\n(.*?)^```", re.DOTALL | re.MULTILINE)
INLINE = re.compile(r"(?<!`)`((?:make|python -m diffnotes|papermill) [^`]+)`(?!`)")
# Programs whose arguments are the reader's own business.
TAKEN_AS_READ = {"git", "cd", "source", "export", "jupyter", "sbatch", "open", "[", "break", "sleep"}
CONTROL = {"until", "while", "do", "done", "if", "then", "else", "fi", "!"}
PLACEHOLDER = re.compile(r"^[A-Z_]+$|[<>…\[\]]|^\.\.\.$")


def commands(text: str) -> list[str]:
    """Shell commands of a page: from shell blocks, and inline code that begins with one of our programs."""
    blocks = [body.replace("\\\n", " ") for kind, body in BLOCK.findall(text) if kind != "python"]
    lines = [line.removeprefix("$ ") for body in blocks for line in body.splitlines()]
    parts = [part.strip() for line in lines for part in re.split(r"[;&|]+", re.sub(r"(^|\s)#.*", "", line))]
    return [part for part in [*parts, *INLINE.findall(without_blocks(text))] if part]


def without_blocks(text: str) -> str:
    """The prose of a page."""
    return re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)


def words(command: str) -> list[str]:
    """A command's words without comments, what the shell reads in front of it, and its program's folder."""
    found = shlex.split(command, comments=True)
    while found and (found[0] in CONTROL or re.match(r"^\w+=", found[0])):
        found.pop(0)
    return [Path(found[0]).name, *found[1:]] if found else []


def fault(command: str) -> str:
    """What is wrong with a command, or ""."""
    program, *rest = words(command) or ["cd"]
    if program == "make":
        return make_fault(rest)
    if program.startswith("python") and rest[:2] == ["-m", "diffnotes"]:
        return command_line_fault(rest[2:])
    if program == "torchrun" and "-m" in rest:
        return fault(" ".join(["python", *rest[rest.index("-m") :]]))
    if program == "papermill":
        return papermill_fault(rest)
    if program.startswith("python") and rest and rest[0].endswith(".py"):
        return "" if (ROOT / rest[0]).is_file() else f"no file {rest[0]}"
    if program == "snakemake":
        return snakemake_fault(rest)
    return "" if program in TAKEN_AS_READ else f"unknown program {program}"


def snakemake_fault(rest: list[str]) -> str:
    """Files that are not there, and settings that the sweep does not have."""
    files = [name for flag, name in zip(rest, rest[1:], strict=False) if flag in ("-s", "--profile")]
    if gone := [name for name in files if not (ROOT / name).exists()]:
        return f"no file {gone[0]}"
    config = rest[rest.index("--config") + 1 :] if "--config" in rest else []
    given = [word.partition("=")[0] for word in takewhile(lambda word: not word.startswith("-"), config)]
    return next((f"no setting {name}" for name in given if name not in DEFAULTS), "")


def make_fault(rest: list[str]) -> str:
    """Targets that the Makefile does not have."""
    targets = re.findall(r"^([a-z][\w-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    wanted = [word for word in rest if "=" not in word]
    return next((f"no target {word}" for word in wanted if word not in targets), "")


@cache
def usage(subcommand: str) -> str:
    """What `python -m diffnotes SUBCOMMAND --help` prints; "" when it fails."""
    said = io.StringIO()
    with pytest.raises(SystemExit) as end, redirect_stdout(said), redirect_stderr(said):
        main([subcommand, "--help"])
    return said.getvalue() if end.value.code == 0 else ""


def command_line_fault(rest: list[str]) -> str:
    """Subcommands and options that the package's command line does not have."""
    if not rest or PLACEHOLDER.search(rest[0]):
        return ""
    if not usage(rest[0]):
        return f"no subcommand {rest[0]}"
    known = set(re.findall(r"--[\w-]+", usage(rest[0])))
    options = [word.split("=")[0] for word in rest[1:] if word.startswith("--")]
    return next((f"no option {option}" for option in options if option not in known), "")


def papermill_fault(rest: list[str]) -> str:
    """Notebooks that are not there and parameters that they do not have."""
    notebook = ROOT / rest[0]
    if not notebook.is_file():
        return f"no notebook {rest[0]}"
    given = [name for flag, name in zip(rest, rest[1:], strict=False) if flag in ("-p", "--parameters")]
    return next((f"no parameter {name}" for name in given if name not in parameters(notebook)), "")


def parameters(notebook: Path) -> set[str]:
    """Names in the notebook's cell of parameters."""
    cells = nbformat.v4.reads_json(notebook.read_text(encoding="utf-8")).cells
    tagged = [cell.source for cell in cells if "parameters" in cell.metadata.get("tags", [])]
    return {
        node.id for source in tagged for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Name)
    }


def dead_imports(text: str) -> list[str]:
    """Names that Python blocks import from the package and that are not there; the blocks must parse. A file
    that the page itself prints is there.
    """
    trees = [ast.parse(body) for kind, body in BLOCK.findall(text) if kind == "python"]
    found = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    own = [node for node in found if node.module and node.module.split(".")[0] == "diffnotes"]
    printed = {
        name.replace("/", ".") for name in re.findall(r"^`(diffnotes/[\w/]+)\.py`", text, re.MULTILINE)
    }
    pairs = [(str(node.module), alias.name) for node in own for alias in node.names]
    pairs = [pair for pair in pairs if not {pair[0], ".".join(pair)} & printed]
    return [f"{module}.{name}" for module, name in pairs if not exists(module, name)]


def exists(module: str, name: str) -> bool:
    """Whether `from module import name` works."""
    try:
        return hasattr(importlib.import_module(module), name) or bool(
            importlib.import_module(f"{module}.{name}")
        )
    except ImportError:
        return False


def dead_links(text: str, folder: Path) -> list[str]:
    """Relative links and pictures that lead to no file."""
    links = re.findall(r"\]\(([^)\s#]+)(?:#[^)\s]*)?\)", without_blocks(text))
    return [link for link in links if not re.match(r"[a-z]+:", link) and not (folder / link).exists()]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_page(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert {command: found for command in commands(text) if (found := fault(command))} == {}
    assert dead_imports(text) == []
    assert dead_links(text, page.parent) == []


def test_readme_has_the_two_commands() -> None:
    assert {"make book", "make test"} <= {" ".join(words(line)) for line in commands(PAGES[0].read_text())}


@pytest.mark.parametrize(
    ("command", "found"),
    [
        ("make PYTHON=python3.12 book  # comment", ""),
        ("make dinner", "no target dinner"),
        (".venv/bin/python -m diffnotes status", ""),
        ("python -m diffnotes stauts", "no subcommand stauts"),
        ("python -m diffnotes run toy_model --profil smoke", "no option --profil"),
        ("papermill notebooks/99_gone.ipynb out.ipynb", "no notebook notebooks/99_gone.ipynb"),
        ("papermill notebooks/claims.ipynb out.ipynb -p colour red", "no parameter colour"),
        ("python tools/gone.py", "no file tools/gone.py"),
        (".venv-sweep/bin/snakemake -s sweep/Snakefile --config grid=mine threads=2 -n", ""),
        ("snakemake -s sweep/Gone", "no file sweep/Gone"),
        ("snakemake -c 2 --config gird=mine", "no setting gird"),
        ("A=1 frobnicate", "unknown program frobnicate"),
        ("torchrun --nproc-per-node 2 -m diffnotes stauts", "no subcommand stauts"),
        ("until python -m diffnotes stauts", "no subcommand stauts"),
    ],
)
def test_wrong_command_is_found(command: str, found: str) -> None:
    assert fault(command).startswith(found)
    assert bool(fault(command)) == bool(found)


def test_commands_are_taken_from_blocks_and_inline_code() -> None:
    block = "```sh\nmake b   # why\n$ make c \\\n  d && make e\n# note\n```\n```python\nmake = 1\n```\n"
    found = commands(f"Run `make a` or\n{block}but not `other code`")
    assert [" ".join(words(line)) for line in found] == ["make b", "make c d", "make e", "make a"]


def test_dead_import_is_found() -> None:
    lines = "from diffnotes import store, dinner\nfrom diffnotes.base.errors import UserError"
    text = f"```python\n{lines}\n```\n"
    assert dead_imports(text) == ["diffnotes.dinner"]


def test_import_of_a_printed_file_is_alive() -> None:
    text = "`diffnotes/new/room.py` does it:\n\n```python\nfrom diffnotes.new.room import a, b\n```\n"
    assert dead_imports(text) == []
    assert dead_imports(text.replace("`diffnotes/new", "`diffnotes/old")) == [
        "diffnotes.new.room.a",
        "diffnotes.new.room.b",
    ]


@pytest.mark.parametrize("page", [ROOT / "README.md", ROOT / "book" / "intro.md"], ids=lambda page: page.name)
def test_every_chapter_of_the_book_is_linked(page: Path) -> None:
    inside = set(re.findall(r"notebooks/(\d\d_\w+)", (ROOT / "_toc.yml").read_text(encoding="utf-8")))
    files = {path.stem for path in (ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb")}
    linked = set(re.findall(r"\]\((?:\.\./)?notebooks/(\d\d_\w+)\.ipynb\)", page.read_text(encoding="utf-8")))
    assert inside == files == linked


def test_dead_link_is_found(tmp_path: Path) -> None:
    (tmp_path / "here.md").write_text("x")
    text = "[a](here.md#part) ![b](gone.svg) [c](https://arxiv.org)"
    assert dead_links(text, tmp_path) == ["gone.svg"]


# --- what `make readme` writes ---


def test_table_of_claims_is_current() -> None:
    with redirect_stdout(io.StringIO()) as printed:
        assert main(["claims", "--short"]) == 0
    table = printed.getvalue()
    text = PAGES[0].read_text(encoding="utf-8")
    assert f"<!-- claims:start -->\n{table}<!-- claims:end -->" in text, "run `make readme`"
    assert refresh_readme.with_claims(text) == text


def test_table_of_claims_is_replaced_and_the_rest_kept() -> None:
    old = "a\n<!-- claims:start -->\n| old |\n<!-- claims:end -->\nb\n"
    empty = "a\n<!-- claims:start -->\n<!-- claims:end -->\nb\n"
    new = refresh_readme.with_claims(old)
    assert "| old |" not in new
    assert "| claims of |" in new
    assert (new[:2], new[-2:]) == ("a\n", "b\n")
    assert refresh_readme.with_claims(empty) == new


def test_picture_shows_the_pinned_records() -> None:
    assert hero.PATH.read_text(encoding="utf-8") == hero.svg(), "run `make readme`"
    assert hero.ON_PAGE.read_text(encoding="utf-8") == hero.panels(), "run `make readme`"


def test_picture_follows_light_and_dark_and_asks_nobody() -> None:
    text = hero.PATH.read_text(encoding="utf-8")
    root = ElementTree.fromstring(text)
    assert root.get("width") == "800"
    assert len(text) < 200_000
    assert "currentColor" in text
    assert "prefers-color-scheme:dark" in text
    assert "<script" not in text
    assert re.findall(r'(?:href|src)="(?!#|data:)[^"]*"', text) == []


def test_picture_of_a_missing_record_says_so(elsewhere: Path) -> None:
    with pytest.raises(hero.store.MissingRecord, match="toy_model"):
        hero.svg()
