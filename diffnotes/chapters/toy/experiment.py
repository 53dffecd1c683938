"""Chapter 1: the 2D toy model of Kaiser & Kollmann (arXiv 2603.13419), from exact formulas in float64.

The formulas live in `toy_formulas`; here are the settings, and what the book computes with them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy import ndarray as Array

from diffnotes.chapters.toy import formulas as toy
from diffnotes.chapters.toy.formulas import blurred_predictor, optimal_predictor, relative_gap
from diffnotes.data.sets import on_circle
from diffnotes.store import Arrays, Experiment, Spec, Tolerance, Work, number, numbers

__all__ = [
    "EXPERIMENT", "ToySpec", "blurred_predictor", "compute", "explore", "optimal_predictor", "relative_gap",
]  # fmt: skip

CURVE = toy.edm_grid(120)[::-1]  # noise levels of the curves, ascending
STEPS = toy.edm_grid(40)  # noise levels of the maps and of the sampler, descending
FIELD_SIGMAS = STEPS[::-1][[32, 20, 14]]  # 27.8, 2.82, 0.625: figure 3
MAP_SIGMA = float(STEPS[::-1][16])  # 1.07: figure 5
MAP_DELTAS = (2.0, 1.6, 1.2)
LEVEL_DELTAS = (3.0, 2.2, 2.0, 1.6, 1.5, 1.45, 1.4, 1.2, 1.0, 0.5)
REPEAT_DRAWS = 50  # as many as the authors'
DENSITY = (8, 10, 12, 15)
RANDOM_TRAIN, RANDOM_DELTAS, RANDOM_DRAWS = 20, (1.8, 1.3, 0.7), 200
GUIDANCE = (1.8, 2.2)  # delta of the good and of the bad model
WEIGHTS = np.linspace(0, 2, 11)
LAW_DELTAS = (2.0, 1.2, 0.6)
SPACING_TRAIN = (5, 6, 8, 10, 12, 15, 20, 30, 40, 60)
POSITION_DELTAS = (3.0, 2.0, 1.5, 1.0, 0.6, 0.4, 0.2)
SHOWN_STATES = 400  # states kept for a scatter plot


@dataclass(frozen=True)
class ToySpec(Spec):
    """Settings of the toy model; lengths are in units where the circle has radius 10."""

    n_train: int = number(10, low=2, high=100, help="training points; as many validation points lie midway")
    delta: float = number(1.6, low=0.01, high=50, help="model error of the predictor in focus")
    deltas: tuple[float, ...] = numbers(
        (2.2, 2.0, 1.8, 1.6, 1.4, 1.2), low=0.01, high=50, help="model errors of the gap curves"
    )
    draws: int = number(4000, low=2, high=100_000, help="noise draws behind each Monte Carlo gap")
    repeats: int = number(600, low=2, high=10_000, help="repeats of 50 draws behind the band")
    map_size: int = number(81, low=5, high=401, help="points per side of the gap map")
    states: int = number(20_000, low=SHOWN_STATES, high=1_000_000, help="states that the sampler carries")
    supports: int = number(40, low=2, high=1000, help="random supports to average over")
    seed: int = number(0, low=0, high=1_000_000, help="seed of all random draws")


# --- what is computed -----------------------------------------------------------------------------


def _curves(spec: ToySpec) -> Arrays:
    """Gap over sigma for every delta (figure 4): Monte Carlo with shared draws, and exact."""
    train, val = toy.train_validation(spec.n_train)
    noise = toy.normal(spec.seed, "curves", spec.draws)
    found = [toy.gap_curve(toy.blurred(train, delta), train, val, CURVE, noise) for delta in spec.deltas]
    gap, spread = (np.stack(column) for column in zip(*found, strict=True))
    exact = np.stack([toy.exact_gap(spec.n_train, delta, CURVE) for delta in spec.deltas])
    top, rows = gap.argmax(1), np.arange(len(gap))
    return {
        "train": train, "val": val, "sigma": CURVE, "delta": np.array(spec.deltas),
        "gap": gap, "gap_stderr": spread, "gap_exact": exact,
        "peak": gap[rows, top], "peak_stderr": spread[rows, top], "peak_sigma": CURVE[top],
        "peak_exact": exact.max(1),
    }  # fmt: skip


def _repeats(spec: ToySpec) -> Arrays:
    """How far gaps from only 50 draws scatter, for three ways to draw the noise."""
    bands, peaks = [], []
    for delta in spec.deltas:
        shared, separate, own = _designs(spec, spec.n_train, delta, CURVE)
        bands.append([np.quantile(gap, (0.005, 0.995), axis=1) for gap in (shared, separate)])
        peaks.append([gap.max(0) for gap in (shared, separate, own)])
    return {
        "band": np.array(bands, np.float32), "repeat_peaks": np.array(peaks),
        "repeat_draws": np.array(REPEAT_DRAWS),
    }  # fmt: skip


def _designs(spec: ToySpec, n_train: int, delta: float, sigmas: Array) -> tuple[Array, Array, Array]:
    """Gaps [l, repeats] from 50 draws: both sets share them; each set has its own; each point has its own.

    The last mean over n points is one over 50 n draws at one point, because rotations carry the points into
    each other. It is costly, and found only around the peak: [w, repeats].
    """
    train, val = toy.train_validation(n_train)
    predict, many = toy.blurred(train, delta), spec.repeats * REPEAT_DRAWS
    noise, own = toy.normal(spec.seed, "repeats", many), toy.normal(spec.seed, "own draws", many * n_train)
    a, b = _means(predict, train, val, sigmas, noise, spec.repeats)
    c, d = _means(predict, train[:1], val[:1], _near_peak(n_train), own, spec.repeats)
    return b / a - 1, np.roll(b, 1, axis=1) / a - 1, np.roll(d, 1, axis=1) / c - 1


def _near_peak(n_train: int) -> Array:
    """The noise levels within a factor e of the peak, whose place `_spacing` finds."""
    return CURVE[np.abs(np.log(CURVE / (0.19 * toy.chord(n_train)))) < 1]


def _means(
    predict: toy.Predictor, train: Array, val: Array, sigmas: Array, noise: Array, repeats: int
) -> tuple[Array, Array]:
    """Errors [l, repeats] of both sets, each the mean over its points and over one repeat's share of the
    draws.
    """
    both, means = np.concatenate([train, val]), []
    for sigma in sigmas:
        error = toy.denoising_error(predict, both, float(sigma), noise, len(train))
        means.append(error.reshape(2, len(train), repeats, -1).mean((1, 3)))
    return tuple(np.stack(means, axis=1))


def _levels(spec: ToySpec) -> Arrays:
    """Figure 5 in numbers: how many validation points lie where the gap is at most 0.5, for which delta."""
    train, val = toy.train_validation(spec.n_train)
    noise = toy.normal(spec.seed, "levels", spec.draws)
    both, split, rows = np.concatenate([train, val]), spec.n_train, []
    ring = on_circle(np.arange(360) / 360)
    for delta in LEVEL_DELTAS:
        error = toy.denoising_error(toy.blurred(train, delta), both, MAP_SIGMA, noise, split)
        known, held_out = error[:split].mean(0), error[split:]
        per_point = held_out.mean(1) / known.mean() - 1
        exact = toy.exact_gap(split, delta, np.array([MAP_SIGMA]))[0]
        share = (toy.gap_field(ring, train, MAP_SIGMA, delta) <= 0.5).mean()
        one = toy.gap_of_draws(known, held_out[0])[1]
        rows.append([*toy.gap_of_draws(known, held_out.mean(0)), one, (per_point <= 0.5).sum(), exact, share])
    names = ("gap", "gap_stderr", "point_stderr", "inside", "gap_exact", "circle")
    arrays = {f"level_{name}": column for name, column in zip(names, np.array(rows).T, strict=True)}
    edge = toy.threshold(spec.n_train, MAP_SIGMA)
    return {**arrays, "level_delta": np.array(LEVEL_DELTAS), "threshold": np.array(edge)}


def _maps(spec: ToySpec) -> Arrays:
    """The gap when the clean point lies anywhere in the window (figure 5), and along the circle."""
    train, _ = toy.train_validation(spec.n_train)
    axis, turns = np.linspace(-15, 15, spec.map_size), np.linspace(0, 1, 361)
    plane = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    field = np.stack([toy.gap_field(plane, train, MAP_SIGMA, delta) for delta in MAP_DELTAS])
    along = np.stack([toy.gap_field(on_circle(turns), train, MAP_SIGMA, delta) for delta in MAP_DELTAS])
    return {
        "map_axis": axis, "map_delta": np.array(MAP_DELTAS), "map_sigma": np.array(MAP_SIGMA),
        "map_gap": field.reshape(len(MAP_DELTAS), len(axis), len(axis)).astype(np.float32),
        "map_area": 900 * (field <= 0.5).mean(1), "along_angle": 2 * np.pi * turns,
        "along_gap": along.astype(np.float32),
    }  # fmt: skip


def _fields(spec: ToySpec) -> Arrays:
    """Displacements D(x) - x of the optimal predictor (figure 3) and of the one in focus."""
    train = on_circle(np.arange(spec.n_train) / spec.n_train + 0.001)  # turned as in the paper
    axis = np.linspace(-15, 15, 50)
    noise = toy.normal(spec.seed, "fields", 30)
    flow, guess = [], []
    for delta in (0.0, spec.delta):
        predict = toy.blurred(train, delta)
        flow.append([field_of(predict, axis, sigma) for sigma in FIELD_SIGMAS])
        noised = [(train[:, None] + sigma * noise).reshape(-1, 2) for sigma in FIELD_SIGMAS]
        guess.append([predict(x, sigma) for x, sigma in zip(noised, FIELD_SIGMAS, strict=True)])
    return {
        "flow_axis": axis, "flow_sigma": FIELD_SIGMAS, "flow_train": train,
        "flow": np.array(flow, np.float32), "flow_guess": np.array(guess, np.float32),
    }  # fmt: skip


def field_of(predict: toy.Predictor, axis: Array, sigma: float) -> Array:
    """D(x) - x on a square grid: [len(axis), len(axis), 2], rows along y."""
    plane = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    return (predict(plane, sigma) - plane).reshape(len(axis), len(axis), 2)


def _density(spec: ToySpec) -> Arrays:
    """Gap curves, exact, for more and more points on the same circle, and what 50 draws scatter."""
    gap = np.stack([toy.exact_gap(n, spec.delta, CURVE) for n in DENSITY])
    tops = np.array([toy.peak(CURVE, row) for row in gap])
    drawn = [_designs(spec, n, spec.delta, _near_peak(n)) for n in DENSITY]
    band = [[np.quantile(one.max(0), (0.005, 0.995)) for one in designs] for designs in drawn]
    return {
        "density_n": np.array(DENSITY), "density_gap": gap, "density_band": np.array(band),
        "density_peak": tops[:, 1], "density_sigma": tops[:, 0],
    }  # fmt: skip


def _random(spec: ToySpec) -> Arrays:
    """Gap curves for points at random angles: mean and standard error over supports; the first is the
    authors'.
    """
    sigmas = CURVE[np.abs(np.log10(CURVE)) < 1]
    noise = toy.normal(spec.seed, "random", RANDOM_DRAWS)
    gap, guided = [], []
    for index in range(spec.supports):
        train, val = toy.random_support(RANDOM_TRAIN, spec.seed * spec.supports + index)
        models = [toy.blurred(train, delta) for delta in RANDOM_DELTAS]
        gap.append([toy.gap_curve(model, train, val, sigmas, noise)[0] for model in models])
        models = [toy.guided(train, *GUIDANCE, weight) for weight in (0.0, 1.0, 2.0)]
        guided.append([toy.gap_curve(model, train, val, sigmas[::4], noise)[0].max() for model in models])
    curves, root = np.array(gap), np.sqrt(spec.supports)
    return {
        "random_sigma": sigmas, "random_delta": np.array(RANDOM_DELTAS), "random_first": curves[0],
        "random_gap": curves.mean(0), "random_stderr": curves.std(0, ddof=1) / root,
        "random_peaks": curves.max(2).T,
        "random_spread": np.quantile(curves, (0.1, 0.9), axis=0).astype(np.float32),
        "random_guided": np.mean(guided, axis=0),
        "random_guided_stderr": np.std(guided, axis=0, ddof=1) / root,
    }  # fmt: skip


def _guidance(spec: ToySpec) -> Arrays:
    """Autoguidance: gap curves, exact, for growing guidance weight."""
    train, _ = toy.train_validation(spec.n_train)
    models = [toy.guided(train, *GUIDANCE, weight) for weight in WEIGHTS]
    gap = np.stack([toy.exact_gap(spec.n_train, GUIDANCE[0], CURVE, model) for model in models])
    tops = np.array([toy.peak(CURVE, row) for row in gap])
    return {
        "guidance_weight": WEIGHTS, "guidance_gap": gap,
        "guidance_peak": tops[:, 1], "guidance_sigma": tops[:, 0],
    }  # fmt: skip


def _law(spec: ToySpec) -> Arrays:
    """States of the sampler at sigma 1.07 against their exact law and against noised data."""
    train, val = toy.train_validation(spec.n_train)
    noise = toy.normal(spec.seed, "sampler", spec.states)
    levels = STEPS[: len(STEPS) - 16]
    rows, spread, shown, shares = [], [], [], []
    bins = np.linspace(0, 8, 161)
    for delta in LAW_DELTAS:
        predict = toy.blurred(train, delta)
        states = [toy.sample(predict, STEPS[0] * noise, levels, heun, len(train)) for heun in (False, True)]
        squares = [toy.nearest_distance(x, train) ** 2 for x in states]
        laws = [(train[0], np.hypot(MAP_SIGMA, delta)), (train[0], MAP_SIGMA), (val[0], MAP_SIGMA)]
        exact = [_distance_law(at, float(scale), train, bins) for at, scale in laws]
        rows.append([np.sqrt(s.mean()) for s in squares] + [rms for rms, _ in exact])
        spread.append([s.std(ddof=1) / np.sqrt(len(s)) / (2 * np.sqrt(s.mean())) for s in squares])
        shown.append(states[1][:SHOWN_STATES])
        shares.append([_share(np.sqrt(s), bins) for s in squares] + [share for _, share in exact])
    return {
        "law_delta": np.array(LAW_DELTAS), "law_rms": np.array(rows), "law_rms_stderr": np.array(spread),
        "law_states": np.array(shown, np.float32), "law_distance": bins,
        "law_share": np.array(shares, np.float32),
        "law_noise": toy.normal(spec.seed, "noised data", SHOWN_STATES).astype(np.float32),
        "law_sigma": np.array(MAP_SIGMA),
    }  # fmt: skip


def _distance_law(at: Array, scale: float, train: Array, bins: Array) -> tuple[float, Array]:
    """Of the nearest distance when states are at + scale n: its RMS, and the share below each bin edge."""
    nodes, weights = toy.quadrature(160, 240)
    square = toy.nearest_distance(at + scale * nodes, train) ** 2
    return float(np.sqrt(square @ weights)), _share(
        toy.nearest_distance(at + scale * toy.rings(), train), bins
    )


def _share(distance: Array, bins: Array) -> Array:
    return np.searchsorted(np.sort(distance), bins) / len(distance)


def _shots(spec: ToySpec) -> Arrays:
    """One-shot predictions from sampler states, noised training and noised validation points: how
    training-like?
    """
    train, val = toy.train_validation(spec.n_train)
    predict = toy.blurred(train, spec.delta)
    noise = toy.normal(spec.seed, "shots", spec.states)
    pick = np.arange(spec.states) % spec.n_train
    states = toy.sample(predict, STEPS[0] * noise, STEPS[: len(STEPS) - 16], True, len(train))
    inputs = [states, train[pick] + MAP_SIGMA * noise, val[pick] + MAP_SIGMA * noise]
    squares = [toy.nearest_distance(predict(x, MAP_SIGMA), train) ** 2 for x in inputs]
    rms = np.array([np.sqrt(s.mean()) for s in squares])
    spread = np.array([s.std(ddof=1) for s in squares]) / np.sqrt(spec.states) / (2 * rms)
    return {"shot_rms": rms, "shot_rms_stderr": spread}


def _spacing(spec: ToySpec) -> Arrays:
    """The delta at which the peak gap is 0.5, and where that peak lies, against the spacing of the points."""
    law = np.array([toy.spacing_law(n) for n in SPACING_TRAIN])
    sigmas = toy.chord(spec.n_train) * np.geomspace(0.05, 0.8, 60)
    gaps = [toy.exact_gap(spec.n_train, delta, sigmas) for delta in POSITION_DELTAS]
    return {
        "spacing_n": np.array(SPACING_TRAIN),
        "spacing_chord": np.array([toy.chord(n) for n in SPACING_TRAIN]),
        "spacing_delta": law[:, 0], "spacing_sigma": law[:, 1],
        "position_delta": np.array(POSITION_DELTAS),
        "position_sigma": np.array([toy.peak(sigmas, gap)[0] for gap in gaps]),
    }  # fmt: skip


def _overlap(spec: ToySpec) -> Arrays:
    """Bhattacharyya overlap of sampler states and noised data, per training point, against dimension."""
    dimension, ratio = np.unique(np.geomspace(2, 3072, 60).round()), np.array([0.25, 0.5, 1.0])
    return {
        "overlap_dimension": dimension, "overlap_ratio": ratio,
        "overlap": np.stack([toy.overlap(dimension, r) for r in ratio]),
    }  # fmt: skip


PARTS: dict[str, Callable[[ToySpec], Arrays]] = {
    "curves": _curves, "repeats": _repeats, "levels": _levels, "maps": _maps, "fields": _fields,
    "density": _density, "random": _random, "guidance": _guidance, "law": _law, "shots": _shots,
    "spacing": _spacing, "overlap": _overlap,
}  # fmt: skip


def compute(spec: ToySpec, work: Work) -> Arrays:
    """All arrays of the chapter. Each part is saved when it is done, so that a slice loses at most one."""
    arrays: Arrays = {}
    for done, (name, part) in enumerate(PARTS.items(), start=1):
        found = work.load(name)
        if found is None:
            found = part(spec)
            work.save(name, found)
            work.step(done, len(PARTS), name)  # not for parts found on disk: every slice must get further
        arrays |= found
    return arrays


# --- live exploration -----------------------------------------------------------------------------


EXPLORE_SIGMAS = np.geomspace(0.1, 20, 40)
EXPLORE_RADII = np.linspace(0, 21.5, 44)  # to the corners of the window


def explore(sigma: float, delta: float, n: int) -> Arrays:
    """What the interactive figure shows: the gap over the plane, and the exact gap curve."""
    train, val = toy.train_validation(n)
    region, plane = toy.polar_gap(n, sigma, delta, EXPLORE_RADII, steps=max(2, 80 // n))
    return {
        "train": train, "val": val, "region": region, "plane": plane, "spacing": np.array(toy.chord(n)),
        "sigmas": EXPLORE_SIGMAS, "gap": _explored_gap(delta, n),
        "gap_here": toy.exact_gap(n, delta, np.array([sigma])),
    }  # fmt: skip


@lru_cache(maxsize=256)
def _explored_gap(delta: float, n: int) -> Array:
    return toy.exact_gap(n, delta, EXPLORE_SIGMAS)


EXPERIMENT = Experiment(
    name="toy_model",
    version=2,  # 1 drew its noise from a stream that numpy may change
    spec=ToySpec,
    profiles={
        # all 4,000 draws, which are more than a chunk holds
        "smoke": ToySpec(repeats=20, map_size=31, states=4000, supports=3),
        "laptop": ToySpec(),
    },
    compute=compute,
    seconds={"smoke": 8, "laptop": 60},
    tolerance=Tolerance(1e-8, 1e-12, "float64; a gap near 0 is a quotient near 1, less 1"),
    tolerances={
        "law_share": Tolerance(1e-6, 3e-4, "one of 4,000 states on the other side of the edge of a bin"),
        **dict.fromkeys(
            ("band", "map_gap", "along_gap", "flow*", "random_spread", "law_states", "law_noise"),
            Tolerance(1e-6, 1e-9, "kept as float32"),
        ),
    },
)  # fmt: skip
