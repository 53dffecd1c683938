"""The conclusion: every sentence follows the verdicts of the claims under it."""

from __future__ import annotations

import pytest

from diffnotes.base.errors import UserError
from diffnotes.chapters import checks
from diffnotes.show.conclusion import ALL, Statement, concluded

NAMES = {claim.id for claim in checks.claims()}
ONE = Statement(("a", "b"), "All <of> it.", "Some of it.", "None of it.")


def claims(*verdicts: str) -> list[dict[str, str]]:
    """Claims a, b, ... with these verdicts."""
    return [
        {"id": name, "verdict": verdict, "statement": f'Claim "{name}".', "our_value": "–", "interval": ""}
        for name, verdict in zip("abc", verdicts, strict=False)
    ]


@pytest.mark.parametrize(
    ("verdicts", "text"),
    [
        (("reproduced", "reproduced"), ONE.holds),
        (("reproduced", "pending"), ONE.holds),  # what could not be judged does not choose
        (("reproduced", "not reproduced"), ONE.partly),
        (("partly", "partly"), ONE.partly),
        (("not reproduced", "partly"), ONE.partly),
        (("not reproduced", "not reproduced"), ONE.fails),
        (("pending", "only on paper"), f"Not judged yet: {ONE.holds}"),
    ],
)
def test_the_verdicts_choose_the_wording(verdicts, text):
    assert ONE.text(claims(*verdicts)) == text


def test_every_claim_is_linked_under_its_verdict_and_text_is_escaped():
    page = concluded(claims("reproduced", "not reproduced"), ONE)
    html = page._repr_html_()
    assert "Some of it." in html
    assert html.index(">reproduced<") < html.index("claims.html#a") < html.index(">not reproduced<")
    assert html.index(">not reproduced<") < html.index("claims.html#b")
    assert 'title="Claim &quot;a&quot;."' in html
    assert "All &lt;of&gt; it." in concluded(claims("reproduced", "reproduced"), ONE)._repr_html_()
    assert str(page) == "Some of it. [a, b]"


def test_an_unknown_claim_is_refused():
    with pytest.raises(UserError, match="no claim 'b'"):
        concluded(claims("reproduced"), ONE)


def test_the_sentences_rest_on_claims_that_there_are_each_once():
    used = [name for one in ALL for name in one.claims]
    assert set(used) <= NAMES
    assert len(used) == len(set(used))


def test_all_four_papers_and_the_book_itself_are_heard():
    papers = {claim.paper for claim in checks.claims() if claim.id in {n for one in ALL for n in one.claims}}
    assert len(papers) == 5
    for one in ALL:
        assert len({one.holds, one.partly, one.fails}) == 3
