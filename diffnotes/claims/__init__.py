"""The claims of the papers, each a check over pinned records. Nothing is recomputed here, and there is no
torch.
"""

from __future__ import annotations

import tomllib
from pathlib import Path

from diffnotes.claims import bonnaire2025, kaiser2026, marion2026, xu2025
from diffnotes.claims.base import VERDICTS, Check, Checked, Claim, Finding, judge

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


def check_all() -> list[Checked]:
    """Every claim with its verdict."""
    return [judge(claim, CHECKS.get(claim.id)) for claim in claims()]
