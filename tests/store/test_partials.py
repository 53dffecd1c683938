"""Partial results that were damaged or lost are noticed and made again, and no number of a record changes."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from diffnotes import store
from diffnotes.base import files
from diffnotes.chapters.gap import (
    cifar as cifar_gap,
)
from diffnotes.chapters.gap import (
    digits as digits_gap,
)
from diffnotes.chapters.gap import (
    experiment as network_gap,
)
from diffnotes.chapters.memorization import (
    calibration as features,
)
from diffnotes.chapters.memorization import (
    cifar,
    digits,
)
from diffnotes.chapters.memorization import (
    experiment as memorization,
)
from diffnotes.chapters.memorization import (
    halves as disjoint_halves,
)
from diffnotes.chapters.random_features import experiment as random_features
from diffnotes.store import Work
from diffnotes.store.experiment import Follower
from diffnotes.train import evaluate
from diffnotes.train import loop as train

ARRAYS = {"a": np.arange(7.0), "b": np.array([True, False])}


@pytest.fixture
def work(tmp_path: Path) -> Work:
    """A work that has kept one partial result."""
    kept = Work(tmp_path)
    kept.save("part", ARRAYS)
    return kept


def flip(path: Path, place: int, bit: int = 0) -> None:
    """Change one bit of a file."""
    content = bytearray(path.read_bytes())
    content[place] ^= 1 << bit
    path.write_bytes(content)


# ------------------------------------------------------------------------------------------------ one file


def test_a_partial_result_comes_back(work: Work) -> None:
    for reader in (work, Follower(work.folder)):
        found = reader.load("part")
        assert found is not None
        assert found.keys() == ARRAYS.keys()
        assert all(np.array_equal(found[name], array) for name, array in ARRAYS.items())
    with np.load(work.folder / "part.npz") as opened:  # for people: numpy reads it as well
        assert np.array_equal(opened["a"], ARRAYS["a"])


def test_a_flipped_bit_anywhere_is_noticed(work: Work) -> None:
    path = work.folder / "part.npz"
    for place in range(path.stat().st_size):
        flip(path, place, place % 8)
        assert work.load("part") is None, place
        assert Follower(work.folder).load("part") is None
        flip(path, place, place % 8)
    assert work.load("part") is not None


def test_a_file_of_another_length_is_noticed(work: Work) -> None:
    path = work.folder / "part.npz"
    content = path.read_bytes()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        assert work.load("part") is None, length
    for more in (b"\0", content):
        path.write_bytes(content + more)
        assert work.load("part") is None


def test_a_file_of_another_name_is_noticed(work: Work) -> None:
    for name in ("other", "par", "part-1"):
        shutil.copy(work.folder / "part.npz", work.folder / f"{name}.npz")
        assert work.load(name) is None
    files.save_npz_atomic(work.folder / "part.npz", ARRAYS)  # without a seal
    assert work.load("part") is None


def test_arrays_may_have_any_name(work: Work) -> None:
    named = {
        name: np.array(place) for place, name in enumerate(("file", "allow_pickle", "args", "a b", "arr_0"))
    }
    work.save("named", named)
    found = work.load("named")
    assert found == named


def test_files_of_arrays_are_what_numpy_writes() -> None:
    arrays = {"x": np.zeros((2, 3)), "weights a.b": np.float16(1), "t": np.asfortranarray(np.ones((3, 2)))}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    assert files.npz_bytes(arrays) == buffer.getvalue()
    with pytest.raises(ValueError, match="allow_pickle"):
        files.npz_bytes({"x": np.array([object()])})


# -------------------------------------------------------------------------------------------- whole records

Computation = Callable[[Work], store.Arrays]
GAP = digits_gap.EXPERIMENT.twin.replace(
    n=40, held_out=40, steps=12, batch=8, first=3, snapshots=3, levels=4, samples=20, sampler_steps=5,
    seeds=(0,),
)  # fmt: skip
COPIES = digits.EXPERIMENT.twin.replace(
    epochs=6.0, sizes=(16,), sampler_steps=2, samples=16, images=16, seeds=(0,)
)
HALVES = disjoint_halves.EXPERIMENT.twin.replace(sizes=(8,), seeds=(0,))
FEATURES = features.EXPERIMENT.twin.replace(count=10, repeats=2, projections=2)
RUNS: dict[str, tuple[Computation, str]] = {
    "gap": (lambda work: network_gap.compute(GAP, work), "seed-0"),
    "copies": (lambda work: memorization.compute(COPIES, work, digits.pixels), "n16-w16-b16-r0.001-s0"),
    "features": (lambda work: features.compute(FEATURES, work), "training"),
    "halves": (lambda work: disjoint_halves.compute(HALVES, work), "n8-s0-0"),
}


class Killed(Exception):
    """What stops a computation in the middle."""


class Fragile(Work):
    """A work that is killed after it has saved so many partial results."""

    def __init__(self, folder: Path, saves: int) -> None:
        super().__init__(folder)
        self.left, self.saved = saves, list[str]()

    def save(self, name: str, arrays: store.Arrays) -> None:  # type: ignore[override]
        super().save(name, arrays)
        self.saved.append(name)
        if len(self.saved) == self.left:
            raise Killed


def looks(folder: Path, run: str) -> list[Path]:
    """The looks at a run, in order of their steps."""
    return sorted(folder.glob(f"{run}-*.npz"), key=lambda path: int(path.stem.rsplit("-", 1)[1]))


def equal(a: store.Arrays, b: store.Arrays) -> bool:
    """Whether all bits are equal."""
    return a.keys() == b.keys() and all(a[name].tobytes() == b[name].tobytes() for name in a)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, store.Arrays]:
    """What each computation gives undisturbed."""
    return {name: run(Work(tmp_path_factory.mktemp(name))) for name, (run, _) in RUNS.items()}


@pytest.fixture(autouse=True)
def look_at_every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train, "_GLANCE_SECONDS", 0.0)


def damage(path: Path) -> None:
    flip(path, path.stat().st_size // 2)


@pytest.mark.parametrize("name", ["gap", "copies", "features"])
@pytest.mark.parametrize("harm", [damage, Path.unlink])
def test_an_early_look_that_is_lost_is_made_again(
    whole: dict[str, store.Arrays], tmp_path: Path, name: str, harm: Callable[[Path], None]
) -> None:
    compute, run = RUNS[name]
    with pytest.raises(Killed):
        compute(Fragile(tmp_path, 2))
    first, second = looks(tmp_path, run)
    harm(first)
    again = Fragile(tmp_path, 0)
    assert equal(compute(again), whole[name])
    assert first.stem in again.saved
    assert second.stem not in again.saved  # good looks are kept


@pytest.mark.parametrize("name", list(RUNS))
@pytest.mark.parametrize(
    "part", ["every look", "the last look", "checkpoints", "the last look and checkpoints"]
)
def test_any_damage_leaves_the_record_as_it_was(
    whole: dict[str, store.Arrays], tmp_path: Path, name: str, part: str
) -> None:
    compute, run = RUNS[name]
    compute(Work(tmp_path))
    if name == "halves":
        damage(tmp_path / "n8-s0.npz")  # else nothing below it is asked for
    harmed = looks(tmp_path, run)[-1 if "last" in part else 0 :] if "look" in part else []
    harmed += (tmp_path / run).glob("*.pt") if "checkpoints" in part else []
    assert harmed
    for path in harmed:
        damage(path)
    assert equal(compute(Work(tmp_path)), whole[name])


@pytest.mark.parametrize("part", ["n8-s0", "descent", "n2-s1"])
def test_other_partial_results_are_made_again(tmp_path: Path, part: str) -> None:
    spec = random_features.EXPERIMENT.twin
    runs: list[Computation] = [RUNS["halves"][0], lambda work: random_features.compute(spec, work)]
    compute = runs[part != "n8-s0"]
    before = compute(Work(tmp_path))
    damage(tmp_path / f"{part}.npz")
    again = Fragile(tmp_path, 0)
    assert equal(compute(again), before)
    assert again.saved == [part]


def test_a_run_goes_on_from_a_checkpoint_before_the_lost_look(
    whole: dict[str, store.Arrays], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compute, run = RUNS["gap"]
    with pytest.raises(Killed):
        compute(Fragile(tmp_path, 2))
    looks(tmp_path, run)[1].unlink()  # the checkpoint is of the step of this look
    monkeypatch.setattr(shutil, "rmtree", None)  # would be called to start over
    assert equal(compute(Work(tmp_path)), whole["gap"])


# ------------------------------------------------------------------------------------------------ precision


@pytest.mark.parametrize(
    "compute",
    [
        lambda work: network_gap.compute(GAP, work),
        lambda work: network_gap.compute(GAP.replace(precision="bfloat16"), work),
        lambda work: memorization.compute(COPIES, work, digits.pixels),
        lambda work: memorization.compute(COPIES.replace(precision="bfloat16"), work, digits.pixels),
        lambda work: features.compute(FEATURES, work),
        lambda work: disjoint_halves.compute(HALVES, work),
    ],
)
def test_every_experiment_says_its_precision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compute: Computation
) -> None:
    seen = []

    def noted(model: object, objective: object, plan: train.Plan, *rest: object) -> None:
        seen.append(plan.precision)
        raise Killed

    monkeypatch.setattr(evaluate, "train", noted)
    with pytest.raises(Killed):
        compute(Work(tmp_path))
    assert seen[0] != "auto"


def test_precision_changes_numbers_and_is_part_of_a_key_unless_it_is_that_of_old_records(
    whole: dict[str, store.Arrays], tmp_path: Path
) -> None:
    half = network_gap.compute(GAP.replace(precision="bfloat16"), Work(tmp_path))
    assert not np.array_equal(half["loss"], whole["gap"]["loss"])
    assert np.allclose(half["loss"], whole["gap"]["loss"], rtol=0.05)
    for spec in (GAP, COPIES):
        assert "precision" not in spec.identity()
        assert spec.replace(precision="bfloat16").identity()["precision"] == "bfloat16"
    for experiment in (cifar.EXPERIMENT, cifar_gap.EXPERIMENT):
        found = {name: spec.precision for name, spec in experiment.profiles.items()}
        half = {name for name, precision in found.items() if precision == "bfloat16"}
        assert half == {"smoke_paper", "paper"}
