"""What the chapter takes off records of `gaussian` and `gaussian_factors`: each number is read here, once.

Errors have the axes [..., evaluation, average, place, score, level]. A curve is one of them at a place and
against a score, [..., evaluation], the mean over times t. An interval is [mean, low, high], at 95 % over
seeds: each seed has points, weights and noise of its own.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from diffnotes.chapters.checks import companion
from diffnotes.show.labels import bounds
from diffnotes.store import Record

# Figure 10 of the paper, measured in its vector drawing; good to the printed digits.
PAPER_STEPS = np.array([
    0, 500, 1000, 2000, 3000, 4000, 5000, 6000, 8000, 10_000, 12_500, 15_000, 17_500, 19_900
])  # fmt: skip
PAPER = np.array([
    [.977, .906, .830, .681, .499, .393, .339, .294, .249, .223, .213, .205, .185, .172],
    [.475, .453, .419, .373, .355, .344, .335, .335, .341, .326, .345, .338, .339, .347],
    [.564, .498, .428, .333, .237, .177, .146, .123, .111, .091, .090, .084, .086, .083],
])  # fmt: skip
PAPER_END = PAPER[:, -1]
PAPER_RATE = 4e-3  # of Adam
PAPER_CROSSING = 5000  # about the iteration at which its first two curves cross
PAPER_PLATEAU = (0.32, 0.36)  # of its second curve

RAW, AVERAGED = range(2)
SUPERVISED, FRESH, PATH = range(3)
EMPIRICAL, TRUE = range(2)
CURVES = {  # of the paper's figure, and ours
    "supervised, empirical": (SUPERVISED, EMPIRICAL),
    "supervised, true": (SUPERVISED, TRUE),
    "fresh, true": (FRESH, TRUE),
    "fresh, empirical": (FRESH, EMPIRICAL),
    "path, empirical": (PATH, EMPIRICAL),
    "path, true": (PATH, TRUE),
}
NETS = ("a score of zero", "the true score", "the empirical score")
SEEDS = (0, 1, 2)
APART = 0.5  # from about this t on, noised training points lie among those of their neighbours
EARLY = 0.4  # below this t an earlier trial had seen the third curve rise
FIRST = 1000  # the iteration from which the fourth curve is judged: outputs have their scale by then
RISES = 1.2  # last over least from which a curve has risen


# ------------------------------------------------------------------------------------------- runs and seeds


def with_seeds(record: Record) -> list[Record]:
    """The record with those of the other seeds."""
    mine = record.spec["seed"]
    return [
        record if seed == mine else companion(record, record.experiment, {"seed": seed}) for seed in SEEDS
    ]


def fit(records: Sequence[Record]) -> tuple[np.ndarray, np.ndarray]:
    """The end of the first curve, and what the true score has in it [seed], [seed]: a network fits where it
    ends lower."""
    error, t, step = errors(records), records[0]["t"], records[0]["step"]
    ends = last(curve(error, t, SUPERVISED, EMPIRICAL), step)
    return ends, reference(records, 1, SUPERVISED, EMPIRICAL).mean(1)


def errors(records: Sequence[Record]) -> np.ndarray:
    """Errors of several seeds [seed, evaluation, average, place, score, level]."""
    return np.stack([record["error"] for record in records])


def run_errors(record: Record, factor: str = "default", value: str = "") -> np.ndarray:
    """The same of one run of `gaussian_factors`."""
    return record["error"][run_place(record, factor, value)]


def run_place(record: Record, factor: str, value: str = "") -> int:
    """Which run has this value of this factor."""
    found = (record["factor"] == factor) & (record["value"] == value)
    return int(np.flatnonzero(found)[0])


def ends_of(record: Record, factor: str) -> tuple[str, str]:
    """The least and the largest value of a factor that was varied, as text."""
    values = [str(value) for value in record["value"][record["factor"] == factor]]
    return min(values, key=float), max(values, key=float)


def run_name(factor: str, value: str) -> str:
    """'default', 'batch 20', 'predicts x0'."""
    if factor == "default":
        return factor
    return f"predicts {value}" if factor == "target" else f"{factor} {value}"


def run_names(record: Record) -> list[str]:
    """Of all runs of `gaussian_factors`."""
    pairs = zip(record["factor"], record["value"], strict=True)
    return [run_name(str(factor), str(value)) for factor, value in pairs]


def default_value(record: Record, factor: str) -> str:
    """The value of a factor in the default run."""
    return "eps" if factor == "target" else f"{record.spec[factor]}"


def runs_by(record: Record, factor: str) -> list[tuple[str, int]]:
    """(value, place) of the runs that differ in one factor, the default among them, in rising order."""
    own = [(str(record["value"][k]), int(k)) for k in np.flatnonzero(record["factor"] == factor)]
    found = [*own, (default_value(record, factor), 0)]
    return found if factor == "target" else sorted(found, key=lambda pair: float(pair[0]))


def is_papers(record: Record) -> bool:
    """Whether a run has the dimension and the points of the paper, so that its curves can stand beside."""
    return record.spec["dim"] == 20 and record.spec["n_train"] == 100


# --------------------------------------------------------------------------------------------------- curves


def curve(
    error: np.ndarray,
    t: np.ndarray,
    place: int,
    score: int,
    average: int = RAW,
    low: float = 0.0,
    high: float = 1.0,
) -> np.ndarray:
    """The mean over times in [low, high) of errors at a place against a score [..., evaluation]."""
    inside = (t >= low) & (t < high)
    return error[..., average, place, score, :][..., inside].mean(-1)


def by_time(error: np.ndarray, place: int, score: int, average: int = RAW) -> np.ndarray:
    """Errors at a place against a score, by time [..., evaluation, level]."""
    return error[..., average, place, score, :]


def denoiser_units(values: np.ndarray, t: np.ndarray) -> np.ndarray:
    """|D - D'|^2 / d of errors [..., level]: s^2 times as much, s = t/(1 - t)."""
    return values * (t / (1 - t)) ** 2


def in_denoiser_units(record: Record, error: np.ndarray, place: int, score: int) -> np.ndarray:
    """The mean of |D - D'|^2 / d over t below APART [..., evaluation]."""
    t = record["t"]
    values = denoiser_units(by_time(error, place, score), t)
    return values[..., t < APART].mean(-1)


def reference(records: Sequence[Record], net: int, place: int, score: int) -> np.ndarray:
    """What one of NETS has at a place against a score, by time [seed, level]."""
    return np.stack([record["reference"][net, place, score] for record in records])


def last(values: np.ndarray, step: np.ndarray) -> np.ndarray:
    """The mean over the evaluations of the last tenth of training, of values [..., evaluation]."""
    return between(values, step, 0.9, 1.0)


def between(values: np.ndarray, step: np.ndarray, low: float, high: float) -> np.ndarray:
    """The mean over evaluations from `low` to `high`, in shares of training, of values [..., evaluation]."""
    chosen = (step >= low * step[-1]) & (step <= high * step[-1])
    return values[..., chosen].mean(-1)


def at(values: np.ndarray, step: np.ndarray, wanted: Sequence[float] | np.ndarray) -> np.ndarray:
    """Values [..., evaluation] at these steps, from straight lines between evaluations."""
    flat = values.reshape(-1, values.shape[-1])
    found = np.array([np.interp(wanted, step, one) for one in flat])
    return found.reshape(*values.shape[:-1], len(np.atleast_1d(wanted)))


def paper_at(iteration: float) -> np.ndarray:
    """The paper's three curves at an iteration."""
    return at(PAPER, PAPER_STEPS, [iteration])[:, 0]


def crossing(step: np.ndarray, falling: np.ndarray, other: np.ndarray) -> float:
    """The first iteration at which one curve [evaluation] is below another; infinity where it never is."""
    gap = falling - other
    below = np.flatnonzero(gap < 0)
    if not below.size or below[0] == 0:
        return float(step[0]) if below.size else np.inf
    k = below[0]
    return float(step[k - 1] + (step[k] - step[k - 1]) * gap[k - 1] / (gap[k - 1] - gap[k]))


def rise(values: np.ndarray, step: np.ndarray) -> np.ndarray:
    """Last (see `last`) over least after the start, of values [..., evaluation]. Before the first step a
    network says zero, which for some targets happens to be right at some times."""
    return last(values, step) / values[..., 1:].min(-1)


def least(values: np.ndarray) -> np.ndarray:
    """At which evaluation after the start values [..., evaluation] are least."""
    return values[..., 1:].argmin(-1) + 1


def crossings(records: Sequence[Record]) -> np.ndarray:
    """Where the first curve falls below the second, for each seed."""
    error, t, step = errors(records), records[0]["t"], records[0]["step"]
    first, second = (curve(error, t, SUPERVISED, score) for score in (EMPIRICAL, TRUE))
    return np.array([crossing(step, one, two) for one, two in zip(first, second, strict=True)])


def at_equal_fit(
    error: np.ndarray, other: np.ndarray, t: np.ndarray, step: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The third curves of two runs where their first ones are equal: when each first curve comes down to the
    higher of their two ends [seed], [seed]."""
    fits = [curve(one, t, SUPERVISED, EMPIRICAL) for one in (error, other)]
    level = np.maximum(*(last(one, step) for one in fits))
    first, second = (
        np.array([
            np.interp(min(crossing(step, fit, np.full(len(step), goal)), step[-1]), step, fresh)
            for fit, goal, fresh in zip(fits[k], level, curve(one, t, FRESH, TRUE), strict=True)
        ])
        for k, one in enumerate((error, other))
    )  # fmt: skip
    return first, second


def ratio_from(error: np.ndarray, t: np.ndarray, step: np.ndarray, place: int, high: float) -> np.ndarray:
    """Error against the empirical score at the end, over that at `FIRST`: the geometric mean over times below
    `high` [seed]. A ratio at each time is the same in every unit of error."""
    values = np.moveaxis(by_time(error, place, EMPIRICAL)[..., t < high], -2, -1)  # [seed, level, evaluation]
    logs = np.log(last(values, step)) - np.log(at(values, step, [FIRST])[..., 0])
    return np.exp(logs.mean(-1))


def place_ratio(error: np.ndarray, t: np.ndarray, step: np.ndarray, high: float) -> np.ndarray:
    """Error against the empirical score on the network's own paths over that at noised training points, at
    the end: the geometric mean over times below `high` [seed]."""
    found = [
        np.log(last(np.moveaxis(by_time(error, place, EMPIRICAL)[..., t < high], -2, -1), step)).mean(-1)
        for place in (PATH, SUPERVISED)
    ]
    return np.exp(found[0] - found[1])


def rise_by_time(error: np.ndarray, step: np.ndarray, average: int = RAW) -> np.ndarray:
    """Last over least of the error at fresh points against the true score, at each time [..., level]."""
    values = np.moveaxis(by_time(error, FRESH, TRUE, average), -2, -1)
    return rise(values, step)


def early_share(error: np.ndarray, t: np.ndarray, step: np.ndarray) -> np.ndarray:
    """Of the rise of the third curve from its least value to the end, the share of t < EARLY [seed]."""
    whole = curve(error, t, FRESH, TRUE)
    place = least(whole)
    part = curve(error, t, FRESH, TRUE, high=EARLY) * (t < EARLY).mean()
    return _risen(part, place, step) / _risen(whole, place, step)


def late_ratio(error: np.ndarray, t: np.ndarray, step: np.ndarray) -> np.ndarray:
    """The third curve of times from APART on: at the end, over its value where that of all times is least
    [seed]."""
    place = least(curve(error, t, FRESH, TRUE))
    part = curve(error, t, FRESH, TRUE, low=APART)
    return last(part, step) / pick(part, place)


def _risen(values: np.ndarray, place: np.ndarray, step: np.ndarray) -> np.ndarray:
    return last(values, step) - pick(values, place)


def pick(values: np.ndarray, place: np.ndarray) -> np.ndarray:
    """The value of each curve [..., evaluation] at a place of its own [...]."""
    return np.take_along_axis(values, place[..., None], -1)[..., 0]


# ------------------------------------------------------------------------------------------------ intervals


def span(values: np.ndarray, digits: int = 2) -> str:
    """'0.31 (0.29 to 0.34)': the mean over seeds, and from the lowest seed to the highest."""
    return f"{values.mean():.{digits}f} ({bounds(values.min(), values.max(), digits)})"
