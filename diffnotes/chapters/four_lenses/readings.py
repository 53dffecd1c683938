"""Every number that chapter 5 takes off its records: what each lens says of a checkpoint, and how lenses go
together.

Arrays have the axes [size, width, seed, checkpoint]. A run is one (size, width, seed): its checkpoints are
not independent, so intervals over checkpoints resample runs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from diffnotes.base.ranks import over_clusters, rank_correlation
from diffnotes.show.labels import dataset
from diffnotes.store import Record

ZONES = ("left", "at", "right")  # of sigma*, see `zone`
NARROW, WIDE = 1.5, 6.0  # factors that bound the zones
SIGMA_DATA, LAW = 0.5, (-1.2, 1.2)  # EDM's, of training
RELAPSE = 1.25  # times the least training loss so far
COPIED = 0.05  # share of memorized samples from which on a checkpoint is called memorizing
Values = np.ndarray  # [size, width, seed, checkpoint]


# ------------------------------------------------------------------------------------------------ names


def title(record: Record) -> str:
    """'digits' or 'CIFAR-10, 16 × 16'."""
    name, side = dataset(record), record.spec["side"]
    return f"{name}, {side} × {side}" if side else name


def checkpoints(record: Record) -> int:
    """How many there are."""
    return int(record["frechet"].size)


# --------------------------------------------------------------------------------------------- noise levels


def zone(record: Record, name: str) -> np.ndarray:
    """Which levels are left of sigma*, at it or right of it, [size, seed, l].

    at: within a factor of 1.5, and the nearest level; left: other ones from sigma*/6; right: up to 6 sigma*.
    Levels are at most a factor of 3 apart, so none is empty while sigma* is well inside them.
    """
    ratio = record["sigma"] / record["critical"][..., None]
    nearest = np.abs(np.log(ratio))
    at = (nearest <= np.log(NARROW)) | (nearest == nearest.min(-1, keepdims=True))
    sides = {"at": at, "left": (ratio >= 1 / WIDE) & (ratio < 1), "right": (ratio > 1) & (ratio <= WIDE)}
    return at if name == "at" else sides[name] & ~at


def within(record: Record, values: np.ndarray, name: str) -> Values:
    """The mean of values [size, width, seed, checkpoint, l] over the levels of a zone."""
    inside = zone(record, name)[:, None, :, None, :]
    return (values * inside).sum(-1) / inside.sum(-1)


def in_law(record: Record, values: np.ndarray) -> Values:
    """The loss that EDM trains with: the mean of errors [..., l] under its law of sigma and its weight."""
    sigma = record["sigma"]
    law = np.exp(-(((np.log(sigma) - LAW[0]) / LAW[1]) ** 2) / 2)
    weight = law * (sigma**2 + SIGMA_DATA**2) / (sigma * SIGMA_DATA) ** 2
    return (values * weight).sum(-1) / law.sum()


def flow_law(record: Record, values: np.ndarray) -> Values:
    """The mean of errors [..., l] with t = sigma/(1 + sigma) uniform in (0, 1): the law of paper 1."""
    sigma = record["sigma"]
    law = sigma / (1 + sigma) ** 2  # dt/d ln sigma
    return (values * law).sum(-1) / law.sum()


# -------------------------------------------------------------------------------------------------- lenses


@dataclass(frozen=True)
class Lens:
    """One number of a checkpoint. `paper`: whose instrument (0: what is watched anyway, 5: ours); `sign`: +1
    where it rises as copies come; `source`: the measurement whose cost it has ("" for none)."""

    name: str
    word: str
    paper: int
    sign: int
    source: str
    read: Callable[[Record], Values]

    @property
    def samples(self) -> bool:
        """Whether it needs samples."""
        return self.source in ("sampler", "agreement")


def relative_peak(record: Record) -> Values:
    """Paper 2: the largest relative gap over noise levels."""
    found: Values = record["relative"].max(-1)
    return found


def supervised_left(record: Record) -> Values:
    """Paper 1: supervised error left of sigma*, over the variance of the data."""
    return _over_variance(record, within(record, record["supervised"], "left"))


def extrapolated_left(record: Record) -> Values:
    """Paper 1: the error on the median trajectory left of sigma*, in units of the mean squared distance of
    held-out images to the nearest training image: what a sampler that ends between them would have."""
    unit = record["unseen_distance"][:, None, :, None]
    return within(record, record["extrapolated"], "left") / unit


def gap_in(record: Record, name: str = "left") -> Values:
    """Paper 4: the loss gap in a zone, over the variance of the data."""
    return _over_variance(record, within(record, record["loss_gap"], name))


def _over_variance(record: Record, values: Values) -> Values:
    found: Values = values / record["variance"][:, None, :, None]
    return found


def agreement(record: Record) -> Values:
    """Ours: likeness of two networks' samples from one noise, from 0 (as from different noises) to 1."""
    same, other = record["agreement"][..., 0], record["unrelated"]
    found: Values = (same - other) / (1 - other)
    return found


def memorized(record: Record) -> Values:
    """Paper 3: the share of memorized samples."""
    found: Values = record["memorized"][..., 0]
    return found


LENSES = (
    Lens("loss", "training loss", 0, -1, "", lambda r: np.asarray(r["batch_loss"])),
    Lens("held_out", "held-out loss", 3, 1, "held out", lambda r: in_law(r, r["held_out"])),
    Lens("relative", "relative gap, largest", 2, 1, "error", relative_peak),
    Lens("supervised", "supervised error, left of σ*", 1, -1, "supervised", supervised_left),
    Lens("gap", "loss gap, left of σ*", 4, -1, "gap", gap_in),
    Lens("gap_at", "loss gap, at σ*", 4, -1, "gap", lambda r: gap_in(r, "at")),
    Lens("gap_right", "loss gap, right of σ*", 4, -1, "gap", lambda r: gap_in(r, "right")),
    Lens("extrapolated", "extrapolated error, left of σ*", 1, -1, "sampler", extrapolated_left),
    Lens("inside", "sampler overlap, at σ*", 2, 1, "sampler", lambda r: within(r, r["inside"], "at")),
    Lens("inside_left", "sampler overlap, left of σ*", 2, 1, "sampler",
         lambda r: within(r, r["inside"], "left")),
    Lens("nearer", "nearer than held-out, at σ*", 2, 1, "sampler", lambda r: within(r, r["nearer"], "at")),
    Lens("frechet", "Fréchet distance", 3, -1, "sampler", lambda r: np.asarray(r["frechet"])),
    Lens("agreement", "agreement of halves", 5, -1, "agreement", agreement),
    Lens("memorized", "memorized samples", 3, 1, "sampler", memorized),
)  # fmt: skip


def lens(name: str) -> Lens:
    """The lens of that name."""
    return next(one for one in LENSES if one.name == name)


def values(record: Record) -> np.ndarray:
    """What all lenses say, [run, checkpoint, lens]."""
    each = [np.asarray(one.read(record), float) for one in LENSES]
    return np.stack([one.reshape(-1, one.shape[-1]) for one in each], -1)


def passes(record: Record) -> np.ndarray:
    """Images seen per training image [run, checkpoint]."""
    found = clock(record)
    return found.reshape(-1, found.shape[-1])


def clock(record: Record) -> Values:
    """The same [size, width, seed, checkpoint]: what can be known without any instrument."""
    each = record["images_seen"] / record["n"][:, None]
    return np.broadcast_to(each[:, None, None], record["frechet"].shape)


def work(record: Record) -> Values:
    """Passes times parameters: the compute of training, per training image."""
    return clock(record) * np.asarray(record["parameters"], float)[:, :, None, None]


# -------------------------------------------------------------------------------------------- correlations

WAYS = ("all checkpoints", "those with copies", "within runs", "at equal passes")


def correlations(record: Record, way: str = WAYS[0]) -> np.ndarray:
    """Spearman's correlations of all pairs of lenses, with 95 % intervals over runs: [3, lens, lens].

    all checkpoints: of all runs together; those with copies: of these, where any sample is memorized; within
    runs: the mean over runs of each one's own, where time alone differs; at equal passes: of all together,
    partial, given images seen per training image.
    """
    whole = np.concatenate([values(record), passes(record)[..., None]], -1)
    return over_clusters(STATISTICS[way], whole)


def _pooled(some: np.ndarray) -> np.ndarray:
    flat = some.reshape(-1, some.shape[-1])
    return rank_correlation(flat[:, :-1])


def _copied(some: np.ndarray) -> np.ndarray:
    """Of the checkpoints with copies; `memorized` is the last lens."""
    flat = some.reshape(-1, some.shape[-1])[:, :-1]
    chosen = flat[flat[:, -1] > 0]
    return rank_correlation(chosen if len(chosen) > 2 else np.zeros((3, flat.shape[1])))


def ceiling(record: Record) -> tuple[float, float]:
    """The share of checkpoints without a copy, and the largest rank correlation with copies that a lens can
    have over all checkpoints whose values all differ."""
    copies = np.sort(memorized(record).ravel())
    both = np.stack([copies, np.arange(len(copies), dtype=float)], 1)
    return float((copies == 0).mean()), float(rank_correlation(both)[0, 1])


def _partial(some: np.ndarray) -> np.ndarray:
    flat = some.reshape(-1, some.shape[-1])
    return rank_correlation(flat[:, :-1], flat[:, -1])


def _within(some: np.ndarray) -> np.ndarray:
    """The mean over the runs in which both lenses change."""
    each = np.stack([rank_correlation(run[:, :-1]) for run in some])
    known = np.isfinite(each)
    total = np.where(known, each, 0).sum(0)
    return np.divide(total, known.sum(0), out=np.full_like(total, np.nan), where=known.any(0))


STATISTICS = dict(zip(WAYS, (_pooled, _copied, _within, _partial), strict=True))


def pair(found: np.ndarray, one: str, other: str) -> np.ndarray:
    """The correlation of two lenses with its interval [3], of `correlations`."""
    names = [known.name for known in LENSES]
    chosen: np.ndarray = found[:, names.index(one), names.index(other)]
    return chosen


# ------------------------------------------------------------------------------------------------ relapses


def relapses(record: Record) -> np.ndarray:
    """Which checkpoints [size, width, seed, checkpoint] a jump of the training loss has thrown back: it is
    RELAPSE times the least so far, or more."""
    loss = np.asarray(record["batch_loss"], float)
    found: np.ndarray = loss >= RELAPSE * np.minimum.accumulate(loss, -1)
    return found


# ----------------------------------------------------------------------------------------------- identities


def same_quantity(record: Record) -> np.ndarray:
    """Loss gap less supervised error in units of both standard errors, [..., l], at every level."""
    error = np.hypot(record["loss_gap_stderr"], record["supervised_stderr"])
    found: np.ndarray = (record["loss_gap"] - record["supervised"]) / error
    return found


def by_losses(record: Record) -> np.ndarray:
    """Training loss less optimal loss, less the loss gap, in units of the loss's and the optimum's standard
    errors, [..., l]."""
    best, error = (record[name][:, None, :, None] for name in ("optimal", "optimal_stderr"))
    found: np.ndarray = (record["loss"] - best - record["loss_gap"]) / np.hypot(record["loss_stderr"], error)
    return found


def from_gap(record: Record) -> tuple[Values, Values]:
    """Left of sigma*: 1 + the relative gap as measured, and held-out error over the loss gap, which it would
    be if the optimal loss were 0 there."""
    train, unseen, gap = (within(record, record[k], "left") for k in ("train", "held_out", "loss_gap"))
    return unseen / train, unseen / gap


def spread(values: np.ndarray) -> float:
    """Largest over smallest."""
    return float(values.max() / values.min())
