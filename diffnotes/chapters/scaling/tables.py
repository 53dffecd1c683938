"""Tables of loss against training compute: settings, and the fits."""

from __future__ import annotations

import numpy as np

from diffnotes.base.ranks import rank_correlation
from diffnotes.chapters.scaling import findings, readings
from diffnotes.chapters.scaling.readings import (
    AFTER,
    ALPHA,
    BEFORE,
    FLOOR,
    FREE,
    KNOWN,
    MISFIT,
    NONE,
    PAPER_ALPHA,
    PAPER_FLOOR,
    PAPER_RHO,
    PAPER_SIGMA,
    PAPER_TOTAL_RHO,
    TOTAL,
)
from diffnotes.show.labels import minus
from diffnotes.show.style import BookTable, book_figure
from diffnotes.store import Record


@book_figure
def scaling_settings(*records: Record) -> BookTable:
    """What was trained, and how long."""
    header = ("run", "widths", "parameters", "FLOP per image", "steps", "batch", "rate", "seeds", "minutes")
    return BookTable(
        *records, header=header, rows=[_settings(record) for record in records],
        shows="Settings of the runs, each with a constant learning rate after a warm-up: that of the "
        "narrowest network, and as 1/width for the others. FLOP are those of "
        "products and convolutions, forward and backward. Minutes are those of all networks and seeds, with "
        "what is measured.",
    )  # fmt: skip


def _settings(record: Record) -> tuple[str, ...]:
    spec, counts, flops = record.spec, record["parameters"], record["flops"]
    return (
        findings.name(record), ", ".join(map(str, record["width"])), f"{counts[0]:,} to {counts[-1]:,}",
        f"{flops[0]:.1e} to {flops[-1]:.1e}", f"{int(record['step'][-1]):,}", f"{spec['batch']}",
        f"{spec['rate']:g}", f"{record['gap'].shape[1]}", f"{record.meta.get('seconds', 0) / 60:.0f}",
    )  # fmt: skip


@book_figure
def scaling_fits(record: Record, curve: Record) -> BookTable:
    """Fits and correlations at the noise levels like the paper's, and of the total loss."""
    header = ("loss", "ρ of J", "ρ of J − J*", "ranks", "J*", "free floor", "exponent, floor J*",
              "misfit, free / J* / none")  # fmt: skip
    places = [*readings.comparable(record, curve), TOTAL]
    rho = readings.correlations(record)
    rows = [_fits(record, place, rho[:, :, place]) for place in places]
    rows += [
        (f"paper, σ {PAPER_SIGMA:g}", f"{PAPER_RHO[0]:g}", f"{PAPER_RHO[1]:g}", *["–"] * 5),
        ("paper, total", "–", f"{PAPER_TOTAL_RHO:g}", "–", f"{PAPER_FLOOR:g}", "–", f"{PAPER_ALPHA:g}", "–"),
    ]
    return BookTable(
        record, curve, header=header, rows=[(first, *map(minus, rest)) for first, *rest in rows],
        finding=findings.laws_text(record),
        shows="Over the compute-efficient points, losses per dimension, with 95 % of bootstraps over seeds "
        "and widths. ρ is minus Pearson's correlation of ln F and the logarithm of the loss; that of ranks "
        "(Spearman) is the same before and after, since no order changes. Misfits are root mean squares, as "
        "a part of the loss, of laws whose floor is free, J*, or 0.",
    )  # fmt: skip


def _fits(record: Record, place: int, rho: np.ndarray) -> tuple[str, ...]:
    unit = 1.0 if place == TOTAL else float(record["dimension"])
    fits, points = readings.laws(record, place), readings.cloud(record)
    ranks = -rank_correlation(np.stack([points.log_f, points.loss[place]], 1))[0, 1]
    misfits = " / ".join(f"{100 * fits[0, fit, MISFIT]:.1f}" for fit in (FREE, KNOWN, NONE))
    return (
        findings.level(record, place), findings.with_ends(rho[:, BEFORE], 3),
        findings.with_ends(rho[:, AFTER], 3), f"{ranks:.3f}", f"{readings.optimum(record)[place] / unit:.4f}",
        findings.with_ends(fits[:, FREE, FLOOR] / unit, 4), findings.with_ends(fits[:, KNOWN, ALPHA], 3),
        f"{misfits} %",
    )  # fmt: skip
