"""The posterior mean E[x0|x] over a data set: exact, and with a proved bound."""

from diffnotes.posterior.certified import PrunedDenoiser
from diffnotes.posterior.divided import divided_posterior
from diffnotes.posterior.exact import (
    ExactDenoiser,
    Posterior,
    gaussian_optimal_loss,
    gaussian_posterior_mean,
    posterior,
)
from diffnotes.posterior.support import (
    Data,
    Support,
    checked_halves,
    half_squares,
    squared_distances,
    true_pairs,
)

__all__ = [
    "Data",
    "ExactDenoiser",
    "Posterior",
    "PrunedDenoiser",
    "Support",
    "divided_posterior",
    "gaussian_optimal_loss",
    "gaussian_posterior_mean",
    "checked_halves",
    "half_squares",
    "posterior",
    "squared_distances",
    "true_pairs",
]
