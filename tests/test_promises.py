"""The addresses under which others import this package stay, whatever the files behind them are called."""

from __future__ import annotations

import importlib

import pytest

PROMISED = {
    "posterior": "posterior Posterior ExactDenoiser",
    "optimal_loss": "optimal_loss LossCurve",
    "process": "VE VP FlowMatching",
    "data": "load Dataset",
    "store": "load load_all run pin Experiment Spec Record",
    "train": "train Plan DenoisingLoss",
    "networks": "MLP UNet DiT NetworkDenoiser",
    "sample": "sample",
    "metrics": "frechet memorized neighbours",
    "chapters.toy.experiment": "blurred_predictor relative_gap",
    "experiments.toy_model": "blurred_predictor relative_gap EXPERIMENT",
}


@pytest.mark.parametrize("room", PROMISED)
def test_promised_names_are_there(room: str) -> None:
    module = importlib.import_module(f"diffnotes.{room}")
    assert [name for name in PROMISED[room].split() if not hasattr(module, name)] == []


def test_the_older_address_is_the_same_object() -> None:
    old = importlib.import_module("diffnotes.experiments.toy_model")
    new = importlib.import_module("diffnotes.chapters.toy.experiment")
    assert old.EXPERIMENT is new.EXPERIMENT
    assert old.relative_gap is new.relative_gap
