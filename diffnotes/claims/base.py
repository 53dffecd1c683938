"""What a claim is, and how a verdict is reached from a record."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from diffnotes import store
from diffnotes.errors import UserError

REPRODUCED, PARTLY, FAILED = "reproduced", "partly", "not reproduced"
PAPER_ONLY, PENDING = "only on paper", "pending"
VERDICTS = (REPRODUCED, PARTLY, FAILED, PAPER_ONLY, PENDING)


@dataclass(frozen=True)
class Finding:
    """What a check found: our value and its uncertainty as text, and the verdict."""

    our_value: str
    interval: str
    verdict: str


Check = Callable[[store.Record], Finding]


@dataclass(frozen=True)
class Claim:
    """A statement of a paper in our words, with the rule by which it is judged.

    `rule` is the tolerance with its reason. `fixed` says whether it was written down "before" its result was
    seen, or, in whole or in part, "after" a first look. The check of the same `id` takes the pinned record of
    `experiment` under `settings`. A claim without a check carries its verdict (pending, or only on paper),
    and `rule` says why.
    """

    id: str
    paper: str
    statement: str
    paper_value: str
    rule: str
    page: str = ""
    figure: str = ""
    experiment: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    verdict: str = ""
    fixed: str = "before"


@dataclass(frozen=True)
class Checked:
    """A claim with its finding and the key of the record behind it."""

    claim: Claim
    finding: Finding
    record: str = ""

    @property
    def verdict(self) -> str:
        """One of VERDICTS."""
        return self.finding.verdict

    def as_dict(self) -> dict[str, str]:
        """Plain text fields, for `claims --json` and for tables."""
        names = ("id", "paper", "statement", "paper_value", "rule", "fixed", "page", "figure")
        return {**{n: getattr(self.claim, n) for n in names}, **vars(self.finding), "record": self.record}


def judge(claim: Claim, check: Check | None) -> Checked:
    """The finding of one claim; without its record the claim is pending, and says why."""
    if check is None:
        return Checked(claim, Finding("–", "", claim.verdict))
    try:
        record = store.best(claim.experiment, claim.settings)
        if record is None:
            return Checked(claim, Finding("no record yet", "", PENDING))
        return Checked(claim, check(record), record.key)
    except UserError as error:
        return Checked(claim, Finding(str(error), "", PENDING))


def verdict(*held: bool) -> str:
    """Reproduced when all parts hold, partly when some do, else not reproduced."""
    return REPRODUCED if all(held) else PARTLY if any(held) else FAILED
