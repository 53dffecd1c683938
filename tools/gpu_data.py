"""Which images the records of a GPU session use, packed into one small file to take along.

CIFAR-10 has 60,000 images, and a run of the book uses a few thousand: the first n of a permutation of the
whole set for each seed. A machine that has this part instead of the official files computes the same records
under the same keys; see `diffnotes.data.part`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from diffnotes import data
from diffnotes.chapters.gap import experiment as network_gap
from diffnotes.chapters.memorization import experiment as memorization
from diffnotes.data import part as data_part
from diffnotes.data.sets import permutation

Use = tuple[str, str, int, int]  # data set, split, how many, seed: as `data.load` is asked


def _copies(spec: memorization.MemorizationSpec) -> Iterator[Use]:
    for run in (run for row in memorization.runs_of(spec) for run in row):
        yield spec.dataset, "train", run.n, run.seed
        most = max(run.n, spec.samples, spec.images)
        yield spec.dataset, "validation", most, memorization.HELD_OUT
    yield spec.dataset, "validation", 2 * spec.samples, memorization.HELD_OUT


def _gap(spec: network_gap.GapSpec) -> Iterator[Use]:
    for seed in spec.seeds:
        yield spec.dataset, "train", spec.n, seed
    yield spec.dataset, "validation", spec.held_out, network_gap.HELD_OUT


USES: dict[str, Callable[[Any], Iterator[Use]]] = {"cifar": _copies, "cifar_gap": _gap}


def uses(wanted: Iterable[tuple[str, Any]]) -> set[Use]:
    """What runs of (experiment, spec) ask of `data.load`, besides fingerprints."""
    return {use for name, spec in wanted for use in USES[name](spec)}


def bring(wanted: Iterable[tuple[str, Any]], folder: Path) -> list[Path]:
    """Write the parts of all sets that can be brought in part into `folder`; returns the files."""
    asked = uses(wanted)
    written = []
    for name in sorted({use[0] for use in asked} & data_part.OFFICIAL.keys()):
        splits = sorted({use[1] for use in asked if use[0] == name})
        parts = {split: _part(name, split, [u for u in asked if u[:2] == (name, split)]) for split in splits}
        written.append(data_part.write(folder, name, parts))
    return written


def _part(name: str, split: str, asked: list[Use]) -> data_part.DataPart:
    whole = data.load(name, split=split)
    chosen = [permutation(len(whole), seed)[:n] for _, _, n, seed in asked]
    places = np.unique(np.concatenate(chosen))
    taken = whole.taken(places)
    return data_part.DataPart(
        len(whole), whole.fingerprint, places, taken.values.numpy(), taken.labels.numpy()
    )
