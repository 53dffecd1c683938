"""Overlap of states with noised training images, and guidance by an early snapshot."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from fakes import cases as cases_of
from slices import in_slices, same

from diffnotes import store
from diffnotes.chapters.gap import experiment as network_gap
from diffnotes.chapters.gap import guided, overlap, trained, trained_figures
from diffnotes.chapters.gap import trained_findings as findings
from diffnotes.chapters.gap import trained_readings as readings
from diffnotes.chapters.gap.claims import CHECKS
from diffnotes.posterior import posterior
from diffnotes.sample import edm_sigmas, initial_noise, trajectory

cases = cases_of("gap")
TINY = trained.TrainedSpec(
    n=40, held_out=60, width=8, depth=1, steps=12, batch=8, horizon=2, first=3, snapshots=2, levels=4,
    draws=1, samples=30, sampler_steps=8, weights=(0.0, 1.0), seeds=(1, 2),
)  # fmt: skip


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> store.Record:
    """The smoke profile."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DIFFNOTES_ROOT", str(tmp_path_factory.mktemp("trained")))
        return replace(store.run(trained.EXPERIMENT, "smoke"), state="valid")


def measured(model):
    """Overlaps of a denoiser on 60 digits at two levels of the sampler."""
    known, unseen = network_gap.images_of(TINY.replace(n=60).gap(), 1)
    levels = [float(s) for s in edm_sigmas(16) if 0.1 < s < 0.5][:2]
    with torch.no_grad():
        return overlap.overlaps(lambda x, s: model(x, s, known), known, unseen, 50, 16, levels, 1, 1)


def test_a_denoiser_that_copies_overlaps_and_a_blind_one_does_not():
    copying = measured(lambda x, s, known: posterior(x, s, known).mean)
    blind = measured(lambda x, s, known: 0 * x)
    for found in (copying, blind):
        assert (found["share"][:, 0] > 0.9).all()
        assert (found["area"][:, 0] == 0.5).all()
    assert copying["share"][1, 2] > 0.8
    assert abs(copying["area"][1, 2] - 0.5) < 0.2
    assert blind["share"][1, 2] == 0
    assert blind["area"][1, 2] == 1


def test_area_is_that_of_all_pairs():
    zero, one = np.array([1.0, 2.0, 2.0]), np.array([2.0, 3.0])
    pairs = [(b > a) + 0.5 * (b == a) for a in zero for b in one]
    assert np.isclose(overlap.area(zero, one), np.mean(pairs))


def test_states_are_those_of_the_sampler():
    known, _ = network_gap.images_of(TINY.gap(), 1)
    times, levels = edm_sigmas(8), [float(edm_sigmas(8)[3]), float(edm_sigmas(8)[5])]

    def blind(x, sigma):
        return 0.5 * x

    found = overlap.sampler_states(blind, known, 10, 8, levels, 1)
    start = 80.0 * initial_noise(range(10), (1, 8, 8), 1)
    path = [state.x for state in trajectory(blind, start, times)]
    assert torch.equal(found[0], path[3])
    assert torch.equal(found[1], path[5])


def test_no_guidance_is_the_network_alone():
    known, unseen = network_gap.images_of(TINY.gap(), 1)

    def good(x, sigma):
        return 0.5 * x

    def bad(x, sigma):
        return 0 * x

    found = guided.guided_gaps(good, bad, known, unseen, (0.0, 1.0), 20, TINY.gap(), 1)
    alone = guided.errors(good, known, unseen, TINY.gap(), 1)
    doubled = guided.errors(lambda x, s: x, known, unseen, TINY.gap(), 1)
    assert np.array_equal(found["val"][0], alone["val"])
    assert np.allclose(found["train"][1], doubled["train"])


def test_the_pilot_chooses_where_its_error_has_risen_most():
    val = np.array([[1.0, 1.0, 1.0], [0.5, 0.4, 0.9], [0.6, 0.8, 0.8]])
    assert trained.chosen(val, np.array([0.05, 0.2, 1.0]), [1.0, 0.19, 0.06]) == 1


def test_record(record):
    levels = trained.compared(trained.EXPERIMENT.twin)
    assert record["share"].shape == (2, len(levels), 3)
    assert record["gap"].shape == (2, 2, 6)
    assert (record["share"][:, :, 0] > 0.9).all()
    assert record["pilot_val"].shape == (3, 6)


def test_slices_give_the_same_record(tmp_path):
    whole = trained.compute(TINY, store.Work(tmp_path / "whole"))
    pieces, turns = in_slices(trained.compute, TINY, tmp_path / "slices")
    assert turns > 2
    assert same(whole, pieces)


def test_nothing_is_judged_where_nothing_is_overfitted():
    with pytest.raises(readings.Nothing, match="has not risen there"):
        readings.judged(cases.trained(rises=0.5))


def test_nothing_is_judged_where_held_out_images_do_not_overlap():
    with pytest.raises(readings.Nothing, match="do not overlap"):
        readings.judged(cases.trained(np.array([0.98, 0.04, 0.5])))


def test_the_smallest_level_at_which_held_out_images_overlap_is_judged():
    found = cases.trained()
    found.arrays["chosen"] = np.array(1)
    assert readings.level(found) == 0.15
    found.arrays["share"][:, 1, readings.HELD_OUT] = 0.04
    assert readings.level(found) == 0.3


def test_nearer_states_are_memorized_and_may_not_overlap():
    found = cases.trained()
    found.arrays["distance"] = np.array([1.0, 2.0, 1.8])[:, None] * np.ones((3, 3, 599))
    assert np.allclose(readings.position(found), 0.8)
    assert "has memorized something. They still do not overlap" in str(findings.overlap_finding(found))
    found.arrays["distance"] = np.array([1.0, 2.0, 2.1])[:, None] * np.ones((3, 3, 599))
    assert "memorized something" not in str(findings.overlap_finding(found))


def test_guidance_says_which_gap_grows_more():
    assert "So it is here" in str(findings.guidance_finding(cases.trained()))
    assert "the other way round" in str(findings.guidance_finding(cases.trained(samples=0.9)))
    value = CHECKS["kaiser-net-guidance-strong-digits"](cases.trained(strong=3.0)).interval
    assert "gap of denoising rises by" in value
    assert "−" not in value


@pytest.mark.parametrize("name", ["overlap_of_states", "guidance_of_networks"])
def test_figures(name, record):
    page = getattr(trained_figures, name)(record)._repr_html_()
    assert f'id="{name}"' in page
    assert record.key in page
