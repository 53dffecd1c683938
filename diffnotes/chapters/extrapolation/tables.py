"""Tables on extrapolation."""

from __future__ import annotations

import numpy as np

from diffnotes.base.statistics import over_seeds
from diffnotes.chapters.extrapolation import findings, readings, values
from diffnotes.chapters.extrapolation.readings import CONTROLS, NETWORKS, VARIANTS, title
from diffnotes.show.labels import bounds, minus
from diffnotes.show.style import BookTable, book_figure
from diffnotes.store import Record


def interval(found: np.ndarray, digits: int = 0, factor: float = 100) -> str:
    """'31 (20 to 42)'; without an interval the value alone."""
    value, low, high = factor * found
    text = minus(f"{value:z.{digits}f}")
    return text if np.isnan(low) else f"{text} ({bounds(low, high, digits)})"


@book_figure
def limit_table(*records: Record) -> BookTable:
    """The memorized share at both ends by several limits of m."""
    rows = [row for record in records for row in _limit_rows(record)]
    header = (
        "data",
        "memorized where m <",
        "unseen points, %",
        "network",
        "D_score alone, %",
        "largest region, %",
    )
    return BookTable(
        *records, header=header, rows=rows, finding=str(findings.limits_found(*records)),
        shows=(
            "The share of samples that count as memorized, with Student’s 95 % intervals over the seeds, "
            "by several limits of m. The last limit of each data set is what 1 % of its unseen points lie "
            "below."
        ),
    )  # fmt: skip


def _limit_rows(record: Record) -> list[tuple[str, ...]]:
    rows = []
    for below in (*readings.LIMITS, readings.few(record)):
        unseen = f"{100 * readings.baseline(record, below).mean():.1f}"
        for one in readings.rises(record, below):
            ends = (interval(one.interval[place]) for place in (0, -1))
            rows.append((title(record), f"{below:.2g}", unseen, NETWORKS[one.network], *ends))
    return rows


@book_figure
def control_table(*records: Record) -> BookTable:
    """What the controls do."""
    rows = [row for record in records for row in _control_rows(record)]
    return BookTable(
        *records, header=("data", "region", "memorized, %", "less D_score alone", "less region of that size"),
        rows=rows, finding=findings.controls(*records),
        shows=(
            "The share of memorized samples of the first network, with Student’s 95 % intervals over the "
            "seeds; differences are paired by seed, in points. Thicker shells: centres as in D_score "
            "alone, the noise spread by factors between the largest one and one over it. Balanced: each "
            "point of D_score is the nearest of equally many centres, some of them over again where there "
            "are too few. Moved points: the new centres are points of D_score moved in random directions, by "
            "as far as the region’s own lie. Importance sampling: the region, with drawn targets."
        ),
    )  # fmt: skip


def _control_rows(record: Record) -> list[tuple[str, ...]]:
    first = readings.control(record, "balanced")
    rows: list[tuple[str, ...]] = [
        (title(record), "D_score alone", interval(over_seeds(first.alone)), "–", "–"),
        (title(record), f"{record.spec['control']} times D_score", interval(over_seeds(first.same)),
         interval(over_seeds(first.same - first.alone)), "–"),
    ]  # fmt: skip
    for kind, words in CONTROLS.items():
        found, share = readings.control(record, kind), readings.distinct(record, kind).mean()
        rows.append(
            (
                title(record),
                f"{words}, {100 * share:.0f} % distinct" if kind == "balanced" else words,
                interval(over_seeds(found.share)),
                interval(found.gain),
                interval(found.less),
            )
        )
    return rows


@book_figure
def forms_table(record: Record) -> BookTable:
    """Both forms of the objective, at every moment of training."""
    found = readings.agreement(record)
    rows = [
        (
            f"{step:,}",
            *(_span(one[:, place]) for one in (found.loss, found.slope, found.variance, found.rest)),
        )
        for place, step in enumerate(record["step"])
    ]
    header = (
        "after steps", "losses apart, standard errors", "slopes apart, standard errors",
        "variance of the gradient, drawn over exact", "share of the loss that no network can change",
    )  # fmt: skip
    return BookTable(
        record, header=header, rows=rows, finding=findings.forms(record),
        shows=(
            f"The objective by the exact posterior mean and by a draw from the posterior, on the same "
            f"{record.spec['batches']} batches; spans over {len(record.spec['seeds'])} seeds, of slopes over "
            f"{record.spec['directions']} random directions of the weights too."
        ),
    )  # fmt: skip


def _span(found: np.ndarray) -> str:
    return bounds(float(found.min()), float(found.max()), 2)


@book_figure
def perception_table(record: Record) -> BookTable:
    """Where the samples lie, beside the paper's shares."""
    rows = []
    for variant in readings.variants(record):
        theirs = values.PERCEPTION[variant]
        for place, setting in enumerate(readings.settings(record, variant[0])):
            cells = [
                f"{interval(readings.gap_interval(record, variant, name)[place], 1)}"
                for name in ("point", "bad", "good")
            ]
            said = [f"{100 * one:.3g}" for one in theirs] if place == 0 else ["", "", ""]
            pairs = [cell for pair in zip(cells, said, strict=True) for cell in pair]
            rows.append((f"{VARIANTS[variant]}, width {setting:g}", *pairs))
    header = ("denoiser", "at a point", "paper", "bad gap", "paper", "good gaps", "paper")
    return BookTable(
        record, header=header, rows=rows, finding=findings.at_points(record),
        shows=(
            f"Percent of {record.spec['samples']:,} samples, with Student’s 95 % intervals over "
            f"{len(record.spec['seeds'])} seeds. The paper’s shares are counted by us in the drawings of its "
            "figure 9; it gives no settings."
        ),
    )  # fmt: skip


@book_figure
def line_table(record: Record) -> BookTable:
    """The refitted lines of figure 7."""
    rows = [
        (
            one.name, f"{len(one.x)}", interval(one.fid, 1, 1), interval(one.slope, 1, 1),
            interval(one.within, 1, 1), interval(one.between, 1, 1) if np.isfinite(one.between[0]) else "–",
            "no" if one.straight else "yes",
        )
        for one in readings.lines(record)
    ]  # fmt: skip
    header = (
        "recipe", "points", f"FID at {values.AT:.3f}", "slope, all points", "slope within sizes",
        "slope of the sizes’ means", "curved",
    )  # fmt: skip
    return BookTable(
        record, header=header, rows=rows, finding=findings.curved(record),
        shows=(
            "Values measured from the paper’s figures, not ours: straight lines through the points of its "
            "figure 7, with Student’s 95 % intervals; slopes in FID per 0.01 of the supervision loss. "
            "Three moments of one run are not independent, so the intervals are rather too narrow; the "
            "means of sizes are few."
        ),
    )  # fmt: skip
