"""One resumable training loop for every network of the book.

A step is a pure function of the weights and of its number: which samples, which noise and which learning rate
come from `runtime` streams and from the `Plan`. So a run that was stopped, killed or spread over machines is
the same run: bit for bit on a CPU with as many threads, to rounding on a GPU or several processes.

    for snapshot in train(model, objective, plan, stops=[100, 1000], folder=folder):
        with snapshot.averaged(0) as network: ...
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from diffnotes.base import runtime
from diffnotes.base.errors import UserError
from diffnotes.base.shapes import Int, Tensor, checked, whole
from diffnotes.train.checkpoints import Checkpoints
from diffnotes.train.identity import Parts, run_parts
from diffnotes.train.memory import Memory, Remembering

Report = Callable[[float, float, str], None]
"""(steps done, steps in all, text); what it raises stops the run, after a checkpoint."""

SAVE_SECONDS = 60.0  # between two checkpoints: what a kill may cost
_GLANCE_SECONDS = 0.5  # between two looks at the losses: each waits for the GPU
_GLANCE_STEPS = 16  # the same between several processes
ANNEALS = ("constant", "cosine")
PRECISIONS = ("auto", "float32", "bfloat16")


@dataclass(frozen=True)
class Batch:
    """What an objective is asked for: the losses of `rows`, some rows of the batch of `step`.

    `seed` and `size` are those of the plan. A process and a part of a batch get the rows that are theirs.
    What row j needs must be a function of (seed, its place) alone; then no division of labour changes it.
    """

    seed: int
    size: int
    step: int
    rows: range

    @property
    def places(self) -> range:
        """The place of each row in the endless sequence of all batches: step * size + j, the index of its
        draws."""
        start = self.step * self.size
        return range(start + self.rows.start, start + self.rows.stop)

    def indices(self, n: int) -> Int[Tensor, "m"]:
        """Which of n samples the rows are; see `batch_indices`."""
        return batch_indices(self.seed, n, self.size, self.step)[self.rows.start : self.rows.stop]


Objective = Callable[[Callable[..., Tensor], Batch], Tensor] | Remembering
"""(model, batch) -> losses [m] of its rows: nothing else may enter, but for a memory (see `memory`)."""


@checked(steps=1, batch=1)
@dataclass(frozen=True)
class Plan:
    """What a run does, whatever the machine. Batch size and seed are said here and nowhere else.

    The learning rate rises linearly over `warmup` steps to `rate`, then stays or falls to 0 along half a
    cosine. Adam (Kingma and Ba 2015) with decoupled weight `decay`; `clip` bounds the norm of the gradient, 0
    for no bound. `horizons` are those of averages of the weights, in steps (see `average_weight`).
    `precision` is that of products and convolutions: bfloat16, or float32 without TF32. "auto" is bfloat16 on
    a GPU, where the network is compiled as well, and float32 on a CPU. Those with instructions for bfloat16
    (`lscpu`: avx512_bf16 or amx_bf16) do a U-Net's step in 0.6 of the time, others are slower with it;
    whether results agree is a claim of chapter 3 (`ours-precision`). Compiling pays on neither.
    """

    steps: int
    batch: int
    rate: float = 1e-3
    warmup: int = 0
    anneal: str = "constant"
    clip: float = 0.0
    decay: float = 0.0
    horizons: tuple[int, ...] = ()
    precision: str = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        for horizon in self.horizons:
            whole(horizon, f"horizon {horizon}")
        for name in ("rate", "warmup", "clip", "decay"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise UserError(f"{name} must be a finite number of at least 0, not {value!r}.")
        for name, known in {"anneal": ANNEALS, "precision": PRECISIONS}.items():
            if getattr(self, name) not in known:
                raise UserError(f"{name} must be one of {', '.join(known)}, not {getattr(self, name)!r}.")

    def batch_at(self, step: int, rows: range | None = None) -> Batch:
        """The batch of step number `step`, counted from 0, or some of its rows."""
        return Batch(self.seed, self.batch, step, range(self.batch) if rows is None else rows)

    def rate_at(self, step: int) -> float:
        """The learning rate of step number `step`, counted from 0."""
        rising = min(1.0, (step + 1) / self.warmup) if self.warmup else 1.0
        share = max(0, step - self.warmup) / max(1, self.steps - self.warmup)
        return self.rate * rising * (0.5 + 0.5 * math.cos(math.pi * share) if self.anneal == "cosine" else 1)


@dataclass
class Snapshot:
    """A run at one of its stops: steps done, mean training loss since the last stop, images per second.

    `model` holds the weights as they are; it must not be changed.
    """

    step: int
    loss: float
    speed: float
    model: nn.Module
    averages: dict[int, list[Tensor]]
    memory: Tensor | None = None  # of the objective, if it has one

    @contextlib.contextmanager
    def averaged(self, horizon: int) -> Iterator[nn.Module]:
        """The model with its weights averaged over `horizon` steps, for a while; 0: as they are."""
        if horizon == 0:
            yield self.model
            return
        if horizon not in self.averages:
            raise UserError(f"No average over {horizon} steps is kept; choose from {[0, *self.averages]}.")
        weights = _trained(self.model)
        before = [w.detach().clone() for w in weights]
        _overwrite(weights, self.averages[horizon])
        try:
            yield self.model
        finally:
            _overwrite(weights, before)


@checked()
def train(
    model: nn.Module,
    objective: Objective,
    plan: Plan,
    stops: Sequence[int],
    folder: Path,
    report: Report | None = None,
    *,
    save_seconds: float = SAVE_SECONDS,
) -> Iterator[Snapshot]:
    """Train `model` in place and yield a Snapshot after each of `stops` steps.

    The state is saved in `folder` before each stop, every `save_seconds`, and when `report` raises; the same
    call continues from there, and yields the stop at which it was interrupted once more. The loss of a step
    is the mean over its batch, which the processes under torchrun share. The model must be a function of
    weights and inputs: no dropout, no batch statistics.

    A checkpoint is of this run if plan, precision, the network with its initial weights, the objective and
    its data are the same. So `model` comes as it was at the start, and `objective` is a frozen dataclass.

    Raises UserError for bad stops, for an objective that cannot be described (see `identity`), for
    checkpoints that are damaged or of another run, for a folder that cannot be written, and for a loss that
    is not finite, with its step.
    """
    if sorted(set(stops)) != list(stops) or not stops or not 0 <= stops[0] <= stops[-1] <= plan.steps:
        raise UserError(f"stops must rise within 0 to {plan.steps} (the plan's steps), not {list(stops)}.")
    if torch.is_inference_mode_enabled() or not _trained(model):
        raise UserError("Nothing to train: no weights require gradients, or this is torch.inference_mode().")
    return _snapshots(_Run(model, objective, plan, folder, save_seconds), list(stops), report)


def _snapshots(run: _Run, stops: Sequence[int], report: Report | None) -> Iterator[Snapshot]:
    run.resume()
    for stop in (stop for stop in stops if stop >= run.step):
        while run.step < stop:
            run.advance()
            run.glance(stop, stops[-1], report)
        run.save()
        yield run.snapshot()
        run.start_window()


class _Run:
    """The state of a run: weights, optimizer, averages, step, and the losses since the last stop."""

    def __init__(
        self,
        model: nn.Module,
        objective: Objective,
        plan: Plan,
        folder: Path,
        save_seconds: float,
    ) -> None:
        runtime.keep_memory()
        self.model, self.objective, self.plan = model, objective, plan
        self.group = runtime.process_group()
        self.weights = _trained(model)
        self.where = self.weights[0].device
        cuda = self.where.type == "cuda"
        self.half = plan.precision == "bfloat16" or (plan.precision == "auto" and cuda)
        if cuda:  # convolutions want weights in the order of their inputs, see `layers.layout`
            model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.forward: Any = torch.compile(model) if self.half and cuda else model
        self.optimizer = torch.optim.AdamW(
            self.weights, lr=plan.rate, weight_decay=plan.decay, fused=True, betas=(0.9, 0.999)
        )
        self.averages = {h: [w.detach().clone() for w in self.weights] for h in plan.horizons}
        self.save_seconds, self.memory = save_seconds, Memory(objective, self.where, self.group)
        self.checkpoints = Checkpoints(folder, _identity(model, objective, plan, self.half))
        self.step = self.saved = self.counted = 0
        self.total = self.busy = 0.0
        self.pending: list[Tensor] = []
        self.last_save = self.last_glance = time.monotonic()

    def advance(self) -> None:
        """One step of the optimizer and of the averages."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.plan.rate_at(self.step)
        with contextlib.nullcontext() if self.half else runtime.full_precision():
            self.pending.append(self._gradient())
        if self.plan.clip:
            nn.utils.clip_grad_norm_(self.weights, self.plan.clip)
        self.optimizer.step()
        self.step += 1
        newest = [w.detach() for w in self.weights]
        for horizon, average in self.averages.items():
            torch._foreach_lerp_(average, newest, average_weight(self.step, horizon))

    def _gradient(self) -> Tensor:
        """Set every .grad to that of the mean loss over the batch; return that loss."""
        self.optimizer.zero_grad(set_to_none=True)
        first, last = (self.plan.batch * r // self.group.size for r in (self.group.rank, self.group.rank + 1))
        batch = self.plan.batch_at(self.step, range(first, last))
        with torch.enable_grad(), torch.autocast(self.where.type, torch.bfloat16, enabled=self.half):
            share = self.memory.losses(self.forward, batch).float().sum() / self.plan.batch
        share.backward()
        loss = share.detach()
        self.group.add([loss, *(w.grad for w in self.weights if w.grad is not None)])
        return loss

    def glance(self, stop: int, last: int, report: Report | None) -> None:
        """Now and then: look at the losses, report, and save when it is time."""
        now = time.monotonic()
        if self.step < stop and not self._due(now):
            return
        self._collect(now)
        if self.group.any(now - self.last_save > self.save_seconds):
            self.save()
        if report is not None:
            self._report(report, last)

    def _due(self, now: float) -> bool:
        """By the clock; several processes have as many clocks, so they go by the step."""
        if self.group.size > 1:
            return self.step % _GLANCE_STEPS == 0
        return now - self.last_glance >= _GLANCE_SECONDS

    def _report(self, report: Report, last: int) -> None:
        """Tell how it goes; if that raises in any process, all save and stop."""
        raised: BaseException | None = None
        try:
            mean = self.total / self.counted if self.counted else math.nan
            report(self.step, last, f"loss {mean:.4g}, {self._speed():,.0f} images/s")
        except BaseException as error:
            raised = error
        if self.group.any(raised is not None):
            self.save()
            raise raised or UserError("Another process of this run has stopped; the same command continues.")

    def _collect(self, now: float) -> None:
        """Add the pending losses up in order; stop at the first that is not finite."""
        for place, loss in enumerate(torch.stack(self.pending).tolist() if self.pending else []):
            if not math.isfinite(loss):
                step = self.step - len(self.pending) + place
                raise UserError(
                    f"The loss of step {step} is {loss}; lower the learning rate (now "
                    f"{self.plan.rate:g}), or use warmup or clip. "
                    f"The checkpoint of step {self.saved} is kept."
                )
            self.total += loss
        self.counted += len(self.pending)
        self.busy += now - self.last_glance
        self.pending, self.last_glance = [], now

    def _speed(self) -> float:
        """Images per second since the last stop; not part of the state."""
        return self.plan.batch * self.counted / self.busy if self.busy else math.nan

    def snapshot(self) -> Snapshot:
        loss = self.total / self.counted if self.counted else math.nan
        return Snapshot(self.step, loss, self._speed(), self.model, self.averages, self.memory.value)

    def start_window(self) -> None:
        """Begin to count losses and time anew."""
        self.total, self.counted, self.busy, self.last_glance = 0.0, 0, 0.0, time.monotonic()

    # ------------------------------------------------------------------------------------- saved states

    def save(self) -> None:
        """A checkpoint, by the first process; the losses were looked at, so no broken state is ever kept."""
        self._collect(time.monotonic())
        if self.group.rank == 0:
            self.checkpoints.save(self._state())
        self.saved, self.last_save = self.step, time.monotonic()

    def resume(self) -> None:
        """Continue from the newest good checkpoint, where there is one."""
        state = self.checkpoints.load(self.where) if self.group.rank == 0 else None
        state = self.group.share(state)
        if state is not None:
            with self.checkpoints.trusted():
                self._restore(state)
        self.last_save = self.last_glance = time.monotonic()

    def _restore(self, state: dict[str, Any]) -> None:
        self.step = self.saved = state["step"]
        self.total, self.counted = float(state["total"]), int(state["counted"])
        _overwrite(self.weights, state["weights"])
        for horizon, average in self.averages.items():
            _overwrite(average, state["averages"][horizon])
        self.optimizer.load_state_dict(state["optimizer"])
        self.memory.restore(state.get("memory"))

    def _state(self) -> dict[str, Any]:
        return {
            "step": self.step, "total": self.total, "counted": self.counted,
            "weights": [w.detach() for w in self.weights], "averages": self.averages,
            "optimizer": self.optimizer.state_dict(), "memory": self.memory.value,
        }  # fmt: skip


def average_weight(step: int, horizon: int) -> float:
    """The weight of the newest weights in their running average after `step` steps.

    1/horizon, an exponential average that looks back about `horizon` steps. Early on it looks back over a
    tenth of the steps at most, so that the initial weights are forgotten.
    """
    return 1 / max(1.0, min(float(horizon), step / 10))


def _identity(model: nn.Module, objective: Objective, plan: Plan, half: bool) -> Parts:
    """What must be equal for a checkpoint to fit. More steps at a constant rate only continue a run."""
    settings = {**vars(plan), "precision": "bfloat16" if half else "float32"}
    if plan.anneal == "constant":
        del settings["steps"]
    return run_parts(model, objective, settings)


def _trained(model: nn.Module) -> list[nn.Parameter]:
    return [w for w in model.parameters() if w.requires_grad]


def _overwrite(old: Sequence[Tensor], new: Sequence[Tensor]) -> None:
    with torch.no_grad():
        torch._foreach_copy_(list(old), list(new))


# ----------------------------------------------------------------------------------------------- schedules


@checked(n=1, batch=1, step=0)
def batch_indices(seed: int, n: int, batch: int, step: int) -> Int[Tensor, "b"]:
    """Which of n samples are in the batch of `step`: position p of the endless sequence of shuffled epochs
    is sample number p mod n of epoch p // n, and the batch is positions step * batch and following."""
    positions = range(step * batch, (step + 1) * batch)
    epochs = range(positions.start // n, (positions.stop - 1) // n + 1)
    orders = torch.cat([_epoch(seed, n, epoch) for epoch in epochs])
    start = positions.start - epochs.start * n
    return orders[start : start + batch]


def _epoch(seed: int, n: int, epoch: int) -> Tensor:
    key = (seed, n, epoch)
    if key not in _orders:
        while len(_orders) >= 64:  # a few epochs of a run are in use at a time
            _orders.pop(next(iter(_orders)))
        _orders[key] = torch.from_numpy(runtime.permutation(seed, "train, order", n, epoch))
    return _orders[key]


_orders: dict[tuple[int, int, int], Tensor] = {}


@checked()
def log_spaced(first: int, last: int, count: int) -> list[int]:
    """At most `count` distinct whole numbers from first to last, evenly spaced in their logarithm."""
    if not 1 <= first <= last or count < 1:
        raise UserError(f"Need 1 <= first <= last and count >= 1, not {first}, {last} and {count}.")
    if count == 1:
        return [last]
    ratio = (last / first) ** (1 / (count - 1))
    return sorted({min(last, round(first * ratio**k)) for k in range(count)} | {last})
