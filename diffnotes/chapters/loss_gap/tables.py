"""Tables of chapter 4's networks: settings, gaps, and the two readings of one gap."""

from __future__ import annotations

import math

import numpy as np

from diffnotes.chapters.loss_gap import findings, readings
from diffnotes.show.labels import joined
from diffnotes.show.style import BookTable, book_figure
from diffnotes.store import Record


@book_figure
def diagnosis_settings(*records: Record) -> BookTable:
    """What was trained, and how long."""
    header = ("run", "parameters", "steps", "batch", "rate", "few images", "minutes")
    fine = [findings.name(record) for record in records if record.spec["precision"] == "float32"]
    return BookTable(
        *records, header=header, rows=[_settings(record) for record in records],
        shows="Settings of the runs. All networks of a run have the same size, initial weights, batches and "
        f"random numbers; there are {records[0]['gap'].shape[1]} seeds. Few images: those of the network "
        "that memorizes, and its steps. Minutes are those of all networks and seeds, with what is measured."
        f" Products are in float32 on {' and on '.join(fine)}, else in bfloat16.",
    )  # fmt: skip


def _settings(record: Record) -> tuple[str, ...]:
    spec = record.spec
    return (
        findings.name(record), f"{int(record['parameters'][0, 0]):,}", f"{int(record['step'][-1]):,}",
        f"{spec['batch']}", f"{spec['rate']:g}",
        f"{spec['tiny']:,}, {int(record['tiny_step'][-1]):,}" if spec["tiny_steps"] else "–",
        f"{record.meta.get('seconds', 0) / 60:.0f}",
    )  # fmt: skip


@book_figure
def gap_table(record: Record) -> BookTable:
    """Every network: where its gap is largest, how large that is, and what its samples are worth."""
    header = ("network", "largest gap at σ", "J* there, of the variance", "gap there", "gap over J*",
              "gap over held-out less training", "gap near σ*", "gap left of σ*", "Fréchet distance",
              "copies")  # fmt: skip
    return BookTable(
        record, header=header, rows=[_network(record, k) for k in range(len(record["kind"]))],
        finding=findings.peak_text(record),
        shows="Means over seeds at the last evaluation. Gaps are squared norms, summed over dimensions; near "
        f"σ* is within a factor {readings.NEAR:g}, left of it from σ*/{readings.LEFT[0]:g} to "
        f"σ*/{readings.LEFT[1]:g}. As many training images have a Fréchet distance of "
        f"{record['floor'].mean():.2f} to held-out ones.",
    )  # fmt: skip


def _network(record: Record, k: int) -> tuple[str, ...]:
    gap, optimum = readings.gap(record), np.broadcast_to(record["optimum"], readings.gap(record).shape)
    top, best, other = (
        readings.at_peak(record, values)[k].mean()
        for values in (gap, optimum, readings.generalization(record))
    )
    bands = [readings.over(gap, where(record))[k].mean() for where in (readings.near, readings.left)]
    return (
        readings.kinds(record)[k], f"{readings.peak(record)[k].mean():.2f}",
        f"{100 * readings.peak_share(record)[k].mean():.0f} %", f"{top:.3g}", f"{top / best:.2g}",
        f"{top / other:.2g}" if other > 0 else "–", f"{bands[0]:.3g}", f"{bands[1]:.3g}",
        f"{record['frechet'][k, :, -1].mean():.2f}", f"{100 * record['copies'][k, :, -1].mean():.0f} %",
    )  # fmt: skip


@book_figure
def readings_table(*records: Record) -> BookTable:
    """The gap as a distance and as a difference of losses: how often they agree, and how noisy each is."""
    header = ("run", "comparisons", "within 2", "within 3 standard errors", "largest", "ratio of errors")
    normal = [f"{100 * math.erf(k / math.sqrt(2)):.1f} %" for k in (2, 3)]
    rows = [_agreement(record) for record in records]
    return BookTable(
        *records, header=header, rows=[*rows, ("of normal numbers", "–", *normal, "–", "–")],
        finding=joined(map(findings.readings_text, records)),
        shows="Difference of losses less distance, in units of both standard errors together, for every "
        "network, evaluation, seed and level; and the error of the distance over that of the difference, its "
        "median over all of them. The noise of the gap is in both readings, so these are smaller than normal "
        "numbers.",
    )  # fmt: skip


def _agreement(record: Record) -> tuple[str, ...]:
    found = np.abs(readings.readings_apart(record))
    ratio = record["stderr"] / np.maximum(record["difference_stderr"], 1e-300)
    return (
        findings.name(record), f"{found.size:,}", *(f"{100 * (found <= k).mean():.1f} %" for k in (2, 3)),
        f"{found.max():.2f}", f"{np.median(ratio):.2f}",
    )  # fmt: skip
