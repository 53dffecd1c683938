"""The public functions and classes, each with arguments that are good."""

from __future__ import annotations

import functools
import math
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from diffnotes import (
    data,
    metrics,
    networks,
    optimal_loss,
    posterior,
    process,
    regions,
    sample,
    schedule,
    train,
)
from diffnotes import loss_gap as gaps
from diffnotes.data import sets
from diffnotes.train.objective import ClassifierLoss

NAN, INF = math.nan, math.inf


class Target(NamedTuple):
    name: str
    function: Callable[..., Any]
    good: Mapping[str, Any]
    infinite: bool = False  # documented to give infinite values somewhere, or to hand on what it gets


def draw(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    generator = torch.Generator().manual_seed(math.prod(shape) + len(shape))
    return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)


def wiener(x: Tensor, sigma: Any, *labels: Any) -> Tensor:
    s = torch.as_tensor(sigma, dtype=x.dtype).reshape(-1, *[1] * (x.ndim - 1))
    return x / (1 + s**2)


@functools.cache
def network(kind: str) -> torch.nn.Module:
    made = networks.seeded(0, lambda: networks.small_network(kind, (1, 8, 8), 8, 1, classes=3, embedding=8))
    return networks.NetworkDenoiser(made).requires_grad_(False)


def spd(d: int) -> Tensor:
    root = draw(d, d, dtype=torch.float64)
    return root @ root.T / d + torch.eye(d, dtype=torch.float64)


def targets() -> list[Target]:
    x, flat, images = draw(3, 4), draw(6, 4), draw(6, 1, 8, 8)
    labels, t = torch.tensor([0, 1, 2, 0, 1, 2]), torch.tensor([0.3, 0.5, 0.9], dtype=torch.float64)
    sigmas = torch.tensor([0.1, 1.0, 5.0], dtype=torch.float64)
    found = []

    def add(name: str, function: Callable[..., Any], infinite: bool = False, /, **good: Any) -> None:
        found.append(Target(name, function, good, infinite))

    # posterior
    add("posterior", posterior.posterior, x=x, sigma=0.5, data=flat)
    add("posterior rows", posterior.posterior, x=images[:2], sigma=t[:2], data=images)
    add(
        "ExactDenoiser",
        lambda data, x, sigma: posterior.ExactDenoiser(data)(x, sigma),
        data=flat,
        x=x,
        sigma=0.5,
    )
    add(
        "PrunedDenoiser",
        lambda data, tolerance, candidates, x, sigma: posterior.PrunedDenoiser(data, tolerance, candidates)(
            x, sigma
        ),
        data=flat,
        tolerance=1e-6,
        candidates=3,
        x=x,
        sigma=0.5,
    )
    add(
        "gaussian_posterior_mean",
        posterior.gaussian_posterior_mean,
        x=x,
        sigma=0.5,
        mean=draw(4),
        covariance=spd(4),
    )
    add("gaussian_optimal_loss", posterior.gaussian_optimal_loss, sigmas=sigmas, covariance=spd(4))
    # optimal loss
    for name in ("pairwise", "full"):
        add(
            f"optimal_loss {name}",
            optimal_loss.optimal_loss,
            data=flat,
            sigmas=sigmas,
            estimator=name,
            sources=8,
            subset=5,
            labels=None,
            seed=0,
        )
    for name in ("snis", "dol", "cdol", "neighbours"):
        add(
            f"optimal_loss {name}",
            optimal_loss.optimal_loss,
            data=flat,
            sigmas=sigmas,
            estimator=name,
            sources=8,
            subset=4,
            correction=None,
            seed=0,
        )
    add("optimal_loss labels", optimal_loss.optimal_loss, data=flat, sigmas=sigmas, labels=labels, sources=12)
    add(
        "accumulate",
        lambda data, sigmas, draws, **more: optimal_loss.accumulate(data, sigmas, draws, **more).curve(),
        data=flat,
        sigmas=sigmas,
        draws=range(8),
        seed=0,
    )
    add("area", optimal_loss.area, sigma=np.array([0.1, 1.0]), loss=np.array([0.5, 1.0]), limit=1.0)
    sums = optimal_loss.accumulate(flat, sigmas, range(8)).to_arrays()
    add("LossSums", lambda **arrays: optimal_loss.LossSums.from_arrays(arrays).curve(), **sums)
    # process
    for made in (process.VE(), process.VP(), process.FlowMatching()):
        kind = type(made).__name__
        for name in ("alpha", "sigma", "alpha_dot", "noise_ratio"):
            add(f"{kind}.{name}", getattr(made, name), name == "noise_ratio", t=t)
        add(f"{kind}.sigma_dot", made.sigma_dot, True, t=t)
        add(f"{kind}.time", made.time, True, s=t)
        add(f"{kind}.noisy", made.noisy, x0=x, eps=draw(3, 4), t=t.float())
        add(f"{kind}.to_ve", made.to_ve, x=x, t=t.float())
        for target in ("eps", "score", "velocity", "F"):
            add(f"{kind}.coefficients", made.coefficients, True, target=target, t=t)
            add(f"{kind}.from_x0", made.from_x0, x0=x, x=draw(3, 4), t=t.float(), target=target)
            add(f"{kind}.to_x0", made.to_x0, y=x, x=draw(3, 4), t=t.float(), target=target)
            add(f"{kind}.loss_factor", made.loss_factor, True, target=target, t=t)
        add(
            f"{kind}.denoiser",
            lambda predict, target, x, sigma, made=made: made.denoiser(predict, target)(x, sigma),
            predict=lambda x, t: x / 2,
            target="eps",
            x=x,
            sigma=0.5,
        )
    add("VE()", lambda t_max: process.VE(t_max), t_max=80.0)
    add(
        "VP()", lambda **k: process.VP(**k).sigma(torch.tensor([0.5])), beta_min=0.1, beta_max=20.0, t_max=1.0
    )
    add("noise_levels", process.noise_levels, count=4, low=0.1, high=2.0)
    add("edm_scalings", process.edm_scalings, s=t, sigma_data=0.5)
    # metrics
    add("neighbours", metrics.neighbours, x=x, data=flat)
    add(
        "ratios",
        lambda distance, index: metrics.ratios(metrics.Neighbours(distance, index)),
        distance=draw(3, 2).abs().sort(1).values.double(),
        index=torch.zeros(3, 2, dtype=torch.int64),
    )
    add(
        "memorized",
        metrics.memorized,
        rho=torch.rand(9, generator=torch.Generator().manual_seed(0)),
        threshold=1 / 3,
        seed=0,
        repeats=5,
    )
    add("copy_similarity", metrics.copy_similarity, samples=x, train=flat)
    add(
        "bootstrap",
        lambda statistic, sample, seed, repeats: metrics.bootstrap(
            statistic, sample, seed=seed, repeats=repeats
        ),
        statistic=lambda s: float(s.double().mean()),
        sample=x,
        seed=0,
        repeats=4,
    )
    add(
        "denoising_error",
        metrics.denoising_error,
        denoise=wiener,
        x=images,
        sigmas=sigmas,
        seed=0,
        draws=1,
        labels=labels,
        batch=4,
    )
    add("relative_gap", metrics.relative_gap, train=draw(2, 5).abs(), val=draw(2, 6).abs())
    add("pooled", metrics.pooled, x=images, most=16)
    add(
        "sliced_wasserstein",
        metrics.sliced_wasserstein,
        a=draw(5, 3),
        b=draw(5, 3) + 1,
        projections=4,
        seed=0,
        p=2,
    )
    add("frechet", metrics.frechet, a=draw(6, 3), b=draw(6, 3) + 1)
    add(
        "frechet_gaussian",
        metrics.frechet_gaussian,
        mean_a=draw(3),
        cov_a=spd(3),
        mean_b=draw(3) + 1,
        cov_b=2 * spd(3),
    )
    # sample
    times = torch.tensor([2.0, 0.5, 0.0], dtype=torch.float64)
    add("edm_sigmas", sample.edm_sigmas, steps=4, low=0.1, high=2.0, rho=7.0)
    add("flow_times", sample.flow_times, steps=4, high=2.0)
    add(
        "trajectory",
        lambda **k: list(sample.trajectory(**k)),
        denoise=wiener,
        x=x,
        times=times,
        process=None,
        solver="heun",
    )
    add(
        "sample",
        sample.sample,
        denoise=wiener,
        shape=(2, 3),
        count=3,
        times=times,
        process=None,
        solver="euler",
        seed=0,
        batch=2,
        device="cpu",
        dtype=torch.float32,
        labels=labels[:3],
        guidance=0.5,
    )
    add(
        "initial_noise",
        sample.initial_noise,
        indices=[0, 1],
        shape=(2, 3),
        seed=0,
        stream="a",
        dtype=torch.float32,
    )
    add(
        "conditioned",
        lambda denoise, labels, weight: sample.conditioned(denoise, labels, weight)(x, 0.5),
        denoise=wiener,
        labels=labels[:3],
        weight=0.5,
    )
    add(
        "guided",
        lambda good, bad, weight: sample.guided(good, bad, weight)(x, 0.5),
        good=wiener,
        bad=wiener,
        weight=1.0,
    )
    # loss gap and schedule
    add(
        "loss_gap",
        gaps.loss_gap,
        denoiser=wiener,
        data=flat,
        sigmas=sigmas,
        draws=12,
        labels=labels,
        held_out=draw(3, 4),
        held_out_labels=labels[:3],
        seed=0,
    )
    levels = process.noise_levels(6, 0.05, 20.0)
    curve = optimal_loss.optimal_loss(flat, levels, sources=12)
    add(
        "LossGapSchedule",
        lambda curve, dimensions, sigma, n, loss, **options: _scheduled(
            schedule.LossGapSchedule(curve, dimensions, **options), sigma, n, loss
        ),
        curve=curve,
        dimensions=4,
        sigma=torch.tensor([0.1, 1.0]),
        n=3,
        loss=torch.tensor([0.5, 0.7]),
        threshold=0.01,
        clip=0.01,
        bump=1.0,
        shift=-1.0,
        width=1.0,
        edge=0.0,
        exponent=1.0,
        floor=0.05,
        bins=8,
        memory=16,
    )
    state = schedule.LossGapSchedule(curve, 4, bins=8).state_dict()
    add("load_state_dict", lambda **s: _loaded(schedule.LossGapSchedule(curve, 4, bins=8), s), **state)
    # regions
    add("distance_ratio", regions.distance_ratio, x=x, t=0.5, data=flat, process=process.FlowMatching())
    add("half_width", regions.half_width, delta=0.1, dim=3, kind="exact")
    add("outside", regions.outside, width=0.5, dim=3)
    add(
        "in_supervision_region",
        regions.in_supervision_region,
        x=x,
        t=0.5,
        data=flat,
        delta=0.1,
        process=process.FlowMatching(),
        kind="tight",
    )
    add("nearest_other", regions.nearest_other, data=flat, part=slice(1, 4))
    add("overlap", regions.overlap, distance=draw(4).abs(), t=t, process=process.VP())
    add("bhattacharyya", regions.bhattacharyya, data=flat, t=t, process=process.FlowMatching())
    add(
        "guidance_gap",
        regions.guidance_gap,
        x=x,
        t=0.5,
        data=flat,
        labels=labels,
        wanted=torch.tensor([0, 1, 2]),
        process=process.FlowMatching(),
    )
    # networks
    shape = (1, 8, 8)
    given = {"shape": shape, "width": 8, "classes": 3, "x": images, "noise": draw(6), "labels": labels}
    add("MLP", _answers_of(networks.MLP), depth=1, **given)
    unet = {"multipliers": (1, 2), "blocks": 1, "attention": (1,), "embedding": 8, "head": 8}
    add("UNet", _answers_of(networks.UNet), **unet, **given)
    add("DiT", _answers_of(networks.DiT), depth=1, patch=2, head=8, **given)
    add(
        "small_network",
        lambda **k: networks.parameter_count(networks.small_network(**k)),
        kind="unet",
        shape=shape,
        width=8,
        blocks=1,
        multipliers=(1, 2),
        embedding=8,
        classes=0,
    )
    for kind in ("mlp", "unet"):
        add(f"NetworkDenoiser {kind}", network(kind), x=images, sigma=0.5, labels=labels)
    add(
        "NetworkDenoiser()",
        lambda x, **k: networks.NetworkDenoiser(**k)(x, 0.5),
        network=network("mlp").network,
        process=process.VE(),
        target="F",
        sigma_data=0.5,
        x=images,
    )
    add(
        "seeded",
        lambda seed, build: networks.parameter_count(networks.seeded(seed, build)),
        seed=0,
        build=lambda: torch.nn.Linear(2, 2),
    )
    add("parameter_count", networks.parameter_count, module=torch.nn.Linear(2, 2))
    add(
        "FeatureNet",
        lambda width, x: networks.seeded(0, lambda: networks.FeatureNet(width))(x),
        width=4,
        x=draw(2, 3, 16, 16),
    )
    feature = networks.seeded(0, lambda: networks.FeatureNet(4)).requires_grad_(False)
    add("extract", networks.extract, features=feature, x=draw(2, 3, 16, 16), batch=2)
    add("coarse", networks.coarse, x=images)
    add("load_torchscript", networks.load_torchscript, name="none", sha256="0" * 64)
    # train
    add(
        "Plan",
        lambda **k: train.Plan(**k).rate_at(3),
        steps=10,
        batch=4,
        rate=1e-3,
        warmup=2,
        anneal="cosine",
        clip=1.0,
        decay=0.1,
        horizons=(3,),
        precision="float32",
        seed=0,
    )
    add("log_spaced", train.log_spaced, first=1, last=10, count=3)
    add("batch_indices", train.batch_indices, seed=0, n=5, batch=3, step=1)
    add("LogNormal", lambda **k: train.LogNormal(**k)(t), mean=-1.2, std=1.2)
    add("LogUniform", lambda **k: train.LogUniform(**k)(t), low=0.1, high=2.0)
    add("UniformTime", lambda process: train.UniformTime(process)(t), process=process.VP())
    add(
        "DenoisingLoss",
        lambda **k: train.DenoisingLoss(**k)(network("mlp"), train.Plan(4, 4).batch_at(0)),
        x=images,
        law=train.LogNormal(),
        process=process.VE(),
        target="F",
        labels=labels,
        drop=0.5,
    )
    add(
        "ClassifierLoss",
        lambda **k: ClassifierLoss(**k)(feature, train.Plan(4, 2).batch_at(0)),
        x=draw(4, 3, 32, 32),
        labels=labels[:4],
        smooth=0.05,
    )
    add(
        "train",
        _trained,
        objective=train.DenoisingLoss(images, train.LogNormal()),
        plan=train.Plan(2, 4),
        stops=[1, 2],
        report=None,
        save_seconds=60.0,
    )
    # data
    for name in ("digits", "circle", "gaussian", "specimens"):
        add(f"load {name}", data.load, name=name, n=5, split="train", seed=0)
    add("circle", sets.circle, n=3, split="train", seed=0, layout="random")
    add("gaussian", sets.gaussian, n=3, split="train", seed=0, dimension=4, decay=0.5)
    add("digits", sets.digits, split="train")
    add("spectrum", sets.spectrum, dimension=4, decay=0.5)
    add("as_floats", data.as_floats, True, values=images)
    add("as_bytes", data.as_bytes, x=images)
    add("shrunk", lambda side: data.shrunk(data.load("digits", 3), side), side=4)
    add(
        "Dataset",
        lambda **k: data.Dataset(**k).x,
        True,
        name="a",
        split="train",
        values=images,
        labels=labels,
    )
    add("taken", lambda index: data.load("digits", 5).taken(index), index=np.array([0, 2]))
    add("fingerprint", data.fingerprint, name="digits", n=5, split="train", seed=0)
    add("Shards", lambda paths: data.Shards(paths), paths=["/none.npy"])
    return found


def _answers_of(kind: Callable[..., torch.nn.Module]) -> Callable[..., Any]:
    """What a network of that kind says of x, built with the other arguments."""
    return lambda x, noise, labels, **k: networks.seeded(0, lambda: kind(**k))(x, noise, labels)


def _scheduled(made: schedule.LossGapSchedule, sigma: Any, n: Any, loss: Any) -> Any:
    weight, drawn = made.weight(sigma), made.sample(n, torch.Generator().manual_seed(0))
    made.update(sigma, loss)
    return weight, drawn, made.probabilities, made.running


def _loaded(made: schedule.LossGapSchedule, state: Any) -> Any:
    made.load_state_dict(state)
    return made.probabilities


def _trained(**k: Any) -> Any:
    model = networks.seeded(0, lambda: networks.NetworkDenoiser(networks.MLP((1, 8, 8), width=8, depth=1)))
    with tempfile.TemporaryDirectory() as folder:
        return [snapshot.step for snapshot in train.train(k.pop("model", model), folder=Path(folder), **k)]
