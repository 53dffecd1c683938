"""The training schedule of Xu et al. (arXiv 2506.13763, section 5): how much each noise level counts, and how
often it is drawn, from the optimal loss of the training set. For any training loop, in three lines:

    schedule = LossGapSchedule(optimal_loss(images, noise_levels(64)), dimensions=images[0].numel())
    ...
    sigma = schedule.sample(len(x0), generator)                       # in place of your noise levels
    loss = (schedule.weight(sigma) * error).mean()                    # error [b] = mean of (D - x0)^2
    schedule.update(sigma, error)

The paper gives the weight of the x0 loss J and the law of noise levels as

    w(sigma) = a min(1/J*(sigma), w*) + N(ln sigma; mu, s^2) 1[sigma < sigma*]
    p(sigma) proportional to w(sigma) (J_sigma(theta) - J*(sigma)),    adapted in training.

It does not print a, w*, mu, s, nor how J_sigma(theta) is followed. Here, with losses that are means over the
dimensions of an image, J* divided by their number, and V the variance of the data per dimension:

    sigma*   the largest level up to which J* stays below `threshold` V
    w*       1/(`clip` V): levels at which less than a share `clip` of the variance is left count alike
    N(...)   `bump` w* at its peak: a = 1/(bump w* s sqrt(2 pi)) in the paper's form, all of which is divided
             by a here, so that far above sigma* a loss of V has the weighted loss 1
    mu, s    ln sigma* + `shift`, and `width`
    J(theta) a running mean of the losses in each of `bins` equal parts of ln sigma, which looks back over
             about `memory` images of that part. It begins as V sigma^2/(sigma^2 + V), what a shrinkage
             knows; a network that has EDM's form begins there too.
    p        a share `floor` of it is uniform in ln sigma, so that no part is forgotten; inside one ln sigma
             is uniform. As in EDM, nothing corrects for p: it is part of the objective.

Since p follows the gap, the objective that is minimized at a given moment is about w^2 (J - J*) J.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from diffnotes.base.errors import UserError
from diffnotes.base.shapes import Float, Int, Num, Tensor, checked
from diffnotes.optimal_loss import LossCurve
from diffnotes.train import Batch, DenoisingLoss

_HUGE = 1e30  # no setting is that large, nor that near to 0 where it must not be 0
_ROUNDING = 1e-6  # relative: float32 levels at the ends of the range


@checked()
@dataclass(frozen=True)
class LossGapLaw:
    """The formulas of the schedule, without a state; what the running mean holds is handed in.

    sigma, optimal [l]: levels, rising, and the optimal loss per dimension; between them J* is linear in ln
    sigma. variance: of the data, per dimension. The other fields are explained above; in addition

    exponent: p is proportional to (w (J - J*))^exponent; 1 is the paper's, 0 uniform in ln sigma.
    edge: width of the step at sigma* in ln sigma, 1/(1 + exp((ln sigma - ln sigma*)/edge)); 0 is the paper's
    jump. bump = 0 leaves the second term out, clip = 1 makes the first one constant.
    adaptive: whether p follows the running mean, or stays as it began, a function of the data alone.
    """

    sigma: Float[Tensor, "l"] = field(repr=False)
    optimal: Float[Tensor, "l"] = field(repr=False)
    variance: float
    threshold: float = 0.01
    clip: float = 0.01
    bump: float = 1.0
    shift: float = -1.0
    width: float = 1.0
    edge: float = 0.0
    exponent: float = 1.0
    floor: float = 0.05
    bins: int = 64
    memory: int = 256
    adaptive: bool = True

    @classmethod
    def of(cls, curve: LossCurve, dimensions: int, **options: Any) -> LossGapLaw:
        """The law of a data set with this optimal-loss curve, whose images have so many dimensions."""
        if isinstance(dimensions, bool) or not isinstance(dimensions, int) or dimensions < 1:
            raise UserError(
                f"dimensions must be the number of values of one image, a whole number, not {dimensions!r}."
            )
        order = curve.sigma.argsort()
        sigma, mean = (x[order].double().cpu() for x in (curve.sigma, curve.mean))
        return cls(sigma, mean / dimensions, curve.variance / dimensions, **options)

    def __post_init__(self) -> None:
        if self.sigma.ndim != 1 or len(self.sigma) < 2 or self.sigma.shape != self.optimal.shape:
            raise UserError("The curve must have at least two noise levels, and one optimal loss for each.")
        if not bool((self.sigma.diff() > 0).all() and (self.sigma > 0).all() and (self.optimal >= 0).all()):
            raise UserError(
                "The curve's noise levels must differ and be positive, and its losses be at least 0."
            )
        if not self.variance > 0:
            raise UserError("Data without variance has no noise level to choose.")
        self._check_numbers()

    def _check_numbers(self) -> None:
        above = dict.fromkeys(("threshold", "clip", "width"), 0.0)
        for name, least in above.items():
            if not least < getattr(self, name) < _HUGE or getattr(self, name) < 1 / _HUGE:
                raise UserError(f"{name} must be a finite number above 0, not {getattr(self, name)!r}.")
        for name in ("bump", "edge", "exponent"):
            if not 0 <= getattr(self, name) < _HUGE:
                raise UserError(f"{name} must be a finite number of at least 0, not {getattr(self, name)!r}.")
        if not 0 < self.floor <= 1:
            raise UserError(f"floor must be a share above 0 and at most 1, not {self.floor!r}.")
        if not abs(self.shift) < _HUGE:
            raise UserError(f"shift must be a finite number, not {self.shift!r}.")
        for name in ("bins", "memory"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise UserError(f"{name} must be a whole number of at least 1, not {value!r}.")

    # -------------------------------------------------------------------------------------------- weight

    @property
    def critical(self) -> float:
        """sigma*: where J* first reaches threshold V; the nearest end of the levels where it never does."""
        above = (self.optimal >= self.threshold * self.variance).nonzero()
        if len(above) == 0 or above[0] == 0:
            return float(self.sigma[-1 if len(above) == 0 else 0])
        k = int(above[0])
        low, high = self.optimal[k - 1], self.optimal[k]
        share = (self.threshold * self.variance - low) / (high - low)
        return float(torch.lerp(self.sigma[k - 1].log(), self.sigma[k].log(), share).exp())

    @property
    def largest(self) -> float:
        """w*, the bound of 1/J*."""
        return 1 / (self.clip * self.variance)

    def optimal_at(self, sigma: Float[Tensor, "*b"]) -> Float[Tensor, "*b"]:
        """J*(sigma) per dimension, float64, on the device of sigma."""
        logs, known = self.sigma.log().to(sigma.device), self.optimal.to(sigma.device)
        x = sigma.double().log()
        place = torch.searchsorted(logs, x.contiguous()).clamp(1, len(logs) - 1)
        share = ((x - logs[place - 1]) / (logs[place] - logs[place - 1])).clamp(0, 1)
        return torch.lerp(known[place - 1], known[place], share)

    def weight(self, sigma: Float[Tensor, "*b"]) -> Float[Tensor, "*b"]:
        """w(sigma)/a, float64: what multiplies the mean of (D - x0)^2 over dimensions."""
        x, edge = sigma.double().log(), math.log(self.critical)
        scale = (1 / self.optimal_at(sigma)).clamp(max=self.largest)
        left = torch.sigmoid((edge - x) / self.edge) if self.edge else (x < edge).double()
        hill = torch.exp(-((x - edge - self.shift) ** 2) / (2 * self.width**2))
        return scale + self.bump * self.largest * hill * left

    # ------------------------------------------------------------------------------------- law of levels

    def edges(self) -> Float[Tensor, "bins_1"]:
        """The ends of the parts of ln sigma, float64 [bins + 1]."""
        first, last = self.sigma[[0, -1]].log().tolist()
        return torch.linspace(first, last, self.bins + 1, dtype=torch.float64)

    def centres(self) -> Float[Tensor, "bins"]:
        """The sigma in the middle of each part of ln sigma, float64."""
        edges = self.edges()
        return ((edges[1:] + edges[:-1]) / 2).exp()

    def begin(self) -> Float[Tensor, "bins"]:
        """The running means before anything was trained: V sigma^2/(sigma^2 + V), never below J*."""
        square = self.centres() ** 2
        return torch.maximum(self.variance * square / (square + self.variance), self._known)

    @property
    def _known(self) -> Float[Tensor, "bins"]:
        return self.optimal_at(self.centres())

    def probabilities(self, running: Float[Tensor, "bins"]) -> Float[Tensor, "bins"]:
        """The share of the noise levels in each part of ln sigma, given running means of the loss there."""
        followed = running.double().cpu() if self.adaptive else self.begin()
        gap = self.weight(self.centres()) * (followed - self._known).clamp(min=0)
        share = (gap / gap.max().clamp(min=1e-300)) ** self.exponent
        even = torch.full_like(share, 1 / self.bins)
        mixed = (1 - self.floor) * share / share.sum() + self.floor * even if share.sum() > 0 else even
        return mixed.to(running.device)

    def levels(self, u: Float[Tensor, "b"], running: Float[Tensor, "bins"]) -> Float[Tensor, "b"]:
        """The noise levels, float64, whose law has the distribution function u in (0, 1)."""
        share, edges = self.probabilities(running).to(u.device), self.edges().to(u.device)
        ends = torch.cat([share.new_zeros(1), share.cumsum(0)])
        place = torch.searchsorted(ends[1:-1], u.double().contiguous(), right=True)
        within = ((u - ends[place]) / share[place]).clamp(0, 1)
        return torch.lerp(edges[place], edges[place + 1], within).exp()

    def place(self, sigma: Float[Tensor, "b"]) -> Int[Tensor, "b"]:
        """The part of ln sigma that each level lies in."""
        inner = self.edges()[1:-1].to(sigma.device)
        return torch.searchsorted(inner, sigma.double().log().contiguous(), right=True)

    def seen(self, sigma: Float[Tensor, "b"], loss: Float[Tensor, "b"]) -> Float[Tensor, "2 bins"]:
        """How many losses fall in each part of ln sigma, and their sum: what adds over batches."""
        rows = torch.nn.functional.one_hot(self.place(sigma), self.bins).double()
        return torch.stack([rows.sum(0), (rows * loss.double()[:, None]).sum(0)])

    def updated(
        self, running: Float[Tensor, "bins"], seen: Float[Tensor, "2 bins"]
    ) -> Float[Tensor, "bins"]:
        """The running means after a batch: each of its c losses in a part takes 1/memory of the old mean."""
        count, total = seen
        kept = (1 - 1 / self.memory) ** count
        return torch.lerp(total / count.clamp(min=1), running, kept)


class LossGapSchedule:
    """The schedule for a training loop of your own: `sample`, `weight`, `update`; see the top of this file.

    curve: of `optimal_loss` on the training set; its first and last level are the range that is drawn from.
    dimensions: the number of values of an image, since the curve is summed over them and losses here are
    means. options: those of `LossGapLaw`. Raises UserError for what does not fit.
    """

    @checked()
    def __init__(self, curve: LossCurve, dimensions: int, **options: Any) -> None:
        self.law = LossGapLaw.of(curve, dimensions, **options)
        self.running = self.law.begin()

    @checked()
    def weight(self, sigma: Num[Tensor, "*b"]) -> Float[Tensor, "*b"]:
        """w(sigma), the factor of the mean of (D - x0)^2 over dimensions; on the device of sigma, float32 or
        as sigma is."""
        self._check(sigma)
        return self.law.weight(sigma).to(sigma.dtype if sigma.is_floating_point() else torch.float32)

    @checked(n=1)
    def sample(self, n: int, generator: torch.Generator | None = None) -> Float[Tensor, "n"]:
        """n noise levels, float32, on the device of the generator (None: torch's own on the CPU)."""
        where = torch.device("cpu") if generator is None else generator.device
        u = torch.rand(n, dtype=torch.float64, generator=generator, device=where)
        return self.law.levels(u, self.running).float()

    @checked()
    def update(self, sigma: Num[Tensor, "..."], loss: Num[Tensor, "..."]) -> None:
        """Take in the losses of a batch: loss [b], each the mean of (D - x0)^2 over the dimensions of one
        image at noise level sigma [b]; not weighted, and of x0 also where another target is predicted (see
        `Process.loss_factor`)."""
        if sigma.ndim != 1 or loss.shape != sigma.shape:
            raise UserError(
                f"sigma and loss must be [b], one each per image, not {list(sigma.shape)} and "
                f"{list(loss.shape)}."
            )
        self._check(sigma)
        values = loss.detach().double().cpu()
        if not bool((torch.isfinite(values) & (values >= 0)).all()):
            raise UserError("A loss is NaN, infinite or negative; update takes finite losses of at least 0.")
        self.running = self.law.updated(self.running, self.law.seen(sigma.detach().cpu(), values))

    @property
    def probabilities(self) -> Float[Tensor, "bins"]:
        """The share of noise levels in each part of ln sigma, now; `law.centres()` are their middles."""
        return self.law.probabilities(self.running)

    def state_dict(self) -> dict[str, Tensor]:
        """What a checkpoint must hold: the running means, beside the levels and losses they stand over."""
        return {"running": self.running.clone(), "sigma": self.law.sigma, "optimal": self.law.optimal}

    @checked()
    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Go on from a state of a schedule with the same curve and bins."""
        mine = self.state_dict()
        if set(state) != set(mine):
            raise UserError(f"The state must hold {', '.join(mine)}, not {', '.join(state) or 'nothing'}.")
        state = {name: _finite_values(value) for name, value in state.items()}
        for name in ("sigma", "optimal"):
            other = state[name].double().cpu()
            if other.shape != mine[name].shape or not torch.allclose(other, mine[name], rtol=1e-6, atol=0):
                raise UserError(f"The state is of a schedule with another {name} curve; build it from that.")
        if state["running"].shape != mine["running"].shape:
            raise UserError(f"The state has {state['running'].numel()} bins, this schedule {self.law.bins}.")
        self.running = state["running"].detach().double().cpu().clone()

    def _check(self, sigma: Tensor) -> None:
        low, high = self.law.sigma[[0, -1]].tolist()
        values = sigma.detach().double()
        good = (values >= low * (1 - _ROUNDING)) & (values <= high * (1 + _ROUNDING))
        if sigma.numel() == 0:
            raise UserError("There is no noise level; give at least one.")
        if not bool(good.all()):
            worst = float(values[~good].flatten()[0])
            raise UserError(
                f"The noise level {worst:g} is outside the curve's {low:g} to {high:g}; compute optimal_loss "
                "on a wider range."
            )


@checked()
def _finite_values(state: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    return state.double()


@checked()
@dataclass(frozen=True)
class ScheduledLoss:
    """The same in the book's own loop: an `Objective` of `train` that remembers the running means.

    Row j of a batch has the sample, the noise and the uniform number of `DenoisingLoss`; the noise level is
    the law's at that number, so that runs under other laws share them.
    """

    x: Num[Tensor, "n ..."] = field(repr=False)
    law: LossGapLaw
    labels: Int[Tensor, "k"] | None = field(default=None, repr=False)
    drop: float = 0.0

    def begin(self) -> Float[Tensor, "bins"]:
        """The running means before the first step."""
        return self.law.begin()

    def __call__(
        self, model: Callable[..., Tensor], batch: Batch, memory: Float[Tensor, "bins"]
    ) -> tuple[Float[Tensor, "m"], Float[Tensor, "2 bins"]]:
        base = DenoisingLoss(
            self.x, lambda u: self.law.levels(u, memory.cpu()), labels=self.labels, drop=self.drop
        )
        s, error = base.errors(model, batch)
        seen = self.law.seen(s.to(error.device), error.detach())
        return self.law.weight(s).float().to(error.device) * error, seen

    def updated(
        self, memory: Float[Tensor, "bins"], seen: Float[Tensor, "2 bins"]
    ) -> Float[Tensor, "bins"]:
        """The running means after a step."""
        return self.law.updated(memory, seen)
