"""Records on which every claim about chapter 1's networks holds, and on which it fails."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import fakes
import numpy as np

from diffnotes.store import Record

SIGMA, EVALUATIONS = np.geomspace(0.01, 30, 10), np.arange(8)
SEEDS = np.array([0.97, 1.0, 1.04])[:, None]
STEP = 100 * 2**EVALUATIONS
SPEC = {"dataset": "digits", "n": 600, "width": 144, "images": 1200, "held_out": 599}


def kinds(training: np.ndarray, held_out: np.ndarray, sampler: np.ndarray) -> np.ndarray:
    """[seed, evaluation, probe, kind] of values [seed, evaluation] that are the same at all three probes."""
    return np.stack([training, held_out, sampler], -1)[:, :, None].repeat(3, 2)


def base() -> dict[str, np.ndarray]:
    """Arrays for which every claim on them holds: three seeds, eight evaluations, ten noise levels."""
    height = 0.05 * SEEDS * 2**EVALUATIONS
    onset = np.clip(2 + 1.2 * np.log(SIGMA / 0.05), 1, 6)  # in evaluations
    val = 0.1 + 0.01 * (EVALUATIONS[:, None] - onset) ** 2
    gap = np.minimum(1.0, 0.3 + 0.2 * EVALUATIONS) * SEEDS
    flat = np.ones((3, 8))
    return {
        "sigma": SIGMA, "step": STEP, "images_seen": 256 * STEP, "parameters": np.full(3, 233_056),
        "count": np.full(3, 599), "gap": height[:, :, None] * np.exp(-(np.log(SIGMA / 0.2) ** 2)),
        "gap_stderr": np.full((3, 8, 10), 1e-3), "val": val * np.ones((3, 1, 1)),
        "train": 0.1 / (1 + height[:, :, None]) * np.ones(10), "probe": np.array([1.17, 0.6, 0.283]),
        "frechet_train": np.ones((3, 8, 4)),
        "frechet_val": 1 + gap[:, :, None] * np.array([0.1, 0.3, 0.6, 1.0]),
        "distance": kinds(flat, 1.4 * flat, 1.5 * SEEDS * flat),
        "distance_stderr": np.full((3, 8, 3, 3), 1e-3),
        "similarity": kinds(0.90 + 0.01 * EVALUATIONS * flat, 0.8 * flat, 0.85 * SEEDS**0.1 * flat),
        "similarity_stderr": np.full((3, 8, 3, 3), 1e-3), "rho": np.full((3, 8, 5), 0.9),
    }  # fmt: skip


BASE = base()


def fake(spec: Mapping[str, object] | None = None, **changed: np.ndarray) -> Record:
    """The record of `base`, with some arrays changed."""
    return fakes.record(BASE | changed, "digits_gap", spec=SPEC | (spec or {}))


def at_the_end(name: str, place: int) -> np.ndarray:
    """An array whose last evaluation is that of `place`."""
    found = BASE[name].copy()
    found[:, -1] = found[:, place]
    return found


def as_kinds(name: str, *order: int) -> np.ndarray:
    """`distance` or `similarity` with the kinds of noisy images exchanged."""
    return BASE[name][..., list(order)]


FALLING = np.broadcast_to(0.1 + 0.01 * (9 - EVALUATIONS)[:, None], (3, 8, 10))  # no held-out error turns
EVERYWHERE = np.ones((3, 8, 10)) * BASE["gap"].max(2, keepdims=True)  # one gap for all noise levels
LIKE_SAMPLES = 1 + BASE["gap"].max(2)[:, :, None] * np.ones(4)
NEAR = kinds(np.ones((3, 8)), np.full((3, 8), 1.4), np.full((3, 8), 1.1))


def with_runs(heights: Mapping[tuple[int, int], float], later: Mapping[int, int]) -> Record:
    """The record beside others on digits: (n, width) -> their gap as a multiple of this one's, and
    n -> by how many evaluations later their errors turn."""
    runs = {
        ("digits_gap", f"n={n}, width={width}"): fake(
            {"n": n, "width": width},
            gap=BASE["gap"] * height,
            val=np.roll(BASE["val"], later.get(n, 0), 1),
            parameters=np.full(3, 10 * width**2),
        )
        for (n, width), height in heights.items()
    }
    return fakes.record(BASE, "digits_gap", spec=SPEC, beside=runs)


def samples_of_sizes(share: float, **changed: np.ndarray) -> Record:
    """The record beside a smaller network, whose gap of samples is a share of this one's."""
    arrays = {"frechet_val": 1 + share * (BASE["frechet_val"] - 1), "parameters": np.full(3, 38_836)}
    small = fake({"width": 54}, **(arrays | changed))
    return fakes.record(BASE, "digits_gap", spec=SPEC, beside={("digits_gap", "n=600, width=54"): small})


Case = Callable[[], Record]
OTHERS = {(600, 54): 0.1, (200, 144): 10.0, (1190, 144): 0.2}

KINDS = np.array([0.98, 0.06, 0.03])  # shares within the range: noised training, held-out, states


def trained(
    shares: np.ndarray = KINDS, states: float = 0.99, samples: float = 2.0, strong: float = 1.5,
    rises: float = 1.1,
) -> Record:  # fmt: skip
    """Overlaps, and gaps of samples that grow by a factor to w 1.2 and by another one to w 2; those of
    denoising by half as much in the logarithm."""
    factors = np.array([1.0, samples, strong])
    small = np.sqrt(factors)
    val = np.linspace(0.2, 0.1, 3)[:, None] * np.ones(4)
    val[-1, 1] = rises * val[1, 1]
    arrays = {
        "pilot_val": val, "chosen": 0, "level": np.array([0.3, 0.15]), "sigma": np.geomspace(0.05, 5, 4),
        "share": np.tile(shares, (3, 2, 1)), "area": np.tile([0.5, 0.98, states], (3, 2, 1)),
        "distance": np.ones((3, 3, 599)), "weight": np.array([0.0, 1.2, 2.0]),
        "frechet_train": np.ones((3, 3)), "frechet_val": 1 + 0.5 * SEEDS * factors,
        "gap": (SEEDS * small)[:, :, None] * np.array([0.1, 1.0, 0.2]),
    }  # fmt: skip
    return fakes.record(arrays, "digits_trained", spec=SPEC)


def conditions(
    *heights: float, moves: float = 1.3, far: tuple[float, ...] = (), digit: float = 2.0
) -> Record:
    """Bumps of the gap with these heights; each lies at a σ so many times that of the one before. Samples
    are so far from training images; told the digit, the bump is `digit` times as high as told nothing."""
    sigma = np.geomspace(0.01, 10, 25)
    places = 0.15 * np.append(moves ** np.arange(len(heights)), 1.0)
    bumps = np.append(heights, digit * heights[0])[:, None] * np.exp(
        -(np.log(sigma / places[:, None]) ** 2)
    )
    gap = SEEDS[:, :, None, None] * bumps[:, None].repeat(2, 1)
    distances = SEEDS[:, :, None] * np.append(far or np.ones(len(heights)), 1.0)[:, None].repeat(2, 1)
    counts = np.array([1, 10, 50, 200][: len(heights)] + [0])
    arrays = {"gap": gap, "sigma": sigma, "clusters": counts, "frechet_train": distances}
    return fakes.record(arrays, "digits_conditions", spec=SPEC)


def window(
    *peaks: float, own: tuple[float, ...] = (), ranges: tuple[float, ...] = (0.2, 1, 2, 3), apart: float = 1.0
) -> Record:
    """Gaps with these peaks for whole images and windows of 6 and 4 pixels, with others for networks that
    learned from windows; and how far predictions look at four noise levels, at held-out images `apart` times
    as far."""
    heights = np.array([*peaks, *(own or peaks[1:])])
    gap = SEEDS[:, :, None] * heights[:, None] * np.array([0.1, 0.5, 1.0, 0.2])
    looks = SEEDS[:, :, None] ** 0.1 * np.stack([np.array(ranges), apart * np.array(ranges)])
    arrays = {
        "gap": gap, "val": 1 + gap, "range": looks, "sigma": np.geomspace(0.01, 10, 4),
        "trained": np.array([8, 8, 8, 6, 4]), "window": np.array([8, 6, 4, 6, 4]),
    }  # fmt: skip
    return fakes.record(arrays, "digits_window", spec=SPEC)


HOLDS: dict[str, Case] = {
    "kaiser-net-conditions-digits": lambda: conditions(0.1, 0.2, 0.4, 0.8),
    "kaiser-net-conditions-peak-digits": lambda: conditions(0.1, 0.2, 0.4, 0.8),
    "kaiser-net-conditions-quality-digits": lambda: conditions(0.1, 0.2, 0.4, 0.8, far=(3.0, 2.0, 1.0, 2.0)),
    "ours-net-digit": lambda: conditions(0.1, 0.2, 0.4, 0.8),
    "kaiser-net-field-digits": lambda: window(0.4, 0.2, 0.1),
    "ours-net-field": lambda: window(0.4, 0.2, 0.1),
    "kaiser-net-range-digits": lambda: window(0.4, 0.2, 0.1),
    "kaiser-net-overlap": trained,
    "ours-net-overlap": trained,
    "kaiser-net-guidance-digits": trained,
    "kaiser-net-guidance-strong-digits": trained,
    "kaiser-net-growth": fake,
    "kaiser-net-growth-cifar10": fake,
    "kaiser-net-capacity": lambda: with_runs(OTHERS, {}),
    "kaiser-net-size": lambda: with_runs(OTHERS, {200: -1, 1190: 1}),
    "kaiser-net-bump": fake,
    "kaiser-net-bump-cifar10": fake,
    "kaiser-net-overfit": fake,
    "kaiser-net-samples": fake,
    "kaiser-net-samples-size": lambda: samples_of_sizes(0.1),
    "kaiser-net-stops": fake,
    "kaiser-net-states": fake,
    "kaiser-net-states-cifar10": fake,
    "kaiser-net-shots": fake,
    "kaiser-net-rank": fake,
    "ours-net-onset": fake,
    "ours-net-limit": lambda: fake(similarity=as_kinds("similarity", 0, 1, 0), distance=NEAR),
}

FAILS: dict[str, Case] = {
    "kaiser-net-conditions-digits": lambda: conditions(0.4, 0.2, 0.1, 0.05),
    "kaiser-net-conditions-peak-digits": lambda: conditions(0.1, 0.2, 0.4, 0.8, moves=0.8),
    "kaiser-net-conditions-quality-digits": lambda: conditions(0.8, 0.4, 0.2, 0.1, far=(1.0, 2.0, 3.0, 1.0)),
    "ours-net-digit": lambda: conditions(0.1, 0.2, 0.4, 0.8, digit=0.5),
    "kaiser-net-field-digits": lambda: window(0.1, 0.2, 0.4),
    "ours-net-field": lambda: window(0.4, 0.2, 0.1, own=(0.5, 0.6)),
    "kaiser-net-range-digits": lambda: window(0.4, 0.2, 0.1, ranges=(3.0, 2.0, 1.0, 0.9), apart=1.5),
    "kaiser-net-overlap": lambda: trained(np.array([0.98, 0.06, 0.5]), 0.7),
    "ours-net-overlap": lambda: trained(np.array([0.98, 0.06, 0.5])),
    "kaiser-net-guidance-digits": lambda: trained(samples=0.9),
    "kaiser-net-guidance-strong-digits": lambda: trained(strong=3.0),
    "kaiser-net-growth": lambda: fake(gap=at_the_end("gap", 0)),
    "kaiser-net-growth-cifar10": lambda: fake(gap=at_the_end("gap", 0)),
    "kaiser-net-capacity": lambda: with_runs(dict.fromkeys(OTHERS, 1.0), {}),
    "kaiser-net-size": lambda: with_runs(dict.fromkeys(OTHERS, 1.0), {}),
    "kaiser-net-bump": lambda: fake(gap=EVERYWHERE),
    "kaiser-net-bump-cifar10": lambda: fake(gap=EVERYWHERE),
    "kaiser-net-overfit": lambda: fake(val=FALLING),
    "kaiser-net-samples": lambda: fake(frechet_val=LIKE_SAMPLES),
    "kaiser-net-samples-size": lambda: samples_of_sizes(1.0),
    "kaiser-net-stops": lambda: fake(frechet_val=1 + np.ones((3, 8, 4))),
    "kaiser-net-states": lambda: fake(distance=as_kinds("distance", 0, 1, 0)),
    "kaiser-net-states-cifar10": lambda: fake(distance=as_kinds("distance", 0, 1, 0)),
    "kaiser-net-shots": lambda: fake(similarity=as_kinds("similarity", 0, 1, 0)),
    "kaiser-net-rank": lambda: fake(similarity=as_kinds("similarity", 0, 1, 1)),
    "ours-net-onset": lambda: fake(val=BASE["val"][:, :, ::-1]),
    "ours-net-limit": lambda: fake(similarity=as_kinds("similarity", 0, 1, 1)),
}
