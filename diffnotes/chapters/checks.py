"""What a claim is, how a verdict is reached from a record, and all claims of the rooms. No torch."""

from __future__ import annotations

import importlib
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from diffnotes import chapters, store
from diffnotes.base.errors import UserError

REPRODUCED, PARTLY, FAILED = "reproduced", "partly", "not reproduced"
PAPER_ONLY, PENDING = "only on paper", "pending"
VERDICTS = (REPRODUCED, PARTLY, FAILED, PAPER_ONLY, PENDING)


@dataclass(frozen=True)
class Finding:
    """What a check found: our value and its uncertainty as text, and the verdict."""

    our_value: str
    interval: str
    verdict: str


Check = Callable[[store.Record], Finding]


@dataclass(frozen=True)
class Claim:
    """A statement of a paper in our words, with the rule by which it is judged.

    `rule` is the tolerance with its reason, and `core` names the part of it that decides: without that part
    nothing is reproduced, whatever else holds. `scale` says on what it was tried; `small` that the paper's
    own scale is more than four times larger. `fixed` says whether the rule was written down "before" its
    result was seen, or, in whole or in part, "after" a first look. The check of the same `id` takes the
    pinned record of `experiment` under `settings`. A claim without a check carries its verdict (pending, or
    only on paper), and `rule` says why.
    """

    id: str
    paper: str
    statement: str
    paper_value: str
    rule: str
    core: str = ""
    scale: str = ""
    small: bool = False
    page: str = ""
    figure: str = ""
    experiment: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    verdict: str = ""
    fixed: str = "before"
    room: str = ""  # what the room says of itself; filled in by `claims`


@dataclass(frozen=True)
class Checked:
    """A claim with its finding, the key of the record behind it, and that record's state."""

    claim: Claim
    finding: Finding
    record: str = ""
    state: str = ""  # valid | stale | tampered | missing; empty for a claim without a check

    @property
    def verdict(self) -> str:
        """One of VERDICTS."""
        return self.finding.verdict

    @property
    def holds(self) -> bool:
        """Whether a record that it needs is as it should be."""
        return self.state in ("", "valid")

    def as_dict(self) -> dict[str, str]:
        """Plain text fields, for `claims --json` and for tables. The statement says where it was tried."""
        names = ("id", "paper", "paper_value", "rule", "core", "scale", "fixed", "room", "page", "figure")
        given = {name: getattr(self.claim, name) for name in names}
        given["statement"] = self.claim.statement + (f" ({self.claim.scale})" if self.claim.scale else "")
        given["small"] = "in our small case" if self.claim.small else ""
        return {**given, **vars(self.finding), "record": self.record, "state": self.state}


Look = Callable[[store.Record], store.Record]
"""Fills in the state of a record."""


class Nothing(UserError):
    """There is nothing to judge."""


class Unfit(UserError):
    """A record that a claim needs is missing, or does not hold."""

    def __init__(self, text: str, state: str) -> None:
        super().__init__(text)
        self.state = state


def judge(claim: Claim, check: Check | None, look: Look) -> Checked:
    """The finding of one claim. Without a valid record it is pending and says why, and so it is when the
    check fails or reads nothing off. SpecError for a claim with settings that its experiment does not have.
    """
    if check is None:
        return Checked(claim, Finding("–", "", claim.verdict))
    try:
        record = held(claim.experiment, claim.settings, look)
    except Unfit as error:
        return Checked(claim, Finding(str(error), "", PENDING), state=error.state)
    try:
        return Checked(claim, _known(check(record)), record.key, record.state)
    except Unfit as error:
        return Checked(claim, Finding(str(error), "", PENDING), record.key, error.state)
    except store.SpecError:
        raise
    except UserError as error:
        return Checked(claim, Finding(str(error), "", PENDING), record.key, record.state)
    except Exception as error:  # a check that breaks has found nothing out
        why = f"could not be read off the record ({type(error).__name__}: {error})"
        return Checked(claim, Finding(why, "", PENDING), record.key, record.state)


def held(
    experiment: str, settings: Mapping[str, Any], look: Look, profile: str | None = None
) -> store.Record:
    """The pinned record, with a way to the records beside it; Unfit unless it is there and valid."""
    try:
        found = store.best(experiment, settings, profile or store.shared_profile(experiment))
    except (store.Lost, store.Tampered) as error:
        raise Unfit(str(error), "missing" if isinstance(error, store.Lost) else "tampered") from error
    if found is None:
        raise Unfit(_none(experiment, settings, profile) if profile else "no record yet", "missing")
    _only_one(found, settings)
    record = look(found)
    if record.state != "valid":
        raise Unfit(f"its record is {record.state}: {record.reason}", record.state)

    def beside(other: str, settings: Mapping[str, Any]) -> store.Record:
        return held(other, settings, look, record.profile)

    return replace(record, beside=beside)


def _only_one(found: store.Record, settings: Mapping[str, Any]) -> None:
    """SpecError where the settings of a claim fit other pinned records as well."""
    mine = (found.experiment, found.profile)
    shown = [entry.shown for entry in store.index() if (entry.experiment, entry.profile) == mine]
    fitting = [one for one in shown if all(one.get(name, value) == value for name, value in settings.items())]
    if len(fitting) > 1:
        names = ", ".join(fitting[0])
        raise store.SpecError(f"{len(fitting)} records of {mine[0]} fit {dict(settings)}; say {names}.")


def companion(record: store.Record, experiment: str, settings: Mapping[str, Any]) -> store.Record:
    """The record that this one is compared with: always of the same profile. Unfit when it is not there, or,
    while a claim is judged, not valid.
    """
    if record.beside is not None:
        return record.beside(experiment, settings)
    found = store.best(experiment, settings, record.profile)
    if found is None:
        raise Unfit(_none(experiment, settings, record.profile), "missing")
    return found


def _none(experiment: str, settings: Mapping[str, Any], profile: str) -> str:
    which = ", ".join(f"{name} {value}" for name, value in settings.items())
    return f"no {profile} record of {experiment} ({which}) yet, which it needs beside its own"


def _known(found: Finding) -> Finding:
    """The finding; pending where a number in it could not be read off."""
    if re.search(r"\bnan\b", f"{found.our_value} {found.interval}"):
        return Finding(f"could not be read off: {found.our_value}", found.interval, PENDING)
    return found


def verdict(*core: bool, also: Iterable[bool] = ()) -> str:
    """Reproduced when every part holds; partly when some of the `core` holds, that is of what the claim says;
    else not reproduced. What would hold for almost any data belongs to `also`: it can only take away.
    """
    if not core:
        raise Nothing("There is nothing to judge.")
    if all(core) and all(also):
        return REPRODUCED
    return PARTLY if any(core) else FAILED


def every(parts: Any) -> bool:
    """Whether all entries of an array hold, of which there must be some."""
    found = np.asarray(parts, bool)
    if not found.size:
        raise Nothing("There is nothing to judge.")
    return bool(found.all())


def most(parts: Any) -> bool:
    """Whether more than half of the entries of an array hold: `verdict(every(parts), most(parts))` calls a
    claim over several cases partly reproduced when it holds in most of them, and not for a lucky one.
    """
    found = np.asarray(parts, bool)
    if not found.size:
        raise Nothing("There is nothing to judge.")
    return bool(found.mean() > 0.5)


# ------------------------------------------------------------------------------------ the claims of all rooms


def checks() -> dict[str, Check]:
    """The check of every claim that has one, by the claim's id."""
    names = [f"{room.__name__}.claims" for room in chapters.rooms()]
    found = [importlib.import_module(name).CHECKS for name in names if find_spec(name)]
    return {name: check for one in found for name, check in one.items()}


def claims() -> list[Claim]:
    """All claims, room by room in the order of their claims.toml.

    Raises UserError for a file that cannot be read, an unknown or missing field, an id that stands twice, and
    for a claim that has no check and no verdict that needs none, or both.
    """
    found = [claim for room in chapters.rooms() for claim in _written(room)]
    known = set(checks())
    for place, claim in enumerate(found):
        if fault := _fault(claim, {other.id for other in found[:place]}, known):
            raise UserError(f"The claim {claim.id!r} in claims.toml {fault}.")
    return found


def _written(room: ModuleType) -> list[Claim]:
    """The claims of one room, which may have none."""
    path = Path(str(room.__file__)).with_name("claims.toml")
    if not path.exists():
        return []
    title = str(room.__doc__).partition("\n")[0].rstrip(".")
    try:
        written = tomllib.loads(path.read_text(encoding="utf-8"))["claim"]
        return [Claim(**entry, room=title) for entry in written]
    except (tomllib.TOMLDecodeError, KeyError, TypeError) as error:
        raise UserError(
            f"{path.parent.name}/claims.toml cannot be read ({error}); mend that line."
        ) from error


def _fault(claim: Claim, before: set[str], known: set[str]) -> str:
    """What is wrong with a claim, given the ids before it and those that have a check."""
    if claim.id in before:
        return "stands there twice; give each an id of its own"
    if claim.fixed not in ("before", "after"):
        return f"has fixed = {claim.fixed!r}; it is before or after"
    if claim.id in known:
        return "has a check, so it needs no verdict; leave that out" if claim.verdict else ""
    open_ones = (PENDING, PAPER_ONLY)
    return "" if claim.verdict in open_ones else f"has no check, so its verdict is {' or '.join(open_ones)}"


def check_all(look: Look, page: str = "") -> list[Checked]:
    """Every claim with its verdict; with a `page` those of that page, and those of no page.

    `look` fills in the state of a record (`chapters.status.checked`): no verdict stands on a record that does
    not hold.
    """
    seen: dict[str, store.Record] = {}

    def once(record: store.Record) -> store.Record:
        if record.key not in seen:
            seen[record.key] = look(record)
        return seen[record.key]

    asked = [claim for claim in claims() if not page or claim.page in ("", page)]
    known = checks()
    return [judge(claim, known.get(claim.id), once) for claim in asked]
