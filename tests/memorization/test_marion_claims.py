"""Claims of chapter 3: what holds in part, cannot be read, or holds for one kind of weights only."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import fakes
import numpy as np
import pytest

from diffnotes.base.errors import UserError
from diffnotes.chapters import checks, memorization
from diffnotes.chapters.memorization import claims, judging, readings
from diffnotes.store import Record

cases = fakes.cases("memorization")
fake, curves, bent, times, factors = cases.fake, cases.curves, cases.bent, cases.times, cases.factors
RAW, AVERAGED = readings.RAW, readings.AVERAGED


def check(name: str, record: Record) -> checks.Finding:
    """The finding of a claim; none may show a number that is not one."""
    found = claims.CHECKS[name](record)
    assert "nan" not in f"{found.our_value} {found.interval}"
    return found


# --- the file ---


def test_pairs_share_their_words() -> None:
    text = Path(str(memorization.__file__)).with_name("claims.toml").read_text(encoding="utf-8")
    written = {entry["id"]: entry for entry in tomllib.loads(text)["claim"]}
    for name in claims.ON_BOTH:
        one, two = (written[f"{name}-{data}"] for data in ("digits", "cifar"))
        for field in ("rule", "statement", "core", "paper_value", "fixed"):
            assert one[field] == two[field], (name, field)
        assert one["scale"] != two["scale"]
    assert all(entry["core"] and entry["scale"] for name, entry in written.items() if name in claims.CHECKS)
    linear = written["marion-linear-digits"]["paper_value"]
    for value in (readings.THEIR_SPLIT, *readings.THEIR_SPLITS):
        assert f"{value:.2f}" in linear
    assert f"{readings.THEIR_TENTH}" in written["ours-above-digits"]["paper_value"]
    assert written["ours-above-digits"]["paper"] == "this book"


# --- in part ---

PARTLY: list[tuple[str, dict[str, Any]]] = [
    ("marion-part", {"train_loss": curves(lambda clock: 1 - 1 / (1 + clock))}),
    ("marion-copies", {"copies_baseline": cases.shares(cases.memorizing(0.1), 1)}),
    ("marion-copies", {"copies": 0.05 + 0.9 * cases.shares(cases.memorizing(1.0), 3)}),
    ("marion-slope", {"rate": factors([2.0, 3.0, 1.0])}),
    ("marion-size-fidelity", {"best": factors([2.0, 3.0, 1.0])}),
    ("marion-same", {"wasserstein_few": curves(bent(3, 1, 2.0, 1.1, 0.4))}),
    ("marion-double", {"wasserstein": curves(bent(3, 1, 2.0, 1.9, 1.9))}),
]


@pytest.mark.parametrize(("name", "changed"), PARTLY)
def test_claims_that_hold_in_part(name: str, changed: dict[str, np.ndarray]) -> None:
    found = check(f"{name}-digits", fake(**changed))
    assert found.verdict == checks.PARTLY, found


@pytest.mark.parametrize("sweep", ["width", "batch", "rate"])
def test_copies_that_turn_back_in_another_sweep_take_away(sweep: str) -> None:
    found = check("marion-gradual-digits", cases.all_sweeps({sweep: {"copies": cases.TURNING}}))
    assert found.verdict == checks.PARTLY, found
    assert f" {readings.FACTORS[sweep]}" in found.our_value


def test_a_fall_within_the_noise_of_the_counts_is_none() -> None:
    """Two standard errors of a half of 3 times 256 samples, at both evaluations, are 5 %."""
    for fall, verdict in ((0.04, checks.REPRODUCED), (0.07, checks.FAILED)):
        copies = cases.shares(bent(0, 0, 0.5, 0.5 - fall, 0.5 - fall), 3)
        assert check("marion-gradual-digits", cases.all_sweeps({}, copies=copies)).verdict == verdict


def test_copies_that_never_come_cannot_turn_back() -> None:
    none = cases.all_sweeps({}, copies=cases.shares(cases.memorizing(0.05), 3))
    assert check("marion-gradual-digits", none).verdict == checks.PENDING


def test_each_role_is_a_part() -> None:
    record = cases.all_sweeps(cases.WIDER_IS_WORSE)
    found = check("marion-roles-digits", record)
    assert found.verdict == checks.PARTLY
    assert found.interval.startswith("step over N: last less first ")
    unknown = cases.all_sweeps(cases.WIDER_IS_BETTER, best=factors([np.nan, 2.0, 1.0]))
    assert check("marion-roles-digits", unknown).verdict == checks.PENDING


def test_losses_by_level_explain_nothing_where_there_is_one_descent() -> None:
    falling = {"wasserstein": curves(bent(3, 2, 1.5, 1.2, 0.9))}
    with pytest.raises(checks.Nothing, match="does not descend twice"):
        claims.CHECKS["marion-levels-digits"](fake(**falling, **cases.AT_SOME_T))
    only = cases.arrays()["wasserstein"].copy()
    only[..., RAW] = falling["wasserstein"][..., RAW]
    found = check("marion-levels-digits", fake(wasserstein=only))
    assert (found.verdict, found.our_value.count("largest fall")) == (checks.REPRODUCED, 1)


def test_a_training_loss_that_rises_and_falls_takes_away() -> None:
    found = check("marion-levels-digits", fake(train_by_t=cases.by_t(cases.train_loss, cases.DESCENTS)))
    assert found.verdict == checks.PARTLY


def test_the_power_must_hold_at_every_threshold() -> None:
    """A gap that opens late for large sets, at large thresholds only."""
    gap = curves(lambda clock: 0.02 * clock)
    slow = gap * (1 + 4 * (gap > 0.035) * (cases.SIZE < 64)[:, None, None, None])
    found = check("marion-linear-digits", fake(test_loss=curves(cases.train_loss) + slow))
    assert found.verdict == checks.PARTLY, found
    assert "at thresholds of 10 %, 15 %, 20 %" in found.our_value


def test_an_order_within_the_noise_earns_no_part() -> None:
    best = np.array([[3.0, 1.0, 2.0], [1.99, 2.0, 1.99], [1.0, 3.0, 1.9]])[..., None] * [1.0, 1.0]
    found = check("marion-size-fidelity-digits", fake(best=best))
    assert found.verdict == checks.FAILED, found


def test_copies_that_come_before_the_losses_part_are_not_late() -> None:
    early = fake(onset=times(cases.ONSET, 0.8))
    assert check("marion-copies-digits", early).verdict == checks.PARTLY


def test_a_wide_interval_confirms_nothing() -> None:
    far = cases.STEP / cases.SIZE[:, None, None] ** np.array([0.4, 1.0, 1.6])[:, None]
    losses = {
        name: np.repeat(loss(far)[..., None], 2, -1)
        for name, loss in (("train_loss", cases.train_loss), ("test_loss", cases.test_loss))
    }
    assert check("marion-linear-digits", fake(**losses)).verdict == checks.FAILED


def test_a_rise_that_seeds_do_not_share_is_none() -> None:
    each = curves(cases.DESCENTS)
    flat = curves(bent(3, 1, 1.0, 0.95, 0.9))
    each[:, 2] = flat[:, 2]
    found = check("marion-double-digits", fake(wasserstein=each))
    assert found.verdict == checks.FAILED, found
    assert "to" in found.interval


def test_one_seed_that_does_not_part_is_enough_to_doubt() -> None:
    test_loss = curves(cases.test_loss)
    test_loss[1, 0] = curves(cases.train_loss)[1, 0]
    assert check("marion-part-digits", fake(test_loss=test_loss)).verdict == checks.FAILED
    test_loss[1, 0, :, RAW] = curves(cases.test_loss)[1, 0, :, RAW]  # only for the average
    assert check("marion-part-digits", fake(test_loss=test_loss)).verdict == checks.PARTLY


# --- both kinds of weights ---


@pytest.mark.parametrize("average", [RAW, AVERAGED])
@pytest.mark.parametrize("name", ["marion-size-fidelity-digits", "marion-slope-cifar", "marion-same-digits"])
def test_both_kinds_of_weights_are_looked_at(name: str, average: int) -> None:
    changed = cases.NOT[name.rsplit("-", 1)[0]]
    ((array, bad),) = changed.items()
    mixed = cases.arrays()[array].copy()
    mixed[..., average] = bad[..., average]
    found = check(name, fake(**{array: mixed}))
    assert found.verdict == checks.PARTLY
    assert "weights as they are: " in found.interval


def test_averages_and_weights_as_they_are_are_told_apart() -> None:
    best = cases.arrays()["best"].copy()
    best[:, :, RAW] = best[::-1, :, RAW]
    assert check("ours-averaging", fake()).verdict == checks.REPRODUCED
    assert check("ours-averaging", fake(best=best)).verdict == checks.FAILED
    assert check("marion-size-fidelity-digits", fake(best=best)).verdict == checks.PARTLY


# --- what cannot be read ---


@pytest.mark.parametrize("name", ["marion-linear", "ours-above"])
def test_a_power_needs_two_sizes_and_two_seeds(name: str) -> None:
    never = {"onset": times([np.nan] * 3), "test_loss": curves(cases.train_loss)}
    found = check(f"{name}-digits", fake(**never))
    assert (found.verdict, found.our_value) == (checks.FAILED, "not reached at two sizes")
    found = check(f"{name}-digits", cases.one_seed())
    assert (found.verdict, found.our_value) == (checks.PENDING, "one seed, so no interval")


def test_sizes_that_do_not_get_there_are_left_out() -> None:
    found = check("marion-slope-digits", fake(rate=factors([3.0, np.nan, 1.0])))
    assert found.verdict == checks.REPRODUCED
    assert found.our_value.split(", ")[1] == "–"
    for nowhere in ([np.nan, np.nan, 1.0], [np.nan] * 3):
        assert check("marion-slope-digits", fake(rate=factors(nowhere))).verdict == checks.PENDING


def test_one_seed_is_told_and_proves_no_difference() -> None:
    found = check("marion-slope-digits", cases.one_seed())
    assert found.verdict == checks.FAILED
    assert found.interval.startswith("one seed, so no interval")


def test_evaluations_that_a_short_run_lacks_are_none() -> None:
    """The runs of all sizes end after 30 of 34 evaluations; the rest is filled up."""
    short = {"step": np.where(np.arange(len(cases.STEP)) < 30, cases.arrays()["step"], -1)}
    for name in ("train_loss", "test_loss", "copies", "copies_baseline", "wasserstein", "wasserstein_few"):
        array = cases.arrays()[name].copy()
        array[:, :, 30:] = np.nan
        short[name] = array
    for name in ("marion-part", "marion-copies", "marion-linear", "marion-same", "marion-double"):
        found = check(f"{name}-digits", fake(**short))
        assert found.verdict == checks.REPRODUCED, found


def test_distances_are_compared_everywhere_where_the_losses_never_part() -> None:
    off = {"wasserstein_few": curves(bent(3, 1, 2.0, 1.1, 0.4))}
    assert check("marion-same-digits", fake(**off)).verdict == checks.PARTLY
    never = times([np.nan] * 3)
    assert check("marion-same-digits", fake(**off, onset=never)).verdict == checks.FAILED
    assert check("marion-same-digits", fake(onset=never)).verdict == checks.REPRODUCED


# --- other sweeps ---


@pytest.mark.parametrize(("name", "factor", "values", "good", "bad"), cases.SWEEPS)
def test_a_sweep_may_list_its_values_in_any_order(
    name: str, factor: str, values: list[float], good: dict[str, np.ndarray], bad: dict[str, np.ndarray]
) -> None:
    order = [2, 0, 1]
    for found, verdict in ((good, checks.REPRODUCED), (bad, checks.FAILED)):
        shuffled = {key: array[order] for key, array in found.items()}
        record = fake(factor, np.array(values)[order], **shuffled)
        assert check(f"{name}-digits", record).verdict == verdict


def test_the_default_run_of_a_sweep_is_that_of_the_sweep_over_n() -> None:
    record = fake("width", [64, 128, 512], best=factors([4.0, 3.0, 1.0]))
    sweep = judging.sweep_of(record)
    assert sweep.value.tolist() == [64, 128, 256, 512]
    assert np.allclose(sweep.read("best")[:, 1], [4, 3, 2, 1])
    between = fake("width", [64, 128, 512], best=factors([4.0, 1.5, 1.0]))  # 2 of the default is above 1.5
    assert check("marion-width-fidelity-digits", between).verdict == checks.PARTLY


def test_a_sweep_is_read_by_the_seeds_that_it_shares_with_its_default_run() -> None:
    values = factors([4.0, 3.0, 1.0])
    more = np.concatenate([values, np.full((3, 2, cases.AVERAGES), 99.0)], 1)
    wide = fake("width", [64, 128, 512], best=more[:, [4, 1, 0, 2, 3]])
    wide.spec["seeds"] = (7, 1, 0, 2, 8)
    for name in ("train_loss", "copies", "wasserstein"):
        wide.arrays[name] = wide[name][:, [0, 1, 0, 2, 0]]
    sweep = judging.sweep_of(wide)
    assert sweep.seeds == (1, 0, 2)
    assert np.allclose(sweep.read("best")[0], values[0, [1, 0, 2], 0])
    assert sweep.shared == ", over the 3 seeds shared by all"
    assert check("marion-width-fidelity-digits", wide).our_value.endswith(sweep.shared)
    assert judging.sweep_of(fake("width", [64, 128, 512])).shared == ""
    wide.spec["seeds"] = (7, 8, 9, 10, 11)
    with pytest.raises(UserError, match="no seed in common"):
        judging.sweep_of(wide)


def test_the_default_run_has_the_size_of_the_sweep() -> None:
    record = fake("batch", [8, 16, 64])
    record.spec["n"] = 128
    base = fake()
    sweep = readings.swept(base, record)
    assert np.allclose(sweep.read("best")[2], base["best"][2, :, -1])
    assert readings.run_label(base, record, 0) == "B = 8, N = 128"
    record.spec["n"] = 1000  # no size of the other sweep
    assert readings.swept(base, record).value.tolist() == [8, 16, 64]


def test_what_never_happens_counts_as_latest_where_all_seeds_agree() -> None:
    onset = times([np.nan, 5e3, 2e3])
    found = check("marion-width-onset-digits", fake("width", [64, 128, 512], onset=onset))
    assert found.verdict == checks.REPRODUCED
    assert found.our_value.startswith("never, 5,000")


def test_an_onset_that_a_breakdown_forestalls_is_not_never() -> None:
    astray = cases.arrays()["wasserstein"].copy()
    astray[0, :, -3:] = 100.0
    copies = cases.arrays()["copies"].copy()
    copies[0] = 0
    runs = {"onset": times([np.nan, 5e3, 2e3]), "copies": copies}
    found = check("marion-width-onset-digits", fake("width", [64, 128, 512], **runs))
    assert found.our_value.startswith("never, 5,000")
    found = check("marion-width-onset-digits", fake("width", [64, 128, 512], **runs, wasserstein=astray))
    assert found.our_value.startswith("–, 5,000")
    assert found.interval.startswith("last less second (the first is not known) ")


def test_batches_outside_the_regime_are_not_compared() -> None:
    """The default, half of the training set, has another number of images seen, and does not count."""
    record = fake("batch", [8, 64, 128], onset=times([12_800.0, 6_400.0, 1_600.0]))
    found = check("marion-batch-onset-digits", record)
    assert found.verdict == checks.PENDING
    assert found.our_value == "needs two batches of at most N/4; there is one"


def test_batches_that_never_memorize_do_not_confirm() -> None:
    record = fake("batch", [8, 16, 64], onset=times([12_800.0, np.nan, 1_600.0]))
    assert check("marion-batch-onset-digits", record).verdict == checks.FAILED
    record = fake("batch", [8, 16, 64], rate=factors([np.nan] * 3))
    assert check("marion-batch-slope-digits", record).verdict == checks.PENDING


def test_an_onset_that_may_still_come_decides_nothing() -> None:
    """The run at B = 16 sees 1.6 million images, and that at B = 8 memorizes after 1.36 million."""
    record = fake("batch", [8, 16, 64], onset=times([170_000.0, np.nan, 1_600.0]))
    found = check("marion-batch-onset-digits", record)
    assert found.verdict == checks.PENDING
    assert "not reached at B = 16" in found.our_value


def test_a_batch_that_breaks_down_before_is_left_out() -> None:
    astray = np.ones(cases.SHAPE)
    astray[0, 0, 5:] = 30.0  # the first seed at B = 8
    onset = times([np.nan, 6_400.0, 3_200.0])
    record = fake("batch", [8, 16, 4], onset=onset, wasserstein=astray)
    found = check("marion-batch-onset-digits", record)
    assert found.verdict == checks.FAILED  # 4 x 3,200 against 16 x 6,400 images
    assert "ratio 8.00 (8.00 to 8.00) up to N/4; not known in every seed at B = 8" in found.interval


# --- what moves with a factor ---


def test_many_copies_at_the_peak_are_no_second_fall_of_memorization() -> None:
    early = {"copies": cases.shares(bent(0, 0, 0.3, 0.5, 0.9), 3)}
    found = check("marion-second-fall-digits", fake(**early))
    assert found.verdict == checks.PARTLY
    assert "N = 64: 29 % at the peak, 90 % after the fall" in found.our_value
    assert "descend twice at" not in found.our_value
    once = cases.arrays()["wasserstein"].copy()
    once[2] = curves(bent(3, 2, 1.5, 1.2, 0.9))[2]
    found = check("marion-second-fall-digits", fake(wasserstein=once))
    assert found.our_value.endswith("weights as they are: does not descend twice at N = 128")
    with pytest.raises(checks.Nothing, match="no second fall"):
        claims.CHECKS["marion-second-fall-digits"](fake(wasserstein=curves(bent(3, 2, 1.5, 1.2, 0.9))))


@pytest.mark.parametrize(
    ("steps", "verdict"),
    [
        ([3.5e3, 3.3e3, 3.2e3], checks.FAILED),  # flat all along: nothing falls
        ([9e3, 5e3, 4.1e3], checks.FAILED),  # later again by more than a quarter
        ([np.nan, 5e3, 3e3], checks.REPRODUCED),
        ([9e3, 5e3, np.nan], checks.PENDING),
    ],
)
def test_an_onset_that_saturates_falls_first(steps: list[float], verdict: str) -> None:
    found = check("marion-width-split-digits", fake("width", [64, 128, 512], onset=times(steps)))
    assert found.verdict == verdict, found


def test_a_rate_between_the_ends_must_be_first_beyond_noise() -> None:
    near = times([9e3, 5e3, 4.9e3])
    near[2] = near[2, ::-1]
    found = check("marion-rate-raw-digits", fake("rate", [1e-4, 3e-4, 2e-3], onset=near))
    assert found.verdict == checks.FAILED
    never = times([9e3, 5e3, np.nan])
    found = check("marion-rate-raw-digits", fake("rate", [1e-4, 3e-4, 2e-3], onset=never))
    assert found.verdict == checks.REPRODUCED


def test_good_samples_before_copies_at_every_size() -> None:
    slow = fake(wasserstein=cases.STEADY, best=cases.ONE, onset=times([50.0] * 3))
    found = check("bonnaire-early-digits", slow)
    assert found.verdict == checks.PARTLY  # copies come no later with N
    assert found.our_value.startswith("power of N 0.00 (")


def test_a_slope_that_a_breakdown_takes_away_confirms_nothing() -> None:
    record = fake("batch", [8, 16, 64], rate=factors([np.nan, 2.1, 2.2]))
    assert check("marion-batch-slope-digits", record).verdict == checks.FAILED


# --- disjoint halves ---


@pytest.mark.parametrize(
    ("share", "verdict"),
    [
        ((1.0, 0.7, 0.2), checks.REPRODUCED),
        ((1.0, 0.9, 0.8), checks.FAILED),  # that small halves differ is no part of the claim's core
        ((0.5, 0.4, 0.3), checks.PARTLY),
        ((0.5, 0.6, 0.7), checks.FAILED),
    ],
)
def test_halves(share: tuple[float, ...], verdict: str) -> None:
    found = check("ours-halves", cases.halves(*share))
    assert found.verdict == verdict
    assert f"{share[-1]:.4f} at N = 599" in found.our_value


# ------------------------------------------------------------------------------------- bfloat16 and float32

SCATTER = np.array([0.6, 1.0, 1.7])[:, None, None]  # of seeds, around 1
BEND = np.array([0.8, 1.0, 1.22])[:, None, None, None]  # of sizes, around 1


@pytest.mark.parametrize(
    ("changed", "verdict"),
    [
        ({}, checks.REPRODUCED),
        ({"onset": times(1.1 * cases.ONSET, 1.5)}, checks.REPRODUCED),
        ({"onset": times(cases.ONSET, 1.5) * SCATTER}, checks.PARTLY),  # nothing is shown of the steps
        ({"onset": times(cases.ONSET, 1.5) * BEND}, checks.PARTLY),  # a trend with N, which the mean hides
        ({"test_loss": 1.03 * curves(cases.test_loss)}, checks.PARTLY),
        ({"onset": np.where(BEND == 1, np.nan, times(cases.ONSET, 1.5))}, checks.PENDING),
        ({"value": [32, 64, 256]}, checks.REPRODUCED),  # of the sizes that both have
    ],
)
def test_what_bfloat16_may_change(changed: dict[str, object], verdict: str) -> None:
    found = check("ours-precision", cases.precisions(**changed))
    assert found.verdict == verdict
    sizes = "32, 64" if "value" in changed else "32, 64, 128"
    assert f"N = {sizes}" in found.our_value


def test_one_kind_of_weights_alone_is_not_enough() -> None:
    onset = times(cases.ONSET, 1.5)
    onset[:, :, 0] *= 2  # the weights as they are
    assert check("ours-precision", cases.precisions(onset=onset)).verdict == checks.PARTLY


def test_slopes_count_where_the_run_gets_so_far() -> None:
    share = cases.shares(cases.memorizing(0.99), 3)
    share[2] = np.minimum(share[2], 0.3)  # the largest N ends early, and would look slowest
    found = check("marion-slope-digits", fake(copies=share, rate=cases.factors([2.0, 3.0, 1.0])))
    assert found.our_value.startswith("2, 3, –")
    assert found.verdict != checks.REPRODUCED
