"""The claims page: totals, bars, a filter, and every claim under its room. From `Checked.as_dict`.

All of it is there without JavaScript; the filter, which needs it, shows itself only then. Nothing is loaded.
"""

from __future__ import annotations

import html
import itertools
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from diffnotes.show.labels import VERDICTS
from diffnotes.show.numbers import NUMBERS
from diffnotes.show.page import page_figure
from diffnotes.show.style import BookTable, Markup
from diffnotes.show.tables import PAPERS, badge_of, counted

Claim = Mapping[str, str]
COLUMNS = ("claim", "the paper", "ours", "verdict")
# how the id of a claim ends that others are like
SET = re.compile(r"-(digits|cifar10|cifar|imagenet64(-all|-sample)?)$")
TINTS = dict(zip(VERDICTS, ("#139948", "#a17905", "#d24c4a", "#7f848c", "#7f848c"), strict=True))


class Totals:
    """How many claims met each verdict: a bar and its numbers, by paper and by when the rule was written."""

    def __init__(self, claims: Sequence[Claim]) -> None:
        self.claims = claims

    def rows(self) -> dict[str, Counter[str]]:
        """Name of a row -> verdict -> how many; the rules are those of the claims that have a check."""
        ruled = [claim for claim in self.claims if claim["figure"]]
        return {
            **counted(self.claims),
            "all": Counter(claim["verdict"] for claim in self.claims),
            "rule written before the result": Counter(c["verdict"] for c in ruled if c["fixed"] == "before"),
            "rule written or changed after a first look": Counter(
                c["verdict"] for c in ruled if c["fixed"] == "after"
            ),
        }

    def _repr_html_(self) -> str:
        header = ("claims of", "together", "of these")
        rows = [
            [Markup(html.escape(name)), Markup(counts.total()), bar(name, counts)]
            for name, counts in self.rows().items()
        ]
        legend = " ".join(_part(word, word, "padding: 0 0.4em") for word in VERDICTS)
        return f"<p>{legend}</p>{BookTable(header=header, rows=rows)._repr_html_()}"


def bar(name: str, counts: Mapping[str, int]) -> Markup:
    """A stacked bar whose parts have their numbers in them; spoken as a sentence."""
    there = [(word, counts[word]) for word in VERDICTS if counts[word]]
    spoken = f"{name}: {', '.join(f'{count} {word}' for word, count in there)}"
    parts = "".join(_part(word, str(count), f"flex: {count} 1 1.2em") for word, count in there)
    return Markup(
        f'<span class="dn-bar" role="img" aria-label="{html.escape(spoken)}" '
        f'style="display: flex; width: min(24em, 80vw)">{parts}</span>'
    )


def _part(word: str, text: str, style: str) -> str:
    """A piece in the look of a verdict: by tint, and what is open by the line around it."""
    tint = TINTS[word]
    line = "dashed" if word == "pending" else "solid"
    look = f"border: 1px {line} {tint}; background: {tint}33; text-align: center"
    return f'<span title="{word}" style="{style}; {look}">{text}</span>'


class ClaimsPage:
    """Every claim with a check, under its room, like ones together; then those that were not tried."""

    def __init__(self, claims: Sequence[Claim]) -> None:
        self.tried = [claim for claim in claims if claim["figure"]]
        self.open = [claim for claim in claims if not claim["figure"]]

    def _repr_html_(self) -> str:
        rooms = dict.fromkeys(claim["room"] for claim in self.tried)
        parts = [_section(room, [c for c in self.tried if c["room"] == room]) for room in rooms]
        parts += [_section("On paper only, or not tried yet", self.open)] if self.open else []
        choose = _filter([*self.tried, *self.open])
        return f'{LOOK}<div class="dn-claims">{choose}{"".join(parts)}</div>{SCRIPT}'


def groups(claims: Sequence[Claim]) -> list[list[Claim]]:
    """Claims that say the same of several sets of data stand together, where the first of them stands."""
    found: dict[str, list[Claim]] = {}
    for claim in claims:
        found.setdefault(SET.sub("", claim["id"]), []).append(claim)
    return list(found.values())


def _section(title: str, claims: Sequence[Claim]) -> str:
    head = "".join(f'<th scope="col" style="text-align: left">{name}</th>' for name in COLUMNS)
    body = "".join(map(_group, groups(claims)))
    table = f'<div class="dn-table dn-words"><table><thead><tr>{head}</tr></thead>{body}</table></div>'
    return f"<section><h3>{html.escape(title)}</h3>{page_figure(table, [], title)}</section>"


def _group(claims: Sequence[Claim]) -> str:
    kind = "dn-alike" if len(claims) > 1 else "dn-single"
    return f'<tbody class="{kind}">{"".join(map(_row, claims))}</tbody>'


def _row(claim: Claim) -> str:
    tag = f'id="{claim["id"]}" data-verdict="{claim["verdict"]}" data-paper="{claim["paper"]}"'
    side = "text-align: left; vertical-align: top"
    pairs = zip(COLUMNS, _cells(claim), strict=True)
    cells = "".join(f'<td data-label="{name}" style="{side}">{cell}</td>' for name, cell in pairs)
    return f"<tr {tag}>{cells}</tr>"


def _cells(claim: Claim) -> Iterator[str]:
    text = {name: html.escape(value) for name, value in claim.items()}
    word = NUMBERS.get(claim["figure"], "figure")
    link = f' <a href="{text["page"]}.html#{text["figure"]}">{word}</a>' if text["figure"] else ""
    anchor = f' <a href="#{text["id"]}" aria-label="link to {text["id"]}">#</a>'
    small = f'<br><span class="dn-small">{text["interval"]}</span>' if text["interval"] else ""
    reason = f"<br>{text['rule']}" if not text["figure"] else ""
    yield text["statement"] + link + anchor + (_fold(text) if text["figure"] else "")
    yield text["paper_value"]
    yield text["our_value"] + small
    yield badge_of(claim) + reason


def _fold(text: Claim) -> str:
    """Core part, rule and record, behind a line that says when the rule came."""
    name = "rule" if text["fixed"] == "before" else "rule, after a first look"
    core = f"<strong>Core:</strong> {text['core']}<br>" if text["core"] else ""
    key = f"<br>record <code>{text['record']}</code>" if text["record"] else ""
    return f"<details><summary>{name}</summary>{core}{text['rule']}{key}</details>"


def _filter(claims: Sequence[Claim]) -> str:
    """Two lists to choose from, hidden until the script below finds them."""
    papers = dict.fromkeys(claim["paper"] for claim in claims)
    return (
        '<form class="dn-filter" hidden>'
        + _choice("verdict", dict(zip(VERDICTS, VERDICTS, strict=True)))
        + _choice("paper", {paper: PAPERS[paper] for paper in papers})
        + '<output aria-live="polite"></output></form>'
    )


def _choice(name: str, options: Mapping[str, str]) -> str:
    known = itertools.chain([("", f"every {name}")], options.items())
    inside = "".join(f'<option value="{html.escape(v)}">{html.escape(t)}</option>' for v, t in known)
    return f'<label>{name} <select name="{name}">{inside}</select></label> '


LOOK = """<style>
.dn-claims [hidden] { display: none !important; }
.dn-claims tbody.dn-alike { border-left: 3px solid #7f848c; }
.dn-claims tbody.dn-alike td:first-child { padding-left: 0.5rem !important; }
.dn-claims tr:target { outline: 2px solid #3280dd; outline-offset: 2px; }
.dn-claims .dn-filter { display: flex; flex-wrap: wrap; gap: 0.5rem 1rem; align-items: baseline; }
.dn-claims select { min-height: 1.8rem; max-width: 100%; }
</style>"""

# Rows that do not fit are hidden, and groups and sections of which nothing is left. A link to a row shows it.
SCRIPT = """<script>
(() => {
  for (const page of document.querySelectorAll(".dn-claims")) {
    const form = page.querySelector("form.dn-filter"), rows = [...page.querySelectorAll("tr[data-verdict]")];
    const show = () => {
      const fits = (row) => ["verdict", "paper"].every(
        (name) => !form.elements[name].value || row.dataset[name] === form.elements[name].value);
      rows.forEach((row) => { row.hidden = !fits(row); });
      for (const part of page.querySelectorAll("tbody, section"))
        part.hidden = !part.querySelector("tr[data-verdict]:not([hidden])");
      const left = rows.filter((row) => !row.hidden).length;
      form.querySelector("output").textContent = `${left} of ${rows.length} claims`;
    };
    const reveal = () => {
      const row = rows.find((one) => `#${one.id}` === location.hash);
      if (row && row.hidden) { form.reset(); show(); row.scrollIntoView(); }
    };
    form.hidden = false;
    form.addEventListener("change", show);
    form.addEventListener("submit", (event) => event.preventDefault());
    addEventListener("hashchange", reveal);
    show();
  }
})();
</script>"""
