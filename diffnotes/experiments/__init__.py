"""One file per experiment: a frozen Spec, profiles, and `compute(spec, work) -> arrays`."""

from __future__ import annotations

import importlib
from collections.abc import Iterator

from diffnotes.store import Experiment, SpecError

# The module of each experiment has the experiment's name.
NAMES = (
    "toy_model",
    "digits_gap",
    "cifar_gap",
    "features",
    "digits",
    "cifar",
    "disjoint_halves",
    "random_features",
    "loss_curve",
    "loss_sizes",
    "loss_estimators",
    "loss_conversions",
    "noisy_image",
    "speed",
    "training_speed",
)


def find(name: str) -> Experiment:
    """The experiment of that name; an unknown one is an error that lists them."""
    if name not in NAMES:
        raise SpecError(f"experiment must be one of {', '.join(NAMES)}; not {name!r}.")
    return importlib.import_module(f"diffnotes.experiments.{name}").EXPERIMENT


def every() -> Iterator[Experiment]:
    """All experiments, in the order of the chapters."""
    return map(find, NAMES)
