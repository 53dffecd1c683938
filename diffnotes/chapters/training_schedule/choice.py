"""The constants of the schedule that the paper does not print, chosen on one seed of the digits.

The rule, written before any record: of all combinations of `bumps`, `shifts` and `clips` the one whose
samples have the smallest Fréchet distance to training images, as FIDs are taken; the first of them where
several do. So no held-out image has a say. Everything else is as in `schedule_digits`, whose seeds are
others. Width of the second term (1 in ln sigma) and the threshold of sigma* (1 % of the variance) are left as
they are.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from diffnotes import store
from diffnotes.base import files, runtime
from diffnotes.base.errors import UserError
from diffnotes.chapters.training_schedule import runs
from diffnotes.chapters.training_schedule.runs import EDM, RunSpec, ScheduleRun, Setting
from diffnotes.store import Arrays, Experiment, Work, number, numbers
from diffnotes.train import stacked

NAMES = ("bump", "shift", "clip")  # the constants that are chosen, as `LossGapLaw` calls them


@dataclass(frozen=True)
class ChoiceSpec(RunSpec):
    """The runs, and the constants to try."""

    bumps: tuple[float, ...] = numbers((0.3, 3.0, 30.0), low=0, help="height of the second term over w*")
    shifts: tuple[float, ...] = numbers((-3.0, -2.0, -1.0), low=-9, high=9, help="mu - ln sigma*")
    clips: tuple[float, ...] = numbers((0.01, 0.1, 1.0), low=1e-6, help="1/(w* variance)")
    seed: int = number(100, low=0, high=10_000, help="of weights, batches and noise")


def compute(spec: ChoiceSpec, work: Work) -> Arrays:
    """EDM's run under `edm_...`, those of the schedule [combination, ...], their constants [combination, 3],
    and those that are chosen [3]."""
    where = runtime.device()
    work.device = runtime.device_name(where)
    setting = Setting.of(spec, where, {})
    tried = list(itertools.product(spec.bumps, spec.shifts, spec.clips))
    options = [None, *(dict(zip(NAMES, one, strict=True)) for one in tried)]
    tables = [
        ScheduleRun(spec, setting, EDM if place == 0 else f"try-{place}", spec.seed, some).table(
            work, place, len(options)
        )
        for place, some in enumerate(options)
    ]
    found = stacked(tables[1:])
    best = int(np.argmin(found["frechet_train"]))
    return found | {f"edm_{name}": value for name, value in tables[0].items()} | setting.arrays(spec) | {
        "name": np.array(NAMES), "tried": np.array(tried), "chosen": np.array(tried[best]),
    }  # fmt: skip


def chosen() -> dict[str, float]:
    """The constants that the pinned record chose. Raises UserError where there is none that holds."""
    record = store.load(EXPERIMENT)
    if record.state in ("stale", "tampered", "missing"):
        raise UserError(f"The chosen constants are {record.state} ({record.reason}); run and pin them again.")
    return dict(zip(NAMES, record["chosen"].tolist(), strict=True))


def digest() -> str:
    """SHA-256 of what `chosen` says."""
    return files.sha256_bytes(repr(sorted(chosen().items())).encode())


SMOKE = ChoiceSpec(
    n=60, held_out=40, width=16, steps=30, batch=16, horizon=4, first=10, looks=2, bins=12,
    memory=16, sources=120, levels=6, draws=60, sampler_steps=5, bumps=(0.3, 30.0),
    shifts=(-3.0, -1.0), clips=(0.01, 1.0),
)  # fmt: skip

EXPERIMENT = Experiment(
    name="schedule_choice",
    version=1,
    spec=ChoiceSpec,
    profiles={"smoke": SMOKE, "laptop": ChoiceSpec()},
    compute=compute,
    seconds={"smoke": 2, "laptop": 360},
    data=runs.fingerprints,
    tolerance=runs.TOLERANCE,
)
