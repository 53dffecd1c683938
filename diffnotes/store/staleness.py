"""Is a record still what the code computes?

A record keeps a digest of the code that made it (`code.digest`), the versions of the packages, and digests
of the data and of the records that it stands on. While all stand, it is valid. When data or records differ,
it is stale. When code or packages differ, its twins decide: the experiment's seconds-long profiles, pinned
beside it, are recomputed and compared entry by entry. Equal within the experiment's tolerances means that the
change did not matter. Each pinned record names the twins that speak for it, so a twin that was pinned later,
by other code, cannot.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from diffnotes.base import files
from diffnotes.base.errors import UserError
from diffnotes.store import code, memory, records
from diffnotes.store.entries import index
from diffnotes.store.experiment import Arrays, Experiment, Tolerance, is_twin
from diffnotes.store.records import Record, Tampered
from diffnotes.store.twin import recompute

SCRATCH, DAY = "diffnotes-twin-", 86_400.0


@dataclass(frozen=True)
class State:
    """valid | stale | tampered | missing, and why."""

    name: str
    reason: str


def state(record: Record, experiment: Experiment, *, by_all: bool = True) -> State:
    """The state of a record under the code that this process runs; one that cannot be told is stale.

    All twins of the experiment must speak for it; with `by_all` False only those that the index names for it.
    """
    try:
        record.check_bytes()
        _ = record.arrays  # they can be read, and are what record.json says
        drift = _drift(record, experiment)
        return State("stale", drift) if drift else _by_code(record, experiment, by_all)
    except Tampered as error:
        return State("tampered", str(error))
    except Exception as error:  # whatever it is, it must not hide the state of the others
        return State("stale", f"cannot be checked ({_said(error)})")


def checked(record: Record, experiment: Experiment) -> Record:
    """The record with its state filled in."""
    found = state(record, experiment)
    return replace(record, state=found.name, reason=found.reason)


def verify(experiment: Experiment) -> State:
    """Recompute all twins whatever is remembered, and remember what they say now."""
    there = {twin.profile: twin for twin in pinned_twins(experiment)}
    for name, spec in experiment.twins.items():
        if name not in there:
            return State("missing", f"no twin {name} is pinned; {_pinning(experiment, name)}")
        if experiment.spec.completed(there[name].spec) != spec.as_dict():
            return State("stale", f"the twin {name} has changed; {_pinning(experiment, name)}")
    return _worst(_recomputed(experiment, twin) for twin in there.values())


def ship(experiments: Iterable[Experiment]) -> None:
    """Let fresh clones know what `verify` found of the pinned twins of these experiments."""
    memory.ship(_line(experiment, twin) for experiment in experiments for twin in pinned_twins(experiment))


def code_digest(experiment: Experiment) -> str:
    """The digest of the code that computes an experiment."""
    return code.digest(experiment.module)


def partial_name(experiment: Experiment) -> str:
    """The folder of partial results: of one code and one set of packages; no other continues them."""
    made_by = f"{code_digest(experiment)} {sorted(records.packages().items())}"
    return f"partial-{files.sha256_bytes(made_by.encode())[: code.DIGITS]}"


def pinned_twins(experiment: Experiment) -> list[Record]:
    """The pinned twins that can be read."""
    entries = [e for e in index() if e.experiment == experiment.name and is_twin(e.profile)]
    return [entry.read() for entry in entries if entry.readable()]


def speakers(record: Record, experiment: Experiment) -> tuple[list[Record], list[str]]:
    """The twins that can speak for a record, and the profiles of those that should and are not there.

    A twin speaks for itself; for a pinned record those that the index names; for any other those, pinned or
    not, that the same code made.
    """
    if is_twin(record.profile):
        return [record], []
    entries = [e for e in index() if (e.experiment, e.key) == (record.experiment, record.key)]
    if record.pinned and entries:
        wanted = entries[0].twins
        found = [t for t in pinned_twins(experiment) if wanted.get(t.profile) == t.meta["digest"]]
        return found, sorted((wanted.keys() or {"smoke"}) - {twin.profile for twin in found})
    return of_the_same_code(record, experiment)


def of_the_same_code(record: Record, experiment: Experiment) -> tuple[list[Record], list[str]]:
    """The twins here, pinned or not, that the code of a record made with the same packages, and the profiles
    of those missing."""
    origin = (record.meta["code"], record.meta["packages"])
    twins = _all_twins(experiment)
    made = {t.profile: t for t in twins if (t.meta["code"], t.meta["packages"]) == origin}
    return list(made.values()), sorted(experiment.twins.keys() - made.keys())


def _all_twins(experiment: Experiment) -> list[Record]:
    """In runs/ and pinned, the pinned ones last."""
    made = records.in_runs(experiment.name)
    return [*(record for record in made if is_twin(record.profile)), *pinned_twins(experiment)]


# ------------------------------------------------------------------------------------------ what has changed


def _drift(record: Record, experiment: Experiment) -> str:
    """What differs today of the question that the record answers: version, settings, data, other records."""
    if record.meta["version"] != experiment.version:
        version = record.meta["version"]
        return f"version {version} of {experiment.name}; the code is at {experiment.version}"
    if settings := _other_settings(record, experiment):
        return f"profile {record.profile} has changed since: {settings}"
    name = records.key(experiment, experiment.spec.restored(record.spec), record.stands_on)
    if name != record.key:
        raise Tampered(f"{record.key} is not the key of what its record.json says ({name}); run it again.")
    try:
        here = stands_on(experiment, record)
    except UserError as error:
        return f"a record that it stands on does not hold: {error}"
    differ = [name for name, now in here.items() if record.stands_on.get(name) != now]
    return f"{', '.join(differ)}: other data than those it was computed from" if differ else ""


def _other_settings(record: Record, experiment: Experiment) -> str:
    """Which settings of the record's profile differ today from when the record was made."""
    profile = experiment.profiles.get(record.profile)
    now = {**(profile.as_dict() if profile else {}), **record.changed()}
    then = experiment.spec.completed(record.spec)
    names = [name for name in sorted(now.keys() | then.keys()) if now.get(name) != then.get(name)]
    return ", ".join(f"{name} was {then.get(name)} and is {now.get(name)}" for name in names)


def stands_on(experiment: Experiment, record: Record) -> dict[str, str]:
    """Fingerprints of the data and digests of the records as they are here.

    Data that are not on disk are left out: the book is read without them. Records come with it.
    """
    spec = experiment.spec.restored(record.spec)
    try:
        data = experiment.data(spec)
    except UserError:
        data = {}
    return {**data, **experiment.inputs(spec)}


# --------------------------------------------------------------------------------------------- code and twins


def _by_code(record: Record, experiment: Experiment, by_all: bool) -> State:
    """By digests where nothing has changed, else by twins."""
    if names := code.edited(experiment.module):
        return State("stale", f"{names[0]} has changed since this process began; start it again")
    twins, missing = speakers(record, experiment)
    said = [_remembered(experiment, twin) for twin in twins]
    if worse := [one for one in said if one is not None and one.name != "valid"]:
        return worse[0]  # `verify` may know better than any digest
    same = record.meta["code"] == code_digest(experiment)
    if same and same_packages(record):
        return State("valid", "the code is the one that made it")
    if by_all and not is_twin(record.profile):
        missing = missing or sorted(experiment.twins.keys() - {twin.profile for twin in twins})
    if missing:
        return State("stale", f"{_changed(same)}, and no twin {missing[0]} speaks for it; run it again")
    known = (one or _own(experiment, twin) for one, twin in zip(said, twins, strict=True))
    found = _worst(one or _recomputed(experiment, twin) for one, twin in zip(known, twins, strict=True))
    return State(found.name, f"{_changed(same)}; {found.reason}")


def _own(experiment: Experiment, twin: Record) -> State | None:
    """A twin of the very code and packages of today needs no second computation."""
    if twin.meta["code"] == code_digest(experiment) and same_packages(twin):
        return State("valid", "its twin is of today's code")
    return None


def _changed(same: bool) -> str:
    return "the packages have changed" if same else "the code has changed"


def _pinning(experiment: Experiment, twin: str) -> str:
    return f"`python -m diffnotes run {experiment.name} --profile {twin} --pin` pins it"


def same_packages(record: Record) -> bool:
    """Whether the versions of the record's packages are those here; a local part such as +cpu is ignored."""
    here = records.packages()
    then = record.meta["packages"]
    return all(here.get(k, v).split("+")[0] == v.split("+")[0] for k, v in then.items())


def _worst(found: Iterable[State]) -> State:
    """The first that is not valid, and the last where all are; what comes after the first is not asked."""
    for one in found:
        if one.name != "valid":
            return one
    return one


def _line(experiment: Experiment, twin: Record) -> str:
    here = stands_on(experiment, twin)
    return memory.line(code_digest(experiment), f"{experiment.name} {twin.meta['digest']}", here)


def _remembered(experiment: Experiment, twin: Record) -> State | None:
    """What recomputing the twin said before; a twin that is damaged has said nothing."""
    try:
        twin.check_bytes()
        said = memory.recall(_line(experiment, twin))
    except UserError:  # or its settings are no longer known
        return None
    return State(*said) if said else None


def _recomputed(experiment: Experiment, twin: Record) -> State:
    """Recompute the twin, compare, and remember. One that cannot be recomputed is stale, for now."""
    if names := code.edited(experiment.module):
        return State("stale", f"{names[0]} has changed since this process began; start it again")
    try:
        expected = twin.arrays
        with _scratch() as folder:
            found = recompute(experiment, experiment.spec.restored(twin.spec), folder)
        difference = compare(expected, found, experiment, twin.profile)
        line = _line(experiment, twin)
    except Tampered as error:
        return State("stale", f"the twin {twin.profile} is damaged: {error}")
    except Exception as error:  # whatever it is, it must not hide the state of the others
        return State("stale", f"the twin {twin.profile} cannot be recomputed ({_said(error)})")
    differs = State("stale", f"the recomputed twin differs: {difference}")
    said = differs if difference else State("valid", memory.EQUAL)
    if not code.edited(experiment.module):
        memory.keep(line, (said.name, said.reason))
    return said


@contextlib.contextmanager
def _scratch() -> Iterator[Path]:
    """A temporary folder; those that killed processes left behind are removed once they are a day old."""
    with tempfile.TemporaryDirectory(prefix=SCRATCH) as folder:
        for left in Path(folder).parent.glob(f"{SCRATCH}*"):
            with contextlib.suppress(OSError):
                found = left.lstat()
                if time.time() - found.st_mtime > DAY and found.st_uid == Path(folder).stat().st_uid:
                    shutil.rmtree(left)
        yield Path(folder)


def _said(error: Exception) -> str:
    """The kind of an error, and the first line of what it says."""
    return f"{type(error).__name__}: {(str(error).strip().splitlines() or ['no message'])[0][:300]}"


# ------------------------------------------------------------------------------------------------- comparison


def compare(expected: Arrays, found: Arrays, experiment: Experiment, twin: str = "smoke") -> str:
    """Empty when equal: the same names, kinds and shapes, and every entry within the experiment's tolerance
    for its array; else what differs.
    """
    if expected.keys() != found.keys():
        return f"arrays {sorted(expected.keys() ^ found.keys())} are in one and not in the other"
    for name, a in expected.items():
        b = found[name]
        if a.shape != b.shape or a.dtype.kind != b.dtype.kind:
            return f"{name} was {a.dtype}{list(a.shape)} and is {b.dtype}{list(b.shape)}"
        if difference := _difference(a, b, experiment.tolerance_of(name, twin)):
            return f"{name} {difference}"
    return ""


def _difference(a: np.ndarray, b: np.ndarray, tolerance: Tolerance) -> str:
    """What differs beyond the tolerance, entry by entry; NaN and infinity equal only themselves."""
    if a.dtype.kind not in "fiu":
        free = tolerance.relative == np.inf
        return "" if free or np.array_equal(a, b) else "holds other words"
    if tolerance.absolute == np.inf:  # not every machine can tell it
        return ""
    was, now = (x.reshape(-1).astype(np.float64) for x in (a, b))
    finite = np.isfinite(was) & np.isfinite(now)
    odd = ~finite & ~((was == now) | (np.isnan(was) & np.isnan(now)))
    if odd.any():
        return f"was {was[odd][0]:.3g} and is {now[odd][0]:.3g} in {odd.sum()} of {odd.size} entries"
    if not finite.any() or tolerance.relative == np.inf:
        return ""
    was, now = was[finite], now[finite]
    allowed = tolerance.absolute + tolerance.relative * np.abs(was)
    wrong = np.abs(now - was) > allowed
    if not wrong.any():
        return ""
    worst = np.argmax(np.abs(now - was) - allowed)
    return (
        f"was {was[worst]:.6g} and is {now[worst]:.6g} (tolerance {allowed[worst]:.1g}), "
        f"beyond it in {wrong.sum()} of {a.size} entries"
    )


__all__ = [
    "State", "checked", "code_digest", "compare", "of_the_same_code", "pinned_twins", "ship", "speakers",
    "state", "verify",
]  # fmt: skip
