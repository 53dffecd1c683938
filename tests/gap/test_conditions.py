"""Networks that are told the cluster of an image."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from fakes import cases as cases_of
from slices import in_slices, same

from diffnotes import data, store
from diffnotes.chapters.gap import condition_figures, conditions
from diffnotes.chapters.gap import condition_readings as readings
from diffnotes.chapters.gap import experiment as network_gap

TINY = conditions.ConditionsSpec(
    n=40, held_out=30, clusters=(1, 3), width=8, depth=1, steps=6, batch=8, horizon=2, first=3, snapshots=2,
    levels=4, draws=1, samples=20, sampler_steps=4, seeds=(0, 1),
)  # fmt: skip


def test_clusters_are_of_the_nearest_centre():
    known, unseen = network_gap.images_of(TINY.gap(), 0)
    one, two = conditions.clustered(known, unseen, 4, 0)
    assert one.unique().tolist() == [0, 1, 2, 3]
    centres = torch.stack([known[one == k].flatten(1).mean(0) for k in range(4)])
    assert torch.equal(two, torch.cdist(unseen.flatten(1), centres).argmin(1))
    assert conditions.clustered(known, unseen, 1, 0) is None


def test_a_condition_is_told_to_the_network_and_in_every_error():
    known, unseen = network_gap.images_of(TINY.gap(), 0)
    labels = torch.zeros(len(known), dtype=torch.int64), torch.ones(len(unseen), dtype=torch.int64)

    def told(x, sigma, own):
        return x * own.view(-1, 1, 1, 1) + 0 * x

    found = conditions._errors(told, (known, unseen), labels, TINY, 0)
    assert np.allclose(found["train"], float(known.square().mean()))
    assert np.allclose(found["val"], network_gap.noise_levels(TINY.gap()) ** 2, rtol=0.2)


def test_the_digit_is_that_of_the_image():
    one, two = conditions.conditions(TINY, 1, conditions.DIGITS)
    known, unseen = network_gap.images_of(TINY.gap(), 1)
    whole = [data.load("digits", split=split) for split in ("train", "test")]
    for labels, images, everyone in zip((one, two), (known, unseen), whole, strict=True):
        same = torch.cdist(images.flatten(1), everyone.x.flatten(1)).argmin(1)
        assert torch.equal(labels, everyone.labels[same])


def test_sample_i_is_asked_for_what_was_told_of_training_image_i():
    images = network_gap.images_of(TINY.gap(), 0)
    labels = torch.arange(len(images[0])), torch.arange(len(images[1]))

    def told(x, sigma, own):
        return images[0][own]

    found = conditions._distances(told, images, labels, TINY, 0)
    assert found["frechet_train"] < 1e-6 < found["frechet_val"]


def test_slices_give_the_same_record(tmp_path):
    whole = conditions.compute(TINY, store.Work(tmp_path / "whole"))
    pieces, turns = in_slices(conditions.compute, TINY, tmp_path / "slices")
    assert turns > 2
    assert same(whole, pieces)
    assert whole["gap"].shape == (2, 3, 2, 4)  # two numbers of clusters, and the digit
    assert whole["frechet_train"].shape == (2, 3, 2)


def test_the_place_of_a_bump_is_its_middle():
    record = cases_of("gap").conditions(0.1, 0.2, 0.4, moves=2.0)
    assert np.allclose(readings.place(record), np.log([0.15, 0.3, 0.6, 0.15]), atol=0.1)


def test_a_gap_below_nothing_has_no_factor():
    with pytest.raises(readings.Nothing, match="not above 0"):
        readings.steps(cases_of("gap").conditions(0.1, 0.2, -0.4))


def test_figure(tmp_path, monkeypatch):
    monkeypatch.setenv("DIFFNOTES_ROOT", str(tmp_path))
    record = replace(store.run(conditions.EXPERIMENT, "smoke"), state="valid")
    figure = condition_figures.gap_by_condition(record)
    assert "with no condition" in figure.caption.finding
    assert "with 3 clusters" in figure.caption.finding
    assert "with the digit" in figure.caption.finding
    assert record.key in figure._repr_html_()
