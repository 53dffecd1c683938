"""Every number that the chapter takes off its records: read here, shown and judged elsewhere.

A run is a record and a place in it: the seeds of one value of the swept factor. Arrays have the axes
[value, seed, evaluation, average]. The averages of the weights begin with the weights as they are (RAW) and
end with the longest average (AVERAGED), the one that Marion & Wu have.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from diffnotes.base.statistics import over_seeds
from diffnotes.chapters.memorization.onsets import COPIES, SPLIT, exponent, minimum, parting
from diffnotes.show.labels import check_profiles, dataset
from diffnotes.store import Record

RAW, AVERAGED = 0, -1
SHARES = (0.1, 0.15, 0.2)  # of the least held-out loss: where the losses may be said to part
TENTH = "copies 0.1"
FELL_FROM = 0.1  # share of memorized samples that a run must have reached to break down
FACTORS = {"n": "N", "width": "width", "batch": "B", "rate": "η"}
WORDS = {
    "n": "training images N", "width": "width of the network", "batch": "batch size B",
    "rate": "learning rate η",
}  # fmt: skip
LABELS = {
    "minimum": "held-out loss is least",
    "split": f"losses part by {100 * SPLIT:.0f} %",
    **{f"copies {share:g}": f"{100 * share:.0f} % memorized" for share in COPIES},
}

# What we read off the curves of arXiv 2605.06077, figure 2 (N = 2,048 to 16,384): powers of N of the step at
# which the losses part, at a threshold of 0.02 and over thresholds of 0.01 to 0.05, and at 10 % copies.
THEIR_SPLIT, THEIR_SPLITS, THEIR_TENTH = 1.03, (1.03, 1.24), 1.56
Run = tuple[Record, int]


# --------------------------------------------------------------------------------------------------- names


def title(record: Record) -> str:
    """'digits' or 'CIFAR-10, 16 × 16', by the settings."""
    name, side = dataset(record), record.spec["side"]
    return f"{name}, {side} × {side}" if side else name


def named(factor: str, value: float) -> str:
    """'B = 8', 'η = 0.002'."""
    return f"{FACTORS[factor]} = {value:,g}" if factor == "rate" else f"{FACTORS[factor]} = {int(value):,}"


def label(record: Record, place: int) -> str:
    """'N = 64': the value of the factor at `place`."""
    return named(record.spec["sweep"], record["value"][place])


# ---------------------------------------------------------------------------------------------- runs, curves


def default_place(record: Record) -> int:
    """Where the default run is in a sweep over n."""
    return int(np.flatnonzero(record["value"] == record.spec["n"])[0])


def ordered(record: Record) -> list[int]:
    """The places of a record in rising order of its factor."""
    return [int(place) for place in np.argsort(record["value"])]


def steps(record: Record, place: int) -> np.ndarray:
    """The steps [evaluation] at which the runs at `place` were evaluated."""
    found: np.ndarray = record["step"][place, 0]
    return found[found > 0]


def last(record: Record, place: int) -> int:
    """The last evaluation of the runs at `place`."""
    return len(steps(record, place)) - 1


def curve(record: Record, place: int, name: str, average: int = AVERAGED) -> np.ndarray:
    """An array of the record for one run, [seed, evaluation]."""
    found: np.ndarray = record[name][place, :, : last(record, place) + 1, average]
    return found[..., 0] if name.startswith("copies") else found  # the others are ends of its interval


def pictures(record: Record, place: int, evaluation: int) -> tuple[np.ndarray, np.ndarray]:
    """Samples [k, c, h, w] of the first seed and the training images nearest to them."""
    return record["sheet"][place, evaluation], record["near"][place, evaluation]


def before_split(record: Record, place: int) -> int:
    """The last evaluation of the first seed before its losses part."""
    split = onset(record, "split")[place, 0]
    known = np.flatnonzero(~(steps(record, place) > split))
    return int(known[-1]) if len(known) else 0


def floor(record: Record) -> float:
    """The sliced Wasserstein distance between two sets of held-out images."""
    return float(record["wasserstein_floor"])


def horizons(record: Record) -> list[int]:
    """The averages of the weights, in steps; 0 are the weights as they are."""
    return [int(horizon) for horizon in record["average"]]


@dataclass(frozen=True)
class Swept:
    """A sweep in rising order of its factor, with the default run, which is part of the sweep over n."""

    factor: str
    runs: tuple[Run, ...]

    @property
    def value(self) -> np.ndarray:
        """The factor [value]."""
        return np.array([of_run(run, self.factor) for run in self.runs])

    @property
    def ends(self) -> str:
        """'N = 32 to N = 256'."""
        return " to ".join(named(self.factor, value) for value in self.value[[0, -1]])

    def read(self, name: str, average: int = AVERAGED) -> np.ndarray:
        """`rate` or `best`: [value, seed]."""
        return np.stack([record[name][place, :, average] for record, place in self.runs])

    def onset(self, definition: str, average: int = AVERAGED) -> np.ndarray:
        """Steps [value, seed]."""
        return np.stack([onset(record, definition, average)[place] for record, place in self.runs])


def swept(base: Record, record: Record) -> Swept:
    """The runs of `record`; `base` is the sweep over n. UserError for records of two profiles."""
    factor = record.spec["sweep"]
    check_profiles([base, record])
    runs = [(record, place) for place in range(len(record["value"]))]
    if factor != "n":
        runs.append((base, default_place(base)))
    return Swept(factor, tuple(sorted(runs, key=lambda run: of_run(run, factor))))


def of_run(run: Run, factor: str) -> float:
    """The value of a factor in one run."""
    record, place = run
    return float(record["value"][place] if record.spec["sweep"] == factor else record.spec[factor])


# --------------------------------------------------------------------------------------------------- onsets


def onset(record: Record, definition: str, average: int = AVERAGED) -> np.ndarray:
    """Steps [value, seed] by one definition, NaN where it does not happen.

    The record has the evaluation at which the held-out loss is least, the same for all seeds; here that
    minimum is interpolated, so that seeds differ by what they differ in.
    """
    if definition == "minimum":
        return _each(record, average, lambda step, train, test: minimum(step, test))
    place = list(map(str, record["definition"])).index(definition)
    found: np.ndarray = record["onset"][:, :, average, place]
    return found


def split_at(record: Record, share: float, average: int = AVERAGED) -> np.ndarray:
    """Steps [value, seed] from which the losses differ by `share` of the least held-out loss."""
    return _each(record, average, lambda step, train, test: parting(step, train, test, share))


def _each(
    record: Record, average: int, read: Callable[[np.ndarray, np.ndarray, np.ndarray], float]
) -> np.ndarray:
    """`read(step, train_loss, test_loss)` of every run and seed, [value, seed]."""
    rows = []
    for place in range(len(record["value"])):
        pairs = zip(
            *(curve(record, place, f"{name}_loss", average) for name in ("train", "test")), strict=True
        )
        rows.append([read(steps(record, place).astype(float), train, test) for train, test in pairs])
    return np.array(rows)


@dataclass(frozen=True)
class Power:
    """The power of N with which an onset grows, Student's 95 % over the seeds, and the sizes it rests on."""

    value: float
    low: float
    high: float
    sizes: int

    @property
    def known(self) -> bool:
        """Whether there is an interval: two sizes that all seeds reach, and two seeds."""
        return bool(np.isfinite(self.low))

    @property
    def interval(self) -> str:
        """'1.07 to 1.25'."""
        return f"{self.low:.2f} to {self.high:.2f}"


def fitted(record: Record, times: np.ndarray) -> Power:
    """The power of times [value, seed] in a sweep over n."""
    value, low, high, sizes = exponent(record["value"], times).tolist()
    return Power(value, low, high, int(sizes))


def power(record: Record, definition: str, average: int = AVERAGED) -> Power:
    """The power of an onset."""
    return fitted(record, onset(record, definition, average))


def scan(record: Record, average: int = AVERAGED) -> list[Power]:
    """The powers of the step at which the losses part, at each of SHARES."""
    return [fitted(record, split_at(record, share, average)) for share in SHARES]


def local_powers(record: Record, definition: str, average: int = AVERAGED) -> np.ndarray:
    """The power from each size to the next [size - 1], of geometric means over seeds; sizes that a seed does
    not reach are left out."""
    order = ordered(record)
    times = np.exp(np.log(onset(record, definition, average)[order]).mean(1))
    known = np.isfinite(times)
    found: np.ndarray = np.diff(np.log(times[known])) / np.diff(np.log(record["value"][order][known]))
    return found


# ------------------------------------------------------------------------------------------- what a run does


def after_minimum(record: Record, place: int, average: int = AVERAGED) -> tuple[np.ndarray, np.ndarray]:
    """From the least held-out loss to the end: the rise of the held-out loss and the fall of the training
    loss, as shares [seed]."""
    test, train = (curve(record, place, f"{name}_loss", average) for name in ("test", "train"))
    at = test.argmin(1)
    seeds = np.arange(len(test))
    return test[:, -1] / test[seeds, at] - 1, 1 - train[:, -1] / train[seeds, at]


@dataclass(frozen=True)
class Rise:
    """How far a distance rises after a minimum: a share, its interval over seeds, and how much of it is lost
    again."""

    value: float
    low: float
    high: float
    lost: float


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
    return Rise(float(value), float(low), float(high), lost)


def fall_again(record: Record, place: int, split: str, rise: float, average: int = AVERAGED) -> float:
    """How far the loss of a split at any t, in the mean over seeds, falls again after it has risen by the
    share `rise` above an earlier value: the largest share over all t; 0 where it has not risen so far."""
    loss = curve(record, place, f"{split}_by_t", average).mean(0)  # [evaluation, t]
    risen = loss >= (1 + rise) * np.minimum.accumulate(loss)
    top = np.maximum.accumulate(np.where(risen, loss, 0))
    return float(np.max(1 - loss / np.where(top > 0, top, np.inf), where=top > 0, initial=0))


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
    """(top, low, end) of the share of memorized samples of each seed in which training breaks down: after a
    top of at least FELL_FROM the share falls below half of that."""
    return list(_breakdowns(curve(record, place, "copies", average)))


def _breakdowns(shares: np.ndarray) -> Iterator[tuple[float, float, float]]:
    for share in shares:
        top = np.maximum.accumulate(share)
        fallen = np.flatnonzero((top >= FELL_FROM) & (share < top / 2))
        if len(fallen):
            first = int(fallen[0])
            yield float(top[first]), float(share[first:].min()), float(share[-1])


def stderr(values: np.ndarray) -> np.ndarray | None:
    """Standard errors over seeds of [x, seed], where there are several seeds."""
    seeds = values.shape[1]
    return values.std(1, ddof=1) / seeds**0.5 if seeds > 1 else None


# ------------------------------------------------------------------------------------------- disjoint halves


def apart(record: Record) -> np.ndarray:
    """Distance of two samples from one noise over that of samples from different noises, [n, seed]."""
    found: np.ndarray = record["apart"] / record["unrelated"]
    return found


def own(record: Record) -> np.ndarray:
    """Distance to the nearest image of the own half over that to the nearest of the other half, [n, seed]."""
    found: np.ndarray = record["own"] / record["other"]
    return found


def memorized_halves(record: Record) -> np.ndarray:
    """The share of memorized samples, of both networks, [n, seed]."""
    found: np.ndarray = record["copies"]
    return found


def pairs(record: Record, place: int) -> np.ndarray:
    """Samples of the two networks of the first seed from the same noise, [network, k, c, h, w]."""
    found: np.ndarray = record["sheet"][place, 0]
    return found


# ---------------------------------------------------------------------------------------------- calibration

MEDIAN, LOW, HIGH = 0.5, 0.05, 0.95


def kinds(record: Record) -> list[str]:
    """The kinds of sets with a known answer."""
    return list(map(str, record["kind"]))


def shown(record: Record, name: str, side: int, kind: str) -> np.ndarray:
    """An array of the calibration for images of one side and one kind of set."""
    found: np.ndarray = record[name][list(map(int, record["side"])).index(side), kinds(record).index(kind)]
    return found


def similarity(record: Record, side: int, kind: str) -> tuple[float, float, float]:
    """Median, 5 % and 95 % quantile over images of the largest cosine similarity to a training image."""
    values = np.interp((MEDIAN, LOW, HIGH), record["quantile"], shown(record, "similarity", side, kind))
    return float(values[0]), float(values[1]), float(values[2])


def distance(record: Record, name: str, side: int, kind: str) -> tuple[float, float]:
    """A distance between sets and its error: half the width of the middle 95 % of resampled sets.

    A resampled set repeats images and leaves others out, which moves every distance up, that of a set to
    itself too. So the resampled range lies above the value, and its ends are no interval for it; its width
    is what resampling tells of the error.
    """
    value, low, high = shown(record, name, side, kind).tolist()
    return value, (high - low) / 2
