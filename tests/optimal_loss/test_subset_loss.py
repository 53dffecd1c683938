from __future__ import annotations

import math
from functools import cache

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor

from diffnotes.base.errors import UserError
from diffnotes.base.runtime import blocks, normals, permutation
from diffnotes.optimal_loss import READOUTS, LossCurve, accumulate, optimal_loss
from diffnotes.optimal_loss import estimate as module
from diffnotes.optimal_loss.all_levels import prepare
from diffnotes.optimal_loss.subsets import Scan, random_others, scan_subsets, shared_others
from diffnotes.posterior import Support
from diffnotes.process import noise_levels

INF = math.inf
LEVELS = torch.tensor([0.4, 0.5, 0.65, 0.8, 1.0, 1.3, 1.8, 2.5, 4.0])


@cache
def shifted_digits() -> Tensor:
    """4,096 of the 8 x 8 digits and their one-pixel shifts, without repeats."""
    images = load_digits().images / 8 - 1
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1)), constant_values=-1)
    views = [padded[:, 1 + y : 9 + y, 1 + x : 9 + x] for y, x in ((0, 0), (1, 0), (-1, 0), (0, 1), (0, -1))]
    flat = np.unique(np.concatenate(views).reshape(-1, 64), axis=0)
    return torch.from_numpy(flat[permutation(0, "digits", len(flat))[:4096]]).float()


@cache
def truth() -> LossCurve:
    return optimal_loss(shifted_digits(), LEVELS)


@cache
def biases(size: int) -> dict[float, tuple[Tensor, Tensor]]:
    """Bias of cDOL on the same draws and its error, by C in units of n/L; 0 stands for DOL."""
    whole, source = prepare(Support.of(shifted_digits())), np.arange(0, 4096, 2)
    noise = normals(0, "noise", range(2048), (64,))
    others = torch.from_numpy(random_others(4096, source, range(2048), 1, size - 1, seed=0)[:, 0])
    found = {0: [], 1: [], 4: [], 16: [], INF: []}
    for part in blocks(2048, 256):
        scan = scan_subsets(whole, torch.from_numpy(source)[part], noise[part], [None, others[part]], LEVELS)
        for unit, rows in found.items():
            losses = scan.losses(unit * 4096 / size or 1.0, "AB")
            rows.append(losses[:, 1] - scan.losses(1.0, "AB")[:, 0])
    every = {unit: torch.cat(rows) for unit, rows in found.items()}
    return {unit: (rows.mean(0), rows.std(0) / 2048**0.5) for unit, rows in every.items()}


def scanned(data: Tensor, source: Tensor, noise: Tensor, others: Tensor, sigmas: Tensor) -> Scan:
    """The scan of one subset for each draw."""
    return scan_subsets(prepare(Support.of(data)), source, noise, [others], sigmas)


# J*, then bias in the AB readout and its standard deviation by C in units of n/L; measured independently, on
# another random 4,096, in 8 repeats of 2,048 draws.
TABLE = {
    (256, 0.5): (0.208, {INF: (0.976, 0.055), 0: (-0.185, 0.009), 1: (-0.147, 0.012), 4: (-0.120, 0.013)}),
    (256, 0.8): (2.364, {INF: (1.095, 0.089), 0: (-1.773, 0.054), 1: (-1.040, 0.067), 4: (-0.605, 0.064)}),
    (256, 1.0): (5.202, {INF: (0.450, 0.132), 0: (-2.939, 0.083), 1: (-1.222, 0.044), 16: (-0.071, 0.078)}),
    (256, 1.3): (9.653, {INF: (-0.447, 0.100), 0: (-3.186, 0.060), 1: (-1.049, 0.065), 4: (-0.653, 0.079)}),
    (256, 2.5): (18.87, {INF: (-0.496, 0.022), 0: (-0.786, 0.022), 4: (-0.499, 0.021)}),
    (1024, 0.65): (0.909, {INF: (1.277, 0.062), 0: (-0.490, 0.021), 1: (-0.272, 0.022), 4: (-0.021, 0.018)}),
    (1024, 1.0): (5.202, {INF: (0.726, 0.056), 0: (-1.363, 0.033), 1: (-0.481, 0.032), 4: (0.122, 0.033)}),
    (1024, 1.8): (14.96, {INF: (-0.149, 0.036), 0: (-0.497, 0.028), 1: (-0.239, 0.032), 4: (-0.171, 0.035)}),
}


@pytest.mark.parametrize(("size", "sigma"), TABLE)
def test_biases_are_those_of_the_table(size: int, sigma: float) -> None:
    optimum, table = TABLE[size, sigma]
    level = int((LEVELS - sigma).abs().argmin())
    exact = float(truth().mean[level])
    assert exact == pytest.approx(optimum, rel=0.1 if sigma < 0.7 else 0.02)
    for unit, (bias, sd) in table.items():
        mean, stderr = (float(part[level]) for part in biases(size)[unit])
        assert abs(mean - bias) < 2 * math.hypot(sd, stderr) + abs(exact - optimum)  # biases scale with J*


def test_cdol_is_between_its_extremes_in_worst_bias() -> None:
    worst = {unit: float(mean.abs().max()) for unit, (mean, _) in biases(1024).items()}
    assert worst[4] < 0.35 * min(worst[0], worst[INF])


def test_dol_is_the_optimal_loss_of_a_random_subset() -> None:
    data = shifted_digits()[:500]
    levels = noise_levels(48, 0.05, 80.0)
    dol = optimal_loss(data, levels, estimator="dol", subset=40, sources=2000)
    assert abs(dol.area - math.log(40)) < 3 * dol.area_stderr
    assert dol.area_stderr < 0.1
    everything = optimal_loss(data, levels, estimator="dol", subset=500, sources=500)
    exact = optimal_loss(data, levels, sources=2000)
    error = (everything.stderr**2 + exact.stderr**2).sqrt()
    assert ((everything.mean - exact.mean).abs() < 4 * error + 1e-4).all()


def test_neighbours_and_a_tail_need_few_points() -> None:
    """L = n/16 with half of L nearest: within 2 % of what the same draws give with all points."""
    data = shifted_digits()
    found, everything = (
        accumulate(data, LEVELS[1:8], range(64), estimator="neighbours", subset=size).curve(bounded=False)
        for size in (256, 4096)
    )
    relative = (found.mean - everything.mean) / truth().mean[1:8]
    assert float(relative.square().mean().sqrt()) < 0.02
    error = (everything.stderr**2 + truth().stderr[1:8] ** 2).sqrt()
    assert ((everything.mean - truth().mean[1:8]).abs() < 4 * error).all()


def brute_force(
    data: Tensor, source: int, noise: Tensor, others: Tensor, sigma: float, correction: float
) -> dict[str, Tensor]:
    points_ = torch.cat([data[source : source + 1], data[others]]).double()
    x0 = points_[0]
    logits = -((x0 + sigma * noise.double() - points_) ** 2).sum(1) / (2 * sigma**2)
    logits[0] -= math.log(correction)
    weights = torch.softmax(logits, 0)
    mean = weights @ points_
    return {
        "AB": x0 @ x0 - mean @ mean,
        "PV": weights @ points_.square().sum(1) - mean @ mean,
        "IP": x0 @ (x0 - mean),
        "RES": ((x0 - mean) ** 2).sum(),
    }


@pytest.mark.parametrize("kind", ["float32", "uint8"])
@pytest.mark.parametrize("correction", [1.0, 7.0, INF])
def test_the_sigmoid_identity_and_readouts(kind: str, correction: float) -> None:
    data = shifted_digits()[:60] + 0.5
    stored = ((data + 1) * 100).round().clamp(0, 255).to(torch.uint8) if kind == "uint8" else data
    real = stored.float() / 127.5 - 1 if kind == "uint8" else data
    source = torch.tensor([3, 3, 50, 50])
    noise = normals(0, "noise", range(4), (64,))
    others = torch.from_numpy(random_others(60, source.numpy(), range(4), 1, 9, seed=0)[:, 0])
    sigmas = torch.tensor([0.3, 1.0, 6.0])
    scan = scanned(stored, source, noise, others, sigmas)
    for i, level in np.ndindex(4, 3):
        want = brute_force(real, int(source[i]), noise[i], others[i], float(sigmas[level]), correction)
        for readout in READOUTS:
            found = float(scan.losses(correction, readout)[i, 0, level])
            assert found == pytest.approx(float(want[readout]), rel=2e-4, abs=2e-4)


def test_several_subsets_are_scanned_as_each_alone() -> None:
    data, sigmas = shifted_digits()[:200], torch.tensor([0.5, 1.0, 2.5])
    source, noise = torch.arange(0, 200, 10), normals(0, "noise", range(20), (64,))
    lists = [torch.from_numpy(random_others(200, source.numpy(), range(20), 1, k, 0)[:, 0]) for k in (9, 99)]
    everything = torch.stack([torch.cat([torch.arange(own), torch.arange(own + 1, 200)]) for own in source])
    together = scan_subsets(prepare(Support.of(data)), source, noise, [None, *lists], sigmas)
    for place, alone in enumerate([everything, *lists]):
        for part, whole in zip(scanned(data, source, noise, alone, sigmas), together, strict=True):
            scale = float(part.abs().max())
            torch.testing.assert_close(part[:, 0], whole[:, place], rtol=2e-4, atol=2e-4 * scale)


def test_neighbours_are_counted_once_and_the_tail_stands_for_the_rest() -> None:
    data, sigma = shifted_digits()[:60], 1.3
    source, noise = torch.arange(0, 60, 7), normals(0, "noise", range(9), (64,))
    tail = torch.from_numpy(random_others(60, source.numpy(), range(9), 1, 8, 0)[:, 0])
    scan = scan_subsets(prepare(Support.of(data)), source, noise, [], torch.tensor([sigma]), [(6, tail)])
    for i, own in enumerate(source):
        square = (data[own] + sigma * noise[i] - data).square().sum(1).double()
        near = square.topk(6, largest=False).indices
        rest = tail[i][~torch.isin(tail[i], near)]
        weight = torch.zeros(60, dtype=torch.float64)
        weight[near], weight[rest] = 1.0, (60 - 6) / len(rest)
        weight *= torch.exp(-(square - square.min()) / (2 * sigma**2))
        mean = (weight / weight.sum()) @ data.double()
        found = float(scan.losses(INF, "RES")[i, 0, 0])
        assert found == pytest.approx(float((data[own] - mean).square().sum()), rel=1e-4)


def test_readouts_agree_where_the_denoiser_is_exact() -> None:
    data, levels = shifted_digits()[:200], torch.tensor([0.7, 1.0, 2.0])
    exact = optimal_loss(data, levels)
    source, noise = torch.arange(400) % 200, normals(0, "noise", range(400), (64,))
    scan = scan_subsets(prepare(Support.of(data)), source, noise, [None], levels)
    spread = {}
    for readout in READOUTS:
        found = scan.losses(1.0, readout)[:, 0]
        error = found.std(0) / 400**0.5
        assert ((found.mean(0) - exact.mean).abs() < 4 * (error**2 + exact.stderr**2).sqrt()).all()
        spread[readout] = error
    assert (spread["PV"] < spread["RES"]).all()


def test_others_are_distinct_random_and_never_the_source() -> None:
    source = np.array([0, 5, 9])
    chosen = random_others(10, source, range(3), 2, 4, seed=0)
    for own, rows in zip(source, chosen, strict=True):
        assert all(len(set(row)) == 4 and own not in row and max(row) < 10 for row in rows.tolist())
    assert np.array_equal(chosen[1:2], random_others(10, source[1:2], range(1, 2), 2, 4, seed=0))
    counts = np.bincount(random_others(10, np.full(3000, 5), range(3000), 1, 4, seed=1).ravel(), minlength=10)
    assert counts[5] == 0
    assert abs(np.delete(counts, 5) / 3000 - 4 / 9).max() < 0.04
    all_others = random_others(10, source, range(3), 2, 9, seed=0)[1, 0]
    assert np.array_equal(np.sort(all_others), np.delete(np.arange(10), 5))


def test_a_shared_subset_is_the_same_for_all_draws() -> None:
    rows = shared_others(10, np.arange(10), 2, 4, seed=0)[:, 0]
    assert all(own not in row and len(set(row)) == 4 for own, row in enumerate(rows.tolist()))
    assert len(np.unique(rows)) == 5
    source, noise = torch.arange(256), normals(0, "noise", range(256), (64,))
    others = torch.from_numpy(shared_others(1024, source.numpy(), 1, 63, seed=0)[:, 0])
    scan = scanned(shifted_digits()[:1024], source, noise, others, LEVELS)
    dol, large = (scan.losses(correction, "AB").mean((0, 1)) for correction in (1.0, 256.0))
    assert (dol < large).all()


def test_slices_of_subset_estimators_add_up() -> None:
    data, options = shifted_digits()[:300], {"estimator": "cdol", "subset": 30, "seed": 4}
    whole = accumulate(data, LEVELS, range(100), **options).curve(bounded=False)
    first, last = (accumulate(data, LEVELS, part, **options) for part in (range(37), range(37, 100)))
    torch.testing.assert_close((first + last).curve(bounded=False).mean, whole.mean, rtol=1e-5, atol=1e-6)
    default = accumulate(data, LEVELS, range(100), correction=40.0, **options).curve(bounded=False)
    assert torch.equal(default.mean, whole.mean)  # 4 n/L


@pytest.mark.parametrize("estimator", ["dol", "snis", "cdol", "neighbours"])
def test_standard_errors_are_those_of_repeats(estimator: str) -> None:
    data, levels = shifted_digits()[:60], torch.tensor([0.8, 1.2, 2.0, 4.0])
    options = {"estimator": estimator, "subset": 12, "sources": 40 if estimator == "neighbours" else 80}
    found = [optimal_loss(data, levels, seed=seed, **options) for seed in range(32)]
    ratio = torch.stack([c.mean for c in found]).std(0) / torch.stack([c.stderr for c in found]).mean(0)
    assert ((ratio > 0.6) & (ratio < 1.5)).all(), ratio


def test_the_estimators_have_the_names_that_are_documented() -> None:
    assert all(f'"{name}"' in str(optimal_loss.__doc__) for name in module.ESTIMATORS)


MISTAKES = [
    ({"estimator": "dol"}, 'The estimator "dol" needs subset=L'),
    ({"estimator": "snis", "subset": 3, "correction": 2.0}, '"snis" takes no correction'),
    ({"estimator": "cdol", "subset": 1}, "subset must be at least 2 here"),
    ({"estimator": "cdol", "subset": 9}, "at most 8, the number of points, not 9"),
    ({"estimator": "cdol", "subset": 4, "correction": 0.0}, "correction must be positive .* not 0.0"),
    ({"estimator": "cdol", "subset": 4, "correction": math.nan}, "correction must be positive .* not nan"),
]


@pytest.mark.parametrize(("options", "sentence"), MISTAKES)
def test_each_mistake_gets_one_sentence(options: dict, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        optimal_loss(shifted_digits()[:8], LEVELS, **options)
