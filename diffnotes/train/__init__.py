"""The training loop: plans, objectives, checkpoints, evaluations on the way."""

from diffnotes.train.evaluate import Training, evaluated, evaluating, stacked
from diffnotes.train.loop import Batch, Objective, Plan, Report, Snapshot, batch_indices, log_spaced, train
from diffnotes.train.memory import Remembering
from diffnotes.train.objective import DenoisingLoss, LogNormal, LogUniform, NoiseLaw, UniformTime

__all__ = [
    "Batch",
    "DenoisingLoss",
    "LogNormal",
    "LogUniform",
    "NoiseLaw",
    "Objective",
    "Plan",
    "Remembering",
    "Report",
    "Snapshot",
    "Training",
    "UniformTime",
    "batch_indices",
    "evaluated",
    "evaluating",
    "log_spaced",
    "stacked",
    "train",
]
