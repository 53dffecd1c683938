"""The records that a grid asks for, as JSON: `python sweep/targets.py sweep/grids/smoke.yaml`.

A grid is a YAML list of {experiment, profile, settings}. A list of values of a setting means each of them,
and lists of several settings mean every combination. A value that is a list stands in a list of its own.
`settings: shown` means those that the book shows. A bad grid gives one sentence and exit code 2.

This runs with the project's Python, so that Snakemake, which calls it, needs nothing of the project.
"""

from __future__ import annotations

import itertools
import json
import math
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from diffnotes import chapters, store
from diffnotes.base import files
from diffnotes.base.errors import UserError, quoted
from diffnotes.store import records, staleness

NAMES = ("experiment", "profile", "settings")
SHAPE = "a grid is a list of {experiment, profile, settings}"
MOST = 10_000  # records of one entry; more are a slip of the pen
ASKED = "sweep/out/asked"


class Once(yaml.SafeLoader):
    """YAML in which no name is said twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        names = [name.value for name, _ in node.value if isinstance(name, yaml.ScalarNode)]
        if twice := [name for name in names if names.count(name) > 1]:
            said = f"{twice[0]!r} is said twice"
            raise yaml.constructor.ConstructorError(None, None, said, node.start_mark)
        return super().construct_mapping(node, deep)


def main(words: list[str]) -> int:
    """Print the targets of one grid."""
    if len(words) != 1:
        print("usage: targets.py GRID.yaml", file=sys.stderr)
        return 2
    try:
        found = {"root": str(store.root()), "targets": targets(Path(words[0]))}
    except UserError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print(json.dumps(found, indent=1))
    return 0


def targets(grid: Path) -> list[dict[str, Any]]:
    """What the grid asks for, each record once, in the order of the grid."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for place, entry in enumerate(read(grid), 1):
        try:
            for experiment, profile, texts in asked(entry):
                one = target(experiment, profile, texts)
                found.setdefault((experiment.name, one["key"] or json.dumps(one["settings"])), one)
        except UserError as error:
            raise UserError(f"{grid.name}, entry {place}: {error}") from error
    return list(found.values())


def read(grid: Path) -> list[Any]:
    """The entries of a grid."""
    try:
        entries = yaml.load(files.read_plain(grid).decode(), Once)
    except OSError as error:
        raise UserError(f"The grid {grid} cannot be read ({error.strerror or error}).") from error
    except yaml.MarkedYAMLError as error:
        line = f" in line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise UserError(f"{grid.name} is not YAML: {error.problem}{line}.") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UserError(f"{grid.name} is not YAML, or no text.") from error
    if not isinstance(entries, list):
        raise UserError(f"{grid.name} holds {quoted(entries)}; {SHAPE}.")
    if not entries:
        raise UserError(f"{grid.name} asks for nothing; {SHAPE}.")
    return entries


# ------------------------------------------------------------------------------------------------ one entry


def asked(entry: Any) -> Iterator[tuple[store.Experiment, str, dict[str, str]]]:
    """Experiment, profile and settings, as texts of `--set`, of every record of an entry."""
    if not isinstance(entry, Mapping):
        raise UserError(f"it is {quoted(entry)}; {SHAPE}.")
    for name in entry:
        store.known(name, NAMES)
    if not isinstance(entry.get("experiment"), str):
        raise UserError(f"experiment must be a name; not {quoted(entry.get('experiment'))}.")
    experiment = chapters.find(entry["experiment"])
    profile = entry.get("profile", "laptop")
    if not isinstance(profile, str) or profile not in experiment.profiles:
        names = ", ".join(experiment.profiles)
        raise UserError(f"profile of {experiment.name} must be one of {names}; not {quoted(profile)}.")
    for settings in combinations(experiment, entry.get("settings") or {}):
        yield experiment, profile, {name: text(value) for name, value in settings.items()}


def combinations(experiment: store.Experiment, settings: Any) -> Iterator[Mapping[str, Any]]:
    """Each choice of one value for each setting."""
    if settings == "shown":
        yield from experiment.shown
        return
    if not isinstance(settings, Mapping):
        raise UserError(f"settings must be names with values, or the word shown; not {quoted(settings)}.")
    values = {name: value if isinstance(value, list) else [value] for name, value in settings.items()}
    for name in values:
        store.known(name, experiment.spec.names())
        if not values[name]:
            raise UserError(f"the list of {name} is empty.")
    if (count := math.prod(map(len, values.values()))) > MOST:
        raise UserError(f"it asks for {count:,} records; {MOST:,} are the most.")
    yield from (dict(zip(values, chosen, strict=True)) for chosen in itertools.product(*values.values()))


def text(value: Any) -> str:
    """A value as `--set` takes it."""
    if isinstance(value, list | tuple):
        return f"({''.join(f'{text(one)},' for one in value)})"
    return str(value)


# ----------------------------------------------------------------------------------------------- one record


def target(experiment: store.Experiment, profile: str, texts: Mapping[str, str]) -> dict[str, Any]:
    """All that Snakemake must know of a record.

    `state` is "there", "missing", "changed" (made by other code or damaged: the command decides whether it
    holds, and makes it again if not) or "no data". `output` is the file by which Snakemake knows that it is
    done. `seconds` are rough, on `machine`.
    """
    given = {name: experiment.spec.parse(name, value) for name, value in texts.items()}
    settings = store.request(experiment, profile, given).settings
    sets = [f"{name}={value}" for name, value in texts.items()]
    found = {
        "experiment": experiment.name,
        "profile": profile,
        "settings": settings,
        "seconds": experiment.seconds[profile],
        "machine": experiment.machine.get(profile, "two CPU cores"),
        "words": ["run", experiment.name, "--profile", profile, *(["--set", *sets] if sets else [])],
    }
    spec = experiment.profiles[profile].replace(**settings)
    try:
        key = store.key(experiment, spec, {**experiment.data(spec), **experiment.inputs(spec)})
    except UserError as error:
        none = dict.fromkeys(("key", "record", "output"))
        return {**found, **none, "there": False, "state": "no data", "why": str(error)}
    record = f"runs/{experiment.name}/{key}/record.json"
    state, output = condition(experiment, store.root() / record)
    there = state == "there"
    return {**found, "key": key, "record": record, "there": there, "state": state, "output": output or record}


def condition(experiment: store.Experiment, path: Path) -> tuple[str, str]:
    """The state of a record, without computing anything, and the mark that the command has judged it.

    The mark is of these bytes under this code and these packages, so that it says nothing of others.
    """
    if not path.exists():
        return "missing", ""
    record = records.read_own(path.parent)
    if (
        record is not None
        and of_today(record, experiment)
        and store.state(record, experiment).name == "valid"
    ):
        return "there", ""
    code = store.partial_name(experiment)
    bytes_now = [one.read_bytes() for one in (path, path.with_name("arrays.npz")) if one.is_file()]
    digest = files.sha256_bytes(b"".join([code.encode(), *bytes_now]))[: records.KEY_DIGITS]
    mark = f"{ASKED}/{experiment.name}/{path.parent.name}-{digest}"
    return ("there" if (store.root() / mark).exists() else "changed"), mark


def of_today(record: store.Record, experiment: store.Experiment) -> bool:
    """Whether today's code and packages made it, so that its state can be told without its twins, and nothing
    is left for the command to clear away.
    """
    same = record.meta["code"] == store.code_digest(experiment) and staleness.same_packages(record)
    return same and not any(record.folder.glob("partial-*"))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
