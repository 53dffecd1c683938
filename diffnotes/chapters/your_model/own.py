"""A report on one model as a record (chapter 6): a reader's own, or a small network that is trained here.

Without `model` a network is trained on the first n images of `train` in the setting of EDM (Karras et al.
2022): prediction target F, ln sigma normal with mean -1.2 and deviation 1.2. What is measured is what
`diffnotes.diagnose` measures, with its arrays as they are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from diffnotes import adapters
from diffnotes.adapters import Adapted, adapt
from diffnotes.base import runtime
from diffnotes.base.errors import UserError
from diffnotes.data import Dataset, fingerprint
from diffnotes.data.given import given
from diffnotes.data.sets import NAMES, permutation
from diffnotes.diagnose import Settings
from diffnotes.diagnose.measure import measured
from diffnotes.diagnose.subject import subject_of
from diffnotes.networks import NetworkDenoiser, parameter_count, seeded, small_network
from diffnotes.store import Arrays, Experiment, Spec, Tolerance, Work, choice, flag, number, text
from diffnotes.train import DenoisingLoss, LogNormal, Plan, Report, Snapshot, Training, evaluating

TOLERANCE = Tolerance(3e-4, 1e-6, "float32 steps and samples: rounding grows on the way")
TOLERANCES = dict.fromkeys(
    ("sheet", "closest_samples", "closest_images"), Tolerance(0.0, 1.0, "a byte may round the other way")
)


@dataclass(frozen=True)
class OwnSpec(Spec):
    """What the report is on, and how much is measured; sigma is in units of pixels in [-1, 1]."""

    model: str = text("", help="folder, file or module:function; empty: a network is trained here")
    train: str = text("digits", help="training images: a set of the book, a folder, .npz, .npy, .parquet")
    held_out: str = text("digits", help="images not trained on; as train: its held-out split; empty: none")
    side: int = number(0, low=0, help="bring images to this side; 0: as they are")
    grey: bool = flag(False, help="make colours grey")
    values: str = choice("-1,1", "-1,1", "0,1", "as they are", help="what floating-point arrays hold")
    process: str = choice("", "", "ve", "vp", "flow", help="of a function that predicts target")
    target: str = choice("", "", "x0", "eps", "v", "velocity", "score", "F", help="what it predicts")
    pixels: str = choice("-1,1", "-1,1", "0,1", help="the range of pixels that it was trained on")
    sha256: str = text("", help="of a program that you trust")
    labels: bool = flag(False, help="tell the model the class of every image")
    n: int = number(64, low=4, help="images that the network is trained on here")
    network: str = choice("mlp", "mlp", "unet", help="its kind")
    width: int = number(256, low=8, help="its width")
    blocks: int = number(3, low=1, high=8, help="its residual blocks, of a U-Net per level")
    steps: int = number(2500, low=4, help="its training steps")
    batch: int = number(64, low=1, help="batch size")
    rate: float = number(2e-3, low=1e-7, high=1.0, help="learning rate of Adam")
    horizon: int = number(200, low=1, help="average of the weights that is measured, in steps")
    precision: str = choice("float32", "float32", "bfloat16", help="of products in training")
    levels: int = number(16, low=4, high=200, help="noise levels")
    draws: int = number(512, low=8, help="noisy images at each noise level, of each split")
    samples: int = number(256, low=0, help="samples")
    sampler_steps: int = number(18, low=4, help="Heun steps of the sampler")
    seed: int = number(0, low=0, high=2**31, help="of images, weights, draws and samples")


def compute(spec: OwnSpec, work: Work) -> Arrays:
    """What `diagnose` measures; of a network that is trained here also its size and its last loss."""
    work.device = runtime.device_name(runtime.device())
    train_set, held_out = images_of(spec)
    more: Arrays = {}
    report: Report | None = None
    if spec.model:
        model = adapt(
            spec.model, process=spec.process or None, target=spec.target or None, pixels=spec.pixels,
            sha256=spec.sha256 or None,
        )  # fmt: skip
    else:
        model, more = _trained(spec, train_set, work)
        report = work.part(1, 2, "report")
    settings = Settings(
        levels=spec.levels, draws=spec.draws, samples=spec.samples, steps=spec.sampler_steps, seed=spec.seed
    )
    subject = subject_of(model, train_set, held_out, labels=spec.labels or None, settings=settings)
    return measured(subject, work, report) | more


def images_of(spec: OwnSpec) -> tuple[Dataset, Dataset | None]:
    """Training images, of which a network that is trained here gets n, and held-out ones."""
    train_set = _read(spec, spec.train, "train")
    if not spec.model:
        if spec.n > len(train_set):
            raise UserError(f"{spec.train} has {len(train_set):,} images; lower n, which is {spec.n:,}.")
        train_set = train_set.taken(permutation(len(train_set), spec.seed)[: spec.n])
    if not spec.held_out:
        return train_set, None
    return train_set, _read(spec, spec.held_out, _split(spec))


def _read(spec: OwnSpec, source: str, split: str) -> Dataset:
    return given(source, split=split, side=spec.side, grey=spec.grey, pixels=spec.values)


def _split(spec: OwnSpec) -> str:
    """That of the held-out images."""
    return "validation" if spec.held_out == spec.train else "train"


def _trained(spec: OwnSpec, images: Dataset, work: Work) -> tuple[Adapted, Arrays]:
    """A small network after its training, with averaged weights; and its size and last losses."""
    x = images.x.to(runtime.device())
    shape = tuple(x.shape[1:])
    network = seeded(spec.seed, lambda: small_network(spec.network, shape, spec.width, spec.blocks))
    denoiser = NetworkDenoiser(network).to(x.device)
    plan = Plan(
        spec.steps, spec.batch, spec.rate, horizons=(spec.horizon,), precision=spec.precision, seed=spec.seed
    )

    def evaluate(end: Snapshot) -> Arrays:
        with evaluating(end, spec.horizon) as model:
            weights = {name: w.cpu().numpy() for name, w in model.state_dict().items()}
        return weights | {"batch_loss": np.array(end.loss)}

    stops = [spec.steps // 2, spec.steps]  # halfway only to be stopped there
    run = Training("network", denoiser, DenoisingLoss(x, LogNormal()), plan, stops, evaluate)
    found = run.evaluations(work, work.part(0, 2, "training"))
    losses = found.pop("batch_loss")
    denoiser.load_state_dict({name: torch.as_tensor(w[-1]) for name, w in found.items()})
    size = np.array(parameter_count(denoiser))
    return adapt(denoiser.eval()), {"parameters": size, "batch_loss": losses[-1:]}


def fingerprints(spec: OwnSpec) -> dict[str, str]:
    """Of the images and of the model: a set of the book by its name, anything else by its content."""
    sources = {f"{spec.train} train": (spec.train, "train")}
    if spec.held_out:
        sources[f"{spec.held_out} {_split(spec)}"] = (spec.held_out, _split(spec))
    found = {
        name: fingerprint(source, split=split) if source in NAMES else _read(spec, source, split).fingerprint
        for name, (source, split) in sources.items()
    }
    return found | ({f"model {spec.model}": adapters.fingerprint(spec.model)} if spec.model else {})


SMOKE = OwnSpec(
    n=24, width=32, blocks=1, steps=400, batch=24, horizon=20, levels=6, draws=48, samples=40,
    sampler_steps=6,
)  # fmt: skip

EXPERIMENT = Experiment(
    name="own_model",
    version=1,
    spec=OwnSpec,
    profiles={
        "smoke": SMOKE,
        "smoke_blocks": SMOKE.replace(blocks=2, seed=1),
        "smoke_seed": SMOKE.replace(seed=2),
        "laptop": OwnSpec(),
    },
    compute=compute,
    seconds={"smoke": 2, "smoke_blocks": 2, "smoke_seed": 2, "laptop": 60},
    data=fingerprints,
    tolerance=TOLERANCE,
    tolerances=TOLERANCES,
)
