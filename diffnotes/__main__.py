"""Command line: ``python -m diffnotes diagnose | optimal-loss | merge``, for a model and images of your own,
and ``run | status | verify | pin | export | import | fetch | claims``, for the records of the book.

Exit codes: 0 done, 2 bad input (one clear line), 3 unfinished slice (the same command continues), 4 a record
that is stale, tampered or missing.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import signal
import sys
from collections.abc import Sequence
from typing import Any, TextIO

INTERRUPTED = "interrupted; finished slices are saved and the same command continues."
UNFINISHED = 3

try:  # these take a while, in which Ctrl-C may come
    from diffnotes import chapters, commands, store
    from diffnotes.base.errors import NO_MEMORY, UserError, out_of_memory, quoted
    from diffnotes.chapters import status as overview
    from diffnotes.store.records import is_key
except KeyboardInterrupt:
    print(f"diffnotes: {INTERRUPTED}", file=sys.stderr)
    exec("")  # see `main`
    sys.exit(UNFINISHED)


def main(words: Sequence[str] | None = None) -> int:
    """Run one command; foreseeable mistakes become one line on stderr."""
    try:
        options = _asked(words)
        return int(options.action(options) or 0)
    except UserError as error:
        return _told(str(error), error.exit_code)
    except (OSError, MemoryError, RuntimeError, ImportError) as error:
        if not (sentence := _of_the_machine(error)):
            raise
        return _told(sentence, UserError.exit_code)
    except KeyboardInterrupt:
        # Where the interruption came through text that was executed, as in a dataclass, Python would remember
        # it and kill itself at its end, unless other text is executed.
        exec("")
        return _told(INTERRUPTED, UNFINISHED)


def _of_the_machine(error: Exception) -> str:
    """What is wrong with the machine, where it is no fault of the code."""
    if out_of_memory(error):
        return NO_MEMORY
    if isinstance(error, OSError):
        what = error.filename or "a file"
        return f"cannot read or write {what} ({error.strerror or error}); free space, or see who may use it."
    if isinstance(error, ModuleNotFoundError):  # of an installed package, whose core needs less than the book
        return f"this needs {error.name}, which is not installed; requirements.txt of the book lists all."
    return ""


def _asked(words: Sequence[str] | None) -> argparse.Namespace:
    try:
        return _parser().parse_args(words)
    except SystemExit:
        _say("", end="")  # the help, which argparse leaves in a buffer
        raise


def _say(text: str, end: str = "\n") -> None:
    """Print, at once. What the output cannot show is escaped; one that nobody reads any more, as after
    `| head`, changes nothing else; UserError for one that cannot be written.
    """
    try:
        try:
            print(text, end=end, flush=True)
        except UnicodeEncodeError:
            known = sys.stdout.encoding
            print(text.encode(known, "backslashreplace").decode(known), end=end, flush=True)
    except BrokenPipeError:
        _silence(sys.stdout)
    except OSError as error:
        _silence(sys.stdout)
        raise UserError(f"The output cannot be written ({error.strerror}); what is done is kept.") from error


def _told(sentence: str, code: int) -> int:
    """`code`, after one line on stderr, if that can be written."""
    try:
        if sys.stderr is not None:  # None would mean stdout
            print(f"diffnotes: {sentence}", file=sys.stderr, flush=True)
    except OSError:
        _silence(sys.stderr)
    return code


def _silence(stream: TextIO) -> None:
    """Let go what could not be written, so that it does not fail again at the end."""
    with contextlib.suppress(OSError):  # not a file, as in tests
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def run(options: argparse.Namespace) -> None:
    """Compute a record and say where it is."""
    experiment = chapters.find(options.experiment)
    known = store.request(experiment, options.profile, {}).profile
    settings = _settings(experiment, options.set)
    if _helps():
        store.follow(experiment, known, **settings)
        return
    record = store.run(experiment, known, options.max_seconds, **settings)
    _say(f"{record.key} {record.folder}")
    if options.pin:
        store.pin(experiment, record.key)


def _helps() -> bool:
    """Whether torchrun started this process, and it is not the first, which alone writes."""
    if not {"RANK", "WORLD_SIZE"} & os.environ.keys():
        return False
    from diffnotes.base import runtime

    return runtime.launched().rank > 0


def pin(options: argparse.Namespace) -> None:
    """Make a finished record what the pages show."""
    places = (store.runs(), store.results()) if is_key(options.key) else ()
    found = [path for place in places for path in place.glob(f"*/{options.key}/record.json")]
    if not found:
        raise store.MissingRecord(
            f"No finished record {quoted(options.key)} is in runs/ or results/; "
            "`python -m diffnotes run` prints the key of one."
        )
    record = store.pin(chapters.find(found[0].parent.parent.name), options.key)
    _say(f"pinned {record.key} in {record.folder}")


def export(options: argparse.Namespace) -> None:
    """Write records into a file."""
    from diffnotes.base import files
    from diffnotes.store import bundles

    path = files.folder_named(options.to)
    for record in bundles.export(options.key, path, chapters.find):
        _say(f"{record.key} {record.experiment} ({record.profile})")
    _say(str(path))


def receive(options: argparse.Namespace) -> None:
    """Take in the records of a file."""
    from diffnotes.base import files
    from diffnotes.store import bundles

    for record, is_new in bundles.receive(files.folder_named(options.file), chapters.find):
        said = store.checked(record, chapters.find(record.experiment))
        there = "" if is_new else " was there already"
        _say(f"{record.key} {record.experiment} ({record.profile}){there}: {said.state}, {said.reason}")


def status(options: argparse.Namespace) -> int:
    """Say for every record that the book shows: valid, stale, tampered or missing, and why."""
    found = overview.rows(options.experiment)
    bad = [row for row in found if row.state != "valid"]
    if options.json:
        _say(json.dumps([vars(row) for row in found], indent=1))
    elif options.summary:
        names = "".join(f"; {row.title()} is {row.state}" for row in bad)
        _say(f"{len(found)} records shown, {len(found) - len(bad)} valid{names}")
    else:
        for row in found:
            _say(
                f"{row.state:8s} {row.title()} [{row.profile}]: {row.reason}\n"
                f"         figures: {', '.join(name.partition('#')[2] for name in row.figures)}"
            )
            if row.command:
                _say(f"         heavier: `{row.command}` ({row.cost})")
    return 4 if bad else 0


def verify(options: argparse.Namespace) -> int:
    """Recompute every twin and compare it with what is pinned."""
    names = [options.experiment] if options.experiment else list(chapters.names())
    bad = 0
    for experiment in map(chapters.find, names):
        found = store.verify(experiment)
        bad += found.name != "valid"
        _say(f"{found.name:8s} {experiment.name}: {found.reason}")
    if options.ship:
        store.ship(chapters.every())
    stale = [row for row in overview.rows(options.experiment) if row.state != "valid"]
    for row in stale:
        _say(f"{row.state:8s} {row.title()} [{row.profile}]: {row.reason}")
    return 4 if bad or stale else 0


def fetch(options: argparse.Namespace) -> None:
    """Download a data set into DIFFNOTES_DATA."""
    from diffnotes import data

    _say(str(data.fetch(options.name)))


def claims(options: argparse.Namespace) -> int:
    """Check every claim of the papers against the pinned records; 4 when one of those does not hold."""
    from diffnotes.chapters.checks import check_all

    checked = check_all(overview.checked)
    found = [claim.as_dict() for claim in checked]
    if options.json:
        _say(json.dumps(found, indent=1))
    elif options.short:
        from diffnotes.show.tables import claims_in_short

        _say(claims_in_short(found))
    else:
        _print_claims(found)
    return 0 if all(claim.holds for claim in checked) else 4


def _print_claims(found: Sequence[dict[str, str]]) -> None:
    for claim in found:
        _say("{verdict:15s} {id}: {statement}".format(**claim))
        _say("{0:15s} paper: {paper_value} | ours: {our_value} {interval}".format("", **claim))


def _settings(experiment: store.Experiment, texts: Sequence[str]) -> dict[str, Any]:
    """What `--set` says, each name once."""
    found: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise store.SpecError(f"--set takes key=value; not {quoted(text)}.")
        if name in found:
            raise store.SpecError(f"--set gives {quoted(name)} twice; say which you mean.")
        found[name] = experiment.spec.parse(name, value)
    return found


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
        prog="python -m diffnotes",
        description="Your own model and images: diagnose, optimal-loss. Records of the book: the others.",
    )
    known = parser.add_subparsers(required=True, metavar="COMMAND")
    commands.add(known, _say, _seconds)

    def command(action: Any, text: str) -> argparse.ArgumentParser:
        made = known.add_parser(action.__name__, help=text, description=text)
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
    made = command(export, "write finished records, and the twins that speak for them, into a file")
    made.add_argument("key", nargs="+")
    made.add_argument("--to", default="records.zip", metavar="FILE", help="a new file (records.zip)")
    taken = "take in the records of a file of `export`: checked, into runs/; nothing in it is run"
    made = known.add_parser("import", help=taken, description=taken)
    made.set_defaults(action=receive)
    made.add_argument("file")
    command(fetch, "download a data set, verified and resumable").add_argument("name", help="cifar10")
    made = command(claims, "check every claim of the papers")
    made.add_argument("--json", action="store_true", help="for programs")
    made.add_argument("--short", action="store_true", help="verdicts per paper, as a Markdown table")
    return parser


def _occupy() -> None:
    """Open what the caller closed of stdin, stdout and stderr: else the next file that is written would get
    its number, and with it whatever a library says there.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free


if __name__ == "__main__":
    _occupy()
    code = main()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # what remains is to go
    sys.exit(code)
