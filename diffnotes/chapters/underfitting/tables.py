"""Tables of chapter 2's Gaussian: the three curves beside the paper's, and the runs of the factors."""

from __future__ import annotations

import numpy as np

from diffnotes.chapters.underfitting import findings, readings
from diffnotes.chapters.underfitting.readings import (
    APART,
    AVERAGED,
    EARLY,
    EMPIRICAL,
    FRESH,
    NETS,
    PAPER,
    PAPER_STEPS,
    SUPERVISED,
    TRUE,
    span,
)
from diffnotes.show.style import BookTable, book_figure
from diffnotes.store import Record

THREE = ("training, empirical", "training, true", "fresh, true")


@book_figure
def curves_table(*records: Record) -> BookTable:
    """The three curves at the paper's iterations: the mean over seeds, and what was measured there."""
    error, t, step = readings.errors(records), records[0]["t"], records[0]["step"]
    known = np.flatnonzero(step[-1] >= PAPER_STEPS)
    ours = [
        readings.at(readings.curve(error, t, *one).mean(0), step, PAPER_STEPS[known])
        for one in findings.FIGURE_10
    ]
    rows = [
        (f"{PAPER_STEPS[k]:,}", *(f"{ours[c][n]:.3f} ({PAPER[c, k]:.3f})" for c in range(3)))
        for n, k in enumerate(known)
    ]
    return BookTable(
        *records, header=("iteration", *THREE), rows=rows, finding=findings.curves_text(*records),
        shows="The three curves of figure 10: ours, the mean over seeds, and in brackets the paper's.",
    )  # fmt: skip


@book_figure
def reference_table(*records: Record) -> BookTable:
    """What three known scores have in the three curves, and in the fourth."""
    pairs = ((SUPERVISED, EMPIRICAL), (SUPERVISED, TRUE), (FRESH, TRUE), (FRESH, EMPIRICAL))
    rows = [
        (name, *(span(readings.reference(records, net, *one).mean(1)) for one in pairs))
        for net, name in enumerate(NETS)
    ]
    return BookTable(
        *records, header=("score", *THREE, "fresh, empirical"), rows=rows,
        finding=findings.gap(*records).text,
        shows="Errors of three known scores, as if each were a network: mean over seeds (lowest to highest).",
    )  # fmt: skip


@book_figure
def factors_table(record: Record) -> BookTable:
    """Each run of the factors at the end."""
    t, step, error = record["t"], record["step"], record["error"]
    fit = readings.last(readings.curve(error, t, SUPERVISED, EMPIRICAL), step).mean(1)
    third = readings.curve(error, t, FRESH, TRUE)
    when = step[readings.least(third.mean(1))]
    columns = (
        readings.pick(third.mean(1), readings.least(third.mean(1))),
        readings.last(third, step).mean(1),
        readings.last(readings.curve(error, t, FRESH, TRUE, AVERAGED), step).mean(1),
        readings.last(readings.curve(error, t, FRESH, TRUE, high=EARLY), step).mean(1),
        readings.last(readings.curve(error, t, FRESH, TRUE, low=APART), step).mean(1),
    )
    header = (
        "run", "first curve", "third, least", "at iteration", "third, end", "averaged", f"t < {EARLY}",
        f"t ≥ {APART}",
    )  # fmt: skip
    rows = [
        (
            name, f"{fit[k]:.2f}", f"{columns[0][k]:.2f}", f"{when[k]:,}",
            *(f"{one[k]:.2f}" for one in columns[1:]),
        )
        for k, name in enumerate(readings.run_names(record))
    ]  # fmt: skip
    return BookTable(
        record, header=header, rows=rows, finding=findings.factors_text(record),
        shows=f"Means over seeds, in the last tenth of training. The first row has {_default(record)}; each "
        "other row changes one of these. Errors of the score at small t count most where a network does not "
        "predict the noise itself.",
    )  # fmt: skip


def _default(record: Record) -> str:
    spec = record.spec
    return (
        f"batch size {spec['batch']}, learning rate {spec['rate']:g}, predicts the noise, {spec['depth']} "
        f"hidden layers of {spec['width']}"
    )
