"""Four points in the plane, and networks that see them in different coordinates (chapter 2).

Song et al. (arXiv 2510.01378), section 6 and appendix C.9, figure 9. The points (-1, 0), (-0.2, 0), (0.2, 0),
(1, 0) are close "to perception" where their angles are equal: so the two on either side of the origin belong
together, and the two beside the origin, although they are near, do not. The exact sampler ends at the points.
Where other samples lie says how a network extrapolates, if it fits near the points; `off` says how well.

Pairs of a plain denoiser and one aligned with perception:
- an MLP of two hidden layers on (x, y), and on (r, cos, sin) of the angle;
- kernel ridge regression with a Gaussian kernel on the same two;
- the MLP on (x, y) again, and one that commutes with scalings: D(c z) = c D(z) for c > 0, which we take
  "radially equivariant" to mean, since a denoiser that commutes with rotations could not know the axis.

Everything is done in the frame of flow matching, z = (1 - t) x0 + t eps. The paper gives no settings; a
second value of the width and of the kernel's says how much hangs on ours.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from diffnotes.base import runtime
from diffnotes.base.runtime import normals
from diffnotes.base.shapes import Float
from diffnotes.networks import seeded
from diffnotes.networks.layers import zero
from diffnotes.posterior import ExactDenoiser
from diffnotes.process import FlowMatching
from diffnotes.sample import flow_times, sample
from diffnotes.store import Arrays, Experiment, Spec, Tolerance, Work, number, numbers
from diffnotes.train import DenoisingLoss, LogNormal, Plan, Snapshot, Training, evaluating

POINTS = ((-1.0, 0.0), (-0.2, 0.0), (0.2, 0.0), (1.0, 0.0))
INNER, OUTER = 0.2, 1.0  # |x| of the points: the bad gap lies within INNER, the good ones between the two
PLACES = ("point", "bad", "good", "elsewhere")
COORDINATES = ("plain", "polar", "radial")
Plane = Callable[..., Tensor]  # a denoiser of points
SHOWN = 500  # samples of the first seed that are kept
LEVELS = (0.05, 0.1, 0.2, 0.4)  # of s, at which the distance to the exact denoiser is taken
NOISED = 256  # noised points for it, of each point


@dataclass(frozen=True)
class PerceptionSpec(Spec):
    """Settings of the denoisers, and of what counts as a gap."""

    widths: tuple[int, ...] = numbers((128, 256), low=2, high=4096, help="widths of the MLP")
    steps: int = number(20_000, low=2, help="training steps of the MLP")
    batch: int = number(128, low=4, help="batch size")
    rate: float = number(5e-3, low=1e-7, high=1.0, help="learning rate of Adam, which falls to 0")
    noise_mean: float = number(-1.8, low=-10, high=10, help="mean of ln s in training")
    noise_std: float = number(1.0, low=1e-3, high=10, help="its deviation")
    horizon: int = number(200, low=1, help="average of the weights that is evaluated, in steps")
    kernels: tuple[float, ...] = numbers((0.3, 0.6), low=1e-3, high=100, help="widths of the kernel")
    ridge: float = number(1e-3, low=1e-9, high=10, help="ridge, for each noised point")
    noised: int = number(64, low=2, high=1000, help="noised points for each point and level, for the kernel")
    samples: int = number(2000, low=8, help="samples")
    sampler_steps: int = number(50, low=2, help="Euler steps of the sampler")
    close: float = number(0.03, low=1e-6, high=0.1, help="distance within which a sample is at a point")
    band: float = number(0.1, low=1e-6, help="how far from the axis a sample in a gap may lie")
    seeds: tuple[int, ...] = numbers((0, 1, 2), low=0, high=2**31, help="of weights and noise")


def compute(spec: PerceptionSpec, work: Work) -> Arrays:
    """Shares of samples by PLACES [variant, setting, seed, 4]; distance of the denoiser to the exact one at
    noised points [variant, setting, seed, level]; some samples [variant, setting, k, 2]."""
    where = runtime.device()
    work.device = runtime.device_name(where)
    variants = [("mlp", one) for one in COORDINATES] + [("kernel", one) for one in COORDINATES[:2]]
    cases = [
        (kind, coordinates, float(setting), seed)
        for kind, coordinates in variants
        for setting in (spec.widths if kind == "mlp" else spec.kernels)
        for seed in spec.seeds
    ]
    made = [_made(spec, case, where, work, place / len(cases)) for place, case in enumerate(cases)]
    shape = (len(variants), -1, len(spec.seeds))
    shares = np.stack([places(torch.from_numpy(one["x"]), spec.close, spec.band) for one in made])
    shown = np.stack([one["x"][:SHOWN] for one in made])
    off = np.stack([one["off"] for one in made])
    return {
        "share": shares.reshape(*shape, len(PLACES)), "off": off.reshape(*shape, len(LEVELS)),
        "level": np.array(LEVELS), "x": shown.reshape(*shape, *shown.shape[1:])[:, :, 0],
        "kind": np.array([kind for kind, _ in variants]), "coordinates": np.array([c for _, c in variants]),
        "place": np.array(PLACES), "point": np.array(POINTS),
    }  # fmt: skip


def places(x: Float[Tensor, "n 2"], close: float, band: float) -> np.ndarray:
    """Shares [4] of samples at a point, in the bad gap, in a good gap, and elsewhere."""
    at = torch.cdist(x.double(), torch.tensor(POINTS, dtype=torch.float64)).amin(1) <= close
    on, across = (x[:, 1].abs() <= band) & ~at, x[:, 0].abs()
    bad, good = on & (across < INNER), on & (across >= INNER) & (across <= OUTER)
    return np.array([float(one.double().mean()) for one in (at, bad, good, ~(at | bad | good))])


Case = tuple[str, str, float, int]


def _made(spec: PerceptionSpec, case: Case, where: torch.device, work: Work, done: float) -> Arrays:
    """The samples [n, 2] of one denoiser, and how far it is from the exact one [level]."""
    kind, coordinates, setting, seed = case
    name = f"{kind}-{coordinates}-{setting:g}-s{seed}"
    if kind == "mlp":
        network = seeded(seed, lambda: FlatDenoiser(int(setting), coordinates)).to(where)
        points = torch.tensor(POINTS, device=where)
        law = LogNormal(spec.noise_mean, spec.noise_std)
        objective = DenoisingLoss(points, law, FlowMatching(), "x0")
        plan = Plan(
            spec.steps, spec.batch, spec.rate, anneal="cosine", horizons=(spec.horizon,),
            precision="float32", seed=seed,
        )  # fmt: skip

        def drawn(snapshot: Snapshot) -> Arrays:
            with evaluating(snapshot, spec.horizon):
                return _measured(spec, network, seed, where)

        run = Training(name, network, objective, plan, [spec.steps], drawn)
        found = run.evaluations(work, lambda d, t, text: work.step(done, 1, text))
        return {key: found[key][0] for key in ("x", "off")}
    saved = work.load(name)
    if saved is None:
        saved = _measured(spec, KernelDenoiser(coordinates, setting, spec, seed), seed, where)
        work.save(name, saved)
    work.step(done, 1, name)
    return saved


def _measured(spec: PerceptionSpec, denoiser: Plane, seed: int, where: torch.device) -> Arrays:
    x = sample(
        denoiser, (2,), spec.samples, flow_times(spec.sampler_steps), process=FlowMatching(), solver="euler",
        seed=seed, batch=4096, device=where,
    )  # fmt: skip
    return {"x": x.numpy(), "off": distances(denoiser, seed, where)}


def distances(denoiser: Plane, seed: int, where: torch.device) -> np.ndarray:
    """The root of the mean of |D(x; s) - E[x0|x, s]|^2 over noised points, at each of LEVELS."""
    points = torch.tensor(POINTS, device=where)
    some = points.repeat(NOISED, 1)
    noise = normals(seed, "perception, off", range(len(some)), (2,)).to(where)
    exact = ExactDenoiser(points)
    with torch.no_grad():
        apart = [denoiser(some + s * noise, s) - exact(some + s * noise, s) for s in LEVELS]
    return np.array([float(one.double().square().sum(1).mean().sqrt()) for one in apart])


def features(z: Float[Tensor, "b 2"], coordinates: str) -> Float[Tensor, "b k"]:
    """(x, y), or (r, cos, sin) of the angle; for "radial" the direction (cos, sin) alone."""
    if coordinates == "plain":
        return z
    r = z.norm(dim=1, keepdim=True)
    direction = z / r.clamp(min=1e-12)
    return direction if coordinates == "radial" else torch.cat([r, direction], 1)


class FlatDenoiser(nn.Module):
    """E[x0|x] in the plane by an MLP of two hidden layers, which begins at zero.

    It sees the features of z = (1 - t) x, t and ln(s)/4. For "radial" the estimate is r times what the MLP
    says of direction and level, so that D(c z) = c D(z) for c > 0.
    """

    def __init__(self, width: int, coordinates: str) -> None:
        super().__init__()
        self.coordinates = coordinates
        size = len(features(torch.ones(1, 2), coordinates)[0]) + 2
        self.first, self.second, self.last = (
            nn.Linear(size, width),
            nn.Linear(width, width),
            nn.Linear(width, 2),
        )
        zero(self.last)

    def forward(
        self, x: Float[Tensor, "b 2"], sigma: float | Tensor, labels: Tensor | None = None
    ) -> Float[Tensor, "b 2"]:
        s = torch.as_tensor(sigma, dtype=torch.float64, device=x.device).expand(len(x))
        t = FlowMatching().time(s)[:, None]
        z = (x.double() * (1 - t)).to(x.dtype)
        level = torch.cat([t, s[:, None].clamp(min=1e-6).log() / 4], 1).to(x.dtype)
        h = F.silu(self.first(torch.cat([features(z, self.coordinates), level], 1)))
        found = self.last(F.silu(self.second(h)))
        return found * z.norm(dim=1, keepdim=True) if self.coordinates == "radial" else found


@dataclass(frozen=True)
class KernelDenoiser:
    """E[x0|x] by kernel ridge regression at each noise level, on features of z = (1 - t) x; float64.

    D = k(z) (K + n lambda I)^-1 X0 over n noised points, k = exp(-|f - f'|^2/(2 h^2)). A level is fitted when
    it is first asked for; its noise depends on (seed, point, t) alone.
    """

    coordinates: str
    width: float
    spec: PerceptionSpec
    seed: int
    fitted: dict[float, tuple[Tensor, Tensor]] = field(default_factory=dict, repr=False)

    def __call__(self, x: Float[Tensor, "b 2"], sigma: float) -> Float[Tensor, "b 2"]:
        t = sigma / (1 + sigma)
        if t not in self.fitted:
            self.fitted[t] = self._fit(t)
        known, weights = self.fitted[t]
        seen = features(x.double().cpu() * (1 - t), self.coordinates)
        return (self._kernel(seen, known) @ weights).to(x)

    def _fit(self, t: float) -> tuple[Tensor, Tensor]:
        """Features of the noised points [n, k] and the solution [n, 2]."""
        points = torch.tensor(POINTS, dtype=torch.float64).repeat(self.spec.noised, 1)
        noise = normals(self.seed, f"kernel, {t:.6f}", range(len(points)), (2,), torch.float64)
        known = features((1 - t) * points + t * noise, self.coordinates)
        ridge = len(points) * self.spec.ridge * torch.eye(len(points), dtype=torch.float64)
        return known, torch.linalg.solve(self._kernel(known, known) + ridge, points)

    def _kernel(self, a: Tensor, b: Tensor) -> Tensor:
        return torch.exp(-torch.cdist(a, b).square() / (2 * self.width**2))


SMOKE = PerceptionSpec(
    widths=(8, 12), steps=20, batch=8, horizon=4, noised=6, samples=40, sampler_steps=6, seeds=(0, 1)
)

EXPERIMENT = Experiment(
    name="perception",
    version=1,
    spec=PerceptionSpec,
    profiles={"smoke": SMOKE, "laptop": PerceptionSpec()},
    compute=compute,
    seconds={"smoke": 2, "laptop": 1200},
    tolerance=Tolerance(1e-4, 1e-5, "float32 steps and samples: rounding grows on the way"),
    tolerances={"share": Tolerance(0.0, 0.03, "a sample may lie on either side of a border")},
)
