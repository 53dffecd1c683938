"""When each instrument sees memorization, in images seen, and at which noise level first.

An onset is where an instrument first passes its threshold, on a line over the logarithm of training time
between two checkpoints. NaN where it does not, and where it has passed it at the first checkpoint already.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from diffnotes.chapters.four_lenses import readings
from diffnotes.chapters.four_lenses.readings import COPIED, Values
from diffnotes.store import Record

PARTED = 0.2  # held-out over training error, less 1
OPEN, HALF = 1.0, 0.5


def _gap_share(record: Record) -> Values:
    """The loss gap left of sigma*, over the least held-out error there so far."""
    least = np.minimum.accumulate(readings.within(record, record["held_out"], "left"), -1)
    return readings.within(record, record["loss_gap"], "left") / least


def _parted(record: Record) -> Values:
    known, unseen = (readings.in_law(record, record[name]) for name in ("train", "held_out"))
    return unseen / known - 1


# Name: word, what passes, threshold, and whether it rises (+1) or falls (-1) through it.
ONSETS: dict[str, tuple[str, Callable[[Record], Values], float, int]] = {
    "parted": ("losses part by a fifth", _parted, PARTED, 1),
    "relative": ("relative gap reaches 1", readings.relative_peak, OPEN, 1),
    "inside": ("half of the sampler overlaps at σ*", readings.lens("inside").read, HALF, 1),
    "agreement": ("agreement of halves is lost by half", readings.agreement, HALF, -1),
    "gap": ("loss gap left of σ* is half of the held-out error", _gap_share, HALF, -1),
    "extrapolated": ("extrapolated error left of σ* is halved", readings.extrapolated_left, HALF, -1),
    "memorized": ("5 % memorized", readings.memorized, COPIED, 1),
}


def crossed(time: np.ndarray, value: np.ndarray, level: float, sign: int) -> float:
    """Where `value` [l] first passes the level, rising for sign 1 and falling for -1."""
    beyond = sign * (value - level) >= 0
    if beyond[0] or not beyond.any():
        return np.nan
    k = int(beyond.argmax())
    share = (level - value[k - 1]) / (value[k] - value[k - 1])
    logs = np.log(time[k - 1 : k + 1])
    return float(np.exp(logs[0] + share * (logs[1] - logs[0])))


def epochs(record: Record) -> np.ndarray:
    """Images seen per training image [size, checkpoint]."""
    found: np.ndarray = record["images_seen"] / record["n"][:, None]
    return found


def onset(record: Record, name: str) -> np.ndarray:
    """Images seen per training image [size, width, seed]."""
    _, read, level, sign = ONSETS[name]
    return _each(epochs(record), read(record), level, sign)


def _each(time: np.ndarray, value: Values, level: float, sign: int) -> np.ndarray:
    """`crossed` of every run."""
    found = np.full(value.shape[:3], np.nan)
    for place in np.ndindex(*value.shape[:3]):
        found[place] = crossed(time[place[0]], value[place], level, sign)
    return found


def lag(record: Record, name: str, after: str = "memorized") -> np.ndarray:
    """ln of the onset `after` over that of another instrument, [size, width, seed]; NaN where either is."""
    found: np.ndarray = np.log(onset(record, after) / onset(record, name))
    return found


def seen_first(record: Record, name: str) -> np.ndarray:
    """The number of the checkpoint that first passes the threshold [size, width, seed]; -1 for none."""
    _, read, level, sign = ONSETS[name]
    beyond = sign * (read(record) - level) >= 0
    return np.where(beyond.any(-1), beyond.argmax(-1), -1)


def known(values: np.ndarray) -> np.ndarray:
    """Those of all runs that are known."""
    return values[np.isfinite(values)]


def by_run(values: np.ndarray) -> np.ndarray:
    """Means over sizes and widths where a value is known, [seed]; the seeds are independent."""
    some = np.isfinite(values)
    total, count = np.where(some, values, 0).sum((0, 1)), some.sum((0, 1))
    return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)


# --------------------------------------------------------------------------------------------- noise levels


def level_onsets(record: Record, name: str) -> np.ndarray:
    """Onsets at every noise level [size, width, seed, l]: of the relative gap ("relative", 1), the loss gap
    over the least held-out error so far ("gap", 1/2), or the sampler's overlap ("inside", 1/2)."""
    curves, limit, sign = _level_curves(record, name)
    each = [_each(epochs(record), curves[..., k], limit, sign) for k in range(curves.shape[-1])]
    return np.stack(each, -1)


def past_already(record: Record, name: str) -> np.ndarray:
    """Where `level_onsets` is unknown because the first checkpoint is past the threshold [size, width, seed,
    l]."""
    curves, limit, sign = _level_curves(record, name)
    found: np.ndarray = sign * (curves[..., 0, :] - limit) >= 0
    return found


def _level_curves(record: Record, name: str) -> tuple[np.ndarray, float, int]:
    if name == "gap":
        return _gap_shares(record), HALF, -1
    return record[name], OPEN if name == "relative" else HALF, 1


def _gap_shares(record: Record) -> np.ndarray:
    found: np.ndarray = record["loss_gap"] / np.minimum.accumulate(record["held_out"], -2)
    return found


def first_level(record: Record, name: str) -> np.ndarray:
    """The noise level, of those within the zones, at which an instrument passes first, over sigma* [size,
    width, seed]; NaN for none."""
    near = np.logical_or.reduce([readings.zone(record, where) for where in readings.ZONES])
    times = np.where(near[:, None], level_onsets(record, name), np.nan)
    some = np.isfinite(times).any(-1)
    place = np.where(np.isfinite(times), times, np.inf).argmin(-1)
    ratio = record["sigma"][place] / record["critical"][:, None, :]
    return np.where(some, ratio, np.nan)


def peak_level(record: Record) -> np.ndarray:
    """The noise level with the largest relative gap, over sigma*, [size, width, seed, checkpoint]."""
    found: np.ndarray = record["sigma"][record["relative"].argmax(-1)] / record["critical"][:, None, :, None]
    return found
