"""Bonnaire et al., Why Diffusion Models Don't Memorize (arXiv 2505.17638): the part that can be solved."""

from __future__ import annotations

from diffnotes.chapters.checks import Finding, verdict
from diffnotes.chapters.random_features import readings
from diffnotes.show.labels import minus
from diffnotes.store import Record

STILL = 0.1  # a power that is none: a factor 1.2 over sizes that differ by 8


def _onset(record: Record) -> Finding:
    """Is the power of the onset that of the time which the lower edge of the spectrum sets?"""
    powers, theory = readings.powers(record), readings.theory_power(record)
    levels = ", ".join(f"{level:g}" for level in readings.thresholds(record))
    text = (
        f"power {', '.join(f'{value:.2f}' for value, _, _ in powers)} at thresholds of {levels}; theory at "
        f"these sizes {theory:.3f}; at the smallest size the gap opens {readings.sooner(record):.0f} times "
        "earlier than the time of theory"
    )
    interval = "; ".join(f"{low:.2f} to {high:.2f}" for _, low, high in powers)
    return Finding(text, interval, verdict(*(low <= theory <= high for _, low, high in powers)))


def _error(record: Record) -> Finding:
    power, low, high = readings.power(record, "least_error")
    text, interval = minus(f"power {power:.2f}"), minus(f"{low:.2f} to {high:.2f}")
    return Finding(text, interval, verdict(abs(power - readings.THEIR_ERROR) < 0.1))


def _early(record: Record) -> Finding:
    """Does the score get good at a time that does not depend on N?"""
    power, low, high = readings.good_power(record)
    first, *_, last = readings.typical(readings.good(record))
    psi_n = readings.sizes(record)
    text = (
        f"power {power:.3f}; τ = {first:.1f} at ψₙ = {psi_n[0]} and {last:.1f} at ψₙ = {psi_n[-1]}; theory "
        f"{readings.good_in_theory(record):.1f}"
    )
    return Finding(minus(text), minus(f"{low:.3f} to {high:.3f}"), verdict(low >= -STILL and high <= STILL))


CHECKS = {"bonnaire-onset": _onset, "bonnaire-error": _error, "bonnaire-early": _early}
