"""What a sweep costs and what its jobs are given. Snakemake's Python imports this: standard library only."""

from __future__ import annotations

import difflib
import json
import math
import os
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

HERE = Path(__file__).resolve().parent
CHECKOUT = HERE.parent
DEFAULTS: dict[str, Any] = {
    "grid": "smoke",  # a name in sweep/grids/, or a path that ends in .yaml
    "python": ".venv/bin/python",  # the project's; relative to the checkout
    "threads": 1,  # of each job
    "retries": 3,  # of a job that was killed or is unfinished: each goes on where the last one ended
    "slice": 0,  # seconds after which a job stops, saved, for the next try to go on; 0: never
    "skip": False,  # leave out records whose data are not here
    "notebook_profile": "smoke",
}
KNOWN_ON = 2  # the known seconds are those of two CPU cores
START = 5  # seconds in which a job loads its packages
MEMORY = {"smoke": 2000, "laptop": 6000, "paper": 16000}  # MB
LONGEST = 12  # lines about experiments


def fail(sentence: str) -> NoReturn:
    """End with one sentence."""
    sys.exit(f"sweep: {sentence}")


# ------------------------------------------------------------------------------------------------- settings


def settings(given: Mapping[str, Any]) -> dict[str, Any]:
    """What `--config` says, checked, with the defaults of the rest."""
    for name, value in given.items():
        if name not in DEFAULTS:
            close = difflib.get_close_matches(name, DEFAULTS, n=1)
            hint = f" (did you mean {close[0]}?)" if close else ""
            fail(f"--config has no {name}{hint}; it takes {', '.join(DEFAULTS)}.")
        default = DEFAULTS[name]
        if isinstance(default, bool) and not isinstance(value, bool):
            fail(f"{name} must be true or false; not {value!r}.")
        low = int(name == "threads")
        if type(default) is int and (type(value) is not int or value < low):
            fail(f"{name} must be a whole number of at least {low}; not {value!r}.")
    return {**DEFAULTS, **given}


def python(named: str) -> str:
    """The project's Python, as a path."""
    named = str(named)
    path = shutil.which(str(CHECKOUT / named) if "/" in named else named)
    if path is None:
        fail(f"there is no Python {named}; `make setup` makes .venv, or name yours: --config python=PATH.")
    return path


def grid(named: object) -> Path:
    """The file of a grid."""
    text = str(named)
    path = Path(text) if text.endswith((".yaml", ".yml")) else HERE / "grids" / f"{text}.yaml"
    if not path.is_file():
        names = ", ".join(sorted(one.stem for one in (HERE / "grids").glob("*.yaml")))
        fail(f"there is no grid {text}; name one of {names}, or a file that ends in .yaml.")
    return path


# -------------------------------------------------------------------------------------------------- targets


def asked(project: str, path: Path) -> dict[str, Any]:
    """What `targets.py` says of a grid, told by the project's Python."""
    command = [project, str(HERE / "targets.py"), str(path)]
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    try:
        done = subprocess.run(command, env=environment, capture_output=True, encoding="utf-8")
    except OSError as error:
        fail(f"{project} cannot be started ({error.strerror}).")
    if done.returncode:
        said = done.stderr.strip().splitlines() or ["it said nothing"]
        if "Traceback (most recent call last):" in said and "ModuleNotFoundError" in said[-1]:
            fail(f"{project} is not the project's Python ({said[-1]}); name it: --config python=PATH.")
        fail("\n".join(said))
    return json.loads(done.stdout)


def possible(targets: Sequence[Mapping[str, Any]], skip: bool) -> list[Mapping[str, Any]]:
    """The targets whose data are here; without `skip` all must be."""
    lacking = [one for one in targets if one["state"] == "no data"]
    if lacking and not skip:
        fail(
            f"{len(lacking)} of {len(targets)} records cannot be made here; the first is "
            f"{title(lacking[0])}: {lacking[0]['why']} With `--config skip=true` the others are made."
        )
    return [one for one in targets if one["state"] != "no data"]


def write_orders(folder: Path, targets: Sequence[Mapping[str, Any]]) -> None:
    """One file for each target that is not there: from it a job on another machine knows what to do."""
    folder.mkdir(parents=True, exist_ok=True)
    for one in targets:
        if not one["there"]:
            path = folder / f"{one['experiment']}-{one['key']}.json"
            new = path.with_suffix(f".{os.getpid()}")
            new.write_text(json.dumps(one), encoding="utf-8")
            new.replace(path)


def title(target: Mapping[str, Any]) -> str:
    """'loss_curve (laptop) dataset=cifar10'."""
    changed = "".join(f" {name}={value}" for name, value in target["settings"].items())
    return f"{target['experiment']} ({target['profile']}){changed}"


# ---------------------------------------------------------------------------------------------------- costs


def needs_gpu(target: Mapping[str, Any]) -> bool:
    """Whether its known cost is that of a GPU."""
    return "CPU" not in target["machine"]


def seconds(target: Mapping[str, Any], threads: int) -> float:
    """About how long a job takes: more than two threads are not counted on."""
    if needs_gpu(target):
        return START + float(target["seconds"])
    return START + float(target["seconds"]) * KNOWN_ON / min(threads, KNOWN_ON)


def runtime(target: Mapping[str, Any], threads: int, slice_seconds: int, attempt: int) -> int:
    """Minutes to ask of a cluster: three times what is known, and more at each further try."""
    if slice_seconds:
        return math.ceil(slice_seconds / 60) + 10
    return math.ceil(attempt * (10 + 3 * seconds(target, threads) / 60))


def memory(target: Mapping[str, Any], attempt: int) -> int:
    """MB to ask of a cluster. ImageNet needs the most, wherever its name stands."""
    large = target["profile"] in ("laptop", "paper") and "imagenet" in title(target)
    kind = "smoke" if target["profile"].startswith("smoke") else "paper" if large else target["profile"]
    return MEMORY.get(kind, MEMORY["paper"]) * attempt


# -------------------------------------------------------------------------------------------------- summary


def lines(
    name: str, all_of_them: Sequence[Mapping[str, Any]], threads: int, cores: int | None
) -> Iterator[str]:
    """A few lines on what is missing and what it costs."""
    count = {state: sum(one["state"] == state for one in all_of_them) for state in ("changed", "no data")}
    todo = [one for one in all_of_them if not one["there"] and one["state"] != "no data"]
    there = len(all_of_them) - len(todo) - count["no data"]
    yield f"{name}: {_records(len(all_of_them))}, {there} there, {len(todo) - count['changed']} missing."
    if count["changed"]:
        yield f"{count['changed']} more of other code, or damaged: made again where they no longer hold."
    if count["no data"]:
        yield f"{count['no data']} left out, because their data are not here."
    if todo:
        yield from _rows(todo, threads)
        yield _total(todo, threads, cores)


def _rows(todo: Sequence[Mapping[str, Any]], threads: int) -> Iterator[str]:
    """Each experiment with its records, the most expensive first."""
    groups = defaultdict[str, list[float]](list)
    for one in todo:
        groups[f"{one['experiment']} ({one['profile']})"].append(seconds(one, threads))
    ranked = sorted(groups.items(), key=lambda item: -sum(item[1]))
    shown = ranked if len(ranked) <= LONGEST else ranked[: LONGEST - 1]
    for name, each in shown:
        yield f"  {name:32} {_records(len(each)):>11} of {told(max(each))}"
    if rest := [each for _, each in ranked[len(shown) :]]:
        together = sum(map(sum, rest))
        yield f"  {len(rest)} more experiments, {_records(sum(map(len, rest)))}, {told(together)} together"


def _total(todo: Sequence[Mapping[str, Any]], threads: int, cores: int | None) -> str:
    """Cores times time, GPUs times time, and how long that is here."""
    on_cpu = sum(seconds(one, threads) * threads for one in todo if not needs_gpu(one))
    on_gpu = sum(seconds(one, threads) for one in todo if needs_gpu(one))
    longest = max(seconds(one, threads) for one in todo)
    cost = " and ".join(_amount(*each) for each in ((on_cpu, "core"), (on_gpu, "GPU")) if each[0])
    jobs = max(1, (cores or 0) // threads)
    here = "" if cores is None else f", on {cores} core{'s' if cores > 1 else ''} "
    here += told(max(longest, on_cpu / threads / jobs + on_gpu)) if here else ""
    return f"Cost: about {cost} (cores x time){here}; the longest job takes {told(longest)}."


def _amount(spent: float, unit: str) -> str:
    if spent < 100:
        return f"{spent:.0f} {unit}-seconds"
    return f"{spent / 60:.0f} {unit}-minutes" if spent < 5400 else f"{spent / 3600:,.0f} {unit}-hours"


def _records(count: int) -> str:
    return f"{count} record{'' if count == 1 else 's'}"


def told(amount: float) -> str:
    """'40 s', '25 min', '3.5 h'."""
    if amount < 100:
        return f"{amount:.0f} s"
    return f"{amount / 60:.0f} min" if amount < 5400 else f"{amount / 3600:.1f} h"
