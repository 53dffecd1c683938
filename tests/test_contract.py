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

# Module or subpackage -> what lies directly below it. It may import these and all that lies below them.
# A new module gets a line here: that is the moment to think about where it belongs.
BELOW = {
    "sources": "",
    "errors": "",
    "shapes": "",
    "files": "errors",
    "runtime": "files shapes",
    "process": "runtime",
    "download": "files",
    "images": "files shapes",
    "specimens": "runtime",
    "data_part": "files shapes",
    "data": "process download images specimens data_part",
    "shards": "errors shapes",
    "points": "runtime shards",
    "posterior": "data points",
    "loss_sums": "files shapes",
    "integer_products": "runtime",
    "pairwise": "points integer_products",
    "pruning": "posterior integer_products",
    "subset_loss": "pairwise",
    "optimal_loss": "pruning subset_loss loss_sums",
    "metrics": "data points",
    "layers": "errors shapes",
    "networks": "process layers",
    "identity": "errors shapes",
    "checkpoints": "files identity",
    "train": "networks checkpoints",
    "features": "train data",
    "denoising": "train",
    "sample": "denoising",
    "store": "files sources",
    "fingerprints": "data",
    "experiments": "optimal_loss metrics sample store features fingerprints",
    "figures": "store",
    "widgets": "store",
    "claims": "store",
    "__main__": "experiments figures widgets claims",
}
TORCH_FREE = ("errors", "files", "store", "figures", "widgets", "claims")
HEAVY = {"torch", "torchvision", "sklearn"}
# Other packages. The core runs on a bare GPU node. No torchvision: data.py loads it by name, with a guard.
CORE_PACKAGES = {"numpy", "torch", "sklearn", "tqdm", "PIL", "jaxtyping"}
BOOK_PACKAGES = {"numpy", "tqdm", "PIL", "matplotlib", "seaborn", "ipywidgets", "IPython"}
PACKAGES = dict.fromkeys(["store", "figures", "widgets", "claims", "__main__"], BOOK_PACKAGES)
PACKAGES["experiments"] = CORE_PACKAGES | {"scipy"}  # comes with scikit-learn


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


def part(name: str) -> str:
    """The module or subpackage of diffnotes that a dotted name belongs to; "" for the package itself."""
    return name.split(".")[1] if "." in name else ""


def own_parts(path: Path) -> set[str]:
    """The parts of diffnotes that a file imports."""
    return {part(name) for name in imports(path) if name.startswith("diffnotes.")} & set(BELOW)


def below(name: str) -> set[str]:
    """Everything a part may import."""
    direct = BELOW[name].split()
    return set(direct).union(*map(below, direct))


def wrong_arrows(package: Path) -> list[str]:
    """Imports that lead upwards or sideways, and modules without a place in the order."""
    faults = []
    for name, path in modules(package).items():
        here = part(name)
        if here and here not in BELOW:
            faults.append(f"{name} has no line in BELOW")
        elif here:
            faults += [f"{name} imports {other}" for other in own_parts(path) - below(here) - {here}]
    return faults


def foreign_packages(package: Path) -> list[str]:
    """Imports of packages that a part must not need."""
    faults = []
    for name, path in modules(package).items():
        allowed = PACKAGES.get(part(name), CORE_PACKAGES)
        tops = {other.split(".")[0] for other in imports(path)} - {"diffnotes", "__future__"}
        faults += [f"{name} imports {top}" for top in tops - set(sys.stdlib_module_names) - allowed]
    return faults


def ways_to_torch(package: Path) -> list[str]:
    """Parts that promise to do without torch and reach it, directly or through others."""
    direct: dict[str, set[str]] = {}
    for name, path in modules(package).items():
        tops = {other.split(".")[0] for other in imports(path)} & HEAVY
        direct[part(name)] = direct.get(part(name), set()) | own_parts(path) | tops
    return [name for name in TORCH_FREE if reachable(name, direct) & HEAVY]


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
    assert loaders_of_torchvision(PACKAGE) == ["diffnotes.data"]


@pytest.mark.parametrize(
    ("files", "fault"),
    [
        ({"process": "def f():\n    from diffnotes import train"}, "diffnotes.process imports train"),
        ({"figures__toy": "import diffnotes.posterior"}, "diffnotes.figures.toy imports posterior"),
        ({"novel": ""}, "diffnotes.novel has no line in BELOW"),
    ],
)
def test_wrong_arrow_is_found(tmp_path: Path, files: dict[str, str], fault: str) -> None:
    assert wrong_arrows(fake(tmp_path, **files, data="from diffnotes.runtime import f")) == [fault]


def test_foreign_package_is_found(tmp_path: Path) -> None:
    package = fake(
        tmp_path, runtime="import os\nimport matplotlib.pyplot", store__keys="import numpy\nimport torch"
    )
    assert foreign_packages(package) == [
        "diffnotes.runtime imports matplotlib",
        "diffnotes.store.keys imports torch",
    ]


def test_loader_of_torchvision_is_found(tmp_path: Path) -> None:
    package = fake(tmp_path, images="import importlib\nimportlib.import_module('torchvision.io')")
    assert loaders_of_torchvision(package) == ["diffnotes.images"]


def test_way_to_torch_is_found(tmp_path: Path) -> None:
    package = fake(
        tmp_path, claims="from diffnotes import helper, store", store="", shapes="import torch", files=""
    )
    assert ways_to_torch(package) == []
    fake(tmp_path, store__keys="def f():\n    from diffnotes.shapes import Float")
    assert ways_to_torch(package) == ["store", "claims"]


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
    names = [name for name in modules(PACKAGE) if part(name) in TORCH_FREE]
    assert {part(name) for name in names} == set(TORCH_FREE)
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
