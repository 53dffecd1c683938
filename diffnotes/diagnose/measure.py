"""What is measured of a reader's model: every number of a report, in parts that are kept one by one.

All losses are mean squared errors of x0 per dimension, with images in [-1, 1], at noise levels sigma of
x = x0 + sigma eps. Draws are shared: the same images and noise at every level and for every model.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np
import torch

from diffnotes.base import runtime
from diffnotes.base.shapes import Array, Tensor
from diffnotes.base.terminal import tell
from diffnotes.data import as_floats
from diffnotes.diagnose.samples import ended
from diffnotes.diagnose.subject import Subject, ends, levels_of, noise_of
from diffnotes.loss_gap import LossGap, loss_gap
from diffnotes.metrics import neighbours
from diffnotes.optimal_loss import linear_loss, optimal_loss
from diffnotes.process import VE
from diffnotes.regions import distance_ratio
from diffnotes.sample import conditioned, edm_sigmas, initial_noise, trajectory
from diffnotes.store import Arrays, Work
from diffnotes.train import Report

LOOKED = 2000  # images of each split that are compared with all training images
TRIED = 64  # images for which other noise levels are told
FACTORS = (0.25, 0.5, 1.0, 2.0, 4.0)  # of the noise level, told in place of it
HALF = 2000  # images of each half of which a linear denoiser is fitted and tried


# ------------------------------------------------------------------------------------------------ the parts


def measured(subject: Subject, work: Work, report: Report | None = None) -> Arrays:
    """All arrays of a report. report: told how far it is, in place of `work.step`."""
    report = report or work.step
    levels = levels_of(subject)
    blocks = list(runtime.blocks(subject.settings.samples, 32)) if subject.given is None else []
    plan: list[tuple[str, Callable[[], Arrays]]] = [
        ("images", lambda: _images(subject)),
        ("probe", lambda: _probe(subject, levels)),
        ("optimum", lambda: _optimum(subject, levels)),
        *((f"loss-{k}", lambda k=k: _loss(subject, levels[k : k + 1])) for k in range(len(levels))),
        *((f"samples-{k}", lambda p=p: _samples(subject, p)) for k, p in enumerate(blocks)),
    ]
    found: dict[str, Arrays] = {}
    with runtime.full_precision(), torch.no_grad():
        for place, (name, make) in enumerate(plan):
            before = work.load(name)
            found[name] = _made(work, name, make) if before is None else before
            if before is None:  # a part that was there already is no reason to stop
                report(place + 1, len(plan) + 1, name)
        losses = _joined([found[f"loss-{k}"] for k in range(len(levels))])
        made = [found[f"samples-{k}"] for k in range(len(blocks))]
        whole = found["images"] | found["probe"] | found["optimum"] | losses | {"sigma": levels.numpy()}
        whole |= work.load("ends") or _made(work, "ends", lambda: ended(subject, made))
    report(1, 1, "done")
    return whole


def _made(work: Work, name: str, make: Callable[[], Arrays]) -> Arrays:
    """A part, made and kept."""
    found = {key: np.asarray(value) for key, value in make().items()}
    work.save(name, found)
    return found


def _joined(tables: Sequence[Arrays]) -> Arrays:
    return {name: np.concatenate([table[name] for table in tables]) for name in tables[0]}


def _images(subject: Subject) -> Arrays:
    """Counts, the deviation, and how near images lie to training images."""
    points, train = subject.points(), subject.train
    own = subject.first(train, LOOKED)
    apart = neighbours(own, points).distance[:, 1] / subject.size**0.5  # the nearest is itself
    found = {
        "train_count": np.array(len(train)), "deviation": np.array(subject.deviation),
        "dimension": np.array(subject.size), "train_apart": apart.cpu().numpy(),
        "same_within": np.array(subject.same),
    }  # fmt: skip
    if subject.held_out is not None:
        other = subject.first(subject.held_out, LOOKED)
        near = neighbours(other, points).distance[:, 0] / subject.size**0.5
        found |= {"held_count": np.array(len(subject.held_out)), "held_apart": near.cpu().numpy()}
    return found


def _probe(subject: Subject, levels: Tensor) -> Arrays:
    """What the model says when it is told other noise levels, and its best scale and offset: losses [probe,
    factor] and `_fitted` [probe, 3]; the seconds of an answer and of an optimal answer, for one image."""
    places = np.unique(np.linspace(1, len(levels) - 2, 5).round().astype(int))
    x0 = subject.first(subject.train, TRIED)
    labels = subject.labels(subject.train)
    chosen = None if labels is None else labels[subject.order(subject.train, TRIED)]
    noise, rows, fits = noise_of(subject, "probe", range(len(x0))), [], []
    began, asked = time.perf_counter(), 0
    for place in places:
        sigma, row = float(levels[place]), []
        for factor in FACTORS:
            told = min(max(factor * sigma, subject.model.low), subject.model.high)
            answer = subject.ask(x0 + sigma * noise, told, chosen)
            asked += len(x0)
            row.append(float((answer - x0).double().square().mean()))
            if factor == 1:
                fits.append(_fitted(answer, x0))
        rows.append(row)
    seconds = (time.perf_counter() - began) / asked
    began = time.perf_counter()
    subject.best(x0[:16], float(levels[len(levels) // 2]), None)
    optimal = (time.perf_counter() - began) / min(16, len(x0))
    minutes = max(1, round(_cost(subject, seconds, optimal) / 60))
    text = f"{minutes} minutes" if minutes > 1 else "a minute"
    tell(f"About {text}; the same call goes on if it is stopped.")
    return {
        "probe_sigma": levels.numpy()[places], "probe_factor": np.array(FACTORS),
        "probe_loss": np.array(rows), "probe_fit": np.array(fits),
    }  # fmt: skip


def _fitted(answer: Tensor, x0: Tensor) -> tuple[float, float, float]:
    """(a, b, share): a answer + b is nearest to x0, and its loss over that of the answer."""
    y, x = answer.double().flatten(), x0.double().flatten()
    middle, wanted = y.mean(), x.mean()
    slope = ((y - middle) @ (x - wanted)) / (y - middle).square().sum().clamp(min=1e-12)
    offset = wanted - slope * middle
    left = (slope * y + offset - x).square().mean() / (y - x).square().mean().clamp(min=1e-12)
    return float(slope), float(offset), float(left)


def _cost(subject: Subject, seconds: float, optimal: float) -> float:
    """Seconds of a report, from those of one answer and of one optimal answer."""
    s, splits = subject.settings, 1 + (subject.held_out is not None)
    solved = 0 if subject.given is not None else s.samples
    asked = splits * s.levels * s.draws + solved * (2 * s.steps + s.probes)
    best = splits * s.levels * s.draws + 2 * solved * s.probes
    return asked * seconds + best * optimal


def _optimum(subject: Subject, levels: Tensor) -> Arrays:
    """J*(sigma) per dimension, of the class where the model is told one; and the deviation it tends to."""
    curve = optimal_loss(
        subject.points(), levels, sources=subject.settings.sources, labels=subject.labels(subject.train),
        seed=subject.settings.seed,
    )  # fmt: skip
    size = subject.size
    return {
        "linear": _linear(subject, levels), "optimum": curve.mean.cpu().numpy() / size,
        "optimum_stderr": curve.stderr.cpu().numpy() / size, "variance": np.array(curve.variance / size),
    }  # fmt: skip


def _linear(subject: Subject, levels: Tensor) -> Array:
    """The loss per dimension of the best linear denoiser of one half of the images on the other half [l]:
    what can be had without knowing the images by heart."""
    count = min(len(subject.train) // 2, HALF)
    both = subject.first(subject.train, 2 * count)
    found: Array = linear_loss(both[:count], both[count:], levels).cpu().numpy()
    return found


def _loss(subject: Subject, level: Tensor) -> Arrays:
    """At one noise level, per dimension: the loss, the optimal one on the same draws, and the gap, on
    training and on held-out images."""
    points, train, held = subject.points(), subject.train, subject.held_out
    more = {"draws": subject.settings.draws, "seed": subject.settings.seed}
    labels = subject.labels(train)
    known = loss_gap(subject.ask, points, level, labels=labels, **more)  # type: ignore[arg-type]
    found = _losses("train", known, subject.size)
    if held is not None:
        # Draws of one held-out image are not independent: its error counts images, not draws.
        times = max(1.0, -(-subject.settings.draws // len(held))) ** 0.5
        other = loss_gap(
            subject.ask, points, level, labels=labels, held_out=as_floats(held.values).to(subject.where),
            held_out_labels=subject.labels(held), **more,  # type: ignore[arg-type]
        )  # fmt: skip
        found |= _losses("held", other, subject.size)
        found |= {name: times * found[name] for name in ("held_loss_stderr", "held_gap_stderr")}
    return found


def _losses(split: str, found: LossGap, size: int) -> Arrays:
    names = ("loss", "loss_stderr", "gap", "stderr", "optimal")
    values = {name: getattr(found, name).cpu().numpy() / size for name in names}
    return {f"{split}_{'gap_stderr' if name == 'stderr' else name}": v for name, v in values.items()}


def _samples(subject: Subject, part: slice) -> Arrays:
    """Some samples, and at some levels of the way the distance of the model's answer from the optimal one,
    per dimension, and how far off the shells of noised training images the state is, r* [probe, b]; the same
    for noised training images."""
    low, high = ends(subject, 0.004, 160.0)
    times = edm_sigmas(subject.settings.steps, low, high)
    index = range(part.start, part.stop)
    noise = initial_noise(index, subject.shape, subject.settings.seed).to(subject.where)
    wanted = _wanted(subject, part)
    model = subject.model if wanted is None else conditioned(subject.model, wanted)
    places, rows = _places(times, subject.settings.probes), []
    for place, state in enumerate(trajectory(model, float(times[0]) * noise, times, VE())):
        if place in places:
            rows.append(_off(subject, state.x, state.denoised, float(times[place]), wanted))
        last = state.x
    order = torch.from_numpy(np.asarray(index)) % len(subject.train)
    x0 = as_floats(subject.train.values[subject.order(subject.train, len(subject.train))[order]])
    x0 = x0.to(subject.where)
    levels = [float(times[place]) for place in places]
    known = []
    for sigma in levels:
        x = x0 + sigma * noise_of(subject, "shells", index)
        known.append(_off(subject, x, subject.ask(x, sigma, wanted), sigma, wanted))
    return {
        "sample": last.cpu().numpy(), "path_sigma": np.array(levels),
        "path_gap": np.stack([row[0] for row in rows]), "path_ratio": np.stack([row[1] for row in rows]),
        "known_gap": np.stack([row[0] for row in known]), "known_ratio": np.stack([row[1] for row in known]),
    }  # fmt: skip


def _wanted(subject: Subject, part: slice) -> Tensor | None:
    """The classes that samples are asked for: those of training images, as often as there."""
    if not subject.labelled:
        return None
    order = subject.order(subject.train, len(subject.train))
    return subject.train.labels[order[torch.arange(part.start, part.stop) % len(order)]]


def _places(times: Tensor, count: int) -> list[int]:
    """Steps of the sampler to look at, evenly spaced, without the last, which has no noise."""
    return sorted({int(k) for k in np.linspace(0, len(times) - 2, count).round()})


def _off(
    subject: Subject, x: Tensor, answer: Tensor, sigma: float, labels: Tensor | None
) -> tuple[Array, Array]:
    apart = (answer - subject.best(x, sigma, labels)).double().square().flatten(1).mean(1)
    ratio = distance_ratio(x, sigma, subject.points(), VE()).ratio
    return apart.cpu().numpy(), ratio.cpu().numpy()
