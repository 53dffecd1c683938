"""Claims page, chapters and README say the same; the page can be filtered, and read without that."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest
from bs4 import BeautifulSoup

from diffnotes.chapters import checks, status
from diffnotes.show import claims_page, verdict
from diffnotes.show.labels import VERDICTS
from diffnotes.show.tables import PAPERS

README = (Path(__file__).resolve().parents[2] / "README.md").read_text(encoding="utf-8")


def claim(name: str, word: str = "reproduced", **more: str) -> dict[str, str]:
    """A claim as `as_dict` gives it."""
    base = {
        "id": name, "paper": "xu2025diagnosing", "statement": "It <rises>.", "paper_value": "1", "rule": "R.",
        "core": "It rises.", "scale": "", "small": "", "fixed": "before", "room": "Chapter 4: x",
        "page": "04_x", "figure": "f", "our_value": "2", "interval": "1 to 3", "record": "k", "verdict": word,
        "state": "valid",
    }  # fmt: skip
    return base | more


@pytest.fixture(scope="module")
def found() -> list[dict[str, str]]:
    return [checked.as_dict() for checked in checks.check_all(status.checked)]


def page(claims: list[dict[str, str]]) -> BeautifulSoup:
    return BeautifulSoup(claims_page.ClaimsPage(claims)._repr_html_(), "html.parser")


# --- one truth ---


def shown(claims: list[dict[str, str]]) -> dict[str, str]:
    """Id -> verdict, as the rows of the page have them in words."""
    rows = page(claims).select("tr[id]")
    assert all(row["data-verdict"] == row.select_one(".dn-verdict").get_text() for row in rows)
    return {row["id"]: row["data-verdict"] for row in rows}


def test_page_has_every_claim_with_its_verdict(found: list[dict[str, str]]) -> None:
    assert shown(found) == {claim["id"]: claim["verdict"] for claim in found}


def test_chapters_and_page_say_the_same(found: list[dict[str, str]]) -> None:
    rows = shown(found)
    for name in {claim["page"] for claim in found if claim["page"]}:
        for one in verdict.chapter(found, name):
            listed = BeautifulSoup(verdict.judged(found, one["id"])._repr_html_(), "html.parser")
            assert listed.select_one(".dn-verdict").get_text() == rows[one["id"]]


def test_readme_counts_what_the_page_shows(found: list[dict[str, str]]) -> None:
    papers = {row["id"]: PAPERS[row["data-paper"]] for row in page(found).select("tr[id]")}
    counts: dict[str, Counter[str]] = {"**all**": Counter(shown(found).values())}
    for name, word in shown(found).items():
        counts.setdefault(papers[name], Counter())[word] += 1
    table = re.search(r"<!-- claims:start -->\n(.*?)<!-- claims:end -->", README, re.DOTALL)
    assert table is not None
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in table[1].splitlines()[2:]]
    written = {line[0]: line[1:] for line in lines if len(line) == 1 + len(VERDICTS)}
    assert written == {k: [str(c[word] or "–") for word in VERDICTS] for k, c in counts.items()}, (
        "make readme"
    )


def test_totals_add_up(found: list[dict[str, str]]) -> None:
    rows = claims_page.Totals(found).rows()
    assert (
        rows["all"].total()
        == len(found)
        == sum(rows[name].total() for name in rows if name in PAPERS.values())
    )
    before, after = list(rows)[-2:]
    assert rows[before] + rows[after] == Counter(c["verdict"] for c in found if c["figure"])
    assert f" {rows[after].total()} were written or changed" in str(verdict.rules_found(found))


# --- what it looks like ---


def test_bars_have_their_numbers_and_are_spoken() -> None:
    untried = claim("d", "pending", page="", figure="")
    some = [claim("a"), claim("b"), claim("c", "partly", fixed="after"), untried]
    table = BeautifulSoup(claims_page.Totals(some)._repr_html_(), "html.parser")
    bars = table.select(".dn-bar")
    assert bars[0]["aria-label"] == "Xu et al. 2025: 2 reproduced, 1 partly, 1 pending"
    assert [part.get_text() for part in bars[0].select("span")] == ["2", "1", "1"]
    assert [bar["aria-label"].split(": ")[1] for bar in bars[-2:]] == ["2 reproduced", "1 partly"]


def test_claims_that_are_alike_stand_together() -> None:
    some = [
        claim("a-digits"),
        claim("b"),
        claim("a-cifar"),
        claim("a-cifar10"),
        claim("c", "pending", page="", figure=""),
    ]
    assert [[c["id"] for c in group] for group in claims_page.groups(some)] == [
        ["a-digits", "a-cifar", "a-cifar10"], ["b"], ["c"]
    ]  # fmt: skip
    sections = page(some).select("section")
    assert [section.h3.get_text() for section in sections] == [
        "Chapter 4: x",
        "On paper only, or not tried yet",
    ]
    assert [len(body.select("tr")) for body in sections[0].select("tbody")] == [3, 1]


def test_a_row_has_anchor_rule_core_and_scale() -> None:
    [row] = page([claim("a", "partly", fixed="after", small="in our small case")]).select("tr[id]")
    assert row.select_one('a[href="#a"]')
    assert row.select_one('a[href="04_x.html#f"]')
    assert row.summary.get_text() == "rule, after a first look"
    assert "Core: It rises.R.record k" in row.details.get_text()
    assert row.select("td")[3].get_text() == "partly in our small case"
    assert [cell["data-label"] for cell in row.select("td")] == list(claims_page.COLUMNS)
    assert "It <rises>." in row.td.get_text()


def test_without_javascript_every_row_shows_and_no_filter() -> None:
    whole = page([claim("a"), claim("b", "pending", page="", figure="", our_value="–")])
    assert whole.form.has_attr("hidden")
    assert not [tag for tag in whole.select("tr, tbody, section") if tag.has_attr("hidden")]
    assert "R." in whole.select("tr[id]")[1].get_text()  # why it was not tried
    assert not re.findall(r"https?:", claims_page.SCRIPT)


def test_filter_offers_the_verdicts_and_the_papers_that_are_there() -> None:
    verdicts, papers = page([claim("a"), claim("b", paper="this book")]).select("select")
    assert [option["value"] for option in verdicts.select("option")] == ["", *VERDICTS]
    assert [option["value"] for option in papers.select("option")] == ["", "xu2025diagnosing", "this book"]
