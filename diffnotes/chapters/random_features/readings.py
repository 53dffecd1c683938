"""Every number that the law's figures, sentences and claims take off its record."""

from __future__ import annotations

import numpy as np

from diffnotes.base.statistics import over_seeds
from diffnotes.store import Record

# Bonnaire et al., arXiv 2505.17638, figure 5: the power of N of the score error between the two phases.
THEIR_ERROR = -0.59
GOOD = 0.9  # of the fall of the score error, after which it may be said to be good
MAIN = 1  # which of the thresholds the text speaks of


def sizes(record: Record) -> np.ndarray:
    """Points per dimension [psi_n], rising."""
    found: np.ndarray = record["psi_n"]
    return found


def thresholds(record: Record) -> list[float]:
    """How far the gap rises above its plateau at an onset."""
    return [float(level) for level in record["threshold"]]


def curves(record: Record, place: int, name: str) -> np.ndarray:
    """Mean over seeds of a loss or an error [tau] at one size."""
    found: np.ndarray = record[name][place].mean(0)
    return found


def times(record: Record) -> np.ndarray:
    """Training times [tau]."""
    found: np.ndarray = record["tau"]
    return found


def best_error(record: Record, place: int) -> tuple[float, float]:
    """When the score error is least, and how many times as large it is at the end."""
    error = curves(record, place, "score_error")
    return float(times(record)[error.argmin()]), float(error[-1] / error.min())


def descent(record: Record, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Training times and losses of gradient descent at the smallest size."""
    return record["descent_tau"], record[name]


def true_loss(record: Record) -> float:
    """The denoising loss of the true score, 1 - Delta."""
    return 1 - float(record["delta"])


def eigenvalues(record: Record, place: int) -> np.ndarray:
    """Of U at one size, of the first seed."""
    found: np.ndarray = record["eigenvalues"][place]
    return found


def range_of_eigenvalues(record: Record) -> tuple[float, float]:
    """The least and the largest of all sizes."""
    return float(record["eigenvalues"].min()), float(record["eigenvalues"].max())


def edges(record: Record, place: int) -> tuple[float, float]:
    """The ends of the memorizing bulk in theory."""
    return float(record["lower_edge"][place]), float(record["upper_edge"][place])


def noise_part(record: Record) -> float:
    """s^2, where theory puts the eigenvalues that neither generalize nor memorize."""
    return float(record["s2"])


def half(record: Record) -> np.ndarray:
    """When half of the final rise of the gap is reached, [psi_n, seed]."""
    found: np.ndarray = record["half"]
    return found


def good(record: Record) -> np.ndarray:
    """When the score error of each run has made GOOD of its fall from first to least, linear in ln tau
    between two times, [psi_n, seed]."""
    error, tau = record["score_error"], times(record)
    first, least = error[..., 0], record["least_error"]
    level = first - GOOD * (first - least)
    after = (error <= level[..., None]).argmax(-1)
    found = np.empty(level.shape)
    for place in np.ndindex(level.shape):
        pair = slice(after[place] - 1, after[place] + 1)
        falling = error[place][pair]
        found[place] = np.exp(np.interp(-level[place], -falling, np.log(tau[pair])))
    return found


def good_power(record: Record) -> tuple[float, float, float]:
    """The power of N of that time, with its interval over seeds."""
    return _three(over_seeds(np.polyfit(np.log(sizes(record)), np.log(good(record)), 1)[0]))


def good_in_theory(record: Record) -> float:
    """1/(Delta mu^2), the time of the d largest eigenvalues."""
    return float(record["tau_generalize"])


def least_error(record: Record) -> np.ndarray:
    """The least score error [psi_n, seed]."""
    found: np.ndarray = record["least_error"]
    return found


def onset(record: Record, level: int) -> np.ndarray:
    """When the gap has risen above its plateau by a threshold, [psi_n, seed]."""
    found: np.ndarray = record["onset"][..., level]
    return found


def typical(times: np.ndarray) -> np.ndarray:
    """Geometric mean over seeds, [psi_n] of [psi_n, seed]."""
    found: np.ndarray = np.exp(np.log(times).mean(1))
    return found


def powers(record: Record) -> list[tuple[float, float, float]]:
    """The power of N of the onset at each threshold, with its interval over seeds."""
    return [_three(found) for found in record["onset_exponent"]]


def power(record: Record, name: str) -> tuple[float, float, float]:
    """The power of N of `half` (of the final rise) or of `least_error`, with its interval over seeds."""
    return _three(record[f"{name}_exponent"])


def raw_power(record: Record, level: int) -> tuple[float, float, float]:
    """The same for the gap itself, from which no plateau is taken off."""
    return _three(record["raw_onset_exponent"][level])


def _three(found: np.ndarray) -> tuple[float, float, float]:
    value, low, high = (float(x) for x in found)
    return value, low, high


def theory_power(record: Record) -> float:
    """The power of N of the time psi_p/(Delta lambda_min) over the sizes of the record; 1 for p >> n only."""
    return float(record["tau_exponent"])


def theory_times(record: Record) -> np.ndarray:
    """psi_p/(Delta lambda_min), the time that the lower edge of the spectrum sets, [psi_n]."""
    found: np.ndarray = record["tau_memorize"]
    return found


def sooner(record: Record, level: int = 0) -> float:
    """How many times earlier than that time the gap opens, at the smallest size."""
    return float(theory_times(record)[0] / typical(onset(record, level))[0])


def memorizing_density(record: Record, place: int) -> tuple[np.ndarray, np.ndarray]:
    """(lambda, number of eigenvalues per unit of ln lambda) of the law that theory gives the memorizing bulk.

    With y = lambda - s^2 between y_- and y_+ = v^2 (1 -+ sqrt(psi_p/psi_n))^2, n eigenvalues have the density
    sqrt((y_+ - y)(y - y_-))/(2 pi v^2 y) n/psi per unit of lambda, for psi = 1 when p > n (Marchenko and
    Pastur 1967).
    """
    low, high = (float(record[name][place] - record["s2"]) for name in ("lower_edge", "upper_edge"))
    n = int(sizes(record)[place]) * record.spec["dimension"]
    y = np.linspace(low, high, 402)[1:-1]
    density = n * np.sqrt((high - y) * (y - low)) / (2 * np.pi * float(record["v2"]) * y)
    grid = y + float(record["s2"])
    return grid, density * grid
