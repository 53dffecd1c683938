"""Figures on extrapolation: what grows with the supervised region, and where samples of four points go."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from diffnotes.base.statistics import over_seeds
from diffnotes.chapters.extrapolation import findings, readings, values
from diffnotes.chapters.extrapolation.readings import NETWORKS, VARIANTS, title
from diffnotes.show.style import (
    GREY,
    HELD_OUT,
    OCHRE,
    PINK,
    SAMPLER,
    TEAL,
    TRAIN,
    BookFigure,
    book_figure,
    log_ticks,
    picture,
    ramp,
)
from diffnotes.store import Record

LOOKS = {"mlp": (TEAL, "o", "-"), "unet": (OCHRE, "s", "--"), "dit": (PINK, "^", "-.")}
MEASURED = "Values measured from the paper’s figures, not ours."
RATIO = "$|D_{region}|\\,/\\,|D_{score}|$"
SHARE = "memorized share"


# ---------------------------------------------------------------------------------- freedom of extrapolation


@book_figure
def freedom_curves(*records: Record) -> BookFigure:
    """The memorized share against the size of the region, for every network; then the paper’s."""
    panels = len(records) + 1
    rows = (panels + 1) // 2
    figure = BookFigure(
        *records, finding=findings.rising(*records),
        shows=(
            "The share of samples that are copies of points of D_score, against the size of the region in "
            "which the score of D_score is supervised; means over seeds, bars are Student’s 95 % "
            "intervals. Dashed: the same share of unseen points. Last panel: values measured from the "
            "paper’s figure 5 (ImageNet latents, 100,000 images in D_score), not ours."
        ),
        key={NETWORKS[name]: LOOKS[name][0] for name in LOOKS} | {"unseen points": HELD_OUT},
        size=(6.8, 2.5 * rows),
    )  # fmt: skip
    axes = figure.subplots(rows, 2, squeeze=False).ravel()
    for axis, record in zip(axes, records, strict=False):
        _freedom_panel(axis, record)
    _paper_panel(axes[len(records)])
    for axis in axes[panels:]:
        axis.set_axis_off()
    return figure


def _freedom_panel(axis: Any, record: Record) -> None:
    for one in readings.rises(record):
        color, marker, line = LOOKS[one.network]
        value, low, high = one.interval.T
        bars = np.nan_to_num(np.stack([value - low, high - value]))
        axis.errorbar(
            one.ratio, value, bars, color=color, marker=marker, ls=line, ms=4, capsize=2, lw=1.3,
            label=NETWORKS[one.network],
        )  # fmt: skip
    axis.axhline(readings.baseline(record).mean(), lw=1, **HELD_OUT.curve(label=""))
    _ratios(axis, readings.rises(record)[0].ratio)
    axis.set_title(title(record), loc="left")


def _paper_panel(axis: Any) -> None:
    for name, curve in (("dit", values.TRANSFORMER), ("unet", values.UNET)):
        color, marker, line = LOOKS[name]
        axis.plot(
            list(curve), list(curve.values()), color=color, marker=marker, ls=line, ms=4, mfc="none", lw=1.3
        )
    _ratios(axis, np.array([1, 2, 4, 8, 25.6]))
    axis.set_title("the paper", loc="left")


def _ratios(axis: Any, ratio: np.ndarray) -> None:
    axis.set(xscale="log", ylim=(-0.03, 1.03), xlabel=RATIO, ylabel=SHARE)
    log_ticks(axis.xaxis, *ratio)
    axis.grid(True)


@book_figure
def closeness_curves(*records: Record) -> BookFigure:
    """The whole distribution of m against the size of the region, for the first network."""
    figure = BookFigure(
        *records, finding=str(findings.baseline_found(*records)),
        shows=(
            "The distribution of m, the squared distance to the nearest point of D_score over the mean of "
            "its nearest ones, over the samples of all seeds: median, middle half and middle 80 %. On the "
            "left the same for unseen points. Dotted: the limit below which a sample counts as memorized."
        ),
        key={"samples": SAMPLER, "unseen points": HELD_OUT}, size=(6.8, 2.5 * ((len(records) + 1) // 2)),
    )  # fmt: skip
    axes = figure.subplots((len(records) + 1) // 2, 2, squeeze=False).ravel()
    for axis, record in zip(axes, records, strict=False):
        _closeness_panel(axis, record)
    for axis in axes[len(records) :]:
        axis.set_axis_off()
    return figure


def _closeness_panel(axis: Any, record: Record) -> None:
    first = readings.networks(record)[0]
    one, spread = readings.rise(record, first), readings.quantiles(record, first)
    axis.fill_between(one.ratio, spread[:, 0], spread[:, -1], color=SAMPLER.color, alpha=0.15, lw=0)
    axis.fill_between(one.ratio, spread[:, 1], spread[:, -2], color=SAMPLER.color, alpha=0.25, lw=0)
    axis.plot(one.ratio, spread[:, 2], **SAMPLER.curve(marker=SAMPLER.marker))
    unseen, left = readings.unseen_quantiles(record), one.ratio[0] / 1.7
    axis.plot([left] * 2, unseen[[0, -1]], color=HELD_OUT.color, lw=1.2)
    axis.plot([left] * 2, unseen[[1, -2]], color=HELD_OUT.color, lw=4, alpha=0.6)
    axis.scatter([left], unseen[[2]], s=22, **HELD_OUT.points())
    axis.axhline(readings.limit(record), color=GREY, ls=":", lw=1.2)
    axis.set(xscale="log", ylim=(0, 1.03), xlabel=RATIO, ylabel="m")
    log_ticks(axis.xaxis, *one.ratio)
    axis.set_title(f"{title(record)}, {NETWORKS[first]}", loc="left")


@book_figure
def shell_curves(*records: Record) -> BookFigure:
    """The memorized share against the thickness of the shells, around D_score alone."""
    figure = BookFigure(
        *records, finding=findings.thicker(*records),
        shows=(
            "The memorized share with no new centres: the noise around D_score is spread by factors between "
            "the one on the horizontal axis and one over it, while the network is told the level as it was. "
            "Means over seeds with Student’s 95 % intervals."
        ),
        size=(3.4, 2.6),
    )  # fmt: skip
    axis = figure.subplots()
    for place, record in enumerate(records):
        factor, share = readings.shells(record)
        value, low, high = np.stack([over_seeds(one) for one in share]).T
        bars = np.nan_to_num(np.stack([value - low, high - value]))
        axis.errorbar(
            factor, value, bars, color=ramp(place, len(records)), marker="osD^"[place % 4], ms=4, capsize=2,
            label=title(record),
        )  # fmt: skip
    axis.set(xscale="log", ylim=(-0.03, 1.03), xlabel="factor of the noise", ylabel=SHARE)
    log_ticks(axis.xaxis, *readings.shells(records[0])[0])
    axis.legend(fontsize=8, loc="upper left")
    return figure


@book_figure
def freedom_sheet(record: Record, network: str = "") -> BookFigure:
    """Samples and the points of D_score nearest to them, at both ends."""
    chosen = network or readings.networks(record)[0]
    ends = readings.ends(record, chosen)
    count = min(6, len(ends[0][1]))
    figure = BookFigure(
        record, finding=findings.rising(record),
        shows=(
            f"{title(record)}, {NETWORKS[chosen]}: samples of the first seed from the same noise, and below "
            f"each the "
            "nearest image of D_score; first with shells around D_score alone, then around the largest "
            "region."
        ),
        size=(6.2, 4.6),
    )  # fmt: skip
    axes = figure.subplots(4, count, squeeze=False)
    for place, (ratio, samples, nearest) in enumerate(ends):
        _sheet_rows(axes[2 * place : 2 * place + 2], samples, nearest, f"ratio {ratio:g}")
    return figure


def _sheet_rows(axes: Any, samples: np.ndarray, nearest: np.ndarray, text: str) -> None:
    for column in range(axes.shape[1]):
        picture(axes[0, column], samples[column], text if column == 0 else "")
        picture(axes[1, column], nearest[column], "nearest" if column == 0 else "")


# ------------------------------------------------------------------------------------------------ perception


@book_figure
def perception_samples(record: Record) -> BookFigure:
    """Samples of every variant on the line of the four points."""
    found = readings.variants(record)
    figure = BookFigure(
        record, finding=findings.perception(record),
        shows=(
            "Samples of the first seed, one row for each denoiser at the first width; the dots are the "
            "four points. Between the inner two lies the bad gap, on either side a good one."
        ),
        key={"the four points": TRAIN, "samples": SAMPLER}, size=(5.2, 1.0 * len(found) + 0.5),
    )  # fmt: skip
    axes = figure.subplots(len(found), 1, sharex=True, squeeze=False)[:, 0]
    for axis, variant in zip(axes, found, strict=True):
        x = readings.spots(record, variant)
        axis.axvspan(-0.2, 0.2, color=GREY, alpha=0.18, lw=0)
        axis.scatter(*x.T, s=5, lw=0, rasterized=True, **SAMPLER.points())
        axis.scatter(*record["point"].T, s=26, **TRAIN.points())
        axis.set(xlim=(-1.35, 1.35), ylim=(-0.35, 0.35), ylabel="y")
        axis.set_title(VARIANTS[variant], loc="left", fontsize=9)
    axes[-1].set_xlabel("x")
    return figure


# ------------------------------------------------------------------------------------- the paper's values


@book_figure
def scale_values(record: Record) -> BookFigure:
    """Figure 3 of the paper: both errors against training compute, with refitted lines."""
    figure = BookFigure(
        record, finding=findings.scale(record),
        shows=f"{MEASURED} Its figure 3: errors of SiT-S to XL against training compute; lines are our fits.",
        key={"supervised": TRAIN, "extrapolated": SAMPLER}, size=(6.6, 2.7),
    )  # fmt: skip
    compute = record["compute"]
    for axis, error, growth, role in zip(
        figure.subplots(1, 2), record["error"], readings.growth(record), (TRAIN, SAMPLER), strict=True
    ):
        axis.scatter(compute, error, s=18, **role.points())
        steps = np.log10(compute) - np.log10(compute).mean()
        axis.plot(compute, error.mean() * (1 + growth[0] * steps), color=role.color, ls=role.line, lw=1.2)
        axis.set(
            xscale="log",
            xlabel="training compute, GFLOPs",
            ylabel=f"{'' if role is TRAIN else 'extrapolated '}error",
        )
        axis.grid(True)
    return figure


@book_figure
def fid_lines(record: Record) -> BookFigure:
    """Figure 7 of the paper: FID against the supervision loss, with refitted lines."""
    figure = BookFigure(
        record, finding=findings.lines(record),
        shows=(
            f"{MEASURED} Its figures 7(b), right, and 7(c), left: FID against the supervision loss at 200, "
            "300 and 400 thousand steps of every size; straight lines are our fits to all points of a "
            f"recipe. The vertical line is at a loss of {values.AT:.3f}."
        ),
        size=(6.8, 3.2),
    )  # fmt: skip
    left, right = figure.subplots(1, 2)
    found = readings.lines(record)
    _fid_panel(left, [one for one in found if not one.name.startswith("REPA")])
    _fid_panel(right, [one for one in found if one.name.startswith("REPA")])
    return figure


def _fid_panel(axis: Any, found: Sequence[readings.Line]) -> None:
    for place, one in enumerate(found):
        color, ends = ramp(place, len(found)), np.array([one.x.min(), one.x.max()])
        axis.scatter(one.x, one.y, s=14, color=color, marker="osD^"[place % 4], label=one.name)
        axis.plot(ends, one.at(ends), color=color, lw=1.2, ls=("-", "--", "-.", ":")[place % 4])
    axis.axvline(values.AT, color=GREY, lw=0.8)
    axis.set(xlabel="supervision loss", ylabel="FID")
    axis.legend(fontsize=8, loc="upper left")
    axis.grid(True)


@book_figure
def repa_values(record: Record) -> BookFigure:
    """Figure 6 of the paper: how much the score changes with REPA, in both regions."""
    figure = BookFigure(
        record, finding=findings.repa(record),
        shows=f"{MEASURED} Its figure 6: squared difference of the scores with and without REPA.",
        key={"supervision region": TRAIN, "trajectories": SAMPLER}, size=(3.4, 2.5),
    )  # fmt: skip
    axis, places = figure.subplots(), np.arange(len(record["repa_size"]))
    for change, shift, role in zip(record["repa_change"], (-0.2, 0.2), (TRAIN, SAMPLER), strict=True):
        axis.bar(places + shift, change, 0.38, color=role.color, label=role.word)
    axis.set_xticks(places, [f"SiT-{size}" for size in record["repa_size"]])
    axis.set_ylabel("squared difference")
    return figure
