"""What a report is on: a model, its images, and how much is measured."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from functools import cached_property

import numpy as np
import torch

from diffnotes.adapters import Adapted
from diffnotes.base import runtime
from diffnotes.base.errors import UserError
from diffnotes.base.shapes import Tensor
from diffnotes.data import Dataset, as_floats
from diffnotes.posterior import posterior
from diffnotes.process import noise_levels

ROWS = 64  # images that the model sees at once
CHUNK = 4096  # training images at once
SAME = 0.08  # of the deviation: root mean square difference of two images that are the same, 5 grey levels
NEAR = 0.25  # of the distance to the second nearest other image: the same, where images lie near each other


@dataclass(frozen=True)
class Settings:
    """How much is measured. `levels` noise levels, each with `draws` noisy images of either split; `samples`
    samples by `steps` Heun steps, looked at on the way at `probes` noise levels; `sources` draws for the
    optimum."""

    levels: int = 16
    draws: int = 512
    samples: int = 256
    steps: int = 18
    probes: int = 6
    sources: int = 4096
    seed: int = 0

    def __post_init__(self) -> None:
        least = {"levels": 4, "draws": 8, "samples": 0, "steps": 4, "probes": 1, "sources": 8, "seed": 0}
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least[field.name]:
                raise UserError(
                    f"{field.name} must be a whole number of at least {least[field.name]}, not {value!r}."
                )


@dataclass(frozen=True)
class Subject:
    """A model, the images it was trained on, and images that it was not trained on."""

    model: Adapted
    train: Dataset
    held_out: Dataset | None
    labelled: bool  # whether the model is told the class of every image
    given: Tensor | None  # samples that are there already
    features: Callable[[Tensor], Tensor] | None
    where: torch.device
    settings: Settings

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.train.values.shape[1:])

    @property
    def size(self) -> int:
        """Dimensions of an image."""
        return self.train.values[0].numel()

    @cached_property
    def deviation(self) -> float:
        """The root mean square deviation of a training image from their mean, per dimension."""
        total, square, count = torch.zeros(self.size, dtype=torch.float64), 0.0, len(self.train)
        for part in runtime.blocks(count, CHUNK):
            x = as_floats(self.train.values[part]).flatten(1).double()
            total += x.sum(0)
            square += float(x.square().sum())
        variance = square / count - float((total / count).square().sum())
        return float(np.sqrt(max(0.0, variance) / self.size))

    @cached_property
    def same(self) -> float:
        """The root mean square difference up to which two images count as the same."""
        own = self.first(self.train, 256).flatten(1)
        second = nearest(own, self.train.values, 3)[:, 2]  # the nearest is itself, the next may be a double
        return min(SAME * self.deviation, NEAR * float(second.median()) / self.size**0.5)

    def points(self) -> Tensor:
        """The training images as the exact posterior takes them."""
        return self.train.values.to(self.where)

    def labels(self, images: Dataset) -> Tensor | None:
        return images.labels if self.labelled else None

    def first(self, images: Dataset, count: int) -> Tensor:
        """The first images, float32, of an order that the seed draws."""
        return as_floats(images.values[self.order(images, count)]).to(self.where)

    def order(self, images: Dataset, count: int) -> Tensor:
        found = runtime.permutation(self.settings.seed, "diagnose, order", len(images))
        return torch.from_numpy(np.asarray(found[: min(count, len(images))]))

    def ask(self, x: Tensor, sigma: float | Tensor, labels: Tensor | None = None) -> Tensor:
        """The model's answer for many images, ROWS at a time."""
        found = []
        for part in runtime.blocks(len(x), ROWS):
            level = sigma[part] if isinstance(sigma, Tensor) and sigma.ndim else sigma
            more = () if labels is None else (labels[part],)
            found.append(self.model(x[part], level, *more))
        return torch.cat(found)

    def best(self, x: Tensor, sigma: float, labels: Tensor | None) -> Tensor:
        """The optimal answer E[x0|x] over the training images, or over those of the class."""
        points = self.points()
        if labels is None:
            return posterior(x, sigma, points).mean
        found = torch.empty_like(x)
        for label in labels.unique():
            own = points[(self.train.labels == label).nonzero()[:, 0].to(points.device)]
            found[labels == label] = posterior(x[labels == label], sigma, own).mean
        return found


def distances(x: Tensor, images: Tensor) -> Tensor:
    """Between rows x [m, d] and images [k, ...] as floats: [m, k], in difference form."""
    points = as_floats(images).to(x).flatten(1)
    return torch.cdist(x, points, compute_mode="donot_use_mm_for_euclid_dist")


def nearest(x: Tensor, images: Tensor, count: int, beyond: float = -1.0) -> Tensor:
    """The `count` least distances above `beyond` of rows x [m, d] to images, rising [m, count]."""
    found = torch.full((len(x), count), torch.inf, device=x.device)
    for part in runtime.blocks(len(images), CHUNK):
        apart = distances(x, images[part])
        apart = torch.where(apart > beyond, apart, torch.inf)
        found = torch.cat([found, apart], 1).topk(count, largest=False).values
    return found


def subject_of(
    model: Adapted,
    train: Dataset,
    held_out: Dataset | None,
    *,
    samples: Tensor | None = None,
    features: Callable[[Tensor], Tensor] | None = None,
    labels: bool | None = None,
    settings: Settings | None = None,
) -> Subject:
    """What `diagnose` is given, on the device and checked: UserError for what does not fit the model."""
    told, where = model.needs_label if labels is None else labels, runtime.device()
    found = Subject(model.to(where), train, held_out, told, samples, features, where, settings or Settings())
    if told and labels is None and model.classes > 1 and len(train.labels.unique()) == 1:
        raise UserError(
            f"{model.name} must be told a class, and the training images have none (or one); give a folder "
            "for each class, or labels. If all are of one class, say that labels are meant."
        )
    _fit(found)
    return found


def _fit(subject: Subject) -> None:
    """UserError unless images, classes and samples fit the model."""
    model, shape = subject.model, subject.shape
    if len(subject.train) < 3:
        raise UserError(f"There are {len(subject.train)} training images; a report needs at least 3.")
    held = subject.held_out
    sets: dict[str, Tensor | None] = {
        "training": subject.train.values, "held-out": None if held is None else held.values,
        "sampled": subject.given,
    }  # fmt: skip
    for name, values in sets.items():
        if values is None:
            continue
        if model.shape is not None and tuple(values.shape[1:]) != model.shape:
            raise UserError(
                f"{model.name} denoises images {_by(model.shape)}, and the {name} images are "
                f"{_by(tuple(values.shape[1:]))}; bring them to that size, and colours to grey if need be."
            )
        if tuple(values.shape[1:]) != shape:
            raise UserError(
                f"The training images are {_by(shape)}, and the {name} images "
                f"{_by(tuple(values.shape[1:]))}; give images of one size."
            )
    if held is not None and len(held) < 3:
        raise UserError(f"There are {len(held)} held-out images; give at least 3, or none.")
    if subject.labelled:
        _classes_fit(subject)


def _classes_fit(subject: Subject) -> None:
    model, held = subject.model, subject.held_out
    if not model.classes:
        raise UserError(f"{model.name} knows no classes, so it can be told none; leave labels out.")
    known = subject.train.labels
    if not 0 <= int(known.min()) <= int(known.max()) < model.classes:
        raise UserError(
            f"{model.name} knows classes 0 to {model.classes - 1}, and the training images have "
            f"{int(known.min())} to {int(known.max())}; give labels that it knows."
        )
    strange = set(held.labels.tolist()) - set(known.tolist()) if held is not None else set()
    if strange:
        raise UserError(f"No training image is of class {min(strange)}, of which there are held-out images.")


def _by(shape: tuple[int, ...]) -> str:
    return " × ".join(map(str, shape))


def identity(subject: Subject) -> str:
    """Which report it is: settings, images, and the model by its answers to noisy images."""
    digest = hashlib.sha256(repr(asdict(subject.settings)).encode())
    for images in (subject.train, subject.held_out):
        digest.update(b"none" if images is None else images.fingerprint.encode())
    if subject.given is not None:
        digest.update(np.ascontiguousarray(subject.given.cpu().numpy()).data)
    x, levels = subject.first(subject.train, 4), levels_of(subject)
    labels = subject.labels(subject.train)
    chosen = None if labels is None else labels[subject.order(subject.train, 4)]
    noise = noise_of(subject, "identity", range(len(x)))
    for sigma in (float(levels[place]) for place in (0, len(levels) // 2, -1)):
        answer = subject.ask(x + sigma * noise, sigma, chosen)
        digest.update(np.ascontiguousarray(answer.cpu().numpy()).data)
    if subject.features is not None:
        digest.update(np.ascontiguousarray(subject.features(x).cpu().numpy()).data)
    return digest.hexdigest()[:16]


def levels_of(subject: Subject) -> Tensor:
    """The noise levels, float64 [l]: from a twenty-fifth of the deviation of the images to sixty times it, as
    far as the model knows them."""
    low, high = ends(subject, 0.04, 60.0)
    return noise_levels(subject.settings.levels, low, high)


def ends(subject: Subject, low: float, high: float) -> tuple[float, float]:
    """Two multiples of the deviation of the images, within what the model knows."""
    scale = subject.deviation
    if scale == 0:
        raise UserError("All training images are the same; give at least two different ones.")
    found = max(subject.model.low, low * scale), min(subject.model.high, high * scale)
    if not 4 * found[0] < found[1]:
        raise UserError(
            f"{subject.model.name} knows noise levels {subject.model.low:.3g} to {subject.model.high:.3g}, "
            f"and the images deviate by {scale:.3g}: nothing is left to look at. Are they in its units?"
        )
    return found


def noise_of(subject: Subject, stream: str, index: range) -> Tensor:
    """The noise of some draws."""
    found = runtime.normals(subject.settings.seed, f"diagnose, {stream}", index, subject.shape)
    return found.to(subject.where)
