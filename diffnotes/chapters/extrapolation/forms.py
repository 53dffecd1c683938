"""Two forms of one objective: the exact posterior mean as target, and a draw from the posterior (chapter 2).

Song et al. (arXiv 2510.01378) train with importance sampling, equation L'. For D = D(x; s), y* = E[x0|x, s]
over D_score and y a draw of that posterior,

    E_y |D - y|^2 = |D - y*|^2 + E_y |y - y*|^2:

the gradients agree in expectation, and the losses differ by a posterior variance that no network can change.
Here both are taken on the same batches, with the same network, at several moments of its training.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from diffnotes.base import runtime
from diffnotes.base.runtime import normals
from diffnotes.chapters.extrapolation import freedom
from diffnotes.chapters.extrapolation.freedom import FreedomSets, FreedomSpec
from diffnotes.chapters.extrapolation.objective import FreedomLoss, posterior_weights
from diffnotes.networks import MLP, NetworkDenoiser, seeded
from diffnotes.process import FlowMatching
from diffnotes.store import Arrays, Experiment, Spec, Tolerance, Work, choice, number, numbers
from diffnotes.train import Batch, Plan, Snapshot, Training, UniformTime

FAR = 1_000_000  # the first batch of a comparison: far from those of the training
FORMS = ("exact", "drawn")


@dataclass(frozen=True)
class FormsSpec(Spec):
    """Settings of the network, and of the batches on which the two forms are compared."""

    dataset: str = choice("digits", "digits", "gaussian", help="points")
    anchors: int = number(128, low=4, help="points of D_score")
    ratio: int = number(8, low=1, help="|D_region| / |D_score|")
    width: int = number(64, low=8, help="width of the MLP")
    steps: tuple[int, ...] = numbers((100, 1000), low=1, help="training steps after which they are compared")
    batch: int = number(64, low=1, help="batch size")
    batches: int = number(400, low=3, help="batches of the comparison")
    directions: int = number(4, low=1, high=100, help="random directions of the weights")
    seeds: tuple[int, ...] = numbers((0, 1, 2), low=0, high=2**31, help="of points, weights and noise")


def compute(spec: FormsSpec, work: Work) -> Arrays:
    """Losses and slopes of both forms on every batch, [seed, stop, ...]; see `_Compared`."""
    where = runtime.device()
    work.device = runtime.device_name(where)
    runs = [_Compared(spec, seed, where) for seed in spec.seeds]
    tables = [run.table(work, place) for place, run in enumerate(runs)]
    stacks = {name: np.stack([one[name] for one in tables]) for name in tables[0]}
    return stacks | {"step": np.array(spec.steps), "form": np.array(FORMS)}


class _Compared:
    """One network, trained with the exact form, on which both forms are compared."""

    def __init__(self, spec: FormsSpec, seed: int, where: torch.device) -> None:
        self.spec, self.seed = spec, seed
        sizes = FreedomSpec(
            dataset=spec.dataset,
            anchors=spec.anchors,
            ratios=(spec.ratio,),
            control=max(2, spec.ratio),
            held_out=8,
        )
        points = FreedomSets.of(sizes, seed)
        process = FlowMatching()
        network = seeded(seed, lambda: MLP(points.shape, spec.width, 2))
        self.denoiser = NetworkDenoiser(network, process, "x0").to(where)
        region = points.region(freedom.Arm("mlp", "region", float(spec.ratio)))
        self.exact = FreedomLoss(region.to(where), points.score.to(where), UniformTime(process))
        self.drawn = replace(self.exact, drawn=True)

    def table(self, work: Work, place: int) -> Arrays:
        """What is compared, at every stop."""
        spec, name = self.spec, f"s{self.seed}"
        plan = Plan(spec.steps[-1], spec.batch, seed=self.seed, precision="float32")
        run = Training(name, self.denoiser, self.exact, plan, spec.steps, self._evaluated)
        return run.evaluations(work, work.part(place, len(spec.seeds), name))

    def _evaluated(self, snapshot: Snapshot) -> Arrays:
        """On each batch: the loss [form, batch], the part that no network can change [batch], slopes along
        fixed random directions of the weights [form, batch, direction]; and the variance of the whole
        gradient over batches, summed over the weights [form]."""
        batches = [
            Batch(self.seed, self.spec.batch, FAR + k, range(self.spec.batch))
            for k in range(self.spec.batches)
        ]
        with runtime.full_precision():
            found = [self._form(snapshot.model, loss, batches) for loss in (self.exact, self.drawn)]
            rest = np.array([self._variance(batch) for batch in batches])
        return {name: np.stack([one[name] for one in found]) for name in found[0]} | {"rest": rest}

    def _form(
        self, model: nn.Module, loss: Callable[..., Tensor], batches: list[Batch]
    ) -> dict[str, np.ndarray]:
        weights = [w for w in model.parameters() if w.requires_grad]
        size = sum(w.numel() for w in weights)
        along = normals(self.seed, "forms, direction", range(self.spec.directions), (size,), torch.float64)
        along = along / along.norm(dim=1, keepdim=True)
        values, slopes = [], []
        total, squares = torch.zeros(2, size, dtype=torch.float64)
        for batch in batches:
            value = loss(model, batch).mean()
            flat = torch.cat([g.flatten() for g in torch.autograd.grad(value, weights)]).double().cpu()
            values.append(float(value.detach()))
            slopes.append((along @ flat).numpy())
            total += flat
            squares += flat.square()
        count = len(batches)
        spread = (squares - total.square() / count).sum() / (count - 1)
        return {"loss": np.array(values), "slope": np.array(slopes), "spread": np.array(float(spread))}

    def _variance(self, batch: Batch) -> float:
        """The mean over rows of E_y |y - y*|^2 / d."""
        x, s, _ = self.exact.inputs(batch)
        points = self.exact.score.double().flatten(1)
        w = posterior_weights(x, s, self.exact.score)
        inner = w @ points.square().sum(1) - (w @ points).square().sum(1)
        return float(inner.mean()) / points.shape[1]


SMOKE = FormsSpec(anchors=8, ratio=2, width=8, steps=(2, 4), batch=8, batches=6, directions=2, seeds=(0, 1))

EXPERIMENT = Experiment(
    name="two_forms",
    version=1,
    spec=FormsSpec,
    profiles={"smoke": SMOKE, "laptop": FormsSpec()},
    compute=compute,
    seconds={"smoke": 1, "laptop": 40},
    data=lambda spec: freedom.fingerprints(FreedomSpec(dataset=spec.dataset)),
    tolerance=Tolerance(1e-4, 1e-8, "float32 gradients"),
)
