"""`make`: the set-up runs once, notices interruptions and changes, and tells failures in one sentence."""

from __future__ import annotations

import subprocess
from pathlib import Path

import make_venv
import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """An empty project whose pip only notes what it was asked for; returns these notes."""
    for name in ("requirements.txt", "constraints.txt", "pyproject.toml"):
        (tmp_path / name).write_text("")
    asked: list[list[str]] = []
    run = make_venv.run_logged

    def run_or_note(command: list[str], log: Path) -> int:
        if command[1:3] == ["-m", "venv"]:
            code = run([*command, "--without-pip"], log)  # fast; an empty stand-in makes `import pip` work
            next(Path(command[3]).glob("lib/python*/site-packages")).joinpath("pip.py").write_text("")
            return code
        asked.append(command[4:])
        return 0

    monkeypatch.setattr(make_venv, "ROOT", tmp_path)
    monkeypatch.setattr(make_venv, "run_logged", run_or_note)
    return asked


def test_second_run_is_free_and_a_change_is_noticed(project: list[list[str]]) -> None:
    make_venv.main("book")
    assert project == [["-r", "requirements.txt"], ["--no-deps", "-e", "."]]
    make_venv.main("book")
    assert len(project) == 2
    (make_venv.ROOT / "requirements.txt").write_text("# changed")
    make_venv.main("book")
    assert len(project) == 4


def test_snakemake_gets_an_environment_without_the_package(project: list[list[str]]) -> None:
    (make_venv.ROOT / "sweep").mkdir()
    (make_venv.ROOT / "sweep/requirements.txt").write_text("")
    make_venv.main("sweep")
    assert project == [["-r", "sweep/requirements.txt"]]
    assert (make_venv.ROOT / ".venv-sweep/.stamp-sweep").exists()


def test_interrupted_install_starts_over(project: list[list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> int:
        raise KeyboardInterrupt

    make_venv.main("book")
    venv = make_venv.ROOT / ".venv"
    (venv / "left-over").write_text("")
    (make_venv.ROOT / "requirements.txt").write_text("# changed")
    with monkeypatch.context() as patch:
        patch.setattr(make_venv, "run_logged", interrupted)
        with pytest.raises(KeyboardInterrupt):
            make_venv.main("book")
    make_venv.main("book")
    assert not (venv / "left-over").exists()
    assert (venv / ".stamp-book").exists()


def test_failed_install_leaves_no_stamp(project: list[list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    make_venv.main("book")
    (make_venv.ROOT / "requirements.txt").write_text("# changed")
    monkeypatch.setattr(make_venv, "run_logged", lambda command, log: log.write_text("ReadTimeoutError"))
    for _ in range(2):
        with pytest.raises(make_venv.SetupError, match=r"cannot be reached.*log: .*setup-book\.log"):
            make_venv.main("book")


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (
            "NewConnectionError: Temporary failure in name resolution\nNo matching distribution found for x",
            "network",
        ),
        ("ERROR: No matching distribution found for torch==2.13.0", "offers no torch==2.13.0 for Python 3"),
        ("OSError: [Errno 28] No space left on device", "disk is full"),
        ("something new", "see the log"),
    ],
)
def test_pip_is_explained(said: str, told: str) -> None:
    assert told in make_venv.explain(said, Path(".venv"))


def test_old_python_is_refused() -> None:
    with pytest.raises(make_venv.SetupError, match=r"Python 3\.10 is too old, 3\.11 or newer is needed; \w+"):
        make_venv.check_python((3, 10, 1))


def test_folder_that_is_not_writable_is_refused(tmp_path: Path) -> None:
    with pytest.raises(make_venv.SetupError, match="Cannot write in .*clone"):
        make_venv.check_writable(tmp_path / "absent")


def make(*words: str) -> subprocess.CompletedProcess[str]:
    """Run make in the repository."""
    return subprocess.run(["make", *words], cwd=ROOT, capture_output=True, text=True)


def test_plain_make_lists_the_targets() -> None:
    done = make()
    assert done.returncode == 0
    assert "make book" in done.stdout
    assert "make test" in done.stdout


def test_missing_python_is_one_sentence() -> None:
    done = make("PYTHON=no-such-python", "book")
    assert done.returncode != 0
    assert done.stderr.startswith("Error: there is no no-such-python;")
