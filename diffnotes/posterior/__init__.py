"""The posterior mean E[x0|x] over a data set: exact, and with a proved bound."""

from diffnotes.posterior.certified import PrunedDenoiser
from diffnotes.posterior.exact import (
    ExactDenoiser,
    Posterior,
    gaussian_optimal_loss,
    gaussian_posterior_mean,
    posterior,
)
from diffnotes.posterior.support import Data, Points, half_squares, points, squared_distances, true_pairs

__all__ = [
    "Data",
    "ExactDenoiser",
    "Points",
    "Posterior",
    "PrunedDenoiser",
    "gaussian_optimal_loss",
    "gaussian_posterior_mean",
    "half_squares",
    "points",
    "posterior",
    "squared_distances",
    "true_pairs",
]
