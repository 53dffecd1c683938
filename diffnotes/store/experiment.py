"""What an experiment is: a name, a version, profiles, and one pure function from settings to arrays."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np

from diffnotes.base import files
from diffnotes.base.errors import UserError
from diffnotes.store import code
from diffnotes.store.spec import Spec

Arrays = dict[str, np.ndarray]
CHEAP_SECONDS = 120  # what a page may compute on the spot


class Unfinished(UserError):
    """The time budget ran out; what was done is saved and the same command continues."""

    exit_code = 3


def _no_data(spec: Any) -> dict[str, str]:
    return {}


@dataclass(frozen=True)
class Tolerance:
    """How far an entry of a recomputed twin may lie from the pinned one: absolute + relative |pinned entry|.

    `why` says what makes them differ at all. The absolute part is in the unit of the array. An infinite
    relative part, for what a clock gives, leaves kind and shape, and that finite numbers stay finite. An
    infinite absolute part, for what not every machine can tell, leaves kind and shape alone.
    """

    relative: float = 1e-6
    absolute: float = 0.0
    why: str = "float64, another order of additions"


@dataclass(frozen=True)
class Experiment:
    """One experiment of the book.

    `compute(spec, work)` is a function of `spec`, of the data it names and of the records it stands on, and
    of nothing else. `data(spec)` gives the fingerprints of those data, `inputs(spec)` the digests of what is
    taken from those records. `version` is raised by hand when the meaning of a result changes. `seconds` is
    the rough cost of each profile, on two CPU cores unless `machine` says otherwise. `shown` lists the
    settings that the book shows; each is pinned on its own. `precision` is that of the arithmetic where no
    setting of this name says it.
    `tolerances` says, by name or pattern of an array (`*_loss`, the first that fits), how far a recomputed
    twin may differ; `tolerance` holds for all other arrays.
    """

    name: str
    version: int
    spec: type[Spec]
    profiles: Mapping[str, Spec]
    compute: Callable[[Any, Work], Arrays]
    seconds: Mapping[str, float]
    data: Callable[[Any], dict[str, str]] = _no_data
    inputs: Callable[[Any], dict[str, str]] = _no_data
    shown: tuple[Mapping[str, Any], ...] = ({},)
    machine: Mapping[str, str] = field(default_factory=dict)
    precision: str = "float32"
    tolerance: Tolerance = Tolerance()
    tolerances: Mapping[str, Tolerance] = field(default_factory=dict)

    def __post_init__(self) -> None:
        code.see(self.module)

    def computed(self, spec: Spec, work: Work) -> Arrays:
        """`compute(spec, work)`; UserError where that is not what a record can hold."""
        found = self.compute(spec, work)
        named = found if isinstance(found, dict) else {"what it returns": found}
        odd = {name for name, value in named.items() if not _is_array(value) or not isinstance(name, str)}
        if odd:
            raise UserError(
                f"compute of {self.name} must return a dictionary of arrays, by their names; "
                f"{', '.join(map(str, odd))} is none."
            )
        return found

    @property
    def module(self) -> str:
        """The module that defines `compute`: where the digest of the code starts."""
        return self.compute.__module__

    @property
    def twin(self) -> Spec:
        """The first of `twins`, which every experiment has."""
        return self.profiles["smoke"]

    @property
    def twins(self) -> dict[str, Spec]:
        """The seconds-long specs that stand for the heavy ones: "smoke", and all named "smoke_..."."""
        return {name: spec for name, spec in self.profiles.items() if is_twin(name)}

    def tolerance_of(self, array: str, twin: str = "smoke") -> Tolerance:
        """How far this array of a recomputed twin may differ; `smoke_x/*` are patterns for one twin alone."""
        for pattern, tolerance in self.tolerances.items():
            if fnmatchcase(f"{twin}/{array}" if "/" in pattern else array, pattern):
                return tolerance
        return self.tolerance

    def cheap(self, profile: str) -> bool:
        """Whether a page may compute this profile on the spot."""
        return self.seconds[profile] <= CHEAP_SECONDS

    def cost(self, profile: str) -> str:
        """For people: 'about 4 min on two CPU cores'."""
        seconds = self.seconds[profile]
        amount = (
            f"{seconds:.0f} s"
            if seconds < 100
            else f"{seconds / 60:.0f} min"
            if seconds < 5400
            else f"{seconds / 3600:.1f} h"
        )
        return f"about {amount} on {self.machine.get(profile, 'two CPU cores')}"

    def command(self, profile: str, settings: Mapping[str, Any]) -> str:
        """The exact command that makes a record."""
        default = self.profiles[profile].as_dict()
        changed = {k: v for k, v in settings.items() if default[k] != v}
        sets = [f"{k}={tuple(v) if isinstance(v, list) else v}".replace(" ", "") for k, v in changed.items()]
        return " ".join(
            [f"python -m diffnotes run {self.name} --profile {profile}", *(["--set", *sets] if sets else [])]
        )


def _is_array(value: object) -> bool:
    return isinstance(value, np.ndarray | np.generic) and not value.dtype.hasobject


def is_twin(profile: str) -> bool:
    """Whether a profile is a twin of the heavy ones."""
    return profile == "smoke" or profile.startswith("smoke_")


class Work:
    """Where a computation keeps its partial results, how it reports progress, and when it must stop.

    Save first, then call `step`: when the budget is over, `step` raises Unfinished and nothing since the last
    save is lost but time.
    """

    def __init__(self, folder: Path, max_seconds: float | None = None, title: str = "") -> None:
        self.folder = folder
        self.title = title
        self.device = ""  # what computed it, when that is not the CPU
        self._deadline = None if max_seconds is None else time.monotonic() + max_seconds
        self._bar = _Bar(title)
        self._waits = False

    def step(self, done: float, total: float, text: str = "") -> None:
        """Report `done` of `total`; raise Unfinished when the time budget is over and work is left."""
        self._bar.show(done / total, text)
        if self._deadline is not None and time.monotonic() > self._deadline and done < total:
            self._bar.close()
            raise Unfinished(
                f"{self.title}: {done / total:.0%} is done and saved; the same command continues."
            )

    def waits(self) -> None:
        """Say once that another process computes the same; raise Unfinished when the time budget is over."""
        over = self._deadline is not None and time.monotonic() > self._deadline
        if over or (os.environ.get("WORLD_SIZE") or "1") != "1":  # the other processes would not wait
            raise Unfinished(
                f"{self.title}: another process computes it; the same command continues when it is done."
            )
        if not self._waits:
            self._bar.say(f"{self.title}: another process computes it; waiting for that.")
        self._waits = True

    def part(self, place: int, count: int, name: str) -> Callable[[float, float, str], None]:
        """`step` for part number `place` of `count` equal ones, whose own progress is what it is told."""
        return lambda done, total, text: self.step(place + done / total, count, f"{name}: {text}")

    def save(self, name: str, arrays: Mapping[str, np.ndarray]) -> None:
        """Keep a partial result, atomically, sealed under its name."""
        files.write_atomic(self._path(name), files.sealed(files.npz_bytes(arrays), name))

    def load(self, name: str) -> Arrays | None:
        """A partial result saved before, or None; one that is not what was saved under this name counts as
        none."""
        try:
            content = files.unsealed(files.read_plain(self._path(name)), name)
            return None if content is None else files.npz_arrays(content)
        except (OSError, UserError):
            return None

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.npz"

    def close(self) -> None:
        """Take the progress bar away."""
        self._bar.close()


class Follower(Work):
    """The work of a process that helps another one: it reads what that one saved, and writes nothing."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._kept: dict[str, Arrays] = {}
        self._bar.silence()

    def save(self, name: str, arrays: Mapping[str, np.ndarray]) -> None:
        """Keep a partial result in memory."""
        self._kept[name] = dict(arrays)

    def load(self, name: str) -> Arrays | None:
        """What is kept here, or was saved there."""
        found = self._kept.get(name) or super().load(name)
        if found is not None:
            self._kept[name] = found
        return found


class _Bar:
    """One line of progress: on a terminal, or in a live notebook; silent in logs."""

    def __init__(self, title: str) -> None:
        self._title, self._start = title, time.monotonic()
        self._handle: Any = None
        self._terminal = sys.stderr is not None and sys.stderr.isatty()
        self._width = 0  # of what stands on the terminal
        self._notebook = "ipykernel" in sys.modules

    def silence(self) -> None:
        """Show nothing from now on."""
        self._terminal = self._notebook = False

    def show(self, share: float, text: str) -> None:
        seconds = time.monotonic() - self._start
        left = f", {seconds / share - seconds:.0f} s left" if 0 < share < 1 and seconds > 1 else ""
        line = f"{self._title} {share:4.0%} [{'#' * round(20 * share):20s}] {text}{left}"
        if self._terminal:
            self._print(line)
        elif self._notebook:
            self._display(line)

    def _print(self, line: str) -> None:
        """Over the line before, with blanks alone: not every terminal knows codes that erase."""
        with contextlib.suppress(OSError):  # a terminal that was closed while the run goes on
            print(f"\r{line:{self._width}}", end="", file=sys.stderr, flush=True)
        self._width = len(line)

    def say(self, text: str) -> None:
        """A line that logs show, too; in a notebook it goes with the bar."""
        if self._notebook:
            self._display(text)
        else:
            print(text, file=sys.stderr, flush=True)

    def _display(self, line: str) -> None:
        from IPython.display import HTML, display

        content = HTML(f"<code>{line}</code>" if line else "")
        if self._handle is None:
            self._handle = display(content, display_id=True)
        else:
            self._handle.update(content)

    def close(self) -> None:
        if self._terminal:
            self._print("")
            self._print("")
        elif self._handle is not None:
            self._display("")
