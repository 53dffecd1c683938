"""Every number that the chapter takes off its records: read here, shown and judged elsewhere.

A run is a record and a place in it: the seeds of one value of the swept factor. Arrays have the axes
[value, seed, evaluation, average]. The averages of the weights begin with the weights as they are (RAW) and
end with the longest average (AVERAGED), the one that Marion & Wu have.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from diffnotes.base.errors import UserError
from diffnotes.base.statistics import over_seeds
from diffnotes.chapters.memorization.breakdown import astray_from, broken_at
from diffnotes.chapters.memorization.onsets import (
    COPIES,
    DEFINITIONS,
    SPLIT,
    best_before,
    exponent,
    minimum,
    onsets,
    parting,
    rate,
    reached,
)
from diffnotes.show.labels import check_profiles, dataset
from diffnotes.store import Record

RAW, AVERAGED = 0, -1
NEAR = 0.1  # of the least distance: where samples may be said to be as good as they get
SCAN = (0.05, 0.1, 0.15, 0.2, 0.3)  # of the least held-out loss, as SHARES, which claims are judged at
SHARES = (0.1, 0.15, 0.2)  # of the least held-out loss: where the losses may be said to part
TENTH = "copies 0.1"
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


def beside(base: Record, record: Record) -> str:
    """', N = 256' for a sweep at another size than the default run, else nothing."""
    n = record.spec["n"]
    return "" if n == base.spec["n"] else f", {named('n', n)}"


def run_label(base: Record, record: Record, place: int) -> str:
    """'B = 8', or 'B = 8, N = 256' at another size than the default run."""
    return label(record, place) + beside(base, record)


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
    """A sweep in rising order of its factor, with the default run, which is part of the sweep over n; by the
    seeds that both have."""

    factor: str
    runs: tuple[Run, ...]
    seeds: tuple[int, ...]

    @property
    def value(self) -> np.ndarray:
        """The factor [value]."""
        return np.array([of_run(run, self.factor) for run in self.runs])

    @property
    def length(self) -> np.ndarray:
        """The steps of each run [value]."""
        return np.array([steps(record, place)[-1] for record, place in self.runs])

    @property
    def shared(self) -> str:
        """', over the 3 seeds shared by all' where some runs have more seeds, else nothing."""
        more = any(len(record.spec["seeds"]) > len(self.seeds) for record, _ in self.runs)
        return f", over the {len(self.seeds)} seeds shared by all" if more else ""

    @property
    def ends(self) -> str:
        """'N = 32 to N = 256'."""
        return " to ".join(named(self.factor, value) for value in self.value[[0, -1]])

    def read(self, name: str, average: int = AVERAGED) -> np.ndarray:
        """`rate` or `best`: [value, seed]."""
        return self._taken(lambda record: read(record, name, average))

    def onset(self, definition: str, average: int = AVERAGED) -> np.ndarray:
        """Steps [value, seed]."""
        return self._taken(lambda record: onset(record, definition, average))

    def never(self, definition: str, average: int = AVERAGED) -> np.ndarray:
        """Steps [value, seed]: see the function of that name."""
        return self._taken(lambda record: never(record, definition, average))

    def least_loss(self, average: int = AVERAGED) -> np.ndarray:
        """The least held-out loss [value, seed]."""
        return self._taken(lambda record: _each(record, average, lambda step, train, test: test.min()))

    def generalized(self, average: int = AVERAGED) -> np.ndarray:
        """Steps [value, seed]: see the function of that name."""
        return self._taken(lambda record: generalized(record, average))

    def _taken(self, found: Callable[[Record], np.ndarray]) -> np.ndarray:
        """Rows of what is `found` [value, seed] in the records, for the shared seeds."""
        return np.stack([found(record)[place, _seeds(record, self.seeds)] for record, place in self.runs])


def swept(base: Record, record: Record) -> Swept:
    """The runs of `record`; `base` is the sweep over n. UserError for records of two profiles, and for two
    without a seed in common."""
    factor = record.spec["sweep"]
    check_profiles([base, record])
    runs = [(record, place) for place in range(len(record["value"]))]
    if factor != "n":
        runs += [(base, int(place)) for place in np.flatnonzero(base["value"] == record.spec["n"])]
    seeds = tuple(
        seed for seed in record.spec["seeds"] if all(seed in other.spec["seeds"] for other, _ in runs)
    )
    if not seeds:
        raise UserError("The sweep and its default run have no seed in common; run one of them again.")
    return Swept(factor, tuple(sorted(runs, key=lambda run: of_run(run, factor))), seeds)


def _seeds(record: Record, seeds: Sequence[int]) -> list[int]:
    """Where they are in the record."""
    known = list(record.spec["seeds"])
    return [known.index(seed) for seed in seeds]


def of_run(run: Run, factor: str) -> float:
    """The value of a factor in one run."""
    record, place = run
    return float(record["value"][place] if record.spec["sweep"] == factor else record.spec[factor])


# --------------------------------------------------------------------------------------------------- onsets


def onset(record: Record, definition: str, average: int = AVERAGED) -> np.ndarray:
    """Steps [value, seed] by one definition, NaN where it does not happen.

    The record has the evaluation at which the held-out loss is least, the same for all seeds; here that
    minimum is interpolated, so that seeds differ by what they differ in. Where a run breaks down, what comes
    from there on is left out.
    """
    if definition == "minimum":
        return _each(record, average, lambda step, train, test: minimum(step, test))
    found: np.ndarray = record["onset"][
        :, :, average, list(map(str, record["definition"])).index(definition)
    ].copy()
    for place, seed, until in _broken(record, average, definition.startswith("copies")):
        found[place, seed] = _onsets(record, place, seed, until, average)[DEFINITIONS.index(definition)]
    return found


def read(record: Record, name: str, average: int = AVERAGED) -> np.ndarray:
    """`rate` or `best` [value, seed]; what comes after a breakdown is left out."""
    found: np.ndarray = record[name][:, :, average].copy()
    split = onset(record, "split", average)
    for place, seed, until in _broken(record, average):
        step = steps(record, place)[:until].astype(float)
        if name == "rate":
            found[place, seed] = rate(step, curve(record, place, "copies", average)[seed, :until])
        else:
            far = curve(record, place, "wasserstein", average)[seed, :until]
            found[place, seed] = best_before(step, far, split[place, seed])
    return found


def _onsets(record: Record, place: int, seed: int, until: int, average: int) -> np.ndarray:
    """Steps by each definition, of the evaluations before `until`."""
    names = ("train_loss", "test_loss", "copies")
    found = (curve(record, place, name, average)[seed, :until] for name in names)
    return onsets(steps(record, place)[:until].astype(float), *found)


def broken(record: Record, place: int, average: int = AVERAGED, sampled: bool = True) -> list[int]:
    """The evaluation at which each seed breaks down, what is `sampled` also where samples go astray; the
    count of evaluations where none does. A run breaks down for both kinds of weights when either shows it."""
    kinds = [[curve(record, place, n, kind) for n in ("train_loss", "copies")] for kind in (RAW, AVERAGED)]
    ends = [min(broken_at(loss[s], copies[s]) for loss, copies in kinds) for s in range(len(kinds[0][0]))]
    far = curve(record, place, "wasserstein", average)
    return [min(k, astray_from(one)) for k, one in zip(ends, far, strict=True)] if sampled else ends


def astray(record: Record, place: int, average: int = AVERAGED) -> list[bool]:
    """Whether each seed breaks down because its samples go astray."""
    far, ends = curve(record, place, "wasserstein", average), broken(record, place, average)
    return [k < len(one) and k == astray_from(one) for one, k in zip(far, ends, strict=True)]


def never(record: Record, definition: str, average: int = AVERAGED) -> np.ndarray:
    """Steps [value, seed] as `onset`: infinite where it does not happen, and NaN where that is not known,
    since the run breaks down before."""
    known = onset(record, definition, average)
    found = np.where(np.isnan(known), np.inf, known)
    for place, seed, _ in _broken(record, average):
        found[place, seed] = known[place, seed]
    return found


def _broken(record: Record, average: int, sampled: bool = True) -> Iterator[tuple[int, int, int]]:
    """(place, seed, evaluation) of each breakdown."""
    for place in range(len(record["value"])):
        for seed, until in enumerate(broken(record, place, average, sampled)):
            if until <= last(record, place):
                yield place, seed, until


def split_at(record: Record, share: float, average: int = AVERAGED) -> np.ndarray:
    """Steps [value, seed] from which the losses differ by `share` of the least held-out loss."""
    return _each(record, average, lambda step, train, test: parting(step, train, test, share))


def _each(
    record: Record, average: int, read: Callable[[np.ndarray, np.ndarray, np.ndarray], float]
) -> np.ndarray:
    """`read(step, train_loss, test_loss)` of every run and seed before it breaks down, [value, seed]."""
    rows = []
    for place in range(len(record["value"])):
        step = steps(record, place).astype(float)
        train, test = (curve(record, place, f"{name}_loss", average) for name in ("train", "test"))
        ends = broken(record, place, average, sampled=False)
        rows.append([read(step[:k], train[s, :k], test[s, :k]) for s, k in enumerate(ends)])
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
    return fitted_over(record["value"], times)


def fitted_over(size: np.ndarray, times: np.ndarray) -> Power:
    """The power of a size [value] with which times [value, seed] grow."""
    value, low, high, sizes = exponent(size, times).tolist()
    return Power(value, low, high, int(sizes))


def power(record: Record, definition: str, average: int = AVERAGED) -> Power:
    """The power of an onset."""
    return fitted(record, onset(record, definition, average))


def scan(record: Record, average: int = AVERAGED) -> list[Power]:
    """The powers of the step at which the losses part, at each of SHARES."""
    return [fitted(record, split_at(record, share, average)) for share in SHARES]


def thresholds(record: Record, average: int = AVERAGED) -> dict[str, np.ndarray]:
    """Steps [value, seed] of every onset by its name: the least held-out loss, losses that part by each of
    SCAN, and each share of memorized samples."""
    parts = {
        f"losses part by {100 * share:.0f} %": onset(record, "split", average)
        if share == SPLIT
        else split_at(record, share, average)
        for share in SCAN
    }
    shares = {LABELS[name]: onset(record, name, average) for name in LABELS if name.startswith("copies")}
    return {LABELS["minimum"]: onset(record, "minimum", average), **parts, **shares}


def local_powers(record: Record, times: np.ndarray) -> np.ndarray:
    """The power of times [value, seed] from each size to the next, [size - 1, seed]; sizes that a seed does
    not reach are left out."""
    order = ordered(record)
    logs, sizes = np.log(times[order]), np.log(record["value"][order])
    known = np.isfinite(logs).all(1)
    found: np.ndarray = np.diff(logs[known], axis=0) / np.diff(sizes[known])[:, None]
    return found


def bend(record: Record, times: np.ndarray) -> Power:
    """How much larger the last local power is than the first, with its interval over seeds; a straight line
    has none."""
    steps = local_powers(record, times)
    if len(steps) < 2 or steps.shape[1] < 2:
        return Power(np.nan, np.nan, np.nan, len(steps) + 1)
    value, low, high = over_seeds(steps[-1] - steps[0]).tolist()
    return Power(value, low, high, len(steps) + 1)


def generalized(record: Record, average: int = AVERAGED) -> np.ndarray:
    """Steps [value, seed] at which the distance to held-out images first is within NEAR of its least value
    before the losses part."""
    found = read(record, "best", average)
    for place in range(len(found)):
        step, far = steps(record, place).astype(float), curve(record, place, "wasserstein", average)
        limits = (1 + NEAR) * found[place]
        found[place] = [reached(step, -one, -limit) for one, limit in zip(far, limits, strict=True)]
    return found


def stderr(values: np.ndarray) -> np.ndarray | None:
    """Standard errors over seeds of [x, seed], where there are several seeds."""
    seeds = values.shape[1]
    return values.std(1, ddof=1) / seeds**0.5 if seeds > 1 else None
