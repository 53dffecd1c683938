"""The toy model of chapter 1 under its older address."""

from diffnotes.chapters.toy.experiment import EXPERIMENT, blurred_predictor, relative_gap

__all__ = ["EXPERIMENT", "blurred_predictor", "relative_gap"]
