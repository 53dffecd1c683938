"""How well each lens tells the checkpoints that memorize, on training sets of sizes it was not fitted to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from diffnotes.chapters.four_lenses import readings
from diffnotes.chapters.four_lenses.readings import COPIED, LENSES, Lens
from diffnotes.store import Record

RESAMPLES = 200  # of runs
CLOCKS = (  # what is known without looking
    Lens("passes", "passes over the training set", 0, 1, "", readings.clock),
    Lens("work", "passes × parameters", 0, 1, "", readings.work),
)


@dataclass(frozen=True)
class Watch:
    """What one lens is worth: balanced error with the threshold of other sizes, in the mean over sizes left
    out, with the same of RESAMPLES resamplings of the runs of each size, and for each size [size]; area under
    the curve over all checkpoints; network evaluations (images seen by a network) of one checkpoint, in the
    mean."""

    lens: Lens
    error: float
    resampled: np.ndarray
    errors: np.ndarray
    auc: float
    cost: float

    @property
    def interval(self) -> np.ndarray:
        """Balanced error with its 95 % interval over runs [3]."""
        return np.array([self.error, *np.nanpercentile(self.resampled, [2.5, 97.5])])

    def better(self, other: Watch) -> bool:
        """Whether its balanced error is lower, by the interval of the difference over runs."""
        return bool(np.nanpercentile(self.resampled - other.resampled, 97.5) < 0)


def memorizing(record: Record) -> np.ndarray:
    """Which checkpoints memorize [size, width, seed, checkpoint]."""
    found: np.ndarray = readings.memorized(record) > COPIED
    return found


def balanced_error(said: np.ndarray, true: np.ndarray) -> float:
    """The mean of the shares that are wrong among the true and among the others, of those there are."""
    parts = [np.mean(said[group] != true[group]) for group in (true, ~true) if group.any()]
    return float(np.mean(parts))


def threshold(values: np.ndarray, true: np.ndarray) -> float:
    """The middle between two values at which `values > threshold` has the least balanced error: the geometric
    one where both have one sign, so that a lens in other units has the same threshold."""
    order = np.unique(values)
    low, high = order[:-1], order[1:]
    middles = np.where(low * high > 0, np.sign(low) * np.sqrt(np.abs(low * high)), (low + high) / 2)
    middles = np.concatenate([[order[0] - 1], middles, [order[-1] + 1]])
    groups = [np.sort(values[group]) for group in (true, ~true)]
    below = [np.searchsorted(group, middles, side="right") / max(len(group), 1) for group in groups]
    wrong = [share for share, group in zip((below[0], 1 - below[1]), groups, strict=True) if len(group)]
    return float(middles[int(np.argmin(np.mean(wrong, 0)))])


def left_out(values: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Balanced error on each size [size] with the threshold of the others; arguments [size, ...]."""
    found = []
    for size in range(len(values)):
        others = np.arange(len(values)) != size
        limit = threshold(values[others].ravel(), true[others].ravel())
        found.append(balanced_error(values[size].ravel() > limit, true[size].ravel()))
    return np.array(found)


def auc(values: np.ndarray, true: np.ndarray) -> float:
    """P(value of a checkpoint that memorizes > value of another one), ties counted half."""
    yes, no = values[true], values[~true]
    return float(np.mean((yes[:, None] > no) + 0.5 * (yes[:, None] == no)))


def watched(record: Record) -> list[Watch]:
    """Every lens but memorized samples themselves, best first; none where all or no checkpoints memorize, of
    all sizes or of those that a threshold would be fitted to."""
    true = memorizing(record)
    if not all(_both(np.delete(true, size, 0)) for size in range(len(true))):
        return []
    lenses = [one for one in (*CLOCKS, *LENSES) if one.name != "memorized"]
    found = [_watch(record, one, true) for one in lenses]
    return sorted(found, key=lambda watch: (watch.error, -watch.auc))


def _both(true: np.ndarray) -> bool:
    return bool(true.any() and not true.all())


def _watch(record: Record, one: Lens, true: np.ndarray) -> Watch:
    values = one.sign * np.asarray(one.read(record), float)
    errors = left_out(values, true)
    again = np.array([left_out(*_drawn(values, true, k)).mean() for k in range(RESAMPLES)])
    return Watch(one, float(errors.mean()), again, errors, auc(values, true), cost(record, one))


def _drawn(values: np.ndarray, true: np.ndarray, number: int) -> tuple[np.ndarray, np.ndarray]:
    """The runs of each size, drawn with replacement: the same for every lens [size, run, checkpoint]."""
    draw = np.random.Generator(np.random.Philox(number))
    runs = [part.reshape(len(part), -1, part.shape[-1]) for part in (values, true)]
    picks = draw.integers(0, runs[0].shape[1], runs[0].shape[:2])
    one, other = (np.take_along_axis(part, picks[..., None], 1) for part in runs)
    return one, other


def cost(record: Record, one: Lens) -> float:
    """Images that networks see for one checkpoint, in the mean over sizes."""
    if not one.source:
        return 0.0
    if one.source == "held out":
        return float(len(record["sigma"]) * record.spec["images"])
    place = list(map(str, record["instrument"])).index(one.source)
    return float(record["cost"][..., place].mean())
