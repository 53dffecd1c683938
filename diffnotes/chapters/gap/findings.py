"""Sentences of chapter 1's networks: what the records say, in captions and between figures."""

from __future__ import annotations

import numpy as np

from diffnotes.chapters.gap import readings
from diffnotes.chapters.gap.readings import SEEDS, percent, share, span, title
from diffnotes.show.labels import joined, minus
from diffnotes.show.style import Sentence, together
from diffnotes.store import Record

SHOWN_LEVELS = (0.1, 0.2, 0.4, 0.8, 1.6)


def _seeds(values: np.ndarray) -> str:
    """'0.89 (seeds 0.86 to 0.91)'."""
    return span(values, SEEDS)


# ------------------------------------------------------------------------------- first sentences of captions


def growth_text(*records: Record) -> str:
    """How far the peak of the gap grows."""
    seen = records[0]["images_seen"]
    parts = [f"{_growth(readings.peak(record).mean(0))} ({title(record)})" for record in records]
    return f"Between {seen[0]:,} and {seen[-1]:,} images seen, the peak of G goes {', '.join(parts)}."


def _growth(top: np.ndarray) -> str:
    """'from 0.025 to 2.92'."""
    digits = 3 if top[-1] < 1 else 2 if top[-1] < 10 else 1
    return minus(f"from {top[0]:.3f} to {top[-1]:.{digits}f}")


def overfit_text(record: Record, level: int) -> str:
    """By how much the held-out error rises again at a noise level, and the training error falls."""
    head = f"With {title(record)}, the held-out error "
    if not readings.turned(record)[level]:
        return f"{head}is least at the last evaluation: it has not turned."
    least, train = readings.least(record, level), record["train"][:, :, level]
    fall = train[:, least].mean() / train[:, -1].mean()
    return (
        f"{head}ends {percent(readings.rise(record)[:, level])} above its least value, while the training "
        f"error goes on to fall by a factor {fall:.1f}."
    )


def samples_text(record: Record) -> str:
    """Denoising gap against gap of samples over the last three doublings."""
    mid, top, gap = readings.earlier(record), readings.peak(record), readings.sample_gap(record)[:, :, -1]
    return (
        f"With {title(record)}, from {record['images_seen'][mid]:,} images seen to the end the peak of G "
        f"goes from {_seeds(top[:, mid])} to {_seeds(top[:, -1])}, the gap of samples from "
        f"{_seeds(gap[:, mid])} to {_seeds(gap[:, -1])}."
    )


def stops_text(record: Record) -> str:
    """The gap of trajectories that are stopped first, and of finished samples."""
    gap = readings.sample_gap(record)[:, -1]
    return (
        f"With {title(record)}, the gap is {_seeds(gap[:, 0])} for trajectories stopped at "
        f"σ = {record['probe'][0]:.2g}, and {_seeds(gap[:, -1])} for finished samples."
    )


def states_text(record: Record) -> str:
    """Where states of the sampler are at the probe, at the first evaluation and at the last."""
    place = readings.position(record)
    return (
        f"With {title(record)}, at σ = {readings.probe_sigma(record):.2g}, the position of states between "
        f"noised training images (0) and noised held-out images (1) goes from {place[:, 0].mean():.2f} to "
        f"{_seeds(place[:, -1])}."
    )


def probe_text(record: Record) -> str:
    """Why the probe is where it is."""
    found = readings.overfitted_level(record) is not None
    which = "where the held-out error has risen most" if found else "the largest gap"
    return f"{readings.probe_sigma(record):.2g} is the stored noise level of the sampler nearest to {which}."


def memorized_text(*records: Record) -> str:
    """The share of samples that are memorized, in the run with the most of them and in the others."""
    shares = [readings.memorized(record)[:, -1] for record in records]
    most = int(np.argmax([share.mean() for share in shares]))
    rest = [100 * share.mean() for place, share in enumerate(shares) if place != most]
    others = f"; in the other runs at most {max(rest):.1f} %" if rest else ""
    return f"With {title(records[most])}, {percent(shares[most], 1)} of samples end memorized{others}."


def astray_text(*records: Record) -> str:
    """Runs whose samples degenerate: the Fréchet distance to training images ends far above its least."""
    parts = [part for record in records for part in _astray(record)]
    return joined(parts) or "No run ends with samples far worse than they were."


def _astray(record: Record) -> list[str]:
    far, seen = readings.sample_distance(record, "train").mean(0), record["images_seen"]
    least = int(far.argmin())
    if far[-1] < readings.ASTRAY * far[least]:
        return []
    return [
        f"With {title(record)}, samples degenerate: their Fréchet distance to training images is "
        f"{far[least]:.2f} after {seen[least]:,} images and {far[-1]:.1f} at the end, so the gap of samples "
        "means little there."
    ]


def rank_text(record: Record) -> str:
    """Whose predictions are most like training images at the probe, and in which order the paper has them."""
    ahead, above = readings.ahead(record), readings.above_held_out(record)
    return (
        f"With {title(record)}, at σ = {readings.probe_sigma(record):.2g}, predictions from states are "
        f"{_than(ahead)} those from noised training images ({_signed(ahead)}), and {_than(above)} those from "
        f"noised held-out images ({_signed(above)})."
    )


def _than(interval: np.ndarray) -> str:
    """What an interval of a difference in similarity says."""
    if interval[1] > 0:
        return "more training-like than"
    return "less training-like than" if interval[2] < 0 else "not to be told from"


def _signed(interval: np.ndarray) -> str:
    """'+0.001; −0.003 to +0.005 at 95 %'."""
    return minus("{:+.3f}; {:+.3f} to {:+.3f} at 95 %".format(*interval))


# ------------------------------------------------------------------------------------------ between figures


def ends_finding(*records: Record) -> Sentence:
    """How much of the last gap is left at the smallest σ, and where its peak went since the first
    evaluation."""
    return together(*(Sentence(record, text=_ends(record)) for record in records))


def _ends(record: Record) -> str:
    sigma, left = record["sigma"], share(readings.end_shares(record)[0])
    first, last = (sigma[readings.peak_level(record, place)] for place in (0, -1))
    return (
        f"{title(record)}: at the end, G at σ = {sigma[0]:g} is {left} of the peak. The peak is "
        f"at σ = {last:.2g}; at the first evaluation it was at {first:.2g}."
    )


def onset_finding(record: Record) -> Sentence:
    """Where overfitting begins, for noise levels from small to large, and where last."""
    sigma, seen = record["sigma"], readings.onset_images(record)
    places = dict.fromkeys(readings.place_of(sigma, level) for level in SHOWN_LEVELS)
    parts = [f"{'not yet' if np.isnan(seen[i]) else f'{seen[i]:,.0f}'} at σ = {sigma[i]:.2g}" for i in places]
    head = f"{title(record)}: images seen at the least held-out error of the mean over seeds"
    text = f"{head}: {', '.join(parts)}."
    return Sentence(record, text=f"{text} {_latest(sigma, seen)}")


def _latest(sigma: np.ndarray, seen: np.ndarray) -> str:
    """At which σ overfitting begins last."""
    if np.isfinite(seen).sum() < 2:
        return "The held-out error turns at fewer than two levels."
    top, last = int(np.nanargmax(seen)), int(np.flatnonzero(np.isfinite(seen))[-1])
    rest = f"; at the largest where it has turned, {sigma[last]:.2g}, after {seen[last]:,.0f}"
    return (
        f"Of the levels at which it has turned, it turns last at σ = {sigma[top]:.2g}, after "
        f"{seen[top]:,.0f} images{'' if top == last else rest}."
    )


def samples_finding(record: Record) -> Sentence:
    """The gap of samples of another run."""
    return Sentence(record, text=samples_text(record))


def place_finding(record: Record) -> Sentence:
    """Where the peak is, over seeds; for CIFAR-10 beside the paper's: averaging k × k pixels divides their
    noise by k."""
    top, height = readings.peak_sigma(record), readings.peak_interval(record)
    turned = readings.turned(record)[readings.peak_level(record)]
    where = " to ".join(dict.fromkeys(f"{end:.2g}" for end in (top.min(), top.max())))
    return Sentence(record, text=(
        f"{title(record)}: the peak is at σ {where} over seeds.{_theirs(record)} "
        f"Its height is {height[0]:.2f} ({height[1]:.2f} to {height[2]:.2f} at 95 %, with the error over "
        "held-out images, which all seeds share). "
        f"There, the held-out error {'has turned' if turned else 'has not turned yet'}."
    ))  # fmt: skip


def _theirs(record: Record) -> str:
    """The paper's peak on CIFAR-10, at our number of pixels."""
    if record.spec["dataset"] != "cifar10":
        return ""
    theirs, times = readings.PAPER_SIDE, readings.PAPER_SIDE // readings.side(record)
    return (
        f" The paper’s is at {readings.PAPER_PEAK:g} on {theirs} × {theirs} pixels. Averaging {times} × "
        f"{times} pixels divides their noise by {times}, so the level to compare with is "
        f"{readings.PAPER_PEAK / times:.2f}."
    )
