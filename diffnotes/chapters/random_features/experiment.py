"""The random-feature law: why memorizing takes a time proportional to the number of points (chapter 3).

The model of Bonnaire et al. (arXiv 2505.17638, section 3), solved without sampling. Data are N(0, I_d) under
the noise of one time t of the Ornstein-Uhlenbeck process: x = alpha x0 + sqrt(Delta) xi with alpha = e^-t
and Delta = 1 - e^-2t, so x is N(0, I_d) too and its score is -x. The score model is
s_A(x) = A phi(x)/sqrt(p) with phi(x) = tanh(W x/sqrt(d)), where W [p, d] is Gaussian and frozen; n = psi_n d
points and p = psi_p d features. Denoising score matching minimizes E|sqrt(Delta) s_A(x) + xi|^2/d. With

    U = E[phi phi^T]  [p, p],   V = E[phi xi^T]  [p, d]

over the points and the noise, gradient flow from A = 0, in the paper's clock dA/dtau = -d^2 grad, is
A/sqrt(p) = -V^T U^-1 (I - exp(-2 Delta U tau/psi_p))/sqrt(Delta). The score error E|s_A(x) + x|^2/d of new
points gives their loss, (1 - Delta) + Delta error.

The two bulks of U. Given x0, a feature is tanh(alpha u + sqrt(Delta) z) with u and z close to standard
normal. Let f(u) be its mean over z and mu = E[tanh'(z)]. Three parts do not correlate with each other: the
linear part mu (alpha u + sqrt(Delta) z), what f keeps beyond it, of variance v^2 = E[f^2] - alpha^2 mu^2,
and what the noise adds beyond it, of variance s^2 = E[tanh^2] - E[f^2] - Delta mu^2. Linear parts are shared
by all features: d eigenvalues near mu^2 psi_p, learned within tau of about 1/(Delta mu^2). The v-part is a
fixed random vector for each point and the s-part is averaged over, so the others follow the law of
Marchenko and Pastur, s^2 + v^2 (1 -+ sqrt(psi_p/psi_n))^2 for n of them and s^2 for the rest. The lower edge
gives the time of memorization, psi_p/(Delta lambda_min), about psi_n/(Delta v^2) when p >> n.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.polynomial import hermite_e

from diffnotes.base import runtime
from diffnotes.base.shapes import Float, Tensor
from diffnotes.base.statistics import over_seeds
from diffnotes.store import Arrays, Experiment, Spec, SpecError, Tolerance, Work, number, numbers

THRESHOLDS = (0.02, 0.05, 0.1)  # of the gap between test and train loss; a useless score has loss 1
ORDERS, NODES = 8, 24  # in the noise: at t = 0.1 what is left out is below 3e-7 for correlations up to 0.7
POPULATION_ORDERS, POPULATION_NODES = 26, 256
BLOCK = 64  # points expanded at a time
MARKS = 24  # times at which gradient descent is looked at
TEST_POINTS = 4096


@dataclass(frozen=True)
class RandomFeatureSpec(Spec):
    """Settings; times are in the paper's clock."""

    dimension: int = number(32, low=2, high=200, help="d")
    psi_p: int = number(64, low=1, high=256, help="features per dimension")
    psi_n: tuple[int, ...] = numbers((4, 8, 16, 32), low=1, high=256, help="points per dimension, rising")
    t: float = number(0.1, low=0.001, high=1.0, help="diffusion time")
    tau_min: float = number(0.1, low=1e-6, help="first training time")
    tau_max: float = number(1e6, low=1.0, high=1e12, help="last training time")
    times: int = number(141, low=10, high=2000, help="training times, evenly spaced in ln tau")
    descent_steps: int = number(800, low=2, help="steps of gradient descent at the smallest psi_n")
    descent_rate: float = number(0.5, low=1e-6, help="training time of one step")
    descent_draws: int = number(2, low=1, help="fresh noises per point and step, each with its negative")
    seeds: tuple[int, ...] = numbers((0, 1, 2), low=0, high=2**31, help="of features, points and noise")

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.psi_n) < 2 or list(self.psi_n) != sorted(set(self.psi_n)):
            raise SpecError(f"psi_n must be two or more rising numbers; not {self.psi_n}.")
        if not self.tau_min < self.tau_max:
            raise SpecError(f"tau_max must be above tau_min; not {self.tau_max:g} and {self.tau_min:g}.")

    @property
    def features(self) -> int:
        return self.psi_p * self.dimension

    @property
    def tau(self) -> np.ndarray:
        """Training times, float64 [t]."""
        return np.geomspace(self.tau_min, self.tau_max, self.times)


def compute(spec: RandomFeatureSpec, work: Work) -> Arrays:
    """Curves with axes [psi_n, seed, tau], what the theory says, and exponents in psi_n."""
    where = runtime.device()
    work.device = runtime.device_name(where)
    runs = [_run(spec, seed, where, work, place) for place, seed in enumerate(spec.seeds)]
    arrays = {name: np.stack([run[name] for run in runs], 1) for name in runs[0]}
    eigenvalues = arrays.pop("eigenvalues")[:, 0].astype(np.float32)
    arrays |= {"psi_n": np.array(spec.psi_n), "tau": spec.tau, "eigenvalues": eigenvalues}
    return arrays | theory(spec) | onsets(arrays) | _descent(spec, where, work)


# ------------------------------------------------------------------------------------- averages over features


def hermite(orders: int, nodes: int) -> tuple[Tensor, Tensor, Tensor]:
    """Nodes z [q] and weights [q] of E over a standard normal; [orders, q] projects on He_k/sqrt(k!)."""
    z, weights = hermite_e.hermegauss(nodes)
    weights = weights / weights.sum()
    rows = [hermite_e.hermeval(z, [0] * k + [1]) / math.sqrt(math.factorial(k)) for k in range(orders)]
    return torch.from_numpy(z), torch.from_numpy(weights), torch.from_numpy(np.stack(rows) * weights)


def directions(w: Float[Tensor, "p d"]) -> tuple[Tensor, Tensor, Tensor]:
    """|w_a|/sqrt(d) [p], unit vectors [p, d], and their products, the correlations of w_a.x [p, p]."""
    length = w.norm(dim=1)
    unit = w / length[:, None]
    return length / math.sqrt(w.shape[1]), unit, unit @ unit.T


def population(w: Float[Tensor, "p d"]) -> tuple[Tensor, Tensor]:
    """E[phi phi^T] [p, p] and E[phi x^T] [p, d] for x of N(0, I_d).

    For normals of correlation rho, E[g(a) h(b)] = sum_k g_k h_k rho^k in normalized Hermite coefficients
    (Mehler); on the diagonal, where rho = 1 and the sum is slow, by quadrature.
    """
    scale, unit, rho = directions(w)
    z, weights, project = (part.to(w.device) for part in hermite(POPULATION_ORDERS, POPULATION_NODES))
    features = torch.tanh(z[:, None] * scale)
    parts = project @ features
    u, power, square = torch.zeros_like(rho), rho.clone(), rho.square()
    for k in range(1, POPULATION_ORDERS, 2):  # tanh is odd
        u += power * torch.outer(parts[k], parts[k])
        power *= square
    u.diagonal().copy_(weights @ features.square())
    return u, parts[1][:, None] * unit


def empirical(w: Float[Tensor, "p d"], x0: Float[Tensor, "n d"], t: float) -> tuple[Tensor, Tensor]:
    """U [p, p] and V [p, d]: the mean over the points x0, and exactly over the noise, as in `population`."""
    alpha, delta = math.exp(-t), -math.expm1(-2 * t)
    scale, unit, rho = directions(w)
    z, weights, project = (part.to(w.device) for part in hermite(ORDERS, NODES))
    parts, diagonal = w.new_empty(ORDERS, len(x0), len(w)), w.new_zeros(len(w))
    for part in runtime.blocks(len(x0), BLOCK):
        clean = alpha / math.sqrt(w.shape[1]) * x0[part] @ w.T
        features = torch.tanh(clean + math.sqrt(delta) * z[:, None, None] * scale)
        parts[:, part] = (project @ features.flatten(1)).view(ORDERS, *clean.shape)
        diagonal += weights @ features.square_().sum(1)
    u, power = torch.zeros_like(rho), torch.ones_like(rho)
    for order in parts:
        u.addcmul_(power, order.T @ order)
        power *= rho
    u.diagonal().copy_(diagonal)
    return u / len(x0), parts[1].mean(0)[:, None] * unit


# ----------------------------------------------------------------------------------------------------- flow


@dataclass(frozen=True)
class Flow:
    """Gradient flow in the eigenbasis Q of U: all that losses need at any training time.

    A/sqrt(p) = -V^T Q diag(gain) Q^T/sqrt(Delta) with gain = (1 - exp(-2 Delta lambda tau/psi_p))/lambda.
    """

    delta: float
    dimension: int
    psi_p: float
    eigenvalues: Float[Tensor, "p"]  # rising
    energy: Float[Tensor, "p"]  # |V^T q_k|^2
    overlap: Float[Tensor, "p"]  # (V^T q_k) . (E[phi x^T]^T q_k)
    pairs: Float[Tensor, "p p"]  # (q_k E[phi phi^T] q_l) ((V^T q_k) . (V^T q_l)) of the population

    def gains(self, tau: Float[Tensor, "t"]) -> Float[Tensor, "t p"]:
        rate = 2 * self.delta / self.psi_p * self.eigenvalues
        return -torch.expm1(-tau[:, None] * rate) / self.eigenvalues

    def plateau(self) -> Float[Tensor, "1 p"]:
        """The gain when the d largest eigenvalues are learned and no other: between the two phases."""
        top = torch.arange(len(self.eigenvalues), device=self.eigenvalues.device)
        return torch.where(top >= len(top) - self.dimension, 1 / self.eigenvalues, 0.0)[None]

    def losses(self, gains: Float[Tensor, "t p"]) -> tuple[Tensor, Tensor]:
        """Train loss [t] and score error [t]."""
        train = 1 + (gains * (gains * self.eigenvalues - 2) @ self.energy) / self.dimension
        learned = ((gains @ self.pairs) * gains).sum(1) / self.delta
        error = 1 + (learned - 2 / math.sqrt(self.delta) * gains @ self.overlap) / self.dimension
        return train, error


def solve(w: Tensor, x0: Tensor, t: float, whole: tuple[Tensor, Tensor]) -> Flow:
    """The flow for features w [p, d] and points x0 [n, d]; `whole` is `population(w)`."""
    u, v = empirical(w, x0, t)
    eigenvalues, basis = torch.linalg.eigh(u)
    turned, mean = basis.T @ v, basis.T @ whole[1]
    pairs = (basis.T @ whole[0] @ basis) * (turned @ turned.T)
    energy, overlap = turned.square().sum(1), (turned * mean).sum(1)
    p, d = w.shape
    return Flow(-math.expm1(-2 * t), d, p / d, eigenvalues, energy, overlap, pairs)


def features_and_points(spec: RandomFeatureSpec, seed: int, where: torch.device) -> tuple[Tensor, Tensor]:
    """W [p, d] and the largest set of points [n, d]; a smaller set is its beginning."""
    n, shape = spec.psi_n[-1] * spec.dimension, (spec.dimension,)
    w = runtime.normals(seed, "random features, weights", range(spec.features), shape, torch.float64)
    x0 = runtime.normals(seed, "random features, points", range(n), shape, torch.float64)
    return w.to(where), x0.to(where)


def _run(spec: RandomFeatureSpec, seed: int, where: torch.device, work: Work, place: int) -> Arrays:
    """All sizes of one seed, stacked; each is kept when done."""
    w, x0 = features_and_points(spec, seed, where)
    count, whole, found = len(spec.psi_n), None, []
    for k, psi_n in enumerate(spec.psi_n):
        saved = work.load(f"n{psi_n}-s{seed}")
        if saved is None:
            whole = whole or population(w)
            saved = _curves(spec, solve(w, x0[: psi_n * spec.dimension], spec.t, whole))
            work.save(f"n{psi_n}-s{seed}", saved)
            work.step(place * count + k + 1, count * len(spec.seeds) + 1, f"seed {seed}, psi_n = {psi_n}")
        found.append(saved)
    return {name: np.stack([one[name] for one in found]) for name in found[0]}


def _curves(spec: RandomFeatureSpec, flow: Flow) -> Arrays:
    """Curves [t] of one run, and the gap on the plateau between its two phases."""
    tau = torch.from_numpy(spec.tau).to(flow.eigenvalues.device)
    train, error = flow.losses(flow.gains(tau))
    flat_train, flat_error = flow.losses(flow.plateau())
    found = {
        "train_loss": train, "score_error": error, "test_loss": _test_loss(flow.delta, error),
        "plateau_gap": (_test_loss(flow.delta, flat_error) - flat_train)[0], "plateau_error": flat_error[0],
        "eigenvalues": flow.eigenvalues,
    }  # fmt: skip
    return {name: value.cpu().numpy() for name, value in found.items()}


def _test_loss(delta: float, error: Tensor) -> Tensor:
    return (1 - delta) + delta * error


# --------------------------------------------------------------------------------------------------- theory


def constants(t: float) -> tuple[float, float, float]:
    """(mu, s^2, v^2) of tanh at diffusion time t; see the top of this file."""
    alpha, delta = math.exp(-t), -math.expm1(-2 * t)
    z, weights, project = (part.numpy() for part in hermite(2, POPULATION_NODES))
    mu = float(project[1] @ np.tanh(z))  # E[z tanh(z)] = E[tanh'(z)]
    clean = np.tanh(alpha * z[:, None] + math.sqrt(delta) * z) @ weights
    kept = float(weights @ clean**2)
    return mu, float(weights @ np.tanh(z) ** 2) - kept - delta * mu**2, kept - alpha**2 * mu**2


def theory(spec: RandomFeatureSpec) -> Arrays:
    """The predicted edges [psi_n] of the memorizing bulk, and the two times."""
    mu, s2, v2 = constants(spec.t)
    delta, ratio = -math.expm1(-2 * spec.t), np.sqrt(spec.psi_p / np.array(spec.psi_n))
    lower = s2 + v2 * (1 - ratio) ** 2
    return {
        "delta": np.array(delta), "mu": np.array(mu), "s2": np.array(s2), "v2": np.array(v2),
        "lower_edge": lower, "upper_edge": s2 + v2 * (1 + ratio) ** 2,
        "tau_generalize": np.array(1 / (delta * mu**2)), "tau_memorize": spec.psi_p / (delta * lower),
        "tau_exponent": np.array(np.polyfit(np.log(spec.psi_n), -np.log(lower), 1)[0]),
    }  # fmt: skip


# ----------------------------------------------------------------------------------------- onsets, exponents


def crossing(tau: np.ndarray, values: np.ndarray, level: float) -> float:
    """The first time at which `values` exceeds `level`, linear in ln tau between two times; NaN if never."""
    above = np.flatnonzero(values > level)
    if len(above) == 0 or above[0] == 0:
        return math.nan
    at = slice(above[0] - 1, above[0] + 1)
    return math.exp(np.interp(level, values[at], np.log(tau[at])))


def exponent(psi_n: np.ndarray, values: np.ndarray) -> np.ndarray:
    """(mean, low, high) of the slope of ln values [psi_n, seed] in ln psi_n: Student's 95 % over seeds."""
    if not np.isfinite(values).all():
        return np.full(3, math.nan)
    return over_seeds(np.polyfit(np.log(psi_n), np.log(values), 1)[0])


def onsets(arrays: Arrays) -> Arrays:
    """When the gap opens, [psi_n, seed] or [psi_n, seed, threshold], the least error, and their exponents.

    `onset`: the gap exceeds that of the plateau by a threshold; `raw_onset`: it exceeds the threshold itself;
    `half`: half of what it gains beyond the plateau.
    """
    gap, error, tau = arrays["test_loss"] - arrays["train_loss"], arrays["score_error"], arrays["tau"]
    beyond = gap - arrays["plateau_gap"][..., None]

    def first(curves: np.ndarray, level: float) -> np.ndarray:
        return np.apply_along_axis(lambda curve: crossing(tau, curve, level), -1, curves)

    found = {
        "onset": np.stack([first(beyond, level) for level in THRESHOLDS], -1),
        "raw_onset": np.stack([first(gap, level) for level in THRESHOLDS], -1),
        "half": first(beyond / beyond[..., -1:], 0.5),
        "least_error": error.min(-1), "least_tau": tau[error.argmin(-1)],
    }  # fmt: skip
    psi_n = arrays["psi_n"]
    slopes = {f"{name}_exponent": _exponents(psi_n, found[name]) for name in found if name != "least_tau"}
    return found | slopes | {"threshold": np.array(THRESHOLDS)}


def _exponents(psi_n: np.ndarray, values: np.ndarray) -> np.ndarray:
    """`exponent` [3] of [psi_n, seed], or [threshold, 3] of [psi_n, seed, threshold]."""
    if values.ndim == 2:
        return exponent(psi_n, values)
    return np.stack([exponent(psi_n, part) for part in np.moveaxis(values, -1, 0)])


# ----------------------------------------------------------------------------------------- gradient descent


def _descent(spec: RandomFeatureSpec, where: torch.device, work: Work) -> Arrays:
    """Gradient descent at the smallest psi_n of the first seed: what the closed form must give."""
    saved = work.load("descent")
    if saved is not None:
        return saved
    seed = spec.seeds[0]
    w, x0 = (part.float() for part in features_and_points(spec, seed, where))
    steps = np.unique(np.geomspace(1, spec.descent_steps, MARKS).round()).astype(int)
    x0 = x0[: spec.psi_n[0] * spec.dimension]
    seen = descend(w, x0, spec.t, spec.descent_rate, steps.tolist(), spec.descent_draws, seed)
    found = {
        "descent_tau": steps * spec.descent_rate,
        "descent_train": seen[:, 0],
        "descent_error": seen[:, 1],
    }
    work.save("descent", found)
    return found


def descend(
    w: Float[Tensor, "p d"],
    x0: Float[Tensor, "n d"],
    t: float,
    rate: float,
    marks: list[int],
    draws: int,
    seed: int,
) -> np.ndarray:
    """Plain gradient descent with fresh noise at every step; [mark, 2] of train loss and score error.

    A step is A -= rate d^2 grad, so `rate` is its training time. Nothing here knows U, V or an eigenvalue:
    the losses are means over new noise (each draw with its negative) and new points.
    """
    alpha, delta, (p, d) = math.exp(-t), -math.expm1(-2 * t), w.shape
    a = torch.zeros(d, p, dtype=w.dtype, device=w.device, requires_grad=True)

    def score(x: Tensor) -> Tensor:
        return torch.tanh(x @ w.T / math.sqrt(d)) @ a.T / math.sqrt(p)

    def loss(place: int, count: int, stream: str) -> Tensor:
        rows = range(place * count * len(x0), (place + 1) * count * len(x0))
        xi = runtime.normals(seed, f"random features, {stream}", rows, (d,), w.dtype).to(w.device)
        x, xi = alpha * x0.repeat(2 * count, 1), torch.cat([xi, -xi])
        return (math.sqrt(delta) * score(x + math.sqrt(delta) * xi) + xi).square().sum(1).mean() / d

    seen = []
    new = runtime.normals(seed, "random features, new points", range(TEST_POINTS), (d,), w.dtype)
    new = new.to(w.device)
    for step in range(1, marks[-1] + 1):
        (slope,) = torch.autograd.grad(loss(step, draws, "noise"), a)
        with torch.no_grad():
            a -= rate * d**2 * slope
            if step in marks:
                error = (score(new) + new).square().sum(1).mean() / d
                seen.append([float(loss(step, 16 * draws, "check")), float(error)])
    return np.array(seen)


EXPERIMENT = Experiment(
    name="random_features",
    version=1,
    spec=RandomFeatureSpec,
    profiles={
        "smoke": RandomFeatureSpec(
            dimension=10, psi_p=16, psi_n=(2, 8), times=41, descent_steps=40, descent_rate=2.0, seeds=(0, 1)
        ),
        "laptop": RandomFeatureSpec(),
    },
    compute=compute,
    seconds={"smoke": 2, "laptop": 90},
    tolerance=Tolerance(3e-11, 1e-11, "float64: 2e-12 in exponents"),
    tolerances={
        "eigenvalues": Tolerance(1e-6, 1e-9, "kept as float32"),
        "descent_*": Tolerance(3e-6, why="gradient descent is in float32: 2e-7"),
    },
)
