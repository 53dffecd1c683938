"""Toy records on which each claim holds, and records on which it fails."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from fakes import record

from diffnotes.chapters.toy import readings
from diffnotes.store import Record

SPEC = {"n_train": 10, "delta": 1.6}
ANGLES = 2 * np.pi * np.arange(20) / 20
TRAIN, VAL = (10 * np.stack([np.cos(one), np.sin(one)], axis=1) for one in (ANGLES[::2], ANGLES[1::2]))
OPTIMAL = ("kaiser-toy-optimal", "kaiser-net-optimal", "kaiser-net-optimal-cifar10")
OFF = np.linspace(0.9, 1.1, 41)  # factors by which few draws put E_val / E_train off


def toy(**arrays: object) -> Record:
    return record(arrays, "toy_model", spec=SPEC)


def flow(lands: bool) -> Record:
    """At small noise onto training points, or nowhere; at large noise to their mean."""
    axis = np.linspace(-15, 15, 6)
    plane = np.stack(np.meshgrid(axis, axis), -1)
    nearest = TRAIN[np.linalg.norm(plane[..., None, :] - TRAIN, axis=-1).argmin(-1)]
    one = np.stack([TRAIN.mean(0) - plane, 0 * plane, nearest - plane if lands else 0 * plane])
    return toy(flow_axis=axis, flow_train=TRAIN, flow=np.stack([one, one]))


def bump(floor: float) -> Record:
    """A bump over the noise level on a floor."""
    sigma = np.geomspace(0.002, 80, 81)
    gap = floor + np.exp(-((np.log(sigma / 1.2) / 0.8) ** 2))
    return toy(sigma=sigma, delta=[2.2, 1.2], gap_exact=np.stack([0.1 * gap, gap]))


def growth(*peaks: float) -> Record:
    return toy(delta=[2.2, 1.8, 1.2], peak=peaks, peak_stderr=[0.01, 0.01, 0.01])


def off(heights: np.ndarray, factor: float) -> np.ndarray:
    """Heights when E_val / E_train is off by a factor."""
    return (1 + heights) * factor - 1


def scatter(exact: np.ndarray) -> dict[str, np.ndarray]:
    """Repeats of few draws around exact peaks."""
    return {"peak_exact": exact, "repeat_peaks": np.stack(3 * [off(exact[:, None], OFF)], axis=1)}


REPEATS = scatter(np.array([0.2, 0.5]))


def peaks(shift: int) -> Record:
    """The authors' heights, off by 2 %; or those of their next larger delta, 10 % away."""
    at, heights = (np.array([*part]) for part in (readings.PEAKS.heights, readings.PEAKS.heights.values()))
    return toy(delta=at[shift:], **scatter(off(heights[: len(heights) - shift], 1.02)))


def along(shift: float) -> Record:
    """Zero at training points and highest at validation points; `shift` lifts the lowest curve."""
    angle = np.linspace(0, 2 * np.pi, 361)
    heights = np.array([*readings.ALONG.heights.values()]) + np.array([shift, 0, 0])
    gap = heights[:, None] * (1 - np.cos(10 * angle)) / 2
    places = {"along_angle": angle, "along_gap": gap, "train": TRAIN, "val": VAL}
    return toy(map_delta=[*readings.ALONG.heights], **places, **REPEATS)


def levels(*inside: int) -> Record:
    return toy(level_delta=[2.0, 1.5, 1.4, 1.0], level_inside=inside, threshold=1.45)


def density(factor: float, rises: bool = False) -> Record:
    heights = off(np.array([*readings.DENSITY.heights.values()]), factor)
    return toy(
        density_n=[*readings.DENSITY.heights], density_peak=heights[::-1] if rises else heights, **REPEATS
    )


def random_sets(*medians: float) -> Record:
    """Peaks of five sets of random points around these medians; the first set peaks at σ 1."""
    sigma = np.geomspace(0.1, 10, 21)
    bump = np.exp(-(np.log(sigma) ** 2))
    heights = np.array(medians)[:, None]
    return toy(
        random_delta=[1.8, 1.3, 0.7],
        random_sigma=sigma,
        random_first=heights * bump,
        random_peaks=heights * [0.6, 0.9, 1.0, 1.1, 1.4],
    )


def guidance(rises: bool) -> Record:
    heights = np.array([*readings.GUIDED.heights.values()])
    order = heights if rises else heights[::-1]
    return toy(guidance_weight=[*readings.GUIDED.heights], guidance_peak=order, **REPEATS)


def position(sigma: Callable[[np.ndarray], np.ndarray]) -> Record:
    delta = np.array([3.0, 2.0, 1.5, 1.0, 0.5])
    return toy(position_delta=delta, position_sigma=sigma(delta))


def states(sampler: float) -> Record:
    rms = np.array([[sampler, sampler, 2.8, 1.5, 2.6]])
    return toy(law_rms=rms, law_rms_stderr=[[0.01, 0.01]], law_delta=[2.0], law_sigma=1.0)


def shots(sampler: float, train: float, val: float) -> Record:
    return toy(shot_rms=[sampler, train, val], shot_rms_stderr=[0.01, 0.01, 0.01])


def spreads(*times: float) -> Record:
    """Sampler states spread so many times as far as noised training points, at δ = 0.5 σ and 2 σ."""
    rms = np.array([[one, one, one, 1.0, 1.6] for one in times])
    return toy(law_rms=rms, law_rms_stderr=0.01 * np.ones((2, 2)), law_delta=[0.5, 2.0], law_sigma=1.0)


def made(euler: list[float], heun: list[float]) -> Record:
    """Fréchet distances of samples at three model errors, for three sets of points."""
    ways = np.array([euler, heun, heun]).T[:, :, None].repeat(2, 2)
    sets = np.array([0.9, 1.0, 1.1])[:, None, None, None]
    arrays, spec = {"frechet": sets * ways, "delta": [3.0, 2.0, 0.1]}, {"n": 500, "supports": 3}
    return record(arrays, "toy_samples", spec=spec)


def ends(distance: float, rho: float) -> Record:
    """End points so far from the nearest training point, over the last noise."""
    arrays = {
        "distance": np.full(50, distance * 0.002 * 8), "rho": np.full(50, rho), "dimension": 64,
        "held_out": np.full(50, 4.0), "index": np.arange(50),
    }  # fmt: skip
    return record(arrays, "optimal_sampler", spec={"dataset": "digits", "n": 60})


HOLDS = {
    "kaiser-toy-flow": lambda: flow(lands=True),
    "kaiser-toy-bump": lambda: bump(floor=0),
    "kaiser-toy-delta": lambda: growth(0.1, 0.3, 0.9),
    "kaiser-toy-peaks": lambda: peaks(shift=0),
    "kaiser-toy-contour": lambda: levels(10, 10, 0, 0),
    "kaiser-toy-along": lambda: along(shift=0),
    "kaiser-toy-density": lambda: density(0.98),
    "kaiser-toy-random": lambda: random_sets(0.2, 0.3, 0.9),
    "kaiser-toy-guidance": lambda: guidance(rises=True),
    "kaiser-toy-position": lambda: position(lambda delta: 0.9 * delta),
    "kaiser-toy-states": lambda: states(2.81),
    "kaiser-toy-shots": lambda: shots(1.9, 1.1, 2.3),
    "kaiser-toy-overlap": lambda: spreads(1.12, 2.2),
    "ours-toy-plane": lambda: spreads(1.12, 2.2),
    "kaiser-toy-frechet": lambda: made([0.3, 0.1, 0.2], [0.3, 0.2, 0.1]),
    "ours-toy-steps": lambda: made([0.3, 0.1, 0.2], [0.3, 0.2, 0.1]),
    **dict.fromkeys(OPTIMAL, lambda: ends(0.5, 0.01)),
}
FAILS = {
    "kaiser-toy-flow": lambda: flow(lands=False),
    "kaiser-toy-bump": lambda: bump(floor=0.2),
    "kaiser-toy-delta": lambda: growth(0.1, 0.3, 0.29),
    "kaiser-toy-peaks": lambda: peaks(shift=1),
    "kaiser-toy-contour": lambda: levels(10, 9, 1, 0),
    "kaiser-toy-along": lambda: along(shift=0.2),
    "kaiser-toy-density": lambda: density(0.98, rises=True),
    "kaiser-toy-random": lambda: random_sets(0.2, 0.3, 0.29),
    "kaiser-toy-guidance": lambda: guidance(rises=False),
    "kaiser-toy-position": lambda: position(lambda delta: 0 * delta + 10.0),
    "kaiser-toy-states": lambda: states(1.51),
    "kaiser-toy-shots": lambda: shots(1.9, 1.95, 1.8),
    "kaiser-toy-overlap": lambda: spreads(1.01, 2.2),
    "ours-toy-plane": lambda: spreads(2.2, 1.12),
    "kaiser-toy-frechet": lambda: made([0.3, 0.2, 0.1], [0.3, 0.2, 0.1]),
    "ours-toy-steps": lambda: made([0.3, 0.1, 0.2], [0.3, 0.1, 0.2]),
    **dict.fromkeys(OPTIMAL, lambda: ends(2.0, 0.9)),
}
