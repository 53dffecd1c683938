"""Verdicts in words: what they mean, what a section found, what did not reproduce. From `Checked.as_dict`."""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Mapping, Sequence

from diffnotes.base.errors import UserError
from diffnotes.show.labels import VERDICTS
from diffnotes.show.style import BookTable, Markup, Sentence
from diffnotes.show.tables import badge, badge_of

# The one definition of each verdict. The introduction and the README repeat the last two word for word.
MEANINGS = {
    "reproduced": "every part of the claim holds by its rule",
    "partly": "some core part holds, that is of what the claim says, but not every part",
    "not reproduced": "no core part holds, whatever else does",
    "only on paper": "it needs models, data or a scale of training that we do not have",
    "pending": "not tried yet, not to be read off, or resting on a record that does not hold",
}
Claims = Sequence[Mapping[str, str]]


class Verdicts:
    """Some claims with their verdicts as a list."""

    def __init__(self, claims: Claims) -> None:
        self.claims = claims

    def _repr_html_(self) -> str:
        head = "<strong>What came out</strong>, by the rules of the claims page, on the pinned records:"
        return f'<p class="dn-finding">{head}</p><ul>{"".join(map(_item, self.claims))}</ul>'

    def __str__(self) -> str:
        return "\n".join(f"{c['verdict']}: {c['statement']} Ours: {_ours(c)}" for c in self.claims)


def _item(claim: Mapping[str, str]) -> str:
    statement = f'<a href="claims.html#{claim["id"]}">{html.escape(claim["statement"])}</a>'
    return f"<li>{badge_of(claim)} {statement} Ours: {html.escape(_ours(claim))}</li>"


def _ours(claim: Mapping[str, str]) -> str:
    """'1.05 over 3 sizes (0.70 to 1.40).'"""
    return claim["our_value"] + (f" ({claim['interval']})" if claim["interval"] else "") + "."


def judged(claims: Claims, *ids: str) -> Verdicts:
    """The verdicts of the claims with these ids, in this order. UserError for an id that is none."""
    known = {claim["id"]: claim for claim in claims}
    unknown = [name for name in ids if name not in known]
    if unknown:
        raise UserError(f"There is no claim {unknown[0]!r}; `python -m diffnotes claims` lists the ids.")
    return Verdicts([known[name] for name in ids])


def chapter(claims: Claims, page: str) -> list[Mapping[str, str]]:
    """All claims of a chapter: those with a figure on its page, and those of its papers that have no page."""
    papers = {claim["paper"] for claim in claims if claim["page"] == page and claim["paper"] != "this book"}
    return [c for c in claims if c["page"] == page or (not c["page"] and c["paper"] in papers)]


def not_reproduced(claims: Claims, page: str) -> BookTable:
    """Every claim of a chapter whose verdict is another than reproduced: not, partly, pending, on paper.

    UserError where the page has no claim at all.
    """
    own = chapter(claims, page)
    if not own:
        raise UserError(f"No claim is on the page {page!r}; a page is a notebook's name without .ipynb.")
    found = [claim for word in VERDICTS[1:] for claim in _with(own, word)]
    return BookTable(
        header=("claim", "the paper", "ours", "verdict"), rows=[_row(claim) for claim in found],
        shows=f"Of {len(own)} claims of this chapter, by the rules of the claims page: {in_numbers(own)}.",
    )  # fmt: skip


def _with(claims: Claims, *words: str) -> list[Mapping[str, str]]:
    return [claim for claim in claims if claim["verdict"] in words]


def in_numbers(claims: Claims) -> str:
    """'29 reproduced, 13 partly': words that no claim has are left out."""
    counts = Counter(claim["verdict"] for claim in claims)
    return ", ".join(f"{counts[word]} {word}" for word in VERDICTS if counts[word])


def _row(claim: Mapping[str, str]) -> list[Markup]:
    text = {name: html.escape(value) for name, value in claim.items()}
    small = f'<br><span class="dn-small">{text["interval"]}</span>' if text["interval"] else ""
    statement = f'<a href="claims.html#{claim["id"]}">{text["statement"]}</a>'
    reason = f"<br>{text['rule']}" if claim["our_value"] == "–" else ""
    ours = text["our_value"] + small
    return [Markup(statement), Markup(text["paper_value"]), Markup(ours), Markup(badge_of(claim) + reason)]


def meanings() -> BookTable:
    """What each verdict means."""
    rows = [[badge(word), Markup(f"{html.escape(text)}.")] for word, text in MEANINGS.items()]
    return BookTable(header=("verdict", "meaning"), rows=rows)


def rules_found(claims: Claims) -> Sentence:
    """How many rules were written down before their result was seen, and how many after a first look."""
    checked = [claim for claim in claims if claim["figure"]]  # all that have a check have a figure
    late = [claim for claim in checked if claim["fixed"] == "after"]
    good = len(_with(late, "reproduced"))
    return Sentence(text=(
        f"{len(checked)} claims have a check. {len(checked) - len(late)} of their rules were written down "
        f"before the result was seen. {len(late)} were written or changed after a first look; {good} of "
        f"these claims are reproduced. Their rows say so. Which part of a rule is its core was decided "
        f"later, with the results known, for all claims."
    ))  # fmt: skip
