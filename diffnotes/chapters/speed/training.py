"""How fast our U-Net trains and samples beside those of two public packages, all from one run.

Two questions, each in images per second of networks with nearly the same number of parameters:
  training  steps of `batch` images: network, loss, gradient bounded at norm 1, Adam, average of the weights.
            Ours is `train` as the book uses it. Each peer goes through the loop that its package ships, with
            the images already in memory: no part of the work is left out, none of ours is added.
  sampling  `images` images with `sampler_steps` evaluations each: Euler steps here, DDIM steps there.

What the networks and loops are: `training_methods`. Everything is timed in float32 and in bfloat16. Ratios
are taken within a repeat, in which the methods run in turn, and between methods of one precision. All share a
process, so the peers profit as well from what ours asks of the C library (`runtime.keep_memory`). Seconds
never repeat: of them the twin compares names, kinds and shapes alone. Sizes and operations must come again.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from diffnotes import data
from diffnotes.base import runtime
from diffnotes.chapters.speed.methods import (
    PRECISIONS,
    QUESTIONS,
    Diffusers,
    Lucid,
    Method,
    Ours,
    TrainingSpeedSpec,
)
from diffnotes.data import fingerprint
from diffnotes.networks import parameter_count
from diffnotes.store import Arrays, Experiment, Tolerance, Work

SHAPE = (3, 8, 8)  # of the made-up images


def compute(spec: TrainingSpeedSpec, work: Work) -> Arrays:
    """Seconds, images per second and ratios; the names of arrays begin with the question."""
    where = runtime.device()
    work.device = runtime.device_name(where)
    x = _images(spec).to(where)
    with tempfile.TemporaryDirectory() as folder:
        methods = _methods(spec, x, Path(folder))
        arrays = _sizes(methods, x)
        for question in QUESTIONS if spec.question == "all" else (spec.question,):
            found = _answer(question, methods, spec, work)
            arrays |= {f"{question}_{key}": value for key, value in found.items()}
    packages = dict.fromkeys(method.package for method in methods if method.package != Ours.package)
    versions = [f"torch {torch.__version__}", *(f"{name} {metadata.version(name)}" for name in packages)]
    return arrays | {"versions": np.array(versions)}


def _images(spec: TrainingSpeedSpec) -> Tensor:
    """float32 [n, 3, h, h] in [-1, 1]."""
    if spec.dataset == "noise":
        values = runtime.uniforms(spec.seed, "training speed, pixels", range(spec.n), math.prod(SHAPE))
        return torch.from_numpy(2 * values - 1).float().view(spec.n, *SHAPE)
    return data.load(spec.dataset, n=spec.n, seed=spec.seed).x


def _methods(spec: TrainingSpeedSpec, x: Tensor, folder: Path) -> list[Method]:
    """Those of one precision after those of the other, ours first."""
    methods: list[Method] = []
    for p in PRECISIONS if spec.half else PRECISIONS[:1]:
        methods.append(Ours(spec, x, p, folder / p))
        if spec.peers:
            methods += [
                Diffusers(spec, x, p),
                Lucid(spec, x, p, deeper=False),
                Lucid(spec, x, p, deeper=True),
            ]
    return methods


def _sizes(methods: Sequence[Method], x: Tensor) -> Arrays:
    """Numbers of parameters, floating-point operations of one evaluation of one image, and the setting."""
    return {
        "methods": np.array([method.name for method in methods]),
        "precision": np.array([method.precision for method in methods]),
        "parameters": np.array([parameter_count(method.network) for method in methods]),
        "flop": np.array([_flop(method, x[:1]) for method in methods]),
        "shape": np.array(x.shape[1:]), "threads": np.array(torch.get_num_threads()),
    }  # fmt: skip


def _flop(method: Method, x: Tensor) -> float:
    """Of products and convolutions; attention is spelled out in products, as not every kernel is counted."""
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        method.evaluate(x)
    return float(counter.get_total_flops())


def _answer(question: str, methods: Sequence[Method], spec: TrainingSpeedSpec, work: Work) -> Arrays:
    """seconds, images per second (`rate`) and how many times faster ours is in the same precision (`ratio`),
    each [r, method]."""
    rounds, warm = [], False
    for turn in range(spec.repeats):
        saved = work.load(f"{question}-{turn}")
        if saved is None:
            if not warm:
                _warm_up(question, methods)
            saved, warm = {"seconds": _seconds(question, methods)}, True
            work.save(f"{question}-{turn}", saved)
            work.step(turn + 1, spec.repeats, f"{question}: {turn + 1} of {spec.repeats}")
        rounds.append(saved["seconds"])
    seconds = np.stack(rounds)
    images = spec.batch * spec.steps if question == "training" else spec.images
    first = [place for place, method in enumerate(methods) if method.package == Ours.package]
    ours = np.repeat(seconds[:, first], len(methods) // len(first), 1)
    return {"seconds": seconds, "rate": images / seconds, "ratio": seconds / ours}


def _seconds(question: str, methods: Sequence[Method]) -> np.ndarray:
    """Each method in turn, once."""
    return np.array([m.training() if question == "training" else m.sampling() for m in methods])


def _warm_up(question: str, methods: Sequence[Method]) -> None:
    """Let libraries set themselves up, and memory be allocated."""
    for method in methods:
        if question == "training":
            method.training()
        else:
            with torch.no_grad(), method.autocast():
                method.evaluate(method.x[: method.spec.images])


def _fingerprints(spec: TrainingSpeedSpec) -> dict[str, str]:
    if spec.dataset == "noise":
        return {}
    return {spec.dataset: fingerprint(spec.dataset, spec.n, seed=spec.seed)}


EXPERIMENT = Experiment(
    name="training_speed",
    version=1,
    spec=TrainingSpeedSpec,
    profiles={
        "smoke": TrainingSpeedSpec(
            width=8, multipliers=(1, 2), blocks=1, attention=(1,), batch=4, images=4, sampler_steps=4,
            repeats=2,
        ),
        "smoke_pixels": TrainingSpeedSpec(
            dataset="specimens", n=40, width=8, multipliers=(1, 2, 2), blocks=2, attention=(1, 2), batch=2,
            images=2, sampler_steps=2, repeats=2,
        ),
        "laptop": TrainingSpeedSpec(
            question="training", dataset="cifar10", n=2048, peers=True, steps=4, repeats=5
        ),
    },
    compute=compute,
    seconds={"smoke": 3, "smoke_pixels": 3, "laptop": 400},
    data=_fingerprints,
    shown=tuple({"question": question} for question in QUESTIONS),
    tolerance=Tolerance(0.0, why="counts of weights and operations"),
    tolerances=dict.fromkeys(
        ("*_seconds", "*_rate", "*_ratio", "threads", "versions"),
        Tolerance(math.inf, why="what a clock or the machine gives"),
    ),
)  # fmt: skip
