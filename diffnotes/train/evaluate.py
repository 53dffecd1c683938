"""Evaluations of training runs on their way."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from diffnotes.base import runtime
from diffnotes.store import Arrays, Work
from diffnotes.train.checkpoints import DamagedCheckpoints, newest
from diffnotes.train.loop import Snapshot


def evaluated(
    work: Work,
    name: str,
    stops: Sequence[int],
    begin: Callable[[Path], Iterator[Snapshot]],
    evaluate: Callable[[Snapshot], Arrays],
) -> Arrays:
    """`evaluate(snapshot)` at each of `stops`, each saved, stacked to [stop, ...].

    `begin(folder)` starts the run, or continues it from its checkpoints in `folder`; it is not called when
    all evaluations are there. Where one is lost that the run has passed, or all its checkpoints are damaged,
    the run starts over, and only the missing evaluations are made: a run is a function of its settings.
    """
    saved = {stop: work.load(f"{name}-{stop}") for stop in stops}
    found = {stop: one for stop, one in saved.items() if one is not None}
    missing = [stop for stop in stops if stop not in found]
    if missing:
        folder = work.folder / name
        if runtime.process_group().rank == 0 and _step(folder) > missing[0]:
            shutil.rmtree(folder)
        for snapshot in begin(folder):
            if snapshot.step not in found:
                found[snapshot.step] = evaluate(snapshot)
                work.save(f"{name}-{snapshot.step}", found[snapshot.step])
    return {key: np.stack([found[stop][key] for stop in stops]) for key in found[stops[0]]}


def _step(folder: Path) -> float:
    """The step from which a run would go on; infinity where its checkpoints are damaged."""
    try:
        state = newest(folder, torch.device("cpu"))
    except DamagedCheckpoints:
        return math.inf
    return 0 if state is None else state["step"]
