"""Sentences of chapter 3 say what the records say, also when they say otherwise."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import fakes
import numpy as np
import pytest

from diffnotes import store
from diffnotes.chapters.memorization import calibration_readings as known_sets
from diffnotes.chapters.memorization import cifar, digits, readings, run_readings, tables
from diffnotes.chapters.memorization import findings as said
from diffnotes.chapters.memorization.breakdown import astray_from, broken_at
from diffnotes.chapters.memorization.onsets import minimum, rate
from diffnotes.show.style import Sentence, together
from diffnotes.store import Record


def changed(record: Record, **arrays: Any) -> Record:
    """The record with other arrays."""
    found = replace(record)
    found.__dict__["arrays"] = record.arrays | {name: np.asarray(a) for name, a in arrays.items()}
    return found


@pytest.fixture(scope="module")
def small() -> Record:
    """The first three seeds of the sweep over n, however many the book shows."""
    record = store.load(digits.EXPERIMENT, sweep="n")
    shape = (len(record["value"]), len(record.spec["seeds"]))
    first = {n: a[:, :3] for n, a in record.arrays.items() if a.shape[:2] == shape and n != "exponent"}
    spec = {**record.spec, "seeds": record.spec["seeds"][:3]}
    return changed(replace(record, meta={**record.meta, "spec": spec}), **first)


def powers(small: Record, **power: float) -> Record:
    """The record with onsets that grow as N to given powers, and 0.1 around them by seed."""
    onset = small["onset"].copy()
    for name, value in power.items():
        place = list(small["definition"]).index(f"copies 0.{name[1:]}" if name != "split" else name)
        onset[..., place] = small["value"][:, None, None] ** (value + np.array([-0.02, 0.0, 0.02]))[:, None]
    return changed(small, onset=onset)


def test_powers_are_sorted_by_their_intervals(small: Record) -> None:
    sorted_once = powers(small, split=1.5, q05=0.8, q1=1.0)
    found = [readings.power(sorted_once, name) for name in readings.LABELS]
    known = [power for power in found if power.known]
    sides = [sum(power.low > 1 for power in known), sum(power.high < 1 for power in known)]
    held = len(known) - sum(sides)
    assert min(held, *sides) > 0
    assert said.powers(sorted_once) == (
        f"Of the 95 % intervals of the power of N, {held} of {len(known)} on digits contain 1, "
        f"{sides[0]} lie above and {sides[1]} below."
    )
    assert said.powers(powers(small, split=1.0, q05=0.8, q1=1.0)).endswith(
        f"{held + 1} of {len(known)} on digits contain 1, {sides[0] - 1} lie above and {sides[1]} below."
    )


def test_readings_are_those_of_the_record(small: Record) -> None:
    """Powers are fitted again, and are the stored ones; only the minimum is read more finely."""
    for place, name in enumerate(map(str, small["definition"])):
        for average in range(len(small["average"])):
            found = readings.power(small, name, average)
            stored = small["exponent"][average, place]
            if name != "minimum" and len(small.spec["seeds"]) == small.meta["arrays"]["rate"]["shape"][1]:
                assert [found.value, found.low, found.high, found.sizes] == pytest.approx(stored.tolist())
    coarse, fine = small["onset"][:, :, -1, 0], readings.onset(small, "minimum")
    assert np.abs(np.log(fine / coarse)).max() < np.log(1.5)  # between the evaluations beside it
    assert (fine.std(1) > 0).all()


def test_the_scan_ends_at_the_threshold_of_the_record(small: Record) -> None:
    assert np.allclose(readings.split_at(small, readings.SHARES[-1]), readings.onset(small, "split"))
    assert readings.scan(small)[-1] == readings.power(small, "split")


def test_a_power_that_grows_with_n_bends(small: Record) -> None:
    """Steps in proportion to N, but for the last size: twice that, within 2 % by seed."""
    size = small["value"].astype(float)
    times = size[:, None] * np.array([1.0, 1.0, 1.0])
    straight = readings.bend(small, times)
    assert (straight.value, straight.sizes) == (pytest.approx(0), len(size))
    times[size.argmax()] *= 2 * np.array([0.98, 1.0, 1.02])
    bent = readings.bend(small, times)
    assert bent.value == pytest.approx(1, abs=0.01)
    assert 0 < bent.low < bent.high
    assert np.allclose(readings.local_powers(small, times).mean(1), [1, 1, 2], atol=0.01)
    times[size.argmax()] = np.nan
    assert len(readings.local_powers(small, times)) == len(size) - 2


def test_order_of_onsets_is_read_from_the_record(small: Record) -> None:
    assert "times as late" in said.order(small)
    swapped = small["onset"].copy()
    swapped[..., [1, 3]] = swapped[..., [3, 1]]
    assert "not later" in said.order(changed(small, onset=swapped))
    never = np.full(small["onset"].shape, np.nan)
    assert "not every seed gets as far" in said.order(changed(small, onset=never))
    assert "in 0 of 3 runs by step" in str(said.answer_found(changed(small, onset=never)))


def test_a_breakdown_is_seen_said_and_marked(small: Record) -> None:
    assert "no run breaks down" in str(said.breakdown_found(small))
    share = np.zeros_like(small["copies"])
    share[0, 1, 5:8, -1, 0], share[0, 1, 8:, -1, 0] = 0.4, 0.1
    broken = changed(small, copies=share)
    assert run_readings.breakdowns(broken, 0) == [(0.4, 0.1, 0.1)]
    name = readings.label(broken, 0)
    assert f"{name}: in 1 of 3 seeds memorized samples reach 40 %, fall to 10 % and end at 10 %." in str(
        said.breakdown_found(broken)
    )
    assert tables.sweep_table(broken).rows[0][0].replace("\u00a0", " ") == f"{name} †"
    assert run_readings.breakdowns(changed(small, copies=share / 5), 0) == []  # never reached a tenth


def test_what_comes_after_a_breakdown_is_left_out(small: Record) -> None:
    """The losses of one seed meet again, late: without the rule they part only after that."""
    loss, end = small["train_loss"].copy(), small["train_loss"].shape[2]
    loss[0, 1, end - 2 :, -1] = small["test_loss"][0, 1, end - 2 :, -1]
    late = small["onset"].copy()
    late[0, 1, -1, 1] = np.nan
    far = small["wasserstein"].copy()
    far[0, 1, end - 1, -1] = 0
    found = changed(small, train_loss=loss, onset=late, wasserstein=far)
    assert readings.broken(found, 0) == [end, end - 2, end]
    assert np.allclose(readings.onset(found, "split"), readings.onset(small, "split"))
    assert np.allclose(readings.read(found, "best"), readings.read(small, "best"))
    share = small["copies"][0, 1, : end - 2, -1, 0]
    assert readings.read(found, "rate")[0, 1] == pytest.approx(
        rate(readings.steps(small, 0)[: end - 2], share), nan_ok=True
    )
    assert np.allclose(readings.read(found, "rate")[1:], small["rate"][1:, :, -1], equal_nan=True)


def test_a_breakdown_is_a_loss_of_copies_or_a_rise_of_the_training_loss() -> None:
    falling = np.array([1.0, 0.5, 0.4, 0.3])
    assert broken_at(falling, np.array([0.0, 0.1, 0.4, 0.21])) == 4
    assert broken_at(falling, np.array([0.0, 0.1, 0.4, 0.19])) == 3
    assert broken_at(falling, np.array([0.0, 0.09, 0.01, 0.5])) == 4  # never a tenth before
    assert broken_at(np.array([1.0, 0.5, 0.61, 0.3]), np.zeros(4)) == 2
    assert broken_at(np.array([1.0, 0.5, 0.59, 0.3]), np.zeros(4)) == 4
    assert astray_from(np.array([1.0, 0.5, 2.1, 9.0])) == 2
    assert astray_from(np.array([1.0, 9.0, 0.5, 1.9])) == 4  # they come back


def test_copies_among_samples_that_are_astray_are_not_known(small: Record) -> None:
    wide = store.load(digits.EXPERIMENT, sweep="width")
    place = list(wide["value"]).index(64)
    lost = readings.astray(wide, place)
    assert any(lost)
    assert np.isnan(readings.never(wide, readings.TENTH)[place][lost]).all()
    assert np.allclose(readings.onset(wide, "split"), wide["onset"][..., -1, 1])  # losses need no samples
    text = str(said.breakdown_found(small, wide))
    assert f"width = 64: in {sum(lost)} of {len(lost)} seeds samples go astray" in text
    assert not any(readings.astray(small, 0))
    share, onset = np.zeros_like(small["copies"]), np.full_like(small["onset"], np.nan)
    assert np.isinf(readings.never(changed(small, copies=share, onset=onset), readings.TENTH)).all()


def test_the_rate_that_broke_down_on_digits_is_named(small: Record) -> None:
    rate = store.load(digits.EXPERIMENT, sweep="rate")
    assert re.search(r"η = 0\.002: in \d+ of \d+ seeds", str(said.breakdown_found(small, rate)))


def test_distances_rises_and_averages(small: Record) -> None:
    flat = np.ones_like(small["wasserstein"])
    equal = changed(small, wasserstein=flat, wasserstein_train=flat, wasserstein_few=flat)
    assert str(said.descent_found(equal)).count("none at") == len(small["value"])
    assert "at most 0, 0, 0, 0 % before" in str(said.mismatch_found(equal))
    batch = store.load(digits.EXPERIMENT, sweep="batch")
    text = str(said.averages_found(small, batch))
    assert text.count("the least distance is") == 2
    assert f"{small['best'][np.argmin(small['value']), :, 0].mean():.3f}" in text
    assert said.averages(small, batch).count("the longest average lowers the least distance by") == 2
    assert text.count("digits, N = ") == text.count("digits, B = ") == 1


def test_a_table_has_a_sentence_of_its_own(small: Record) -> None:
    bent = powers(small, split=1.5, q05=0.8, q1=1.0, q5=1.1)
    text = said.power_range(bent)
    assert text.startswith("For losses that part by 10 to 30 %, the power of N is ")
    assert " to 1.50 (" in text
    wide = [share for share in readings.SCAN if share >= readings.SHARES[0]]
    fits = [readings.fitted(bent, readings.split_at(bent, share)) for share in (*wide, readings.SCAN[0])]
    off = sum(not power.low <= 1 <= power.high for power in fits[:-1])
    more = f"; {fits[-1].value:.2f} by {100 * readings.SCAN[0]:.0f} %"
    assert text.endswith(f"({off} of these {len(wide)} intervals exclude 1{more}) on digits.")


def test_rows_with_other_seeds_say_so(small: Record) -> None:
    wide = store.load(digits.EXPERIMENT, sweep="width")
    table = tables.sweep_table(small, wide)
    count = len(wide.spec["seeds"])
    assert count > len(small.spec["seeds"]) == 3
    named = [row[0].replace("\u00a0", " ").removesuffix(" †") for row in table.rows]
    assert [name for name in named if name.endswith(f", {count} seeds")] == named[-len(wide["value"]) :]
    assert not any("seeds" in name for name in named[: -len(wide["value"])])
    assert "over 3 seeds, or as many as the row names" in table.caption.shows
    assert "or as many" not in tables.sweep_table(small).caption.shows


def test_losses_at_each_level_of_noise(small: Record) -> None:
    place = readings.default_place(small)
    table = tables.levels_table(small)
    loss = readings.curve(small, place, "test_by_t").mean(0)
    assert len(table.rows) == len(small["t"])
    assert [row[1] for row in table.rows] == [f"{readings.steps(small, place)[k]:,}" for k in loss.argmin(0)]
    assert [row[2] for row in table.rows] == [f"{100 * rise:.0f} %" for rise in loss[-1] / loss.min(0) - 1]
    wavy = small["test_by_t"].copy()
    count = wavy.shape[2]
    wavy[place, ..., 3] = np.interp(np.arange(count), [0, 4, 8, 12], [1.0, 0.5, 1.0, 0.7])[None, :, None]
    turned = changed(small, test_by_t=wavy)
    assert tables.levels_table(turned).rows[3][3] == "30 %"
    assert "once risen, it falls again by at most 30 %, the training loss by" in said.levels(turned)
    best = small["best"].copy()
    best[0], best[1:] = 0.25, 2.0
    text = said.best_run(changed(small, best=best))
    assert f"{readings.label(small, 0)} has the smallest least distance, 0.250. " in text
    best[1] = 0.251 + 0.01 * np.arange(best.shape[1])[:, None] * np.array([1, -1, 1])[: best.shape[2]]
    text = said.best_run(changed(small, best=best))
    assert f"0.250 (not told from it: {readings.label(small, 1)}). " in text


def test_a_rise_is_taken_at_the_same_evaluations_in_all_seeds(small: Record) -> None:
    """Single seeds have larger rises, by their noise."""
    place = readings.default_place(small)
    found = run_readings.rise(small, place)
    each = readings.curve(small, place, "wasserstein")
    largest = (each / np.minimum.accumulate(each, 1)).max(1) - 1
    assert found.low < found.value < largest.mean() + 1e-9


def test_factors_name_what_is_left_out() -> None:
    base, batch = (store.load(cifar.EXPERIMENT, sweep=sweep) for sweep in ("n", "batch"))
    sweep = readings.swept(base, batch)
    mean = sweep.onset("split").mean(1)
    text = str(said.factor_found(base, batch))
    assert f"by a factor {mean.max() / mean.min():.2f} in steps" in text
    missing = "(without B = 8, where a seed does not get there or breaks down before)"
    assert missing in text
    assert sweep.value.tolist() == sorted(sweep.value)
    assert "B/N from 1/8 to 2" in str(said.regime_found(batch))
    assert missing in said.moved_most(base, batch)


def test_a_minimum_is_interpolated_in_the_logarithm_of_the_step() -> None:
    step = np.geomspace(10, 10_000, 7)
    assert minimum(step, 1 + np.log(step / 420) ** 2) == pytest.approx(420)
    assert np.isnan(minimum(step, step))


def test_distances_of_the_calibration_have_no_interval_that_leaves_them_out() -> None:
    record = fakes.record({"side": [32], "kind": ["test"], "wasserstein": [[[0.12, 0.13, 0.18]]]})
    assert known_sets.distance(record, "wasserstein", 32, "test") == pytest.approx((0.12, 0.025))


def test_a_record_is_named_once(small: Record) -> None:
    both = together(Sentence(small, text="A."), Sentence(small, text="B."))
    assert (both.text, both.records) == ("A. B.", (small,))
