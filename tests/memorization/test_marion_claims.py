"""Claims of chapter 3: each holds on a record made for it, and fails on one that says the opposite."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from diffnotes import store
from diffnotes.chapters import checks as base
from diffnotes.chapters import checks as claims
from diffnotes.chapters.memorization import claims as marion2026
from diffnotes.store.records import Record

STEP = 100 * 4 ** np.arange(6)
SEEDS = np.array([0.95, 1.0, 1.06])  # factors that set the seeds apart
SIZE = np.array([32, 64, 128])
AVERAGES, SPLIT, TEN = 2, marion2026.SPLIT, marion2026.TEN
BASE = {"n": 64, "width": 256, "batch": 32, "rate": 1e-3, "seeds": (0, 1, 2)}


def curves(*values: float) -> np.ndarray:
    """[value, seed, look, average]: the same curve over looks for every run, but for the seeds' factors."""
    return np.array(values)[:, None] * np.ones((3, 3, 1, AVERAGES)) * SEEDS[:, None, None]


def fit(power: float, half: float = 0.1, sizes: int = 3) -> np.ndarray:
    """A fitted power for every average and definition."""
    return np.ones((AVERAGES, 5, 1)) * [power, power - half, power + half, sizes]


def factors(values: Any) -> np.ndarray:
    """[value, seed, average]: one number per value of the factor."""
    return np.array(values)[:, None, None] * np.ones((1, 3, AVERAGES)) * SEEDS[:, None]


def times(values: Any) -> np.ndarray:
    """[value, seed, average, definition]."""
    return np.repeat(factors(values)[..., None], 5, -1)


def fake(sweep: str = "n", value: Any = SIZE, **changed: Any) -> Record:
    """A record on which every claim about it holds, but for what is changed."""
    arrays = {
        "value": value, "step": np.tile(STEP, (3, 3, 1)),
        "train_loss": curves(1, 0.5, 0.3, 0.2, 0.1, 0.05), "test_loss": curves(1, 0.5, 0.35, 0.3, 0.35, 0.5),
        "copies": np.repeat(curves(0, 0, 0.01, 0.2, 0.5, 0.9)[..., None], 3, -1),
        "copies_baseline": curves(0, 0, 0, 0.01, 0.01, 0.01)[..., None],
        "exponent": np.stack([fit(1.0)[:, 0], fit(1.0)[:, 0], *[fit(1.5)[:, 0]] * 3], 1),
        "rate": factors(np.array([3.0, 2.0, 1.0])), "best": factors(np.array([3.0, 2.0, 1.0])),
        "onset": times([1600.0, 3200.0, 6400.0]),
        "wasserstein": curves(3, 1, 1.5, 1.6, 1.1, 0.9),
        "wasserstein_train": curves(3, 1, 1.5, 1.6, 1.1, 0.9),
        "wasserstein_few": curves(2.9, 0.99, 1.52, 1.7, 1.12, 0.95),
    }  # fmt: skip
    found = Record(Path(), {"experiment": "digits", "profile": "laptop", "spec": {**BASE, "sweep": sweep}})
    found.__dict__["arrays"] = {name: np.asarray(a) for name, a in (arrays | changed).items()}
    return found


def halves(*share: float) -> Record:
    """Distances of two samples over those of unrelated ones, at three sizes of a half."""
    found = Record(Path(), {})
    unrelated = np.full((3, 2), 5.0)
    apart = unrelated * np.array(share)[:, None] * [0.99, 1.01]
    found.__dict__["arrays"] = {"n": np.array([8, 32, 599]), "apart": apart, "unrelated": unrelated}
    return found


def check(name: str, record: Record) -> base.Finding:
    """The finding of a claim; none may show a number that is not one."""
    found = marion2026.CHECKS[name](record)
    assert "nan" not in f"{found.our_value} {found.interval}"
    return found


FULL = fake().arrays
STAYS = curves(1, 0.5, 0.35, 0.3, 0.3, 0.3)
LOST = np.array([3.0, np.nan, 1.0])
NOT = {  # claim on the sweep over n: a change that makes it fail
    "marion-part": {"test_loss": curves(1, 0.9, 0.8, 0.6, 0.5, 0.4)},
    "marion-copies": {
        "copies": np.repeat(curves(0.1, 0.1, 0.1, 0.2, 0.2, 0.2)[..., None], 3, -1),
        "copies_baseline": curves(0, 0, 0, 0, 0, 0.3)[..., None],
    },
    "marion-linear": {"exponent": fit(0.0)},
    "marion-above": {"exponent": fit(1.05)},
    "marion-slope": {"rate": factors([1.0, 2.0, 3.0])},
    "marion-size-fidelity": {"best": factors([1.0, 2.0, 3.0])},
    "marion-same": {"wasserstein_few": 0.8 * FULL["wasserstein_train"]},
    "marion-double": {"wasserstein": curves(3, 2, 1.5, 1.6, 1.1, 0.9)},
}
PARTLY = [  # claim, change that leaves a part of it
    ("marion-part", {"train_loss": curves(1, 0.5, 0.3, 0.2, 0.25, 0.3)}),
    ("marion-part", {"test_loss": STAYS}),
    ("marion-copies", {"copies": np.repeat(curves(0, 0, 0, 0.1, 0.2, 0.3)[..., None], 3, -1)}),
    ("marion-copies", {"copies_baseline": curves(0, 0, 0, 0, 0, 0.1)[..., None]}),
    ("marion-copies", {"copies": np.repeat(curves(0.3, 0.3, 0.3, 0.5, 0.8, 0.9)[..., None], 3, -1)}),
    ("marion-linear", {"exponent": fit(1.3)}),
    ("marion-linear", {"exponent": fit(0.7)}),
    ("marion-slope", {"rate": factors([2.0, 3.0, 1.0])}),
    ("marion-size-fidelity", {"best": factors([2.0, 3.0, 1.0])}),
    ("marion-same", {"wasserstein_few": curves(3, 1, 1.5, 1.6, 0.8, 0.4)}),
    ("marion-double", {"wasserstein": curves(3, 1, 1.5, 1.6, 1.5, 1.5)}),
]
ON_N = [f"{claim}-{data}" for claim in NOT for data in ("digits", "cifar")]
SWEEPS: list[tuple[str, str, Any, dict[str, Any], dict[str, Any]]] = [
    # claim, factor, values (the default comes from the sweep over n), where it holds, where it fails
    ("marion-width-onset", "width", [64, 128, 512], {"onset": times([9e3, 5e3, 2e3])},
     {"onset": times([1e3, 2e3, 5e3])}),
    ("marion-width-fidelity", "width", [64, 128, 512], {"best": factors([4.0, 3.0, 1.0])},
     {"best": factors([0.5, 1.0, 3.0])}),
    ("marion-batch-onset", "batch", [8, 16, 64], {"onset": times([12_800.0, 6_400.0, 1_600.0])},
     {"onset": times([3_200.0, 3_200.0, 3_200.0])}),
    ("marion-batch-slope", "batch", [8, 16, 64], {"rate": factors([2.0, 2.1, 2.2])},
     {"rate": factors([2.0, 2.1, 2.6])}),
    ("marion-batch-fidelity", "batch", [8, 16, 64], {"best": factors([1.0, 1.5, 4.0])},
     {"best": factors([3.0, 2.5, 1.0])}),
    ("marion-rate-onset", "rate", [1e-4, 3e-4, 2e-3], {"onset": times([9e3, 5e3, 2e3])},
     {"onset": times([90e3, 20e3, 1e3])}),
    ("marion-rate-fidelity", "rate", [1e-4, 3e-4, 2e-3], {"best": factors([4.0, 3.0, 1.0])},
     {"best": factors([1.0, 1.5, 4.0])}),
]  # fmt: skip
ON_OTHERS = [(f"{claim}-{data}", *rest) for claim, *rest in SWEEPS for data in ("digits", "cifar")]


@pytest.fixture
def pinned(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sweep over n is pinned; its default run has onsets at 3,200, rate 2 and best 2."""
    monkeypatch.setattr(store, "best", lambda experiment, settings, profile: fake())


def test_every_check_is_tried_here() -> None:
    tried = {*ON_N, *(row[0] for row in ON_OTHERS), "ours-averaging", "ours-halves"}
    assert tried == set(marion2026.CHECKS)
    known = {claim.id for claim in claims.claims()}
    assert tried <= known


# --- the sweep over n ---


@pytest.mark.parametrize("name", ON_N)
def test_claims_on_the_sweep_over_n(name: str) -> None:
    assert check(name, fake()).verdict == base.REPRODUCED, check(name, fake())
    found = check(name, fake(**NOT[name.rsplit("-", 1)[0]]))
    assert found.verdict == base.FAILED, found


@pytest.mark.parametrize(("name", "changed"), PARTLY)
def test_claims_that_hold_in_part(name: str, changed: dict[str, np.ndarray]) -> None:
    assert check(f"{name}-digits", fake(**changed)).verdict == base.PARTLY


def test_one_seed_that_does_not_part_is_enough_to_doubt() -> None:
    test_loss = FULL["test_loss"].copy()
    test_loss[1, 0] = STAYS[1, 0]
    assert check("marion-part-digits", fake(test_loss=test_loss)).verdict == base.PARTLY


def test_looks_that_a_short_run_lacks_are_no_looks() -> None:
    """The default run and the smallest set have four looks of six; the rest is filled up."""
    short = {"step": np.where(np.arange(6) < 4, FULL["step"], -1)}
    for name, end in (("train_loss", 0.05), ("test_loss", 0.5), ("copies", 0.9), ("copies_baseline", 0.0)):
        array = FULL[name].copy()
        array[:, :, 3] = end
        array[:, :, 4:] = np.nan
        short[name] = array
    for name in ("wasserstein", "wasserstein_train", "wasserstein_few"):
        short[name] = np.concatenate([FULL[name][:, :, [0, 1, 3, 5]], np.full((3, 3, 2, 2), np.nan)], 2)
    for name in ("marion-part", "marion-copies", "marion-same", "marion-double"):
        assert check(f"{name}-digits", fake(**short)).verdict == base.REPRODUCED


@pytest.mark.parametrize("name", ["marion-linear", "marion-above"])
def test_a_power_needs_two_sizes_and_two_seeds(name: str) -> None:
    nowhere = fake(exponent=np.where(np.arange(4) < 3, np.nan, 1.0) * np.ones((2, 5, 1)))
    found = check(f"{name}-digits", nowhere)
    assert (found.verdict, found.our_value) == (base.FAILED, "not reached at two sizes")
    alone = fake(exponent=np.where(np.arange(4) < 3, np.nan, 3.0) * np.ones((2, 5, 1)))
    found = check(f"{name}-digits", alone)
    assert (found.verdict, found.our_value) == (base.PENDING, "one seed, so no interval")


def test_powers_are_of_the_longest_average_and_the_definition_named() -> None:
    exponent = FULL["exponent"].copy()
    exponent[0] = np.nan
    exponent[:, [0, 2, 4]] = np.nan
    for name in ("marion-linear-digits", "marion-above-digits"):
        assert check(name, fake(exponent=exponent)).verdict == base.REPRODUCED
    assert check("marion-linear-digits", fake()).our_value == "power 1.00 over 3 sizes"
    assert check("marion-above-digits", fake()).interval == "1.40 to 1.60"


def test_sizes_that_do_not_get_there_are_left_out() -> None:
    found = check("marion-slope-digits", fake(rate=factors(LOST)))
    assert found.verdict == base.REPRODUCED
    assert found.our_value.split(", ")[1] == "–"
    for nowhere in ([np.nan, np.nan, 1.0], [np.nan] * 3):
        assert check("marion-slope-digits", fake(rate=factors(nowhere))).verdict == base.PENDING


def test_distances_are_compared_at_every_look_where_the_losses_never_part() -> None:
    off = {"wasserstein_few": curves(3, 1, 1.5, 1.6, 0.8, 0.4)}
    assert check("marion-same-digits", fake(**off)).verdict == base.PARTLY
    never = times([np.nan] * 3)
    assert check("marion-same-digits", fake(**off, onset=never)).verdict == base.FAILED
    assert check("marion-same-digits", fake(onset=never)).verdict == base.REPRODUCED


def test_one_seed_is_told() -> None:
    one = {name: FULL[name][:, :1] for name in ("rate", "best", "onset")}
    assert check("marion-slope-digits", fake(**one)).interval == "one seed"


def test_averages_and_weights_as_they_are_are_told_apart() -> None:
    best = FULL["best"].copy()
    best[:, :, 0] = best[::-1, :, 0]
    assert check("ours-averaging", fake()).verdict == base.REPRODUCED
    assert check("ours-averaging", fake(best=best)).verdict == base.FAILED
    assert check("marion-size-fidelity-digits", fake(best=best)).verdict == base.REPRODUCED


# --- other sweeps ---


@pytest.mark.usefixtures("pinned")
@pytest.mark.parametrize(("name", "factor", "values", "good", "bad"), ON_OTHERS)
def test_claims_on_other_sweeps(name: str, factor: str, values: Any, good: Any, bad: Any) -> None:
    found = check(name, fake(factor, values, **good))
    assert found.verdict == base.REPRODUCED, found
    found = check(name, fake(factor, values, **bad))
    assert found.verdict == base.FAILED, found
    order = [2, 0, 1]  # a sweep may list its values in any order
    shuffled = {key: array[order] for key, array in good.items()}
    assert check(name, fake(factor, np.array(values)[order], **shuffled)).verdict == base.REPRODUCED


@pytest.mark.usefixtures("pinned")
def test_the_default_run_of_a_sweep_is_that_of_the_sweep_over_n() -> None:
    record = fake("width", [64, 128, 512], best=factors([4.0, 3.0, 1.0]))
    values, best = marion2026._sweep(record, "best")
    assert values.tolist() == [64, 128, 256, 512]
    assert np.allclose(best[:, 1, -1], [4, 3, 2, 1])
    between = fake("width", [64, 128, 512], best=factors([4.0, 1.5, 1.0]))  # 2 of the default is above 1.5
    assert check("marion-width-fidelity-digits", between).verdict == base.PARTLY


@pytest.mark.usefixtures("pinned")
def test_batches_that_never_memorize_do_not_confirm() -> None:
    record = fake("batch", [8, 16, 64], onset=times([12_800.0, np.nan, 1_600.0]))
    assert check("marion-batch-onset-digits", record).verdict == base.FAILED
    record = fake("batch", [8, 16, 64], rate=factors([np.nan] * 3))
    assert check("marion-batch-slope-digits", record).verdict == base.PENDING


def test_a_sweep_without_its_default_run_is_unfit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "best", lambda name, settings, profile: None)
    with pytest.raises(base.Unfit, match=r"no laptop record of digits \(sweep n\) yet"):
        marion2026.CHECKS["marion-width-onset-digits"](fake("width", [64, 128, 512]))


# --- disjoint halves ---


@pytest.mark.parametrize(
    ("share", "verdict"),
    [
        ((1.0, 0.7, 0.2), base.REPRODUCED),
        ((1.0, 0.9, 0.8), base.PARTLY),
        ((0.5, 0.4, 0.3), base.PARTLY),
        ((0.5, 0.6, 0.7), base.FAILED),
    ],
)
def test_halves(share: tuple[float, ...], verdict: str) -> None:
    found = check("ours-halves", halves(*share))
    assert found.verdict == verdict
    assert f"{share[-1]:.2f} at N = 599" in found.our_value
