"""More sentences of chapter 1's networks: settings, the ends of a gap, runaways, where the peak is."""

from __future__ import annotations

import numpy as np

from diffnotes.chapters.gap.figures import peak_level, probed, sample_gap, title
from diffnotes.show.style import BookTable, Finding, book_figure, together
from diffnotes.store import Record

PAPER_CIFAR = 0.72  # σ of the paper's peak on CIFAR-10, at 32 × 32 pixels
PAPER_SIDE = 32
ASTRAY = 3.0  # times its least value that a Fréchet distance must reach to count as running away
NAMES = ("training", "held-out", "sampler")


@book_figure
def settings_table(*records: Record) -> BookTable:
    """What was trained, and how long; the same rows for every run."""
    header = ("run", "images", "width", "steps", "batch", "rate", "average", "seeds", "seconds a seed")
    return BookTable(
        *records, header=header, rows=[_settings(record) for record in records],
        note="Settings of the runs; the average of the weights is over so many steps",
    )  # fmt: skip


def _settings(record: Record) -> tuple[str, ...]:
    spec, seeds = record.spec, record["gap"].shape[0]
    return (
        title(record), f"{record['sheet'].shape[-1]} × {record['sheet'].shape[-1]}", f"{spec['width']}",
        f"{int(record['step'][-1]):,}", f"{spec['batch']}", f"{spec['rate']:g}", f"{spec['horizon']}",
        f"{seeds}", f"{record.meta['seconds'] / seeds:,.0f}",
    )  # fmt: skip


def ends_finding(*records: Record) -> Finding:
    """How much of the last gap is left at the smallest σ, and where its peak went since the first look."""
    return together(*(Finding(record, text=_ends(record)) for record in records))


def _ends(record: Record) -> str:
    gap, sigma = record["gap"].mean(0), record["sigma"]
    last, first = gap[-1], gap[0]
    text = (
        f"{title(record)}: at the last look G at σ = {sigma[0]:g} is {100 * last[0] / last.max():.0f} % of "
        f"the peak. The peak is at σ = {sigma[last.argmax()]:.2g}, at the first look at "
        f"{sigma[first.argmax()]:.2g}."
    )
    return text.replace("-", "−")


def latest_finding(record: Record) -> Finding:
    """At which σ overfitting begins last, and whether it begins later at every step up in σ."""
    seen, val, sigma = record["images_seen"], record["val"].mean(0), record["sigma"]
    place = val.argmin(0)
    turned = place < len(seen) - 1
    if turned.sum() < 2:
        return Finding(record, text=f"{title(record)}: the held-out error turns at fewer than two levels.")
    sigma, when = sigma[turned], seen[place[turned]]
    top = int(when.argmax())
    rest = f"; at the largest where it has turned, {sigma[-1]:.2g}, after {when[-1]:,}"
    return Finding(record, text=(
        f"{title(record)}: of the noise levels at which the held-out error has turned, it turns last at "
        f"σ = {sigma[top]:.2g}, after {when[top]:,} images{'' if top == len(when) - 1 else rest}."
    ))  # fmt: skip


def astray_finding(*records: Record) -> Finding:
    """Runs whose samples degenerate: the Fréchet distance to training images ends far above its least."""
    parts = [part for record in records for part in _astray(record)]
    text = " ".join(parts) or "No run ends with samples far worse than they were."
    return Finding(*records, text=text)


def _astray(record: Record) -> list[str]:
    far, seen = record["frechet_train"][:, :, -1].mean(0), record["images_seen"]
    least = int(far.argmin())
    if far[-1] < ASTRAY * far[least]:
        return []
    gap = sample_gap(record)[:, -1, -1].mean()
    return [
        f"{title(record)}: samples degenerate. Their Fréchet distance to training images is {far[least]:.2f} "
        f"after {seen[least]:,} images and {far[-1]:.1f} at the end, so the gap of samples there, {gap:.2f}, "
        "means little."
    ]  # fmt: skip


def rank_finding(record: Record) -> Finding:
    """Whose predictions are most like training images at the probe: the paper's order, and ours by seeds."""
    alike = probed(record, "similarity")[:, -1]
    order = " > ".join(NAMES[k] for k in np.argsort(-alike.mean(0)))
    apart = alike[:, 2] - alike[:, 1]
    return Finding(record, text=(
        f"{title(record)}: from most to least training-like, predictions rank {order}; in the paper, "
        f"training > sampler > held-out. Sampler less held-out: {_signed(apart.mean())} "
        f"({_signed(apart.min())} to {_signed(apart.max())} over seeds)."
    ))  # fmt: skip


def _signed(value: float) -> str:
    return f"{value:+.3f}".replace("-", "−")


def place_finding(record: Record) -> Finding:
    """Where the peak is, over seeds; for CIFAR-10 beside the paper's: averaging k × k pixels divides their
    noise by k."""
    top, level = record["sigma"][record["gap"][:, -1].argmax(1)], peak_level(record)
    turned = record["val"][:, :, level].mean(0).argmin() < len(record["step"]) - 1
    return Finding(record, text=(
        f"{title(record)}: the peak is at σ {top.min():.2g} to {top.max():.2g} over seeds.{_theirs(record)} "
        f"At the largest gap, the held-out error {'has turned' if turned else 'has not turned yet'}."
    ))  # fmt: skip


def _theirs(record: Record) -> str:
    """The paper's peak on CIFAR-10, at our number of pixels."""
    if record.spec["dataset"] != "cifar10":
        return ""
    times = PAPER_SIDE // int(record["sheet"].shape[-1])
    return (
        f" The paper’s is at {PAPER_CIFAR:g} on {PAPER_SIDE} × {PAPER_SIDE} pixels. Averaging {times} × "
        f"{times} pixels divides their noise by {times}, so the level to compare with is "
        f"{PAPER_CIFAR / times:.2f}."
    )
