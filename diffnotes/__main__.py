"""Command line: ``python -m diffnotes run | status | verify | pin | fetch | claims``.

Exit codes: 0 done, 2 bad input (one clear line), 3 unfinished slice (the same command continues), 4 a record
that is stale, tampered or missing.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
from collections.abc import Sequence
from typing import Any

from diffnotes import chapters, store
from diffnotes.base.errors import UserError
from diffnotes.chapters import status as overview


def main(words: Sequence[str] | None = None) -> int:
    """Run one command; foreseeable mistakes become one line on stderr."""
    options = _parser().parse_args(words)
    try:
        return int(options.action(options) or 0)
    except UserError as error:
        print(f"diffnotes: {error}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:  # the reader of a pipe, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print(
            "diffnotes: interrupted; finished slices are saved and the same command continues.",
            file=sys.stderr,
        )
        return store.Unfinished.exit_code


def run(options: argparse.Namespace) -> None:
    """Compute a record and say where it is."""
    experiment = chapters.find(options.experiment)
    known = store.request(experiment, options.profile, {}).profile
    settings = dict(_setting(experiment, text) for text in options.set)
    if int(os.environ.get("RANK", "0")) > 0:  # under torchrun the first process alone writes
        store.follow(experiment, known, **settings)
        return
    record = store.run(experiment, known, options.max_seconds, **settings)
    print(f"{record.key} {record.folder}")
    if options.pin:
        store.pin(experiment, record.key)


def pin(options: argparse.Namespace) -> None:
    """Make a finished record what the pages show."""
    found = list(store.runs().glob(f"*/{options.key}/record.json")) + list(
        store.results().glob(f"*/{options.key}/record.json")
    )
    if not found:
        raise store.MissingRecord(
            f"No finished record {options.key!r} is in runs/ or results/; "
            "`python -m diffnotes run` prints the key of one."
        )
    record = store.pin(chapters.find(found[0].parent.parent.name), options.key)
    print(f"pinned {record.key} in {record.folder}")


def status(options: argparse.Namespace) -> int:
    """Say for every record that the book shows: valid, stale, tampered or missing, and why."""
    found = overview.rows(options.experiment)
    bad = [row for row in found if row.state != "valid"]
    if options.json:
        print(json.dumps([vars(row) for row in found], indent=1))
    elif options.summary:
        names = "".join(f"; {row.title()} is {row.state}" for row in bad)
        print(f"{len(found)} records shown, {len(found) - len(bad)} valid{names}")
    else:
        for row in found:
            print(
                f"{row.state:8s} {row.title()} [{row.profile}]: {row.reason}\n"
                f"         figures: {', '.join(name.partition('#')[2] for name in row.figures)}"
            )
            if row.command:
                print(f"         heavier: `{row.command}` ({row.cost})")
    return 4 if bad else 0


def verify(options: argparse.Namespace) -> int:
    """Recompute every twin and compare it with what is pinned."""
    names = [options.experiment] if options.experiment else list(chapters.names())
    bad = 0
    for experiment in map(chapters.find, names):
        found = store.verify(experiment)
        bad += found.name != "valid"
        print(f"{found.name:8s} {experiment.name}: {found.reason}", flush=True)
    if options.ship:
        store.ship(chapters.every())
    stale = [row for row in overview.rows(options.experiment) if row.state != "valid"]
    for row in stale:
        print(f"{row.state:8s} {row.title()} [{row.profile}]: {row.reason}")
    return 4 if bad or stale else 0


def fetch(options: argparse.Namespace) -> None:
    """Download a data set into DIFFNOTES_DATA."""
    from diffnotes import data

    print(data.fetch(options.name))


def claims(options: argparse.Namespace) -> int:
    """Check every claim of the papers against the pinned records; 4 when one of those does not hold."""
    from diffnotes.chapters.checks import check_all

    checked = check_all(overview.checked)
    found = [claim.as_dict() for claim in checked]
    if options.json:
        print(json.dumps(found, indent=1, ensure_ascii=False))
    elif options.short:
        from diffnotes.show.tables import claims_in_short

        print(claims_in_short(found))
    else:
        _print_claims(found)
    return 0 if all(claim.holds for claim in checked) else 4


def _print_claims(found: Sequence[dict[str, str]]) -> None:
    for claim in found:
        print("{verdict:15s} {id}: {statement}".format(**claim))
        print("{0:15s} paper: {paper_value} | ours: {our_value} {interval}".format("", **claim))


def _setting(experiment: store.Experiment, text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals:
        raise store.SpecError(f"--set takes key=value; not {text!r}.")
    return name, experiment.spec.parse(name, value)


def _seconds(text: str) -> float:
    value = float(text)
    if not (math.isfinite(value) and value > 0):
        raise ValueError
    return value


_seconds.__name__ = (
    "number of seconds above 0"  # argparse names it: "invalid number of seconds above 0 value: 'x'"
)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m diffnotes", description="Records of the book: compute, check, pin."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(action: Any, text: str) -> argparse.ArgumentParser:
        made = commands.add_parser(action.__name__, help=text, description=text)
        made.set_defaults(action=action)
        return made

    made = command(run, "compute a record, in slices if --max-seconds is given; prints its key and folder")
    made.add_argument("experiment", help=", ".join(chapters.names()))
    made.add_argument(
        "--profile",
        default="laptop",
        help="smoke, laptop or paper, where the experiment has it (default: laptop)",
    )
    made.add_argument(
        "--set",
        nargs="+",
        action="extend",
        default=[],
        metavar="KEY=VALUE",
        help="change settings of the profile",
    )
    made.add_argument(
        "--max-seconds",
        type=_seconds,
        help="stop after about this long; the same command continues (exit code 3)",
    )
    made.add_argument("--pin", action="store_true", help="pin the finished record")
    made = command(status, "say which records the pages show, and whether they still hold")
    made.add_argument("experiment", nargs="?", help="only this one")
    made.add_argument("--summary", action="store_true", help="one line")
    made.add_argument("--json", action="store_true", help="for programs")
    made = command(verify, "recompute the twins of all records, whatever the digests say")
    made.add_argument("experiment", nargs="?", help="only this one")
    made.add_argument("--ship", action="store_true", help="keep what was found in results/, for fresh clones")
    command(pin, "make a finished record what the pages show").add_argument("key")
    command(fetch, "download a data set, verified and resumable").add_argument("name", help="cifar10")
    made = command(claims, "check every claim of the papers")
    made.add_argument("--json", action="store_true", help="for programs")
    made.add_argument("--short", action="store_true", help="verdicts per paper, as a Markdown table")
    return parser


if __name__ == "__main__":
    sys.exit(main())
