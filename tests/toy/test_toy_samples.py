"""Samples of the toy in Fréchet distance, and ends of the optimal denoiser's sampler."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from fakes import cases as cases_of
from slices import in_slices, same

from diffnotes import store
from diffnotes.chapters.toy import formulas as toy
from diffnotes.chapters.toy import optimal_sampler, sample_figures, samples
from diffnotes.chapters.toy import sample_readings as readings
from diffnotes.chapters.toy.claims import CHECKS
from diffnotes.metrics import frechet
from diffnotes.posterior import posterior
from diffnotes.sample import edm_sigmas, sample

cases = cases_of("toy")
SMALL = samples.SamplesSpec(n=30, deltas=(3.0, 0.1), steps=10, supports=2)


@pytest.mark.parametrize(
    ("module", "spec"),
    [(samples, SMALL), (optimal_sampler, optimal_sampler.SamplerSpec(n=20, samples=110, steps=4))],
)
def test_slices_give_the_same_record(module, spec, tmp_path):
    whole = module.compute(spec, store.Work(tmp_path / "whole"))
    pieces, turns = in_slices(module.compute, spec, tmp_path / "slices")
    assert turns > 1
    assert same(whole, pieces)


def test_distances_are_those_of_the_library(tmp_path):
    """The sampler of the library, from the same start, gives the same samples."""
    found = samples.compute(SMALL, store.Work(tmp_path))["frechet"]
    assert found.shape == (2, 2, 3, 2)
    train, val = toy.random_support(30, SMALL.seed)
    start = toy.normal(SMALL.seed, "samples, start", 30)
    [made] = samples._solved(train, 3.0, start, 10)[1:]
    assert np.isclose(found[0, 0, 1, 1], frechet(torch.from_numpy(made), torch.from_numpy(val)))
    assert (found[:, 1, 2, 0] < 0.05 * found[:, 0, 2, 0]).all()  # with little blur it is the training points


def test_ends_are_those_of_the_exact_posterior_mean(tmp_path):
    spec = optimal_sampler.SamplerSpec(n=20, samples=6, steps=6)
    found = optimal_sampler.compute(spec, store.Work(tmp_path))
    known, _ = optimal_sampler.points(spec)
    made = sample(lambda x, s: posterior(x, s, known).mean, (1, 8, 8), 6, edm_sigmas(6), seed=0)
    distance = torch.cdist(made.flatten(1), known.flatten(1))
    assert np.array_equal(found["index"], distance.argmin(1))
    assert found["settled"][-1].all()
    assert found["off"].shape == (6, 6)


def test_held_out_points_of_the_circle_lie_midway():
    known, unseen = optimal_sampler.points(optimal_sampler.SamplerSpec(dataset="circle", n=8, samples=20))
    assert torch.allclose(torch.cdist(unseen, known).amin(1), torch.tensor(20 * np.sin(np.pi / 16)).float())


def test_dips_and_captions():
    record = cases.made([0.3, 0.1, 0.2], [0.3, 0.2, 0.1])
    assert readings.dip(record, readings.EULER, 0).midway
    assert not readings.dip(record, readings.HEUN, 0).midway
    assert readings.dips(record) == 3
    finding = sample_figures.sample_distances(store.load(samples.EXPERIMENT)).caption.finding
    assert "by Heun’s at δ" in finding


def test_the_first_set_is_told_from_the_mean():
    dip = cases.made([0.3, 0.1, 0.2], [0.3, 0.2, 0.1])
    assert readings.in_first(dip, 0).delta == 2
    assert "has their shape" in str(sample_figures.first_set_finding(dip))
    assert "keeps it" in str(sample_figures.first_set_finding(dip))
    ends = cases.made([0.3, 0.2, 0.1], [0.3, 0.2, 0.1])
    assert readings.in_first(ends, 0) is None
    assert "lacks their shape" in str(sample_figures.first_set_finding(ends))
    other = cases.made([0.05, 0.5, 0.7], [0.3, 0.2, 0.1])
    assert CHECKS["kaiser-toy-frechet"](other).interval.count("more at the largest") == 0
    assert CHECKS["kaiser-toy-frechet"](other).interval.count("more at the smallest") == 2


def test_a_sampler_that_misses_is_told():
    hit, missed = cases.ends(0.5, 0.01), cases.ends(2.0, 0.9)
    assert readings.on_points(hit) == readings.copies(hit) == 1
    assert readings.on_points(missed) == readings.copies(missed) == 0
    assert readings.reached(hit) > 1  # all different: more than chance would give


def test_table_says_whether_every_sample_ends_on_a_point():
    shown = optimal_sampler.EXPERIMENT.shown
    records = store.load_all(optimal_sampler.EXPERIMENT, "pinned", shown)
    table = sample_figures.end_table(*records)
    assert len(table.rows) == len(shown)
    assert all(len(row) == len(table.header) for row in table.rows)
