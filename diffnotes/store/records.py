"""Records on disk: identity, writing, reading.

A record is a folder ``<experiment>/<key>/`` with ``record.json`` (what was asked, and who computed it when,
where and with what)
and ``arrays.npz`` (the numbers). Pinned records live in ``results/`` and are committed; the others in
``runs/``.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import re
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache, cached_property
from importlib import metadata
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from diffnotes.base import files
from diffnotes.base.errors import UserError, printable
from diffnotes.store.experiment import Arrays, Experiment
from diffnotes.store.spec import Spec

KEY_DIGITS = 16
CHECKOUT = Path(__file__).resolve().parents[2]  # of an installed package: where packages lie
SIGNS = ("pyproject.toml", "results/index.json")  # of a checkout
NEEDED: dict[str, Any] = {  # what every record.json says
    "experiment": str, "version": int, "profile": str, "spec": dict, "settings": dict, "arrays": dict,
    "digest": str, "created": str, "python": str, "packages": dict, "device": str, "seconds": (int, float),
    "data": dict, "code": str, "key": str, "commit": (str, type(None)), "dirty": (bool, type(None)),
}  # fmt: skip
OF_TEXTS = ("packages", "data", "inputs")  # name -> text
PACKAGES = ("torch", "torchvision", "numpy", "scikit-learn", "scipy", "pillow", "numba")


class Tampered(UserError):
    """The bytes on disk are not those that were recorded."""

    exit_code = 4


def root() -> Path:
    """The checkout: the folder that holds results/ and runs/ (`DIFFNOTES_ROOT` overrides).

    UserError where there is neither: nothing is ever written beside an installed package.
    """
    named = files.folder_of("DIFFNOTES_ROOT")
    if named is None and not any((CHECKOUT / name).is_file() for name in SIGNS):
        raise UserError(
            f"diffnotes is installed in {CHECKOUT}, without its book; set DIFFNOTES_ROOT to a checkout, or "
            "to a folder for records of your own."
        )
    return named or CHECKOUT


def results() -> Path:
    """Pinned records."""
    return root() / "results"


def runs() -> Path:
    """Unpinned records, partial sums and checkpoints; git ignores it."""
    return root() / "runs"


def key(experiment: Experiment, spec: Spec, data: Mapping[str, str]) -> str:
    """Identity of a result: the first 16 digits of SHA-256 over canonical JSON of {experiment, version, spec,
    data}. The spec holds the precision where it can vary; `data` are fingerprints of data sets and digests of
    the records it stands on.
    """
    content = {
        "experiment": experiment.name,
        "version": experiment.version,
        "spec": spec.identity(),
        "data": dict(data),
    }
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return files.sha256_bytes(text.encode())[:KEY_DIGITS]


def is_key(text: object) -> bool:
    """Whether it is a key, and so the name of a folder and nothing else."""
    return isinstance(text, str) and re.fullmatch(f"[0-9a-f]{{{KEY_DIGITS}}}", text) is not None


def own(folder: Path) -> Path:
    """The folder of a record, <runs or results>/<experiment>/<key>, which may be written and removed.

    UserError where a link leads out of it: what somebody keeps elsewhere is not ours.
    """
    base, below = folder.parents[1], folder.parts[-2:]
    apart = os.path.realpath(folder) != os.path.join(os.path.realpath(base), *below)
    below_it = (Path(at, name) for at, *names in os.walk(folder) for name in chain(*names))
    links = [folder] if apart else [path for path in below_it if path.is_symlink()]
    if links:
        raise UserError(
            f"{short(links[0])} is, or lies behind, a link, through which nothing is written; put a folder "
            "or file in its place, or remove it."
        )
    return folder


@dataclass(frozen=True, repr=False)
class Record:
    """A result with everything that is known of its making. ``record["name"]`` is an array; ``record.spec``
    the settings.
    """

    folder: Path
    meta: dict[str, Any]
    state: str = "unchecked"  # valid | stale | tampered | unchecked
    reason: str = ""
    pinned: bool = field(default=False)
    # How a claim finds the records beside this one, of the same profile: (experiment, settings) -> record.
    beside: Callable[[str, Mapping[str, Any]], Record] | None = field(default=None, compare=False)
    note: str = ""  # what a reader should know of it beside its state

    def __repr__(self) -> str:
        return self.provenance()

    @property
    def key(self) -> str:
        """The record's identity."""
        return self.meta["key"]

    @property
    def experiment(self) -> str:
        """The experiment's name."""
        return self.meta["experiment"]

    @property
    def profile(self) -> str:
        """The profile that was run."""
        return self.meta["profile"]

    @property
    def spec(self) -> dict[str, Any]:
        """The settings that it was made with."""
        return self.meta["spec"]

    @property
    def stands_on(self) -> dict[str, str]:
        """Fingerprints of its data, and digests of what it took from other records."""
        return {**self.meta["data"], **self.meta.get("inputs", {})}

    @cached_property
    def arrays(self) -> Arrays:
        """All arrays, read once and checked against their digest."""
        content = self.check_bytes()
        try:
            found = files.npz_arrays(content)
        except UserError as error:
            raise Tampered(f"{short(self.folder)}/arrays.npz: {error}") from error
        if _described(found) != self.meta["arrays"]:
            raise Tampered(f"{short(self.folder)}/arrays.npz holds other arrays than record.json says.")
        return found

    def check_bytes(self) -> bytes:
        """The bytes of arrays.npz. Raises Tampered unless they are what was recorded."""
        path = self.folder / "arrays.npz"
        try:
            content = files.read_plain(path)
        except FileNotFoundError:
            content = b""
        except OSError as error:
            raise Tampered(f"{short(path)} cannot be read ({error.strerror or error}).") from error
        if files.sha256_bytes(content) != self.meta["digest"]:
            raise Tampered(f"{short(path)} is not what was recorded; restore it with git, or run it again.")
        return content

    def __getitem__(self, name: str) -> np.ndarray:
        return self.arrays[name]

    def __contains__(self, name: str) -> bool:
        return name in self.arrays

    def changed(self) -> dict[str, Any]:
        """The settings in which this record differs from its profile as it stands in the code."""
        return dict(self.meta["settings"])

    def _seeds(self) -> str:
        """'seed 0', or 'seeds 0, 1, 2'."""
        many = self.spec.get("seeds")
        if isinstance(many, list) and many:
            return f"seeds {', '.join(map(str, many))}"
        return f"seed {self.spec.get('seed', 'none')}"

    def provenance(self) -> str:
        """One line: what made this record."""
        meta = self.meta
        commit = (meta["commit"] or "no commit")[:10] + (" + changes" if meta["dirty"] else "")
        settings = "".join(f", {name} = {value}" for name, value in self.changed().items())
        return (
            f"{self.experiment}, profile {self.profile}{settings} · {self._seeds()} · "
            f"{meta['device']} · {meta['seconds']:.0f} s on {meta['created'][:10]} · commit {commit} · "
            f"record {self.key}{'' if self.pinned else ', not pinned'}"
        )


def write(
    folder: Path, experiment: Experiment, spec: Spec, profile: str, arrays: Arrays, **made: Any
) -> Record:
    """Write a record atomically: arrays first, so that a record.json never speaks of arrays that are not
    there.
    """
    data = files.npz_bytes(arrays)
    default = experiment.profiles[profile].as_dict()
    meta = {
        "experiment": experiment.name,
        "version": experiment.version,
        "profile": profile,
        "spec": spec.as_dict(),
        "settings": {k: v for k, v in spec.as_dict().items() if default[k] != v},
        "arrays": _described(arrays),
        "digest": files.sha256_bytes(data),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "packages": packages(),
        "precision": spec.as_dict().get("precision", experiment.precision),
        **{name: printable(value) if isinstance(value, str) else value for name, value in made.items()},
    }
    meta["seal"] = _seal(meta)
    put(folder, meta, data)
    return Record(folder, meta)


def _described(arrays: Arrays) -> dict[str, Any]:
    return {name: {"shape": list(a.shape), "dtype": str(a.dtype)} for name, a in arrays.items()}


def put(folder: Path, meta: Mapping[str, Any], arrays: bytes) -> None:
    """Write the two files of a record, by whoever is `files.alone` in its folder."""
    files.write_atomic(folder / "arrays.npz", arrays)
    files.write_atomic(folder / "record.json", _json(meta))


def _seal(meta: Mapping[str, Any]) -> str:
    """SHA-256 over everything else that a record.json says, so that damage to it is seen."""
    content = {name: value for name, value in meta.items() if name != "seal"}
    return files.sha256_bytes(_json(content))


def read(folder: Path, **flags: Any) -> Record | None:
    """The record in `folder`, or None when there is none."""
    try:
        meta, fault = _read(folder / "record.json")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise Tampered(
            f"{short(folder)}/record.json cannot be read ({error}); restore it with git, or delete it."
        ) from error
    if fault:
        raise Tampered(f"{short(folder)}/record.json {fault}; restore it with git, or delete it.")
    return Record(folder, meta, **flags)


@files.while_unchanged
def _read(path: Path) -> tuple[Any, str]:
    """What a record.json says, and its fault."""
    meta = files.read_json(path)
    return meta, _fault(meta, path.parent.name)


def _fault(meta: Any, key: str) -> str:
    """What shows that a record.json is not what was written into the folder of that key."""
    if not isinstance(meta, dict):
        return "is no record"
    for name, kind in NEEDED.items():
        right = name in meta and isinstance(meta[name], kind)
        if not right or (isinstance(meta[name], bool) and name != "dirty"):
            return f"has no valid {name!r}"
    for name in OF_TEXTS:
        if not is_texts(meta.get(name, {})):
            return f"has no valid {name!r}"
    if meta.get("seal", _seal(meta)) != _seal(meta):
        return "is not what was recorded"
    if not is_key(key):
        return f"lies in {key}, which is no key"
    return "" if meta["key"] == key else f"is that of record {meta['key']}"


def is_texts(value: object) -> bool:
    """Whether it is a dictionary of texts."""
    return isinstance(value, dict) and all(isinstance(text, str) for text in value.values())


def read_own(folder: Path) -> Record | None:
    """The record in a folder of runs/; a damaged one counts as none, since it can be made again."""
    try:
        return read(folder)
    except Tampered:
        return None


def in_runs(experiment: str) -> Iterator[Record]:
    """The records of an experiment in runs/, by their keys; those that cannot be read are passed over."""
    folder = runs() / experiment
    with contextlib.suppress(OSError):
        found = map(read_own, (folder / name for name in sorted(os.listdir(folder))))
        yield from (record for record in found if record is not None)


def _json(content: Any) -> bytes:
    return (json.dumps(content, indent=1, sort_keys=True) + "\n").encode()


def short(path: Path) -> str:
    """A path as sentences say it: below the checkout."""
    return str(path.relative_to(root())) if path.is_relative_to(root()) else str(path)


@cache
def packages() -> dict[str, str]:
    """Versions of the packages that numbers depend on."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def commit() -> dict[str, Any]:
    """The commit of the checkout, and whether its code differs from it; both None outside a git checkout,
    where DIFFNOTES_COMMIT may name the commit. Asked before a computation, so that nothing is lost by it.
    """
    try:
        _git("ls-files", "--error-unmatch", "diffnotes/__init__.py")  # else it is somebody else's repository
        head = _git("rev-parse", "HEAD")
        changes = _git("status", "--porcelain", "--untracked-files=all", "--", "diffnotes")
        return {"commit": head, "dirty": bool(changes)}
    except (OSError, ValueError, subprocess.SubprocessError):
        return {"commit": os.environ.get("DIFFNOTES_COMMIT"), "dirty": None}


def why_no_commit() -> str:
    """Why git does not say which commit this is; "" where it does, and outside a git checkout."""
    try:
        if (CHECKOUT / ".git").exists():
            _git("rev-parse", "HEAD")
    except subprocess.CalledProcessError as error:  # in words of its own, of several lines, with what to do
        return " ".join(str(error.stderr).split())
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        return str(error)
    return ""


def _git(*words: str) -> str:
    """Of the package's own checkout, whatever repository the environment speaks of."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    done = subprocess.run(
        ["git", "-C", str(CHECKOUT), *words], capture_output=True, text=True, check=True, timeout=20, env=own
    )
    return done.stdout.strip()


@cache
def cpu() -> str:
    """The processor's name and the number of cores this process may use."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{_cpu_name()}, {cores} cores"


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
