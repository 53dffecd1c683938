"""The optimal loss of networks that know the class of an image, as Xu et al. (arXiv 2506.13763) train them.

Given the class, the posterior runs over the images of that class alone: J*(sigma | c). Its mean over the
images, E_c J*(sigma | c), is never above J*(sigma). It tends to the variance within classes, and its area is
the mean of ln N_c.
"""

from __future__ import annotations

import numpy as np

from diffnotes.base import runtime
from diffnotes.chapters.loss_floor.curve import (
    SHARES,
    SMALL,
    TOLERANCE,
    WIDE,
    LossSpec,
    curve_of,
    fingerprints,
    images_of,
)
from diffnotes.optimal_loss import class_parts, mean_over_classes
from diffnotes.process import noise_levels
from diffnotes.store import Arrays, Experiment, Work


def compute(spec: LossSpec, work: Work) -> Arrays:
    """One curve for each class, with sums that are saved, and their mean."""
    images = images_of(spec.dataset, spec.n, spec.seed)
    where = runtime.device()
    work.device = runtime.device_name(where)
    levels, curves = noise_levels(spec.levels, spec.sigma_min, spec.sigma_max), []
    parts = class_parts(images.labels, spec.sources, spec.seed)
    for place, part in enumerate(parts):
        values = images.values[part.members].to(where)
        few = spec.replace(sources=part.draws, seed=part.seed)
        step = work.part(place, len(parts), f"class {part.label}")
        curves.append(curve_of(values, levels, few, work, step, f"class-{part.label}", part.draws))
    curve, sigmas = mean_over_classes(parts, curves), levels.numpy()
    return {
        "sigma": sigmas, "mean": curve.mean.numpy(), "stderr": curve.stderr.numpy(),
        "area": np.array(curve.area), "area_stderr": np.array(curve.area_stderr),
        "variance": np.array(curve.variance),
        "n": np.array(len(images)), "sources": np.array(curve.draws),
        "label": np.array([part.label for part in parts]),
        "size": np.array([len(part.members) for part in parts]),
        "critical_share": np.array(SHARES),
        "critical": np.interp(SHARES, curve.mean.numpy() / curve.variance, sigmas),
    }  # fmt: skip


EXPERIMENT = Experiment(
    name="loss_classes",
    version=1,
    spec=LossSpec,
    profiles={
        "smoke": LossSpec(n=300, levels=24, sources=700),  # a slice for each class, of two passes and a part
        "smoke_pixels": LossSpec(dataset="specimens", n=300, levels=24, sources=300),
        "smoke_files": LossSpec(dataset="specimens64-all", levels=24, sources=270, **WIDE),
        "laptop": LossSpec(),
    },
    compute=compute,
    seconds={"smoke": 2, "smoke_pixels": 2, "smoke_files": 5, "laptop": 200},
    data=fingerprints,
    shown=({"dataset": "digits"}, {"dataset": "cifar10"}, {"dataset": "imagenet64-all", **WIDE}),
    tolerance=TOLERANCE,
    tolerances={"mean": SMALL, "stderr": SMALL},
)
