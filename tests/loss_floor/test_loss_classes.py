"""The floor of networks that know the class: the experiment, what is read off it, and its pages."""

from __future__ import annotations

import math

import fakes
import numpy as np
import pytest
import torch
from fakes import changed

from diffnotes import store
from diffnotes.chapters import checks as base
from diffnotes.chapters.loss_floor import claims, class_figures, classes, readings
from diffnotes.chapters.loss_floor import curve as loss_curve
from diffnotes.chapters.loss_floor import sizes as loss_sizes
from diffnotes.optimal_loss import class_parts, mean_over_classes, optimal_loss
from diffnotes.process import noise_levels

cases = fakes.cases("loss_floor")


@pytest.fixture(scope="module", autouse=True)
def root(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DIFFNOTES_ROOT", str(tmp_path_factory.mktemp("root")))
        yield


@pytest.fixture(scope="module")
def record(root):
    return store.run(classes.EXPERIMENT, "smoke")


@pytest.fixture(scope="module")
def whole(root):
    return store.run(loss_curve.EXPERIMENT, "smoke")


def test_it_is_the_librarys_optimum_with_labels(record):
    spec = classes.EXPERIMENT.profiles["smoke"]
    images = loss_curve.images_of(spec.dataset, spec.n, spec.seed)
    levels = noise_levels(spec.levels, spec.sigma_min, spec.sigma_max)
    expected = optimal_loss(images.values, levels, labels=images.labels, sources=spec.sources, seed=spec.seed)
    np.testing.assert_allclose(record["mean"], expected.mean.numpy(), rtol=1e-6, atol=1e-12)
    np.testing.assert_allclose(record["stderr"], expected.stderr.numpy(), rtol=1e-4, atol=1e-12)
    assert record["size"].tolist() == images.labels.bincount().tolist()
    assert int(record["sources"]) == expected.draws


def test_a_class_is_a_slice(record):
    stops = 0
    while stops < 50:
        try:
            sliced = store.run(classes.EXPERIMENT, "smoke", max_seconds=1e-9, sigma_min=0.0100000001)
            break
        except store.Unfinished:
            stops += 1
    assert stops == len(record["size"]) - 1
    np.testing.assert_allclose(sliced["mean"], record["mean"], rtol=1e-6, atol=1e-9)


def test_draws_are_shared_out_by_size():
    labels = torch.tensor([3] * 6 + [7] * 2 + [5] * 12)
    parts = class_parts(labels, 100)
    assert [(part.label, part.draws) for part in parts] == [(3, 30), (5, 60), (7, 10)]
    assert torch.equal(torch.cat([part.members for part in parts]).sort().values, torch.arange(20))
    assert all((labels[part.members] == part.label).all() for part in parts)
    assert len({part.seed for part in parts}) == 3
    assert class_parts(labels, 1)[0].draws == 4


def test_the_mean_weighs_classes_by_their_size():
    labels, levels = torch.tensor([0] * 6 + [1] * 2), torch.tensor([0.5, 2.0])
    x = torch.randn(8, 3, generator=torch.Generator().manual_seed(0))
    parts = class_parts(labels, 40)
    curves = [optimal_loss(x[part.members], levels, sources=part.draws) for part in parts]
    found = mean_over_classes(parts, curves)
    torch.testing.assert_close(found.mean, 0.75 * curves[0].mean + 0.25 * curves[1].mean)
    errors = torch.hypot(0.75 * curves[0].stderr, 0.25 * curves[1].stderr)
    torch.testing.assert_close(found.stderr, errors)
    assert found.draws == 40


def test_a_class_of_one_image_leaves_nothing_to_lose():
    labels = torch.arange(5)
    curve = optimal_loss(torch.randn(5, 3), torch.tensor([0.1, 1.0, 10.0]), labels=labels, sources=20)
    assert curve.mean.tolist() == [0.0, 0.0, 0.0]
    assert curve.area == 0.0


def test_what_is_told_of_the_class_ends_at_its_entropy(record, whole):
    found = readings.classes(record, whole)
    share = found.sizes / found.sizes.sum()
    entropy = -float((share * np.log(share)).sum())
    assert found.whole.entropy - found.entropy == pytest.approx(entropy)
    error = math.hypot(found.whole.area_stderr, found.given.area_stderr)
    assert abs(found.told()[0] - entropy) < 4 * error
    middle = np.interp(-entropy / 2, -found.told(), found.whole.sigma)
    assert found.told_half() == pytest.approx(float(middle))


def test_by_how_much_it_is_lower_has_the_error_of_a_ratio():
    made = cases.classed(share=0.5)
    found = readings.classes(made, made.beside("loss_curve", {"dataset": "digits"}))
    place = len(cases.SIGMA) // 2
    lower, error = found.lower(cases.SIGMA[[place]])
    assert lower[0] == pytest.approx(0.5)
    loss = found.whole.mean[place]
    assert error[0] == pytest.approx(0.5 * math.hypot(1e-5 / loss, 1e-5 / (0.5 * loss)))


def test_levels_below_a_thousandth_of_the_variance_do_not_count():
    tiny = cases.classed(share=0.5)
    whole = tiny.beside("loss_curve", {"dataset": "digits"})
    low = whole["mean"] < 1e-3
    assert low.any()
    wrong = changed(tiny, mean=np.where(low, 1e-3, tiny["mean"]))
    assert claims.CHECKS["ours-class-lower-digits"](wrong).verdict == base.REPRODUCED


def test_a_floor_that_is_lower_almost_nowhere_is_partly_so():
    found = claims.CHECKS["ours-class-lower-digits"](cases.classed(share=1.0))
    assert found.verdict == base.PARTLY


def test_a_part_of_another_size_is_no_comparison():
    unequal = changed(cases.classed("cifar10", parts_critical=3.0), size=[25, 20, 30])
    with pytest.raises(base.Unfit, match="as many images"):
        claims.CHECKS["ours-class-part-cifar10"](unequal)


def test_an_error_is_never_printed_as_zero():
    made = cases.classed(share=0.5)
    found = readings.classes(made, made.beside("loss_curve", {"dataset": "digits"}))
    assert class_figures._lower(found, 0.9) == "50.0 ± 0.1 %"


def test_the_noise_at_equal_loss_has_an_error():
    made = cases.classed(share=0.5)
    whole = made.beside("loss_curve", {"dataset": "digits"})
    found = readings.classes(changed(made, stderr=1000 * made["stderr"]), whole)
    sigma, error = map(float, class_figures._equal(found).split(" ± "))
    expected = 0.01 * found.whole.variance
    given = found.given
    assert np.interp(sigma, given.sigma, given.mean) == pytest.approx(expected, rel=0.05)
    assert error == pytest.approx(given.error_at(sigma), rel=0.1)


def test_pages_show_the_records(record, whole):
    assert "<svg" in class_figures.class_floors(record, whole)._repr_html_()
    table = class_figures.class_table(record, whole)._repr_html_()
    assert "10 classes of 23 to 38 images" in table
    assert "±" in class_figures.class_gains(record, whole)._repr_html_()
    assert [len(row) for row in class_figures.which_floor().rows] == [2, 2, 2, 2]
    sizes = store.run(loss_sizes.EXPERIMENT, "smoke")
    assert "no random part" in str(class_figures.part_found(record, whole, sizes))
    made = store.run(loss_sizes.EXPERIMENT, "smoke", sizes=(30, 40))
    assert "given the class" in str(class_figures.part_found(record, whole, made))
