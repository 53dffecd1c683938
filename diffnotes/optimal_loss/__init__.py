"""The optimal denoising loss J*(sigma) of a data set, exact and from subsets."""

from diffnotes.optimal_loss.estimate import accumulate, accumulate_corrections, optimal_loss
from diffnotes.optimal_loss.statistics import NOISES, LossCurve, LossSums
from diffnotes.optimal_loss.subsets import READOUTS

__all__ = [
    "LossCurve",
    "LossSums",
    "NOISES",
    "READOUTS",
    "accumulate",
    "accumulate_corrections",
    "optimal_loss",
]
