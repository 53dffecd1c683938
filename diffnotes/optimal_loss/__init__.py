"""The optimal denoising loss J*(sigma) of a data set, exact and from subsets."""

from diffnotes.optimal_loss.classes import class_parts, mean_over_classes
from diffnotes.optimal_loss.estimate import accumulate, optimal_loss
from diffnotes.optimal_loss.loops import LOOPS, in_loops, linear_loss
from diffnotes.optimal_loss.statistics import FEW, NOISES, LossCurve, LossSums, area
from diffnotes.optimal_loss.subsets import READOUTS

__all__ = [
    "FEW",
    "LOOPS",
    "NOISES",
    "READOUTS",
    "LossCurve",
    "LossSums",
    "accumulate",
    "area",
    "class_parts",
    "in_loops",
    "linear_loss",
    "mean_over_classes",
    "optimal_loss",
]
