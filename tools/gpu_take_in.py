"""What came back from a GPU: checked, put where it belongs, and pinned where it is finished."""

from __future__ import annotations

import hashlib
import json
import math
import re
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gpu_pack
import torch

from diffnotes import chapters, store
from diffnotes.base import archives, files
from diffnotes.base.archives import Damaged
from diffnotes.base.errors import UserError
from diffnotes.store import records
from diffnotes.train import checkpoints

PREFIX = 32  # bytes of SHA-256 before a checkpoint, see diffnotes.train.checkpoints


@dataclass
class Taken:
    """What was done with a folder, in sentences; whether anything was refused, or is unfinished."""

    lines: list[str] = field(default_factory=list)
    refused: bool = False
    unfinished: bool = False

    def say(self, text: str, refused: bool = False) -> None:
        self.lines.append(text)
        self.refused |= refused


def read_report(out: Path) -> dict[str, Any]:
    """The report of a session, as far as it is one; Damaged when it is not."""
    try:
        content = json.loads((out / "report.json").read_bytes())
    except FileNotFoundError as error:
        raise UserError(
            f"There is no report.json in {out}; give the folder that the session left."
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        raise Damaged(f"report.json cannot be read ({error}); fetch it again.") from error
    kinds = {"profile": str, "machine": dict, "checks": list, "records": list, "format": int}
    if not isinstance(content, dict) or not all(isinstance(content.get(k), t) for k, t in kinds.items()):
        raise Damaged("report.json is no report of a session; fetch it again.")
    if content["format"] != 1:
        raise UserError(
            f"report.json has format {content['format']}, and this script reads 1; check out its commit."
        )
    return content


def place(out: Path, taken: Taken) -> None:
    """Put the records and partial results of a session into runs/, checked. What is damaged stays out."""
    with tempfile.TemporaryDirectory() as scratch:
        staged = Path(scratch)
        for name, pattern in (("records.zip", gpu_pack.RECORD), ("partial.zip", gpu_pack.PARTIAL)):
            _unpack(out / name, pattern, staged, taken)
        for path in sorted(staged.glob("*/*/record.json")):
            _place_record(path.parent, taken)
        for path in sorted(p for p in staged.glob("*/*/partial-*/**/*") if p.is_file()):
            _place_partial(path, staged, taken)


def _unpack(path: Path, pattern: re.Pattern[str], staged: Path, taken: Taken) -> None:
    """A zip into a folder of its own; one that is damaged anywhere is not taken at all."""
    if not path.is_file():
        taken.say(f"There is no {path.name}.", refused=True)
        return
    try:
        for match, content in archives.unpacked(path, pattern):
            if match["experiment"] not in chapters.names():
                raise Damaged(f"{path.name} holds files of {match['experiment']!r}, which is no experiment.")
            files.write_atomic(staged / match[0], content)
    except Damaged as error:
        taken.say(f"refused: {error}", refused=True)


def _place_record(staged: Path, taken: Taken) -> None:
    """A finished record into runs/, unless it is not what it says."""
    name = f"{staged.parent.name}/{staged.name}"
    try:
        record = records.read(staged)
        assert record is not None
        if record.experiment != staged.parent.name:
            raise Damaged(f"{name} is of {record.experiment}, not of {staged.parent.name}.")
        record.check_bytes()
    except UserError as error:
        taken.say(f"refused: {name}: {error}", refused=True)
        return
    target = store.runs() / record.experiment / record.key
    here = records.read_own(target)
    if here is not None and here.meta["code"] == record.meta["code"] and _intact(here):
        taken.say(f"{name} ({record.profile}) is here already, by the same code; kept.")
        return
    with files.alone(records.own(target)):
        records.put(target, record.meta, record.check_bytes())
    taken.say(f"{name} ({record.profile}) is in runs/{'' if here is None else ', in place of the one here'}.")


def _intact(record: store.Record) -> bool:
    try:
        record.check_bytes()
    except UserError:
        return False
    return True


def _place_partial(path: Path, staged: Path, taken: Taken) -> None:
    """A partial result into runs/, unless it is damaged, or as much is here already."""
    name = path.relative_to(staged)
    target = store.runs() / name
    if (store.runs() / name.parts[0] / name.parts[1] / "record.json").exists():
        return  # it is finished, by now
    if not _whole(path):
        taken.say(f"refused: {name} is damaged; it is made again.", refused=True)
    elif path.name != "checkpoint.pt" and target.exists():
        return  # equal: it is a function of what is in its path
    elif path.name != "checkpoint.pt" or _step(path.parent) > _step(target.parent):
        target.parent.mkdir(parents=True, exist_ok=True)
        files.write_atomic(target, path.read_bytes())


def _whole(path: Path) -> bool:
    """Whether the bytes are those that were written."""
    content = path.read_bytes()
    if path.suffix == ".npz":
        return files.unsealed(content, path.stem) is not None
    if path.name == "checkpoint.pt":
        return hashlib.sha256(content[PREFIX:]).digest() == content[:PREFIX]
    try:
        return 0 <= float(content) < math.inf
    except ValueError:
        return False


def _step(folder: Path) -> int:
    """The step of a training run's newest checkpoint; -1 where there is none, or none that can be read."""
    try:
        state = checkpoints.newest(folder, torch.device("cpu"))
    except UserError:
        return -1
    return -1 if state is None else int(state["step"])


# ---------------------------------------------------------------------------------------------------- pinning


def pin_finished(report: dict[str, Any], taken: Taken) -> None:
    """Pin the records of the session's profile, each with its twins; say what is not pinned, and why."""
    bad = [c.get("name") for c in report["checks"] if isinstance(c, dict) and c.get("state") == "failed"]
    for row in report["records"]:
        if not isinstance(row, dict) or row.get("experiment") not in chapters.names():
            taken.say("refused: report.json speaks of a record that is none.", refused=True)
            continue
        if row.get("profile") == report["profile"]:
            _pin(row, bad, report["machine"], taken)


def _pin(row: dict[str, Any], bad: list[Any], machine: dict[str, Any], taken: Taken) -> None:
    experiment, key, state = chapters.find(row["experiment"]), str(row.get("key")), row.get("state")
    title = f"{experiment.name} {row['profile']} [{key}]"
    if state != "finished":
        text = f"{state}: {title}: {row.get('text')}{_onward(experiment, row, machine)}"
        taken.say(text, refused=state == "failed")
        taken.unfinished = True
    elif not _arrived(experiment, key):
        taken.say(f"refused: {title} is said to be finished, and did not arrive whole.", refused=True)
    elif bad:
        taken.say(
            f"not pinned: {title}: the check {bad[0]} failed on that machine; "
            f"look at report.txt, and if it is no matter, `python -m diffnotes pin {key}`.",
            refused=True,
        )
    else:
        _try_pin(experiment, key, row, machine, taken)


def _arrived(experiment: store.Experiment, key: str) -> bool:
    return records.is_key(key) and records.read_own(store.runs() / experiment.name / key) is not None


def _try_pin(
    experiment: store.Experiment, key: str, row: dict[str, Any], machine: dict[str, Any], taken: Taken
) -> None:
    try:
        record = store.pin(experiment, key)
    except UserError as error:
        moved = _moved(experiment, row, machine)
        taken.say(f"not pinned: {experiment.name} {row['profile']} [{key}]: {error}{moved}", refused=True)
        return
    twins = [e.key for e in store.index() if e.experiment == experiment.name and store.is_twin(e.profile)]
    taken.say(f"pinned: {record.provenance()}; twins {', '.join(twins)}")


def _onward(experiment: store.Experiment, row: dict[str, Any], machine: dict[str, Any]) -> str:
    """How an unfinished record goes on."""
    command = row.get("command") or f"python -m diffnotes run {experiment.name} --profile {row['profile']}"
    return f" Continue with `{command}`, or on a GPU with `--resume`.{_moved(experiment, row, machine)}"


def _moved(experiment: store.Experiment, row: dict[str, Any], machine: dict[str, Any]) -> str:
    """A sentence where the code that ran is not the code here."""
    code = row.get("code")
    if not code or code == store.code_digest(experiment):
        return ""
    commit = machine.get("commit")
    known = isinstance(commit, str) and re.fullmatch("[0-9a-f]{7,40}", commit)
    where = f"`git checkout {commit}`" if known else "check out the commit that ran there"
    return (
        f" It ran code {code}, and the code here is {store.code_digest(experiment)}: to go on from it or to "
        f"pin it as it is, {where} and take it in again; or run it again here."
    )


def take_in(out: Path) -> Taken:
    """Everything: unpack, check, pin, and say what became of each record."""
    report, taken = read_report(out), Taken()
    place(out, taken)
    pin_finished(report, taken)
    return taken


def resume(out: Path) -> Taken:
    """Only unpack and check, for a session that goes on from there."""
    read_report(out)
    taken = Taken()
    place(out, taken)
    return taken
