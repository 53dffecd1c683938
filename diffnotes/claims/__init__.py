"""The claims of the papers, each a check over pinned records. Nothing is recomputed here, and there is no
torch.
"""

from __future__ import annotations

import tomllib
from pathlib import Path

from diffnotes.claims import bonnaire2025, kaiser2026, marion2026, xu2025
from diffnotes.claims.base import (
    PAPER_ONLY,
    PENDING,
    VERDICTS,
    Check,
    Checked,
    Claim,
    Finding,
    Look,
    judge,
)
from diffnotes.errors import UserError
from diffnotes.store import Record

__all__ = ["CHECKS", "VERDICTS", "Check", "Checked", "Claim", "Finding", "check_all", "claims"]

CHECKS: dict[str, Check] = {
    **kaiser2026.CHECKS,
    **marion2026.CHECKS,
    **bonnaire2025.CHECKS,
    **xu2025.CHECKS,
}


def claims() -> list[Claim]:
    """All claims, in the order of claims.toml.

    Raises UserError for a file that cannot be read, an unknown or missing field, an id that stands twice, and
    for a claim that has no check and no verdict that needs none, or both.
    """
    text = Path(__file__).with_name("claims.toml").read_text(encoding="utf-8")
    try:
        found = [Claim(**entry) for entry in tomllib.loads(text)["claim"]]
    except (tomllib.TOMLDecodeError, KeyError, TypeError) as error:
        raise UserError(f"claims.toml cannot be read ({error}); mend that line.") from error
    for place, claim in enumerate(found):
        if fault := _fault(claim, {other.id for other in found[:place]}):
            raise UserError(f"The claim {claim.id!r} in claims.toml {fault}.")
    return found


def _fault(claim: Claim, before: set[str]) -> str:
    """What is wrong with a claim, given the ids before it."""
    if claim.id in before:
        return "stands there twice; give each an id of its own"
    if claim.fixed not in ("before", "after"):
        return f"has fixed = {claim.fixed!r}; it is before or after"
    if claim.id in CHECKS:
        return "has a check, so it needs no verdict; leave that out" if claim.verdict else ""
    open_ones = (PENDING, PAPER_ONLY)
    return "" if claim.verdict in open_ones else f"has no check, so its verdict is {' or '.join(open_ones)}"


def check_all(look: Look, page: str = "") -> list[Checked]:
    """Every claim with its verdict; with a `page` those of that page, and those of no page.

    `look` fills in the state of a record (`experiments.status.checked`): no verdict stands on a record that
    does not hold.
    """
    seen: dict[str, Record] = {}

    def once(record: Record) -> Record:
        if record.key not in seen:
            seen[record.key] = look(record)
        return seen[record.key]

    asked = [claim for claim in claims() if not page or claim.page in ("", page)]
    return [judge(claim, CHECKS.get(claim.id), once) for claim in asked]
