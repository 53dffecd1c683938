"""What pages show: pinning a record and its twins, and what is refused.

A pinned record must be what it says: of this experiment, under its own key, from code that is committed. It
is pinned together with the names of the twins that speak for it. A twin is replaced only by a record of the
same profile, and records that held under the old one hold under the new one; the others stay stale.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from diffnotes.base import files
from diffnotes.base.errors import UserError
from diffnotes.store import records, staleness
from diffnotes.store.entries import Entry, index, write_index
from diffnotes.store.experiment import Experiment, is_twin
from diffnotes.store.records import Record, results
from diffnotes.store.spec import SpecError


class Refused(UserError):
    """The record cannot be pinned."""


def pin(experiment: Experiment, record: Record, make_twin: Callable[[str], Record]) -> Record:
    """Copy a finished record to results/ and name it in the index, in place of the one of the same slot.

    `make_twin(profile)` computes a twin where a record of today's code has none. Raises Refused for a record
    that is not of this experiment, not under its own key, of settings that no page shows, of a tree with
    uncommitted code, or of code for which no twin speaks.
    """
    _check(experiment, record)
    if is_twin(record.profile):
        return _pin_twin(experiment, record)
    shown = slot(experiment, record)
    twins = _evidence(experiment, record, make_twin)
    for twin in twins:
        if not _is_pinned(twin):
            _check(experiment, twin)
            _pin_twin(experiment, twin)
    return _write(record, shown, {twin.profile: twin.meta["digest"] for twin in twins})


def slot(experiment: Experiment, record: Record) -> dict[str, Any]:
    """The settings under which the book shows this record; an error when it shows no such thing."""
    for shown in experiment.shown:
        given = experiment.profiles[record.profile].settings(shown)
        agrees = all(record.spec.get(name) == value for name, value in given.items())
        if agrees and set(record.changed()) <= set(given):
            return given
    raise Refused(
        f"{record.key} has settings of its own ({record.changed()}), so no page shows it; "
        "pin a record of a profile as it stands, or add the settings to `shown` of its experiment first."
    )


def _evidence(experiment: Experiment, record: Record, make_twin: Callable[[str], Record]) -> list[Record]:
    """The twins that speak for a record.

    Of today's code: the pinned ones that hold, and new ones for the rest. Of other code: those that it made,
    all of which must hold today.
    """
    if record.meta["code"] == staleness.code_digest(experiment) and staleness.same_packages(record):
        holding = {t.profile: t for t in staleness.pinned_twins(experiment) if _holds(experiment, t)}
        return [holding.get(profile) or make_twin(profile) for profile in experiment.twins]
    twins, missing = staleness.of_the_same_code(record, experiment)
    if missing:
        raise Refused(
            f"{record.key} was made by other code than today's, and no twin {missing[0]} of that code is "
            "here; run the experiment again."
        )
    for twin in twins:
        if not _holds(experiment, twin):
            raise Refused(
                f"The code has changed since {record.key} was made, and its twin {twin.profile} no longer "
                "holds; run the experiment again."
            )
    return twins


def _holds(experiment: Experiment, twin: Record) -> bool:
    """Whether a twin of today's settings is what today's code computes."""
    today = experiment.twins.get(twin.profile)
    same = today is not None and experiment.spec.completed(twin.spec) == today.as_dict()
    return same and staleness.state(twin, experiment).name == "valid"


# -------------------------------------------------------------------------------------------- what is refused


def _check(experiment: Experiment, record: Record) -> None:
    """Raise Refused unless the record is what it says."""
    if record.experiment != experiment.name or record.meta["version"] != experiment.version:
        whose = f"{record.experiment}, version {record.meta['version']}"
        raise Refused(f"{record.key} is of {whose}, not of {experiment.name}, version {experiment.version}.")
    spec = _spec(experiment, record)
    if (name := records.key(experiment, spec, record.stands_on)) != record.key:
        raise Refused(f"{record.key} is not the key of what its record.json says ({name}); run it again.")
    record.check_bytes()
    _check_commit(experiment, record)


def _spec(experiment: Experiment, record: Record) -> Any:
    """The settings; an error unless they are the profile with the changes that the record names."""
    try:
        spec = experiment.spec.restored(record.spec)
        stated = experiment.profiles[record.profile].replace(**record.changed())
    except (KeyError, SpecError) as error:
        raise Refused(f"{record.key} has settings that {experiment.name} does not take ({error}).") from error
    if stated != spec:
        raise Refused(f"{record.key} is not the profile {record.profile} as it stands; run it again.")
    if is_twin(record.profile) and record.changed():
        whose = f"it is no twin of {experiment.name}"
        raise Refused(f"{record.key} has settings of its own ({record.changed()}), so {whose}.")
    return spec


def _check_commit(experiment: Experiment, record: Record) -> None:
    """Raise Refused for code that nobody can look up."""
    if record.meta["dirty"]:
        raise Refused(
            f"{record.key} was made with uncommitted changes in diffnotes/, so nobody can look its code up; "
            "commit, and run it again."
        )
    if record.meta["dirty"] is None:  # made outside a checkout, as on a rented machine
        here = records.commit()
        known = record.meta["code"] == staleness.code_digest(experiment) and here["dirty"] is False
        if not known and (why := records.why_no_commit()):
            raise Refused(f"git does not say which commit this is ({why}); mend that, and pin it again.")
        if not known:
            raise Refused(
                f"{record.key} was made outside a git checkout by code that is not what is committed here; "
                "check out the commit that made it, and pin it there."
            )


# ---------------------------------------------------------------------------------------------------- writing


def _is_pinned(twin: Record) -> bool:
    found = (e for e in index() if (e.experiment, e.profile) == (twin.experiment, twin.profile))
    return any(_question_and_answer(e.read()) == _question_and_answer(twin) for e in found if e.readable())


def _question_and_answer(record: Record) -> tuple[Any, ...]:
    return record.key, record.spec, record.meta["digest"]


def _pin_twin(experiment: Experiment, twin: Record) -> Record:
    """Pin a twin; records that hold now go on with it, the others are left with the one that is gone."""
    if (found := staleness.state(twin, experiment)).name != "valid":
        raise Refused(f"{twin.key} is no longer what the code computes ({found.reason}); run it again.")
    pinned = [e for e in index() if e.experiment == experiment.name and not is_twin(e.profile)]
    holding = [e for e in pinned if e.readable() and _still_holds(experiment, e)]
    written = _write(twin, {}, {})
    write_index([_with_twin(e, twin) if e in holding else e for e in index()])
    return written


def _still_holds(experiment: Experiment, entry: Entry) -> bool:
    """By the twins that the index names for it; one that is being pinned may be new."""
    return staleness.state(entry.read(), experiment, by_all=False).name == "valid"


def _with_twin(entry: Entry, twin: Record) -> Entry:
    return replace(entry, twins={**entry.twins, twin.profile: twin.meta["digest"]})


def _write(record: Record, shown: dict[str, Any], twins: dict[str, str]) -> Record:
    target = records.own(results() / record.experiment / record.key)
    records.put(target, record.meta, record.check_bytes())
    digest = files.sha256_file(target / "record.json")
    entry = Entry(record.experiment, record.profile, shown, record.key, digest, twins)
    same = [
        e
        for e in index()
        if (e.experiment, e.profile, e.shown) == (entry.experiment, entry.profile, entry.shown)
    ]
    kept = [e for e in index() if e not in same]
    write_index([*kept, entry])
    for gone in {e.folder for e in same} - {e.folder for e in [*kept, entry]}:
        shutil.rmtree(gone, ignore_errors=True)
    return Record(target, record.meta, pinned=True)
