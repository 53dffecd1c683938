"""What is read off the toy record, and the authors' values beside it: for figures, tables and claims."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy import ndarray as Array

from diffnotes.chapters.checks import Nothing
from diffnotes.store import Record

LEVEL = 0.5  # a clean point is inside while its gap is at most this
DESIGNS = ("shared", "one set per split", "own for each point")  # of the noise draws, as in `repeat_peaks`
SEPARATE = 1  # of DESIGNS: as in the authors' code
RANDOM_TRAIN = 20  # points of a random set, as in the authors' code, whatever `n_train` is
CENTRAL = (0.005, 0.995)  # bands of repeats hold the central 99 %


# ------------------------------------------------------------------------------------- the authors' values


@dataclass(frozen=True)
class Plot:
    """Heights of the authors' toy (public code of arXiv 2603.13419) over what the axis of a plot shows.

    A plot is read to about 2 % of its highest value. Digits beyond that are no knowledge. `origin` says where
    the heights come from: few of them were read off a plot of the authors.
    """

    source: str
    origin: str
    settings: Mapping[str, float]  # of ours that are theirs
    heights: Mapping[float, float]

    @property
    def error(self) -> float:
        """How well a plot is read."""
        return 0.02 * max(self.heights.values())

    def fits(self, record: Record) -> bool:
        """Whether a record has the settings of this plot."""
        given = record.meta.get("spec", {})
        return all(given.get(name, value) == value for name, value in self.settings.items())

    def crosses(self, record: Record, at: Array) -> str:
        """What a caption says about their marks; nothing where there are none."""
        any_known = np.isfinite(self.beside(record, at)).any()
        return f" Crosses are {self.origin}." if any_known else ""

    def beside(self, record: Record, at: Array) -> Array:
        """The heights at these places; NaN where the plot has none, or is one of other settings."""
        known = self.heights if self.fits(record) else {}
        return np.array([known.get(round(float(place), 3), np.nan) for place in at])


REMADE = "from our re-implementation of the authors’ toy with 50 draws"
AGREES = f"{REMADE}; their stored plot agrees as well as it can be read"
PEAKS = Plot(
    "figure 4, 50 draws",
    AGREES,
    {"n_train": 10},
    {2.2: 0.104, 2.0: 0.161, 1.8: 0.249, 1.6: 0.387, 1.4: 0.603, 1.2: 0.954},
)
DENSITY = Plot("density study, 50 draws", AGREES, {"delta": 1.6}, {8: 0.800, 10: 0.387, 12: 0.213, 15: 0.073})
GUIDED = Plot(
    "autoguidance in the toy, 50 draws",
    f"{REMADE}; their stored plot was not read",
    {"n_train": 10},
    {0.0: 0.249, 0.4: 0.319, 0.8: 0.396, 1.2: 0.482, 1.6: 0.577, 2.0: 0.684},
)
ALONG = Plot(
    "cut along the circle, version 2, 500 draws",
    "read off the authors’ stored plot",
    {"n_train": 10},
    {2.0: 0.15, 1.6: 0.37, 1.2: 0.92},
)


@dataclass(frozen=True)
class Match:
    """Our heights [k] beside those of a plot, known to `error`.

    Few draws put E_val and E_train off, each by a factor that hardly depends on the model, since all models
    see the same draws. So heights G = E_val / E_train - 1 may be off by one common factor on 1 + G.
    """

    at: Array
    ours: Array
    authors: Array
    error: float

    @property
    def factor(self) -> tuple[float, float]:
        """All factors that take every height of ours to the authors': from, to. Empty if from > to."""
        low, high = ((1 + self.authors + sign * self.error) / (1 + self.ours) for sign in (-1, 1))
        return float(low.max()), float(high.min())

    @property
    def joined(self) -> bool:
        """Whether there is such a factor."""
        low, high = self.factor
        return low <= high

    @property
    def percent(self) -> Array:
        """How far the authors' heights are off ours, in percent."""
        return 100 * (self.authors / self.ours - 1)


def match(record: Record, plot: Plot, at: Array, ours: Array) -> Match:
    """Heights of ours beside those of a plot, where it has some. Nothing where it has none."""
    authors = plot.beside(record, at)
    known = np.isfinite(authors)
    if not known.any():
        raise Nothing(f"The authors’ plot ({plot.source}) has none of these settings.")
    return Match(np.asarray(at)[known], np.asarray(ours)[known], authors[known], plot.error)


def peaks(record: Record) -> Match:
    """Peaks of the gap over the model error."""
    return match(record, PEAKS, record["delta"], record["peak_exact"])


def densities(record: Record) -> Match:
    """Peaks of the gap over the number of training points."""
    return match(record, DENSITY, record["density_n"], record["density_peak"])


def guided(record: Record) -> Match:
    """Peaks of the gap over the guidance weight."""
    return match(record, GUIDED, record["guidance_weight"], record["guidance_peak"])


def along(record: Record) -> Match:
    """Highest gaps on the circle over the model error."""
    return match(record, ALONG, record["map_delta"], record["along_gap"].max(1))


# ------------------------------------------------------------------------------------ what few draws scatter


def repeat_band(record: Record) -> tuple[Array, Array]:
    """Ends [delta, design] of the central 99 % of peaks from 50 draws."""
    low, high = np.quantile(record["repeat_peaks"], CENTRAL, axis=2)
    return low, high


def repeat_factor(record: Record) -> tuple[float, float]:
    """Central 99 % of the factor by which 50 separate draws put 1 + G off: the mean over all deltas."""
    low, high = np.quantile(_factors(record).mean(0), CENTRAL)
    return float(low), float(high)


def joined_repeats(record: Record) -> float:
    """The share of our own repeats with 50 separate draws that one factor joins with the exact peaks."""
    peaks, exact = record["repeat_peaks"][:, SEPARATE].T, record["peak_exact"]
    error = 0.02 * peaks.max(1)
    return float(np.mean([Match(exact, exact, *one).joined for one in zip(peaks, error, strict=True)]))


def _factors(record: Record) -> Array:
    return (1 + record["repeat_peaks"][:, SEPARATE]) / (1 + record["peak_exact"])[:, None]


# -------------------------------------------------------------------------------------------- the predictors


def landing(record: Record) -> Array:
    """Shares [predictor] of the plane that the smallest noise level of figure 3 sends onto a training point:
    without and with model error.
    """
    axis, train = record["flow_axis"], record["flow_train"]
    guess = np.stack(np.meshgrid(axis, axis), axis=-1) + record["flow"][:, -1]
    nearest = np.linalg.norm(guess[..., None, :] - train, axis=-1).min(-1)
    return (nearest < 0.1).mean((1, 2))


def from_mean(record: Record) -> float:
    """How far, at most, the optimal prediction is from the mean of the training points at large noise."""
    axis, train = record["flow_axis"], record["flow_train"]
    guess = np.stack(np.meshgrid(axis, axis), axis=-1) + record["flow"][0, 0]
    return float(np.linalg.norm(guess - train.mean(0), axis=-1).max())


# --------------------------------------------------------------------------------------- the gap over sigma


def peak_places(record: Record) -> Array:
    """Noise levels [delta] of the exact peaks."""
    return record["sigma"][record["gap_exact"].argmax(1)]


def ends(record: Record) -> Array:
    """The gap at both ends of the noise levels over its peak, whichever is larger [delta]."""
    gap, sigma = np.abs(record["gap_exact"]), record["sigma"]
    both = np.maximum(gap[:, sigma < 0.02].max(1), gap[:, sigma > 40].max(1))
    return both / record["gap_exact"].max(1)


def off_exact(record: Record) -> Array:
    """How many standard errors the drawn peaks are from the exact ones [delta]."""
    return np.abs(record["peak"] - record["peak_exact"]) / record["peak_stderr"]


def growth(record: Record) -> tuple[Array, Array]:
    """Peaks from many draws as delta falls, with their standard errors."""
    order = np.argsort(-record["delta"])
    return record["peak"][order], record["peak_stderr"][order]


def rising(record: Record) -> Array:
    """For each step down in delta, whether the peak rises by more than two standard errors."""
    peak, error = growth(record)
    return np.diff(peak) > 2 * np.hypot(error[1:], error[:-1])


# ------------------------------------------------------------------------------------------ inside, or not


def inside(record: Record, low: float, high: float) -> Array:
    """How many validation points are inside, for every model error from `low` to `high`."""
    delta = record["level_delta"]
    return record["level_inside"][(delta >= low - 1e-9) & (delta <= high + 1e-9)]


def inside_share(record: Record) -> Array:
    """The share of the circle that is inside, for each map."""
    return (record["along_gap"][:, :-1] <= LEVEL).mean(1)  # the last angle is the first


def gap_on_circle(record: Record, points: Array) -> Array:
    """Gaps [map, point] at points of the circle."""
    turns = np.arctan2(points[:, 1], points[:, 0]) % (2 * np.pi)
    return np.stack([np.interp(turns, record["along_angle"], gap) for gap in record["along_gap"]])


def chord(n_train: float) -> float:
    """The spacing a: straight distance between neighbouring training points."""
    return float(20 * np.sin(np.pi / n_train))


# ------------------------------------------------------------------- density, guidance, sampler, spacing


def fewest_and_most(record: Record) -> list[tuple[int, float, float]]:
    """(training points, peak, its noise level) for the fewest and the most training points."""
    n, peak, sigma = (record[f"density_{name}"] for name in ("n", "peak", "sigma"))
    return [(int(n[i]), float(peak[i]), float(sigma[i])) for i in np.argsort(n)[[0, -1]]]


def falling(record: Record) -> Array:
    """For each step to more training points, whether the peak falls."""
    return np.diff(record["density_peak"][np.argsort(record["density_n"])]) < 0


def guidance_rising(record: Record) -> Array:
    """For each step up in the guidance weight, whether the peak rises."""
    return np.diff(record["guidance_peak"]) > 0


def first_is_authors(record: Record) -> bool:
    """Whether the first set of random points is that of the authors' code."""
    return record.spec["seed"] == 0


def random_spread(record: Record) -> tuple[Array, Array, Array]:
    """Ends of the central 80 % of peaks over sets of random points, and the median between them [delta]."""
    low, middle, high = np.quantile(record["random_peaks"], (0.1, 0.5, 0.9), axis=1)
    return low, middle, high


def random_rising(record: Record) -> Array:
    """For each step down in delta, whether the median peak over sets of random points rises."""
    return np.diff(random_spread(record)[1][np.argsort(-record["random_delta"])]) > 0


def random_places(record: Record) -> Array:
    """Noise levels [delta] of the peaks for the first set of random points."""
    return record["random_sigma"][record["random_first"].argmax(1)]


@dataclass(frozen=True)
class Law:
    """RMS distances [delta] to the nearest training point, with the errors of those from a sampler."""

    euler: Array
    heun: Array
    exact: Array
    noised_train: Array
    noised_val: Array
    euler_error: Array
    heun_error: Array

    def off(self, sampler: Array) -> Array:
        """How far a sampler's distances are off the exact ones, in percent."""
        return 100 * (sampler / self.exact - 1)


def law(record: Record) -> Law:
    """Where the sampler's states are."""
    return Law(*record["law_rms"].T, *record["law_rms_stderr"].T)


def in_proportion(record: Record) -> tuple[Array, float]:
    """sigma of the peak over delta, where the paper plots it, and the power of delta with which it grows."""
    delta, sigma = record["position_delta"], record["position_sigma"]
    plotted = (delta > 1.1) & (delta < 2.3)
    power = np.polyfit(np.log(delta), np.log(sigma), 1)[0]
    return sigma[plotted] / delta[plotted], float(power)


def spacing(record: Record) -> tuple[Array, Array]:
    """The model error with a peak gap of 0.5, and the noise level of that peak, both over the spacing."""
    chord = record["spacing_chord"]
    return record["spacing_delta"] / chord, record["spacing_sigma"] / chord


def measured(record: Record, dimension: float) -> tuple[Array, Array]:
    """delta / sigma, and the overlap of sampler states with noised training data as their spreads have it
    [delta]. Spreads are RMS distances to the nearest training point, so the states' is taken too small where
    clouds run into each other, and the overlap too large.
    """
    spreads = law(record)
    ratio = spreads.heun / spreads.noised_train
    overlaps = (2 * ratio / (1 + ratio**2)) ** (dimension / 2)  # equation 1.6, by the ratio of the spreads
    return record["law_delta"] / float(record["law_sigma"]), overlaps


def overlap(record: Record) -> dict[float, tuple[float, float]]:
    """delta / sigma -> the overlap in the fewest dimensions and in the most."""
    rows = zip(record["overlap_ratio"], record["overlap"], strict=True)
    return {float(ratio): (float(row[0]), float(row[-1])) for ratio, row in rows}
