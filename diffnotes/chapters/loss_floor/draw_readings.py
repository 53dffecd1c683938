"""How many draws the optimal loss takes by each reading of it; read off the study of estimators."""

from __future__ import annotations

import math

import numpy as np
from numpy import ndarray as Array

from diffnotes.chapters.loss_floor.estimator_readings import Study

SURE = 0.1  # of the optimal loss: the standard error that is asked for
CRITICAL = 0.01  # of the variance: the optimal loss at the critical sigma
NAMES = ("A-B", "AB", "PV")  # A over all data, A from the same draws, the variance of the posterior


def draws_needed(study: Study) -> dict[str, Array]:
    """Draws, in units of N, after which the standard error is SURE of the optimal loss, [levels]."""
    optimum, scatter = study.readout_scatter()
    unit = float(study.record.spec["draws"]) / study.n
    return {name: unit * (scatter[name] / (SURE * optimum)) ** 2 for name in NAMES}


def draws_at_critical(study: Study) -> dict[str, float]:
    """The same where the optimal loss is CRITICAL of the variance, between the levels."""
    share = np.log(study.readout_scatter()[0] / study.variance)
    needed = draws_needed(study).items()
    return {name: math.exp(np.interp(math.log(CRITICAL), share, np.log(one))) for name, one in needed}


def draws_error(study: Study) -> float:
    """The relative standard error of such a number, which goes by the square of a scatter over repeats."""
    return math.sqrt(2 / (int(study.record.spec["repeats"]) - 1))


def draws_saved(study: Study) -> Array:
    """By which factor A from the same draws takes fewer of them, at levels below CRITICAL of the variance."""
    small = study.readout_scatter()[0] < CRITICAL * study.variance
    needed = draws_needed(study)
    found: Array = (needed["A-B"] / needed["AB"])[small]
    return found
