"""Verdicts and results in prose come from code: what is typed is refused, and what is generated agrees."""

from __future__ import annotations

import json
import re
from pathlib import Path

import nbformat
import pytest
from bs4 import BeautifulSoup
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from diffnotes import __main__ as command
from diffnotes.base.errors import UserError
from diffnotes.chapters import checks as book_claims
from diffnotes.chapters import status
from diffnotes.show import verdict as verdicts
from diffnotes.show.labels import OPEN, VERDICTS
from diffnotes.show.numbers import PAGES as NUMBERED

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
CHAPTERS = [path for path in NOTEBOOKS if re.match(r"\d\d_", path.name)]
DRAWN = [path for path in NOTEBOOKS if path.stem in NUMBERED.values()]  # and other pages with figures
PAGES = [ROOT / "README.md", ROOT / "book" / "intro.md"]
NAMES = re.compile(r"\b(reproduced|partly|only on paper|pending)\b", re.IGNORECASE)
WORDS = re.compile(  # what a verdict can be dressed in
    r"\b(reproduced?|reproduces|partly|only on paper|pending|holds?|fails?|failed|wrong|true for|confirm\w*|"
    r"refut\w*|by a hair|as the paper (?:says|finds|shows)|what the paper shows|that of the paper|"
    r"what came out)\b|\bthey do(?=[.,])",
    re.IGNORECASE,
)
RESULT = re.compile(r"\d\s*%|\d-fold|\btenfold\b|\d\.\d+ ± ")  # numbers that look measured
CONSTANTS = {  # of a method, not results
    "Now take all noise levels together at which the optimal loss is between 0.5 % and 80 % of the data "
    "variance, and ask for the X with the least root-mean-square bias, relative to the optimal loss or "
    "not.",
    "We take the largest X at which X is at most 1 % of the data variance.",
    "How long until the standard error is 1 % of the data variance at every one of 64 levels?",
}
PINNED = "*This text speaks of the pinned runs.* With other parameters,"
QUOTED = re.compile(r"\*\*What the paper says\*\*.*?(?=\n\n|\Z)", re.DOTALL)


def prose(notebook: NotebookNode) -> list[str]:
    """Sentences of all markdown cells, without headings, formulas and what a paper is said to say."""
    text = "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    return sentences(text)


def sentences(text: str) -> list[str]:
    """Sentences of a text in Markdown."""
    text = re.sub(r"^#+ .*$", "", text, flags=re.MULTILINE)
    text = QUOTED.sub("", text)
    text = re.sub(r"\$\$.*?\$\$|\$[^$]*\$|`[^`]*`", "X", text, flags=re.DOTALL)
    return [" ".join(part.split()) for part in re.split(r"(?<=[.:!?])\s+|\n\s*\n|\n- ", text) if part.strip()]


def typed_verdicts(notebook: NotebookNode) -> list[str]:
    """Sentences that state a verdict by hand."""
    return [sentence for sentence in prose(notebook) if WORDS.search(sentence)]


def typed_results(notebook: NotebookNode) -> list[str]:
    """Sentences with a number that looks like one of our results."""
    return [sentence for sentence in prose(notebook) if RESULT.search(sentence)]


def load(path: Path) -> NotebookNode:
    return nbformat.v4.reads_json(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def found() -> list[dict[str, str]]:
    return [checked.as_dict() for checked in book_claims.check_all(status.checked)]


# --- the book's prose ---


@pytest.mark.parametrize("path", DRAWN, ids=lambda path: path.name)
def test_pages_with_figures_state_no_verdict_by_hand(path: Path) -> None:
    assert typed_verdicts(load(path)) == []


@pytest.mark.parametrize("path", DRAWN, ids=lambda path: path.name)
def test_pages_with_figures_type_no_result(path: Path) -> None:
    assert set(typed_results(load(path))) - CONSTANTS == set()


def test_no_exception_outlives_its_sentence() -> None:
    typed = {sentence for path in DRAWN for sentence in typed_results(load(path))}
    assert typed >= CONSTANTS


@pytest.mark.parametrize("path", DRAWN, ids=lambda path: path.name)
def test_pages_with_figures_say_which_runs_their_text_is_about(path: Path) -> None:
    assert PINNED in load(path).cells[0].source


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.name)
def test_chapters_list_what_did_not_reproduce_by_code(path: Path) -> None:
    sources = [cell.source for cell in load(path).cells if cell.cell_type == "code"]
    assert sources[-1] == f'not_reproduced(claims, "{path.stem}")'


def test_claims_page_types_no_verdict() -> None:
    page = load(ROOT / "notebooks" / "claims.ipynb")
    assert [sentence for sentence in prose(page) if NAMES.search(sentence)] == []
    assert any("meanings()" in cell.source for cell in page.cells)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_verdicts_have_one_definition(path: Path) -> None:
    text = re.sub(r"<!-- claims:start -->.*?<!-- claims:end -->", "", path.read_text(), flags=re.DOTALL)
    text = " ".join(text.split())
    for word in OPEN:
        meaning = f"*{word.capitalize()}*: {verdicts.MEANINGS[word]}."
        assert text.count(meaning) == 1, f"{path.name} must say: {meaning}"
        text = text.replace(meaning, "")
    assert NAMES.findall(text) == []


def test_pages_and_checks_have_the_same_words_for_verdicts() -> None:
    """Twice in the code, since neither room may import the other."""
    assert book_claims.VERDICTS == VERDICTS
    assert set(OPEN) == {book_claims.PAPER_ONLY, book_claims.PENDING}


def judged_ids() -> dict[str, list[str]]:
    """The ids that each chapter hands to `judged`."""
    calls = {path.stem: re.findall(r"judged\((.*?)\)", _code(path), re.DOTALL) for path in CHAPTERS}
    return {name: re.findall(r'"([\w-]+)"', " ".join(found)) for name, found in calls.items()}


def _code(path: Path) -> str:
    return "\n".join(cell.source for cell in load(path).cells if cell.cell_type == "code")


def test_every_checked_claim_is_judged_once_and_in_its_chapter(found: list[dict[str, str]]) -> None:
    for page, ids in judged_ids().items():
        assert sorted(ids) == sorted(claim["id"] for claim in found if claim["page"] == page)


# --- what is generated agrees with the checks ---


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.name)
def test_lists_agree_with_the_checks(path: Path, found: list[dict[str, str]]) -> None:
    own = verdicts.chapter(found, path.stem)
    table = verdicts.not_reproduced(found, path.stem)
    rows = [[BeautifulSoup(cell, "html.parser") for cell in row] for row in table.rows]
    listed = {row[0].a["href"].split("#")[1]: row[3].span.get_text() for row in rows}
    assert listed == {c["id"]: c["verdict"] for c in own if c["verdict"] != "reproduced"}
    assert [VERDICTS.index(word) for word in listed.values()] == sorted(map(VERDICTS.index, listed.values()))
    assert f"Of {len(own)} claims" in table.caption.shows


def test_every_claim_of_a_paper_is_in_a_chapter(found: list[dict[str, str]]) -> None:
    listed = [claim["id"] for path in CHAPTERS for claim in verdicts.chapter(found, path.stem)]
    assert sorted(listed) == sorted(claim["id"] for claim in found)


def test_command_and_lists_say_the_same(found: list[dict[str, str]], capsys: pytest.CaptureFixture) -> None:
    assert command.main(["claims", "--json"]) == 0
    rows = {row["id"]: row for row in json.loads(capsys.readouterr().out)}
    for claim in found:
        shown = verdicts.judged(found, claim["id"])
        assert str(shown).startswith(f"{rows[claim['id']]['verdict']}: {claim['statement']} Ours: ")
        page = BeautifulSoup(shown._repr_html_(), "html.parser")
        assert page.li.span.get_text() == claim["verdict"]
        assert page.li.a["href"] == f"claims.html#{claim['id']}"


def test_rules_that_came_late_are_marked_and_counted(found: list[dict[str, str]]) -> None:
    late = [claim for claim in found if claim["fixed"] == "after"]
    assert {claim["fixed"] for claim in found} == {"before", "after"}
    assert [
        claim["id"] for claim in found if "after a first look" in claim["rule"] and claim not in late
    ] == []
    text = str(verdicts.rules_found(found))
    assert f" {len(late)} were written or changed after a first look" in text
    assert all(claim["page"] for claim in late)


def claim(name: str, verdict: str, **more: str) -> dict[str, str]:
    """A claim as `as_dict` gives it."""
    base = {
        "id": name, "paper": "p", "statement": f"S & {name}.", "paper_value": "1", "rule": "R.",
        "fixed": "before", "page": "01_x", "figure": "f", "our_value": "2", "interval": "", "record": "",
        "verdict": verdict, "small": "",
    }  # fmt: skip
    return base | more


def test_verdict_that_changes_changes_the_list() -> None:
    table = verdicts.not_reproduced([claim("a", "reproduced"), claim("b", "partly")], "01_x")
    assert len(table.rows) == 1
    assert "1 reproduced, 1 partly" in table.caption.shows
    table = verdicts.not_reproduced([claim("a", "pending"), claim("b", "not reproduced")], "01_x")
    assert [str(row[0]).split("#")[1][0] for row in table.rows] == ["b", "a"]  # what is open comes last
    assert "S &amp; b." in table.rows[0][0]


def test_claims_without_a_page_go_with_their_paper() -> None:
    some = [
        claim("a", "reproduced"),
        claim("b", "only on paper", page=""),
        claim("c", "partly", page="", paper="q"),
    ]
    assert [c["id"] for c in verdicts.chapter(some, "01_x")] == ["a", "b"]


def test_wrong_names_get_one_sentence() -> None:
    with pytest.raises(UserError, match="There is no claim 'z'"):
        verdicts.judged([claim("a", "partly")], "a", "z")
    with pytest.raises(UserError, match="No claim is on the page"):
        verdicts.not_reproduced([claim("a", "partly")], "02_y")


# --- the rules can fail ---


def notebook(text: str) -> NotebookNode:
    return new_notebook(cells=[new_markdown_cell("# T"), new_code_cell("1"), new_markdown_cell(text)])


@pytest.mark.parametrize(
    "text",
    [
        "On digits the claim is *partly* reproduced.",
        "On CIFAR-10 it holds.",
        "**What came out.** The same bumps.",
        "- **The onset**: on digits it fails.",
        "They miss our rule by a hair.",
        "The law is wrong on both sets.",
        "As the paper says.\n\nMore.",
        "We expected more. They do, and the peak moves.",
    ],
)
def test_typed_verdict_is_found(text: str) -> None:
    assert len(typed_verdicts(notebook(text))) == 1


@pytest.mark.parametrize(
    "text",
    [
        "## What did not reproduce\n\nRemarks.",
        "**What the paper says** (figure 2): it holds\nfor all $N$.",
        "The held-out loss is dashed.",
        "Run `holds` or $it holds$.",
    ],
)
def test_other_prose_is_left_alone(text: str) -> None:
    assert typed_verdicts(notebook(text)) == []


@pytest.mark.parametrize(
    "text", ["It rises by 22 % there.", "The gap grows 12-fold.", "We find 0.31 ± 0.01."]
)
def test_typed_result_is_found(text: str) -> None:
    assert len(typed_results(notebook(text))) == 1
