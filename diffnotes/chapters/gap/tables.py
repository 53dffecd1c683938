"""Tables of chapter 1's networks: settings, the last evaluation, stopped trajectories, levels of the sampler.

None is wider than a column of text: runs have names that wrap, and what is long stands in rows.
"""

from __future__ import annotations

from diffnotes.chapters.gap import findings, readings
from diffnotes.chapters.gap.readings import span
from diffnotes.show.labels import joined, minus
from diffnotes.show.style import BookTable, book_figure
from diffnotes.store import Record


@book_figure
def settings_table(*records: Record) -> BookTable:
    """What was trained, and how long; the same rows for every run."""
    header = ("run", "pixels", "width", "steps", "batch", "rate", "average", "seeds", "seconds a seed")
    return BookTable(
        *records, header=header, rows=[_settings(record) for record in records],
        shows="Settings of the runs. Weights are averaged over so many steps before they are evaluated.",
    )  # fmt: skip


def _settings(record: Record) -> tuple[str, ...]:
    spec, side = record.spec, readings.side(record)
    return (
        readings.title(record), f"{side} × {side}", f"{spec['width']}", f"{int(record['step'][-1]):,}",
        f"{spec['batch']}", f"{spec['rate']:g}", f"{spec['horizon']}", f"{len(record['gap'])}",
        f"{readings.seconds(record):,.0f}",
    )  # fmt: skip


@book_figure
def run_table(*records: Record) -> BookTable:
    """Gaps and memorized samples at the last evaluation of every run."""
    header = ("run", "peak G", "at σ", "gap of samples", "memorized samples")
    rows = [
        (
            readings.title(record), span(readings.peak(record)[:, -1]),
            f"{record['sigma'][readings.peak_level(record)]:.2g}",
            span(readings.sample_gap(record)[:, -1, -1]),
            f"{100 * readings.memorized(record)[:, -1].mean():.1f} %",
        )
        for record in records
    ]  # fmt: skip
    return BookTable(
        *records, header=header, rows=rows, finding=findings.memorized_text(*records),
        shows="At the last evaluation: mean over seeds (lowest to highest).",
    )  # fmt: skip


@book_figure
def distance_table(*records: Record) -> BookTable:
    """Fréchet distances at the last evaluation of every run."""
    header = ("run", "samples to training", "samples to held-out", "training to held-out", "images each")
    rows = [
        (
            readings.title(record), *(f"{readings.sample_distance(record, split)[:, -1].mean():.2f}"
                             for split in ("train", "val")),
            f"{record['floor'].mean():.2f}", f"{record['count'][0]}",
        )
        for record in records
    ]  # fmt: skip
    return BookTable(
        *records, header=header, rows=rows, finding=findings.astray_text(*records),
        shows="Fréchet distances at the last evaluation, in the mean over seeds.",
    )  # fmt: skip


@book_figure
def stop_table(*records: Record) -> BookTable:
    """The Fréchet gap of trajectories stopped at several noise levels, at the last evaluation."""
    stops = [*(f"stopped at σ {level:.2g}" for level in records[0]["probe"]), "finished samples"]
    gaps = [readings.sample_gap(record)[:, -1] for record in records]
    rows = [(stop, *(span(gap[:, place]) for gap in gaps)) for place, stop in enumerate(stops)]
    return BookTable(
        *records, header=("", *map(readings.title, records)), rows=rows,
        finding=findings.stops_text(records[0]),
        shows="(FD_val − FD_train) / FD_train at the last evaluation: mean over seeds (lowest to highest).",
    )  # fmt: skip


@book_figure
def probe_table(*records: Record) -> BookTable:
    """States of the sampler at every stored noise level, at the last evaluation."""
    header = ("run", "σ", "rise", "position", *(f"cosine, {kind}" for kind in readings.KINDS))
    rows = [_probe(record, place) for record in records for place in range(len(record["probe"]))]
    return BookTable(
        *records, header=header, rows=rows, finding=joined(map(findings.rank_text, records)),
        shows="At the last evaluation, in the mean over seeds. Rise: how far the held-out error near σ is "
        "above its least value. Position: 0 where states are as near to training images as noised training "
        "images, 1 where they are as far as noised held-out images. Cosine: of the prediction with the most "
        "similar training image, from noised training images, noised held-out images, and states.",
    )  # fmt: skip


def _probe(record: Record, place: int) -> tuple[str, ...]:
    sigma = record["probe"][place]
    rise = readings.rise(record)[:, readings.place_of(record["sigma"], sigma)].mean()
    alike = record["similarity"][:, -1, place].mean(0)
    return (
        "" if place else readings.title(record), f"{sigma:.2g}", f"{100 * rise:.0f} %",
        minus(f"{readings.positions(record)[:, -1, place].mean():.2f}"),
        *(f"{value:.3f}" for value in alike),
    )  # fmt: skip
