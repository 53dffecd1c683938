"""Shape annotations are checked at run time while the tests run; the slow tests are known by name.

`tests/slow.txt` lists the tests of which one case takes over a second, with the seconds of all their cases
when they were last measured. They are marked `slow` (`make quick` leaves them out), as are those that build
the book or start a browser. The files that take longest go first, so that the processes end together.
`pytest --measure` writes the list anew.
"""

from __future__ import annotations

import os
import shutil
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

# Beside another worker, more threads only wait for each other. Before anything loads torch.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# Every record is synced to the disk, and tests make thousands: in memory, where there is room, none waits.
if os.access("/dev/shm", os.W_OK) and shutil.disk_usage("/dev/shm").free > 4e9:
    for name in ("PYTEST_DEBUG_TEMPROOT", "TMPDIR"):  # of pytest's folders, and of all others
        os.environ.setdefault(name, "/dev/shm")

import pytest
from forks import Forks
from hypothesis import settings
from jaxtyping import install_import_hook

if TYPE_CHECKING:
    import chromium

HERE = Path(__file__).resolve().parent
PACKAGE = HERE.parent / "diffnotes"
SLOW = HERE / "slow.txt"
HEAD = "# Seconds of the tests of which one case takes over a second; `pytest --measure` writes this list."
SETS_UP = {"site", "browser"}  # what takes long for whichever test is the first to ask for it
LIMIT, BUSY = 1.0, 3.0  # seconds: what makes a test slow, and what is told of one that is not in the list
SHAPED = [
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
    for path in PACKAGE.rglob("*.py")
    if "from diffnotes.base.shapes import" in path.read_text()
]
install_import_hook(SHAPED, "beartype.beartype")

# A busy machine is no bug; and every machine tries the same examples, so that a failure is one anywhere.
settings.register_profile("diffnotes", deadline=None, derandomize=True)
settings.load_profile("diffnotes")


@pytest.fixture
def committed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkout without changes, wherever the tests run: records made in it can be pinned."""
    from diffnotes.store import records

    monkeypatch.setattr(records, "commit", lambda: {"commit": "0" * 40, "dirty": False})


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of the test's own, where records are made and looked for, in place of this checkout."""
    monkeypatch.setenv("DIFFNOTES_ROOT", str(tmp_path))
    return tmp_path


@pytest.fixture(scope="module")
def browser() -> Iterator[chromium.Browser]:
    """A browser; without one the tests are skipped, but not in CI."""
    import chromium  # slow to import, needed only here

    reason = chromium.missing()
    if reason and os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    if reason:
        pytest.skip(reason)
    with chromium.browser() as started:
        yield started


@pytest.fixture(scope="session")
def forks() -> Iterator[Forks]:
    """Fresh Python processes, without the seconds that they need to load torch."""
    server = Forks()
    yield server
    server.close()


@pytest.fixture(autouse=True)
def page() -> None:
    """Each test draws on a page of its own, so that anchors do not depend on the tests before it."""
    from diffnotes.show.page import new_page

    new_page()


# --- slow tests ---


def listed() -> dict[str, float]:
    """Seconds of the slow tests, by their names without cases."""
    lines = SLOW.read_text(encoding="utf-8").splitlines() if SLOW.exists() else []
    rows = (line.split() for line in lines if line and not line.startswith("#"))
    return {name: float(seconds) for seconds, name in rows}


def plain(name: str) -> str:
    """The name of a test without its case."""
    return name.partition("[")[0]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--measure", action="store_true", help="write tests/slow.txt for the tests that ran")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the slow tests; the files that take longest go first."""
    known, files = listed(), defaultdict[str, float](float)
    for name, seconds in known.items():
        files[name.partition("::")[0]] += seconds
    for item in items:
        if plain(item.nodeid) in known or SETS_UP & set(getattr(item, "fixturenames", ())):
            item.add_marker("slow")
    items.sort(key=lambda item: -files[item.nodeid.partition("::")[0]])


def measured(reporter: pytest.TerminalReporter) -> tuple[dict[str, float], dict[str, float]]:
    """Seconds of every test that ran: its longest case, and all its cases together."""
    cases = defaultdict[str, float](float)
    for report in (one for found in reporter.stats.values() for one in found):
        if isinstance(report, pytest.TestReport):
            cases[report.nodeid] += report.duration
    longest, together = defaultdict[str, float](float), defaultdict[str, float](float)
    for name, seconds in cases.items():
        longest[plain(name)] = max(longest[plain(name)], seconds)
        together[plain(name)] += seconds
    return longest, together


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say which tests are slow and not in the list; it is no failure, for the machine may be busy."""
    longest, together = measured(terminalreporter)
    known = listed()
    if config.getoption("measure"):
        kept = {name: seconds for name, seconds in known.items() if name not in longest}
        found = kept | {name: together[name] for name in longest if longest[name] > LIMIT}
        lines = [f"{seconds:6.1f} {name}" for name, seconds in sorted(found.items())]
        SLOW.write_text("\n".join([HEAD, *lines, ""]), encoding="utf-8")
    elif missed := sorted(name for name in longest.keys() - known if longest[name] > BUSY):
        terminalreporter.write_line(f"Slow, and not in tests/slow.txt: {', '.join(missed)}")
