"""Exact formulas of the 2D toy model: points on a circle, denoised by the posterior mean of a blurred
training set.

Everything is float64 numpy. Arrays are [n, d] (points, states) unless said otherwise; sigma is the standard
deviation of the noise and delta the model error, both in the units of the circle (radius 10). Source: Kaiser
& Kollmann, arXiv 2603.13419; the blurred predictor goes back to arXiv 2411.10257.

Points, noise, noise levels, guidance and the sampler are the library's. The posterior mean and the nearest
distance are not, since `diffnotes.posterior` and `diffnotes.metrics` read points in float32: gaps that vanish
at both ends are quotients near 1, less 1, and need all digits. The error is a norm here, and for images
(`metrics.denoising_error`) a squared norm per pixel; the draws of both sets are shared here, and cancel.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch

from diffnotes.base.errors import UserError
from diffnotes.base.runtime import normals
from diffnotes.base.shapes import Array, Float, Tensor
from diffnotes.data.sets import CIRCLE_RADIUS, circle_turns, on_circle
from diffnotes.sample import Denoiser, edm_sigmas, trajectory
from diffnotes.sample import guided as guided_by

CHUNK = 1 << 15  # point-state pairs at once: 256 kB per array, which stays in a core's cache

Matrix = Float[Array, "n d"]
Predictor = Callable[[Array, float], Array]  # (x [n, d], sigma) -> [n, d]


# --- data -----------------------------------------------------------------------------------------


def train_validation(n_train: int) -> tuple[Float[Array, "n 2"], Float[Array, "n 2"]]:
    """The symmetric set: `n_train` training points, each validation point midway between two of them."""
    return on_circle(circle_turns(n_train)), on_circle(circle_turns(n_train, "validation"))


def random_support(n_train: int, seed: int) -> tuple[Float[Array, "n 2"], Float[Array, "n 2"]]:
    """Training and validation points at uniform random angles. Seed 0 with 20 points is the authors' draw."""
    known, held_out = (circle_turns(n_train, split, seed, "random") for split in ("train", "validation"))
    return on_circle(known), on_circle(held_out)


def chord(n_train: int) -> float:
    """Straight distance between neighbouring training points, 2 R sin(pi / n_train)."""
    return 2 * CIRCLE_RADIUS * math.sin(math.pi / n_train)


def edm_grid(steps: int) -> Float[Array, "steps"]:
    """The EDM noise levels from 80 down to 0.002, without the 0 at their end."""
    return edm_sigmas(steps)[:-1].numpy()


# --- noise: random draws, or a quadrature that replaces them --------------------------------------


def normal(seed: int, stream: str, count: int, dim: int = 2) -> Float[Array, "count dim"]:
    """Standard normal draws. Row i depends on (seed, stream, i) alone: asking for more rows changes none."""
    return normals(seed, f"toy, {stream}", range(count), (dim,), torch.float64).numpy()


def quadrature(radial: int = 32, angular: int = 48) -> tuple[Float[Array, "k 2"], Float[Array, "k"]]:
    """Nodes [k, 2] and weights [k] with sum w f(n) = E f(n) for n ~ N(0, I_2) and smooth f.

    Gauss-Legendre in the radius up to 8.5 (the rest has mass 2e-16), equal steps in the angle.
    """
    root, weight = np.polynomial.legendre.leggauss(radial)
    radius = 8.5 * (root + 1) / 2
    weight = weight * radius * np.exp(-(radius**2) / 2)
    angle = 2 * np.pi * (np.arange(angular) + 0.5) / angular
    nodes = radius[:, None, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return nodes.reshape(-1, 2), np.repeat(weight / weight.sum() / angular, angular)


def rings(radial: int = 600, angular: int = 120) -> Float[Array, "k 2"]:
    """Nodes [k, 2] of equal mass under N(0, I_2), for distribution functions, which need fine steps."""
    radius = np.sqrt(-2 * np.log((np.arange(radial) + 0.5) / radial))
    angle = 2 * np.pi * (np.arange(angular) + 0.5) / angular
    return (radius[:, None, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)).reshape(-1, 2)


# --- predictors -----------------------------------------------------------------------------------


def blurred_predictor(
    x: Matrix | Float[Tensor, "n d"],
    points: Float[Array, "m d"] | Float[Tensor, "m d"],
    sigma: float | int | Float[Array, "n"] | Float[Tensor, "n"],
    delta: float | int,
) -> Matrix | Float[Tensor, "n d"]:
    """The error-prone predictor: posterior mean E[y | x] when the data are (1/N) sum_i N(y_i, delta^2 I).

    y_delta(x, sigma) = (sigma^2 y*(x, s) + delta^2 x) / (sigma^2 + delta^2),  s^2 = sigma^2 + delta^2, with
    y*(x, s) = sum_i w_i y_i and w = softmax(-|x - y_i|^2 / (2 s^2)); delta = 0 is the optimal predictor y*.

    x [n, d] and points [N, d] in any one unit, sigma (a number or [n]) and delta in the same unit. Returns
    [n, d] in float64, a tensor when x is one. Raises UserError for shapes that do not fit, negative or
    non-finite sigma or delta, and sigma = delta = 0. Source: arXiv 2603.13419, its error-prone predictor.
    """
    state, support, noise = _float64(x, "x", 2), _float64(points, "points", 2), _float64(sigma, "sigma")
    _check_levels(state, support, noise, float(delta))
    level = np.broadcast_to(noise, len(state))
    pieces = _pieces(len(state), len(support))
    parts = [_predict(state[piece], support, level[piece], float(delta)) for piece in pieces]
    result = np.concatenate(parts) if parts else np.empty_like(state)
    return _like(result, x)


def optimal_predictor(
    x: Matrix | Float[Tensor, "n d"],
    points: Float[Array, "m d"] | Float[Tensor, "m d"],
    sigma: float | int | Float[Array, "n"] | Float[Tensor, "n"],
) -> Matrix | Float[Tensor, "n d"]:
    """y*(x, sigma): the weighted mean of training points, the limit delta = 0 of `blurred_predictor`."""
    return blurred_predictor(x, points, sigma, 0.0)


def blurred(points: Float[Array, "m d"], delta: float) -> Predictor:
    """`blurred_predictor` with its points and delta filled in, without checks: for inner loops."""
    return lambda x, sigma: _predict(x, points, sigma, delta)


def guided(points: Float[Array, "m d"], delta_pos: float, delta_neg: float, weight: float) -> Predictor:
    """Autoguidance by a model that differs in delta only; weight 0 is no guidance."""
    good, bad = (as_denoiser(blurred(points, delta)) for delta in (delta_pos, delta_neg))
    both = guided_by(good, bad, weight)
    return lambda x, sigma: both(torch.from_numpy(x), sigma).numpy()


def as_denoiser(predict: Predictor) -> Denoiser:
    """The predictor as the library's samplers take it: tensors in, tensors out."""
    return lambda x, sigma: torch.from_numpy(predict(x.numpy(), float(sigma)))


def _predict(x: Array, points: Array, sigma: float | Array, delta: float) -> Array:
    """`blurred_predictor` on one piece; states run along the last axis, where numpy is fastest."""
    variance, blur = np.square(sigma), delta * delta
    total = variance + blur
    weight = points @ x.T  # log-weights up to |x|^2, which all points have in common
    weight -= 0.5 * np.square(points).sum(1)[:, None]
    weight /= total
    weight -= weight.max(0)
    np.exp(weight, out=weight)
    mean = points.T @ weight
    mean *= (variance / total) / weight.sum(0)
    mean += (blur / total) * x.T
    return mean.T


# --- errors and gaps ------------------------------------------------------------------------------


def denoising_error(
    predict: Predictor, at: Array, sigma: float, noise: Array, size: int = 10
) -> Float[Array, "p m"]:
    """|D(y + sigma n) - y|, the norm and not its square, for every y in `at` [p, d] and n in `noise` [m, d].

    `size` is the number of training points behind `predict`; it sets how many states are held at once.
    """
    error = np.empty((len(at), len(noise)))
    for row, point in enumerate(at):
        for piece in _pieces(len(noise), size):
            residual = predict(point + sigma * noise[piece], sigma) - point
            error[row, piece] = np.sqrt(np.square(residual).sum(1))
    return error


def relative_gap(
    train: Matrix | Float[Tensor, "n d"],
    val: Float[Array, "v d"] | Float[Tensor, "v d"],
    sigmas: Float[Array, "l"] | Float[Tensor, "l"] | Sequence[float | int],
    delta: float | int,
    draws: int = 50,
    seed: int = 0,
) -> Float[Array, "l"] | Float[Tensor, "l"]:
    """G(sigma) = (E_val - E_train) / E_train of the blurred predictor, with E = mean |y_delta(y + sigma n,
    sigma) - y|.

    The norm, not its square. The `draws` noise vectors are shared by all sigma, all points and both sets, so
    that most of the Monte Carlo error cancels. train [n, d], val [v, d], sigmas [l]; returns [l], a tensor
    when train is one. Raises UserError as `blurred_predictor` does. Source: arXiv 2603.13419, figure 4.
    """
    known, held_out = _float64(train, "train", 2), _float64(val, "val", 2)
    levels = _float64(sigmas, "sigmas", 1)
    if not (isinstance(draws, int) and draws >= 1):
        raise UserError(f"draws is {draws!r}; give a whole number of noise draws, 1 or more.")
    _check_levels(held_out, known, levels, float(delta), same_length=False)
    noise = normal(seed, "relative gap", draws, known.shape[1])
    return _like(gap_curve(blurred(known, float(delta)), known, held_out, levels, noise)[0], train)


def gap_curve(
    predict: Predictor, train: Array, val: Array, sigmas: Array, noise: Array
) -> tuple[Float[Array, "l"], Float[Array, "l"]]:
    """The relative gap [l] and its standard error [l], from draws [m, d] that all points and levels share."""
    both, split = np.concatenate([train, val]), len(train)
    results = []
    for sigma in sigmas:
        error = denoising_error(predict, both, float(sigma), noise, split)
        results.append(gap_of_draws(error[:split].mean(0), error[split:].mean(0)))
    return np.array([gap for gap, _ in results]), np.array([spread for _, spread in results])


def gap_of_draws(train: Array, val: Array) -> tuple[float, float]:
    """Relative gap and standard error from paired errors per draw [m].

    With common draws the ratio's error is that of b - (1 + G) a, which cancels what the two sets share.
    """
    mean, count = train.mean(), len(train)
    with np.errstate(divide="ignore", invalid="ignore"):  # delta = 0, tiny sigma: no training error, gap inf
        gap = val.mean() / mean - 1
        spread = (
            np.std(val - (1 + gap) * train, ddof=1) / (mean * math.sqrt(count)) if count > 1 else math.nan
        )
    return float(gap), float(spread)


def exact_gap(
    n_train: int, delta: float, sigmas: Array, predict: Predictor | None = None
) -> Float[Array, "l"]:
    """The gap of the symmetric set without Monte Carlo error.

    Rotations carry every training point into every other, and every validation point likewise: one of each is
    enough.
    """
    train, val = train_validation(n_train)
    nodes, weights = quadrature()
    predict = predict or blurred(train, delta)
    pair = np.stack([train[0], val[0]])
    errors = [denoising_error(predict, pair, float(sigma), nodes, n_train) @ weights for sigma in sigmas]
    return np.array([held_out / known - 1 for known, held_out in errors])


def gap_field(at: Array, train: Array, sigma: float, delta: float) -> Float[Array, "p"]:
    """The gap (E(z) - E_train) / E_train when z in `at` [p, 2] is the clean point; `train` must be the
    symmetric set.
    """
    nodes, weights = quadrature()
    predict = blurred(train, delta)
    error = denoising_error(predict, np.concatenate([train[:1], at]), sigma, nodes, len(train)) @ weights
    return error[1:] / error[0] - 1


def polar_gap(
    n_train: int, sigma: float, delta: float, radii: Float[Array, "r"], steps: int
) -> tuple[Float[Array, "r a"], Float[Array, "r a 2"]]:
    """`gap_field` of the symmetric set on circles of these radii, and the points where it was taken.

    The gap is known everywhere once it is on `steps + 1` rays from a training point to its validation point:
    mirrors and rotations carry this piece around the whole circle. The last ray is the first again.
    """
    train, _ = train_validation(n_train)
    rays = circle_turns(n_train)[0] + np.arange(2 * n_train * steps + 1) / (2 * n_train * steps)
    plane = radii[:, None, None] * on_circle(rays) / CIRCLE_RADIUS
    piece = gap_field(plane[:, : steps + 1].reshape(-1, 2), train, sigma, delta).reshape(len(radii), -1)
    place = np.arange(len(rays)) % (2 * steps)
    return piece[:, np.minimum(place, 2 * steps - place)], plane


def peak(sigmas: Array, gap: Array) -> tuple[float, float]:
    """Position and height of the highest point, refined by a parabola in log sigma through it and its
    neighbours.
    """
    top = int(np.clip(np.argmax(gap), 1, len(gap) - 2))
    place = np.log(sigmas[top - 1 : top + 2])
    curve = np.polynomial.Polynomial.fit(place, gap[top - 1 : top + 2], 2, domain=[place.min(), place.max()])
    best = curve.deriv().roots()
    if len(best) != 1 or not place.min() <= best[0].real <= place.max():
        return float(sigmas[top]), float(gap[top])
    return float(np.exp(best[0].real)), float(curve(best[0].real))


def spacing_law(n_train: int, level: float = 0.5) -> tuple[float, float]:
    """(delta*, sigma_peak): the model error at which the peak gap equals `level`, and the noise level of that
    peak.
    """
    spacing = chord(n_train)
    sigmas = spacing * np.geomspace(0.1, 0.4, 17)
    low, high = 0.1 * spacing, 0.5 * spacing
    for _ in range(18):  # bisection: the gap falls as delta grows
        middle = (low + high) / 2
        place, height = peak(sigmas, exact_gap(n_train, middle, sigmas))
        low, high = (middle, high) if height > level else (low, middle)
    return middle, place


def threshold(n_train: int, sigma: float, level: float = 0.5) -> float:
    """The delta at which the gap at a validation point equals `level` at this one sigma; NaN if none does."""

    def above(delta: float) -> bool:
        return bool(exact_gap(n_train, delta, np.array([sigma]))[0] > level)

    low, high = 0.02 * chord(n_train), 0.6 * chord(n_train)
    if not above(low) or above(high):
        return math.nan
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (middle, high) if above(middle) else (low, middle)
    return middle


# --- sampler --------------------------------------------------------------------------------------


def sample(
    predict: Predictor, start: Array, sigmas: Array, heun: bool, size: int = 10
) -> Float[Array, "n d"]:
    """Carry states [n, d] along dx/dsigma = (x - D(x; sigma)) / sigma, from sigmas[0] to sigmas[-1] > 0."""
    denoise, solver = as_denoiser(predict), "heun" if heun else "euler"
    times, result = torch.from_numpy(sigmas.copy()), np.empty_like(start)
    for piece in _pieces(len(start), size):
        *_, last = trajectory(denoise, torch.from_numpy(start[piece]), times, solver=solver)
        result[piece] = last.x.numpy()
    return result


def nearest_distance(x: Array, points: Array) -> Float[Array, "n"]:
    """Distance from each state [n, d] to its nearest training point."""
    square = np.square(x[:, None] - points[None]).sum(-1)
    return np.sqrt(square.min(1))


def overlap(dimension: Array, ratio: float) -> Array:
    """Bhattacharyya overlap of N(0, sigma^2 I) and N(0, (sigma^2 + delta^2) I) in d dimensions, delta = ratio
    * sigma.

    (2 s1 s2 / (s1^2 + s2^2))^(d/2): 1 for equal laws, 0 for laws that never meet.
    """
    wide = math.sqrt(1 + ratio * ratio)
    return (2 * wide / (1 + wide * wide)) ** (np.asarray(dimension) / 2)


# --- helpers --------------------------------------------------------------------------------------


def _pieces(count: int, size: int) -> list[slice]:
    step = max(1, CHUNK // size)
    return [slice(start, start + step) for start in range(0, count, step)]


def _float64(value: object, name: str, dimensions: int | None = None) -> Array:
    if isinstance(value, Tensor):
        value = value.detach().cpu()
    array = np.asarray(value, dtype=np.float64)
    if dimensions is not None and array.ndim != dimensions:
        wanted = "[n, d]" if dimensions == 2 else "a list of numbers"
        raise UserError(f"{name} has shape {list(array.shape)}; it must be {wanted}.")
    if not np.isfinite(array).all():
        raise UserError(f"{name} holds values that are not finite numbers; remove them.")
    return array


def _check_levels(x: Array, points: Array, sigma: Array, delta: float, same_length: bool = True) -> None:
    if len(points) == 0 or x.shape[1] != points.shape[1]:
        shapes = f"x {list(x.shape)} and points {list(points.shape)}"
        raise UserError(f"{shapes} do not fit: give at least one point, with as many coordinates as x.")
    if same_length and sigma.ndim > 0 and sigma.shape != (len(x),):
        raise UserError(
            f"sigma has shape {list(sigma.shape)}; give one number, or one for each of {len(x)} states."
        )
    if not (math.isfinite(delta) and delta >= 0):
        raise UserError(f"delta is {delta}; the model error must be a number >= 0.")
    if (sigma < 0).any() or (delta == 0 and (sigma == 0).any()):
        raise UserError("sigma must be >= 0, and above 0 when delta is 0: else there is no posterior mean.")


def _like(result: Array, example: object) -> Array | Tensor:
    if not isinstance(example, Tensor):
        return result
    return torch.from_numpy(result)
