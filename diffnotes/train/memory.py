"""Objectives with a memory: what a step is a function of beside the weights and its number."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import torch

from diffnotes.base.runtime import ProcessGroup
from diffnotes.base.shapes import Tensor


@runtime_checkable
class Remembering(Protocol):
    """An objective whose losses depend on those of earlier steps, through a tensor that is part of the run's
    state like the weights: saved in its checkpoints, the same in all processes, and no part of its identity.

    It is called with (model, batch, memory) and returns the losses [m] of its rows and what it has seen in
    them: a tensor that adds over the rows of a batch, without gradient. Nothing else may enter.
    """

    def begin(self) -> Tensor:
        """The memory before the first step."""

    def __call__(self, model: Callable[..., Tensor], batch: Any, memory: Tensor) -> tuple[Tensor, Tensor]:
        """Losses [m], and what was seen."""

    def updated(self, memory: Tensor, seen: Tensor) -> Tensor:
        """The memory after a step in which all rows together have seen `seen`."""


class Memory:
    """The memory of the objective of a run, as far as it has one; without, losses are what it says."""

    def __init__(self, objective: Any, where: torch.device, group: ProcessGroup) -> None:
        self.objective, self.where, self.group = objective, where, group
        self.value = objective.begin().to(where) if isinstance(objective, Remembering) else None

    def losses(self, model: Callable[..., Tensor], batch: Any) -> Tensor:
        """The losses [m] of the rows of a batch; the memory then holds what all processes have seen."""
        if self.value is None:
            return self.objective(model, batch)
        losses, seen = self.objective(model, batch, self.value)
        self.group.add([seen])
        self.value = self.objective.updated(self.value, seen)
        return losses

    def restore(self, value: Tensor | None) -> None:
        """Go on from a saved one; TypeError for what is no memory of this objective."""
        known = None if self.value is None else (self.value.shape, self.value.dtype)
        if known != (None if value is None else (value.shape, value.dtype)):
            raise TypeError("The memory is not that of the objective.")
        self.value = None if value is None else value.to(self.where)
