"""What a notebook may hold.

Each rule is a function from a notebook to its faults, and each is fed a notebook that breaks it.
"""

from __future__ import annotations

import ast
import copy
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from diffnotes.show.numbers import PAGES

NOTEBOOKS = sorted((Path(__file__).resolve().parents[2] / "notebooks").glob("*.ipynb"))
CHAPTERS = [path for path in NOTEBOOKS if re.match(r"\d\d_", path.name)]
PARTS = {"chapters", "show", "store"}  # a record and what is drawn of it
# What the cells with the science are checked against.
ENGINE = {"data", "process", "posterior", "optimal_loss", "networks", "train", "sample", "metrics", "regions"}
ENGINE |= {"loss_gap", "schedule", "diagnose", "adapters", "watch"}
NETWORK = {"requests", "urllib", "urllib3", "http", "socket", "ftplib", "aiohttp", "httpx", "huggingface_hub"}
SHELL = {"subprocess", "pty", "sh"}
SILENCING = re.compile(
    r"filterwarnings|simplefilter|catch_warnings|captureWarnings|seterr|logging\.disable|/dev/null"
)
PLACE = re.compile(r"^(?:/|~|file:|[A-Za-z]:[\\/])")
ADDRESS = re.compile(r"^(?:https?|ftp)://")
ENDING = "What did not reproduce"
FIRST_LINE = re.compile(r"# Parameters.*\w")  # papermill's own cell begins with "# Parameters" and no more


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    """The code cells, in order."""
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def is_parameters(cell: NotebookNode) -> bool:
    """Whether papermill replaces this cell's values."""
    return "parameters" in cell.metadata.get("tags", [])


def plain(source: str) -> str:
    """Source without the lines that only IPython understands; `shell_escapes` reports those."""
    return "\n".join("pass" if re.match(r"\s*[!%?]", line) else line for line in source.splitlines())


def nodes(notebook: NotebookNode) -> Iterator[ast.AST]:
    """Every syntax node of all code cells."""
    for cell in code_cells(notebook):
        yield from ast.walk(ast.parse(plain(cell.source)))


def texts(notebook: NotebookNode) -> list[str]:
    """Every string in the code."""
    found = [node.value for node in nodes(notebook) if isinstance(node, ast.Constant)]
    return [value for value in found if isinstance(value, str)]


def imported(notebook: NotebookNode) -> set[str]:
    """Dotted names that the code imports."""
    names: set[str] = set()
    for node in nodes(notebook):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


# --- rules for chapters ---


def is_literal(statement: ast.stmt) -> bool:
    """Whether a statement gives one name a plain value."""
    if not isinstance(statement, ast.Assign | ast.AnnAssign) or statement.value is None:
        return False
    targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
    try:
        ast.literal_eval(statement.value)
    except ValueError:
        return False
    return len(targets) == 1 and isinstance(targets[0], ast.Name)


def parameter_faults(notebook: NotebookNode) -> Iterator[str]:
    """One cell of literals tagged `parameters` with a first line of its own, then the typed spec."""
    cells = code_cells(notebook)
    tagged = [index for index, cell in enumerate(cells) if is_parameters(cell)]
    if len(tagged) != 1:
        yield f"{len(tagged)} cells are tagged parameters"
        return
    if not FIRST_LINE.match(cells[tagged[0]].source):
        yield "the parameters do not begin with a comment of their own: # Parameters: ..."
    body = ast.parse(plain(cells[tagged[0]].source)).body
    yield from (f"no literal: {ast.unparse(line)}" for line in body if not is_literal(line))
    after = cells[tagged[0] + 1].source if tagged[0] + 1 < len(cells) else ""
    calls = [node for node in ast.walk(ast.parse(plain(after))) if isinstance(node, ast.Call)]
    asked = [call for call in calls if ast.unparse(call.func) == "store.parameters"]
    if not asked:
        yield "the cell after the parameters does not call store.parameters"
        return
    passed = {word.arg: ast.unparse(word.value) for word in asked[0].keywords}
    yield from (
        f"{name} is not passed on as {name}={name}" for name in named(body) if passed.get(name) != name
    )


def named(body: list[ast.stmt]) -> list[str]:
    """The names that the assignments give a value."""
    nodes = [node for statement in body for node in ast.walk(statement)]
    return [node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)]


def ending_faults(notebook: NotebookNode) -> Iterator[str]:
    """The last section says what did not reproduce; only "Next" may follow, and the section is not empty."""
    text = "\n".join(cell.source if cell.cell_type == "markdown" else "(code)" for cell in notebook.cells)
    sections = re.split(r"^## +(.+?)\s*$", text, flags=re.MULTILINE)
    named = list(zip(sections[1::2], sections[2::2], strict=True))
    if named and named[-1][0] == "Next":
        named.pop()
    if not named or named[-1][0] != ENDING:
        yield f'the last section is not "{ENDING}"'
    elif not named[-1][1].strip():
        yield f'"{ENDING}" is empty'


# --- rules for the chapters of the book ---

HIDDEN = {"parameters", "remove-input", "hide-input", "remove-cell", "hide-cell"}
CHECKED = re.compile(r"\bassert\b|\b(?:all|is)close\(")


def shown(notebook: NotebookNode) -> list[NotebookNode]:
    """The code cells whose code a reader sees."""
    return [cell for cell in code_cells(notebook) if not HIDDEN & set(cell.metadata.get("tags", []))]


def science_faults(notebook: NotebookNode) -> Iterator[str]:
    """At least three visible cells do a formula by hand and compare it with the engine."""
    found = sum(bool(CHECKED.search(cell.source)) for cell in shown(notebook))
    if found < 3:
        yield f"{found} visible cells compare a formula with the engine, of at least 3"


def exercise_faults(notebook: NotebookNode) -> Iterator[str]:
    """At least two visible cells end with a function that checks the reader's answer."""
    names = {name.split(".")[-1] for name in imported(notebook) if ".exercises" in name}
    ends = [cell.source.strip().splitlines()[-1] for cell in shown(notebook) if cell.source.strip()]
    found = sum(re.split(r"[.(]", end)[0] in names for end in ends)
    if found < 2:
        yield f"{found} exercises with a checking function, of at least 2"


def shown_faults(notebook: NotebookNode) -> Iterator[str]:
    """A cell of one statement, such as the call of a figure, is hidden by its tag."""
    for cell in shown(notebook):
        if len(ast.parse(plain(cell.source)).body) <= 1:
            yield f"visible, though one statement: {cell.source.splitlines()[0]}"


# --- rules for every notebook ---


def file_faults(notebook: NotebookNode) -> Iterator[str]:
    """A valid notebook as git keeps it: cell ids, no outputs, no execution counts, a title."""
    ids = [cell.get("id") for cell in notebook.cells]
    if (notebook.nbformat, notebook.nbformat_minor) < (4, 5) or None in ids or len(set(ids)) < len(ids):
        yield "cells without an id of their own"
    else:
        yield from format_faults(notebook)
    if any(cell.get("outputs") or cell.get("execution_count") is not None for cell in notebook.cells):
        yield "has outputs or execution counts; run: make strip"
    first = notebook.cells[0] if notebook.cells else new_markdown_cell()
    if first.cell_type != "markdown" or not first.source.startswith("# "):
        yield "does not begin with a title"


def format_faults(notebook: NotebookNode) -> Iterator[str]:
    """What nbformat's schema rejects; on a copy, because `validate` repairs what it is given."""
    try:
        nbformat.validate(copy.deepcopy(notebook))
    except nbformat.ValidationError as error:
        yield f"not valid: {error.message}"


def definition_faults(notebook: NotebookNode) -> Iterator[str]:
    """No function or class of more than five lines: it belongs into the package."""
    kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    found = [
        (node.name, node.end_lineno - node.lineno + 1) for node in nodes(notebook) if isinstance(node, kinds)
    ]
    yield from (f"{name} has {lines} lines" for name, lines in found if lines > 5)


def place_faults(notebook: NotebookNode) -> Iterator[str]:
    """No place of one machine, neither in code nor as a link in prose."""
    prose = " ".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    links = re.findall(r"\]\(([^)\s]+)", prose) + re.findall(r"(?:href|src)=[\"']([^\"']+)", prose)
    yield from (f"path {text}" for text in texts(notebook) + links if PLACE.match(text) and len(text) > 1)


def shell_faults(notebook: NotebookNode) -> Iterator[str]:
    """Plain Python: no shell escape, no magic, no subprocess."""
    lines = [line.strip() for cell in code_cells(notebook) for line in cell.source.splitlines()]
    yield from (f"escape {line}" for line in lines if re.match(r"[!%?]", line))
    yield from (f"imports {name}" for name in sorted(imported(notebook)) if name.split(".")[0] in SHELL)
    called = [ast.unparse(node.func) for node in nodes(notebook) if isinstance(node, ast.Call)]
    yield from (f"calls {name}" for name in called if name in ("os.system", "os.popen", "get_ipython"))


def network_faults(notebook: NotebookNode) -> Iterator[str]:
    """Nothing from the network: data come through `python -m diffnotes fetch`, asked for by a person."""
    yield from (f"imports {name}" for name in sorted(imported(notebook)) if name.split(".")[0] in NETWORK)
    yield from (f"address {text}" for text in texts(notebook) if ADDRESS.match(text))


def warning_faults(notebook: NotebookNode) -> Iterator[str]:
    """No warning is silenced."""
    for cell in code_cells(notebook):
        yield from (f"silences warnings: {found}" for found in SILENCING.findall(cell.source))


def layer_faults(notebook: NotebookNode) -> Iterator[str]:
    """From the package only chapters, show and store, and the engine; nothing from below it."""
    own = [name.split(".") for name in sorted(imported(notebook)) if name.split(".")[0] == "diffnotes"]
    yield from (f"imports {'.'.join(name)}" for name in own if len(name) < 2 or name[1] not in PARTS | ENGINE)


Rule = Callable[[NotebookNode], Iterator[str]]
RULES: list[Rule] = [
    file_faults,
    definition_faults,
    place_faults,
    shell_faults,
    network_faults,
    warning_faults,
    layer_faults,
]
CHAPTER_RULES: list[Rule] = [parameter_faults, ending_faults]
PAGE_RULES: list[Rule] = [parameter_faults, shown_faults]  # of a page with figures that is no chapter
BOOK_RULES: list[Rule] = [science_faults, exercise_faults, shown_faults]


def faults(notebook: NotebookNode, rules: list[Rule]) -> list[str]:
    """What a notebook does that it must not."""
    return [fault for rule in rules for fault in rule(notebook)]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_notebook(path: Path) -> None:
    more = PAGE_RULES if path.stem in PAGES.values() else []
    rules = RULES + (CHAPTER_RULES + BOOK_RULES if path in CHAPTERS else more)
    notebook = nbformat.v4.reads_json(path.read_text(encoding="utf-8"))  # `read` would repair it
    assert faults(notebook, rules) == []


def test_there_are_chapters() -> None:
    assert CHAPTERS


# --- the rules themselves ---


def chapter(code: str = "", ending: str = "## What did not reproduce\n\nNothing.") -> NotebookNode:
    """A chapter that keeps every rule, with one more code cell and its own last section."""
    source = '# Parameters: ours\nprofile = "pinned"\nn: int = -3'
    parameters = new_code_cell(source, metadata={"tags": ["parameters"]})
    spec = new_code_cell(
        "from diffnotes import store\nspec = store.parameters(toy_model.EXPERIMENT, profile=profile, n=n)"
    )
    return new_notebook(
        cells=[
            new_markdown_cell("# Title\n\n[next](02.ipynb)"),
            parameters,
            spec,
            new_code_cell(code),
            new_markdown_cell(ending),
        ]
    )


def test_good_chapter_has_no_faults() -> None:
    good = chapter("def f(x):\n    a = '/'\n    b = 2\n    c = 3\n    return x")
    assert faults(good, RULES + CHAPTER_RULES) == []
    assert faults(chapter(ending="## What did not reproduce\n\nA.\n\n## Next\n\nB."), CHAPTER_RULES) == []


@pytest.mark.parametrize(
    ("code", "fault"),
    [
        ("def f(x):\n" + "    x += 1\n" * 5, "f has 6 lines"),
        ("class A:\n" + "    x = 1\n" * 5, "A has 6 lines"),
        ("open('/data/x')", "path /data/x"),
        ("open('~/x')", "path ~/x"),
        ("open('C:/x')", "path C:/x"),
        ("x = 1\n!ls", "escape !ls"),
        ("%%bash\nls", "escape %%bash"),
        ("import os\nos.system('ls')", "calls os.system"),
        ("import subprocess", "imports subprocess"),
        ("from urllib.request import urlopen", "imports urllib.request.urlopen"),
        ("load('https://a.example/x')", "address https://a.example/x"),
        ("import warnings\nwarnings.filterwarnings('ignore')", "silences warnings: filterwarnings"),
        ("from diffnotes.base import runtime", "imports diffnotes.base.runtime"),
        ("from diffnotes import experiments", "imports diffnotes.experiments"),
        ("import diffnotes", "imports diffnotes"),
    ],
)
def test_bad_code_is_found(code: str, fault: str) -> None:
    assert faults(chapter(code), RULES) == [fault]


def test_a_chapter_without_science_and_exercises_is_found() -> None:
    bare = chapter("figures.growth(record)")
    visible = ["1", "figures.growth(record)"]
    bare.cells[2].source = "1"
    assert faults(bare, BOOK_RULES) == [
        "0 visible cells compare a formula with the engine, of at least 3",
        "0 exercises with a checking function, of at least 2",
        *(f"visible, though one statement: {line}" for line in visible),
    ]


def test_a_chapter_with_science_and_exercises_has_no_faults() -> None:
    good = chapter(
        "from diffnotes.chapters.toy import exercises\nfrom diffnotes.chapters.toy.exercises import b"
    )
    science = [new_code_cell("x = 1\nassert torch.allclose(x, y)") for _ in range(3)]
    asked = [new_code_cell(f"def f(x):\n    return None\n\n\n{end}(f)") for end in ("exercises.a", "b")]
    hidden = new_code_cell("figures.growth(record)", metadata={"tags": ["remove-input"]})
    good.cells[4:4] = [*science, *asked, hidden]
    assert faults(good, RULES + CHAPTER_RULES + BOOK_RULES) == []


@pytest.mark.parametrize("link", ["[x](/data/x.png)", "<img src='file:///x.png'>"])
def test_place_in_prose_is_found(link: str) -> None:
    assert len(faults(chapter(ending=link), RULES)) == 1


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        ("n = 3 * 4", "no literal: n = 3 * 4"),
        ("import math", "no literal: import math"),
        ("a = b = 3", "no literal: a = b = 3"),
        ("n: int", "no literal: n: int"),
    ],
)
def test_parameter_that_is_no_literal_is_found(source: str, fault: str) -> None:
    bad = chapter()
    bad.cells[1].source = f"# Parameters: ours\nprofile = 'pinned'\n{source}"
    assert fault in faults(bad, CHAPTER_RULES)


def test_parameter_that_goes_nowhere_is_found() -> None:
    lost, other = chapter(), chapter()
    lost.cells[1].source += "\nseed: int = 0"
    other.cells[2].source = "spec = store.parameters(toy_model.EXPERIMENT, profile=profile, n=12)"
    assert faults(lost, CHAPTER_RULES) == ["seed is not passed on as seed=seed"]
    assert faults(other, CHAPTER_RULES) == ["n is not passed on as n=n"]


@pytest.mark.parametrize("line", ["# Parameters", "# Parameters:", "#Parameters", "# Ours", "n = 3"])
def test_parameters_with_the_first_line_of_papermill_are_found(line: str) -> None:
    bad = chapter()
    bad.cells[1].source = f"{line}\nprofile = 'pinned'\nn = 3"
    [fault] = faults(bad, CHAPTER_RULES)
    assert "a comment of their own" in fault


def test_missing_parameters_or_spec_are_found() -> None:
    untagged, unchecked = chapter(), chapter()
    untagged.cells[1].metadata.tags = []
    unchecked.cells[2].source = "spec = {}  # store.parameters(profile=profile)"
    assert faults(untagged, CHAPTER_RULES) == ["0 cells are tagged parameters"]
    assert faults(unchecked, CHAPTER_RULES) == [
        "the cell after the parameters does not call store.parameters"
    ]


@pytest.mark.parametrize(
    ("ending", "fault"),
    [
        ("## Summary\n\nAll well.", f'the last section is not "{ENDING}"'),
        ("## What did not reproduce\n\nA.\n\n## More\n\nB.", f'the last section is not "{ENDING}"'),
        ("## What did not reproduce\n", f'"{ENDING}" is empty'),
    ],
)
def test_bad_ending_is_found(ending: str, fault: str) -> None:
    assert faults(chapter(ending=ending), CHAPTER_RULES) == [fault]


def test_executed_invalid_or_untitled_file_is_found() -> None:
    counted, twins, untitled, broken = chapter(), chapter(), chapter(), chapter()
    counted.cells[1].execution_count = 3
    twins.cells[2].id = twins.cells[1].id
    untitled.cells.pop(0)
    del broken.cells[1]["outputs"]
    broken.cells[1].outputs = [{"output_type": "nonsense"}]
    assert faults(counted, RULES) == ["has outputs or execution counts; run: make strip"]
    assert faults(twins, RULES) == ["cells without an id of their own"]
    assert faults(untitled, RULES) == ["does not begin with a title"]
    assert faults(broken, RULES)[0].startswith("not valid")
