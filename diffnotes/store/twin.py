"""A twin, recomputed the hard way: stopped once and continued, so that what is saved is read back."""

from __future__ import annotations

from pathlib import Path

from diffnotes.store.experiment import Arrays, Experiment, Work
from diffnotes.store.spec import Spec


def recompute(experiment: Experiment, spec: Spec, folder: Path) -> Arrays:
    work = Work(folder, title=f"twin of {experiment.name}")
    try:
        return experiment.compute(spec, work)
    finally:
        work.close()
