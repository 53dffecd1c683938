"""The claims of the papers, each a check over pinned records. Nothing is recomputed here, and there is no
torch.
"""

from __future__ import annotations

import tomllib
from pathlib import Path

from diffnotes.claims import bonnaire2025, kaiser2026, marion2026, xu2025
from diffnotes.claims.base import VERDICTS, Check, Checked, Claim, Finding, Look, judge
from diffnotes.store import Record

__all__ = ["CHECKS", "VERDICTS", "Check", "Checked", "Claim", "Finding", "check_all", "claims"]

CHECKS: dict[str, Check] = {
    **kaiser2026.CHECKS,
    **marion2026.CHECKS,
    **bonnaire2025.CHECKS,
    **xu2025.CHECKS,
}


def claims() -> list[Claim]:
    """All claims, in the order of claims.toml."""
    with open(Path(__file__).with_name("claims.toml"), "rb") as file:
        return [Claim(**entry) for entry in tomllib.load(file)["claim"]]


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
