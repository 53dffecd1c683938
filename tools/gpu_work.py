"""A session on a GPU: the checks, then the records in order of value, until the time is over.

Everything that is worth keeping is in one folder at every moment, in files that are whole: a report, the
finished records, and what is unfinished as far as it fits.
"""

from __future__ import annotations

import json
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import gpu_checks
import gpu_pack
import torch

from diffnotes import chapters, store
from diffnotes.base import files, runtime
from diffnotes.base.errors import UserError
from diffnotes.store import records

# What the paper-size records are worth, best first. The Gaussian of chapter 2 is not among them: its record
# has the paper's size already, on a CPU. Nor is the speed of the book: it needs all of CIFAR-10, which does
# not fit into what a session takes along.
RECORDS: tuple[tuple[str, dict[str, Any]], ...] = (
    # Whether the distance of samples descends twice on 32 x 32 pixels, as in the paper's figure 1b, whose
    # minimum is near step 2,000 and whose peak is near step 11,000 at this batch. A narrower network than the
    # paper's, so that it can end in a quarter of an hour. No page shows it before it is there: who takes it
    # in adds these settings to `shown` of `cifar`, and pins it.
    ("cifar", {
        "sweep": "n", "n": 512, "sizes": (512, 1024, 2048), "width": 64, "most_steps": 12_000, "first": 250,
        "snapshots": 16,
    }),
    # Chapter 1's gap on whole CIFAR-10 images: the laptop record is of 200 images of 16 x 16 pixels. It comes
    # first because it can end in a quarter of an hour now and then, one seed at a time.
    ("cifar_gap", {}),
    # Chapter 3's question, how the onset of memorization grows with N, at the paper's own network. The laptop
    # record has it for 128 images of 16 x 16 pixels at most, so nothing else that a GPU can do adds as much.
    # By its count of operations it takes hours, and its checkpoints are too large for a small way back: it is
    # for who has a GPU for an afternoon.
    ("cifar", {"sweep": "n"}),
    # The other sweeps of chapter 3: the same claims from other sides. Batch first, which the paper stresses.
    ("cifar", {"sweep": "batch"}),
    ("cifar", {"sweep": "rate"}),
    ("cifar", {"sweep": "width"}),
)
RESERVE, SHARE = 30.0, 0.1  # kept for an orderly end: so many seconds, or this share if that is less
CHECKS = 0.4  # the share of the time after which no further check is begun
PACK_SECONDS = 60.0  # between two packings while a record is computed: what a kill may cost
LIMIT = 15 * gpu_pack.MIB  # of each file that goes back


class TimeUp(BaseException):
    """The time is over, or somebody wants the process to end. Nothing that handles errors may swallow it."""


@dataclass
class Line:
    """A record of the session. state: waiting | running | finished | unfinished | failed."""

    experiment: str
    profile: str
    settings: dict[str, Any]
    key: str = ""
    code: str = ""
    state: str = "waiting"
    seconds: float = 0.0
    text: str = ""
    command: str = ""

    @property
    def title(self) -> str:
        return _title(f"{self.experiment} {self.profile}", self.settings)


@dataclass
class Report:
    """What happened, for people and for `take-in`."""

    profile: str
    machine: dict[str, Any]
    budget: float
    seconds: float = 0.0
    ended: str = "it was killed"  # unless somebody lives to say otherwise
    checks: list[dict[str, Any]] = field(default_factory=list)
    records: list[Line] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    format: int = 1

    def text(self) -> str:
        """The report for people."""
        m = self.machine
        lines = [
            f"{m['device']}, torch {m['packages'].get('torch')}, CUDA {m['cuda']}, Python {m['python']}",
            f"commit {m['commit'] or 'unknown: DIFFNOTES_COMMIT names it where there is no git'}"
            f"{' with uncommitted changes, so nothing of it can be pinned' if m['dirty'] else ''}",
            f"{self.seconds:.0f} of {self.budget:.0f} s; {self.ended}",
            "",
            *(_check_text(check) for check in self.checks),
            "",
            *(f"{r.state:10s} {r.title} [{r.key}, code {r.code}] {r.seconds:.0f} s" for r in self.records),
            *(f"{r.title}: {r.text}" for r in self.records if r.text),
            *self.left_out,
        ]
        return "\n".join(line.rstrip() for line in lines) + "\n"


def _check_text(check: dict[str, Any]) -> str:
    words = [f"{d['what']} {d['value']:.1e} (at most {d['tolerance']:g})" for d in check["deviations"]]
    return (
        f"{check['state']:10s} {check['name']}: {'; '.join(words) or check['text']} {check['seconds']:.0f} s"
    )


def machine(where: torch.device) -> dict[str, Any]:
    """The device and the versions."""
    return {
        "device": runtime.device_name(where) or records.cpu(), "cpu": records.cpu(),
        "python": sys.version.split()[0], "packages": records.packages(), "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(), **records.commit(),
    }  # fmt: skip


def wanted(profile: str, only: list[str] | None = None) -> list[tuple[str, dict[str, Any]]]:
    """(experiment, settings) in order of value; with `only`, those whose experiment, or "experiment
    name=value", is named, in the order in which they are named."""
    table = [(name, {} if store.is_twin(profile) else settings) for name, settings in RECORDS]
    having = {_title(*row): row for row in table if profile in chapters.find(row[0]).profiles}
    chosen = [title for word in only or [""] for title in having if word in ("", title, title.split()[0])]
    if unknown := [word for word in only or [] if not any(word in (t, t.split()[0]) for t in having)]:
        raise UserError(f"There is no record {unknown[0]!r} to make; choose from {', '.join(having)}.")
    if not chosen:
        raise UserError(f"No record has a profile {profile!r}; paper is what a GPU is for.")
    return [having[title] for title in dict.fromkeys(chosen)]


def _title(name: str, settings: dict[str, Any]) -> str:
    """As the command line has it."""
    values = {k: ",".join(map(str, v)) if isinstance(v, tuple) else v for k, v in settings.items()}
    return " ".join([name, *(f"{k}={v}" for k, v in values.items())])


class Session:
    """One use of a machine."""

    def __init__(self, out: Path, profile: str, seconds: float, only: list[str] | None, limit: int) -> None:
        self.start = time.monotonic()
        self.out, self.limit = out, limit
        self.where = runtime.device()
        self.reserve = min(RESERVE, SHARE * seconds)
        self.end = self.start + seconds - self.reserve
        self.report = Report(profile, machine(self.where), seconds)
        self.lock = threading.Lock()
        for name, settings in wanted(profile, only):
            twins = [(twin, {}) for twin in chapters.find(name).twins if twin != profile]
            for line in [Line(name, *row) for row in [*twins, (profile, settings)]]:
                if line.title not in [other.title for other in self.report.records]:
                    self.report.records.append(_described(line))  # now: data that lack are told at once

    @property
    def left(self) -> float:
        """Seconds for work."""
        return self.end - time.monotonic()

    def run(self, checks: dict[str, gpu_checks.Check]) -> int:
        """Everything, until the time is over; the exit code."""
        self.pack()
        try:
            with _alarm(self.left + self.reserve / 2):  # for what does not look at the clock, such as a look
                for name, check in checks.items():
                    self.check(name, check)
                for line in self.report.records:
                    self.record(line)
            self.report.ended = "all that was asked for was tried"
        except TimeUp as error:
            self.report.ended = str(error)
        finally:
            for line in [line for line in self.report.records if line.state == "running"]:
                line.state, line.text = "unfinished", "stopped in the middle; what was saved by then goes on."
            self.pack()
        return self.exit_code()

    def exit_code(self) -> int:
        """4 when a check or a record failed, 3 when something is unfinished, else 0."""
        states = {row["state"] for row in self.report.checks} | {r.state for r in self.report.records}
        return 4 if "failed" in states else 3 if states & {"waiting", "unfinished", "not run"} else 0

    # ------------------------------------------------------------------------------------------- parts

    def check(self, name: str, check: gpu_checks.Check) -> None:
        """Run one check and note what it measured."""
        row: dict[str, Any] = {
            "name": name,
            "state": "not run",
            "text": "no time was left.",
            "deviations": [],
        }
        began = time.monotonic()
        if began - self.start < CHECKS * self.report.budget:
            try:
                found = check(self.where)
                good = all(one.passed for one in found)
                row |= {"state": "passed" if good else "failed", "text": ""}
                row["deviations"] = [asdict(one) for one in found]
            except Exception as error:
                row |= {"state": "failed", "text": _told(error)}
                self._without_compiling(name)
        self.report.checks.append(row | {"seconds": round(time.monotonic() - began, 1)})
        self.pack(small=True)
        print(_check_text(self.report.checks[-1]), flush=True)

    def _without_compiling(self, check: str) -> None:
        """Where networks cannot be compiled (no compiler, say), records are made without, and it is said."""
        if check == "compiled":
            torch._dynamo.config.disable = True
            self.report.left_out.append("Networks cannot be compiled there, so they ran as they are.")

    def record(self, line: Line) -> None:
        """Compute one record as far as the time goes."""
        if self.left <= 0:
            return
        began, line.state = time.monotonic(), "running"
        try:
            experiment = chapters.find(line.experiment)
            with _every(PACK_SECONDS, self.pack):
                made = store.run(experiment, line.profile, max_seconds=self.left, **line.settings)
            line.state, line.text = "finished", f"in all {made.meta['seconds']:.0f} s of computing"
        except store.Unfinished as error:
            line.state, line.text = "unfinished", str(error)
        except Exception as error:
            line.state, line.text = "failed", _told(error)
        finally:
            line.seconds = round(time.monotonic() - began, 1)
        self.pack()
        print(f"{line.state:10s} {line.title}: {line.text}", flush=True)

    # ----------------------------------------------------------------------------------------- packing

    def pack(self, small: bool = False) -> None:
        """Write what there is: the report last, so that it never speaks of what is not there."""
        with self.lock:
            self.report.seconds = round(time.monotonic() - self.start, 1)
            said = list(self.report.left_out)
            if not small:
                said += self._pack_records() + self._pack_partial()
            content = asdict(self.report) | {"left_out": said}
            text = Report(**{**vars(self.report), "left_out": said}).text()
            files.write_atomic(self.out / "report.txt", text.encode())
            files.write_atomic(self.out / "report.json", (json.dumps(content, indent=1) + "\n").encode())

    def _pack_records(self) -> list[str]:
        folders = [self._folder(line) for line in self.report.records if line.state == "finished"]
        paths = [folder / name for folder in folders for name in ("record.json", "arrays.npz")]
        content, left = gpu_pack.packed(paths, store.runs(), self.limit)
        files.write_atomic(self.out / "records.zip", content)
        return [_left_out(path, "a finished record is lost") for path in left]

    def _pack_partial(self) -> list[str]:
        lines = [line for line in self.report.records if line.state != "finished"]
        names = [store.partial_name(chapters.find(line.experiment)) for line in lines]
        folders = [self._folder(line) / name for line, name in zip(lines, names, strict=True)]
        content, left = gpu_pack.packed(_partial_files(folders), store.runs(), self.limit)
        files.write_atomic(self.out / "partial.zip", content)
        return [_left_out(path, "that training run starts over") for path in left]

    def _folder(self, line: Line) -> Path:
        return store.runs() / line.experiment / line.key


def _partial_files(folders: list[Path]) -> list[Path]:
    """Looks and sums first, which are small, then checkpoints, the newest first; no fall-backs."""
    small = [path for folder in folders for path in sorted(folder.glob("*")) if path.is_file()]
    small = [path for path in small if not path.name.startswith(".")]
    large = [path for folder in folders for path in folder.glob("*/checkpoint.pt")]
    return [*small, *sorted(large, key=_changed, reverse=True)]


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _left_out(path: Path, cost: str) -> str:
    name = path.relative_to(store.runs())
    size = path.stat().st_size / gpu_pack.MIB if path.exists() else 0.0
    return f"{name} ({size:,.0f} MiB) did not fit into what goes back, so {cost}; a larger --limit takes it."


def _described(line: Line) -> Line:
    """With its key, its command and the digest of its code. UserError where its data are not here."""
    experiment = chapters.find(line.experiment)
    spec = experiment.profiles[line.profile].replace(**line.settings)
    line.key = store.key(experiment, spec, {**experiment.data(spec), **experiment.inputs(spec)})
    line.command = experiment.command(line.profile, line.settings)
    line.code = store.code_digest(experiment)
    return line


def _told(error: Exception) -> str:
    """A sentence for a foreseeable mistake, and where it happened for any other."""
    if isinstance(error, UserError):
        return str(error)
    place = traceback.extract_tb(error.__traceback__)[-1]
    first = (str(error).strip().splitlines() or [""])[0]
    return f"{type(error).__name__}: {first} ({Path(place.filename).name}, line {place.lineno})"


@contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    """Raise TimeUp in here when `seconds` are over, or when the process is asked to end."""

    def stop(number: int, frame: object) -> None:
        why = "the time was over" if number == signal.SIGALRM else f"it was stopped by signal {number}"
        raise TimeUp(why)

    kinds = (signal.SIGALRM, signal.SIGTERM, signal.SIGINT)
    before = {kind: signal.signal(kind, stop) for kind in kinds}
    signal.setitimer(signal.ITIMER_REAL, max(0.01, seconds))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for kind, handler in before.items():
            signal.signal(kind, handler)


@contextmanager
def _every(seconds: float, action: Callable[[], None]) -> Iterator[None]:
    """Do `action` every so often beside what happens in here."""
    over = threading.Event()

    def repeat() -> None:
        while not over.wait(seconds):
            action()

    thread = threading.Thread(target=repeat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def start(out: Path, profile: str, seconds: float, only: list[str] | None, limit: int) -> int:
    """A session from its first second to its last; the exit code."""
    return Session(out, profile, seconds, only, limit).run(gpu_checks.CHECKS)
