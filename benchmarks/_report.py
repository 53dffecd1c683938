"""What every benchmark does: run its question of the `speed` experiment and print what came out."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from diffnotes import store
from diffnotes.errors import UserError
from diffnotes.experiments import speed
from diffnotes.figures.speed import speed_targets, timings
from diffnotes.figures.style import BookTable


def main(question: str, text: str) -> int:
    """Exit codes: 0 measured (a missed target is said, not an error), 2 bad input, 3 unfinished slice."""
    options = _parser(text).parse_args()
    try:
        record = store.run(speed.EXPERIMENT, options.profile, options.max_seconds, question=question)
        if options.pin:
            store.pin(speed.EXPERIMENT, record.key)
    except UserError as error:
        print(f"{sys.argv[0]}: {error}", file=sys.stderr)
        return error.exit_code
    show(text.splitlines()[0], record)
    return 0


def show(title: str, record: store.Record) -> None:
    """Timings, targets, and what machine and versions they hold for."""
    size = f"{int(record['points']):,} points of {int(record['dimension']):,} values"
    print(
        title, f"{size}, {int(record['threads'])} threads, median (least to largest) of the repeats", sep="\n"
    )
    _print(timings(record))
    judged = speed_targets(record)
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


def _parser(text: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profile", default="laptop", choices=list(speed.EXPERIMENT.profiles))
    parser.add_argument(
        "--max-seconds",
        type=float,
        help="stop after about this long; the same command continues (exit code 3)",
    )
    parser.add_argument("--pin", action="store_true", help="make the finished record what pages show")
    return parser
