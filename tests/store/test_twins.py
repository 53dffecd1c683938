"""Twins: they cross what the heavy runs cross, branch by branch."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass

import pytest
import torch

from diffnotes import chapters
from diffnotes.base import runtime
from diffnotes.data import decoding
from diffnotes.data import folders as images
from diffnotes.data import sets as data
from diffnotes.optimal_loss import NOISES
from diffnotes.optimal_loss.all_levels import sources_per_batch
from diffnotes.posterior import Support
from diffnotes.store import Experiment, Spec, choice, flag, is_twin, number, numbers

# ------ branches of specs

READ_LIKE = {  # the same code from files or bytes on
    "specimens": "cifar10", "specimens64": "imagenet64", "specimens64-all": "imagenet64-all",
}  # fmt: skip
NEEDS_PEERS = "the other packages are not installed where twins are recomputed"
OTHER_SEEDS = "the twins of gaussian, whose computation it is, cross seeds"
OVER_N = "a sweep over n alone; the twins of cifar, whose computation it is, cross the other factors"
OWN_SEEDS = "the twins of own_model, whose computation it is, cross seeds"
OTHER_RECORD = "a twin needs no pinned record; tests/training_schedule takes what one has chosen"
BOTH_SPLITS = "the twin of loss_sizes_imagenet takes specimens64-all this way"
FOLDER = "a folder of classes, which the training part of imagenet64-all is as well"
WHOLE = "beside each window stands the whole image, so that its twin has two sides, too"
DEEPER = "the twins of digits_gap have residual networks of more than one block"
EXEMPT = {
    ("diagnosis_digits", "blocks", "more"): DEEPER,
    ("diagnosis_gaussian", "blocks", "more"): DEEPER,
    ("schedule_digits", "constants", "chosen"): OTHER_RECORD,
    ("schedule_cifar", "constants", "chosen"): OTHER_RECORD,
    ("loss_curve", "dataset", "imagenet64-all"): BOTH_SPLITS,
    ("loss_curve", "dataset", "imagenet64-sample"): FOLDER,
    ("speed", "peers", True): NEEDS_PEERS,
    ("training_speed", "peers", True): NEEDS_PEERS,
    ("digits_window", "windows", "several"): WHOLE,
    ("own_cifar", "seed", "one"): OWN_SEEDS,
    ("own_cifar", "seed", "more"): OWN_SEEDS,
    ("cifar_sizes", "widths", "several"): OVER_N,
    ("cifar_sizes", "batches", "several"): OVER_N,
    ("cifar_sizes", "rates", "several"): OVER_N,
    ("gaussian_slower", "seed", "one"): OTHER_SEEDS,
    ("gaussian_slower", "seed", "more"): OTHER_SEEDS,
}
Branch = tuple[str, object]  # field, and what its value selects


def branches(specs: Iterable[Spec]) -> set[Branch]:
    """What the specs select, field by field."""
    return {
        (field.name, taken)
        for spec in specs
        for field in dataclasses.fields(spec)
        for taken in selected(field, getattr(spec, field.name))
    }


def selected(field: dataclasses.Field, value: object) -> list[object]:
    """A choice or flag selects itself, "all" all others. A number may be 0, 1 or more, a float 0 or not; of
    several numbers there may be one or more: code often treats these apart."""
    kind = field.metadata["kind"]
    if kind == "choice":
        options = [o for o in field.metadata["options"] if o != "all"]
        return options if value == "all" else [READ_LIKE.get(str(value), value)]
    if kind == "flag":
        return [value]
    if kind == "text":
        return ["something" if value else "nothing"]
    if kind == "int":
        return [["zero", "one", "more"][min(int(value), 2)]]
    if kind == "float":
        return ["not zero" if value else "zero"]
    return ["several" if len(value) > 1 else "one"]


def uncrossed(experiment: Experiment) -> set[Branch]:
    """What a profile that the book shows selects, and no twin does."""
    heavy = [
        spec.replace(**shown)
        for name, spec in experiment.profiles.items()
        if not is_twin(name)
        for shown in experiment.shown
    ]
    return branches(heavy) - branches(experiment.twins.values())


@pytest.mark.parametrize("name", chapters.names())
def test_twins_cross_what_is_shown(name: str) -> None:
    exempt = {(field, value) for experiment, field, value in EXEMPT if experiment == name}
    assert uncrossed(chapters.find(name)) == exempt  # nor is an exemption kept that nobody needs


@dataclass(frozen=True)
class MadeUpSpec(Spec):
    dataset: str = choice("digits", "digits", "cifar10", "imagenet64", "specimens")
    question: str = choice("all", "all", "a", "b")
    conditional: bool = flag(False)
    side: int = number(0, low=0)
    decay: float = number(0.5, low=0.0)
    seeds: tuple[int, ...] = numbers((0,), low=0)


def made_up(*shown: dict[str, object], twins: tuple[MadeUpSpec, ...], **heavy: object) -> Experiment:
    names = ["smoke", *(f"smoke_{k}" for k in range(1, len(twins)))]
    profiles = {**dict(zip(names, twins, strict=True)), "laptop": MadeUpSpec(**heavy)}
    return Experiment("made_up", 1, MadeUpSpec, profiles, lambda spec, work: {}, {}, shown=shown or ({},))


@pytest.mark.parametrize(
    ("heavy", "branch"),
    [
        ({"dataset": "cifar10"}, ("dataset", "cifar10")),
        ({"conditional": True}, ("conditional", True)),
        ({"side": 16}, ("side", "more")),
        ({"decay": 0.0}, ("decay", "zero")),
        ({"seeds": (0, 1)}, ("seeds", "several")),
    ],
)
def test_an_uncrossed_branch_is_found(heavy: dict[str, object], branch: Branch) -> None:
    assert uncrossed(made_up(twins=(MadeUpSpec(),), **heavy)) == {branch}
    crossing = {"dataset": "specimens"} if "dataset" in heavy else heavy
    assert uncrossed(made_up(twins=(MadeUpSpec(), MadeUpSpec(**crossing)), **heavy)) == set()


def test_what_is_shown_counts_and_all_is_every_choice() -> None:
    shown = ({"question": "a"}, {"question": "b"}, {"dataset": "imagenet64"})
    assert uncrossed(made_up(*shown, twins=(MadeUpSpec(),))) == {("dataset", "imagenet64")}
    assert uncrossed(made_up(shown[1], twins=(MadeUpSpec(question="a"),))) == {("question", "b")}


# ------ sizes that specs do not show

TILED = [  # experiment, twin, points
    ("cifar", "smoke_paper", 2060),
    ("loss_curve", "smoke_files", 520),
    ("loss_sizes", "smoke_pixels", 2060),
    ("loss_estimators", "smoke_pixels", 2080),
    ("noisy_image", "smoke_pixels", 2080),
    ("speed", "smoke_pixels", 2080),
    ("supervision_region", "smoke_pixels", 2080),
]


@pytest.mark.parametrize(("name", "twin", "count"), TILED)
def test_some_twin_has_more_points_than_a_tile(name: str, twin: str, count: int) -> None:
    spec = chapters.find(name).twins[twin].as_dict()
    assert count in (spec.get("n") or count, *spec.get("sizes", [])), "this table is out of date"
    side = 64 if spec["dataset"] == "specimens64" else 32
    support = Support.of(torch.zeros(count, 3, side, side, dtype=torch.uint8))
    assert support.tile_rows < count
    if "sources" in spec:
        budget = runtime.memory_budget(torch.device("cpu"))
        assert sources_per_batch(support, NOISES, budget) < min(256, spec["sources"]) or name == "loss_sizes"
        assert sources_per_batch(support, NOISES, budget) < spec["sources"]


def test_specimens_take_the_way_of_the_public_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = []
    steps = ((data, "_from_rows"), (images, "list_split"), (decoding, "pixels"), (decoding, "decode"))
    for owner, step in steps:
        plain = getattr(owner, step)
        monkeypatch.setattr(owner, step, lambda *a, s=step, f=plain: taken.append(s) or f(*a))
    data.load("specimens")
    assert taken == ["_from_rows"]
    data.load("specimens64", split="val")
    assert set(taken[1:]) == {"list_split", "pixels", "decode"}
