"""Sentences of chapter 2's supervision region: what the records say, in captions and between figures."""

from __future__ import annotations

import numpy as np

from diffnotes.chapters.supervision import readings
from diffnotes.chapters.supervision.readings import EXACT, LOOSE, NEAR_ONE, SEPARATE, SHARES
from diffnotes.show.labels import bounds, dataset
from diffnotes.show.style import Sentence
from diffnotes.store import Record

SHOWN_TIME = 0.3  # where ratios are named


# ------------------------------------------------------------------------------- first sentences of captions


def widths_text(record: Record) -> str:
    """The half width of the proposition against the exact one."""
    place, dim = readings.delta_place(record), record["dim"]
    loose, exact = (readings.relative_width(record, kind)[:, place] for kind in (LOOSE, EXACT))
    return (
        f"At δ = {record['delta'][place]:g} the half width of Proposition 3.2 is {loose[-1]:.2f} times the "
        f"radius in any dimension; what it need be goes from {exact[0]:.2f} times at d = {dim[0]:,} to "
        f"{exact[-1]:.3f} times at d = {dim[-1]:,}."
    )


def ratio_text(record: Record) -> str:
    """Median r* of both kinds of images at one time."""
    place = readings.place_of(record, SHOWN_TIME)
    known, unseen = (np.median(record[name][place]) for name in ("ratio_train", "ratio_held_out"))
    return (
        f"{dataset(record)}: at t = {record['t'][place]:g} the median r* is {known:.3f} for noised training "
        f"images and {unseen:.3f} for noised held-out ones."
    )


def overlap_text(record: Record) -> str:
    """Up to when shells do not overlap."""
    named = [f"{readings.separated_until(record, share):.2f} ({name})" for name, share in SHARES.items()]
    return f"{dataset(record)}: C(t) stays below {SEPARATE:g} up to t = {', '.join(named)}."


def collapse_text(record: Record) -> str:
    """Up to when the image that was noised is known, and what the paper's condition would say."""
    return (
        f"{dataset(record)}: the median weight of the true image is above one half up to "
        f"t = {readings.known_until(record):g}; t√d exceeds 1 − t times the median nearest distance from "
        f"t = {readings.criterion(record):.2f} on."
    )


def guidance_text(record: Record) -> str:
    """Where the gap of scores leaves zero, and where it is largest."""
    peak = readings.gap_peak(record)
    middle, low, high = readings.median_interval(readings.score_gap(record))[:, peak]
    return (
        f"{dataset(record)}: the median gap of scores is below {readings.NOTHING:.4f} up to "
        f"t = {readings.nothing_until(record):.2f}, and largest at t = {record['t'][peak]:.2f}, with "
        f"{middle:.3g} ({bounds(low, high, 2)} at 95 %)."
    )


def duplicates_text(record: Record) -> str:
    """How far apart the nearest pairs are, and how many images are unusually near to another."""
    close, median = readings.near_duplicates(record), readings.distance_at(record, 0.5)
    return (
        f"{dataset(record)}: the nearest pair is {record['pair_distance'][0]:.2f} apart, the median image "
        f"{median:.2f} from its nearest; {close:,} of {readings.count(record):,} images are nearer to "
        "another than half of that."
    )


# ------------------------------------------------------------------------------------------ between figures


def ratio_finding(record: Record) -> Sentence:
    """How many noised images of either split count as on a shell, over all times."""
    known, unseen = (100 * readings.on_shell(record, f"ratio_{name}") for name in ("train", "held_out"))
    t = record["t"]
    return Sentence(record, text=(
        f"{readings.title(record)}: of noised training images, {bounds(known.min(), known.max(), 0, ' %')} "
        f"have r* within {NEAR_ONE:g} of 1, whatever t. Of noised held-out images it is "
        f"{_percent(unseen[0])} at t = {t[0]:g}, {_percent(unseen[readings.place_of(record, 0.5)])} at "
        f"t = 0.5 and {_percent(unseen[-1])} at t = {t[-1]:g}."
    ))  # fmt: skip


def curve_finding(record: Record) -> Sentence:
    """Where the analytic curve agrees with held-out images, and by how much they differ elsewhere."""
    agrees, window = readings.agrees(record), readings.in_window(record)
    t, short = record["t"], readings.shortfall(record)
    worst = int(np.abs(short[0] * window).argmax())
    return Sentence(record, text=(
        f"{readings.title(record)}: image by image, formula less r* is 0 within its 95 % interval "
        f"{_at(t, agrees)}. From t = {readings.WINDOW[0]:g} to {readings.WINDOW[1]:g} it is so at "
        f"{(agrees & window).sum()} of {window.sum()} times, and furthest from 0 at t = {t[worst]:g}: "
        f"{bounds(short[1, worst], short[2, worst], 4)}, where r* less 1 is "
        f"{readings.held_out_interval(record)[0, worst] - 1:.3f}. An image has the same noise at every t, so "
        "the times are not independent."
    ))  # fmt: skip


def selection_finding(record: Record) -> Sentence:
    """Why r* may lie below the formula: of many shells it takes the one that fits best."""
    less, place = readings.selection(record), readings.place_of(record, 0.5)
    return Sentence(record, text=(
        f"{readings.title(record)}, at t = {record['t'][place]:g}: the ratio to the one image that is "
        f"nearest to the clean one exceeds r* by {bounds(less[1, place], less[2, place], 4)} (95 %, over "
        f"images). The formula is of one image; r* is the best of {readings.count(record):,}."
    ))  # fmt: skip


def separation_finding(record: Record) -> Sentence:
    """C(t) of one data set beside the paper's class, and how many images are behind its maximum."""
    return Sentence(record, text=(
        f"{overlap_text(record)} For the paper’s class it is t = {readings.panda_until():.2f}. "
        f"{duplicates_text(record)}"
    ))  # fmt: skip


def criterion_finding(record: Record) -> Sentence:
    """The paper's condition against the posterior."""
    return Sentence(record, text=(
        f"{collapse_text(record)} For the least distance, which the paper takes, it does from "
        f"t = {readings.criterion(record, 0.0):.2f} on. The median weight is above {readings.SURE:g} up to "
        f"t = {readings.sure_until(record):g}."
    ))  # fmt: skip


def guidance_finding(record: Record) -> Sentence:
    """The same of guidance, with the gap of denoisers."""
    peak = readings.denoiser_peak(record)
    return Sentence(record, text=(
        f"{guidance_text(record)} That is for {100 * readings.share_of_nothing(record):.0f} % of the times. "
        f"As a gap of denoisers per dimension the largest median is {np.median(record['gap'][peak]):.2g}, at "
        f"t = {record['t'][peak]:.2f}."
    ))  # fmt: skip


def _percent(value: float) -> str:
    return f"{value:.0f} %"


def _at(t: np.ndarray, holds: np.ndarray) -> str:
    """'from t = 0.5 to 0.98', 'at t = 0.1 and from t = 0.5 to 0.98', 'at no time tried'."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], holds.astype(int), [0]])))
    runs = [(t[first], t[last - 1]) for first, last in edges.reshape(-1, 2)]
    parts = [f"at t = {a:g}" if a == b else f"from t = {a:g} to {b:g}" for a, b in runs]
    return " and ".join(parts) or "at no time tried"
