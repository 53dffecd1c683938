from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi

from diffnotes import regions
from diffnotes.base.errors import UserError
from diffnotes.base.runtime import normals
from diffnotes.process import VE, VP, FlowMatching, Process
from diffnotes.regions import (
    bhattacharyya,
    distance_ratio,
    guidance_gap,
    half_width,
    in_supervision_region,
    nearest_other,
    outside,
    overlap,
)

PROCESSES = st.sampled_from([FlowMatching(), VP(), VE(t_max=1.0)])


def cloud(n: int, *shape: int, stream: str = "cloud", seed: int = 0) -> torch.Tensor:
    return normals(seed, stream, range(n), shape)


def points(data: torch.Tensor) -> torch.Tensor:
    """The data, flat, in float64."""
    flat = data.flatten(1).double()
    return flat / 127.5 - 1 if data.dtype == torch.uint8 else flat


def noised(data: torch.Tensor, t: torch.Tensor, process: Process, seed: int = 0) -> torch.Tensor:
    """Every row at another time, in float64."""
    clean = points(data)[torch.arange(len(t)) % len(data)]
    return process.noisy(clean, normals(seed, "eps", range(len(t)), (clean.shape[1],), torch.float64), t)


# ------------------------------------------------------------------------------------------ distance ratio


def brute_ratio(
    x: torch.Tensor, t: torch.Tensor, data: torch.Tensor, process: Process
) -> tuple[torch.Tensor, torch.Tensor]:
    """All ratios in float64 difference form [b, n], and which is nearest to 1."""
    alpha, sigma = process.alpha(t.double()), process.sigma(t.double())
    known = points(data)
    table = torch.stack(
        [torch.linalg.vector_norm(row - a * known, dim=1) for row, a in zip(x.double(), alpha, strict=True)]
    )
    ratios = table / (sigma[:, None] * known.shape[1] ** 0.5)
    return ratios, (ratios - 1).abs().sort(dim=1, stable=True).indices[:, 0]


@given(
    process=PROCESSES,
    n=st.integers(1, 400),
    d=st.sampled_from([1, 2, 20, 300]),
    offset=st.sampled_from([0.0, 7.0, 300.0]),
    seed=st.integers(0, 2**32),
)
def test_ratio_is_that_of_a_brute_force(process: Process, n: int, d: int, offset: float, seed: int) -> None:
    data = cloud(n, d, seed=seed) + offset
    t = torch.tensor([1e-6, 1e-3, 0.1, 0.5, 0.9, 0.999, 1.0], dtype=torch.float64).repeat(3)
    x = noised(data, t, process, seed)
    x[7:] += cloud(14, d, stream="off", seed=seed)  # off the shells
    ratios, index = brute_ratio(x, t, data, process)
    found = distance_ratio(x, t, data, process)
    want = ratios.gather(1, index[:, None])[:, 0]
    torch.testing.assert_close((found.ratio - 1).abs(), (want - 1).abs(), rtol=0, atol=1e-6)  # of float64
    torch.testing.assert_close(ratios.gather(1, found.point[:, None])[:, 0], found.ratio, rtol=1e-6, atol=0)


@given(seed=st.integers(0, 2**32), t=st.sampled_from([1e-4, 0.02, 0.3, 0.97]))
def test_pixels_in_eight_bits_are_taken_as_they_are(seed: int, t: float) -> None:
    pixels = (cloud(200, 3, 4, 4, seed=seed) * 60 + 127).clamp(0, 255).to(torch.uint8)
    times = torch.full((6,), t, dtype=torch.float64)
    x = noised(pixels, times, FlowMatching(), seed)
    ratios, index = brute_ratio(x, times, pixels, FlowMatching())
    found = distance_ratio(x.view(6, 3, 4, 4), t, pixels)
    torch.testing.assert_close(found.ratio, ratios.gather(1, index[:, None])[:, 0], rtol=1e-10, atol=0)
    assert torch.equal(found.point, index)


def test_in_much_noise_the_point_is_found_too() -> None:
    """Where |x| in float32 is rounded by more than its distances to the points differ."""
    data, t = cloud(5000, 3), torch.full((20,), 1 - 1e-6, dtype=torch.float64)
    x = noised(data, t, FlowMatching())
    x *= (t[0] * 3**0.5 / x.norm(dim=1))[:, None]  # on a shell in the middle of all
    ratios, point = brute_ratio(x, t, data, FlowMatching())
    found = distance_ratio(x, t, data)
    off = (ratios.gather(1, found.point[:, None]) - 1).abs()[:, 0] - (ratios - 1).abs().amin(1)
    assert off.max() < 1e-14


def test_not_the_nearest_point_counts_but_the_nearest_shell() -> None:
    data = torch.tensor([[0.0, 0.0], [3.0, 0.0], [9.0, 0.0]])
    x, radius = torch.tensor([[0.1, 0.0]]), 2 * 2**0.5
    found = distance_ratio(x, 2.0, data, VE())
    assert int(found.point) == 1
    assert float(found.ratio) == pytest.approx(2.9 / radius, rel=1e-6)


def test_the_first_of_equals_counts() -> None:
    data = cloud(3, 5).repeat(40, 1)
    x = noised(data, torch.full((9,), 0.3, dtype=torch.float64), FlowMatching())
    assert distance_ratio(x, 0.3, data).point.tolist() == [0, 1, 2] * 3


def test_many_candidates_within_rounding_are_all_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """Points so close that float32 cannot order them: the search must widen, and find what float64 finds."""
    widths: list[int] = []
    plain = regions._nearest_shell

    def watched(rows: regions._Rows, support: object, width: int) -> object:
        widths.append(width)
        return plain(rows, support, width)

    monkeypatch.setattr(regions, "_nearest_shell", watched)
    data = torch.tensor([1.0, -1.0]).repeat(1000)[:, None] * (1 + 1e-6 * cloud(2000, 50))
    x = noised(data, torch.full((5,), 0.2, dtype=torch.float64), FlowMatching())
    x = x + 0.4
    ratios, index = brute_ratio(x, torch.full((5,), 0.2, dtype=torch.float64), data, FlowMatching())
    found = distance_ratio(x, 0.2, data)
    assert max(widths) > 32
    torch.testing.assert_close(found.ratio, ratios.gather(1, index[:, None])[:, 0], rtol=1e-12, atol=0)


def test_pure_noise_has_one_ratio() -> None:
    data, x = cloud(500, 30), cloud(4, 30, stream="x")
    found = distance_ratio(x, 1.0, data)
    torch.testing.assert_close(found.ratio, x.double().norm(dim=1) / 30**0.5, rtol=1e-12, atol=0)


def test_noised_data_are_on_a_shell() -> None:
    data = cloud(100, 3000)
    t = torch.linspace(0.01, 1, 60, dtype=torch.float64)
    assert (distance_ratio(noised(data, t, FlowMatching()), t, data).ratio - 1).abs().max() < 0.05


def test_the_answer_does_not_depend_on_the_other_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    data, t = cloud(300, 40), torch.linspace(0.1, 0.9, 12, dtype=torch.float64)
    x = noised(data, t, VP())
    whole = distance_ratio(x, t, data, VP())
    monkeypatch.setattr(regions, "memory_budget", lambda where: 1)
    single = distance_ratio(x, t, data, VP())
    assert torch.equal(whole.point, single.point)
    torch.testing.assert_close(whole.ratio, single.ratio, rtol=1e-13, atol=0)


# -------------------------------------------------------------------------------------- supervision region


@pytest.mark.parametrize(("dim", "low", "high"), [(20, 2.73, 6.32), (784, 26.2, 29.8), (3072, 53.6, 57.3)])
def test_exact_width_holds_what_it_says(dim: int, low: float, high: float) -> None:
    width = half_width(0.01, dim)
    assert outside(width, dim) == pytest.approx(0.01, rel=1e-9)
    assert chi.ppf([0.005, 0.995], dim) == pytest.approx([low, high], rel=2e-3)
    assert 2 * width == pytest.approx(high - low, rel=0.03)


@given(dim=st.integers(1, 5000), delta=st.floats(1e-12, 0.99))
def test_widths_are_in_order(dim: int, delta: float) -> None:
    exact = half_width(delta, dim)
    assert outside(exact, dim) == pytest.approx(delta, rel=1e-6)
    assert half_width(delta, dim, "loose") == pytest.approx(math.sqrt(dim * math.log(1 / delta)))
    assert half_width(delta, dim, "tight") == pytest.approx(math.sqrt(2 * math.log(2 / delta)))
    assert outside(half_width(delta, dim, "tight"), dim) <= 1.5 * delta


def test_the_region_is_the_union_of_shells() -> None:
    data = torch.zeros(1, 400)
    direction = torch.nn.functional.normalize(cloud(1, 400))
    radii = torch.tensor([0.0, 16.0, 17.9, 18.5, 20.0, 21.5, 22.5, 58.0, 64.0])
    x = 0.5 * radii[:, None] * direction
    inside = in_supervision_region(x, 0.5, data, 0.01)
    assert inside.tolist() == [False, False, False, True, True, True, False, False, False]
    loose = in_supervision_region(x, 0.5, data, 0.01, kind="loose")
    assert loose.tolist() == [True] * 8 + [False]  # no shell at all: a ball


# ------------------------------------------------------------------------------------------------- overlap


@given(n=st.integers(2, 200), d=st.sampled_from([1, 3, 100]), seed=st.integers(0, 2**32), process=PROCESSES)
def test_overlap_is_that_of_a_brute_force(n: int, d: int, seed: int, process: Process) -> None:
    data, t = cloud(n, d, seed=seed), torch.tensor([1e-3, 0.05, 0.5, 0.99], dtype=torch.float64)
    table = torch.cdist(data.double(), data.double(), compute_mode="donot_use_mm_for_euclid_dist")
    least = table.fill_diagonal_(math.inf).amin(1)
    alpha, sigma = process.alpha(t), process.sigma(t)
    want = torch.exp(-(alpha**2) * least[:, None] ** 2 / (8 * sigma**2))
    torch.testing.assert_close(bhattacharyya(data, t, process), want, rtol=1e-6, atol=1e-12)
    found = nearest_other(data)
    torch.testing.assert_close(found.distance, least, rtol=1e-12, atol=0)
    torch.testing.assert_close(table.gather(1, found.point[:, None])[:, 0], least, rtol=1e-12, atol=0)
    some = nearest_other(data, slice(n // 3, None))
    assert torch.equal(some.point, found.point[n // 3 :])


def test_duplicates_are_each_others_nearest() -> None:
    data = cloud(4, 6)[[0, 1, 1, 2, 1, 3]]
    found = nearest_other(data)
    assert found.distance[[1, 2, 4]].tolist() == [0.0] * 3
    assert set(found.point[[1, 2, 4]].tolist()) <= {1, 2, 4}
    assert not (found.point == torch.arange(6)).any()
    assert bhattacharyya(data, [0.0, 0.5, 1.0]).shape == (6, 3)
    assert bhattacharyya(data, 0.0)[:, 0].tolist() == [0.0, 1.0, 1.0, 0.0, 1.0, 0.0]


def test_pixels_have_the_distances_of_what_they_stand_for() -> None:
    pixels = (cloud(50, 12) * 60 + 127).clamp(0, 255).to(torch.uint8)
    pixels[7] = pixels[3]
    whole, plain = nearest_other(pixels), nearest_other(points(pixels).float())
    torch.testing.assert_close(whole.distance, plain.distance, rtol=1e-6, atol=1e-6)
    assert whole.distance[7] == whole.distance[3] == 0


def test_overlap_goes_from_apart_to_one() -> None:
    found = overlap(torch.tensor([0.0, 3.0]), torch.tensor([0.0, 0.5, 1.0]))
    want = torch.tensor([[1.0, 1.0, 1.0], [0.0, math.exp(-9 / 8), 1.0]]).double()
    torch.testing.assert_close(found, want)


# -------------------------------------------------------------------------------------------- guidance gap


def brute_gap(
    x: torch.Tensor,
    t: torch.Tensor,
    data: torch.Tensor,
    labels: torch.Tensor,
    wanted: torch.Tensor,
    process: Process,
) -> torch.Tensor:
    """Both softmax means in float64."""
    known, gaps = points(data), []
    for row, time, label in zip(x.double(), t.double(), wanted.tolist(), strict=True):
        square = (row - process.alpha(time) * known).square().sum(1)
        logits = -square / (2 * process.sigma(time) ** 2)
        mine = labels == label
        means = [logits[some].softmax(0) @ known[some] for some in (mine, torch.ones_like(mine))]
        gaps.append((means[0] - means[1]).square().mean())
    return torch.stack(gaps)


@given(
    process=PROCESSES, d=st.sampled_from([1, 5, 200]), seed=st.integers(0, 2**32), classes=st.integers(1, 5)
)
def test_gap_is_that_of_a_brute_force(process: Process, d: int, seed: int, classes: int) -> None:
    data, labels = cloud(150, d, seed=seed), torch.arange(150) % classes + 3
    t = torch.tensor([1e-3, 0.1, 0.3, 0.6, 0.8, 0.95, 1.0], dtype=torch.float64)
    x, wanted = noised(data, t, process, seed), 3 + (torch.arange(7) + 1) % classes
    found = guidance_gap(x, t, data, labels, wanted, process)
    want = brute_gap(x, t, data, labels, wanted, process)
    torch.testing.assert_close(found, want, rtol=1e-4, atol=1e-8)


def test_tiny_gaps_are_not_rounding() -> None:
    """Two points of two classes, far apart: p is e^-200, and the gap p^2 times their squared distance."""
    data, labels = torch.tensor([[0.0], [20.0]]), torch.tensor([0, 1])
    gap = guidance_gap(torch.zeros(1, 1), 1.0, data, labels, 0, VE())
    assert float(gap) == pytest.approx(400 * math.exp(-400), rel=1e-6)
    assert float(guidance_gap(torch.zeros(1, 1), 1.0, data, labels, 1, VE())) == pytest.approx(400)


def test_one_class_changes_nothing() -> None:
    data = cloud(20, 3)
    assert guidance_gap(data, 0.5, data, torch.zeros(20, dtype=torch.int64), 0).tolist() == [0.0] * 20


def test_gap_of_scores_by_the_process() -> None:
    data, labels = cloud(80, 10), torch.arange(80) % 2
    t = torch.tensor([0.5, 0.7, 0.9], dtype=torch.float64)
    x = noised(data, t, FlowMatching())
    factor = FlowMatching().loss_factor("score", t)
    torch.testing.assert_close(factor, ((1 - t) / t**2) ** 2)
    assert (guidance_gap(x, t, data, labels, 0) * factor).shape == (3,)


# ------------------------------------------------------------------------------------- mistakes and memory

X, DATA, LABELS = torch.zeros(2, 3), torch.zeros(4, 3), torch.zeros(4, dtype=torch.int64)
MISTAKES: list[tuple[Callable[[], object], str]] = [
    (lambda: distance_ratio(X, 0.0, DATA), "t must be above 0"),
    (lambda: distance_ratio(X, 1.5, DATA), "t must be above 0, where there is noise, and at most 1"),
    (lambda: distance_ratio(X, math.nan, DATA), "t must be above 0"),
    (lambda: distance_ratio(X, torch.ones(3), DATA), r"one per row of x, \[2\], not \[3\]"),
    (lambda: distance_ratio(X, 0.5, torch.full((4, 3), math.nan)), "data contain NaN"),
    (lambda: distance_ratio(X.long(), 0.5, DATA), "x must be a float32 or float64"),
    (lambda: distance_ratio(X, 0.5, torch.zeros(4, 5)), "shape of the data"),
    (lambda: nearest_other(DATA[:1]), "at least 2"),
    (lambda: half_width(1.0, 3), "0 < delta < 1"),
    (lambda: half_width(0.1, 0), "at least 1 dimension"),
    (lambda: half_width(0.1, 3, "thin"), 'Unknown half width "thin"'),
    (lambda: guidance_gap(X, 0.5, DATA, LABELS[:2], 0), "one label for each of the 4 points"),
    (lambda: guidance_gap(X, 0.5, DATA, LABELS, 7), "no data of class 7"),
    (lambda: guidance_gap(X, 0.5, DATA, LABELS, torch.zeros(3, dtype=torch.int64)), r"not \[3\]"),
]


@pytest.mark.parametrize(("call", "sentence"), MISTAKES)
def test_each_mistake_gets_one_sentence(call: Callable[[], object], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence) as caught:
        call()
    assert "\n" not in str(caught.value)


BIG = """
import resource, torch
from diffnotes.regions import distance_ratio, guidance_gap
data = torch.empty(50_000, 3072).uniform_(-1, 1)
labels = torch.arange(50_000) % 10
x = (1 - {t}) * data[:256] + {t} * torch.randn(256, 3072)
torch.mm(x[:8], data[:8].T)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
distance_ratio(x, {t}, data)
guidance_gap(x[:64], {t}, data, labels, 0)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.parametrize("t", [0.3, 0.97])
def test_peak_memory_stays_within_a_gibibyte(t: float) -> None:
    done = subprocess.run([sys.executable, "-c", BIG.format(t=t)], capture_output=True, text=True, check=True)
    assert int(done.stdout) * 1024 < 2**30
