"""The exact posterior mean along a sampling trajectory, without looking at every point in every step.

Write p for the posterior weights at (x, sigma). Taking other weights q instead moves no value of the mean
by more than TV(p, q), the total variation distance, times the range of that value over the data: p and q
share all but TV of their mass, and two means of the rest differ by at most the range. So a call that may be
off by `tolerance` may spend tolerance / range in TV. There are two savings, each with its bound.

1. Dropping. Each sample keeps its K nearest points as candidates, and a radius R such that every other
   point is at least R away. After a move of x by h they are still at least R - h away (triangle
   inequality). Let s be the distance of the nearest candidate. A dropped point has at most exp(-((R - h)^2
   - s^2) / (2 sigma^2)) times that candidate's weight, so all dropped ones together have at most n times
   this of the whole mass; and their mass is the TV distance between the posterior and its restriction to
   the candidates. While this is small enough, only the candidates' distances are formed, in float64. A
   sampler moves x towards the mean; hence, once few points matter, almost straight towards the nearest one:
   s shrinks by h too, and the bound gets better on the way down. Nothing is asked of the caller: after any
   jump of x or sigma the bound holds or fails, and a row in which it fails is scanned.
2. Scanning. Pixels are 8-bit integers, so their products are exact and fast once the other factor (x, then
   the weights) is rounded to integers of 4 to 6 bytes, see `integer_products`. If rounding moves x by e,
   the log-weight of point i moves by d_i = e.x_i / sigma^2 plus a constant, |d_i| <= D = |e| max_i |x_i| /
   sigma^2. Along the way from p_i to weights proportional to p_i exp(d_i), the weights proportional to p_i
   exp(u d_i), 0 <= u <= 1, change at the rate p_i (d_i - E d), and half the sum of its absolute values is
   at most D/2 (half the mean absolute deviation of a variable between -D and D), so TV <= D/2. Rounding n
   weights of sum W in steps of u adds TV <= n u / (2 W). TV distances add. The bytes are as few as keep
   each of the two below half of what may be spent.

Where six bytes are too few, the data are no pixels, or the device has no such products, `posterior`
answers. The bounds hold in exact arithmetic: float64 rounding comes on top, and `posterior`'s own error
where it answers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import torch

from diffnotes.base.errors import UserError
from diffnotes.base.runtime import MEBIBYTE, blocks, full_precision, memory_budget, rows_within
from diffnotes.base.shapes import Float, Int, Num, Tensor, checked
from diffnotes.posterior import int8 as integer_products
from diffnotes.posterior.exact import Posterior, check_queries, posterior
from diffnotes.posterior.support import Support, half_squares, squared_distances
from diffnotes.process import row_levels

_TIE = 1e-14  # squared distances this close (relatively) are one distance, as in `posterior`
_FORGET = 50.0  # nats: candidates further behind the nearest one are dropped


@dataclass(frozen=True)
class Call:
    """Cost of one call: its rows, candidate distances formed, rows scanned fully, rows `posterior` did."""

    rows: int
    candidates: int
    scanned: int
    deferred: int


@dataclass(frozen=True)
class _Pairs:
    """Candidates of a batch: points `index` for the rows `row`."""

    row: Int[Tensor, "p"]
    index: Int[Tensor, "p"]
    distance: Float[Tensor, "p"]  # squared, float64

    def of(self, mask: Tensor) -> _Pairs:
        return _Pairs(self.row[mask], self.index[mask], self.distance[mask])

    def least(self, rows: int) -> Float[Tensor, "b"]:
        """The least squared distance in each row; infinite where a row has no pair."""
        return self.distance.new_full((rows,), math.inf).scatter_reduce(0, self.row, self.distance, "amin")

    def nats(self, rate: Float[Tensor, "b"]) -> Float[Tensor, "p"]:
        """How far each pair is behind the nearest of its row in log-weight, at least 0; ties are even."""
        least = self.least(len(rate))[self.row]
        gap = self.distance - least
        return gap.masked_fill(gap <= _TIE * least, 0.0) * rate[self.row]


@dataclass
class _State:
    """What a call leaves to the next: points not paired with a row are at least radius[row] from x[row]."""

    x: Float[Tensor, "b d"]
    pairs: _Pairs
    radius: Float[Tensor, "b"]  # -inf where nothing is known


@dataclass(frozen=True)
class _Scan:
    """What full scans of m rows found: candidates where few points matter, else the mean."""

    sparse: Tensor  # bool [m]: the candidates suffice
    index: Int[Tensor, "m k"]  # the nearest points
    gap: Float[Tensor, "m"]  # squared distances of all others exceed the nearest one's by this or more
    mean: Float[Tensor, "m d"]  # 0 where sparse
    deferred: Tensor  # bool [m]: `posterior` was asked

    @classmethod
    def join(cls, parts: list[_Scan]) -> _Scan:
        return cls(*(torch.cat([getattr(part, f.name) for part in parts]) for f in fields(cls)))


class PrunedDenoiser:
    """The posterior mean over `data` as a denoiser, at a fraction of the cost along a trajectory.

    Calling it with (x [b, ...], sigma scalar or [b]) gives E[x0|x] like `posterior(x, sigma, data).mean`,
    no value further from it than `tolerance` (in data units), in the sense of this module's text. It keeps
    candidates from call to call: the bound holds whatever the order of the calls, only the cost differs.
    Row i of a call should continue row i of the call before.

    data: [n, ...] float32, or uint8 pixels p for p/127.5 - 1; these pixels' float32 values are recognised
    as such.
    candidates: how many nearest points a sample keeps at most. history: one `Call` for each call.
    Raises UserError for what `posterior` rejects, a tolerance that is not positive, or fewer than 1
    candidate.
    """

    @checked(candidates=1)
    def __init__(self, data: Num[Tensor, "n ..."], tolerance: float = 1e-6, candidates: int = 32):
        if not 0 < tolerance < math.inf:
            raise UserError(f"tolerance must be a positive number, in units of the data, not {tolerance}.")
        self.data, self.tolerance, self.candidates = data, tolerance, candidates
        self.history: list[Call] = []
        self._support = Support.of(data)
        usable = data.device.type == "cpu" and data[0].numel() <= integer_products.LONGEST
        usable = usable and integer_products.supported()
        self._pixels = integer_products.signed_pixels(data) if usable else None
        if self._pixels is not None:
            self._support = Support(self._pixels, None, 1 / 127.5, 128 / 127.5 - 1)
        self._half, self._reach, spread = _measure(self._support)
        self._share = min(1.0, max(1e-300, tolerance / spread)) if spread > 0 else 1.0
        self._nats = math.log(self._support.count / self._share)
        self._state: _State | None = None

    @checked()
    def __call__(self, x: Num[Tensor, "b ..."], sigma: float | Tensor) -> Float[Tensor, "b ..."]:
        check_queries(x, self.data)
        levels = row_levels(sigma, x)
        self._support.centred(x.detach().reshape(len(x), -1))  # says so where x is huge
        flat = x.detach().reshape(len(x), -1).to(torch.float64, copy=True)  # kept; the caller may change x
        with full_precision(), torch.no_grad():
            mean = self._answer(flat, levels)
        return mean.to(x.dtype).reshape(x.shape)

    def _answer(self, x: Tensor, sigma: Tensor) -> Tensor:
        rate = _rate(sigma)
        state, self._state = self._moved(x), None  # none if this call is interrupted
        room = state.radius.clamp(min=0) ** 2 - state.pairs.least(len(x))
        certain = room * rate >= self._nats
        redo = (~certain).nonzero()[:, 0]
        formed, deferred, mean = len(state.pairs.row), 0, torch.zeros_like(x)
        if len(redo):
            scan = self._scan(x[redo], sigma[redo])
            mean[redo], deferred = scan.mean, int(scan.deferred.sum())
            formed += self._refresh(state, scan, redo)
        self._state = _forget(state, rate, max(_FORGET, self._nats))
        mean += _candidate_mean(self._support, self._state.pairs, rate, len(x))
        self.history.append(Call(len(x), formed, len(redo) - deferred, deferred))
        return mean

    def _moved(self, x: Tensor) -> _State:
        """The candidates' distances at the new x, and the radius within which no dropped point can be."""
        old = self._state
        if old is None or old.x.shape != x.shape or old.x.device != x.device:
            none = torch.zeros(0, dtype=torch.int64, device=x.device)
            return _State(x, _Pairs(none, none, x.new_zeros(0)), x.new_full((len(x),), -math.inf))
        radius = (old.radius - torch.linalg.vector_norm(x - old.x, dim=1)) * (1 - 1e-12)
        pairs = self._measured(x, old.pairs.row, old.pairs.index)
        return _State(x, pairs, radius)

    def _measured(self, x: Tensor, row: Tensor, index: Tensor) -> _Pairs:
        return _Pairs(row, index, squared_distances(self._support, x, row, index))

    def _refresh(self, state: _State, scan: _Scan, redo: Tensor) -> int:
        """Put what a scan of the rows `redo` found in the state; return how many distances were formed."""
        found = redo[scan.sparse]
        row = found.repeat_interleave(scan.index.shape[1])
        fresh = self._measured(state.x, row, scan.index[scan.sparse].reshape(-1))
        old = state.pairs.of(~torch.isin(state.pairs.row, redo))
        state.pairs = _Pairs(*(torch.cat([getattr(p, f.name) for p in (old, fresh)]) for f in fields(_Pairs)))
        least = state.pairs.least(len(state.x))[found]
        state.radius[redo] = -math.inf
        state.radius[found] = (least + scan.gap[scan.sparse]).sqrt() * (1 - 1e-12)
        return len(row)

    def _scan(self, x: Tensor, sigma: Tensor) -> _Scan:
        rows = rows_within(memory_budget(x.device), 64 * self._support.count, len(x))
        exact = self._pixels is not None and x.device.type == "cpu"
        scan = self._scan_pixels if exact else self._scan_floats
        return _Scan.join([scan(x[part], sigma[part]) for part in blocks(len(x), rows)])

    def _scan_pixels(self, x: Tensor, sigma: Tensor) -> _Scan:
        """Integer scores find candidates; where those do not suffice, the scores become the weights."""
        assert self._pixels is not None
        rate = _rate(sigma, self._support.scale)
        y = (x - self._support.offset) / self._support.scale
        moved, count = self._digits_needed(y, rate)
        scores = integer_products.scores(y, self._pixels, self._half, count)
        top, index, gap, sparse = self._nearest(scores, 2 * moved * self._reach, rate)
        mean, deferred = torch.zeros_like(x), torch.zeros_like(sparse)
        dense = (~sparse).nonzero()[:, 0]
        if len(dense):
            logs = scores if len(dense) == len(x) else scores[dense]
            logs.sub_(top[dense, :1]).mul_(2 * rate[dense, None])
            centre, lost = integer_products.weighted_mean(logs, self._pixels, self._share / 2)
            mean[dense] = self._support.uncentred(centre)
            deferred[dense] = lost + (moved * self._reach * rate)[dense] > self._share
        if deferred.any():
            mean[deferred] = self._posterior(x[deferred], sigma[deferred]).mean
        return _Scan(sparse, index, gap, mean, deferred)

    def _digits_needed(self, y: Tensor, rate: Tensor) -> tuple[Tensor, int]:
        """How far rounding may move y [m], and the digits that keep D/2 = |e| max|y_i| rate below share/2."""
        for count in integer_products.COUNTS:
            moved = integer_products.rounding(y, count)
            if bool((moved * self._reach * rate <= self._share / 2).all()):
                break
        return moved, count

    def _scan_floats(self, x: Tensor, sigma: Tensor) -> _Scan:
        """`posterior` answers; rows in which few points matter get candidates for the calls to come."""
        answer = self._posterior(x, sigma)
        count = min(self.candidates, self._support.count)
        sparse = answer.ess <= max(2.0, self.candidates / 4)
        index, gap = torch.zeros(len(x), count, dtype=torch.int64, device=x.device), x.new_zeros(len(x))
        narrow = sparse.nonzero()[:, 0]
        if len(narrow):
            scores, slack = _float_scores(self._support, x[narrow], self._half, self._reach)
            found = self._nearest(scores, slack, _rate(sigma[narrow], self._support.scale))
            _, index[narrow], gap[narrow], sparse[narrow] = found
        mean = answer.mean.masked_fill(sparse[:, None], 0.0)
        return _Scan(sparse, index, gap, mean, torch.ones_like(sparse))

    def _nearest(self, scores: Tensor, slack: Tensor, rate: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Best scores and their points, the gap to the rest, and whether the rest is negligible.

        scores [m, n] = y.y_i - |y_i|^2/2 in stored units; the difference of two is right to slack [m].
        """
        count = min(self.candidates, self._support.count)
        top, index = scores.topk(min(count + 1, self._support.count), 1)
        if count == self._support.count:
            gap = torch.full_like(slack, math.inf)
            return top, index, gap, torch.ones_like(gap, dtype=torch.bool)
        gap = 2 * (top[:, 0].double() - top[:, count] - slack)
        return top, index[:, :count], gap.clamp(min=0) * self._support.scale**2, gap * rate >= self._nats

    def _posterior(self, x: Tensor, sigma: Tensor) -> Posterior:
        answer = posterior(x.reshape(len(x), *self.data.shape[1:]), sigma, self.data)
        return Posterior(answer.mean.reshape(x.shape), answer.log_z, answer.ess)


def _rate(sigma: Tensor, unit: float = 1.0) -> Tensor:
    """What multiplies a squared distance (in units of `unit`) to give nats; large but finite at sigma = 0."""
    return 0.5 * (unit / sigma.clamp(min=1e-150)) ** 2


def _measure(support: Support) -> tuple[Tensor, float, float]:
    """|y_i|^2/2 [n] and the largest |y_i| in the tiles' frame, and the largest range of a value, in data
    units.
    """
    half = torch.empty(support.count, dtype=torch.float64, device=support.raw.device)
    low = torch.full(support.raw.shape[1:], math.inf, dtype=torch.float32, device=support.raw.device)
    high = -low
    for part in blocks(support.count, support.tile_rows):
        tile = support.tile(part, support.raw.device)
        half_squares(tile)  # rejects NaN and infinite values
        half[part] = tile.double().square_().sum(1) / 2
        low, high = torch.minimum(low, tile.amin(0)), torch.maximum(high, tile.amax(0))
    return half, math.sqrt(2 * float(half.max())), support.scale * float((high - low).max())


def _float_scores(support: Support, x: Tensor, half: Tensor, reach: float) -> tuple[Tensor, Tensor]:
    """y.y_i - |y_i|^2/2 [m, n] in float32, and by how much a difference of two of them can be off [m]."""
    y = support.centred(x)
    scores = torch.empty(len(y), support.count, dtype=torch.float32, device=y.device)
    for part in blocks(support.count, support.tile_rows):
        tile = support.tile(part, y.device)
        scores[:, part] = torch.addmm(half[part].to(y.device, y.dtype), y, tile.T, beta=-1)
    return scores, 2 * support.rounding(torch.linalg.vector_norm(y, dim=1), reach)


def _forget(state: _State, rate: Tensor, nats: float) -> _State:
    """The state without candidates `nats` or more behind the nearest; they count as dropped from now on."""
    pairs = state.pairs
    late = pairs.nats(rate) > nats
    nearest_late = pairs.of(late).least(len(state.x)).sqrt() * (1 - 1e-12)
    return _State(state.x, pairs.of(~late), torch.minimum(state.radius, nearest_late))


def _candidate_mean(support: Support, pairs: _Pairs, rate: Tensor, rows: int) -> Tensor:
    """Posterior mean [b, d] over the candidates alone, in float64; 0 for rows without any."""
    weight = torch.exp(-pairs.nats(rate))
    total = weight.new_zeros(rows).index_add_(0, pairs.row, weight)
    mean = weight.new_zeros(rows, support.raw.shape[1])
    for part in blocks(len(weight), rows_within(32 * MEBIBYTE, 8 * mean.shape[1], max(1, len(weight)))):
        row = pairs.row[part]
        share = (weight[part] / total[row])[:, None]
        mean.index_add_(0, row, share * support.rows(pairs.index[part], mean.device))
    return mean
