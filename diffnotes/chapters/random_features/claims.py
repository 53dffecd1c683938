"""Bonnaire et al., Why Diffusion Models Don't Memorize (arXiv 2505.17638): the part that can be solved."""

from __future__ import annotations

from diffnotes.chapters.checks import Finding, verdict
from diffnotes.store import Record

ERROR_POWER = -0.59  # of the least score error, their figure 5


def _onset(record: Record) -> Finding:
    """The power of the time at which the gap leaves its plateau by the smallest threshold."""
    power, low, high = record["onset_exponent"][0].tolist()
    held = low > 0, low <= 1 <= high
    return Finding(f"power {power:.2f} of N", f"{low:.2f} to {high:.2f}", verdict(*held))


def _error(record: Record) -> Finding:
    power, low, high = record["least_error_exponent"].tolist()
    return Finding(
        f"power {power:.2f}", f"{low:.2f} to {high:.2f}", verdict(power < 0, abs(power - ERROR_POWER) < 0.1)
    )


CHECKS = {"bonnaire-onset": _onset, "bonnaire-error": _error}
