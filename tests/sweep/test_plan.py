"""What a sweep says of itself before it runs: settings, costs, what jobs are given."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import plan
import pytest


def target(
    name: str = "toy_model", seconds: float = 60, state: str = "missing", **changed: Any
) -> dict[str, Any]:
    """As `targets.py` prints one."""
    there = {
        "experiment": name,
        "profile": "laptop",
        "settings": {},
        "machine": "two CPU cores",
        "key": "0" * 16,
    }
    return {**there, "seconds": seconds, "state": state, "there": state == "there", **changed}


def told(call: Any, *words: Any) -> str:
    """The sentence with which a call ends."""
    with pytest.raises(SystemExit) as caught:
        call(*words)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"gird": "smoke"}, "sweep: --config has no gird (did you mean grid?); it takes grid, python, "),
        ({"threads": 0}, "sweep: threads must be a whole number of at least 1; not 0."),
        ({"threads": True}, "threads must be a whole number of at least 1; not True."),
        ({"slice": "long"}, "slice must be a whole number of at least 0; not 'long'."),
        ({"skip": "yes"}, "skip must be true or false; not 'yes'."),
    ],
)
def test_bad_settings_are_one_sentence(given: dict[str, Any], sentence: str) -> None:
    assert sentence in told(plan.settings, given)


def test_settings_have_defaults() -> None:
    assert plan.settings({"threads": 2}) == {**plan.DEFAULTS, "threads": 2}


def test_what_is_not_there_is_named() -> None:
    assert "there is no grid smok; name one of paper, shown, smoke, or a file" in told(plan.grid, "smok")
    assert "there is no grid none.yaml" in told(plan.grid, "none.yaml")
    assert plan.grid("smoke") == plan.HERE / "grids" / "smoke.yaml"
    assert "there is no Python bin/nothing; `make setup` makes .venv" in told(plan.python, "bin/nothing")
    assert plan.python(sys.executable) == sys.executable


def test_a_python_without_the_project_is_told(tmp_path: Path) -> None:
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -I -S "$@"\n')
    bare.chmod(0o755)
    sentence = told(plan.asked, str(bare), plan.grid("smoke"))
    assert "is not the project's Python (ModuleNotFoundError: No module named " in sentence


def test_what_is_missing_and_what_it_costs() -> None:
    gpu = target("cifar", 7200, machine="one H200")
    todo = [target(), target(), target("digits", 3600), target("gaussian", state="there"), gpu]
    assert list(plan.lines("some", todo, threads=1, cores=2)) == [
        "some: 5 records, 1 there, 4 missing.",
        "  digits (laptop)                     1 record of 2.0 h",
        "  cifar (laptop)                      1 record of 2.0 h",
        "  toy_model (laptop)                 2 records of 2 min",
        "Cost: about 2 core-hours and 2 GPU-hours (cores x time), on 2 cores 3.0 h; "
        "the longest job takes 2.0 h.",
    ]
    assert list(plan.lines("some", [target(state="changed"), target(state="no data")], 2, None))[:3] == [
        "some: 2 records, 0 there, 0 missing.",
        "1 more of other code, or damaged: made again where they no longer hold.",
        "1 left out, because their data are not here.",
    ]
    assert list(plan.lines("some", [target(state="there")], 1, 2)) == ["some: 1 record, 1 there, 0 missing."]
    many = [target(f"e{number}", number) for number in range(30)]
    assert len(list(plan.lines("many", many, 1, 2))) == 14


def test_records_without_data_must_be_left_out_on_purpose() -> None:
    lacking = target(state="no data", why="CIFAR-10 is not here.", settings={"dataset": "cifar10"})
    sentence = told(plan.possible, [target(), lacking], False)
    assert (
        "1 of 2 records cannot be made here; the first is toy_model (laptop) dataset=cifar10: CIFAR-10"
        in sentence
    )
    assert plan.possible([target(), lacking], True) == [target()]


def test_what_a_cluster_is_asked_for() -> None:
    assert [plan.runtime(target(seconds=60), 1, 0, attempt) for attempt in (1, 2)] == [17, 33]
    assert plan.runtime(target(seconds=1e6), 1, 3000, 2) == 60
    assert plan.memory(target(profile="smoke_long"), 1) == 2000
    assert plan.memory(target(), 2) == 12000
    assert plan.memory(target("loss_sizes_imagenet"), 1) == plan.memory(target(profile="paper"), 1) == 16000
    assert not plan.needs_gpu(target())
    assert plan.needs_gpu(target(machine="one H200"))
