"""What Song et al. (arXiv 2510.01378) say of the supervision region, against exact measurements."""

from __future__ import annotations

import numpy as np

from diffnotes.chapters.checks import Check, Finding, every, most, verdict
from diffnotes.chapters.supervision import readings
from diffnotes.chapters.supervision.readings import EXACT, LOOSE, NEAR_ONE, SHARES, SURE
from diffnotes.show.labels import bounds, power_of_ten
from diffnotes.store import Record

MOST_TIMES = 0.5  # a time up to which a thing holds that holds at most times
ENOUGH = 0.95  # of images
EARLY = 0.3  # a time up to which, or at which, held-out images are looked at
MORE = 0.5  # by how much the share of training images on shells exceeds that of held-out ones
LONG = 0.2  # a time that counts as long
WIDER = 5.0  # times the exact half width, from so many dimensions on:
WIDE_DIM = 20


# ---------------------------------------------------------------------------------------- width of the shell


def _holds(record: Record) -> Finding:
    excess = readings.excess(record, LOOSE)
    plane = excess[readings.dims_from(record, 2)]
    line = excess[~readings.dims_from(record, 2)]
    text = f"outside with at most {plane.max():.2g} δ from 2 dimensions on"
    if line.size:
        text += f"; in 1 dimension up to {line.max():.2g} δ"
    return Finding(text, "exact", verdict(every(plane <= 1)))


def _loose(record: Record) -> Finding:
    place, high = readings.delta_place(record), readings.dims_from(record, WIDE_DIM)
    loose, exact = (readings.relative_width(record, kind)[high, place] for kind in (LOOSE, EXACT))
    times, dims = loose / exact, record["dim"][high]
    text = (
        f"half width {loose[-1]:.2f} times the radius, exactly {exact[-1]:.3f} times at d = {dims[-1]:,}; "
        f"{bounds(times.min(), times.max(), 1)} times as wide"
    )
    return Finding(text, "exact", verdict(every(times >= WIDER), also=[every(loose > 1)]))


# ------------------------------------------------------------------------------------------- shells of images


def _overlap(record: Record) -> Finding:
    until = [readings.separated_until(record, share) for share in SHARES.values()]
    named = ", ".join(f"{t:.2f} ({name})" for t, name in zip(until, SHARES, strict=True))
    text = f"C below {readings.SEPARATE:g} up to t = {named}"
    close = readings.near_duplicates(record)
    interval = f"all {readings.count(record):,} images; {close:,} nearer than half the median distance"
    return Finding(text, interval, verdict(*(t > MOST_TIMES for t in until)))


def _ratio(record: Record) -> Finding:
    share = readings.on_shell(record, "ratio_train")
    middle = np.abs(np.median(record["ratio_train"], 1) - 1)
    text = (
        f"{bounds(100 * share.min(), 100 * share.max(), 0, ' %')} of images within {NEAR_ONE:g} of 1 by t; "
        f"medians off by at most {middle.max():.3f}"
    )
    early = record["t"] <= EARLY + 1e-9
    unseen = readings.on_shell(record, "ratio_held_out")[early]
    text += f"; of held-out images at most {100 * unseen.max():.0f} % up to t = {EARLY:g}"
    low, high = np.quantile(record["ratio_train"], [0.025, 0.975])
    interval = f"{low:.3f} to {high:.3f} holds 95 % of all training images"
    also = [every(share >= ENOUGH), every(middle <= NEAR_ONE)]
    return Finding(text, interval, verdict(every(share[early] - unseen >= MORE), also=also))


def _held_out(record: Record) -> Finding:
    window = readings.in_window(record)
    agrees, short = readings.agrees(record)[window], readings.shortfall(record)[:, window]
    t = record["t"][window]
    worst = int(np.abs(short[0]).argmax())
    text = (
        f"no difference at {agrees.sum()} of {len(agrees)} times; furthest at t = {t[worst]:g}, where "
        f"r* is {readings.held_out_interval(record)[0, window][worst]:.3f} and the curve "
        f"{readings.analytic(record)[window].mean(1)[worst]:.3f}"
    )
    interval = (
        f"there the curve less r* is {bounds(short[1, worst], short[2, worst], 4)} at 95 %, over images"
    )
    return Finding(text, interval, verdict(every(agrees), most(agrees)))


def _leaves(record: Record) -> Finding:
    place = readings.place_of(record, EARLY)
    train, held_out = (readings.on_shell(record, name)[place] for name in ("ratio_train", "ratio_held_out"))
    low, middle, high = readings.quantiles(record["ratio_held_out"])[:, place]
    text = (
        f"at t = {record['t'][place]:g}, {100 * (1 - held_out):.0f} % of held-out and "
        f"{100 * (1 - train):.0f} % of training images are off the shells; r* of held-out images {middle:.2f}"
    )
    interval = f"{low:.2f} to {high:.2f} holds 80 % of images"
    return Finding(text, interval, verdict(bool(1 - held_out >= ENOUGH), also=[bool(train >= ENOUGH)]))


# -------------------------------------------------------------------------------------------------- posterior


def _one_hot(record: Record) -> Finding:
    apart = record["t"] < readings.separated_until(record, SHARES["median image"])
    short = 1 - np.median(record["own"], 1)[apart]
    share = readings.sure(record)[apart]
    last = record["t"][apart][-1] if apart.any() else 0.0
    worst = power_of_ten(float(short.max(initial=0.0)))
    text = f"up to t = {last:g} the median weight of the true image falls short of 1 by at most {worst}"
    interval = f"above {SURE:g} for {100 * share.min():.0f} % of images or more"
    return Finding(text, interval, verdict(every(short < 1 - SURE), also=[every(share >= 0.9)]))


def _criterion(record: Record) -> Finding:
    broken, until = readings.criterion(record), readings.sure_until(record)
    text = (
        f"t√d exceeds 1 − t times the median nearest distance from t = {broken:.2f} on (the least one: from "
        f"{readings.criterion(record, 0.0):.2f}); the median weight of the true image is above {SURE:g} up "
        f"to t = {until:g}"
    )
    share = readings.sure(record)[readings.after_criterion(record)]
    after = f"at the first time tried after t = {broken:.2f}"
    interval = f"{after}, above {SURE:g} for {100 * share:.0f} % of images"
    return Finding(text, interval, verdict(bool(until - broken >= LONG)))


# --------------------------------------------------------------------------------------------------- guidance


def _guidance(record: Record) -> Finding:
    gap, peak = readings.score_gap(record), readings.gap_peak(record)
    middle, low, high = readings.median_interval(gap)[:, peak]
    until, t = readings.nothing_until(record), float(record["t"][peak])
    text = f"nothing up to t = {until:.2f}; largest median {middle:.3g} at t = {t:.2f}"
    zero = readings.share_of_nothing(record) > 0.5
    return Finding(text, f"{low:.3g} to {high:.3g} at 95 %, over images", verdict(zero, t > MOST_TIMES))


CHECKS: dict[str, Check] = {
    "song-shell-holds": _holds,
    "ours-shell-loose": _loose,
    "song-overlap-digits": _overlap,
    "song-overlap-cifar10": _overlap,
    "song-overlap-imagenet64": _overlap,
    "song-ratio-cifar10": _ratio,
    "song-ratio-imagenet64": _ratio,
    "ours-held-out-curve": _held_out,
    "ours-held-out-leaves": _leaves,
    "song-one-hot": _one_hot,
    "ours-criterion-digits": _criterion,
    "ours-criterion-cifar10": _criterion,
    "ours-criterion-imagenet64": _criterion,
    "song-guidance-zero-digits": _guidance,
    "song-guidance-zero-cifar10": _guidance,
}
