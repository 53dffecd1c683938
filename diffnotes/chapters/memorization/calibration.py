"""The classifier whose features the book measures distances in, and what the metrics say of known sets.

The classifier is trained on CIFAR-10; its weights are part of the record, so nobody trains it again. The
calibration shows every metric sets whose answer is known: copies, altered copies, real images that are no
copies, and noise.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from diffnotes import data, store
from diffnotes.base import files, runtime
from diffnotes.base.errors import UserError
from diffnotes.base.shapes import Tensor
from diffnotes.data import fingerprint
from diffnotes.metrics import (
    Interval,
    bootstrap,
    copy_similarity,
    frechet,
    memorized,
    neighbours,
    ratios,
    sliced_wasserstein,
)
from diffnotes.networks import FeatureNet, coarse, extract, load_torchscript, seeded
from diffnotes.networks.classifier import (
    SIDE,
    from_arrays,
    sized,
    to_arrays,
    torchscript_file,
)
from diffnotes.store import Arrays, Experiment, Spec, Tolerance, Work, choice, number
from diffnotes.train import Plan, Snapshot, Training
from diffnotes.train.objective import ClassifierLoss

KINDS = ("train", "test", "copies", "noisy", "blurred", "flipped", "noise", "tenth")
SIDES = (32, 16)
QUANTILES = np.linspace(0, 1, 21)
PREFIX = "weights "
CHOICE = "DIFFNOTES_FEATURES"  # NAME:SHA256 of a file of features to take in place of the pinned network


@dataclass(frozen=True)
class ClassifierSpec(Spec):
    """Settings of the training and of the calibration."""

    dataset: str = choice("cifar10", "digits", "cifar10", "specimens", help="training set, used whole")
    width: int = number(32, low=4, high=256, help="channels of the first layer")
    steps: int = number(3600, low=1, help="training steps")
    batch: int = number(128, low=1, help="batch size")
    rate: float = number(3e-3, low=1e-7, high=1.0, help="largest learning rate of Adam")
    warmup: int = number(100, low=0, help="steps of rising rate; then it falls to 0 along half a cosine")
    decay: float = number(0.05, low=0.0, high=1.0, help="weight decay")
    looks: int = number(20, low=1, high=200, help="points of the loss curve")
    count: int = number(1000, low=8, help="images of each set of the calibration")
    noise: float = number(0.05, low=0.0, high=2.0, help="standard deviation of the noise on noisy copies")
    projections: int = number(64, low=1, help="directions of the sliced Wasserstein distance")
    repeats: int = number(100, low=2, help="resamples behind the intervals of distances")
    seed: int = number(0, low=0, high=2**31, help="of weights, batches, changes, images and noise")


def compute(spec: ClassifierSpec, work: Work) -> Arrays:
    """Weights (float16), loss curve, accuracy at both sizes, and the calibration [size, kind, ...]."""
    work.device = runtime.device_name(runtime.device())
    weights, curve = _trained(spec, work)
    net = from_arrays(weights)  # rounded, as everybody will use it
    tested = _accuracy(net, *images_of(spec, "test"))
    return {PREFIX + name: w for name, w in weights.items()} | curve | tested | _calibration(spec, net)


def images_of(spec: ClassifierSpec, split: str, n: int | None = None) -> tuple[Tensor, Tensor]:
    """Images [n, 3, 32, 32], bytes where they are bytes, and labels; grey ones are brought to it."""
    images = data.load(spec.dataset, n=n, split=split, seed=spec.seed)
    if images.pixels is not None:
        return images.pixels, images.labels
    return sized(images.x).expand(-1, 3, -1, -1), images.labels


# ------------------------------------------------------------------------------------------------- training


def _trained(spec: ClassifierSpec, work: Work) -> tuple[Arrays, Arrays]:
    """The weights after the training, float16, and the mean loss between evaluations."""
    net = seeded(spec.seed, lambda: FeatureNet(spec.width)).to(runtime.device())
    images, labels = (x.to(runtime.device()) for x in images_of(spec, "train"))
    loss = ClassifierLoss(images, labels)
    plan = Plan(
        spec.steps, spec.batch, spec.rate, warmup=spec.warmup, anneal="cosine", decay=spec.decay,
        precision="float32", seed=spec.seed,
    )  # fmt: skip
    stops = sorted({max(1, spec.steps * (k + 1) // spec.looks) for k in range(spec.looks)})

    def report(done: float | int, total: float | int, text: str) -> None:
        work.step(done, total + 1, text)  # the calibration is left even at the end

    def evaluate(snapshot: Snapshot) -> Arrays:
        return to_arrays(net) | {"loss": np.array(snapshot.loss)}

    found = Training("training", net, loss, plan, stops, evaluate).evaluations(work, report)
    losses = found.pop("loss")
    return {name: w[-1] for name, w in found.items()}, {"step": np.array(stops), "loss": losses}


def _accuracy(net: FeatureNet, images: Tensor, labels: Tensor) -> Arrays:
    """The share of test images that the classifier names rightly, at both sizes, with binomial errors."""
    x = data.as_floats(images)
    with runtime.full_precision(), torch.no_grad():
        found = [_share(net, x, labels), _share(net, coarse(x), labels)]
    shares = np.array(found)
    return {
        "side": np.array(SIDES), "accuracy": shares,
        "accuracy_stderr": np.sqrt(shares * (1 - shares) / len(labels)), "tested": np.array(len(labels)),
    }  # fmt: skip


def _share(net: FeatureNet, x: Tensor, labels: Tensor) -> float:
    right = [net(x[part]).argmax(1) == labels[part] for part in runtime.blocks(len(x), 500)]
    return float(torch.cat(right).double().mean())


# ---------------------------------------------------------------------------------------------- calibration


def known_sets(spec: ClassifierSpec) -> tuple[Tensor, dict[str, Tensor]]:
    """`count` training images, and as many images of every kind [count, 3, 32, 32] to compare with them.

    "train": other training images; "test": held-out ones; "copies" of the reference, with noise, blurred to
    half the resolution, mirrored; "noise": of the standard deviation 1/2; "tenth": held-out images, every
    tenth replaced by a noisy copy.
    """
    images = data.as_floats(images_of(spec, "train", 2 * spec.count)[0])
    reference, other = images[: spec.count], images[spec.count :]
    test = data.as_floats(images_of(spec, "test", spec.count)[0])
    drawn = runtime.normals(spec.seed, "calibration, noise", range(spec.count), (3, SIDE, SIDE))
    noisy = (reference + spec.noise * drawn).clamp(-1.0, 1.0)
    tenth = torch.where((torch.arange(spec.count) % 10 == 0)[:, None, None, None], noisy, test)
    changed = (reference, noisy, coarse(reference), reference.flip(3), (drawn / 2).clamp(-1.0, 1.0))
    return reference, dict(zip(KINDS, (other, test, *changed, tenth), strict=True))


def _calibration(spec: ClassifierSpec, net: FeatureNet) -> Arrays:
    """What each metric says of each kind at each size."""
    reference, sets = known_sets(spec)
    rows = []
    for side in SIDES:
        known = F.avg_pool2d(reference, SIDE // side)
        seen = extract(net, known)
        rows += [_measured(spec, net, F.avg_pool2d(x, SIDE // side), known, seen) for x in sets.values()]
    table = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
    shaped = {name: a.reshape(len(SIDES), len(KINDS), *a.shape[1:]) for name, a in table.items()}
    return shaped | {"kind": np.array(KINDS), "quantile": QUANTILES}


def _measured(spec: ClassifierSpec, net: FeatureNet, x: Tensor, known: Tensor, seen: Tensor) -> Arrays:
    """Metrics of images x against known ones and their features; three numbers are value, low, high."""
    rho = ratios(neighbours(x, known))
    found = extract(net, x)
    alike = copy_similarity(found, seen)

    def wasserstein(a: Tensor, b: Tensor) -> float:
        return sliced_wasserstein(a, b, projections=spec.projections, seed=spec.seed)

    return {
        "copies": _numbers(memorized(rho, seed=spec.seed)), "rho": np.quantile(rho.numpy(), QUANTILES),
        "similarity": np.quantile(alike.numpy(), QUANTILES),
        "wasserstein": _numbers(bootstrap(wasserstein, found, seen, seed=spec.seed, repeats=spec.repeats)),
        "frechet": _numbers(bootstrap(frechet, found, seen, seed=spec.seed, repeats=spec.repeats)),
    }  # fmt: skip


def _numbers(found: Interval) -> np.ndarray:
    return np.array([found.value, found.low, found.high])


# --------------------------------------------------------------------------------------------- for the others


def pinned_features() -> FeatureNet:
    """The network of the pinned record, on the CPU. MissingRecord tells the command where there is none."""
    return from_arrays(_weights())


def extractor() -> Callable[[Tensor], Tensor]:
    """The features of images [n, c, h, w] in [-1, 1] on any device, [n, k]; see `networks.extract`.

    By the pinned network; where the environment variable DIFFNOTES_FEATURES is NAME:SHA256, by the module in
    DIFFNOTES_DATA/features/NAME.pt, which is a program and must have that digest. `weights_digest` must be
    part of the identity of what is measured.
    """
    chosen = _chosen()
    net = load_torchscript(*chosen) if chosen else pinned_features()

    def features(x: Tensor) -> Tensor:
        return extract(net.to(x.device), x)

    return features


def weights_digest() -> str:
    """SHA-256 of what `extractor` uses: the pinned weights, or the file that DIFFNOTES_FEATURES names."""
    chosen = _chosen()
    if chosen:
        return files.sha256_bytes(torchscript_file(*chosen)[1])
    digest = hashlib.sha256()
    for array, w in sorted(_weights().items()):
        digest.update(f"{array} {w.dtype.str} {w.shape} ".encode())
        digest.update(np.ascontiguousarray(w).data)
    return digest.hexdigest()


def _chosen() -> tuple[str, str] | None:
    """Name and SHA-256 of the features that the environment asks for, if it does."""
    name, _, digest = os.environ.get(CHOICE, "").partition(":")
    return (name, digest) if name else None


def _weights() -> Arrays:
    record = store.load(EXPERIMENT)
    if record.state in ("stale", "tampered", "missing"):
        raise UserError(f"The features are {record.state} ({record.reason}); run and pin them again.")
    arrays = record.arrays
    return {name.removeprefix(PREFIX): w for name, w in arrays.items() if name.startswith(PREFIX)}


def _fingerprints(spec: ClassifierSpec) -> dict[str, str]:
    return {f"{spec.dataset} {s}": fingerprint(spec.dataset, split=s) for s in ("train", "test")}


SMOKE = ClassifierSpec(
    dataset="digits", width=8, steps=4, batch=32, rate=1e-4, warmup=1, looks=2, count=40, projections=16,
    repeats=10,
)  # fmt: skip

EXPERIMENT = Experiment(
    name="features",
    version=1,
    spec=ClassifierSpec,
    profiles={
        "smoke": SMOKE,
        "smoke_pixels": SMOKE.replace(dataset="specimens", warmup=2),
        "laptop": ClassifierSpec(),
    },
    compute=compute,
    seconds={"smoke": 3, "smoke_pixels": 3, "laptop": 1200},
    data=_fingerprints,
    tolerance=Tolerance(2e-4, 1e-5, "weights in float16, of which rounding turns a few: 2e-5 in distances"),
    # Adam's first steps are as long for a gradient of rounding size as for any other: another processor may
    # turn some, each by a step of 1e-4 or a little more.
    tolerances={"weights *": Tolerance(2e-3, 2e-4, "float16, and steps of Adam for the smallest gradients")},
)
