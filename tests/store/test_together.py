"""Results that stand side by side are of one profile: with a small experiment in a folder of its own."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from diffnotes import store
from diffnotes.base.errors import UserError
from diffnotes.show.style import BookFigure, BookTable, Sentence


@dataclass(frozen=True)
class SweepSpec(store.Spec):
    sweep: str = store.choice("n", "n", "width", "rate")
    size: int = store.number(2, low=1)
    seed: int = store.number(0, low=0)


EXPERIMENT = store.Experiment(
    name="swept",
    version=1,
    spec=SweepSpec,
    profiles={"smoke": SweepSpec(), "laptop": SweepSpec(size=7), "paper": SweepSpec(size=90)},
    compute=lambda spec, work: {"values": np.arange(spec.size)},
    seconds={"smoke": 1, "laptop": 500, "paper": 9000},
    machine={"paper": "one H200"},
    shown=({"sweep": "n"}, {"sweep": "width"}, {"sweep": "rate"}),
)
SWEEPS = EXPERIMENT.shown
CHEAP = replace(EXPERIMENT, seconds={"smoke": 1, "laptop": 1, "paper": 9000})
pytestmark = pytest.mark.usefixtures("elsewhere", "committed")


def pin(profile: str, *sweeps: str) -> None:
    for sweep in sweeps:
        store.pin(EXPERIMENT, store.run(EXPERIMENT, profile, sweep=sweep).key)


def profiles(records: list[store.Record]) -> set[str]:
    assert [record.spec["sweep"] for record in records] == ["n", "width", "rate"]
    return {record.profile for record in records}


# --- load_all --------------------------------------------------------------------------------------


def test_the_best_profile_that_has_all_is_taken():
    pin("laptop", "n", "width", "rate")
    assert profiles(store.load_all(EXPERIMENT, "pinned", SWEEPS)) == {"laptop"}
    pin("paper", "n", "width", "rate")
    found = store.load_all(EXPERIMENT, "pinned", SWEEPS)
    assert profiles(found) == {"paper"}
    assert {(record.state, record.note) for record in found} == {("valid", "")}


def test_a_better_record_alone_is_not_mixed_in_and_is_told():
    pin("laptop", "n", "width", "rate")
    pin("paper", "n")
    n, width, rate = found = store.load_all(EXPERIMENT, "pinned", SWEEPS)
    assert profiles(found) == {"laptop"}
    assert n.note == (
        "A paper record of swept (sweep n) is pinned too; it is not shown here, "
        "because the records beside it are laptop records."
    )
    assert (n.state, width.note, rate.note) == ("valid", "", "")
    assert store.load(EXPERIMENT, sweep="n").profile == "paper"  # alone it is what counts
    assert n.note in Sentence(n, width, text="x")._repr_html_()
    assert BookTable(n, n, header=("a",), rows=[("b",)])._repr_html_().count(n.note) == 1


def test_where_no_profile_has_all_every_command_is_named():
    pin("laptop", "width")
    pin("paper", "n")
    with pytest.raises(store.MissingRecord) as caught:
        store.load_all(EXPERIMENT, "pinned", SWEEPS)
    assert str(caught.value) == (
        "No record of swept with profile laptop is here; make them with "
        "`python -m diffnotes run swept --profile laptop` and "
        "`python -m diffnotes run swept --profile laptop --set sweep=rate` "
        "(about 8 min on two CPU cores each)."
    )
    store.run(EXPERIMENT, "laptop", sweep="rate")  # a run that is not pinned serves as in `load`
    with pytest.raises(
        store.MissingRecord, match="make it with `python -m diffnotes run swept --profile laptop`"
    ):
        store.load_all(EXPERIMENT, "pinned", SWEEPS)


def test_a_cheap_profile_is_completed_on_the_spot():
    pin("paper", "n")
    found = store.load_all(CHEAP, "pinned", SWEEPS)
    assert profiles(found) == {"laptop"}
    assert "paper record" in found[0].note


def test_a_profile_that_is_asked_for_is_all_that_is_taken():
    pin("laptop", "n", "width", "rate")
    pin("paper", "n")
    found = store.load_all(EXPERIMENT, "smoke", SWEEPS)
    assert profiles(found) == {"smoke"}
    assert {record.note for record in found} == {""}
    with pytest.raises(store.MissingRecord, match=r"profile paper .* sweep=width` and .* sweep=rate`"):
        store.load_all(EXPERIMENT, store.Request("paper", {}), SWEEPS)


def test_settings_of_the_page_reach_every_record():
    found = store.load_all(CHEAP, store.Request("pinned", {"seed": 5}), SWEEPS)
    assert {record.spec["seed"] for record in found} == {5}
    with pytest.raises(store.SpecError, match="did you mean sweep"):
        store.load_all(EXPERIMENT, "pinned", [{"swep": "n"}])
    assert store.load_all(EXPERIMENT, "pinned", []) == []


@pytest.mark.parametrize("gone", ["paper", "laptop"])
def test_a_lost_record_is_told_and_nothing_is_mixed(gone):
    pin("laptop", "n", "width", "rate")
    pin("paper", "n")
    lost = store.best(EXPERIMENT, {"sweep": "n"}, gone)
    (lost.folder / "record.json").unlink()
    found = store.load_all(CHEAP, "pinned", SWEEPS)
    assert profiles(found) == {"laptop"}
    assert {record.state for record in found} == {"missing"}
    assert "restore it with git" in found[0].reason


# --- best ------------------------------------------------------------------------------------------


def test_best_takes_one_profile_where_one_is_meant():
    pin("laptop", "n", "width")
    pin("paper", "n")
    assert store.best(EXPERIMENT, {"sweep": "n"}).profile == "paper"
    assert store.best("swept", {"sweep": "n"}, profile="laptop").profile == "laptop"
    assert store.best("swept", {"sweep": "width"}, profile="paper") is None
    assert store.best(EXPERIMENT, {}, profile="smoke").profile == "smoke"


def test_best_refuses_a_setting_that_does_not_exist():
    assert store.best("swept", {"swep": "n"}) is None  # nothing is pinned, so nothing is known
    pin("laptop", "n")
    for experiment in (EXPERIMENT, "swept"):
        with pytest.raises(store.SpecError, match=r"'swep' \(did you mean sweep\?\); the valid names are"):
            store.best(experiment, {"swep": "n"})
        assert store.best(experiment, {"size": 8}) is None


def test_best_knows_the_settings_that_came_later():
    @dataclass(frozen=True)
    class LaterSpec(SweepSpec):
        extra: int = store.number(1, later=True)

    pin("laptop", "n")
    later = replace(EXPERIMENT, spec=LaterSpec)
    assert store.best(later, {"sweep": "n", "extra": 1}) is not None
    assert store.best(later, {"sweep": "n", "extra": 2}) is None


# --- figures ---------------------------------------------------------------------------------------


def fake(experiment: str, profile: str) -> store.Record:
    return store.Record(Path(), {"experiment": experiment, "profile": profile})


def test_no_figure_shows_two_profiles_of_one_experiment():
    mixed = fake("a", "laptop"), fake("b", "smoke"), fake("a", "paper")
    for show in (
        lambda *records: BookFigure(*records, alt=""),
        lambda *records: BookTable(*records, header=("x",), rows=[]),
        lambda *records: Sentence(*records, text=""),
    ):
        show(*mixed[:2])
        show(mixed[0], mixed[0])
        with pytest.raises(
            UserError, match="a records of the profiles laptop and paper cannot be shown together"
        ):
            show(*mixed)
