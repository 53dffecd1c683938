"""Sentences about what comparisons of training laws can resolve."""

from __future__ import annotations

from diffnotes.chapters.power import readings
from diffnotes.show.resolution import listed
from diffnotes.show.style import Sentence
from diffnotes.store import Record


def outcomes(laws: Record, laws_cifar: Record) -> Sentence:
    """How much finer the comparison of training laws is."""
    found = [
        f"{' and '.join(f'{100 * one.smallest:.1f} %' for one in pair)} in the {pair[0].name}"
        for pair in zip(*(readings.schedules(record) for record in (laws, laws_cifar)), strict=True)
    ]
    if not found:
        return Sentence(laws, laws_cifar, text="One seed says nothing of the scatter over seeds.")
    return Sentence(laws, laws_cifar, text=(
        f"Training laws, which share network, images and noise, are told apart better, on digits and on "
        f"CIFAR-10: by {listed(found)}."
    ))  # fmt: skip
