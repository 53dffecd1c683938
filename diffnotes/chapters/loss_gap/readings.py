"""What the chapter takes off the records of its networks: each number is read here, once.

Arrays of the networks have axes [kind, seed, evaluation, l], those of the one that memorizes, `tiny_...`,
[seed, evaluation, l]. Losses and gaps are squared norms, summed over dimensions, of estimates of x0 from x0 +
sigma eps. An interval is [mean, low, high] over seeds, at 95 %. Seeds differ in training images, weights,
batches and noise, and share the held-out images.
"""

from __future__ import annotations

import numpy as np

from diffnotes.base.ranks import rank_correlation
from diffnotes.base.statistics import disagreement, over_seeds
from diffnotes.store import Record

CRITICAL = 0.01  # of the data variance: where J* has it, there is sigma*
CERTAIN = 0.90  # of the data variance: above it the noisy image says little
NEAR = 1.5  # levels up to this factor from sigma* are near it
LEFT = (8.0, 2.0)  # levels from sigma*/8 to sigma*/2 are to its left
FITTED = 0.5  # a network has learned something when its gap is below this share of that before training
TESTS = 3.0  # standard errors
RESAMPLES = 200  # of networks and seeds
BASE = "F"  # the target that others are held against


def kinds(record: Record) -> list[str]:
    """'VE eps': process and target of each network."""
    return [str(kind) for kind in record["kind"]]


def processes(record: Record) -> list[str]:
    """Those with a network of the target that others are held against and one that predicts the noise."""
    names = kinds(record)
    return [p for p in ("VE", "VP", "FM") if {f"{p} {BASE}", f"{p} eps"} <= {*names}]


def place(record: Record, kind: str) -> int:
    """The place of a network."""
    return kinds(record).index(kind)


def base(record: Record) -> int:
    """The place of the one that predicts what others are held against, under VE."""
    return place(record, f"VE {BASE}")


# ---------------------------------------------------------------------------------------------- noise levels


def share(record: Record, prefix: str = "") -> np.ndarray:
    """J* over the data variance [seed, l]."""
    return record[f"{prefix}optimum"] / record[f"{prefix}variance"][:, None]


def critical(record: Record, prefix: str = "") -> np.ndarray:
    """sigma* [seed]: where J* is 1 % of the data variance, interpolated in ln sigma and ln J*."""
    logs = np.log(record["sigma"])
    found = [
        np.interp(np.log(CRITICAL), np.log(np.maximum(one, 1e-300)), logs) for one in share(record, prefix)
    ]
    return np.exp(found)


def near(record: Record, prefix: str = "") -> np.ndarray:
    """Which levels are near sigma* [seed, l]."""
    return np.abs(_from_critical(record, prefix)) <= np.log(NEAR)


def left(record: Record, prefix: str = "") -> np.ndarray:
    """Which levels are to the left of sigma* [seed, l]."""
    below = -_from_critical(record, prefix)
    return (below >= np.log(LEFT[1])) & (below <= np.log(LEFT[0]))


def large(record: Record) -> np.ndarray:
    """Where J* is above 90 % of the data variance [seed, l]."""
    return share(record) >= CERTAIN


def middle(record: Record) -> np.ndarray:
    """Where J* is between 1 % and 90 % of the data variance [seed, l]."""
    found = share(record)
    return (found > CRITICAL) & (found < CERTAIN)


def _from_critical(record: Record, prefix: str) -> np.ndarray:
    """ln sigma - ln sigma* [seed, l]."""
    return np.log(record["sigma"]) - np.log(critical(record, prefix))[:, None]


def over(values: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Mean of values [..., seed, l] over the levels of where [seed, l]: [..., seed]; NaN where there are
    none."""
    count = where.sum(1)
    return np.where(count > 0, np.where(where, values, 0.0).sum(-1) / np.maximum(count, 1), np.nan)


# ----------------------------------------------------------------------------------------------- loss gaps


def gap(record: Record) -> np.ndarray:
    """At the last evaluation [kind, seed, l]."""
    return record["gap"][:, :, -1]


def loss(record: Record, prefix: str = "") -> np.ndarray:
    """Of training images, or of held-out ones (`prefix` held_), at the last evaluation [kind, seed, l]."""
    return record[f"{prefix}loss"][:, :, -1]


def generalization(record: Record) -> np.ndarray:
    """Held-out loss less training loss [kind, seed, l]."""
    return loss(record, "held_") - loss(record)


def fitted(record: Record) -> np.ndarray:
    """Which networks [kind, seed] have learned something: where J* is between 1 % and 90 % of the variance,
    their gap is in the mean below half of that before training."""
    levels = middle(record)
    return over(gap(record), levels) < FITTED * over(record["start"], levels)


def fitted_far(record: Record, process: str) -> np.ndarray:
    """Whether the network that predicts the noise under a process has learned something at large noise
    [seed]: its gap there is below half of that before training."""
    k, levels = place(record, f"{process} eps"), large(record)
    return over(gap(record), levels)[k] < FITTED * over(record["start"], levels)[k]


def beyond(record: Record) -> np.ndarray:
    """The gap where it is largest, less the excess of held-out over training loss there, over the gap [kind,
    seed]: above 0 where the gap is the larger one."""
    return 1 - at_peak(record, generalization(record)) / at_peak(record, gap(record))


def peak(record: Record) -> np.ndarray:
    """The noise level at which the gap is largest [kind, seed]."""
    return record["sigma"][gap(record).argmax(2)]


def peak_share(record: Record) -> np.ndarray:
    """J* over the data variance at the peak [kind, seed]."""
    top = gap(record).argmax(2)
    return np.stack([share(record)[np.arange(top.shape[1]), one] for one in top])


def intermediate(record: Record) -> np.ndarray:
    """Whether the peak is where J* is between 1 % and 90 % of the variance [kind, seed]."""
    found = peak_share(record)
    return (found > CRITICAL) & (found < CERTAIN)


def at_peak(record: Record, values: np.ndarray) -> np.ndarray:
    """Values [kind, seed, l] where the gap is largest [kind, seed]."""
    top = gap(record).argmax(2)
    return np.take_along_axis(values, top[:, :, None], 2)[:, :, 0]


def times_base(record: Record, process: str, where: np.ndarray, target: str = "eps") -> np.ndarray:
    """How many times larger the gap of a target is than that of F under the same process, in the mean over
    some levels [seed]."""
    found, base = (
        over(gap(record), where)[place(record, f"{process} {name}")] for name in (target, BASE)
    )
    return found / base


def quality_times_base(record: Record, process: str, target: str = "eps") -> np.ndarray:
    """The same of the Fréchet distance to held-out images [seed]."""
    found = record["frechet"][:, :, -1]
    return found[place(record, f"{process} {target}")] / found[place(record, f"{process} {BASE}")]


# ---------------------------------------------------------------------------------------------- two readings


def apart(record: Record, prefix: str = "") -> np.ndarray:
    """Loss less optimal loss, less the distance, in units of both standard errors together [..., l]."""
    names = ("loss", "optimal", "gap", "stderr", "difference_stderr")
    return disagreement(*(record[prefix + name] for name in names))


def readings_apart(record: Record) -> np.ndarray:
    """All of these, of every network, evaluation and level, in one row."""
    prefixes = [prefix for prefix in ("", "tiny_") if f"{prefix}gap" in record.arrays]
    return np.concatenate([apart(record, prefix).ravel() for prefix in prefixes])


# -------------------------------------------------------------------------------------- relation to quality


def relation(record: Record, networks: np.ndarray | None = None) -> np.ndarray:
    """Spearman's correlation over the networks of their gap with the Fréchet distance of their samples, at
    every level [seed, l]; over some networks alone, where their places are given. NaN where all are equal, as
    when one network is drawn again and again."""
    chosen = np.arange(len(record["kind"])) if networks is None else networks
    gaps, quality = gap(record)[chosen], record["frechet"][chosen, :, -1]
    pairs = zip(np.moveaxis(gaps, 1, 0), quality.T, strict=True)
    return np.array([rank_correlation(np.column_stack([some, one]))[-1, :-1] for some, one in pairs])


def other_networks(record: Record) -> np.ndarray:
    """The places of the networks that do not predict the noise."""
    return np.array([k for k, kind in enumerate(kinds(record)) if not kind.endswith(" eps")])


def related(record: Record, where: np.ndarray, networks: np.ndarray | None = None) -> np.ndarray:
    """That correlation in the mean over some levels and over seeds, with the percentiles of RESAMPLES
    resamplings of networks and seeds: [value, low, high]. Networks are what it is taken over."""
    chosen = np.arange(len(record["kind"])) if networks is None else networks
    seeds = len(record["optimum"])
    draw = np.random.Generator(np.random.Philox(0))
    found = [over(relation(record, chosen), where).mean()]
    for _ in range(RESAMPLES):
        some = draw.choice(chosen, len(chosen))
        found.append(over(relation(record, some), where)[draw.integers(0, seeds, seeds)].mean())
    return np.array([found[0], *np.nanpercentile(found[1:], [2.5, 97.5])])


# ----------------------------------------------------------------------------- generalization within the gap


def unseen(record: Record) -> np.ndarray:
    """The loss [seed, l] that a network attains on images that it has not seen: at every level that of the
    network whose held-out loss is least over the other seeds, so that no seed's luck is picked."""
    return _least(loss(record, "held_"))


def _least(values: np.ndarray) -> np.ndarray:
    """Values [option, seed, l] of the option that is least for the other seeds: [seed, l]."""
    seeds = values.shape[1]
    found = []
    for seed in range(seeds):
        others = [one for one in range(seeds) if one != seed] or [seed]
        best = values[:, others].mean(1).argmin(0)
        found.append(np.take_along_axis(values[:, seed], best[None], 0)[0])
    return np.stack(found)


def failure(record: Record) -> np.ndarray:
    """What of the gap is surely failure [kind, seed, l]: the training loss beyond what another network
    attains on images that it has not seen."""
    return np.clip(loss(record) - unseen(record), 0.0, gap(record))


def failure_share(record: Record, where: np.ndarray) -> np.ndarray:
    """Its share of the gap over some levels [kind, seed]."""
    return over(failure(record), where) / over(gap(record), where)


def population_share(record: Record, where: np.ndarray) -> np.ndarray:
    """Of a Gaussian: the least loss on unseen draws less J*, as a share of the gap over some levels [kind,
    seed]. Above 1 for a network that knows its training set."""
    return over(record["population"] - record["optimum"], where) / over(gap(record), where)


# ------------------------------------------------------------------------------------ the one that memorizes


def turning(record: Record) -> np.ndarray:
    """The evaluation at which its held-out loss near sigma* is least over the other seeds [seed]."""
    held = over(np.moveaxis(record["tiny_held_loss"], 1, 0), near(record, "tiny_"))
    seeds = held.shape[1]
    others = [[one for one in range(seeds) if one != seed] or [seed] for seed in range(seeds)]
    return np.array([held[:, rest].mean(1).argmin() for rest in others])


def since_turning(record: Record, name: str) -> np.ndarray:
    """By what factor `name`, tiny_gap or tiny_held_loss, near sigma* has changed since then [seed]."""
    found = over(np.moveaxis(record[name], 1, 0), near(record, "tiny_"))
    seeds = np.arange(found.shape[1])
    return found[-1] / found[turning(record), seeds]


def copies(record: Record, prefix: str = "tiny_") -> np.ndarray:
    """Share of memorized samples at the last evaluation [seed], of all networks [kind, seed]."""
    return record[f"{prefix}copies"][..., -1]


def mean(values: np.ndarray) -> np.ndarray:
    """Means and intervals over seeds [..., 3] of values [..., seed]."""
    return np.apply_along_axis(over_seeds, -1, values)
