"""Training runs that are evaluated on their way: train, evaluate, stack.

    run = Training(name, model, objective, plan, stops, evaluate)
    table = run.evaluations(work, work.part(place, count, name))    # each array [stop, ...]

and, inside `evaluate(snapshot)`,

    with evaluating(snapshot, horizon) as model: ...
"""

from __future__ import annotations

import contextlib
import math
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from diffnotes.base import runtime
from diffnotes.store import Arrays, Work
from diffnotes.train.checkpoints import DamagedCheckpoints, newest
from diffnotes.train.loop import Objective, Plan, Report, Snapshot, train


@dataclass(frozen=True)
class Training:
    """A training run and what is measured on its way: `evaluate(snapshot)` after each of `stops` steps.

    `name` is that of its checkpoints and of its saved evaluations within one `Work`.
    """

    name: str
    model: nn.Module
    objective: Objective
    plan: Plan
    stops: Sequence[int]
    evaluate: Callable[[Snapshot], Arrays]

    def evaluations(self, work: Work, report: Report | None = None) -> Arrays:
        """All evaluations, stacked to [stop, ...]; see `evaluated` for what is saved, and made again."""

        def begin(folder: Path) -> Iterator[Snapshot]:
            return train(self.model, self.objective, self.plan, self.stops, folder, report)

        return evaluated(work, self.name, self.stops, begin, self.evaluate)


@contextlib.contextmanager
def evaluating(snapshot: Snapshot, horizon: int = 0) -> Iterator[nn.Module]:
    """The network as it is evaluated: weights averaged over `horizon` steps (0: as they are), in full
    precision, without gradients."""
    with snapshot.averaged(horizon) as model, runtime.full_precision(), torch.no_grad():
        yield model


def stacked(tables: Sequence[Arrays]) -> Arrays:
    """Tables with the same names and shapes as one: each array [table, ...]."""
    return {name: np.stack([table[name] for table in tables]) for name in tables[0]}


def evaluated(
    work: Work,
    name: str,
    stops: Sequence[int],
    begin: Callable[[Path], Iterator[Snapshot]],
    evaluate: Callable[[Snapshot], Arrays],
) -> Arrays:
    """`evaluate(snapshot)` at each of `stops`, each saved, stacked to [stop, ...].

    `begin(folder)` starts the run, or continues it from its checkpoints in `folder`; it is not called when
    every evaluation is there. Where one is lost that the run has passed, or all its checkpoints are damaged,
    the run starts over, and only the evaluations that are missing are made: a run is a function of its
    settings.
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
    return stacked([found[stop] for stop in stops])


def _step(folder: Path) -> float:
    """The step from which a run would go on; infinity where its checkpoints are damaged."""
    try:
        state = newest(folder, torch.device("cpu"))
    except DamagedCheckpoints:
        return math.inf
    return 0 if state is None else state["step"]
