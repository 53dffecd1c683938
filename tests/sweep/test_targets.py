"""A grid becomes records with the keys that the command line gives them, or one sentence."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import targets

from diffnotes import chapters, store
from diffnotes.__main__ import main as command_line
from diffnotes.base.errors import UserError
from diffnotes.chapters.toy import samples as toy_samples

GRIDS = Path(__file__).resolve().parents[2] / "sweep" / "grids"
SMALL = """
- {experiment: toy_samples, profile: smoke, settings: {seed: [2, 3], n: 20}}
- {experiment: shell_width, profile: smoke, settings: {dims: [[2, 3]]}}
- {experiment: toy_samples, profile: smoke, settings: {n: 20}}
"""


def written(folder: Path, text: str) -> Path:
    """A grid of its own."""
    (folder / "grid.yaml").write_text(text, encoding="utf-8")
    return folder / "grid.yaml"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("- {experiment: toy_modle}", "grid.yaml, entry 1: experiment must be one of toy_model, "),
        ("- {experiment: 3}", "grid.yaml, entry 1: experiment must be a name; not 3."),
        ("- {profile: smoke}", "grid.yaml, entry 1: experiment must be a name; not None."),
        ("- {experiment: toy_samples, profile: big}", "must be one of smoke, laptop; not 'big'."),
        ("- {experiment: toy_samples, profile: pinned}", "must be one of smoke, laptop; not 'pinned'."),
        ("- {experiment: toy_samples, setings: {}}", "'setings' (did you mean settings?)"),
        ("- {experiment: toy_samples, settings: {sed: 1}}", "'sed' (did you mean seed?)"),
        ("- {experiment: toy_samples, settings: {1: 1}}", "unknown parameter 1;"),
        ("- {experiment: toy_samples, settings: {seed: x}}", "seed must be a whole number"),
        ("- {experiment: toy_samples, settings: {seed: [1, 0.5]}}", "seed must be a whole number"),
        ("- {experiment: toy_samples, settings: {seed: {a: 1}}}", "seed must be a whole number"),
        ("- {experiment: toy_samples, settings: {seed:}}", "seed must be a whole number"),
        ("- {experiment: toy_samples, settings: {seed: []}}", "the list of seed is empty."),
        ("- {experiment: toy_samples, settings: all}", "or the word shown; not 'all'."),
        ("- {experiment: toy_samples}\n- toy", "grid.yaml, entry 2: it is 'toy'; a grid is a list of {exp"),
        ("experiment: toy_samples", "grid.yaml holds {'experiment': 'toy_samples'}; a grid is a list"),
        ("", "grid.yaml holds None; a grid is a list of {experiment, profile, settings}."),
        ("[]", "grid.yaml asks for nothing; a grid is a list"),
        ("- {experiment: a, experiment: b}", "grid.yaml is not YAML: 'experiment' is said twice in line 1."),
        ("- {experiment: [", "grid.yaml is not YAML: expected the node content, but found"),
        ("- !!python/object:os.system {}", "grid.yaml is not YAML: could not determine a constructor"),
        ("\0", "grid.yaml is not YAML, or no text."),
        ("- " + "[" * 5000, "grid.yaml is not YAML, or no text."),
    ],
)
def test_a_bad_grid_is_one_sentence(
    text: str, sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert targets.main([str(written(tmp_path, text))]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert sentence in said.err


def test_too_many_are_refused_before_they_are_counted_out(tmp_path: Path) -> None:
    many = list(range(1000))
    grid = written(tmp_path, f"- {{experiment: toy_samples, settings: {{seed: {many}, n: {many}}}}}")
    with pytest.raises(UserError, match="asks for 1,000,000 records; 10,000 are the most"):
        targets.targets(grid)


def test_no_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert targets.main([str(tmp_path / "none.yaml")]) == 2
    assert capsys.readouterr().err.endswith("none.yaml cannot be read (No such file or directory).\n")
    assert targets.main([]) == 2


def test_keys_are_those_of_the_command_line(
    elsewhere: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "ipykernel", raising=False)  # as another test may have loaded it
    grid = written(tmp_path, SMALL)
    found = targets.targets(grid)
    assert [(one["experiment"], one["settings"], one["state"]) for one in found] == [
        ("toy_samples", {"seed": 2, "n": 20}, "missing"),  # the third entry asks for the same once more
        ("toy_samples", {"seed": 3, "n": 20}, "missing"),
        ("shell_width", {"dims": [2, 3]}, "missing"),
    ]
    for one in found:
        assert command_line(one["words"]) == 0
        assert capsys.readouterr().out == f"{one['key']} {(elsewhere / one['record']).parent}\n"
    assert targets.main([str(grid)]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["root"] == str(elsewhere)
    assert [one["there"] for one in again["targets"]] == [True, True, True]


def test_other_code_and_damage_are_for_the_command_to_judge(
    elsewhere: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grid = written(tmp_path, "- {experiment: toy_samples, profile: smoke}")
    record = store.run(toy_samples.EXPERIMENT, "smoke")
    assert targets.targets(grid)[0]["state"] == "there"
    (record.folder / "partial-x").mkdir()  # of a process that was killed when it was nearly done
    assert targets.targets(grid)[0]["state"] == "changed"
    (record.folder / "partial-x").rmdir()
    with monkeypatch.context() as patch:
        patch.setattr(store, "code_digest", lambda experiment: "other")
        (one,) = targets.targets(grid)
        assert (one["state"], one["there"]) == ("changed", False)
        mark = elsewhere / one["output"]
        mark.parent.mkdir(parents=True)
        mark.write_text("")
        assert targets.targets(grid)[0]["there"]
        with (record.folder / "arrays.npz").open("ab") as file:
            file.write(b"x")
        (damaged,) = targets.targets(grid)
        assert (damaged["state"], damaged["output"] != one["output"]) == ("changed", True)
    assert targets.targets(grid)[0]["state"] == "changed"
    assert store.run(toy_samples.EXPERIMENT, "smoke").key == record.key
    assert targets.targets(grid)[0]["state"] == "there"


def test_data_that_are_not_here_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIFFNOTES_DATA", str(tmp_path))
    text = "- {experiment: loss_curve, profile: smoke, settings: {dataset: [digits, cifar10]}}"
    digits, cifar = targets.targets(written(tmp_path, text))
    assert digits["state"] == "missing"
    assert (cifar["state"], cifar["key"]) == ("no data", None)
    assert "CIFAR-10" in cifar["why"]


def test_the_grids_of_the_book() -> None:
    shown = [one for entry in targets.read(GRIDS / "shown.yaml") for one in targets.asked(entry)]
    assert list(dict.fromkeys(one.name for one, *_ in shown)) == list(chapters.names())
    assert {profile for _, profile, _ in shown} == {"laptop"}
    assert len(shown) == sum(len(one.shown) for one in chapters.every())
    assert len(targets.targets(GRIDS / "smoke.yaml")) == 12
    paper = [one.name for entry in targets.read(GRIDS / "paper.yaml") for one, *_ in targets.asked(entry)]
    assert set(paper) == {one.name for one in chapters.every() if "paper" in one.profiles}
