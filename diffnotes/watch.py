"""Watch a training run of your own: does it overfit, does it copy, and since when? Three lines in any loop:

    watch = TrainingWatch(train_images, held_out_images)     # [n, ...] in [-1, 1]
    ...
    watch(step, denoiser)                                    # in the loop; looks every `every` steps
    print(watch)                                             # or watch.rows, watch.onsets, watch.should_stop

`denoiser` is what `diffnotes.adapters.adapt` takes: a denoiser, a live pipeline of diffusers, or a network by
`adapt(network, process="flow", target="velocity")`. What is looked at is the same at every look: the same
images, noise and starting points, so that looks differ by the training alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from diffnotes.adapters import Adapted, adapt
from diffnotes.adapters.folders import PARTS
from diffnotes.base import runtime
from diffnotes.base.errors import UserError
from diffnotes.base.shapes import Float, Tensor, checked
from diffnotes.metrics import denoising_error, memorized, neighbours, ratios
from diffnotes.process import noise_levels
from diffnotes.sample import edm_sigmas, sample

OPENS = 0.2  # relative gap, from which on losses have parted (as in chapter 3)
COPIED = 0.05  # share of copies, from which on a run copies
RISEN = 0.1  # by which the held-out loss must be above its least, at the level where the gap is widest


@dataclass(frozen=True)
class Look:
    """One look: losses per dimension [l] at sigma on both splits, and the share of copies, with interval."""

    step: int
    sigma: Float[Tensor, "l"]
    train: Float[Tensor, "l"]
    held_out: Float[Tensor, "l"]
    copies: float
    copies_low: float
    copies_high: float

    @property
    def gap(self) -> Float[Tensor, "l"]:
        """Held-out over training loss, less 1."""
        return self.held_out / self.train.clamp(min=1e-300) - 1


class TrainingWatch:
    """What is seen of a training run; see the head of this file.

    levels: noise levels, from a tenth of the images' deviation to ten times it. images: of each split, at
    most. samples: made at each look, by `steps` Heun steps; 0: none. every: steps between looks.
    """

    @checked(every=1, levels=1, images=2, samples=0, steps=2)
    def __init__(
        self,
        train: Float[Tensor, "n ..."],
        held_out: Float[Tensor, "m ..."],
        *,
        every: int = 1000,
        levels: int = 5,
        images: int = 256,
        samples: int = 64,
        steps: int = 12,
        seed: int = 0,
    ) -> None:
        if train.shape[1:] != held_out.shape[1:] or min(len(train), len(held_out)) < 3:
            raise UserError(
                f"Give at least 3 images of one shape each, not {[*train.shape]} and {[*held_out.shape]}."
            )
        scale = float((train - train.mean(0)).square().mean().sqrt())
        if not scale > 0:
            raise UserError("All training images are the same; give different ones.")
        self.train, self.every, self.samples, self.seed = train, every, samples, seed
        self.some = [x[torch.from_numpy(runtime.permutation(seed, "watch", len(x)).copy())[:images]]
                     for x in (train, held_out)]  # fmt: skip
        self.sigma = noise_levels(levels, 0.1 * scale, 10 * scale) if levels > 1 else torch.tensor([scale])
        self.times = (0.004 * scale, 160 * scale, steps)
        self.rows: list[Look] = []

    def __call__(self, step: int, denoiser: Adapted | Callable[..., Tensor] | Any) -> Look | None:
        """Look, if it is time; the look. A module is left in the mode in which it was."""
        if step % self.every:
            return None
        modes = [(part, part.training) for module in _modules(denoiser) for part in module.modules()]
        try:
            for part, _ in modes:
                part.training = False
            self.rows.append(self._look(step, adapt(denoiser)))
        finally:
            for part, was in modes:
                part.training = was
        return self.rows[-1]

    def _look(self, step: int, model: Adapted) -> Look:
        sigma = self.sigma[(self.sigma >= model.low) & (self.sigma <= model.high)]
        if len(sigma) == 0:
            raise UserError(f"{model.name} knows none of the noise levels {self.sigma.tolist()}.")
        known, unseen = (
            denoising_error(model, x, sigma, seed=self.seed).mean(1).cpu() for x in self.some
        )
        share = (math.nan,) * 3
        if self.samples:
            low, high, steps = self.times
            times = edm_sigmas(steps, max(low, model.low), min(high, model.high))
            made = sample(
                model, self.train.shape[1:], self.samples, times, seed=self.seed, device=self.train.device
            )
            found = memorized(ratios(neighbours(made.to(self.train), self.train)), seed=self.seed)
            share = (found.value, found.low, found.high)
        return Look(step, sigma, known, unseen, *share)

    # ----------------------------------------------------------------------------------------- what was seen

    @property
    def onsets(self) -> dict[str, int | None]:
        """The step of the first look at which the losses have parted by a fifth at some noise level, at which
        the held-out loss was least where the gap is widest now, and at which one sample in twenty is a copy;
        None where that has not been seen."""
        parted = next((row.step for row in self.rows if float(row.gap.max()) > OPENS), None)
        copies = next((row.step for row in self.rows if row.copies >= COPIED), None)
        least = None
        if self.rows:
            losses = torch.stack([row.held_out[self._widest] for row in self.rows])
            least = self.rows[int(losses.argmin())].step
        return {"least held-out loss": least, "losses part": parted, "copies": copies}

    @property
    def _widest(self) -> int:
        """The noise level at which the gap is widest now."""
        return int(self.rows[-1].gap.argmax())

    @property
    def should_stop(self) -> bool:
        """Whether the held-out loss has risen by a tenth above its least, at the noise level where the gap is
        widest now; or one sample in twenty is a copy. Training on only memorizes more."""
        if not self.rows:
            return False
        losses = torch.stack([row.held_out[self._widest] for row in self.rows])
        return bool(losses[-1] > (1 + RISEN) * losses.min()) or self.rows[-1].copies >= COPIED

    def __str__(self) -> str:
        """A line for each look."""
        lines = [f"{'step':>9} {'training':>9} {'held-out':>9} {'gap':>6} {'at sigma':>9} {'copies':>7}"]
        for row in self.rows:
            at = int(row.gap.argmax())
            copies = "–" if math.isnan(row.copies) else f"{100 * row.copies:.0f} %"
            lines.append(
                f"{row.step:>9,} {row.train[at]:>9.3g} {row.held_out[at]:>9.3g} {row.gap[at]:>6.2f} "
                f"{row.sigma[at]:>9.2g} {copies:>7}"
            )
        seen = ", ".join(f"{name}: {'not yet' if step is None else f'step {step:,}'}"
                         for name, step in self.onsets.items())  # fmt: skip
        return "\n".join([*lines, seen])


def _modules(denoiser: object) -> list[nn.Module]:
    """The modules behind a model, as they are before `adapt` takes them out of training."""
    if isinstance(denoiser, Adapted):
        return list(denoiser.modules)
    if isinstance(denoiser, nn.Module):
        return [denoiser]
    parts = (getattr(denoiser, name, None) for name in PARTS)  # of a pipeline
    return [part for part in parts if isinstance(part, nn.Module)]
