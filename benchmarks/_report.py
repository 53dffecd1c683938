"""What every benchmark does: run its question of an experiment and print what came out."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from diffnotes import store
from diffnotes.base.errors import UserError
from diffnotes.chapters.speed import experiment as speed
from diffnotes.chapters.speed import training as training_speed
from diffnotes.chapters.speed.figures import speed_targets, timings
from diffnotes.chapters.speed.training_figures import network_targets
from diffnotes.chapters.speed.training_figures import timings as network_timings
from diffnotes.show.style import BookTable


@dataclass(frozen=True)
class Subject:
    """An experiment with several questions, and what is printed of its records."""

    experiment: store.Experiment
    size: Callable[[store.Record], str]
    timings: Callable[[store.Record], BookTable]
    targets: Callable[[store.Record], BookTable]


def _points(record: store.Record) -> str:
    return f"{int(record['points']):,} points of {int(record['dimension']):,} values"


def _pictures(record: store.Record) -> str:
    return f"images of {' x '.join(map(str, record['shape']))} values"


EXACT = Subject(speed.EXPERIMENT, _points, timings, speed_targets)
NETWORKS = Subject(training_speed.EXPERIMENT, _pictures, network_timings, network_targets)


def main(question: str, text: str, subject: Subject = EXACT) -> int:
    """Exit codes: 0 measured (a missed target is said, not an error), 2 bad input, 3 unfinished slice."""
    options = _parser(text, subject.experiment).parse_args()
    try:
        record = store.run(subject.experiment, options.profile, options.max_seconds, question=question)
        if options.pin:
            store.pin(subject.experiment, record.key)
    except UserError as error:
        print(f"{sys.argv[0]}: {error}", file=sys.stderr)
        return error.exit_code
    show(text.splitlines()[0], record, subject)
    return 0


def networks(question: str, text: str) -> int:
    """The same for a question on networks."""
    return main(question, text, NETWORKS)


def show(title: str, record: store.Record, subject: Subject) -> None:
    """Timings, targets, and what machine and versions they hold for."""
    conditions = f"{subject.size(record)}, {int(record['threads'])} threads"
    print(title, f"{conditions}, median (least to largest) of the repeats", sep="\n")
    _print(subject.timings(record))
    judged = subject.targets(record)
    if record.profile == "smoke":
        print("\nMade-up data, too small for the targets: only the laptop profile is judged.")
    elif judged.rows:
        _print(judged)
    print(f"\n{record.provenance()}\n{', '.join(record['versions'])}\n", flush=True)


def _print(table: BookTable) -> None:
    lines: list[Sequence[str]] = [table.header, *table.rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(table.header))]
    print()
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def _parser(text: str, experiment: store.Experiment) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profile", default="laptop", choices=list(experiment.profiles))
    parser.add_argument(
        "--max-seconds",
        type=float,
        help="stop after about this long; the same command continues (exit code 3)",
    )
    parser.add_argument("--pin", action="store_true", help="make the finished record what pages show")
    return parser
