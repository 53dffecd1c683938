"""The command line: what it prints, its exit codes, and that no foreseeable mistake ends in a traceback."""

from __future__ import annotations

import io
import json
import os
import random
import resource
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from diffnotes import __main__ as command
from diffnotes import store
from diffnotes.chapters.loss_floor import curve as loss_curve

SMOKE = [sys.executable, "-m", "diffnotes", "run", "loss_curve", "--profile", "smoke"]
pytestmark = pytest.mark.usefixtures("elsewhere", "committed")


@pytest.fixture(autouse=True)
def no_kernel(monkeypatch):
    """Progress is shown as in a notebook where ipykernel is loaded, and whatever starts a kernel loads it."""
    monkeypatch.delitem(sys.modules, "ipykernel", raising=False)


def test_run_pin_status_verify(capsys, elsewhere):
    assert command.main(["run", "loss_curve", "--profile", "smoke"]) == 0
    key, folder = capsys.readouterr().out.split()
    assert (elsewhere / "runs" / "loss_curve" / key).samefile(folder)
    assert command.main(["status"]) == 4  # nothing is pinned
    assert "missing  toy_model" in capsys.readouterr().out
    assert command.main(["pin", key]) == 0
    assert command.main(["verify", "loss_curve"]) == 4
    assert "missing  loss_curve: no twin smoke_pixels is pinned" in capsys.readouterr().out
    for twin in ("smoke_pixels", "smoke_files"):
        assert command.main(["run", "loss_curve", "--profile", twin, "--pin"]) == 0
    assert command.main(["verify", "loss_curve"]) == 4  # the twins hold, and the heavy records are missing
    out = capsys.readouterr().out
    assert "valid    loss_curve: the recomputed twin is equal" in out
    assert "missing  loss_curve dataset=cifar10" in out


def test_status_names_heavier_profiles_and_figures(capsys):
    command.main(["status", "--json"])
    rows = json.loads(capsys.readouterr().out)
    assert all(row["command"].startswith("python -m diffnotes run ") for row in rows)
    assert all(row["figures"] for row in rows)
    command.main(["status", "--summary"])
    assert len(capsys.readouterr().out.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["run", "toy"], "experiment must be one of"),
        (
            ["run", "toy_model", "--profile", "papr"],
            "profile must be one of pinned, smoke, laptop; not 'papr'.",
        ),
        (["run", "toy_model", "--profile", "pinned"], "profile must be one of smoke, laptop to run"),
        (["run", "toy_model", "--set", "detla=1"], "unknown parameter 'detla' (did you mean delta?)"),
        (["run", "toy_model", "--set", "delta=abc"], "delta must be a number from 0.01 to 50; not 'abc'."),
        (["run", "toy_model", "--set", "delta"], "--set takes key=value; not 'delta'."),
        (["pin", "0123"], "No finished record '0123'"),
        (["fetch", "mnist"], "cifar10"),
        (["verify", "toy"], "experiment must be one of"),
        (["run", "toy_model", "--set", f"delta={'1' * 401}"], "from 0.01 to 50; not 111"),
        (["run", "toy_model", "--set", f"seed={'1' * 5000}"], "seed must be a whole number from 0 to 1e+06"),
        (["run", "toy_model", "--set", f"seed={'-' * 3000}1"], "(3003 characters)."),
        (["run", "toy_model", "--set", f"seed={'[' * 3000}"], "seed must be a whole number"),
        (["run", "toy_model", "--set", "seed={[]: 1}"], "seed must be a whole number"),
        (["run", "toy_model", "--set", "seed=1", "delta=2", "seed=2"], "--set gives 'seed' twice"),
        (["run", "x" * 10**5], "(100002 characters)."),
        (["run", "toy_model", "--set", f"{'n' * 10**5}=1"], "unknown parameter 'nnn"),
        (["fetch", "x" * 10**5], "(100002 characters); the one dataset"),
        (["pin", "a**"], "No finished record 'a**'"),
        (["pin", "*"], "No finished record '*'"),
        (["pin", "k" * 300], "(302 characters) is in runs/ or results/"),
    ],
)
def test_a_mistake_gets_one_line_and_exit_code_2(words, sentence, capsys):
    assert command.main(words) == 2
    error = capsys.readouterr().err
    assert error.startswith("diffnotes: ")
    assert sentence in error
    assert len(error.strip().splitlines()) == 1
    assert len(error) < 1500


def test_missing_data_is_one_line(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("DIFFNOTES_DATA", str(tmp_path / "nowhere"))
    assert command.main(["run", "loss_curve", "--profile", "smoke", "--set", "dataset=cifar10"]) == 2
    assert "python -m diffnotes fetch cifar10" in capsys.readouterr().err


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "soon"])
def test_a_senseless_budget_is_refused(seconds, capsys):
    with pytest.raises(SystemExit) as stop:
        command.main(["run", "toy_model", "--max-seconds", seconds])
    assert stop.value.code == 2
    assert "number of seconds above 0" in capsys.readouterr().err


def test_slices_end_with_code_3_until_the_work_is_done(capsys):
    whole = store.run(loss_curve.EXPERIMENT, "smoke", seed=1)
    words = ["run", "loss_curve", "--profile", "smoke", "--max-seconds", "1e-6"]
    codes = [command.main(words)]
    while codes[-1] == 3 and len(codes) < 20:
        assert "the same command continues" in capsys.readouterr().err
        codes.append(command.main(words))
    assert codes[-2:] == [3, 0]
    assert whole.key != capsys.readouterr().out.split()[0]


def test_a_killed_run_goes_on_and_gives_the_same_numbers(elsewhere):
    """kill -9 at random moments; whatever was saved is whole, and the record is that of one run."""
    expected = store.run(loss_curve.EXPERIMENT, "smoke", seed=5)
    draw = random.Random(0)
    environment = os.environ | {"DIFFNOTES_ROOT": str(elsewhere / "killed"), "OMP_NUM_THREADS": "1"}
    words = [*SMOKE, "--set", "seed=5"]
    for _ in range(4):
        process = subprocess.Popen(
            words, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        time.sleep(draw.uniform(1.5, 4.0))
        process.send_signal(signal.SIGKILL)
        process.wait()
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    key, folder = done.stdout.split()
    found = np.load(f"{folder}/arrays.npz")
    assert key == expected.key
    np.testing.assert_allclose(found["mean"], expected["mean"], rtol=1e-5, atol=1e-9)
    assert int(found["sources"]) == int(expected["sources"])


def test_an_interrupt_is_no_traceback(monkeypatch, capsys):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(store, "run", stop)
    assert command.main(["run", "toy_model"]) == 3
    assert "the same command continues" in capsys.readouterr().err


INTERRUPTING = """
import runpy, sys
class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == {name!r}:
            exec("raise KeyboardInterrupt")  # Python remembers one that comes through text
sys.meta_path.insert(0, Interrupting())
sys.argv = ["diffnotes", "run", "toy_model", "--profile", "smoke"]
runpy.run_module("diffnotes", run_name="__main__", alter_sys=True)
"""


@pytest.mark.parametrize("name", ["diffnotes.store", "torch"])
def test_an_interrupt_while_modules_are_loaded_is_no_other(name, elsewhere):
    words = [sys.executable, "-c", INTERRUPTING.format(name=name)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=100, env=os.environ)
    assert (done.returncode, done.stderr) == (3, f"diffnotes: {command.INTERRUPTED}\n")
    assert store.Unfinished.exit_code == command.UNFINISHED  # which is needed before `store` is there


# --- odd machines ------------------------------------------------------------------------------------


def told(capsys) -> str:
    """What stands on stderr: one line, without the name of the program."""
    [line] = capsys.readouterr().err.splitlines()
    return line.removeprefix("diffnotes: ")


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"RANK": "abc"}, "RANK must be a whole number, as torchrun sets it, or unset; not 'abc'."),
        ({"RANK": "-1", "WORLD_SIZE": "2"}, "RANK must be a whole number"),
        ({"WORLD_SIZE": "2.0"}, "WORLD_SIZE must be a whole number"),
        ({"WORLD_SIZE": "9" * 400}, "WORLD_SIZE must be a whole number"),
        ({"RANK": "1"}, "RANK is 1 and WORLD_SIZE is not set, which do not go together; start with torchrun"),
        ({"WORLD_SIZE": "2"}, "RANK is not set and WORLD_SIZE is 2, which do not go together"),
        ({"WORLD_SIZE": "0"}, "WORLD_SIZE is 0, which do not go together"),
        ({"RANK": "2", "WORLD_SIZE": "2"}, "RANK is 2 and WORLD_SIZE is 2, which do not go together"),
    ],
)
def test_variables_that_torchrun_never_sets_so_are_refused(
    variables, sentence, monkeypatch, capsys, elsewhere
):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert command.main(["run", "toy_model", "--profile", "smoke"]) == 2
    assert sentence in told(capsys)
    assert not (elsewhere / "runs").exists()


def test_a_process_that_runs_alone_may_say_so(monkeypatch, capsys):
    for rank, size in (("0", "1"), ("", "")):
        monkeypatch.setenv("RANK", rank)
        monkeypatch.setenv("WORLD_SIZE", size)
        assert command.main(SMOKE[3:]) == 0
        assert capsys.readouterr().out


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-8"])
def test_an_output_without_greek_letters_has_them_escaped(encoding, monkeypatch):
    found = {}
    for words in (["claims"], ["claims", "--json"], ["claims", "--short"]):
        pipe = io.TextIOWrapper(io.BytesIO(), encoding=encoding, newline="")
        monkeypatch.setattr(sys, "stdout", pipe)
        assert command.main(words) == 4  # nothing is pinned
        found[words[-1]] = pipe.buffer.getvalue().decode(encoding)
    sigma = "σ" if encoding == "utf-8" else "\\u03c3"
    assert f"at large {sigma} and onto" in found["claims"]
    assert "at large σ and onto" in json.loads(found["--json"])[0]["statement"]
    assert found["--short"].count("|") > 40


def test_an_output_that_cannot_be_written_is_told(monkeypatch, capsys, elsewhere):
    for words in (["claims"], ["status", "--json"], SMOKE[3:], ["--help"]):
        with open("/dev/full", "w") as full, monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", full)
            assert command.main(words) == 2
        assert told(capsys) == "The output cannot be written (No space left on device); what is done is kept."
    assert list(elsewhere.glob("runs/loss_curve/*/record.json"))
    with open("/dev/full", "w") as full, monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", full)
        assert command.main(["run", "toy"]) == 2


def test_a_reader_that_has_seen_enough_changes_no_verdict(monkeypatch, capsys):
    for words, code in ((["status"], 4), (["verify", "toy_model"], 4)):
        read, write = os.pipe()
        os.close(read)
        with os.fdopen(write, "w") as pipe, monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", pipe)
            assert command.main(words) == code
    assert capsys.readouterr().err == ""


def test_closed_streams_harm_nothing(elsewhere):
    """What is closed gets no number that a file of the record could take."""
    whole = " ".join([*SMOKE, "<&- >&- 2>&-"])
    assert subprocess.run(["sh", "-c", whole], timeout=300).returncode == 0
    [record] = [store.records.read(path.parent) for path in elsewhere.glob("runs/*/*/record.json")]
    assert record.arrays


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (MemoryError(), "there is not enough memory; free some, or take smaller settings."),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "there is not enough memory"),
        (ImportError("libtorch.so: failed to map segment from shared object"), "there is not enough memory"),
        (OSError(28, "No space left on device", "x.npz"), "cannot read or write x.npz (No space left"),
        (ModuleNotFoundError("No module named 'seaborn'", name="seaborn"), "this needs seaborn, which"),
    ],
)
def test_what_the_machine_lacks_is_told(error, sentence, monkeypatch, capsys):
    monkeypatch.setattr(store, "run", lambda *_, **__: (_ for _ in ()).throw(error))
    assert command.main(["run", "toy_model"]) == 2
    assert sentence in told(capsys)


def test_a_fault_of_the_code_keeps_its_traceback(monkeypatch):
    monkeypatch.setattr(store, "run", lambda *_, **__: (_ for _ in ()).throw(RuntimeError("a bug")))
    with pytest.raises(RuntimeError, match="a bug"):
        command.main(["run", "toy_model"])


def limited(kind: int, most: int, *words: str) -> subprocess.CompletedProcess[str]:
    """A command that may take no more than this of something."""
    return subprocess.run(
        [sys.executable, "-m", "diffnotes", *words], capture_output=True, text=True, timeout=300,
        env=os.environ | {"OMP_NUM_THREADS": "1"}, preexec_fn=lambda: resource.setrlimit(kind, (most, most)),
    )  # fmt: skip


@pytest.mark.parametrize("kind", ["RLIMIT_AS", "RLIMIT_FSIZE"])
def test_little_memory_and_a_full_disk_get_one_sentence(kind, elsewhere):
    most = {"RLIMIT_AS": 400 << 20, "RLIMIT_FSIZE": 300}[kind]
    done = limited(getattr(resource, kind), most, "run", "loss_curve", "--profile", "smoke")
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert ("not enough memory" in line) if kind == "RLIMIT_AS" else ("File too large" in line)
    assert not list(elsewhere.glob("runs/*/*/record.json"))


@pytest.mark.parametrize("term", ["dumb", "xterm"])
def test_progress_needs_no_codes_of_the_terminal(term, monkeypatch):
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setenv("TERM", term)
    monkeypatch.setattr(sys, "stderr", terminal)
    assert command.main(["run", "loss_curve", "--profile", "smoke"]) == 0
    shown = terminal.getvalue()
    assert "loss_curve (smoke)  37% [#######" in shown
    assert "\033" not in shown
    assert shown.rsplit("\r", 2)[1].isspace()  # the line is empty in the end
