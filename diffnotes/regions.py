"""Where training looks: the shells of noised data, their overlap, and what a class label changes in them.

Noised data x = alpha x_i + sigma eps lie near a sphere of radius sigma sqrt(d) around alpha x_i, for |eps| is
near sqrt(d) in high dimension. Whether a point lies near one of these shells, whether two of them overlap,
and how far two posterior means differ, is found here exactly and in the coordinates of any process (Song et
al., arXiv 2510.01378, Section 3). Distances that decide are formed in float64 and difference form.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from scipy.optimize import brentq
from scipy.stats import chi

from diffnotes.base.errors import UserError
from diffnotes.base.runtime import MEBIBYTE, blocks, full_precision, memory_budget, rows_within
from diffnotes.base.shapes import Float, Int, Num, Tensor, checked
from diffnotes.metrics import neighbours
from diffnotes.posterior import Data, Support, half_squares, posterior, squared_distances
from diffnotes.posterior.exact import check_queries
from diffnotes.process import FlowMatching, Process

WIDTHS = ("loose", "tight", "exact")
_CANDIDATES = 32  # points per row that the first search keeps
_LEAST = 1e-15  # a smaller alpha leaves nothing of the data in x beside float64 rounding
_SAME = 1e-12  # ratios this close are one ratio, to float64 rounding
_FLOW = FlowMatching()


# ------------------------------------------------------------------------------------------ distance ratio


class Ratio(NamedTuple):
    """The ratio nearest to 1 of each row, float64 [b], and the number of its data point, int64 [b]."""

    ratio: Float[Tensor, "b"]
    point: Int[Tensor, "b"]


@checked()
def distance_ratio(x: Num[Tensor, "b ..."], t: float | Tensor, data: Data, process: Process = _FLOW) -> Ratio:
    """r*, the nearest to 1 of r_i = |x - alpha x_i| / (sigma sqrt(d)), over all points x_i of the data.

    (Song et al., Eq. 4.) It is 1 up to O(1/sqrt(d)) for noised data, and leaves 1 off their shells. x
    [b, ...] float32 or float64 in the coordinates of the process; t a number or [b]; data [n, ...] float32,
    or uint8 where pixel p stands for p/127.5 - 1. Of points at one distance the first counts.

    Candidates come from float32 products; their distances are computed again in difference form and float64.
    A row whose candidates might miss the point, by the bound on float32 rounding, is searched again with
    more of them, so that the answer is that of float64 arithmetic. Memory is bounded.

    Raises UserError for a wrong type or shape, NaN, or times without noise.
    """
    support = Support.of(data)
    check_queries(x, data)
    shown, s = _to_ve(x, t, process)
    ratio, index = torch.empty_like(s), torch.empty(len(x), dtype=torch.int64, device=x.device)
    todo, width = torch.arange(len(x), device=x.device), min(_CANDIDATES, support.count)
    with full_precision(), torch.no_grad():
        while len(todo):
            doubtful = []
            size = 64 * width + 40 * support.raw.shape[1]
            for part in todo.split(rows_within(memory_budget(x.device) // 2, size, len(todo))):
                rows = _rows(shown(part), s[part], support)
                ratio[part], index[part], sure = _nearest_shell(rows, support, width)
                doubtful.append(part[~sure])
            todo, width = torch.cat(doubtful), min(8 * width, support.count)
    return Ratio(ratio, index)


class _Shown:
    """Rows of x/alpha, flat and in float64, a few at a time."""

    def __init__(self, x: Tensor, alpha: Tensor):
        self.x, self.alpha = x.detach().reshape(len(x), -1), alpha.clamp(min=_LEAST)

    def __call__(self, part: Tensor | slice) -> Float[Tensor, "m d"]:
        return self.x[part].double() / self.alpha[part, None]


def _to_ve(x: Tensor, t: float | Tensor, process: Process) -> tuple[_Shown, Tensor]:
    """x/alpha as a function of the rows wanted, and s = sigma/alpha > 0 of each row, float64 [b]."""
    times = torch.as_tensor(t, dtype=torch.float64, device=x.device)
    if times.ndim > 1 or (times.ndim == 1 and len(times) != len(x)):
        raise UserError(f"t must be a number or one per row of x, [{len(x)}], not {[*times.shape]}.")
    good = bool(((times > 0) & (times <= process.last) & torch.isfinite(times)).all())
    if good:
        alpha, sigma = (scale(times).expand(len(x)) for scale in (process.alpha, process.sigma))
        good = bool(((alpha >= 0) & (sigma > 1e-100) & torch.isfinite(sigma)).all())
    if not good:
        raise UserError(f"t must be above 0, where there is noise, and at most {process.t_max:g}.")
    shown = _Shown(x, alpha)
    return shown, sigma / shown.alpha


class _Rows(NamedTuple):
    """Queries x [m, d] float64; in the tiles' frame y [m, d] rounded to float32, and |y|^2 [m] before that;
    s sqrt(d) [m].
    """

    x: Tensor
    y: Tensor
    square: Tensor
    radius: Tensor

    def of(self, part: slice) -> _Rows:
        return _Rows(*(values[part] for values in self))


def _rows(x: Tensor, s: Tensor, support: Support) -> _Rows:
    origin = support.uncentred(torch.zeros(1, x.shape[1], dtype=torch.float32, device=x.device))
    square = (
        ((x - origin) / support.scale).square().sum(1)
    )  # of the rounded y it could be off by all of a gap
    return _Rows(x, support.centred(x), square, s * math.sqrt(x.shape[1]))


def _nearest_shell(rows: _Rows, support: Support, width: int) -> tuple[Tensor, Tensor, Tensor]:
    """Ratio [m] and index [m] among the `width` best candidates, and whether no other can win [m]."""
    last, index, reach = _candidates(rows, support, width)
    index = index.sort(1).values  # so that the first of equals is the first in the data
    row = torch.arange(len(index), device=index.device).repeat_interleave(width)
    distance = squared_distances(support, rows.x, row, index.flatten()).view(-1, width).sqrt()
    gap, order = (distance - rows.radius[:, None]).abs().sort(dim=1, stable=True)
    norms = rows.square.sqrt()
    error = 2 * (support.rounding(norms, reach) + 2 * 2.0**-24 * norms * reach) * support.scale**2
    bound = _least_gap(last, error, rows.radius) + _SAME * rows.radius
    winner = order[:, :1]
    ratio = distance.gather(1, winner)[:, 0] / rows.radius
    return ratio, index.gather(1, winner)[:, 0], (gap[:, 0] <= bound) | (width == support.count)


def _least_gap(gap: Tensor, error: Tensor, radius: Tensor) -> Tensor:
    """How near to its shell a point can truly be that was found `gap` or more off it, when its squared
    distance may be off by `error`; all [m].
    """
    inside = radius - ((radius - gap).clamp(min=0) ** 2 + error).sqrt()
    outside = ((radius + gap) ** 2 - error).clamp(min=0).sqrt() - radius
    return torch.where(gap <= radius, torch.minimum(inside, outside), outside)


def _candidates(rows: _Rows, support: Support, width: int) -> tuple[Tensor, Tensor, float]:
    """The gap | |x - x_i| - radius | of the last of the `width` best points [m], their numbers [m, width],
    and the largest |y_i|.
    """
    count, where = len(rows.y), rows.y.device
    best = torch.full((count, width), math.inf, dtype=torch.float64, device=where)
    index = torch.zeros(count, width, dtype=torch.int64, device=where)
    longest = 0.0
    size = 16 * MEBIBYTE if where.type == "cpu" else memory_budget(where) // 4
    for part in blocks(support.count, support.tile_rows):
        tile = support.tile(part, where)
        half = half_squares(tile)
        longest = max(longest, float(half.max()))
        for some in blocks(count, rows_within(size, 12 * len(tile), count)):
            gap = _gaps(rows.of(some), tile, half, support.scale)
            value, at = gap.topk(min(width, len(tile)), 1, largest=False)
            value, at = torch.cat([best[some], value], 1), torch.cat([index[some], at + part.start], 1)
            best[some], order = value.topk(width, 1, largest=False)
            index[some] = at.gather(1, order)
    return best[:, -1], index, math.sqrt(2 * longest)


def _gaps(rows: _Rows, tile: Tensor, half: Tensor, scale: float) -> Float[Tensor, "m k"]:
    """| |x - x_i| - radius | from |y|^2 - 2 (y.y_i - |y_i|^2/2): the product in float32, the rest in
    float64.
    """
    square = torch.addmm(half, rows.y, tile.T, beta=-1).double().mul_(-2).add_(rows.square[:, None])
    return square.clamp_(min=0).sqrt_().mul_(scale).sub_(rows.radius[:, None]).abs_()


# -------------------------------------------------------------------------------------- supervision region


@checked()
def half_width(delta: float, dim: int, kind: str = "exact") -> float:
    """Half the width of a shell that holds |eps|, eps ~ N(0, I) in `dim` dimensions, but for probability
    delta: | |eps| - sqrt(d) | <= half width, in units of sigma.

    "loose": sqrt(d log(1/delta)), of Proposition 3.2 of Song et al.; wider than the radius for delta < 1/e.
    "tight": sqrt(2 log(2/delta)), of Gaussian concentration, which is around E|eps| and not sqrt(d).
    "exact": the least that does it, from the chi distribution.
    Raises UserError for delta not in (0, 1), fewer than 1 dimension, or another kind.
    """
    if not 0 < delta < 1 or dim < 1:
        raise UserError(f"A shell needs 0 < delta < 1 and at least 1 dimension, not {delta} and {dim}.")
    if kind not in WIDTHS:
        raise UserError(f'Unknown half width "{kind}"; choose one of {", ".join(WIDTHS)}.')
    if kind == "loose":
        return math.sqrt(dim * math.log(1 / delta))
    tight = math.sqrt(2 * math.log(2 / delta))
    if kind == "tight":
        return tight
    return float(brentq(lambda width: outside(width, dim) - delta, 0.0, tight + 1, xtol=1e-13))


@checked(dim=1)
def outside(width: float, dim: int) -> float:
    """P(| |eps| - sqrt(d) | > width) for eps ~ N(0, I) in `dim` dimensions, from the chi distribution."""
    if not width >= 0:
        raise UserError(f"A half width must be at least 0, not {width}.")
    root, width = math.sqrt(dim), min(width, 1e100)
    return float(chi.sf(root + width, dim) + chi.cdf(root - width, dim))


@checked()
def in_supervision_region(
    x: Num[Tensor, "b ..."],
    t: float | Tensor,
    data: Data,
    delta: float,
    process: Process = _FLOW,
    kind: str = "exact",
) -> Tensor:
    """Whether x [b, ...] is in T_t(delta), the union of the shells of all data points: bool [b].

    | |x - alpha x_i| - sigma sqrt(d) | <= sigma half_width(delta, d, kind) for some i, which is a bound on
    |r* - 1|. Noised data are in it with probability 1 - delta or more (Song et al., Proposition 3.2).
    """
    dim = x[0].numel() if x.ndim > 1 and len(x) else 1
    width = half_width(delta, dim, kind)
    return (distance_ratio(x, t, data, process).ratio - 1).abs() * math.sqrt(dim) <= width


# ------------------------------------------------------------------------------------------------- overlap


class Nearest(NamedTuple):
    """The nearest other point of each: distance [n] float64 in data units, and its number [n] int64."""

    distance: Float[Tensor, "n"]
    point: Int[Tensor, "n"]


@checked()
def nearest_other(data: Data, part: slice | None = None) -> Nearest:
    """Of each data point [n, ...], or of those in `part`, the nearest other one, exact; a duplicate is at
    distance 0.

    In bounded memory; 2 n d operations for each. Raises UserError for fewer than 2 points and wrong data.
    """
    support = Support.of(data)
    chosen = part or slice(None)
    if not all(isinstance(end, int | None) for end in (chosen.start, chosen.stop, chosen.step)):
        raise UserError(f"part must be a slice of whole numbers, not {part}.")
    start, stop, step = chosen.indices(support.count)
    if step != 1 or start >= stop:
        raise UserError(f"part must be a slice of some of the {support.count} points, in order, not {part}.")
    places = (slice(start + some.start, start + some.stop) for some in blocks(stop - start, 2048))
    found = [_others(some, support, data) for some in places]
    distance, index = (torch.cat(values) for values in zip(*found, strict=True))
    return Nearest(distance, index)


def _others(part: slice, support: Support, data: Data) -> tuple[Tensor, Tensor]:
    where = data.device if isinstance(data, Tensor) else torch.device("cpu")
    own = torch.arange(part.start, part.stop, device=where)
    near = neighbours(support.rows(own, where).view(len(own), *data.shape[1:]), data)
    first, second = near.index.unbind(1)
    return near.distance[:, 1], torch.where(second == own, first, second)  # at 0 are itself and duplicates


@checked()
def overlap(
    distance: Num[Tensor, "n"], t: Num[Tensor, "l"], process: Process = _FLOW
) -> Float[Tensor, "n l"]:
    """exp(-alpha^2 d_i^2 / (8 sigma^2)) [n, l], the Bhattacharyya coefficient of N(alpha x_i, sigma^2 I) and
    N(alpha x_j, sigma^2 I) at the distance d_i = |x_i - x_j|: 1 where they are one law, 0 where they are
    apart; float64. At sigma = 0 that is whether d_i = 0. Raises UserError for distances below 0, and for
    times that the process has not.
    """
    if not bool((distance >= 0).all()) or distance.numel() == 0 or t.numel() == 0:
        raise UserError("Overlap needs one or more distances of at least 0, and one or more times.")
    times = t.double()
    alpha, sigma = process.alpha(times), process.sigma(times)
    exponent = (alpha * distance.double()[:, None] / sigma) ** 2 / 8
    return torch.exp(-exponent.nan_to_num(nan=0.0, posinf=math.inf))


@checked()
def bhattacharyya(
    data: Data, t: float | Num[Tensor, "..."], process: Process = _FLOW
) -> Float[Tensor, "n l"]:
    """`overlap` of each data point and its nearest other one at times t [l]; float64 [n, l].

    Its largest entry at t is C(t) of Song et al., the largest coefficient of any two points.
    """
    distance = nearest_other(data).distance
    return overlap(
        distance, torch.as_tensor(t, dtype=torch.float64, device=distance.device).reshape(-1), process
    )


# -------------------------------------------------------------------------------------------- guidance gap


@checked()
def guidance_gap(
    x: Num[Tensor, "b ..."],
    t: float | Tensor,
    data: Num[Tensor, "n ..."],
    labels: Int[Tensor, "k"],
    wanted: int | Int[Tensor, "m"],
    process: Process = _FLOW,
) -> Float[Tensor, "b"]:
    """|E[x0|x, c] - E[x0|x]|^2 / d, how far the label c = wanted moves the exact posterior mean; float64 [b].

    With p = P(not c | x) the difference is p (E[x0|x, c] - E[x0|x, not c]), and it is formed so: also far
    below the rounding of either mean it is right, down to p = 1e-308. x and t as for `distance_ratio`; data
    [n, ...] in a tensor with labels [n]; wanted a class or one per row. Multiply by
    `process.loss_factor("score", t)` for the squared gap of scores per dimension.

    Memory is bounded, apart from a copy of the largest class. Raises UserError for a wrong type or shape,
    times without noise, or a class without data.
    """
    Support.of(data)
    check_queries(x, data)
    known, asked = _classes(x, data, labels, wanted)
    shown, s = _to_ve(x, t, process)
    size = rows_within(memory_budget(x.device) // 2, 48 * data[0].numel(), len(x))
    gaps = []
    for part in blocks(len(x), size):
        rows = shown(part).view(-1, *data.shape[1:])
        gaps.append(_label_gap(rows, s[part], asked[part], _by_class(data, known)))
    return torch.cat(gaps)


def _classes(x: Tensor, data: Data, labels: Tensor, wanted: int | Tensor) -> tuple[Tensor, Tensor]:
    """The labels of the data beside the data, and the class asked for in each row; or what is wrong."""
    if not isinstance(data, Tensor) or labels.shape != (len(data),):
        raise UserError(f"Guidance needs data in a tensor and one label for each of the {len(data)} points.")
    asked = torch.as_tensor(wanted, device=x.device)
    if asked.ndim > 1 or (asked.ndim == 1 and len(asked) != len(x)):
        raise UserError(f"wanted must be a class or one per row of x, [{len(x)}], not {[*asked.shape]}.")
    missing = asked[~torch.isin(asked, labels.to(x.device))]
    if missing.numel():
        raise UserError(f"There are no data of class {int(missing.flatten()[0])}.")
    return labels.to(data.device), asked.expand(len(x))


def _by_class(data: Tensor, labels: Tensor) -> Iterator[tuple[int, Tensor]]:
    """Each class with its points, copied one class at a time."""
    for label in labels.unique().tolist():
        yield label, data[labels == label]


def _label_gap(x: Tensor, s: Tensor, asked: Tensor, classes: Iterator[tuple[int, Tensor]]) -> Tensor:
    """`guidance_gap` of rows x = x0 + s eps, from the posterior of one class after the other."""
    own, other = torch.zeros_like(x), torch.zeros_like(x)
    own_log, other_log = torch.full_like(s, -math.inf), torch.full_like(s, -math.inf)
    for label, points in classes:
        found, mine = posterior(x, s, points), asked == label
        own[mine], own_log[mine] = found.mean[mine], found.log_z[mine]
        rest = ~mine
        joined = torch.logaddexp(other_log[rest], found.log_z[rest])
        share = (found.log_z[rest] - joined).exp().view(-1, *(1,) * (x.ndim - 1))
        other[rest] += share * (found.mean[rest] - other[rest])
        other_log[rest] = joined
    distance = (own - other).flatten(1).square().mean(1)
    return torch.sigmoid(other_log - own_log) ** 2 * distance
