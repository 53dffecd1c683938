"""Copies through training: when they set in, what a sweep runs, and that no interruption changes a number."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from diffnotes import store
from diffnotes.base.errors import UserError
from diffnotes.chapters.memorization import (
    digits,
)
from diffnotes.chapters.memorization import (
    experiment as memorization,
)
from diffnotes.chapters.memorization import (
    halves as disjoint_halves,
)
from diffnotes.chapters.memorization.experiment import MemorizationSpec, Run, runs_of
from diffnotes.chapters.memorization.onsets import (
    DEFINITIONS,
    SPLIT,
    best_before,
    exponent,
    onsets,
    rate,
)
from diffnotes.train import loop as train

ROOT = Path(__file__).resolve().parents[2]
TINY = MemorizationSpec(
    n=8, width=8, batch=8, sizes=(8, 24), widths=(8, 16), blocks=1, epochs=3.0, first=2, snapshots=4,
    horizons=(2,), levels=2, images=8, samples=8, sampler_steps=2, seeds=(0, 1),
)  # fmt: skip
STEP = np.array([10, 100, 1000, 10_000, -1])  # as in a record, a run with fewer evaluations is filled up


def curve(*values: float) -> np.ndarray:
    """A curve over STEP."""
    return np.array([*values, np.nan])


def found(train_loss=None, test_loss=None, copies=None) -> dict[str, float]:  # type: ignore[no-untyped-def]
    """Onsets by name, of curves that are flat unless given."""
    flat, none = curve(1, 1, 1, 1), curve(0, 0, 0, 0)
    given_ = [flat if train_loss is None else train_loss, flat if test_loss is None else test_loss]
    return dict(zip(DEFINITIONS, onsets(STEP, *given_, none if copies is None else copies), strict=True))


# --- when memorization sets in ---


def test_least_held_out_loss_is_an_onset() -> None:
    assert found(test_loss=curve(3, 1, 0.5, 2))["minimum"] == 1000
    assert found(test_loss=curve(3, 2, 1, 0.5))["minimum"] == 10_000


def test_losses_part_where_they_stay_apart() -> None:
    """The gap passes SPLIT of the least held-out loss at 100 steps for a while, and after 1,000 for good."""
    assert SPLIT == 0.2
    test_loss = curve(1, 1, 1, 1)
    for_a_while = found(train_loss=test_loss - curve(0, 0.3, 0.1, 0.3), test_loss=test_loss)
    assert for_a_while["split"] == pytest.approx(10**3.5)
    assert found(train_loss=test_loss - curve(0, 0.4, 0.4, 0.4))["split"] == pytest.approx(10**1.5)
    assert found(train_loss=test_loss - curve(0.3, 0.3, 0.3, 0.3))["split"] == 10
    assert np.isnan(found(train_loss=test_loss - curve(0, 0.3, 0.3, 0.1))["split"])


def test_limit_of_the_gap_goes_with_the_least_held_out_loss() -> None:
    test_loss = curve(4, 2, 2, 3)  # so the limit is 0.4
    assert found(train_loss=test_loss - curve(0, 0.3, 0.3, 0.5), test_loss=test_loss)["split"] == (
        pytest.approx(10**3.5)
    )


def test_copies_count_where_they_first_reach_a_share() -> None:
    onset = found(copies=curve(0, 0.2, 0.0, 0.2))
    assert onset["copies 0.05"] == pytest.approx(10**1.25)
    assert onset["copies 0.1"] == pytest.approx(10**1.5)
    assert np.isnan(onset["copies 0.5"])
    assert found(copies=curve(0, 0, 0, 0.5))["copies 0.5"] == pytest.approx(10_000)
    assert found(copies=curve(0.6, 1, 1, 1))["copies 0.5"] == 10


@given(st.lists(st.floats(0, 1), min_size=4, max_size=4), st.sampled_from([3.0, 10.0]))
def test_onsets_scale_with_the_step(copies: list[float], factor: float) -> None:
    losses = curve(1, 1, 1, 1) - np.array([0, *copies[1:], np.nan]), curve(1, 1, 1, 1)
    one = onsets(STEP, *losses, curve(*copies))
    assert np.allclose(onsets(STEP * factor, *losses, curve(*copies)), one * factor, equal_nan=True)
    assert (np.isnan(one) | ((one >= 10) & (one <= 10_000))).all()


@given(st.floats(-1, 3), st.integers(2, 5), st.integers(0, 100))
def test_exponent_of_a_power_law(power: float, seeds: int, seed: int) -> None:
    size = np.array([32, 64, 128, 256])
    factor = np.exp(np.random.default_rng(seed).normal(size=seeds))  # another constant for every seed
    value, low, high, used = exponent(size, factor * size[:, None] ** power)
    assert np.allclose([value, low, high], power, atol=1e-9)
    assert used == 4


def test_interval_of_an_exponent_holds_it_in_19_of_20_cases() -> None:
    draws = np.random.default_rng(0)
    size = np.array([32, 64, 128])
    noise = np.exp(0.2 * draws.normal(size=(400, 3, 3)))
    lows, highs = np.array([exponent(size, 5 * size[:, None] ** 1.5 * one)[1:3] for one in noise]).T
    assert np.mean((lows <= 1.5) & (highs >= 1.5)) == pytest.approx(0.95, abs=0.03)


def test_exponent_leaves_out_sizes_that_a_seed_does_not_reach() -> None:
    size, time = np.array([32, 64, 128]), np.array([[1.0, 2.0], [2.0, 4.0], [9.0, np.nan]])
    assert np.allclose(exponent(size, time), [1, 1, 1, 2])
    for few in (time[:, :1], time[1:]):
        assert np.isnan(exponent(size[: len(few)], few)[:3]).all()
    assert exponent(size, time[:, :1])[3] == 3


def test_rate_is_the_slope_between_10_and_60_percent() -> None:
    step = np.array([1, 10, 100, 1000, -1])
    slope = rate(step, np.array([0.0, 0.15, 0.45, 0.9, np.nan]))
    assert slope == pytest.approx(0.3 / np.log(10))
    assert np.isnan(rate(step, np.array([0.0, 0.05, 0.5, 0.9, np.nan])))


def test_peak_fidelity_is_that_before_the_end() -> None:
    value = curve(5, 3, 4, 1)
    assert best_before(STEP, value, 1000.0) == 3
    assert best_before(STEP, value, np.nan) == 1
    assert np.isnan(best_before(STEP, value, 5.0))


# --- the runs of a sweep ---


def test_runs_see_the_same_number_of_epochs() -> None:
    spec = MemorizationSpec(epochs=10.0, n=64, batch=32, first=5, sizes=(32, 64), batches=(8,), seeds=(3, 5))
    (small, _), (large, other) = runs_of(spec)
    assert small == Run(n=32, width=256, batch=32, rate=1e-3, seed=3, steps=10)
    assert (large.steps, other.steps, large.seed, other.seed) == (20, 20, 3, 5)
    [[run, _]] = runs_of(spec.replace(sweep="batch"))
    assert (run.batch, run.n, run.steps) == (8, 64, 80)


def test_runs_are_bounded_in_steps() -> None:
    spec = MemorizationSpec(epochs=10.0, sizes=(64, 4), most_steps=15, first=12, seeds=(0,))
    assert [row[0].steps for row in runs_of(spec)] == [15, 12]


def test_slower_learning_gets_more_steps_and_faster_not_less() -> None:
    spec = MemorizationSpec(sweep="rate", epochs=10.0, rate=1e-3, rates=(5e-4, 4e-3), seeds=(0,), first=5)
    assert [(row[0].rate, row[0].steps) for row in runs_of(spec)] == [(5e-4, 40), (4e-3, 20)]


@pytest.mark.parametrize("name", [*digits.EXPERIMENT.profiles])
def test_default_run_is_in_the_sweep_over_n_alone(name: str) -> None:
    spec = digits.EXPERIMENT.profiles[name]
    default = tuple(getattr(spec, factor) for factor in memorization.SWEEPS)
    for sweep in memorization.SWEEPS:
        first = [row[0] for row in runs_of(spec.replace(sweep=sweep))]
        same = [(run.n, run.width, run.batch, run.rate) == default for run in first]
        assert sum(same) == (sweep == "n")


# --- what is measured ---


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> store.Arrays:  # type: ignore[no-untyped-def]
    """Three steps on 8 digits, nine on 24: runs with two and four evaluations."""
    return memorization.compute(TINY, store.Work(tmp_path_factory.mktemp("tiny")), digits.pixels)


def test_arrays_have_the_documented_axes(tiny: store.Arrays) -> None:
    axes = value, seed, look, average = (2, 2, 4, 2)
    shapes = {
        "value": (2,), "average": (2,), "t": (2,), "definition": (5,), "step": (value, seed, look),
        "batch_loss": (value, seed, look), "parameters": (value, seed), "train_by_t": (*axes, 2),
        "copies": (*axes, 3), "copies_baseline": (*axes, 1), "rho": (*axes, 21), "distance": (*axes, 1),
        "sheet": (value, look, 6, 1, 8, 8), "near": (value, look, 6, 1, 8, 8),
        "onset": (value, seed, average, 5), "exponent": (average, 5, 4), "rate": (value, seed, average),
        "best": (value, seed, average),
    }  # fmt: skip
    for split in ("train", "test"):
        shapes |= {f"{split}_loss": axes, f"{split}_loss_stderr": axes}
    for distance in ("wasserstein", "frechet"):
        shapes |= {f"{distance}{kind}": axes for kind in ("", "_few", "_train")}
    assert {name: tiny[name].shape for name in shapes} == shapes
    assert tiny["value"].tolist() == [8, 24]
    assert tiny["average"].tolist() == [0, 2]


def test_runs_with_fewer_evaluations_are_filled_up(tiny: store.Arrays) -> None:
    assert tiny["step"][:, 1].tolist() == [[2, 3, -1, -1], [2, 3, 5, 9]]
    real = tiny["step"] > 0
    for name, array in tiny.items():
        if array.shape[:3] == real.shape and array.dtype.kind == "f":
            assert np.isfinite(array[real]).all(), name
            assert np.isnan(array[~real]).all(), name
    assert (tiny["sheet"][0, 2:] == 255).all()
    assert (tiny["sheet"][0, :2] < 255).any()


def test_what_is_read_off_is_that_of_the_curves(tiny: store.Arrays) -> None:
    v, s, a = 1, 1, 0
    curves = [tiny[name][v, s, :, a] for name in ("train_loss", "test_loss")]
    times = onsets(tiny["step"][v, s], *curves, tiny["copies"][v, s, :, a, 0])
    assert np.array_equal(tiny["onset"][v, s, a], times, equal_nan=True)
    assert tiny["best"][v, s, a] == best_before(tiny["step"][v, s], tiny["wasserstein"][v, s, :, a], times[1])


def test_interval_of_copies_holds_their_share(tiny: store.Arrays) -> None:
    share, low, high = np.moveaxis(tiny["copies"][1], -1, 0)
    assert ((low <= share) & (share <= high) & (high < 1)).all()
    assert np.allclose(tiny["train_by_t"].mean(-1), tiny["train_loss"], equal_nan=True)


class Interrupted(store.Work):
    """A work whose time is over after some reports."""

    def __init__(self, folder: Path, after: int) -> None:
        super().__init__(folder)
        self.left = after

    def step(self, done: float, total: float, text: str = "") -> None:
        self.left -= 1
        if self.left < 0 and done < total:
            raise store.Unfinished("the time is over")


def in_slices(compute, folder: Path, after: int) -> tuple[store.Arrays, int]:  # type: ignore[no-untyped-def]
    """The arrays of a computation that is interrupted after so many reports, and how often it was."""
    for turn in range(100):
        try:
            return compute(Interrupted(folder, after)), turn
        except store.Unfinished:
            continue
    raise AssertionError("no progress")


@pytest.fixture
def report_every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train, "_GLANCE_SECONDS", 0.0)


@pytest.mark.usefixtures("report_every_step")
def test_interruptions_change_no_number(tiny: store.Arrays, tmp_path: Path) -> None:
    again, turns = in_slices(lambda work: memorization.compute(TINY, work, digits.pixels), tmp_path, 4)
    assert turns > 3
    assert again.keys() == tiny.keys()
    for name, array in tiny.items():
        assert np.array_equal(again[name], array, equal_nan=array.dtype.kind == "f"), name


@pytest.mark.usefixtures("report_every_step")
def test_interruptions_change_no_half(tmp_path: Path) -> None:
    spec = disjoint_halves.EXPERIMENT.twin.replace(steps=10, seeds=(0,))
    whole = disjoint_halves.compute(spec, store.Work(tmp_path / "whole"))
    slices, turns = in_slices(lambda work: disjoint_halves.compute(spec, work), tmp_path / "slices", 8)
    assert turns > 2
    assert whole["apart"].shape == (2, 1)
    assert (whole["again"] > 0).all()  # another start is another network
    assert (whole["strangers"] != whole["apart"]).all()
    assert whole["sheet"].shape == (2, 1, 2, 6, 1, 8, 8)
    assert all(np.array_equal(whole[name], slices[name]) for name in whole)


def test_sweeps_share_noise_and_the_smaller_set_is_part_of_the_larger() -> None:
    small, large = (memorization._Trained(TINY, row[0], digits.pixels, torch.device("cpu"))
                    for row in runs_of(TINY))  # fmt: skip
    assert torch.equal(small.x, large.x[:8])
    assert torch.equal(small.held_out.x[:8], large.held_out.x[:8])
    other = runs_of(TINY)[0][1]
    third = memorization._Trained(TINY, other, digits.pixels, torch.device("cpu"))
    assert not torch.equal(small.x, third.x)
    assert torch.equal(small.held_out.x, third.held_out.x)
    noises = []
    for run in (small, large):  # a network of zeros moves nothing: all samples are the initial noise
        for weight in run.denoiser.parameters():
            torch.nn.init.zeros_(weight)
        noises.append(run._drawn())
    assert torch.equal(*noises)


def test_floors_are_distances_of_real_images() -> None:
    found_ = memorization.floors(TINY, digits.pixels)
    more = memorization.floors(TINY.replace(samples=256), digits.pixels)
    assert 0 < more["wasserstein_floor"] < found_["wasserstein_floor"]
    assert 0 < more["frechet_floor"] < found_["frechet_floor"]


def test_a_network_that_overfits_four_digits_copies_them(tmp_path: Path) -> None:
    spec = MemorizationSpec(
        n=4, sizes=(4,), width=128, rate=3e-3, batch=32, epochs=6400.0, first=5, snapshots=3, horizons=(50,),
        levels=4, images=64, samples=64, blocks=2, sampler_steps=20, seeds=(0,),
    )  # fmt: skip
    arrays = memorization.compute(spec, store.Work(tmp_path), digits.pixels)
    assert arrays["step"].tolist() == [[[5, 63, 800]]]
    first, middle, last = arrays["copies"][0, 0, :, 1, 0]
    assert first == 0
    assert middle < 0.2
    assert last > 0.3
    assert arrays["copies_baseline"][0, 0, :, 1, 0].max() < 0.05
    train_loss, test_loss = (arrays[f"{split}_loss"][0, 0, :, 1] for split in ("train", "test"))
    assert train_loss[-1] < 0.5 * train_loss[1] < 0.5 * train_loss[0]
    assert test_loss[-1] > 5 * train_loss[-1]
    gaps = np.abs(arrays["sheet"][0].astype(float) - arrays["near"][0]).mean((1, 2, 3, 4))
    assert gaps[-1] < 0.3 * gaps[0]


def test_a_class_is_given_to_every_network_that_wants_one() -> None:
    for network in ("mlp", "unet"):
        spec = TINY.replace(conditional=True, network=network, embedding=8)
        run = memorization._Trained(spec, runs_of(spec)[0][0], digits.pixels, torch.device("cpu"))
        plain = memorization._Trained(
            spec.replace(conditional=False), runs_of(spec)[0][0], digits.pixels, torch.device("cpu")
        )
        count = memorization.parameter_count
        assert count(run.denoiser) > count(plain.denoiser)
        with torch.no_grad():
            assert np.isfinite(run._losses()["test_loss"])
            assert run._drawn().shape == (8, 1, 8, 8)


# --- several processes ---


def start(folder: Path, **environment: str) -> subprocess.Popen[str]:
    """The smoke profile as a person starts it, with its record in `folder`."""
    known = {
        **os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "DIFFNOTES_ROOT": str(folder),
        **environment,
    }  # fmt: skip
    command = [sys.executable, "-m", "diffnotes", "run", "digits", "--profile", "smoke"]
    return subprocess.Popen(command, env=known, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_two_processes_write_one_record_and_it_is_that_of_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    address = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    children = [start(tmp_path / "two", RANK=str(rank), **address) for rank in range(2)]
    monkeypatch.setenv("DIFFNOTES_ROOT", str(tmp_path / "one"))
    alone = store.run(digits.EXPERIMENT, "smoke")
    texts = [child.communicate(timeout=200) for child in children]
    assert [child.returncode for child in children] == [0, 0], texts
    assert texts[1][0] == ""
    folder = tmp_path / "two" / "runs" / "digits" / alone.key
    written = [path for path in (tmp_path / "two").rglob("*") if path.is_file()]
    assert sorted(written) == [folder / "arrays.npz", folder / "record.json"]
    together = store.Record(folder, json.loads((folder / "record.json").read_text()))
    assert alone.arrays.keys() == together.arrays.keys()
    for name, one in alone.arrays.items():
        two = together[name]
        if one.dtype.kind == "f":
            scale = np.abs(one[np.isfinite(one)]).max(initial=0.0)
            assert np.allclose(one, two, rtol=0, atol=1e-4 * scale, equal_nan=True), name
        else:
            assert two.dtype == one.dtype, name
            away = np.abs(one.astype(int) - two.astype(int)) if one.dtype.kind in "iu" else one != two
            assert away.max() <= (one.dtype == np.uint8), name  # grey levels may be rounded the other way


def test_the_default_run_must_be_one_of_the_sizes() -> None:
    with pytest.raises(UserError, match="sizes must contain n = 48, the size of the default run"):
        MemorizationSpec(n=48)
