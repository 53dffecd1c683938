"""What the experiments of the supervision region compute, against their definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.stats import chi

from diffnotes import data
from diffnotes.base import runtime
from diffnotes.chapters.supervision import guidance, readings, region
from diffnotes.store import Work


def test_widths_hold_what_they_are_said_to(records):
    record = records["shell_width"]
    for kind in range(3):
        for place, dim in enumerate(record["dim"]):
            width, root = record["width"][kind, place], math.sqrt(dim)
            want = chi.sf(root + width, dim) + chi.cdf(root - width, dim)
            np.testing.assert_allclose(record["outside"][kind, place], want, rtol=1e-9)
    np.testing.assert_allclose(readings.excess(record, readings.EXACT), 1, rtol=1e-6)
    assert (readings.excess(record, readings.LOOSE)[readings.dims_from(record, 2)] <= 1).all()
    assert readings.excess(record, readings.LOOSE)[0, -1] > 1  # one dimension, a tiny delta


def images(spec: region.RegionSpec) -> tuple[np.ndarray, np.ndarray]:
    """Training and held-out images, flat, in float64."""
    known, unseen = region.images_of(spec)
    return tuple(region.exact(x).flatten(1).numpy() for x in (known, unseen))  # type: ignore[return-value]


def test_ratios_and_weights_are_those_of_a_brute_force(records):
    record = records["supervision_region"]
    spec = region.RegionSpec.restored(record.spec)
    known, unseen = images(spec)
    count, dim = spec.queries, known.shape[1]
    chosen = runtime.permutation(spec.seed, "queries", len(known))[:count]
    eps = runtime.normals(spec.seed, "eps", range(count), (1, 8, 8), torch.float64).flatten(1).numpy()
    for place, t in enumerate(spec.times):
        for name, clean in (("train", known[chosen]), ("held_out", unseen)):
            z = (1 - t) * clean + t * eps
            gaps = np.linalg.norm(z[:, None] - (1 - t) * known, axis=2)
            ratios = gaps / (t * math.sqrt(dim))
            best = np.take_along_axis(ratios, np.abs(ratios - 1).argmin(1)[:, None], 1)[:, 0]
            np.testing.assert_allclose(record[f"ratio_{name}"][place], best, rtol=1e-6)
            if name == "train":
                logs = -(gaps**2) / (2 * t**2)
                weights = np.exp(logs - logs.max(1, keepdims=True))
                weights /= weights.sum(1, keepdims=True)
                own = weights[np.arange(count), chosen]
                np.testing.assert_allclose(record["own"][place], own, rtol=1e-4, atol=1e-7)
                np.testing.assert_allclose(record["effective"][place], 1 / (weights**2).sum(1), rtol=1e-5)


def test_distances_are_those_of_a_brute_force(records):
    record = records["supervision_region"]
    known, unseen = images(region.RegionSpec.restored(record.spec))
    table = np.linalg.norm(known[:, None] - known, axis=2)
    np.fill_diagonal(table, np.inf)
    nearest = table.min(1)
    np.testing.assert_allclose(record["nearest"], np.quantile(nearest, record["share"]), rtol=1e-12)
    np.testing.assert_allclose(record["closest"], np.sort(nearest), rtol=1e-12)
    assert record["pair_distance"][0] == pytest.approx(table.min(), rel=1e-12)
    far = np.linalg.norm(unseen[:, None] - known, axis=2).min(1)
    np.testing.assert_allclose(record["distance_held_out"], far, rtol=1e-12)


def test_each_pair_is_kept_once_and_nearest_first(records):
    found = records["supervision_region"]["pair_distance"]
    assert (np.diff(found) >= 0).all()
    near = {"distance": np.array([2.0, 1.0, 1.0, 2.0]), "index": np.array([1, 2, 1, 0])}
    pairs, far = region._nearest_pairs(near)
    assert pairs.tolist() == [[1, 2], [0, 1], [0, 3]]
    assert far.tolist() == [1.0, 2.0, 2.0]


def test_64_pixel_images_are_held_out_of_one_split():
    spec = region.RegionSpec(dataset="specimens64", queries=20)
    known, unseen = region.images_of(spec)
    whole = data.load("specimens64", split="validation").values
    assert len(known) + len(unseen) == len(whole)
    together = torch.cat([known, unseen]).flatten(1).double().sum(1)
    assert torch.equal(together.sort().values, whole.flatten(1).double().sum(1).sort().values)
    fewer, same = region.images_of(spec.replace(n=50))
    assert torch.equal(fewer, known[:50])
    assert torch.equal(same, unseen)


def test_neighbours_go_on_where_they_were_cut_off(tmp_path, monkeypatch):
    known = runtime.normals(0, "images", range(50), (3,))
    whole = region._nearest(known, Work(tmp_path / "a"), lambda *_: None)
    monkeypatch.setattr(region, "ROWS", 16)
    work, seen = Work(tmp_path / "b"), []

    def stop(done: float, total: float, text: str) -> None:
        seen.append(done)
        if len(seen) == 2:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        region._nearest(known, work, stop)
    again = region._nearest(known, work, stop)
    assert seen == [16, 32, 48, 50]
    assert all(np.array_equal(again[name], whole[name]) for name in whole)


def test_guidance_is_that_of_two_softmax_means(records):
    record = records["guidance_gap"]
    spec = guidance.GuidanceSpec.restored(record.spec)
    loaded = data.load("digits", n=spec.n, seed=spec.seed)
    known, labels = loaded.x.flatten(1).double(), loaded.labels
    chosen = torch.from_numpy(runtime.permutation(spec.seed, "queries", len(known))[: spec.queries])
    eps = runtime.normals(spec.seed, "eps", range(spec.queries), (1, 8, 8), torch.float64).flatten(1)
    for place, t in enumerate(spec.times):
        z = (1 - t) * known[chosen] + t * eps
        logits = -torch.cdist(z, (1 - t) * known).square() / (2 * t**2)
        mine = labels[chosen][:, None] == labels
        means = [logits.masked_fill(~some, -math.inf).softmax(1) @ known for some in (mine, mine | True)]
        want = (means[0] - means[1]).square().mean(1)
        np.testing.assert_allclose(record["gap"][place], want, rtol=1e-4, atol=1e-9)
    score = readings.score_gap(record)[1]  # t = 0.5: (1 - t)/t^2 = 2
    np.testing.assert_allclose(score, 2 * np.sqrt(64 * record["gap"][1]), rtol=1e-6)
