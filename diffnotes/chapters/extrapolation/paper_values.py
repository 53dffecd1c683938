"""Straight lines through the values of figures 3, 6 and 7 of Song et al., with intervals (chapter 2).

The paper draws lines through ten, or three to twelve, points and gives no intervals. Here they are fitted
again to the values that we measured from the drawings. Points of one run at three moments are not
independent, so every interval here is too narrow rather than too wide; means over the moments of each size,
fitted where there are three sizes or more, have the opposite fault, that they are few.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student

from diffnotes.base.shapes import Array, Float
from diffnotes.chapters.extrapolation import values
from diffnotes.store import Arrays, Experiment, Spec, Work, number

PAIRS = (  # recipes whose lines are compared: the second is said to lie lower
    ("transformer", "U-Net"), ("U-Net", "U-Net, no attention"), ("transformer", "U-Net, no attention"),
    ("REPA 0", "REPA 0.25"), ("REPA 0.25", "REPA 0.5"), ("REPA 0.5", "REPA 1"), ("REPA 0", "REPA 1"),
)  # fmt: skip


@dataclass(frozen=True)
class RefitSpec(Spec):
    """What the intervals are."""

    level: float = number(0.95, low=0.5, high=0.999, help="level of the intervals")


def compute(spec: RefitSpec, work: Work) -> Arrays:
    """The values, and of each fit [value, low, high]: slopes, FID at one loss, curvatures, differences."""
    work.step(0, 1)
    return _scale(spec.level) | _repa(spec.level) | _lines(spec.level)


def fitted(
    design: Float[Array, "n k"], y: Float[Array, "n"], wanted: Float[Array, "k"], level: float
) -> Float[Array, "3"]:
    """wanted . beta of the least-squares fit y = design beta, and Student's interval; n - k degrees of
    freedom, and NaN for the ends where there are none."""
    beta, *_ = np.linalg.lstsq(design, y, rcond=None)
    value, freedom = float(wanted @ beta), len(y) - design.shape[1]
    if freedom < 1:
        return np.array([value, np.nan, np.nan])
    variance = float(((y - design @ beta) ** 2).sum()) / freedom
    error = float(np.sqrt(variance * wanted @ np.linalg.pinv(design.T @ design) @ wanted))
    return value + float(student.ppf((1 + level) / 2, freedom)) * error * np.array([0.0, -1.0, 1.0])


def polynomial(x: Float[Array, "n"], degree: int) -> Float[Array, "n k"]:
    """1, x, ..., x^degree in the columns."""
    return np.vander(x, degree + 1, increasing=True)


def _scale(level: float) -> Arrays:
    """Figure 3: both errors against the logarithm of the compute; relative change per factor e."""
    x = np.log(np.array(values.COMPUTE))
    errors = np.array([values.SUPERVISED, values.EXTRAPOLATED])
    line = polynomial(x - x.mean(), 1)
    slopes = [fitted(line, error / error.mean(), np.array([0.0, 1.0]), level) for error in errors]
    return {"compute": np.array(values.COMPUTE), "error": errors, "scale_slope": np.array(slopes)}


def _repa(level: float) -> Arrays:
    """Figure 6: the ratio of the changes outside and inside, by size, and its mean."""
    change = np.array([values.REPA_SUPERVISED, values.REPA_EXTRAPOLATED])
    ratio = change[1] / change[0]
    mean = fitted(np.ones((len(ratio), 1)), ratio, np.ones(1), level)
    return {"repa_change": change, "repa_size": np.array(values.REPA_SIZES), "repa_ratio": mean}


def _lines(level: float) -> Arrays:
    """Figure 7: for each recipe the line, its curvature, the slope within sizes, and that of their means."""
    sets = {name: _points(sizes) for name, sizes in values.RECIPES.items()}
    longest = max(len(x) for x, _, _ in sets.values())
    kinds = ("slope", "fid", "curvature", "within", "between")
    found: dict[str, list[np.ndarray]] = {name: [] for name in kinds}
    padded = np.full((len(sets), longest, 3), np.nan)
    for place, (x, y, size) in enumerate(sets.values()):
        padded[place, : len(x)] = np.stack([x, y, size], 1)
        for name, one in _line(x - values.AT, y, size, level).items():
            found[name].append(one)
    apart = [difference(sets[a][:2], sets[b][:2], level) for a, b in PAIRS]
    return {name: np.array(one) for name, one in found.items()} | {
        "recipe": np.array(list(sets)), "fid_points": padded, "pair": np.array(PAIRS),
        "lower_by": np.array(apart),
    }  # fmt: skip


def _points(sizes: dict[str, tuple[values.Point, ...]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Losses, FIDs and numbers of the sizes."""
    rows = [(*point, float(k)) for k, points in enumerate(sizes.values()) for point in points]
    x, y, size = np.array(rows).T
    return x, y, size


def _line(x: np.ndarray, y: np.ndarray, size: np.ndarray, level: float) -> dict[str, np.ndarray]:
    """Of one recipe; x is the loss less values.AT."""
    line, kinds = polynomial(x, 1), np.unique(size)
    each = (size[:, None] == kinds).astype(float)
    means = (each.T @ np.stack([x, y], 1) / each.sum(0)[:, None]).T
    slope = np.array([0.0, 1.0])
    few = np.full(3, np.nan)
    return {
        "slope": fitted(line, y, slope, level),
        "fid": fitted(line, y, np.array([1.0, 0.0]), level),
        "curvature": fitted(polynomial(x, 2), y, np.array([0.0, 0.0, 1.0]), level),
        "within": fitted(np.column_stack([x, each]), y, np.eye(1, 1 + len(kinds))[0], level),
        "between": fitted(polynomial(means[0], 1), means[1], slope, level) if len(kinds) > 2 else few,
    }


def difference(
    first: tuple[np.ndarray, np.ndarray], second: tuple[np.ndarray, np.ndarray], level: float
) -> Float[Array, "3"]:
    """FID of the first line less that of the second at values.AT; slopes of their own, one variance."""
    (x, y), (u, v) = first, second
    both = np.zeros((len(x) + len(u), 4))
    both[: len(x), :2], both[len(x) :, 2:] = polynomial(x - values.AT, 1), polynomial(u - values.AT, 1)
    return fitted(both, np.concatenate([y, v]), np.array([1.0, 0.0, -1.0, 0.0]), level)


EXPERIMENT = Experiment(
    name="paper_values",
    version=1,
    spec=RefitSpec,
    profiles={"smoke": RefitSpec(level=0.9), "laptop": RefitSpec()},
    compute=compute,
    seconds={"smoke": 1, "laptop": 1},
    precision="float64",
)
