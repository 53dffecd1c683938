"""Chapter 4 beside its curve: parts of a set, one noisy image, conversions, figures, checks of claims."""

from __future__ import annotations

import math
from dataclasses import replace

import fakes
import numpy as np
import pytest
import torch
from fakes import changed, record

from diffnotes import store
from diffnotes.base.runtime import normals
from diffnotes.chapters import checks as base
from diffnotes.chapters.loss_floor import (
    claims,
    estimator_figures,
    estimator_readings,
    exercises,
    figures,
    findings,
    noisy_image,
    readings,
    sizes_imagenet,
    tables,
)
from diffnotes.chapters.loss_floor import conversions as loss_conversions
from diffnotes.chapters.loss_floor import curve as loss_curve
from diffnotes.chapters.loss_floor import estimators as loss_estimators
from diffnotes.chapters.loss_floor import sizes as loss_sizes
from diffnotes.chapters.loss_floor.estimator_readings import Study
from diffnotes.chapters.loss_floor.slider import PosteriorSlider
from diffnotes.data import sets as data
from diffnotes.optimal_loss import area
from diffnotes.posterior import posterior
from diffnotes.show import labels
from diffnotes.show.widgets import webp

cases = fakes.cases("loss_floor")


@pytest.fixture(scope="module", autouse=True)
def root(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DIFFNOTES_ROOT", str(tmp_path_factory.mktemp("root")))
        yield


@pytest.fixture(scope="module")
def study(root):
    return store.run(loss_estimators.EXPERIMENT, "smoke")


@pytest.fixture(scope="module")
def sizes(root):
    return store.run(loss_sizes.EXPERIMENT, "smoke")


@pytest.fixture(scope="module")
def noisy(root):
    return store.run(noisy_image.EXPERIMENT, "smoke")


# --- parts of a training set ---


def test_each_part_obeys_the_sum_rule_and_more_images_have_a_smaller_critical_noise(sizes):
    for one in readings.parts(sizes):
        assert abs(one.area - one.entropy) < max(4 * one.area_stderr, 0.02 * one.entropy)
    assert (np.diff(sizes["critical"][:, 0]) < 0).all()
    assert (np.diff(sizes["gaussian_sigma"]) < 0).all()


def test_parts_in_slices_are_the_same(sizes):
    for _ in range(20):
        try:
            sliced = store.run(loss_sizes.EXPERIMENT, "smoke", max_seconds=1e-9, sigma_min=0.0100000001)
            break
        except store.Unfinished:
            continue
    np.testing.assert_allclose(sliced["mean"], sizes["mean"], rtol=1e-6, atol=1e-9)


def test_parts_have_no_common_images_and_the_first_are_those_of_one_part(monkeypatch, root):
    seen = []
    plain = loss_sizes.curve_of
    monkeypatch.setattr(loss_sizes, "curve_of", lambda x, *how: seen.append(x) or plain(x, *how))
    few = store.run(loss_sizes.EXPERIMENT, "smoke", sizes=(30, 40), parts=3, sources=20, levels=4)
    assert few["size"].tolist() == [30, 30, 30, 40, 40, 40]
    whole = data.load("digits", 120).values
    assert torch.equal(torch.cat(seen[3:]), whole)
    assert torch.equal(torch.cat(seen[:3]), whole[:90])
    one = store.run(loss_sizes.EXPERIMENT, "smoke", sizes=(30, 40), sources=20, levels=4)
    np.testing.assert_allclose(one["mean"], few["mean"][[0, 3]])
    with pytest.raises(ValueError, match="samples of digits"):
        store.run(loss_sizes.EXPERIMENT, "smoke", sizes=(40, 500), parts=3)


def test_a_setting_that_came_later_changes_no_key():
    assert "parts" not in loss_sizes.SizeSpec().identity()
    assert loss_sizes.SizeSpec(parts=2).identity()["parts"] == 2


def test_several_parts_in_slices_are_the_same(root):
    small = {"dataset": "digits", "sizes": (30, 40), "sources": 20}  # a slice for each of six parts
    whole, stops = store.run(sizes_imagenet.EXPERIMENT, "smoke", **small), 0
    while stops < 20:
        try:
            sliced = store.run(
                sizes_imagenet.EXPERIMENT, "smoke", max_seconds=1e-9, sigma_min=0.1000000001, **small
            )
            break
        except store.Unfinished:
            stops += 1
    assert stops == 5
    np.testing.assert_allclose(sliced["mean"], whole["mean"], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(("name", "count"), [("specimens64", 520), ("specimens64-all", 550)])
def test_a_set_with_its_training_images_is_larger(name, count):
    found = loss_curve.images_of(name, 0, 0)
    assert len(found) == count
    assert loss_curve.EXPERIMENT.data(loss_curve.LossSpec(dataset=name)) == {name: found.fingerprint}


def test_imagenet64_means_the_validation_images(monkeypatch):
    asked = {}
    monkeypatch.setattr(loss_curve.data, "load", lambda name, **how: asked.update({name: how}))
    loss_curve.images_of("imagenet64", 0, 0)
    loss_curve.images_of("cifar10", 5, 0)
    assert (asked["imagenet64"]["split"], asked["cifar10"]["split"]) == ("validation", "train")
    assert (asked["imagenet64"]["n"], asked["cifar10"]["n"]) == (None, 5)
    loss_curve.images_of("imagenet64-all", 0, 0)
    assert (asked["imagenet64"]["split"], asked["imagenet64"]["per_class"]) == ("all", 100)
    loss_curve.images_of("imagenet64-sample", 0, 0)
    assert (asked["imagenet64"]["split"], asked["imagenet64"]["folder"]) == ("train", "imagenet64-sample")


# --- one noisy image ---


def test_the_noisy_image_has_the_posterior_of_its_noise(noisy):
    digits, level = data.load("digits").x, 2
    noise = normals(0, "noisy image", (4, 7), (64,)).view(2, 1, 8, 8)
    sigma = float(noisy["sigma"][level])
    expected = posterior(digits[[4, 7]] + sigma * noise, sigma, digits)
    np.testing.assert_allclose(noisy["effective"][:, level], expected.ess.numpy(), rtol=1e-3)
    mean = ((expected.mean + 1) * 127.5).round().clamp(0, 255).numpy()
    assert np.abs(noisy["mean"][:, level].astype(float) - mean).max() <= 1
    np.testing.assert_array_equal(noisy["number"][noisy["which"][:, 0, 0]], [4, 7])
    assert (np.diff(noisy["weight"]) <= 0).all()
    np.testing.assert_allclose(noisy["noise"], noise.half().numpy())


def test_the_slider_draws_every_image_and_level(noisy):
    explorer = PosteriorSlider(noisy, store.run(loss_curve.EXPERIMENT, "smoke"))
    pictures = {webp(explorer(sigma, image)) for sigma in explorer.sigmas for image in explorer.images}
    assert len(pictures) == 10
    assert webp(explorer(1.01 * explorer.sigmas[1], 1)) == webp(explorer(explorer.sigmas[1], 1))
    assert explorer.__doc__
    assert set(explorer.shown) <= set(explorer.sigmas)
    assert explorer.shown


def test_the_sentence_on_noisy_images_needs_levels_that_it_names(noisy):
    wide = store.run(noisy_image.EXPERIMENT, "smoke", sigma_max=20.0)
    assert "passes 100" in str(findings.noisy_found(wide))
    assert "still below 100" in str(
        findings.noisy_found(store.run(noisy_image.EXPERIMENT, "smoke", sigma_max=1.0))
    )


# --- conversions ---


def test_every_conversion_is_measured_to_rounding(root):
    record = store.run(loss_conversions.EXPERIMENT, "smoke")
    measured = record["loss"] / record["loss"][0]
    np.testing.assert_allclose(measured, record["factor"], rtol=1e-9)
    assert (record["loss"] > 0).all()
    pairs = set(zip(record["process"].tolist(), record["target"].tolist(), strict=True))
    assert {("FM", "velocity"), ("VP", "v"), ("VE", "F"), ("VP", "score"), ("FM", "eps")} <= pairs
    assert "1/t²" in tables.conversions(record)._repr_html_()


def test_a_wrong_factor_would_be_seen():
    process, t = loss_conversions.PROCESSES["VP"], torch.tensor(0.4, dtype=torch.float64)
    assert float(loss_conversions._eps(process, t)) != pytest.approx(float(loss_conversions._v(process, t)))


# --- readings ---


def test_what_is_told_adds_up_to_the_area():
    found = readings.curve(cases.curve())
    told = found.told()
    expected = area(found.sigma, found.mean, found.variance)
    assert told[0] == pytest.approx(float(expected))
    assert (np.diff(told) <= 0).all()
    gaussian = found.told_by_gaussian()
    assert gaussian[-1] == pytest.approx(found.variance / (2 * found.sigma[-1] ** 2), rel=1e-3)


def test_a_smooth_curve_goes_through_its_points():
    x = np.linspace(0, 3, 13)
    fine, found = readings.smooth(x, np.sin(x))
    assert len(fine) > 8 * len(x)
    np.testing.assert_allclose(np.interp(x, fine, found), np.sin(x), atol=1e-12)
    np.testing.assert_allclose(found, np.sin(fine), atol=0.01)


def test_parts_are_read_by_their_size():
    record = cases.parts((3.0, 2.0), (50, 100))
    assert [one.n for one in readings.parts(record)] == [50, 100]
    assert readings.part_of(record, 100).critical[0] == 2.0
    assert readings.part_of(record, 70) is None
    power = readings.power_of_n(readings.parts(record), lambda one: one.critical[0])
    assert power == pytest.approx(np.log(2 / 3) / np.log(2))


def test_the_best_correction_is_found_by_three_measures():
    for best in Study(cases.best(2.0, 4.0, 64.0)).criteria():
        np.testing.assert_allclose(best.value, [2.0, 4.0, 64.0], rtol=0.05)
        assert not best.capped.any()
        assert best.within().tolist() == [True, True, False]
    assert Study(cases.best(1.95, 8.03, 8.2)).relative().within().tolist() == [False, True, False]
    beyond = Study(cases.best(2.0, 4.0, 1e6)).crossing()
    assert beyond.capped.tolist() == [False, False, True]
    assert beyond.texts()[-1] == "≥ 1,024"


def test_a_bias_that_is_never_zero_has_a_bound_on_its_side():
    below = Study(cases.best(1e-3, 4.0, 4.0)).crossing()
    assert (below.value[0], bool(below.capped[0])) == (cases.MULTIPLES[1], False)


def test_a_growth_with_a_capped_best_is_a_lower_bound():
    assert Study(cases.best(2.0, 4.0, 8.0)).power() == "2.00"
    assert Study(cases.best(4.0, 4.0, 1024.0)).power().startswith("at least ")


def test_growth_of_the_scatter_needs_to_be_sure():
    for factor, sure in ((3.0, True), (0.5, False)):
        assert all((low > 1) is sure for _, low in Study(cases.scatter(factor)).wider())
    rng = np.random.default_rng(1)
    assert estimator_readings._growth(rng.standard_normal((40, 2)))[1] < 1


def test_labels_are_the_same_everywhere():
    assert readings.curve(cases.curve("imagenet64")).name == "Tiny ImageNet, N = 100"
    assert labels.dataset(record({}, spec={"dataset": "pictures/cats"})) == "cats"
    assert labels.bounds(0.2, 0.4, 0, " %") == "0 %"
    assert labels.bounds(-1, 5, 0, " %") == "−1 to 5 %"


# --- claims ---


def test_half_a_claim_is_partly_reproduced():
    assert claims.CHECKS["xu-order"](cases.order(1.5)).verdict == base.PARTLY
    fast = cases.best(0.9, 1.8, 3.6)  # the right power with too small a factor
    assert claims.CHECKS["ours-correction"](fast).verdict == base.PARTLY


def test_a_claim_about_each_ratio_goes_by_most_of_them():
    bias = 1e-3 * np.ones((len(cases.RATIOS), len(cases.MULTIPLES), len(cases.LEVELS)))
    bias[:, [0, -1]] = 0.5
    bias[0, 0] = 0.0  # here DOL is the better one
    most = {"xu-correction": cases.best(4.0, 20.0, 4.0), "xu-cdol": cases.study(bias=bias)}
    few = {"xu-correction": cases.best(4.0, 20.0, 20.0), "xu-size": cases.size(3.0, 2.0, 2.5)}
    for made, verdict in ((most, base.PARTLY), (few, base.FAILED)):
        for name, one in made.items():
            assert claims.CHECKS[name](one).verdict == verdict, name


def test_targets_that_are_x0_itself_decide_nothing():
    off = cases.conversions(0.1)
    made = changed(off, factor=off["factor"] * np.array([[1.0], [1 / 1.1]]))  # only the row of x0 is off
    found = claims.CHECKS["xu-conversions"](made)
    assert found.verdict == base.REPRODUCED
    assert found.interval.startswith("1 targets")


def test_the_square_law_needs_an_interval_that_holds_two():
    study = Study(cases.best(2.0, 4.0, 8.0))
    low, high = study.growth_interval()
    assert 1.9 < low < 2 < high < 2.1
    near = claims.CHECKS["ours-correction"](cases.best(2.0, 3.4, 6.0))  # a power of 1.8, and sure
    assert near.verdict == base.FAILED


def test_a_lower_bound_cannot_show_the_square_law():
    found = claims.CHECKS["ours-correction"](cases.best(64.0, 256.0, 1024.0))
    assert found.verdict == base.FAILED
    assert "at least" in found.our_value


def test_errors_of_readings_with_common_draws_are_those_of_their_difference():
    rng = np.random.default_rng(3)
    ab, noise, pv = rng.standard_normal((3, 50, len(cases.LEVELS)))
    res = ab + 0.1 * noise + 0.3
    read = {"AB": ab, "PV": pv, "IP": (ab + res) / 2, "RES": res, "A-B": ab}
    every = np.stack([read[name] for name in cases.READINGS], 1)
    apart, error = Study(cases.study(full_mean=every.mean(0), full_stderr=every.std(0, ddof=1))).theorem()
    np.testing.assert_allclose(apart[0], (res - ab).mean(0))
    np.testing.assert_allclose(error[0], (res - ab).std(0, ddof=1))
    np.testing.assert_allclose(error[1], np.hypot(ab.std(0, ddof=1), pv.std(0, ddof=1)))


def test_claims_on_estimators_that_hold_in_part():
    half = {
        "xu-snis-small": cases.snis_scatters(20.0, 0.9),  # not as the paper reads the loss
        "xu-theorem-digits": cases.readings_apart(1e-3, 0.1),
        "xu-insensitive": cases.around(0.15, 0.15),
        "xu-consistent": cases.on_the_way(0.0),
    }
    half["xu-insensitive"]["bias_repeats"][:, 0, 0] = 0.11  # DOL is better than C = 8 N/L at one ratio
    half["xu-consistent"]["bias_repeats"][:, 0, -2] = 0.3  # the largest C stops short of SNIS
    for name, made in half.items():
        assert claims.CHECKS[name](made).verdict == base.PARTLY, name


def test_rules_of_estimators_name_the_numbers_that_the_checks_use():
    rules = {claim.id: claim.rule for claim in base.claims()}
    low, high = (estimator_readings.PAPER_RULE * step for step in (0.5, estimator_readings.AROUND))
    assert claims.MUCH == 10
    assert claims.LITTLE == 2
    for end in ("", "-digits"):
        assert f"with C = {low:g} N/L and with C = {high:g} N/L" in rules[f"xu-insensitive{end}"]
        assert f"{100 * claims.BACK:g} % of the data variance" in rules[f"xu-consistent{end}"]
        assert f"{100 * claims.THERE:g} % of the way" in rules[f"xu-consistent{end}"]
    assert f"above {100 * claims.PRECISE:g} % of the optimal loss" in rules["xu-theorem-digits"]


def test_the_order_needs_as_many_images():
    beside = {
        ("loss_curve", "dataset=cifar10"): cases.curve("cifar10"),
        ("loss_sizes", "dataset=cifar10"): cases.parts((3.0, 2.0), (50, 70)),
    }
    with pytest.raises(base.Unfit, match="CIFAR-10 curve of 100 images"):
        claims.CHECKS["xu-order"](cases.curve("imagenet64", beside=beside))


def test_tenths_need_an_interval_and_a_whole_that_is_ten_times_as_large():
    surely = claims.CHECKS["xu-size-imagenet64"]
    found = surely(cases.imagenet_parts((1.2, 1.21, 1.19)))
    assert (found.our_value, found.verdict) == ("1.20 (N = 100), 1.00 (N = 1,000)", base.REPRODUCED)
    assert found.interval == "95 %: 1.18 to 1.22, 1.00 to 1.00"
    assert surely(cases.imagenet_parts((1.2, 1.21, 1.19), whole=1.3)).verdict == base.FAILED
    for nothing in (cases.imagenet_parts((1.2,)), cases.imagenet_parts((1.2, 1.21), n=990)):
        with pytest.raises(base.Nothing, match="random parts of"):
            surely(nothing)


def test_the_wide_grid_must_come_within_a_thousandth_of_the_variance():
    near = np.minimum(cases.curve()["mean"], 0.99)
    short = cases.curve(mean=near)
    gaussian = np.minimum(short["gaussian"], 0.99)  # so that its rule of the other sets holds
    short = changed(short, gaussian=gaussian)
    assert claims.CHECKS["xu-shape-imagenet64"](short).verdict == base.REPRODUCED
    assert claims.CHECKS["xu-shape-imagenet64-all"](short).verdict == base.PARTLY


def test_the_error_of_the_critical_sigma_is_that_of_the_loss_over_the_slope():
    one = readings.curve(cases.curve())
    straight = replace(one, mean=0.02 * one.sigma, stderr=np.full(31, 1e-4), critical=np.array([0.5]))
    assert straight.critical_error == pytest.approx(1e-4 / 0.02)
    assert math.isinf(replace(straight, mean=np.ones(31)).critical_error)
    alone = readings.Group([straight]).critical
    np.testing.assert_allclose(alone, [0.5, 0.49, 0.51])
    several = readings.groups(cases.imagenet_parts((1.0, 2.0, 3.0)))
    assert [(one.n, len(one.curves)) for one in several] == [(70, 3), (100, 3)]
    np.testing.assert_allclose(several[1].critical, [2.0, 2 - 2.484, 2 + 2.484], atol=1e-3)


# --- figures, tables, findings ---


@pytest.mark.parametrize(
    "draw",
    [
        *(getattr(estimator_figures, name) for name in (
            "bias_curves", "correction", "best_corrections", "spread", "dol_identity",
        )),
        tables.accuracy, tables.area_table,
    ],
)  # fmt: skip
def test_figures_of_two_studies(study, draw):
    drawn = draw(study, study)
    page = drawn._repr_html_()
    assert drawn.name == draw.__name__
    assert drawn.caption.finding.endswith(".")
    assert "nan" not in drawn.caption.finding
    if hasattr(drawn, "rows"):
        assert "nan" not in " ".join(cell for row in drawn.rows for cell in row)
    else:
        assert "<svg" in page
        assert drawn.get_size_inches()[0] <= 6.9
        assert all(np.isfinite(line.get_ydata()).all() for axes in drawn.axes for line in axes.lines)


def test_tables_and_sentences_of_a_study(study):
    assert len(tables.readouts(study).rows) == 9
    assert "C grows as a power of" in str(findings.law_found(study))
    whole = store.run(loss_curve.EXPERIMENT, "smoke")
    assert "is off least" in str(findings.answer(study, whole))


def test_sizes_are_shown_beside_the_whole(sizes):
    whole = store.run(loss_curve.EXPERIMENT, "smoke")
    assert "<svg" in figures.size_curves(sizes, whole)._repr_html_()
    assert [row[0] for row in tables.size_table(sizes, whole).rows] == ["40", "300", "300"]
    assert "critical σ is" in str(findings.order_found(sizes, whole))


@pytest.mark.parametrize(
    ("n", "sentence"),
    [
        (70, "With 70 images each, that of ImageNet is 0.750 times"),
        (71, "no part with the 71 images of ImageNet"),
    ],
)
def test_equal_numbers_of_two_sets_are_compared_where_there_are_any(n, sentence):
    made = cases.imagenet_parts((1.2, 1.21, 1.19))
    sample = cases.curve("imagenet64-sample", n=n, critical=1.5)
    table = tables.imagenet_sizes(made, cases.curve("imagenet64-all", n=1000), sample)
    assert sentence in table.caption.finding
    assert "critical σ of 70 images of Tiny ImageNet is 2.00, that of 1,000 is 1.00" in table.caption.finding
    assert [row[0] for row in table.rows] == ["Tiny ImageNet"] * 3 + ["ImageNet"]
    assert [row[1] for row in table.rows] == ["70", "100", "1,000", str(n)]
    assert [row[2] for row in table.rows] == ["3", "3", "1", "1"]
    assert table.rows[1][3:5] == ["1.20", "1.18 to 1.22"]


def test_the_sum_rule_is_written_into_its_areas():
    whole = store.run(loss_curve.EXPERIMENT, "smoke")
    drawn = figures.area(whole)
    assert [text.get_text() for text in drawn.axes[0].texts] == [f"ln N =\n{math.log(300):.2f}"]
    assert "sum rule" in str(figures.area.__doc__)
    alone, both = drawn.caption, figures.area(whole, whole).caption
    assert f"ln N is {math.log(300):.2f}" in alone.finding
    assert "training set" in both.shows
    assert "training set" not in alone.shows


# --- exercises ---


def test_unsolved_exercises_say_so():
    for check in (exercises.class_optimum, exercises.half_told):
        assert str(check(lambda *_: None)) == "Not solved yet."


def by_class(x, labels, noisy, own, sigma):
    logits = -(torch.cdist(noisy, x) ** 2) / (2 * sigma**2)
    return torch.softmax(logits.masked_fill(own[:, None] != labels, -math.inf), 1) @ x


def test_the_class_exercise_knows_the_answer_and_its_near_miss():
    assert str(exercises.class_optimum(by_class)).startswith("Right.")
    without = lambda x, labels, noisy, own, sigma: posterior(noisy, sigma, x).mean  # noqa: E731
    assert "without classes" in str(exercises.class_optimum(without))
    assert "off by up to" in str(exercises.class_optimum(lambda x, *_: torch.zeros(50, 64)))
    assert "shape [50, 64]" in str(exercises.class_optimum(lambda x, *_: x))


def test_the_half_exercise_knows_the_answer():
    def solved(sigma, loss, variance):
        steps = ((loss / sigma**2)[1:] + (loss / sigma**2)[:-1]) / 2 * sigma.log().diff()
        told = steps.flip(0).cumsum(0).flip(0)
        return sigma[int((told > told[0] / 2).sum())]

    assert str(exercises.half_told(solved)).startswith("Right:")
    assert "too large" in str(exercises.half_told(lambda *_: 20.0))
    assert "too small" in str(exercises.half_told(lambda *_: 0.1))
