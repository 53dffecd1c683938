"""Specs, keys, records, pins, twins, staleness: what a number of the book is and whether it still holds. No
torch here.

record = store.load(EXPERIMENT, "pinned")      # what a page shows; `load_all` for what stands side by side
record = store.run(EXPERIMENT, "laptop")       # compute it, in slices if need be
store.pin(EXPERIMENT, record.key)              # make it what pages show
"""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from diffnotes.base import files
from diffnotes.base.errors import UserError
from diffnotes.base.terminal import tell
from diffnotes.store import code, pins, records
from diffnotes.store.entries import Entry, Lost, index
from diffnotes.store.experiment import (
    Arrays,
    Experiment,
    Follower,
    Tolerance,
    Unfinished,
    Work,
    is_twin,
)
from diffnotes.store.parameters import parameters
from diffnotes.store.pins import Refused
from diffnotes.store.records import Record, Tampered, key, results, root, runs
from diffnotes.store.spec import (
    PINNED,
    RANK,
    Request,
    Spec,
    SpecError,
    choice,
    flag,
    known,
    number,
    numbers,
    request,
    text,
)
from diffnotes.store.staleness import State, checked, code_digest, partial_name, ship, state, verify

__all__ = [
    "PINNED", "RANK", "Arrays", "Entry", "Experiment", "Lost", "MissingRecord", "Record", "Refused",
    "Request", "Spec", "SpecError", "State", "Tampered", "Tolerance", "Unfinished", "Work", "best", "checked",
    "choice", "code_digest", "flag", "follow", "index", "is_twin", "key", "load", "load_all", "number",
    "numbers", "parameters", "partial_name", "pin", "request", "results", "root", "run", "runs",
    "shared_profile", "ship",
    "state", "text", "verify",
]  # fmt: skip


class MissingRecord(UserError):
    """No record answers the question, and it is too heavy to be made on the spot."""


def load(experiment: Experiment, ask: Request | str = PINNED, **settings: Any) -> Record:
    """The record that answers `ask` with `settings` on top.

    "pinned" gives the best pinned profile: paper, then laptop. A laptop profile that is not there is computed
    on the spot when it is cheap; else MissingRecord names the command and its cost. Neither fewer samples nor
    another profile is ever taken in silence.
    """
    wanted = _wanted(experiment, ask, settings)
    if wanted.profile != PINNED:
        return _made(experiment, wanted)
    unpinned = Request("laptop", wanted.settings)
    try:
        found = best(experiment, wanted.settings)
    except Lost as error:
        return _in_place_of(error, _made(experiment, unpinned))
    return checked(found, experiment) if found else _made(experiment, unpinned)


def load_all(
    experiment: Experiment, ask: Request | str, settings: Iterable[Mapping[str, Any]]
) -> list[Record]:
    """The records that answer `ask` with each of `settings` on top: all of one profile, to be shown together.

    "pinned" gives the best profile that is pinned for all of them. Where one has a better profile for itself,
    its `note` says so. Where no profile has all, the laptop profile is completed as in `load`, or
    MissingRecord names all commands.
    """
    wanted = [_wanted(experiment, ask, each) for each in settings]
    if any(one.profile != PINNED for one in wanted):
        return _all_made(experiment, wanted)
    unpinned = [Request("laptop", one.settings) for one in wanted]
    try:
        found = _together(experiment, wanted) or _all_made(experiment, unpinned)
        return [_noted(experiment, *pair) for pair in zip(wanted, found, strict=True)]
    except Lost as error:
        return [_in_place_of(error, record) for record in _all_made(experiment, unpinned)]


def best(
    experiment: Experiment | str, settings: Mapping[str, Any], profile: str | None = None
) -> Record | None:
    """The pinned record of the best profile whose spec has these settings; None when there is none.

    With `profile`, of that one alone. SpecError when the experiment has no such setting. Lost when the index
    names a better record that is not on disk: a lesser profile is not taken in its place.
    """
    name = experiment if isinstance(experiment, str) else experiment.name
    pinned = [entry for entry in index() if entry.experiment == name]
    _check_names(experiment, settings, pinned)
    for rank in [profile] if profile else RANK:
        for entry in pinned:
            if entry.profile == rank and _agree(entry.shown, settings):
                record = entry.read()
                held = record.spec if isinstance(experiment, str) else experiment.spec.completed(record.spec)
                if {**held, **settings} == held:
                    return record
    return None


def shared_profile(name: str) -> str | None:
    """The best profile that has all that any profile of the experiment is pinned for, so that what stands
    side by side is of one profile; None where no profile has all.
    """
    pinned = {rank: [e.shown for e in index() if (e.experiment, e.profile) == (name, rank)] for rank in RANK}
    every = [shown for slots in pinned.values() for shown in slots]
    return next((rank for rank in RANK if every and all(shown in pinned[rank] for shown in every)), None)


def _check_names(experiment: Experiment | str, settings: Mapping[str, Any], pinned: list[Entry]) -> None:
    """Raise SpecError for a setting that the experiment, or none of its pinned records, has."""
    if isinstance(experiment, str):
        specs = [entry.read().spec for entry in pinned if entry.readable()]
        names = list(dict.fromkeys(name for spec in specs for name in spec))
    else:
        names = experiment.spec.names()
    for setting in settings if names else ():
        known(setting, names)


def _wanted(experiment: Experiment, ask: Request | str, settings: Mapping[str, Any]) -> Request:
    """`ask` with `settings` on top, checked."""
    asked = ask if isinstance(ask, Request) else Request(ask, {})
    return request(experiment, asked.profile, {**asked.settings, **settings})


def _in_place_of(lost: Lost, record: Record) -> Record:
    return replace(record, state="missing", reason=f"{lost} Computed here instead.")


def _together(experiment: Experiment, wanted: list[Request]) -> list[Record]:
    """The pinned records of the best profile that has all of them; none where no profile has."""
    for profile in RANK:
        found = [best(experiment, one.settings, profile) for one in wanted]
        there = [checked(record, experiment) for record in found if record is not None]
        if len(there) == len(wanted):
            return there
    return []


def _noted(experiment: Experiment, wanted: Request, record: Record) -> Record:
    """The record, with a note when a better profile of it is pinned."""
    better = best(experiment, wanted.settings)
    if better is None or better.profile == record.profile:
        return record
    which = ", ".join(f"{name} {value}" for name, value in wanted.settings.items())
    note = (
        f"A {better.profile} record of {experiment.name}{f' ({which})' if which else ''} is pinned too; it "
        f"is not shown here, because the records beside it are {record.profile} records."
    )
    return replace(record, note=note)


def _all_made(experiment: Experiment, wanted: list[Request]) -> list[Record]:
    """`_made` of each; MissingRecord names the commands of all that are not there."""
    found, missing = [], []
    for one in wanted:
        try:
            found.append(_made(experiment, one))
        except MissingRecord:
            missing.append(one)
    if missing:
        raise _missing(experiment, missing)
    return found


def _missing(experiment: Experiment, wanted: list[Request]) -> MissingRecord:
    profile, them = wanted[0].profile, "it" if len(wanted) == 1 else "them"
    commands = " and ".join(f"`{experiment.command(profile, one.settings)}`" for one in wanted)
    return MissingRecord(
        f"No record of {experiment.name} with profile {profile} is here; make {them} with {commands} "
        f"({experiment.cost(profile)}{'' if them == 'it' else ' each'})."
    )


def _made(experiment: Experiment, wanted: Request) -> Record:
    """The record of a named profile: found, computed when that is cheap, or MissingRecord."""
    spec = experiment.profiles[wanted.profile].replace(**wanted.settings)
    found = _same(experiment, spec)
    if found is not None and (found.pinned or found.state == "valid"):
        return found
    if not experiment.cheap(wanted.profile):
        raise _missing(experiment, [wanted])
    return checked(run(experiment, wanted.profile, **wanted.settings), experiment)


def run(experiment: Experiment, profile: str, max_seconds: float | None = None, **settings: Any) -> Record:
    """Compute a record, or return the finished one. Raises Unfinished when `max_seconds` are over; the same
    call continues. Raises code.Edited when files behind it have changed since this process began.

    Of several processes that are asked for the same, one computes it and the others wait for it.
    """
    wanted = request(experiment, profile, settings)
    if profile == PINNED:
        raise SpecError(f"profile must be one of {', '.join(experiment.profiles)} to run; not {PINNED!r}.")
    spec = experiment.profiles[profile].replace(**wanted.settings)
    data, inputs = experiment.data(spec), experiment.inputs(spec)
    name = key(experiment, spec, {**data, **inputs})
    folder = runs() / experiment.name / name
    done = _finished(folder, experiment)
    if done is not None and not any(_leftovers(folder)):
        return done
    work = Work(folder / partial_name(experiment), max_seconds, f"{experiment.name} ({profile})")
    with files.alone(records.own(folder), work.waits):
        work.close()  # the waiting is over
        made_by = {"data": data, "inputs": inputs}
        done = _finished(folder, experiment) or _made_now(experiment, spec, profile, work, **made_by)
        for partial in folder.glob("partial-*"):
            shutil.rmtree(partial)
    return done


def _leftovers(folder: Path) -> Iterator[Path]:
    """What a process that was killed may have left beside a finished record."""
    patterns = ("partial-*", files.LOCK, f".*{files.UNDONE}")
    return (path for pattern in patterns for path in folder.glob(pattern))


def _finished(folder: Path, experiment: Experiment) -> Record | None:
    """The record in a folder of runs/, where it holds."""
    done = records.read_own(folder)
    return done if done is not None and state(done, experiment).name == "valid" else None


def _made_now(experiment: Experiment, spec: Spec, profile: str, work: Work, **given: Any) -> Record:
    """The record, computed and written beside the folder of its partial results."""
    code.refuse_if_edited(experiment.module)
    given |= {"code": code_digest(experiment), **records.commit()}
    if given["dirty"] is None and (why := records.why_no_commit()):
        tell(f"The record will name no commit, as git says none ({why}); mend that before you pin it.")
    folder = work.folder.parent
    arrays, made = _computed(experiment, spec, work)
    code.refuse_if_edited(experiment.module)
    return records.write(folder, experiment, spec, profile, arrays, key=folder.name, **given, **made)


def follow(experiment: Experiment, profile: str, **settings: Any) -> None:
    """Take part in a `run` that the first process of torchrun writes: the same computation, nothing kept."""
    spec = experiment.profiles[profile].replace(**request(experiment, profile, settings).settings)
    name = key(experiment, spec, {**experiment.data(spec), **experiment.inputs(spec)})
    folder = runs() / experiment.name / name
    if _finished(folder, experiment) is None:  # as `run` decides
        experiment.compute(spec, Follower(folder / partial_name(experiment)))


def pin(experiment: Experiment, record_key: str) -> Record:
    """Copy a finished record from runs/ to results/, with its twins, and name it in the index in place of the
    one before; see `pins.pin` for what is refused.
    """
    places = [runs(), results()] if records.is_key(record_key) else []
    with files.alone(results()):  # nobody else changes the index meanwhile
        found = (records.read(place / experiment.name / record_key) for place in places)
        record = next((one for one in found if one is not None), None)
        if record is None:
            raise MissingRecord(
                f"No finished record {record_key} of {experiment.name} is in {runs()}; "
                "`python -m diffnotes run` makes one."
            )
        return pins.pin(experiment, record, lambda profile: run(experiment, profile))


def _computed(experiment: Experiment, spec: Spec, work: Work) -> tuple[Arrays, dict[str, Any]]:
    """The arrays, and who made them; seconds add up over slices."""
    before = _spent(work)
    start = time.monotonic()
    try:
        arrays = experiment.computed(spec, work)
    finally:
        spent = before + time.monotonic() - start
        if work.folder.is_dir():
            files.write_atomic(work.folder / "seconds", repr(spent).encode())
        work.close()
    return arrays, {"device": work.device or records.cpu(), "seconds": round(spent, 3)}


def _spent(work: Work) -> float:
    try:
        spent = float(files.read_plain(work.folder / "seconds"))
    except (OSError, ValueError):
        return 0.0
    return spent if 0 <= spent < math.inf else 0.0


def _same(experiment: Experiment, spec: Spec) -> Record | None:
    """A record, pinned or not, of exactly this spec and version; those of other data count as stale."""
    for record in _all(experiment.name):
        known = experiment.spec.completed(record.spec)
        if known == spec.as_dict() and record.meta["version"] == experiment.version:
            return checked(record, experiment)
    return None


def _all(name: str) -> Iterator[Record]:
    """Pinned records first; those that cannot be read are passed over."""
    for entry in index():
        if entry.experiment == name and entry.readable():
            yield entry.read()
    yield from records.in_runs(name)


def _agree(known: Mapping[str, Any], asked: Mapping[str, Any]) -> bool:
    """Whether no name that both hold has different values."""
    return all(known[k] == v for k, v in asked.items() if k in known)
