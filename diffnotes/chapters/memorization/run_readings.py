"""What single runs do, read off the records of the chapter: rises, falls, breakdowns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from diffnotes.base.statistics import over_seeds
from diffnotes.chapters.memorization.breakdown import FELL_FROM
from diffnotes.chapters.memorization.readings import AVERAGED, astray, broken, curve, onset, steps
from diffnotes.store import Record


def after_minimum(record: Record, place: int, average: int = AVERAGED) -> tuple[np.ndarray, np.ndarray]:
    """From the least held-out loss to the end: the rise of the held-out loss and the fall of the training
    loss, as shares [seed]."""
    test, train = (curve(record, place, f"{name}_loss", average) for name in ("test", "train"))
    at = test.argmin(1)
    seeds = np.arange(len(test))
    return test[:, -1] / test[seeds, at] - 1, 1 - train[:, -1] / train[seeds, at]


PART = 4  # a batch of at most this part of the training set repeats few images within a step
AGAIN = 0.05  # by which the loss at one t must rise, and fall again, to look like it
RISE, LOST = 0.2, 0.5  # of a double descent: a share of the first minimum, and of the rise


@dataclass(frozen=True)
class Rise:
    """How far a distance rises after a minimum: a share, its interval over seeds, how much of it is lost
    again, and the evaluations of the top and of the least value from there on."""

    value: float
    low: float
    high: float
    lost: float
    top: int
    end: int

    @property
    def twice(self) -> bool:
        """Whether the distance falls, rises and falls again."""
        return self.value >= RISE and self.low > 0 and self.lost >= LOST


def rise(record: Record, place: int, average: int = AVERAGED, name: str = "wasserstein") -> Rise:
    """The largest rise of a distance to held-out images above an earlier minimum.

    The two evaluations are those of the mean over seeds: the largest rise of single seeds would grow with the
    noise.
    """
    each = curve(record, place, name, average)
    mean = each.mean(0)
    before = np.minimum.accumulate(mean)
    top = int((mean / before).argmax())
    bottom = int(mean[: top + 1].argmin())
    value, low, high = over_seeds(each[:, top] / each[:, bottom] - 1)
    gained = mean[top] - mean[bottom]
    lost = float((mean[top] - mean[top:].min()) / gained) if gained > 0 else 0.0
    return Rise(float(value), float(low), float(high), lost, top, top + int(mean[top:].argmin()))


def fall_again(record: Record, place: int, split: str, rise: float, average: int = AVERAGED) -> float:
    """The largest of `falls_again` over all t."""
    return float(falls_again(record, place, split, rise, average).max())


def falls_again(
    record: Record, place: int, split: str, rise: float, average: int = AVERAGED
) -> np.ndarray:
    """How far the loss of a split at each t, in the mean over seeds, falls again after it has risen by the
    share `rise` above an earlier value: a share [t]; 0 where it has not risen so far."""
    loss = curve(record, place, f"{split}_by_t", average).mean(0)  # [evaluation, t]
    risen = loss >= (1 + rise) * np.minimum.accumulate(loss)
    top = np.maximum.accumulate(np.where(risen, loss, 0))
    found: np.ndarray = np.max(1 - loss / np.where(top > 0, top, np.inf), axis=0, where=top > 0, initial=0)
    return found


def least_by_t(record: Record, place: int, average: int = AVERAGED) -> tuple[np.ndarray, np.ndarray]:
    """At each t the step at which the held-out loss, in the mean over seeds, is least, and by which share it
    rises from there to the end, [t]."""
    loss = curve(record, place, "test_by_t", average).mean(0)  # [evaluation, t]
    return steps(record, place)[loss.argmin(0)], loss[-1] / loss.min(0) - 1


def turned_back(record: Record, place: int, average: int = AVERAGED) -> tuple[float, float] | None:
    """How far the share of memorized samples, in the mean over seeds, falls below an earlier one, from the
    first evaluation with a tenth of them on: the largest fall, and the largest in standard errors of both
    shares. None where fewer than two evaluations are left."""
    each = curve(record, place, "copies", average)
    share, begun = each.mean(0), np.flatnonzero(each.mean(0) >= FELL_FROM)
    if not len(begun) or begun[0] == len(share) - 1:
        return None
    share = share[begun[0] :]
    top = np.maximum.accumulate(share)
    error = np.sqrt((top * (1 - top) + share * (1 - share)) / (len(each) * record.spec["samples"]))
    fall = top - share
    return float(fall.max()), float(np.max(fall / np.where(error > 0, error, np.inf)))


def mismatch(record: Record, place: int, average: int = AVERAGED) -> tuple[float, float]:
    """The largest |distance to training images / to as many held-out ones - 1| of means over seeds: before
    the losses part, and in all."""
    train, other = (curve(record, place, f"wasserstein_{n}", average).mean(0) for n in ("train", "few"))
    off, split = np.abs(train / other - 1), onset(record, "split", average)[place]
    known = split[np.isfinite(split)]
    early = steps(record, place) <= (known.mean() if len(known) else np.inf)
    return float(off[early].max(initial=0)), float(off.max())


def breakdowns(record: Record, place: int, average: int = AVERAGED) -> list[tuple[float, float, float]]:
    """(top, low, end) of the share of memorized samples of each seed in which training breaks down: the
    largest before, the least from then on, and the last. Those whose samples go astray are not among them."""
    share = curve(record, place, "copies", average)
    ends, lost = broken(record, place, average), astray(record, place, average)
    found = [
        (one[:k], one[k:]) for one, k, far in zip(share, ends, lost, strict=True) if k < len(one) and not far
    ]
    return [(float(before.max()), float(after.min()), float(after[-1])) for before, after in found]
