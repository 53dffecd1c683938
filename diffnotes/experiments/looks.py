"""Training runs that are looked at on their way."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from diffnotes.store import Arrays, Work
from diffnotes.train import Snapshot


def looked(
    work: Work,
    name: str,
    stops: Sequence[int],
    begin: Callable[[Path], Iterator[Snapshot]],
    look: Callable[[Snapshot], Arrays],
) -> Arrays:
    """`look(snapshot)` at each of `stops`, each saved, stacked to [stop, ...].

    `begin(folder)` starts the run, or continues it from its checkpoints in `folder`; it is not called when
    every look is there.
    """
    names = {stop: f"{name}-{stop}" for stop in stops}
    if any(work.load(one) is None for one in names.values()):
        for snapshot in begin(work.folder / name):
            if work.load(names[snapshot.step]) is None:
                work.save(names[snapshot.step], look(snapshot))
    found = [work.load(one) or {} for one in names.values()]
    return {key: np.stack([one[key] for one in found]) for key in found[0]}
