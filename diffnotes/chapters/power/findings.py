"""Sentences about what comparisons of training schedules, and counts of draws, can resolve."""

from __future__ import annotations

from diffnotes.chapters.power import readings
from diffnotes.show.labels import bounds
from diffnotes.show.resolution import EFFECT, WANTED, listed
from diffnotes.show.style import Sentence
from diffnotes.store import Record


def outcomes(laws: Record, laws_cifar: Record) -> Sentence:
    """How much finer the comparison of training schedules is."""
    pairs = zip(*(readings.schedules(record) for record in (laws, laws_cifar)), strict=True)
    found = [
        f"{' and '.join(f'{100 * one.smallest:.1f} %' for one in pair)} in the {pair[0].name}"
        for pair in pairs
    ]
    if not found:
        return Sentence(laws, laws_cifar, text="One seed says nothing of the scatter over seeds.")
    return Sentence(laws, laws_cifar, text=(
        f"Of training schedules, which share network, images and noise, {laws['frechet'].shape[1]} seeds see "
        f"changes, on digits and on CIFAR-10, of {listed(found)}."
    ))  # fmt: skip


def draws_found(sweep: Record, *curves: Record) -> Sentence:
    """What shares of samples, and the exact floor, can tell."""
    copies, share = readings.share(sweep), readings.SHARE
    errors = [100 * one.error for record in curves for one in readings.optimum(record)][::2]
    near, twice = (f"{100 * share * factor:.0f} %" for factor in (1 + EFFECT, 2))
    return Sentence(sweep, *curves, text=(
        f"Shares of copies are binomial: to tell {100 * share:.0f} % from {twice} takes "
        f"{copies.needed(1.0):,} samples, and from {near} {copies.needed():,}. Where the optimal loss is "
        f"{100 * readings.LOW:.0f} % of the variance, its own error is "
        f"{bounds(min(errors), max(errors), 1)} %. A change of {WANTED} in a loss gap is hidden by that only "
        "where the gap is a few per cent of the floor; else by the scatter of training."
    ))  # fmt: skip
