"""What the code base promises about itself: who may import whom, sizes, import time, no paths of one machine.

Each check is a function from files to faults, and each has a test that feeds it files with that fault.
"""

from __future__ import annotations

import ast
import os
import re
import statistics
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "diffnotes"
FUNCTION = ast.FunctionDef | ast.AsyncFunctionDef

# Room -> the rooms directly below it. A room may import these and all that lies below them. A new room gets a
# line here: that is the moment to think about where it belongs. A chapter has a room like "chapters.toy".
BELOW = {
    "base": "",
    "process": "base",
    "data": "process",
    "posterior": "data",
    "optimal_loss": "posterior",
    "networks": "data",
    "store": "base",
    "train": "networks store",
    "sample": "train",
    "metrics": "posterior",
    "regions": "metrics",
    "loss_gap": "posterior",
    "schedule": "optimal_loss train",
    "adapters": "networks",
    "report": "base",
    "diagnose": "adapters regions loss_gap optimal_loss sample store report",
    "commands": "diagnose schedule",
    "watch": "adapters sample metrics",
    "show": "store",
    "chapters": "store",
    "chapters.toy": "chapters sample regions loss_gap schedule show diagnose",
    "experiments": "chapters.toy",
    "__main__": "chapters commands data show",
}
CHAPTER = BELOW["chapters.toy"]  # every chapter's room may import the same, and no other chapter's room
# What a chapter's page needs does without torch: its modules of these names.
FREE = re.compile(r"(.*_)?(readings|figures|tables|findings|slider|claims)")
TORCH_FREE = (
    "base.errors", "base.files", "base.ranks", "base.sources", "base.statistics", "store", "show", "chapters",
    "report",
)  # fmt: skip
HEAVY = {"torch", "torchvision", "sklearn"}
# Other packages. The core runs on a bare GPU node. No torchvision: data/sets.py loads it by name, guarded.
CORE_PACKAGES = {"numpy", "torch", "sklearn", "tqdm", "PIL", "jaxtyping"}
BOOK_PACKAGES = {"numpy", "tqdm", "PIL", "matplotlib", "seaborn", "ipywidgets", "IPython"}
SCIENCE = CORE_PACKAGES | {"scipy"}  # comes with scikit-learn
PACKAGES = dict.fromkeys(["store", "show", "chapters", "__main__"], BOOK_PACKAGES)
PACKAGES["optimal_loss"] = SCIENCE | {"numba", "llvmlite", "triton"}  # where they are missing, torch does it
PACKAGES["adapters"] = CORE_PACKAGES | {"safetensors"}  # with diffusers, and only when it is asked for


# --- imports ---


def modules(package: Path) -> dict[str, Path]:
    """Dotted name of every module of a package -> its file; a package goes by its own name."""
    named = {
        ".".join(path.relative_to(package.parent).with_suffix("").parts): path
        for path in package.rglob("*.py")
    }
    return {name.removesuffix(".__init__"): path for name, path in named.items()}


def imports(path: Path) -> set[str]:
    """Dotted names that a file imports, also inside functions; `from a import b` counts as a and a.b."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide where an arrow leads"
            names |= {str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def room(name: str, package: Path) -> str:
    """The room that a dotted name belongs to, such as "chapters.toy" for what is in that folder; else ""."""
    words = name.split(".")[1:] or [""]
    inner = ".".join(words[:2])
    if words[0] == "chapters" and len(words) > 1 and (package / "chapters" / words[1]).is_dir():
        return inner
    exists = (package / words[0]).is_dir() or (package / f"{words[0]}.py").exists()
    return words[0] if words[0] and exists else ""


def below(name: str) -> set[str]:
    """Everything a room may import."""
    direct = (CHAPTER if name.startswith("chapters.") else BELOW[name]).split()
    return set(direct).union(*map(below, direct))


def arrows(package: Path) -> set[tuple[str, str]]:
    """Which room imports which other."""
    pairs = {
        (room(name, package), room(other, package))
        for name, path in modules(package).items()
        for other in imports(path)
        if other.startswith("diffnotes.")
    }
    return {(here, there) for here, there in pairs if here and there and here != there}


def wrong_arrows(package: Path) -> list[str]:
    """Imports that lead upwards or sideways, and rooms without a place in the order."""
    known = {room(name, package) for name in modules(package)} - {""}
    unknown = {name for name in known if not name.startswith("chapters.")} - set(BELOW)
    found = sorted(arrows(package))
    return [f"{name} has no line in BELOW" for name in sorted(unknown)] + [
        f"{here} imports {there}" for here, there in found if here not in unknown and there not in below(here)
    ]


def foreign_packages(package: Path) -> list[str]:
    """Imports of packages that a room must not need."""
    faults = []
    for name, path in modules(package).items():
        here = room(name, package)
        allowed = PACKAGES.get(here, SCIENCE)
        if here.startswith("chapters."):
            allowed = BOOK_PACKAGES if FREE.fullmatch(name.split(".")[-1]) else SCIENCE
        tops = {other.split(".")[0] for other in imports(path)} - {"diffnotes", "__future__"}
        faults += [f"{name} imports {top}" for top in tops - set(sys.stdlib_module_names) - allowed]
    return faults


def is_free(name: str, package: Path) -> bool:
    """Whether a module promises to do without torch."""
    here = room(name, package)
    if here.startswith("chapters."):
        return bool(FREE.fullmatch(name.split(".")[-1])) or name.count(".") == 2
    return here in TORCH_FREE or name.removeprefix("diffnotes.") in TORCH_FREE


def ways_to_torch(package: Path) -> list[str]:
    """Modules that promise to do without torch and reach it, directly or through others."""
    known = modules(package)
    direct = {}
    for name, path in known.items():
        words = name.split(".")
        parents = {".".join(words[:k]) for k in range(1, len(words))}
        found = imports(path)
        direct[name] = (found & set(known)) | parents | {other.split(".")[0] for other in found} & HEAVY
    return [name for name in known if is_free(name, package) and reachable(name, direct) & HEAVY]


def reachable(start: str, arrows: Mapping[str, set[str]]) -> set[str]:
    """Everything that arrows lead to."""
    seen: set[str] = set()
    todo = {start}
    while todo:
        seen |= todo
        todo = set().union(*(arrows.get(name, set()) for name in todo)) - seen
    return seen


def fake(folder: Path, **files: str) -> Path:
    """A package named diffnotes with the given modules; `a__b` stands for a/b.py."""
    for name, text in files.items():
        path = folder / "diffnotes" / (name.replace("__", "/") + ".py" if name != "init" else "__init__.py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text), encoding="utf-8")
    return folder / "diffnotes"


def test_arrows_point_down() -> None:
    assert len(modules(PACKAGE)) > 10
    assert wrong_arrows(PACKAGE) == []


def test_only_expected_packages_are_needed() -> None:
    assert foreign_packages(PACKAGE) == []


def test_parts_without_torch_do_not_reach_it() -> None:
    assert ways_to_torch(PACKAGE) == []


def loaders_of_torchvision(package: Path) -> list[str]:
    """Modules that load torchvision by name, which no import statement shows."""
    loading = re.compile(r"""(?:import_module|__import__)\(\s*["']torchvision""")
    return [
        name for name, path in modules(package).items() if loading.search(path.read_text(encoding="utf-8"))
    ]


def test_only_data_loads_torchvision() -> None:
    assert loaders_of_torchvision(PACKAGE) == ["diffnotes.data.sets"]


@pytest.mark.parametrize(
    ("files", "fault"),
    [
        ({"process": "def f():\n    from diffnotes import train", "train": ""}, "process imports train"),
        ({"show__toy": "import diffnotes.posterior", "posterior": ""}, "show imports posterior"),
        ({"chapters__gap__a": "from diffnotes.chapters.toy import b", "chapters__toy__b": ""},
         "chapters.gap imports chapters.toy"),
        ({"novel": ""}, "novel has no line in BELOW"),
    ],
)  # fmt: skip
def test_wrong_arrow_is_found(tmp_path: Path, files: dict[str, str], fault: str) -> None:
    assert wrong_arrows(
        fake(tmp_path, **files, base__runtime="", data="from diffnotes.base import runtime")
    ) == [fault]


def test_foreign_package_is_found(tmp_path: Path) -> None:
    package = fake(
        tmp_path,
        base__runtime="import os\nimport matplotlib.pyplot",
        store__keys="import numpy\nimport torch",
        chapters__toy__figures="import matplotlib\nimport scipy",
        chapters__toy__experiment="import torch\nimport matplotlib",
    )
    assert sorted(foreign_packages(package)) == [
        "diffnotes.base.runtime imports matplotlib",
        "diffnotes.chapters.toy.experiment imports matplotlib",
        "diffnotes.chapters.toy.figures imports scipy",
        "diffnotes.store.keys imports torch",
    ]


def test_loader_of_torchvision_is_found(tmp_path: Path) -> None:
    package = fake(tmp_path, data__folders="import importlib\nimportlib.import_module('torchvision.io')")
    assert loaders_of_torchvision(package) == ["diffnotes.data.folders"]


def test_way_to_torch_is_found(tmp_path: Path) -> None:
    room = {"chapters__toy__claims": "from diffnotes import helper, store", "store": ""}
    package = fake(tmp_path, **room, base__shapes="import torch", base__files="")
    assert ways_to_torch(package) == []
    fake(tmp_path, store="def f():\n    from diffnotes.base.shapes import Float")
    assert sorted(ways_to_torch(package)) == ["diffnotes.chapters.toy.claims", "diffnotes.store"]


# --- imports as they happen ---


def python(code: str, folder: Path = ROOT) -> str:
    """What a fresh interpreter prints; its packages come from `folder` first."""
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def import_seconds(folder: Path = ROOT, tries: int = 5) -> float:
    """Best of several fresh interpreters: a busy machine only makes imports slower, never faster."""
    code = "import time; t = time.perf_counter(); import diffnotes; print(time.perf_counter() - t)"
    return min(float(python(code, folder)) for _ in range(tries))


def heavy_after(names: list[str], folder: Path = ROOT) -> str:
    """Which heavy packages are loaded once the named modules are."""
    return python(f"import sys, {', '.join(names)}; print(*sorted({HEAVY} & set(sys.modules)))", folder)


def test_import_is_fast_and_light() -> None:
    assert heavy_after(["diffnotes"]) == ""
    assert import_seconds() < 0.3


def test_parts_without_torch_do_not_load_it() -> None:
    names = [name for name in modules(PACKAGE) if is_free(name, PACKAGE)]
    assert {"diffnotes.store", "diffnotes.show.style", "diffnotes.chapters.toy.figures"} <= set(names)
    assert heavy_after(names) == ""


def test_slow_or_heavy_import_is_found(tmp_path: Path) -> None:
    fake(tmp_path, init="import time, torch\ntime.sleep(0.31)")
    (tmp_path / "torch.py").write_text("")
    assert import_seconds(tmp_path, tries=1) > 0.3
    assert heavy_after(["diffnotes"], tmp_path) == "torch"


# --- sizes ---


def function_lengths(package: Path) -> dict[str, int]:
    """Lines of every function, from `def` to its end, docstring included."""
    found = {}
    for name, path in modules(package).items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, FUNCTION):
                found[f"{name}.{node.name}:{node.lineno}"] = node.end_lineno - node.lineno + 1  # type: ignore[operator]
    return found


def oversize(package: Path) -> Iterator[str]:
    """Files over 400 lines, functions over 60, a median over 10 lines, more than a tenth of 30 or more."""
    for name, path in modules(package).items():
        lines = len(path.read_text(encoding="utf-8").splitlines())
        if lines > 400:
            yield f"{name} has {lines} lines"
    lengths = function_lengths(package)
    yield from (f"{name} has {lines} lines" for name, lines in lengths.items() if lines > 60)
    if (median := statistics.median(lengths.values())) > 10:
        yield f"the median function has {median:g} lines"
    if (short := statistics.mean(lines < 30 for lines in lengths.values())) < 0.9:
        yield f"only {short:.0%} of the functions are under 30 lines"


def function(lines: int) -> str:
    """Source of a function of so many lines."""
    return "def f():\n" + "    pass\n" * (lines - 1)


def test_sizes() -> None:
    assert list(oversize(PACKAGE)) == []


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        (function(3) + "\n" * 398, "diffnotes.runtime has 401 lines"),
        (function(61) + function(3) * 10, "diffnotes.runtime.f:1 has 61 lines"),
        (function(11), "the median function has 11 lines"),
        (function(30) * 2 + function(9) * 8, "only 80% of the functions are under 30 lines"),
    ],
)
def test_oversize_is_found(tmp_path: Path, source: str, fault: str) -> None:
    assert list(oversize(fake(tmp_path, runtime=source))) == [fault]


# --- the outer layer ---


def ways_to_the_sweep(root: Path) -> list[str]:
    """Files of the package and notebooks that know of sweep/, which is around them and may be missing."""
    names = "|".join(sorted({path.stem for path in (root / "sweep").glob("*.py")} | {"sweep"}))
    knows = re.compile(rf"""^[\s"]*(?:from|import) (?:{names})\b|\bsweep/""", re.MULTILINE)
    files = [*(root / "diffnotes").rglob("*.py"), *(root / "notebooks").glob("*.ipynb")]
    return [path.name for path in files if knows.search(path.read_text(encoding="utf-8"))]


def test_nothing_knows_of_the_sweep() -> None:
    assert ways_to_the_sweep(ROOT) == []


def test_snakemake_needs_no_package_of_the_project() -> None:
    tops = {name.split(".")[0] for name in imports(ROOT / "sweep/plan.py")}
    assert tops <= {"__future__", *sys.stdlib_module_names}


def test_way_to_the_sweep_is_found(tmp_path: Path) -> None:
    fake(tmp_path, a="import planning", b="def f():\n    from plan import told", c="open('sweep/plan.py')")
    for name, text in {"sweep/plan.py": "", "notebooks/d.ipynb": '  "import plan\\n",'}.items():
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(text)
    assert sorted(ways_to_the_sweep(tmp_path)) == ["b.py", "c.py", "d.ipynb"]


# --- what is committed ---

# Places of one machine. Written so that this file does not hold what it looks for.
MACHINE = re.compile(rb"/(?:work|farm|root|tmp/bash_jobs)/|\.\./" + rb"shared")
MAY_NAME_SHARED = {".ci/run"}


def machine_paths(root: Path) -> list[str]:
    """Tracked files that name places of one machine."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=root, capture_output=True, text=True, check=True
    ).stdout
    names = [name for name in listed.split("\0") if name and name not in MAY_NAME_SHARED]
    return [name for name in names if (root / name).is_file() and MACHINE.search((root / name).read_bytes())]


def test_no_machine_paths() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout, so nothing says which files are tracked")
    assert machine_paths(ROOT) == []


def test_machine_path_is_found(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    (tmp_path / "good.md").write_text("homework/notes.md")
    (tmp_path / "bad.md").write_text("see " + "/root" + "/notes")
    (tmp_path / "ignored.md").write_text("see " + "/root" + "/notes")
    subprocess.run(["git", "add", "good.md", "bad.md"], cwd=tmp_path, check=True)
    assert machine_paths(tmp_path) == ["bad.md"]
