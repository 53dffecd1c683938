"""Which files a computation reaches, by any form of import, and that the digest is of the code that ran."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import small

from diffnotes import store
from diffnotes.base import sources
from diffnotes.store import code, memory, staleness

BASE = {
    "__init__.py": b"",
    "errors.py": b"SIZE = 1\n",
    "formulas.py": b"FACTOR = 2.0\n",
    "tables/__init__.py": b"",
    "tables/numbers.py": b"ROWS = 3\n",
    "tables/rows.csv": b"1,2\n",
    "chapters/__init__.py": b'ROOMS = ("one",)\nSEED = 0\n',
    "chapters/one.py": b"",
    "chapters/errors_of_one.py": b"LIMIT = 5\n",
}
ONE = "diffnotes.chapters.one"


@pytest.fixture
def package(monkeypatch):
    """A function that makes the package look as given, on top of BASE."""

    def put(**files: str) -> None:
        named = {name.replace("__", "/") + ".py": text.encode() for name, text in files.items()}
        monkeypatch.setattr(sources, "SOURCES", {**BASE, **named})
        forget()

    def forget() -> None:
        for cached in (code._closure, code._modules, code._data, code._read_by_all):
            cached.cache_clear()
        code._digest.cache_clear()
        code._file.cache_clear()

    yield put
    monkeypatch.undo()
    forget()


def changes(package, text: str, other: str, content: bytes) -> bool:
    """Whether the digest of an experiment with this text changes with the content of another file."""
    package(chapters__one=text)
    before = code.digest(ONE)
    changed = {**sources.SOURCES, other: content}
    package(chapters__one=text)
    sources.SOURCES.update(changed)
    return code.digest(ONE) != before


@pytest.mark.parametrize(
    ("text", "other"),
    [
        ("import diffnotes.formulas", "formulas.py"),
        ("import diffnotes.formulas as f", "formulas.py"),
        ("from diffnotes import formulas", "formulas.py"),
        ("from diffnotes.formulas import FACTOR", "formulas.py"),
        ("from diffnotes.formulas import *", "formulas.py"),
        ("from .. import formulas", "formulas.py"),
        ("from ..formulas import FACTOR", "formulas.py"),
        ("from . import errors_of_one", "chapters/errors_of_one.py"),
        ("from .errors_of_one import LIMIT", "chapters/errors_of_one.py"),
        ("def compute():\n    from diffnotes import formulas", "formulas.py"),
        ("import importlib\nf = importlib.import_module('diffnotes.formulas')", "formulas.py"),
        ("import importlib\nf = importlib.import_module('..formulas', __package__)", "formulas.py"),
        ("import importlib\ndef f(x): return importlib.import_module(f'diffnotes.{x}')", "formulas.py"),
        ("import importlib\ndef f(x): return importlib.import_module(x)", "formulas.py"),
        ("def f(x): return __import__(x)", "formulas.py"),
        ("NAME = 'diffnotes.formulas'", "formulas.py"),
        ("from importlib import import_module as load\ndef f(x): return load(x)", "formulas.py"),
        ("import importlib\ndef f(xs): return map(importlib.import_module, xs)", "formulas.py"),
        ("import runpy\nf = runpy.run_path('formulas.py')", "formulas.py"),
        ("exec('from diffnotes import formulas')", "formulas.py"),
        ("f = __import__('diffnotes', fromlist=['formulas'])", "formulas.py"),
        ("from importlib import util\nf = util.spec_from_file_location('x', 'y')", "formulas.py"),
        ("from importlib.machinery import SourceFileLoader\nf = SourceFileLoader('x', 'y')", "formulas.py"),
        ("import pkgutil\nf = pkgutil.resolve_name('diffnotes.formulas:FACTOR')", "formulas.py"),
        ("import pkgutil\nf = list(pkgutil.walk_packages(['x']))", "formulas.py"),
        ("import pydoc\ndef f(x): return pydoc.locate(x)", "formulas.py"),
        ("from diffnotes.tables import *", "tables/numbers.py"),
        ("from diffnotes.errors import SIZE", "errors.py"),
        ("from diffnotes.tables.numbers import ROWS", "tables/__init__.py"),
        ("", "chapters/__init__.py"),
        ("", "__init__.py"),
    ],
)
def test_a_change_is_seen_through_every_form_of_import(package, text, other):
    assert changes(package, text, other, b"FACTOR = 3.0\n")


@pytest.mark.parametrize(
    "text",
    [
        "from diffnotes.tables import numbers",
        "from importlib import resources\nf = resources.files('diffnotes.tables') / 'rows.csv'",
        "from pathlib import Path\nf = Path(__file__).parents[2] / 'tables' / 'rows.csv'",
        "from pathlib import Path\ndef f(x): return Path(__file__).parents[2] / f'tables/{x}.csv'",
        "from pathlib import Path\nf = list(Path(__file__).parents[2].glob('*/*.csv'))",
    ],
)
def test_a_changed_data_file_is_seen(package, text):
    assert changes(package, text, "tables/rows.csv", b"1,3\n")


@pytest.mark.parametrize(
    ("text", "other", "content"),
    [
        ("import math", "formulas.py", b"FACTOR = 3.0\n"),
        ("from diffnotes import formulas", "formulas.py", b"# more words\nFACTOR = (2.0)\n"),
        ("", "chapters/__init__.py", b'ROOMS = ("one", "two")\nSEED = 0\n'),
    ],
)
def test_what_cannot_matter_is_no_change(package, text, other, content):
    assert not changes(package, text, other, content)


def test_what_runs_when_a_package_is_loaded_counts(package):
    init = "def setup():\n    from diffnotes import formulas\n"
    for call, seen in (("setup()\n", True), ("", False)):
        package(chapters__one="")
        sources.SOURCES["chapters/__init__.py"] = (init + call).encode()
        assert ("formulas.py" in code.reached(ONE)) is seen


def test_a_package_goes_before_a_module_of_its_name(package):
    package(chapters__one="from diffnotes import formulas")
    sources.SOURCES["formulas/__init__.py"] = b"FACTOR = 4.0"
    assert "formulas/__init__.py" in code.reached(ONE)


def test_words_count_where_they_are_read(package):
    text = '"""Two."""\nfrom diffnotes import formulas\n'
    package(chapters__one=text)
    plain = code.digest(ONE)
    package(chapters__one=text.replace("Two", "Three"))
    assert code.digest(ONE) == plain
    digests = []
    for word in ("Two", "Three"):
        package(chapters__one=text.replace("Two", word) + "COUNT = __doc__\n")
        digests.append(code.digest(ONE))
    assert digests[0] != digests[1]


def test_a_module_whose_name_begins_like_another_counts(package):
    package(chapters__one="from diffnotes import errors, errors_more", errors_more="X = 1")
    assert {"errors.py", "errors_more.py"} <= code.reached(ONE)


def test_every_experiment_reaches_its_store_and_itself():
    from diffnotes import chapters

    for experiment in chapters.every():
        own = experiment.module.removeprefix("diffnotes.").replace(".", "/") + ".py"
        reached = code.reached(experiment.module)
        assert {own, "store/experiment.py", "base/files.py"} <= reached


# --- the code that ran ---


@pytest.fixture
def edited(monkeypatch, elsewhere, committed):
    """Pretend that a file which the store needs has another text on disk than this process began with."""
    experiment = replace(small.EXPERIMENT, compute=computed_in_the_package)
    store.pin(experiment, store.run(experiment, "laptop", kind="x").key)
    monkeypatch.setattr(code, "edited", lambda module: ["runtime.py"])
    return experiment


def computed_in_the_package(spec, work):
    return small.compute(spec, work)


def test_a_process_whose_files_changed_stores_nothing(edited, elsewhere):
    before = sorted(elsewhere.rglob("record.json"))
    with pytest.raises(code.Edited, match=r"runtime\.py has changed since this process began"):
        store.run(edited, "laptop", kind="y")
    assert sorted(elsewhere.rglob("record.json")) == before


def test_files_that_change_during_a_run_keep_it_from_being_stored(elsewhere, monkeypatch):
    def compute(spec, work):
        monkeypatch.setattr(code, "edited", lambda module: ["runtime.py"])
        return small.compute(spec, work)

    with pytest.raises(code.Edited, match="Finished parts are kept"):
        store.run(replace(small.EXPERIMENT, compute=compute), "laptop")
    assert not list(elsewhere.rglob("record.json"))
    assert list(elsewhere.rglob("partial-*/sums.npz"))


def test_a_process_whose_files_changed_remembers_nothing_and_says_so(edited, monkeypatch):
    monkeypatch.setattr(memory, "keep", lambda *_: pytest.fail("remembered"))
    [entry] = [e for e in store.index() if e.profile == "laptop"]
    found = store.state(entry.read(), edited)
    assert (found.name, "since this process began" in found.reason) == ("stale", True)
    assert store.verify(edited).name == "stale"
    assert staleness.pinned_twins(edited)


def test_a_changed_file_is_not_loaded_late(monkeypatch):
    """Python would take it from the disk, and the digest from what was there when the process began."""
    monkeypatch.setitem(sources.SOURCES, "chapters/speed/stopwatch.py", b"# another text")
    monkeypatch.delitem(sys.modules, "diffnotes.chapters.speed.stopwatch", raising=False)
    folder = str(sources.PACKAGE / "chapters" / "speed")
    with pytest.raises(ImportError, match="stopwatch.py has changed since this process began"):
        sources._Unchanged().find_spec("diffnotes.chapters.speed.stopwatch", [folder])


def test_an_experiment_in_no_file_is_refused(elsewhere):
    def compute(spec, work):
        return small.compute(spec, work)

    compute.__module__ = "typed_into_a_cell"
    with pytest.raises(code.Edited, match="is in no file, so its code has no digest"):
        store.run(replace(small.EXPERIMENT, compute=compute), "smoke")


def test_an_experiment_outside_the_package_is_the_one_that_was_loaded(elsewhere, monkeypatch):
    import importlib.util

    path = elsewhere / "beside.py"
    path.write_text(
        "import small\nfrom dataclasses import replace\ndef compute(spec, work):\n"
        "    return small.compute(spec, work)\nE = replace(small.EXPERIMENT, compute=compute)\n"
    )
    spec = importlib.util.spec_from_file_location("beside", path)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "beside", module)
    spec.loader.exec_module(module)
    path.write_text(path.read_text() + "# and more\n")
    with pytest.raises(code.Edited, match=r"beside\.py has changed"):
        store.run(module.E, "smoke")


KERNEL = """
import pathlib, sys
import diffnotes
from diffnotes import store
from diffnotes.chapters.toy import experiment as toy_model
path = pathlib.Path(diffnotes.__file__).parent / "chapters" / "toy" / "formulas.py"
text = path.read_text()
assert "2 * CIRCLE_RADIUS" in text
path.write_text(text.replace("2 * CIRCLE_RADIUS", "3 * CIRCLE_RADIUS"))
try:
    store.run(toy_model.EXPERIMENT, "smoke")
except store.UserError as error:
    print(type(error).__name__)
"""


def test_code_edited_under_a_running_process(tmp_path):
    """End to end, with files on a disk: the old code's numbers are never booked on the new code."""
    import shutil

    root = Path(__file__).resolve().parents[2]
    shutil.copytree(root / "diffnotes", tmp_path / "diffnotes")
    done = subprocess.run(
        [sys.executable, "-c", KERNEL.replace("store.UserError", "ValueError")], cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path), "DIFFNOTES_ROOT": str(tmp_path), "PATH": "/usr/bin:/bin"},
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.stdout.strip() == "Edited", done.stderr
    assert not list(tmp_path.rglob("record.json"))
