"""The command line: what it prints, its exit codes, and that no foreseeable mistake ends in a traceback."""

from __future__ import annotations

import json
import os
import random
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
    ],
)
def test_a_mistake_gets_one_line_and_exit_code_2(words, sentence, capsys):
    assert command.main(words) == 2
    error = capsys.readouterr().err
    assert error.startswith("diffnotes: ")
    assert sentence in error
    assert len(error.strip().splitlines()) == 1


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
