"""Tables of the training schedule: settings, constants tried, and outcomes of all runs."""

from __future__ import annotations

import numpy as np

from diffnotes.chapters.training_schedule import findings, readings
from diffnotes.chapters.training_schedule.readings import EDM
from diffnotes.show.labels import dataset, joined, minus
from diffnotes.show.style import BookTable, Markup, book_figure
from diffnotes.store import Record


@book_figure
def schedule_settings(*records: Record) -> BookTable:
    """What was trained, how long, and under which constants."""
    header = ("run", "parameters", "steps", "batch", "seeds", "σ*", "bump", "shift", "clip", "minutes")
    return BookTable(
        *records, header=header, rows=[_settings(record) for record in records],
        shows="Settings of the runs, and the constants of the schedule as they were chosen on another seed. "
        "Minutes are those of all runs and seeds, with what is measured.",
    )  # fmt: skip


def _settings(record: Record) -> tuple[str, ...]:
    spec = record.spec
    constants = [minus(f"{value:g}") for value in record["constants"]]
    return (
        findings.name(record), f"{int(record['parameters'].flat[0]):,}", f"{spec['steps']:,}",
        f"{spec['batch']}", f"{len(spec['seeds'])}", f"{float(record['critical']):.2f}",
        *constants, f"{record.meta.get('seconds', 0) / 60:.0f}",
    )  # fmt: skip


@book_figure
def schedule_outcomes(*records: Record) -> BookTable:
    """Fréchet distance, gaps and held-out error of every run, over EDM's."""
    header = ("run", "Fréchet distance", "over EDM's", "gap left of σ*", "right", "held-out error")
    rows: list[tuple[str, ...]] = []
    for record in records:
        rows += [(f"{dataset(record)}:", *[""] * 5)]
        rows += [_outcome(record, run) for run in readings.names(record)]
    return BookTable(
        *records, header=header, rows=rows,
        finding=joined(map(findings.outcome_text, records)),
        shows="Fréchet distance of samples to as many held-out images (in pixels, averaged to at most 64 "
        "values); then quotients to EDM's run of the same seed, of gaps and held-out errors as geometric "
        "means over levels. In brackets, intervals at 95 % over seeds.",
    )  # fmt: skip


def _outcome(record: Record, run: str) -> tuple[str, ...]:
    far = f"{readings.of(record, 'frechet', run).mean():.3f}"
    if run == EDM:
        return (run, far, "1", "1", "1", "1")
    at = readings.left(record)
    wheres = (("gap", at), ("gap", ~at), ("held_out", readings.everywhere(record)))
    quotients = [readings.factor(record, array, where, run) for array, where in wheres]
    found = [readings.distance(record, run), *quotients]
    return (readings.shown(run), far, *map(_two_lines, found))


def _two_lines(found: np.ndarray) -> Markup:
    """A value, and its interval below it."""
    value, _, ends = findings.interval(found).partition(" (")
    return Markup(f"{value}<br>({ends}" if ends else value)


@book_figure
def schedule_choices(record: Record) -> BookTable:
    """The constants that were tried, in order of their Fréchet distance."""
    header = (*(str(name) for name in record["name"]), "Fréchet distance", "gap left of σ*, over EDM's")
    gaps = readings.choice_left(record)
    rows = [
        (*(minus(f"{value:g}") for value in tried), f"{distance:.3f}", f"{gap:.2f}")
        for tried, distance, gap in sorted(
            zip(record["tried"].tolist(), record["frechet_train"], gaps, strict=True), key=lambda one: one[1]
        )
    ]
    return BookTable(
        record, header=header, rows=rows, finding=findings.choice_text(record),
        shows="All combinations, on one seed that the comparison does not have, judged by training images: "
        "height of the second term over ω*, its place in ln σ from σ*, and the share of the variance below "
        "which levels count alike. The first row was chosen.",
    )  # fmt: skip


@book_figure
def schedule_fids(*records: Record) -> BookTable:
    """The paper's FIDs, which need its networks, beside our Fréchet distances."""
    rows = [
        (f"{name} (paper)", f"{old:.2f}", f"{new:.2f}", _change(new / old))
        for name, (old, new) in readings.PAPER_FIDS.items()
    ]
    for record in records:
        old, new = (readings.of(record, "frechet", run).mean() for run in (EDM, readings.SCHEDULE))
        mean, low, high = map(_change, readings.distance(record))
        change = f"{mean} ({low} to {high})"
        rows.append((f"{findings.name(record)} (ours)", f"{old:.2f}", f"{new:.2f}", change))
    return BookTable(
        *records, header=("data and network", "before", "with the schedule", "change"), rows=rows,
        shows="The paper's FIDs after full trainings, which are not repeated here, and our Fréchet "
        "distances, of other features and short trainings: rows compare in their change alone. Ours has an "
        "interval at 95 % over seeds.",
    )  # fmt: skip


def _change(quotient: float) -> str:
    return minus(f"{100 * (quotient - 1):+.0f} %")
