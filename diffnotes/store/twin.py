"""A twin as it is recomputed: stopped three times on its way and taken up again, as heavy runs are.

What is pinned was computed in one go. So when the two are compared, equal numbers also say that partial
results and checkpoints come back as they were saved.
"""

from __future__ import annotations

import contextlib
import math
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from diffnotes.store.experiment import Arrays, Experiment, Unfinished, Work
from diffnotes.store.spec import Spec


def recompute(experiment: Experiment, spec: Spec, folder: Path) -> Arrays:
    """The arrays of `spec`, stopped three times where work is left and each time continued from `folder`.

    The first stop is at the first step, where a training run has a checkpoint and nothing else yet; the
    others are at the first step after a partial result was saved. An experiment that never steps is done at
    once.
    """
    for work in (Work(folder, max_seconds=-1.0), _UntilSaved(folder), _UntilSaved(folder)):
        try:
            return _computed(experiment, spec, work)
        except Unfinished:
            continue
    return _computed(experiment, spec, Work(folder))


class _UntilSaved(Work):
    """Its time is over once it has saved something."""

    def save(self, name: str, arrays: Mapping[str, np.ndarray]) -> None:
        super().save(name, arrays)
        self._deadline = -math.inf


def _computed(experiment: Experiment, spec: Spec, work: Work) -> Arrays:
    try:
        with _one_thread():
            return experiment.computed(spec, work)
    finally:
        work.close()


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """torch on one thread, where an experiment has loaded it: a twin is so small that on a busy machine more
    threads only wait for each other."""
    torch = sys.modules.get("torch")
    if torch is None:
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
