"""What the chapter takes off the records of `schedule_digits`, `schedule_cifar` and `schedule_choice`: each
number is read here, once.

Arrays have axes [run, seed, ...]. Losses, gaps and errors are of x0, squared, per dimension. Two runs are
compared within seeds, where they share weights, samples and noise: by the quotient of the one to the other,
as a geometric mean over noise levels where there are several. An interval is [mean, low, high] over seeds, at
95 %, of the logarithm.
"""

from __future__ import annotations

import numpy as np

from diffnotes.base.statistics import factor_over_seeds
from diffnotes.store import Record

# FIDs of the paper's tables, original and new (as third-party notes give them).
PAPER_FIDS = {
    "CIFAR-10, EDM": (1.79, 1.75), "CIFAR-10, flow matching": (2.07, 1.77), "ImageNet-64, EDM": (2.44, 2.25),
    "ImageNet-64, flow matching": (3.06, 2.29), "ImageNet-256, LightningDiT": (2.29, 2.08),
    "ImageNet-256, LightningDiT, guided": (1.42, 1.30),
}  # fmt: skip
EDM, SCHEDULE = "EDM", "schedule"
NEAR = 2.0  # levels within this factor of sigma* are near it
AROUND = 4.0  # the same, where a network must have learnt something


def names(record: Record) -> list[str]:
    """The runs."""
    return [str(name) for name in record["run"]]


def shown(run: str) -> str:
    """What a page calls a run."""
    return {"higher clip": "ten times ω*"}.get(run, run)


def of(record: Record, array: str, run: str) -> np.ndarray:
    """An array of one run [seed, ...]. KeyError where the record has no such run."""
    if run not in names(record):
        raise KeyError(f"no run {run!r}")
    return record[array][names(record).index(run)]


def left(record: Record) -> np.ndarray:
    """Which levels of gaps lie below sigma* [l]."""
    return record["sigma"] < record["critical"]


def within(record: Record, factor: float) -> np.ndarray:
    """Which levels of gaps are within a factor of sigma* [l]."""
    return np.abs(np.log(record["sigma"] / record["critical"])) <= np.log(factor)


def everywhere(record: Record) -> np.ndarray:
    """All levels of gaps [l]."""
    return np.ones(len(record["sigma"]), bool)


# ------------------------------------------------------------------------------------- one run over another


def factors(record: Record, array: str, run: str, base: str = EDM) -> np.ndarray:
    """Quotients of a run to another, of a number [seed] or of a curve [seed, l]."""
    return of(record, array, run) / of(record, array, base)


def factor(record: Record, array: str, where: np.ndarray, run: str = SCHEDULE, base: str = EDM) -> np.ndarray:
    """Interval of the geometric mean over some levels of the quotient of two curves."""
    logs = np.log(factors(record, array, run, base)[:, where]).mean(1)
    return factor_over_seeds(np.exp(logs))


def by_level(record: Record, array: str, run: str = SCHEDULE, base: str = EDM) -> np.ndarray:
    """Intervals [l, 3] of the quotient at each level."""
    return np.array([factor_over_seeds(one) for one in factors(record, array, run, base).T])


def distance(record: Record, run: str = SCHEDULE, base: str = EDM, to: str = "frechet") -> np.ndarray:
    """Interval of the quotient of Fréchet distances."""
    return factor_over_seeds(factors(record, to, run, base))


def learnt(record: Record, run: str = EDM) -> float:
    """The gap of a run over that of plain shrinkage, V sigma^2/(sigma^2 + V), as a geometric mean over seeds
    and levels around sigma*: 1 for a network that has learnt nothing."""
    at, square, variance = within(record, AROUND), record["sigma"] ** 2, record["variance"]
    optimal = np.interp(np.log(record["sigma"]), np.log(record["centre"]), record["optimal"])
    start = (variance * square / (square + variance) - optimal)[at]
    return float(np.exp(np.log(of(record, "gap", run)[:, at] / start).mean()))


# -------------------------------------------------------------------------------------------- law and weight


def density(record: Record, run: str, look: int = -1) -> np.ndarray:
    """p in ln sigma at one look [seed, bin]."""
    return of(record, "law", run)[:, look] / _width(record)


def _width(record: Record) -> float:
    return float(np.diff(np.log(record["centre"])).mean())


def weight(record: Record, run: str) -> np.ndarray:
    """w [bin], over its value at the largest level."""
    found = of(record, "weight", run)[0]
    return found / found[-1]


def jump(record: Record) -> float:
    """The factor by which the weight of the schedule falls from the last part of ln sigma below sigma* to the
    first one above it."""
    k = int((record["centre"] < record["critical"]).sum())
    found = weight(record, SCHEDULE)
    return float(found[k - 1] / found[k])


def objective(record: Record, run: str) -> np.ndarray:
    """p w J in ln sigma at the end, what the levels add to the objective, with the area 1 [seed, bin]."""
    centre, sigma = np.log(record["centre"]), np.log(record["sigma"])
    losses = np.array([np.exp(np.interp(centre, sigma, np.log(one))) for one in of(record, "train", run)])
    found = density(record, run) * weight(record, run) * losses
    return found / (found.sum(1, keepdims=True) * _width(record))


def share_left(record: Record, values: np.ndarray) -> float:
    """The share of a density [seed, bin] below sigma*, in the mean over seeds."""
    below = record["centre"] < record["critical"]
    return float((values[:, below].sum(1) / values.sum(1)).mean())


def moved(record: Record, run: str = SCHEDULE) -> float:
    """How far p has moved from the first look to the last: the total variation, in the mean over seeds."""
    law = of(record, "law", run)
    return float(np.abs(law[:, -1] - law[:, 0]).sum(1).mean() / 2)


def images_seen(record: Record) -> np.ndarray:
    """Images seen at each look."""
    return record["step"] * record.spec["batch"]


# ------------------------------------------------------------------------------------------------ the choice


def best(record: Record) -> int:
    """The number of the combination that was chosen."""
    return int((record["tried"] == record["chosen"]).all(1).argmax())


def at_border(record: Record) -> list[str]:
    """The constants that were chosen at an end of what was tried, where there were more than two of them."""
    found = []
    for name, column, chosen in zip(record["name"], record["tried"].T, record["chosen"], strict=True):
        values = np.unique(column)
        if len(values) > 2 and chosen in (values[0], values[-1]):
            found.append(str(name))
    return found


def choice_left(record: Record) -> np.ndarray:
    """The gap left of sigma* over that of EDM's run, of every combination."""
    logs = np.log(record["gap"] / record["edm_gap"])[:, left(record)]
    return np.exp(logs.mean(1))
