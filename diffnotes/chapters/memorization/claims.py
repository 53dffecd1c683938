"""Marion & Wu, Understanding diffusion models requires rethinking (again) generalization (2605.06077)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from diffnotes.chapters.checks import PENDING, Finding, companion, every, verdict
from diffnotes.store import Record

SPLIT, TEN = 1, 3  # places among the definitions of an onset: losses part, a tenth are copies
MEAN = -1  # the average of the weights that is judged: the longest, as in the paper


def _default(record: Record) -> int:
    return int(np.flatnonzero(record["value"] == record.spec["n"])[0])


def _looks(record: Record, place: int) -> int:
    """How many looks a run has."""
    return int((record["step"][place, 0] > 0).sum())


def _spread(values: np.ndarray) -> str:
    """The largest standard error over seeds of values [value, seed], as text."""
    if values.shape[1] < 2:
        return "one seed"
    known = values[np.isfinite(values).all(1)]
    return f"± {(known.std(1, ddof=1) / known.shape[1] ** 0.5).max():.2g}" if len(known) else ""


def _list(values: np.ndarray, digits: int = 3) -> str:
    return ", ".join("–" if not np.isfinite(v) else f"{v:.{digits}g}" for v in values)


def _sweep(record: Record, name: str) -> tuple[np.ndarray, np.ndarray]:
    """(values of the factor, `name` [value, seed, average, ...]) in rising order, with the default run, which
    is part of the sweep over n."""
    factor = record.spec["sweep"]
    values, found = record["value"].astype(float), record[name]
    if factor != "n":
        base = companion(record, record.experiment, {"sweep": "n"})
        values = np.append(values, base.spec[factor])
        found = np.concatenate([found, base[name][_default(base)][None]])
    order = np.argsort(values)
    return values[order], found[order]


def _part(record: Record) -> Finding:
    """Held-out loss rises again while the training loss goes on falling."""
    place = _default(record)
    last = _looks(record, place) - 1
    test, train = (record[f"{name}_loss"][place, :, :, MEAN] for name in ("test", "train"))
    least = np.nanmin(test, 1)
    rise = test[:, last] / least - 1
    at = np.nanargmin(test, 1)
    fall = 1 - train[:, last] / train[np.arange(len(train)), at]
    text = f"held-out loss +{100 * rise.mean():.0f} %, training loss −{100 * fall.mean():.0f} % from there on"
    return Finding(text, f"{len(rise)} seeds", verdict(every(rise > 0.2), every(fall > 0)))


def _copies(record: Record) -> Finding:
    place = int(record["value"].argmin())
    share = record["copies"][place, :, :, MEAN, 0]
    last = _looks(record, place) - 1
    base = record["copies_baseline"][place, :, last, MEAN, 0]
    first, end = (f"{100 * share[:, look].mean():.0f} %" for look in (0, last))
    text = f"{first} to {end} at N = {record['value'][place]}"
    good = share[:, 0].mean() < 0.02, share[:, last].mean() > 0.5, base.mean() < 0.05
    return Finding(text, f"of held-out images {100 * base.mean():.0f} %", verdict(*map(bool, good)))


def _linear(record: Record) -> Finding:
    return _power(record, SPLIT, lambda low, high: (low > 0, low <= 1 <= high))


def _above_linear(record: Record) -> Finding:
    return _power(record, TEN, lambda low, high: (low > 1,))


def _power(record: Record, place: int, parts: Callable[[float, float], tuple[bool, ...]]) -> Finding:
    """What holds of the interval of the exponent; one seed has no interval, which proves nothing."""
    power, low, high, sizes = record["exponent"][MEAN, place].tolist()
    if sizes < 2:
        return Finding("not reached at two sizes", "", verdict(False))
    if not np.isfinite(power):
        return Finding("one seed, so no interval", "", PENDING)
    text = f"power {power:.2f} over {int(sizes)} sizes"
    return Finding(text, f"{low:.2f} to {high:.2f}", verdict(*parts(low, high)))


def _ordered(record: Record, found: np.ndarray, falls: bool, digits: int = 3) -> Finding:
    """Do means over seeds fall (or rise) at every step, and by more than noise from first to last?

    NaN is left out; infinity, for what never happens, counts as the latest.
    """
    mean = found.mean(1)
    known = found[~np.isnan(mean)] * (1 if falls else -1)
    steps = known.mean(1)
    if len(steps) < 2:
        return Finding(f"known at {len(steps)} of {len(mean)} values", "", PENDING)
    falling = all(a > b for a, b in zip(steps, steps[1:], strict=False))
    return Finding(_list(mean, digits), _spread(found), verdict(falling, _above_noise(known[0], known[-1])))


def _above_noise(high: np.ndarray, low: np.ndarray) -> bool:
    """Whether high - low [seed] is above zero by two standard errors; one seed has only its sign."""
    if not np.isfinite([high, low]).all():
        return bool(high.mean() > low.mean())
    gap = high - low
    spread = gap.std(ddof=1) / len(gap) ** 0.5 if len(gap) > 1 else 0.0
    return bool(gap.mean() > 2 * spread)


def _slower(record: Record) -> Finding:
    rates = _sweep(record, "rate")[1][:, :, MEAN]
    if np.isfinite(rates).all(1).sum() < 2:
        return Finding("too few looks between 10 and 60 % for a slope", "", PENDING)
    return _ordered(record, rates, falls=True)


def _fidelity_with_more(record: Record) -> Finding:
    """Peak fidelity gets better (the distance smaller) as the factor grows."""
    return _ordered(record, _sweep(record, "best")[1][:, :, MEAN], falls=True)


def _fidelity_with_less(record: Record) -> Finding:
    return _ordered(record, _sweep(record, "best")[1][:, :, MEAN], falls=False)


def _raw_fidelity(record: Record) -> Finding:
    """The same for the weights as they are."""
    return _ordered(record, _sweep(record, "best")[1][:, :, 0], falls=True)


def _sooner(record: Record) -> Finding:
    return _ordered(record, _late(_sweep(record, "onset")[1]), falls=True)


def _late(times: np.ndarray) -> np.ndarray:
    """The step of 10 % copies [value, seed]; infinite where they are never reached."""
    found = times[:, :, MEAN, TEN]
    return np.where(np.isnan(found), np.inf, found)


def _inverse_batch(record: Record) -> Finding:
    """Is the onset times B the same at every B?"""
    batch, times = _sweep(record, "onset")
    seen = (times[:, :, MEAN, SPLIT] * batch[:, None]).mean(1)
    ratio = float(seen.max() / seen.min())
    text = f"images seen at the onset: {_list(seen)}"
    return Finding(text, f"ratio {ratio:.2f}" if np.isfinite(ratio) else "", verdict(ratio < 1.5))


def _same_rate(record: Record) -> Finding:
    rates = _sweep(record, "rate")[1][:, :, MEAN].mean(1)
    known = rates[np.isfinite(rates)]
    if len(known) < 2:
        return Finding("too few looks between 10 and 60 % for a slope", "", PENDING)
    ratio = float(known.max() / known.min())
    return Finding(_list(rates), f"ratio {ratio:.2f}", verdict(ratio < 1.25))


def _later(record: Record) -> Finding:
    """Does the onset, times the learning rate, grow with the rate?"""
    rate, times = _sweep(record, "onset")
    return _ordered(record, _late(times) * rate[:, None], falls=False)


def _same_distance(record: Record) -> Finding:
    """Distance to the training set over that to as many held-out images, before and after the losses part."""
    place = _default(record)
    looks = _looks(record, place)
    pair = [record[f"wasserstein_{name}"][place, :, :looks, MEAN].mean(0) for name in ("train", "few")]
    off = np.abs(pair[0] / pair[1] - 1)
    split = record["onset"][place, :, MEAN, SPLIT]
    split = split[np.isfinite(split)]
    early = record["step"][place, 0, :looks] <= (split.mean() if len(split) else np.inf)
    text = f"differ by at most {100 * off[early].max(initial=0):.0f} % before the losses part, "
    text += f"{100 * off.max():.0f} % in all"
    return Finding(text, "means over seeds", verdict(every(off[early] < 0.1), every(off < 0.1)))


def _double_descent(record: Record) -> Finding:
    """A rise of a fifth above the first minimum, of which at least half is lost again."""
    place = _default(record)
    looks = _looks(record, place)
    curve = record["wasserstein"][place, :, :looks, MEAN].mean(0)
    before = np.minimum.accumulate(curve)
    top = int((curve / before).argmax())
    rise = float(curve[top] / before[top] - 1)
    back = float((curve[top] - curve[top:].min()) / (curve[top] - before[top])) if rise > 0 else 0.0
    text = "falls all along"
    if rise > 0:
        text = f"rises by {100 * rise:.0f} % after its first minimum, then loses {100 * back:.0f} % of that"
    return Finding(text, "mean over seeds", verdict(rise > 0.2, rise > 0.2 and back > 0.5))


def _halves(record: Record) -> Finding:
    """Distance of the two samples from one noise over that of samples from different noises."""
    each = record["apart"] / record["unrelated"]
    share = each.mean(1)
    text = f"{share[0]:.2f} at N = {record['n'][0]}, {share[-1]:.2f} at N = {record['n'][-1]}"
    held = bool(share[0] > 0.9), bool(share[-1] < 0.5)
    return Finding(text, _spread(each), verdict(*held))


ON_BOTH = {  # judged on digits and on CIFAR-10
    "part": _part,
    "copies": _copies,
    "linear": _linear,
    "above": _above_linear,
    "slope": _slower,
    "size-fidelity": _fidelity_with_more,
    "same": _same_distance,
    "double": _double_descent,
    "width-onset": _sooner,
    "width-fidelity": _fidelity_with_more,
    "batch-onset": _inverse_batch,
    "batch-slope": _same_rate,
    "batch-fidelity": _fidelity_with_less,
    "rate-onset": _later,
    "rate-fidelity": _fidelity_with_more,
}
CHECKS = {
    **{f"marion-{name}-{data}": check for name, check in ON_BOTH.items() for data in ("digits", "cifar")},
    "ours-averaging": _raw_fidelity,
    "ours-halves": _halves,
}
