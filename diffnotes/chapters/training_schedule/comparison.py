"""EDM's law and weight against the schedule and its ablations, at equal images seen: what `schedule_digits`
and `schedule_cifar` compute (chapter 4).

Over several seeds of weights, batches and noise, on one training set. Within a seed all runs share
everything but the law of noise levels and the weight (see `runs`), so differences are taken within seeds.
The constants are those of the record of `schedule_choice`, or given.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from diffnotes.base import runtime
from diffnotes.chapters.training_schedule import choice as choosing
from diffnotes.chapters.training_schedule.runs import EDM, RunSpec, ScheduleRun, Setting
from diffnotes.store import Arrays, SpecError, Work, choice, number, numbers
from diffnotes.train import stacked

# Each ablation changes one constant of `LossGapLaw`; None is EDM's law and weight.
ARMS: dict[str, dict[str, Any] | None] = {
    EDM: None,
    "schedule": {},
    "soft edge": {"edge": 0.5},
    "fixed law": {"adaptive": False},
    "half exponent": {"exponent": 0.5},
    "no second term": {"bump": 0.0},
    "higher clip": {"clip": 10.0},  # times smaller: w* is ten times as large, and with it both terms
}


@dataclass(frozen=True)
class ScheduleSpec(RunSpec):
    """The runs, and which of them."""

    arms: tuple[int, ...] = numbers((0, 1, 2, 3, 4, 5, 6), low=0, high=6, help="which of ARMS")
    constants: str = choice("chosen", "chosen", "given", help="those of schedule_choice, or the next three")
    bump: float = number(0.3, low=0, help="height of the second term over w*, where given")
    shift: float = number(-1.0, low=-9, high=9, help="mu - ln sigma*, where given")
    clip: float = number(0.01, low=1e-6, help="1/(w* variance), where given")
    seeds: tuple[int, ...] = numbers((0, 1, 2, 3, 4), low=0, high=99, help="of weights, batches and noise")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.arms[:2] != (0, 1):
            raise SpecError(f"arms must begin with 0 and 1, which all are compared with, not {self.arms}.")


def compute(spec: ScheduleSpec, work: Work) -> Arrays:
    """Arrays [run, seed, ...]."""
    where = runtime.device()
    work.device = runtime.device_name(where)
    constants = _constants(spec)
    setting = Setting.of(spec, where, constants)
    names = [list(ARMS)[k] for k in spec.arms]
    count, tables = len(names) * len(spec.seeds), []
    for place, name in enumerate(names):
        options = _options(name, constants)
        every = [ScheduleRun(spec, setting, name, seed, options) for seed in spec.seeds]
        tables.append(
            stacked([run.table(work, place * len(every) + k, count) for k, run in enumerate(every)])
        )
    return stacked(tables) | setting.arrays(spec) | {
        "run": np.array(names), "constants": np.array([constants[name] for name in choosing.NAMES]),
    }  # fmt: skip


def _constants(spec: ScheduleSpec) -> dict[str, float]:
    if spec.constants == "chosen":
        return choosing.chosen()
    return {name: getattr(spec, name) for name in choosing.NAMES}


def _options(name: str, constants: dict[str, float]) -> dict[str, Any] | None:
    options = ARMS[name]
    if options is not None and "clip" in options:
        return {"clip": constants["clip"] / options["clip"]}
    return options


def inputs(spec: ScheduleSpec) -> dict[str, str]:
    """Which constants are taken from the record of `schedule_choice`."""
    return {"schedule_choice": choosing.digest()} if spec.constants == "chosen" else {}
